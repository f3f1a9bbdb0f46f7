//! Passkeys: how they come in, what they are shown for, and how they go.

use crate::account_world::home;
use crate::passkey_world::{KEYS, asserted, party, software};
use crate::world::{Failure, World, label, perform, role};
use procura_crypto::webauthn::SoftwarePasskey;
use procura_crypto::{SystemEntropy, sha256};
use procura_directory::{Change, DeviceRecord, QuarantineRecord, Suspect};
use procura_identity::passkey::{
    Ceremony, MAX_PASSKEYS, PasskeyAnswer, PasskeyInvite, PasskeyListing, PasskeyRefusal,
    PasskeyRename, ShownPasskey, parse_code, written_code,
};
use procura_identity::{IdentityError, JoinRefusal};
use procura_ledger::{Entry, PasskeyEnrolment};
use procura_policy::DenyReason;
use procura_proof::{Authenticated, Caller, Case};
use procura_record::tables::LEDGER;
use procura_types::{Amr, Duration, Role, Secret};

pub(crate) fn refusal(error: IdentityError) -> PasskeyRefusal {
    match error {
        IdentityError::Passkey(refused) => refused.refusal,
        other => panic!("another error: {other}"),
    }
}

pub(crate) fn joins(error: IdentityError) -> JoinRefusal {
    match error {
        IdentityError::Join(refusal) => refusal,
        other => panic!("another error: {other}"),
    }
}

/// The entries of the record with this action.
pub(crate) fn recorded(world: &World, action: &str) -> Vec<Entry> {
    let entries = world.recorder.store().log_read(LEDGER, 0, 1000).unwrap();
    entries
        .iter()
        .map(|entry| Entry::parse(entry.bytes.expose()).unwrap())
        .filter(|entry| entry.action == action)
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_passkey_comes_in_by_a_code_and_stands_in_the_record_with_its_key() {
    let world = World::new().await;
    let passkey = world.passkey(&world.alice, "alice").await;
    let snapshot = world.snapshot();
    let found = snapshot.passkey_named(&passkey.credential_id).unwrap();
    assert_eq!(found.actor, world.alice.id);
    assert_eq!(&found.key, passkey.key.public());
    assert_eq!(found.transports, ["nfc", "usb"]);
    assert!(snapshot.passkey_may_act(&found.id));
    let entries = recorded(&world, "operator.passkey.enrol");
    let said = entries[0].resource.as_deref().unwrap();
    let said = PasskeyEnrolment::of_resource(said).unwrap();
    assert_eq!(&said.key, passkey.key.public());
    assert_eq!(said.relying_party, "procura.example");
    assert_eq!(entries[0].actor, Some(world.alice.id));
    assert_eq!(entries[0].device, None);
    let op = PasskeyListing::resolve(&snapshot, &label("alice")).unwrap();
    let permit = world.permit(&world.alice, op).ok().unwrap();
    let list = PasskeyListing::run(&permit, &snapshot, world.recorder.store()).unwrap();
    assert_eq!(list.passkeys.len(), 1);
    assert_eq!(list.passkeys[0].used, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_code_is_the_operators_own_and_good_once_for_ten_minutes() {
    let world = World::new().await;
    let bob = world.operator("bob", &[]).await;
    // Not even a steward makes one for somebody else.
    let no = world.passkey_code(&world.alice, "bob").await.err();
    assert_eq!(no.unwrap().denied(), DenyReason::NotOwn);
    let code = world.passkey_code(&bob, "bob").await.unwrap();
    let typed = Secret::new(format!(" {}\n", written_code(&code.code).expose()));
    let code = parse_code(&typed).unwrap();
    for bad in ["", "x", "AAAA", &"A".repeat(23)] {
        let error = parse_code(&Secret::new(bad.to_owned())).unwrap_err();
        assert_eq!(joins(error), JoinRefusal::UnknownCode);
    }
    let enrolled = world.enrols(&code, &software()).await.unwrap();
    assert_eq!(enrolled.actor, bob.id);
    let again = world.enrols(&code, &software()).await.unwrap_err();
    assert_eq!(joins(again), JoinRefusal::UnknownCode);
    let late = world.passkey_code(&bob, "bob").await.unwrap();
    let code = sha256(late.code.expose());
    world.pass(Duration::from_secs(600));
    let error = world.enrols(&code, &software()).await.unwrap_err();
    assert_eq!(joins(error), JoinRefusal::CodeExpired);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_code_joins_no_device_and_a_code_for_a_device_enrols_no_passkey() {
    let world = World::new().await;
    let code = world.passkey_code(&world.alice, "alice").await.unwrap();
    let key = crate::world::p256();
    let error = world.join(&code, &key).await.unwrap_err().domain();
    assert_eq!(joins(error), JoinRefusal::UnknownCode);
    let link = procura_identity::OperatorLink::resolve(&world.snapshot(), &label("alice")).unwrap();
    let link = world
        .act(&world.alice, link, |batch| {
            procura_identity::OperatorLink::run(batch, world.now(), &SystemEntropy)
        })
        .await
        .unwrap();
    let code = sha256(link.code.expose());
    let error = world.enrols(&code, &software()).await.unwrap_err();
    assert_eq!(joins(error), JoinRefusal::UnknownCode);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_code_dies_with_the_device_or_passkey_that_made_it() {
    let world = World::new().await;
    let bob = world.operator("bob", &[]).await;
    let mut passkey = world.passkey(&bob, "bob").await;
    // In a web login, by a passkey that answers for it.
    let made = world.sign_in_by(&mut passkey).await;
    let ceremony = Ceremony::Invite(world.mark(&made.cookie));
    let shown = world.answered(ceremony, &mut passkey).unwrap();
    let code = world.invited(&made, "bob", Some(shown)).await.unwrap();
    world
        .remove_passkey(&bob, &passkey.key.public().thumbprint())
        .await
        .unwrap();
    let code = sha256(code.code.expose());
    let error = world.enrols(&code, &software()).await.unwrap_err();
    assert_eq!(joins(error), JoinRefusal::UnknownCode);
    // Nor while a device of theirs is on hold: whoever has that may have enrolled this one.
    let mut passkey = world.passkey(&bob, "bob").await;
    let made = world.sign_in_by(&mut passkey).await;
    let ceremony = Ceremony::Invite(world.mark(&made.cookie));
    let shown = world.answered(ceremony, &mut passkey).unwrap();
    let code = world.invited(&made, "bob", Some(shown)).await.unwrap();
    world.hold(&world.alice, &bob.device()).await.unwrap();
    let code = sha256(code.code.expose());
    let error = world.enrols(&code, &software()).await.unwrap_err();
    assert_eq!(joins(error), JoinRefusal::UnknownCode);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_opens_no_way_to_a_passkey_and_a_passkey_for_five_minutes() {
    let world = World::new().await;
    let mut passkey = world.passkey(&world.alice, "alice").await;
    let invite = async |caller: Caller| {
        let op = PasskeyInvite::resolve(&world.snapshot(), &label("alice")).unwrap();
        perform(&world.recorder, caller, op, |batch| {
            PasskeyInvite::run(batch, world.now(), &SystemEntropy)
        })
        .await
        .map(|_| ())
    };
    for amr in [Amr::Password, Amr::Oidc] {
        let person = Authenticated::vouched(world.alice.id, amr);
        let signing_in = Caller::signing_in(&person, &world.snapshot(), world.now(), home());
        let no = invite(signing_in).await.unwrap_err();
        assert_eq!(no.denied(), DenyReason::WrongProfile);
        let profile = procura_proof::Profile::WebLogin(amr);
        let id = world.alice.id;
        let browser = Caller::fake(profile, id, id, None, world.snapshot().seq());
        let no = invite(browser.authenticated_at(world.now()))
            .await
            .unwrap_err();
        assert_eq!(no.denied(), DenyReason::WrongProfile);
    }
    let made = world.sign_in_by(&mut passkey).await;
    let ceremony = Ceremony::Invite(world.mark(&made.cookie));
    let shown = world.answered(ceremony, &mut passkey).unwrap();
    world.invited(&made, "alice", Some(shown)).await.unwrap();
    world.pass(Duration::from_secs(5 * 60));
    let shown = world.answered(ceremony, &mut passkey).unwrap();
    let no = world.invited(&made, "alice", Some(shown)).await.err();
    assert_eq!(no.unwrap().denied(), DenyReason::Reauthenticate);
}

/// What a stolen cookie has: a web login of a moment ago, and whatever its browser showed a
/// passkey for, but no touch for this.
#[tokio::test(flavor = "multi_thread")]
async fn a_cookie_makes_no_code_and_removes_no_passkey_without_a_passkey_for_just_that() {
    let world = World::new().await;
    let bob = world.operator("bob", &[]).await;
    let mut passkey = world.passkey(&bob, "bob").await;
    let mut other = world.passkey(&bob, "bob").await;
    let mut alices = world.passkey(&world.alice, "alice").await;
    let (id, other_id) = (
        passkey.key.public().thumbprint(),
        other.key.public().thumbprint(),
    );
    let login = world.sign_in_by(&mut passkey).await;
    let second = world.sign_in_by(&mut passkey).await;
    let (mark, seconds) = (world.mark(&login.cookie), world.mark(&second.cookie));
    // Nothing; a touch for a sign-in, for proving anew, in another web login, for a removal.
    let elsewhere = [
        None,
        Some(Ceremony::SignIn),
        Some(Ceremony::Again(mark)),
        Some(Ceremony::Invite(seconds)),
        Some(Ceremony::Remove(mark, id)),
    ];
    for ceremony in elsewhere {
        let shown = ceremony.map(|ceremony| world.answered(ceremony, &mut passkey).unwrap());
        let no = world.invited(&login, "bob", shown).await.err().unwrap();
        assert_eq!(
            refusal(no.domain()),
            PasskeyRefusal::NotShown,
            "{ceremony:?}"
        );
    }
    let elsewhere = [
        None,
        Some(Ceremony::Invite(mark)),
        Some(Ceremony::Remove(seconds, id)),
        Some(Ceremony::Remove(mark, other_id)),
    ];
    for ceremony in elsewhere {
        let shown = ceremony.map(|ceremony| world.answered(ceremony, &mut passkey).unwrap());
        let no = world.removed_by(&login, &id, shown).await.unwrap_err();
        assert_eq!(
            refusal(no.domain()),
            PasskeyRefusal::NotShown,
            "{ceremony:?}"
        );
    }
    // A challenge for one thing is none for another, whatever the page says.
    let issued = world.challenge(&Ceremony::Again(mark));
    let answered = passkey.answer(&issued.challenge).unwrap();
    let answer = PasskeyAnswer::from(asserted(&passkey, answered));
    let error = ShownPasskey::check(
        &KEYS,
        party(),
        Ceremony::Invite(mark),
        (&issued.state, answer),
        world.now(),
    )
    .unwrap_err();
    assert_eq!(refusal(error), PasskeyRefusal::ChallengeUnknown);
    // Somebody else's passkey, and one that nobody enrolled.
    let mut stranger = software();
    for (shows, reason) in [
        (&mut alices, PasskeyRefusal::OtherUser),
        (&mut stranger, PasskeyRefusal::Unknown),
    ] {
        let shown = world.answered(Ceremony::Invite(mark), shows).unwrap();
        let no = world.invited(&login, "bob", Some(shown)).await.err();
        assert_eq!(refusal(no.unwrap().domain()), reason);
        let shown = world.answered(Ceremony::Remove(mark, id), shows).unwrap();
        let no = world.removed_by(&login, &id, Some(shown)).await;
        assert_eq!(refusal(no.unwrap_err().domain()), reason);
    }
    assert!(world.snapshot().passkey_may_act(&id));
    // One touch makes one code, and not a second one.
    let ceremony = Ceremony::Invite(mark);
    let issued = world.challenge(&ceremony);
    let answered = other.answer(&issued.challenge).unwrap();
    let answer = PasskeyAnswer::from(asserted(&other, answered));
    let shown = || {
        let brought = (issued.state.as_str(), answer.clone());
        Some(ShownPasskey::check(&KEYS, party(), ceremony, brought, world.now()).unwrap())
    };
    let code = world.invited(&login, "bob", shown()).await.unwrap();
    let entries = recorded(&world, "operator.passkey.invite");
    let said = entries.last().unwrap().resource.as_deref();
    assert_eq!(
        said,
        Some(format!("operator/bob passkey/{other_id}").as_str())
    );
    let again = world.invited(&login, "bob", shown()).await.err().unwrap();
    assert_eq!(refusal(again.domain()), PasskeyRefusal::ChallengeUsed);
    // The code is of the passkey that answered, not of the one of the web login.
    let shown = world.answered(Ceremony::Remove(mark, other_id), &mut passkey);
    let shown = Some(shown.unwrap());
    world.removed_by(&login, &other_id, shown).await.unwrap();
    assert!(!world.snapshot().passkey_may_act(&other_id));
    let entries = recorded(&world, "operator.passkey.remove");
    let said = entries.last().unwrap().resource.as_deref();
    let names = format!("passkey/{other_id} by:passkey/{id}");
    assert_eq!(said, Some(names.as_str()));
    let code = sha256(code.code.expose());
    let error = world.enrols(&code, &stranger).await.unwrap_err();
    assert_eq!(joins(error), JoinRefusal::UnknownCode);
    // One that goes answers for its own removal, and its web logins go with it.
    let shown = world
        .answered(Ceremony::Remove(mark, id), &mut passkey)
        .unwrap();
    world.removed_by(&login, &id, Some(shown)).await.unwrap();
    assert_eq!(
        world.browser(&second.cookie).err(),
        Some(Case::WebLoginUnknown)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_passkey_or_a_key_that_is_somebodys_is_enrolled_by_nobody_else() {
    let world = World::new().await;
    let bob = world.operator("bob", &[]).await;
    let alices = world.passkey(&world.alice, "alice").await;
    let attempt = async |passkey: &SoftwarePasskey| {
        let code = world.passkey_code(&bob, "bob").await.unwrap();
        world.enrols(&sha256(code.code.expose()), passkey).await
    };
    let taken = |error| assert_eq!(refusal(error), PasskeyRefusal::EnrolledAlready);
    // The same passkey, its id with another key, its key with another id.
    taken(attempt(&alices).await.unwrap_err());
    let mut same_id = software();
    same_id.credential_id = alices.credential_id.clone();
    taken(attempt(&same_id).await.unwrap_err());
    let mut same_key = alices;
    same_key.credential_id = vec![5; 32];
    taken(attempt(&same_key).await.unwrap_err());
    // The key of a device.
    let mut device = software();
    let bytes = bob.key.to_secret_bytes();
    device.key = procura_crypto::SigningKey::from_secret_bytes(bytes.expose()).unwrap();
    taken(attempt(&device).await.unwrap_err());
    // Removed is not free again.
    let id = world
        .snapshot()
        .passkeys_of(&world.alice.id)
        .next()
        .unwrap()
        .id;
    world.remove_passkey(&world.alice, &id).await.unwrap();
    taken(attempt(&same_key).await.unwrap_err());
    assert_eq!(world.snapshot().passkeys_of(&bob.id).count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_has_so_many_passkeys() {
    let world = World::new().await;
    for _ in 0..MAX_PASSKEYS {
        world.passkey(&world.alice, "alice").await;
    }
    let error = world.passkey_code(&world.alice, "alice").await;
    let error = error.err().unwrap().domain();
    assert_eq!(refusal(error), PasskeyRefusal::TooMany);
    let id = world
        .snapshot()
        .passkeys_of(&world.alice.id)
        .next()
        .unwrap()
        .id;
    world.remove_passkey(&world.alice, &id).await.unwrap();
    world.passkey(&world.alice, "alice").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn removing_a_passkey_ends_its_web_logins_at_once_and_no_others() {
    let world = World::new().await;
    let bob = world
        .operator("bob", &[role(Role::Approver, Some("shop"))])
        .await;
    let (mut one, mut two) = (
        world.passkey(&bob, "bob").await,
        world.passkey(&bob, "bob").await,
    );
    let (first, second) = (
        world.sign_in_by(&mut one).await,
        world.sign_in_by(&mut two).await,
    );
    let id = one.key.public().thumbprint();
    assert_eq!(world.browser(&first.cookie).unwrap().passkey(), Some(&id));
    // Neither a stranger nor another operator removes it; a steward does.
    let carol = world.operator("carol", &[]).await;
    let no = world.remove_passkey(&carol, &id).await.unwrap_err();
    assert_eq!(no.denied(), DenyReason::NoRole);
    let before = world.browser(&first.cookie).unwrap();
    world.remove_passkey(&world.alice, &id).await.unwrap();
    assert_eq!(
        world.browser(&first.cookie).err(),
        Some(Case::WebLoginUnknown)
    );
    assert!(world.browser(&second.cookie).is_ok());
    // A request that was let in just before does nothing either.
    let op = PasskeyListing::resolve(&world.snapshot(), &label("bob")).unwrap();
    let decided = procura_policy::authorize(
        world.recorder.decider(),
        &world.snapshot(),
        before,
        op,
        world.now(),
    );
    assert_eq!(decided.err().unwrap().0.reason, DenyReason::Revoked);
    // It signs in nobody, has no other name, and is removed again without anything new.
    let error = world.proven_by(&mut one).await;
    assert_eq!(refusal(error.unwrap_err()), PasskeyRefusal::Removed);
    let name = "Phone".parse().unwrap();
    assert!(PasskeyRename::resolve(&world.snapshot(), &id, name).is_none());
    let removed = world.snapshot().passkey(&id).unwrap().removed;
    world.pass(Duration::from_secs(1));
    world.remove_passkey(&bob, &id).await.unwrap();
    assert_eq!(world.snapshot().passkey(&id).unwrap().removed, removed);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_operators_passkeys_are_over() {
    let world = World::new().await;
    let bob = world.operator("bob", &[]).await;
    let mut passkey = world.passkey(&bob, "bob").await;
    let made = world.sign_in_by(&mut passkey).await;
    world.revoke_operator(&world.alice, "bob").await.unwrap();
    let id = passkey.key.public().thumbprint();
    assert!(!world.snapshot().passkey_may_act(&id));
    assert!(world.browser(&made.cookie).is_err());
    let error = world.proven_by(&mut passkey).await;
    assert_eq!(refusal(error.unwrap_err()), PasskeyRefusal::Removed);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_passkey_is_called_what_its_owner_says_and_nobody_else() {
    let world = World::new().await;
    let bob = world.operator("bob", &[]).await;
    let passkey = world.passkey(&bob, "bob").await;
    let id = passkey.key.public().thumbprint();
    let op =
        |name: &str| PasskeyRename::resolve(&world.snapshot(), &id, name.parse().unwrap()).unwrap();
    let no = world
        .act(&world.alice, op("Phone"), PasskeyRename::run)
        .await;
    assert!(matches!(no, Err(Failure::Denied(DenyReason::NotOwn))));
    world
        .act(&bob, op("Phone"), PasskeyRename::run)
        .await
        .unwrap();
    assert_eq!(
        world.snapshot().passkey(&id).unwrap().name.as_str(),
        "Phone"
    );
}

/// What the record calls a copy is what is told as an alarm.
#[test]
fn the_word_for_a_copy_is_the_one_that_alarms() {
    assert_eq!(PasskeyRefusal::CounterBack.as_str(), "counter_back");
}

#[test]
fn a_held_passkey_does_not_act() {
    let key = crate::world::p256();
    let id = key.public().thumbprint();
    let owner = procura_types::ActorId::from_bytes([1; 32]);
    let laptop = procura_types::Thumbprint::from_bytes([2; 32]);
    let held = |lifted| {
        Change::Quarantine(QuarantineRecord {
            suspect: Suspect::Device(id),
            actor: owner,
            since: procura_types::Timestamp::from_millis(1),
            by: None,
            canary: None,
            lifted,
            lifted_at: None,
        })
    };
    let actor = Change::Actor(procura_directory::ActorRecord {
        id: owner,
        kind: procura_directory::ActorKind::Owner {
            name: label("bob"),
            alg: procura_types::Alg::P256,
            root_key: key.public().clone(),
        },
        owner,
        created: procura_types::Timestamp::from_millis(1),
        revoked: None,
        sources: Vec::new(),
        display_name: None,
    });
    let passkey = Change::Passkey(procura_directory::PasskeyRecord {
        id,
        actor: owner,
        name: "Phone".parse().unwrap(),
        key: key.public().clone(),
        credential_id: vec![1; 16],
        relying_party: "procura.example".to_owned(),
        transports: Vec::new(),
        backup_eligible: false,
        vouched_by: laptop,
        created: procura_types::Timestamp::from_millis(1),
        removed: None,
    });
    let device = |revoked| {
        Change::Device(DeviceRecord {
            thumbprint: laptop,
            actor: owner,
            key: key.public().clone(),
            created: procura_types::Timestamp::from_millis(1),
            revoked,
        })
    };
    let snapshot = procura_directory::Snapshot::default().apply(1, [actor, passkey]);
    // A device that nobody knows vouches for nothing, and neither does one that is revoked.
    assert!(!snapshot.passkey_may_act(&id));
    let late = Some(procura_types::Timestamp::from_millis(2));
    assert!(!snapshot.apply(2, [device(late)]).passkey_may_act(&id));
    let snapshot = snapshot.apply(1, [device(None)]);
    assert!(snapshot.passkey_may_act(&id));
    let snapshot = snapshot.apply(2, [held(None)]);
    assert!(!snapshot.passkey_may_act(&id));
    let snapshot = snapshot.apply(3, [held(Some(2))]);
    assert!(snapshot.passkey_may_act(&id));
}
