//! From a permit to an effect: together with its entry, or not at all.

use crate::world::{NOW, Put, ROWS, World, admin_roles, origin, shop, trace};
use procura_ledger::{Decision, Phase};
use procura_policy::DenyReason;
use procura_record::{ChangeError, Details, RecordError};
use procura_store::{CommitError, Expected, FakeFault};
use procura_types::Role;
use std::cell::Cell;
use std::convert::Infallible;

fn denied<E: std::fmt::Debug>(error: ChangeError<E>) -> DenyReason {
    match error {
        ChangeError::Record(RecordError::Denied(denied)) => denied.reason,
        other => panic!("another failure: {other:?}"),
    }
}

#[tokio::test]
async fn an_entry_says_who_what_where_and_how() {
    let world = World::new().await;
    world.put("a/key", 1).await.unwrap();
    assert_eq!(world.row("a/key"), Some(1));
    let entries = world.entries();
    assert_eq!(entries.len(), 2);
    let entry = &entries[1];
    assert_eq!(
        (entry.phase, entry.decision),
        (Phase::Intent, Decision::Allow)
    );
    assert_eq!(
        (&*entry.action, &*entry.profile),
        ("secret.write", "session")
    );
    let permit = world.permit(Put("a/key")).unwrap();
    assert_eq!(entry.actor.as_ref(), Some(permit.caller().actor()));
    assert_eq!(entry.owner.as_ref(), Some(permit.caller().owner()));
    assert_eq!(entry.device.as_ref(), permit.caller().device());
    assert!(entry.session.is_some());
    assert_eq!(entry.namespace, Some(shop()));
    assert_eq!(entry.resource.as_deref(), Some("secret/a/key"));
    assert_eq!((entry.time, entry.trace), (NOW, trace()));
    assert_eq!(
        (&*entries[0].action, &*entries[0].profile),
        ("installation.init", "admin_socket")
    );
}

#[tokio::test]
async fn what_the_domain_refuses_leaves_nothing() {
    let world = World::new().await;
    let before = world.entries().len();
    let permit = world.permit(Put("a/key")).unwrap();
    let result = world
        .recorder
        .change(permit, &origin(), |batch| {
            ROWS.put(batch.rows(), &"a/key".to_owned(), &1);
            batch.put_roles(&admin_roles(&[]));
            Err::<(), _>("no")
        })
        .await;
    assert!(matches!(result, Err(ChangeError::Domain("no"))));
    assert_eq!((world.row("a/key"), world.entries().len()), (None, before));
    world.permit(Put("a/key")).unwrap();
}

#[tokio::test]
async fn conflicts_are_built_anew_and_end_after_five() {
    for conflicts in 0..7 {
        let world = World::new().await;
        let (before, step) = (world.entries().len(), world.disk.steps());
        for more in 1..=conflicts {
            world.disk.fail(step + more, FakeFault::Conflict);
        }
        let built = Cell::new(0u64);
        let permit = world.permit(Put("a/key")).unwrap();
        let result = world
            .recorder
            .change(permit, &origin(), |batch| {
                built.set(built.get() + 1);
                ROWS.put(batch.rows(), &"a/key".to_owned(), &built.get());
                Ok::<_, Infallible>(built.get())
            })
            .await;
        if conflicts < 5 {
            assert_eq!(result.unwrap(), conflicts + 1);
            assert_eq!(world.row("a/key"), Some(conflicts + 1));
            assert_eq!(world.entries().len(), before + 1);
        } else {
            let error = result.unwrap_err();
            assert!(
                matches!(error, ChangeError::Record(RecordError::Contended)),
                "{error}"
            );
            assert_eq!((built.get(), world.row("a/key")), (5, None));
            assert_eq!(world.entries().len(), before);
        }
    }
}

#[tokio::test]
async fn a_change_sees_what_made_it_conflict() {
    let world = World::new().await;
    world.put("a/key", 10).await.unwrap();
    let permit = world.permit(Put("a/key")).unwrap();
    let seen = Cell::new(Vec::new());
    world
        .recorder
        .change(permit, &origin(), |batch| {
            let key = "a/key".to_owned();
            let row = ROWS.get(batch.store(), &key).unwrap().unwrap();
            ROWS.expect(batch.rows(), &key, Expected::At(row.version));
            ROWS.put(batch.rows(), &key, &(row.value + 1));
            let mut values = seen.take();
            values.push(row.value);
            if values.len() == 1 {
                between(&world, |batch| ROWS.put(batch, &"a/key".to_owned(), &20));
            }
            seen.set(values);
            Ok::<_, Infallible>(())
        })
        .await
        .unwrap();
    assert_eq!(seen.take(), [10, 20]);
    assert_eq!(world.row("a/key"), Some(21));
}

/// Commits something while another change is being built.
fn between(world: &World, put: impl FnOnce(&mut procura_store::Batch)) {
    let mut batch = world.store().batch().unwrap();
    put(&mut batch);
    let commit = world.store().commit(batch);
    std::thread::scope(|scope| {
        let done = scope.spawn(|| procura_store::conformance::wait(commit));
        done.join().unwrap().unwrap();
    });
}

#[tokio::test]
async fn what_is_withdrawn_before_the_commit_is_denied() {
    let world = World::new().await;
    let (change, record) = (
        world.permit(Put("a/key")).unwrap(),
        world.permit(Put("a/key")).unwrap(),
    );
    let caller = change.caller();
    let who = (Some(*caller.actor()), caller.device().copied());
    world
        .socket(|batch| batch.put_roles(&admin_roles(&[Role::Auditor])))
        .await;
    let before = world.entries().len();
    let result = world
        .recorder
        .change(change, &origin(), |batch| {
            ROWS.put(batch.rows(), &"a/key".to_owned(), &1);
            Ok::<_, Infallible>(())
        })
        .await;
    assert_eq!(denied(result.unwrap_err()), DenyReason::NoRole);
    let refused = world
        .recorder
        .record(record, origin(), Details::default())
        .await
        .err()
        .unwrap();
    assert!(matches!(refused, RecordError::Denied(denied) if denied.reason == DenyReason::NoRole));
    assert_eq!(world.row("a/key"), None);
    // Whoever decided first said yes, so that nobody else records the no.
    let entries = world.refused().await;
    assert_eq!(entries.len(), before + 2);
    for entry in &entries[before..] {
        assert_eq!(
            (&*entry.action, entry.decision, entry.reason.as_deref()),
            ("secret.write", Decision::Deny, Some("no_role"))
        );
        assert_eq!((entry.actor, entry.device), who);
        assert_eq!(entry.namespace, Some(shop()));
        assert_eq!(entry.resource.as_deref(), Some("secret/a/key"));
        assert_eq!((entry.time, entry.trace), (NOW, trace()));
    }
}

#[tokio::test]
async fn what_is_withdrawn_during_the_commit_is_denied() {
    let world = World::new().await;
    let permit = world.permit(Put("a/key")).unwrap();
    let built = Cell::new(0);
    let result = world
        .recorder
        .change(permit, &origin(), |batch| {
            built.set(built.get() + 1);
            ROWS.put(batch.rows(), &"a/key".to_owned(), &1);
            // The role goes after this change was decided and before it commits.
            std::thread::scope(|scope| {
                let gone = scope.spawn(|| {
                    procura_store::conformance::wait(
                        world.socket(|batch| batch.put_roles(&admin_roles(&[]))),
                    )
                });
                gone.join().unwrap();
            });
            Ok::<_, Infallible>(())
        })
        .await;
    assert_eq!(denied(result.unwrap_err()), DenyReason::NoRole);
    assert_eq!((built.get(), world.row("a/key")), (1, None));
    let entries = world.refused().await;
    let writes = entries
        .iter()
        .filter(|entry| entry.action == "secret.write");
    let said: Vec<_> = writes
        .map(|entry| (entry.decision, entry.reason.as_deref()))
        .collect();
    assert_eq!(said, [(Decision::Deny, Some("no_role"))]);
}

#[tokio::test]
async fn a_change_of_others_does_not_end_a_permit() {
    let world = World::new().await;
    let permit = world.permit(Put("a/key")).unwrap();
    world
        .socket(|batch| batch.put_roles(&admin_roles(&[Role::Admin, Role::Auditor])))
        .await;
    let recorded = world
        .recorder
        .record(permit, origin(), Details::default())
        .await
        .unwrap();
    assert_eq!(world.entries().last().unwrap().id, recorded.entry());
}

#[tokio::test]
async fn an_intent_is_there_before_the_effect_and_a_failure_after() {
    let world = World::new().await;
    let permit = world.permit(Put("a/key")).unwrap();
    let recorded = world
        .recorder
        .record(permit, origin(), Details::default())
        .await
        .unwrap();
    let intent = world.entries().pop().unwrap();
    assert_eq!((intent.id, intent.phase), (recorded.entry(), Phase::Intent));
    world
        .recorder
        .failed(&recorded, "value_unreadable")
        .await
        .unwrap();
    let outcome = world.entries().pop().unwrap();
    assert_eq!(
        (outcome.phase, outcome.decision),
        (Phase::Outcome, Decision::Failed)
    );
    assert_eq!(outcome.reason.as_deref(), Some("value_unreadable"));
    assert_eq!(
        (outcome.resource, outcome.trace),
        (intent.resource, intent.trace)
    );
}

#[tokio::test]
async fn a_sealed_store_takes_no_intent() {
    let world = World::new().await;
    world.store().seal();
    assert_eq!(world.unrecorded("a/key").await, CommitError::Sealed);
}

#[tokio::test]
async fn the_log_is_in_the_order_of_acknowledgement() {
    let world = World::new().await;
    let keys = ["a", "b", "c", "d", "e", "f"];
    for key in keys {
        world.put(key, 1).await.unwrap();
    }
    let resources: Vec<_> = world
        .entries()
        .iter()
        .skip(1)
        .map(|entry| entry.resource.clone().unwrap())
        .collect();
    assert_eq!(resources, keys.map(|key| format!("secret/{key}")));
    // And commits that overlap are in the order of their sequence.
    let (one, two) = tokio::join!(world.put("g", 1), world.put("h", 1));
    one.unwrap();
    two.unwrap();
    let world = world.reopen();
    assert_eq!(world.entries().len(), 9);
}
