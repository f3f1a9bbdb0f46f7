//! Commits: what becomes of one, who is told of it, and what survives.

use super::{
    Build as _, Fixture, LIFE, LOG, OTHER, OpenSealer, batch, commit, committed, key, row, unsealed,
};
use crate::engine::{CommitObserver, CommitView, Expected, Kind, RawWrite};
use crate::{CommitError, MAX_VALUE, Seq, StoreError};
use procura_types::SecretBytes;
use std::sync::{Arc, Mutex};

pub(super) fn the_feed_resumes(fixture: &dyn Fixture) {
    let engine = unsealed(fixture);
    assert_eq!(engine.changes(Seq::ZERO, 10).unwrap().upto, Seq::ZERO);
    committed(&*engine, batch().put("a", b"1").put("b", b"1"));
    committed(&*engine, batch().append(LOG, b"x"));
    committed(&*engine, batch().delete("a").delete("none").put("c", b"1"));
    let show = |after: u64, limit| {
        let feed = engine.changes(Seq::new(after), limit).unwrap();
        let changes = feed.changes.iter();
        let text: Vec<String> = changes
            .map(|c| {
                let sign = if c.deleted { '-' } else { '+' };
                format!("{}{sign}{}", c.seq, c.key.encoded().escape_ascii())
            })
            .collect();
        (text.join(" "), feed.upto.get())
    };
    assert_eq!(show(0, 99), ("1+a 1+b 3-a 3+c".into(), 3));
    // Commits are not torn: a limit is reached with whole ones.
    assert_eq!(show(0, 1), ("1+a 1+b".into(), 1));
    assert_eq!(show(1, 1), ("3-a 3+c".into(), 3));
    assert_eq!(show(2, 1), ("3-a 3+c".into(), 3));
    assert_eq!(show(3, 1), (String::new(), 3));
    let ahead = engine.changes(Seq::new(4), 1);
    assert_eq!(ahead, Err(StoreError::Gap { oldest: Seq::ZERO }));
}

pub(super) fn nothing_is_written_without_a_sealer(fixture: &dyn Fixture) {
    let engine = fixture.open();
    assert_eq!(
        commit(&*engine, batch().put("a", b"")),
        Err(CommitError::Sealed)
    );
    engine.set_sealer(Some(Arc::new(OpenSealer)));
    committed(&*engine, batch().put("a", b"1"));
    engine.set_sealer(None);
    assert_eq!(
        commit(&*engine, batch().put("a", b"")),
        Err(CommitError::Sealed)
    );
    assert_eq!(row(&*engine, "a"), Some((Seq::new(1), b"1".to_vec())));
}

pub(super) fn dropping_a_future_cancels_nothing(fixture: &dyn Fixture) {
    let engine = unsealed(fixture);
    for n in 0..100u8 {
        drop(engine.commit(batch().append(LOG, &[n])));
    }
    committed(&*engine, batch().append(LOG, b"last"));
    let values = engine.log_read("ledger", 0, 200).unwrap();
    assert_eq!(values.len(), 101);
    assert!(
        (0..100u8)
            .zip(&values)
            .all(|(n, entry)| entry.value[8..] == [n])
    );
    // What is queued when the engine goes is written too.
    drop(engine.commit(batch().append(LOG, b"queued")));
    drop(engine);
    assert_eq!(fixture.open().log_len("ledger").unwrap(), 102);
}

#[derive(Default)]
struct Seen(Mutex<Vec<String>>);

impl CommitObserver for Seen {
    fn committed(&self, commits: &[CommitView<'_>]) {
        let mut seen = self.0.lock().unwrap();
        for commit in commits {
            for change in commit.directory() {
                let name = change.key.encoded().escape_ascii();
                let value = change.value.map(|value| value.escape_ascii().to_string());
                assert_eq!(change.seq, commit.seq());
                seen.push(format!("{} {name}={value:?}", change.seq));
            }
            for entry in commit.appended() {
                let bytes = entry.bytes.escape_ascii();
                seen.push(format!("{}[{}] {bytes}", entry.log.as_str(), entry.index));
            }
        }
    }
}

pub(super) fn observers_are_told_before_callers(fixture: &dyn Fixture) {
    let engine = unsealed(fixture);
    let seen = Arc::new(Seen::default());
    engine.observe(seen.clone());
    let mut one = batch().put("a", b"1").append(LOG, b"x").append(OTHER, b"y");
    one.writes.push(RawWrite::Put {
        key: key("quiet"),
        kind: Kind::Ordinary,
        value: SecretBytes::new(b"0".to_vec()),
    });
    committed(&*engine, one);
    let expected = ["1 a=Some(\"1\")", "ledger[0] x", "outbox[0] y"];
    assert_eq!(*seen.0.lock().unwrap(), expected);
    let refused = batch().expect_row("a", Expected::Absent).put("a", b"x");
    assert!(commit(&*engine, refused).is_err());
    committed(&*engine, batch().delete("a"));
    assert_eq!(seen.0.lock().unwrap()[3..], ["2 a=None"]);
    for n in 0..100u64 {
        let done = commit(&*engine, batch().append(LOG, b"z")).unwrap();
        let last = seen.0.lock().unwrap().last().cloned();
        assert_eq!(last, Some(format!("ledger[{}] z", n + 1)));
        assert_eq!(done.indexes, [n + 1]);
    }
}

pub(super) fn the_anchor_moves_with_every_group(fixture: &dyn Fixture) {
    let engine = unsealed(fixture);
    let anchor = || engine.snapshot(LIFE).unwrap().anchor().unwrap();
    assert_eq!(anchor(), crate::Anchor::default());
    for n in 1..4u64 {
        committed(&*engine, batch().put("a", b""));
        let now = anchor();
        assert_eq!(now.seq, Seq::new(n));
        assert_eq!(now.newest, Some(Seq::new(n)));
        assert_eq!(now.head.as_deref(), Some(format!("head {n}").as_bytes()));
        assert_eq!(now.sentinel.as_deref(), Some(&b"sentinel"[..]));
    }
}

pub(super) fn everything_survives_reopening(fixture: &dyn Fixture) {
    let engine = unsealed(fixture);
    let one = batch().put("a", b"1").append(LOG, b"x");
    let (id, unknown) = (one.id, batch().id);
    let seq = committed(&*engine, one);
    let conflicting = batch().expect_row("a", Expected::Absent);
    let refused = conflicting.id;
    assert!(commit(&*engine, conflicting).is_err());
    drop(engine);
    let engine = unsealed(fixture);
    assert_eq!(row(&*engine, "a"), Some((seq, b"1".to_vec())));
    assert_eq!(engine.fate(id).unwrap(), Some(seq));
    assert_eq!(engine.fate(unknown).unwrap(), None);
    assert_eq!(engine.fate(refused).unwrap(), None);
    assert_eq!(engine.integrity().unwrap(), [""; 0]);
    let next = commit(&*engine, batch().append(LOG, b"y")).unwrap();
    assert_eq!((next.seq, next.indexes), (seq.next(), vec![1]));
    assert_eq!(engine.changes(Seq::ZERO, 9).unwrap().upto, seq.next());
}

pub(super) fn the_feed_and_fates_are_bounded(fixture: &dyn Fixture) {
    let engine = unsealed(fixture);
    let first = batch().put("a", b"");
    let id = first.id;
    let seq = committed(&*engine, first);
    for _ in 0..100 {
        committed(&*engine, batch().put("a", b""));
    }
    assert_eq!(engine.fate(id).unwrap(), None);
    let Err(StoreError::Gap { oldest }) = engine.changes(seq, 1) else {
        panic!("the feed reaches back to {seq} of 101");
    };
    assert!(oldest.get() <= 101 - 64, "kept too little: from {oldest}");
    let feed = engine.changes(oldest, 1).unwrap();
    assert_eq!(feed.changes[0].seq, oldest.next());
}

pub(super) fn a_full_store_takes_reserved_batches_only(fixture: &dyn Fixture) {
    let engine = unsealed(fixture);
    let value = vec![7; MAX_VALUE];
    let fill = |n: usize| batch().put(&format!("fill/{n}"), &value);
    // 64 MiB at most: the factory promised a store that is full before.
    let full = (0..1024).find_map(|n| commit(&*engine, fill(n)).err().map(|error| (n, error)));
    let Some((filled, CommitError::Full)) = full else {
        panic!("never full: {full:?}");
    };
    let revoke = |n: u8| {
        let mut revoke = batch().put(&format!("revoked/{n}"), &[n; 512]);
        revoke.reserved = true;
        revoke.append(LOG, &[n; 1024])
    };
    for n in 0..20 {
        committed(&*engine, revoke(n));
        assert_eq!(commit(&*engine, fill(filled)), Err(CommitError::Full));
    }
    // What was committed before is whole, and deleting makes room again.
    assert_eq!(row(&*engine, "fill/0").unwrap().1, value);
    for n in 0..filled / 2 {
        let mut delete = batch().delete(&format!("fill/{n}"));
        delete.reserved = true;
        committed(&*engine, delete);
    }
    drop(engine);
    let engine = unsealed(fixture);
    committed(&*engine, fill(filled));
    assert_eq!(row(&*engine, "revoked/19").unwrap().1, [19; 512]);
}
