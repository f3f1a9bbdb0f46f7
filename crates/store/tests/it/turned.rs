//! The keys of set digests and chains turn with the root: who has those of before can
//! neither count rows that were written since nor go on with a log.

use crate::home::{AGENTS, Home, LEDGER, NOTES, barrier, commit, doc, large};
use procura_store::{Barrier, BarrierError, Damage, TurnedKeys, UnsealError};
use procura_types::Secret;

fn turned(epoch: u32, seed: u8) -> TurnedKeys {
    TurnedKeys {
        epoch,
        set_key: Secret::new([seed; 32]),
        chain_key: Secret::new([seed.wrapping_add(100); 32]),
    }
}

fn with(home: &Home, epochs: &[u32], keys: &[(u32, u8)]) -> Barrier {
    let keys = keys.iter().map(|(epoch, seed)| turned(*epoch, *seed));
    barrier(home.id, 1, epochs).turned(keys.collect()).unwrap()
}

#[test]
fn rows_and_entries_are_counted_by_the_keys_of_their_time() {
    let home = Home::filled(1);
    let store = home.unsealed();
    let before = store.head().unwrap();
    store
        .install_barrier(with(&home, &[1, 2], &[(2, 7)]))
        .unwrap();
    // One that is new, one that goes on, and one that goes.
    commit(&store, |b| AGENTS.put(b, &"new".into(), &doc("two")));
    commit(&store, |b| {
        AGENTS.put(b, &"agent-0".into(), &doc("changed"));
        b.append(LEDGER, b"after the turn".to_vec());
    });
    commit(&store, |b| AGENTS.delete(b, &"agent-1".into()));
    store
        .install_barrier(with(&home, &[1, 2, 3], &[(2, 7), (3, 8)]))
        .unwrap();
    commit(&store, |b| {
        NOTES.put(b, &"third".into(), &large(3));
        AGENTS.delete(b, &"new".into());
        b.append(LEDGER, b"after the next".to_vec());
    });
    assert_eq!(store.deep_check().unwrap(), [""; 0]);
    let head = store.head().unwrap();
    let first = before.seq.next();
    assert_eq!(head.set_epoch(before.seq), 0);
    assert_eq!(head.set_epoch(first), 2);
    assert_eq!(head.set_epoch(head.seq), 3);
    drop(store);
    let store = home.open().unwrap();
    store
        .install_barrier(with(&home, &[1, 2, 3], &[(2, 7), (3, 8)]))
        .unwrap();
    store.wait_verified().unwrap();
    assert_eq!(store.deep_check().unwrap(), [""; 0]);
}

#[test]
fn keys_of_before_or_others_do_not_fit_what_was_written_since() {
    let home = Home::filled(1);
    let store = home.unsealed();
    store
        .install_barrier(with(&home, &[1, 2], &[(2, 7)]))
        .unwrap();
    commit(&store, |b| {
        AGENTS.put(b, &"new".into(), &doc("two"));
        b.append(LEDGER, b"after the turn".to_vec());
    });
    // What is in use is not replaced by anything that lacks what it has.
    for keys in [&[][..], &[(2, 9)]] {
        let refused = store.install_barrier(with(&home, &[1, 2], keys));
        assert_eq!(refused, Err(UnsealError::WrongKey), "{keys:?}");
    }
    drop(store);
    for keys in [&[][..], &[(2, 9)]] {
        let store = home.open().unwrap();
        store.install_barrier(with(&home, &[1, 2], keys)).unwrap();
        let error = store.wait_verified().unwrap_err();
        assert_eq!(error, crate::home::corrupt(Damage::Table("agents".into())));
        let found = store.deep_check().unwrap();
        let chain = Damage::Chain("ledger".into()).to_string();
        assert!(found.contains(&chain), "{keys:?}: {found:?}");
    }
    let twice = barrier(home.id, 1, &[1]).turned(vec![turned(2, 7), turned(2, 8)]);
    assert!(matches!(twice.err(), Some(BarrierError::RepeatedEpoch(2))));
}
