//! Connections that end at the worst moment, and a server that is killed.

use super::proxy::{Proxy, Rule};
use super::world::{Database, World, back, commit, row, until};
use crate::conformance::{Build as _, batch, key, wait};
use crate::engine::{Engine, LogId};
use crate::{CommitError, Seq, StoreError};
use procura_types::BatchId;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

const LOG: LogId = LogId::new("l");

#[test]
fn a_connection_that_ends_at_commit_leaves_the_fate_to_be_asked() {
    let world = World::new();
    for (rule, kept) in [(Rule::CutBeforeCommit, false), (Rule::CutAfterCommit, true)] {
        let store = world.store();
        let proxy = Proxy::before(world.server.port());
        let engine = store.engine_at(&proxy.url(&store.name));
        commit(&engine, batch().put("a", b"1").append(LOG, b"x")).unwrap();
        proxy.set(rule);
        let lost = batch().put("a", b"2").append(LOG, b"y");
        let id = lost.id;
        assert_eq!(commit(&engine, lost), Err(CommitError::Unknown));
        // No other connection can be made yet.
        assert_eq!(proxy.rule(), Rule::Refuse);
        let after = commit(&engine, batch().put("b", b""));
        assert_eq!(after, Err(CommitError::Poisoned));
        assert_eq!(engine.get(&key("a")), Err(StoreError::Poisoned));
        assert_eq!(engine.fate(id), Err(StoreError::Poisoned));
        assert!(matches!(
            engine.snapshot(Duration::from_secs(1)).err(),
            Some(StoreError::Poisoned)
        ));
        proxy.set(Rule::Pass);
        back(&engine);
        let second = Seq::new(2);
        assert_eq!(engine.fate(id).unwrap(), kept.then_some(second));
        let expected = match kept {
            true => (second, b"2".to_vec()),
            false => (Seq::new(1), b"1".to_vec()),
        };
        assert_eq!(row(&engine, "a").unwrap(), Some(expected));
        assert_eq!(row(&engine, "b").unwrap(), None);
        let next = commit(&engine, batch().put("b", b"3").append(LOG, b"z")).unwrap();
        let (seq, index) = if kept { (3, 2) } else { (2, 1) };
        assert_eq!((next.seq, next.indexes), (Seq::new(seq), vec![index]));
        assert_eq!(engine.integrity().unwrap(), [""; 0]);
    }
}

/// What became of the batches of a load.
#[derive(Default)]
struct Told {
    /// Number, commit and index of what was acknowledged.
    done: Mutex<Vec<(u64, Seq, u64)>>,
    unknown: Mutex<Vec<(u64, BatchId)>>,
    refused: Mutex<Vec<u64>>,
}

fn load(engine: &dyn Engine, numbers: &AtomicU64, over: &AtomicBool, told: &Told) {
    while !over.load(Ordering::Relaxed) {
        let number = numbers.fetch_add(1, Ordering::Relaxed);
        let value = number.to_be_bytes();
        let fresh = batch().put(&number.to_string(), &value).append(LOG, &value);
        let id = fresh.id;
        match wait(engine.commit(fresh)) {
            Ok(done) => {
                let done = (number, done.seq, done.indexes[0]);
                told.done.lock().unwrap().push(done);
            }
            Err(CommitError::Unknown) => told.unknown.lock().unwrap().push((number, id)),
            Err(CommitError::Poisoned | CommitError::Unavailable(_) | CommitError::Io(_)) => {
                told.refused.lock().unwrap().push(number);
                std::thread::sleep(Duration::from_millis(5));
            }
            Err(other) => panic!("{other:?}"),
        }
    }
}

fn check(engine: &dyn Engine, told: Told) {
    let entry = |index| {
        let entries = engine.log_read("l", index, 1).unwrap();
        entries.first().unwrap().value[8..].to_vec()
    };
    let done = told.done.into_inner().unwrap();
    for (number, seq, index) in &done {
        let value = number.to_be_bytes().to_vec();
        let name = number.to_string();
        assert_eq!(row(engine, &name).unwrap(), Some((*seq, value.clone())));
        assert_eq!(entry(*index), value);
    }
    let mut kept = 0;
    for (number, id) in told.unknown.into_inner().unwrap() {
        let found = row(engine, &number.to_string()).unwrap();
        let fate = engine.fate(id).unwrap();
        assert_eq!(fate, found.map(|(seq, _)| seq));
        kept += usize::from(fate.is_some());
    }
    for number in told.refused.into_inner().unwrap() {
        assert_eq!(row(engine, &number.to_string()).unwrap(), None);
    }
    let entries = u64::try_from(done.len() + kept).unwrap();
    assert_eq!(engine.log_len("l").unwrap(), entries);
    assert_eq!(engine.integrity().unwrap(), [""; 0]);
}

#[test]
fn a_server_that_is_killed_under_load_loses_nothing_that_was_acknowledged() {
    let mut world = World::new();
    let store = world.store();
    let engine = store.engine();
    let (numbers, over, told) = (AtomicU64::new(0), AtomicBool::new(false), Told::default());
    let acknowledged = || told.done.lock().unwrap().len();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| load(&engine, &numbers, &over, &told));
        }
        for _ in 0..3 {
            let before = acknowledged();
            until("commits", || acknowledged() > before + 100);
            world.server.kill();
            let refused = || told.refused.lock().unwrap().len();
            let before = refused();
            until("refusals", || refused() > before + 8);
            world.server.start_again();
        }
        let before = acknowledged();
        until("commits", || acknowledged() > before + 100);
        over.store(true, Ordering::Relaxed);
    });
    check(&engine, told);
}

#[test]
fn while_the_database_is_away_all_is_refused_and_then_goes_on() {
    let mut world = World::new();
    let store = world.store();
    let engine = store.engine();
    commit(&engine, batch().put("a", b"1").append(LOG, b"x")).unwrap();
    let snapshot = engine.snapshot(Duration::from_secs(60)).unwrap();
    // It is in the cache.
    assert!(row(&engine, "a").unwrap().is_some() && engine.cache_use().0 > 0);
    world.server.kill();
    until("the loss is noticed", || engine.problem().is_some());
    let unavailable = |error: Option<StoreError>| {
        assert!(
            matches!(error, Some(StoreError::Unavailable(_))),
            "{error:?}"
        );
    };
    unavailable(engine.get(&key("a")).err());
    unavailable(engine.get(&key("none")).err());
    unavailable(engine.log_len("l").err());
    unavailable(engine.log_read("l", 0, 1).err());
    unavailable(engine.changes(Seq::ZERO, 1).err());
    unavailable(engine.fate(batch().id).err());
    unavailable(engine.snapshot(Duration::from_secs(1)).err());
    unavailable(engine.integrity().err());
    unavailable(snapshot.get(&key("a")).err());
    let refused = commit(&engine, batch().put("a", b"2"));
    assert!(
        matches!(refused, Err(CommitError::Unavailable(_))),
        "{refused:?}"
    );
    world.server.start_again();
    back(&engine);
    until("it says so", || engine.problem().is_none());
    assert_eq!(
        row(&engine, "a").unwrap(),
        Some((Seq::new(1), b"1".to_vec()))
    );
    let next = commit(&engine, batch().put("a", b"3").append(LOG, b"y")).unwrap();
    assert_eq!((next.seq, next.indexes), (Seq::new(2), vec![1]));
}

#[test]
fn who_is_stopped_with_the_head_holds_nobody_up_and_commits_nothing() {
    let world = World::new();
    let store: Database = world.store();
    let proxy = Proxy::before(world.server.port());
    let stopped = store.engine_at(&proxy.url(&store.name));
    let other = store.engine();
    commit(&stopped, batch().put("a", b"1").append(LOG, b"x")).unwrap();
    proxy.set(Rule::HoldCommit);
    let held = batch().put("a", b"2").append(LOG, b"y");
    let id = held.id;
    let outcome = stopped.commit(held);
    until("its COMMIT is held", || proxy.rule() == Rule::Pass);
    let went = commit(&other, batch().put("a", b"3").append(LOG, b"z")).unwrap();
    assert_eq!((went.seq, went.indexes), (Seq::new(2), vec![1]));
    assert_eq!(wait(outcome), Err(CommitError::Unknown));
    back(&stopped);
    assert_eq!(stopped.fate(id).unwrap(), None);
    let found = Some((Seq::new(2), b"3".to_vec()));
    assert_eq!(row(&stopped, "a").unwrap(), found);
    let next = commit(&stopped, batch().append(LOG, b"w")).unwrap();
    assert_eq!((next.seq, next.indexes), (Seq::new(3), vec![2]));
}
