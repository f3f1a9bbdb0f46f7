//! What every engine must do, whatever database is under it. An implementation
//! runs [`run`] in its tests.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test suite fails by panicking; it is compiled for tests only"
)]

mod commits;
mod logs;
mod rows;

use crate::engine::{Engine, Expected, Kind, Lane, LogId, RawAppend, RawBatch, RawWrite};
use crate::sealer::{CommitSealer, GroupSealer, SealFailed};
use crate::{CommitError, Committed, RowKey, Seq};
use procura_types::{BatchId, SecretBytes};
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// One store that can be opened again and again; opened once at a time.
pub trait Fixture {
    /// Opens the store; the first time it is empty.
    fn open(&self) -> Arc<dyn Engine>;
}

/// What the suite needs to make stores with.
pub struct Factory<'a> {
    /// An empty store.
    pub plain: &'a dyn Fn() -> Box<dyn Fixture>,
    /// An empty store that keeps the last 64 commits for feed and fates.
    pub forgetful: &'a dyn Fn() -> Box<dyn Fixture>,
    /// An empty store that is full after a few MiB.
    pub small: &'a dyn Fn() -> Box<dyn Fixture>,
}

/// Runs the whole suite.
///
/// # Panics
/// When the engine does not do what the contract says.
pub fn run(factory: &Factory<'_>) {
    let plain = factory.plain;
    rows::rows_are_written_and_versions_are_commits(&*plain());
    rows::expectations_hold_or_nothing_is_applied(&*plain());
    rows::conflicts_in_a_group_affect_nobody_else(&*plain());
    logs::logs_are_dense(&*plain());
    logs::logs_lose_their_beginning(&*plain());
    rows::snapshots_stand_still_and_end(&*plain());
    rows::scans_are_ordered_and_bounded(&*plain());
    commits::the_feed_resumes(&*plain());
    rows::prefixes_are_deleted(&*plain());
    commits::nothing_is_written_without_a_sealer(&*plain());
    commits::dropping_a_future_cancels_nothing(&*plain());
    commits::observers_are_told_before_callers(&*plain());
    rows::too_large_is_refused(&*plain());
    commits::the_anchor_moves_with_every_group(&*plain());
    commits::everything_survives_reopening(&*plain());
    commits::the_feed_and_fates_are_bounded(&*(factory.forgetful)());
    commits::a_full_store_takes_reserved_batches_only(&*(factory.small)());
}

/// Stores what it is given, with the version in front, so that the suite sees
/// what the engine asked for.
pub struct OpenSealer;

impl CommitSealer for OpenSealer {
    fn begin(&self) -> Box<dyn GroupSealer + '_> {
        Box::new(OpenGroup)
    }
    fn sentinel(&self) -> Result<Vec<u8>, SealFailed> {
        Ok(b"sentinel".to_vec())
    }
}

struct OpenGroup;

fn stored(version: Seq, plain: &[u8]) -> Vec<u8> {
    [&version.get().to_be_bytes(), plain].concat()
}

impl GroupSealer for OpenGroup {
    fn put(
        &mut self,
        _key: &RowKey,
        _sealed: bool,
        _old: Option<Seq>,
        version: Seq,
        plain: &[u8],
    ) -> Result<Vec<u8>, SealFailed> {
        Ok(stored(version, plain))
    }
    fn delete(&mut self, _key: &RowKey, _old: Seq) {}
    fn append(
        &mut self,
        _log: LogId,
        _index: u64,
        version: Seq,
        plain: &[u8],
    ) -> Result<Vec<u8>, SealFailed> {
        Ok(stored(version, plain))
    }
    fn trim(&mut self, _log: LogId, _before: u64, _chain: &[u8; 32]) {}
    fn head(&mut self, seq: Seq) -> Result<Vec<u8>, SealFailed> {
        Ok(format!("head {seq}").into_bytes())
    }
    fn durable(self: Box<Self>) {}
}

const LOG: LogId = LogId::new("ledger");
const OTHER: LogId = LogId::new("outbox");
const LIFE: Duration = Duration::from_secs(60);

/// The key `name` of the suite's table.
#[must_use]
pub fn key(name: &str) -> RowKey {
    RowKey::new("t", name.as_bytes())
}

/// An empty batch with an id of its own.
#[must_use]
pub fn batch() -> RawBatch {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let mut id = [0; 16];
    id[8..].copy_from_slice(&NEXT.fetch_add(1, Ordering::Relaxed).to_be_bytes());
    RawBatch {
        id: BatchId::from_bytes(id),
        lane: Lane::Ordinary,
        reserved: false,
        expect: Vec::new(),
        writes: Vec::new(),
        appends: Vec::new(),
        trims: Vec::new(),
    }
}

/// Builds batches in one expression.
pub trait Build: Sized {
    /// Adds a put of `value` to the key `name`.
    #[must_use]
    fn put(self, name: &str, value: &[u8]) -> Self;
    /// Adds a delete.
    #[must_use]
    fn delete(self, name: &str) -> Self;
    /// Adds an expectation.
    #[must_use]
    fn expect_row(self, name: &str, expected: Expected) -> Self;
    /// Adds an append.
    #[must_use]
    fn append(self, log: LogId, bytes: &[u8]) -> Self;
}

impl Build for RawBatch {
    fn put(mut self, name: &str, value: &[u8]) -> Self {
        self.writes.push(RawWrite::Put {
            key: key(name),
            kind: Kind::Directory,
            value: SecretBytes::new(value.to_vec()),
        });
        self
    }
    fn delete(mut self, name: &str) -> Self {
        self.writes.push(RawWrite::Delete {
            key: key(name),
            kind: Kind::Directory,
        });
        self
    }
    fn expect_row(mut self, name: &str, expected: Expected) -> Self {
        self.expect.push((key(name), expected));
        self
    }
    fn append(mut self, log: LogId, bytes: &[u8]) -> Self {
        let bytes = SecretBytes::new(bytes.to_vec());
        self.appends.push(RawAppend { log, bytes });
        self
    }
}

/// Waits for a future on a thread without a runtime.
pub fn wait<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread();
    runtime_of(runtime).block_on(future)
}

fn runtime_of(mut builder: tokio::runtime::Builder) -> tokio::runtime::Runtime {
    builder.build().unwrap()
}

fn unsealed(fixture: &dyn Fixture) -> Arc<dyn Engine> {
    let engine = fixture.open();
    engine.set_sealer(Some(Arc::new(OpenSealer)));
    engine
}

fn commit(engine: &dyn Engine, batch: RawBatch) -> Result<Committed, CommitError> {
    wait(engine.commit(batch))
}

fn committed(engine: &dyn Engine, batch: RawBatch) -> Seq {
    commit(engine, batch).unwrap().seq
}

fn row(engine: &dyn Engine, name: &str) -> Option<(Seq, Vec<u8>)> {
    let row = engine.get(&key(name)).unwrap()?;
    assert_eq!(row.value[..8], row.version.get().to_be_bytes());
    Some((row.version, row.value[8..].to_vec()))
}
