//! Who touches decoys. What looks for a secret and does not find it is told here, decoy
//! or not, and is answered; whether it was a decoy is found out behind its back, so that
//! the answer takes as long for one as for the other ([ADR 25](../../../docs/adr/0025-honey-secrets.md)).
//!
//! From the next request on a device that touched one is refused, by what is in memory;
//! the quarantine that lasts is committed a moment later, at a time that does not tell
//! what it followed.

mod asked;
mod bait;
mod state;

pub(crate) use bait::{bait_key, bait_of_read, bait_run, hand_key};
pub(crate) use state::HoneyParts;

use crate::app::Open;
use crate::input::Input;
use crate::problem::{Code, Failure};
use asked::{Asked, Missed, Who, key_asked, names_asked, path_asked};
use procura_directory::{HoneyRecord, Snapshot};
use procura_policy::Action;
use procura_proof::Caller;
use procura_record::Running;
use procura_types::{ForeignId, Namespace, SecretPath, Thumbprint};
use state::State;
use std::sync::Arc;

/// Notices touches.
pub struct HoneyWatch {
    state: Arc<State>,
    running: Running,
}

impl HoneyWatch {
    /// Begins at once. Must be called inside a Tokio runtime.
    pub(crate) fn start(parts: HoneyParts) -> Self {
        let state = Arc::new(State::new(parts));
        let work = Arc::clone(&state);
        Self {
            state,
            running: Running::start(|stopping| work.run(stopping)),
        }
    }

    /// Stops; on return it holds the vault no longer, and what was touched is recorded
    /// if it can be.
    pub(crate) async fn stop(&self) {
        self.running.stop().await;
    }

    /// Whether what a caller proved may not act: it is in quarantine, or it touched a
    /// decoy just now.
    pub(crate) fn holds(
        &self,
        snapshot: &Snapshot,
        device: Option<&Thumbprint>,
        id: Option<&ForeignId>,
    ) -> bool {
        self.state.suspects(device, id) || snapshot.is_quarantined(device, id)
    }

    /// What was asked for by what is in quarantine: it counts.
    pub(crate) fn asked_again(
        &self,
        open: &Open,
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
        let (how, asked) = match (path_asked(input), names_asked(input)) {
            (Some((namespace, path)), _) => {
                let how = match input.parts.method {
                    http::Method::PUT => Action::SecretWrite,
                    http::Method::DELETE => Action::SecretDelete,
                    _ => Action::SecretRead,
                };
                (how, Asked::Path(namespace, path))
            }
            (None, Some(query)) => (Action::RunDeliver, Asked::Names(query)),
            (None, None) => match key_asked(&snapshot, &who.actor, input.parts.uri.path()) {
                Some((namespace, path)) => (Action::KeyRead, Asked::Path(namespace, path)),
                None => return,
            },
        };
        self.push(who, how, asked, input);
    }

    /// Somebody looked for a secret that is not there.
    pub(crate) fn missed(
        &self,
        who: Who,
        how: Action,
        place: (Namespace, SecretPath),
        input: &Input,
    ) {
        self.push(who, how, Asked::Path(place.0, place.1), input);
    }

    /// An agent asked for a key that is not there.
    pub(crate) fn missed_key(
        &self,
        snapshot: &Snapshot,
        caller: &Caller,
        path: Option<SecretPath>,
        input: &Input,
    ) {
        if !snapshot.has_honey() {
            return;
        }
        let actor = snapshot.actor(caller.actor());
        let namespace = actor.and_then(|actor| actor.namespace().cloned());
        if let (Some(who), Some(namespace), Some(path)) = (Who::of(caller), namespace, path) {
            self.missed(who, Action::KeyRead, (namespace, path), input);
        }
    }

    fn push(&self, who: Who, how: Action, asked: Asked, input: &Input) {
        self.state.push(Missed {
            who,
            how: how.as_str(),
            asked,
            time: input.now,
            ip: input.peer,
            trace: input.trace,
        });
    }

    /// The decoys that an operation on several secrets is about to touch: those in its
    /// namespace that `is_meant` says.
    pub(crate) fn meant(
        &self,
        snapshot: &Snapshot,
        caller: &Caller,
        namespace: &Namespace,
        is_meant: impl Fn(&SecretPath) -> bool,
    ) -> Meant {
        let found = snapshot.honey_of(namespace);
        Meant {
            who: Who::of(caller),
            decoys: found
                .filter(|honey| is_meant(&honey.path))
                .cloned()
                .collect(),
        }
    }

    /// They were touched.
    pub(crate) fn touched(&self, meant: Meant, action: Action, input: &Input) {
        let Meant { who, decoys } = meant;
        let Some(who) = who else {
            return;
        };
        let snapshot = self.state.parts.directory.snapshot();
        for honey in decoys {
            let how = action.as_str();
            self.state.touched(&snapshot, &who, how, &honey, input);
        }
    }

    /// What may be touched by a request that is about to be served; nothing while there
    /// is no decoy.
    pub(crate) fn watching(
        &self,
        snapshot: &Snapshot,
        caller: &Caller,
        action: Action,
    ) -> Option<Watching> {
        if !snapshot.has_honey() {
            return None;
        }
        Some(Watching {
            who: Who::of(caller)?,
            action,
        })
    }
}

/// Decoys that an operation on several secrets touches, if it has its effect.
pub(crate) struct Meant {
    who: Option<Who>,
    decoys: Vec<Arc<HoneyRecord>>,
}

/// A request under way that may touch a decoy.
pub(crate) struct Watching {
    who: Who,
    action: Action,
}

impl Watching {
    /// It is answered, with this refusal or with success. What was asked for by names
    /// counts whatever came of it: the names that found something are told apart later.
    /// `before` is the directory from before it.
    pub(crate) fn ended(
        self,
        honey: &HoneyWatch,
        before: &Snapshot,
        input: &Input,
        refusal: Option<&Failure>,
    ) {
        let Self { who, action } = self;
        match action {
            Action::RunDeliver | Action::ProjectTokenIssue | Action::ProjectTokenUse => {
                if let Some(query) = names_asked(input) {
                    honey.push(who, action, Asked::Names(query), input);
                }
            }
            // What is written takes the place of a decoy, so it is looked at as it was.
            Action::SecretWrite if refusal.is_none() => {
                let found = path_asked(input)
                    .and_then(|(namespace, path)| before.honey_at(&namespace, &path).cloned());
                if let Some(found) = found {
                    honey
                        .state
                        .touched(before, &who, action.as_str(), &found, input);
                }
            }
            _ if refusal.is_some_and(|failure| failure.code == Code::NotFound) => {
                if let Some((namespace, path)) = path_asked(input) {
                    honey.push(who, action, Asked::Path(namespace, path), input);
                }
            }
            _ => {}
        }
    }
}
