//! Values moved between rows, versions and namespaces never open, even when the
//! store itself vouches for the rows.

use crate::world::{World, bank, shop};
use procura_crypto::OpenError;
use procura_store::{Blob, Kind, Table};
use procura_types::Namespace;
use procura_vault::VaultError;
use serde_json::Value;

/// The vault's tables, as whoever has its store and its barrier could write them.
const HEADS: Table<(String, String), Value> = Table::new("secret", Kind::Ordinary);
const VERSIONS: Table<(String, String, u64), Value> = Table::new("secret-version", Kind::Ordinary);
const BODIES: Table<(String, String, u64), Blob> = Table::new("secret-body", Kind::Clear);

fn head(namespace: &str, path: &str) -> (String, String) {
    (namespace.to_owned(), path.to_owned())
}
fn row(namespace: &str, path: &str, version: u64) -> (String, String, u64) {
    (namespace.to_owned(), path.to_owned(), version)
}

struct Forge<'a>(&'a World);

impl Forge<'_> {
    async fn body(&self, from: (String, String, u64), to: (String, String, u64)) {
        let store = self.0.vault.store();
        let body = BODIES.get(store, &from).unwrap().unwrap().value;
        let mut batch = store.batch().unwrap();
        BODIES.put(&mut batch, &to, &body);
        store.commit(batch).await.unwrap();
    }

    async fn head(&self, at: (String, String), change: impl Fn(&mut Value)) {
        let store = self.0.vault.store();
        let mut value = HEADS.get(store, &at).unwrap().unwrap().value;
        change(&mut value);
        let mut batch = store.batch().unwrap();
        HEADS.put(&mut batch, &at, &value);
        store.commit(batch).await.unwrap();
    }

    fn dek(&self, at: (String, String)) -> Value {
        let head = HEADS.get(self.0.vault.store(), &at).unwrap().unwrap().value;
        head["latest"]["dek"].clone()
    }
}

async fn refused(world: &World, namespace: &Namespace, path: &str, version: Option<u64>) {
    match world.read(namespace, path, version).await {
        Err(VaultError::Damaged { path: found, cause }) => {
            assert_eq!(found.as_str(), path);
            assert!(matches!(cause, OpenError::Refused), "{cause}");
        }
        Ok(_) => panic!("{namespace}/{path} opened"),
        Err(other) => panic!("another failure: {other}"),
    }
}

#[tokio::test]
async fn a_body_opens_in_no_other_place() {
    let world = World::new().await;
    let forge = Forge(&world);
    world.put(&shop(), "a/key", b"one").await;
    world.put(&shop(), "b/key", b"two").await;
    world.put(&bank(), "a/key", b"three").await;
    forge
        .body(row("shop", "b/key", 1), row("shop", "a/key", 1))
        .await;
    refused(&world, &shop(), "a/key", None).await;
    forge
        .body(row("shop", "b/key", 1), row("bank", "a/key", 1))
        .await;
    refused(&world, &bank(), "a/key", None).await;
    assert_eq!(world.read(&shop(), "b/key", None).await.unwrap(), b"two");
}

#[tokio::test]
async fn a_body_with_its_key_opens_in_no_other_place() {
    let world = World::new().await;
    let forge = Forge(&world);
    for (namespace, path) in [(shop(), "a/key"), (shop(), "b/key"), (bank(), "a/key")] {
        world.put(&namespace, path, b"value").await;
    }
    let dek = forge.dek(head("shop", "b/key"));
    for (namespace, at) in [
        (shop(), head("shop", "a/key")),
        (bank(), head("bank", "a/key")),
    ] {
        forge
            .body(row("shop", "b/key", 1), (at.0.clone(), at.1.clone(), 1))
            .await;
        forge
            .head(at, |value| value["latest"]["dek"] = dek.clone())
            .await;
        refused(&world, &namespace, "a/key", None).await;
    }
}

#[tokio::test]
async fn an_older_version_does_not_open_as_the_newest() {
    let world = World::new().await;
    let forge = Forge(&world);
    world.put(&shop(), "a/key", b"leaked and replaced").await;
    let (old_dek, old_key) = (forge.dek(head("shop", "a/key")), row("shop", "a/key", 1));
    world.put(&shop(), "a/key", b"new").await;
    forge.body(old_key, row("shop", "a/key", 2)).await;
    forge
        .head(head("shop", "a/key"), |value| {
            value["latest"]["dek"] = old_dek.clone()
        })
        .await;
    refused(&world, &shop(), "a/key", None).await;
    // Nor does the number alone make it another version.
    let world = World::new().await;
    world.put(&shop(), "a/key", b"value").await;
    let forge = Forge(&world);
    forge
        .body(row("shop", "a/key", 1), row("shop", "a/key", 7))
        .await;
    forge
        .head(head("shop", "a/key"), |value| {
            value["latest"]["version"] = 7.into()
        })
        .await;
    refused(&world, &shop(), "a/key", None).await;
}

#[tokio::test]
async fn an_older_row_takes_no_key_of_another_version() {
    let world = World::new().await;
    world.put(&shop(), "a/key", b"one").await;
    world.put(&shop(), "a/key", b"two").await;
    let newest = Forge(&world).dek(head("shop", "a/key"));
    let store = world.vault.store();
    let key = row("shop", "a/key", 1);
    let mut version = VERSIONS.get(store, &key).unwrap().unwrap().value;
    version["dek"] = newest;
    let mut batch = store.batch().unwrap();
    VERSIONS.put(&mut batch, &key, &version);
    store.commit(batch).await.unwrap();
    refused(&world, &shop(), "a/key", Some(1)).await;
    assert_eq!(world.read(&shop(), "a/key", None).await.unwrap(), b"two");
}

#[tokio::test]
async fn every_byte_of_a_body_counts() {
    let world = World::new().await;
    world.put(&shop(), "a/key", b"value").await;
    let store = world.vault.store();
    let key = row("shop", "a/key", 1);
    let whole = BODIES
        .get(store, &key)
        .unwrap()
        .unwrap()
        .value
        .as_bytes()
        .to_vec();
    for position in 0..whole.len() {
        let mut body = whole.clone();
        body[position] ^= 1;
        let mut batch = store.batch().unwrap();
        BODIES.put(&mut batch, &key, &Blob::new(body));
        store.commit(batch).await.unwrap();
        let error = world.read(&shop(), "a/key", None).await.unwrap_err();
        assert!(
            matches!(error, VaultError::Damaged { .. }),
            "byte {position}: {error}"
        );
    }
    for length in [0, 1, whole.len() - 1] {
        let mut batch = store.batch().unwrap();
        BODIES.put(&mut batch, &key, &Blob::new(whole[..length].to_vec()));
        store.commit(batch).await.unwrap();
        let error = world.read(&shop(), "a/key", None).await.unwrap_err();
        assert!(
            matches!(error, VaultError::Damaged { .. }),
            "length {length}: {error}"
        );
    }
}
