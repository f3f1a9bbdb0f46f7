//! The seam of storage: what any database has to do for us.
//!
//! An engine is an ordered, transactional key–value store with dense logs. It
//! stores what it is given by a [`CommitSealer`] and knows no keys. The
//! conformance suite holds every implementation to what is written here.

use crate::{CommitError, CommitSealer, RowKey, Seq, StoreError, key::KeyRange};
use bytes::Bytes;
use procura_types::{BatchId, SecretBytes};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// The largest stored value of a row, in bytes, before sealing.
pub const MAX_VALUE: usize = 64 * 1024;
/// The largest batch: keys, values and appended bytes together. Ten thousand secrets
/// that are brought in at once are one.
pub const MAX_BATCH: usize = 12 * 1024 * 1024;

/// What a table's rows are protected by, and how they are watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Sealed; loaded whole into memory, changes go to the observers.
    Directory,
    /// Sealed.
    Ordinary,
    /// Not sealed by the barrier: its values are envelopes already, or are
    /// needed before there are keys. Takes part in the set digests.
    Clear,
}

/// The name of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LogId(&'static str);

impl LogId {
    /// Names a log: 1 to 32 of `a-z`, `0-9` and `-`. Another name does not
    /// compile when evaluated in a constant.
    #[must_use]
    pub const fn new(name: &'static str) -> Self {
        assert!(is_name(name), "a log's name is 1 to 32 of a-z, 0-9 and -");
        Self(name)
    }

    /// The name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        self.0
    }
}

/// The rule for names of tables and logs.
pub(crate) const fn is_name(name: &str) -> bool {
    let mut rest = name.as_bytes();
    if rest.is_empty() || rest.len() > 32 {
        return false;
    }
    while let [first, tail @ ..] = rest {
        if !(first.is_ascii_lowercase() || first.is_ascii_digit() || *first == b'-') {
            return false;
        }
        rest = tail;
    }
    true
}

/// A row as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawRow {
    /// The commit that wrote it.
    pub version: Seq,
    /// As the sealer made it.
    pub value: Bytes,
}

/// An entry of a log as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawEntry {
    /// Its place in the log, from 0, dense.
    pub index: u64,
    /// The commit that appended it.
    pub version: Seq,
    /// As the sealer made it.
    pub value: Bytes,
}

/// What a row must be for a batch to apply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    /// There is no such row.
    Absent,
    /// The row is there, in this version.
    At(Seq),
}

/// One change of rows. Values are plain; the sealer sees them at commit.
pub enum RawWrite {
    /// Insert or replace.
    Put {
        /// Which row.
        key: RowKey,
        /// Protected how.
        kind: Kind,
        /// At most [`MAX_VALUE`] bytes.
        value: SecretBytes,
    },
    /// Remove; nothing happens when there is none.
    Delete {
        /// Which row.
        key: RowKey,
        /// Protected how.
        kind: Kind,
    },
    /// Remove all rows whose stored keys begin so.
    DeletePrefix {
        /// Begins with the whole name of a table and its `0x00`.
        prefix: RowKey,
    },
}

/// Bytes for the end of a log.
pub struct RawAppend {
    /// Which log.
    pub log: LogId,
    /// At most [`MAX_VALUE`] bytes.
    pub bytes: SecretBytes,
}

/// The beginning of a log that goes. What it was is vouched for by the head from then on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RawTrim {
    /// Which log.
    pub log: LogId,
    /// The entries before this one go; it stays itself, so that the log keeps its length.
    pub before: u64,
    /// The keyed chain over them, with which that of the others goes on.
    pub chain: [u8; 32],
}

/// Which queue a batch waits in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lane {
    /// Someone waits for it.
    Ordinary,
    /// Work in the background: at most a quarter of a group.
    Bulk,
}

/// Changes that apply together or not at all.
pub struct RawBatch {
    /// Used once; its fate can be asked later.
    pub id: BatchId,
    /// Which queue it waits in.
    pub lane: Lane,
    /// May use the space that is held back for revoke, seal and delete.
    pub reserved: bool,
    /// Checked first, all of them, in order.
    pub expect: Vec<(RowKey, Expected)>,
    /// Applied in order.
    pub writes: Vec<RawWrite>,
    /// Appended in order.
    pub appends: Vec<RawAppend>,
    /// Beginnings of logs that go, last of all.
    pub trims: Vec<RawTrim>,
}

impl RawBatch {
    /// The bytes that count against [`MAX_BATCH`] and the bounds of queue and
    /// group; `None` when a single value is over [`MAX_VALUE`].
    #[must_use]
    pub fn weight(&self) -> Option<usize> {
        let mut total = 0usize;
        for write in &self.writes {
            let (key, value) = match write {
                RawWrite::Put { key, value, .. } => (key, value.expose().len()),
                RawWrite::Delete { key, .. } | RawWrite::DeletePrefix { prefix: key } => (key, 0),
            };
            if value > MAX_VALUE {
                return None;
            }
            total = total.saturating_add(key.as_bytes().len() + value);
        }
        for append in &self.appends {
            if append.bytes.expose().len() > MAX_VALUE {
                return None;
            }
            total = total.saturating_add(append.bytes.expose().len());
        }
        Some(total)
    }
}

/// A batch that is durable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Committed {
    /// Its sequence number, the version of all rows that it wrote.
    pub seq: Seq,
    /// The indexes of its appends, in their order.
    pub indexes: Vec<u64>,
}

/// Resolves when the fate of a batch is known. Dropping it cancels nothing.
pub type CommitFuture = Pin<Box<dyn Future<Output = Result<Committed, CommitError>> + Send>>;

/// One change in the feed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The commit.
    pub seq: Seq,
    /// The row.
    pub key: RowKey,
    /// Whether the commit removed it.
    pub deleted: bool,
}

/// A piece of the change feed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changes {
    /// In commit order; within a commit in its order of writing.
    pub changes: Vec<Change>,
    /// All changes up to here are in; resume after it.
    pub upto: Seq,
}

/// The rows that vouch for all others.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Anchor {
    /// The last commit.
    pub seq: Seq,
    /// The sealed head; `None` before the first commit.
    pub head: Option<Bytes>,
    /// The sealed constant that tells a wrong key from damage.
    pub sentinel: Option<Bytes>,
    /// The newest commit that the change feed knows.
    pub newest: Option<Seq>,
    /// Each log with the number of its entries.
    pub logs: Vec<(Arc<str>, u64)>,
}

/// The store at one moment.
///
/// A read after its life has ended fails with [`StoreError::SnapshotExpired`],
/// so that a forgotten snapshot does not keep old pages for ever.
pub trait Snapshot: Send {
    /// The last commit that is in it.
    fn seq(&self) -> Seq;
    /// One row.
    fn get(&self, key: &RowKey) -> Result<Option<RawRow>, StoreError>;
    /// Up to `limit` rows of the range in the order of their keys.
    fn scan(&self, range: &KeyRange, limit: usize) -> Result<Vec<(RowKey, RawRow)>, StoreError>;
    /// As [`Snapshot::scan`], without reading the values.
    fn versions(&self, range: &KeyRange, limit: usize) -> Result<Vec<(RowKey, Seq)>, StoreError>;
    /// The rows that vouch for this state.
    fn anchor(&self) -> Result<Anchor, StoreError>;
}

/// A storage engine.
///
/// After a commit ended in [`CommitError::Unknown`] every operation fails with
/// `Poisoned` until the engine is opened again, or has opened itself again.
pub trait Engine: Send + Sync {
    /// One row, as of a commit that is not older than the last one that this engine
    /// acknowledged.
    fn get(&self, key: &RowKey) -> Result<Option<RawRow>, StoreError>;

    /// The store as it is now, readable for `life`.
    fn snapshot(&self, life: Duration) -> Result<Box<dyn Snapshot>, StoreError>;

    /// The changes after `after`, whole commits, at least `limit` rows if there
    /// are as many. [`StoreError::Gap`] when they are no longer kept, or when
    /// `after` is ahead of this store.
    fn changes(&self, after: Seq, limit: usize) -> Result<Changes, StoreError>;

    /// Hands the batch over; it is queued before this returns if there is room,
    /// else when the future is polled or dropped. Atomic and durable when the
    /// future yields `Ok`.
    fn commit(&self, batch: RawBatch) -> CommitFuture;

    /// The commit of a recent batch; `None` when it was not applied, or is
    /// older than what is kept (the last 131,072 commits at least).
    fn fate(&self, batch: BatchId) -> Result<Option<Seq>, StoreError>;

    /// Up to `limit` entries of a log from index `from` on. What was trimmed is not there:
    /// then the first one has a later index.
    fn log_read(&self, log: &str, from: u64, limit: usize) -> Result<Vec<RawEntry>, StoreError>;

    /// The number of entries that a log ever had, trimmed ones included.
    fn log_len(&self, log: &str) -> Result<u64, StoreError>;

    /// Installs what seals rows at commit, or removes it: then commits fail with
    /// `Sealed` and cached rows are dropped. Returns when no group is under way
    /// with the former one.
    fn set_sealer(&self, sealer: Option<Arc<dyn CommitSealer>>);

    /// Adds an observer of durable commits.
    fn observe(&self, observer: Arc<dyn CommitObserver>);

    /// Look-ups that its cache of rows answered, and those that it did not, since it
    /// was opened; none of either without a cache.
    fn cache_use(&self) -> (u64, u64) {
        (0, 0)
    }

    /// A number that is another as soon as a commit that changed any row is acknowledged:
    /// what is read after it was asked for is as it was for as long as it stands. None
    /// where that cannot be told without asking, as others write too.
    fn settled(&self) -> Option<u64> {
        None
    }

    /// The commits of others, where others write to the same database too.
    fn feed(&self) -> Option<&dyn CommitFeed> {
        None
    }

    /// Has the database check its own structure; lines of findings.
    fn integrity(&self) -> Result<Vec<String>, StoreError>;
}

/// What a process knows of the commits of others, where several servers write to one
/// database.
pub trait CommitFeed: Send + Sync {
    /// The last commit that is known, of whatever server. Marked as changed whenever it
    /// moves; what the commits changed is then in [`Engine::changes`].
    fn moves(&self) -> watch::Receiver<Seq>;

    /// How long ago it was certain that no commit of another server was missed; `None`
    /// before it was for the first time.
    fn age(&self) -> Option<Duration>;

    /// Why the database is not used just now, if it is not, in words for people.
    fn problem(&self) -> Option<String>;
}

/// Told of commits on the writer's thread: after they are durable, before
/// anyone is acknowledged.
pub trait CommitObserver: Send + Sync {
    /// The batches of one group in the order in which they were applied.
    /// Must be short: all commits wait for it. Must not call the store's
    /// sealing or wait for a commit.
    fn committed(&self, commits: &[CommitView<'_>]);
}

/// A durable batch as its observers see it.
pub struct CommitView<'a> {
    pub(crate) batch: &'a RawBatch,
    pub(crate) committed: &'a Committed,
}

/// A change of a row of a [`Kind::Directory`] table.
#[derive(Debug, Clone, Copy)]
pub struct DirectoryChange<'a> {
    /// The row.
    pub key: &'a RowKey,
    /// The commit.
    pub seq: Seq,
    /// The plain value; `None` when the row was deleted.
    pub value: Option<&'a [u8]>,
}

/// An entry that was appended to a log.
#[derive(Debug, Clone, Copy)]
pub struct Appended<'a> {
    /// The log.
    pub log: LogId,
    /// The index that it got.
    pub index: u64,
    /// The plain bytes.
    pub bytes: &'a [u8],
}

impl<'a> CommitView<'a> {
    /// The sequence number.
    #[must_use]
    pub const fn seq(&self) -> Seq {
        self.committed.seq
    }

    /// The batch's id.
    #[must_use]
    pub const fn id(&self) -> BatchId {
        self.batch.id
    }

    /// The changes of directory tables, in order.
    pub fn directory(&self) -> impl Iterator<Item = DirectoryChange<'a>> + use<'a> {
        let seq = self.committed.seq;
        self.batch.writes.iter().filter_map(move |write| {
            let (key, value) = match write {
                RawWrite::Put { key, kind, value } if *kind == Kind::Directory => {
                    (key, Some(value.expose().as_slice()))
                }
                RawWrite::Delete { key, kind } if *kind == Kind::Directory => (key, None),
                _ => return None,
            };
            Some(DirectoryChange { key, seq, value })
        })
    }

    /// The appended entries, in order.
    pub fn appended(&self) -> impl Iterator<Item = Appended<'a>> + use<'a> {
        self.batch
            .appends
            .iter()
            .zip(&self.committed.indexes)
            .map(|(append, index)| Appended {
                log: append.log,
                index: *index,
                bytes: append.bytes.expose(),
            })
    }
}
