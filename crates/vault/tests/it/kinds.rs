//! Kinds of secrets: what a value has to be, and that a path keeps its kind.

use crate::world::{World, shop, writing};
use procura_types::SecretKind;
use procura_vault::VaultError;

impl World {
    async fn put_as(
        &self,
        at: &str,
        kind: Option<SecretKind>,
        value: &[u8],
    ) -> Result<u64, VaultError> {
        let mut op = writing(&shop(), at, value);
        op.kind = kind;
        self.write(op).await.map(|written| written.version)
    }

    fn kind(&self, at: &str) -> SecretKind {
        self.history(at, None, None).unwrap().kind
    }
}

fn not_of(error: &VaultError) -> SecretKind {
    match error {
        VaultError::NotOfKind { kind, .. } => *kind,
        other => panic!("another failure: {other}"),
    }
}

#[tokio::test]
async fn a_value_is_what_its_kind_says_and_kept_byte_for_byte() {
    let world = World::new().await;
    let json = b" {\"b\": 1e2,\r\n \"a\": [] , \"a\": 0}\n";
    assert_eq!(
        world
            .put_as("a/json", Some(SecretKind::Json), json)
            .await
            .unwrap(),
        1
    );
    assert_eq!(world.read(&shop(), "a/json", None).await.unwrap(), json);
    assert_eq!(world.kind("a/json"), SecretKind::Json);
    // A version that says nothing is of the same kind, and checked as such.
    let error = world.put_as("a/json", None, b"{").await.unwrap_err();
    assert_eq!(not_of(&error), SecretKind::Json);
    assert!(!error.to_string().contains('{'), "{error}");
    assert_eq!(world.put_as("a/json", None, b"2").await.unwrap(), 2);
    let row = world.list(&shop(), "a/json", None, None).secrets.remove(0);
    assert_eq!(row.kind, SecretKind::Json);
    // Without a word it is any bytes.
    world.put_as("a/any", None, b"{\xff").await.unwrap();
    assert_eq!(world.kind("a/any"), SecretKind::KeyValue);
    for kind in [
        SecretKind::Json,
        SecretKind::Certificate,
        SecretKind::SshKey,
        SecretKind::ApiKey,
    ] {
        let error = world.put_as("a/new", Some(kind), b"\0 canary").await;
        let error = error.unwrap_err();
        assert_eq!(not_of(&error), kind);
        assert!(!error.to_string().contains("canary"), "{error}");
    }
    assert!(matches!(
        world.history("a/new", None, None).unwrap_err(),
        VaultError::NotFound(_)
    ));
}

#[tokio::test]
async fn a_path_keeps_its_kind_as_long_as_a_version_is_left() {
    let world = World::new().await;
    world
        .put_as("a/key", Some(SecretKind::ApiKey), b"sk-1")
        .await
        .unwrap();
    let other = async || {
        let written = world.put_as("a/key", Some(SecretKind::Json), b"{}").await;
        match written.unwrap_err() {
            VaultError::OtherKind { path, kind } => (path.to_string(), kind),
            error => panic!("another failure: {error}"),
        }
    };
    let kept = ("a/key".to_owned(), SecretKind::ApiKey);
    assert_eq!(other().await, kept);
    world.put_as("a/key", None, b"sk-2").await.unwrap();
    // What is deleted may come back.
    world.delete("a/key", Some(1)).await.unwrap();
    world.destroy("a/key", Some(2)).await.unwrap();
    assert_eq!(other().await, kept);
    world.destroy("a/key", None).await.unwrap();
    let written = world.put_as("a/key", Some(SecretKind::Json), b"{}").await;
    assert_eq!(written.unwrap(), 3);
    assert_eq!(world.kind("a/key"), SecretKind::Json);
}

#[tokio::test]
async fn what_ssh_keygen_makes_is_an_ssh_key() {
    let world = World::new().await;
    let dir = tempfile::tempdir().unwrap();
    for (at, (of, passphrase)) in [
        ("ed25519", ""),
        ("ed25519", "a passphrase"),
        ("ecdsa", ""),
        ("rsa", "a passphrase"),
        ("rsa", ""),
    ]
    .into_iter()
    .enumerate()
    {
        let file = dir.path().join(format!("key{at}"));
        let made = std::process::Command::new("ssh-keygen")
            .args(["-q", "-t", of, "-a", "1", "-N", passphrase, "-f"])
            .arg(&file)
            .status();
        assert!(made.unwrap().success());
        let key = std::fs::read(&file).unwrap();
        let put = world.put_as("a/ssh", Some(SecretKind::SshKey), &key).await;
        put.unwrap();
        assert_eq!(world.read(&shop(), "a/ssh", None).await.unwrap(), key);
        let public = std::fs::read(file.with_extension("pub")).unwrap();
        let error = world.put_as("a/ssh", None, &public).await.unwrap_err();
        assert_eq!(not_of(&error), SecretKind::SshKey);
    }
}
