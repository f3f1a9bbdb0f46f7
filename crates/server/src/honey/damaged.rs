//! Requests of which nobody can tell what they asked for, since a row that says it is
//! damaged. The watch goes on with the others, and tells people once of each such place;
//! and once of requests that were kept before and cannot be read.

use super::asked::{Asked, Missed};
use procura_directory::{Snapshot, Suspect};
use procura_store::StoreError;
use procura_types::{Namespace, ProjectName};
use procura_vault::Untold;
use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Most places that are remembered as told; beyond that they are told of again.
const REMEMBERED: usize = 4096;

/// Who asked for what.
type Place = (Suspect, Namespace, ProjectName);

#[derive(Default)]
struct Known {
    told: HashSet<Place>,
    waiting: Vec<Untold>,
    kept: Kept,
}

/// Whether people are told that of what was kept some cannot be read.
#[derive(Default, PartialEq, Eq)]
enum Kept {
    #[default]
    Whole,
    Waits,
    Told,
}

/// What waits to be told, and what was told.
#[derive(Default)]
pub(super) struct Damaged(Mutex<Known>);

impl Damaged {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes in a request that cannot be told about.
    pub(super) fn add(&self, snapshot: &Snapshot, missed: &Missed) {
        // Whether a path is a decoy is in memory; rows are read for names alone.
        let Asked::Names(query) = &missed.asked else {
            return;
        };
        let who = &missed.who;
        let (namespace, project) = (query.namespace.clone(), query.project.clone());
        let mut known = self.known();
        if known.told.len() >= REMEMBERED {
            known.told.clear();
        }
        let place = (who.suspect.clone(), namespace.clone(), project.clone());
        if !known.told.insert(place) {
            return;
        }
        known.waiting.push(Untold {
            suspect: who.suspect.clone(),
            actor: who.actor,
            owner: snapshot
                .actor(&who.actor)
                .map_or(who.actor, |actor| actor.owner),
            profile: who.profile,
            session: who.session,
            ip: missed.ip,
            trace: missed.trace,
            namespace,
            project,
        });
    }

    /// Takes in that what was kept cannot be read on from somewhere, if so.
    pub(super) fn add_kept(&self, damaged: Option<&StoreError>) {
        let Some(error) = damaged else {
            return;
        };
        let mut known = self.known();
        if known.kept == Kept::Whole {
            tracing::error!(%error, "it cannot be told whether a honey secret was touched by what was kept");
            known.kept = Kept::Waits;
        }
    }

    /// Whether people are to be told of that.
    pub(super) fn kept_waits(&self) -> bool {
        self.known().kept == Kept::Waits
    }

    /// They were.
    pub(super) fn kept_told(&self) {
        self.known().kept = Kept::Told;
    }

    /// Whether something waits.
    pub(super) fn waits(&self) -> bool {
        let known = self.known();
        !known.waiting.is_empty() || known.kept == Kept::Waits
    }

    /// Takes out what waits.
    pub(super) fn take(&self) -> Vec<Untold> {
        std::mem::take(&mut self.known().waiting)
    }

    /// Puts back what could not be told.
    pub(super) fn put_back(&self, untold: Vec<Untold>) {
        self.known().waiting.extend(untold);
    }
}
