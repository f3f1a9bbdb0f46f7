//! Stores with their barrier, several on one database.

use super::super::PostgresEngine;
use super::world::{ID, World, until};
use crate::conformance::wait;
use crate::{
    Barrier, BarrierKeys, CommitError, Damage, Kind, LogId, Row, Seq, Store, Table, UnsealError,
};
use procura_crypto::SystemEntropy;
use procura_types::{Clock, Secret, Timestamp};
use std::sync::Arc;

const LOG: LogId = LogId::new("ledger");
pub(super) const COUNT: Table<String, u64> = Table::new("count", Kind::Directory);

pub(super) struct Noon;

impl Clock for Noon {
    fn now(&self) -> Timestamp {
        Timestamp::from_secs(1_800_000_000)
    }
}

fn sealed(engine: PostgresEngine) -> Store {
    Store::over(Arc::new(engine), Arc::new(Noon), Arc::new(SystemEntropy))
}

pub(super) fn barrier(key: u8) -> Barrier {
    let keys = BarrierKeys {
        installation: ID,
        epochs: vec![(1, Secret::new([key; 32]))],
        set_key: Secret::new([2; 32]),
        chain_key: Secret::new([3; 32]),
        index_key: Secret::new([4; 32]),
    };
    Barrier::new(keys, Arc::new(SystemEntropy)).unwrap()
}

pub(super) fn unsealed(engine: PostgresEngine) -> Store {
    let store = sealed(engine);
    store.install_barrier(barrier(1)).unwrap();
    store
}

pub(super) fn count(store: &Store, name: &str, number: u64) -> Result<Seq, CommitError> {
    let mut batch = store.batch().unwrap();
    COUNT.put(&mut batch, &name.to_owned(), &number);
    batch.append(LOG, number.to_be_bytes().to_vec());
    wait(store.commit(batch)).map(|done| done.seq)
}

#[test]
fn each_store_builds_on_the_head_that_the_other_left() {
    let world = World::new();
    let database = world.store();
    let stores = [(); 2].map(|()| unsealed(database.try_open().unwrap()));
    for (number, store) in (1..=20u64).zip(stores.iter().cycle()) {
        let seq = count(store, "n", number).unwrap();
        assert_eq!(seq, Seq::new(number));
        assert_eq!(store.head().unwrap().seq, seq);
        assert_eq!(store.log_len(LOG).unwrap(), number);
    }
    for store in &stores {
        // Without a commit of one's own it takes a moment.
        until("the head", || store.head().unwrap().seq == Seq::new(20));
        let version = Seq::new(20);
        let found = COUNT.get(store, &"n".into()).unwrap();
        assert_eq!(found, Some(Row { version, value: 20 }));
        let entries = store.log_read(LOG, 0, 99).unwrap();
        let values = entries.iter().map(|entry| entry.bytes.expose().clone());
        assert!(values.eq((1..=20u64).map(|number| number.to_be_bytes().to_vec())));
        assert_eq!(store.deep_check().unwrap(), [""; 0]);
    }
    drop(stores);
    let other = sealed(database.try_open().unwrap());
    let wrong = other.install_barrier(barrier(9));
    assert_eq!(wrong.err(), Some(UnsealError::WrongKey));
    other.install_barrier(barrier(1)).unwrap();
    other.wait_verified().unwrap();
    assert_eq!(other.deep_check().unwrap(), [""; 0]);
}

#[test]
fn an_old_head_that_is_put_back_is_noticed_by_the_next_group() {
    let world = World::new();
    let database = world.store();
    let (one, other) = (
        unsealed(database.try_open().unwrap()),
        unsealed(database.try_open().unwrap()),
    );
    count(&one, "n", 1).unwrap();
    let keep = "CREATE TABLE kept AS SELECT sealed FROM procura.seal";
    world.server.tell(&database.name, keep);
    count(&one, "n", 2).unwrap();
    let put_back = "UPDATE procura.seal SET sealed = (SELECT sealed FROM kept)";
    world.server.tell(&database.name, put_back);
    let what = Damage::Head;
    assert_eq!(count(&other, "n", 3), Err(CommitError::Corrupt { what }));
}
