//! What clients of CortexAuth may do while they are moved here.

use crate::matrix::{denied, resource, table};
use crate::world::{World, item, need, project, right, shows};
use procura_directory::{TokenRecord, TokenRefusal};
use procura_policy::{Action, Basis, Concerned, DenyReason, Resource, Rule};
use procura_proof::{Caller, Profile};
use procura_types::{GrantId, Thumbprint};

/// The key of a daemon's process.
const PROCESS: Thumbprint = Thumbprint::from_bytes([77; 32]);

/// All of it, and whether it takes a request that a process signed; everything else is
/// closed to them.
const TAKEN: [(&str, bool); 7] = [
    ("device_grant.ask", false),
    ("legacy.login", false),
    ("legacy.attest", false),
    ("project_token.issue", true),
    ("project_token.use", true),
    ("request.create", true),
    ("run.deliver", true),
];

fn legacy(world: &World, who: &str, process: Option<Thumbprint>) -> Caller {
    let native = world.caller(who, Profile::Native);
    native.as_legacy(who.parse().unwrap(), process)
}

#[test]
fn they_open_what_the_list_says_and_the_rule_too() {
    let (mut world, table) = (World::new(), table());
    for name in ["steward", "granted"] {
        world.bind(name);
    }
    let (web, items, here) = (project(), [item("KEY", "a/key")], right());
    for (signed, word) in [(false, "legacy (login)"), (true, "legacy")] {
        for action in Action::ALL.iter().copied() {
            let (name, resource) = (action.as_str(), resource(action, &here));
            let takes = TAKEN.contains(&(name, signed));
            let cell = &table[name]["foreign profiles"];
            assert_eq!(cell.split(", ").any(|one| one == word), takes, "{name}");
            for who in ["steward", "granted"] {
                let own = world.id(who);
                let members = [own];
                let concerned = Concerned {
                    own: Some(&own),
                    members: &members,
                    ..need(&here, &web, &items)
                };
                let caller = legacy(&world, who, signed.then_some(PROCESS));
                let found = world.ask(&caller, action, &resource, concerned);
                let joining = action.rule() == Rule::Joining;
                let closed =
                    joining || matches!(action.rule(), Rule::SigningIn | Rule::AdminSocket);
                let expected = match (takes, joining) {
                    (true, true) => Ok(Basis::Joining),
                    (true, false) => {
                        let native = world.caller(who, Profile::Native);
                        world.ask(&native, action, &resource, concerned)
                    }
                    (false, _) => {
                        let sees = resource.namespace().is_none() || who == "granted";
                        denied(DenyReason::WrongProfile, sees && !closed)
                    }
                };
                assert_eq!(found, expected, "{who} {name} {word}");
            }
        }
    }
}

#[test]
fn a_token_is_for_the_process_that_it_was_given_to() {
    let mut world = World::new();
    world.bind("granted");
    let (items, web) = (
        [item("KEY", "a/key")],
        Resource::Project(right(), project()),
    );
    let yes = Ok(Basis::Grant(GrantId::from_bytes([1; 16])));
    let no = denied(DenyReason::Token(TokenRefusal::Device), true);
    let ask = |world: &World, caller: &Caller| {
        world.ask(caller, Action::ProjectTokenUse, &web, shows(&items))
    };
    let device = world.device("granted");
    let other = Thumbprint::from_bytes([78; 32]);
    let native = world.caller("granted", Profile::Native);
    let callers = [
        native,
        legacy(&world, "granted", Some(PROCESS)),
        legacy(&world, "granted", Some(other)),
        legacy(&world, "granted", Some(device)),
    ];
    let id = || Some("granted".parse().unwrap());
    for (what, holder, foreign, opens) in [
        ("a device's", device, None, 0),
        ("a process's", PROCESS, id(), 1),
        // Of a process that has the key of a device, too, each kind uses its own.
        ("of a process with that key", device, id(), 3),
    ] {
        let token = TokenRecord {
            device: holder,
            foreign,
            ..world.token("granted")
        };
        world.put(procura_directory::Change::Token(token));
        for (place, caller) in callers.iter().enumerate() {
            let expected = if place == opens { &yes } else { &no };
            assert_eq!(&ask(&world, caller), expected, "{what}, {place}");
        }
    }
    // Nor by another id of the same agent.
    let token = TokenRecord {
        device: PROCESS,
        foreign: Some("another".parse().unwrap()),
        ..world.token("granted")
    };
    world.put(procura_directory::Change::Token(token));
    assert_eq!(ask(&world, &callers[1]), no);
}

#[test]
fn what_they_prove_ends_with_the_binding_of_the_id() {
    let mut world = World::new();
    world.bind("granted");
    let caller = legacy(&world, "granted", None);
    let own = world.id("granted");
    let ask = |world: &World| {
        let concerned = Concerned::own(&own);
        let agent = Resource::Namespace(right());
        world.ask(&caller, Action::LegacyAttest, &agent, concerned)
    };
    assert_eq!(ask(&world), Ok(Basis::Own));
    let no = denied(DenyReason::Revoked, false);
    world.rebind("granted", |record| record.device = None);
    assert_eq!(ask(&world), no);
    let sibling = world.id("sibling");
    world.rebind("granted", |record| record.actor = sibling);
    assert_eq!(ask(&world), no);
    world.rebind("granted", |record| {
        record.actor = own;
        record.released = Some(crate::world::NOW);
    });
    assert_eq!(ask(&world), no);
}
