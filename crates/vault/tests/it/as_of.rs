//! What was there at a time, and back to it.

use crate::world::{World, bank, path, shop, writing};
use procura_policy::Permit;
use procura_types::wire::RollbackChange::{Delete, Destroyed, Restore};
use procura_types::wire::{RollbackChange, SecretRolledBack};
use procura_types::{SecretKind, Timestamp};
use procura_vault::{RollbackScope, SecretRollback, VaultError, candidates_for_env};

fn rolling(scope: RollbackScope, at: Timestamp) -> SecretRollback {
    SecretRollback {
        namespace: shop(),
        scope,
        at,
        dry_run: false,
        leave_destroyed: false,
        expect_state: None,
    }
}

fn all(at: Timestamp) -> SecretRollback {
    rolling(RollbackScope::Prefix(String::new()), at)
}

fn one(at: &str, time: Timestamp) -> SecretRollback {
    rolling(RollbackScope::Path(path(at)), time)
}

impl World {
    async fn roll_back(&self, op: SecretRollback) -> Result<SecretRolledBack, VaultError> {
        self.act(op, |batch| {
            SecretRollback::run(&self.vault, batch, self.now())
        })
        .await
    }

    fn preview(&self, op: SecretRollback) -> SecretRolledBack {
        let permit: Permit<SecretRollback> = self.permit(op);
        SecretRollback::preview(&permit, &self.recorder.directory().snapshot(), &self.vault)
            .unwrap()
    }

    async fn found(&self, at: &str, time: Timestamp) -> Option<Vec<u8>> {
        match self.read_at(at, time).await {
            Ok(value) => Some(value),
            Err(VaultError::NotFound(found)) if found == path(at) => None,
            Err(error) => panic!("{error}"),
        }
    }
}

type Line<'a> = (&'a str, RollbackChange, u64, Option<u64>, Option<u64>);

fn lines(done: &SecretRolledBack) -> Vec<Line<'_>> {
    done.changes
        .iter()
        .map(|row| {
            (
                row.path.as_str(),
                row.change,
                row.latest,
                row.from,
                row.version,
            )
        })
        .collect()
}

#[tokio::test]
async fn a_read_as_of_a_time_gives_what_was_there() {
    let world = World::new().await;
    let before = world.now();
    let first = world.pass(1000);
    world.put(&shop(), "a/key", b"one").await;
    let second = world.pass(1000);
    world.put(&shop(), "a/key", b"two").await;
    let deleted = world.pass(1000);
    world.delete("a/key", None).await.unwrap();
    let back = world.pass(1000);
    world.undelete("a/key", None).await.unwrap();
    let third = world.pass(1000);
    world.put(&shop(), "a/key", b"three").await;
    let later = |time: Timestamp, by: u64| Timestamp::from_millis(time.as_millis() + by);
    for (time, value) in [
        (before, None),
        (later(before, 999), None),
        (first, Some(&b"one"[..])),
        (later(first, 999), Some(b"one")),
        (second, Some(b"two")),
        (later(second, 999), Some(b"two")),
        (deleted, None),
        (later(deleted, 999), None),
        (back, Some(b"two")),
        (third, Some(b"three")),
    ] {
        assert_eq!(world.found("a/key", time).await.as_deref(), value, "{time}");
    }
    // What is deleted by now was there then; what is destroyed is gone for every time.
    world.pass(1000);
    world.delete("a/key", None).await.unwrap();
    assert_eq!(world.found("a/key", second).await.unwrap(), b"two");
    assert_eq!(world.found("a/key", deleted).await, None);
    world.destroy("a/key", Some(2)).await.unwrap();
    assert_eq!(world.found("a/key", second).await, None);
    assert_eq!(world.found("a/key", first).await.unwrap(), b"one");
    let read = world.entries();
    let last = read.last().unwrap();
    assert_eq!(
        (last.action.as_ref(), last.resource.as_deref()),
        ("secret.read", Some("secret/a/key @1"))
    );
}

#[tokio::test]
async fn a_secret_goes_back_by_a_new_version() {
    let world = World::new().await;
    world.put(&shop(), "a/key", b"one").await;
    let time = world.now();
    world.pass(1000);
    world.put(&shop(), "a/key", b"two").await;
    let preview = world.preview(one("a/key", time));
    let expected = [("a/key", Restore, 2, Some(1), Some(3))];
    assert_eq!(
        (lines(&preview).as_slice(), preview.done),
        (&expected[..], false)
    );
    assert_eq!(world.read(&shop(), "a/key", None).await.unwrap(), b"two");
    world.pass(1000);
    let mut op = one("a/key", time);
    op.expect_state = Some(preview.state.clone());
    let done = world.roll_back(op).await.unwrap();
    assert_eq!((lines(&done).as_slice(), done.done), (&expected[..], true));
    assert_eq!(done.state, preview.state);
    assert_eq!(world.read(&shop(), "a/key", None).await.unwrap(), b"one");
    for (version, value) in [(1, b"one"), (2, b"two"), (3, b"one")] {
        let read = world.read(&shop(), "a/key", Some(version)).await;
        assert_eq!(read.unwrap(), value);
    }
    let entries = world.entries();
    let entry = entries
        .iter()
        .rfind(|entry| entry.action == "secret.rollback");
    let words = format!("secret/a/key at:{time} a/key@3=@1");
    assert_eq!(entry.unwrap().resource.as_deref(), Some(words.as_str()));
    // It is as it was then by now: nothing is done, and the record says that.
    let again = world.roll_back(one("a/key", world.now())).await.unwrap();
    assert_eq!((again.changes.len(), again.unchanged), (0, 1));
    // So is what has the value of then in another version.
    let again = world.roll_back(one("a/key", time)).await.unwrap();
    assert_eq!((again.changes.len(), again.unchanged), (0, 1));
    let missing = world.roll_back(one("a/none", time)).await.unwrap_err();
    assert!(matches!(missing, VaultError::NotFound(_)), "{missing}");
}

#[tokio::test]
async fn a_namespace_goes_back_whole() {
    let world = World::new().await;
    let mut named = writing(&shop(), "b/deleted", b"was there");
    named.env = Some("NAMED".parse().unwrap());
    world.write(named).await.unwrap();
    for at in ["b/changed", "b/same", "c/outside"] {
        world.put(&shop(), at, b"old").await;
    }
    world.put(&bank(), "b/changed", b"of the bank").await;
    let time = world.now();
    world.pass(1000);
    world.put(&shop(), "b/changed", b"new").await;
    world.put(&shop(), "b/new", b"new").await;
    world.put(&shop(), "c/outside", b"new").await;
    world.put(&bank(), "b/changed", b"new").await;
    world.delete("b/deleted", None).await.unwrap();
    let under = || rolling(RollbackScope::Prefix("b/".to_owned()), time);
    let preview = world.preview(under());
    let expected = [
        ("b/changed", Restore, 2, Some(1), Some(3)),
        ("b/deleted", Restore, 1, Some(1), Some(2)),
        ("b/new", Delete, 1, None, None),
    ];
    assert_eq!(
        (lines(&preview).as_slice(), preview.unchanged),
        (&expected[..], 1)
    );
    world.pass(1000);
    world.roll_back(under()).await.unwrap();
    let read = async |at: &str| world.read(&shop(), at, None).await;
    assert_eq!(read("b/changed").await.unwrap(), b"old");
    assert_eq!(read("b/same").await.unwrap(), b"old");
    assert_eq!(read("b/deleted").await.unwrap(), b"was there");
    assert!(matches!(read("b/new").await, Err(VaultError::NotFound(_))));
    assert_eq!(read("c/outside").await.unwrap(), b"new");
    assert_eq!(
        world.read(&bank(), "b/changed", None).await.unwrap(),
        b"new"
    );
    // The name comes back with the secret that was deleted with it.
    let named = candidates_for_env(world.vault.store(), &shop(), &"NAMED".parse().unwrap());
    assert_eq!(named.unwrap(), [path("b/deleted")]);
    // What was taken away can be had again.
    world.undelete("b/new", None).await.unwrap();
    let entries = world.entries();
    let entry = entries
        .iter()
        .rfind(|entry| entry.action == "secret.rollback");
    let words = format!("namespace/shop at:{time} b/changed@3=@1 b/deleted@2=@1 b/new=deleted");
    assert_eq!(entry.unwrap().resource.as_deref(), Some(words.as_str()));
}

#[tokio::test]
async fn what_changed_since_the_preview_is_not_rolled_back() {
    let world = World::new().await;
    for at in ["a/one", "a/two"] {
        world.put(&shop(), at, b"old").await;
    }
    let time = world.now();
    world.pass(1000);
    world.put(&shop(), "a/one", b"new").await;
    let seen = world.preview(all(time)).state;
    for change in ["a/one", "a/two", "a/three"] {
        world.put(&shop(), change, b"newer").await;
        let mut op = all(time);
        op.expect_state = Some(seen.clone());
        let error = world.roll_back(op).await.unwrap_err();
        assert!(
            matches!(error, VaultError::ChangedMeanwhile),
            "{change}: {error}"
        );
        assert_eq!(world.read(&shop(), change, None).await.unwrap(), b"newer");
    }
    let mut op = all(time);
    op.expect_state = Some(world.preview(all(time)).state);
    assert_eq!(world.roll_back(op).await.unwrap().changes.len(), 3);
}

#[tokio::test]
async fn what_was_destroyed_stops_all_unless_it_is_left() {
    let world = World::new().await;
    for at in ["a/gone", "a/key"] {
        world.put(&shop(), at, b"old").await;
    }
    let time = world.now();
    world.pass(1000);
    for at in ["a/gone", "a/key"] {
        world.put(&shop(), at, b"new").await;
    }
    world.destroy("a/gone", Some(1)).await.unwrap();
    let preview = world.preview(all(time));
    let expected = [
        ("a/gone", Destroyed, 2, Some(1), None),
        ("a/key", Restore, 2, Some(1), Some(3)),
    ];
    assert_eq!(lines(&preview), expected);
    let error = world.roll_back(all(time)).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "version 1 of a/gone was destroyed: nothing brings it back"
    );
    assert_eq!(world.read(&shop(), "a/key", None).await.unwrap(), b"new");
    let mut op = all(time);
    op.leave_destroyed = true;
    world.roll_back(op).await.unwrap();
    assert_eq!(world.read(&shop(), "a/gone", None).await.unwrap(), b"new");
    assert_eq!(world.read(&shop(), "a/key", None).await.unwrap(), b"old");
}

#[tokio::test]
async fn what_is_rolled_back_keeps_its_kind_and_what_is_said_of_it() {
    let world = World::new().await;
    let text = b"a={{procura:A}}";
    let mut first = writing(&shop(), "a/text", text);
    first.kind = Some(SecretKind::Template);
    first.about.description = Some("said".to_owned());
    world.write(first).await.unwrap();
    let time = world.now();
    world.pass(1000);
    world.put(&shop(), "a/text", b"b={{procura:B}}").await;
    world.roll_back(all(time)).await.unwrap();
    assert_eq!(world.read(&shop(), "a/text", None).await.unwrap(), text);
    let row = world.list(&shop(), "", None, None).secrets.remove(0);
    assert_eq!(
        (row.kind, row.version, row.description.as_deref()),
        (SecretKind::Template, 3, Some("said"))
    );
}
