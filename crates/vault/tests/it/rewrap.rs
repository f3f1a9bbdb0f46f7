//! After a change of passphrase the keys of values are wrapped by the newest
//! namespace keys, batch by batch, whatever comes between.

use crate::world::{NOW, PASSPHRASE, World, bank, path, shop};
use procura_crypto::envelope_epoch;
use procura_ledger::SUMMARY;
use procura_record::tables::LEDGER;
use procura_store::{
    Blob, Engine as _, FakeDisk, FakeEngine, FakeFault, KeyPrefix, Kind, Store, Table,
};
use procura_types::encoding;
use procura_types::wire::VersionState;
use procura_vault::{SealError, SecretDelete, VaultError};
use serde::{Deserialize, Serialize};
use std::cell::Cell;

const NEW: &str = "another long passphrase";
const NAMESPACE_KEYS: Table<(u64, String, u64), Blob> = Table::new("namespace-key", Kind::Clear);

async fn change(world: &World) {
    world
        .change_passphrase(PASSPHRASE, NEW, false)
        .await
        .unwrap();
    world
        .vault
        .settle_root(world.recorder.clock())
        .await
        .unwrap();
}

async fn step(world: &World) -> Result<bool, SealError> {
    world.vault.rewrap_step(world.recorder.clock()).await
}

/// Writes so many secrets, `key/000` and on, each with the value `old`.
async fn put_keys(world: &World, count: u32) {
    for number in 0..count {
        let at = format!("key/{number:03}");
        world.put(&shop(), &at, b"old").await;
    }
}

/// All steps.
async fn finish(world: &World) {
    let mut steps = 0;
    while step(world).await.unwrap() {
        steps += 1;
        assert!(steps < 1000);
    }
}

/// Each namespace has one key, and it is not the first.
fn no_older_keys(store: &Store) {
    let snapshot = store.snapshot().unwrap();
    let rows = NAMESPACE_KEYS
        .scan(&snapshot, &KeyPrefix::all(), None, 100)
        .unwrap();
    let mut names: Vec<&String> = rows.iter().map(|((_, name, _), _)| name).collect();
    let keys = names.len();
    names.dedup();
    assert_eq!(names.len(), keys);
    assert!(rows.iter().all(|((_, _, epoch), _)| *epoch > 1));
}

/// How many keys of values were wrapped anew, by the record: one number for each
/// namespace that had any.
fn recorded(world: &World) -> Vec<u64> {
    world
        .entries()
        .iter()
        .filter(|entry| entry.action == "installation.rewrap")
        .filter_map(|entry| {
            let namespace = entry.namespace.as_ref().unwrap();
            let resource = format!("namespace/{namespace}");
            assert_eq!(entry.resource.as_deref(), Some(resource.as_str()));
            // Where nothing was to be wrapped, it says that the older keys are gone.
            let reason = entry.summary.is_some().then_some(SUMMARY);
            assert_eq!(entry.reason.as_deref(), reason);
            Some(entry.summary.as_ref()?.count)
        })
        .collect()
}

#[tokio::test]
async fn old_namespace_keys_open_nothing_afterwards() {
    let world = World::new().await;
    world.put(&shop(), "a/key", b"one").await;
    world.put(&shop(), "a/key", b"two").await;
    world.put(&bank(), "a/key", b"bank").await;
    for text in ["deleted", "destroyed"] {
        world.put(&shop(), text, b"gone").await;
    }
    world.delete("deleted", None).await.unwrap();
    world.destroy("destroyed", None).await.unwrap();
    assert!(!world.vault.is_rewrapping().unwrap());
    change(&world).await;
    assert!(world.vault.is_rewrapping().unwrap());
    finish(&world).await;
    assert!(!world.vault.is_rewrapping().unwrap());
    // One of the bank; two versions, and the deleted one, which has its key still.
    assert_eq!(recorded(&world), [1, 3]);
    assert!(!step(&world).await.unwrap());
    no_older_keys(world.vault.store());
    let world = world.close().open(NEW).await.unwrap();
    let read = async |at, version| world.read(&shop(), at, version).await;
    assert_eq!(read("a/key", Some(1)).await.unwrap(), b"one");
    assert_eq!(read("a/key", None).await.unwrap(), b"two");
    let found = world.read(&bank(), "a/key", None).await.unwrap();
    assert_eq!(found, b"bank");
    let gone = read("deleted", None).await.unwrap_err();
    assert!(matches!(gone, VaultError::NotFound(at) if at == path("deleted")));
}

#[tokio::test]
async fn what_is_written_after_a_change_is_sealed_by_what_no_older_backup_has() {
    let disk = FakeDisk::default();
    let world = World::on(Some(disk.clone())).await;
    world.put(&shop(), "a/old", b"before").await;
    let entries = world.vault.store().log_len(LEDGER).unwrap();
    change(&world).await;
    world.put(&shop(), "a/new", b"after").await;
    // The key epoch of what lies on the disk, as whoever has a copy sees it.
    let heads: Table<(String, String), ()> = Table::new("secret", Kind::Ordinary);
    let epoch = |at: &str| {
        let engine = FakeEngine::open(&disk.copy()).unwrap();
        let key = heads.row_key(&("shop".to_owned(), at.to_owned()));
        envelope_epoch(&engine.get(&key).unwrap().unwrap().value).unwrap()
    };
    assert_eq!((epoch("a/old"), epoch("a/new")), (1, 2));
    finish(&world).await;
    assert_eq!((epoch("a/old"), epoch("a/new")), (2, 2));
    let engine = FakeEngine::open(&disk.copy()).unwrap();
    let log = engine.log_read(LEDGER.as_str(), 0, 1000).unwrap();
    let epochs: Vec<u32> = log
        .iter()
        .map(|entry| envelope_epoch(&entry.value).unwrap())
        .collect();
    // The entry of the change itself is still one of before.
    let (old, new) = epochs.split_at(usize::try_from(entries).unwrap() + 1);
    assert!(old.iter().all(|epoch| *epoch == 1), "{epochs:?}");
    assert!(!new.is_empty() && new.iter().all(|epoch| *epoch == 2));
}

#[tokio::test]
async fn a_pass_goes_on_after_a_restart_and_meets_what_moved_meanwhile() {
    let world = World::new().await;
    put_keys(&world, 300).await;
    change(&world).await;
    // Two for the bank, in which nothing is, and one page of the shop.
    for _ in 0..3 {
        assert!(step(&world).await.unwrap());
    }
    let world = world.close().open(NEW).await.unwrap();
    assert!(world.vault.is_rewrapping().unwrap());
    // One that was met already, and one that was not: it moves to the older ones.
    for at in ["key/000", "key/299"] {
        world.put(&shop(), at, b"new").await;
    }
    finish(&world).await;
    assert_eq!(recorded(&world), [300]);
    no_older_keys(world.vault.store());
    let world = world.close().open(NEW).await.unwrap();
    for at in ["key/000", "key/150", "key/299"] {
        let found = world.read(&shop(), at, Some(1)).await.unwrap();
        assert_eq!(found, b"old", "{at}");
    }
}

/// The second page is made while the first is on its way: a row of it that moved meanwhile
/// is met all the same, by whatever then wraps.
#[tokio::test]
async fn what_was_made_ahead_counts_only_if_nothing_moved() {
    let world = World::new().await;
    put_keys(&world, 300).await;
    change(&world).await;
    for _ in 0..3 {
        assert!(step(&world).await.unwrap());
    }
    world.put(&shop(), "key/299", b"new").await;
    world.destroy("key/298", None).await.unwrap();
    finish(&world).await;
    assert_eq!(recorded(&world), [299]);
    no_older_keys(world.vault.store());
    let world = world.close().open(NEW).await.unwrap();
    for (at, version, value) in [
        ("key/280", 1, &b"old"[..]),
        ("key/299", 1, b"old"),
        ("key/299", 2, b"new"),
    ] {
        let found = world.read(&shop(), at, Some(version)).await.unwrap();
        assert_eq!(found, value, "{at}");
    }
}

#[tokio::test]
async fn another_change_meanwhile_takes_the_pass_over() {
    let world = World::new().await;
    put_keys(&world, 300).await;
    change(&world).await;
    for _ in 0..3 {
        assert!(step(&world).await.unwrap());
    }
    world
        .change_passphrase(NEW, PASSPHRASE, false)
        .await
        .unwrap();
    world
        .vault
        .settle_root(world.recorder.clock())
        .await
        .unwrap();
    finish(&world).await;
    assert_eq!(recorded(&world), [300]);
    assert!(!world.vault.is_rewrapping().unwrap());
    let found = world.read(&shop(), "key/299", None).await.unwrap();
    assert_eq!(found, b"old");
}

#[tokio::test]
async fn a_batch_that_fails_either_way_is_made_up_for() {
    for (fault, kept) in [(FakeFault::Lost, false), (FakeFault::KeptButFailed, true)] {
        // A page and the end of the keys of each of the two namespaces.
        for at in 0..4 {
            let disk = FakeDisk::default();
            let world = World::on(Some(disk.clone())).await;
            put_keys(&world, 140).await;
            change(&world).await;
            for _ in 0..at {
                step(&world).await.unwrap();
            }
            disk.fail(disk.steps() + 1, fault);
            step(&world).await.unwrap_err();
            let world = world.close().open(NEW).await.unwrap();
            let over = !world.vault.is_rewrapping().unwrap();
            assert_eq!(over, at == 3 && kept, "{fault:?} at {at}");
            finish(&world).await;
            assert_eq!(recorded(&world), [140], "{fault:?} at {at}");
            no_older_keys(world.vault.store());
            let found = world.read(&shop(), "key/139", None).await.unwrap();
            assert_eq!(found, b"old");
        }
    }
}

#[tokio::test]
async fn a_version_that_ends_meanwhile_keeps_its_new_wrapping() {
    /// What lies in the row of an older version, as far as it matters here.
    #[derive(Serialize, Deserialize)]
    struct Version {
        state: VersionState,
        dek: String,
    }
    const VERSIONS: Table<(String, String, u64), Version> =
        Table::new("secret-version", Kind::Ordinary);

    for version in [Some(1), None] {
        let world = World::new().await;
        world.put(&shop(), "a/key", b"one").await;
        world.put(&shop(), "a/key", b"two").await;
        change(&world).await;
        let found = || {
            let key = ("shop".to_owned(), "a/key".to_owned(), 1);
            let row = VERSIONS.get(world.vault.store(), &key).unwrap().unwrap();
            let dek = encoding::from_b64url("dek", &row.value.dek).unwrap();
            (row.value.state, envelope_epoch(&dek).unwrap())
        };
        assert_eq!(found(), (VersionState::Live, 1));
        let built = Cell::new(0);
        let op = SecretDelete {
            namespace: shop(),
            path: path("a/key"),
            version,
        };
        world
            .act(op, |batch| {
                let done = SecretDelete::run(batch, NOW);
                built.set(built.get() + 1);
                if built.get() == 1 {
                    // Between what it read and its commit.
                    std::thread::scope(|scope| {
                        let meanwhile = || {
                            let mut runtime = tokio::runtime::Builder::new_current_thread();
                            let runtime = runtime.build().unwrap();
                            runtime.block_on(finish(&world));
                        };
                        scope.spawn(meanwhile).join().unwrap();
                    });
                    assert_eq!(found(), (VersionState::Live, 2));
                }
                done
            })
            .await
            .unwrap();
        assert_eq!(built.get(), 2, "the first attempt met a conflict");
        assert_eq!(found(), (VersionState::Deleted, 2));
    }
}

#[tokio::test]
async fn a_full_disk_or_a_faster_write_only_delays_it() {
    let disk = FakeDisk::default();
    let world = World::on(Some(disk.clone())).await;
    world.put(&shop(), "a/key", b"old").await;
    change(&world).await;
    disk.fail(disk.steps() + 1, FakeFault::Full);
    step(&world).await.unwrap_err();
    disk.fail(disk.steps() + 1, FakeFault::Conflict);
    assert!(step(&world).await.unwrap());
    assert!(recorded(&world).is_empty());
    finish(&world).await;
    assert_eq!(recorded(&world), [1]);
}
