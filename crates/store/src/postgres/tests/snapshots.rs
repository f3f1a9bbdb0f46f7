//! Snapshots: how many there are, and what becomes of forgotten ones.

use super::world::{World, commit, until};
use crate::conformance::{Build as _, batch, key};
use crate::engine::Engine as _;
use crate::{IoCause, Seq, StoreError};
use std::time::Duration;

const LONG: Duration = Duration::from_secs(60);

#[test]
fn there_are_so_many_and_who_ends_one_makes_room() {
    let world = World::new();
    let store = world.store();
    let engine = store.engine();
    commit(&engine, batch().put("a", b"1")).unwrap();
    let mut open: Vec<_> = (0..32).map(|_| engine.snapshot(LONG).unwrap()).collect();
    let full = StoreError::Unavailable(IoCause::new(&"32 snapshots are open"));
    assert_eq!(engine.snapshot(LONG).err(), Some(full));
    // Single rows and commits need none.
    commit(&engine, batch().put("a", b"2")).unwrap();
    assert_eq!(open[7].seq(), Seq::new(1));
    let found = open[7].get(&key("a")).unwrap().unwrap();
    assert_eq!(found.version, Seq::new(1));
    open.pop();
    until("there is room", || engine.snapshot(LONG).is_ok());
    drop(open);
    until("all are over", || {
        let all: Vec<_> = (0..32).map(|_| engine.snapshot(LONG)).collect();
        all.iter().all(Result::is_ok)
    });
}

#[test]
fn a_forgotten_one_lets_its_transaction_go() {
    let world = World::new();
    let store = world.store();
    let engine = store.engine();
    let open = "SELECT count(*) FROM pg_stat_activity
                WHERE application_name = 'procura' AND state = 'idle in transaction'";
    let forgotten = engine.snapshot(Duration::from_millis(1)).unwrap();
    until("its transaction ends", || {
        world.server.tell(&store.name, open) == "0"
    });
    let gone = forgotten.get(&key("a"));
    assert_eq!(gone, Err(StoreError::SnapshotExpired));
    let alive = engine.snapshot(LONG).unwrap();
    assert_eq!(world.server.tell(&store.name, open), "1");
    assert_eq!(alive.seq(), Seq::ZERO);
}
