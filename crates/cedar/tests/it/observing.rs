//! What is observed decides nothing, and is reported.

use crate::world::{World, namespace, word};
use procura_types::wire::{PolicyState, PolicyWould};

const ALL: &str = "@id(\"all\") permit(principal, action, resource);\n";
const CI: &str =
    "@id(\"ci\") permit(principal == Procura::Agent::\"shop/ci\", action, resource);\n";

async fn observe(world: &World, text: &str) -> u32 {
    let made = world.put("adam", Some("shop"), text).await.unwrap();
    let state = PolicyState::Observe;
    let set = world.set("adam", Some("shop"), made.version, state).await;
    assert_eq!(set.unwrap().state, PolicyState::Observe);
    made.version
}

fn report(world: &World) -> procura_types::wire::PolicyReport {
    world
        .decider
        .report(&world.snapshot(), Some(&namespace("shop")))
}

#[tokio::test]
async fn what_would_be_denied_is_told_with_its_owner() {
    let world = World::new().await;
    let version = observe(&world, CI).await;
    for _ in 0..3 {
        assert_eq!(word(world.key("dev")), "allowed");
        assert!(world.key("dev").unwrap().policies().is_none());
    }
    assert_eq!(word(world.key("ci")), "allowed");
    let report = report(&world);
    assert_eq!((report.version, report.decisions), (Some(version), 7));
    assert_eq!(report.lines.len(), 1);
    let line = &report.lines[0];
    assert_eq!(line.would, PolicyWould::WouldDeny);
    assert_eq!(
        (line.actor.as_str(), line.owner.as_str()),
        ("adam//dev", "adam")
    );
    assert_eq!(
        (line.action.as_str(), line.resource.as_str(), line.count),
        ("run.deliver", "project/web", 6)
    );
    assert_eq!(line.reason, "no_policy_permits");
}

#[tokio::test]
async fn what_would_be_allowed_is_told_beside_what_decides() {
    let world = World::new().await;
    world.enforce(Some("shop"), CI).await;
    observe(&world, ALL).await;
    assert_eq!(word(world.key("dev")), "no_policy_permits");
    assert_eq!(word(world.key("ci")), "allowed");
    let report = report(&world);
    assert_eq!(report.lines.len(), 1);
    assert_eq!(report.lines[0].would, PolicyWould::WouldAllow);
    assert_eq!(report.lines[0].by, ["all"]);
    // What roles and grants deny no policy would allow.
    let none = crate::world::Deliver::of("shop", &[("MORE", "a/more")]);
    assert_eq!(word(world.permit("dev", none)), "no_grant");
    assert_eq!(self::report(&world).decisions, 2);
}

#[tokio::test]
async fn another_version_begins_a_new_report() {
    let world = World::new().await;
    observe(&world, CI).await;
    assert_eq!(word(world.key("dev")), "allowed");
    assert_eq!(report(&world).lines.len(), 1);
    let version = observe(&world, ALL).await;
    assert_eq!(
        (report(&world).version, report(&world).decisions),
        (Some(version), 0)
    );
    assert!(report(&world).lines.is_empty());
    world
        .set("adam", Some("shop"), version, PolicyState::Draft)
        .await
        .unwrap();
    assert_eq!(report(&world).version, None);
}

#[tokio::test]
async fn enforcing_what_was_observed_does_what_it_said() {
    let world = World::new().await;
    let version = observe(&world, CI).await;
    assert_eq!(word(world.key("dev")), "allowed");
    let state = PolicyState::Enforce;
    let set = world
        .set("adam", Some("shop"), version, state)
        .await
        .unwrap();
    assert_eq!(set.state, PolicyState::Enforce);
    assert_eq!(word(world.key("dev")), "no_policy_permits");
    assert_eq!(report(&world).version, None);
}
