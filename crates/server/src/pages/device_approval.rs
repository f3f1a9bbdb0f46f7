//! The yes to a device that asks to join, and to a client of CortexAuth that asks to log in:
//! by a passkey, over whose device or login it becomes
//! ([ADR 38](../../../../docs/adr/0038-device-grant.md),
//! [ADR 43](../../../../docs/adr/0043-cortexauth-clients.md)).

use super::LABEL;
use super::answer::Answer;
use super::approval::Offer;
use super::device::{USER_CODE, required, shown};
use super::form::Form;
use super::layout::Place;
use super::namespaces::NAMESPACE;
use super::page::{Entered, Visit, Way, enter, enter_call, frame, mount_call, mount_work};
use super::passkeys::{ANSWER, answered};
use super::shown::Shown;
use crate::app::App;
use crate::input::Arrived;
use crate::passkeys::{approve_device, device_options};
use crate::problem::Failure;
use crate::serve::Context;
use axum::Router;
use procura_directory::ActorRecord;
use procura_identity::{DeviceGrantDraft, legacy_id};
use procura_policy::{Action, Concerned, Question, Resource};
use procura_proof::Caller;
use procura_types::wire::AssertedCredential;
use procura_types::{Label, Namespace, Role, Thumbprint, UserCode};
use serde::Deserialize;
use std::sync::Arc;

/// The field with the agent whose device it becomes.
const AGENT: &str = "agent";
/// The field with the device that was looked at.
const DEVICE: &str = "device";

/// Most agents to choose from: more are no list for a person, and each is decided on.
const MOST: usize = 200;

/// Mounts it.
pub(super) fn route(router: Router<Arc<App>>) -> Router<Arc<App>> {
    let router = mount_call(router, ("/device/approve/options", LABEL), options);
    mount_work(router, (Way::Form, "/device/approve", LABEL), approve)
}

/// An agent whose device it may become.
pub(super) struct Choosable {
    pub(super) label: Shown,
    /// What people call it, where that is something else.
    pub(super) called: Option<Shown>,
    pub(super) lineage: Shown,
    /// By which id a client of CortexAuth knows it, where one asks.
    pub(super) id: Option<Shown>,
}

/// How whoever looks at a device can say yes to it.
pub(super) struct Answering {
    /// Whether they let devices into this namespace.
    pub(super) approves: bool,
    pub(super) offer: Offer,
    /// Those for which they may do it.
    pub(super) agents: Vec<Choosable>,
    /// There are more than these.
    pub(super) more: bool,
}

impl Answering {
    /// `legacy` is whether a client of CortexAuth asks: it logs in as an agent that has one
    /// id there, and no other is offered.
    pub(super) fn of(
        visit: &Visit<'_>,
        caller: &Caller,
        (namespace, legacy): (&Namespace, bool),
    ) -> Self {
        // Not what a group lends in this web login: what is let in outlives that.
        let own = visit.snapshot.roles(caller.actor());
        let approves = own.is_some_and(|own| own.has(Role::Admin, Some(namespace)));
        let offer = Offer::of(visit, caller.actor());
        let mut agents = if approves && offer.by_passkey {
            choosable(visit, caller, (namespace, legacy))
        } else {
            Vec::new()
        };
        let more = agents.len() > MOST;
        agents.truncate(MOST);
        Self {
            approves,
            offer,
            agents,
            more,
        }
    }

    /// Whether a passkey can be shown on this very page.
    pub(super) fn is_here(&self) -> bool {
        self.approves
            && self.offer.by_passkey
            && self.offer.bound.elsewhere.is_none()
            && !self.agents.is_empty()
    }
}

/// The agents of a namespace for which the caller may let devices in, by label: as roles and
/// policies decide it for each, which they do again when it is done. One more than are shown.
fn choosable(
    visit: &Visit<'_>,
    caller: &Caller,
    (namespace, legacy): (&Namespace, bool),
) -> Vec<Choosable> {
    let snapshot = &visit.snapshot;
    let mut agents: Vec<&Arc<ActorRecord>> = snapshot
        .actors()
        .filter(|actor| actor.namespace() == Some(namespace) && snapshot.is_active(&actor.id))
        .collect();
    agents.sort_by(|a, b| a.label().cmp(b.label()));
    let decider = visit.context.open.recorder.decider();
    let may = |agent: &Arc<ActorRecord>| {
        let resource = Resource::Agent(namespace.clone(), agent.label().clone());
        let question = Question {
            caller,
            action: Action::DeviceGrantApprove,
            resource: &resource,
            concerned: Concerned::default(),
            now: visit.context.input.now,
        };
        decider.decide(snapshot, &question).is_ok()
    };
    let ids = agents.into_iter().filter_map(|agent| {
        let id = legacy.then(|| legacy_id(snapshot, &agent.id));
        Some((agent, id.transpose().ok()?))
    });
    ids.filter(|(agent, _)| may(agent))
        .take(MOST + 1)
        .map(|(agent, id)| Choosable {
            label: Shown::of(agent.label()),
            called: agent.display_name.as_ref().map(Shown::of),
            lineage: Shown::of(snapshot.lineage(&agent.id)),
            id: id.map(Shown::of),
        })
        .collect()
}

/// What the script says that a yes is to.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Ask {
    namespace: Namespace,
    user_code: UserCode,
    agent: Label,
    device: Thumbprint,
}

async fn options(app: Arc<App>, arrived: Arrived) -> Result<Answer, Failure> {
    let open = app.open()?;
    let entered = enter_call(&app, &open, arrived).await?;
    let ask: Ask = entered.json(&app, &open)?;
    let Entered {
        input, signed_in, ..
    } = entered;
    let context = Context {
        app: &app,
        open: &open,
        input: &input,
    };
    let draft = DeviceGrantDraft {
        namespace: ask.namespace,
        agent: ask.agent,
        code: ask.user_code,
        device: ask.device,
    };
    Answer::json(&device_options(&context, signed_in.caller, draft)?)
}

/// What a passkey signed.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Signed {
    credential: AssertedCredential,
}

/// What the form says that a yes is to.
fn draft(form: &Form) -> Result<DeviceGrantDraft, Failure> {
    Ok(DeviceGrantDraft {
        namespace: required(form, NAMESPACE)?,
        agent: required(form, AGENT)?,
        code: required(form, USER_CODE)?,
        device: required(form, DEVICE)?,
    })
}

/// Lets the device in. No address may have its code, so it is shown right here, once: sent
/// again it was answered already.
async fn approve(app: Arc<App>, arrived: Arrived) -> Result<Answer, Failure> {
    let open = app.open()?;
    let entered = match enter(&app, &open, arrived).await? {
        Ok(entered) => entered,
        Err(answer) => return Ok(answer),
    };
    let fields = [USER_CODE, NAMESPACE, AGENT, DEVICE, ANSWER];
    let form = entered.form(&app, &open, &fields)?;
    let (to, of) = (draft(&form)?, draft(&form)?);
    let signed: Option<Signed> = answered(&form)?;
    let Entered {
        input,
        snapshot,
        signed_in,
        ..
    } = entered;
    let frame = frame(&snapshot, &signed_in.caller, &signed_in.csrf, Place::Device);
    let context = Context {
        app: &app,
        open: &open,
        input: &input,
    };
    let credential = signed.map(|signed| signed.credential);
    let grant = approve_device(&context, signed_in.caller, to, credential).await?;
    let mut page = shown(frame, (&of.namespace, &of.code), &grant, input.now);
    page.becomes = Some(Shown::of(&of.agent));
    Answer::page(&page)
}
