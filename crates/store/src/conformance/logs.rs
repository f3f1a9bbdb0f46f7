//! Logs: dense, and shortened from their beginning.

use super::{Build as _, Fixture, LIFE, LOG, OTHER, batch, commit, committed, unsealed};
use crate::engine::{Engine, Expected, LogId, RawBatch, RawTrim};
use crate::{CommitError, Seq};

pub(super) fn logs_are_dense(fixture: &dyn Fixture) {
    let engine = unsealed(fixture);
    let one = commit(
        &*engine,
        batch()
            .append(LOG, b"a")
            .append(OTHER, b"x")
            .append(LOG, b"b"),
    );
    assert_eq!(one.unwrap().indexes, [0, 0, 1]);
    let two = commit(&*engine, batch().append(OTHER, b"y").append(LOG, b"c")).unwrap();
    assert_eq!(two.indexes, [1, 2]);
    assert_eq!(engine.log_len("ledger").unwrap(), 3);
    assert_eq!(engine.log_len("outbox").unwrap(), 2);
    assert_eq!(engine.log_len("none").unwrap(), 0);
    let read = |from, limit| -> Vec<(u64, u64, Vec<u8>)> {
        let entries = engine.log_read("ledger", from, limit).unwrap();
        let parts = entries.iter();
        parts
            .map(|e| (e.index, e.version.get(), e.value[8..].to_vec()))
            .collect()
    };
    let all = [
        (0, 1, b"a".to_vec()),
        (1, 1, b"b".to_vec()),
        (2, 2, b"c".to_vec()),
    ];
    assert_eq!(read(0, 10), all);
    assert_eq!(read(1, 1), all[1..2]);
    assert_eq!(read(3, 10), []);
    assert_eq!(read(u64::MAX, 10), []);
    assert!(engine.log_read("none", 0, 10).unwrap().is_empty());
}

/// A batch that takes the entries of the suite's log before this one.
fn trim(before: u64) -> RawBatch {
    let chain = [7; 32];
    let trims = vec![RawTrim {
        log: LOG,
        before,
        chain,
    }];
    RawBatch { trims, ..batch() }
}

pub(super) fn logs_lose_their_beginning(fixture: &dyn Fixture) {
    let engine = unsealed(fixture);
    for name in [b"a", b"b", b"c"] {
        commit(&*engine, batch().append(LOG, name).append(OTHER, name)).unwrap();
    }
    let read = |engine: &dyn Engine, log: &str, from| -> Vec<(u64, Vec<u8>)> {
        let entries = engine.log_read(log, from, 10).unwrap();
        let parts = entries.iter();
        parts.map(|e| (e.index, e.value[8..].to_vec())).collect()
    };
    // With its rows, together or not at all.
    let refused = RawBatch {
        trims: trim(2).trims,
        ..batch().expect_row("none", Expected::At(Seq::new(1)))
    };
    assert!(matches!(
        commit(&*engine, refused),
        Err(CommitError::Conflict { .. })
    ));
    assert_eq!(read(&*engine, "ledger", 0).len(), 3);
    let both = RawBatch {
        trims: trim(2).trims,
        ..batch().put("kept", b"1").append(LOG, b"d")
    };
    assert_eq!(commit(&*engine, both).unwrap().indexes, [3]);
    let left = [(2, b"c".to_vec()), (3, b"d".to_vec())];
    assert_eq!(read(&*engine, "ledger", 0), left);
    assert_eq!(read(&*engine, "ledger", 3), left[1..]);
    assert_eq!(read(&*engine, "outbox", 0).len(), 3);
    // Once more, or less of it, changes nothing; its last entry a log keeps.
    committed(&*engine, trim(2));
    committed(&*engine, trim(1));
    assert_eq!(read(&*engine, "ledger", 0), left);
    for over in [4, 9] {
        assert!(matches!(
            commit(&*engine, trim(over)),
            Err(CommitError::Io(_))
        ));
    }
    assert!(matches!(
        commit(
            &*engine,
            RawBatch {
                trims: vec![RawTrim {
                    log: LogId::new("none"),
                    before: 0,
                    chain: [0; 32]
                }],
                ..batch()
            }
        ),
        Err(CommitError::Io(_))
    ));
    committed(&*engine, trim(3));
    drop(engine);
    let engine = unsealed(fixture);
    assert_eq!(read(&*engine, "ledger", 0), left[1..]);
    assert_eq!(engine.log_len("ledger").unwrap(), 4);
    let anchor = engine.snapshot(LIFE).unwrap().anchor().unwrap();
    assert_eq!(anchor.logs, [("ledger".into(), 4), ("outbox".into(), 3)]);
    let next = commit(&*engine, batch().append(LOG, b"e")).unwrap();
    assert_eq!(next.indexes, [4]);
    assert_eq!(engine.integrity().unwrap(), [""; 0]);
}
