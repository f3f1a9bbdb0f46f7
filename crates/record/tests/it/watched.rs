//! An engine that counts what is read of logs, can be held up there, and can lose
//! or damage the rows of the record's index.

use procura_store::{
    Anchor, Changes, CommitFuture, CommitObserver, CommitSealer, Engine, FakeDisk, FakeEngine,
    KeyRange, RawBatch, RawEntry, RawRow, RowKey, Seq, Snapshot, StoreError,
};
use procura_types::BatchId;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

pub(crate) const TABLE: &str = "ledger-block";

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Rows {
    Sound,
    /// A byte of each is another.
    Edited,
    /// Somebody removed them from the file.
    Removed,
}

#[derive(Default)]
struct Readers {
    held: bool,
    /// Whoever reads from there next waits, and nobody else.
    next: Option<u64>,
    /// Whether they wait still.
    one_held: bool,
    inside: usize,
    most: usize,
}

pub(crate) struct Watched {
    engine: FakeEngine,
    rows: Rows,
    read: AtomicU64,
    readers: Mutex<Readers>,
    moved: Condvar,
}

impl Watched {
    pub(crate) fn open(disk: &FakeDisk, rows: Rows) -> Arc<Self> {
        Arc::new(Self {
            engine: FakeEngine::open(disk).unwrap(),
            rows,
            read: AtomicU64::new(0),
            readers: Mutex::default(),
            moved: Condvar::new(),
        })
    }

    /// Entries read since the last call.
    pub(crate) fn take_read(&self) -> u64 {
        self.read.swap(0, Ordering::SeqCst)
    }

    /// From now on, readers of logs wait.
    pub(crate) fn hold(&self) {
        self.readers.lock().unwrap().held = true;
    }

    /// Whoever reads a log from this entry next waits, and nobody else.
    pub(crate) fn hold_one(&self, from: u64) {
        self.readers.lock().unwrap().next = Some(from);
    }

    /// Whether they do.
    pub(crate) fn holds_one(&self) -> bool {
        self.readers.lock().unwrap().one_held
    }

    pub(crate) fn release(&self) {
        let mut readers = self.readers.lock().unwrap();
        (readers.held, readers.one_held) = (false, false);
        drop(readers);
        self.moved.notify_all();
    }

    /// Readers that are inside now, and the most that were at once.
    pub(crate) fn inside(&self) -> (usize, usize) {
        let readers = self.readers.lock().unwrap();
        (readers.inside, readers.most)
    }

    fn shown(&self, key: &RowKey, row: RawRow) -> Option<RawRow> {
        match self.rows {
            _ if key.table() != TABLE => Some(row),
            Rows::Sound => Some(row),
            Rows::Removed => None,
            Rows::Edited => {
                let mut value = row.value.to_vec();
                *value.last_mut().unwrap() ^= 1;
                Some(RawRow {
                    value: value.into(),
                    ..row
                })
            }
        }
    }
}

impl Engine for Watched {
    fn get(&self, key: &RowKey) -> Result<Option<RawRow>, StoreError> {
        let row = self.engine.get(key)?;
        Ok(row.and_then(|row| self.shown(key, row)))
    }
    fn snapshot(&self, life: Duration) -> Result<Box<dyn Snapshot>, StoreError> {
        Ok(Box::new(Shown {
            snapshot: self.engine.snapshot(life)?,
            hidden: self.rows == Rows::Removed,
        }))
    }
    fn changes(&self, after: Seq, limit: usize) -> Result<Changes, StoreError> {
        self.engine.changes(after, limit)
    }
    fn commit(&self, batch: RawBatch) -> CommitFuture {
        self.engine.commit(batch)
    }
    fn fate(&self, batch: BatchId) -> Result<Option<Seq>, StoreError> {
        self.engine.fate(batch)
    }
    fn log_read(&self, log: &str, from: u64, limit: usize) -> Result<Vec<RawEntry>, StoreError> {
        let mut readers = self.readers.lock().unwrap();
        readers.inside += 1;
        readers.most = readers.most.max(readers.inside);
        let alone = readers.next.take_if(|next| *next == from).is_some();
        readers.one_held |= alone;
        while readers.held || alone && readers.one_held {
            readers = self.moved.wait(readers).unwrap();
        }
        drop(readers);
        let entries = self.engine.log_read(log, from, limit);
        self.readers.lock().unwrap().inside -= 1;
        let count = entries.as_ref().map_or(0, Vec::len);
        self.read.fetch_add(count as u64, Ordering::SeqCst);
        entries
    }
    fn log_len(&self, log: &str) -> Result<u64, StoreError> {
        self.engine.log_len(log)
    }
    fn set_sealer(&self, sealer: Option<Arc<dyn CommitSealer>>) {
        self.engine.set_sealer(sealer);
    }
    fn observe(&self, observer: Arc<dyn CommitObserver>) {
        self.engine.observe(observer);
    }
    fn integrity(&self) -> Result<Vec<String>, StoreError> {
        self.engine.integrity()
    }
}

struct Shown {
    snapshot: Box<dyn Snapshot>,
    hidden: bool,
}

impl Snapshot for Shown {
    fn seq(&self) -> Seq {
        self.snapshot.seq()
    }
    fn get(&self, key: &RowKey) -> Result<Option<RawRow>, StoreError> {
        self.snapshot.get(key)
    }
    fn scan(&self, range: &KeyRange, limit: usize) -> Result<Vec<(RowKey, RawRow)>, StoreError> {
        self.snapshot.scan(range, limit)
    }
    fn versions(&self, range: &KeyRange, limit: usize) -> Result<Vec<(RowKey, Seq)>, StoreError> {
        let mut versions = self.snapshot.versions(range, limit)?;
        versions.retain(|(key, _)| !(self.hidden && key.table() == TABLE));
        Ok(versions)
    }
    fn anchor(&self) -> Result<Anchor, StoreError> {
        self.snapshot.anchor()
    }
}
