//! Who touches decoys. What looks for a secret and does not find it is told here, decoy
//! or not, and is answered; whether it was a decoy is found out behind its back, so that
//! the answer takes as long for one as for the other ([ADR 25](../../../docs/adr/0025-honey-secrets.md)).
//!
//! From the next request on a device that touched one is refused, by what is in memory;
//! the quarantine that lasts is committed a moment later, at a time that does not tell
//! what it followed.

mod asked;
mod bait;
mod damaged;
mod state;

pub(crate) use bait::{bait_key, bait_of_read, bait_run, hand_key};
pub(crate) use state::HoneyParts;

use crate::app::Open;
use crate::input::Input;
use crate::problem::Failure;
use asked::{Asked, Missed, Who, key_asked, looked_for, path_asked};
use procura_authority::{HoneyQuery, MAX_NAMES};
use procura_directory::{HoneyRecord, Snapshot};
use procura_policy::Action;
use procura_proof::Caller;
use procura_record::Running;
use procura_store::StoreError;
use procura_types::{EnvName, ForeignId, Namespace, SecretPath, Thumbprint};
use procura_vault::knows_honey;
use state::State;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Notices touches.
pub struct HoneyWatch {
    state: Arc<State>,
    running: Running,
}

impl HoneyWatch {
    /// Begins at once. Must be called inside a Tokio runtime.
    ///
    /// # Errors
    /// When it cannot be read what was asked for before the process ended.
    pub(crate) fn start(parts: HoneyParts) -> Result<Self, StoreError> {
        let state = Arc::new(State::new(parts)?);
        let work = Arc::clone(&state);
        Ok(Self {
            state,
            running: Running::start(|stopping| work.run(stopping)),
        })
    }

    /// Stops; on return it holds the vault no longer, and what was touched is recorded
    /// if it can be.
    pub(crate) async fn stop(&self) {
        self.running.stop().await;
    }

    /// Whether what a caller proved may not act at all: it is in quarantine, or it touched
    /// a decoy just now, and was not let out since. What a device on hold may do is for the
    /// decision.
    pub(crate) fn holds(
        &self,
        snapshot: &Snapshot,
        device: Option<&Thumbprint>,
        id: Option<&ForeignId>,
    ) -> bool {
        let on_hold = device.is_some_and(|device| snapshot.on_hold(device).is_some());
        self.state.suspects(snapshot, device, id)
            || (snapshot.is_quarantined(device, id) && !on_hold)
    }

    /// What was asked for by what is in quarantine: it counts. `seq` is the sequence of the
    /// directory that it was refused by: it may be let out by now.
    pub(crate) fn asked_again(
        &self,
        open: &Open,
        seq: u64,
        input: &Input,
        refusal: &procura_proof::Refusal,
        profile: &'static str,
    ) {
        let snapshot = open.directory.snapshot();
        if !snapshot.has_honey() {
            return;
        }
        let Some(who) = Who::of_held(refusal, profile) else {
            return;
        };
        let (how, asked) = match (path_asked(input), looked_for(input)) {
            (Some((namespace, path)), _) => {
                let how = match input.parts.method {
                    http::Method::PUT => Action::SecretWrite,
                    http::Method::DELETE => Action::SecretDelete,
                    _ => Action::SecretRead,
                };
                (how, Asked::Path(namespace, path))
            }
            (None, Some(query)) if !query.names.is_empty() => {
                (Action::RunDeliver, Asked::Names(query))
            }
            (None, Some(_)) => return,
            (None, None) => match key_asked(&snapshot, &who.actor, input.parts.uri.path()) {
                Some((namespace, path)) => (Action::KeyRead, Asked::Path(namespace, path)),
                None => return,
            },
        };
        // It is refused already: what is lost with the process is a count.
        self.state.push(Missed::new(who, how, asked, seq, input));
    }

    /// Somebody looked for a secret that is not there, or was handed a decoy. On return
    /// that is durable, and nothing was answered yet: neither is a touch lost with the
    /// process, nor does it take longer than what is none.
    ///
    /// # Errors
    /// When it cannot be kept; then nothing is answered but that.
    pub(crate) async fn missed(
        &self,
        who: Who,
        how: Action,
        place: (Namespace, SecretPath),
        input: &Input,
    ) -> Result<(), Failure> {
        self.notice(who, how, Asked::Path(place.0, place.1), input)
            .await
    }

    /// As [`Self::missed`], of an agent that asked for a key.
    ///
    /// # Errors
    /// As of [`Self::missed`].
    pub(crate) async fn missed_key(
        &self,
        snapshot: &Snapshot,
        caller: &Caller,
        path: Option<SecretPath>,
        input: &Input,
    ) -> Result<(), Failure> {
        let actor = snapshot.actor(caller.actor());
        let namespace = actor.and_then(|actor| actor.namespace().cloned());
        let place = namespace.zip(path);
        self.missed_path(snapshot, caller, Action::KeyRead, place, input)
            .await
    }

    /// As [`Self::missed`], of a caller that named a path.
    ///
    /// # Errors
    /// As of [`Self::missed`].
    pub(crate) async fn missed_path(
        &self,
        snapshot: &Snapshot,
        caller: &Caller,
        how: Action,
        place: Option<(Namespace, SecretPath)>,
        input: &Input,
    ) -> Result<(), Failure> {
        if !snapshot.has_honey() {
            return Ok(());
        }
        if let (Some(who), Some(place)) = (Who::of(caller), place) {
            self.missed(who, how, place, input).await?;
        }
        Ok(())
    }

    async fn notice(
        &self,
        who: Who,
        how: Action,
        asked: Asked,
        input: &Input,
    ) -> Result<(), Failure> {
        let seq = self.state.parts.directory.snapshot().seq();
        let missed = Missed::new(who, how, asked, seq, input);
        let state = Arc::clone(&self.state);
        whoever_waits(async move {
            for kept in state.keep(vec![missed]).await? {
                state.push(kept);
            }
            Ok(())
        })
        .await
    }

    /// The decoys that an operation on several secrets is about to touch: those in its
    /// namespace that `is_meant` says. Who may know of decoys touches none.
    pub(crate) fn meant(
        &self,
        snapshot: &Snapshot,
        caller: &Caller,
        namespace: &Namespace,
        is_meant: impl Fn(&HoneyRecord) -> bool,
    ) -> Meant {
        let found = snapshot.honey_of(namespace);
        let knows = knows_honey(snapshot, caller.actor());
        Meant {
            who: Who::of(caller).filter(|_| !knows),
            decoys: found.filter(|honey| is_meant(honey)).cloned().collect(),
        }
    }

    /// Makes the touches durable before the operation has its effect. Whoever sees that
    /// this takes time has touched one.
    ///
    /// # Errors
    /// When they cannot be kept; then nothing is to be done.
    pub(crate) async fn foresee(
        &self,
        meant: Meant,
        how: Action,
        input: &Input,
    ) -> Result<Foreseen, Failure> {
        let Meant { who, decoys } = meant;
        let Some(who) = who.filter(|_| !decoys.is_empty()) else {
            return Ok(self.nothing());
        };
        let seq = self.state.parts.directory.snapshot().seq();
        // By its own name: the operation may take it away from its path.
        let missed = decoys
            .iter()
            .map(|honey| Missed::new(who.clone(), how, Asked::Decoy(honey.canary), seq, input));
        let missed: Vec<Missed> = missed.collect();
        let state = Arc::clone(&self.state);
        whoever_waits(async move {
            let kept = state.keep(missed).await?;
            let touches = kept.into_iter().zip(decoys).collect();
            Ok(Foreseen { state, touches })
        })
        .await
    }

    fn nothing(&self) -> Foreseen {
        Foreseen {
            state: Arc::clone(&self.state),
            touches: Vec::new(),
        }
    }

    /// What may be touched by a request that is about to be served; nothing while there
    /// is no decoy. A write in the place of one is durable as a touch from here on.
    ///
    /// # Errors
    /// When that cannot be kept.
    pub(crate) async fn watching(
        &self,
        snapshot: &Snapshot,
        caller: &Caller,
        action: Action,
        input: &Input,
    ) -> Result<Option<Watching>, Failure> {
        if !snapshot.has_honey() {
            return Ok(None);
        }
        let Some(who) = Who::of(caller) else {
            return Ok(None);
        };
        let mut foreseen = self.nothing();
        // What is written takes the place of a decoy, so it is looked at as it was.
        if action == Action::SecretWrite
            && let Some((namespace, path)) = path_asked(input)
        {
            let meant = self.meant(snapshot, caller, &namespace, |honey| honey.path == path);
            foreseen = self.foresee(meant, action, input).await?;
        }
        Ok(Some(Watching {
            who,
            action,
            foreseen,
        }))
    }
}

/// Goes on when the request is dropped, since its client went: what is being kept would be
/// durable, and nobody would look at it until the next start.
async fn whoever_waits<T: Send + 'static>(
    keeping: impl Future<Output = Result<T, Failure>> + Send + 'static,
) -> Result<T, Failure> {
    tokio::spawn(keeping).await.map_err(Failure::internal)?
}

/// Decoys that an operation on several secrets is about to touch.
pub(crate) struct Meant {
    who: Option<Who>,
    decoys: Vec<Arc<HoneyRecord>>,
}

/// Touches that are durable. They count when this is dropped, whatever came of the
/// operation: its request may be dropped half way, since its client went, and what it had
/// begun has its effect all the same.
#[must_use = "the decoys are touched when it is dropped"]
pub(crate) struct Foreseen {
    state: Arc<State>,
    touches: Vec<(Missed, Arc<HoneyRecord>)>,
}

impl Drop for Foreseen {
    fn drop(&mut self) {
        if self.touches.is_empty() {
            return;
        }
        let snapshot = self.state.parts.directory.snapshot();
        for (missed, honey) in self.touches.drain(..) {
            self.state.touched(&snapshot, &missed, &honey);
        }
    }
}

/// Names that somebody asks a project for in another shape than ours.
pub(crate) struct AsksNames {
    who: Who,
    how: Action,
    query: HoneyQuery,
}

impl AsksNames {
    /// As far as there may be decoys among them: what is no name finds nothing, and of too
    /// many none is looked for.
    pub(crate) fn of(
        snapshot: &Snapshot,
        caller: &Caller,
        how: Action,
        mut query: HoneyQuery,
    ) -> Option<Self> {
        let all = query.names.is_empty();
        if !snapshot.has_honey() || query.names.len() > MAX_NAMES {
            return None;
        }
        query.names.retain(|name| name.parse::<EnvName>().is_ok());
        let who = Who::of(caller).filter(|_| all || !query.names.is_empty())?;
        Some(Self { who, how, query })
    }

    /// They were refused, or some of them were not there, as of [`HoneyWatch::missed`].
    ///
    /// # Errors
    /// When it cannot be kept; then nothing is answered but that.
    pub(crate) async fn missed(
        self,
        honey: &HoneyWatch,
        input: &Input,
        refused: bool,
    ) -> Result<(), Failure> {
        let Self { who, how, query } = self;
        let asked = Asked::Names(HoneyQuery { refused, ..query });
        honey.notice(who, how, asked, input).await
    }
}

/// A request under way that may touch a decoy.
pub(crate) struct Watching {
    who: Who,
    action: Action,
    foreseen: Foreseen,
}

impl Watching {
    /// It came out so, with this refusal or with success, and is not answered yet. What
    /// was asked for by names counts where it was refused, or where some of it was not
    /// there: names that found something are told apart later. So does a write, which
    /// finds out by its refusals as well, and whatever else names a path and is refused.
    ///
    /// # Errors
    /// When it cannot be kept; then nothing is answered but that.
    pub(crate) async fn ended(
        self,
        honey: &HoneyWatch,
        input: &Input,
        refusal: Option<&Failure>,
    ) -> Result<(), Failure> {
        let Self {
            who,
            action,
            foreseen,
        } = self;
        let refused = refusal.is_some();
        match action {
            // Whoever may not know of decoys is refused there for every path alike.
            Action::HoneyPlant | Action::HoneyRemove => {}
            Action::RunDeliver | Action::ProjectTokenIssue => {
                let unfound = input.progress.unfound.load(Ordering::Relaxed);
                if let Some(query) = looked_for(input).filter(|_| refused || unfound) {
                    let asked = Asked::Names(HoneyQuery { refused, ..query });
                    honey.notice(who, action, asked, input).await?;
                }
            }
            Action::SecretWrite => drop(foreseen),
            _ if refused => {
                if let Some((namespace, path)) = path_asked(input) {
                    let asked = Asked::Path(namespace, path);
                    honey.notice(who, action, asked, input).await?;
                }
            }
            _ => {}
        }
        Ok(())
    }
}
