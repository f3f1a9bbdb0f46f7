//! The store as other crates use it: an engine, the barrier over it, and the
//! tables on top.

use crate::engine::{
    Changes, CommitFeed, CommitFuture, CommitObserver, CommitView, Committed, Engine, Expected,
    Kind, Lane, RawBatch, RawWrite, Snapshot,
};
use crate::head::Head;
use crate::head_sealer::HeadSealer;
use crate::sealer::CommitSealer as _;
use crate::sqlite::{SqliteEngine, SqliteOptions};
use crate::verify::{self, Verification};
use crate::{
    Barrier, Batch, CommitError, Damage, LogId, OpenError, RowKey, Seq, StoreError, UnsealError,
};
use arc_swap::{ArcSwapOption, Guard};
use procura_types::{BatchId, Clock, Entropy, InstallationId, SecretBytes};
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// How long a snapshot of [`Store::snapshot`] can be read from.
pub const SNAPSHOT_LIFE: Duration = Duration::from_secs(60);

/// An engine behind its barrier. Cheap to clone; sealed until
/// [`Store::install_barrier`].
#[derive(Clone)]
pub struct Store(Arc<Inner>);

struct Inner {
    engine: Arc<dyn Engine>,
    unsealed: ArcSwapOption<Unsealed>,
    /// Held while the barrier is installed or removed; the pass over all rows.
    pass: Mutex<Option<JoinHandle<()>>>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    /// Those who observe, to be told of what other servers committed.
    observers: Mutex<Vec<Arc<dyn CommitObserver>>>,
}

/// What there is while a barrier is installed.
pub(crate) struct Unsealed {
    sealer: Arc<HeadSealer>,
    pub(crate) verification: Arc<Verification>,
}

impl Unsealed {
    pub(crate) fn barrier(&self) -> Guard<Arc<Barrier>> {
        self.sealer.barrier()
    }
}

/// When rows were read, see [`Store::moment`].
#[derive(Debug, Clone, Copy)]
pub struct Moment(Option<u64>);

/// An entry of a log.
pub struct LogEntry {
    /// Its place, from 0.
    pub index: u64,
    /// The commit that appended it.
    pub seq: Seq,
    /// Its bytes as they were appended.
    pub bytes: SecretBytes,
}

impl Store {
    /// Makes a new embedded store.
    ///
    /// # Errors
    /// `AlreadyExists`, `InUse`, `NotAStore`, `Io`.
    pub fn create(
        path: &Path,
        installation: &InstallationId,
        options: &SqliteOptions,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> Result<Self, OpenError> {
        let engine = SqliteEngine::create(path, installation, options)?;
        Ok(Self::over(Arc::new(engine), clock, entropy))
    }

    /// Opens an embedded store, sealed.
    ///
    /// # Errors
    /// `Missing`, `InUse`, `NotAStore`, `NewerFormat`, `OtherInstallation`,
    /// `Corrupt`, `Io`.
    pub fn open(
        path: &Path,
        installation: &InstallationId,
        options: &SqliteOptions,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> Result<Self, OpenError> {
        let engine = SqliteEngine::open(path, installation, options)?;
        Ok(Self::over(Arc::new(engine), clock, entropy))
    }

    /// A store over any engine, sealed.
    pub fn over(engine: Arc<dyn Engine>, clock: Arc<dyn Clock>, entropy: Arc<dyn Entropy>) -> Self {
        Self(Arc::new(Inner {
            engine,
            unsealed: ArcSwapOption::empty(),
            pass: Mutex::default(),
            clock,
            entropy,
            observers: Mutex::default(),
        }))
    }

    pub(crate) fn engine(&self) -> &dyn Engine {
        &*self.0.engine
    }

    pub(crate) fn unsealed(&self) -> Result<Arc<Unsealed>, StoreError> {
        self.0.unsealed.load_full().ok_or(StoreError::Sealed)
    }

    /// Unseals: checks that the keys open this store and that its head is the
    /// newest, and begins to check all rows in the background. On an unsealed
    /// store it changes to a barrier with further epochs.
    ///
    /// Reads little and returns soon; nothing is written. An empty store takes
    /// any barrier and is bound to it by its first commit.
    ///
    /// # Errors
    /// `WrongKey`; `Corrupt` when the head is missing, altered or older than the
    /// data, or a log was cut or lengthened; errors of reading.
    pub fn install_barrier(&self, barrier: Barrier) -> Result<(), UnsealError> {
        let mut pass = self.0.pass.lock().unwrap_or_else(PoisonError::into_inner);
        if let Ok(unsealed) = self.unsealed() {
            if !barrier.succeeds(&unsealed.barrier()) {
                return Err(UnsealError::WrongKey);
            }
            let barrier = match self.is_shared() {
                true => barrier.beside_others(),
                false => barrier,
            };
            unsealed.sealer.replace_barrier(barrier);
            return Ok(());
        }
        let barrier = match self.is_shared() {
            true => barrier.beside_others(),
            false => barrier,
        };
        let head = self.check_anchor(&barrier)?;
        let unsealed = Arc::new(Unsealed {
            sealer: Arc::new(HeadSealer::new(barrier, head)),
            verification: Arc::new(Verification::new()),
        });
        let (engine, sealer) = (Arc::clone(&self.0.engine), Arc::clone(&unsealed.sealer));
        let verification = Arc::clone(&unsealed.verification);
        let thread = std::thread::Builder::new()
            .name("store-verify".into())
            .spawn(move || verification.run(&*engine, &sealer))
            .map_err(|error| StoreError::Io(crate::IoCause::new(&error)))?;
        *pass = Some(thread);
        self.0.engine.set_sealer(Some(unsealed.sealer.clone()));
        self.0.unsealed.store(Some(unsealed));
        Ok(())
    }

    /// Opens the head row and holds against it what can be seen at a glance.
    fn check_anchor(&self, barrier: &Barrier) -> Result<Head, UnsealError> {
        let snapshot = self.0.engine.snapshot(SNAPSHOT_LIFE)?;
        let anchor = snapshot.anchor()?;
        let corrupt = |what| Err(UnsealError::Corrupt { what });
        let Some(sealed) = &anchor.head else {
            let rows = snapshot.versions(&crate::key::KeyRange::everything(), 1)?;
            let untouched = anchor.sentinel.is_none()
                && anchor.newest.is_none()
                && anchor.seq == Seq::ZERO
                && anchor.logs.is_empty()
                && rows.is_empty();
            return match (untouched, &anchor.sentinel) {
                (true, _) => Ok(Head::default()),
                (_, Some(sentinel)) if !barrier.opens_sentinel(sentinel) => {
                    Err(UnsealError::WrongKey)
                }
                _ => corrupt(Damage::Head),
            };
        };
        let Some(head) = barrier.open_head(anchor.seq, sealed) else {
            let right = anchor.sentinel.as_ref();
            return match right.is_some_and(|sentinel| barrier.opens_sentinel(sentinel)) {
                true => corrupt(Damage::Head),
                false => Err(UnsealError::WrongKey),
            };
        };
        if anchor.newest != Some(head.seq) {
            return corrupt(Damage::Head);
        }
        let found = |name: &str| {
            let log = anchor.logs.iter().find(|(log, _)| **log == *name);
            log.map_or(0, |(_, len)| *len)
        };
        let names = head
            .logs
            .keys()
            .chain(anchor.logs.iter().map(|(log, _)| log));
        for log in names {
            let (expected, found) = (head.log(log).len, found(log));
            if expected != found {
                return corrupt(Damage::LogLength {
                    log: Arc::clone(log),
                    expected,
                    found,
                });
            }
        }
        Ok(head)
    }

    /// Seals: waits for the group that is being committed, then drops the
    /// barrier with its keys and the cached rows. The file stays locked.
    pub fn seal(&self) {
        let mut pass = self.0.pass.lock().unwrap_or_else(PoisonError::into_inner);
        self.0.engine.set_sealer(None);
        let unsealed = self.0.unsealed.swap(None);
        // The keys go when the last read that is under way has ended.
        end_pass(unsealed, pass.take());
    }

    /// Whether no barrier is installed.
    #[must_use]
    pub fn is_sealed(&self) -> bool {
        self.0.unsealed.load().is_none()
    }

    /// The value of a blind index, see [`Barrier::blind`].
    ///
    /// # Errors
    /// `Sealed`.
    pub fn blind(&self, class: &str, value: &[u8]) -> Result<[u8; 32], StoreError> {
        Ok(self.unsealed()?.barrier().blind(class, value))
    }

    /// The head of the last durable group: what checkpoints record.
    ///
    /// # Errors
    /// `Sealed`.
    pub fn head(&self) -> Result<Arc<Head>, StoreError> {
        Ok(self.unsealed()?.sealer.head())
    }

    /// Waits until every table is verified, blocking the thread.
    ///
    /// # Errors
    /// `Sealed`; `Corrupt` with the first table that is not as committed.
    pub fn wait_verified(&self) -> Result<(), StoreError> {
        let unsealed = self.unsealed()?;
        unsealed.verification.wait_all()
    }

    /// An empty batch with a fresh id.
    ///
    /// # Errors
    /// `Entropy`.
    pub fn batch(&self) -> Result<Batch, StoreError> {
        BatchId::generate(self.0.clock.now(), &*self.0.entropy)
            .map(Batch::new)
            .map_err(|_| StoreError::Entropy)
    }

    /// Commits a batch. It is queued when this returns if there is room; the
    /// future yields when it is durable or refused, and dropping it cancels
    /// nothing. On `Conflict` decide again on fresh rows, at most five times.
    ///
    /// In the first moments after unsealing this waits, blocking the thread,
    /// until the tables that the batch touches are verified.
    pub fn commit(&self, batch: Batch) -> CommitFuture {
        match self.admit(batch) {
            Ok(future) => future,
            Err(error) => Box::pin(std::future::ready(Err(error))),
        }
    }

    fn admit(&self, batch: Batch) -> Result<CommitFuture, CommitError> {
        let raw = batch.into_raw()?;
        let unsealed = self.unsealed()?;
        for (key, _) in &raw.expect {
            unsealed.verification.wait(key.table())?;
        }
        for write in &raw.writes {
            let (RawWrite::Put { key, .. }
            | RawWrite::Delete { key, .. }
            | RawWrite::DeletePrefix { prefix: key }) = write;
            unsealed.verification.wait(key.table())?;
        }
        Ok(self.0.engine.commit(raw))
    }

    /// What became of a recent batch, after [`CommitError::Unknown`] and
    /// reopening: its commit, or `None` when it was not applied.
    ///
    /// # Errors
    /// `Poisoned`, `Corrupt`, `Io`.
    pub fn fate(&self, batch: BatchId) -> Result<Option<Seq>, StoreError> {
        self.0.engine.fate(batch)
    }

    /// The store as it is now, readable for [`SNAPSHOT_LIFE`].
    ///
    /// # Errors
    /// `Sealed`, `Poisoned`, `Corrupt`, `Io`.
    pub fn snapshot(&self) -> Result<StoreSnapshot, StoreError> {
        self.unsealed()?;
        Ok(StoreSnapshot {
            raw: self.0.engine.snapshot(SNAPSHOT_LIFE)?,
            head: OnceLock::new(),
            store: self.clone(),
        })
    }

    /// The change feed, see [`Engine::changes`].
    ///
    /// # Errors
    /// `Gap`, `Poisoned`, `Corrupt`, `Io`.
    pub fn changes(&self, after: Seq, limit: usize) -> Result<Changes, StoreError> {
        self.0.engine.changes(after, limit)
    }

    /// Up to `limit` entries of a log from index `from` on.
    ///
    /// # Errors
    /// `Sealed`; `Forgotten` when the log begins later by now; `Corrupt` when an entry is
    /// missing, altered or moved; `Poisoned`, `Io`.
    pub fn log_read(
        &self,
        log: LogId,
        from: u64,
        limit: usize,
    ) -> Result<Vec<LogEntry>, StoreError> {
        let unsealed = self.unsealed()?;
        // Taken before the read: entries up to here must be in its answer.
        let known = unsealed.sealer.head().log(log.as_str());
        let len = known.len;
        if from < known.start {
            return Err(StoreError::forgotten(log.as_str(), known.start));
        }
        let raw = self.0.engine.log_read(log.as_str(), from, limit)?;
        let barrier = unsealed.barrier();
        let mut entries = Vec::with_capacity(raw.len());
        for (index, entry) in (from..).zip(&raw) {
            if entry.index != index {
                return Err(self.why_not_there(log.as_str(), index));
            }
            if barrier.is_behind(&entry.value) {
                return Err(StoreError::behind());
            }
            let bytes = barrier.open_entry(log.as_str(), index, entry.version, &entry.value)?;
            let seq = entry.version;
            entries.push(LogEntry { index, seq, bytes });
        }
        let next = from.saturating_add(u64::try_from(entries.len()).unwrap_or(u64::MAX));
        if entries.len() < limit && next < len {
            return Err(self.why_not_there(log.as_str(), next));
        }
        Ok(entries)
    }

    /// The first entry of a log that is kept.
    ///
    /// # Errors
    /// `Sealed`.
    pub fn log_start(&self, log: LogId) -> Result<u64, StoreError> {
        Ok(self.unsealed()?.sealer.head().log(log.as_str()).start)
    }

    /// The number of entries of a log that are durable, those included that it has
    /// forgotten.
    ///
    /// # Errors
    /// `Sealed`.
    pub fn log_len(&self, log: LogId) -> Result<u64, StoreError> {
        Ok(self.unsealed()?.sealer.head().log(log.as_str()).len)
    }

    /// The moment: what is read after it was taken is as it was for as long as
    /// [`Table::is_still_since`](crate::Table::is_still_since) finds that nothing has changed since.
    #[must_use]
    pub fn moment(&self) -> Moment {
        Moment(self.0.engine.settled())
    }

    /// Whether no row at all has changed since, by any commit that was acknowledged.
    pub(crate) fn has_rested_since(&self, moment: Moment) -> bool {
        moment.0.is_some() && moment.0 == self.0.engine.settled()
    }

    /// Look-ups that the cache of rows answered, and those that it did not, since the
    /// store was opened.
    #[must_use]
    pub fn cache_use(&self) -> (u64, u64) {
        self.0.engine.cache_use()
    }

    /// Why the store does less than it should, as far as is known: damage that
    /// the pass over all rows found, or a failed write. Waits for nothing; empty
    /// while sealed.
    #[must_use]
    pub fn trouble(&self) -> Vec<StoreError> {
        let Ok(unsealed) = self.unsealed() else {
            return Vec::new();
        };
        let mut trouble = unsealed.verification.findings();
        // One small read: whatever keeps the store from being read keeps it from this. Who
        // asks may be a stranger, so it must cost the same however much was committed.
        trouble.extend(self.0.engine.log_len("").err());
        trouble
    }

    /// The commits of others, where others write to the same database.
    #[must_use]
    pub fn feed(&self) -> Option<&dyn CommitFeed> {
        self.0.engine.feed()
    }

    /// Whether other servers may write to the same database.
    #[must_use]
    pub fn is_shared(&self) -> bool {
        self.feed().is_some()
    }

    /// From the next group on, commits apply only while this row is of this version:
    /// the one that says which keys count. A group that finds another version waits a
    /// moment for [`Self::install_barrier`] and for this to be called again.
    ///
    /// # Errors
    /// `Sealed`.
    pub fn put_fence(&self, key: RowKey, version: Seq) -> Result<(), StoreError> {
        self.unsealed()?.sealer.put_fence(key, version);
        Ok(())
    }

    /// Lets a batch apply only with the keys that are in force now: what is built from
    /// them does not outlive them. Does nothing where no other server writes, nor while
    /// sealed, when nothing applies.
    pub fn fence(&self, batch: &mut Batch) {
        if let Ok(unsealed) = self.unsealed()
            && let Some((key, version)) = unsealed.sealer.fence()
        {
            batch.expect(key, Expected::At(version));
        }
    }

    /// Tells the observers which rows of the directory are other by now, as of `seq`,
    /// because other servers changed them; `None` for those that are gone. They may hear
    /// of a change that they know.
    pub fn others_changed(&self, seq: Seq, rows: Vec<(RowKey, Option<SecretBytes>)>) {
        let writes = rows.into_iter().map(|(key, value)| match value {
            Some(value) => RawWrite::Put {
                key,
                kind: Kind::Directory,
                value,
            },
            None => RawWrite::Delete {
                key,
                kind: Kind::Directory,
            },
        });
        let batch = RawBatch {
            id: BatchId::from_bytes([0; 16]),
            lane: Lane::Bulk,
            reserved: false,
            expect: Vec::new(),
            writes: writes.collect(),
            appends: Vec::new(),
            trims: Vec::new(),
        };
        let committed = Committed {
            seq,
            indexes: Vec::new(),
        };
        let view = CommitView {
            batch: &batch,
            committed: &committed,
        };
        let observers = self
            .0
            .observers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        for observer in observers {
            observer.committed(std::slice::from_ref(&view));
        }
    }

    /// Adds an observer of durable commits.
    pub fn observe(&self, observer: Arc<dyn CommitObserver>) {
        if self.is_shared() {
            let mut observers = self
                .0
                .observers
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            observers.push(Arc::clone(&observer));
        }
        self.0.engine.observe(observer);
    }
}

fn end_pass(unsealed: Option<Arc<Unsealed>>, pass: Option<JoinHandle<()>>) {
    if let Some(unsealed) = unsealed {
        unsealed.verification.cancel();
    }
    if let Some(pass) = pass {
        // A panic was reported by the runtime when it happened.
        let _ = pass.join();
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // The pass holds the engine, which holds the file: both end here.
        let pass = self.pass.get_mut().unwrap_or_else(PoisonError::into_inner);
        end_pass(self.unsealed.swap(None), pass.take());
    }
}

/// The store at one moment, for scans; bounded in life.
pub struct StoreSnapshot {
    raw: Box<dyn Snapshot>,
    head: OnceLock<Head>,
    store: Store,
}

impl StoreSnapshot {
    /// The last commit that is in it.
    #[must_use]
    pub fn seq(&self) -> Seq {
        self.raw.seq()
    }

    /// The head as of this moment.
    ///
    /// # Errors
    /// `Sealed`, `SnapshotExpired`, `Corrupt`, `Io`.
    pub fn head(&self) -> Result<&Head, StoreError> {
        if let Some(head) = self.head.get() {
            return Ok(head);
        }
        let head = verify::open_head(&self.store.unsealed()?.barrier(), &*self.raw)?;
        Ok(self.head.get_or_init(|| head))
    }

    /// A sealed row as it was put, and the commit that wrote it, by the key that the
    /// change feed names; `None` when there is none.
    ///
    /// # Errors
    /// As [`Table::get_at`](crate::Table::get_at).
    pub fn plain(&self, key: &RowKey) -> Result<Option<(Seq, SecretBytes)>, StoreError> {
        let unsealed = self.store.unsealed()?;
        let Some(row) = self.raw.get(key)? else {
            return Ok(None);
        };
        let barrier = unsealed.barrier();
        if barrier.is_behind(&row.value) {
            return Err(StoreError::behind());
        }
        let plain = barrier.open_row(key, row.version, &row.value)?;
        Ok(Some((row.version, plain)))
    }

    pub(crate) fn raw(&self) -> &dyn Snapshot {
        &*self.raw
    }

    pub(crate) const fn store(&self) -> &Store {
        &self.store
    }
}
