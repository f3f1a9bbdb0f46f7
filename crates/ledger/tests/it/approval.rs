//! What a rightly signed log says: order, pairs, and receipts. The log's own
//! key signs each of these logs, so only what the entries say is wrong.

use crate::fixture::{Log, Person, story};
use procura_crypto::SigningKey;
use procura_ledger::{
    Decision, Entry, Finding, FindingKind, GrantTerms, OUTSIDE, Phase, grant_bytes,
    receipt_message, verify_export,
};
use procura_types::ActorId;
use procura_types::wire::Receipt;

fn begun() -> (Log, Person) {
    let mut log = Log::new();
    let person = log.person();
    let init = log.by(&person, "installation.init");
    log.push(&init);
    (log, person)
}

fn verdict(log: &Log) -> Result<u64, Finding> {
    verify_export(&log.export(), log.vkey(), None).map(|report| report.receipts)
}

/// The kind of finding for this entry as the next of the log; it must name it.
fn refused(log: &mut Log, entry: &Entry) -> FindingKind {
    let index = log.push(entry);
    let finding = verdict(log).unwrap_err();
    assert_eq!(finding.entry, Some(index), "{finding}");
    assert!(finding.file.is_some() && finding.offset.is_some());
    finding.kind
}

fn change(entry: &Entry, change: impl FnOnce(&mut Receipt)) -> Entry {
    let mut entry = entry.clone();
    change(entry.approval.as_mut().unwrap());
    entry
}

#[test]
fn the_device_or_the_root_key_of_the_approver_signs() {
    let (mut log, person) = begun();
    let by_device = log.approval(&person, &person.device);
    log.push(&by_device);
    let by_root = log.approval(&person, &person.root);
    log.push(&by_root);
    assert_eq!(verdict(&log), Ok(2));
}

#[test]
fn an_operator_signs_after_joining_and_not_before() {
    let (mut log, _) = begun();
    let other = log.person();
    let entry = log.approval(&other, &other.device);
    assert_eq!(refused(&mut log, &entry), FindingKind::ReceiptDeviceUnknown);
    log.entries.pop();
    let join = log.by(&other, "operator.join");
    log.push(&join);
    log.push(&entry);
    assert_eq!(verdict(&log), Ok(1));
}

#[test]
fn a_receipt_of_another_installation() {
    let (mut log, person) = begun();
    let installation = log.installation;
    log.installation = procura_types::InstallationId::from_bytes([9; 16]);
    let entry = log.approval(&person, &person.device);
    log.installation = installation;
    assert_eq!(refused(&mut log, &entry), FindingKind::ReceiptOfOtherGrant);
}

#[test]
fn a_device_that_never_joined() {
    let (mut log, person) = begun();
    let stranger = SigningKey::generate_ed25519(&log.entropy).unwrap();
    let entry = log.approval(&person, &stranger);
    assert_eq!(refused(&mut log, &entry), FindingKind::ReceiptDeviceUnknown);
}

#[test]
fn a_join_that_was_refused_binds_nothing() {
    let (mut log, _) = begun();
    let other = log.person();
    let join = Entry {
        decision: Decision::Deny,
        reason: Some("bad_signature".into()),
        ..log.by(&other, "operator.join")
    };
    log.push(&join);
    let entry = log.approval(&other, &other.device);
    assert_eq!(refused(&mut log, &entry), FindingKind::ReceiptDeviceUnknown);
}

#[test]
fn a_device_of_someone_else() {
    let (mut log, person) = begun();
    let other = log.person();
    let join = log.by(&other, "device.join");
    log.push(&join);
    let entry = log.approval(&person, &other.device);
    assert_eq!(refused(&mut log, &entry), FindingKind::ReceiptDeviceUnknown);
}

#[test]
fn an_agent_cannot_approve() {
    let (mut log, person) = begun();
    let agent = log.person();
    let join = Entry {
        owner: Some(person.actor),
        ..log.by(&agent, "device.join")
    };
    log.push(&join);
    let entry = Entry {
        owner: Some(person.actor),
        ..log.approval(&agent, &agent.device)
    };
    assert_eq!(refused(&mut log, &entry), FindingKind::ReceiptOfOtherGrant);
}

#[test]
fn a_device_that_was_revoked() {
    let (mut log, person) = begun();
    let before = log.approval(&person, &person.device);
    log.push(&before);
    let revoke = Entry {
        resource: Some(format!("device/{}", person.thumbprint())),
        ..log.by(&person, "device.revoke")
    };
    log.push(&revoke);
    assert_eq!(verdict(&log), Ok(1), "what was signed before stays signed");
    // Joining again does not revive it.
    let join = log.by(&person, "device.join");
    log.push(&join);
    let after = log.approval(&person, &person.device);
    assert_eq!(refused(&mut log, &after), FindingKind::ReceiptDeviceRevoked);
}

#[test]
fn a_revocation_that_was_refused_revokes_nothing() {
    let (mut log, person) = begun();
    let revoke = Entry {
        decision: Decision::Deny,
        reason: Some("not_permitted".into()),
        resource: Some(format!("device/{}", person.thumbprint())),
        ..log.by(&person, "device.revoke")
    };
    log.push(&revoke);
    let after = log.approval(&person, &person.device);
    log.push(&after);
    assert_eq!(verdict(&log), Ok(1));
}

#[test]
fn an_operator_who_was_revoked() {
    let (mut log, person) = begun();
    let revoke = Entry {
        resource: Some(format!("operator/{}", person.actor)),
        ..log.by(&person, "operator.revoke")
    };
    log.push(&revoke);
    let after = log.approval(&person, &person.root);
    assert_eq!(refused(&mut log, &after), FindingKind::ReceiptDeviceRevoked);
}

#[test]
fn roles_after_the_name_do_not_hide_whom_a_revocation_means() {
    let (mut log, person) = begun();
    let name = "operator/bob";
    let join = Entry {
        resource: Some(format!("{name} admin@shop approver@shop")),
        ..log.by(&person, "operator.join")
    };
    log.push(&join);
    let revoke = Entry {
        resource: Some(name.to_owned()),
        ..log.by(&person, "operator.revoke")
    };
    log.push(&revoke);
    let after = log.approval(&person, &person.root);
    assert_eq!(refused(&mut log, &after), FindingKind::ReceiptDeviceRevoked);
}

#[test]
fn revocations_and_joins_name_what_they_are_about() {
    for action in ["device.revoke", "operator.revoke", "device.join"] {
        let (mut log, person) = begun();
        let entry = Entry {
            device: None,
            resource: Some("something".to_owned()),
            ..log.by(&person, action)
        };
        assert_eq!(refused(&mut log, &entry), FindingKind::EntryMalformed);
    }
}

#[test]
fn a_device_has_one_actor() {
    let (mut log, person) = begun();
    let entry = Entry {
        actor: Some(ActorId::from_bytes([9; 32])),
        ..log.by(&person, "device.join")
    };
    assert_eq!(refused(&mut log, &entry), FindingKind::DeviceRebound);
}

#[test]
fn a_receipt_that_is_not_signed_over_its_grant() {
    let (mut log, person) = begun();
    let good = log.approval(&person, &person.device);
    let receipt = good.approval.as_ref().unwrap();
    // One more name than the approver saw.
    let mut terms = GrantTerms::parse(&receipt.grant).unwrap();
    terms.items.push(procura_types::wire::GrantItem {
        name: "ROOT_PASSWORD".parse().unwrap(),
        path: "db/password".parse().unwrap(),
    });
    let wider = grant_bytes(&terms);
    let bare = person.device.sign(&receipt.grant).unwrap();
    let other = SigningKey::generate_ed25519(&log.entropy).unwrap();
    let by_other = other.sign(&receipt_message(&receipt.grant)).unwrap();
    for (entry, why) in [
        (
            change(&good, |receipt| receipt.signature[0] ^= 1),
            "a bit of the signature",
        ),
        (
            change(&good, |receipt| receipt.signature.clear()),
            "no signature",
        ),
        (change(&good, |receipt| receipt.grant = wider), "wider"),
        (change(&good, |receipt| receipt.signature = bare), "bare"),
        (
            change(&good, |receipt| receipt.signature = by_other),
            "by another key",
        ),
    ] {
        let (entries, time) = (log.entries.clone(), log.time);
        assert_eq!(
            refused(&mut log, &entry),
            FindingKind::ReceiptNotSigned,
            "{why}"
        );
        (log.entries, log.time) = (entries, time);
    }
}

#[test]
fn a_receipt_whose_key_is_not_its_device() {
    let (mut log, person) = begun();
    let good = log.approval(&person, &person.device);
    let other = SigningKey::generate_ed25519(&log.entropy).unwrap();
    let entry = change(&good, |receipt| {
        receipt.key = other.public().to_jwk();
        receipt.signature = other.sign(&receipt_message(&receipt.grant)).unwrap();
    });
    assert_eq!(refused(&mut log, &entry), FindingKind::ReceiptKeyDiffers);
    log.entries.pop();
    let entry = change(&good, |receipt| receipt.key.crv = "P-521".to_owned());
    assert_eq!(refused(&mut log, &entry), FindingKind::ReceiptKeyDiffers);
}

#[test]
fn a_receipt_for_another_grant_than_its_entry() {
    let (mut log, person) = begun();
    let other = log.person();
    let good = log.approval(&person, &person.device);
    let grant = log.terms().grant;
    let cases = [
        Entry {
            grant: Some(grant),
            ..good.clone()
        },
        Entry {
            grant: None,
            ..good.clone()
        },
        Entry {
            namespace: Some("lab".parse().unwrap()),
            ..good.clone()
        },
        Entry {
            actor: Some(other.actor),
            ..good.clone()
        },
        Entry {
            owner: None,
            ..good.clone()
        },
        change(&good, |receipt| receipt.approver = other.actor),
    ];
    for entry in cases {
        assert_eq!(refused(&mut log, &entry), FindingKind::ReceiptOfOtherGrant);
        log.entries.pop();
    }
    // Signed all right, and without any time in which it holds.
    let entry = change(&good, |receipt| {
        let mut terms = GrantTerms::parse(&receipt.grant).unwrap();
        terms.until = terms.from;
        receipt.grant = grant_bytes(&terms);
        receipt.signature = person
            .device
            .sign(&receipt_message(&receipt.grant))
            .unwrap();
    });
    assert_eq!(refused(&mut log, &entry), FindingKind::ReceiptOfOtherGrant);
}

#[test]
fn a_receipt_that_cannot_be_read() {
    let (mut log, person) = begun();
    let good = log.approval(&person, &person.device);
    let entry = change(&good, |receipt| {
        receipt.grant.pop();
    });
    assert_eq!(refused(&mut log, &entry), FindingKind::ReceiptMalformed);
}

#[test]
fn receipts_stand_with_approvals_and_nowhere_else() {
    let (mut log, person) = begun();
    let good = log.approval(&person, &person.device);
    for entry in [
        Entry {
            approval: None,
            ..good.clone()
        },
        Entry {
            action: "secret.read".into(),
            ..good.clone()
        },
        Entry {
            decision: Decision::Deny,
            ..good.clone()
        },
    ] {
        assert_eq!(refused(&mut log, &entry), FindingKind::ReceiptMisplaced);
        log.entries.pop();
    }
    // A refused approval has no receipt.
    let entry = Entry {
        decision: Decision::Deny,
        approval: None,
        ..good
    };
    log.push(&entry);
    assert_eq!(verdict(&log), Ok(0));
}

#[test]
fn a_receipt_counts_once() {
    let (mut log, person) = begun();
    let good = log.approval(&person, &person.device);
    log.push(&good);
    let again = Entry {
        id: log.entry("request.approve").id,
        ..good
    };
    assert_eq!(refused(&mut log, &again), FindingKind::ReceiptReused);
}

#[test]
fn two_entries_of_one_id() {
    let (mut log, person) = begun();
    let entry = Entry {
        id: Entry::parse(&log.entries[0]).unwrap().id,
        ..log.by(&person, "namespace.create")
    };
    assert_eq!(refused(&mut log, &entry), FindingKind::DuplicateId);
}

#[test]
fn an_entry_that_is_none() {
    let (mut log, _) = begun();
    log.entries.push(b"{}".to_vec());
    let finding = verdict(&log).unwrap_err();
    assert_eq!(finding.kind, FindingKind::EntryMalformed);
    assert_eq!(finding.entry, Some(1));
}

#[test]
fn outcomes_follow_their_intents() {
    let (mut log, person) = begun();
    let intent = Entry {
        reason: Some(OUTSIDE.into()),
        resource: Some("a".to_owned()),
        ..log.by(&person, "mail.send")
    };
    let outcome = |log: &mut Log, resource: &str| Entry {
        id: log.entry("mail.send").id,
        phase: Phase::Outcome,
        reason: None,
        resource: Some(resource.to_owned()),
        ..intent.clone()
    };
    let early = outcome(&mut log, "a");
    assert_eq!(refused(&mut log, &early), FindingKind::OutcomeWithoutIntent);
    log.entries.pop();
    log.push(&intent);
    let open = |log: &Log| {
        let report = verify_export(&log.export(), log.vkey(), None).unwrap();
        report.interrupted.len()
    };
    assert_eq!(open(&log), 1);
    let elsewhere = outcome(&mut log, "b");
    assert_eq!(
        refused(&mut log, &elsewhere),
        FindingKind::OutcomeWithoutIntent
    );
    log.entries.pop();
    let done = outcome(&mut log, "a");
    log.push(&done);
    assert_eq!(open(&log), 0);
    let again = outcome(&mut log, "a");
    assert_eq!(refused(&mut log, &again), FindingKind::OutcomeWithoutIntent);
}

#[test]
fn damage_comes_before_what_entries_say() {
    let (mut log, person) = story();
    let bad = Entry {
        approval: None,
        ..log.approval(&person, &person.device)
    };
    log.push(&bad);
    let mut export = log.export();
    let finding = verify_export(&export, log.vkey(), None).unwrap_err();
    assert_eq!(finding.kind, FindingKind::ReceiptMisplaced);
    export.0.get_mut("tile/0/000.p/14").unwrap()[400] ^= 1;
    let finding = verify_export(&export, log.vkey(), None).unwrap_err();
    assert_eq!(finding.kind, FindingKind::TileChanged);
}
