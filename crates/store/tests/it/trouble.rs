//! What is wrong with a store is asked by whoever looks at its health, which strangers
//! may do as often as they like.

use crate::home::{AGENTS, Home, LEDGER, Noon, commit, doc};
use procura_crypto::SystemEntropy;
use procura_store::{
    Changes, CommitFuture, CommitObserver, CommitSealer, Engine, RawBatch, RawEntry, RawRow,
    RowKey, Seq, Snapshot, SqliteEngine, SqliteOptions, Store, StoreError,
};
use procura_types::BatchId;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// Counts what grows with the number of commits, and fails when it is told to.
struct Counting {
    engine: SqliteEngine,
    long: AtomicU64,
    fails: AtomicBool,
}

impl Counting {
    fn long(&self) -> &SqliteEngine {
        self.long.fetch_add(1, Ordering::SeqCst);
        &self.engine
    }
}

impl Engine for Counting {
    fn get(&self, key: &RowKey) -> Result<Option<RawRow>, StoreError> {
        self.engine.get(key)
    }
    fn snapshot(&self, life: Duration) -> Result<Box<dyn Snapshot>, StoreError> {
        self.engine.snapshot(life)
    }
    fn changes(&self, after: Seq, limit: usize) -> Result<Changes, StoreError> {
        self.long().changes(after, limit)
    }
    fn commit(&self, batch: RawBatch) -> CommitFuture {
        self.engine.commit(batch)
    }
    fn fate(&self, batch: BatchId) -> Result<Option<Seq>, StoreError> {
        self.long().fate(batch)
    }
    fn log_read(&self, log: &str, from: u64, limit: usize) -> Result<Vec<RawEntry>, StoreError> {
        self.long().log_read(log, from, limit)
    }
    fn log_len(&self, log: &str) -> Result<u64, StoreError> {
        if self.fails.load(Ordering::SeqCst) {
            return Err(StoreError::Poisoned);
        }
        self.engine.log_len(log)
    }
    fn set_sealer(&self, sealer: Option<Arc<dyn CommitSealer>>) {
        self.engine.set_sealer(sealer);
    }
    fn observe(&self, observer: Arc<dyn CommitObserver>) {
        self.engine.observe(observer);
    }
    fn integrity(&self) -> Result<Vec<String>, StoreError> {
        self.long().integrity()
    }
}

#[test]
fn it_is_told_without_looking_through_what_was_committed() {
    let home = Home::new(1);
    let options = SqliteOptions::default();
    let engine = Arc::new(Counting {
        engine: SqliteEngine::open(&home.path, &home.id, &options).unwrap(),
        long: AtomicU64::new(0),
        fails: AtomicBool::new(false),
    });
    let store = Store::over(
        Arc::clone(&engine) as Arc<dyn Engine>,
        Arc::new(Noon),
        Arc::new(SystemEntropy),
    );
    assert_eq!(store.trouble(), []);
    store.install_barrier(home.barrier()).unwrap();
    for number in 0..20 {
        commit(&store, |b| {
            AGENTS.put(b, &format!("agent-{number}"), &doc("x"));
            b.append(LEDGER, b"x".to_vec());
        });
    }
    store.wait_verified().unwrap();
    assert_eq!(store.trouble(), []);
    assert_eq!(engine.long.load(Ordering::SeqCst), 0);
    engine.fails.store(true, Ordering::SeqCst);
    assert_eq!(store.trouble(), [StoreError::Poisoned]);
    engine.fails.store(false, Ordering::SeqCst);
    store.seal();
    assert_eq!(store.trouble(), []);
}
