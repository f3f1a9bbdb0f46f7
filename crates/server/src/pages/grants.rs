//! `/grants`: what was said yes to and holds, and how it is taken back.

use super::answer::Answer;
use super::layout::{Frame, Place};
use super::moment::Moment;
use super::namespaces::{Choice, Looked, NAMESPACE, holds_one_of};
use super::page::{Asked, Page, Visit, Way};
use super::shown::Shown;
use crate::problem::Failure;
use askama::Template;
use procura_authority::{GrantListing, GrantWithdraw, running_children};
use procura_directory::Snapshot;
use procura_policy::Permit;
use procura_types::wire::{Grant, RunningChild};
use procura_types::{Role, Timestamp};
use procura_vault::NamespaceListing;

/// A grant in a list.
struct Given {
    id: String,
    agent: Shown,
    project: Shown,
    delivery: &'static str,
    /// Names with the paths behind them.
    items: Vec<(Shown, Shown)>,
    approver: Shown,
    from: Moment,
    until: Moment,
}

/// What holds in one namespace.
struct Holding {
    namespace: Shown,
    grants: Vec<Given>,
    /// Whether whoever looks may take them back.
    withdraws: bool,
    /// Where there are more.
    more: Option<String>,
}

#[derive(Template)]
#[template(path = "grants.html")]
struct Grants {
    frame: Frame,
    choices: Vec<Choice>,
    one: bool,
    lists: Vec<Holding>,
}

/// `GET /grants`.
pub(super) struct List;

impl Page for List {
    type Op = NamespaceListing;
    const WAY: Way = Way::Look;
    const PATH: &'static str = "/grants";
    const PLACE: Place = Place::Grants;
    const FIELDS: &'static [&'static str] = &[NAMESPACE, "after"];

    fn parse(_: &Asked<'_>) -> Result<Self::Op, Failure> {
        Ok(NamespaceListing)
    }

    async fn run(visit: Visit<'_>, _: Permit<Self::Op>) -> Result<Answer, Failure> {
        let looked = Looked::of(&visit.snapshot, &visit.roles, &visit.form)?;
        let after = visit.form.value("after")?;
        let now = visit.context.input.now;
        let mut lists = Vec::new();
        for namespace in &looked.at {
            let listing = GrantListing {
                namespace: namespace.clone(),
                after: after.filter(|_| looked.one),
                limit: Some(looked.limit()),
            };
            let permit = visit.permitted(listing).await?;
            let found = GrantListing::holding(&permit, &visit.snapshot, now);
            let roles = [Role::Admin, Role::Approver];
            lists.push(Holding {
                namespace: Shown::of(namespace),
                withdraws: holds_one_of(&visit.roles, namespace, &roles),
                grants: found
                    .grants
                    .iter()
                    .map(|grant| given(grant, &visit.snapshot, now))
                    .collect(),
                more: found
                    .next
                    .map(|next| format!("/grants?namespace={namespace}&after={next}")),
            });
        }
        Answer::page(&Grants {
            frame: visit.frame,
            choices: looked.all,
            one: looked.one,
            lists,
        })
    }
}

fn given(grant: &Grant, snapshot: &Snapshot, now: Timestamp) -> Given {
    Given {
        id: grant.id.to_string(),
        agent: Shown::of(&grant.lineage),
        project: Shown::of(&grant.project),
        delivery: grant.delivery.as_str(),
        items: grant
            .items
            .iter()
            .map(|item| (Shown::of(&item.name), Shown::of(&item.path)))
            .collect(),
        approver: Shown::of(snapshot.lineage(&grant.receipt.approver)),
        from: Moment::of(grant.from, now),
        until: Moment::of(grant.until, now),
    }
}

/// A process that holds values from before.
struct Running {
    run: String,
    device: String,
    host: Option<Shown>,
    directory: Option<Shown>,
    started: Moment,
}

#[derive(Template)]
#[template(path = "withdrawn.html")]
struct Withdrawn {
    frame: Frame,
    namespace: Shown,
    agent: Shown,
    project: Shown,
    running: Vec<Running>,
}

/// `POST /grants/{ns}/{id}/withdraw`.
pub(super) struct Withdraw;

impl Page for Withdraw {
    type Op = GrantWithdraw;
    const WAY: Way = Way::Form;
    const PATH: &'static str = "/grants/{ns}/{id}/withdraw";
    const PLACE: Place = Place::Grants;

    fn parse(asked: &Asked<'_>) -> Result<Self::Op, Failure> {
        Ok(GrantWithdraw {
            namespace: asked.input.param("ns")?,
            id: asked.input.param("id")?,
        })
    }

    async fn run(visit: Visit<'_>, permit: Permit<Self::Op>) -> Result<Answer, Failure> {
        let now = visit.context.input.now;
        let namespace = permit.op().namespace.clone();
        let grant = visit
            .context
            .change(permit, |batch| GrantWithdraw::run(batch, now))
            .await?;
        // Listed after the commit, as by the API.
        let store = visit.context.open.vault.store();
        let running = running_children(store, &namespace, &grant.id)?;
        if running.is_empty() {
            return Answer::to(&format!("/grants?namespace={namespace}"));
        }
        // Withdrawing again changes nothing, so this page may be loaded anew.
        Answer::page(&Withdrawn {
            frame: visit.frame,
            namespace: Shown::of(&namespace),
            agent: Shown::of(&grant.lineage),
            project: Shown::of(&grant.project),
            running: running.iter().map(|child| still(child, now)).collect(),
        })
    }
}

fn still(child: &RunningChild, now: Timestamp) -> Running {
    let report = child.caller.as_ref();
    Running {
        run: child.run.to_string(),
        device: child.device.to_string(),
        host: report
            .and_then(|report| report.host.as_ref())
            .map(Shown::of),
        directory: report.and_then(|report| report.cwd.as_ref()).map(Shown::of),
        started: Moment::of(child.started, now),
    }
}
