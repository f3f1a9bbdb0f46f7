//! Entries that are forgotten: everything else verifies as before, whatever breaks off
//! where, and nothing is forgotten that was changed.

use crate::retention_world::{DAY, Site};
use crate::watched::{Rows, Watched};
use crate::world::{entropy, parts, store_over, trace, until};
use procura_ledger::{Entry, FORGET, Forgetting, Frontier, TileKind, TilePath, leaf_hash};
use procura_record::tables::{LEDGER, PUBLISHED, PUBLISHED_KEY};
use procura_record::{Lease, Publisher, QueryError, RetentionError, first_kept, forgotten};
use procura_store::{Blob, Engine, FakeDisk, FakeFault, KeyPrefix, Kind, StoreError, Table};
use procura_types::wire::EntryQuery;
use procura_types::{ActorId, Clock};
use std::path::Path;
use std::sync::Arc;
use std::task::Poll;

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

#[tokio::test(flavor = "multi_thread")]
async fn who_joins_while_another_forgets_makes_every_hash() {
    let engine = Watched::open(&FakeDisk::default(), Rows::Sound);
    let store = store_over(Arc::clone(&engine) as Arc<dyn Engine>);
    let mut site = Site::over((), store.clone()).await;
    site.write(10_300).await;
    site.later(DAY * 8);
    site.write(10).await;
    site.keep(7).await;
    site.holds().await;
    let (retention, due) = (site.retention(), site.now());
    site.publisher.stop().await;
    // It is said, and the first of it is gone.
    for _ in 0..2 {
        assert!(retention.step(Some(due)).await.unwrap());
    }
    let first = store.log_start(LEDGER).unwrap();
    assert_eq!(first, 16 * 256);
    engine.hold_one(first);
    site.home = tempfile::tempdir().unwrap();
    let joins = parts(&store, site.home.path());
    let joins = tokio::spawn(async { Publisher::start(joins).await });
    until(|| engine.holds_one()).await;
    // The rest goes while it reads the first that it found there.
    while retention.step(Some(due)).await.unwrap() {}
    assert_eq!(store.log_start(LEDGER).unwrap(), 10_300 / 256 * 256);
    engine.release();
    site.publisher = joins.await.unwrap().unwrap();
    site.holds().await;
    assert_eq!(bundles(site.home.path()), 0);
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
