//! What holds of stewards and touches of decoys come to in what is restored.

use super::*;
use procura_crypto::{SigningKey, SystemEntropy};
use procura_directory::{ActorKind, ActorRecord, Change, RolesRecord};
use procura_types::wire::RoleAssignment;
use procura_types::{Alg, Timestamp, TraceId};

const NOW: Timestamp = Timestamp::from_secs(1_795_000_000);
/// Ruth is an operator and no steward; mara is not in the backup.
const STEWARDS: [&str; 4] = ["ada", "bea", "cleo", "thief"];
const OTHER: &str = "ruth";
const LATER: &str = "mara";

fn actor(name: &str) -> ActorId {
    let first = name.bytes().next().unwrap();
    ActorId::from_bytes([first; 32])
}

/// The backup, and the one device of each who is in it.
fn home() -> (Snapshot, BTreeMap<&'static str, Thumbprint>) {
    let mut changes = Vec::new();
    let mut devices = BTreeMap::new();
    for name in STEWARDS.into_iter().chain([OTHER]) {
        let key = SigningKey::generate_p256(&SystemEntropy).unwrap();
        let key = key.public().clone();
        let id = actor(name);
        devices.insert(name, key.thumbprint());
        let (role, namespace) = if name == OTHER {
            (Role::Auditor, Some("shop".parse().unwrap()))
        } else {
            (Role::Steward, None)
        };
        changes.extend([
            Change::Actor(ActorRecord {
                id,
                kind: ActorKind::Owner {
                    name: name.parse().unwrap(),
                    alg: Alg::P256,
                    root_key: key.clone(),
                },
                owner: id,
                created: NOW,
                revoked: None,
                sources: Vec::new(),
                display_name: None,
            }),
            Change::Device(DeviceRecord {
                thumbprint: key.thumbprint(),
                actor: id,
                key,
                created: NOW,
                revoked: None,
            }),
            Change::Roles(RolesRecord {
                actor: id,
                roles: vec![RoleAssignment { role, namespace }],
            }),
        ]);
    }
    (Snapshot::default().apply(1, changes), devices)
}

fn entry(action: &'static str, resource: &str, by: &str) -> Entry {
    let trace = TraceId::generate(NOW, &SystemEntropy).unwrap();
    let mut entry = Entry::new(NOW, &SystemEntropy, action, trace).unwrap();
    entry.resource = Some(resource.to_owned());
    entry.actor = Some(actor(by));
    entry
}

fn hold(device: Thumbprint, by: &str) -> Entry {
    entry("operator.device.hold", &format!("device/{device}"), by)
}

fn let_out(device: Thumbprint) -> Entry {
    entry(LET_OUT, &format!("device/{device}"), "bea")
}

fn revoked(name: &str) -> Entry {
    entry("operator.revoke", &format!("operator/{name}"), "cleo")
}

fn roles(of: &str) -> Entry {
    entry("operator.roles", &format!("operator/{of}"), "bea")
}

fn by_device(action: &'static str, resource: &str, device: Thumbprint) -> Entry {
    let mut entry = entry(action, resource, "cleo");
    entry.device = Some(device);
    entry
}

fn read<'a>(entries: impl IntoIterator<Item = &'a Entry>) -> Measures {
    let mut measures = Measures::default();
    for (index, entry) in (7..).zip(entries) {
        measures.read(index, entry);
    }
    measures
}

/// By whom a device is held, if it is.
fn holder(measures: &Measures, snapshot: &Snapshot, device: Thumbprint) -> Option<Option<ActorId>> {
    let held = measures.held(snapshot, None);
    let mut found = held.iter();
    found
        .find(|held| held.suspect == Suspect::Device(device))
        .map(|held| held.by)
}

fn quarantined(device: Thumbprint, by: Option<&str>, canary: Option<CanaryId>) -> Change {
    Change::Quarantine(QuarantineRecord {
        suspect: Suspect::Device(device),
        actor: actor("cleo"),
        since: NOW,
        by: by.map(actor),
        canary,
        lifted: None,
        lifted_at: None,
    })
}

fn decoy() -> CanaryId {
    CanaryId::generate(NOW, &SystemEntropy).unwrap()
}

#[test]
fn a_device_that_two_put_on_hold_stays_held_until_both_are_gone() {
    let (snapshot, devices) = home();
    let device = devices["cleo"];
    let holds = [hold(device, "ada"), hold(device, "bea")];
    // Of two the first did it, and the other is as good when that one is gone.
    let ways: [(&[&str], Option<&str>); 4] = [
        (&[], Some("ada")),
        (&["bea"], Some("ada")),
        (&["ada"], Some("bea")),
        (&["ada", "bea"], None),
    ];
    for (gone, by) in ways {
        let gone: Vec<Entry> = gone.iter().map(|name| revoked(name)).collect();
        let measures = read(holds.iter().chain(&gone));
        let held = holder(&measures, &snapshot, device);
        assert_eq!(held, by.map(|by| Some(actor(by))), "{gone:?}");
        assert_eq!(measures.names(&snapshot, &device), by.is_some());
    }
    // Once it was let out, the next who does it is the one.
    let [first, second] = holds;
    let measures = read(&[first, let_out(device), second]);
    let held = holder(&measures, &snapshot, device);
    assert_eq!(held, Some(Some(actor("bea"))));
    // Nobody is held for having been let out.
    let measures = read(&[let_out(device)]);
    assert_eq!(holder(&measures, &snapshot, device), None);
}

#[test]
fn whom_somebody_stopped_is_not_among_those_held_to_be_safe() {
    let (snapshot, devices) = home();
    let device = devices["cleo"];
    for by in [LATER, OTHER, "ada"] {
        let held = holder(&read(&[hold(device, by)]), &snapshot, device);
        assert_eq!(held, Some(Some(actor(by))), "{by}");
    }
    // Nor if its token was replaced as well, as long as the hold stands.
    let rotated = by_device(TOKEN_ROTATE, "token/x", device);
    let both = [hold(device, "ada"), rotated];
    let held = holder(&read(&both), &snapshot, device);
    assert_eq!(held, Some(Some(actor("ada"))));
    let gone = revoked("ada");
    let measures = read(both.iter().chain([&gone]));
    assert_eq!(holder(&measures, &snapshot, device), Some(None));
}

#[test]
fn what_is_in_quarantine_is_put_there_again_only_where_that_is_stricter() {
    let (snapshot, devices) = home();
    let device = devices["cleo"];
    let decoy = decoy();
    let touched = by_device(TOUCH_ACTION, &format!("canary/{decoy}"), device);
    let touched = read(&[touched]);
    let [stopped, held] = [read(&[hold(device, "ada")]), read(&[roles("cleo steward")])];
    let ways = [
        (&touched, (None, Some(decoy))),
        (&stopped, (Some(actor("ada")), None)),
        (&held, (None, None)),
    ];
    for (strict, (measures, why)) in ways.iter().enumerate() {
        let list = measures.held(&snapshot, None);
        let [found] = list.as_slice() else {
            panic!("{list:?}");
        };
        assert_eq!((found.by, found.canary), *why);
        assert!(!measures.is_held_so(&snapshot, found), "{found:?}");
        let before = [
            quarantined(device, None, Some(decoy)),
            quarantined(device, Some("bea"), None),
            quarantined(device, None, None),
        ];
        for (was, before) in before.into_iter().enumerate() {
            let snapshot = snapshot.apply(2, [before.clone()]);
            let is_so = measures.is_held_so(&snapshot, found);
            assert_eq!(is_so, was <= strict, "{before:?} and {found:?}");
        }
    }
}

#[test]
fn holds_of_who_was_made_a_steward_no_more_are_over() {
    let (snapshot, devices) = home();
    let [bea, cleo, thief, ruth] = ["bea", "cleo", "thief", "ruth"].map(|name| devices[name]);
    let snapshot = snapshot.apply(2, [quarantined(bea, Some("thief"), None)]);
    let ended = |measures: &Measures| {
        let ended = measures.ended_holds(&snapshot);
        ended
            .iter()
            .map(|found| found.suspect.clone())
            .collect::<Vec<Suspect>>()
    };
    let acts = |measures: &Measures, device: Thumbprint| {
        let stewards = measures.stewards(&snapshot, None);
        let mut found = stewards.iter().filter(|steward| steward.is_free);
        found.any(|steward| steward.device == device)
    };
    for words in ["thief none", "thief admin@shop"] {
        let measures = read(&[hold(cleo, "thief"), roles(words)]);
        assert_eq!(holder(&measures, &snapshot, cleo), None, "{words}");
        assert_eq!(ended(&measures), [Suspect::Device(bea)], "{words}");
        assert!(
            acts(&measures, bea) && acts(&measures, cleo),
            "{measures:?}"
        );
        // They have the role again: not let go with the others, until it is taken again.
        let own = holder(&measures, &snapshot, thief);
        assert_eq!(own, Some(Some(actor("thief"))), "{words}");
    }
    // One who stays a steward, and an entry that does not say what is left.
    for words in [
        "thief steward",
        "thief steward admin@shop",
        "thief",
        "bea none",
    ] {
        let measures = read(&[hold(cleo, "thief"), roles(words)]);
        let held = holder(&measures, &snapshot, cleo);
        assert_eq!(held, Some(Some(actor("thief"))), "{words}");
        assert!(ended(&measures).is_empty(), "{words}");
        let own = holder(&measures, &snapshot, thief);
        assert_eq!(own, words.starts_with("thief").then_some(None), "{words}");
    }
    // What came after stands.
    let again = [
        roles("thief none"),
        roles("thief steward"),
        hold(cleo, "thief"),
    ];
    let measures = read(&again);
    let held = holder(&measures, &snapshot, cleo);
    assert_eq!(held, Some(Some(actor("thief"))));
    assert_eq!(ended(&measures), [Suspect::Device(bea)]);
    // Whoever was none loses nothing by it.
    let measures = read(&[hold(cleo, OTHER), roles("ruth none")]);
    let held = holder(&measures, &snapshot, cleo);
    assert_eq!(held, Some(Some(actor(OTHER))));
    assert_eq!(holder(&measures, &snapshot, ruth), Some(None));
}

#[test]
fn a_hold_that_is_over_makes_room_for_another() {
    let (snapshot, devices) = home();
    let cleo = devices["cleo"];
    let measures = read(&[hold(cleo, "ada"), roles("thief none")]);
    let held = measures.held(&snapshot, None);
    let mut found = held.iter();
    let found = found.find(|held| held.suspect == Suspect::Device(cleo));
    let before = |by| snapshot.apply(2, [quarantined(cleo, Some(by), None)]);
    assert!(!measures.is_held_so(&before("thief"), found.unwrap()));
    // What is there already is not put there twice.
    for by in ["ada", "bea"] {
        assert!(measures.is_held_so(&before(by), found.unwrap()), "{by}");
    }
    let own = devices["thief"];
    let mut found = held.iter();
    let found = found.find(|held| held.suspect == Suspect::Device(own));
    let done = snapshot.apply(2, [quarantined(own, Some("thief"), None)]);
    assert!(measures.is_held_so(&done, found.unwrap()));
    assert!(measures.ended_holds(&done).is_empty());
}

#[test]
fn whoever_is_held_is_held_with_their_passkeys() {
    let (snapshot, devices) = home();
    let device = snapshot.device(&devices["bea"]).unwrap().clone();
    let key = SigningKey::generate_p256(&SystemEntropy).unwrap();
    let passkey = |removed| {
        Change::Passkey(procura_directory::PasskeyRecord {
            id: key.public().thumbprint(),
            actor: device.actor,
            name: "Phone".parse().unwrap(),
            key: key.public().clone(),
            credential_id: vec![1; 16],
            relying_party: "procura.example".to_owned(),
            transports: Vec::new(),
            backup_eligible: false,
            vouched_by: device.thumbprint,
            created: NOW,
            removed,
        })
    };
    let held = |measures: &Measures, removed| {
        let snapshot = snapshot.apply(2, [passkey(removed)]);
        let held = measures.held(&snapshot, None);
        let suspect = Suspect::Device(key.public().thumbprint());
        held.iter().any(|held| held.suspect == suspect)
    };
    let mut measures = Measures::default();
    assert!(!held(&measures, None));
    measures.read(7, &entry("operator.roles", "operator/bea none", "ada"));
    assert!(held(&measures, None));
    assert!(!held(&measures, Some(NOW)));
    let mut others = Measures::default();
    others.read(7, &entry("operator.roles", "operator/cleo none", "ada"));
    assert!(!held(&others, None));
    let all = Measures {
        all: true,
        ..Measures::default()
    };
    assert!(held(&all, None));
}
