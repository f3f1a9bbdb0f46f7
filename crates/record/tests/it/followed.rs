//! Following the directory: what changed since, for as long as that is kept.

use crate::world::{World, admin_roles};
use procura_directory::Change;
use procura_types::Role;

#[tokio::test]
async fn changes_are_kept_for_those_who_follow() {
    let world = World::new().await;
    let directory = world.recorder.directory();
    let begin = directory.snapshot();
    let since = |after: u64| directory.changes(after, &directory.snapshot());
    assert_eq!(since(begin.seq()).unwrap().len(), 0);
    // A row of no directory moves nothing.
    world.put("a/key", 1).await.unwrap();
    assert_eq!(directory.snapshot().seq(), begin.seq());

    let moved = directory.moved(begin.seq());
    let change = world.socket(|batch| batch.put_roles(&admin_roles(&[Role::Auditor])));
    let ((), ()) = tokio::join!(moved, change);
    let next = directory.snapshot();
    assert!(next.seq() > begin.seq());
    let changes = since(begin.seq()).unwrap();
    assert!(matches!(changes.as_slice(), [Change::Roles(_)]));
    assert_eq!(since(next.seq()).unwrap().len(), 0);
    // What came after a snapshot is not told with it.
    let then = directory.changes(begin.seq(), &begin).unwrap();
    assert!(then.is_empty());
    // From before it was loaded, and from a future that is not its own.
    assert!(since(0).is_some_and(|changes| changes.len() == 4));
    assert!(since(next.seq() + 1).is_none());
    // It was at another state already.
    directory.moved(begin.seq()).await;

    let again = world.reopen();
    let directory = again.recorder.directory();
    assert!(directory.changes(begin.seq(), &next).is_none());
    assert!(directory.changes(next.seq(), &next).is_some());
}

#[tokio::test]
async fn who_is_too_far_behind_is_told_so() {
    let world = World::new().await;
    let directory = world.recorder.directory();
    let begin = directory.snapshot().seq();
    let mut seqs = Vec::new();
    for number in 0..1030 {
        let role = if number % 2 == 0 {
            Role::Auditor
        } else {
            Role::Admin
        };
        world
            .socket(move |batch| batch.put_roles(&admin_roles(&[role])))
            .await;
        seqs.push(directory.snapshot().seq());
    }
    let now = directory.snapshot();
    assert!(directory.changes(begin, &now).is_none());
    // The sequence whose change was dropped last is the oldest to go on from.
    let kept = directory.changes(seqs[5], &now).unwrap();
    assert_eq!(kept.len(), 1024);
    assert!(directory.changes(seqs[4], &now).is_none());
}

#[tokio::test]
async fn ids_of_other_systems_are_in_the_directory_and_told_to_who_follows() {
    let world = World::new().await;
    let directory = world.recorder.directory();
    let begin = directory.snapshot();
    let id: procura_types::ForeignId = "scribe-7".parse().unwrap();
    let record = procura_directory::ForeignRecord {
        id: id.clone(),
        actor: procura_types::ActorId::from_bytes([1; 32]),
        device: None,
        created: crate::world::NOW,
        released: None,
    };
    let bound = record.clone();
    world.socket(move |batch| batch.put_foreign(&bound)).await;
    let next = directory.snapshot();
    assert_eq!(next.foreign(&id).unwrap().as_ref(), &record);
    let changes = directory.changes(begin.seq(), &next).unwrap();
    assert!(matches!(changes.as_slice(), [Change::Foreign(told)] if *told == record));
    let again = world.reopen();
    let snapshot = again.recorder.directory().snapshot();
    assert_eq!(snapshot.foreign(&id).unwrap().as_ref(), &record);
}
