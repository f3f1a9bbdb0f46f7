//! What was deleted comes back; what was destroyed does not.

use crate::world::{NOW, World, bank, path, shop, writing};
use procura_types::wire::VersionState::{Deleted, Destroyed, Live};
use procura_vault::{
    DeletedListing, SecretListing, SecretUndelete, VaultError, candidates_for_env, newest_version,
};

fn not_found(error: &VaultError) -> bool {
    matches!(error, VaultError::NotFound(found) if *found == path("a/key"))
}

fn not_deleted(error: &VaultError) -> bool {
    matches!(error, VaultError::NotDeleted(found) if *found == path("a/key"))
}

/// What is said of a version that nothing brings back, or of all of them.
fn destroyed(error: &VaultError, which: &str) {
    let words = format!("{which}a/key was destroyed: nothing brings it back");
    assert_eq!(error.to_string(), words);
}

impl World {
    fn deleted(&self) -> Vec<(String, Option<String>)> {
        let op = DeletedListing(SecretListing {
            namespace: shop(),
            prefix: String::new(),
            after: None,
            limit: None,
            due: None,
        });
        let list = DeletedListing::run(&self.permit(op), self.vault.store()).unwrap();
        list.secrets
            .into_iter()
            .map(|row| (row.path.to_string(), row.env.map(|env| env.to_string())))
            .collect()
    }

    fn states(&self) -> Vec<procura_types::wire::VersionState> {
        let history = self.history("a/key", None, None).unwrap();
        history.versions.iter().map(|row| row.state).collect()
    }
}

#[tokio::test]
async fn a_secret_comes_back_as_it_was() {
    let world = World::new().await;
    let mut op = writing(&shop(), "a/key", b"one");
    op.env = Some("KEY".parse().unwrap());
    op.about.description = Some("of the shop".to_owned());
    world.write(op).await.unwrap();
    world.put(&shop(), "a/key", b"two").await;
    let found = || {
        candidates_for_env(world.vault.store(), &shop(), &"KEY".parse().unwrap())
            .unwrap()
            .len()
    };
    let newest = || newest_version(world.vault.store(), &shop(), &path("a/key")).unwrap();
    world.delete("a/key", None).await.unwrap();
    assert!(not_found(
        &world.read(&shop(), "a/key", None).await.unwrap_err()
    ));
    assert!(newest().is_none());
    assert_eq!(found(), 0);
    assert!(world.list(&shop(), "", None, None).secrets.is_empty());
    assert_eq!(world.deleted(), [("a/key".into(), Some("KEY".into()))]);

    let back = world.undelete("a/key", None).await.unwrap();
    assert_eq!((back.path, back.versions), (path("a/key"), vec![2, 1]));
    assert_eq!(world.states(), [Live, Live]);
    assert_eq!(world.read(&shop(), "a/key", None).await.unwrap(), b"two");
    assert_eq!(world.read(&shop(), "a/key", Some(1)).await.unwrap(), b"one");
    assert_eq!(newest().unwrap().version, 2);
    assert_eq!(found(), 1);
    let row = world.list(&shop(), "", None, None).secrets.remove(0);
    assert_eq!(row.env.unwrap().as_str(), "KEY");
    assert_eq!(row.description.as_deref(), Some("of the shop"));
    assert!(world.deleted().is_empty());
    let mut entries = world.entries().into_iter();
    let entry = entries.find(|entry| entry.action == "secret.undelete");
    assert_eq!(entry.unwrap().resource.as_deref(), Some("secret/a/key"));
}

#[tokio::test]
async fn one_version_comes_back_alone() {
    let world = World::new().await;
    for value in [b"one", b"two"] {
        world.put(&shop(), "a/key", value).await;
    }
    world.delete("a/key", None).await.unwrap();
    assert_eq!(
        world.undelete("a/key", Some(1)).await.unwrap().versions,
        [1]
    );
    assert_eq!(world.states(), [Deleted, Live]);
    // The newest is still what stands for the secret.
    assert!(world.list(&shop(), "", None, None).secrets.is_empty());
    assert_eq!(world.read(&shop(), "a/key", Some(1)).await.unwrap(), b"one");
    assert_eq!(world.undelete("a/key", None).await.unwrap().versions, [2]);
    assert_eq!(world.states(), [Live, Live]);
}

#[tokio::test]
async fn what_cannot_come_back_is_refused_for_its_reason() {
    let world = World::new().await;
    let undelete = async |version| world.undelete("a/key", version).await.unwrap_err();
    assert!(not_found(&undelete(None).await));
    world.put(&shop(), "a/key", b"one").await;
    world.put(&shop(), "a/key", b"two").await;
    assert!(not_deleted(&undelete(None).await));
    assert!(not_deleted(&undelete(Some(1)).await));
    assert!(not_found(&undelete(Some(3)).await));
    assert!(not_found(&undelete(Some(0)).await));
    world.destroy("a/key", Some(1)).await.unwrap();
    destroyed(&undelete(Some(1)).await, "version 1 of ");
    // One that never was deleted is left beside it.
    assert!(not_deleted(&undelete(None).await));
    world.delete("a/key", Some(2)).await.unwrap();
    world.destroy("a/key", Some(2)).await.unwrap();
    destroyed(&undelete(Some(2)).await, "version 2 of ");
    destroyed(&undelete(None).await, "");
    assert_eq!(world.states(), [Destroyed, Destroyed]);
    assert!(world.deleted().is_empty());
    // Of another namespace there is nothing here.
    world.put(&shop(), "b/key", b"one").await;
    world.delete("b/key", None).await.unwrap();
    let op = SecretUndelete {
        namespace: bank(),
        path: path("b/key"),
        version: None,
    };
    let error = world
        .act(op, |batch| SecretUndelete::run(batch, NOW))
        .await
        .unwrap_err();
    assert!(
        matches!(&error, VaultError::NotFound(found) if *found == path("b/key")),
        "{error}"
    );
}

#[tokio::test]
async fn a_name_that_was_given_up_does_not_come_back() {
    let world = World::new().await;
    let declare = async |value: &[u8]| {
        let mut op = writing(&shop(), "a/key", value);
        op.env = Some("KEY".parse().unwrap());
        world.write(op).await.unwrap();
    };
    let found = || {
        candidates_for_env(world.vault.store(), &shop(), &"KEY".parse().unwrap())
            .unwrap()
            .len()
    };
    declare(b"one").await;
    world.delete("a/key", None).await.unwrap();
    // A newer version, which declares nothing.
    world.put(&shop(), "a/key", b"two").await;
    world.delete("a/key", None).await.unwrap();
    assert_eq!(
        world.undelete("a/key", None).await.unwrap().versions,
        [2, 1]
    );
    assert_eq!(found(), 0);
    // Destroyed, and then written anew.
    declare(b"three").await;
    world.delete("a/key", None).await.unwrap();
    world.destroy("a/key", None).await.unwrap();
    world.put(&shop(), "a/key", b"four").await;
    world.delete("a/key", None).await.unwrap();
    world.undelete("a/key", None).await.unwrap();
    assert_eq!(found(), 0);
}

#[tokio::test]
async fn the_record_says_which_version_ended_or_came_back() {
    let world = World::new().await;
    for value in [b"one", b"two", b"six"] {
        world.put(&shop(), "a/key", value).await;
    }
    world.delete("a/key", Some(1)).await.unwrap();
    world.undelete("a/key", Some(1)).await.unwrap();
    world.destroy("a/key", Some(2)).await.unwrap();
    world.delete("a/key", None).await.unwrap();
    world.undelete("a/key", None).await.unwrap();
    world.destroy("a/key", None).await.unwrap();
    let entries = world.entries();
    let said: Vec<(&str, &str)> = entries
        .iter()
        .filter(|entry| entry.action != "secret.write")
        .filter(|entry| entry.action.starts_with("secret."))
        .map(|entry| (&*entry.action, entry.resource.as_deref().unwrap()))
        .collect();
    assert_eq!(
        said,
        [
            ("secret.delete", "secret/a/key @1"),
            ("secret.undelete", "secret/a/key @1"),
            ("secret.destroy", "secret/a/key @2"),
            ("secret.delete", "secret/a/key"),
            ("secret.undelete", "secret/a/key"),
            ("secret.destroy", "secret/a/key"),
        ]
    );
}
