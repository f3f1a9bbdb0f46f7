//! A change of passphrase rotates the root, and a crash inside of it loses nothing.

use crate::world::{Closed, PASSPHRASE, World, bank, shop};
use procura_store::{Blob, Damage, KeyPrefix, Kind, Store, Table, UnsealError};
use procura_vault::{Installation, SealError, VaultError};
use std::path::Path;

const NEW: &str = "another long passphrase";
/// The tables of the roots, as the vault declares them.
const KEYRINGS: Table<u64, Blob> = Table::new("keyring", Kind::Clear);
const NAMESPACE_KEYS: Table<(u64, String, u64), Blob> = Table::new("namespace-key", Kind::Clear);

/// Root epochs of keyrings and of namespace keys that are there.
pub(crate) fn epochs(store: &Store) -> (Vec<u64>, Vec<u64>) {
    let snapshot = store.snapshot().unwrap();
    let rings = KEYRINGS
        .scan(&snapshot, &KeyPrefix::all(), None, 100)
        .unwrap();
    let keys = NAMESPACE_KEYS
        .scan(&snapshot, &KeyPrefix::all(), None, 100)
        .unwrap();
    let mut of_keys: Vec<u64> = keys.iter().map(|((epoch, _, _), _)| *epoch).collect();
    of_keys.dedup();
    (rings.iter().map(|(epoch, _)| *epoch).collect(), of_keys)
}

fn file(home: &Path) -> Vec<u8> {
    std::fs::read(home.join("installation.json")).unwrap()
}

async fn refused(place: &Closed, passphrase: &str) -> SealError {
    let store = place.store().await;
    let error = place.unseal(store.clone(), passphrase).err().unwrap();
    assert!(store.is_sealed());
    error
}

async fn settle(world: &World) {
    world
        .vault
        .settle_root(world.recorder.clock())
        .await
        .unwrap();
}

#[tokio::test]
async fn the_new_one_opens_everything_and_the_old_one_nothing() {
    let world = World::new().await;
    world.put(&shop(), "a/key", b"before").await;
    world
        .change_passphrase(PASSPHRASE, NEW, false)
        .await
        .unwrap();
    settle(&world).await;
    assert_eq!(epochs(world.vault.store()), (vec![2], vec![2]));
    // Without a restart, what was there and what is new can be read.
    assert_eq!(world.read(&shop(), "a/key", None).await.unwrap(), b"before");
    world.put(&shop(), "a/key", b"after").await;
    world.put(&bank(), "b/key", b"bank").await;
    world.namespace("dock".parse().unwrap()).await.unwrap();
    world.put(&"dock".parse().unwrap(), "a/key", b"dock").await;
    let place = world.close();
    assert_eq!(Installation::read(place.home.path()).unwrap().root_epoch, 2);
    assert!(matches!(
        refused(&place, PASSPHRASE).await,
        SealError::WrongPassphrase
    ));
    let world = place.open(NEW).await.unwrap();
    assert_eq!(
        world.read(&shop(), "a/key", Some(1)).await.unwrap(),
        b"before"
    );
    assert_eq!(world.read(&shop(), "a/key", None).await.unwrap(), b"after");
    assert_eq!(world.read(&bank(), "b/key", None).await.unwrap(), b"bank");
    let dock = "dock".parse().unwrap();
    assert_eq!(world.read(&dock, "a/key", None).await.unwrap(), b"dock");
    // And once more, from there.
    world
        .change_passphrase(NEW, PASSPHRASE, false)
        .await
        .unwrap();
    settle(&world).await;
    assert_eq!(epochs(world.vault.store()), (vec![3], vec![3]));
    let world = world.close().open(PASSPHRASE).await.unwrap();
    assert_eq!(
        world.read(&shop(), "a/key", Some(1)).await.unwrap(),
        b"before"
    );
}

#[tokio::test]
async fn a_wrong_current_or_a_weak_new_one_changes_nothing() {
    let world = World::new().await;
    let before = file(world.place.home.path());
    let error = world
        .change_passphrase("not the passphrase", NEW, false)
        .await
        .unwrap_err();
    assert!(matches!(error, SealError::WrongPassphrase), "{error}");
    let error = world
        .change_passphrase(PASSPHRASE, "short", false)
        .await
        .unwrap_err();
    assert!(matches!(error, SealError::WeakPassphrase), "{error}");
    assert_eq!(epochs(world.vault.store()), (vec![1], vec![1]));
    assert_eq!(file(world.place.home.path()), before);
    world.put(&shop(), "a/key", b"value").await;
    world.close().open(PASSPHRASE).await.unwrap();
}

#[tokio::test]
async fn an_old_backup_of_the_keys_opens_nothing_new() {
    let world = World::new().await;
    world.put(&shop(), "a/key", b"before").await;
    // What a thief has: the old file, the old passphrase, and the old rows of keys.
    let old_file = file(world.place.home.path());
    let store = world.vault.store().clone();
    let old_ring = KEYRINGS.get_clear(&store, &1).unwrap().unwrap().value;
    let snapshot = store.snapshot().unwrap();
    let old_keys = NAMESPACE_KEYS
        .scan(&snapshot, &KeyPrefix::all(), None, 100)
        .unwrap();
    drop(snapshot);

    world
        .change_passphrase(PASSPHRASE, NEW, false)
        .await
        .unwrap();
    settle(&world).await;
    world.put(&shop(), "a/key", b"after").await;

    // The thief's rows beside today's, as in a database put together by hand.
    let mut batch = store.batch().unwrap();
    KEYRINGS.put(&mut batch, &1, &old_ring);
    for (key, row) in &old_keys {
        NAMESPACE_KEYS.put(&mut batch, key, &row.value);
    }
    store.commit(batch).await.unwrap();
    drop(store);
    let place = world.close();
    std::fs::write(place.home.path().join("installation.json"), old_file).unwrap();
    let error = refused(&place, PASSPHRASE).await;
    // The head of the store is under the new root, so the old one cannot vouch
    // for a single row.
    let head = UnsealError::Corrupt { what: Damage::Head };
    assert!(
        matches!(&error, SealError::Unseal(found) if *found == head),
        "{error}"
    );
}

#[tokio::test]
async fn a_crash_before_the_file_leaves_the_old_passphrase() {
    let world = World::new().await;
    world.put(&shop(), "a/key", b"value").await;
    let before = file(world.place.home.path());
    let lost = world
        .change_passphrase(PASSPHRASE, NEW, true)
        .await
        .unwrap_err();
    assert!(matches!(lost, SealError::NotInitialised));
    assert_eq!(epochs(world.vault.store()).0, [1, 2]);
    assert_eq!(file(world.place.home.path()), before);
    let place = world.close();
    assert!(matches!(
        refused(&place, NEW).await,
        SealError::WrongPassphrase
    ));
    let world = place.open(PASSPHRASE).await.unwrap();
    assert_eq!(world.read(&shop(), "a/key", None).await.unwrap(), b"value");
    // What the interrupted change left goes, and the change can be made again.
    settle(&world).await;
    assert_eq!(epochs(world.vault.store()), (vec![1], vec![1]));
    world
        .change_passphrase(PASSPHRASE, NEW, false)
        .await
        .unwrap();
    let world = world.close().open(NEW).await.unwrap();
    assert_eq!(world.read(&shop(), "a/key", None).await.unwrap(), b"value");
}

#[tokio::test]
async fn a_crash_after_the_file_leaves_the_new_passphrase() {
    let world = World::new().await;
    world.put(&shop(), "a/key", b"value").await;
    world
        .change_passphrase(PASSPHRASE, NEW, false)
        .await
        .unwrap();
    assert_eq!(epochs(world.vault.store()), (vec![1, 2], vec![1, 2]));
    let place = world.close();
    assert!(matches!(
        refused(&place, PASSPHRASE).await,
        SealError::WrongPassphrase
    ));
    let world = place.open(NEW).await.unwrap();
    assert_eq!(world.read(&shop(), "a/key", None).await.unwrap(), b"value");
    settle(&world).await;
    assert_eq!(epochs(world.vault.store()), (vec![2], vec![2]));
    settle(&world).await;
    assert_eq!(epochs(world.vault.store()), (vec![2], vec![2]));
}

#[tokio::test]
async fn a_half_written_file_beside_the_old_one_is_of_no_effect() {
    let world = World::new().await;
    let half = world.place.home.path().join("installation.json.new");
    std::fs::write(&half, b"{\"format\":1,").unwrap();
    let world = world.close().open(PASSPHRASE).await.unwrap();
    world
        .change_passphrase(PASSPHRASE, NEW, false)
        .await
        .unwrap();
    assert!(!half.exists());
    world.close().open(NEW).await.unwrap();
}

#[tokio::test]
async fn a_namespace_made_meanwhile_is_not_left_behind() {
    let world = World::new().await;
    let next = world.next_root(PASSPHRASE, NEW).unwrap();
    let dock = "dock".parse().unwrap();
    world.namespace("dock".parse().unwrap()).await.unwrap();
    world.put(&dock, "a/key", b"dock").await;
    let error = world.commit_root(&next).await.unwrap_err();
    assert!(matches!(error, VaultError::NamespacesChanged), "{error}");
    assert_eq!(epochs(world.vault.store()), (vec![1], vec![1]));
    world
        .change_passphrase(PASSPHRASE, NEW, false)
        .await
        .unwrap();
    settle(&world).await;
    let world = world.close().open(NEW).await.unwrap();
    assert_eq!(world.read(&dock, "a/key", None).await.unwrap(), b"dock");
}

#[tokio::test]
async fn sessions_get_a_new_root() {
    let world = World::new().await;
    let newest = |world: &World| world.vault.session_roots().newest().map(|(epoch, _)| epoch);
    assert_eq!(newest(&world), Some(1));
    world
        .change_passphrase(PASSPHRASE, NEW, false)
        .await
        .unwrap();
    assert_eq!(newest(&world), Some(2));
    assert!(world.vault.session_roots().get(3).is_none());
    // Whoever has the old root could make a session for anybody.
    assert!(world.vault.session_roots().get(1).is_none());
    // The key that clients pin stays.
    let before = Installation::read(world.place.home.path()).unwrap();
    let world = world.close().open(NEW).await.unwrap();
    assert_eq!(
        world.vault.server_key().public().to_jwk(),
        before.server_key
    );
}
