//! A log that entries are forgotten of, its files, and a clock that the test turns.

use crate::world::{entropy, parts, store, trace};
use procura_ledger::{
    Checkpoint, Entry, Finding, Hash, ReadError, ReadFile, TileKind, Vkey, layout, leaf_hash,
    verify_consistency, verify_export, verify_inclusion,
};
use procura_record::tables::{LEDGER, PUBLISHED_KEY, RETENTION, RetentionRow};
use procura_record::{
    Lease, Publisher, QueryError, RecordReader, Retention, RetentionParts, carried, first_kept,
};
use procura_store::{Batch, FakeDisk, Store, StoreError};
use procura_types::{ActorId, BatchId, Clock, Duration, Timestamp};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

pub(crate) const DAY: Duration = Duration::from_secs(24 * 60 * 60);
pub(crate) const BEGIN: u64 = 1_795_000_000_000;

/// A clock that the test turns.
pub(crate) struct Turned(pub(crate) AtomicU64);

impl Clock for Turned {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0.load(Ordering::Relaxed))
    }
}

/// A log, over a fake disk or none, its files, and what forgets.
pub(crate) struct Site<D = FakeDisk> {
    pub(crate) disk: D,
    pub(crate) home: tempfile::TempDir,
    pub(crate) clock: Arc<Turned>,
    pub(crate) store: Store,
    pub(crate) publisher: Publisher,
    pub(crate) seen: Vec<Checkpoint>,
}

impl Site {
    pub(crate) async fn new() -> Self {
        Self::on(FakeDisk::default()).await
    }

    pub(crate) async fn on(disk: FakeDisk) -> Self {
        let store = store(&disk);
        Self::over(disk, store).await
    }

    /// The same, after the process ended.
    pub(crate) async fn restart(self) -> Self {
        self.reopened(|_| {}, store).await
    }
}

impl<D> Site<D> {
    /// A new one, over this store.
    pub(crate) async fn over(disk: D, store: Store) -> Self {
        let home = tempfile::tempdir().unwrap();
        let publisher = Publisher::start(parts(&store, home.path())).await.unwrap();
        Self {
            disk,
            home,
            clock: Arc::new(Turned(AtomicU64::new(BEGIN))),
            store,
            publisher,
            seen: Vec::new(),
        }
    }

    /// The same, after it let go of the store, something else had it, and it was opened again.
    pub(crate) async fn reopened(
        self,
        between: impl FnOnce(&Path),
        open: impl FnOnce(&D) -> Store,
    ) -> Self {
        let Self {
            disk,
            home,
            clock,
            store,
            publisher,
            seen,
        } = self;
        publisher.stop().await;
        drop((publisher, store));
        between(home.path());
        let store = open(&disk);
        let publisher = Publisher::start(parts(&store, home.path())).await.unwrap();
        Self {
            disk,
            home,
            clock,
            store,
            publisher,
            seen,
        }
    }

    pub(crate) fn retention(&self) -> Retention {
        self.retention_under(None)
    }

    pub(crate) fn retention_under(&self, lease: Option<Arc<Lease>>) -> Retention {
        let keys = parts(&self.store, self.home.path()).keys;
        Retention::new(RetentionParts {
            store: self.store.clone(),
            tiles: self.publisher.tiles().clone(),
            keys,
            clock: Arc::clone(&self.clock) as Arc<dyn Clock>,
            entropy: entropy(),
            lease,
        })
    }

    pub(crate) fn reader(&self) -> RecordReader {
        RecordReader::new(self.store.clone(), self.publisher.tiles().clone())
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub(crate) fn later(&self, by: Duration) {
        let by = u64::try_from(by.as_millis()).unwrap();
        self.clock.0.fetch_add(by, Ordering::Relaxed);
    }

    pub(crate) fn batch(&self) -> Batch {
        Batch::new(BatchId::generate(self.clock.now(), &*entropy()).unwrap())
    }

    /// Entries of now.
    pub(crate) async fn write(&self, count: u64) {
        let mut batch = self.batch();
        for _ in 0..count {
            let entry = Entry::new(self.clock.now(), &*entropy(), "secret.list", trace());
            batch.append(LEDGER, entry.unwrap().to_bytes().unwrap());
        }
        self.store.commit(batch).await.unwrap();
    }

    /// Has entries kept for so many days, since a while ago.
    pub(crate) async fn keep(&self, days: u64) {
        let mut batch = self.batch();
        let row = RetentionRow {
            keep: Some(days * DAY.as_secs()),
            since: self.clock.now().minus(DAY),
            by: ActorId::from_bytes([1; 32]),
            before: None,
        };
        RETENTION.put(&mut batch, &PUBLISHED_KEY.to_owned(), &row);
        self.store.commit(batch).await.unwrap();
    }

    /// Forgets all that is due, and says how many steps it took.
    pub(crate) async fn forget(&self) -> u64 {
        self.published().await;
        let (retention, due) = (self.retention(), self.clock.now());
        let mut steps = 0;
        while retention.step(Some(due)).await.unwrap() {
            steps += 1;
            assert!(steps < 1000, "it comes to no end");
        }
        steps
    }

    pub(crate) async fn published(&self) -> Checkpoint {
        let length = self.store.log_len(LEDGER).unwrap();
        let note = self.publisher.covering(length).await.unwrap().note.clone();
        Checkpoint::open(&note, &self.vkey()).unwrap()
    }

    pub(crate) fn vkey(&self) -> Vkey {
        self.publisher.vkey()
    }

    /// The newest checkpoint: every entry that is kept is in it, and it goes on from each
    /// that was seen before.
    pub(crate) async fn holds(&mut self) {
        let now = self.published().await;
        let reader = self.reader();
        let first = self.store.log_start(LEDGER).unwrap();
        let count = usize::try_from(now.size - first).unwrap();
        let log = self.store.log_read(LEDGER, first, count).unwrap();
        assert_eq!(log.len(), count);
        for entry in log.iter().step_by(17).chain(log.first()).chain(log.last()) {
            let path = hashes(&reader.inclusion(entry.index, now.size).await.unwrap());
            let leaf = leaf_hash(entry.bytes.expose());
            verify_inclusion(&leaf, entry.index, now.size, &path, &now.root).unwrap();
        }
        for before in &self.seen {
            let proof = reader.consistency(before.size, now.size).await.unwrap();
            let path = hashes(&proof.path);
            verify_consistency(before.size, &before.root, now.size, &now.root, &path).unwrap();
        }
        assert_eq!(self.store.deep_check().unwrap(), [""; 0]);
        self.seen.push(now);
    }

    /// The record as it is exported now, verified.
    pub(crate) async fn export(&self) -> Result<procura_ledger::Report, Finding> {
        let carried = carried(&self.store).unwrap();
        let first = first_kept(&self.store).unwrap();
        self.published().await;
        let published = self.publisher.latest().unwrap();
        let mut files = std::collections::BTreeMap::new();
        files.insert("checkpoint".to_owned(), published.note.clone().into_bytes());
        files.extend(carried.map(|bytes| ("forgotten".to_owned(), bytes)));
        let reader = self.reader();
        for path in layout(published.size) {
            let gone = path.kind() == TileKind::Entries && path.index() < first / 256;
            match reader.tile(path).await {
                Ok(bytes) if !gone => {
                    files.insert(path.to_string(), bytes.unwrap());
                }
                Err(QueryError::Store(StoreError::Forgotten { first: said, .. })) if gone => {
                    assert_eq!(said, first);
                }
                other => panic!("{path}: {other:?}"),
            }
        }
        verify_export(&Export(files), &self.vkey(), None)
    }
}

struct Export(std::collections::BTreeMap<String, Vec<u8>>);

impl ReadFile for Export {
    fn read(&self, name: &str) -> Result<Vec<u8>, ReadError> {
        self.0.get(name).cloned().ok_or(ReadError::Missing)
    }
}

fn hashes(texts: &[String]) -> Vec<Hash> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}
