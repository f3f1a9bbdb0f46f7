//! Each reason why a file is not opened, and that it is left as it was.

use crate::home::{AGENTS, Home, barrier, commit, doc};
use procura_store::{Damage, FORMAT, OpenError, SqliteEngine, SqliteOptions, UnsealError};
use procura_types::InstallationId;
use std::os::unix::fs::MetadataExt as _;

fn refused(home: &Home) -> OpenError {
    match home.open() {
        Ok(_) => panic!("opened"),
        Err(error) => error,
    }
}

#[test]
fn a_missing_file() {
    let home = Home::new(1);
    std::fs::remove_file(&home.path).unwrap();
    assert!(matches!(refused(&home), OpenError::Missing(path) if path == home.path));
    assert!(!home.path.exists());
}

#[test]
fn creating_over_a_store() {
    let home = Home::filled(1);
    let again = SqliteEngine::create(&home.path, &home.id, &SqliteOptions::default());
    assert!(matches!(again, Err(OpenError::AlreadyExists(path)) if path == home.path));
    assert!(
        AGENTS
            .get(&home.unsealed(), &"agent-0".into())
            .unwrap()
            .is_some()
    );
}

#[test]
fn a_creation_that_was_cut_off_is_done_again() {
    let home = Home::new(1);
    std::fs::write(&home.path, b"").unwrap();
    assert!(matches!(refused(&home), OpenError::NotAStore(_)));
    SqliteEngine::create(&home.path, &home.id, &SqliteOptions::default()).unwrap();
    commit(&home.unsealed(), |b| AGENTS.put(b, &"a".into(), &doc("x")));
}

#[test]
fn a_file_in_use() {
    let home = Home::filled(1);
    let store = home.open().unwrap();
    assert!(matches!(refused(&home), OpenError::InUse(path) if path == home.path));
    // Sealing lets nobody in.
    store.install_barrier(home.barrier()).unwrap();
    store.seal();
    assert!(matches!(refused(&home), OpenError::InUse(_)));
    drop(store);
    home.open().unwrap();
}

#[test]
fn something_else() {
    let home = Home::filled(1);
    let text = b"#!/bin/sh\necho hello, this is not a database\n".repeat(200);
    std::fs::write(&home.path, &text).unwrap();
    assert!(matches!(refused(&home), OpenError::NotAStore(_)));
    assert_eq!(std::fs::read(&home.path).unwrap(), text);
    let foreign = Home::new(1);
    foreign.sql("PRAGMA application_id = 7");
    assert!(matches!(refused(&foreign), OpenError::NotAStore(_)));
}

#[test]
fn a_newer_format() {
    let home = Home::filled(1);
    home.sql("PRAGMA user_version = 99");
    let before = std::fs::read(&home.path).unwrap();
    let OpenError::NewerFormat { found, supported } = refused(&home) else {
        panic!("another reason");
    };
    assert_eq!((found, supported), (99, FORMAT));
    assert_eq!(std::fs::read(&home.path).unwrap(), before);
}

#[test]
fn the_file_of_another_installation() {
    let (home, other) = (Home::filled(1), Home::filled(2));
    std::fs::copy(&other.path, &home.path).unwrap();
    let OpenError::OtherInstallation { expected, found } = refused(&home) else {
        panic!("another reason");
    };
    assert_eq!((expected, found), (home.id, other.id));
}

#[test]
fn a_wrong_key() {
    let home = Home::filled(1);
    let store = home.open().unwrap();
    let wrong = barrier(home.id, 2, &[1]);
    assert_eq!(store.install_barrier(wrong), Err(UnsealError::WrongKey));
    assert!(store.is_sealed());
    let stranger = InstallationId::from_bytes([9; 16]);
    let wrong = barrier(stranger, 1, &[1]);
    assert_eq!(store.install_barrier(wrong), Err(UnsealError::WrongKey));
    let wrong = barrier(home.id, 1, &[2]);
    assert_eq!(store.install_barrier(wrong), Err(UnsealError::WrongKey));
    store.install_barrier(home.barrier()).unwrap();
}

#[test]
fn a_damaged_page_is_noticed_on_touch() {
    let home = Home::filled(1);
    let whole = std::fs::read(&home.path).unwrap();
    let pages = whole.len() / 4096;
    assert!(pages > 8);
    let mut noticed = 0;
    for page in 0..pages {
        let mut bytes = whole.clone();
        bytes[page * 4096..(page + 1) * 4096].fill(0xa5);
        std::fs::write(&home.path, bytes).unwrap();
        noticed += usize::from(!is_sound(&home));
    }
    // A page on the free list holds nothing.
    assert!(noticed + 2 >= pages, "{noticed} of {pages}");
    std::fs::write(&home.path, whole).unwrap();
    assert!(is_sound(&home));
}

fn is_sound(home: &Home) -> bool {
    let store = match home.open() {
        Ok(store) => store,
        Err(OpenError::NotAStore(_) | OpenError::Corrupt(Damage::File(_))) => return false,
        Err(other) => panic!("{other}"),
    };
    match store.install_barrier(home.barrier()) {
        Ok(()) => store.deep_check().unwrap().is_empty(),
        Err(UnsealError::Corrupt { .. } | UnsealError::Store(_)) => false,
        Err(UnsealError::WrongKey) => panic!("damage is not a wrong key"),
    }
}

#[test]
fn all_files_are_for_their_owner_only() {
    let home = Home::filled(1);
    let _open = home.unsealed();
    for file in std::fs::read_dir(home.path.parent().unwrap()).unwrap() {
        let file = file.unwrap();
        let mode = file.metadata().unwrap().mode() & 0o777;
        assert_eq!(mode, 0o600, "{}", file.path().display());
    }
}
