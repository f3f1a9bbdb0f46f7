//! A log that has lost its beginning: what is left opens and is vouched for, what is gone is
//! told from what is missing, and nobody else can make it shorter or longer.

use crate::backup::{key, restored, taken};
use crate::home::{Home, LEDGER, commit, corrupt, try_commit};
use procura_store::backup::{LogCopy, WriteError};
use procura_store::{CommitError, Damage, Store, StoreError};

/// Wraps what the store says, as a caller's own error does.
#[derive(Debug, PartialEq, Eq)]
enum Own {
    Store(StoreError),
    Stopped(u64),
}

impl From<StoreError> for Own {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

fn forgotten(first: u64) -> StoreError {
    let log = "ledger".into();
    StoreError::Forgotten { log, first }
}

fn entry(index: u64) -> StoreError {
    let log = "ledger".into();
    corrupt(Damage::LogEntry { log, index })
}

fn read(store: &Store, from: u64) -> Result<Vec<String>, StoreError> {
    let entries = store.log_read(LEDGER, from, 99)?;
    let texts = entries.iter();
    Ok(texts
        .map(|entry| String::from_utf8(entry.bytes.expose().clone()).unwrap())
        .collect())
}

fn trim(store: &Store, before: u64) -> Vec<u64> {
    let mut seen = Vec::new();
    let beginning = store
        .log_beginning(LEDGER, before, |entry| {
            seen.push(entry.index);
            Ok::<(), StoreError>(())
        })
        .unwrap();
    commit(store, |batch| batch.trim(&beginning));
    seen
}

#[test]
fn what_is_left_opens_and_goes_on() {
    let home = Home::filled(1);
    let store = home.unsealed();
    let before = store.head().unwrap().log("ledger");
    assert_eq!(trim(&store, 2), [0, 1]);
    let head = store.head().unwrap().log("ledger");
    assert_eq!((head.start, head.len, head.chain), (2, 4, before.chain));
    assert_ne!(head.start_chain, [0; 32]);
    assert_eq!(store.log_start(LEDGER).unwrap(), 2);
    assert_eq!(store.log_len(LEDGER).unwrap(), 4);
    assert_eq!(read(&store, 2).unwrap(), ["entry 2", "entry 3"]);
    for from in [0, 1] {
        assert_eq!(read(&store, from), Err(forgotten(2)));
    }
    assert_eq!(store.deep_check().unwrap(), [""; 0]);
    // Once more changes nothing, and there is no way back.
    assert_eq!(trim(&store, 2), [0; 0]);
    assert_eq!(trim(&store, 1), [0; 0]);
    assert_eq!(store.head().unwrap().log("ledger"), head);
    commit(&store, |batch| {
        batch.append(LEDGER, b"entry 4".to_vec());
    });
    assert_eq!(trim(&store, 3), [2]);
    drop(store);
    let store = home.unsealed();
    assert_eq!(read(&store, 3).unwrap(), ["entry 3", "entry 4"]);
    assert_eq!(store.deep_check().unwrap(), [""; 0]);
    // Its last entry a log keeps.
    let all = store.log_beginning(LEDGER, 5, |_| Ok::<(), StoreError>(()));
    let all = all.unwrap();
    let refused = try_commit(&store, |batch| batch.trim(&all));
    assert!(matches!(refused, Err(CommitError::Io(_))), "{refused:?}");
    assert_eq!(read(&store, 3).unwrap().len(), 2);
}

#[test]
fn a_beginning_is_read_before_it_goes() {
    let home = Home::filled(1);
    let store = home.unsealed();
    let stopped = store.log_beginning(LEDGER, 4, |entry| match entry.index {
        2 => Err(Own::Stopped(2)),
        _ => Ok(()),
    });
    assert_eq!(stopped.err(), Some(Own::Stopped(2)));
    let beyond = store.log_beginning(LEDGER, 5, |_| Ok::<(), Own>(()));
    assert_eq!(beyond.err(), Some(Own::Store(entry(4))));
    drop(store);
    // An entry that was edited does not get away with what is forgotten.
    home.sql("UPDATE entry SET value = zeroblob(60) WHERE id = (1 << 48) + 1");
    let store = home.unsealed();
    let edited = store.log_beginning(LEDGER, 3, |_| Ok::<(), Own>(()));
    assert_eq!(edited.err(), Some(Own::Store(entry(1))));
}

#[test]
fn nobody_else_makes_a_log_shorter_or_longer() {
    let home = Home::filled(1);
    trim(&home.unsealed(), 2);
    // An entry more is gone than the head says.
    home.sql(
        "CREATE TABLE kept AS SELECT * FROM entry; DELETE FROM entry WHERE id = (1 << 48) + 2",
    );
    let store = home.unsealed();
    assert_eq!(read(&store, 2), Err(entry(2)));
    assert_eq!(
        store.deep_check().unwrap(),
        [Damage::LogEntry {
            log: "ledger".into(),
            index: 2
        }
        .to_string()]
    );
    drop(store);
    // One that was forgotten is back, in whatever form.
    home.sql("INSERT INTO entry SELECT * FROM kept WHERE id = (1 << 48) + 2");
    assert_eq!(home.unsealed().deep_check().unwrap(), [""; 0]);
    home.sql(
        "INSERT INTO entry SELECT (1 << 48) + 1, version, value FROM kept LIMIT 1; DROP TABLE kept",
    );
    let store = home.unsealed();
    assert_eq!(read(&store, 0), Err(forgotten(2)));
    assert_eq!(
        store.deep_check().unwrap(),
        [Damage::LogEntry {
            log: "ledger".into(),
            index: 1
        }
        .to_string()]
    );
}

#[test]
fn a_backup_begins_where_the_log_does() {
    let home = Home::filled(1);
    let store = home.unsealed();
    let whole = taken(&home, &store);
    trim(&store, 3);
    let bytes = taken(&home, &store);
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes, start) in [("before", whole, 0), ("after", bytes, 3)] {
        let copy = restored(&bytes, &folder.path().join(name), &home.id);
        copy.install_barrier(home.barrier()).unwrap();
        assert_eq!(copy.deep_check().unwrap(), [""; 0], "{name}");
        assert_eq!(copy.log_start(LEDGER).unwrap(), start);
        assert_eq!(copy.log_len(LEDGER).unwrap(), 4);
        assert_eq!(read(&copy, start).unwrap().len() as u64, 4 - start);
    }
    let stretch = |from| {
        let copy = LogCopy {
            log: LEDGER,
            from,
            until: 4,
        };
        let mut sink = |_| Ok(());
        store.copy_log(&home.id, copy, b"{}", &key(1), &mut sink)
    };
    assert_eq!(stretch(3).unwrap().entries, 1);
    for from in [0, 2] {
        let gone = stretch(from);
        assert!(
            matches!(gone, Err(WriteError::Forgotten { first: 3 })),
            "{gone:?}"
        );
    }
}

/// It goes beside writers and readers, and none of them sees anything else than one of the
/// two: the entry, or that it is forgotten.
#[test]
fn readers_see_an_entry_or_that_it_is_gone() {
    let home = Home::new(1);
    let store = home.unsealed();
    commit(&store, |batch| {
        for n in 0..2000 {
            batch.append(LEDGER, format!("entry {n}").into_bytes());
        }
    });
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut gone = 0;
            for n in 0..2000u64 {
                match store.log_read(LEDGER, n, 50) {
                    Ok(entries) => assert_eq!(entries[0].index, n),
                    Err(StoreError::Forgotten { first, .. }) => {
                        assert!(first > n);
                        gone += 1;
                    }
                    Err(other) => panic!("{other}"),
                }
            }
            gone
        });
        let writer = scope.spawn(|| {
            for n in 0..100 {
                commit(&store, |batch| {
                    batch.append(LEDGER, vec![n; 10]);
                });
            }
        });
        for before in (100..2000).step_by(100) {
            trim(&store, before);
        }
        writer.join().unwrap();
        reader.join().unwrap();
    });
    assert_eq!(store.log_len(LEDGER).unwrap(), 2100);
    assert_eq!(store.log_start(LEDGER).unwrap(), 1900);
    assert_eq!(store.deep_check().unwrap(), [""; 0]);
}
