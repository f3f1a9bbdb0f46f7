//! Replay guards whose claims outlive the process (`protocol.md` §3.3): a journal of this
//! process alone, in `journal`, and the memory that several verifiers share, in `shared`.

mod journal;
mod shared;

pub use journal::{GuardError, JournalGuard, boot_id, journal_files};
#[cfg(any(test, feature = "fake"))]
pub use shared::LocalRedis;
pub use shared::{GuardServer, GuardUrl, SharedFault, SharedMemory, Sharing};

use procura_proof::{Limits, Windows};

/// Which journal of a home: for which proofs, and in which files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Of {
    /// Native proofs and sessions: `replay.journal.*`.
    Native,
    /// The profiles of others: `replay-foreign.journal.*`.
    Foreign,
}

impl Of {
    /// How much is remembered for one key. Foreign proofs live so much longer than
    /// native ones that for nearly the same rate there are four times as many: some
    /// 5,500 a second for ever, and 13,000 for five minutes.
    #[must_use]
    pub fn limits(self) -> Limits {
        match self {
            Self::Native => Limits::default(),
            Self::Foreign => Limits {
                nonces: 1 << 22,
                ..Limits::default()
            },
        }
    }

    /// The windows of the proofs.
    #[must_use]
    pub const fn windows(self) -> Windows {
        match self {
            Self::Native => Windows::NATIVE,
            Self::Foreign => Windows::FOREIGN,
        }
    }
}

/// Whether the home was served before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// It was made just now, so no journal is expected.
    FirstEver,
    /// It was; a journal that is not there was lost.
    Again,
}

/// Why the claims of the former process are not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lost {
    /// The machine was restarted since; what was written may not have reached
    /// the disk.
    Restarted,
    /// A segment is missing or damaged, or claims could not be written to it.
    Damaged,
}
