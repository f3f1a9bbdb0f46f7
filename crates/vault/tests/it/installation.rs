//! `installation.json`: what opens it, what does not, and what the error is.

use crate::world::{Closed, PASSPHRASE, World, create_store, found, open_store, shop};
use procura_store::OpenError;
use procura_types::InstallationId;
use procura_vault::{Installation, SealError};
use serde_json::Value;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

fn edit(home: &Path, change: impl Fn(&mut Value)) {
    let path = home.join("installation.json");
    let mut value: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    change(&mut value);
    std::fs::write(&path, serde_json::to_vec(&value).unwrap()).unwrap();
}

fn flip(value: &mut Value) {
    let text = value.as_str().unwrap();
    let middle = text.len() / 2;
    let other = if &text[middle..=middle] == "x" {
        "y"
    } else {
        "x"
    };
    *value = format!("{}{other}{}", &text[..middle], &text[middle + 1..]).into();
}

#[tokio::test]
async fn the_right_passphrase_opens_and_a_wrong_one_says_so() {
    let world = World::new().await;
    world.put(&shop(), "a/key", b"value").await;
    let place = world.close();
    let store = place.store().await;
    for wrong in [
        "correct horse batterz",
        "",
        "CORRECT HORSE BATTERY",
        "correct horse battery ",
    ] {
        let error = place.unseal(store.clone(), wrong).err().unwrap();
        assert!(matches!(error, SealError::WrongPassphrase), "{error}");
        assert!(store.is_sealed());
    }
    drop(store);
    let world = place.open(PASSPHRASE).await.unwrap();
    assert_eq!(world.read(&shop(), "a/key", None).await.unwrap(), b"value");
}

#[tokio::test]
async fn a_weak_passphrase_makes_no_installation() {
    let home = tempfile::tempdir().unwrap();
    let id = InstallationId::from_bytes([1; 16]);
    let store = create_store(home.path(), &id);
    // Characters count, not bytes.
    for weak in ["", "elevenchars", "ääääääääääö"] {
        let error = found(home.path(), store.clone(), id, weak).err().unwrap();
        assert!(matches!(error, SealError::WeakPassphrase), "{error}");
    }
    assert!(store.is_sealed());
    assert!(!home.path().join("installation.json").exists());
    found(home.path(), store, id, "twelve chars").unwrap();
}

#[tokio::test]
async fn the_file_is_its_owners_and_holds_nothing_secret() {
    let place = World::new().await.close();
    let path = place.home.path().join("installation.json");
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert!(!place.home.path().join("installation.json.new").exists());
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(
        !text.contains(PASSPHRASE),
        "the passphrase stands in the file"
    );
    let installation = Installation::read(place.home.path()).unwrap();
    assert_eq!((installation.format, installation.root_epoch), (2, 1));
}

#[tokio::test]
async fn a_home_without_the_file_is_not_initialised() {
    let home = tempfile::tempdir().unwrap();
    let error = Installation::read(home.path()).unwrap_err();
    assert!(matches!(error, SealError::NotInitialised));
}

#[tokio::test]
async fn a_file_of_another_format_says_which() {
    let place = World::new().await.close();
    edit(place.home.path(), |file| {
        file["format"] = 3.into();
        file["what_is_new"] = true.into();
    });
    let error = Installation::read(place.home.path()).unwrap_err();
    assert!(
        matches!(error, SealError::NewerFormat { found: 3, known: 2 }),
        "{error}"
    );
    edit(place.home.path(), |file| file["format"] = 0.into());
    let error = Installation::read(place.home.path()).unwrap_err();
    assert!(
        matches!(&error, SealError::Damaged(what) if what == "there is no format 0"),
        "{error}"
    );
}

#[tokio::test]
async fn a_damaged_file_is_refused() {
    let place = World::new().await.close();
    let path = place.home.path().join("installation.json");
    let whole = std::fs::read(&path).unwrap();
    for damaged in [
        &b""[..],
        b"{",
        b"[]",
        b"\xff\xfe",
        &whole[..whole.len() / 2],
    ] {
        std::fs::write(&path, damaged).unwrap();
        let error = Installation::read(place.home.path()).unwrap_err();
        assert!(matches!(error, SealError::Damaged(_)), "{error}");
    }
    std::fs::write(&path, &whole).unwrap();
    edit(place.home.path(), |file| file["surprise"] = 1.into());
    let error = Installation::read(place.home.path()).unwrap_err();
    assert!(matches!(error, SealError::Damaged(_)), "{error}");
}

/// Unseals after an edit of the file.
async fn after(place: &Closed, change: impl Fn(&mut Value)) -> SealError {
    let path = place.home.path().join("installation.json");
    let whole = std::fs::read(&path).unwrap();
    edit(place.home.path(), change);
    let store = place.store().await;
    let error = place.unseal(store.clone(), PASSPHRASE).err().unwrap();
    assert!(store.is_sealed());
    std::fs::write(&path, whole).unwrap();
    error
}

#[tokio::test]
async fn every_edited_field_is_found() {
    let place = World::new().await.close();
    let error = after(&place, |file| flip(&mut file["sources"][0]["root"])).await;
    assert!(matches!(error, SealError::WrongPassphrase), "root: {error}");
    let error = after(&place, |file| flip(&mut file["sentinel"])).await;
    assert!(matches!(error, SealError::Damaged(_)), "sentinel: {error}");
    let error = after(&place, |file| file["root_epoch"] = 2.into()).await;
    assert!(matches!(error, SealError::Damaged(_)), "epoch: {error}");
    // The identity is bound into every envelope of the file.
    let other = InstallationId::from_bytes([8; 16]).to_string();
    let error = after(&place, |file| file["id"] = other.clone().into()).await;
    assert!(matches!(error, SealError::WrongPassphrase), "id: {error}");
    // What clients pin is the vault's own, or there is no vault.
    let error = after(&place, |file| flip(&mut file["ledger_vkey"])).await;
    assert!(
        matches!(&error, SealError::Damaged(what) if what.starts_with("ledger_vkey")),
        "ledger_vkey: {error}"
    );
    let error = after(&place, |file| flip(&mut file["server_key"]["x"])).await;
    assert!(
        matches!(&error, SealError::Damaged(what) if what.starts_with("server_key")),
        "server_key: {error}"
    );
    // Parameters that would make guessing cheap are no parameters.
    let error = after(&place, |file| {
        file["sources"][0]["keeper"]["argon2"]["memory_kib"] = 1024.into()
    })
    .await;
    assert!(
        matches!(error, SealError::Kdf(_) | SealError::Damaged(_)),
        "argon2: {error}"
    );
}

#[tokio::test]
async fn the_database_of_another_installation_is_refused() {
    let (one, two) = (World::new().await.close(), tempfile::tempdir().unwrap());
    // Made with another id, the engine refuses it before any key is asked for.
    let other = InstallationId::from_bytes([8; 16]);
    drop(create_store(two.path(), &other));
    let opened = open_store(two.path(), &one.id);
    assert!(
        matches!(opened.err().unwrap(), OpenError::OtherInstallation { expected, found } if expected == one.id && found == other)
    );
}

#[tokio::test]
async fn the_database_of_another_vault_with_the_same_id_does_not_open() {
    let (one, two) = (World::new().await.close(), World::new().await.close());
    // Same id and passphrase, other keys.
    std::fs::copy(
        two.home.path().join("installation.json"),
        one.home.path().join("installation.json"),
    )
    .unwrap();
    let store = one.store().await;
    let error = one.unseal(store.clone(), PASSPHRASE).err().unwrap();
    assert!(matches!(error, SealError::KeyringMismatch), "{error}");
    assert!(store.is_sealed());
}

#[tokio::test]
async fn an_empty_database_in_place_of_the_right_one_is_refused() {
    let place = World::new().await.close();
    drop(place.store().await);
    for entry in std::fs::read_dir(place.home.path()).unwrap() {
        let entry = entry.unwrap();
        if entry.file_name().to_string_lossy().starts_with("db") {
            std::fs::remove_file(entry.path()).unwrap();
        }
    }
    let store = create_store(place.home.path(), &place.id);
    let error = place.unseal(store, PASSPHRASE).err().unwrap();
    assert!(matches!(error, SealError::KeyringMismatch), "{error}");
}
