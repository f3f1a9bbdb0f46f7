//! What the decider of a server says: roles and grants are the floor, and policies that
//! are in force take away from it.

use crate::world::{Deliver, Read, World, namespace, policy, word};
use procura_policy::{Action, Concerned, DenyReason, Op, PolicyRefusal, Resource};
use procura_types::wire::PolicyState;

const ALL: &str = "@id(\"all\") permit(principal, action, resource);\n";
const NONE: &str = "@id(\"none\") forbid(principal, action, resource);\n";

#[tokio::test]
async fn with_no_policy_in_force_nothing_changes() {
    let world = World::new().await;
    assert!(!world.snapshot().has_policies());
    let permit = world.key("ci").unwrap();
    assert!(permit.policies().is_none());
    // A version that only lies there is none that counts.
    world.put("adam", Some("shop"), NONE).await.unwrap();
    assert!(!world.snapshot().has_policies());
    assert_eq!(word(world.key("ci")), "allowed");
}

#[tokio::test]
async fn what_roles_and_grants_deny_stays_denied() {
    let world = World::new().await;
    world.enforce(Some("shop"), ALL).await;
    world.enforce(None, ALL).await;
    let more = Deliver::of("shop", &[("MORE", "a/more")]);
    assert_eq!(word(world.permit("ci", more)), "no_grant");
    assert_eq!(word(world.permit("ci", Read(namespace("shop")))), "no_role");
    assert_eq!(
        word(world.permit("robber", Deliver::of("shop", &[("KEY", "a/key")]))),
        "no_grant"
    );
}

#[tokio::test]
async fn what_no_policy_permits_is_denied_to_agents() {
    let world = World::new().await;
    let text = "@id(\"dev\") permit(principal == Procura::Agent::\"shop/dev\", action, resource);";
    world.enforce(Some("shop"), text).await;
    let permit = world.key("dev").unwrap();
    assert_eq!(permit.policies().unwrap().as_ref(), "shop@1:dev");
    let denied = world.key("ci").err().unwrap();
    assert_eq!(denied.reason, policy(PolicyRefusal::NonePermits));
    assert!(denied.visible && denied.policies.is_none());
}

#[tokio::test]
async fn a_forbid_wins_and_is_named() {
    let world = World::new().await;
    world.enforce(Some("shop"), &format!("{ALL}{NONE}")).await;
    let denied = world.key("ci").err().unwrap();
    assert_eq!(denied.reason, policy(PolicyRefusal::Forbids));
    assert_eq!(denied.policies.unwrap().as_ref(), "shop@1:none");
}

#[tokio::test]
async fn each_scope_has_to_allow_it_for_itself() {
    let world = World::new().await;
    world.enforce(Some("shop"), ALL).await;
    world.enforce(None, ALL).await;
    let permit = world.key("ci").unwrap();
    assert_eq!(permit.policies().unwrap().as_ref(), "/@1:all shop@1:all");
    // In a namespace without policies of its own those of the installation count alone.
    let permit = world.key("robber").unwrap();
    assert_eq!(permit.policies().unwrap().as_ref(), "/@1:all");
    let quiet = "@id(\"quiet\") forbid(principal, action, resource) when { resource.namespace == \"shop\" };";
    world.enforce(None, &format!("{ALL}{quiet}")).await;
    let denied = world.key("ci").err().unwrap();
    assert_eq!(denied.policies.unwrap().as_ref(), "/@2:quiet");
    assert_eq!(word(world.key("robber")), "allowed");
    world.enforce(None, "").await;
    assert_eq!(word(world.key("ci")), "no_policy_permits");
    assert_eq!(word(world.key("robber")), "no_policy_permits");
}

#[tokio::test]
async fn policies_of_one_namespace_never_touch_another() {
    let world = World::new().await;
    // It says that it is about the other one.
    let text = "@id(\"theirs\") forbid(principal, action, resource in Procura::Namespace::\"bank\");\n\
                @id(\"robber\") forbid(principal == Procura::Agent::\"bank/robber\", action, resource);";
    world.enforce(Some("shop"), &format!("{ALL}{text}")).await;
    assert_eq!(word(world.key("robber")), "allowed");
    assert!(world.key("robber").unwrap().policies().is_none());
    assert_eq!(
        word(world.permit("bert", Read(namespace("bank")))),
        "allowed"
    );
    assert_eq!(word(world.key("ci")), "allowed");
}

#[tokio::test]
async fn an_admin_says_nothing_about_policies_elsewhere() {
    let world = World::new().await;
    for of in [Some("bank"), None] {
        let op = procura_cedar::PolicyPut {
            namespace: of.map(namespace),
            text: ALL.into(),
        };
        let denied = world.permit("adam", op).err().unwrap();
        assert_eq!(denied.reason, DenyReason::NoRole, "{of:?}");
    }
    let agent = procura_cedar::PolicyListing {
        namespace: Some(namespace("shop")),
    };
    assert_eq!(word(world.permit("ci", agent)), "no_role");
}

#[tokio::test]
async fn operators_lose_only_what_is_forbidden_and_can_always_repair_policies() {
    let world = World::new().await;
    // Nobody permits anything: operators do not need it.
    world.enforce(Some("shop"), "").await;
    assert_eq!(
        word(world.permit("adam", Read(namespace("shop")))),
        "allowed"
    );
    world.enforce(Some("shop"), NONE).await;
    world.enforce(None, NONE).await;
    let denied = world.permit("adam", Read(namespace("shop"))).err().unwrap();
    assert_eq!(denied.reason, policy(PolicyRefusal::Forbids));
    // What it takes to put policies right, and to stop a steward, no policy takes away.
    for (who, of) in [
        ("adam", Some("shop")),
        ("alice", Some("shop")),
        ("alice", None),
    ] {
        let made = world.put(who, of, ALL).await.unwrap();
        let state = PolicyState::Draft;
        world.set(who, of, made.version, state).await.unwrap();
    }
    let own = world.id("alice");
    let concerned = Concerned::own(&own);
    for action in [
        Action::OperatorRevoke,
        Action::ProposalCreate,
        Action::SessionStart,
    ] {
        let asked = world.ask("alice", action, &Resource::Installation, concerned);
        assert_eq!(word(asked), "allowed", "{}", action.as_str());
    }
    let asked = world.ask(
        "alice",
        Action::NamespaceCreate,
        &Resource::Installation,
        concerned,
    );
    assert_eq!(word(asked), "policy_forbids");
    world
        .set("alice", None, 1, PolicyState::Draft)
        .await
        .unwrap();
    let asked = world.ask(
        "alice",
        Action::NamespaceCreate,
        &Resource::Installation,
        concerned,
    );
    assert_eq!(word(asked), "allowed");
}

#[tokio::test]
async fn decisions_are_recorded_with_the_policies_that_decided() {
    let world = World::new().await;
    world.enforce(Some("shop"), ALL).await;
    world.delivered("ci").await.unwrap();
    let entry = world.entries().pop().unwrap();
    assert_eq!(entry.action, "run.deliver");
    assert_eq!(entry.policies.as_deref(), Some("shop@1:all"));
    world
        .set("adam", Some("shop"), 1, PolicyState::Draft)
        .await
        .unwrap();
    world.delivered("ci").await.unwrap();
    assert_eq!(world.entries().pop().unwrap().policies, None);
}

#[tokio::test]
async fn a_permit_is_decided_again_when_policies_change() {
    let world = World::new().await;
    let permit = world.key("ci").unwrap();
    world.enforce(Some("shop"), NONE).await;
    assert_eq!(word(world.record(permit).await), "policy_forbids");
}

#[tokio::test]
async fn a_kept_decision_ends_with_any_change() {
    let world = World::new().await;
    world.enforce(Some("shop"), ALL).await;
    for _ in 0..3 {
        assert_eq!(word(world.key("ci")), "allowed");
    }
    world.enforce(Some("shop"), NONE).await;
    for _ in 0..3 {
        assert_eq!(word(world.key("ci")), "policy_forbids");
    }
    // Another agent, other values and another action are other decisions.
    let text = "@id(\"p\") permit(principal == Procura::Agent::\"shop/ci\", action == Procura::Action::\"run.deliver\", resource) when { context.path == \"a/key\" };";
    world.enforce(Some("shop"), text).await;
    for _ in 0..2 {
        assert_eq!(word(world.key("ci")), "allowed");
        assert_eq!(word(world.key("dev")), "no_policy_permits");
        let salt = Deliver::of("shop", &[("SALT", "b/salt")]);
        assert_eq!(word(world.permit("ci", salt)), "no_policy_permits");
        let both = Deliver::of("shop", &[("KEY", "a/key"), ("SALT", "b/salt")]);
        assert_eq!(word(world.permit("ci", both)), "no_policy_permits");
    }
}

#[tokio::test]
async fn what_depends_on_the_time_is_never_kept() {
    let world = World::new().await;
    let text = "@id(\"p\") permit(principal, action == Procura::Action::\"run.deliver\", resource) when { context.minute_of_day < 631 };";
    world.enforce(Some("shop"), text).await;
    // It begins at 10:30.
    assert_eq!(word(world.key("ci")), "allowed");
    world.at(59_999);
    assert_eq!(word(world.key("ci")), "allowed");
    world.at(60_000);
    assert_eq!(word(world.key("ci")), "no_policy_permits");
}

/// An operator says that a device which asks is this agent's.
struct Approve(&'static str);

impl Op for Approve {
    const ACTION: Action = Action::DeviceGrantApprove;
    fn resource(&self) -> Resource {
        Resource::Agent(namespace("shop"), self.0.parse().unwrap())
    }
}

#[tokio::test]
async fn devices_of_one_agent_can_be_kept_from_being_approved() {
    let world = World::new().await;
    let text = "@id(\"no_ci\") forbid(principal, action == Procura::Action::\"device_grant.approve\", resource == Procura::ManagedAgent::\"shop/ci\");";
    world.enforce(Some("shop"), text).await;
    let denied = world.permit("adam", Approve("ci")).err().unwrap();
    assert_eq!(denied.reason, policy(PolicyRefusal::Forbids));
    assert_eq!(denied.policies.unwrap().as_ref(), "shop@1:no_ci");
    assert_eq!(word(world.permit("adam", Approve("dev"))), "allowed");
    // By name as well, and it is no other kind of thing.
    let text = "@id(\"named\") forbid(principal, action == Procura::Action::\"device_grant.approve\", resource) when { resource.name == \"dev\" };";
    world.enforce(Some("shop"), text).await;
    assert_eq!(word(world.permit("adam", Approve("dev"))), "policy_forbids");
    assert_eq!(word(world.permit("adam", Approve("ci"))), "allowed");
}
