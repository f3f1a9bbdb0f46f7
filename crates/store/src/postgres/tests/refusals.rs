//! Databases that are not opened, each for its own reason.

use super::super::{PostgresEngine, PostgresFault, PostgresOptions};
use super::world::{ID, World, back, commit, row, until};
use crate::conformance::{Build as _, batch};
use crate::{CommitError, Damage, Seq};
use procura_types::InstallationId;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, TcpListener};

fn refused(url: &str) -> PostgresFault {
    let options = PostgresOptions::new(url.parse().unwrap());
    PostgresEngine::open(options, &ID).err().unwrap()
}

#[test]
fn what_is_no_store_of_ours_is_not_opened() {
    let world = World::new();
    let server = &world.server;
    let at = |url: &str| url.to_owned();
    let empty = server.socket_url(&world.database());
    assert_eq!(refused(&empty), PostgresFault::Missing { at: at(&empty) });
    let none = server.socket_url("none");
    assert_eq!(refused(&none), PostgresFault::Missing { at: at(&none) });

    let store = world.store();
    let again = PostgresEngine::create(store.options(), &ID).err().unwrap();
    let there = PostgresFault::AlreadyExists { at: at(&store.url) };
    assert_eq!(again, there);
    let expected = InstallationId::from_bytes([8; 16]);
    let other = PostgresEngine::open(store.options(), &expected).err();
    let found = ID;
    let whose = PostgresFault::OtherInstallation { expected, found };
    assert_eq!(other, Some(whose));
    server.tell(&store.name, "UPDATE procura.meta SET format = 2");
    let (found, supported) = (2, 1);
    let newer = PostgresFault::NewerFormat { found, supported };
    assert_eq!(store.try_open().err(), Some(newer));
    server.tell(&store.name, "DELETE FROM procura.meta");
    let damaged = store.try_open().err();
    assert!(
        matches!(damaged, Some(PostgresFault::Corrupt(Damage::File(_)))),
        "{damaged:?}"
    );
}

#[test]
fn who_does_not_answer_or_let_in_is_told_apart() {
    let world = World::new();
    let store = world.store();
    let stranger = store.url.replace("user=procura", "user=stranger");
    let fault = refused(&stranger);
    assert!(
        matches!(&fault, PostgresFault::NotLetIn { cause, .. } if cause.contains("stranger")),
        "{fault:?}"
    );
    let fault = refused("postgres://procura@127.0.0.1:1/store");
    assert!(
        matches!(&fault, PostgresFault::Unreachable { cause, .. } if cause.contains("refused")),
        "{fault:?}"
    );
    let at = "postgres://procura@192.0.2.1/store".to_owned();
    assert_eq!(refused(&at), PostgresFault::NoTls { at });
}

/// As a machine that is gone, or one that hangs: it takes connections, or not even
/// those, and says nothing.
#[test]
fn one_of_several_that_says_nothing_does_not_keep_from_the_others() {
    let world = World::new();
    let store = world.store();
    let silent = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    silent.set_nonblocking(true).unwrap();
    let at = |ports: [u16; 2]| {
        let [one, two] = ports;
        let name = &store.name;
        format!("postgres://procura@127.0.0.1:{one},127.0.0.1:{two}/{name}")
    };
    let port = silent.local_addr().unwrap().port();
    let url = at([port, world.server.port()]);
    let engine = store.engine_at(&url);
    commit(&engine, batch().put("a", b"1")).unwrap();
    // It waited for the silent one at the first of its connections only, as the other is
    // asked first from then on.
    silent.accept().unwrap();
    let more = silent.accept().unwrap_err();
    assert_eq!(more.kind(), ErrorKind::WouldBlock);
    assert_eq!(row(&engine, "a").unwrap().unwrap().1, b"1");
    drop(engine);

    let nobody = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let gone = nobody.local_addr().unwrap();
    drop(nobody);
    let url = at([port, gone.port()]);
    let fault = refused(&url);
    let causes = [
        format!("127.0.0.1:{port}: it does not answer within 2 s"),
        format!("{gone}: "),
    ];
    assert!(
        matches!(&fault, PostgresFault::Unreachable { at, cause }
            if *at == url && causes.iter().all(|of| cause.contains(of))),
        "{fault:?}"
    );
}

#[test]
fn a_server_that_may_lose_commits_is_not_used() {
    let world = World::new();
    let store = world.store();
    // What the role has does not count: it is set for each connection.
    world.server.tell(
        "postgres",
        "ALTER ROLE procura SET synchronous_commit = off",
    );
    let engine = store.engine();
    commit(&engine, batch().put("a", b"1")).unwrap();
    for setting in ["fsync", "full_page_writes"] {
        let at = store.url.clone();
        let fault = PostgresFault::NotDurable { at, setting };
        world.set(setting, "off");
        assert_eq!(store.try_open().err(), Some(fault.clone()));
        // Nor is it used any longer by who has it open.
        until("it is noticed", || engine.problem() == Some(fault.clone()));
        let refused = commit(&engine, batch().put("a", b"2"));
        assert!(
            matches!(refused, Err(CommitError::Unavailable(_))),
            "{refused:?}"
        );
        world.set(setting, "on");
        back(&engine);
        until("it is used again", || engine.problem().is_none());
    }
    commit(&engine, batch().put("a", b"3")).unwrap();
}

#[test]
fn a_standby_is_not_written_to() {
    let mut world = World::new();
    let store = world.store();
    world.server.kill();
    let signal = world.server.folder().join("data/standby.signal");
    std::fs::write(&signal, "").unwrap();
    world.server.give(&signal);
    world.server.start_again();
    let at = store.url.clone();
    assert_eq!(store.try_open().err(), Some(PostgresFault::Standby { at }));
}

#[test]
fn a_database_that_lacks_what_was_seen_is_not_used() {
    let world = World::new();
    let store = world.store();
    let engine = store.engine();
    for _ in 0..3 {
        commit(&engine, batch().put("a", b"1")).unwrap();
    }
    world
        .server
        .tell(&store.name, "UPDATE procura.head SET seq = 2");
    let fault = PostgresFault::RolledBack {
        at: store.url.clone(),
        known: Seq::new(3),
        found: Seq::new(2),
    };
    until("it is noticed", || engine.problem() == Some(fault.clone()));
    let refused = commit(&engine, batch().put("a", b"2"));
    assert!(
        matches!(refused, Err(CommitError::Unavailable(_))),
        "{refused:?}"
    );
    world
        .server
        .tell(&store.name, "UPDATE procura.head SET seq = 3");
    back(&engine);
    until("it is used again", || engine.problem().is_none());
    commit(&engine, batch().put("a", b"3")).unwrap();
}
