//! Standbys that a commit waits for, or does not. What receives the server's log on
//! `pg_receivewal` counts as one.

use super::super::{PostgresEngine, PostgresFault};
use super::world::{ID, World, back, commit, row, until};
use crate::conformance::{Build as _, batch, key, wait};
use crate::engine::Engine as _;
use crate::{CommitError, Seq, StoreError};
use std::process::Child;
use std::time::Duration;

struct Standby(Child);

impl Standby {
    fn of(world: &World) -> Self {
        let folder = world.server.folder().join("received");
        std::fs::create_dir(&folder).unwrap();
        world.server.give(&folder);
        let folder = folder.to_str().unwrap();
        let receiver = ["--synchronous", "-D", folder];
        let standby = Self(world.server.beside("pg_receivewal", &receiver));
        let count = "SELECT count(*) FROM pg_stat_replication";
        until("the standby", || {
            world.server.tell("postgres", count) == "1"
        });
        standby
    }
}

impl Drop for Standby {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn standbys_that_no_commit_waits_for_are_refused_unless_accepted() {
    let world = World::new();
    let store = world.store();
    let engine = store.engine();
    commit(&engine, batch().put("a", b"1")).unwrap();
    let _standby = Standby::of(&world);
    let at = store.url.clone();
    let fault = PostgresFault::AsyncStandby { at };
    assert_eq!(store.try_open().err(), Some(fault.clone()));
    until("it is noticed", || engine.problem() == Some(fault.clone()));
    let refused = commit(&engine, batch().put("a", b"2"));
    assert!(
        matches!(refused, Err(CommitError::Unavailable(_))),
        "{refused:?}"
    );
    let mut options = store.options();
    options.danger_async_standby = true;
    drop(PostgresEngine::open(options, &ID).unwrap());

    world.set("synchronous_standby_names", "pg_receivewal");
    back(&engine);
    until("it is used again", || engine.problem().is_none());
    commit(&engine, batch().put("a", b"3")).unwrap();
    drop(store.try_open().unwrap());
}

/// Its machine hung, the standby took over, and it goes on: connections that were kept to
/// it show what was, and are not believed.
#[test]
fn a_former_primary_that_goes_on_shows_nobody_what_was() {
    let world = World::new();
    let store = world.store();
    let dir = tempfile::tempdir().unwrap();
    let standby = world.server.standby(dir.path(), &[]);
    world.set("synchronous_standby_names", "*");
    let ports = [world.server.port(), standby.port()];
    let [one, two] = ports.map(|port| format!("127.0.0.1:{port}"));
    let engine = store.engine_at(&format!("postgres://procura@{one},{two}/{}", store.name));
    commit(&engine, batch().put("a", b"1")).unwrap();
    // A connection to the first is kept for the next one that asks.
    let life = Duration::from_secs(60);
    drop(engine.snapshot(life).unwrap());
    world.server.freeze();
    until("the loss is noticed", || engine.get(&key("none")).is_err());
    standby.tell("postgres", "SELECT pg_promote()");
    back(&engine);
    until("it is used again", || engine.problem().is_none());
    let second = commit(&engine, batch().put("a", b"2")).unwrap();
    world.server.thaw();
    for _ in 0..8 {
        let snapshot = engine.snapshot(life).unwrap();
        assert!(snapshot.seq() >= second.seq, "{:?}", snapshot.seq());
        let row = snapshot.get(&key("a")).unwrap().unwrap();
        assert_eq!((row.version, &row.value[8..]), (second.seq, &b"2"[..]));
    }
    let third = commit(&engine, batch().put("a", b"3")).unwrap();
    assert_eq!(third.seq, Seq::new(3));
}

#[test]
fn a_commit_that_did_not_wait_for_its_standby_is_not_acknowledged() {
    let world = World::new();
    let store = world.store();
    let engine = store.engine();
    commit(&engine, batch().put("a", b"1")).unwrap();
    world.set("synchronous_standby_names", "nobody");
    let waiting = batch().put("a", b"2");
    let id = waiting.id;
    let outcome = engine.commit(waiting);
    let cancel = "SELECT count(pg_cancel_backend(pid)) FROM pg_stat_activity
                  WHERE wait_event = 'SyncRep'";
    until("the commit waits", || {
        world.server.tell("postgres", cancel) == "1"
    });
    // The server says that it has committed, and warns.
    assert_eq!(wait(outcome), Err(CommitError::Unknown));
    // It shows the row to whoever asks; here nobody may until it is safe.
    let shown = "SELECT count(*) FROM procura.rows WHERE version = 2";
    assert_eq!(world.server.tell(&store.name, shown), "1");
    assert_eq!(engine.get(&key("a")), Err(StoreError::Poisoned));
    world.set("synchronous_standby_names", "");
    back(&engine);
    assert_eq!(engine.fate(id).unwrap(), Some(Seq::new(2)));
    let found = Some((Seq::new(2), b"2".to_vec()));
    assert_eq!(row(&engine, "a").unwrap(), found);
}
