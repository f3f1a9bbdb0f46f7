//! So many times an hour and no more, exactly.

use crate::world::{Deliver, World, word};
use procura_ledger::Decision;

const HOUR: u64 = 3_600_000;

fn limit(most: u32) -> String {
    format!(
        "@id(\"all\") permit(principal, action, resource);\n\
         @id(\"rate\") forbid(principal, action == Procura::Action::\"run.deliver\", resource) when {{ context.uses_last_hour >= {most} }};"
    )
}

#[tokio::test]
async fn a_limit_holds_at_its_edge_and_for_an_hour() {
    let world = World::new().await;
    world.enforce(Some("shop"), &limit(3)).await;
    for n in 0..3 {
        world.at(n);
        world.delivered("ci").await.unwrap();
    }
    let denied = world.delivered("ci").await.unwrap_err();
    assert_eq!(denied.policies.as_deref(), Some("shop@1:rate"));
    world.at(HOUR - 1);
    assert_eq!(word(world.delivered("ci").await), "policy_forbids");
    // The first is an hour ago: one more, and not two.
    world.at(HOUR);
    world.delivered("ci").await.unwrap();
    assert_eq!(word(world.delivered("ci").await), "policy_forbids");
    // Each agent for itself.
    world.delivered("dev").await.unwrap();
}

#[tokio::test]
async fn what_was_decided_and_not_recorded_does_not_count() {
    let world = World::new().await;
    world.enforce(Some("shop"), &limit(1)).await;
    for _ in 0..5 {
        assert_eq!(word(world.key("ci")), "allowed");
    }
    world.delivered("ci").await.unwrap();
    assert_eq!(word(world.key("ci")), "policy_forbids");
}

/// Many have their permit before the first of them is recorded.
#[tokio::test]
async fn of_many_at_once_no_more_than_the_limit_pass() {
    let world = World::new().await;
    world.enforce(Some("shop"), &limit(4)).await;
    let permits: Vec<_> = (0..10).map(|_| world.key("ci").unwrap()).collect();
    let mut passed = 0;
    for permit in permits {
        match world.record(permit).await {
            Ok(()) => passed += 1,
            Err(denied) => assert_eq!(denied.to_string(), "policy_forbids"),
        }
    }
    assert_eq!(passed, 4);
    // Each of them had a yes before, and its no stands in the record.
    world.recorder.drain_refusals().await;
    let entries = world.entries();
    let refused: Vec<_> = entries
        .iter()
        .filter(|entry| entry.decision == Decision::Deny)
        .map(|entry| (&*entry.action, entry.reason.as_deref()))
        .collect();
    assert_eq!(refused, [("run.deliver", Some("policy_forbids")); 6]);
    let last = entries.last().unwrap();
    assert_eq!(last.policies.as_deref(), Some("shop@1:rate"));
    assert_eq!(last.namespace, Some("shop".parse().unwrap()));
    assert!(last.actor.is_some() && last.device.is_some());
}

#[tokio::test]
async fn a_limit_is_counted_from_when_it_counts() {
    let world = World::new().await;
    world.delivered("ci").await.unwrap();
    world.enforce(Some("shop"), &limit(1)).await;
    world.delivered("ci").await.unwrap();
    assert_eq!(word(world.delivered("ci").await), "policy_forbids");
    // What a limit does not look at is not counted by it.
    let other = Deliver::of("shop", &[("SALT", "b/salt")]);
    assert_eq!(word(world.permit("ci", other)), "policy_forbids");
}
