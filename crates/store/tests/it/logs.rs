//! Logs: their chain, and entries that were tampered with.

use crate::home::{Home, LEDGER, commit, corrupt, keys};
use procura_crypto::{MacKey, sha256};
use procura_store::{Damage, LogHead, LogId, Store, StoreError, UnsealError};

fn read(store: &Store, from: u64, limit: usize) -> Result<Vec<String>, StoreError> {
    let entries = store.log_read(LEDGER, from, limit)?;
    let texts = entries.iter();
    Ok(texts
        .map(|entry| String::from_utf8(entry.bytes.expose().clone()).unwrap())
        .collect())
}

fn entry(index: u64) -> StoreError {
    corrupt(Damage::LogEntry {
        log: "ledger".into(),
        index,
    })
}

fn length(expected: u64, found: u64) -> UnsealError {
    UnsealError::Corrupt {
        what: Damage::LogLength {
            log: "ledger".into(),
            expected,
            found,
        },
    }
}

#[test]
fn entries_come_back_in_order() {
    let home = Home::filled(1);
    let store = home.unsealed();
    assert_eq!(
        read(&store, 0, 9).unwrap(),
        ["entry 0", "entry 1", "entry 2", "entry 3"]
    );
    assert_eq!(read(&store, 1, 2).unwrap(), ["entry 1", "entry 2"]);
    assert_eq!(read(&store, 4, 2).unwrap(), [""; 0]);
    assert_eq!(store.log_len(LEDGER).unwrap(), 4);
    let second = &store.log_read(LEDGER, 1, 1).unwrap()[0];
    assert_eq!((second.index, second.seq.get()), (1, 2));
    let indexes = commit(&store, |b| {
        assert_eq!(b.append(LEDGER, b"x".to_vec()), 0);
        assert_eq!(b.append(LogId::new("outbox"), b"y".to_vec()), 1);
    });
    assert_eq!(indexes.indexes, [4, 0]);
}

#[test]
fn the_head_carries_the_keyed_chain() {
    let home = Home::filled(1);
    let store = home.unsealed();
    // protocol.md §6, computed apart: HMAC(key, index ‖ leaf hash ‖ previous).
    let key = MacKey::from_bytes(keys(home.id, 1, &[1]).chain_key.expose()).unwrap();
    let chain = (0..4u64).fold([0; 32], |previous, index| {
        let leaf = sha256(format!("\0entry {index}").as_bytes());
        key.sign(&[&index.to_be_bytes(), &leaf, &previous])
    });
    let head = store.head().unwrap();
    let expected = LogHead {
        len: 4,
        chain,
        ..LogHead::default()
    };
    assert_eq!(head.log("ledger"), expected);
    assert_eq!(head.log("outbox"), LogHead::default());
}

#[test]
fn an_entry_edited() {
    let home = Home::filled(1);
    home.sql(
        "UPDATE entry SET value =
              CAST(substr(value, 1, 40) || x'00' || substr(value, 42) AS BLOB)
              WHERE version = 2",
    );
    let store = home.unsealed();
    assert_eq!(read(&store, 0, 1).unwrap(), ["entry 0"]);
    assert_eq!(read(&store, 0, 9), Err(entry(1)));
    assert_eq!(read(&store, 2, 9).unwrap(), ["entry 2", "entry 3"]);
    let StoreError::Corrupt { what } = entry(1) else {
        panic!("not damage");
    };
    assert_eq!(store.deep_check().unwrap(), [what.to_string()]);
}

#[test]
fn entries_reordered() {
    let home = Home::filled(1);
    home.sql(
        "UPDATE entry SET id = -1 WHERE version = 2;
              UPDATE entry SET id = id - 1 WHERE version = 3;
              UPDATE entry SET id = (SELECT id + 1 FROM entry WHERE version = 3) WHERE id = -1;",
    );
    let store = home.unsealed();
    assert_eq!(read(&store, 0, 9), Err(entry(1)));
    // With their versions exchanged too.
    let home = Home::filled(1);
    home.sql(
        "UPDATE entry SET value = (SELECT value FROM entry e WHERE e.version = 3),
              version = 3 WHERE version = 2;",
    );
    assert_eq!(read(&home.unsealed(), 0, 9), Err(entry(1)));
}

#[test]
fn an_entry_removed_from_the_middle() {
    let home = Home::filled(1);
    home.sql("DELETE FROM entry WHERE version = 3");
    let store = home.unsealed();
    assert_eq!(read(&store, 0, 9), Err(entry(2)));
    assert_eq!(read(&store, 2, 9), Err(entry(2)));
    assert_eq!(read(&store, 0, 2).unwrap().len(), 2);
    assert_eq!(store.deep_check().unwrap().len(), 1);
}

#[test]
fn the_end_cut_off_or_lengthened() {
    let home = Home::filled(1);
    home.sql("DELETE FROM entry WHERE version = 4");
    assert_eq!(home.try_unseal().err(), Some(length(4, 3)));
    let home = Home::filled(1);
    home.sql("INSERT INTO entry SELECT max(id) + 1, version, value FROM entry");
    assert_eq!(home.try_unseal().err(), Some(length(4, 5)));
    let home = Home::filled(1);
    home.sql("DELETE FROM entry");
    assert_eq!(home.try_unseal().err(), Some(length(4, 0)));
    let home = Home::filled(1);
    home.sql("UPDATE log SET name = 'other'");
    assert_eq!(home.try_unseal().err(), Some(length(4, 0)));
}

#[test]
fn an_entry_of_another_log() {
    let home = Home::filled(1);
    let store = home.unsealed();
    commit(&store, |b| {
        for n in 0..4 {
            b.append(LogId::new("outbox"), format!("entry {n}").into_bytes());
        }
    });
    drop(store);
    home.sql(
        "UPDATE entry SET (version, value) =
              (SELECT version, value FROM entry e WHERE e.id = (2 << 48) + 1)
              WHERE id = (1 << 48) + 1",
    );
    assert_eq!(read(&home.unsealed(), 0, 9), Err(entry(1)));
}
