//! Namespaces partition: names, keys and values do not cross.

use crate::world::{World, bank, shop, writing};
use procura_store::{Blob, KeyPrefix, Kind, Table};
use procura_vault::{NamespaceListing, VaultError, candidates_for_env};

const NAMESPACE_KEYS: Table<(u64, String, u64), Blob> = Table::new("namespace-key", Kind::Clear);

#[tokio::test]
async fn the_same_path_may_exist_in_two() {
    let world = World::new().await;
    assert_eq!(world.put(&shop(), "a/key", b"of the shop").await, 1);
    assert_eq!(world.put(&bank(), "a/key", b"of the bank").await, 1);
    assert_eq!(world.put(&shop(), "a/key", b"of the shop again").await, 2);
    assert_eq!(
        world.read(&shop(), "a/key", None).await.unwrap(),
        b"of the shop again"
    );
    assert_eq!(
        world.read(&bank(), "a/key", None).await.unwrap(),
        b"of the bank"
    );
    world.destroy("a/key", None).await.unwrap();
    assert_eq!(
        world.read(&bank(), "a/key", None).await.unwrap(),
        b"of the bank"
    );
    let left = world.list(&bank(), "", None, None);
    assert_eq!(left.secrets.len(), 1);
    assert!(world.list(&shop(), "", None, None).secrets.is_empty());
}

#[tokio::test]
async fn a_declared_name_is_found_in_its_namespace_only() {
    let world = World::new().await;
    for namespace in [shop(), bank()] {
        let mut op = writing(&namespace, "a/key", b"value");
        op.env = Some("KEY".parse().unwrap());
        world.write(op).await.unwrap();
    }
    let mut op = writing(&bank(), "b/key", b"value");
    op.env = Some("KEY".parse().unwrap());
    world.write(op).await.unwrap();
    let found = |namespace| {
        candidates_for_env(world.vault.store(), &namespace, &"KEY".parse().unwrap())
            .unwrap()
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
    };
    assert_eq!(found(shop()), ["a/key"]);
    assert_eq!(found(bank()), ["a/key", "b/key"]);
}

#[tokio::test]
async fn each_has_a_key_that_opens_nowhere_else() {
    let world = World::new().await;
    world.put(&shop(), "a/key", b"value").await;
    let store = world.vault.store().clone();
    let snapshot = store.snapshot().unwrap();
    let rows = NAMESPACE_KEYS
        .scan(&snapshot, &KeyPrefix::all(), None, 10)
        .unwrap();
    let of = |name: &str| {
        rows.iter()
            .find(|((_, found, _), _)| found == name)
            .unwrap()
    };
    assert_ne!(of("shop").1.value.as_bytes(), of("bank").1.value.as_bytes());
    // The bank's key in the shop's place.
    let mut batch = store.batch().unwrap();
    NAMESPACE_KEYS.put(&mut batch, &of("shop").0, &of("bank").1.value);
    store.commit(batch).await.unwrap();
    drop((rows, snapshot, store));
    let world = world.close().open(crate::world::PASSPHRASE).await.unwrap();
    let error = world.read(&shop(), "a/key", None).await.unwrap_err();
    assert!(
        matches!(&error, VaultError::DamagedKey(name) if *name == shop()),
        "{error}"
    );
    world.put(&bank(), "a/key", b"value").await;
}

#[tokio::test]
async fn a_name_is_taken_once() {
    let world = World::new().await;
    let error = world.namespace(shop()).await.unwrap_err();
    assert!(matches!(error, VaultError::NamespaceExists), "{error}");
    let mut names: Vec<String> = NamespaceListing::run(
        &world.permit(NamespaceListing),
        &world.recorder.directory().snapshot(),
    )
    .namespaces
    .into_iter()
    .map(|namespace| namespace.name.to_string())
    .collect();
    names.sort();
    assert_eq!(names, ["bank", "shop"]);
}
