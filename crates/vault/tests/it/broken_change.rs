//! A change of passphrase that breaks off, at every step and both ways: exactly one
//! passphrase opens what is left, with all data, and a server that goes on comes
//! right by itself.

use crate::passphrase::epochs;
use crate::world::{Closed, NOW, PASSPHRASE, World, origin, shop};
use procura_ledger::{Decision, Phase};
use procura_proof::Caller;
use procura_record::{ChangeError, RecordError};
use procura_store::{CommitError, FakeDisk, FakeFault};
use procura_vault::{Installation, NextRoot, PassphraseChange, SealError, VaultError};

const NEW: &str = "another long passphrase";

fn next(world: &World) -> NextRoot {
    world.next_root(PASSPHRASE, NEW).unwrap()
}

/// The first step, which may fail.
async fn commit(world: &World, next: &NextRoot) -> Result<(), ChangeError<VaultError>> {
    let caller = Caller::admin_socket(1000, 1000, NOW).unwrap();
    let permit = world.permit_of(caller, PassphraseChange);
    world
        .recorder
        .change(permit, &origin(), |batch| next.put(batch))
        .await
}

async fn settle(world: &World) -> Result<(), SealError> {
    world.vault.settle_root(world.recorder.clock()).await
}

/// Opens with the one passphrase and not with the other; then everything works.
async fn opens_with(place: Closed, right: &str, wrong: &str) -> World {
    let store = place.store().await;
    let error = place.unseal(store, wrong).err().unwrap();
    assert!(matches!(error, SealError::WrongPassphrase), "{error}");
    let world = place.open(right).await.unwrap();
    settle(&world).await.unwrap();
    works(&world).await;
    world
}

async fn works(world: &World) {
    let value = world.read(&shop(), "a/key", Some(1)).await.unwrap();
    assert_eq!(value, b"before");
    let (rings, keys) = epochs(world.vault.store());
    let epoch = u64::from(world.vault.installation().root_epoch);
    assert_eq!((rings, keys), (vec![epoch], vec![epoch]));
    world.put(&shop(), "a/key", b"after").await;
    world.namespace("dock".parse().unwrap()).await.unwrap();
}

/// A directory in the place of the file that is written first: the write fails, as
/// it does on a full disk.
fn block(world: &World) -> std::path::PathBuf {
    let path = world.place.home.path().join("installation.json.new");
    std::fs::create_dir(&path).unwrap();
    path
}

#[tokio::test]
async fn a_commit_that_fails_either_way_leaves_one_passphrase() {
    for step in 0..2 {
        for fault in [FakeFault::Lost, FakeFault::KeptButFailed] {
            let disk = FakeDisk::default();
            let world = World::on(Some(disk.clone())).await;
            world.put(&shop(), "a/key", b"before").await;
            let next = next(&world);
            disk.fail(disk.steps() + 1 + step, fault);
            let committed = commit(&world, &next).await;
            let turned = match (&committed, step) {
                (Ok(()), _) => {
                    world.vault.turn_root(next).unwrap();
                    true
                }
                (Err(_), 0) => false,
                (Err(error), _) => panic!("{fault:?}: {error}"),
            };
            let settled = settle(&world).await;
            if step == 1 {
                assert!(settled.is_err(), "{fault:?}");
            }
            let place = world.close();
            let (right, wrong) = match turned {
                true => (NEW, PASSPHRASE),
                false => (PASSPHRASE, NEW),
            };
            opens_with(place, right, wrong).await;
        }
    }
}

#[tokio::test]
async fn what_is_only_full_or_taken_goes_on_without_a_restart() {
    let disk = FakeDisk::default();
    let world = World::on(Some(disk.clone())).await;
    world.put(&shop(), "a/key", b"before").await;
    let next = next(&world);
    disk.fail(disk.steps() + 1, FakeFault::Full);
    let error = commit(&world, &next).await.unwrap_err();
    let full = RecordError::Commit(CommitError::Full);
    assert_eq!(error.to_string(), full.to_string());
    commit(&world, &next).await.unwrap();
    world.vault.turn_root(next).unwrap();
    disk.fail(disk.steps() + 1, FakeFault::Conflict);
    let error = settle(&world).await.unwrap_err();
    assert!(
        matches!(
            error,
            SealError::Record(RecordError::Commit(CommitError::Conflict { .. }))
        ),
        "{error}"
    );
    // Taking keys away may use the space that is kept for it.
    disk.fail(disk.steps() + 1, FakeFault::Full);
    settle(&world).await.unwrap();
    works(&world).await;
}

#[tokio::test]
async fn a_file_that_cannot_be_written_keeps_the_old_passphrase_and_blocks_nothing() {
    let world = World::new().await;
    world.put(&shop(), "a/key", b"before").await;
    let made = next(&world);
    commit(&world, &made).await.unwrap();
    let blocked = block(&world);
    let error = world.vault.turn_root(made).unwrap_err();
    assert!(matches!(error, SealError::Io { .. }), "{error}");
    // The disk is as broken as before, and still it comes right.
    settle(&world).await.unwrap();
    assert!(!world.vault.is_rewrapping().unwrap());
    works(&world).await;
    std::fs::remove_dir(&blocked).unwrap();
    let world = opens_with_again(world).await;
    // The record says that the change began, and that it came to nothing.
    let said: Vec<_> = world
        .entries()
        .into_iter()
        .filter(|entry| entry.action == "installation.passphrase")
        .map(|entry| {
            assert_eq!(entry.phase, Phase::Intent);
            // What began also says which key would have signed the record.
            let what = entry.resource.unwrap();
            assert_eq!(what.split(' ').next(), Some("installation"));
            (
                entry.decision,
                entry.reason.map(|reason| reason.into_owned()),
            )
        })
        .collect();
    let interrupted = Some("interrupted".to_owned());
    assert_eq!(
        said,
        [(Decision::Allow, None), (Decision::Failed, interrupted)]
    );
    // And it can be made again.
    let made = next(&world);
    commit(&world, &made).await.unwrap();
    world.vault.turn_root(made).unwrap();
    settle(&world).await.unwrap();
    let error = world.place.unseal(world.vault.store().clone(), PASSPHRASE);
    assert!(matches!(error.err().unwrap(), SealError::WrongPassphrase));
    let world = world.close().open(NEW).await.unwrap();
    let value = world.read(&shop(), "a/key", Some(1)).await.unwrap();
    assert_eq!(value, b"before");
}

async fn opens_with_again(world: World) -> World {
    let place = world.close();
    let store = place.store().await;
    let error = place.unseal(store, NEW).err().unwrap();
    assert!(matches!(error, SealError::WrongPassphrase), "{error}");
    place.open(PASSPHRASE).await.unwrap()
}

/// The file is in place, and the change is told that it is not: the home could not
/// be synced.
async fn replaced_but_failed() -> World {
    let world = World::new().await;
    world.put(&shop(), "a/key", b"before").await;
    let made = next(&world);
    commit(&world, &made).await.unwrap();
    let text = serde_json::to_vec(made.installation()).unwrap();
    let path = world.place.home.path().join("installation.json");
    std::fs::write(path, text).unwrap();
    // It goes on with the root that it had.
    world.put(&shop(), "b/key", b"meanwhile").await;
    world
}

#[tokio::test]
async fn a_file_that_is_replaced_but_reported_failed_is_put_back() {
    let world = replaced_but_failed().await;
    settle(&world).await.unwrap();
    let found = Installation::read(world.place.home.path()).unwrap();
    assert_eq!(found, world.vault.installation());
    works(&world).await;
    let world = opens_with_again(world).await;
    let value = world.read(&shop(), "b/key", None).await.unwrap();
    assert_eq!(value, b"meanwhile");
}

#[tokio::test]
async fn the_other_rows_stay_as_long_as_the_file_may_name_them() {
    let world = replaced_but_failed().await;
    let blocked = block(&world);
    let error = settle(&world).await.unwrap_err();
    assert!(matches!(error, SealError::Io { .. }), "{error}");
    assert_eq!(epochs(world.vault.store()), (vec![1, 2], vec![1, 2]));
    // A crash here: the file decides, and all that was written meanwhile opens.
    let place = world.close();
    std::fs::remove_dir(&blocked).unwrap();
    let world = opens_with(place, NEW, PASSPHRASE).await;
    let value = world.read(&shop(), "b/key", None).await.unwrap();
    assert_eq!(value, b"meanwhile");
}
