//! A backup of a store on a server opens as an embedded one.

use super::stores::{COUNT, Noon, barrier, count, unsealed};
use super::world::{ID, World};
use crate::backup::{BackupReader, Item};
use crate::{SqliteLoader, SqliteOptions, Store};
use procura_crypto::{MacKey, SystemEntropy};
use std::sync::Arc;

#[test]
fn an_embedded_store_is_filled_from_a_backup_of_one_on_a_server() {
    let world = World::new();
    let store = unsealed(world.store().try_open().unwrap());
    for number in 0..40 {
        count(&store, &format!("n{}", number % 7), number).unwrap();
    }
    let mut bytes = Vec::new();
    let mut sink = |piece: Vec<u8>| {
        bytes.extend(piece);
        Ok(())
    };
    let key = MacKey::from_bytes(&[5; 32]).unwrap();
    store.back_up(&ID, b"{}", &key, &mut sink).unwrap();

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("restored.db");
    let mut loader = SqliteLoader::create(&path, &ID).unwrap();
    let mut reader = BackupReader::new(&bytes[..]).unwrap();
    let mut anchor = None;
    while let Some(item) = reader.next_item().unwrap() {
        match item {
            Item::Row(key, row) => loader.row(&key, row.as_ref()).unwrap(),
            Item::Entry(log, entry) => loader.entry(&log, &entry).unwrap(),
            Item::Anchor(found) => anchor = Some(found),
            Item::Head(_) | Item::End(_) => {}
        }
    }
    loader.finish(&anchor.unwrap()).unwrap();
    let options = SqliteOptions::default();
    let copy = Store::open(
        &path,
        &ID,
        &options,
        Arc::new(Noon),
        Arc::new(SystemEntropy),
    )
    .unwrap();
    copy.install_barrier(barrier(1)).unwrap();
    copy.wait_verified().unwrap();
    assert_eq!(copy.deep_check().unwrap(), [""; 0]);
    assert_eq!(copy.head().unwrap(), store.head().unwrap());
    assert_eq!(COUNT.get(&copy, &"n4".into()).unwrap().unwrap().value, 39);
}
