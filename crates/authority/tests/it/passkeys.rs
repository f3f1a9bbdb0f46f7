//! The yes of a person in a browser: signed by a passkey, over exactly what was shown.

use crate::world::{Actor, Failure, World, label, perform, shop};
use procura_authority::{AuthorityError, RequestApprove, RequestDraft, Yes};
use procura_crypto::webauthn::{Answered, RelyingParty, SoftwarePasskey};
use procura_crypto::{SystemEntropy, sha256};
use procura_identity::IdentityError;
use procura_identity::passkey::{
    Ceremony, NewPasskey, PasskeyEnrol, PasskeyInvite, PasskeyRefusal, PasskeyRemove, issue,
};
use procura_ledger::{
    Carried, Finding, FindingKind, Forgetter, Frontier, origin as origin_of, receipt_challenge,
};
use procura_policy::{DenyReason, authorize};
use procura_proof::{Caller, Profile, SessionKeys};
use procura_record::tables::LEDGER;
use procura_types::wire::{
    AssertedCredential, AssertionResponse, AttestationResponse, Grant, NewCredential, RequestState,
};
use procura_types::{Amr, Duration, EnvName, RequestId, Role, Secret, Timestamp};

const ORIGIN: &str = "https://procura.example";

/// A session root that is always the same.
struct Roots;

impl SessionKeys for Roots {
    fn accepts(&self, epoch: u32) -> bool {
        epoch == 1
    }
    fn audience_key(&self, _: u32, _: &str) -> Option<Secret<[u8; 32]>> {
        Some(Secret::new([1; 32]))
    }
    fn current(&self) -> Option<u32> {
        Some(1)
    }
}

fn party() -> RelyingParty {
    RelyingParty::of_origin(ORIGIN).unwrap()
}

/// A request that waits, and an approver with a passkey.
struct Desk {
    world: World,
    scribe: Actor,
    bob: Actor,
    passkey: SoftwarePasskey,
    id: RequestId,
}

/// What an approver saw.
struct Shown {
    challenge: [u8; 32],
    names: Vec<EnvName>,
    from: Timestamp,
    until: Timestamp,
}

impl Desk {
    async fn new() -> Self {
        let (world, scribe) = World::new().await;
        let id = world.run(&scribe, "web", &[]).await.unwrap().pending();
        let bob = world.operator("bob", &[(Role::Approver, &shop())]).await;
        let passkey = enrolled(&world, &bob, "bob").await;
        Self {
            world,
            scribe,
            bob,
            passkey,
            id,
        }
    }

    /// The approver in a browser, signed in by whatever.
    fn browser(&self, who: &Actor, amr: Amr) -> Caller {
        let seq = self.world.snapshot().seq();
        Caller::fake(Profile::WebLogin(amr), who.id, who.id, None, seq)
            .authenticated_at(self.world.now())
    }

    fn show(&self, names: Option<&[&str]>) -> Result<Shown, AuthorityError> {
        let world = &self.world;
        let names = names.map(|names| names.iter().map(|name| name.parse().unwrap()).collect());
        let op = RequestDraft {
            namespace: shop(),
            id: self.id,
            names,
            from: world.now(),
            until: world.now().plus(Duration::from_secs(24 * 60 * 60)),
        };
        let (from, until) = (op.from, op.until);
        let snapshot = world.snapshot();
        let caller = self.browser(&self.bob, Amr::Password);
        let permit = authorize(world.recorder.decider(), &snapshot, caller, op, world.now());
        let permit = permit.map_err(|(denied, ..)| denied).unwrap();
        let draft = RequestDraft::run(
            &permit,
            &snapshot,
            world.store(),
            &world.installation,
            world.now(),
        )?;
        assert_eq!(draft.summary.id, self.id);
        Ok(Shown {
            challenge: draft.challenge,
            names: draft.names,
            from,
            until,
        })
    }

    fn sign(&mut self, shown: &Shown) -> AssertedCredential {
        let answered = self.passkey.answer(&shown.challenge).unwrap();
        credential(&self.passkey, answered)
    }

    async fn yes(
        &self,
        caller: Caller,
        shown: &Shown,
        credential: AssertedCredential,
    ) -> Result<Grant, Failure> {
        let op = RequestApprove {
            namespace: shop(),
            id: self.id,
            names: Some(shown.names.clone()),
            from: shown.from,
            until: shown.until,
            yes: Yes::Passkey {
                party: party(),
                answer: Box::new(credential.into()),
            },
        };
        perform(&self.world.recorder, caller, op, |batch| {
            RequestApprove::run(batch, &self.world.installation, self.world.now())
        })
        .await
    }

    /// The same by the approver, who signed in by a password.
    async fn approve(
        &self,
        shown: &Shown,
        credential: AssertedCredential,
    ) -> Result<Grant, AuthorityError> {
        let browser = self.browser(&self.bob, Amr::Password);
        self.yes(browser, shown, credential)
            .await
            .map_err(Failure::domain)
    }

    /// What the offline verifier says of the record.
    fn audit(&self) -> Result<(), Finding> {
        let name = origin_of(&self.world.installation);
        let mut reader = Forgetter::new(&name, &Carried::new(), Frontier::default());
        let entries = self.world.store().log_read(LEDGER, 0, 1000).unwrap();
        entries
            .iter()
            .try_for_each(|entry| reader.read(entry.bytes.expose()))
    }
}

fn credential(passkey: &SoftwarePasskey, answered: Answered) -> AssertedCredential {
    AssertedCredential {
        id: passkey.credential_id.clone(),
        kind: "public-key".to_owned(),
        response: AssertionResponse {
            client_data: answered.client_data,
            authenticator_data: answered.authenticator_data,
            signature: answered.signature,
            user_handle: None,
        },
    }
}

/// A passkey of this operator's.
async fn enrolled(world: &World, of: &Actor, name: &str) -> SoftwarePasskey {
    let op = PasskeyInvite::resolve(&world.snapshot(), &label(name)).unwrap();
    let code = perform(&world.recorder, world.caller(of), op, |batch| {
        PasskeyInvite::run(batch, world.now(), &SystemEntropy)
    });
    let code = sha256(code.await.unwrap().code.expose());
    let issued = issue(&Roots, &Ceremony::Enrol(code), world.now(), &SystemEntropy).unwrap();
    let passkey = SoftwarePasskey::generate(ORIGIN, "procura.example", &SystemEntropy).unwrap();
    let made = passkey.make(&issued.challenge);
    let new = NewPasskey {
        name: "Key ring".parse().unwrap(),
        credential: NewCredential {
            id: passkey.credential_id.clone(),
            kind: "public-key".to_owned(),
            response: AttestationResponse {
                client_data: made.client_data,
                attestation_object: made.attestation_object,
                transports: Vec::new(),
            },
        },
    };
    let snapshot = world.snapshot();
    let places = (world.store(), &*snapshot, &Roots as &dyn SessionKeys);
    let op = PasskeyEnrol::check(places, &party(), &code, (&issued.state, new), world.now());
    let op = op.unwrap();
    let caller = op.caller(&snapshot, world.now(), None);
    let enrolled = perform(&world.recorder, caller, op, |batch| {
        PasskeyEnrol::run(batch, world.now())
    });
    enrolled.await.unwrap();
    passkey
}

fn refusal(error: AuthorityError) -> PasskeyRefusal {
    match error {
        AuthorityError::Identity(IdentityError::Passkey(refused)) => refused.refusal,
        other => panic!("another error: {other}"),
    }
}

fn word(error: AuthorityError) -> &'static str {
    refusal(error).as_str()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_yes_by_a_passkey_becomes_a_grant_that_is_verified_offline() {
    let mut desk = Desk::new().await;
    let shown = desk.show(None).unwrap();
    let credential = desk.sign(&shown);
    let grant = desk.approve(&shown, credential).await.unwrap();
    let receipt = &grant.receipt;
    assert_eq!(receipt.approver, desk.bob.id);
    assert_eq!(receipt.device, desk.passkey.key.public().thumbprint());
    assert!(receipt.assertion.is_some());
    assert_eq!(receipt_challenge(&receipt.grant), shown.challenge);
    assert_eq!(desk.world.request(desk.id).state, RequestState::Approved);
    let values = desk.world.run(&desk.scribe, "web", &[]).await.unwrap();
    assert_eq!(values.values().len(), 2);
    desk.audit().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_the_sign_in_was_the_passkey_signs() {
    for amr in Amr::ALL {
        let mut desk = Desk::new().await;
        let shown = desk.show(Some(&["API_KEY"])).unwrap();
        let credential = desk.sign(&shown);
        let caller = desk.browser(&desk.bob, amr);
        let grant = desk.yes(caller, &shown, credential).await.unwrap();
        assert_eq!(grant.items.len(), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn other_terms_than_those_that_were_signed_are_refused() {
    let mut desk = Desk::new().await;
    let shown = desk.show(Some(&["API_KEY"])).unwrap();
    let credential = desk.sign(&shown);
    let later = Shown {
        until: shown.until.plus(Duration::from_millis(1)),
        names: shown.names.clone(),
        ..shown
    };
    let wider = Shown {
        names: vec!["API_KEY".parse().unwrap(), "DB_PASSWORD".parse().unwrap()],
        ..shown
    };
    let earlier = Shown {
        from: shown.from.minus(Duration::from_secs(1)),
        names: shown.names.clone(),
        ..shown
    };
    for other in [later, wider, earlier] {
        let error = desk.approve(&other, credential.clone()).await.unwrap_err();
        assert_eq!(word(error), "wrong_challenge");
    }
    assert_eq!(desk.world.request(desk.id).state, RequestState::Pending);
    // Nothing of it counted: what was shown is signed and good still.
    desk.approve(&shown, credential).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_yes_counts_once_and_is_no_yes_to_the_next_request() {
    let mut desk = Desk::new().await;
    let shown = desk.show(None).unwrap();
    let credential = desk.sign(&shown);
    desk.approve(&shown, credential.clone()).await.unwrap();
    let error = desk.approve(&shown, credential.clone()).await.unwrap_err();
    assert!(matches!(error, AuthorityError::AlreadyApproved), "{error}");
    // The same assertion for another request.
    let world = &desk.world;
    world.put(&shop(), "mail/key", "x", Some("MAIL_KEY")).await;
    desk.id = world
        .run(&desk.scribe, "web", &["MAIL_KEY"])
        .await
        .unwrap()
        .pending();
    let next = desk.show(None).unwrap();
    let error = desk.approve(&next, credential).await.unwrap_err();
    assert_eq!(word(error), "wrong_challenge");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_yes_brings_no_withdrawn_grant_back() {
    let mut desk = Desk::new().await;
    let shown = desk.show(None).unwrap();
    let credential = desk.sign(&shown);
    let grant = desk.approve(&shown, credential.clone()).await.unwrap();
    desk.world.pass(Duration::from_secs(1));
    let withdrawn = desk.world.withdraw(grant.id).await.unwrap().withdrawn;
    assert_eq!(withdrawn, Some(desk.world.now()));
    desk.world.pass(Duration::from_secs(1));
    // The touch of before, one more over the same terms, and the page that would ask.
    let anew = desk.sign(&shown);
    for yes in [credential, anew] {
        let error = desk.approve(&shown, yes).await.unwrap_err();
        assert!(matches!(error, AuthorityError::AlreadyApproved), "{error}");
    }
    assert!(matches!(
        desk.show(None).err(),
        Some(AuthorityError::AlreadyApproved)
    ));
    let snapshot = desk.world.snapshot();
    assert_eq!(snapshot.grant(&grant.id).unwrap().withdrawn, withdrawn);
    // It takes another request, which takes another yes.
    let next = desk.world.run(&desk.scribe, "web", &[]).await.unwrap();
    assert_ne!(next.pending(), desk.id);
    desk.audit().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_yes_comes_too_late_after_a_no_and_after_its_time() {
    let mut desk = Desk::new().await;
    let shown = desk.show(None).unwrap();
    let credential = desk.sign(&shown);
    // Longer ago than a clock may be off.
    desk.world.pass(Duration::from_secs(5 * 60 + 1));
    let error = desk.approve(&shown, credential.clone()).await.unwrap_err();
    assert!(matches!(error, AuthorityError::BadStart), "{error}");
    desk.world.deny(&desk.world.alice, desk.id).await.unwrap();
    let error = desk.approve(&shown, credential).await.unwrap_err();
    assert!(matches!(error, AuthorityError::AlreadyDenied), "{error}");
    let mut desk = Desk::new().await;
    let shown = desk.show(None).unwrap();
    let credential = desk.sign(&shown);
    desk.world.pass(procura_authority::REQUEST_LIFE);
    let error = desk.approve(&shown, credential).await.unwrap_err();
    assert!(matches!(error, AuthorityError::RequestExpired), "{error}");
    assert!(matches!(
        desk.show(None).err(),
        Some(AuthorityError::RequestExpired)
    ));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_passkey_of_another_and_a_removed_one_say_no_yes() {
    let mut desk = Desk::new().await;
    let alices = enrolled(&desk.world, &desk.world.alice, "alice").await;
    let bobs = std::mem::replace(&mut desk.passkey, alices);
    let shown = desk.show(None).unwrap();
    let credential = desk.sign(&shown);
    let error = desk.approve(&shown, credential).await.unwrap_err();
    assert_eq!(refusal(error), PasskeyRefusal::OtherUser);
    desk.passkey = bobs;
    let credential = desk.sign(&shown);
    let id = desk.passkey.key.public().thumbprint();
    let op = PasskeyRemove::resolve(&desk.world.snapshot(), &id).unwrap();
    let caller = desk.world.caller(&desk.bob);
    let removed = perform(&desk.world.recorder, caller, op, |batch| {
        PasskeyRemove::run(batch, desk.world.now())
    });
    removed.await.unwrap();
    let error = desk.approve(&shown, credential).await.unwrap_err();
    assert_eq!(refusal(error), PasskeyRefusal::Removed);
    assert_eq!(desk.world.request(desk.id).state, RequestState::Pending);
    desk.audit().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_passkey_that_counts_back_says_no_yes() {
    let mut desk = Desk::new().await;
    desk.passkey.counter = 0;
    // Enrolled with a count of 1: one that says 0, as if it never counted, is a copy.
    let shown = desk.show(None).unwrap();
    let credential = desk.sign(&shown);
    let error = desk.approve(&shown, credential).await.unwrap_err();
    assert_eq!(refusal(error), PasskeyRefusal::CounterBack);
    assert_eq!(desk.world.request(desk.id).state, RequestState::Pending);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_say_yes_gains_nothing_by_a_passkey() {
    let mut desk = Desk::new().await;
    let shown = desk.show(None).unwrap();
    let signed = desk.sign(&shown);
    // The agent that asks, whatever it brings.
    let agent = desk.world.caller(&desk.scribe);
    let no = desk.yes(agent, &shown, signed.clone()).await.unwrap_err();
    assert_eq!(no.denied(), DenyReason::NoRole);
    // An operator without the role, with a passkey of their own.
    let carol = desk
        .world
        .operator("carol", &[(Role::Auditor, &shop())])
        .await;
    let passkey = enrolled(&desk.world, &carol, "carol").await;
    let bobs = std::mem::replace(&mut desk.passkey, passkey);
    let carols = desk.sign(&shown);
    let browser = desk.browser(&carol, Amr::Passkey);
    let no = desk.yes(browser, &shown, carols).await.unwrap_err();
    assert_eq!(no.denied(), DenyReason::NoRole);
    // An approver with a device signs with that, and in a browser with a passkey.
    desk.passkey = bobs;
    let device = desk.world.caller(&desk.bob);
    let error = desk.yes(device, &shown, signed.clone()).await.unwrap_err();
    assert!(matches!(error.domain(), AuthorityError::BadSignature));
    let message = desk.world.message(desk.id, &desk.world.terms());
    let op = RequestApprove {
        namespace: shop(),
        id: desk.id,
        names: None,
        from: desk.world.terms().from,
        until: desk.world.terms().until,
        yes: Yes::Device(desk.bob.key.sign(&message).unwrap()),
    };
    let browser = desk.browser(&desk.bob, Amr::Passkey);
    let error = perform(&desk.world.recorder, browser, op, |batch| {
        RequestApprove::run(batch, &desk.world.installation, desk.world.now())
    });
    let error = error.await.unwrap_err().domain();
    assert!(matches!(error, AuthorityError::BadSignature), "{error}");
    assert_eq!(desk.world.request(desk.id).state, RequestState::Pending);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_would_not_fit_into_the_record_is_refused() {
    let mut desk = Desk::new().await;
    let shown = desk.show(None).unwrap();
    let mut client =
        String::from_utf8(desk.passkey.client_data("webauthn.get", &shown.challenge)).unwrap();
    client.insert_str(1, &format!(r#""x":"{}","#, "y".repeat(1024)));
    let good = desk.sign(&shown);
    let data = good.response.authenticator_data;
    let answered = desk.passkey.sign(client.into_bytes(), data).unwrap();
    let long = credential(&desk.passkey, answered);
    let error = desk.approve(&shown, long).await.unwrap_err();
    assert_eq!(word(error), "malformed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_with_another_yes_in_it_is_found_out() {
    let mut desk = Desk::new().await;
    let shown = desk.show(None).unwrap();
    let credential = desk.sign(&shown);
    desk.approve(&shown, credential).await.unwrap();
    let entries = desk.world.store().log_read(LEDGER, 0, 1000).unwrap();
    let name = origin_of(&desk.world.installation);
    let mut reader = Forgetter::new(&name, &Carried::new(), Frontier::default());
    let mut found = None;
    for entry in &entries {
        let mut parsed = procura_ledger::Entry::parse(entry.bytes.expose()).unwrap();
        if let Some(receipt) = &mut parsed.approval {
            *receipt.grant.last_mut().unwrap() ^= 1;
        }
        if let Err(finding) = reader.read(&parsed.to_bytes().unwrap()) {
            found = Some(finding.kind);
            break;
        }
    }
    assert_eq!(found, Some(FindingKind::ReceiptNotSigned));
}
