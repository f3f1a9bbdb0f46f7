//! What can go wrong, split by the act: opening, unsealing, reading, committing.

use crate::{RowKey, Seq};
use procura_types::InstallationId;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

/// The cause of a failure below us, for the log and never for the caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IoCause(Arc<str>);

impl IoCause {
    /// Keeps what the layer below said.
    pub fn new(cause: &dyn fmt::Display) -> Self {
        Self(cause.to_string().into())
    }
}

impl fmt::Display for IoCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for IoCause {}

/// Why nothing is read or written for a moment.
pub(crate) const BEHIND: &str = "the keys were changed by another server and are not here yet";

/// What exactly is not as it was written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Damage {
    /// The head row is missing, does not open, or is older than the rows.
    #[error("the head row is missing, altered or older than the data")]
    Head,
    /// The rows of a table are not the set that was committed: one was removed,
    /// added or rolled back.
    #[error("rows of table {0} were removed, added or rolled back")]
    Table(Arc<str>),
    /// One row does not open at its place and version.
    #[error("a row of table {0} was altered or moved")]
    Row(Arc<str>),
    /// The chunks of one value are not what its head row says.
    #[error("a large value of table {0} is incomplete or altered")]
    Chunks(Arc<str>),
    /// The length of a log is not what was committed.
    #[error("log {log} has {found} entries where {expected} were committed")]
    LogLength {
        /// The log.
        log: Arc<str>,
        /// Entries that the head row vouches for.
        expected: u64,
        /// Entries that are there.
        found: u64,
    },
    /// One entry of a log is missing, altered or moved.
    #[error("entry {index} of log {log} is missing, altered or moved")]
    LogEntry {
        /// The log.
        log: Arc<str>,
        /// The index of the entry, from 0.
        index: u64,
    },
    /// The keyed chain over a log ends elsewhere than was committed.
    #[error("the chain of log {0} does not end where it was committed")]
    Chain(Arc<str>),
    /// The database file itself is malformed.
    #[error("the database file is damaged: {0}")]
    File(Arc<str>),
}

/// Why a store could not be opened or created.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// There is no database at this place.
    #[error("there is no store at {0}")]
    Missing(PathBuf),
    /// There already is a database at this place.
    #[error("there already is a store at {0}")]
    AlreadyExists(PathBuf),
    /// Another process holds the lock file.
    #[error("the store at {0} is in use by another process")]
    InUse(PathBuf),
    /// The file is not a store of this program.
    #[error("{0} is not a Procura store")]
    NotAStore(PathBuf),
    /// The file was written by a newer release.
    #[error("the store has format {found}, this program reads up to format {supported}")]
    NewerFormat {
        /// In the file.
        found: u32,
        /// The newest that this program reads.
        supported: u32,
    },
    /// The file belongs to another installation.
    #[error("the store belongs to installation {found}, not to {expected}")]
    OtherInstallation {
        /// As named by the home.
        expected: InstallationId,
        /// As named in the file.
        found: InstallationId,
    },
    /// The file is damaged where opening touches it.
    #[error("the store is damaged: {0}")]
    Corrupt(Damage),
    /// The operating system or the database failed.
    #[error("the store could not be opened")]
    Io(#[source] IoCause),
}

/// Why a barrier could not be installed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnsealError {
    /// The keys do not open this store.
    #[error("these keys do not open this store")]
    WrongKey,
    /// The keys are right; the store is not as it was committed.
    #[error("the store is damaged: {what}")]
    Corrupt {
        /// What is not as it was written.
        what: Damage,
    },
    /// Reading failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why something could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// No barrier is installed.
    #[error("the store is sealed")]
    Sealed,
    /// A commit ended in [`CommitError::Unknown`]; the store must be reopened.
    #[error("the store must be reopened after a failed write")]
    Poisoned,
    /// The snapshot outlived its bound; take a new one.
    #[error("the snapshot has expired")]
    SnapshotExpired,
    /// The change feed does not reach back that far; start from a snapshot.
    #[error("the change feed begins after {oldest}")]
    Gap {
        /// The oldest position from which the feed can resume.
        oldest: Seq,
    },
    /// The entries that were asked for have been forgotten.
    #[error("log {log} begins at entry {first}; what was before is forgotten")]
    Forgotten {
        /// The log.
        log: Arc<str>,
        /// The first entry that is kept.
        first: u64,
    },
    /// Something is not as it was written.
    #[error("the store is damaged: {what}")]
    Corrupt {
        /// What is not as it was written.
        what: Damage,
    },
    /// An authentic row does not have the shape that this program reads.
    #[error("a row of table {table} has a shape that this program does not read")]
    Shape {
        /// The table.
        table: Arc<str>,
    },
    /// No random bytes were to be had.
    #[error("no random bytes to be had from the operating system")]
    Entropy,
    /// The database is away. It is looked for, and used again when it is there.
    #[error("the database cannot be used now")]
    Unavailable(#[source] IoCause),
    /// The operating system or the database failed.
    #[error("the store could not be read")]
    Io(#[source] IoCause),
}

impl StoreError {
    /// A log begins later than what was asked for.
    pub(crate) fn forgotten(log: &str, first: u64) -> Self {
        let log = log.into();
        Self::Forgotten { log, first }
    }

    /// Another server has turned the keys, and they are not here yet.
    pub(crate) fn behind() -> Self {
        Self::Unavailable(IoCause::new(&BEHIND))
    }

    pub(crate) fn is_behind(&self) -> bool {
        matches!(self, Self::Unavailable(IoCause(cause)) if **cause == *BEHIND)
    }
}

impl From<Damage> for StoreError {
    fn from(what: Damage) -> Self {
        Self::Corrupt { what }
    }
}

/// Why a batch was not committed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CommitError {
    /// An expectation did not hold; nothing of the batch was applied. Decide
    /// again on fresh rows, at most five times.
    #[error("the row was changed meanwhile")]
    Conflict {
        /// The first row whose expectation failed.
        key: RowKey,
    },
    /// No space; nothing was applied.
    #[error("no space is left for the store")]
    Full,
    /// The batch may or may not be durable. The store is poisoned; after
    /// reopening, [`Engine::fate`](crate::Engine::fate) tells.
    #[error("it is not known whether the change was stored")]
    Unknown,
    /// No barrier is installed; nothing was applied.
    #[error("the store is sealed")]
    Sealed,
    /// An earlier commit ended in `Unknown`; nothing was applied.
    #[error("the store must be reopened after a failed write")]
    Poisoned,
    /// Something that the batch touches is not as it was written; nothing was
    /// applied.
    #[error("the store is damaged: {what}")]
    Corrupt {
        /// What is not as it was written.
        what: Damage,
    },
    /// A value is over 64 KiB (a [`Blob`](crate::Blob): 12 MiB), or the batch
    /// over 12 MiB; nothing was applied.
    #[error("the change is too large")]
    TooLarge,
    /// A value could not be encoded; nothing was applied. A defect of ours.
    #[error("a value of table {table} could not be encoded")]
    Unencodable {
        /// The table.
        table: &'static str,
    },
    /// The database is away, nothing was applied. It is looked for, and used again when
    /// it is there.
    #[error("the database cannot be used now")]
    Unavailable(#[source] IoCause),
    /// Failed before the commit was tried; nothing was applied.
    #[error("the store could not be written")]
    Io(#[source] IoCause),
}

impl From<StoreError> for CommitError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Sealed => Self::Sealed,
            StoreError::Poisoned => Self::Poisoned,
            StoreError::Corrupt { what } => Self::Corrupt { what },
            StoreError::Unavailable(cause) => Self::Unavailable(cause),
            StoreError::Io(cause) => Self::Io(cause),
            other => Self::Io(IoCause::new(&other)),
        }
    }
}
