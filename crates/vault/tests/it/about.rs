//! What is said of a secret, and the dates that the record says once.

use crate::world::{NOW, PASSPHRASE, World, bank, path, shop, writing};
use procura_ledger::Entry;
use procura_types::wire::{SecretField, SecretRow};
use procura_types::{Clock, DeliveryWay, Duration, Timestamp};
use procura_vault::{SecretAbout, SecretListing, SecretSet, VaultError};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

struct At(Timestamp);

impl Clock for At {
    fn now(&self) -> Timestamp {
        self.0
    }
}

impl World {
    async fn set(&self, at: &str, about: SecretAbout) -> Result<SecretRow, VaultError> {
        let op = SecretSet {
            namespace: shop(),
            path: path(at),
            about,
        };
        self.act(op, SecretSet::run).await
    }

    fn due(&self, by: Timestamp) -> Vec<String> {
        let op = SecretListing {
            namespace: shop(),
            prefix: String::new(),
            after: None,
            limit: Some(1),
            due: Some(by),
        };
        let list = SecretListing::run(
            &self.permit(op),
            &self.recorder.directory().snapshot(),
            self.vault.store(),
        )
        .unwrap();
        list.secrets
            .iter()
            .map(|row| row.path.to_string())
            .collect()
    }

    /// What the record says newly when it is looked for dates that are over at `now`.
    async fn reminded(&self, now: Timestamp) -> Vec<Entry> {
        let before = self.entries().len();
        while self.vault.remind_step(&At(now)).await.unwrap() {}
        self.entries().split_off(before)
    }
}

fn dates(expires: Option<Timestamp>, rotate_by: Option<Timestamp>) -> SecretAbout {
    SecretAbout {
        expires,
        rotate_by,
        ..SecretAbout::default()
    }
}

#[tokio::test]
async fn what_is_said_changes_without_a_new_version() {
    let world = World::new().await;
    let mut op = writing(&shop(), "a/key", b"value");
    op.about = SecretAbout {
        description: Some("of the shop".into()),
        tags: Some(
            vec!["b".parse().unwrap(), "a".parse().unwrap()]
                .try_into()
                .unwrap(),
        ),
        owner: Some("Ann Ö".parse().unwrap()),
        expires: Some(NOW.plus(DAY)),
        rotate_by: Some(NOW.plus(DAY / 2)),
        delivery: Some(vec![DeliveryWay::Http].try_into().unwrap()),
        clear: Vec::new(),
    };
    world.write(op).await.unwrap();
    let listed = || world.list(&shop(), "", None, None).secrets.remove(0);
    let text = |row: &SecretRow| serde_json::to_value(row).unwrap();
    let first = text(&listed());
    assert_eq!(first["tags"], serde_json::json!(["a", "b"]));
    assert_eq!(first["owner"], "Ann Ö");
    assert_eq!(first["delivery"], serde_json::json!(["http"]));
    assert_eq!(first["expires"], NOW.plus(DAY).to_string());

    // What is not named stays, in a new version too.
    world.put(&shop(), "a/key", b"again").await;
    let mut second = first.clone();
    second["version"] = 2.into();
    assert_eq!(text(&listed()), second);
    let owner = SecretAbout {
        owner: Some("Bob".parse().unwrap()),
        clear: vec![
            SecretField::Tags,
            SecretField::Expires,
            SecretField::Delivery,
        ],
        ..SecretAbout::default()
    };
    let row = world.set("a/key", owner).await.unwrap();
    assert_eq!(text(&row), text(&listed()));
    assert_eq!((row.version, row.owner.unwrap().as_str()), (2, "Bob"));
    assert!(row.tags.is_empty() && row.expires.is_none() && row.delivery.is_default());
    assert_eq!(row.rotate_by, Some(NOW.plus(DAY / 2)));
    assert_eq!(row.description.as_deref(), Some("of the shop"));
    let entry = world.entries().pop().unwrap();
    assert_eq!(
        (&*entry.action, entry.resource.as_deref()),
        (
            "secret.set",
            Some("secret/a/key tags owner expires:none delivery:env,file,stdin,http")
        )
    );
    assert_eq!(world.read(&shop(), "a/key", None).await.unwrap(), b"again");
}

#[tokio::test]
async fn nothing_is_said_of_what_is_not_there() {
    let world = World::new().await;
    let not_found = async |at: &str| {
        let error = world.set(at, SecretAbout::default()).await.unwrap_err();
        assert!(matches!(&error, VaultError::NotFound(found) if *found == path(at)));
    };
    not_found("a/key").await;
    world.put(&shop(), "a/key", b"value").await;
    world.put(&bank(), "b/key", b"value").await;
    not_found("b/key").await;
    let bad = SecretAbout {
        description: Some("a\nb".into()),
        ..SecretAbout::default()
    };
    let error = world.set("a/key", bad).await.unwrap_err();
    assert!(matches!(error, VaultError::BadDescription), "{error}");
    world.delete("a/key", None).await.unwrap();
    not_found("a/key").await;
}

#[tokio::test]
async fn what_has_expired_is_not_read() {
    let world = World::new().await;
    world.put(&shop(), "a/key", b"one").await;
    world.put(&shop(), "a/key", b"two").await;
    let read = async |version| world.read(&shop(), "a/key", version).await;
    let later = dates(Some(NOW.plus(Duration::from_millis(1))), None);
    world.set("a/key", later).await.unwrap();
    assert_eq!(read(None).await.unwrap(), b"two");
    world.set("a/key", dates(Some(NOW), None)).await.unwrap();
    for version in [None, Some(1), Some(2)] {
        let error = read(version).await.unwrap_err();
        assert!(
            matches!(&error, VaultError::Expired(found) if *found == path("a/key")),
            "{error}"
        );
    }
    // What is not there has not expired either.
    let error = read(Some(3)).await.unwrap_err();
    assert!(matches!(error, VaultError::NotFound(_)), "{error}");
    // A date until which it should be replaced takes nothing away.
    let cleared = SecretAbout {
        clear: vec![SecretField::Expires],
        ..dates(None, Some(NOW))
    };
    world.set("a/key", cleared).await.unwrap();
    assert_eq!(read(None).await.unwrap(), b"two");
}

#[tokio::test]
async fn lists_have_what_is_due() {
    let world = World::new().await;
    for at in ["a", "b", "c", "d"] {
        world.put(&shop(), at, b"value").await;
    }
    world
        .set("b", dates(Some(NOW.plus(DAY)), None))
        .await
        .unwrap();
    world.set("c", dates(None, Some(NOW))).await.unwrap();
    assert_eq!(world.due(NOW.minus(DAY)), Vec::<String>::new());
    assert_eq!(world.due(NOW), ["c"]);
    assert_eq!(world.due(NOW.plus(DAY)), ["b"], "one a page");
    world.delete("b", None).await.unwrap();
    assert_eq!(world.due(NOW.plus(DAY)), ["c"]);
}

#[tokio::test]
async fn each_date_is_recorded_once() {
    let world = World::new().await;
    let (soon, late) = (NOW.plus(DAY), NOW.plus(DAY * 2));
    for at in ["a", "b", "c"] {
        world.put(&shop(), at, b"value").await;
    }
    world.set("a", dates(Some(late), Some(soon))).await.unwrap();
    world.set("b", dates(Some(soon), Some(soon))).await.unwrap();
    assert!(world.reminded(NOW).await.is_empty());
    let said = |entries: Vec<Entry>| -> Vec<String> {
        for entry in &entries {
            assert_eq!((&*entry.action, entry.actor), ("secret.due", None));
            assert_eq!(entry.namespace, Some(shop()));
        }
        entries
            .into_iter()
            .map(|entry| entry.resource.unwrap())
            .collect()
    };
    assert_eq!(
        said(world.reminded(soon).await),
        [
            format!("secret/a rotate_by:{soon}"),
            format!("secret/b expires:{soon} rotate_by:{soon}"),
        ]
    );
    assert!(world.reminded(soon).await.is_empty());
    // A new version and another word change nothing of that.
    let mut op = writing(&shop(), "a", b"again");
    op.about.owner = Some("Ann".parse().unwrap());
    world.write(op).await.unwrap();
    assert!(world.reminded(soon).await.is_empty());
    assert_eq!(
        said(world.reminded(late).await),
        [format!("secret/a expires:{late}")]
    );
    // A date that is set anew is.
    world.set("b", dates(None, Some(late))).await.unwrap();
    assert_eq!(
        said(world.reminded(late).await),
        [format!("secret/b rotate_by:{late}")]
    );
    // One that was taken back is not, nor one of what is deleted, before it is back.
    world.set("c", dates(Some(soon), None)).await.unwrap();
    let cleared = SecretAbout {
        clear: vec![SecretField::Expires],
        ..SecretAbout::default()
    };
    world.set("c", cleared).await.unwrap();
    assert!(world.reminded(late).await.is_empty());
    world.set("c", dates(Some(soon), None)).await.unwrap();
    world.delete("c", None).await.unwrap();
    assert!(world.reminded(late).await.is_empty());
    world.undelete("c", None).await.unwrap();
    assert_eq!(
        said(world.reminded(late).await),
        [format!("secret/c expires:{soon}")]
    );
}

#[tokio::test]
async fn many_dates_at_once_are_all_recorded() {
    let world = World::new().await;
    for number in 0..130 {
        let mut op = writing(&shop(), &format!("s{number:03}"), b"v");
        op.about.rotate_by = Some(NOW);
        world.write(op).await.unwrap();
    }
    assert_eq!(world.reminded(NOW).await.len(), 130);
    assert!(world.reminded(NOW).await.is_empty());
}

#[tokio::test]
async fn what_was_told_stays_told_after_a_restart() {
    let world = World::new().await;
    let (soon, late) = (NOW.plus(DAY), NOW.plus(DAY * 2));
    for at in ["a", "b"] {
        world.put(&shop(), at, b"value").await;
    }
    world.set("a", dates(Some(late), Some(soon))).await.unwrap();
    world.set("b", dates(None, Some(late))).await.unwrap();
    assert_eq!(world.reminded(soon).await.len(), 1);
    let world = world.close().open(PASSPHRASE).await.unwrap();
    assert!(world.reminded(soon).await.is_empty());
    // What came due while nobody ran is told once, and no more after that.
    let told: Vec<_> = world.reminded(late).await;
    let told: Vec<_> = told
        .iter()
        .filter_map(|entry| entry.resource.clone())
        .collect();
    assert_eq!(
        told,
        [
            format!("secret/a expires:{late}"),
            format!("secret/b rotate_by:{late}"),
        ]
    );
    let world = world.close().open(PASSPHRASE).await.unwrap();
    assert!(world.reminded(late.plus(DAY * 400)).await.is_empty());
}

#[tokio::test]
async fn two_that_remind_at_once_say_it_once() {
    let world = World::new().await;
    for number in 0..200 {
        let mut op = writing(&shop(), &format!("s{number:03}"), b"v");
        op.about.expires = Some(NOW);
        world.write(op).await.unwrap();
    }
    let before = world.entries().len();
    let remind = async || while world.vault.remind_step(&At(NOW)).await.unwrap() {};
    tokio::join!(remind(), remind(), remind());
    let told = world.entries().split_off(before);
    let mut told: Vec<_> = told.iter().map(|entry| entry.resource.clone()).collect();
    assert_eq!(told.len(), 200);
    told.dedup();
    assert_eq!(told.len(), 200);
}
