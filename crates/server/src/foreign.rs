//! Who made a request: by a proof of our own or by one of another system's profiles,
//! told from each other by their shape and never tried one after the other.

use crate::app::{App, Open};
use crate::key_server::KeysNow;
use crate::problem::{Failure, printable};
use crate::proving::{LOCAL, Lines, addressed, refused_by, view};
use crate::rates::{count_agent, count_weak};
use crate::serve::{Input, denial};
use procura_directory::Snapshot;
use procura_policy::{Action, Concerned, Op, Resource, authorize};
use procura_proof::foreign::{Allowed, ForeignCaller, Shown, recognise};
use procura_proof::{Caller, Case, Profile, Refusal};
use procura_record::{Details, Origin};
use procura_types::{ActorId, ForeignId, Namespace};

/// Who made a request.
pub(crate) enum Proven {
    /// An actor of ours.
    Native(Caller),
    /// An agent in another system's words. Which of ours it is, if any, says
    /// [`Caller::foreign`].
    Foreign(ForeignCaller),
}

/// A proof that is not good.
pub(crate) struct Unproven {
    refusal: Refusal,
    shown: Option<Shown>,
}

impl Unproven {
    fn of(shown: Option<Shown>) -> impl FnOnce(Refusal) -> Self {
        move |refusal| Self { refusal, shown }
    }

    /// The profile that it has the shape of, if any.
    pub(crate) const fn profile(&self) -> Option<&'static str> {
        match self.shown {
            Some(Shown::Native) => Some(Profile::Native.as_str()),
            Some(Shown::Foreign(profile)) => Some(profile.as_str()),
            None => None,
        }
    }

    /// What exactly is wrong.
    pub(crate) const fn refusal(&self) -> &Refusal {
        &self.refusal
    }

    /// Puts it into the record and words it for the caller.
    pub(crate) fn record(
        &self,
        app: &App,
        open: &Open,
        snapshot: &Snapshot,
        input: &Input,
    ) -> Failure {
        // Whatever a native proof says, the record has no profile for who is unknown.
        let profile = match self.shown {
            Some(Shown::Foreign(profile)) => profile.as_str(),
            Some(Shown::Native) | None => "none",
        };
        refused_by(profile, (app, open), snapshot, input, &self.refusal)
    }
}

/// Proves who sent a request, or records that it failed to. Of the foreign profiles
/// those are let in that `allowed` says; a weak one that is let in is recorded as such.
pub(crate) async fn prove(
    app: &App,
    open: &Open,
    input: &Input,
    allowed: &Allowed,
) -> Result<Proven, Failure> {
    let authority = addressed(app, open, input)?;
    let snapshot = open.directory.snapshot();
    let proven = examine(app, open, &snapshot, (&authority, input), allowed)
        .await
        .map_err(|unproven| unproven.record(app, open, &snapshot, input))?;
    match &proven {
        Proven::Native(caller) => count_agent(app, &snapshot, caller.actor(), input)?,
        Proven::Foreign(caller) => {
            if let Some(bound) = snapshot.foreign(caller.agent()) {
                if !snapshot.admits(&bound.actor, caller.peer()) {
                    let refusal = Refusal {
                        actor: Some(bound.actor),
                        agent: Some(caller.agent().clone()),
                        ..Case::AddressRefused.into()
                    };
                    let profile = caller.profile().as_str();
                    return Err(refused_by(profile, (app, open), &snapshot, input, &refusal));
                }
                let count = if caller.foreign().is_weak() {
                    count_weak
                } else {
                    count_agent
                };
                count(app, &snapshot, &bound.actor, input)?;
            }
            record_weak(app, open, &snapshot, input, caller).await?;
        }
    }
    Ok(proven)
}

/// The proof of a request to `authority`, which is ours. Nothing is recorded.
pub(crate) async fn examine(
    app: &App,
    open: &Open,
    snapshot: &Snapshot,
    (authority, input): (&str, &Input),
    allowed: &Allowed,
) -> Result<Proven, Unproven> {
    let headers = Lines(&input.parts.headers);
    let peer = input.peer.unwrap_or(LOCAL);
    let shown = recognise(&headers).map_err(|case: Case| Unproven::of(None)(case.into()))?;
    // What is looked at must not be held while the guard is asked.
    let proven = match shown {
        Shown::Native => {
            let pending = {
                let view = view(app, authority, &headers, input);
                open.verifier.prepare(snapshot, &view, input.now, peer)
            };
            let pending = pending.map_err(Unproven::of(Some(shown)))?;
            open.verifier.finish(pending).await.map(Proven::Native)
        }
        Shown::Foreign(profile) => {
            let pending = {
                let view = view(app, authority, &headers, input);
                let keys = KeysNow::of(profile, app, open, snapshot, input.now);
                open.foreign.prepare(&keys, &view, allowed, input.now, peer)
            };
            let pending = pending.map_err(Unproven::of(Some(shown)))?;
            open.foreign.finish(pending).await.map(Proven::Foreign)
        }
    }
    .map_err(Unproven::of(Some(shown)))?;
    app.metrics.accepted(match &proven {
        Proven::Native(caller) => caller.profile().as_str(),
        Proven::Foreign(caller) => caller.profile().as_str(),
    });
    Ok(proven)
}

/// An agent was let in by a proof that protects next to nothing.
struct WeakUse {
    namespace: Namespace,
    id: ForeignId,
    actor: ActorId,
}

impl Op for WeakUse {
    const ACTION: Action = Action::ForeignWeak;
    fn resource(&self) -> Resource {
        Resource::Foreign(self.namespace.clone(), self.id.clone())
    }
    fn concerned(&self) -> Concerned<'_> {
        Concerned {
            own: Some(&self.actor),
            ..Concerned::default()
        }
    }
}

/// Puts a weak proof into the record, before anything comes of it.
async fn record_weak(
    app: &App,
    open: &Open,
    snapshot: &Snapshot,
    input: &Input,
    proven: &ForeignCaller,
) -> Result<(), Failure> {
    let refused = |refusal| {
        refused_by(
            proven.profile().as_str(),
            (app, open),
            snapshot,
            input,
            &refusal,
        )
    };
    let Some(caller) = Caller::weak(proven, snapshot).map_err(refused)? else {
        return Ok(());
    };
    let actor = *caller.actor();
    let namespace = snapshot
        .actor(&actor)
        .and_then(|agent| agent.namespace().cloned());
    let op = WeakUse {
        namespace: namespace.ok_or_else(|| Failure::internal("an agent without a namespace"))?,
        id: proven.agent().clone(),
        actor,
    };
    let permit = authorize(open.recorder.decider(), snapshot, caller, op, input.now)
        .map_err(|(denied, _, _)| denial(denied))?;
    let parts = &input.parts;
    let details = Details {
        with: Some(format!(
            "{} {}",
            printable(parts.method.as_str()),
            printable(parts.uri.path())
        )),
        ..Details::default()
    };
    open.recorder
        .record(permit, Origin::new(input.trace), details)
        .await?;
    Ok(())
}
