//! The embedded engine: SQLite in WAL mode with full synchronisation, one
//! writer thread, readers beside it. All SQL of the project is in this folder.

mod backend;
mod fault;
mod file;
mod load;
mod point;
mod reader;
mod reserve;
mod snapshot;

use crate::cache::RowCache;
use crate::engine::{
    Changes, CommitFuture, CommitObserver, Engine, RawBatch, RawEntry, RawRow, Snapshot,
};
use crate::sealer::CommitSealer;
use crate::writer::{self, Shared, Thread};
use crate::{IoCause, OpenError, RowKey, Seq, StoreError, journal};
use backend::{Beside, SqliteBackend};
use file::Opened;
pub use load::SqliteLoader;
pub(crate) use load::advance;
use point::PointReaders;
use procura_types::{BatchId, InstallationId};
use reader::Readers;
use reserve::Reserve;
use snapshot::{Snapshots, SqliteSnapshot};
use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// The format of the file that this program writes, and the newest it reads.
pub const FORMAT: u32 = 1;

/// How the embedded engine is run.
#[derive(Debug, Clone)]
pub struct SqliteOptions {
    /// Bytes for the cache of sealed rows. Default 16 MiB.
    pub cache_bytes: usize,
    /// The database file may grow to so many bytes, of which the last 8 MiB are
    /// for batches that may use the reserve. Default: as the disk has room.
    pub max_bytes: Option<u64>,
    /// So many commits are kept for the change feed and the fates of batches.
    /// Default 131,072.
    pub kept_commits: u64,
}

impl Default for SqliteOptions {
    fn default() -> Self {
        Self {
            cache_bytes: 16 * 1024 * 1024,
            max_bytes: None,
            kept_commits: journal::KEPT,
        }
    }
}

/// The embedded engine. Dropping it writes what is queued, then lets the file go.
pub struct SqliteEngine {
    shared: Arc<Shared>,
    readers: Arc<Readers>,
    points: Arc<PointReaders>,
    snapshots: Arc<Snapshots>,
    cache: Arc<RowCache>,
    // Dropped in this order: the lock is released after the last write.
    _thread: Thread,
    _lock: File,
}

impl SqliteEngine {
    /// Makes a new database for an installation.
    ///
    /// # Errors
    /// `AlreadyExists`, `InUse`, `NotAStore`, `Io`.
    pub fn create(
        path: &Path,
        installation: &InstallationId,
        options: &SqliteOptions,
    ) -> Result<Self, OpenError> {
        Self::start(file::create(path, installation)?, path, options)
    }

    /// Opens the database of an installation.
    ///
    /// # Errors
    /// `Missing`, `InUse`, `NotAStore`, `NewerFormat`, `OtherInstallation`,
    /// `Corrupt`, `Io`.
    pub fn open(
        path: &Path,
        installation: &InstallationId,
        options: &SqliteOptions,
    ) -> Result<Self, OpenError> {
        Self::start(file::open(path, installation)?, path, options)
    }

    fn start(opened: Opened, path: &Path, options: &SqliteOptions) -> Result<Self, OpenError> {
        let io = |error: &dyn std::fmt::Display| OpenError::Io(IoCause::new(error));
        let shared = Arc::new(Shared::new());
        let cache = Arc::new(RowCache::new(options.cache_bytes));
        let readers = Arc::new(Readers::new(path.to_owned()));
        let points = Arc::new(PointReaders::new(path.to_owned()));
        let snapshots = Arc::new(Snapshots::default());
        let Opened { connection, lock } = opened;
        let reserve =
            Reserve::open(path, &connection, options.max_bytes).map_err(|error| io(&error))?;
        let beside = Beside {
            cache: Arc::clone(&cache),
            points: Arc::clone(&points),
            snapshots: Arc::clone(&snapshots),
        };
        let kept = options.kept_commits;
        let (started, start) = std::sync::mpsc::sync_channel(1);
        let thread = Thread::spawn(Arc::clone(&shared), move |shared| {
            match SqliteBackend::new(&connection, beside, reserve, kept) {
                Ok(backend) => {
                    // Nobody listening means that opening was given up.
                    let _ = started.send(Ok(()));
                    writer::run(backend, shared);
                }
                Err(fault) => {
                    let _ = started.send(Err(fault));
                }
            }
        })
        .map_err(|error| io(&error))?;
        match start.recv() {
            Ok(Ok(())) => {}
            Ok(Err(fault)) => return Err(file::refuse(path, fault)),
            Err(error) => return Err(io(&error)),
        }
        Ok(Self {
            shared,
            readers,
            points,
            snapshots,
            cache,
            _thread: thread,
            _lock: lock,
        })
    }

    fn check(&self) -> Result<(), StoreError> {
        if self.shared.is_poisoned() {
            Err(StoreError::Poisoned)
        } else {
            Ok(())
        }
    }
}

impl Engine for SqliteEngine {
    fn get(&self, key: &RowKey) -> Result<Option<RawRow>, StoreError> {
        self.check()?;
        let permit = match self.cache.get(key) {
            Ok(row) => return Ok(Some(row)),
            Err(permit) => permit,
        };
        let row = self.points.get(key)?;
        if let Some(row) = &row {
            self.cache.fill(key, row, &permit);
        }
        Ok(row)
    }

    fn snapshot(&self, life: Duration) -> Result<Box<dyn Snapshot>, StoreError> {
        self.check()?;
        let snapshot = SqliteSnapshot::take(&self.readers, life)?;
        self.snapshots.watch(&snapshot);
        Ok(Box::new(snapshot))
    }

    fn changes(&self, after: Seq, limit: usize) -> Result<Changes, StoreError> {
        self.check()?;
        self.readers
            .with(|reader| reader::changes(reader, after, limit))?
    }

    fn commit(&self, batch: RawBatch) -> CommitFuture {
        self.shared.queue.submit(batch)
    }

    fn fate(&self, batch: BatchId) -> Result<Option<Seq>, StoreError> {
        self.check()?;
        self.readers.with(|reader| reader::fate(reader, batch))
    }

    fn log_read(&self, log: &str, from: u64, limit: usize) -> Result<Vec<RawEntry>, StoreError> {
        self.check()?;
        self.readers
            .with(|reader| reader::entries(reader, log, from, limit))
    }

    fn log_len(&self, log: &str) -> Result<u64, StoreError> {
        self.check()?;
        self.readers.with(|reader| reader::log_len(reader, log))
    }

    fn settled(&self) -> Option<u64> {
        // What cannot be read any more is not as it was either.
        self.check().ok().map(|()| self.cache.settled())
    }

    fn cache_use(&self) -> (u64, u64) {
        self.cache.hits_and_misses()
    }

    fn set_sealer(&self, sealer: Option<Arc<dyn CommitSealer>>) {
        let removed = sealer.is_none();
        self.shared.set_sealer(sealer);
        if removed {
            self.cache.clear();
        }
    }

    fn observe(&self, observer: Arc<dyn CommitObserver>) {
        self.shared.observe(observer);
    }

    fn integrity(&self) -> Result<Vec<String>, StoreError> {
        self.check()?;
        self.readers.with(reader::integrity)
    }
}
