//! The index of the record: it saves reading and changes no answer.

use crate::watched::{Rows, TABLE, Watched};
use crate::world::{NOW, store_over, tiles, trace, until};
use procura_crypto::SystemEntropy;
use procura_ledger::Entry;
use procura_record::tables::LEDGER;
use procura_record::{Indexer, QueryError, RecordReader};
use procura_store::{FakeDisk, Kind, Store, Table};
use procura_types::wire::{EntryList, EntryQuery};
use procura_types::{ActorId, Duration, EntryId, GrantId, Timestamp};
use proptest::prelude::*;
use serde::{Deserialize, Serialize};
use std::path::Path;
use std::sync::{Arc, OnceLock};

const BLOCK: usize = 4096;
/// The table under another declaration: rows that are not of its shape.
const ALIEN: Table<u64, String> = Table::new(TABLE, Kind::Ordinary);
const ACTIONS: [&str; 3] = ["secret.read", "secret.write", "run.deliver"];

fn actor(number: u8) -> ActorId {
    ActorId::from_bytes([number; 32])
}

fn grant(number: u8) -> GrantId {
    GrantId::from_bytes([number; 16])
}

/// The entry at an index: a few callers are everywhere, and some only in one
/// block; the clock goes on by 10 ms an entry, and was set back in block 1.
fn entry(index: usize) -> Entry {
    let block = u8::try_from(index / BLOCK).unwrap();
    let own = index.is_multiple_of(97);
    let set_back = if block == 1 { 1_000 } else { 0 };
    let time = NOW
        .plus(Duration::from_millis(10 * index as u64))
        .minus(Duration::from_secs(set_back));
    let who = if own { 100 + block } else { (index % 5) as u8 };
    Entry {
        actor: (!index.is_multiple_of(11)).then(|| actor(who)),
        owner: (!index.is_multiple_of(11)).then(|| actor(who % 3)),
        namespace: (!index.is_multiple_of(3)).then(|| {
            let name = if own {
                format!("own-{block}")
            } else {
                "shop".into()
            };
            name.parse().unwrap()
        }),
        grant: index
            .is_multiple_of(7)
            .then(|| grant(if own { 100 + block } else { 1 })),
        ..Entry::new(time, &SystemEntropy, ACTIONS[index % 3], trace()).unwrap()
    }
}

async fn append(store: &Store, entries: &[Entry]) {
    for part in entries.chunks(4096) {
        let mut batch = store.batch().unwrap();
        for entry in part {
            batch.append(LEDGER, entry.to_bytes().unwrap());
        }
        store.commit(batch).await.unwrap();
    }
}

/// A disk with so many entries and no index.
async fn filled(count: usize) -> (FakeDisk, Vec<Entry>) {
    let disk = FakeDisk::default();
    let entries: Vec<Entry> = (0..count).map(entry).collect();
    append(&crate::world::store(&disk), &entries).await;
    (disk, entries)
}

fn open(disk: &FakeDisk, rows: Rows) -> (Arc<Watched>, Store) {
    let engine = Watched::open(disk, rows);
    let store = store_over(engine.clone());
    (engine, store)
}

fn reader(store: &Store) -> RecordReader {
    RecordReader::new(store.clone(), tiles(Path::new("/nonexistent")))
}

fn places(list: &EntryList) -> (Vec<u64>, Option<u64>) {
    let places = list.entries.iter().map(|row| row.index).collect();
    (places, list.next)
}

/// What reading every entry answers.
fn naive(entries: &[Entry], query: &EntryQuery) -> (Vec<u64>, Option<u64>) {
    let end = query.before.map_or(entries.len(), |end| end as usize);
    let limit = query.limit.unwrap_or(100).clamp(1, 1000) as usize;
    let mut found = Vec::new();
    for (index, entry) in entries.iter().enumerate().take(end).rev() {
        let fits = query.namespace.is_none() || query.namespace == entry.namespace;
        let fits = fits && (query.actor.is_none() || query.actor == entry.actor);
        let fits = fits && (query.owner.is_none() || query.owner == entry.owner);
        let fits = fits && (query.grant.is_none() || query.grant == entry.grant);
        let fits = fits
            && query
                .action
                .as_ref()
                .is_none_or(|wanted| *wanted == entry.action);
        let fits = fits && query.since.is_none_or(|since| since <= entry.time);
        if fits && query.until.is_none_or(|until| entry.time < until) {
            found.push(index as u64);
        }
        if found.len() == limit {
            return (found, (index > 0).then_some(index as u64));
        }
    }
    (found, None)
}

const LENGTH: usize = 3 * BLOCK + 700;

fn log() -> &'static (FakeDisk, Vec<Entry>) {
    static LOG: OnceLock<(FakeDisk, Vec<Entry>)> = OnceLock::new();
    LOG.get_or_init(|| run(filled(LENGTH)))
}

/// Runs it on a thread of its own, as the caller may be in a runtime.
fn run<T: Send>(work: impl Future<Output = T> + Send) -> T {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            runtime.unwrap().block_on(work)
        });
        thread.join().unwrap()
    })
}

/// Waits until what a query learnt is stored: bulk work is done in its order.
async fn settle(store: &Store) {
    let mut batch = store.batch().unwrap().bulk();
    crate::world::ROWS.put(&mut batch, &"settled".to_owned(), &1);
    store.commit(batch).await.unwrap();
}

/// All rows of blocks, made by a question that fits nothing.
async fn indexed(store: &Store) {
    let mut query = EntryQuery {
        actor: Some(actor(99)),
        ..EntryQuery::default()
    };
    for _ in 0..100 {
        let list = reader(store).list(&query).await.unwrap();
        assert!(list.entries.is_empty());
        query.before = list.next;
        if list.next.is_none() {
            break;
        }
    }
    settle(store).await;
}

fn queries() -> impl Strategy<Value = EntryQuery> {
    fn some<T: Clone + std::fmt::Debug + 'static>(
        values: impl Strategy<Value = T>,
    ) -> impl Strategy<Value = Option<T>> {
        prop_oneof![2 => Just(None), 1 => values.prop_map(Some)]
    }
    let who = prop_oneof![0..6u8, 100..104u8];
    let times = (0..11 * LENGTH as u64).prop_map(|millis| NOW.plus(Duration::from_millis(millis)));
    (
        some(prop_oneof![
            Just("shop"),
            Just("own-0"),
            Just("own-2"),
            Just("bank")
        ]),
        some(who.clone().prop_map(actor)),
        some((0..4u8).prop_map(actor)),
        some(who.prop_map(grant)),
        some(prop_oneof![
            Just("secret.read"),
            Just("run.deliver"),
            Just("run")
        ]),
        some(times.clone()),
        some(times),
        some(0..2 * LENGTH as u64),
        some(prop_oneof![Just(1u32), Just(7), Just(1000)]),
    )
        .prop_map(
            |(namespace, actor, owner, grant, action, since, until, before, limit)| EntryQuery {
                namespace: namespace.map(|name| name.parse().unwrap()),
                actor,
                owner,
                grant,
                action: action.map(str::to_owned),
                since,
                until,
                before,
                limit,
            },
        )
}

/// How the row of a block is found.
#[derive(Debug, Clone, Copy)]
enum Row {
    Missing,
    Made,
    /// Of another shape.
    Alien,
    /// Right in shape, and made of a block of another size.
    Short,
}

/// A row that excludes everything.
#[derive(Serialize, Deserialize)]
struct Nothing {
    v: u8,
    entries: u64,
    times: (Timestamp, Timestamp),
    ids: (u64, u64),
    values: [Vec<u64>; 5],
}

const NOTHING: Table<u64, Nothing> = Table::new(TABLE, Kind::Ordinary);

impl Nothing {
    fn of(entries: u64) -> Self {
        Self {
            v: 1,
            entries,
            times: (NOW, NOW),
            ids: (0, 0),
            values: Default::default(),
        }
    }
}

fn rows() -> impl Strategy<Value = Vec<Row>> {
    let row = prop_oneof![
        1 => Just(Row::Missing),
        2 => Just(Row::Made),
        1 => Just(Row::Alien),
        1 => Just(Row::Short)
    ];
    proptest::collection::vec(row, 3)
}

/// The log with its index in some state, and damaged in the file.
async fn in_state(rows: &[Row]) -> FakeDisk {
    let disk = indexed_log().copy();
    let (_, store) = open(&disk, Rows::Sound);
    let mut batch = store.batch().unwrap();
    for (block, row) in (0u64..).zip(rows) {
        match row {
            Row::Made => {}
            Row::Missing => ALIEN.delete(&mut batch, &block),
            Row::Alien => ALIEN.put(&mut batch, &block, &"{}".to_owned()),
            Row::Short => NOTHING.put(&mut batch, &block, &Nothing::of(1024)),
        }
    }
    if !batch.is_empty() {
        store.commit(batch).await.unwrap();
    }
    disk
}

fn indexed_log() -> &'static FakeDisk {
    static LOG: OnceLock<FakeDisk> = OnceLock::new();
    LOG.get_or_init(|| {
        let disk = log().0.copy();
        run(async { indexed(&open(&disk, Rows::Sound).1).await });
        disk
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 10, ..ProptestConfig::default() })]
    /// Whatever is there of the index, before and after a restart.
    #[test]
    fn answers_are_those_of_reading_everything(
        rows in rows(),
        damage in prop_oneof![3 => Just(Rows::Sound), 1 => Just(Rows::Edited), 1 => Just(Rows::Removed)],
        queries in proptest::collection::vec(queries(), 3),
    ) {
        run(async {
            let entries = &log().1;
            let disk = in_state(&rows).await;
            let (mut open_store, mut reopened) = (open(&disk, damage).1, false);
            for mut query in queries {
                // Some pages, each from where the last one ended.
                for _ in 0..3 {
                    let found = places(&reader(&open_store).list(&query).await.unwrap());
                    prop_assert_eq!(&found, &naive(entries, &query), "{:?}", query);
                    if found.1.is_none() {
                        break;
                    }
                    query.before = found.1;
                }
                if !reopened {
                    drop(open_store);
                    open_store = open(&disk, damage).1;
                    reopened = true;
                }
            }
            Ok(())
        })?;
    }
}

#[tokio::test]
async fn a_narrow_question_reads_little() {
    const COUNT: usize = 50_000;
    const TAIL: u64 = (COUNT % BLOCK) as u64;
    let (disk, entries) = filled(COUNT).await;
    let (engine, store) = open(&disk, Rows::Sound);
    let query = EntryQuery {
        actor: Some(actor(103)),
        limit: Some(1000),
        ..EntryQuery::default()
    };
    let expected = naive(&entries, &query);
    assert!(expected.0.len() > 10);
    let first = reader(&store).list(&query).await.unwrap();
    assert_eq!(places(&first), expected);
    // Everything once to learn, and the one block again to answer.
    assert_eq!(engine.take_read(), (COUNT + BLOCK) as u64);
    settle(&store).await;

    drop((engine, store));
    let (engine, store) = open(&disk, Rows::Sound);
    let second = reader(&store).list(&query).await.unwrap();
    assert_eq!(places(&second), expected);
    assert_eq!(engine.take_read(), TAIL + BLOCK as u64);

    let early = EntryQuery {
        until: Some(entries[20].time),
        ..EntryQuery::default()
    };
    let found = reader(&store).list(&early).await.unwrap();
    // All are of block 1, for which the clock was set back.
    assert_eq!(places(&found), naive(&entries, &early));
    assert!(engine.take_read() <= TAIL + BLOCK as u64);

    let wanted = &entries[5 * BLOCK + 17];
    let (index, text) = reader(&store).find(wanted.id).await.unwrap();
    assert_eq!(index, 5 * BLOCK as u64 + 17);
    assert_eq!(text.into_bytes(), wanted.to_bytes().unwrap());
    assert!(engine.take_read() <= TAIL + BLOCK as u64);
    let nobody = EntryId::generate(NOW.minus(Duration::from_secs(9_000)), &SystemEntropy).unwrap();
    let error = reader(&store).find(nobody).await.unwrap_err();
    assert!(matches!(error, QueryError::NotFound), "{error}");
    assert_eq!(engine.take_read(), TAIL);
}

#[tokio::test]
async fn every_entry_is_found_by_its_id_whatever_is_left_of_the_index() {
    let entries = &log().1;
    for damage in [Rows::Sound, Rows::Edited, Rows::Removed] {
        let disk = in_state(&[Row::Short, Row::Alien, Row::Missing]).await;
        let (_, store) = open(&disk, damage);
        for index in [
            0,
            BLOCK - 1,
            BLOCK,
            2 * BLOCK + 1,
            3 * BLOCK - 1,
            LENGTH - 1,
        ] {
            let (found, _) = reader(&store).find(entries[index].id).await.unwrap();
            assert_eq!(found, index as u64, "{damage:?}");
        }
    }
}

#[tokio::test]
async fn an_index_that_was_removed_from_the_file_is_not_believed() {
    // The set digest tells; then the whole table counts as nothing.
    let disk = indexed_log().copy();
    let (engine, store) = open(&disk, Rows::Removed);
    assert!(store.wait_verified().is_err());
    let query = EntryQuery {
        actor: Some(actor(101)),
        ..EntryQuery::default()
    };
    let found = reader(&store).list(&query).await.unwrap();
    assert_eq!(places(&found), naive(&log().1, &query));
    assert!(engine.take_read() >= LENGTH as u64);
}

#[tokio::test]
async fn the_indexer_makes_what_is_missing_in_a_quiet_moment() {
    let disk = in_state(&[Row::Short, Row::Alien, Row::Made]).await;
    let (engine, store) = open(&disk, Rows::Sound);
    let indexer = Indexer::start(store.clone());
    until(|| all_made(&store)).await;
    indexer.stop().await;
    // Two rows were not fit for use; the block of the third was not read.
    assert_eq!(engine.take_read(), 2 * BLOCK as u64);
    let nothing = EntryQuery {
        grant: Some(grant(99)),
        ..EntryQuery::default()
    };
    let found = reader(&store).list(&nothing).await.unwrap();
    assert_eq!(places(&found), (Vec::new(), None));
    assert_eq!(engine.take_read(), 700);
}

fn all_made(store: &Store) -> bool {
    let made = |block| NOTHING.get(store, &block).ok().flatten();
    (0..3).all(|block| made(block).is_some_and(|row| row.value.entries == BLOCK as u64))
}

#[tokio::test]
async fn the_indexer_ends_with_the_seal_and_with_its_owner() {
    let (disk, _) = filled(10).await;
    let (_, store) = open(&disk, Rows::Sound);
    let indexer = Indexer::start(store.clone());
    store.seal();
    indexer.stop().await;
    drop(Indexer::start(store.clone()));
    indexer.stop().await;
}

#[tokio::test]
async fn an_entry_that_cannot_be_read_hides_no_other() {
    let disk = FakeDisk::default();
    let (_, store) = open(&disk, Rows::Sound);
    let entries: Vec<Entry> = (0..BLOCK - 1).map(entry).collect();
    append(&store, &entries).await;
    let mut batch = store.batch().unwrap();
    batch.append(LEDGER, b"{\"v\":2}".to_vec());
    store.commit(batch).await.unwrap();
    let query = EntryQuery {
        actor: Some(actor(100)),
        limit: Some(1000),
        ..EntryQuery::default()
    };
    let found = reader(&store).list(&query).await.unwrap();
    assert_eq!(places(&found), naive(&entries, &query));
    // Nothing was learnt of a block that is not understood.
    settle(&store).await;
    assert!(ALIEN.get(&store, &0).unwrap().is_none());
}

#[tokio::test]
async fn two_questions_are_answered_at_once_and_no_thread_of_requests_waits() {
    let (engine, store) = open(&log().0.copy(), Rows::Sound);
    let reader = Arc::new(reader(&store));
    engine.hold();
    let questions: Vec<_> = (0..5)
        .map(|_| {
            let reader = Arc::clone(&reader);
            tokio::spawn(async move { reader.list(&EntryQuery::default()).await.unwrap() })
        })
        .collect();
    // This runtime has one thread: a question that ran on it would hold it up.
    until(|| engine.inside().0 == 2).await;
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert_eq!(reader.size().unwrap(), LENGTH as u64);
    engine.release();
    for question in questions {
        assert_eq!(question.await.unwrap().entries.len(), 100);
    }
    assert_eq!(engine.inside(), (0, 2));
}

#[tokio::test]
async fn a_question_that_nobody_waits_for_ends() {
    let (engine, store) = open(&log().0.copy(), Rows::Sound);
    let reader = Arc::new(reader(&store));
    engine.hold();
    let asked = Arc::clone(&reader);
    let unknown = EntryId::from_bytes([0; 16]);
    let question = tokio::spawn(async move { asked.find(unknown).await });
    until(|| engine.inside().0 == 1).await;
    question.abort();
    assert!(question.await.unwrap_err().is_cancelled());
    engine.release();
    // Its turn comes back; both turns can be had again.
    let list = reader.list(&EntryQuery::default()).await.unwrap();
    assert_eq!(list.entries.len(), 100);
    until(|| engine.inside().0 == 0).await;
    assert!(engine.take_read() < LENGTH as u64);
}
