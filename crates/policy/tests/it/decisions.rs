//! What the table does not print: revocation, grants at their edges, permits.

use crate::world::{NOW, World, item, need, other, project, right};
use procura_directory::{Change, Snapshot};
use procura_policy::{
    Action, Basis, Concerned, Denied, DenyReason, Op, Resource, RoleDecider, Rule, authorize,
};
use procura_proof::{Caller, Profile};
use procura_types::wire::RoleAssignment;
use procura_types::{Delivery, GrantId, Role, Timestamp};

fn revoke_device(world: &mut World, name: &str) {
    let device = world.snapshot.device(&world.device(name)).unwrap();
    let mut device = device.as_ref().clone();
    device.revoked = Some(NOW);
    world.put(Change::Device(device));
}

fn revoke_actor(world: &mut World, name: &str) {
    let actor = world.snapshot.actor(&world.id(name)).unwrap();
    let mut actor = actor.as_ref().clone();
    actor.revoked = Some(NOW);
    world.put(Change::Actor(actor));
}

/// Every action that needs an actor is denied as `revoked`, whatever they hold.
fn assert_dead(world: &World, caller: &Caller, what: &str) {
    let own = *caller.actor();
    let members = [own];
    let (here, web, items) = (right(), project(), [item("KEY", "a/key")]);
    for action in Action::ALL.iter().copied() {
        if matches!(
            action.rule(),
            Rule::Joining | Rule::SigningIn | Rule::AdminSocket
        ) {
            continue;
        }
        let concerned = Concerned {
            own: Some(&own),
            members: &members,
            ..need(&here, &web, &items)
        };
        let found = world.ask(
            caller,
            action,
            &Resource::Namespace(here.clone()),
            concerned,
        );
        let no = Denied::new(DenyReason::Revoked, false);
        assert_eq!(found, Err(no), "{what} {}", action.as_str());
    }
}

#[test]
fn a_revoked_device_may_nothing() {
    for name in ["steward", "admin", "approver", "auditor", "granted"] {
        let mut world = World::new();
        revoke_device(&mut world, name);
        assert_dead(&world, &world.caller(name, Profile::Native), name);
        assert_dead(&world, &world.caller(name, Profile::Session), name);
    }
}

#[test]
fn a_revoked_actor_takes_everything_below_along() {
    let mut world = World::new();
    world.agent("child", "granted", right());
    world.agent("grandchild", "child", right());
    revoke_actor(&mut world, "granted");
    for name in ["granted", "child", "grandchild"] {
        assert_dead(&world, &world.caller(name, Profile::Native), name);
    }
    let list = world.plain("sibling", Action::NamespaceList, &Resource::Installation);
    assert_eq!(list, Ok(Basis::Anyone));
    revoke_actor(&mut world, "admin");
    assert_dead(&world, &world.caller("sibling", Profile::Native), "sibling");
}

#[test]
fn a_device_speaks_for_its_own_actor_only() {
    let world = World::new();
    let (steward, nobody) = (world.id("steward"), world.device("nobody"));
    let seq = world.snapshot.seq();
    let stolen = Caller::fake(Profile::Native, steward, steward, Some(nobody), seq);
    assert_dead(&world, &stolen, "another's device");
    let none = Caller::fake(Profile::Native, steward, steward, None, seq);
    assert_dead(&world, &none, "no device");
}

#[test]
fn a_namespace_that_does_not_exist_is_open_to_nobody() {
    let world = World::new();
    let nowhere = Resource::Namespace("nowhere".parse().unwrap());
    for name in ["steward", "admin", "granted"] {
        for action in Action::ALL.iter().copied() {
            if matches!(
                action.rule(),
                Rule::Joining | Rule::SigningIn | Rule::AdminSocket
            ) {
                continue;
            }
            let no = Denied::new(DenyReason::NoRole, false);
            assert_eq!(
                world.plain(name, action, &nowhere),
                Err(no),
                "{name} {}",
                action.as_str()
            );
        }
    }
}

#[test]
fn only_a_grant_that_holds_and_covers_delivers() {
    let (here, there, web) = (right(), other(), project());
    let (key, salt) = (item("KEY", "a/key"), item("SALT", "a/salt"));
    let ask = |world: &World, who: &str, concerned: Concerned<'_>| {
        let caller = world.caller(who, Profile::Native);
        let resource = Resource::Project(here.clone(), web.clone());
        world
            .ask(&caller, Action::RunDeliver, &resource, concerned)
            .map_err(|denied| denied.reason)
    };
    let world = World::new();
    let id = Basis::Grant(GrantId::from_bytes([1; 16]));
    let both = [key.clone(), salt.clone()];
    assert_eq!(ask(&world, "granted", need(&here, &web, &both)), Ok(id));
    assert_eq!(ask(&world, "granted", need(&here, &web, &[salt])), Ok(id));
    let no = Err(DenyReason::NoGrant);
    // A remapped name, another project, another namespace, one name more.
    let remapped = [item("KEY", "b/key")];
    assert_eq!(ask(&world, "granted", need(&here, &web, &remapped)), no);
    let more = [key.clone(), item("MORE", "a/more")];
    assert_eq!(ask(&world, "granted", need(&here, &web, &more)), no);
    let cron = "cron".parse().unwrap();
    assert_eq!(ask(&world, "granted", need(&here, &cron, &both)), no);
    assert_eq!(ask(&world, "granted", need(&there, &web, &both)), no);
    assert_eq!(ask(&world, "sibling", need(&here, &web, &both)), no);
    // A child inherits nothing.
    let mut world = World::new();
    world.agent("child", "granted", here.clone());
    assert_eq!(ask(&world, "child", need(&here, &web, &both)), no);
    // Not yet, no longer, withdrawn.
    let millis = NOW.as_millis();
    let edges: [(u64, u64, bool, bool); 5] = [
        (millis, millis + 1, false, true),
        (millis + 1, millis + 2, false, false),
        (millis - 2, millis, false, false),
        (millis - 2, millis + 2, true, false),
        (millis - 2, millis + 2, false, true),
    ];
    for (from, until, withdrawn, holds) in edges {
        let mut world = World::new();
        let mut grant = world.grant("granted", [1; 16]);
        grant.from = Timestamp::from_millis(from);
        grant.until = Timestamp::from_millis(until);
        grant.withdrawn = withdrawn.then_some(NOW);
        assert_eq!(grant.delivery, Delivery::Env);
        world.put(Change::Grant(grant));
        let expected = if holds { Ok(id) } else { no };
        assert_eq!(
            ask(&world, "granted", need(&here, &web, &both)),
            expected,
            "{from} {until} {withdrawn}"
        );
    }
}

struct Write;

impl Op for Write {
    const ACTION: Action = Action::SecretWrite;
    fn resource(&self) -> Resource {
        Resource::Secret(right(), "a/key".parse().unwrap())
    }
}

fn authorized(world: &World, name: &str) -> Option<procura_policy::Permit<Write>> {
    let caller = world.caller(name, Profile::Native);
    authorize(&RoleDecider, &world.snapshot, caller, Write, NOW).ok()
}

#[test]
fn a_permit_names_who_what_and_by_what() {
    let world = World::new();
    let permit = authorized(&world, "admin").unwrap();
    assert_eq!(permit.caller().actor(), &world.id("admin"));
    assert_eq!(permit.resource().to_string(), "secret/a/key");
    assert_eq!(permit.basis(), Basis::Role(Role::Admin));
    assert_eq!(permit.directory_seq(), world.snapshot.seq());
    assert!(authorized(&world, "auditor").is_none());
}

#[test]
fn a_permit_ends_with_the_role_it_stands_on() {
    let mut world = World::new();
    let mut permit = authorized(&world, "admin").unwrap();
    let before: Snapshot = world.snapshot.clone();
    world.put(Change::Roles(procura_directory::RolesRecord {
        actor: world.id("admin"),
        roles: vec![RoleAssignment {
            role: Role::Admin,
            namespace: Some(other()),
        }],
    }));
    permit.renew(&RoleDecider, &before, NOW).unwrap();
    let denied = permit
        .renew(&RoleDecider, &world.snapshot, NOW)
        .unwrap_err();
    assert_eq!(denied.reason, DenyReason::NoRole);
}
