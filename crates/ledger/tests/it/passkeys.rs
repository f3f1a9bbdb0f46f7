//! Approvals that a passkey signed: one whole example that a browser made
//! (`spec/vectors/passkey`), and what is found in those that are not right.

use crate::fixture::{Log, Person};
use procura_crypto::webauthn::{Answered, SoftwarePasskey};
use procura_crypto::{PublicKey, SigningKey};
use procura_ledger::{
    Carried, Entry, Finding, FindingKind, Forgetter, Frontier, GrantTerms, PasskeyEnrolment,
    grant_bytes, origin, passkey_receipt, receipt_challenge, receipt_message, verify_export,
};
use procura_types::encoding::{b64url, from_b64url};
use procura_types::wire::{Receipt, ReceiptAssertion};
use procura_types::{ActorId, Alg};

const ORIGIN: &str = "https://procura.example";
const SITE: &str = "procura.example";

struct World {
    log: Log,
    person: Person,
    passkey: SoftwarePasskey,
}

impl World {
    /// A person with a passkey, as the record says it.
    fn new() -> Self {
        let mut log = Log::new();
        let person = log.person();
        let init = log.by(&person, "installation.init");
        log.push(&init);
        let passkey = SoftwarePasskey::generate(ORIGIN, SITE, &log.entropy).unwrap();
        let mut world = Self {
            log,
            person,
            passkey,
        };
        let enrolment = world.enrolment();
        world.log.push(&enrolment);
        world
    }

    fn enrolment(&mut self) -> Entry {
        let said = PasskeyEnrolment {
            key: self.passkey.key.public().clone(),
            relying_party: SITE.to_owned(),
        };
        Entry {
            device: None,
            profile: "join".into(),
            resource: Some(said.to_string()),
            ..self.log.by(&self.person, "operator.passkey.enrol")
        }
    }

    /// An approval, after `bend` has had its way with what is asked and what is answered.
    fn approval(
        &mut self,
        challenge: impl FnOnce(&[u8]) -> [u8; 32],
        bend: impl FnOnce(&SoftwarePasskey, Answered) -> Answered,
    ) -> Entry {
        let terms = self.log.terms();
        let grant = grant_bytes(&terms);
        let answered = self.passkey.answer(&challenge(&grant)).unwrap();
        let answered = bend(&self.passkey, answered);
        let entry = self.log.by(&self.person, "request.approve");
        let key = self.passkey.key.public();
        let receipt = Receipt {
            approver: self.person.actor,
            device: key.thumbprint(),
            key: key.to_jwk(),
            time: entry.time,
            signature: answered.signature,
            grant,
            assertion: Some(ReceiptAssertion {
                authenticator_data: answered.authenticator_data,
                client_data: answered.client_data,
            }),
        };
        Entry {
            device: None,
            namespace: Some(terms.namespace),
            grant: Some(terms.grant),
            resource: Some(format!("request/{}", terms.grant)),
            approval: Some(Box::new(receipt)),
            profile: "web_login_passkey".into(),
            ..entry
        }
    }

    fn good(&mut self) -> Entry {
        self.approval(receipt_challenge, |_, answered| answered)
    }

    fn verdict(&self) -> Result<u64, Finding> {
        verify_export(&self.log.export(), self.log.vkey(), None).map(|report| report.receipts)
    }

    /// What is found when this entry stands last; it is taken away again.
    fn found(&mut self, entry: &Entry) -> Finding {
        let last = self.log.push(entry);
        let finding = self.verdict().unwrap_err();
        assert_eq!(finding.entry, Some(last));
        self.log.entries.pop();
        finding
    }
}

fn change(entry: &Entry, change: impl FnOnce(&mut Receipt)) -> Entry {
    let mut entry = entry.clone();
    change(entry.approval.as_mut().unwrap());
    entry
}

#[test]
fn an_approval_by_a_passkey_is_verified_offline() {
    let mut world = World::new();
    let good = world.good();
    world.log.push(&good);
    assert_eq!(world.verdict(), Ok(1));
}

#[test]
fn an_assertion_that_is_not_the_yes_to_this_grant() {
    let mut world = World::new();
    type Bend = Box<dyn FnOnce(&SoftwarePasskey, Answered) -> Answered>;
    let sign = |client: String, flags: u8, site: &'static str| -> Bend {
        Box::new(move |passkey, _| {
            let mut data = procura_crypto::sha256(site.as_bytes()).to_vec();
            data.extend([flags, 0, 0, 0, 9]);
            passkey.sign(client.into_bytes(), data).unwrap()
        })
    };
    // Another challenge: of the grant bytes alone, of other terms, of a sign-in.
    let bare = world.approval(procura_crypto::sha256, |_, answered| answered);
    let other = world.approval(|_| [1; 32], |_, answered| answered);
    let wider = {
        let good = world.good();
        change(&good, |receipt| {
            let mut terms = GrantTerms::parse(&receipt.grant).unwrap();
            terms.items.push(procura_types::wire::GrantItem {
                name: "ROOT_PASSWORD".parse().unwrap(),
                path: "db/password".parse().unwrap(),
            });
            receipt.grant = grant_bytes(&terms);
        })
    };
    for entry in [bare, other, wider] {
        let finding = world.found(&entry);
        assert_eq!(finding.kind, FindingKind::ReceiptNotSigned);
        assert!(finding.found.unwrap().contains("another challenge"));
    }
    let cases = [
        ("webauthn.create", ORIGIN, 0x05, SITE, "another ceremony"),
        (
            "webauthn.get",
            "https://evil.example",
            0x05,
            SITE,
            "another site",
        ),
        (
            "webauthn.get",
            ORIGIN,
            0x05,
            "evil.example",
            "for another site",
        ),
        ("webauthn.get", ORIGIN, 0x04, SITE, "nobody was present"),
        ("webauthn.get", ORIGIN, 0x01, SITE, "did not verify"),
        ("webauthn.get", ORIGIN, 0x15, SITE, "contradicts"),
    ];
    for (ceremony, from, flags, site, words) in cases {
        let terms = world.log.terms();
        // The terms are fixed first, so that only what is bent is wrong.
        let grant = grant_bytes(&terms);
        let challenge = b64url(&receipt_challenge(&grant));
        let client =
            format!(r#"{{"type":"{ceremony}","challenge":"{challenge}","origin":"{from}"}}"#);
        let bend = sign(client, flags, site);
        let entry = world.approval(receipt_challenge, bend);
        let entry = change(&entry, |receipt| receipt.grant = grant);
        let entry = Entry {
            grant: Some(terms.grant),
            ..entry
        };
        let finding = world.found(&entry);
        assert_eq!(finding.kind, FindingKind::ReceiptNotSigned, "{words}");
        let found = finding.found.unwrap();
        assert!(found.contains(words), "{words}: {found}");
    }
    let good = world.good();
    let bent: [fn(&mut Receipt); 4] = [
        |receipt| receipt.signature.clear(),
        |receipt| *receipt.signature.last_mut().unwrap() ^= 1,
        |receipt| receipt.assertion.as_mut().unwrap().authenticator_data[36] ^= 1,
        |receipt| receipt.assertion.as_mut().unwrap().client_data.push(b' '),
    ];
    for bend in bent {
        let finding = world.found(&change(&good, bend));
        assert_eq!(finding.kind, FindingKind::ReceiptNotSigned);
        assert!(finding.found.unwrap().contains("not signed by the passkey"));
    }
    // Without what the passkey signed it would have to be a device's.
    let finding = world.found(&change(&good, |receipt| receipt.assertion = None));
    assert_eq!(finding.kind, FindingKind::ReceiptNotSigned);
}

#[test]
fn a_passkey_has_to_be_the_approvers_when_it_signs() {
    let mut world = World::new();
    let good = world.good();
    let enrolled = world.log.entries.pop().unwrap();
    let finding = world.found(&good);
    assert_eq!(finding.kind, FindingKind::ReceiptDeviceUnknown);
    assert!(finding.found.unwrap().contains("never enrolled"));
    // Of somebody else.
    let other = Entry {
        actor: Some(ActorId::from_bytes([9; 32])),
        owner: Some(ActorId::from_bytes([9; 32])),
        ..Entry::parse(&enrolled).unwrap()
    };
    world.log.push(&other);
    let finding = world.found(&good);
    assert_eq!(finding.kind, FindingKind::ReceiptDeviceUnknown);
    assert!(finding.found.unwrap().contains("a passkey of actor"));
    world.log.entries.pop();
    // Enrolled for another site.
    let said = String::from_utf8(enrolled.clone()).unwrap();
    let said = said.replace(" rp:procura.example", " rp:evil.example");
    world.log.entries.push(said.into_bytes());
    let finding = world.found(&good);
    assert_eq!(finding.kind, FindingKind::ReceiptNotSigned);
    assert!(finding.found.unwrap().contains("on another site"));
    world.log.entries.pop();
    // A device's thumbprint is no passkey's.
    world.log.entries.push(enrolled);
    let device = world.person.device.public().clone();
    let finding = world.found(&change(&good, |receipt| {
        receipt.device = device.thumbprint();
        receipt.key = device.to_jwk();
    }));
    assert_eq!(finding.kind, FindingKind::ReceiptDeviceUnknown);
    // And the passkey signs nothing as a device.
    let finding = world.found(&change(&good, |receipt| {
        receipt.assertion = None;
        receipt.signature = world_key_signs(&world.passkey.key, &receipt.grant);
    }));
    assert_eq!(finding.kind, FindingKind::ReceiptDeviceUnknown);
}

fn world_key_signs(key: &SigningKey, grant: &[u8]) -> Vec<u8> {
    key.sign(&receipt_message(grant)).unwrap()
}

#[test]
fn a_removed_passkey_and_one_of_a_revoked_operator_sign_no_more() {
    let by = procura_types::Thumbprint::from_bytes([8; 32]);
    for (action, words) in [
        ("operator.passkey.remove", String::new()),
        // In a browser another passkey answered for it.
        ("operator.passkey.remove", format!(" by:passkey/{by}")),
        ("operator.revoke", String::new()),
    ] {
        let mut world = World::new();
        let id = world.passkey.key.public().thumbprint();
        let resource = match action {
            "operator.revoke" => format!("operator/{}", world.person.actor),
            _ => format!("passkey/{id}{words}"),
        };
        let ended = Entry {
            resource: Some(resource),
            ..world.log.by(&world.person, action)
        };
        world.log.push(&ended);
        let good = world.good();
        let finding = world.found(&good);
        assert_eq!(finding.kind, FindingKind::ReceiptDeviceRevoked, "{action}");
        assert_eq!(world.verdict(), Ok(0));
    }
}

#[test]
fn a_removal_says_what_was_removed_and_at_most_what_answered_for_it() {
    let world = World::new();
    let id = world.passkey.key.public().thumbprint();
    for resource in [
        "passkey/x".to_owned(),
        format!("device/{id}"),
        format!("passkey/{id} "),
        format!("passkey/{id} passkey/{id}"),
        format!("passkey/{id} by:{id}"),
        format!("passkey/{id} by:passkey/x"),
        format!("passkey/{id} by:passkey/{id} by:passkey/{id}"),
    ] {
        let mut world = World::new();
        let entry = Entry {
            resource: Some(resource.clone()),
            ..world.log.by(&world.person, "operator.passkey.remove")
        };
        let finding = world.found(&entry);
        assert_eq!(finding.kind, FindingKind::EntryMalformed, "{resource}");
    }
}

#[test]
fn a_passkey_that_went_with_a_device_signs_no_more() {
    let mut world = World::new();
    let id = world.passkey.key.public().thumbprint();
    let revoked = |world: &mut World, words: &str| Entry {
        resource: Some(format!("device/{}{words}", ActorId::from_bytes([7; 32]))),
        ..world.log.by(&world.person, "operator.device.revoke")
    };
    for malformed in [
        format!(" {id}"),
        format!(" device/{id}"),
        " passkey/x".to_owned(),
        format!(" passkey/{id} "),
        format!("  passkey/{id}"),
    ] {
        let entry = revoked(&mut world, &malformed);
        let finding = world.found(&entry);
        assert_eq!(finding.kind, FindingKind::EntryMalformed, "{malformed}");
    }
    // A device that takes none along, and one that takes another passkey.
    let other = procura_types::Thumbprint::from_bytes([8; 32]);
    for words in [String::new(), format!(" passkey/{other}")] {
        let entry = revoked(&mut world, &words);
        world.log.push(&entry);
    }
    let good = world.good();
    world.log.push(&good);
    assert_eq!(world.verdict(), Ok(1));
    let entry = revoked(&mut world, &format!(" passkey/{other} passkey/{id}"));
    world.log.push(&entry);
    let late = world.good();
    let finding = world.found(&late);
    assert_eq!(finding.kind, FindingKind::ReceiptDeviceRevoked);
    // What it signed before stays signed.
    assert_eq!(world.verdict(), Ok(1));
}

#[test]
fn an_enrolment_says_its_key_and_comes_once() {
    let mut world = World::new();
    let again = world.enrolment();
    assert_eq!(world.found(&again).kind, FindingKind::PasskeyRebound);
    let other = SoftwarePasskey::generate(ORIGIN, SITE, &world.log.entropy).unwrap();
    let key = b64url(other.key.public().as_bytes());
    let id = other.key.public().thumbprint();
    let first = world.passkey.key.public().thumbprint();
    for resource in [
        "passkey/x".to_owned(),
        format!("passkey/{id}"),
        format!("passkey/{id} key:{key}"),
        format!("passkey/{first} key:{key} rp:{SITE}"),
        format!("passkey/{id} key:{key} rp:{SITE} more"),
        format!("passkey/{id} key:AAAA rp:{SITE}"),
    ] {
        let entry = Entry {
            resource: Some(resource.clone()),
            ..world.enrolment()
        };
        let finding = world.found(&entry);
        assert_eq!(finding.kind, FindingKind::EntryMalformed, "{resource}");
    }
    let nobody = Entry {
        actor: None,
        ..world.enrolment()
    };
    assert_eq!(world.found(&nobody).kind, FindingKind::EntryMalformed);
}

#[test]
fn what_is_forgotten_leaves_its_passkeys_behind() {
    let mut world = World::new();
    let name = origin(&world.log.installation);
    let good = world.good();
    let mut reader = Forgetter::new(&name, &Carried::new(), Frontier::default());
    for entry in &world.log.entries {
        reader.read(entry).unwrap();
    }
    let (carried, frontier) = (reader.carried(), reader.frontier().clone());
    let mut later = Forgetter::new(&name, &carried, frontier.clone());
    later.read(&good.to_bytes().unwrap()).unwrap();
    // Without it nobody would know whose the passkey is.
    let mut bare = Forgetter::new(&name, &Carried::new(), frontier);
    let finding = bare.read(&good.to_bytes().unwrap()).unwrap_err();
    assert_eq!(finding.kind, FindingKind::ReceiptDeviceUnknown);
}

#[derive(serde::Deserialize)]
struct Vectors {
    approval: Approval,
}

#[derive(serde::Deserialize)]
struct Approval {
    private_key: serde_json::Value,
    terms: Terms,
    grant: String,
    message: String,
    challenge: String,
    origin_of_log: String,
    entries: Vec<String>,
}

#[derive(serde::Deserialize)]
struct Terms {
    installation: procura_types::InstallationId,
    grant: procura_types::GrantId,
    namespace: procura_types::Namespace,
    agent: ActorId,
    project: procura_types::ProjectName,
    delivery: procura_types::Delivery,
    from: procura_types::Timestamp,
    until: procura_types::Timestamp,
    items: Vec<procura_types::wire::GrantItem>,
}

#[test]
fn a_whole_example_that_a_browser_made() {
    let text = include_str!("../../../../spec/vectors/passkey/passkey_chromium.json");
    let Approval {
        private_key,
        terms,
        grant,
        message,
        challenge,
        origin_of_log,
        entries,
    } = serde_json::from_str::<Vectors>(text).unwrap().approval;
    let bytes = |text: &str| from_b64url("value", text).unwrap();
    let terms = GrantTerms {
        installation: terms.installation,
        grant: terms.grant,
        namespace: terms.namespace,
        agent: terms.agent,
        project: terms.project,
        delivery: terms.delivery,
        from: terms.from,
        until: terms.until,
        items: terms.items,
    };
    let made = grant_bytes(&terms);
    assert_eq!(made, bytes(&grant));
    assert_eq!(receipt_message(&made), bytes(&message));
    assert_eq!(receipt_challenge(&made).to_vec(), bytes(&challenge));
    assert_eq!(origin(&terms.installation), origin_of_log);
    let mut reader = Forgetter::new(&origin_of_log, &Carried::new(), Frontier::default());
    for entry in &entries {
        let parsed = Entry::parse(entry.as_bytes()).unwrap();
        assert_eq!(parsed.to_bytes().unwrap(), entry.as_bytes());
        reader.read(entry.as_bytes()).unwrap();
    }
    let receipt = Entry::parse(entries[1].as_bytes())
        .unwrap()
        .approval
        .unwrap();
    let key = PublicKey::from_jwk(&receipt.key).unwrap();
    let scalar = bytes(private_key["d"].as_str().unwrap());
    assert_eq!(scalar, procura_crypto::sha256(b"procura passkey vector"));
    let private = [&[Alg::P256.byte()], &scalar[..]].concat();
    let private = SigningKey::from_secret_bytes(&private).unwrap();
    assert_eq!(private.public(), &key);
    let assertion = receipt.assertion.clone().unwrap();
    assert_eq!(
        passkey_receipt("localhost", &key, &receipt, &assertion),
        Ok(())
    );
    assert!(passkey_receipt("procura.example", &key, &receipt, &assertion).is_err());
}
