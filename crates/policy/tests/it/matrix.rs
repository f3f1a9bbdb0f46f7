//! The printed table says what the decider does: every action, every kind of
//! caller, the right namespace and another.

use crate::world::{World, item, need, other, project, right, shows};
use procura_directory::TokenRefusal;
use procura_policy::{
    Action, Basis, Concerned, Denied, DenyReason, Resource, Rule, permission_matrix,
};
use procura_proof::foreign::Foreign;
use procura_proof::{Caller, Profile};
use procura_types::{ActorId, Amr, Namespace, Role};
use std::collections::BTreeMap;

/// The cells of the table by action and column.
pub(crate) fn table() -> BTreeMap<String, BTreeMap<String, String>> {
    let text = permission_matrix();
    let mut rows = text
        .lines()
        .filter(|line| line.starts_with('|') && !line.starts_with("|---"));
    let cells = |line: &str| -> Vec<String> {
        line.trim_matches('|')
            .split('|')
            .map(|cell| cell.trim().trim_matches('`').to_owned())
            .collect()
    };
    let head = cells(rows.next().unwrap());
    rows.map(|line| {
        let row = cells(line);
        assert_eq!(row.len(), head.len(), "{line}");
        (row[0].clone(), head.iter().cloned().zip(row).collect())
    })
    .collect()
}

pub(crate) fn resource(action: Action, namespace: &Namespace) -> Resource {
    let scope = action.as_str().split('.').next().unwrap();
    match (scope, action) {
        (
            "installation" | "recovery" | "unseal_source" | "operator" | "session" | "web_login"
            | "honey" | "quarantine" | "signing_key" | "proposal" | "server" | "release_key"
            | "release" | "approval_rule" | "break_glass" | "api_key",
            _,
        )
        | (
            _,
            Action::NamespaceCreate
            | Action::NamespaceList
            | Action::LedgerExport
            | Action::LedgerCheckpoint
            | Action::LedgerRetention,
        ) => Resource::Installation,
        _ => Resource::Namespace(namespace.clone()),
    }
}

/// Of what concerns this actor.
pub(crate) fn about(own: &ActorId) -> Concerned<'_> {
    Concerned::own(own)
}

/// What a caller hears who asks for something of their own.
pub(crate) fn ask(
    world: &World,
    caller: &Caller,
    action: Action,
    namespace: &Namespace,
) -> Result<Basis, Denied> {
    let own = *caller.actor();
    world.ask(caller, action, &resource(action, namespace), about(&own))
}

pub(crate) fn denied(reason: DenyReason, visible: bool) -> Result<Basis, Denied> {
    Err(Denied::new(reason, visible))
}

/// Why a caller without any title to the action hears no.
const fn without(rule: Rule) -> DenyReason {
    match rule {
        Rule::Roles(_) | Rule::OwnOr(_) | Rule::Anyone | Rule::Parts => DenyReason::NoRole,
        Rule::Member => DenyReason::NotMember,
        Rule::Grant => DenyReason::NoGrant,
        Rule::Token => DenyReason::Token(TokenRefusal::Unknown),
        Rule::Own => DenyReason::NotOwn,
        Rule::Joining | Rule::SigningIn | Rule::AdminSocket => DenyReason::WrongProfile,
    }
}

#[test]
fn every_action_has_a_row() {
    let table = table();
    let names: Vec<&str> = Action::ALL.iter().map(|action| action.as_str()).collect();
    assert_eq!(table.len(), names.len());
    for name in names {
        assert!(table.contains_key(name), "{name}");
    }
}

#[test]
fn roles_open_what_the_table_says() {
    let (world, table) = (World::new(), table());
    for action in Action::ALL.iter().copied() {
        for role in Role::ALL {
            for namespace in [right(), other()] {
                let resource = resource(action, &namespace);
                let found = world.plain(role.as_str(), action, &resource);
                let installation = resource.namespace().is_none();
                // A role of a namespace counts there and nowhere else.
                let counts = role == Role::Steward || (!installation && namespace == right());
                let printed = table[action.as_str()][role.as_str()] == "yes";
                let expected = match action.rule() {
                    Rule::Anyone => Ok(Basis::Anyone),
                    _ if printed && counts => Ok(Basis::Role(role)),
                    rule => {
                        let sees = installation || (role != Role::Steward && namespace == right());
                        let profile =
                            matches!(rule, Rule::Joining | Rule::SigningIn | Rule::AdminSocket);
                        let hidden = profile || rule == Rule::Member;
                        denied(without(rule), sees && !hidden)
                    }
                };
                assert_eq!(found, expected, "{role} {} {namespace}", action.as_str());
                if matches!(action.rule(), Rule::Anyone) {
                    assert!(printed, "{}", action.as_str());
                }
            }
        }
    }
}

#[test]
fn agents_may_what_the_table_says() {
    let (world, table) = (World::new(), table());
    let (web, items, here) = (project(), [item("KEY", "a/key")], right());
    let own = world.id("granted");
    let members = [own];
    for action in Action::ALL.iter().copied() {
        let resource = resource(action, &here);
        let rule = action.rule();
        let caller = world.caller("granted", Profile::Native);
        let ask = |concerned| world.ask(&caller, action, &resource, concerned);
        let printed = table[action.as_str()]["agent"].as_str();
        let nothing = ask(Concerned::default());
        let everything = ask(Concerned {
            own: Some(&own),
            members: &members,
            ..need(&here, &web, &items)
        });
        let name = action.as_str();
        match printed {
            "yes" => assert_eq!(
                (nothing, everything),
                (Ok(Basis::Anyone), Ok(Basis::Anyone)),
                "{name}"
            ),
            "" => {
                let hidden = matches!(rule, Rule::Joining | Rule::SigningIn | Rule::AdminSocket);
                let no = denied(without(rule), !hidden);
                assert_eq!((nothing, everything), (no.clone(), no), "{name}");
            }
            "named by the project or service" => {
                assert_eq!(nothing, denied(DenyReason::NotMember, false), "{name}");
                let asked = ask(Concerned {
                    members: &members,
                    ..Concerned::default()
                });
                assert_eq!(asked, Ok(Basis::Member), "{name}");
            }
            "with a covering grant" => {
                assert_eq!(nothing, denied(DenyReason::NoGrant, true), "{name}");
                let id = procura_types::GrantId::from_bytes([1; 16]);
                assert_eq!(
                    ask(need(&here, &web, &items)),
                    Ok(Basis::Grant(id)),
                    "{name}"
                );
            }
            "with its project token" => {
                assert_eq!(nothing, denied(without(rule), true), "{name}");
                let id = procura_types::GrantId::from_bytes([1; 16]);
                assert_eq!(ask(shows(&items)), Ok(Basis::Grant(id)), "{name}");
                // A grant without the token is none of it.
                assert_eq!(ask(need(&here, &web, &items)), nothing, "{name}");
            }
            "its own" => {
                assert_eq!(nothing, denied(without(rule), true), "{name}");
                let asked = ask(Concerned::own(&own));
                assert_eq!(asked, Ok(Basis::Own), "{name}");
            }
            other => panic!("the test does not know the cell {other:?} of {name}"),
        }
    }
}

#[test]
fn another_agent_has_nothing_of_it() {
    let world = World::new();
    let (web, items, here) = (project(), [item("KEY", "a/key")], right());
    let own = world.id("granted");
    let members = [own];
    for who in ["sibling", "stranger", "nobody"] {
        let caller = world.caller(who, Profile::Native);
        for action in Action::ALL.iter().copied() {
            let resource = resource(action, &here);
            let concerned = Concerned {
                own: Some(&own),
                members: &members,
                ..need(&here, &web, &items)
            };
            let concerned = Concerned {
                token: shows(&items).token,
                ..concerned
            };
            let found = world.ask(&caller, action, &resource, concerned);
            let rule = action.rule();
            let expected = if rule == Rule::Anyone {
                Ok(Basis::Anyone)
            } else {
                let sees = resource.namespace().is_none() || who == "sibling";
                let hidden = matches!(
                    rule,
                    Rule::Joining | Rule::SigningIn | Rule::AdminSocket | Rule::Member
                );
                let reason = match rule {
                    Rule::Token => DenyReason::Token(TokenRefusal::Device),
                    rule => without(rule),
                };
                denied(reason, sees && !hidden)
            };
            assert_eq!(found, expected, "{who} {}", action.as_str());
        }
    }
}

#[test]
fn what_anyone_may_is_in_a_namespace_for_those_with_a_part_in_it() {
    let world = World::new();
    let service = |namespace| Resource::Service(namespace, "web".parse().unwrap());
    let start = |who, namespace| world.plain(who, Action::SessionStart, &service(namespace));
    for who in ["admin", "approver", "auditor", "granted", "sibling"] {
        assert_eq!(start(who, right()), Ok(Basis::Anyone), "{who}");
    }
    let no = denied(DenyReason::NoRole, false);
    for who in ["steward", "stranger", "nobody"] {
        assert_eq!(start(who, right()), no, "{who}");
    }
    assert_eq!(start("admin", "nowhere".parse().unwrap()), no);
}

#[test]
fn link_codes_and_the_admin_socket_open_their_own_and_nothing_else() {
    let (world, table) = (World::new(), table());
    for action in Action::ALL.iter().copied() {
        let resource = resource(action, &right());
        let printed = table[action.as_str()]["other"].as_str();
        for (profile, cell, basis) in [
            (Profile::Join, "about to join", Basis::Joining),
            (
                Profile::AdminSocket,
                "on the admin socket",
                Basis::AdminSocket,
            ),
            (
                Profile::SigningIn(Amr::Passkey),
                "by signing in",
                Basis::SigningIn,
            ),
        ] {
            // Even with the identity of a steward.
            let caller = world.caller("steward", profile);
            let found = world.ask(&caller, action, &resource, Concerned::default());
            let expected = if printed == cell {
                Ok(basis)
            } else {
                denied(DenyReason::WrongProfile, false)
            };
            assert_eq!(found, expected, "{} {}", profile.as_str(), action.as_str());
        }
    }
}

/// What takes the device's own key.
const BY_OWN_KEY: [&str; 50] = [
    "agent.link",
    "agent.revoke",
    "agent.enrol.start",
    "agent.secret.rotate",
    "agent.sources",
    "api_key.create",
    "api_key.revoke",
    "approval_rule.set",
    "attestation.challenge",
    "attestation.make",
    "baseline.set",
    "break_glass.create",
    "break_glass.use",
    "device.revoke",
    "device_grant.approve",
    "foreign.bind",
    "installation.seal",
    "ledger.retention",
    "namespace.delete",
    "notify.write",
    "operator.device.hold",
    "operator.device.revoke",
    "operator.invite",
    "operator.link",
    "operator.oidc.link",
    "operator.passkey.invite",
    "operator.passkey.remove",
    "operator.password",
    "operator.recovery_codes",
    "operator.revoke",
    "operator.roles",
    "operator.totp",
    "operator.totp.confirm",
    "policy.state",
    "project.delete",
    "project.require_grade",
    "project_token.issue",
    "project_token.rotate",
    "proposal.refuse",
    "proposal.sign",
    "quarantine.lift",
    "release.add",
    "release.withdraw",
    "release_key.add",
    "release_key.remove",
    "secret.destroy",
    "server.remove",
    "session.start",
    "signing_key.retire",
    "transit.write",
];

#[test]
fn a_session_is_as_good_as_its_key_but_for_what_outlives_its_theft() {
    let (world, table) = (World::new(), table());
    let known: Vec<&str> = Action::ALL.iter().map(|action| action.as_str()).collect();
    for name in BY_OWN_KEY {
        assert!(known.contains(&name), "{name}");
    }
    for action in Action::ALL.iter().copied() {
        let name = action.as_str();
        let keyed = BY_OWN_KEY.contains(&name);
        assert_eq!(action.takes_own_key(), keyed, "{name}");
        let printed = table[name]["other"].as_str();
        assert_eq!(printed == "not in a session", keyed, "{name}");
        for namespace in [right(), other()] {
            let resource = resource(action, &namespace);
            for who in [
                "steward", "admin", "approver", "auditor", "granted", "nobody",
            ] {
                let own = world.id(who);
                for own in [None, Some(&own)] {
                    let concerned = Concerned {
                        own,
                        ..Concerned::default()
                    };
                    let [by_key, found] = [Profile::Native, Profile::Session].map(|profile| {
                        let caller = world.caller(who, profile);
                        world.ask(&caller, action, &resource, concerned)
                    });
                    // Who may not do it at all learns as much as by the key.
                    let expected = match by_key {
                        Ok(_) if keyed => denied(DenyReason::OwnKey, true),
                        same => same,
                    };
                    assert_eq!(found, expected, "{who} {name} {namespace}");
                }
            }
        }
    }
}

/// What proofs of other systems may be used for; everything else is closed to them.
const FOREIGN: [(&str, &[&str]); 6] = [
    ("key.read", &["key-server-v1", "guide-v1", "hmac-v2"]),
    ("key.list", &["key-server-v1", "guide-v1", "hmac-v2"]),
    ("request.create", &["key-server-v1", "guide-v1", "hmac-v2"]),
    ("honey.bait", &["key-server-v1", "guide-v1", "hmac-v2"]),
    ("agent.token.refresh", &["hmac-v2"]),
    ("foreign.weak", &["hmac-v1"]),
];

#[test]
fn proofs_of_other_systems_open_what_the_list_says_and_the_rule_too() {
    let (mut world, table) = (World::new(), table());
    for name in ["steward", "granted"] {
        world.bind(name);
    }
    let (web, items, here) = (project(), [item("KEY", "a/key")], right());
    for profile in Foreign::ALL {
        for action in Action::ALL.iter().copied() {
            let listed = FOREIGN.iter().find(|(name, _)| *name == action.as_str());
            let takes = listed.is_some_and(|(_, profiles)| profiles.contains(&profile.as_str()));
            let cell = &table[action.as_str()]["foreign profiles"];
            assert_eq!(
                cell.split(", ").any(|word| word == profile.as_str()),
                takes,
                "{} {profile}",
                action.as_str()
            );
            for who in ["steward", "granted"] {
                let own = world.id(who);
                let members = [own];
                let concerned = Concerned {
                    own: Some(&own),
                    members: &members,
                    ..need(&here, &web, &items)
                };
                let resource = resource(action, &here);
                let found = world.ask(&world.foreign(who, profile), action, &resource, concerned);
                let closed = matches!(
                    action.rule(),
                    Rule::Joining | Rule::SigningIn | Rule::AdminSocket
                );
                let expected = if takes {
                    world.ask(
                        &world.caller(who, Profile::Native),
                        action,
                        &resource,
                        concerned,
                    )
                } else {
                    let sees = resource.namespace().is_none() || who == "granted";
                    denied(DenyReason::WrongProfile, sees && !closed)
                };
                assert_eq!(found, expected, "{who} {profile} {}", action.as_str());
            }
        }
    }
}

#[test]
fn a_proof_of_another_system_ends_with_its_binding() {
    let mut world = World::new();
    world.bind("granted");
    let caller = world.foreign("granted", Foreign::HmacV2);
    let own = world.id("granted");
    let ask = |world: &World| {
        let concerned = Concerned::own(&own);
        let agent = Resource::Namespace(right());
        world.ask(&caller, Action::AgentTokenRefresh, &agent, concerned)
    };
    assert_eq!(ask(&world), Ok(Basis::Own));
    let no = denied(DenyReason::Revoked, false);
    // Under an id that is bound to nobody, to somebody else, or to another key.
    let bare = world.caller("granted", Profile::Foreign(Foreign::HmacV2));
    let found = world.ask(
        &bare,
        Action::AgentTokenRefresh,
        &Resource::Namespace(right()),
        Concerned::own(&own),
    );
    assert_eq!(found, no);
    world.rebind("granted", |record| record.device = None);
    assert_eq!(ask(&world), no);
    world.bind("granted");
    assert_eq!(ask(&world), Ok(Basis::Own));
    let sibling = world.id("sibling");
    world.rebind("granted", |record| record.actor = sibling);
    assert_eq!(ask(&world), no);
    world.rebind("granted", |record| {
        record.actor = own;
        record.released = Some(crate::world::NOW);
    });
    assert_eq!(ask(&world), no);
}
