//! Several engines on one database.

use super::super::{PostgresEngine, PostgresFault, PostgresOptions};
use super::proxy::{Proxy, Rule};
use super::world::{ID, World, commit, row, until};
use crate::conformance::{Build as _, OpenSealer, batch, key, wait};
use crate::engine::{Engine, Expected, LogId};
use crate::sealer::{CommitSealer, GroupSealer, SealFailed};
use crate::{Change, CommitError, RowKey, Seq};
use std::sync::Mutex;
use std::time::{Duration, Instant};

const LOG: LogId = LogId::new("l");
/// A revocation has to be everywhere within a second.
const SOON: Duration = Duration::from_secs(1);

#[test]
fn two_engines_number_their_commits_and_entries_as_one() {
    let world = World::new();
    let store = world.store();
    let engines = [store.engine(), store.engine()];
    commit(&engines[0], batch().put("count", &0u64.to_be_bytes())).unwrap();
    let (seqs, indexes) = (Mutex::new(Vec::new()), Mutex::new(Vec::new()));
    // Each of them counts one row up, as often as nobody was faster.
    let count = |engine: &dyn Engine| {
        let mut counted = 0u64;
        while counted < 50 {
            let found = engine.get(&key("count")).unwrap().unwrap();
            let number = u64::from_be_bytes(found.value[8..].try_into().unwrap());
            let next = batch()
                .expect_row("count", Expected::At(found.version))
                .put("count", &(number + 1).to_be_bytes())
                .append(LOG, &number.to_be_bytes());
            match wait(engine.commit(next)) {
                Ok(done) => {
                    seqs.lock().unwrap().push(done.seq.get());
                    indexes.lock().unwrap().extend(done.indexes);
                    counted += 1;
                }
                Err(error) => {
                    assert_eq!(error, CommitError::Conflict { key: key("count") });
                }
            }
        }
    };
    std::thread::scope(|scope| {
        for engine in engines.iter().chain(&engines) {
            scope.spawn(|| count(engine));
        }
    });
    let sorted = |numbers: &Mutex<Vec<u64>>| {
        let mut numbers = numbers.lock().unwrap().clone();
        numbers.sort_unstable();
        numbers
    };
    assert!(sorted(&seqs).into_iter().eq(2..202));
    assert!(sorted(&indexes).into_iter().eq(0..200));
    let feeds = engines.each_ref().map(|engine| {
        let feed = engine.changes(Seq::ZERO, 9999).unwrap();
        assert_eq!(feed.upto, Seq::new(201));
        feed.changes
    });
    assert_eq!(feeds[0], feeds[1]);
    assert!(feeds[0].iter().map(|change| change.seq.get()).eq(1..202));
    for engine in &engines {
        let entries = engine.log_read("l", 0, 999).unwrap();
        let values = entries.iter().map(|entry| entry.value[8..].to_vec());
        // Entry and count went together: each number was counted from once.
        assert!(values.eq((0..200u64).map(|number| number.to_be_bytes().to_vec())));
        let found = row(engine, "count").unwrap().unwrap();
        assert_eq!(found.1, 200u64.to_be_bytes());
        assert_eq!(engine.integrity().unwrap(), [""; 0]);
    }
}

/// Commits with one, and tells how long it takes until the other knows.
fn heard(from: &dyn Engine, by: &super::super::PostgresEngine, value: &[u8]) -> Duration {
    let cached = row(by, "a").unwrap();
    let done = commit(from, batch().put("a", value).delete("b")).unwrap();
    let begun = Instant::now();
    assert_ne!(cached.map(|(seq, _)| seq), Some(done.seq));
    let moves = by.moves();
    until("the other hears", || *moves.borrow() >= done.seq);
    assert_eq!(row(by, "a").unwrap(), Some((done.seq, value.to_vec())));
    let after = Seq::new(done.seq.get() - 1);
    let feed = by.changes(after, 9).unwrap();
    let change = Change {
        seq: done.seq,
        key: key("a"),
        deleted: false,
    };
    assert_eq!(feed.changes, [change]);
    assert!(by.feed_age().unwrap() < Duration::from_secs(20));
    begun.elapsed()
}

#[test]
fn each_hears_of_the_commits_of_the_other_also_when_nothing_is_told() {
    let world = World::new();
    let store = world.store();
    let proxy = Proxy::before(world.server.port());
    let (one, other) = (store.engine(), store.engine_at(&proxy.url(&store.name)));
    commit(&one, batch().put("a", b"0")).unwrap();
    // The fastest of some: the machine may be busy with other things.
    let fastest = |from: &dyn Engine, by: &super::super::PostgresEngine| {
        let all = (0..5u8).map(|value| heard(from, by, &[value]));
        all.min().unwrap()
    };
    assert!(fastest(&one, &other) < SOON);
    assert!(fastest(&other, &one) < SOON);
    // The connection that listens is still there and says nothing any more.
    proxy.set(Rule::Mute);
    assert!(fastest(&one, &other) < SOON);
}

#[test]
fn an_own_commit_brings_all_that_came_before_it() {
    let world = World::new();
    let store = world.store();
    let (one, other) = (store.engine(), store.engine());
    for number in 0..200u64 {
        let value = number.to_be_bytes();
        // In the cache of the other, and then not right any more.
        row(&other, "a").unwrap();
        let put = commit(&one, batch().put("a", &value)).unwrap();
        commit(&other, batch().append(LOG, &value)).unwrap();
        let found = row(&other, "a").unwrap();
        assert_eq!(found, Some((put.seq, value.to_vec())));
    }
}

#[test]
fn who_reads_a_change_finds_the_row_no_more_as_it_was_before() {
    let world = World::new();
    let store = world.store();
    let (one, other) = (store.engine(), store.engine());
    let mut before = commit(&one, batch().put("a", b"")).unwrap().seq;
    let moves = other.moves();
    for number in 0..500u64 {
        let value = number.to_be_bytes();
        // The other has it in its cache, which is right so far.
        until("the other hears", || *moves.borrow() >= before);
        row(&other, "a").unwrap();
        row(&other, "a").unwrap();
        let put = commit(&one, batch().put("a", &value)).unwrap();
        let read = other.changes(before, 9).unwrap();
        assert_eq!(read.upto, put.seq);
        let found = row(&other, "a").unwrap();
        assert_eq!(found, Some((put.seq, value.to_vec())));
        before = put.seq;
    }
}

/// Keys that count while a row is of this version.
#[derive(Default)]
struct Fenced(Mutex<Option<(RowKey, Seq)>>);

impl CommitSealer for Fenced {
    fn begin(&self) -> Box<dyn GroupSealer + '_> {
        OpenSealer.begin()
    }
    fn sentinel(&self) -> Result<Vec<u8>, SealFailed> {
        OpenSealer.sentinel()
    }
    fn fence(&self) -> Option<(RowKey, Seq)> {
        self.0.lock().unwrap().clone()
    }
}

#[test]
fn nothing_applies_with_keys_that_another_has_replaced_until_the_new_ones_are_here() {
    let world = World::new();
    let store = world.store();
    let (one, two) = (store.engine(), store.engine());
    let first = commit(&one, batch().put("keys", b"1")).unwrap();
    let fenced = std::sync::Arc::new(Fenced::default());
    let at = |seq| *fenced.0.lock().unwrap() = Some((key("keys"), seq));
    at(first.seq);
    two.set_sealer(Some(fenced.clone()));
    commit(&two, batch().put("a", b"1")).unwrap();
    let second = commit(&one, batch().put("keys", b"2")).unwrap();
    // It waits for the keys, and gives up when they do not come.
    let begun = Instant::now();
    let refused = commit(&two, batch().put("a", b"2"));
    let Err(CommitError::Unavailable(cause)) = refused else {
        panic!("{refused:?}");
    };
    assert!(
        cause.to_string().contains("changed by another server"),
        "{cause}"
    );
    assert!(begun.elapsed() > SOON);
    assert_eq!(row(&one, "a").unwrap().unwrap().1, b"1");
    // Meanwhile the other goes on: nobody holds the head while waiting.
    let waiting = two.commit(batch().put("a", b"3"));
    commit(&one, batch().put("b", b"1")).unwrap();
    at(second.seq);
    let applied = wait(waiting).unwrap();
    until("it is seen at the other", || {
        row(&one, "a").unwrap() == Some((applied.seq, b"3".to_vec()))
    });
    // What was built with the keys of before does not apply with those of now.
    let late = batch()
        .expect_row("keys", Expected::At(first.seq))
        .put("a", b"4");
    let refused = commit(&two, late);
    assert_eq!(refused, Err(CommitError::Conflict { key: key("keys") }));
}

#[test]
fn a_database_tells_whose_store_it_holds_and_gives_up_only_an_untouched_one() {
    let world = World::new();
    let name = world.database();
    let options = || PostgresOptions::new(world.server.socket_url(&name).parse().unwrap());
    assert_eq!(PostgresEngine::find(options()), Ok(None));
    drop(PostgresEngine::create(options(), &ID).unwrap());
    assert_eq!(PostgresEngine::find(options()), Ok(Some(ID)));
    PostgresEngine::discard_untouched(options()).unwrap();
    assert_eq!(PostgresEngine::find(options()), Ok(None));
    let engine = PostgresEngine::create(options(), &ID).unwrap();
    engine.set_sealer(Some(std::sync::Arc::new(OpenSealer)));
    commit(&engine, batch().put("a", b"1")).unwrap();
    let at = world.server.socket_url(&name);
    let kept = PostgresEngine::discard_untouched(options());
    assert_eq!(kept, Err(PostgresFault::AlreadyExists { at }));
    assert_eq!(row(&engine, "a").unwrap().unwrap().1, b"1");
}
