//! Rows: written, expected, scanned, deleted, and as a snapshot has them.

use super::{Build as _, Fixture, LIFE, LOG, batch, commit, committed, key, row, unsealed, wait};
use crate::engine::{Expected, RawWrite};
use crate::key::KeyRange;
use crate::{CommitError, MAX_BATCH, MAX_VALUE, RowKey, Seq, StoreError};
use std::time::Duration;

pub(super) fn rows_are_written_and_versions_are_commits(fixture: &dyn Fixture) {
    let engine = unsealed(fixture);
    assert_eq!(row(&*engine, "a"), None);
    let first = committed(&*engine, batch().put("a", b"1").put("b", b"2"));
    let second = committed(&*engine, batch().put("a", b"3").delete("b").delete("none"));
    assert_eq!((first, second), (Seq::new(1), Seq::new(2)));
    assert_eq!(row(&*engine, "a"), Some((second, b"3".to_vec())));
    assert_eq!(row(&*engine, "b"), None);
    // The last write of a batch wins, in the order of its writes.
    let third = committed(&*engine, batch().put("c", b"1").put("c", b"2").delete("a"));
    assert_eq!(row(&*engine, "c"), Some((third, b"2".to_vec())));
    assert_eq!(row(&*engine, "a"), None);
    let fourth = committed(&*engine, batch().delete("c").put("c", b"4"));
    assert_eq!(row(&*engine, "c"), Some((fourth, b"4".to_vec())));
}

pub(super) fn expectations_hold_or_nothing_is_applied(fixture: &dyn Fixture) {
    let engine = unsealed(fixture);
    let conflict = |name: &str| Err(CommitError::Conflict { key: key(name) });
    let fresh = batch().expect_row("a", Expected::Absent).put("a", b"1");
    let first = committed(&*engine, fresh);
    let again = batch()
        .expect_row("a", Expected::Absent)
        .put("a", b"x")
        .append(LOG, b"x");
    assert_eq!(commit(&*engine, again), conflict("a"));
    let stale = batch()
        .expect_row("a", Expected::At(first))
        .expect_row("b", Expected::At(first))
        .put("a", b"x");
    assert_eq!(commit(&*engine, stale), conflict("b"));
    assert_eq!(row(&*engine, "a"), Some((first, b"1".to_vec())));
    assert_eq!(engine.log_len("ledger").unwrap(), 0);
    let right = batch().expect_row("a", Expected::At(first)).put("a", b"2");
    let second = committed(&*engine, right);
    // A conflict takes no number.
    assert_eq!(second, first.next());
    let old = batch().expect_row("a", Expected::At(first)).delete("a");
    assert_eq!(commit(&*engine, old), conflict("a"));
    committed(
        &*engine,
        batch().expect_row("a", Expected::At(second)).delete("a"),
    );
    let gone = batch().expect_row("a", Expected::At(second)).put("a", b"x");
    assert_eq!(commit(&*engine, gone), conflict("a"));
    committed(
        &*engine,
        batch().expect_row("a", Expected::Absent).put("a", b"3"),
    );
}

pub(super) fn conflicts_in_a_group_affect_nobody_else(fixture: &dyn Fixture) {
    let engine = unsealed(fixture);
    let base = committed(&*engine, batch().put("guard", b"0"));
    // Queued together: one of those that expect the same version wins, and all
    // others that expect nothing go through.
    let racers: Vec<_> = (0..50u8)
        .map(|n| {
            let racer = batch().expect_row("guard", Expected::At(base));
            engine.commit(racer.put("guard", &[n]).append(LOG, &[n]))
        })
        .collect();
    let others: Vec<_> = (0..50u8)
        .map(|n| engine.commit(batch().put(&format!("n{n}"), &[n]).append(LOG, &[n])))
        .collect();
    let mut winners = 0;
    for racer in racers {
        match wait(racer) {
            Ok(_) => winners += 1,
            Err(error) => assert_eq!(error, CommitError::Conflict { key: key("guard") }),
        }
    }
    assert_eq!(winners, 1);
    let mut seqs: Vec<Seq> = others.into_iter().map(|f| wait(f).unwrap().seq).collect();
    seqs.dedup();
    assert!(seqs.len() == 50 && seqs.is_sorted());
    assert_eq!(engine.log_len("ledger").unwrap(), 51);
}

pub(super) fn snapshots_stand_still_and_end(fixture: &dyn Fixture) {
    let engine = unsealed(fixture);
    let first = committed(&*engine, batch().put("a", b"1").append(LOG, b"x"));
    let snapshot = engine.snapshot(LIFE).unwrap();
    committed(
        &*engine,
        batch().put("a", b"2").put("b", b"2").append(LOG, b"y"),
    );
    assert_eq!(snapshot.seq(), first);
    assert_eq!(snapshot.get(&key("a")).unwrap().unwrap().version, first);
    assert_eq!(snapshot.get(&key("b")).unwrap(), None);
    assert_eq!(snapshot.scan(&KeyRange::everything(), 10).unwrap().len(), 1);
    let anchor = snapshot.anchor().unwrap();
    assert_eq!(anchor.seq, first);
    assert_eq!(anchor.newest, Some(first));
    assert_eq!(anchor.head.as_deref(), Some(&b"head 1"[..]));
    assert_eq!(anchor.logs, [("ledger".into(), 1)]);
    let expired = engine.snapshot(Duration::ZERO).unwrap();
    let everything = KeyRange::everything();
    let error = StoreError::SnapshotExpired;
    assert_eq!(expired.get(&key("a")), Err(error.clone()));
    assert_eq!(expired.scan(&everything, 1), Err(error.clone()));
    assert_eq!(expired.versions(&everything, 1), Err(error.clone()));
    assert_eq!(expired.anchor(), Err(error));
}

pub(super) fn scans_are_ordered_and_bounded(fixture: &dyn Fixture) {
    let engine = unsealed(fixture);
    let mut all = batch();
    for name in ["b/2", "a", "b/1", "c", "b", "b/3"] {
        all = all.put(name, name.as_bytes());
    }
    let seq = committed(&*engine, all);
    let snapshot = engine.snapshot(LIFE).unwrap();
    let names =
        |range: &KeyRange, limit| -> Vec<String> {
            let rows = snapshot.scan(range, limit).unwrap();
            let versions = snapshot.versions(range, limit).unwrap();
            let pairs = rows.iter().map(|(key, row)| (key.clone(), row.version));
            assert_eq!(pairs.collect::<Vec<_>>(), versions);
            let name = |key: &RowKey| String::from_utf8(key.encoded().to_vec()).unwrap();
            assert!(rows.iter().all(|(key, row)| {
                row.version == seq && row.value[8..] == *name(key).as_bytes()
            }));
            rows.iter().map(|(key, _)| name(key)).collect()
        };
    let everything = KeyRange::everything();
    assert_eq!(names(&everything, 99), ["a", "b", "b/1", "b/2", "b/3", "c"]);
    assert_eq!(names(&everything, 2), ["a", "b"]);
    assert_eq!(names(&everything, 0), [""; 0]);
    let below_b = KeyRange::prefix(key("b/").as_bytes());
    assert_eq!(names(&below_b, 99), ["b/1", "b/2", "b/3"]);
    assert_eq!(names(&below_b.clone().after(&key("b/1")), 1), ["b/2"]);
    assert_eq!(names(&below_b.clone().after(&key("b/3")), 9), [""; 0]);
    // A position before the range does not widen it.
    assert_eq!(names(&below_b.after(&key("a")), 1), ["b/1"]);
}

pub(super) fn prefixes_are_deleted(fixture: &dyn Fixture) {
    let engine = unsealed(fixture);
    committed(
        &*engine,
        batch().put("a/1", b"").put("a/2", b"").put("b", b""),
    );
    let mut clear = batch().put("a/3", b"");
    let prefix = key("a/");
    clear.writes.push(RawWrite::DeletePrefix { prefix });
    clear = clear.put("a/4", b"");
    let seq = committed(&*engine, clear);
    let rows = engine.snapshot(LIFE).unwrap();
    let rows = rows.versions(&KeyRange::everything(), 9).unwrap();
    assert_eq!(rows, [(key("a/4"), seq), (key("b"), Seq::new(1))]);
    let feed = engine.changes(Seq::new(1), 9).unwrap().changes;
    let deleted = feed.iter().filter(|change| change.deleted);
    assert_eq!(deleted.count(), 3);
}

pub(super) fn too_large_is_refused(fixture: &dyn Fixture) {
    let engine = unsealed(fixture);
    let value = vec![7; MAX_VALUE + 1];
    let too_large = Err(CommitError::TooLarge);
    assert_eq!(commit(&*engine, batch().put("a", &value)), too_large);
    assert_eq!(commit(&*engine, batch().append(LOG, &value)), too_large);
    let values = |count| (0..count).fold(batch(), |all, n| all.put(&format!("{n}"), &value[1..]));
    let fitting = MAX_BATCH / MAX_VALUE;
    assert_eq!(commit(&*engine, values(fitting + 1)), too_large);
    // Keys count as well.
    let seq = committed(&*engine, values(fitting - 1));
    let last = format!("{}", fitting - 2);
    assert_eq!(row(&*engine, &last), Some((seq, value[1..].to_vec())));
}
