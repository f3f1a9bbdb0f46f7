//! Backups: what is in one comes out of it, also beside writers, and what is not one is
//! refused with its own reason.

use crate::home::{
    AGENTS, BODIES, Home, KEYRING, LEDGER, NOTES, Noon, PROJECTS, barrier, commit, doc, large,
    project,
};
use procura_crypto::{MacKey, SystemEntropy};
use procura_store::backup::{
    BackupEnd, BackupFault, BackupReader, BackupStopped, Item, LogCopy, WriteError,
};
use procura_store::{Seq, SqliteLoader, SqliteOptions, Store};
use procura_types::InstallationId;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

pub(crate) fn key(seed: u8) -> MacKey {
    MacKey::from_bytes(&[seed; 32]).unwrap()
}

pub(crate) fn taken(home: &Home, store: &Store) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut sink = |piece: Vec<u8>| {
        bytes.extend(piece);
        Ok(())
    };
    let written = store.back_up(&home.id, b"{\"head\":1}", &key(1), &mut sink);
    let written = written.unwrap();
    assert_eq!(written.end.bytes, bytes.len() as u64);
    bytes
}

fn items(bytes: &[u8]) -> Result<Vec<Item>, BackupFault> {
    let mut reader = BackupReader::new(bytes)?;
    let mut items = Vec::new();
    while let Some(item) = reader.next_item()? {
        items.push(item);
    }
    Ok(items)
}

pub(crate) fn end(bytes: &[u8]) -> Result<BackupEnd, BackupFault> {
    BackupReader::new(bytes)?.to_end()
}

/// Fills a new database at `path`.
pub(crate) fn restored(bytes: &[u8], path: &Path, id: &InstallationId) -> Store {
    let mut loader = SqliteLoader::create(path, id).unwrap();
    let mut anchor = None;
    for item in items(bytes).unwrap() {
        match item {
            Item::Row(key, row) => loader.row(&key, row.as_ref()).unwrap(),
            Item::Entry(log, entry) => loader.entry(&log, &entry).unwrap(),
            Item::Anchor(found) => anchor = Some(found),
            Item::Head(_) | Item::End(_) => {}
        }
    }
    loader.finish(&anchor.unwrap()).unwrap();
    opened(path, id)
}

fn opened(path: &Path, id: &InstallationId) -> Store {
    Store::open(
        path,
        id,
        &SqliteOptions::default(),
        Arc::new(Noon),
        Arc::new(SystemEntropy),
    )
    .unwrap()
}

#[test]
fn what_is_in_a_backup_comes_out_of_it() {
    let home = Home::filled(1);
    let store = home.unsealed();
    let bytes = taken(&home, &store);
    let all = items(&bytes).unwrap();
    assert!(matches!(&all[0], Item::Head(head) if &head[..] == b"{\"head\":1}"));
    let Some(Item::End(end)) = all.last() else {
        panic!("{:?}", all.last());
    };
    assert!(end.is_tagged_by(&key(1), &home.id));
    assert!(!end.is_tagged_by(&key(2), &home.id));
    assert!(!end.is_tagged_by(&key(1), &InstallationId::from_bytes([9; 16])));

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("restored.db");
    let copy = restored(&bytes, &path, &home.id);
    copy.install_barrier(home.barrier()).unwrap();
    copy.wait_verified().unwrap();
    assert_eq!(copy.deep_check().unwrap(), [""; 0]);
    assert_eq!(copy.head().unwrap(), store.head().unwrap());
    assert_eq!(
        NOTES.get(&copy, &"large".into()).unwrap().unwrap().value,
        large(1)
    );
    assert_eq!(
        BODIES.get(&copy, &("s".into(), 1)).unwrap().unwrap().value,
        large(2)
    );
    assert_eq!(
        KEYRING.get_clear(&copy, &()).unwrap().unwrap().value,
        doc("wrapped")
    );
    let entries = copy.log_read(LEDGER, 0, 99).unwrap();
    let texts = entries.iter().map(|entry| entry.bytes.expose().clone());
    assert!(texts.eq((0..4).map(|n| format!("entry {n}").into_bytes())));
    // It goes on like any other.
    commit(&copy, |batch| {
        AGENTS.put(batch, &"later".into(), &doc("two"));
        batch.append(LEDGER, b"later".to_vec());
    });
    assert_eq!(copy.deep_check().unwrap(), [""; 0]);
    assert_eq!(copy.log_len(LEDGER).unwrap(), 5);
}

#[test]
fn the_sequence_of_a_closed_store_moves_ahead_and_everything_still_opens() {
    let home = Home::filled(1);
    let store = home.unsealed();
    let far = Seq::new(1 << 40);
    let ahead = store.head_ahead(far).unwrap();
    let refused = ahead.stand(&home.path, &home.id).unwrap_err().to_string();
    assert!(refused.contains("in use by another process"), "{refused}");
    drop(store);
    ahead.stand(&home.path, &home.id).unwrap();
    let store = home.unsealed();
    store.wait_verified().unwrap();
    assert_eq!(store.head().unwrap().seq, far);
    assert_eq!(store.deep_check().unwrap(), [""; 0]);
    let next = commit(&store, |batch| {
        AGENTS.put(batch, &"later".into(), &doc("two"))
    });
    assert_eq!(next.seq, far.next());
    drop(store);
    let store = home.unsealed();
    assert_eq!(store.deep_check().unwrap(), [""; 0]);
}

#[test]
fn a_backup_beside_writers_is_one_moment() {
    let home = Home::new(1);
    let store = home.unsealed();
    let pair = |round: usize| {
        // Both ends of the order of keys, always alike; others come and go in between.
        commit(&store, |batch| {
            let text = doc(&round.to_string());
            AGENTS.put(batch, &"first".into(), &text);
            PROJECTS.put(batch, &project("zz", 0), &text);
            PROJECTS.put(batch, &project("prod", round % 700), &text);
            PROJECTS.delete(batch, &project("prod", (round + 350) % 700));
            batch.append(LEDGER, round.to_string().into_bytes());
        });
    };
    for round in 0..700 {
        pair(round);
    }
    let stop = AtomicBool::new(false);
    let folder = tempfile::tempdir().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for round in 700.. {
                if stop.load(Ordering::Relaxed) {
                    break;
                }
                pair(round);
            }
        });
        for take in 0..4 {
            let mut bytes = Vec::new();
            let mut pieces = 0;
            let mut sink = |piece: Vec<u8>| {
                pieces += 1;
                bytes.extend(piece);
                // So slow that the rows are told in several slices.
                std::thread::sleep(std::time::Duration::from_millis(if pieces == 2 {
                    1200
                } else {
                    1
                }));
                Ok(())
            };
            let written = store.back_up(&home.id, b"{}", &key(1), &mut sink).unwrap();
            let path = folder.path().join(format!("{take}.db"));
            let copy = restored(&bytes, &path, &home.id);
            copy.install_barrier(home.barrier()).unwrap();
            assert_eq!(copy.deep_check().unwrap(), [""; 0], "take {take}");
            assert_eq!(copy.head().unwrap().seq, written.seq);
            let first = AGENTS.get(&copy, &"first".into()).unwrap().unwrap();
            let other = PROJECTS.get(&copy, &project("zz", 0)).unwrap().unwrap();
            assert_eq!(first.value, other.value);
            let length = copy.log_len(LEDGER).unwrap();
            assert_eq!(first.value, doc(&(length - 1).to_string()));
        }
        stop.store(true, Ordering::Relaxed);
    });
}

#[test]
fn nobody_who_takes_it_is_the_end_of_it() {
    let home = Home::filled(1);
    let store = home.unsealed();
    let mut left = 2;
    let mut sink = |_: Vec<u8>| {
        left -= 1;
        if left == 0 {
            Err(BackupStopped)
        } else {
            Ok(())
        }
    };
    let stopped = store.back_up(&home.id, b"{}", &key(1), &mut sink);
    assert!(
        matches!(stopped, Err(WriteError::Stopped(_))),
        "{stopped:?}"
    );
}

#[test]
fn a_stretch_of_a_log_is_copied_and_opened() {
    let home = Home::filled(1);
    let store = home.unsealed();
    let copy = |from, until| {
        let mut bytes = Vec::new();
        let mut sink = |piece: Vec<u8>| {
            bytes.extend(piece);
            Ok(())
        };
        let log = LEDGER;
        store
            .copy_log(
                &home.id,
                LogCopy { log, from, until },
                b"{}",
                &key(1),
                &mut sink,
            )
            .map(|_| bytes)
    };
    let bytes = copy(1, 3).unwrap();
    let entries: Vec<_> = items(&bytes)
        .unwrap()
        .into_iter()
        .filter_map(|item| match item {
            Item::Entry(log, entry) => {
                assert_eq!(&*log, "ledger");
                let plain = store.open_copied(&log, &entry).unwrap();
                Some((entry.index, plain.expose().clone()))
            }
            _ => None,
        })
        .collect();
    let expected = [(1, b"entry 1".to_vec()), (2, b"entry 2".to_vec())];
    assert_eq!(entries, expected);
    // Another vault opens none of them.
    let other = Home::new(2);
    let stranger = other.open().unwrap();
    stranger
        .install_barrier(barrier(other.id, 2, &[1]))
        .unwrap();
    for item in items(&bytes).unwrap() {
        if let Item::Entry(log, entry) = item {
            assert!(stranger.open_copied(&log, &entry).is_err());
        }
    }
    assert_eq!(items(&copy(4, 4).unwrap()).unwrap().len(), 2);
    for (from, until) in [(0, 5), (5, 5), (3, 2)] {
        let refused = copy(from, until);
        assert!(
            matches!(refused, Err(WriteError::OtherLog { found: 4, .. })),
            "{from}..{until}"
        );
    }
}

#[test]
fn what_is_cut_or_longer_says_so() {
    let home = Home::filled(1);
    let bytes = taken(&home, &home.unsealed());
    let whole = end(&bytes).unwrap();
    // Every length near a border of anything, and many in between.
    let lengths = (0..600)
        .chain((600..bytes.len()).step_by(997))
        .chain(bytes.len() - 200..bytes.len());
    for length in lengths {
        let at = length as u64;
        assert_eq!(
            end(&bytes[..length]),
            Err(BackupFault::Partial { at }),
            "{length}"
        );
    }
    let longer = [&bytes[..], b"x"].concat();
    assert_eq!(end(&longer), Err(BackupFault::Appended { bytes: 1 }));
    let twice = [&bytes[..], &bytes[..]].concat();
    assert_eq!(end(&twice), Err(BackupFault::Appended { bytes: 64 }));
    assert_eq!(end(&bytes).unwrap().digest(), whole.digest());
}

#[test]
fn no_flipped_bit_goes_unseen() {
    let home = Home::filled(1);
    let bytes = taken(&home, &home.unsealed());
    let offsets = (0..300)
        .chain((300..bytes.len()).step_by(613))
        .chain(bytes.len() - 120..bytes.len());
    for (offset, bit) in offsets.zip((0..8).cycle()) {
        let mut flipped = bytes.clone();
        flipped[offset] ^= 1 << bit;
        let fault = end(&flipped).expect_err("a flipped bit");
        match offset {
            0..16 => assert_eq!(fault, BackupFault::NotABackup, "{offset}"),
            16..20 => assert!(
                matches!(
                    fault,
                    BackupFault::NewerFormat { .. } | BackupFault::Damaged { .. }
                ),
                "{offset}: {fault}"
            ),
            _ => assert!(
                matches!(fault, BackupFault::Damaged { .. }),
                "{offset}: {fault}"
            ),
        }
    }
}

#[test]
fn other_files_and_formats_are_named() {
    let home = Home::filled(1);
    let mut bytes = taken(&home, &home.unsealed());
    for other in [&b"SQLite format 3\0 and more"[..], b"{}", b"PK\x03\x04"] {
        assert_eq!(end(other), Err(BackupFault::NotABackup));
    }
    assert_eq!(end(b""), Err(BackupFault::Partial { at: 0 }));
    bytes[19] = 2;
    let newer = BackupFault::NewerFormat {
        found: 2,
        supported: 1,
    };
    assert_eq!(end(&bytes), Err(newer));
    bytes[19] = 0;
    let none = BackupFault::Damaged {
        at: 20,
        what: "there is no format 0",
    };
    assert_eq!(end(&bytes), Err(none));
}
