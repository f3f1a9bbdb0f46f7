//! Many secrets at once: all or none, seen first, and out again encrypted.

use crate::world::{World, origin, path, shop, writing};
use procura_crypto::age::{Identity, Recipient, decrypt};
use procura_record::RecordError;
use procura_store::CommitError;
use procura_types::wire::ImportState::{Changed, New, Refused, Same};
use procura_types::wire::{ExportDocument, ImportState, SecretImported};
use procura_types::{Secret, SecretKind, Timestamp};
use procura_vault::{Incoming, MAX_AT_ONCE, SecretAbout, SecretExport, SecretImport, VaultError};

fn incoming(at: &str, value: &[u8]) -> Incoming {
    Incoming {
        path: path(at),
        value: Secret::new(value.to_vec()),
        expect_version: None,
        env: None,
        kind: None,
        about: SecretAbout::default(),
    }
}

fn import(secrets: Vec<Incoming>) -> SecretImport {
    SecretImport::new(shop(), secrets, false).unwrap()
}

impl World {
    async fn import(&self, secrets: Vec<Incoming>) -> Result<SecretImported, VaultError> {
        self.act(import(secrets), |batch| {
            SecretImport::run(&self.vault, batch, self.now())
        })
        .await
    }

    async fn try_out(&self, secrets: Vec<Incoming>) -> SecretImported {
        let op = SecretImport::new(shop(), secrets, true).unwrap();
        let directory = self.recorder.directory().snapshot();
        let found = op.look(&directory, self.vault.store()).unwrap();
        let words = found.words(&op);
        let recorded = self
            .recorder
            .record_in_parts(self.permit(op), origin(), words)
            .await
            .unwrap();
        SecretImport::preview(&recorded, &self.vault, &found).unwrap()
    }
}

fn states(imported: &SecretImported) -> Vec<(&str, ImportState, u64)> {
    let rows = imported.secrets.iter();
    rows.map(|row| (row.path.as_str(), row.state, row.latest))
        .collect()
}

#[tokio::test]
async fn a_dry_run_says_what_would_become_of_each_and_the_record_what_was_compared() {
    let world = World::new().await;
    for (at, value) in [("a/same", "one"), ("a/other", "two"), ("a/longer", "three")] {
        world.put(&shop(), at, value.as_bytes()).await;
    }
    world.put(&shop(), "a/gone", b"four").await;
    world.delete("a/gone", None).await.unwrap();
    let mut said = incoming("a/said", b"five");
    world.put(&shop(), "a/said", b"five").await;
    said.about.description = Some("new words".to_owned());
    let mut bad = incoming("a/bad", b"{");
    bad.kind = Some(SecretKind::Json);
    let mut stale = incoming("a/stale", b"x");
    stale.expect_version = Some(7);
    let preview = world
        .try_out(vec![
            incoming("a/same", b"one"),
            incoming("a/other", b"TWO"),
            incoming("a/longer", b"3"),
            incoming("a/new", b"six"),
            incoming("a/gone", b"four"),
            said,
            bad,
            stale,
        ])
        .await;
    assert_eq!(
        states(&preview),
        [
            ("a/bad", Refused, 0),
            ("a/gone", New, 1),
            ("a/longer", Changed, 1),
            ("a/new", New, 0),
            ("a/other", Changed, 1),
            ("a/said", Changed, 1),
            ("a/same", Same, 1),
            ("a/stale", Refused, 0),
        ]
    );
    assert_eq!(preview.written, 0);
    let reasons: Vec<_> = preview
        .secrets
        .iter()
        .filter_map(|row| row.reason.as_deref())
        .collect();
    assert_eq!(
        reasons,
        [
            "the value is not of the kind json: it is no JSON at line 1, column 1",
            "the latest version is 0, not 7"
        ]
    );
    let entries = world.entries();
    let last = entries.last().unwrap();
    assert_eq!(
        (last.action.as_ref(), last.resource.as_deref()),
        (
            "secret.import",
            Some("namespace/shop dry_run a/other@1 a/said@1 a/same@1")
        )
    );
    assert!(world.read(&shop(), "a/new", None).await.is_err());
}

#[tokio::test]
async fn all_are_written_or_none() {
    let world = World::new().await;
    world.put(&shop(), "a/there", b"old").await;
    let mut all: Vec<Incoming> = (0..50)
        .map(|number| {
            incoming(
                &format!("a/{number:02}"),
                format!("value {number}").as_bytes(),
            )
        })
        .collect();
    all.push(incoming("a/there", b"new"));
    let mut bad = incoming("z/last", b"{");
    bad.kind = Some(SecretKind::Json);
    let imports = || {
        let entries = world.entries();
        entries
            .iter()
            .filter(|entry| entry.action == "secret.import")
            .count()
    };
    let mut refused: Vec<Incoming> = Vec::new();
    std::mem::swap(&mut refused, &mut all);
    refused.push(bad);
    let error = world.import(refused).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "z/last: the value is not of the kind json: it is no JSON at line 1, column 1"
    );
    assert_eq!(imports(), 0);
    assert_eq!(world.read(&shop(), "a/there", None).await.unwrap(), b"old");
    assert!(world.read(&shop(), "a/00", None).await.is_err());

    let mut all: Vec<Incoming> = (0..50)
        .map(|number| {
            incoming(
                &format!("a/{number:02}"),
                format!("value {number}").as_bytes(),
            )
        })
        .collect();
    all.push(incoming("a/there", b"new"));
    let imported = world.import(all).await.unwrap();
    assert_eq!(imported.written, 51);
    assert_eq!(states(&imported).last(), Some(&("a/there", Changed, 1)));
    assert_eq!(
        world.read(&shop(), "a/49", None).await.unwrap(),
        b"value 49"
    );
    assert_eq!(world.read(&shop(), "a/there", None).await.unwrap(), b"new");
    assert_eq!(imports(), 1);
}

#[tokio::test]
async fn an_import_holds_to_what_was_expected_and_takes_each_path_once() {
    let world = World::new().await;
    let mut none = incoming("a/key", b"x");
    none.expect_version = Some(0);
    world.import(vec![none]).await.unwrap();
    let mut none = incoming("a/key", b"y");
    none.expect_version = Some(0);
    let error = world
        .import(vec![incoming("a/a", b"z"), none])
        .await
        .unwrap_err();
    assert!(
        matches!(&error, VaultError::At { path: at, source }
            if *at == path("a/key")
                && matches!(**source, VaultError::VersionMismatch { expected: 0, latest: 1 })),
        "{error}"
    );
    assert!(world.read(&shop(), "a/a", None).await.is_err());
    let new = |secrets| SecretImport::new(shop(), secrets, false).err().unwrap();
    assert!(matches!(new(Vec::new()), VaultError::TooMany));
    let many = (0..=MAX_AT_ONCE).map(|number| incoming(&format!("n/{number}"), b""));
    assert!(matches!(new(many.collect()), VaultError::TooMany));
    let twice = vec![
        incoming("a/b", b"1"),
        incoming("a/a", b"2"),
        incoming("a/b", b"3"),
    ];
    assert!(matches!(new(twice), VaultError::Twice(at) if at == path("a/b")));
}

#[tokio::test]
async fn ten_thousand_are_one_commit_and_the_record_names_each() {
    let world = World::new().await;
    let before = world.vault.store().snapshot().unwrap().seq();
    let secrets = (0..MAX_AT_ONCE)
        .map(|number| {
            let mut one = incoming(
                &format!("many/{number:05}"),
                format!("v{number}").as_bytes(),
            );
            one.env = Some(format!("MANY_{number}").parse().unwrap());
            one
        })
        .collect();
    let imported = world.import(secrets).await.unwrap();
    assert_eq!(imported.written, MAX_AT_ONCE);
    let after = world.vault.store().snapshot().unwrap().seq();
    assert_eq!(after.get(), before.get() + 1);
    let entries = world.entries();
    let words: Vec<&str> = entries
        .iter()
        .filter(|entry| entry.action == "secret.import")
        .flat_map(|entry| entry.resource.as_deref().unwrap().split(' ').skip(1))
        .collect();
    assert_eq!(words.len(), MAX_AT_ONCE);
    assert_eq!((words[0], words[9999]), ("many/00000@1", "many/09999@1"));
    assert_eq!(
        world.read(&shop(), "many/07777", None).await.unwrap(),
        b"v7777"
    );
}

#[tokio::test]
async fn what_is_too_large_for_one_commit_is_refused_whole() {
    let world = World::new().await;
    let big = vec![b'x'; 1024 * 1024];
    let secrets = (0..13).map(|number| incoming(&format!("big/{number}"), &big));
    let permit = world.permit(import(secrets.collect()));
    let refused = world
        .recorder
        .change(permit, &origin(), |batch| {
            SecretImport::run(&world.vault, batch, world.now())
        })
        .await;
    assert!(
        matches!(
            refused,
            Err(procura_record::ChangeError::Record(RecordError::Commit(
                CommitError::TooLarge
            )))
        ),
        "too large"
    );
    assert!(world.read(&shop(), "big/0", None).await.is_err());
}

async fn export(world: &World, prefix: &str, to: &[&Recipient], now: Timestamp) -> Vec<u8> {
    let op = SecretExport {
        namespace: shop(),
        prefix: prefix.to_owned(),
        recipients: to.iter().map(|one| (*one).clone()).collect(),
    };
    let permit = world.permit(op);
    let leaving = permit.op().look(world.vault.store(), now).unwrap();
    let words = leaving.words(permit.op());
    let recorded = world
        .recorder
        .record_in_parts(permit, origin(), words)
        .await
        .unwrap();
    world.vault.export(&recorded, leaving, now).unwrap()
}

#[tokio::test]
async fn an_export_opens_for_its_recipients_alone_and_comes_in_again() {
    let world = World::new().await;
    let value = "<a href=\"x\">&amp; 'q'</a>\r\n\0\u{e9}".as_bytes();
    let mut full = writing(&shop(), "out/full", value);
    full.env = Some("FULL".parse().unwrap());
    full.about.tags = Some(serde_json::from_str(r#"["b","a"]"#).unwrap());
    full.about.description = Some("<b>words</b>".to_owned());
    full.about.delivery = Some(serde_json::from_str(r#"["env"]"#).unwrap());
    full.about.expires = Some(world.pass(10_000));
    world.write(full).await.unwrap();
    world.put(&shop(), "out/old", b"one").await;
    world.put(&shop(), "out/old", b"two").await;
    world.put(&shop(), "out/deleted", b"x").await;
    world.delete("out/deleted", None).await.unwrap();
    world.put(&shop(), "outside", b"x").await;
    let mut expired = writing(&shop(), "out/expired", b"x");
    expired.about.expires = Some(crate::world::NOW);
    world.write(expired).await.unwrap();

    let (mine, other) = (identity(), identity());
    let now = crate::world::NOW;
    let file = export(&world, "out/", &[&mine.recipient().unwrap()], now).await;
    assert!(!file.windows(5).any(|window| window == b"words"));
    assert!(decrypt(&[other], &file).is_err());
    let open = decrypt(&[mine], &file).unwrap();
    let document: ExportDocument = serde_json::from_slice(open.expose()).unwrap();
    assert_eq!(
        (document.format.as_str(), document.namespace.as_str()),
        ("procura-export-1", "shop")
    );
    let paths: Vec<&str> = document
        .secrets
        .iter()
        .map(|one| one.path.as_str())
        .collect();
    assert_eq!(paths, ["out/full", "out/old"]);
    let full = &document.secrets[0];
    assert_eq!(full.value_b64.decode().unwrap().expose(), value);
    assert_eq!(full.env.as_ref().unwrap().as_str(), "FULL");
    assert_eq!(full.description.as_deref(), Some("<b>words</b>"));
    let entries = world.entries();
    let last = entries.last().unwrap();
    assert_eq!(last.action, "secret.export");
    let words = last.resource.as_deref().unwrap();
    assert!(words.starts_with("namespace/shop to:age1"), "{words}");
    assert!(words.ends_with(" out/full@1 out/old@2"), "{words}");

    // Into another home, byte for byte.
    let elsewhere = World::new().await;
    let secrets = document.secrets.into_iter().map(|one| Incoming {
        value: one.value_b64.decode().unwrap(),
        path: one.path,
        expect_version: Some(0),
        env: one.env,
        kind: one.kind,
        about: SecretAbout {
            description: one.description,
            tags: one.tags,
            owner: one.owner,
            expires: one.expires,
            rotate_by: one.rotate_by,
            delivery: one.delivery,
            clear: Vec::new(),
        },
    });
    elsewhere.import(secrets.collect()).await.unwrap();
    assert_eq!(
        elsewhere.read(&shop(), "out/full", None).await.unwrap(),
        value
    );
    let row = |world: &World| {
        let mut list = world.list(&shop(), "out/full", None, None);
        serde_json::to_value(list.secrets.remove(0)).unwrap()
    };
    assert_eq!(row(&world), row(&elsewhere));
}

/// A fresh key of age.
fn identity() -> Identity {
    let made = std::process::Command::new("age-keygen").output().unwrap();
    assert!(made.status.success());
    Identity::read(&made.stdout, None).unwrap().remove(0)
}

#[tokio::test]
async fn an_export_is_bounded_and_what_one_holds_fits_into_an_import() {
    let world = World::new().await;
    let big = vec![b'x'; 1024 * 1024];
    let secrets = (0..6).map(|number| incoming(&format!("big/{number}"), &big));
    world.import(secrets.collect()).await.unwrap();
    let op = |prefix: &str| SecretExport {
        namespace: shop(),
        prefix: prefix.to_owned(),
        recipients: vec![identity().recipient().unwrap()],
    };
    let look = |op: &SecretExport| op.look(world.vault.store(), world.now());
    assert_eq!(look(&op("big/")).unwrap().count(), 6);
    world.put(&shop(), "big/more", b"x").await;
    let refused = look(&op("big/")).err().unwrap();
    assert!(matches!(refused, VaultError::TooMuch), "{refused}");
    assert_eq!(look(&op("big/m")).unwrap().count(), 1);
}
