//! What can be done without keys, and changing them.

use crate::home::{
    AGENTS, BODIES, Home, KEYRING, LEDGER, NOTES, barrier, commit, doc, large, try_commit,
};
use procura_store::{Barrier, BarrierError, CommitError, StoreError, UnsealError};
use std::sync::Arc;

#[test]
fn a_sealed_store_gives_clear_rows_only() {
    let home = Home::filled(1);
    let store = home.open().unwrap();
    let check = |store: &procura_store::Store| {
        assert!(store.is_sealed());
        let sealed = StoreError::Sealed;
        let key = "agent-0".to_owned();
        assert_eq!(AGENTS.get(store, &key), Err(sealed.clone()));
        assert_eq!(AGENTS.get_clear(store, &key), Err(sealed.clone()));
        assert_eq!(KEYRING.get(store, &()), Err(sealed.clone()));
        assert_eq!(store.snapshot().err(), Some(sealed.clone()));
        assert_eq!(store.head().err(), Some(sealed.clone()));
        assert_eq!(store.blind("x", b"").err(), Some(sealed.clone()));
        assert_eq!(store.log_read(LEDGER, 0, 1).err(), Some(sealed.clone()));
        assert_eq!(store.deep_check().err(), Some(sealed));
        let refused = try_commit(store, |b| KEYRING.put(b, &(), &doc("x")));
        assert_eq!(refused, Err(CommitError::Sealed));
        let keyring = KEYRING.get_clear(store, &()).unwrap().unwrap();
        assert_eq!(keyring.value, doc("wrapped"));
        let body = BODIES.get_clear(store, &("s".into(), 1)).unwrap().unwrap();
        assert_eq!(body.value, large(2));
    };
    check(&store);
    store.install_barrier(home.barrier()).unwrap();
    let snapshot = store.snapshot().unwrap();
    assert!(AGENTS.get(&store, &"agent-0".into()).unwrap().is_some());
    store.seal();
    check(&store);
    // A snapshot keeps no keys.
    assert_eq!(AGENTS.load(&snapshot).err(), Some(StoreError::Sealed));
    store.seal();
    store.install_barrier(home.barrier()).unwrap();
    let note = NOTES.get(&store, &"large".into()).unwrap().unwrap();
    assert_eq!(note.value, large(1));
}

#[test]
fn an_empty_store_is_bound_by_its_first_commit() {
    let home = Home::new(1);
    let store = home.open().unwrap();
    store.install_barrier(barrier(home.id, 5, &[1])).unwrap();
    store.seal();
    store.install_barrier(home.barrier()).unwrap();
    commit(&store, |b| KEYRING.put(b, &(), &doc("x")));
    store.seal();
    let other = store.install_barrier(barrier(home.id, 5, &[1]));
    assert_eq!(other, Err(UnsealError::WrongKey));
}

#[test]
fn a_new_epoch_seals_and_the_old_one_opens() {
    let home = Home::filled(1);
    let store = home.unsealed();
    store.install_barrier(barrier(home.id, 1, &[1, 2])).unwrap();
    commit(&store, |b| AGENTS.put(b, &"new".into(), &doc("two")));
    for key in ["agent-0", "new"] {
        assert!(AGENTS.get(&store, &key.into()).unwrap().is_some());
    }
    // Neither an epoch nor a key that never changes may be lost.
    for (seed, epochs) in [(1, &[2][..]), (1, &[1]), (2, &[1, 2])] {
        let other = store.install_barrier(barrier(home.id, seed, epochs));
        assert_eq!(other, Err(UnsealError::WrongKey), "{epochs:?}");
    }
    assert_eq!(store.deep_check().unwrap(), [""; 0]);
    drop(store);
    // The head is sealed under the new epoch now.
    assert_eq!(
        home.try_unseal().err(),
        Some(UnsealError::Corrupt {
            what: procura_store::Damage::Head
        })
    );
    let store = home.open().unwrap();
    store.install_barrier(barrier(home.id, 1, &[2, 1])).unwrap();
    store.wait_verified().unwrap();
    assert_eq!(store.deep_check().unwrap(), [""; 0]);
}

#[test]
fn keys_that_make_no_barrier() {
    let home = Home::new(1);
    let make = |epochs: &[u32]| {
        let keys = crate::home::keys(home.id, 1, epochs);
        Barrier::new(keys, Arc::new(procura_crypto::SystemEntropy)).err()
    };
    assert!(matches!(make(&[]), Some(BarrierError::NoEpoch)));
    assert!(matches!(
        make(&[1, 2, 1]),
        Some(BarrierError::RepeatedEpoch(1))
    ));
    assert!(make(&[3, 1, 2]).is_none());
}

#[test]
fn sealing_under_load_loses_no_acknowledged_batch() {
    let home = Home::new(1);
    let store = home.unsealed();
    let futures: Vec<_> = (0..200u8)
        .map(|n| {
            let mut batch = store.batch().unwrap();
            batch.append(LEDGER, vec![n]);
            if n == 100 {
                store.seal();
            }
            store.commit(batch)
        })
        .collect();
    let outcomes = crate::home::wait(async {
        let mut outcomes = Vec::new();
        for future in futures {
            outcomes.push(future.await);
        }
        outcomes
    });
    store.install_barrier(home.barrier()).unwrap();
    let kept = store.log_read(LEDGER, 0, 999).unwrap();
    let kept: Vec<u8> = kept.iter().map(|entry| entry.bytes.expose()[0]).collect();
    let acknowledged = (0..200u8)
        .zip(&outcomes)
        .filter(|(_, outcome)| outcome.is_ok());
    assert_eq!(kept, acknowledged.map(|(n, _)| n).collect::<Vec<_>>());
    for outcome in &outcomes[100..] {
        assert_eq!(*outcome, Err(CommitError::Sealed));
    }
    assert_eq!(store.deep_check().unwrap(), [""; 0]);
}
