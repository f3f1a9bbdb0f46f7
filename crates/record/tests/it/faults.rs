//! Every durable step fails, both ways: what was lost left neither rows nor
//! entry, what was kept left both.

use crate::world::{World, admin_roles, origin};
use procura_ledger::{Decision, Entry};
use procura_record::tables::LEDGER;
use procura_record::{ChangeError, RecordError, Spool};
use procura_store::{Blob, CommitError, FakeDisk, FakeFault, Kind, Table};
use procura_types::Role;
use std::convert::Infallible;
use std::fs;

fn commit(error: ChangeError<Infallible>) -> CommitError {
    match error {
        ChangeError::Record(RecordError::Commit(error)) => error,
        other => panic!("another failure: {other}"),
    }
}

const KEYS: [&str; 4] = ["a", "b", "c", "d"];

#[tokio::test]
async fn rows_and_entry_of_a_change_share_their_fate() {
    for at in 0..KEYS.len() {
        for (fault, kept) in [(FakeFault::Lost, false), (FakeFault::KeptButFailed, true)] {
            let world = World::new().await;
            world.disk.fail(world.disk.steps() + 1 + at as u64, fault);
            for key in &KEYS[..at] {
                world.put(key, 1).await.unwrap();
            }
            let error = commit(world.put(KEYS[at], 1).await.unwrap_err());
            assert_eq!(error, CommitError::Unknown, "{fault:?} at {at}");
            // Nothing goes on until the store is opened again.
            assert_eq!(world.unrecorded("z").await, CommitError::Poisoned);

            let world = world.reopen();
            let there = at + usize::from(kept);
            let rows: Vec<bool> = KEYS.iter().map(|key| world.row(key).is_some()).collect();
            let expected: Vec<bool> = (0..KEYS.len()).map(|key| key < there).collect();
            assert_eq!(rows, expected, "{fault:?} at {at}");
            assert_eq!(world.entries().len(), 1 + there, "{fault:?} at {at}");
            world.put("z", 1).await.unwrap();
        }
    }
}

#[tokio::test]
async fn the_directory_is_what_was_kept() {
    for (fault, kept) in [(FakeFault::Lost, false), (FakeFault::KeptButFailed, true)] {
        let world = World::new().await;
        world.disk.fail(world.disk.steps() + 1, fault);
        let permit = world.socket_permit();
        let result = world
            .recorder
            .change(permit, &origin(), |batch| {
                batch.put_roles(&admin_roles(&[]));
                Ok::<_, Infallible>(())
            })
            .await;
        assert_eq!(commit(result.unwrap_err()), CommitError::Unknown);
        // Nobody was told that the role is gone, so nobody acts on it before.
        let world = world.reopen();
        assert_eq!(
            world.permit(crate::world::Put("a")).is_err(),
            kept,
            "{fault:?}"
        );
        assert_eq!(world.entries().len(), 1 + usize::from(kept));
    }
}

#[tokio::test]
async fn an_intent_that_failed_releases_nothing() {
    for (fault, kept) in [(FakeFault::Lost, false), (FakeFault::KeptButFailed, true)] {
        let world = World::new().await;
        world.disk.fail(world.disk.steps() + 1, fault);
        assert_eq!(world.unrecorded("a").await, CommitError::Unknown);
        // An intent without a release may stand in the record; never the reverse.
        assert_eq!(world.reopen().entries().len(), 1 + usize::from(kept));
    }
}

#[tokio::test]
async fn a_full_disk_refuses_and_the_next_change_passes() {
    let world = World::new().await;
    world.disk.fail(world.disk.steps() + 1, FakeFault::Full);
    assert_eq!(
        commit(world.put("a", 1).await.unwrap_err()),
        CommitError::Full
    );
    assert_eq!((world.row("a"), world.entries().len()), (None, 1));
    world.put("a", 2).await.unwrap();
    assert_eq!((world.row("a"), world.entries().len()), (Some(2), 2));
}

#[tokio::test]
async fn what_takes_authority_away_works_on_a_full_disk() {
    let world = World::on(&FakeDisk::new(100, 20_000)).await;
    world.put("a", 1).await.unwrap();
    fill(&world).await;
    assert_eq!(
        commit(world.put("b", 1).await.unwrap_err()),
        CommitError::Full
    );
    assert_eq!(world.unrecorded("b").await, CommitError::Full);
    let permit = world.socket_permit();
    world
        .recorder
        .change(permit, &origin(), |batch| {
            batch.reserved();
            batch.put_roles(&admin_roles(&[Role::Auditor]));
            Ok::<_, Infallible>(())
        })
        .await
        .unwrap();
    assert!(world.permit(crate::world::Put("a")).is_err());
    assert_eq!((world.row("a"), world.row("b")), (Some(1), None));
}

#[tokio::test]
async fn a_full_disk_keeps_nobody_from_opening_and_taking_away() {
    let world = World::on(&FakeDisk::new(100, 20_000)).await;
    let home = tempfile::tempdir().unwrap();
    let publisher = world.publisher(home.path()).await.unwrap();
    fill(&world).await;
    publisher.stop().await;
    let spool = Spool::open(&home.path().join("spool.jsonl")).unwrap();
    let wrong = Entry {
        decision: Decision::Deny,
        ..crate::world::entry("installation.unseal")
    };
    spool.push(&wrong).unwrap();
    drop(publisher);

    // What the server does when it is unsealed, with entries still unpublished.
    let world = world.reopen();
    let publisher = world.publisher(home.path()).await.unwrap();
    let (clock, entropy) = (crate::world::clock(), crate::world::entropy());
    let moved = spool.flush(world.store(), None, clock.as_ref(), entropy.as_ref());
    assert_eq!(moved.await.unwrap(), 1);
    let opened = crate::world::entry("installation.unseal");
    world.recorder.opened(&opened, |_| ()).await.unwrap();
    let permit = world.socket_permit();
    world
        .recorder
        .change(permit, &origin(), |batch| {
            batch.reserved();
            batch.put_roles(&admin_roles(&[Role::Auditor]));
            Ok::<_, Infallible>(())
        })
        .await
        .unwrap();
    assert!(world.permit(crate::world::Put("a")).is_err());
    publisher.stop().await;
    assert!(publisher.problem().unwrap().contains("space"));

    // Without the row of what was published at all, a start waits for room too.
    fs::remove_dir_all(home.path().join("ledger")).unwrap();
    let world = world.reopen();
    let publisher = world.publisher(home.path()).await.unwrap();
    assert!(publisher.latest().is_none() && publisher.problem().is_some());
    let mut batch = world.store().batch().unwrap();
    FILL.put(&mut batch, &"fill".to_owned(), &Blob::new(Vec::new()));
    world.store().commit(batch).await.unwrap();
    let length = world.store().log_len(LEDGER).unwrap();
    assert_eq!(publisher.covering(length).await.unwrap().size, length);
}

const FILL: Table<String, Blob> = Table::new("fill", Kind::Clear);

/// Fills the disk to its last byte.
async fn fill(world: &World) {
    let (mut length, mut step) = (0, 16_384);
    while step > 0 {
        let mut batch = world.store().batch().unwrap();
        FILL.put(
            &mut batch,
            &"fill".to_owned(),
            &Blob::new(vec![0; length + step]),
        );
        match world.store().commit(batch).await {
            Ok(_) => length += step,
            Err(error) => {
                assert_eq!(error, CommitError::Full);
                step /= 2;
            }
        }
    }
}
