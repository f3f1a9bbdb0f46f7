//! Servers that are behind, servers that are older, and forks.

use crate::continuity::{head, of, proof, seen};
use crate::tree::leaves;
use procura_ledger::{Break, Growth, Hash, Lagging, Shown};

/// What is wrong with the proofs over this log, if anything is.
fn proven(log: &[Hash], growths: Vec<Growth>) -> Result<(), Break> {
    growths.into_iter().try_for_each(|growth| {
        let (from, to) = growth.sizes();
        growth.prove(&proof(log, from, to))
    })
}

fn sizes(growths: &[Growth]) -> Vec<(u64, u64)> {
    growths.iter().map(Growth::sizes).collect()
}

#[test]
fn one_that_is_behind_is_asked_again_and_goes_on() {
    let log = leaves(9);
    let mut lagging = Lagging::behind(seen(&log[..6]));
    for (has, first) in [(3, true), (3, false), (5, true), (3, false), (0, false)] {
        let Shown::Behind { why, growth } = lagging.show(&of(&log[..has])).unwrap() else {
            panic!("{has} of 6 are less");
        };
        let newest = has as u64;
        assert_eq!(why, Break::Shorter { newest, seen: 6 });
        // Asked to prove once, and by whoever can.
        assert_eq!(growth.is_some(), first, "{has}");
        proven(&log, growth.into_iter().collect()).unwrap();
    }
    // All that was shown leads to what was seen, and that to what is shown.
    let Shown::GoesOn(growths) = lagging.show(&of(&log)).unwrap() else {
        panic!("9 are more than 6");
    };
    assert_eq!(sizes(&growths), [(3, 6), (5, 6), (6, 9)]);
    proven(&log, growths).unwrap();
    let Shown::GoesOn(growths) = lagging.show(&of(&log[..6])).unwrap() else {
        panic!("6 are 6");
    };
    assert_eq!(sizes(&growths), [(3, 6), (5, 6)]);
}

#[test]
fn a_fork_is_one_however_few_entries_it_has() {
    let log = leaves(9);
    let mut fork = log.clone();
    fork[1] = Hash::from_bytes([7; 32]);
    // As many, or more.
    let other = Err(Break::Other { size: 6 });
    assert_eq!(
        Lagging::behind(seen(&log[..6])).show(&of(&fork[..6])),
        other
    );
    let Shown::GoesOn(growths) = Lagging::behind(seen(&log[..6])).show(&of(&fork)).unwrap() else {
        panic!("9 are more than 6");
    };
    assert_eq!(proven(&fork, growths), Err(Break::Unproven));
    // Fewer: whoever has the log of before cannot prove that it leads there, at once.
    let mut lagging = Lagging::behind(seen(&log[..6]));
    let Shown::Behind { growth, .. } = lagging.show(&of(&fork[..4])).unwrap() else {
        panic!("4 are less than 6");
    };
    let growth = growth.into_iter().collect();
    assert_eq!(proven(&log, growth), Err(Break::Unproven));
    // Nor later, when another server shows what is in order by itself.
    let Shown::GoesOn(growths) = lagging.show(&of(&log)).unwrap() else {
        panic!("9 are more than 6");
    };
    assert_eq!(sizes(&growths), [(4, 6), (6, 9)]);
    assert_eq!(proven(&log, growths), Err(Break::Unproven));
}

#[test]
fn two_trees_of_one_size_are_a_fork_before_anything_is_proven() {
    let log = leaves(9);
    let mut fork = log.clone();
    fork[1] = Hash::from_bytes([7; 32]);
    let mut lagging = Lagging::behind(seen(&log));
    assert!(lagging.show(&of(&log[..4])).is_ok());
    let other = Err(Break::Other { size: 4 });
    assert_eq!(lagging.show(&of(&fork[..4])), other);
    // No entries have one root.
    let none = head(0, Hash::from_bytes([7; 32]));
    let mut lagging = Lagging::behind(seen(&log));
    assert_eq!(lagging.show(&none), Err(Break::Other { size: 0 }));
}
