//! Who holds roles and may do less all the same: break-glass accounts until they are used
//! and after, and the devices of API keys.

use crate::matrix::{about, ask, denied, resource, table};
use crate::world::{NOW, World, other, right};
use procura_directory::{
    ApiKeyRecord, ApiKeyRefusal, BreakGlassClosed, BreakGlassRecord, Change, QuarantineRecord,
    RolesRecord, Suspect, TokenHash,
};
use procura_policy::{Action, Basis, DenyReason, Resource, Rule};
use procura_proof::{Caller, Profile};
use procura_types::wire::RoleAssignment;
use procura_types::{Amr, Duration, Namespace, Role, Thumbprint, Timestamp};

/// What automation may do; everything else is closed to it, whatever its operator may do.
const TAKEN: [&str; 44] = [
    "agent.create",
    "agent.display_name",
    "agent.link",
    "agent.list",
    "agent.revoke",
    "agent.sources",
    "attestation.list",
    "device.revoke",
    "events.read",
    "foreign.list",
    "grant.read",
    "grant.withdraw",
    "installation.backup",
    "installation.check",
    "ledger.checkpoint",
    "ledger.export",
    "ledger.read",
    "namespace.list",
    "namespace.read",
    "notify.read",
    "policy.read",
    "policy.write",
    "project.read",
    "project.write",
    "project_token.list",
    "project_token.revoke",
    "project_token.revoke_all",
    "release.add",
    "release.list",
    "request.deny",
    "request.list",
    "request.read",
    "secret.delete",
    "secret.history",
    "secret.import",
    "secret.list",
    "secret.read",
    "secret.set",
    "secret.write",
    "server.list",
    "service.read",
    "service.write",
    "signing_key.list",
    "transit.list",
];

const TOKEN: TokenHash = TokenHash::from_bytes([1; 32]);

/// Whether the rule opens an action to whoever has a device at all.
fn takes_a_device(action: Action) -> bool {
    !matches!(
        action.rule(),
        Rule::Joining | Rule::SigningIn | Rule::AdminSocket
    )
}

/// What the operator who makes accounts here may do.
fn maker(world: &mut World, role: Role, namespace: Option<Namespace>) {
    let record = RolesRecord {
        actor: world.id("approver"),
        roles: vec![RoleAssignment { role, namespace }],
    };
    world.put(Change::Roles(record));
}

/// The account `steward`, which another one made.
fn account(world: &mut World, used: Option<Timestamp>) {
    maker(world, Role::Steward, None);
    let record = BreakGlassRecord {
        actor: world.id("steward"),
        made_by: world.id("approver"),
        minutes: 60,
        created: NOW.minus(Duration::from_secs(86_400)),
        used,
    };
    world.put(Change::BreakGlass(record));
}

#[test]
fn a_break_glass_account_does_nothing_but_open_until_it_is_used_and_after() {
    let hour = Duration::from_secs(3600);
    let millisecond = Duration::from_millis(1);
    for (used, closed) in [
        (None, Some(BreakGlassClosed::Sealed)),
        (Some(NOW.minus(hour)), Some(BreakGlassClosed::Over)),
        // A clock that went back opens nothing.
        (Some(NOW.plus(millisecond)), Some(BreakGlassClosed::Over)),
        (Some(NOW), None),
        (Some(NOW.minus(hour).plus(millisecond)), None),
    ] {
        let plain = World::new();
        let mut world = World::new();
        account(&mut world, used);
        let own = world.id("steward");
        let browser =
            Caller::fake(Profile::WebLogin(Amr::Passkey), own, own, None, 1).authenticated_at(NOW);
        for action in Action::ALL
            .iter()
            .copied()
            .filter(|one| takes_a_device(*one))
        {
            let on = resource(action, &right());
            for caller in [
                world.caller("steward", Profile::Native),
                world.caller("steward", Profile::Session),
            ] {
                let found = world.ask(&caller, action, &on, about(&own));
                let expected = match closed {
                    Some(closed) if action != Action::BreakGlassUse => {
                        denied(DenyReason::BreakGlass(closed), false)
                    }
                    _ => plain.ask(&caller, action, &on, about(&own)),
                };
                assert_eq!(found, expected, "{used:?} {}", action.as_str());
            }
            if let Some(closed) = closed.filter(|_| action != Action::BreakGlassUse) {
                let found = world.ask(&browser, action, &on, about(&own));
                let no = denied(DenyReason::BreakGlass(closed), false);
                assert_eq!(found, no, "{used:?} {}", action.as_str());
            }
        }
        // Its own key opens it, and nobody else's.
        let open = Action::BreakGlassUse;
        let use_of = |name| {
            let caller = world.caller(name, Profile::Native);
            world.ask(&caller, open, &Resource::Installation, about(&own))
        };
        assert_eq!(use_of("steward"), Ok(Basis::Own));
        for name in ["nobody", "admin", "granted"] {
            assert_eq!(use_of(name), denied(DenyReason::NotOwn, true), "{name}");
        }
    }
}

#[test]
fn an_account_that_is_open_is_over_with_the_role_of_who_made_it_and_with_them() {
    let own = |world: &World| world.id("steward");
    for (what, closed) in [
        ("a steward", false),
        ("no steward", true),
        ("revoked", true),
        ("an account", true),
    ] {
        let mut world = World::new();
        account(&mut world, Some(NOW));
        let approver = world.id("approver");
        match what {
            "no steward" => maker(&mut world, Role::Approver, Some(right())),
            "revoked" => {
                let mut record = world.snapshot.actor(&approver).unwrap().as_ref().clone();
                record.revoked = Some(NOW);
                world.put(Change::Actor(record));
            }
            "an account" => {
                let account = world.snapshot.break_glass(&own(&world)).unwrap();
                let mut record = account.as_ref().clone();
                record.actor = approver;
                world.put(Change::BreakGlass(record));
            }
            _ => {}
        }
        let (own, mut plain) = (own(&world), World::new());
        maker(&mut plain, Role::Steward, None);
        assert_eq!(world.snapshot.is_closed(&own, NOW), closed, "{what}");
        for action in Action::ALL
            .iter()
            .copied()
            .filter(|one| takes_a_device(*one))
        {
            let on = resource(action, &right());
            for profile in [Profile::Native, Profile::Session] {
                let caller = world.caller("steward", profile);
                let found = world.ask(&caller, action, &on, about(&own));
                let expected = if closed && action != Action::BreakGlassUse {
                    denied(DenyReason::BreakGlass(BreakGlassClosed::Maker), false)
                } else {
                    plain.ask(&caller, action, &on, about(&own))
                };
                assert_eq!(found, expected, "{what} {}", action.as_str());
            }
        }
    }
    assert_eq!(BreakGlassClosed::Maker.to_string(), "maker_gone");
}

/// Binds the device of `admin` to a key for these actions in `right`.
fn key(world: &mut World, actions: &[&str], installation: bool) {
    let record = ApiKeyRecord {
        device: world.device("admin"),
        actor: world.id("admin"),
        made_with: world.device("nobody"),
        name: "deploy".parse().unwrap(),
        hash: TOKEN,
        actions: actions.iter().map(|action| (*action).to_owned()).collect(),
        namespaces: vec![right()],
        installation,
        created: NOW,
        until: NOW.plus(Duration::from_millis(1)),
    };
    world.put(Change::ApiKey(record));
}

fn show(world: &World, name: &str, shown: Option<TokenHash>) -> Caller {
    world.caller(name, Profile::Native).showing(shown)
}

#[test]
fn the_table_says_which_actions_a_key_may_be_made_for() {
    let table = table();
    for action in Action::ALL.iter().copied() {
        let taken = TAKEN.contains(&action.as_str());
        assert_eq!(action.takes_api_key(), taken, "{}", action.as_str());
        let printed = table[action.as_str()]["api key"] == "yes";
        assert_eq!(printed, taken, "{}", action.as_str());
    }
}

/// Each request of a key is by its own device, so it may, where it was made for it.
#[test]
fn of_what_takes_the_own_key_of_a_device_a_key_is_made_for_five() {
    let both = Action::ALL
        .iter()
        .filter(|one| one.takes_own_key() && one.takes_api_key());
    let both: Vec<&str> = both.map(|action| action.as_str()).collect();
    let named = [
        "agent.link",
        "agent.revoke",
        "agent.sources",
        "device.revoke",
        "release.add",
    ];
    assert_eq!(both, named);
}

#[test]
fn a_device_of_a_key_does_nothing_without_its_token() {
    let mut world = World::new();
    key(&mut world, &TAKEN, true);
    let unknown = TokenHash::from_bytes([2; 32]);
    for (shown, why) in [
        (None, ApiKeyRefusal::Missing),
        (Some(unknown), ApiKeyRefusal::Unknown),
    ] {
        for profile in [Profile::Native, Profile::Session] {
            let caller = world.caller("admin", profile).showing(shown);
            for action in Action::ALL
                .iter()
                .copied()
                .filter(|one| takes_a_device(*one))
            {
                let found = ask(&world, &caller, action, &right());
                let no = denied(DenyReason::ApiKey(why), false);
                assert_eq!(found, no, "{why} {}", action.as_str());
            }
        }
    }
}

#[test]
fn a_token_opens_nothing_for_another_device_whatever_that_may_do() {
    let mut world = World::new();
    key(&mut world, &TAKEN, true);
    let no = denied(DenyReason::ApiKey(ApiKeyRefusal::Device), false);
    for name in ["steward", "approver", "nobody", "granted"] {
        let caller = show(&world, name, Some(TOKEN));
        for action in [
            Action::SecretList,
            Action::NamespaceList,
            Action::OperatorList,
        ] {
            assert_eq!(ask(&world, &caller, action, &right()), no, "{name}");
        }
    }
    // Nor does one that was never made.
    let caller = show(&world, "steward", Some(TokenHash::from_bytes([2; 32])));
    let no = denied(DenyReason::ApiKey(ApiKeyRefusal::Unknown), false);
    assert_eq!(ask(&world, &caller, Action::OperatorList, &right()), no);
}

#[test]
fn a_key_opens_what_it_lists_there_and_its_operator_may_and_nothing_else() {
    let mut world = World::new();
    key(
        &mut world,
        &["secret.list", "secret.read", "secret.export"],
        false,
    );
    let caller = show(&world, "admin", Some(TOKEN));
    let scope = denied(DenyReason::ApiKey(ApiKeyRefusal::Scope), false);
    for action in Action::ALL
        .iter()
        .copied()
        .filter(|one| takes_a_device(*one))
    {
        let found = ask(&world, &caller, action, &right());
        match action {
            // What it lists and no key is made for it does not do.
            Action::SecretList | Action::SecretRead => {
                assert_eq!(found, Ok(Basis::Role(Role::Admin)), "{}", action.as_str());
            }
            _ => assert_eq!(found, scope, "{}", action.as_str()),
        }
        assert_eq!(
            ask(&world, &caller, action, &other()),
            scope,
            "{}",
            action.as_str()
        );
    }
    // What is of the installation takes that it says so, and the role besides.
    let mut world = World::new();
    key(&mut world, &["namespace.list", "ledger.export"], true);
    let caller = show(&world, "admin", Some(TOKEN));
    let found = ask(&world, &caller, Action::NamespaceList, &right());
    assert_eq!(found, Ok(Basis::Anyone));
    let found = ask(&world, &caller, Action::LedgerExport, &right());
    assert_eq!(found, denied(DenyReason::NoRole, true));
}

#[test]
fn a_key_does_nothing_without_the_device_that_made_it() {
    let quarantine = |world: &World, lifted| {
        Change::Quarantine(QuarantineRecord {
            suspect: Suspect::Device(world.device("nobody")),
            actor: world.id("nobody"),
            since: NOW,
            by: Some(world.id("steward")),
            canary: None,
            lifted,
            lifted_at: None,
        })
    };
    let mut world = World::new();
    key(&mut world, &["secret.list"], false);
    let caller = show(&world, "admin", Some(TOKEN));
    let no = denied(DenyReason::ApiKey(ApiKeyRefusal::Maker), false);
    assert!(ask(&world, &caller, Action::SecretList, &right()).is_ok());
    // On hold it waits, and goes on.
    let held = quarantine(&world, None);
    world.put(held);
    assert_eq!(ask(&world, &caller, Action::SecretList, &right()), no);
    let lifted = quarantine(&world, Some(world.snapshot.seq()));
    world.put(lifted);
    assert!(ask(&world, &caller, Action::SecretList, &right()).is_ok());
    // Revoked it is over, for what the key does not list as well.
    let device = world.snapshot.device(&world.device("nobody")).unwrap();
    let mut device = device.as_ref().clone();
    device.revoked = Some(NOW);
    world.put(Change::Device(device));
    for action in [Action::SecretList, Action::OperatorList] {
        assert_eq!(ask(&world, &caller, action, &right()), no);
    }
    // One that nobody knows stands for nothing either.
    let mut world = World::new();
    key(&mut world, &["secret.list"], false);
    let found = world.snapshot.api_key(&world.device("admin")).unwrap();
    let mut record = found.as_ref().clone();
    record.made_with = Thumbprint::from_bytes([9; 32]);
    world.put(Change::ApiKey(record));
    assert_eq!(ask(&world, &caller, Action::SecretList, &right()), no);
}

#[test]
fn a_key_ends_on_time_and_with_its_device() {
    let mut world = World::new();
    key(&mut world, &["secret.list"], false);
    let caller = show(&world, "admin", Some(TOKEN));
    assert!(ask(&world, &caller, Action::SecretList, &right()).is_ok());
    let mut record = world
        .snapshot
        .api_key(&world.device("admin"))
        .unwrap()
        .as_ref()
        .clone();
    record.until = NOW;
    world.put(Change::ApiKey(record));
    let found = ask(&world, &caller, Action::SecretList, &right());
    let no = denied(DenyReason::ApiKey(ApiKeyRefusal::Expired), false);
    assert_eq!(found, no);
    let device = world.snapshot.device(&world.device("admin")).unwrap();
    let mut device = device.as_ref().clone();
    device.revoked = Some(NOW);
    world.put(Change::Device(device));
    let found = ask(&world, &caller, Action::SecretList, &right());
    assert_eq!(found, denied(DenyReason::Revoked, false));
}
