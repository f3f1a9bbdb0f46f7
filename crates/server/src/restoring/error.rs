//! Why a backup is not restored, or a restored home not used.

use procura_store::backup::BackupFault;
use procura_store::{CommitError, OpenError, StoreError};
use procura_types::{InstallationId, Label};
use procura_vault::{SealError, VaultError};
use std::io;
use std::path::PathBuf;

/// Why a backup is not restored, or a restored home not used. What it was made in is as it
/// was before.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The bytes of the file.
    #[error("{path}: {fault}")]
    File {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        fault: BackupFault,
    },
    /// It is a copy of the ledger alone, or the other way round.
    #[error("{path} is {is}, where {wanted} is needed")]
    OtherKind {
        /// Which file.
        path: PathBuf,
        /// What it is.
        is: &'static str,
        /// What is needed.
        wanted: &'static str,
    },
    /// The place for the home is taken, or cannot be used.
    #[error("{path}: {problem}")]
    Home {
        /// Which directory.
        path: PathBuf,
        /// Why.
        problem: String,
    },
    /// A file of another installation.
    #[error("{path} is of installation {found}, not of {expected}")]
    OtherInstallation {
        /// Which file.
        path: PathBuf,
        /// Whose is wanted.
        expected: InstallationId,
        /// Whose it is.
        found: InstallationId,
    },
    /// There is nothing here that was restored.
    #[error("{0} was not restored from a backup, or is activated already")]
    NotRestored(PathBuf),
    /// The tag is not by the vault that the backup opens to.
    #[error("{0} was not made by the vault that it claims to be of")]
    NotOurs(PathBuf),
    /// It opens, and is not whole.
    #[error("what was restored is not whole: {}", .0.join("; "))]
    NotWhole(Vec<String>),
    /// The record does not reach the highest checkpoint that is known.
    #[error(
        "the record ends at entry {reached}, and a checkpoint over {known} entries is known: what is between is missing"
    )]
    TooShort {
        /// Entries that there are.
        reached: u64,
        /// Entries of the highest checkpoint.
        known: u64,
    },
    /// A checkpoint is of a record that went another way.
    #[error("the checkpoint over {size} entries ({from}) is of a record that went another way")]
    Forked {
        /// How many entries it is over.
        size: u64,
        /// Where it comes from.
        from: String,
    },
    /// A checkpoint that the record's key did not sign.
    #[error("{from}: {problem}")]
    Checkpoint {
        /// Where it comes from.
        from: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A checkpoint that somebody remembers and the keys of the backup do not open: the key
    /// turned after the backup, or it is of another record.
    #[error(
        "{from} does not open with the keys of the backup ({problem}): the record's key turned after the backup, or it is a checkpoint of another record"
    )]
    Unread {
        /// Where it comes from.
        from: String,
        /// What is wrong with it.
        problem: String,
    },
    /// Copies of the ledger that do not continue each other.
    #[error("{path} begins at entry {found}, and the record reaches {expected}: a copy is missing")]
    Hole {
        /// Which file.
        path: PathBuf,
        /// Where it would have to begin, at the latest.
        expected: u64,
        /// Where it begins.
        found: u64,
    },
    /// Nothing says that the backup is all that was ever signed.
    #[error(
        "nothing says how far the record went after the backup: no copy of the ledger goes beyond its {0} entries, and a checkpoint that does not either shows nothing of what came later"
    )]
    NothingKnown(u64),
    /// Nobody would be left to let anybody go on: every device of a steward would be
    /// revoked or held.
    #[error(
        "no device of a steward could act in it any more, so nobody could let anybody go on{}", as_reason(.because)
    )]
    NobodyLeft {
        /// The entries because of which somebody is held.
        because: Vec<String>,
        /// Devices of stewards that are held, and no more than that.
        held: Vec<String>,
    },
    /// An activation has begun, and another is wanted now.
    #[error("an activation of this home has begun and was broken off: {0}")]
    Begun(String),
    /// Whoever was named to go on, or a key that was brought, cannot.
    #[error("{0}")]
    NotChosen(String),
    /// What is to be ended is not there, or has ended.
    #[error("there is nothing to end")]
    Nothing,
    /// The vault.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// Nothing says where a token, a chip or a service is.
    #[error("{why}")]
    Unplaced {
        /// The unseal source that it keeps.
        name: Label,
        /// Which place is not known.
        why: String,
        /// What a configuration has to have, but for the place itself.
        lines: String,
    },
    /// What was brought opens nothing, as a server would word it.
    #[error("{0}")]
    Refused(String),
    /// The store.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// Reading or writing the store.
    #[error("{}", with_cause(.0))]
    Store(StoreError),
    /// A file.
    #[error("{what}: {cause}")]
    Io {
        /// What was done.
        what: String,
        /// Why it failed.
        cause: io::Error,
    },
    /// Anything that should not happen.
    #[error("{0}")]
    Internal(String),
}

fn as_reason(entries: &[String]) -> String {
    match entries {
        [] => String::new(),
        entries => format!(" ({})", entries.join("; ")),
    }
}

fn with_cause(error: &StoreError) -> String {
    match error {
        StoreError::Io(cause) => format!("{error}: {cause}"),
        other => other.to_string(),
    }
}

impl RestoreError {
    pub(super) fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |cause| Self::Io { what, cause }
    }

    pub(super) fn internal(error: impl std::fmt::Display) -> Self {
        Self::Internal(error.to_string())
    }
}

impl From<StoreError> for RestoreError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Corrupt { what } => Self::NotWhole(vec![what.to_string()]),
            other => Self::Store(other),
        }
    }
}

impl From<VaultError> for RestoreError {
    fn from(error: VaultError) -> Self {
        match error {
            VaultError::Store(error) => error.into(),
            VaultError::NotFound(_) | VaultError::Destroyed { .. } => Self::Nothing,
            other => Self::NotWhole(vec![other.to_string()]),
        }
    }
}

impl From<CommitError> for RestoreError {
    fn from(error: CommitError) -> Self {
        Self::internal(error)
    }
}
