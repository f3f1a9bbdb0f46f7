//! Versions of a secret from the first to the last byte of it.

use crate::world::{NOW, PASSPHRASE, World, holds, origin, path, shop, writing};
use procura_store::{Blob, Kind, Table};
use procura_types::wire::VersionState::{Deleted, Destroyed, Live};
use procura_vault::{
    MAX_DESCRIPTION, MAX_VALUE, Readable, SecretRead, VaultError, Wanted, candidates_for_env,
};

const BODIES: Table<(String, String, u64), Blob> = Table::new("secret-body", Kind::Clear);

fn not_found(error: &VaultError, at: &str) -> bool {
    matches!(error, VaultError::NotFound(found) if *found == path(at))
}

#[tokio::test]
async fn versions_count_up_and_stay_readable() {
    let world = World::new().await;
    for (number, value) in [&b"one"[..], b"two", b"three"].into_iter().enumerate() {
        assert_eq!(world.put(&shop(), "a/key", value).await, number as u64 + 1);
    }
    let read = async |version| world.read(&shop(), "a/key", version).await;
    assert_eq!(read(None).await.unwrap(), b"three");
    assert_eq!(read(Some(1)).await.unwrap(), b"one");
    assert_eq!(read(Some(2)).await.unwrap(), b"two");
    assert_eq!(read(Some(3)).await.unwrap(), b"three");
    for version in [0, 4, u64::MAX] {
        assert!(not_found(&read(Some(version)).await.unwrap_err(), "a/key"));
    }
    let world = world.close().open(PASSPHRASE).await.unwrap();
    assert_eq!(world.read(&shop(), "a/key", Some(1)).await.unwrap(), b"one");
}

#[tokio::test]
async fn the_version_that_was_looked_up_is_the_one_that_is_released() {
    let world = World::new().await;
    let at = path("a/key");
    world.put(&shop(), "a/key", b"one").await;
    let look_up = |version| {
        let wanted = Wanted {
            namespace: &shop(),
            path: &at,
            version,
            delivery: None,
        };
        world.vault.readable(wanted, NOW).unwrap().unwrap()
    };
    let record = async |version, readable: &Readable| {
        let op = SecretRead {
            namespace: shop(),
            path: at.clone(),
            version,
            at: None,
        };
        let recorded = world
            .recorder
            .record(world.permit(op), origin(), readable.details())
            .await
            .unwrap();
        (recorded, world.entries().last().unwrap().resource.clone())
    };
    // Nothing between.
    let readable = look_up(None);
    let (recorded, said) = record(None, &readable).await;
    let released = world.vault.release_one(&recorded, readable, NOW).unwrap();
    assert_eq!(
        (released.version, &released.value.expose()[..]),
        (1, &b"one"[..])
    );
    assert_eq!(said.as_deref(), Some("secret/a/key @1"));
    // A newer version before the intent, and another after it.
    let readable = look_up(None);
    world.put(&shop(), "a/key", b"two").await;
    let (recorded, said) = record(None, &readable).await;
    world.put(&shop(), "a/key", b"three").await;
    let released = world.vault.release_one(&recorded, readable, NOW).unwrap();
    assert_eq!(
        (released.version, &released.value.expose()[..]),
        (1, &b"one"[..])
    );
    assert_eq!(said.as_deref(), Some("secret/a/key @1"));
    // An older one that was asked for.
    let readable = look_up(Some(2));
    let (recorded, said) = record(Some(2), &readable).await;
    let released = world.vault.release_one(&recorded, readable, NOW).unwrap();
    assert_eq!(
        (released.version, &released.value.expose()[..]),
        (2, &b"two"[..])
    );
    assert_eq!(said.as_deref(), Some("secret/a/key @2"));
    // One that is deleted meanwhile is not replaced by another.
    let readable = look_up(None);
    let (recorded, said) = record(None, &readable).await;
    world.put(&shop(), "a/key", b"four").await;
    world.delete("a/key", Some(3)).await.unwrap();
    let error = world
        .vault
        .release_one(&recorded, readable, NOW)
        .err()
        .unwrap();
    assert!(not_found(&error, "a/key"), "{error}");
    assert_eq!(said.as_deref(), Some("secret/a/key @3"));
}

#[tokio::test]
async fn any_bytes_of_any_length_to_one_mebibyte() {
    let world = World::new().await;
    let every: Vec<u8> = (0..=255).collect();
    let edge: Vec<u8> = every.iter().copied().cycle().take(MAX_VALUE).collect();
    for (at, value) in [
        ("empty", vec![]),
        ("nul", vec![0]),
        ("binary", every),
        ("not-utf8", vec![0xff, 0xfe, b'\n', 0]),
        ("chunk", vec![7; 64 * 1024]),
        ("chunk-and-one", vec![8; 64 * 1024 + 1]),
        ("edge", edge),
    ] {
        world.put(&shop(), at, &value).await;
        assert!(
            world.read(&shop(), at, None).await.unwrap() == value,
            "{at}"
        );
        let size = world.history(at, None, None).unwrap().versions[0].size;
        assert_eq!(size, value.len() as u64, "{at}");
    }
    let error = world
        .write(writing(&shop(), "over", &vec![1; MAX_VALUE + 1]))
        .await
        .unwrap_err();
    assert!(matches!(error, VaultError::TooLarge), "{error}");
    let error = world.read(&shop(), "over", None).await.unwrap_err();
    assert!(not_found(&error, "over"), "{error}");
}

#[tokio::test]
async fn compare_and_set() {
    let world = World::new().await;
    let write = async |expected| {
        let mut op = writing(&shop(), "a/key", b"value");
        op.expect_version = Some(expected);
        world.write(op).await
    };
    let mismatch = |error: VaultError| match error {
        VaultError::VersionMismatch { expected, latest } => (expected, latest),
        other => panic!("another failure: {other}"),
    };
    assert_eq!(mismatch(write(1).await.unwrap_err()), (1, 0));
    assert_eq!(write(0).await.unwrap().version, 1);
    assert_eq!(mismatch(write(0).await.unwrap_err()), (0, 1));
    assert_eq!(write(1).await.unwrap().version, 2);
    assert_eq!(mismatch(write(1).await.unwrap_err()), (1, 2));
    // Deleted and destroyed versions keep their numbers.
    world.destroy("a/key", None).await.unwrap();
    assert_eq!(mismatch(write(0).await.unwrap_err()), (0, 2));
    assert_eq!(write(2).await.unwrap().version, 3);
    assert_eq!(world.read(&shop(), "a/key", None).await.unwrap(), b"value");
}

#[tokio::test]
async fn history_is_newest_first_in_pages() {
    let world = World::new().await;
    for value in 0..5u8 {
        world
            .put(&shop(), "a/key", &vec![value; usize::from(value)])
            .await;
    }
    world.delete("a/key", Some(2)).await.unwrap();
    world.destroy("a/key", Some(4)).await.unwrap();
    let rows = |history: &procura_types::wire::SecretHistory| -> Vec<_> {
        history
            .versions
            .iter()
            .map(|row| (row.version, row.size, row.state))
            .collect()
    };
    let all = world.history("a/key", None, None).unwrap();
    assert_eq!(
        rows(&all),
        [
            (5, 4, Live),
            (4, 3, Destroyed),
            (3, 2, Live),
            (2, 1, Deleted),
            (1, 0, Live)
        ]
    );
    assert_eq!(all.next, None);
    let first = world.history("a/key", None, Some(2)).unwrap();
    assert_eq!((rows(&first).len(), first.next), (2, Some(4)));
    let second = world.history("a/key", first.next, Some(2)).unwrap();
    assert_eq!(rows(&second), [(3, 2, Live), (2, 1, Deleted)]);
    let last = world.history("a/key", second.next, Some(2)).unwrap();
    assert_eq!((rows(&last), last.next), (vec![(1, 0, Live)], None));
    assert!(not_found(
        &world.history("none", None, None).unwrap_err(),
        "none"
    ));
}

#[tokio::test]
async fn delete_takes_away_and_destroy_takes_for_good() {
    let world = World::new().await;
    for value in [b"one", b"two"] {
        world.put(&shop(), "a/key", value).await;
    }
    world.delete("a/key", Some(1)).await.unwrap();
    let read = async |version| world.read(&shop(), "a/key", version).await;
    assert!(not_found(&read(Some(1)).await.unwrap_err(), "a/key"));
    assert_eq!(read(None).await.unwrap(), b"two");
    assert!(not_found(
        &world.delete("a/key", Some(1)).await.unwrap_err(),
        "a/key"
    ));
    world.destroy("a/key", Some(1)).await.unwrap();
    assert!(not_found(
        &world.destroy("a/key", Some(1)).await.unwrap_err(),
        "a/key"
    ));
    // What is destroyed cannot go back to deleted.
    assert!(not_found(
        &world.delete("a/key", Some(1)).await.unwrap_err(),
        "a/key"
    ));
    world.delete("a/key", None).await.unwrap();
    assert!(not_found(&read(None).await.unwrap_err(), "a/key"));
    let at = path("a/key");
    let (namespace, path) = (&shop(), &at);
    let readable = |version| {
        world
            .vault
            .readable(
                Wanted {
                    namespace,
                    path,
                    version,
                    delivery: None,
                },
                NOW,
            )
            .unwrap()
            .is_some()
    };
    assert!(!readable(None) && !readable(Some(1)) && !readable(Some(9)));
    for at in ["none", "a"] {
        assert!(not_found(&world.delete(at, None).await.unwrap_err(), at));
        assert!(not_found(&world.destroy(at, None).await.unwrap_err(), at));
    }
    assert_eq!(world.put(&shop(), "a/key", b"three").await, 3);
    assert_eq!(world.read(&shop(), "a/key", None).await.unwrap(), b"three");
}

#[tokio::test]
async fn destroyed_bytes_are_in_no_file() {
    let world = World::new().await;
    let canary = b"canary-4f1c8e5a-of-the-plain-value";
    world.put(&shop(), "small", canary).await;
    world.put(&shop(), "large", &canary.repeat(5000)).await;
    let sealed = |at: &str| {
        let key = ("shop".to_owned(), at.to_owned(), 1);
        let row = BODIES.get(world.vault.store(), &key).unwrap().unwrap();
        row.value.as_bytes()[20..52].to_vec()
    };
    let (small, large) = (sealed("small"), sealed("large"));
    let place = world.close();
    drop(place.store().await);
    let home = place.home.path();
    assert!(
        holds(home, &small) && holds(home, &large),
        "the search must be able to find"
    );
    assert!(!holds(home, canary), "a value lies on disk");

    let world = place.open(PASSPHRASE).await.unwrap();
    world.destroy("small", None).await.unwrap();
    world.destroy("large", None).await.unwrap();
    let place = world.close();
    // Closing the last connection brings the write-ahead log into the database.
    drop(place.store().await);
    assert!(
        !holds(place.home.path(), &small),
        "the small body is still in a file"
    );
    assert!(
        !holds(place.home.path(), &large),
        "the large body is still in a file"
    );
}

#[tokio::test]
async fn a_description_is_short_and_of_one_line() {
    let world = World::new().await;
    let write = async |text: &str| {
        let mut op = writing(&shop(), "a/key", b"value");
        op.about.description = Some(text.to_owned());
        world.write(op).await
    };
    write(&"ü".repeat(MAX_DESCRIPTION)).await.unwrap();
    for bad in [
        "x".repeat(MAX_DESCRIPTION + 1),
        "two\nlines".into(),
        "bell\u{7}".into(),
        "\u{9b}31m".into(),
        "nul\0".into(),
    ] {
        let error = write(&bad).await.unwrap_err();
        assert!(matches!(error, VaultError::BadDescription), "{error}");
    }
    // None keeps what is there.
    world.put(&shop(), "a/key", b"again").await;
    let row = world.list(&shop(), "", None, None).secrets.remove(0);
    assert_eq!(row.description.unwrap().chars().count(), MAX_DESCRIPTION);
    assert_eq!(row.version, 2);
}

#[tokio::test]
async fn the_index_of_names_follows_the_newest_version() {
    let world = World::new().await;
    let found = |name: &str| -> Vec<String> {
        let found = candidates_for_env(world.vault.store(), &shop(), &name.parse().unwrap());
        found.unwrap().iter().map(ToString::to_string).collect()
    };
    let declare = async |at: &str, name: Option<&str>| {
        let mut op = writing(&shop(), at, b"value");
        op.env = name.map(|name| name.parse().unwrap());
        world.write(op).await.unwrap();
    };
    declare("a/key", Some("KEY")).await;
    declare("b/key", Some("KEY")).await;
    assert_eq!(found("KEY"), ["a/key", "b/key"]);
    // No name keeps the one that was declared; another one replaces it.
    declare("a/key", None).await;
    assert_eq!(found("KEY"), ["a/key", "b/key"]);
    declare("a/key", Some("OTHER")).await;
    assert_eq!(
        (found("KEY"), found("OTHER")),
        (vec!["b/key".to_owned()], vec!["a/key".to_owned()])
    );
    // An older version that goes changes nothing; the newest takes the name along.
    world.delete("a/key", Some(1)).await.unwrap();
    assert_eq!(found("OTHER"), ["a/key"]);
    world.delete("a/key", None).await.unwrap();
    assert_eq!(found("OTHER"), Vec::<String>::new());
    world.destroy("b/key", None).await.unwrap();
    assert_eq!(found("KEY"), Vec::<String>::new());
}

#[tokio::test]
async fn lists_go_by_prefix_and_page() {
    let world = World::new().await;
    for at in ["app/a", "app/b", "app/c", "apple", "b"] {
        world.put(&shop(), at, b"value").await;
    }
    world.delete("app/b", None).await.unwrap();
    let names = |prefix: &str, after, limit| {
        let list = world.list(&shop(), prefix, after, limit);
        let names: Vec<String> = list
            .secrets
            .iter()
            .map(|row| row.path.to_string())
            .collect();
        (names, list.next.map(|path| path.to_string()))
    };
    let all = ["app/a", "app/c", "apple", "b"].map(str::to_owned);
    assert_eq!(names("", None, None), (all.to_vec(), None));
    assert_eq!(names("app", None, None).0, all[..3]);
    assert_eq!(names("app/", None, None).0, all[..2]);
    assert_eq!(names("z", None, None).0, Vec::<String>::new());
    assert_eq!(
        names("", None, Some(2)),
        (all[..2].to_vec(), Some("app/c".into()))
    );
    assert_eq!(names("", Some("app/c"), Some(2)), (all[2..].to_vec(), None));
    // Bounds of the page are kept, not refused.
    assert_eq!(names("", None, Some(0)).0, all[..1]);
}
