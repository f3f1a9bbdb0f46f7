//! What a person may do in a browser: every action, every role, every way to sign in.

use crate::matrix::{about, ask, denied, resource, table};
use crate::world::{NOW, World, other, right};
use procura_crypto::{SigningKey, SystemEntropy};
use procura_directory::{
    ApiKeyRecord, Change, PasskeyRecord, QuarantineRecord, Suspect, TokenHash,
};
use procura_policy::{Action, Basis, Concerned, DenyReason, Resource, Rule, STEP_UP};
use procura_proof::{Caller, Profile};
use procura_types::wire::RoleAssignment;
use procura_types::{Amr, Duration, Namespace, Role, Thumbprint, Timestamp};

/// What reads lists and says no, and the yes that takes a passkey's signature over its very
/// terms; everything else is closed to a browser, whatever the person may do with a device
/// key.
const TAKEN: [&str; 39] = [
    "agent.list",
    "api_key.list",
    "approval_rule.list",
    "break_glass.list",
    "device_grant.approve",
    "device_grant.deny",
    "device_grant.list",
    "device_grant.read",
    "events.read",
    "foreign.list",
    "grant.read",
    "grant.withdraw",
    "ledger.checkpoint",
    "ledger.read",
    "namespace.list",
    "namespace.read",
    "operator.account",
    "operator.device.hold",
    "operator.list",
    "operator.oidc.list",
    "operator.passkey.list",
    "operator.passkey.remove",
    "project.read",
    "project_token.list",
    "proposal.list",
    "proposal.refuse",
    "proposal.sign",
    "quarantine.list",
    "request.approve",
    "request.deny",
    "request.list",
    "request.read",
    "secret.list",
    "server.list",
    "service.read",
    "signing_key.list",
    "transit.list",
    "web_login.end",
    "web_login.list",
];

/// What takes that the person signed in with a passkey: a password must not turn into the
/// right to say yes.
const BY_PASSKEY: [&str; 2] = ["operator.passkey.invite", "operator.passkey.rename"];

/// What takes that the person proved who they are a moment ago.
const DANGEROUS: [&str; 4] = [
    "operator.device.hold",
    "operator.passkey.invite",
    "operator.passkey.remove",
    "proposal.refuse",
];

/// Whether a browser may ask for it at all.
fn is_taken(action: Action, amr: Amr) -> bool {
    let name = action.as_str();
    TAKEN.contains(&name) || (amr == Amr::Passkey && BY_PASSKEY.contains(&name))
}

/// The person of that name in a browser, who proved at `since` who they are.
fn browser(world: &World, name: &str, amr: Amr, since: Timestamp) -> Caller {
    let actor = world.id(name);
    let seq = world.snapshot.seq();
    Caller::fake(Profile::WebLogin(amr), actor, actor, None, seq).authenticated_at(since)
}

#[test]
fn the_table_says_which_actions_a_browser_may_ask_for() {
    let table = table();
    for action in Action::ALL.iter().copied() {
        let cell = table[action.as_str()]["web login"].as_str();
        let words: Vec<&str> = cell.split(", ").filter(|word| !word.is_empty()).collect();
        for amr in Amr::ALL {
            let taken = is_taken(action, amr);
            assert_eq!(action.takes_web_login(amr), taken, "{}", action.as_str());
            assert_eq!(words.contains(&amr.as_str()), taken, "{}", action.as_str());
        }
        let dangerous = DANGEROUS.contains(&action.as_str());
        assert_eq!(action.is_dangerous(), dangerous, "{}", action.as_str());
        let printed = words.contains(&"proven anew");
        assert_eq!(printed, dangerous, "{}", action.as_str());
    }
}

#[test]
fn a_browser_may_what_is_taken_and_the_person_may_with_a_key_and_nothing_else() {
    let world = World::new();
    for name in ["steward", "admin", "approver", "auditor", "nobody"] {
        for amr in Amr::ALL {
            let caller = browser(&world, name, amr, NOW);
            for action in Action::ALL.iter().copied() {
                for namespace in [right(), other()] {
                    let found = ask(&world, &caller, action, &namespace);
                    let expected = expected(&world, name, amr, action, &namespace);
                    assert_eq!(found, expected, "{name} {amr} {}", action.as_str());
                }
            }
        }
    }
}

fn expected(
    world: &World,
    name: &str,
    amr: Amr,
    action: Action,
    namespace: &Namespace,
) -> Result<Basis, procura_policy::Denied> {
    let own = world.id(name);
    let resource = resource(action, namespace);
    let native = world.caller(name, Profile::Native);
    let with_a_key = world.ask(&native, action, &resource, about(&own));
    if is_taken(action, amr) {
        return with_a_key;
    }
    let closed = matches!(
        action.rule(),
        Rule::Joining | Rule::SigningIn | Rule::AdminSocket
    );
    let part = !matches!(name, "steward" | "nobody") && *namespace == right();
    let visible = !closed && (resource.namespace().is_none() || part);
    denied(DenyReason::WrongProfile, visible)
}

#[test]
fn what_is_dangerous_takes_that_the_person_proved_it_a_moment_ago() {
    let world = World::new();
    let last = NOW.minus(STEP_UP);
    for name in DANGEROUS {
        let action = *Action::ALL
            .iter()
            .find(|action| action.as_str() == name)
            .unwrap();
        let amr = if BY_PASSKEY.contains(&name) {
            Amr::Passkey
        } else {
            Amr::Password
        };
        let id = world.id("steward");
        let ask = |caller: &Caller| world.ask(caller, action, &Resource::Installation, about(&id));
        let of = |since| ask(&browser(&world, "steward", amr, since));
        let yes = ask(&world.caller("steward", Profile::Native));
        assert!(yes.is_ok(), "{name}");
        assert_eq!(of(NOW), yes, "{name}");
        assert_eq!(of(last.plus(Duration::from_millis(1))), yes, "{name}");
        let no = denied(DenyReason::Reauthenticate, true);
        assert_eq!(of(last), no, "{name}");
        assert_eq!(of(Timestamp::from_millis(0)), no, "{name}");
        // A web login that does not say when.
        let silent = Caller::fake(Profile::WebLogin(Amr::Passkey), id, id, None, 1);
        assert_eq!(ask(&silent), no, "{name}");
    }
}

#[test]
fn a_web_login_ends_with_the_passkey_it_was_made_with() {
    let mut world = World::new();
    let (id, device) = (world.id("approver"), world.device("approver"));
    let key = SigningKey::generate_p256(&SystemEntropy).unwrap();
    let passkey = |removed| {
        Change::Passkey(PasskeyRecord {
            id: key.public().thumbprint(),
            actor: id,
            name: "Phone".parse().unwrap(),
            key: key.public().clone(),
            credential_id: vec![1; 16],
            relying_party: "procura.example".to_owned(),
            transports: Vec::new(),
            backup_eligible: true,
            vouched_by: device,
            created: NOW,
            removed,
        })
    };
    let caller =
        browser(&world, "approver", Amr::Passkey, NOW).with_passkey(key.public().thumbprint());
    let ask = |world: &World| {
        let resource = Resource::Namespace(right());
        world.ask(&caller, Action::RequestApprove, &resource, about(&id))
    };
    let no = denied(DenyReason::Revoked, false);
    assert_eq!(ask(&world), no);
    world.put(passkey(None));
    assert_eq!(ask(&world), Ok(Basis::Role(Role::Approver)));
    world.put(passkey(Some(NOW)));
    assert_eq!(ask(&world), no);
    // Nor does one outlive the device that vouches for it, whatever its row says.
    world.put(passkey(None));
    let mut record = world.snapshot.device(&device).unwrap().as_ref().clone();
    record.revoked = Some(NOW);
    world.put(Change::Device(record));
    assert_eq!(ask(&world), no);
}

#[test]
fn a_browser_has_no_device_and_ends_with_its_person() {
    let mut world = World::new();
    let list = |world: &World, caller: &Caller| {
        world.ask(
            caller,
            Action::OperatorList,
            &Resource::Installation,
            Concerned::default(),
        )
    };
    let caller = browser(&world, "steward", Amr::Oidc, NOW);
    assert_eq!(list(&world, &caller), Ok(Basis::Role(Role::Steward)));
    let no = denied(DenyReason::Revoked, false);
    let with_device = world.caller("steward", Profile::WebLogin(Amr::Oidc));
    assert_eq!(list(&world, &with_device), no);
    let mut record = world
        .snapshot
        .actor(&world.id("steward"))
        .unwrap()
        .as_ref()
        .clone();
    record.revoked = Some(NOW);
    world.put(Change::Actor(record));
    assert_eq!(list(&world, &caller), no);
    // Who proved it before cannot sign in any more either.
    let id = world.id("steward");
    let signing_in = Caller::fake(Profile::SigningIn(Amr::Oidc), id, id, None, 1);
    let found = world.ask(
        &signing_in,
        Action::WebLoginStart,
        &Resource::Installation,
        Concerned::default(),
    );
    assert_eq!(found, no);
}

/// Roles that a group lends are as good as one's own, where it lends them, in a browser and
/// for what a browser may do; they are nobody's anywhere else.
#[test]
fn a_group_lends_its_roles_to_one_web_login() {
    let world = World::new();
    let lent = |role, namespace| RoleAssignment { role, namespace };
    let approver = [lent(Role::Approver, Some(right()))];
    let of = |roles: &[RoleAssignment]| browser(&world, "nobody", Amr::Oidc, NOW).lending(roles);
    let about = |caller: &Caller, action, namespace: Namespace| {
        let resource = Resource::Namespace(namespace);
        world.ask(caller, action, &resource, Concerned::default())
    };
    let (bare, helped) = (of(&[]), of(&approver));
    let yes = Ok(Basis::Role(Role::Approver));
    let (seen, hidden) = (
        denied(DenyReason::NoRole, true),
        denied(DenyReason::NoRole, false),
    );
    for action in [
        Action::RequestDeny,
        Action::RequestList,
        Action::RequestApprove,
    ] {
        assert_eq!(about(&bare, action, right()), hidden);
        assert_eq!(about(&helped, action, right()), yes);
        assert_eq!(about(&helped, action, other()), hidden);
    }
    // A role that does not open it, and what no browser may do.
    assert_eq!(about(&helped, Action::LedgerRead, right()), seen);
    let found = about(
        &of(&[lent(Role::Admin, Some(right()))]),
        Action::SecretRead,
        right(),
    );
    assert_eq!(found, denied(DenyReason::WrongProfile, true));
    // A role of the installation is one where the configuration says so, and then it is.
    let stewards = of(&[lent(Role::Steward, None)]);
    let ask = |caller: &Caller, action| {
        world.ask(
            caller,
            action,
            &Resource::Installation,
            Concerned::default(),
        )
    };
    assert_eq!(ask(&helped, Action::OperatorList), seen);
    assert_eq!(
        ask(&stewards, Action::OperatorList),
        Ok(Basis::Role(Role::Steward))
    );
    assert_eq!(
        ask(&stewards, Action::OperatorInvite),
        denied(DenyReason::WrongProfile, true)
    );
    // It is not held: a device key of the same person has none of it.
    let native = world.caller("nobody", Profile::Native);
    assert_eq!(about(&native, Action::RequestDeny, right()), hidden);
}

/// Whoever stole a device may have set with it what its operator signs in with.
#[test]
fn what_stops_a_device_stops_the_web_logins_of_its_operator() {
    let mut world = World::new();
    let (id, device) = (world.id("steward"), world.device("steward"));
    let caller = browser(&world, "steward", Amr::Password, NOW);
    let ask =
        |world: &World, action| world.ask(&caller, action, &Resource::Installation, about(&id));
    let held = |by, lifted| {
        Change::Quarantine(QuarantineRecord {
            suspect: Suspect::Device(device),
            actor: id,
            since: NOW,
            by,
            canary: None,
            lifted,
            lifted_at: None,
        })
    };
    let yes = Ok(Basis::Role(Role::Steward));
    let no = denied(DenyReason::Quarantined, false);
    assert_eq!(ask(&world, Action::OperatorDeviceHold), yes);
    // On hold by another steward it keeps its say, and so do they.
    world.put(held(Some(world.id("nobody")), None));
    for (action, found) in [
        (Action::OperatorDeviceHold, &no),
        (Action::OperatorList, &no),
        (Action::ProposalList, &yes),
        (Action::ProposalRefuse, &yes),
        (Action::WebLoginEnd, &Ok(Basis::Own)),
    ] {
        assert_eq!(&ask(&world, action), found, "{}", action.as_str());
    }
    // One that touched a decoy has none.
    world.put(held(None, None));
    for action in [Action::OperatorList, Action::ProposalRefuse] {
        assert_eq!(ask(&world, action), no, "{}", action.as_str());
    }
    assert_eq!(ask(&world, Action::WebLoginEnd), Ok(Basis::Own));
    world.put(held(None, Some(1)));
    assert_eq!(ask(&world, Action::OperatorDeviceHold), yes);
    // One that is revoked is nobody's any more.
    world.put(held(None, None));
    let mut record = world.snapshot.device(&device).unwrap().as_ref().clone();
    record.revoked = Some(NOW);
    world.put(Change::Device(record));
    assert_eq!(ask(&world, Action::OperatorDeviceHold), yes);
}

/// Else whoever has a key and its token touches a decoy with it, and shuts its operator out.
#[test]
fn what_stops_the_device_of_an_api_key_stops_no_web_login() {
    let mut world = World::new();
    let (id, device) = (world.id("steward"), world.device("steward"));
    let mut other = world.snapshot.device(&device).unwrap().as_ref().clone();
    other.thumbprint = Thumbprint::from_bytes([99; 32]);
    let of_key = other.thumbprint;
    world.put(Change::Device(other));
    let caller = browser(&world, "steward", Amr::Passkey, NOW);
    let ask = |world: &World| {
        let action = Action::OperatorDeviceHold;
        world.ask(&caller, action, &Resource::Installation, about(&id))
    };
    let held = |device| {
        Change::Quarantine(QuarantineRecord {
            suspect: Suspect::Device(device),
            actor: id,
            since: NOW,
            by: None,
            canary: None,
            lifted: None,
            lifted_at: None,
        })
    };
    let no = denied(DenyReason::Quarantined, false);
    world.put(held(of_key));
    assert_eq!(ask(&world), no);
    world.put(Change::ApiKey(ApiKeyRecord {
        device: of_key,
        actor: id,
        made_with: device,
        name: "deploy".parse().unwrap(),
        hash: TokenHash::from_bytes([1; 32]),
        actions: vec!["secret.list".to_owned()],
        namespaces: vec![right()],
        installation: false,
        created: NOW,
        until: NOW.plus(Duration::from_millis(1)),
    }));
    assert_eq!(ask(&world), Ok(Basis::Role(Role::Steward)));
    // One of their own stops them all the same.
    world.put(held(device));
    assert_eq!(ask(&world), no);
}
