//! Both engines against the conformance suite and against a model.

use crate::conformance::{self, Build, Factory, Fixture, OpenSealer, batch, key, wait};
use crate::engine::{Engine, Expected, LogId, RawBatch};
use crate::key::KeyRange;
use crate::{
    Barrier, BarrierKeys, CommitError, CommitObserver, CommitView, FakeDisk, FakeEngine, FakeFault,
    Kind, Seq, SqliteEngine, SqliteOptions, Store, StoreError, Table,
};
use procura_crypto::SystemEntropy;
use procura_types::{BatchId, Clock, InstallationId, Secret, Timestamp};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tempfile::TempDir;

struct File {
    _folder: TempDir,
    path: PathBuf,
    options: SqliteOptions,
}

const ID: InstallationId = InstallationId::from_bytes([7; 16]);

fn sqlite(options: &SqliteOptions) -> File {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    SqliteEngine::create(&path, &ID, options).unwrap();
    File {
        _folder: folder,
        path,
        options: options.clone(),
    }
}

impl Fixture for File {
    fn open(&self) -> Arc<dyn Engine> {
        Arc::new(SqliteEngine::open(&self.path, &ID, &self.options).unwrap())
    }
}

impl Fixture for FakeDisk {
    fn open(&self) -> Arc<dyn Engine> {
        Arc::new(FakeEngine::open(self).unwrap())
    }
}

const MIB: u64 = 1024 * 1024;

#[test]
fn sqlite_conforms() {
    let default = SqliteOptions::default();
    let forgetful = SqliteOptions {
        kept_commits: 64,
        ..default.clone()
    };
    let small = SqliteOptions {
        max_bytes: Some(10 * MIB),
        ..default.clone()
    };
    conformance::run(&Factory {
        plain: &|| Box::new(sqlite(&default)),
        forgetful: &|| Box::new(sqlite(&forgetful)),
        small: &|| Box::new(sqlite(&small)),
    });
}

#[test]
fn sqlite_conforms_without_a_cache() {
    let none = SqliteOptions {
        cache_bytes: 0,
        kept_commits: 64,
        max_bytes: Some(34 * MIB),
    };
    let roomy = SqliteOptions {
        max_bytes: None,
        ..none.clone()
    };
    let make = || -> Box<dyn Fixture> { Box::new(sqlite(&none)) };
    conformance::run(&Factory {
        plain: &|| Box::new(sqlite(&roomy)),
        forgetful: &make,
        small: &make,
    });
}

#[test]
fn the_fake_conforms() {
    conformance::run(&Factory {
        plain: &|| Box::new(FakeDisk::default()),
        forgetful: &|| Box::new(FakeDisk::new(64, usize::MAX / 2)),
        small: &|| Box::new(FakeDisk::new(64, 2 * 1024 * 1024)),
    });
}

fn opened(fixture: &dyn Fixture) -> Arc<dyn Engine> {
    let engine = fixture.open();
    engine.set_sealer(Some(Arc::new(OpenSealer)));
    engine
}

/// Readers that are always there must not keep the write-ahead log from being begun
/// anew, or it would fill the disk.
#[test]
fn the_wal_stays_short_while_rows_are_read() {
    let file = sqlite(&SqliteOptions {
        cache_bytes: 0,
        ..SqliteOptions::default()
    });
    let engine = opened(&file);
    wait(engine.commit(batch().put("a", b"1"))).unwrap();
    let entry = vec![0; 50_000];
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                assert_eq!(engine.get(&key("a")).unwrap().unwrap().version, Seq::new(1));
            }
        });
        for _ in 0..1200 {
            wait(engine.commit(batch().append(LogId::new("l"), &entry))).unwrap();
        }
        done.store(true, Ordering::Relaxed);
    });
    let wal = file.path.with_extension("db-wal");
    let length = std::fs::metadata(wal).unwrap().len();
    assert!(length < 32 * MIB, "{length}");
}

#[test]
fn the_fake_fails_both_ways_and_tells_the_fate_after_reopening() {
    for (fault, kept) in [(FakeFault::Lost, false), (FakeFault::KeptButFailed, true)] {
        let disk = FakeDisk::default();
        let engine = opened(&disk);
        wait(engine.commit(batch().put("a", b"1"))).unwrap();
        disk.fail(2, fault);
        let failing = batch().put("a", b"2");
        let id = failing.id;
        assert_eq!(wait(engine.commit(failing)), Err(CommitError::Unknown));
        let after = wait(engine.commit(batch().put("b", b"")));
        assert_eq!(after, Err(CommitError::Poisoned));
        assert_eq!(engine.get(&key("a")), Err(StoreError::Poisoned));
        assert_eq!(engine.fate(id), Err(StoreError::Poisoned));
        drop(engine);
        let engine = opened(&disk);
        let expected = kept.then(|| Seq::new(2));
        assert_eq!(engine.fate(id).unwrap(), expected);
        let version = engine.get(&key("a")).unwrap().unwrap().version;
        assert_eq!(version, expected.unwrap_or(Seq::new(1)));
        assert_eq!(engine.get(&key("b")).unwrap(), None);
    }
}

#[test]
fn the_fake_is_full_and_conflicts_when_told() {
    let disk = FakeDisk::default();
    let engine = opened(&disk);
    disk.fail(1, FakeFault::Full);
    disk.fail(2, FakeFault::Conflict);
    let full = wait(engine.commit(batch().put("a", b"1")));
    assert_eq!(full, Err(CommitError::Full));
    let conflict = wait(engine.commit(batch().put("a", b"1")));
    assert_eq!(conflict, Err(CommitError::Conflict { key: key("a") }));
    assert_eq!(disk.steps(), 2);
    wait(engine.commit(batch().put("a", b"1"))).unwrap();
}

struct Noon;

impl Clock for Noon {
    fn now(&self) -> Timestamp {
        Timestamp::from_secs(1_800_000_000)
    }
}

fn unsealed_store(disk: &FakeDisk) -> Store {
    let engine = FakeEngine::open(disk).unwrap();
    let store = Store::over(Arc::new(engine), Arc::new(Noon), Arc::new(SystemEntropy));
    let keys = BarrierKeys {
        installation: ID,
        epochs: vec![(1, Secret::new([1; 32]))],
        set_key: Secret::new([2; 32]),
        chain_key: Secret::new([3; 32]),
        index_key: Secret::new([4; 32]),
    };
    let barrier = Barrier::new(keys, Arc::new(SystemEntropy)).unwrap();
    store.install_barrier(barrier).unwrap();
    store
}

#[derive(Default)]
struct Told(std::sync::Mutex<Vec<BatchId>>);

impl CommitObserver for Told {
    fn committed(&self, commits: &[CommitView<'_>]) {
        self.0
            .lock()
            .unwrap()
            .extend(commits.iter().map(CommitView::id));
    }
}

#[test]
fn every_durable_step_fails_both_ways_and_the_store_stays_whole() {
    const COUNT: Table<String, u64> = Table::new("count", Kind::Directory);
    const STEPS: u64 = 5;
    for fault in [FakeFault::Lost, FakeFault::KeptButFailed] {
        for failing in 1..=STEPS {
            let disk = FakeDisk::default();
            disk.fail(failing, fault);
            let mut store = unsealed_store(&disk);
            let mut told = Arc::new(Told::default());
            store.observe(told.clone());
            let mut applied = 0;
            for n in 1..=STEPS {
                let mut fresh = store.batch().unwrap();
                COUNT.put(&mut fresh, &"n".into(), &n);
                COUNT.put(&mut fresh, &n.to_string(), &n);
                fresh.append(LOG, vec![1; 10]);
                let id = fresh.id();
                let outcome = wait(store.commit(fresh));
                let was_told = told.0.lock().unwrap().last() == Some(&id);
                assert_eq!(was_told, outcome.is_ok());
                if n != failing {
                    outcome.unwrap();
                    applied += 1;
                    continue;
                }
                assert_eq!(outcome, Err(CommitError::Unknown));
                let get = COUNT.get(&store, &"n".into());
                assert_eq!(get, Err(StoreError::Poisoned));
                drop(store);
                store = unsealed_store(&disk);
                told = Arc::default();
                store.observe(told.clone());
                let kept = fault == FakeFault::KeptButFailed;
                assert_eq!(store.fate(id).unwrap().is_some(), kept);
                assert_eq!(COUNT.get(&store, &n.to_string()).unwrap().is_some(), kept);
                applied += u64::from(kept);
                assert_eq!(store.deep_check().unwrap(), [""; 0]);
            }
            assert_eq!(store.log_len(LOG).unwrap(), applied);
            assert_eq!(store.head().unwrap().seq, Seq::new(applied));
            store.wait_verified().unwrap();
            assert_eq!(store.deep_check().unwrap(), [""; 0]);
        }
    }
}

#[derive(Debug, Clone)]
pub(crate) enum Step {
    Commit(Vec<Op>),
    /// Several at once, so that they form groups.
    Burst(Vec<Vec<Op>>),
    Reopen,
}

#[derive(Debug, Clone)]
pub(crate) enum Op {
    Put(u8, u8),
    Delete(u8),
    Append(u8),
    /// The row is expected as it is (true) or as it is not.
    Expect(u8, bool),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        (0..6u8, any::<u8>()).prop_map(|(k, v)| Op::Put(k, v)),
        (0..6u8).prop_map(Op::Delete),
        any::<u8>().prop_map(Op::Append),
        (0..6u8, prop::bool::weighted(0.8)).prop_map(|(k, right)| Op::Expect(k, right)),
    ]
}

pub(crate) fn step() -> impl Strategy<Value = Step> {
    let ops = || proptest::collection::vec(op(), 0..5);
    prop_oneof![
        6 => ops().prop_map(Step::Commit),
        2 => proptest::collection::vec(ops(), 1..6).prop_map(Step::Burst),
        1 => Just(Step::Reopen),
    ]
}

#[derive(Default)]
struct Model {
    rows: BTreeMap<u8, (u64, u8)>,
    log: Vec<(u64, u8)>,
    seq: u64,
}

const LOG: LogId = LogId::new("l");

impl Model {
    /// The batch, and whether it must apply; then it is applied here.
    fn batch(&mut self, ops: &[Op]) -> (RawBatch, bool) {
        let (mut raw, mut holds) = (batch(), true);
        for op in ops {
            let name = |k: &u8| k.to_string();
            raw = match op {
                Op::Put(k, v) => raw.put(&name(k), &[*v]),
                Op::Delete(k) => raw.delete(&name(k)),
                Op::Append(v) => raw.append(LOG, &[*v]),
                Op::Expect(k, right) => {
                    holds &= right;
                    let expected = match (self.rows.get(k), right) {
                        (Some((version, _)), true) => Expected::At(Seq::new(*version)),
                        (Some((version, _)), false) => Expected::At(Seq::new(version + 1)),
                        (None, true) => Expected::Absent,
                        (None, false) => Expected::At(Seq::new(1)),
                    };
                    raw.expect_row(&name(k), expected)
                }
            };
        }
        if holds {
            self.seq += 1;
            for op in ops {
                match op {
                    Op::Put(k, v) => drop(self.rows.insert(*k, (self.seq, *v))),
                    Op::Delete(k) => drop(self.rows.remove(k)),
                    Op::Append(v) => self.log.push((self.seq, *v)),
                    Op::Expect(..) => {}
                }
            }
        }
        (raw, holds)
    }

    fn check(&self, engine: &dyn Engine) {
        let snapshot = engine.snapshot(Duration::from_secs(60)).unwrap();
        assert_eq!(snapshot.seq(), Seq::new(self.seq));
        let rows = snapshot.scan(&KeyRange::everything(), 99).unwrap();
        let rows: Vec<_> = rows
            .iter()
            .map(|(key, row)| (key.encoded().to_vec(), row.version.get(), row.value[8]))
            .collect();
        let expected: Vec<_> = self
            .rows
            .iter()
            .map(|(k, (version, v))| (k.to_string().into_bytes(), *version, *v))
            .collect();
        assert_eq!(rows, expected);
        for (name, (version, _)) in &self.rows {
            let row = engine.get(&key(&name.to_string())).unwrap().unwrap();
            assert_eq!(row.version.get(), *version);
        }
        let log = engine.log_read("l", 0, 999).unwrap();
        let log = log
            .iter()
            .map(|entry| (entry.version.get(), entry.value[8]));
        assert_eq!(log.collect::<Vec<_>>(), self.log);
        // The feed, replayed, names exactly the rows that are there.
        let mut replayed = BTreeMap::new();
        for change in engine.changes(Seq::ZERO, 9999).unwrap().changes {
            match change.deleted {
                true => drop(replayed.remove(&change.key)),
                false => drop(replayed.insert(change.key, change.seq)),
            }
        }
        assert!(
            replayed
                .into_iter()
                .eq(snapshot.versions(&KeyRange::everything(), 99).unwrap())
        );
    }
}

pub(crate) fn follow(fixture: &dyn Fixture, steps: &[Step]) {
    let mut engine = opened(fixture);
    let mut model = Model::default();
    for step in steps {
        match step {
            Step::Commit(ops) => {
                let (raw, holds) = model.batch(ops);
                let outcome = wait(engine.commit(raw));
                assert_eq!(outcome.is_ok(), holds, "{outcome:?}");
            }
            Step::Burst(bursts) => {
                let futures: Vec<_> = bursts
                    .iter()
                    .map(|ops| {
                        let (raw, holds) = model.batch(ops);
                        (engine.commit(raw), holds)
                    })
                    .collect();
                for (future, holds) in futures {
                    assert_eq!(wait(future).is_ok(), holds);
                }
            }
            Step::Reopen => {
                drop(engine);
                engine = opened(fixture);
            }
        }
        model.check(&*engine);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn sqlite_does_what_the_model_does(steps in proptest::collection::vec(step(), 1..16)) {
        follow(&sqlite(&SqliteOptions::default()), &steps);
    }

    #[test]
    fn the_fake_does_what_the_model_does(steps in proptest::collection::vec(step(), 1..16)) {
        follow(&FakeDisk::default(), &steps);
    }
}
