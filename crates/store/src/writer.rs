//! The one thread that commits: takes what is queued as a group, applies its
//! batches one after the other inside one transaction, makes it durable once,
//! tells the observers, and then everyone who waits.

use crate::engine::{CommitObserver, CommitView, Expected, Kind, RawBatch, RawWrite};
use crate::error::BEHIND;
use crate::queue::{GROUP_BYTES, Job, Queue};
use crate::sealer::{CommitSealer, GroupSealer, SealFailed};
use crate::{CommitError, Committed, Damage, IoCause, LogId, RowKey, Seq, journal};
use bytes::Bytes;
use procura_types::SecretBytes;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// How often a group looks again for the keys that another server has turned, and how
/// long it waits in between.
const KEY_TRIES: u32 = 100;
const KEY_PAUSE: Duration = Duration::from_millis(20);

/// Why a step of a transaction failed.
#[derive(Debug, Clone)]
pub(crate) enum Fault {
    /// No space; the transaction can be rolled back.
    Full,
    /// What was read is damaged.
    Corrupt(Damage),
    /// The database is away. Before commit: nothing was applied.
    Away(IoCause),
    /// Anything else. At commit: nobody knows.
    Io(IoCause),
}

impl From<SealFailed> for Fault {
    fn from(error: SealFailed) -> Self {
        Self::Io(IoCause::new(&error))
    }
}

impl From<Fault> for CommitError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Full => Self::Full,
            Fault::Corrupt(what) => Self::Corrupt { what },
            Fault::Away(cause) => Self::Unavailable(cause),
            Fault::Io(cause) => Self::Io(cause),
        }
    }
}

/// What a group writes last.
pub(crate) struct GroupEnd<'a> {
    /// The first and the last commit of the group.
    pub(crate) first: Seq,
    pub(crate) last: Seq,
    pub(crate) head: &'a [u8],
    /// Given when none is stored yet.
    pub(crate) sentinel: Option<&'a [u8]>,
    pub(crate) journal: &'a [u8],
}

/// One transaction at a time on some database.
pub(crate) trait Backend {
    /// Whether beginning a transaction takes a while, so that others come meanwhile.
    const WAITS: bool = false;
    /// The last durable commit.
    fn seq(&self) -> Seq;
    fn has_sentinel(&self) -> bool;
    fn log_len(&mut self, log: LogId) -> Result<u64, Fault>;
    /// How many batches a group may have.
    fn group_limit(&self) -> usize;
    /// Whether ordinary batches may be tried: false while the space that is held
    /// back is not there.
    fn has_reserve(&mut self) -> bool;
    /// A conflict that a test asked for.
    fn forced_conflict(&mut self, _batch: &RawBatch) -> Option<RowKey> {
        None
    }
    /// Gives the space that is held back to the next transaction; false when
    /// there is none.
    fn free_reserve(&mut self) -> bool;

    /// Told what the next transaction is for, and which row is looked at besides, so
    /// that it can be asked for at once.
    fn expects(&mut self, _batches: &[&RawBatch], _fence: Option<&RowKey>) {}
    fn begin(&mut self) -> Result<(), Fault>;
    /// Whether a batch that came since can go along with the transaction: nothing has to
    /// be asked for it.
    fn admits(&self, _batch: &RawBatch) -> bool {
        false
    }
    /// The sealed head that the transaction found, where it is not the one of this
    /// writer's last group: others write to the same database.
    fn others_head(&mut self) -> Option<Bytes> {
        None
    }
    /// The version of a row, changes of this transaction included.
    fn version(&mut self, key: &RowKey) -> Result<Option<Seq>, Fault>;
    /// Rows whose stored keys begin with `prefix`, changes included.
    fn versions(&mut self, prefix: &[u8]) -> Result<Vec<(RowKey, Seq)>, Fault>;
    fn put(&mut self, key: &RowKey, version: Seq, value: Vec<u8>) -> Result<(), Fault>;
    fn delete(&mut self, key: &RowKey) -> Result<(), Fault>;
    fn append(&mut self, log: LogId, index: u64, version: Seq, value: &[u8]) -> Result<(), Fault>;
    /// Takes away the entries of a log before this one.
    fn trim(&mut self, log: LogId, before: u64) -> Result<(), Fault>;
    fn end_group(&mut self, end: &GroupEnd<'_>) -> Result<(), Fault>;
    /// Makes the transaction durable. [`Fault::Full`] promises that it is not
    /// and will not be; after any other fault nobody knows.
    fn commit(&mut self) -> Result<(), Fault>;
    fn rollback(&mut self) -> Result<(), Fault>;
}

/// What callers of an engine share with its writer.
pub(crate) struct Shared {
    pub(crate) queue: Arc<Queue>,
    poisoned: AtomicBool,
    /// The writer has died; nothing heals that.
    dead: AtomicBool,
    sealer: Mutex<Option<Arc<dyn CommitSealer>>>,
    observers: Mutex<Vec<Arc<dyn CommitObserver>>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    pub(crate) fn new() -> Self {
        Self {
            queue: Arc::new(Queue::new()),
            poisoned: AtomicBool::new(false),
            dead: AtomicBool::new(false),
            sealer: Mutex::default(),
            observers: Mutex::default(),
        }
    }

    pub(crate) fn is_poisoned(&self) -> bool {
        self.poisoned.load(Ordering::Acquire) || self.dead.load(Ordering::Acquire)
    }

    /// The database was opened again, and has told how the last commit ended.
    pub(crate) fn heal(&self) {
        self.poisoned.store(false, Ordering::Release);
    }

    /// The head as another writer of the same database left it. Waits for nothing: a
    /// group that is under way finds it by itself.
    pub(crate) fn adopt(&self, seq: Seq, head: &[u8]) -> Result<(), Damage> {
        let Ok(slot) = self.sealer.try_lock() else {
            return Ok(());
        };
        match slot.as_deref() {
            // What is sealed with later keys is adopted when they are here.
            Some(sealer) if sealer.seq() < seq && !sealer.is_behind(head) => {
                sealer.adopt(seq, head)
            }
            _ => Ok(()),
        }
    }

    /// Waits for the group that is under way: it holds this lock.
    pub(crate) fn set_sealer(&self, sealer: Option<Arc<dyn CommitSealer>>) {
        *lock(&self.sealer) = sealer;
    }

    pub(crate) fn observe(&self, observer: Arc<dyn CommitObserver>) {
        lock(&self.observers).push(observer);
    }
}

/// The running thread; dropping it writes what is queued and ends it.
pub(crate) struct Thread {
    shared: Arc<Shared>,
    handle: Option<JoinHandle<()>>,
}

impl Thread {
    /// Runs `body`, which makes a backend and calls [`run`].
    pub(crate) fn spawn(
        shared: Arc<Shared>,
        body: impl FnOnce(&Shared) + Send + 'static,
    ) -> std::io::Result<Self> {
        let mine = Arc::clone(&shared);
        let handle = std::thread::Builder::new()
            .name("store-writer".into())
            .spawn(move || {
                // Also when the body panics: nobody may wait for ever.
                let _at_end = AtEnd(&mine);
                body(&mine);
            })?;
        Ok(Self {
            shared,
            handle: Some(handle),
        })
    }
}

struct AtEnd<'a>(&'a Shared);

impl Drop for AtEnd<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.dead.store(true, Ordering::Release);
        }
        self.0.queue.abandon();
    }
}

impl Drop for Thread {
    fn drop(&mut self) {
        self.shared.queue.close();
        if let Some(handle) = self.handle.take() {
            // A panic was reported by the runtime when it happened.
            let _ = handle.join();
        }
    }
}

/// Commits groups until the queue is closed and empty.
pub(crate) fn run<B: Backend>(backend: B, shared: &Shared) {
    let mut writer = Writer {
        backend,
        shared,
        logs: HashMap::new(),
        seq: Seq::ZERO,
    };
    while let Some(jobs) = shared.queue.next_group(writer.backend.group_limit()) {
        writer.group(jobs);
    }
}

type Outcome = Result<Committed, CommitError>;

struct Writer<'a, B> {
    backend: B,
    shared: &'a Shared,
    /// Lengths of logs after the last durable group.
    logs: HashMap<LogId, u64>,
    /// The commit that it ended with.
    seq: Seq,
}

impl<B: Backend> Writer<'_, B> {
    fn group(&mut self, mut jobs: Vec<Job>) {
        let mut late = Vec::new();
        let batches: Vec<&RawBatch> = jobs.iter().map(|job| &job.batch).collect();
        let attempted = self.attempt(&batches, Some(&mut late));
        jobs.extend(late);
        let batches: Vec<&RawBatch> = jobs.iter().map(|job| &job.batch).collect();
        let outcomes = self.settle(&batches, attempted);
        let views: Vec<CommitView<'_>> = batches
            .iter()
            .zip(&outcomes)
            .filter_map(|(batch, outcome)| {
                let committed = outcome.as_ref().ok()?;
                Some(CommitView { batch, committed })
            })
            .collect();
        if !views.is_empty() {
            for observer in lock(&self.shared.observers).iter() {
                observer.committed(&views);
            }
        }
        drop(views);
        for (job, outcome) in jobs.into_iter().zip(outcomes) {
            job.finish(outcome);
        }
    }

    /// What became of the batches: when a step failed before the commit, each is applied
    /// alone, so that only those fail that cannot be applied.
    fn settle(
        &mut self,
        batches: &[&RawBatch],
        attempted: Result<Vec<Outcome>, Fault>,
    ) -> Vec<Outcome> {
        match attempted {
            Ok(outcomes) => outcomes,
            Err(fault) => match batches {
                [batch] => vec![self.retry_reserved(batch, fault)],
                _ => batches
                    .iter()
                    .flat_map(|batch| {
                        let batch = std::slice::from_ref(batch);
                        let attempted = self.attempt(batch, None);
                        self.settle(batch, attempted)
                    })
                    .collect(),
            },
        }
    }

    /// A full disk does not keep a revocation out: it gets the space held back.
    fn retry_reserved(&mut self, batch: &RawBatch, fault: Fault) -> Outcome {
        if !(matches!(fault, Fault::Full) && batch.reserved && self.backend.free_reserve()) {
            return Err(fault.into());
        }
        match self.attempt(&[batch], None) {
            Ok(outcomes) => outcomes
                .into_iter()
                .next()
                .unwrap_or(Err(CommitError::Full)),
            Err(fault) => Err(fault.into()),
        }
    }

    /// One transaction. `Err` when it was rolled back and nothing was applied. Who came
    /// while it was begun is put into `late` and goes along, behind the others.
    fn attempt(
        &mut self,
        batches: &[&RawBatch],
        late: Option<&mut Vec<Job>>,
    ) -> Result<Vec<Outcome>, Fault> {
        let all = |error: CommitError| Ok(batches.iter().map(|_| Err(error.clone())).collect());
        if self.shared.is_poisoned() {
            return all(CommitError::Poisoned);
        }
        let shared = self.shared;
        let mut tries = 0;
        let (slot, has_reserve) = loop {
            let slot = lock(&shared.sealer);
            let Some(sealer) = slot.as_deref() else {
                return all(CommitError::Sealed);
            };
            let has_reserve = self.backend.has_reserve();
            let fence = sealer.fence();
            self.backend
                .expects(batches, fence.as_ref().map(|(key, _)| key));
            self.backend.begin()?;
            if self.is_within(fence)? {
                break (slot, has_reserve);
            }
            // Another server has turned the keys: nothing is written with those of
            // before. The new ones are taken over in a moment.
            self.roll_back();
            drop(slot);
            if tries >= KEY_TRIES {
                return Err(Fault::Away(IoCause::new(&BEHIND)));
            }
            tries += 1;
            std::thread::sleep(KEY_PAUSE);
        };
        let Some(sealer) = slot.as_deref() else {
            return all(CommitError::Sealed);
        };
        // Others have committed since, and may have appended.
        if self.backend.seq() != self.seq {
            self.logs.clear();
        }
        if let Some(head) = self.backend.others_head()
            && let Err(what) = sealer.adopt(self.backend.seq(), &head)
        {
            self.roll_back();
            return Err(Fault::Corrupt(what));
        }
        let mut batches = batches.to_vec();
        if let Some(late) = late
            && B::WAITS
        {
            // Each group waits for the others of all servers: the more it carries, the less
            // each of its batches waits.
            let room = self.backend.group_limit().saturating_sub(batches.len());
            let weight = |batch: &&RawBatch| batch.weight().unwrap_or(GROUP_BYTES);
            let bytes: usize = batches.iter().map(weight).sum();
            let bytes = GROUP_BYTES.saturating_sub(bytes);
            let backend = &self.backend;
            late.extend(
                shared
                    .queue
                    .more(room, bytes, |batch| backend.admits(batch)),
            );
            batches.extend(late.iter().map(|job| &job.batch));
        }
        let mut tx = Transaction {
            backend: &mut self.backend,
            group: sealer.begin(),
            durable_logs: &self.logs,
            logs: HashMap::new(),
            journal: journal::Group::default(),
            seq: Seq::ZERO,
        };
        tx.seq = tx.backend.seq();
        let first = tx.seq.next();
        let applied = tx.apply_all(&batches, has_reserve).and_then(|outcomes| {
            if tx.seq >= first {
                tx.end(first, sealer)?;
            }
            Ok(outcomes)
        });
        let Transaction {
            group, logs, seq, ..
        } = tx;
        match applied {
            Err(fault) => {
                self.roll_back();
                Err(fault)
            }
            // Every batch conflicted: there is nothing to make durable.
            Ok(outcomes) if seq < first => {
                self.roll_back();
                Ok(outcomes)
            }
            Ok(outcomes) => match self.backend.commit() {
                Ok(()) => {
                    group.durable();
                    self.logs.extend(logs);
                    self.seq = seq;
                    Ok(outcomes)
                }
                Err(Fault::Full) => {
                    self.roll_back();
                    Err(Fault::Full)
                }
                Err(fault) => {
                    self.poison(&fault);
                    Ok(outcomes
                        .into_iter()
                        .map(|outcome| outcome.and(Err(CommitError::Unknown)))
                        .collect())
                }
            },
        }
    }

    /// Whether the keys are those that count, by the row that says so.
    fn is_within(&mut self, fence: Option<(RowKey, Seq)>) -> Result<bool, Fault> {
        let Some((key, version)) = fence else {
            return Ok(true);
        };
        let found = self.backend.version(&key);
        if found.is_err() {
            self.roll_back();
        }
        Ok(found? == Some(version))
    }

    fn roll_back(&mut self) {
        // A transaction that cannot be ended would take later batches with it.
        if let Err(fault) = self.backend.rollback() {
            self.poison(&fault);
        }
    }

    fn poison(&self, fault: &Fault) {
        tracing::error!(?fault, "the store must be reopened after a failed write");
        self.shared.poisoned.store(true, Ordering::Release);
    }
}

struct Transaction<'a, 's, B> {
    backend: &'a mut B,
    group: Box<dyn GroupSealer + 's>,
    durable_logs: &'a HashMap<LogId, u64>,
    logs: HashMap<LogId, u64>,
    journal: journal::Group,
    /// The last commit that was assigned.
    seq: Seq,
}

impl<B: Backend> Transaction<'_, '_, B> {
    fn apply_all(
        &mut self,
        batches: &[&RawBatch],
        has_reserve: bool,
    ) -> Result<Vec<Outcome>, Fault> {
        batches
            .iter()
            .map(|batch| {
                // What a freed reserve left over is for batches that may use it.
                if !has_reserve && !batch.reserved {
                    return Ok(Err(CommitError::Full));
                }
                match self.conflict(batch)? {
                    Some(key) => Ok(Err(CommitError::Conflict { key })),
                    None => self.apply(batch).map(Ok),
                }
            })
            .collect()
    }

    fn conflict(&mut self, batch: &RawBatch) -> Result<Option<RowKey>, Fault> {
        if let Some(key) = self.backend.forced_conflict(batch) {
            return Ok(Some(key));
        }
        for (key, expected) in &batch.expect {
            let holds = match (self.backend.version(key)?, expected) {
                (None, Expected::Absent) => true,
                (Some(version), Expected::At(wanted)) => version == *wanted,
                _ => false,
            };
            if !holds {
                return Ok(Some(key.clone()));
            }
        }
        Ok(None)
    }

    fn apply(&mut self, batch: &RawBatch) -> Result<Committed, Fault> {
        let seq = self.seq.next();
        self.journal.begin_batch(batch.id);
        for write in &batch.writes {
            match write {
                RawWrite::Put { key, kind, value } => self.put(seq, key, *kind, value)?,
                RawWrite::Delete { key, .. } => {
                    if let Some(version) = self.backend.version(key)? {
                        self.delete(key, version)?;
                    }
                }
                RawWrite::DeletePrefix { prefix } => {
                    for (key, version) in self.backend.versions(prefix.as_bytes())? {
                        self.delete(&key, version)?;
                    }
                }
            }
        }
        let mut indexes = Vec::with_capacity(batch.appends.len());
        for append in &batch.appends {
            let log = append.log;
            let index = self.log_len(log)?;
            let plain = append.bytes.expose();
            let stored = self.group.append(log, index, seq, plain)?;
            self.backend.append(log, index, seq, &stored)?;
            self.logs.insert(log, index + 1);
            indexes.push(index);
        }
        for trim in &batch.trims {
            // By its last entry the engine knows how long a log is.
            if trim.before >= self.log_len(trim.log)? {
                return Err(Fault::Io(IoCause::new(&"a log keeps its last entry")));
            }
            self.backend.trim(trim.log, trim.before)?;
            self.group.trim(trim.log, trim.before, &trim.chain);
        }
        self.seq = seq;
        Ok(Committed { seq, indexes })
    }

    /// How many entries a log has, those of this transaction included.
    fn log_len(&mut self, log: LogId) -> Result<u64, Fault> {
        let known = self.logs.get(&log).or_else(|| self.durable_logs.get(&log));
        match known {
            Some(len) => Ok(*len),
            None => self.backend.log_len(log),
        }
    }

    fn put(
        &mut self,
        seq: Seq,
        key: &RowKey,
        kind: Kind,
        value: &SecretBytes,
    ) -> Result<(), Fault> {
        let old = self.backend.version(key)?;
        let sealed = kind != Kind::Clear;
        let stored = self.group.put(key, sealed, old, seq, value.expose())?;
        self.backend.put(key, seq, stored)?;
        self.journal.change(key, false);
        Ok(())
    }

    fn delete(&mut self, key: &RowKey, version: Seq) -> Result<(), Fault> {
        self.backend.delete(key)?;
        self.group.delete(key, version);
        self.journal.change(key, true);
        Ok(())
    }

    fn end(&mut self, first: Seq, sealer: &dyn CommitSealer) -> Result<(), Fault> {
        let head = self.group.head(self.seq)?;
        let sentinel = match self.backend.has_sentinel() {
            true => None,
            false => Some(sealer.sentinel()?),
        };
        self.backend.end_group(&GroupEnd {
            first,
            last: self.seq,
            head: &head,
            sentinel: sentinel.as_deref(),
            journal: self.journal.as_bytes(),
        })
    }
}
