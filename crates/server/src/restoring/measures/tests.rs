//! What is read from entries, and what follows from it.

use super::*;
use crate::api::ledger::OWN_ACTIONS;
use procura_crypto::SystemEntropy;
use procura_policy::Action;
use procura_types::{Timestamp, TraceId};

fn entry(action: &'static str, resource: Option<&str>, namespace: Option<&str>) -> Entry {
    let now = Timestamp::from_millis(1_795_000_000_000);
    let trace = TraceId::generate(now, &SystemEntropy).unwrap();
    let mut entry = Entry::new(now, &SystemEntropy, action, trace).unwrap();
    entry.resource = resource.map(str::to_owned);
    entry.namespace = namespace.map(|name| name.parse().unwrap());
    entry
}

fn read(action: &'static str, resource: Option<&str>, namespace: Option<&str>) -> Measures {
    let mut measures = Measures::default();
    measures.read(7, &entry(action, resource, namespace));
    measures
}

/// What is taken away again, as the entry says it.
const AGAIN: &[&str] = &[
    "agent.revoke",
    "api_key.revoke",
    "approval_rule.set",
    "baseline.remove",
    "break_glass.use",
    "device.revoke",
    "grant.withdraw",
    "namespace.delete",
    "operator.device.revoke",
    "operator.passkey.remove",
    "operator.revoke",
    "release.withdraw",
    "release_key.remove",
    "secret.delete",
    "secret.destroy",
];

/// What holds whom the entry names, and nobody else.
const NAMED: &[&str] = &[
    "attestation.revoke",
    "honey.touch",
    "operator.device.hold",
    "operator.roles",
    "project_token.rotate",
];

/// What holds everybody in its namespace: it may take something from somebody there,
/// and the entry does not say all of it.
const IN_NAMESPACE: &[&str] = &[
    "agent.enrol.complete",
    "agent.secret.revoke",
    "agent.secret.rotate",
    "agent.sources",
    "foreign.bind",
    "foreign.release",
    "project.delete",
    "project.rebind",
    "project.require_grade",
    "project.write",
    "project_token.revoke",
    "project_token.revoke_all",
    "secret.rollback",
    "secret.set",
    "policy.state",
    "service.write",
    "transit.write",
];

/// What holds everybody: another activation in between, after which what this backup
/// has may have been lost for good, and a beginning, which no record has twice.
const EVERYBODY: &[&str] = &["installation.init", "installation.restore"];

#[test]
fn every_action_has_its_decision() {
    let all = Action::ALL.iter().map(|action| action.as_str());
    let all: BTreeSet<&str> = all.chain(OWN_ACTIONS).collect();
    for action in &all {
        let lists = [
            NOTHING,
            ADDED,
            UNDONE,
            AGAIN,
            NAMED,
            IN_NAMESPACE,
            EVERYBODY,
        ];
        let times = lists.iter().filter(|list| list.contains(action)).count();
        assert_eq!(times, 1, "{action} is to be decided, and once");
    }
}

#[test]
fn what_takes_nothing_away_holds_nobody() {
    let lost = [ADDED, UNDONE].concat();
    for action in NOTHING.iter().chain(&lost) {
        let measures = read(action, Some("installation"), Some("shop"));
        assert!(!measures.all && measures.held_in.is_empty(), "{action}");
        assert!(measures.because.is_empty(), "{action}");
        assert_eq!(measures.lost.len(), usize::from(lost.contains(action)));
    }
}

#[test]
fn what_is_not_told_whole_holds_those_whom_it_may_concern() {
    for action in IN_NAMESPACE {
        let measures = read(action, Some("project/web agent/a"), Some("shop"));
        assert!(measures.held_in.contains("shop"), "{action}");
        assert!(!measures.all, "{action}");
    }
    let measures = read("operator.roles", Some("operator/bea none"), None);
    assert!(measures.held_operators.contains("bea"));
    assert!(!measures.all);
    // Also what no release before this one could do.
    for action in EVERYBODY.iter().chain(&["something.new"]) {
        let measures = read(action, Some("installation"), None);
        assert!(measures.all, "{action}");
        assert_eq!(
            measures.because,
            [format!("entry 7: {action} installation")]
        );
    }
}

#[test]
fn what_an_entry_tells_whole_is_taken_away_again_and_no_more() {
    let shop: Namespace = "shop".parse().unwrap();
    let path: SecretPath = "app/key".parse().unwrap();
    for (words, version) in [("", None), (" @3", Some(3))] {
        let resource = format!("secret/app/key{words}");
        let expected = BTreeSet::from([(shop.clone(), path.clone(), version)]);
        let deleted = read("secret.delete", Some(&resource), Some("shop"));
        assert_eq!(deleted.deleted, expected, "{resource}");
        let destroyed = read("secret.destroy", Some(&resource), Some("shop"));
        assert_eq!(destroyed.destroyed, expected, "{resource}");
        assert!(deleted.held_in.is_empty() && destroyed.held_in.is_empty());
    }
    // One that cannot be read is not passed over.
    for words in ["3", "@", "@-1", "@3x", "all"] {
        let resource = format!("secret/app/key {words}");
        let measures = read("secret.destroy", Some(&resource), Some("shop"));
        assert!(measures.destroyed.is_empty(), "{words}");
        assert!(measures.held_in.contains("shop"), "{words}");
    }
    let words = "namespace/shop agents:1 secrets:2 projects:0 services:0 grants:1";
    let ended = read("namespace.delete", Some(words), Some("shop"));
    assert_eq!(ended.ended, BTreeSet::from([shop]));
    assert!(ended.held_in.is_empty() && !ended.all);
}

#[test]
fn a_passkey_that_was_removed_is_removed_again_and_nobody_is_held() {
    let id = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    let measures = read(
        "operator.passkey.remove",
        Some(&format!("passkey/{id}")),
        None,
    );
    assert_eq!(measures.passkeys, BTreeSet::from([id.parse().unwrap()]));
    assert!(!measures.all && measures.because.is_empty());
    // One that cannot be read is not passed over.
    assert!(read("operator.passkey.remove", Some("passkey/x"), None).all);
}

#[test]
fn passkeys_that_went_with_a_device_go_again() {
    let [device, one, other] = [[1; 32], [2; 32], [3; 32]].map(Thumbprint::from_bytes);
    let resource = format!("device/{device} passkey/{one} passkey/{other}");
    let measures = read("operator.device.revoke", Some(&resource), None);
    assert_eq!(measures.devices, BTreeSet::from([device]));
    assert_eq!(measures.passkeys, BTreeSet::from([one, other]));
    assert!(!measures.all && measures.because.is_empty());
}

#[test]
fn a_break_glass_account_that_was_used_or_renewed_opens_no_second_time() {
    for (action, lost) in [("break_glass.use", 0), ("break_glass.create", 1)] {
        let measures = read(action, Some("operator/night until 2026"), None);
        assert!(measures.operators.contains("night"), "{action}");
        assert_eq!(measures.lost.len(), lost, "{action}");
        assert!(!measures.all && measures.because.is_empty(), "{action}");
    }
    // One that cannot be read is not passed over.
    assert!(read("break_glass.use", Some("operator/-"), None).all);
}

#[test]
fn an_api_key_that_was_revoked_goes_with_its_device() {
    let device = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    let measures = read("api_key.revoke", Some(&format!("device/{device}")), None);
    assert_eq!(measures.devices, BTreeSet::from([device.parse().unwrap()]));
    assert!(!measures.all);
    assert!(read("api_key.revoke", Some("device/x"), None).all);
}

#[test]
fn how_many_stewards_an_act_takes_is_said_again_as_it_was_last() {
    let alice = ActorId::from_bytes([1; 32]);
    let mut measures = Measures::default();
    for (index, words) in (7..).zip([
        "rotate_root needs:2",
        "make_shares needs:2",
        "rotate_root needs:3",
    ]) {
        let resource = format!("approval_rule/{words}");
        let mut set = entry("approval_rule.set", Some(&resource), None);
        set.actor = Some(alice);
        measures.read(index, &set);
    }
    let expected = [
        (GuardedAct::RotateRoot, (3, alice)),
        (GuardedAct::MakeShares, (2, alice)),
    ];
    assert_eq!(measures.approvals, BTreeMap::from(expected));
    assert!(!measures.all && measures.lost.is_empty() && measures.because.is_empty());
    // One that cannot be read is not passed over.
    for words in [
        "rotate needs:2",
        "rotate_root",
        "rotate_root needs:",
        "rotate_root needs:300",
    ] {
        let resource = format!("approval_rule/{words}");
        let mut set = entry("approval_rule.set", Some(&resource), None);
        set.actor = Some(alice);
        let mut measures = Measures::default();
        measures.read(7, &set);
        assert!(measures.all && measures.approvals.is_empty(), "{words}");
    }
    assert!(
        read(
            "approval_rule.set",
            Some("approval_rule/rotate_root needs:2"),
            None
        )
        .all
    );
}

#[test]
fn grants_that_ended_with_a_project_are_withdrawn_again() {
    let [one, two] = [
        "01010101-0101-7101-8101-010101010101",
        "02020202-0202-7202-8202-020202020202",
    ];
    let resource = format!("project/web agent/clerk grant/{one} grant/{two} request/{two}");
    for action in ["project.delete", "project.rebind"] {
        let measures = read(action, Some(&resource), Some("shop"));
        let expected = [one, two].map(|id| id.parse().unwrap());
        assert_eq!(measures.grants, BTreeSet::from(expected), "{action}");
        // Whose it is from then on is not told whole.
        assert!(measures.held_in.contains("shop"), "{action}");
    }
}

#[test]
fn a_touch_of_a_decoy_holds_who_touched_it_and_nobody_else() {
    let device: Thumbprint = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
        .parse()
        .unwrap();
    let touched = |device, resource: &str, reason: &'static str| {
        let mut entry = entry(TOUCH_ACTION, Some(resource), None);
        entry.device = device;
        entry.reason = Some(reason.into());
        let mut measures = Measures::default();
        measures.read(7, &entry);
        measures
    };
    let now = Timestamp::from_millis(1_795_000_000_000);
    let decoy = CanaryId::generate(now, &SystemEntropy).unwrap();
    let canary = &format!("canary/{decoy}");
    let by_device = touched(Some(device), canary, "secret.read");
    assert_eq!(by_device.held_devices[&device].canary, Some(decoy));
    assert_eq!(by_device.because.len(), 1);
    let by_id = touched(None, &format!("{canary} foreign/till.7"), "key.read");
    assert_eq!(by_id.held_ids["till.7"].canary, Some(decoy));
    for one in [&by_device, &by_id] {
        assert!(!one.all && one.held_in.is_empty(), "{one:?}");
    }
    // A count stands behind a touch, and a damaged row holds nobody anywhere.
    for reason in [SUMMARY, TOUCH_DAMAGED] {
        let none = touched(Some(device), canary, reason);
        assert!(none.held_devices.is_empty() && !none.all, "{reason}");
    }
    // One that says nobody is not passed over.
    assert!(touched(None, canary, "secret.read").all);
}

#[test]
fn what_vouched_for_daemons_is_taken_away_again_and_a_revoked_one_waits() {
    let device = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    let digest = "01".repeat(32);
    let withdrawn = read("release.withdraw", Some(&format!("release/{digest}")), None);
    assert_eq!(
        withdrawn.releases,
        BTreeSet::from([digest.parse().unwrap()])
    );
    let removed = read(
        "release_key.remove",
        Some(&format!("release_key/{device}")),
        None,
    );
    assert_eq!(
        removed.release_keys,
        BTreeSet::from([device.parse().unwrap()])
    );
    let of = format!("device/{device}");
    let baseline = read("baseline.remove", Some(&of), Some("shop"));
    assert_eq!(
        baseline.baselines,
        BTreeSet::from([device.parse().unwrap()])
    );
    let revoked = read("attestation.revoke", Some(&of), Some("shop"));
    assert!(revoked.held_devices.contains_key(&device.parse().unwrap()));
    for measures in [&withdrawn, &removed, &baseline, &revoked] {
        assert!(!measures.all && measures.held_in.is_empty(), "{measures:?}");
    }
    // One that cannot be read is not passed over.
    assert!(read("release.withdraw", Some("release/x"), None).all);
    let unread = read("attestation.revoke", Some("device/x"), Some("shop"));
    assert!(unread.held_in.contains("shop"));
}

#[test]
fn a_device_on_hold_is_held_and_nobody_else() {
    let device = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    let resource = format!("device/{device}");
    let measures = read("operator.device.hold", Some(&resource), None);
    assert!(measures.held_devices.contains_key(&device.parse().unwrap()));
    assert!(!measures.all && measures.held_in.is_empty());
    // One that cannot be read is not passed over.
    assert!(read("operator.device.hold", Some("device/x"), None).all);
}

#[test]
fn a_token_that_was_replaced_holds_the_device_that_has_it_and_nobody_else() {
    let device: Thumbprint = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
        .parse()
        .unwrap();
    let mut replaced = entry(TOKEN_ROTATE, Some("token/x"), Some("shop"));
    replaced.device = Some(device);
    let mut measures = Measures::default();
    measures.read(7, &replaced);
    assert!(measures.held_devices.contains_key(&device));
    assert!(!measures.all && measures.held_in.is_empty());
    assert_eq!(measures.because.len(), 1);
    // One that names no device is not passed over.
    let unnamed = read(TOKEN_ROTATE, Some("token/x"), Some("shop"));
    assert!(unnamed.held_in.contains("shop"));
}
