//! Opening the vault at start without anybody, with sources that need nobody (`auto_unseal`
//! of the configuration): in their order, again and again with longer pauses while a
//! wrapper is not there, and beside all else: the listeners are up, and anybody who has
//! another source can open the vault meanwhile.
//!
//! Two things are kept in the home, across restarts. What somebody sealed on purpose stays
//! sealed until somebody unseals it. And a PIN that a token refused is not tried again by
//! itself, since a few wrong ones lock a token.

mod rounds;
mod tries;

pub(crate) use rounds::run;
pub(crate) use tries::Tries;

use procura_edge::private_file;
use procura_types::Label;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

const FILE: &str = "auto-unseal.json";

/// What is kept in the home.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    /// Somebody sealed the vault on purpose.
    sealed: bool,
    /// Sources whose PIN was refused, or is being tried: what becomes of a process in the
    /// midst of a try nobody knows.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    refused: BTreeSet<Label>,
}

struct State {
    kept: Kept,
    /// Sources whose PIN this process is trying.
    trying: BTreeSet<Label>,
    /// What is said about it while it is sealed.
    told: Option<String>,
}

/// How the vault opens by itself.
pub(crate) struct AutoUnseal {
    file: PathBuf,
    state: Mutex<State>,
    /// Somebody sealed on purpose: what is under way ends.
    held: Notify,
}

impl AutoUnseal {
    /// Of a home. What cannot be read there counts as sealed on purpose.
    pub(crate) fn of(home: &Path) -> Self {
        let file = home.join(FILE);
        let kept = match std::fs::read(&file) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(|error| error.to_string()),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Kept::default()),
            Err(error) => Err(error.to_string()),
        };
        let kept = kept.unwrap_or_else(|error| {
            tracing::error!(%error, file = %file.display(), "what is kept of unsealing cannot be read: the vault waits for somebody");
            Kept {
                sealed: true,
                ..Kept::default()
            }
        });
        Self {
            file,
            state: Mutex::new(State {
                kept,
                trying: BTreeSet::new(),
                told: None,
            }),
            held: Notify::new(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes what is kept, on disk before it counts as done.
    fn keep(&self, change: impl FnOnce(&mut Kept)) {
        if let Err(error) = self.write(&mut self.state(), change) {
            tracing::error!(%error, file = %self.file.display(), "what is kept of unsealing could not be written: it is forgotten at the next start");
        }
    }

    fn write(&self, state: &mut State, change: impl FnOnce(&mut Kept)) -> Result<(), String> {
        let before = state.kept.clone();
        change(&mut state.kept);
        if state.kept == before {
            return Ok(());
        }
        let bytes = serde_json::to_vec(&state.kept).map_err(|error| error.to_string())?;
        private_file::replace(&self.file, &bytes).map_err(|error| error.to_string())
    }

    /// Somebody sealed on purpose.
    pub(crate) fn hold(&self) {
        self.keep(|kept| kept.sealed = true);
        self.state().told = None;
        self.held.notify_waiters();
    }

    /// Somebody unsealed.
    pub(crate) fn release(&self) {
        self.keep(|kept| kept.sealed = false);
        self.state().told = None;
    }

    /// Whether it waits for somebody.
    pub(crate) fn is_held(&self) -> bool {
        self.state().kept.sealed
    }

    fn tell(&self, what: Option<String>) {
        self.state().told = what;
    }

    /// Why the vault has not opened by itself. Strangers see this: what a wrapper said is
    /// in the log alone.
    pub(crate) fn problem(&self, configured: bool) -> Option<String> {
        let state = self.state();
        if configured && state.kept.sealed {
            return Some(
                "auto_unseal: somebody sealed the vault on purpose; it waits for procura unseal"
                    .to_owned(),
            );
        }
        state.told.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_sealed_on_purpose_stays_so_across_restarts() {
        let home = tempfile::tempdir().unwrap();
        let auto = AutoUnseal::of(home.path());
        assert!(!auto.is_held());
        assert_eq!(auto.problem(true), None);
        auto.hold();
        let again = AutoUnseal::of(home.path());
        assert!(again.is_held());
        assert_eq!(
            again.problem(true).unwrap(),
            "auto_unseal: somebody sealed the vault on purpose; it waits for procura unseal"
        );
        assert_eq!(again.problem(false), None);
        again.release();
        assert!(!AutoUnseal::of(home.path()).is_held());
    }

    #[test]
    fn what_cannot_be_read_waits_for_somebody() {
        let home = tempfile::tempdir().unwrap();
        for text in ["", "{}", "{\"sealed\":0}", "{\"sealed\":false,\"x\":1}"] {
            std::fs::write(home.path().join(FILE), text).unwrap();
            assert!(AutoUnseal::of(home.path()).is_held(), "{text}");
        }
    }
}
