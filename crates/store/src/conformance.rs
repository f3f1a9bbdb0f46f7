//! What every engine must do, whatever database is under it. An implementation
//! runs [`run`] in its tests.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test suite fails by panicking; it is compiled for tests only"
)]

use crate::engine::{
    CommitObserver, CommitView, Engine, Expected, Kind, Lane, LogId, RawAppend, RawBatch, RawTrim,
    RawWrite,
};
use crate::key::KeyRange;
use crate::sealer::{CommitSealer, GroupSealer, SealFailed};
use crate::{CommitError, Committed, MAX_BATCH, MAX_VALUE, RowKey, Seq, StoreError};
use procura_types::{BatchId, SecretBytes};
use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
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
    rows_are_written_and_versions_are_commits(&*plain());
    expectations_hold_or_nothing_is_applied(&*plain());
    conflicts_in_a_group_affect_nobody_else(&*plain());
    logs_are_dense(&*plain());
    logs_lose_their_beginning(&*plain());
    snapshots_stand_still_and_end(&*plain());
    scans_are_ordered_and_bounded(&*plain());
    the_feed_resumes(&*plain());
    prefixes_are_deleted(&*plain());
    nothing_is_written_without_a_sealer(&*plain());
    dropping_a_future_cancels_nothing(&*plain());
    observers_are_told_before_callers(&*plain());
    too_large_is_refused(&*plain());
    the_anchor_moves_with_every_group(&*plain());
    everything_survives_reopening(&*plain());
    the_feed_and_fates_are_bounded(&*(factory.forgetful)());
    a_full_store_takes_reserved_batches_only(&*(factory.small)());
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

fn rows_are_written_and_versions_are_commits(fixture: &dyn Fixture) {
    let engine = unsealed(fixture);
    assert_eq!(row(&*engine, "a"), None);
    let first = committed(&*engine, batch().put("a", b"1").put("b", b"2"));
    let second = committed(&*engine, batch().put("a", b"3").delete("b").delete("none"));
    assert_eq!((first, second), (Seq::new(1), Seq::new(2)));
    assert_eq!(row(&*engine, "a"), Some((second, b"3".to_vec())));
    assert_eq!(row(&*engine, "b"), None);
    // The last write of a batch wins, in the order of its writes.
    let third = committed(&*engine, batch().put("c", b"1").put("c", b"2").delete("a"));
    assert_eq!(row(&*engine, "c"), Some((third, b"2".to_vec())));
    assert_eq!(row(&*engine, "a"), None);
    let fourth = committed(&*engine, batch().delete("c").put("c", b"4"));
    assert_eq!(row(&*engine, "c"), Some((fourth, b"4".to_vec())));
}

fn expectations_hold_or_nothing_is_applied(fixture: &dyn Fixture) {
    let engine = unsealed(fixture);
    let conflict = |name: &str| Err(CommitError::Conflict { key: key(name) });
    let fresh = batch().expect_row("a", Expected::Absent).put("a", b"1");
    let first = committed(&*engine, fresh);
    let again = batch()
        .expect_row("a", Expected::Absent)
        .put("a", b"x")
        .append(LOG, b"x");
    assert_eq!(commit(&*engine, again), conflict("a"));
    let stale = batch()
        .expect_row("a", Expected::At(first))
        .expect_row("b", Expected::At(first))
        .put("a", b"x");
    assert_eq!(commit(&*engine, stale), conflict("b"));
    assert_eq!(row(&*engine, "a"), Some((first, b"1".to_vec())));
    assert_eq!(engine.log_len("ledger").unwrap(), 0);
    let right = batch().expect_row("a", Expected::At(first)).put("a", b"2");
    let second = committed(&*engine, right);
    // A conflict takes no number.
    assert_eq!(second, first.next());
    let old = batch().expect_row("a", Expected::At(first)).delete("a");
    assert_eq!(commit(&*engine, old), conflict("a"));
    committed(
        &*engine,
        batch().expect_row("a", Expected::At(second)).delete("a"),
    );
    let gone = batch().expect_row("a", Expected::At(second)).put("a", b"x");
    assert_eq!(commit(&*engine, gone), conflict("a"));
    committed(
        &*engine,
        batch().expect_row("a", Expected::Absent).put("a", b"3"),
    );
}

fn conflicts_in_a_group_affect_nobody_else(fixture: &dyn Fixture) {
    let engine = unsealed(fixture);
    let base = committed(&*engine, batch().put("guard", b"0"));
    // Queued together: one of those that expect the same version wins, and all
    // others that expect nothing go through.
    let racers: Vec<_> = (0..50u8)
        .map(|n| {
            let racer = batch().expect_row("guard", Expected::At(base));
            engine.commit(racer.put("guard", &[n]).append(LOG, &[n]))
        })
        .collect();
    let others: Vec<_> = (0..50u8)
        .map(|n| engine.commit(batch().put(&format!("n{n}"), &[n]).append(LOG, &[n])))
        .collect();
    let mut winners = 0;
    for racer in racers {
        match wait(racer) {
            Ok(_) => winners += 1,
            Err(error) => assert_eq!(error, CommitError::Conflict { key: key("guard") }),
        }
    }
    assert_eq!(winners, 1);
    let mut seqs: Vec<Seq> = others.into_iter().map(|f| wait(f).unwrap().seq).collect();
    seqs.dedup();
    assert!(seqs.len() == 50 && seqs.is_sorted());
    assert_eq!(engine.log_len("ledger").unwrap(), 51);
}

fn logs_are_dense(fixture: &dyn Fixture) {
    let engine = unsealed(fixture);
    let one = commit(
        &*engine,
        batch()
            .append(LOG, b"a")
            .append(OTHER, b"x")
            .append(LOG, b"b"),
    );
    assert_eq!(one.unwrap().indexes, [0, 0, 1]);
    let two = commit(&*engine, batch().append(OTHER, b"y").append(LOG, b"c")).unwrap();
    assert_eq!(two.indexes, [1, 2]);
    assert_eq!(engine.log_len("ledger").unwrap(), 3);
    assert_eq!(engine.log_len("outbox").unwrap(), 2);
    assert_eq!(engine.log_len("none").unwrap(), 0);
    let read = |from, limit| -> Vec<(u64, u64, Vec<u8>)> {
        let entries = engine.log_read("ledger", from, limit).unwrap();
        let parts = entries.iter();
        parts
            .map(|e| (e.index, e.version.get(), e.value[8..].to_vec()))
            .collect()
    };
    let all = [
        (0, 1, b"a".to_vec()),
        (1, 1, b"b".to_vec()),
        (2, 2, b"c".to_vec()),
    ];
    assert_eq!(read(0, 10), all);
    assert_eq!(read(1, 1), all[1..2]);
    assert_eq!(read(3, 10), []);
    assert_eq!(read(u64::MAX, 10), []);
    assert!(engine.log_read("none", 0, 10).unwrap().is_empty());
}

/// A batch that takes the entries of the suite's log before this one.
fn trim(before: u64) -> RawBatch {
    let chain = [7; 32];
    let trims = vec![RawTrim {
        log: LOG,
        before,
        chain,
    }];
    RawBatch { trims, ..batch() }
}

fn logs_lose_their_beginning(fixture: &dyn Fixture) {
    let engine = unsealed(fixture);
    for name in [b"a", b"b", b"c"] {
        commit(&*engine, batch().append(LOG, name).append(OTHER, name)).unwrap();
    }
    let read = |engine: &dyn Engine, log: &str, from| -> Vec<(u64, Vec<u8>)> {
        let entries = engine.log_read(log, from, 10).unwrap();
        let parts = entries.iter();
        parts.map(|e| (e.index, e.value[8..].to_vec())).collect()
    };
    // With its rows, together or not at all.
    let refused = RawBatch {
        trims: trim(2).trims,
        ..batch().expect_row("none", Expected::At(Seq::new(1)))
    };
    assert!(matches!(
        commit(&*engine, refused),
        Err(CommitError::Conflict { .. })
    ));
    assert_eq!(read(&*engine, "ledger", 0).len(), 3);
    let both = RawBatch {
        trims: trim(2).trims,
        ..batch().put("kept", b"1").append(LOG, b"d")
    };
    assert_eq!(commit(&*engine, both).unwrap().indexes, [3]);
    let left = [(2, b"c".to_vec()), (3, b"d".to_vec())];
    assert_eq!(read(&*engine, "ledger", 0), left);
    assert_eq!(read(&*engine, "ledger", 3), left[1..]);
    assert_eq!(read(&*engine, "outbox", 0).len(), 3);
    // Once more, or less of it, changes nothing; its last entry a log keeps.
    committed(&*engine, trim(2));
    committed(&*engine, trim(1));
    assert_eq!(read(&*engine, "ledger", 0), left);
    for over in [4, 9] {
        assert!(matches!(
            commit(&*engine, trim(over)),
            Err(CommitError::Io(_))
        ));
    }
    assert!(matches!(
        commit(
            &*engine,
            RawBatch {
                trims: vec![RawTrim {
                    log: LogId::new("none"),
                    before: 0,
                    chain: [0; 32]
                }],
                ..batch()
            }
        ),
        Err(CommitError::Io(_))
    ));
    committed(&*engine, trim(3));
    drop(engine);
    let engine = unsealed(fixture);
    assert_eq!(read(&*engine, "ledger", 0), left[1..]);
    assert_eq!(engine.log_len("ledger").unwrap(), 4);
    let anchor = engine.snapshot(LIFE).unwrap().anchor().unwrap();
    assert_eq!(anchor.logs, [("ledger".into(), 4), ("outbox".into(), 3)]);
    let next = commit(&*engine, batch().append(LOG, b"e")).unwrap();
    assert_eq!(next.indexes, [4]);
    assert_eq!(engine.integrity().unwrap(), [""; 0]);
}

fn snapshots_stand_still_and_end(fixture: &dyn Fixture) {
    let engine = unsealed(fixture);
    let first = committed(&*engine, batch().put("a", b"1").append(LOG, b"x"));
    let snapshot = engine.snapshot(LIFE).unwrap();
    committed(
        &*engine,
        batch().put("a", b"2").put("b", b"2").append(LOG, b"y"),
    );
    assert_eq!(snapshot.seq(), first);
    assert_eq!(snapshot.get(&key("a")).unwrap().unwrap().version, first);
    assert_eq!(snapshot.get(&key("b")).unwrap(), None);
    assert_eq!(snapshot.scan(&KeyRange::everything(), 10).unwrap().len(), 1);
    let anchor = snapshot.anchor().unwrap();
    assert_eq!(anchor.seq, first);
    assert_eq!(anchor.newest, Some(first));
    assert_eq!(anchor.head.as_deref(), Some(&b"head 1"[..]));
    assert_eq!(anchor.logs, [("ledger".into(), 1)]);
    let expired = engine.snapshot(Duration::ZERO).unwrap();
    let everything = KeyRange::everything();
    let error = StoreError::SnapshotExpired;
    assert_eq!(expired.get(&key("a")), Err(error.clone()));
    assert_eq!(expired.scan(&everything, 1), Err(error.clone()));
    assert_eq!(expired.versions(&everything, 1), Err(error.clone()));
    assert_eq!(expired.anchor(), Err(error));
}

fn scans_are_ordered_and_bounded(fixture: &dyn Fixture) {
    let engine = unsealed(fixture);
    let mut all = batch();
    for name in ["b/2", "a", "b/1", "c", "b", "b/3"] {
        all = all.put(name, name.as_bytes());
    }
    let seq = committed(&*engine, all);
    let snapshot = engine.snapshot(LIFE).unwrap();
    let names =
        |range: &KeyRange, limit| -> Vec<String> {
            let rows = snapshot.scan(range, limit).unwrap();
            let versions = snapshot.versions(range, limit).unwrap();
            let pairs = rows.iter().map(|(key, row)| (key.clone(), row.version));
            assert_eq!(pairs.collect::<Vec<_>>(), versions);
            let name = |key: &RowKey| String::from_utf8(key.encoded().to_vec()).unwrap();
            assert!(rows.iter().all(|(key, row)| {
                row.version == seq && row.value[8..] == *name(key).as_bytes()
            }));
            rows.iter().map(|(key, _)| name(key)).collect()
        };
    let everything = KeyRange::everything();
    assert_eq!(names(&everything, 99), ["a", "b", "b/1", "b/2", "b/3", "c"]);
    assert_eq!(names(&everything, 2), ["a", "b"]);
    assert_eq!(names(&everything, 0), [""; 0]);
    let below_b = KeyRange::prefix(key("b/").as_bytes());
    assert_eq!(names(&below_b, 99), ["b/1", "b/2", "b/3"]);
    assert_eq!(names(&below_b.clone().after(&key("b/1")), 1), ["b/2"]);
    assert_eq!(names(&below_b.clone().after(&key("b/3")), 9), [""; 0]);
    // A position before the range does not widen it.
    assert_eq!(names(&below_b.after(&key("a")), 1), ["b/1"]);
}

fn the_feed_resumes(fixture: &dyn Fixture) {
    let engine = unsealed(fixture);
    assert_eq!(engine.changes(Seq::ZERO, 10).unwrap().upto, Seq::ZERO);
    committed(&*engine, batch().put("a", b"1").put("b", b"1"));
    committed(&*engine, batch().append(LOG, b"x"));
    committed(&*engine, batch().delete("a").delete("none").put("c", b"1"));
    let show = |after: u64, limit| {
        let feed = engine.changes(Seq::new(after), limit).unwrap();
        let changes = feed.changes.iter();
        let text: Vec<String> = changes
            .map(|c| {
                let sign = if c.deleted { '-' } else { '+' };
                format!("{}{sign}{}", c.seq, c.key.encoded().escape_ascii())
            })
            .collect();
        (text.join(" "), feed.upto.get())
    };
    assert_eq!(show(0, 99), ("1+a 1+b 3-a 3+c".into(), 3));
    // Commits are not torn: a limit is reached with whole ones.
    assert_eq!(show(0, 1), ("1+a 1+b".into(), 1));
    assert_eq!(show(1, 1), ("3-a 3+c".into(), 3));
    assert_eq!(show(2, 1), ("3-a 3+c".into(), 3));
    assert_eq!(show(3, 1), (String::new(), 3));
    let ahead = engine.changes(Seq::new(4), 1);
    assert_eq!(ahead, Err(StoreError::Gap { oldest: Seq::ZERO }));
}

fn prefixes_are_deleted(fixture: &dyn Fixture) {
    let engine = unsealed(fixture);
    committed(
        &*engine,
        batch().put("a/1", b"").put("a/2", b"").put("b", b""),
    );
    let mut clear = batch().put("a/3", b"");
    let prefix = key("a/");
    clear.writes.push(RawWrite::DeletePrefix { prefix });
    clear = clear.put("a/4", b"");
    let seq = committed(&*engine, clear);
    let rows = engine.snapshot(LIFE).unwrap();
    let rows = rows.versions(&KeyRange::everything(), 9).unwrap();
    assert_eq!(rows, [(key("a/4"), seq), (key("b"), Seq::new(1))]);
    let feed = engine.changes(Seq::new(1), 9).unwrap().changes;
    let deleted = feed.iter().filter(|change| change.deleted);
    assert_eq!(deleted.count(), 3);
}

fn nothing_is_written_without_a_sealer(fixture: &dyn Fixture) {
    let engine = fixture.open();
    assert_eq!(
        commit(&*engine, batch().put("a", b"")),
        Err(CommitError::Sealed)
    );
    engine.set_sealer(Some(Arc::new(OpenSealer)));
    committed(&*engine, batch().put("a", b"1"));
    engine.set_sealer(None);
    assert_eq!(
        commit(&*engine, batch().put("a", b"")),
        Err(CommitError::Sealed)
    );
    assert_eq!(row(&*engine, "a"), Some((Seq::new(1), b"1".to_vec())));
}

fn dropping_a_future_cancels_nothing(fixture: &dyn Fixture) {
    let engine = unsealed(fixture);
    for n in 0..100u8 {
        drop(engine.commit(batch().append(LOG, &[n])));
    }
    committed(&*engine, batch().append(LOG, b"last"));
    let values = engine.log_read("ledger", 0, 200).unwrap();
    assert_eq!(values.len(), 101);
    assert!(
        (0..100u8)
            .zip(&values)
            .all(|(n, entry)| entry.value[8..] == [n])
    );
    // What is queued when the engine goes is written too.
    drop(engine.commit(batch().append(LOG, b"queued")));
    drop(engine);
    assert_eq!(fixture.open().log_len("ledger").unwrap(), 102);
}

#[derive(Default)]
struct Seen(Mutex<Vec<String>>);

impl CommitObserver for Seen {
    fn committed(&self, commits: &[CommitView<'_>]) {
        let mut seen = self.0.lock().unwrap();
        for commit in commits {
            for change in commit.directory() {
                let name = change.key.encoded().escape_ascii();
                let value = change.value.map(|value| value.escape_ascii().to_string());
                assert_eq!(change.seq, commit.seq());
                seen.push(format!("{} {name}={value:?}", change.seq));
            }
            for entry in commit.appended() {
                let bytes = entry.bytes.escape_ascii();
                seen.push(format!("{}[{}] {bytes}", entry.log.as_str(), entry.index));
            }
        }
    }
}

fn observers_are_told_before_callers(fixture: &dyn Fixture) {
    let engine = unsealed(fixture);
    let seen = Arc::new(Seen::default());
    engine.observe(seen.clone());
    let mut one = batch().put("a", b"1").append(LOG, b"x").append(OTHER, b"y");
    one.writes.push(RawWrite::Put {
        key: key("quiet"),
        kind: Kind::Ordinary,
        value: SecretBytes::new(b"0".to_vec()),
    });
    committed(&*engine, one);
    let expected = ["1 a=Some(\"1\")", "ledger[0] x", "outbox[0] y"];
    assert_eq!(*seen.0.lock().unwrap(), expected);
    let refused = batch().expect_row("a", Expected::Absent).put("a", b"x");
    assert!(commit(&*engine, refused).is_err());
    committed(&*engine, batch().delete("a"));
    assert_eq!(seen.0.lock().unwrap()[3..], ["2 a=None"]);
    for n in 0..100u64 {
        let done = commit(&*engine, batch().append(LOG, b"z")).unwrap();
        let last = seen.0.lock().unwrap().last().cloned();
        assert_eq!(last, Some(format!("ledger[{}] z", n + 1)));
        assert_eq!(done.indexes, [n + 1]);
    }
}

fn too_large_is_refused(fixture: &dyn Fixture) {
    let engine = unsealed(fixture);
    let value = vec![7; MAX_VALUE + 1];
    let too_large = Err(CommitError::TooLarge);
    assert_eq!(commit(&*engine, batch().put("a", &value)), too_large);
    assert_eq!(commit(&*engine, batch().append(LOG, &value)), too_large);
    let values = |count| (0..count).fold(batch(), |all, n| all.put(&format!("{n}"), &value[1..]));
    let fitting = MAX_BATCH / MAX_VALUE;
    assert_eq!(commit(&*engine, values(fitting + 1)), too_large);
    // Keys count as well.
    let seq = committed(&*engine, values(fitting - 1));
    let last = format!("{}", fitting - 2);
    assert_eq!(row(&*engine, &last), Some((seq, value[1..].to_vec())));
}

fn the_anchor_moves_with_every_group(fixture: &dyn Fixture) {
    let engine = unsealed(fixture);
    let anchor = || engine.snapshot(LIFE).unwrap().anchor().unwrap();
    assert_eq!(anchor(), crate::Anchor::default());
    for n in 1..4u64 {
        committed(&*engine, batch().put("a", b""));
        let now = anchor();
        assert_eq!(now.seq, Seq::new(n));
        assert_eq!(now.newest, Some(Seq::new(n)));
        assert_eq!(now.head.as_deref(), Some(format!("head {n}").as_bytes()));
        assert_eq!(now.sentinel.as_deref(), Some(&b"sentinel"[..]));
    }
}

fn everything_survives_reopening(fixture: &dyn Fixture) {
    let engine = unsealed(fixture);
    let one = batch().put("a", b"1").append(LOG, b"x");
    let (id, unknown) = (one.id, batch().id);
    let seq = committed(&*engine, one);
    let conflicting = batch().expect_row("a", Expected::Absent);
    let refused = conflicting.id;
    assert!(commit(&*engine, conflicting).is_err());
    drop(engine);
    let engine = unsealed(fixture);
    assert_eq!(row(&*engine, "a"), Some((seq, b"1".to_vec())));
    assert_eq!(engine.fate(id).unwrap(), Some(seq));
    assert_eq!(engine.fate(unknown).unwrap(), None);
    assert_eq!(engine.fate(refused).unwrap(), None);
    assert_eq!(engine.integrity().unwrap(), [""; 0]);
    let next = commit(&*engine, batch().append(LOG, b"y")).unwrap();
    assert_eq!((next.seq, next.indexes), (seq.next(), vec![1]));
    assert_eq!(engine.changes(Seq::ZERO, 9).unwrap().upto, seq.next());
}

fn the_feed_and_fates_are_bounded(fixture: &dyn Fixture) {
    let engine = unsealed(fixture);
    let first = batch().put("a", b"");
    let id = first.id;
    let seq = committed(&*engine, first);
    for _ in 0..100 {
        committed(&*engine, batch().put("a", b""));
    }
    assert_eq!(engine.fate(id).unwrap(), None);
    let Err(StoreError::Gap { oldest }) = engine.changes(seq, 1) else {
        panic!("the feed reaches back to {seq} of 101");
    };
    assert!(oldest.get() <= 101 - 64, "kept too little: from {oldest}");
    let feed = engine.changes(oldest, 1).unwrap();
    assert_eq!(feed.changes[0].seq, oldest.next());
}

fn a_full_store_takes_reserved_batches_only(fixture: &dyn Fixture) {
    let engine = unsealed(fixture);
    let value = vec![7; MAX_VALUE];
    let fill = |n: usize| batch().put(&format!("fill/{n}"), &value);
    // 64 MiB at most: the factory promised a store that is full before.
    let full = (0..1024).find_map(|n| commit(&*engine, fill(n)).err().map(|error| (n, error)));
    let Some((filled, CommitError::Full)) = full else {
        panic!("never full: {full:?}");
    };
    let revoke = |n: u8| {
        let mut revoke = batch().put(&format!("revoked/{n}"), &[n; 512]);
        revoke.reserved = true;
        revoke.append(LOG, &[n; 1024])
    };
    for n in 0..20 {
        committed(&*engine, revoke(n));
        assert_eq!(commit(&*engine, fill(filled)), Err(CommitError::Full));
    }
    // What was committed before is whole, and deleting makes room again.
    assert_eq!(row(&*engine, "fill/0").unwrap().1, value);
    for n in 0..filled / 2 {
        let mut delete = batch().delete(&format!("fill/{n}"));
        delete.reserved = true;
        committed(&*engine, delete);
    }
    drop(engine);
    let engine = unsealed(fixture);
    committed(&*engine, fill(filled));
    assert_eq!(row(&*engine, "revoked/19").unwrap().1, [19; 512]);
}
