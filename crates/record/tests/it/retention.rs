//! Entries that are forgotten: everything else verifies as before, whatever breaks off
//! where, and nothing is forgotten that was changed.

use crate::world::{entropy, parts, store, trace};
use procura_ledger::{
    Checkpoint, Entry, FORGET, Finding, Forgetting, Frontier, Hash, ReadError, ReadFile, TileKind,
    TilePath, Vkey, layout, leaf_hash, verify_consistency, verify_export, verify_inclusion,
};
use procura_record::tables::{LEDGER, PUBLISHED, PUBLISHED_KEY, RETENTION, RetentionRow};
use procura_record::{
    Lease, Publisher, QueryError, RecordReader, Retention, RetentionError, RetentionParts, carried,
    first_kept, forgotten,
};
use procura_store::{Batch, Blob, FakeDisk, FakeFault, KeyPrefix, Kind, Store, StoreError, Table};
use procura_types::wire::EntryQuery;
use procura_types::{ActorId, BatchId, Clock, Duration, Timestamp};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;

pub(crate) const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const HOUR: Duration = Duration::from_secs(60 * 60);
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
    async fn new() -> Self {
        Self::on(FakeDisk::default()).await
    }

    async fn on(disk: FakeDisk) -> Self {
        let home = tempfile::tempdir().unwrap();
        let store = store(&disk);
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

    /// The same, after the process ended.
    async fn restart(self) -> Self {
        let Self {
            disk,
            home,
            clock,
            store: old,
            publisher,
            seen,
        } = self;
        publisher.stop().await;
        drop((publisher, old));
        let store = store(&disk);
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
}

impl<D> Site<D> {
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

    fn reader(&self) -> RecordReader {
        RecordReader::new(self.store.clone(), self.publisher.tiles().clone())
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub(crate) fn later(&self, by: Duration) {
        let by = u64::try_from(by.as_millis()).unwrap();
        self.clock.0.fetch_add(by, Ordering::Relaxed);
    }

    fn batch(&self) -> Batch {
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
    async fn forget(&self) -> u64 {
        self.published().await;
        let (retention, due) = (self.retention(), self.clock.now());
        let mut steps = 0;
        while retention.step(Some(due)).await.unwrap() {
            steps += 1;
            assert!(steps < 1000, "it comes to no end");
        }
        steps
    }

    async fn published(&self) -> Checkpoint {
        let length = self.store.log_len(LEDGER).unwrap();
        let note = self.publisher.covering(length).await.unwrap().note.clone();
        Checkpoint::open(&note, &self.vkey()).unwrap()
    }

    fn vkey(&self) -> Vkey {
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

fn bundles(home: &Path) -> usize {
    let folder = home.join("ledger/tile/entries");
    let inside = std::fs::read_dir(folder).unwrap();
    inside
        .filter(|found| found.as_ref().unwrap().file_type().unwrap().is_file())
        .count()
}

#[tokio::test]
async fn what_is_too_old_goes_and_the_rest_verifies_as_before() {
    let mut site = Site::new().await;
    site.write(5000).await;
    site.holds().await;
    site.later(DAY * 8);
    site.write(700).await;
    // Without a rule for ever.
    assert_eq!(site.forget().await, 0);
    site.keep(30).await;
    assert_eq!(site.forget().await, 0);
    site.keep(7).await;
    site.holds().await;
    let whole = site.export().await.unwrap();
    assert_eq!(whole.forgotten, None);
    // Whole bundles of the 5000, sixteen at a time.
    assert_eq!(site.forget().await, 1 + 2);
    let until = 5000 / 256 * 256;
    assert_eq!(first_kept(&site.store).unwrap(), until);
    assert_eq!(site.store.log_start(LEDGER).unwrap(), until);
    assert_eq!(site.forget().await, 0);
    site.holds().await;
    let said = site.export().await.unwrap().forgotten.unwrap();
    assert_eq!((said.entries, said.said_by), (until, 5700));
    // What it says is in the record, by nobody.
    let row = forgotten(&site.store).unwrap().unwrap().value;
    let (index, text) = site.reader().find(row.entry).await.unwrap();
    let entry = Entry::parse(text.as_bytes()).unwrap();
    assert_eq!((index, &*entry.action, entry.actor), (5700, FORGET, None));
    let words = Forgetting::of_resource(entry.resource.as_deref().unwrap()).unwrap();
    assert_eq!((words.until, words.kept), (until, 7 * 86_400));
    assert_eq!(words.by, ActorId::from_bytes([1; 32]));
    // The files went too, and stay away over a restart.
    assert_eq!(bundles(site.home.path()), 5701 / 256 - 5000 / 256);
    site = site.restart().await;
    site.holds().await;
    // A new server makes the hashes from the store.
    std::fs::remove_dir_all(site.home.path().join("ledger/tile")).unwrap();
    site = site.restart().await;
    site.holds().await;
    assert_eq!(bundles(site.home.path()), 5701 / 256 - 5000 / 256);
    // And one tile alone, when it is asked for.
    std::fs::remove_file(site.home.path().join("ledger/tile/0/003")).unwrap();
    let tile = TilePath::new(TileKind::Hashes(0), 3, 256).unwrap();
    assert_eq!(site.reader().tile(tile).await.unwrap().unwrap().len(), 8192);
    assert!(site.export().await.is_ok());
}

#[tokio::test]
async fn what_is_forgotten_is_told_from_what_never_was() {
    let site = Site::new().await;
    site.write(600).await;
    let newest = EntryQuery {
        limit: Some(1),
        ..EntryQuery::default()
    };
    let old = site
        .reader()
        .list(&EntryQuery {
            before: Some(10),
            ..newest.clone()
        })
        .await
        .unwrap();
    let old = Entry::parse(old.entries[0].entry.as_bytes()).unwrap().id;
    site.later(DAY * 40);
    site.write(10).await;
    site.keep(30).await;
    assert!(site.forget().await > 0);
    let reader = site.reader();
    let is_gone = |error: QueryError| {
        matches!(
            error,
            QueryError::Store(StoreError::Forgotten { first: 512, .. })
        )
    };
    // Lists begin with the first that is kept, and say so.
    let all = reader
        .list(&EntryQuery {
            limit: Some(1000),
            ..newest.clone()
        })
        .await
        .unwrap();
    assert_eq!(
        (all.entries.len(), all.next, all.first),
        (611 - 512, None, Some(512))
    );
    assert_eq!(all.entries.last().unwrap().index, 512);
    let filtered = EntryQuery {
        action: Some("secret.list".to_owned()),
        limit: Some(1000),
        ..newest.clone()
    };
    let all = reader.list(&filtered).await.unwrap();
    assert_eq!(
        (all.entries.len(), all.next, all.first),
        (610 - 512, None, Some(512))
    );
    for before in [512, 10, 0] {
        let list = reader
            .list(&EntryQuery {
                before: Some(before),
                ..newest.clone()
            })
            .await;
        assert!(is_gone(list.unwrap_err()), "{before}");
    }
    assert!(
        reader
            .list(&EntryQuery {
                before: Some(513),
                ..newest
            })
            .await
            .is_ok()
    );
    assert!(is_gone(reader.find(old).await.unwrap_err()));
    let never = procura_types::EntryId::generate(site.clock.now(), &*entropy()).unwrap();
    assert!(matches!(
        reader.find(never).await.unwrap_err(),
        QueryError::NotFound
    ));
    for (index, width) in [(0, 256), (1, 256), (0, 3)] {
        let bundle = TilePath::new(TileKind::Entries, index, width).unwrap();
        assert!(is_gone(reader.tile(bundle).await.unwrap_err()), "{bundle}");
        let hashes = TilePath::new(TileKind::Hashes(0), index, width).unwrap();
        assert!(reader.tile(hashes).await.unwrap().is_some(), "{hashes}");
    }
    let gone = site.store.log_read(LEDGER, 511, 1).err();
    assert_eq!(
        gone,
        Some(StoreError::Forgotten {
            log: "ledger".into(),
            first: 512
        })
    );
}

/// A kill, or a failed write, at each commit on the way.
#[tokio::test]
async fn what_breaks_off_anywhere_is_gone_on_with() {
    for fault in [
        FakeFault::Lost,
        FakeFault::KeptButFailed,
        FakeFault::Full,
        FakeFault::Conflict,
    ] {
        for step in 1..=3 {
            let mut site = Site::new().await;
            site.write(6000).await;
            site.holds().await;
            site.later(DAY * 8);
            site.write(10).await;
            site.keep(7).await;
            site.holds().await;
            let (retention, due) = (site.retention(), site.clock.now());
            for _ in 1..step {
                assert!(retention.step(Some(due)).await.unwrap());
                // Checkpoints are commits as well.
                site.published().await;
            }
            site.disk.fail(site.disk.steps() + 1, fault);
            let broken = retention.step(Some(due)).await;
            match fault {
                FakeFault::Conflict => assert!(matches!(broken, Ok(false)), "{broken:?}"),
                _ => assert!(
                    matches!(broken, Err(RetentionError::Record(_))),
                    "{broken:?}"
                ),
            }
            // Where there is no room a moment makes none.
            let soon = broken.err().map(|error| error.may_pass());
            let passes = matches!(fault, FakeFault::Lost | FakeFault::KeptButFailed);
            assert_eq!(soon.unwrap_or_default(), passes, "{fault:?}");
            drop(retention);
            site = site.restart().await;
            let what = format!("{fault:?} at {step}");
            let (said, there) = (
                first_kept(&site.store).unwrap(),
                site.store.log_start(LEDGER).unwrap(),
            );
            assert!(there <= said, "{what}: entries went that nobody said so of");
            site.holds().await;
            site.export().await.unwrap();
            // Without a time it only ends what was begun.
            while site.retention().step(None).await.unwrap() {}
            assert_eq!(site.store.log_start(LEDGER).unwrap(), said, "{what}");
            site.forget().await;
            assert_eq!(
                site.store.log_start(LEDGER).unwrap(),
                6000 / 256 * 256,
                "{what}"
            );
            site.holds().await;
            assert_eq!(
                site.export().await.unwrap().forgotten.unwrap().entries,
                6000 / 256 * 256
            );
        }
    }
}

/// What is to be forgotten is held against what was signed first.
#[tokio::test]
async fn a_change_is_not_forgotten_with_what_was_changed() {
    let site = Site::new().await;
    site.write(900).await;
    site.later(DAY * 8);
    site.write(10).await;
    site.keep(7).await;
    site.published().await;
    let due = site.clock.now();
    // What was signed is of as many other entries.
    let key = PUBLISHED_KEY.to_owned();
    let right = PUBLISHED.get(&site.store, &key).unwrap().unwrap().value;
    let tree: Frontier = (0..right.size)
        .map(|n| leaf_hash(&n.to_be_bytes()))
        .collect();
    let mut other = right.clone();
    other.frontier = tree.to_bytes();
    for row in [other, right] {
        let is_right = row.frontier != tree.to_bytes();
        let mut batch = site.batch();
        PUBLISHED.put(&mut batch, &key, &row);
        site.store.commit(batch).await.unwrap();
        match site.retention().step(Some(due)).await {
            Ok(done) => assert!(is_right && done),
            Err(RetentionError::OtherTree { until }) => assert!(!is_right && until == 768),
            other => panic!("{other:?}"),
        }
        assert_eq!(
            first_kept(&site.store).unwrap(),
            if is_right { 768 } else { 0 }
        );
        assert_eq!(site.store.log_start(LEDGER).unwrap(), 0);
    }
}

/// As many hours of a clock that is wrong have at most so many hours too much forgotten.
#[tokio::test]
async fn time_that_was_not_lived_through_makes_nothing_too_old() {
    let mut site = Site::new().await;
    let retention = site.retention();
    let now = site.clock.now();
    let none = retention.reached(now..=now, HOUR).await.unwrap();
    assert_eq!(none, None, "no rule");
    site.keep(7).await;
    let since = now.minus(DAY);
    // The clock is right, and goes on; what was missed is caught up with.
    for (agreed, reached) in [
        (now.minus(DAY * 2), now.minus(DAY * 2)),
        (now, since.plus(HOUR * 2)),
        (now, since.plus(HOUR * 4)),
    ] {
        let found = site.retention().reached(agreed..=now, HOUR).await.unwrap();
        assert_eq!(found, Some(reached));
    }
    // A year ahead, also over restarts, and right again.
    site = site.restart().await;
    for hour in 3..=5 {
        let ahead = now.plus(DAY * 365);
        let found = site.retention().reached(ahead..=ahead, HOUR).await.unwrap();
        assert_eq!(found, Some(since.plus(HOUR * 2 * hour)));
        site = site.restart().await;
    }
    let at = async |read: Timestamp, lived| {
        let found = site.retention().reached(read..=read, lived).await;
        found.unwrap()
    };
    let zero = at(now.plus(DAY * 365), Duration::ZERO).await;
    assert_eq!(zero, Some(since.plus(HOUR * 10)));
    assert_eq!(at(now, DAY).await, Some(now));
    // Behind for a while: nothing is lost by it where the rule is settled.
    let later = since.plus(DAY * 8);
    assert_eq!(at(later, DAY * 4).await, Some(later));
    let behind = Timestamp::from_millis(0);
    assert_eq!(at(behind, HOUR).await, Some(behind));
    assert_eq!(at(later, HOUR).await, Some(later));
    // A rule that is made anew is of now.
    site.later(DAY * 30);
    site.keep(8).await;
    let now = site.clock.now();
    assert_eq!(at(now, HOUR).await, Some(now.minus(DAY).plus(HOUR * 2)));
}

/// A rule that was made while the clock was a year ahead is no reason to forget a year.
#[tokio::test]
async fn a_rule_from_ahead_begins_once_the_clock_is_right() {
    let site = Site::new().await;
    let now = site.clock.now();
    let (ahead, since) = (now.plus(DAY * 365), now.minus(DAY));
    let reached = async |read| site.retention().reached(read, HOUR).await.unwrap();
    let at = async |read: Timestamp| reached(read..=read).await;
    let rule = async |made: Timestamp| {
        let made = u64::try_from(made.since(Timestamp::from_millis(0)).as_millis());
        site.clock.0.store(made.unwrap(), Ordering::Relaxed);
        site.keep(7).await;
    };
    for hours in [0, 1, 3] {
        rule(ahead).await;
        for hour in 1..=hours {
            let more = ahead.minus(DAY).plus(HOUR * 2 * hour);
            assert_eq!(at(ahead).await, Some(more), "ahead still: {hour}");
        }
        // One reading of two that is behind says nothing yet.
        assert_eq!(reached(now..=ahead).await, Some(now));
        assert_eq!(at(now).await, Some(now), "{hours}");
        assert_eq!(at(ahead).await, Some(now.plus(HOUR * 2)), "{hours}");
    }
    // A rule that is made anew when the clock is right begins with that, at once.
    rule(ahead).await;
    assert_eq!(at(ahead).await, Some(ahead.minus(DAY).plus(HOUR * 2)));
    rule(now).await;
    assert_eq!(at(ahead).await, Some(since.plus(HOUR * 2)));
}

/// Another server takes bundles away while this one is about to read them: each hash goes
/// where it belongs.
#[tokio::test]
async fn what_another_server_took_away_meanwhile_is_not_written_anew() {
    const LEAVES: Table<u64, Blob> = Table::new("ledger-leaves", Kind::Ordinary);
    for taken in [2, 23] {
        let mut site = Site::new().await;
        site.write(6000).await;
        site.later(DAY * 8);
        site.write(10).await;
        site.keep(7).await;
        site.holds().await;
        let due = site.clock.now();
        let late = site.retention();
        assert!(late.step(Some(due)).await.unwrap());
        site.published().await;
        // It knows where the log begins, and its thread is a while in coming.
        let threads = tokio::runtime::Builder::new_current_thread()
            .max_blocking_threads(1)
            .build()
            .unwrap();
        let (go, wait) = std::sync::mpsc::channel::<()>();
        let held = threads.spawn_blocking(move || wait.recv());
        let mut step = Box::pin(late.step(None));
        {
            let _inside = threads.enter();
            let once = std::future::poll_fn(|context| Poll::Ready(step.as_mut().poll(context)));
            assert!(once.await.is_pending());
        }
        let to = taken * 256;
        let mut leaves = Vec::new();
        let beginning = site.store.log_beginning(LEDGER, to, |entry| {
            leaves.push(leaf_hash(entry.bytes.expose()));
            Ok::<(), StoreError>(())
        });
        let mut batch = site.batch();
        for (bundle, leaves) in (0..taken).zip(leaves.chunks(256)) {
            let bytes = leaves.iter().flat_map(|leaf| *leaf.as_bytes()).collect();
            LEAVES.put(&mut batch, &bundle, &Blob::new(bytes));
        }
        batch.trim(&beginning.unwrap());
        site.store.commit(batch).await.unwrap();
        go.send(()).unwrap();
        held.await.unwrap().unwrap();
        assert!(step.await.unwrap());
        threads.shutdown_background();
        assert_eq!(
            site.store.log_start(LEDGER).unwrap(),
            to.max(16 * 256),
            "{taken}"
        );
        let snapshot = site.store.snapshot().unwrap();
        let rows = LEAVES.scan(&snapshot, &KeyPrefix::all(), None, 100);
        let numbers: Vec<u64> = rows.unwrap().into_iter().map(|(key, _)| key).collect();
        assert_eq!(numbers, (0..taken.max(16)).collect::<Vec<_>>());
        drop(snapshot);
        site.holds().await;
        while site.retention().step(None).await.unwrap() {}
        assert_eq!(site.store.log_start(LEDGER).unwrap(), 23 * 256);
        // A new server makes every hash from these rows.
        std::fs::remove_dir_all(site.home.path().join("ledger/tile")).unwrap();
        site = site.restart().await;
        site.holds().await;
        assert!(site.export().await.is_ok(), "{taken}");
    }
}

/// Of several servers the one that has the lease does it, whatever the others believe.
#[tokio::test]
async fn who_has_no_lease_forgets_nothing() {
    let site = Site::new().await;
    site.write(600).await;
    site.later(DAY * 8);
    site.write(10).await;
    site.keep(7).await;
    site.published().await;
    let (clock, due) = (crate::world::clock(), site.clock.now());
    let start = || Lease::start(&site.store, "own-work", &clock, &entropy()).unwrap();
    let one = start();
    for _ in 0..1000 {
        if one.is_held() {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    assert!(one.is_held());
    let other = start();
    let without = site.retention_under(Some(Arc::clone(&other)));
    assert!(!without.step(Some(due)).await.unwrap());
    assert_eq!(first_kept(&site.store).unwrap(), 0);
    let with = site.retention_under(Some(Arc::clone(&one)));
    assert!(with.step(Some(due)).await.unwrap());
    assert_eq!(first_kept(&site.store).unwrap(), 512);
    // Nor does it go on with what another has begun.
    assert!(!without.step(Some(due)).await.unwrap());
    assert_eq!(site.store.log_start(LEDGER).unwrap(), 0);
    site.published().await;
    assert!(with.step(Some(due)).await.unwrap());
    assert_eq!(site.store.log_start(LEDGER).unwrap(), 512);
    one.stop().await;
    other.stop().await;
}

#[tokio::test]
async fn entries_that_do_not_verify_are_kept() {
    let site = Site::new().await;
    site.write(100).await;
    // An outcome of something that was never begun.
    let entry = Entry {
        phase: procura_ledger::Phase::Outcome,
        decision: procura_ledger::Decision::Failed,
        reason: Some("lost".into()),
        ..Entry::new(site.clock.now(), &*entropy(), "mail.send", trace()).unwrap()
    };
    let mut batch = site.batch();
    batch.append(LEDGER, entry.to_bytes().unwrap());
    site.store.commit(batch).await.unwrap();
    site.write(500).await;
    site.later(DAY * 8);
    site.write(10).await;
    site.keep(7).await;
    site.published().await;
    let refused = site.retention().step(Some(site.clock.now())).await;
    let refused = refused.unwrap_err();
    assert!(!refused.may_pass(), "it is not read again and again");
    let RetentionError::Entries(finding) = refused else {
        panic!("{refused:?}");
    };
    assert_eq!(
        finding.kind,
        procura_ledger::FindingKind::OutcomeWithoutIntent
    );
    assert_eq!(finding.entry, Some(100));
    assert_eq!(first_kept(&site.store).unwrap(), 0);
}

#[tokio::test]
async fn what_is_of_now_stays_whatever_a_row_and_a_clock_say() {
    let site = Site::new().await;
    site.write(600).await;
    site.later(DAY * 6);
    site.write(10).await;
    // A row that no call writes.
    site.keep(0).await;
    assert_eq!(site.forget().await, 0);
    // A time that the clock has not reached.
    let ahead = site.clock.now().plus(DAY * 400);
    assert!(!site.retention().step(Some(ahead)).await.unwrap());
    site.later(DAY * 2);
    assert_eq!(site.forget().await, 1 + 1);
    assert_eq!(first_kept(&site.store).unwrap(), 512);
    // A bundle with one young entry in it stayed whole, and so does the last one.
    site.write(300).await;
    site.later(DAY * 400);
    assert_eq!(site.forget().await, 1 + 1);
    assert_eq!(first_kept(&site.store).unwrap(), 768);
    assert_eq!(site.store.log_len(LEDGER).unwrap(), 912);
    site.later(DAY * 400);
    assert_eq!(site.forget().await, 0);
}

#[tokio::test]
async fn it_is_said_once_a_day_at_most() {
    let site = Site::new().await;
    site.keep(7).await;
    let mut said = Vec::new();
    for third in 0..30 {
        site.write(300).await;
        if site.forget().await > 0 {
            said.push(third);
        }
        site.later(DAY / 3);
    }
    // When the first entries are over a week old, and each day behind.
    assert_eq!(said, [22, 25, 28]);
    assert!(site.export().await.is_ok());
}

#[tokio::test]
async fn a_clock_that_is_ahead_when_it_is_said_does_not_put_off_the_next_time() {
    let site = Site::new().await;
    site.write(600).await;
    site.later(DAY * 8);
    site.write(600).await;
    site.keep(7).await;
    site.published().await;
    let (right, year) = (site.now(), DAY * 365);
    site.later(year);
    assert!(site.retention().step(Some(right)).await.unwrap());
    let ahead = u64::try_from(year.as_millis()).unwrap();
    site.clock.0.fetch_sub(ahead, Ordering::Relaxed);
    assert_eq!(site.now(), right);
    assert_eq!(site.forget().await, 1);
    assert_eq!(first_kept(&site.store).unwrap(), 512);
    site.later(DAY * 8);
    assert_eq!(site.forget().await, 1 + 1);
    assert_eq!(first_kept(&site.store).unwrap(), 1024);
}

/// A stream of choices that is the same for the same seed.
struct Choices(u64);

impl Choices {
    fn below(&mut self, bound: u64) -> u64 {
        // Knuth's constants of a linear congruential generator.
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

#[tokio::test]
async fn whatever_is_written_forgotten_and_killed_in_between_it_verifies() {
    for seed in 1..=5u64 {
        let mut choices = Choices(seed);
        let mut site = Site::new().await;
        site.keep(7).await;
        for _ in 0..14 {
            match choices.below(5) {
                0 | 1 => site.write(1 + choices.below(1500)).await,
                2 => site.later(DAY * u32::try_from(choices.below(9)).unwrap()),
                3 => {
                    site.published().await;
                    let (retention, due) = (site.retention(), site.clock.now());
                    for _ in 0..choices.below(3) {
                        retention.step(Some(due)).await.unwrap();
                    }
                }
                _ => site = site.restart().await,
            }
            site.holds().await;
        }
        site.later(DAY * 9);
        site.forget().await;
        site.holds().await;
        let report = site.export().await;
        assert!(report.is_ok(), "seed {seed}: {report:?}");
    }
}
