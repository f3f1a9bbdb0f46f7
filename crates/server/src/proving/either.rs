//! Who made a request: by a proof of our own or by one of another system's profiles,
//! told from each other by their shape and never tried one after the other.

use super::weak::record_weak;
use super::{LOCAL, Lines, addressed, held_back, not_by_browser, refused_by, shown_api_key, view};
use crate::app::{App, Open};
use crate::key_server::KeysNow;
use crate::problem::Failure;
use crate::rates::{count_agent, count_weak};
use crate::serve::Input;
use procura_directory::Snapshot;
use procura_proof::foreign::{Allowed, ForeignCaller, Shown, recognise};
use procura_proof::{Caller, Case, Profile, Refusal};

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
    not_by_browser(app, open, input)?;
    let snapshot = open.directory.snapshot();
    let proven = examine(app, open, &snapshot, (&authority, input), allowed)
        .await
        .map_err(|unproven| unproven.record(app, open, &snapshot, input))?;
    charge(app, open, &snapshot, input, &proven).await?;
    Ok(proven)
}

/// What follows from each good proof, whatever is asked with it: it counts against its
/// agent, and a weak one stands in the record before anything comes of it.
pub(crate) async fn charge(
    app: &App,
    open: &Open,
    snapshot: &Snapshot,
    input: &Input,
    proven: &Proven,
) -> Result<(), Failure> {
    let caller = match proven {
        Proven::Native(caller) => return count_agent(app, snapshot, caller.actor(), input),
        Proven::Foreign(caller) => caller,
    };
    if let Some(bound) = snapshot.foreign(caller.agent()) {
        let count = if caller.foreign().is_weak() {
            count_weak
        } else {
            count_agent
        };
        count(app, snapshot, &bound.actor, input)?;
    }
    record_weak(app, open, snapshot, input, caller).await
}

/// The proof of a request to `authority`, which is ours, and whether its agent may be
/// where it comes from. Nothing is recorded.
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
            let proven = open.verifier.finish(pending).await;
            let proven = proven.and_then(|caller| held_back(open, snapshot, caller));
            let api_key = shown_api_key(&input.parts.headers);
            proven.map(|caller| Proven::Native(caller.showing(api_key)))
        }
        Shown::Foreign(profile) => {
            let pending = {
                let view = view(app, authority, &headers, input);
                let keys = KeysNow::of(profile, app, open, snapshot, input.now);
                open.foreign.prepare(&keys, &view, allowed, input.now, peer)
            };
            let pending = pending.map_err(Unproven::of(Some(shown)))?;
            let proven = open.foreign.finish(pending).await;
            proven.and_then(|caller| placed(open, snapshot, caller))
        }
    }
    .map_err(Unproven::of(Some(shown)))?;
    app.metrics.accepted(match &proven {
        Proven::Native(caller) => caller.profile().as_str(),
        Proven::Foreign(caller) => caller.profile().as_str(),
    });
    Ok(proven)
}

/// Refuses an agent that is not at one of its addresses, and one that is in quarantine;
/// an id that stands for nobody has no addresses to be at.
fn placed(open: &Open, snapshot: &Snapshot, caller: ForeignCaller) -> Result<Proven, Refusal> {
    let bound = snapshot.foreign(caller.agent());
    let device = bound.and_then(|bound| bound.device);
    if open
        .honey
        .holds(snapshot, device.as_ref(), Some(caller.agent()))
    {
        return Err(Refusal {
            device,
            actor: bound.map(|bound| bound.actor),
            agent: Some(caller.agent().clone()),
            ..Case::AgentQuarantined.into()
        });
    }
    match bound {
        Some(bound) if !snapshot.admits(&bound.actor, caller.peer()) => Err(Refusal {
            actor: Some(bound.actor),
            agent: Some(caller.agent().clone()),
            ..Case::AddressRefused.into()
        }),
        _ => Ok(Proven::Foreign(caller)),
    }
}
