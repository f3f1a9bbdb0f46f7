//! `/requests`: what waits for an answer, everything that whoever answers has to know,
//! and the no. The yes takes a passkey (`approval.rs`) or a device key.

use super::answer::Answer;
use super::approval::Offer;
use super::layout::{Frame, Place};
use super::moment::Moment;
use super::namespaces::{Choice, Looked, NAMESPACE, holds_one_of};
use super::page::{Asked, Page, Visit, Way};
use super::shown::Shown;
use crate::problem::Failure;
use askama::Template;
use procura_authority::{RequestDeny, RequestListing, RequestRead};
use procura_policy::Permit;
use procura_types::wire::{AccessRequest, CallerReport, RequestState};
use procura_types::{Delivery, Role, Timestamp};
use procura_vault::NamespaceListing;

/// A request in a list.
struct Waits {
    path: String,
    agent: Shown,
    project: Shown,
    names: Vec<Shown>,
    since: Moment,
    until: Moment,
}

/// What waits in one namespace.
struct Waiting {
    namespace: Shown,
    requests: Vec<Waits>,
    /// Where there are more.
    more: Option<String>,
}

#[derive(Template)]
#[template(path = "requests.html")]
struct Requests {
    frame: Frame,
    choices: Vec<Choice>,
    one: bool,
    lists: Vec<Waiting>,
}

/// `GET /requests`.
pub(super) struct List;

impl Page for List {
    type Op = NamespaceListing;
    const WAY: Way = Way::Look;
    const PATH: &'static str = "/requests";
    const PLACE: Place = Place::Requests;
    const FIELDS: &'static [&'static str] = &[NAMESPACE, "after"];

    fn parse(_: &Asked<'_>) -> Result<Self::Op, Failure> {
        Ok(NamespaceListing)
    }

    async fn run(visit: Visit<'_>, _: Permit<Self::Op>) -> Result<Answer, Failure> {
        let looked = Looked::of(&visit.snapshot, &visit.roles, &visit.form)?;
        let after = visit.form.value("after")?;
        let now = visit.context.input.now;
        let store = visit.context.open.vault.store();
        let mut lists = Vec::new();
        for namespace in &looked.at {
            let listing = RequestListing {
                namespace: namespace.clone(),
                after: after.filter(|_| looked.one),
                limit: Some(looked.limit()),
            };
            let permit = visit.permitted(listing).await?;
            let found = RequestListing::waiting(&permit, &visit.snapshot, store, now)?;
            lists.push(Waiting {
                namespace: Shown::of(namespace),
                requests: found
                    .requests
                    .iter()
                    .map(|found| waits(found, now))
                    .collect(),
                more: found
                    .next
                    .map(|next| format!("/requests?namespace={namespace}&after={next}")),
            });
        }
        Answer::page(&Requests {
            frame: visit.frame,
            choices: looked.all,
            one: looked.one,
            lists,
        })
    }
}

fn waits(request: &AccessRequest, now: Timestamp) -> Waits {
    Waits {
        path: format!("/requests/{}/{}", request.namespace, request.id),
        agent: Shown::of(&request.lineage),
        project: Shown::of(&request.project),
        names: request
            .items
            .iter()
            .map(|item| Shown::of(&item.name))
            .collect(),
        since: Moment::of(request.created, now),
        until: Moment::of(request.expires, now),
    }
}

/// One thing that is asked for.
struct Item {
    name: Shown,
    path: Shown,
    /// The agent has it already.
    had: bool,
}

#[derive(Template)]
#[template(path = "request.html")]
struct OneRequest {
    frame: Frame,
    namespace: Shown,
    id: String,
    state: &'static str,
    is_pending: bool,
    agent: Shown,
    agent_id: String,
    project: Shown,
    delivery: &'static str,
    delivery_means: &'static str,
    items: Vec<Item>,
    already: Vec<Shown>,
    device: Option<String>,
    /// The name of the host, by its own word.
    host: Option<Shown>,
    /// What else the agent's machine says.
    report: Vec<(&'static str, Shown)>,
    warnings: Vec<&'static str>,
    since: Moment,
    until: Moment,
    /// Whether whoever looks may answer.
    answers: bool,
    offer: Offer,
}

/// `GET /requests/{ns}/{id}`.
pub(super) struct Read;

impl Page for Read {
    type Op = RequestRead;
    const WAY: Way = Way::Look;
    const PATH: &'static str = "/requests/{ns}/{id}";
    const PLACE: Place = Place::Requests;

    fn parse(asked: &Asked<'_>) -> Result<Self::Op, Failure> {
        let (store, input) = (asked.open.vault.store(), asked.input);
        Ok(RequestRead::resolve(
            store,
            input.param("ns")?,
            input.param("id")?,
        )?)
    }

    async fn run(visit: Visit<'_>, permit: Permit<Self::Op>) -> Result<Answer, Failure> {
        let now = visit.context.input.now;
        let store = visit.context.open.vault.store();
        let request = RequestRead::run(&permit, &visit.snapshot, store, now)?;
        let actor = permit.caller().actor();
        let roles = [Role::Approver];
        let answers = holds_one_of(&visit.roles, &request.namespace, &roles);
        let offer = Offer::of(&visit, actor);
        Answer::page(&shown(visit.frame, request, (answers, offer), now))
    }
}

fn shown(
    frame: Frame,
    request: AccessRequest,
    (answers, offer): (bool, Offer),
    now: Timestamp,
) -> OneRequest {
    let report = request.caller.as_ref();
    OneRequest {
        frame,
        namespace: Shown::of(&request.namespace),
        id: request.id.to_string(),
        state: state(request.state),
        is_pending: request.state == RequestState::Pending,
        agent: Shown::of(&request.lineage),
        agent_id: request.agent.to_string(),
        project: Shown::of(&request.project),
        delivery: request.delivery.as_str(),
        delivery_means: delivery_means(request.delivery),
        items: request
            .items
            .iter()
            .map(|item| Item {
                name: Shown::of(&item.name),
                path: Shown::of(&item.path),
                had: request.already.contains(&item.name),
            })
            .collect(),
        already: request.already.iter().map(Shown::of).collect(),
        device: request.device.map(|device| device.to_string()),
        host: report
            .and_then(|report| report.host.as_ref())
            .map(Shown::of),
        report: report.map_or_else(Vec::new, said),
        warnings: report.map_or_else(Vec::new, warnings),
        since: Moment::of(request.created, now),
        until: Moment::of(request.expires, now),
        answers,
        offer,
    }
}

/// Where a request stands, in the words of the command line.
const fn state(state: RequestState) -> &'static str {
    match state {
        RequestState::Pending => "waits",
        RequestState::Approved => "approved",
        RequestState::Denied => "denied",
        RequestState::Expired => "expired",
        RequestState::Revoked => "agent revoked",
        RequestState::Ended => "ended",
    }
}

/// Who can read and keep the values then.
const fn delivery_means(delivery: Delivery) -> &'static str {
    match delivery {
        Delivery::Env | Delivery::File | Delivery::Stdin => {
            "the process that runs can read and keep the values"
        }
        Delivery::Http => {
            "whoever proves to be the agent can read and keep the values, over HTTP and as often as they like"
        }
    }
}

/// What the agent's machine says of the process, which nobody checked.
fn said(report: &CallerReport) -> Vec<(&'static str, Shown)> {
    let pid = report.pid.map(|pid| pid.to_string());
    let said = [
        ("Operating system", &report.os),
        ("Directory", &report.cwd),
        ("Git commit", &report.git),
        ("Process id", &pid),
        ("Executable, SHA-256", &report.exe_sha256),
        ("Arguments, SHA-256", &report.argv_sha256),
    ];
    let given = said.into_iter();
    given
        .filter_map(|(what, value)| Some((what, Shown::of(value.as_ref()?))))
        .collect()
}

/// What of it weighs against a yes.
fn warnings(report: &CallerReport) -> Vec<&'static str> {
    let warnings = [
        (report.traced, "The process was being traced."),
        (
            report.danger_same_uid,
            "The daemon runs as the agent's own user, who can read its key.",
        ),
    ];
    let given = warnings.into_iter();
    given
        .filter_map(|(given, words)| (given == Some(true)).then_some(words))
        .collect()
}

/// `POST /requests/{ns}/{id}/deny`.
pub(super) struct Deny;

impl Page for Deny {
    type Op = RequestDeny;
    const WAY: Way = Way::Form;
    const PATH: &'static str = "/requests/{ns}/{id}/deny";
    const PLACE: Place = Place::Requests;

    fn parse(asked: &Asked<'_>) -> Result<Self::Op, Failure> {
        Ok(RequestDeny {
            namespace: asked.input.param("ns")?,
            id: asked.input.param("id")?,
        })
    }

    async fn run(visit: Visit<'_>, permit: Permit<Self::Op>) -> Result<Answer, Failure> {
        let now = visit.context.input.now;
        let path = format!("/requests/{}/{}", permit.op().namespace, permit.op().id);
        visit
            .context
            .change(permit, |batch| RequestDeny::run(batch, now))
            .await?;
        Answer::to(&path)
    }
}
