//! An engine in memory that fails when asked to: every durable step, both ways.

use crate::engine::{
    Anchor, Changes, CommitFuture, CommitObserver, Engine, RawBatch, RawEntry, RawRow, Snapshot,
};
use crate::key::KeyRange;
use crate::sealer::CommitSealer;
use crate::writer::{self, Backend, Fault, GroupEnd, Shared, Thread};
use crate::{Damage, IoCause, LogId, RowKey, Seq, StoreError, journal};
use bytes::Bytes;
use procura_types::BatchId;
use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// What happens at a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FakeFault {
    /// The commit fails and nothing of it is there afterwards: `Unknown`.
    Lost,
    /// The commit is durable and is reported failed: `Unknown`.
    KeptButFailed,
    /// No space for this one: `Full`.
    Full,
    /// The batch conflicts, on the first row that it names.
    Conflict,
}

/// What outlives an engine. Cheap to clone; open one engine at a time on it.
#[derive(Clone)]
pub struct FakeDisk(Arc<Mutex<Disk>>);

/// The extra bytes that reserved batches may use on a full disk.
const RESERVE: usize = 1024 * 1024;

struct Disk {
    data: Arc<Data>,
    /// Batches that the writer began to commit, on all engines of this disk.
    steps: u64,
    script: HashMap<u64, FakeFault>,
    kept: u64,
    capacity: usize,
}

#[derive(Clone, Default)]
struct Data {
    rows: BTreeMap<RowKey, RawRow>,
    logs: BTreeMap<Arc<str>, Vec<RawEntry>>,
    seq: Seq,
    head: Option<Bytes>,
    sentinel: Option<Bytes>,
    /// First and last commit of a group and its record.
    journal: Vec<(Seq, Seq, Bytes)>,
    bytes: usize,
}

impl FakeDisk {
    /// An empty disk that keeps `kept` commits for the feed and has room for
    /// `capacity` bytes of rows and entries.
    #[must_use]
    pub fn new(kept: u64, capacity: usize) -> Self {
        Self(Arc::new(Mutex::new(Disk {
            data: Arc::default(),
            steps: 0,
            script: HashMap::new(),
            kept,
            capacity,
        })))
    }

    fn lock(&self) -> MutexGuard<'_, Disk> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many batches were begun so far; the next one is this number plus one.
    #[must_use]
    pub fn steps(&self) -> u64 {
        self.lock().steps
    }

    /// Lets the batch with this number fail, counted from 1.
    pub fn fail(&self, step: u64, fault: FakeFault) {
        self.lock().script.insert(step, fault);
    }

    /// A disk with the same content, as a copy of the file would be.
    #[must_use]
    pub fn copy(&self) -> Self {
        let disk = self.lock();
        Self(Arc::new(Mutex::new(Disk {
            data: Arc::clone(&disk.data),
            steps: 0,
            script: HashMap::new(),
            kept: disk.kept,
            capacity: disk.capacity,
        })))
    }
}

impl Default for FakeDisk {
    fn default() -> Self {
        Self::new(journal::KEPT, usize::MAX / 2)
    }
}

/// The engine in memory. One batch is one group, so that steps can be counted.
pub struct FakeEngine {
    shared: Arc<Shared>,
    disk: FakeDisk,
    _thread: Thread,
}

impl FakeEngine {
    /// Opens what is on the disk.
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn open(disk: &FakeDisk) -> Result<Self, StoreError> {
        let shared = Arc::new(Shared::new());
        let mine = disk.clone();
        let thread = Thread::spawn(Arc::clone(&shared), move |shared| {
            let backend = FakeBackend {
                disk: mine,
                staged: Data::default(),
                fault: None,
                reserve: true,
            };
            writer::run(backend, shared);
        })
        .map_err(|error| StoreError::Io(IoCause::new(&error)))?;
        Ok(Self {
            shared,
            disk: disk.clone(),
            _thread: thread,
        })
    }

    fn data(&self) -> Result<Arc<Data>, StoreError> {
        if self.shared.is_poisoned() {
            return Err(StoreError::Poisoned);
        }
        Ok(Arc::clone(&self.disk.lock().data))
    }
}

impl Data {
    fn range<'a>(&'a self, range: &'a KeyRange) -> impl Iterator<Item = (&'a RowKey, &'a RawRow)> {
        self.rows
            .iter()
            .skip_while(|(key, _)| key.as_bytes() < range.start())
            .take_while(|(key, _)| range.end().is_none_or(|end| key.as_bytes() < end))
    }

    fn entries(&self, log: &str) -> &[RawEntry] {
        self.logs.get(log).map_or(&[], Vec::as_slice)
    }

    fn groups(
        &self,
    ) -> impl DoubleEndedIterator<Item = Result<Vec<journal::Recorded>, StoreError>> {
        self.journal.iter().map(|(first, _, bytes)| {
            journal::read(*first, bytes)
                .ok_or_else(|| Damage::File("the record of a group is malformed".into()).into())
        })
    }
}

impl Engine for FakeEngine {
    fn get(&self, key: &RowKey) -> Result<Option<RawRow>, StoreError> {
        Ok(self.data()?.rows.get(key).cloned())
    }

    fn snapshot(&self, life: Duration) -> Result<Box<dyn Snapshot>, StoreError> {
        let now = Instant::now();
        Ok(Box::new(FakeSnapshot {
            data: self.data()?,
            ends: now.checked_add(life).unwrap_or(now),
        }))
    }

    fn changes(&self, after: Seq, limit: usize) -> Result<Changes, StoreError> {
        let data = self.data()?;
        let oldest = data.journal.first().map_or(data.seq, |(first, ..)| {
            Seq::new(first.get().saturating_sub(1))
        });
        if after < oldest || after > data.seq {
            return Err(StoreError::Gap { oldest });
        }
        let mut feed = Changes {
            changes: Vec::new(),
            upto: after,
        };
        for group in data.groups() {
            for batch in group?.into_iter().filter(|batch| batch.seq > after) {
                if feed.changes.len() >= limit {
                    return Ok(feed);
                }
                feed.upto = batch.seq;
                feed.changes.extend(batch.changes);
            }
        }
        Ok(feed)
    }

    fn commit(&self, batch: RawBatch) -> CommitFuture {
        self.shared.queue.submit(batch)
    }

    fn fate(&self, batch: BatchId) -> Result<Option<Seq>, StoreError> {
        for group in self.data()?.groups().rev() {
            if let Some(found) = group?.iter().find(|recorded| recorded.id == batch) {
                return Ok(Some(found.seq));
            }
        }
        Ok(None)
    }

    fn log_read(&self, log: &str, from: u64, limit: usize) -> Result<Vec<RawEntry>, StoreError> {
        let data = self.data()?;
        let entries = data.entries(log).iter();
        Ok(entries
            .filter(|entry| entry.index >= from)
            .take(limit)
            .cloned()
            .collect())
    }

    fn log_len(&self, log: &str) -> Result<u64, StoreError> {
        Ok(length(self.data()?.entries(log)))
    }

    fn set_sealer(&self, sealer: Option<Arc<dyn CommitSealer>>) {
        self.shared.set_sealer(sealer);
    }

    fn observe(&self, observer: Arc<dyn CommitObserver>) {
        self.shared.observe(observer);
    }

    fn integrity(&self) -> Result<Vec<String>, StoreError> {
        self.data().map(|_| Vec::new())
    }
}

fn length(entries: &[RawEntry]) -> u64 {
    entries.last().map_or(0, |entry| entry.index + 1)
}

struct FakeSnapshot {
    data: Arc<Data>,
    ends: Instant,
}

impl FakeSnapshot {
    fn data(&self) -> Result<&Data, StoreError> {
        if Instant::now() < self.ends {
            Ok(&self.data)
        } else {
            Err(StoreError::SnapshotExpired)
        }
    }
}

impl Snapshot for FakeSnapshot {
    fn seq(&self) -> Seq {
        self.data.seq
    }

    fn get(&self, key: &RowKey) -> Result<Option<RawRow>, StoreError> {
        Ok(self.data()?.rows.get(key).cloned())
    }

    fn scan(&self, range: &KeyRange, limit: usize) -> Result<Vec<(RowKey, RawRow)>, StoreError> {
        let rows = self.data()?.range(range).take(limit);
        Ok(rows.map(|(key, row)| (key.clone(), row.clone())).collect())
    }

    fn versions(&self, range: &KeyRange, limit: usize) -> Result<Vec<(RowKey, Seq)>, StoreError> {
        let rows = self.data()?.range(range).take(limit);
        Ok(rows.map(|(key, row)| (key.clone(), row.version)).collect())
    }

    fn anchor(&self) -> Result<Anchor, StoreError> {
        let data = self.data()?;
        let logs = data.logs.iter();
        Ok(Anchor {
            seq: data.seq,
            head: data.head.clone(),
            sentinel: data.sentinel.clone(),
            newest: data.journal.last().map(|(_, last, _)| *last),
            logs: logs
                .map(|(name, entries)| (Arc::clone(name), length(entries)))
                .collect(),
        })
    }
}

struct FakeBackend {
    disk: FakeDisk,
    /// The state that the transaction will leave.
    staged: Data,
    fault: Option<FakeFault>,
    /// The space for reserved batches is held back.
    reserve: bool,
}

impl FakeBackend {
    fn failed() -> Fault {
        Fault::Io(IoCause::new(&"the fake engine failed as it was told"))
    }
}

impl Backend for FakeBackend {
    fn seq(&self) -> Seq {
        self.staged.seq
    }

    fn has_sentinel(&self) -> bool {
        self.staged.sentinel.is_some()
    }

    fn log_len(&mut self, log: LogId) -> Result<u64, Fault> {
        Ok(length(self.staged.entries(log.as_str())))
    }

    fn group_limit(&self) -> usize {
        1
    }

    fn has_reserve(&mut self) -> bool {
        if !self.reserve {
            let disk = self.disk.lock();
            self.reserve = disk.data.bytes < disk.capacity;
        }
        self.reserve
    }

    fn free_reserve(&mut self) -> bool {
        std::mem::take(&mut self.reserve)
    }

    fn forced_conflict(&mut self, batch: &RawBatch) -> Option<RowKey> {
        if self.fault != Some(FakeFault::Conflict) {
            return None;
        }
        let written = batch.writes.iter().map(|write| match write {
            crate::RawWrite::Put { key, .. } | crate::RawWrite::Delete { key, .. } => key,
            crate::RawWrite::DeletePrefix { prefix } => prefix,
        });
        let mut named = batch.expect.iter().map(|(key, _)| key).chain(written);
        Some(
            named
                .next()
                .cloned()
                .unwrap_or_else(|| RowKey::new("", b"")),
        )
    }

    fn begin(&mut self) -> Result<(), Fault> {
        let mut disk = self.disk.lock();
        disk.steps += 1;
        let step = disk.steps;
        self.fault = disk.script.remove(&step);
        self.staged = Data::clone(&disk.data);
        Ok(())
    }

    fn version(&mut self, key: &RowKey) -> Result<Option<Seq>, Fault> {
        Ok(self.staged.rows.get(key).map(|row| row.version))
    }

    fn versions(&mut self, prefix: &[u8]) -> Result<Vec<(RowKey, Seq)>, Fault> {
        let range = KeyRange::prefix(prefix);
        let rows = self.staged.range(&range);
        Ok(rows.map(|(key, row)| (key.clone(), row.version)).collect())
    }

    fn put(&mut self, key: &RowKey, version: Seq, value: Vec<u8>) -> Result<(), Fault> {
        self.delete(key)?;
        self.staged.bytes += key.as_bytes().len() + value.len();
        let value = value.into();
        self.staged
            .rows
            .insert(key.clone(), RawRow { version, value });
        Ok(())
    }

    fn delete(&mut self, key: &RowKey) -> Result<(), Fault> {
        if let Some(row) = self.staged.rows.remove(key) {
            self.staged.bytes -= key.as_bytes().len() + row.value.len();
        }
        Ok(())
    }

    fn append(&mut self, log: LogId, index: u64, version: Seq, value: &[u8]) -> Result<(), Fault> {
        self.staged.bytes += value.len();
        let entries = self.staged.logs.entry(log.as_str().into()).or_default();
        entries.push(RawEntry {
            index,
            version,
            value: Bytes::copy_from_slice(value),
        });
        Ok(())
    }

    fn trim(&mut self, log: LogId, before: u64) -> Result<(), Fault> {
        if let Some(entries) = self.staged.logs.get_mut(log.as_str()) {
            let end = entries.partition_point(|entry| entry.index < before);
            for gone in entries.drain(..end) {
                self.staged.bytes -= gone.value.len();
            }
        }
        Ok(())
    }

    fn end_group(&mut self, end: &GroupEnd<'_>) -> Result<(), Fault> {
        let kept = self.disk.lock().kept;
        let staged = &mut self.staged;
        staged.seq = end.last;
        staged.head = Some(Bytes::copy_from_slice(end.head));
        if let Some(sentinel) = end.sentinel {
            staged.sentinel = Some(Bytes::copy_from_slice(sentinel));
        }
        let record = Bytes::copy_from_slice(end.journal);
        staged.journal.push((end.first, end.last, record));
        let bound = Seq::new(end.last.get().saturating_sub(kept));
        let old = (staged.journal).partition_point(|(_, last, _)| *last < bound);
        staged
            .journal
            .drain((Bound::Unbounded, Bound::Excluded(old)));
        Ok(())
    }

    fn commit(&mut self) -> Result<(), Fault> {
        let mut disk = self.disk.lock();
        let extra = if self.reserve { 0 } else { RESERVE };
        let grows = self.staged.bytes > disk.data.bytes;
        let full = grows && self.staged.bytes > disk.capacity.saturating_add(extra);
        match self.fault.take() {
            Some(FakeFault::Lost) => return Err(Self::failed()),
            Some(FakeFault::Full) => return Err(Fault::Full),
            _ if full => return Err(Fault::Full),
            fault => {
                disk.data = Arc::new(self.staged.clone());
                if fault == Some(FakeFault::KeptButFailed) {
                    return Err(Self::failed());
                }
            }
        }
        Ok(())
    }

    fn rollback(&mut self) -> Result<(), Fault> {
        self.staged = Data::default();
        self.fault = None;
        Ok(())
    }
}
