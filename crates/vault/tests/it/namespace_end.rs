//! The end of a namespace: no key is left that opens anything of it, in the store, in
//! memory, or by whatever was under way.

use crate::world::{NOW, PASSPHRASE, World, bank, secret, shop, typed, writing};
use procura_policy::{Action, Op, Resource};
use procura_store::{Blob, KeyPrefix, Kind, Row, Table};
use procura_types::Namespace;
use procura_vault::{SourceChange, VaultError, sweep_namespace};

const NEW: &str = "another long passphrase";
const NAMESPACE_KEYS: Table<(u64, String, u64), Blob> = Table::new("namespace-key", Kind::Clear);

struct End(Namespace);

impl Op for End {
    const ACTION: Action = Action::NamespaceDelete;
    fn resource(&self) -> Resource {
        Resource::Namespace(self.0.clone())
    }
}

async fn end(world: &World, name: Namespace) -> Result<(), VaultError> {
    world
        .act(End(name.clone()), |batch| {
            world.vault.end_namespace(batch, &name, NOW)
        })
        .await
}

type KeyRow = ((u64, String, u64), Row<Blob>);

fn keys(world: &World, of: &str) -> Vec<KeyRow> {
    let snapshot = world.vault.store().snapshot().unwrap();
    let rows = NAMESPACE_KEYS
        .scan(&snapshot, &KeyPrefix::all(), None, 100)
        .unwrap();
    rows.into_iter()
        .filter(|((_, name, _), _)| name == of)
        .collect()
}

/// Puts rows of keys into the store, past everything.
async fn put_keys(world: &World, rows: &[KeyRow]) {
    let store = world.vault.store();
    let mut batch = store.batch().unwrap();
    for (key, row) in rows {
        NAMESPACE_KEYS.put(&mut batch, key, &row.value);
    }
    store.commit(batch).await.unwrap();
}

/// How many values of all namespaces open, and how many do not though they should.
fn values(world: &World) -> (u64, usize) {
    let every = world.vault.open_every_value().unwrap();
    (every.values, every.findings.len())
}

/// Two secrets in `shop` with three versions, one of them deleted, and one in `bank`.
async fn filled() -> World {
    let world = World::new().await;
    world.put(&shop(), "a/key", b"one").await;
    world.put(&shop(), "a/key", b"two").await;
    world.put(&shop(), "b/key", b"three").await;
    world.delete("b/key", None).await.unwrap();
    world.put(&bank(), "a/key", b"of the bank").await;
    assert_eq!(values(&world), (4, 0));
    world
}

#[tokio::test]
async fn no_row_of_it_opens_with_the_keys_that_are_left() {
    let world = filled().await;
    let before = keys(&world, "shop");
    assert_eq!(before.len(), 1);
    end(&world, shop()).await.unwrap();
    assert!(keys(&world, "shop").is_empty());
    assert_eq!(keys(&world, "bank").len(), 1);
    // Its rows are there still; the bank's one value is what opens, now and after a start.
    assert_eq!(values(&world), (1, 0));
    let world = world.close().open(PASSPHRASE).await.unwrap();
    assert_eq!(values(&world), (1, 0));
    // No other key opens them in its place.
    let moved: Vec<KeyRow> = keys(&world, "bank")
        .into_iter()
        .map(|((root, _, epoch), row)| ((root, "shop".to_owned(), epoch), row))
        .collect();
    put_keys(&world, &moved).await;
    let world = world.close().open(PASSPHRASE).await.unwrap();
    assert_eq!(values(&world), (1, 3));
    // What shows that they would open: the key as it was, which a backup of before has.
    put_keys(&world, &before).await;
    let world = world.close().open(PASSPHRASE).await.unwrap();
    assert_eq!(values(&world), (4, 0));
}

#[tokio::test]
async fn keys_in_memory_go_before_anybody_hears_of_the_end() {
    let world = filled().await;
    let before = keys(&world, "shop");
    // They were used a moment ago, and so are held.
    assert_eq!(world.read(&shop(), "a/key", None).await.unwrap(), b"two");
    end(&world, shop()).await.unwrap();
    // Even with the key's row back, this process does not take it up again.
    put_keys(&world, &before).await;
    assert_eq!(values(&world), (1, 0));
}

#[tokio::test]
async fn an_undelete_or_a_write_that_was_decided_before_does_not_come_through() {
    let world = filled().await;
    let undelete = world.permit(procura_vault::SecretUndelete {
        namespace: shop(),
        path: crate::world::path("b/key"),
        version: None,
    });
    let write = world.permit(writing(&shop(), "a/key", b"late"));
    let read = world.permit(procura_vault::SecretDestroy {
        namespace: shop(),
        path: crate::world::path("a/key"),
        version: None,
    });
    end(&world, shop()).await.unwrap();
    let origin = crate::world::origin();
    let denied = |error: &dyn std::fmt::Display| assert_eq!(error.to_string(), "no_role");
    let undelete = world.recorder.change(undelete, &origin, |batch| {
        procura_vault::SecretUndelete::run(batch, NOW)
    });
    denied(&undelete.await.err().unwrap());
    let write = world.recorder.change(write, &origin, |batch| {
        procura_vault::SecretWrite::run(&world.vault, batch, NOW)
    });
    denied(&write.await.err().unwrap());
    let destroy = world.recorder.change(read, &origin, |batch| {
        procura_vault::SecretDestroy::run(batch, NOW)
    });
    denied(&destroy.await.err().unwrap());
}

#[tokio::test]
async fn a_root_that_turns_meanwhile_does_not_bring_the_key_along() {
    // Before the next root's rows are committed, between that and its being in force,
    // and after it, with the pass over the values half way.
    for at in ["made", "committed", "turned", "passing"] {
        let world = filled().await;
        let next = world.next_root(PASSPHRASE, NEW).unwrap();
        if at == "made" {
            end(&world, shop()).await.unwrap();
        }
        world.commit_root(&next).await.unwrap();
        if at == "committed" {
            assert!(keys(&world, "shop").len() > 1);
            end(&world, shop()).await.unwrap();
        }
        world.vault.turn_root(next).unwrap();
        if at == "turned" {
            end(&world, shop()).await.unwrap();
        }
        let clock = world.recorder.clock();
        world.vault.settle_root(clock).await.unwrap();
        if at == "passing" {
            assert!(world.vault.rewrap_step(clock).await.unwrap());
            end(&world, shop()).await.unwrap();
        }
        let mut steps = 0;
        while world.vault.rewrap_step(clock).await.unwrap() {
            steps += 1;
            assert!(steps < 100, "{at}");
        }
        assert!(keys(&world, "shop").is_empty(), "{at}");
        assert_eq!(values(&world), (1, 0), "{at}");
        let world = world.close().open(NEW).await.unwrap();
        assert!(keys(&world, "shop").is_empty(), "{at}");
        assert_eq!(values(&world), (1, 0), "{at}");
        assert_eq!(
            world.read(&bank(), "a/key", None).await.unwrap(),
            b"of the bank"
        );
    }
}

#[tokio::test]
async fn a_change_of_root_that_was_made_before_goes_on_without_it() {
    let world = filled().await;
    let change = SourceChange::Passphrase(secret(NEW));
    let clock = world.recorder.clock();
    let next = world
        .vault
        .next_root(&typed(PASSPHRASE), change, clock)
        .unwrap();
    end(&world, shop()).await.unwrap();
    world.commit_root(&next).await.unwrap();
    assert!(keys(&world, "shop").is_empty());
}

#[tokio::test]
async fn its_name_never_comes_back() {
    let world = filled().await;
    end(&world, shop()).await.unwrap();
    let again = world.namespace(shop()).await.unwrap_err();
    assert!(
        matches!(&again, VaultError::NamespaceEnded(name) if *name == shop()),
        "{again}"
    );
    let world = world.close().open(PASSPHRASE).await.unwrap();
    let again = world.namespace(shop()).await.unwrap_err();
    assert!(matches!(again, VaultError::NamespaceEnded(_)), "{again}");
    world.namespace("shop-2".parse().unwrap()).await.unwrap();
}

#[tokio::test]
async fn its_rows_go_in_steps_and_no_others() {
    let world = filled().await;
    for number in 0..7 {
        let mut op = writing(&shop(), &format!("more/{number}"), b"x");
        op.env = Some(format!("NAME_{number}").parse().unwrap());
        world.write(op).await.unwrap();
    }
    end(&world, shop()).await.unwrap();
    let store = world.vault.store();
    let mut steps = Vec::new();
    loop {
        let mut batch = store.batch().unwrap();
        let swept = sweep_namespace(&mut batch, store, &shop(), 4).unwrap();
        if swept == 0 {
            break;
        }
        assert!(swept <= 4);
        steps.push(swept);
        store.commit(batch).await.unwrap();
        assert!(steps.len() < 100);
    }
    // Heads, an older version, bodies, declared names, and the mark of what arrived.
    assert_eq!(steps.iter().sum::<usize>(), 9 + 1 + 10 + 7 + 1);
    for name in ["secret", "secret-version", "secret-body", "secret-env"] {
        let snapshot = store.snapshot().unwrap();
        let mut batch = store.batch().unwrap();
        let table: Table<String, Blob> = match name {
            "secret" => Table::new("secret", Kind::Ordinary),
            "secret-version" => Table::new("secret-version", Kind::Ordinary),
            "secret-body" => Table::new("secret-body", Kind::Clear),
            _ => Table::new("secret-env", Kind::Ordinary),
        };
        let of = KeyPrefix::all().part(&shop());
        assert_eq!(
            table.sweep(&mut batch, &snapshot, &of, 10).unwrap(),
            0,
            "{name}"
        );
    }
    assert_eq!(values(&world), (1, 0));
}
