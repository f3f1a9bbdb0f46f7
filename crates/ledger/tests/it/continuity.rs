//! Logs that go on from what was seen of them, and logs that do not.

use crate::tree::{Leaves, leaves};
use procura_ledger::{Break, Checkpoint, Frontier, Growth, Hash, Seen, consistency_proof};
use procura_types::wire::ConsistencyAnswer;

pub(crate) fn head(size: u64, root: Hash) -> Checkpoint {
    Checkpoint {
        origin: "procura/test".to_owned(),
        size,
        root,
        seq: None,
        set: None,
        extensions: Vec::new(),
    }
}

pub(crate) fn of(leaves: &[Hash]) -> Checkpoint {
    let root = leaves.iter().copied().collect::<Frontier>().root();
    head(u64::try_from(leaves.len()).unwrap(), root)
}

pub(crate) fn seen(leaves: &[Hash]) -> Seen {
    Seen::from(&of(leaves))
}

pub(crate) fn proof(log: &[Hash], from: u64, to: u64) -> ConsistencyAnswer {
    let path = consistency_proof(&Leaves(log.to_vec()), from, to).unwrap();
    ConsistencyAnswer {
        from,
        to,
        path: path.iter().map(Hash::to_string).collect(),
    }
}

/// The growth from `from` entries to all of the log.
fn growth(log: &[Hash], from: usize) -> Growth {
    of(log).after(&seen(&log[..from])).unwrap().unwrap()
}

#[test]
fn a_log_goes_on_from_each_of_its_beginnings() {
    let log = leaves(9);
    for to in 0..=9 {
        for from in 0..=to {
            let newest = of(&log[..to]);
            match newest.after(&seen(&log[..from])).unwrap() {
                None => assert!(from == 0 || from == to, "{from} {to}"),
                Some(growth) => {
                    let (older, newer) = growth.sizes();
                    assert_eq!((older, newer), (from as u64, to as u64));
                    growth.prove(&proof(&log, older, newer)).unwrap();
                }
            }
        }
    }
}

#[test]
fn a_log_of_fewer_entries_is_shorter() {
    let log = leaves(5);
    for (has, had) in [(4, 5), (0, 1), (1, 2)] {
        let broken = of(&log[..has]).after(&seen(&log[..had])).unwrap_err();
        let (newest, seen) = (has as u64, had as u64);
        assert_eq!(broken, Break::Shorter { newest, seen });
    }
}

#[test]
fn as_many_entries_with_another_root_are_others() {
    let mut log = leaves(5);
    let before = seen(&log);
    log[2] = Hash::from_bytes([7; 32]);
    assert_eq!(of(&log).after(&before), Err(Break::Other { size: 5 }));
}

#[test]
fn no_entries_have_one_root_and_another_is_the_beginning_of_nothing() {
    let log = leaves(3);
    let root = Hash::from_bytes([7; 32]);
    let none = Seen { size: 0, root };
    let other = Err(Break::Other { size: 0 });
    assert_eq!(of(&log).after(&none), other);
    assert_eq!(of(&[]).after(&none), other);
    // That both say the same makes it no log.
    assert_eq!(head(0, root).after(&none), other);
    assert_eq!(head(0, root).after(&seen(&[])), other);
    let empty = Seen {
        size: 0,
        root: Hash::empty_root(),
    };
    assert_eq!(of(&[]).after(&empty), Ok(None));
    assert_eq!(of(&log).after(&empty), Ok(None));
}

#[test]
fn growth_that_is_not_proven_is_another_log() {
    let log = leaves(9);
    let right = proof(&log, 5, 9);
    growth(&log, 5).prove(&right).unwrap();
    let mut changed = right.clone();
    changed.path[0] = Hash::from_bytes([7; 32]).to_string();
    let mut cut = right.clone();
    cut.path.pop();
    let mut longer = right.clone();
    longer.path.push(longer.path[0].clone());
    let none = ConsistencyAnswer {
        path: Vec::new(),
        ..right.clone()
    };
    for wrong in [changed, cut, longer, none, proof(&log, 4, 9)] {
        assert_eq!(growth(&log, 5).prove(&wrong), Err(Break::Unproven));
    }
    // The proof is right, but of a log that has another beginning.
    let mut fork = log.clone();
    fork[1] = Hash::from_bytes([7; 32]);
    let grown = of(&fork).after(&seen(&log[..5])).unwrap().unwrap();
    assert_eq!(grown.prove(&proof(&fork, 5, 9)), Err(Break::Unproven));
}

#[test]
fn a_proof_of_something_else_than_hashes_cannot_be_read() {
    let log = leaves(9);
    for word in ["", "AAAA", "not base64", "é"] {
        let mut proof = proof(&log, 5, 9);
        proof.path[1] = word.to_owned();
        assert_eq!(growth(&log, 5).prove(&proof), Err(Break::Unreadable));
    }
}

#[test]
fn what_a_proof_calls_its_sizes_decides_nothing() {
    let log = leaves(9);
    let mut named = proof(&log, 5, 9);
    (named.from, named.to) = (1, 2);
    growth(&log, 5).prove(&named).unwrap();
}

#[test]
fn what_was_seen_reads_back_and_nothing_more() {
    let seen = seen(&leaves(3));
    let text = serde_json::to_string(&seen).unwrap();
    assert_eq!(text, format!("{{\"size\":3,\"root\":\"{}\"}}", seen.root));
    assert_eq!(serde_json::from_str::<Seen>(&text).unwrap(), seen);
    let more = text.replace("\"size\"", "\"time\":1,\"size\"");
    let error = serde_json::from_str::<Seen>(&more).unwrap_err().to_string();
    assert!(error.starts_with("unknown field `time`"), "{error}");
}
