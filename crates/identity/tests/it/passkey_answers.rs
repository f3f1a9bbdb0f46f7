//! Passkeys: what one answers to a challenge, and what that proves.

use crate::account_world::home;
use crate::passkey_world::{KEYS, asserted, party, software};
use crate::passkeys::refusal;
use crate::world::{World, perform};
use procura_crypto::sha256;
use procura_crypto::webauthn::{Flaw, SoftwarePasskey};
use procura_identity::IdentityError;
use procura_identity::passkey::{Ceremony, PasskeyRefusal, PasskeyUse};
use procura_types::Duration;
use procura_types::wire::AssertedCredential;

#[tokio::test(flavor = "multi_thread")]
async fn a_challenge_is_for_one_thing_for_five_minutes_and_one_answer() {
    let world = World::new().await;
    let mut passkey = world.passkey(&world.alice, "alice").await;
    let login = Ceremony::Again([3; 16]);
    let issued = world.challenge(&Ceremony::SignIn);
    let answered = passkey.answer(&issued.challenge).unwrap();
    let credential = asserted(&passkey, answered);
    let tried = async |ceremony: &Ceremony, state: &str| {
        let proven = world.prove(ceremony, state, credential.clone()).await;
        proven.map(|_| ()).map_err(refusal)
    };
    let unknown = Err(PasskeyRefusal::ChallengeUnknown);
    // For another thing, and with another state, bent or of another challenge.
    assert_eq!(tried(&login, &issued.state).await, unknown);
    assert_eq!(
        tried(&Ceremony::Again([4; 16]), &issued.state).await,
        unknown
    );
    let other = world.challenge(&Ceremony::SignIn);
    let mut bent = issued.state.clone().into_bytes();
    bent[10] ^= 1;
    let mut longer = issued.state.clone();
    longer.push('A');
    for state in [
        other.state.as_str(),
        std::str::from_utf8(&bent).unwrap(),
        &longer,
        "",
    ] {
        assert_eq!(tried(&Ceremony::SignIn, state).await, unknown, "{state}");
    }
    // None of these used it up.
    assert_eq!(tried(&Ceremony::SignIn, &issued.state).await, Ok(()));
    let used = Err(PasskeyRefusal::ChallengeUsed);
    assert_eq!(tried(&Ceremony::SignIn, &issued.state).await, used);
    // Another answer to it is none either.
    let answered = passkey.answer(&issued.challenge).unwrap();
    let second = asserted(&passkey, answered);
    let error = world.prove(&Ceremony::SignIn, &issued.state, second).await;
    assert_eq!(refusal(error.unwrap_err()), PasskeyRefusal::ChallengeUsed);
    let late = world.challenge(&Ceremony::SignIn);
    world.pass(Duration::from_secs(300));
    let answered = passkey.answer(&late.challenge).unwrap();
    let error = world
        .prove(&Ceremony::SignIn, &late.state, asserted(&passkey, answered))
        .await;
    assert_eq!(
        refusal(error.unwrap_err()),
        PasskeyRefusal::ChallengeExpired
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_answers_to_one_challenge_one_counts() {
    let world = World::new().await;
    let mut one = world.passkey(&world.alice, "alice").await;
    let mut two = world.passkey(&world.alice, "alice").await;
    let issued = world.challenge(&Ceremony::SignIn);
    let first = one.answer(&issued.challenge).unwrap();
    let second = two.answer(&issued.challenge).unwrap();
    let (first, second) = tokio::join!(
        world.prove(&Ceremony::SignIn, &issued.state, asserted(&one, first)),
        world.prove(&Ceremony::SignIn, &issued.state, asserted(&two, second)),
    );
    let (yes, no) = match (first, second) {
        (Ok(yes), Err(no)) | (Err(no), Ok(yes)) => (yes, no),
        (first, second) => panic!("{first:?} {second:?}"),
    };
    assert_eq!(*yes.actor(), world.alice.id);
    assert_eq!(refusal(no), PasskeyRefusal::ChallengeUsed);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_passkey_that_counts_back_is_refused_and_changes_nothing() {
    let world = World::new().await;
    let mut passkey = world.passkey(&world.alice, "alice").await;
    let prove = async |passkey: &mut SoftwarePasskey, counter: u32| {
        passkey.counter = counter - 1;
        let proven = world.proven_by(passkey).await;
        proven.map(|_| ()).map_err(|error| match error {
            IdentityError::Passkey(refused) => {
                let id = passkey.key.public().thumbprint();
                assert_eq!(refused.of, Some((id, world.alice.id)));
                refused.refusal
            }
            other => panic!("another error: {other}"),
        })
    };
    assert_eq!(prove(&mut passkey, 7).await, Ok(()));
    let back = Err(PasskeyRefusal::CounterBack);
    assert_eq!(prove(&mut passkey, 7).await, back);
    assert_eq!(prove(&mut passkey, 6).await, back);
    assert_eq!(prove(&mut passkey, 8).await, Ok(()));
    // From counting to not counting is back as well.
    passkey.counter = 0;
    let error = world.proven_by(&mut passkey).await;
    assert_eq!(refusal(error.unwrap_err()), PasskeyRefusal::CounterBack);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_passkey_that_never_counts_is_used_again_and_again() {
    let world = World::new().await;
    let code = world.passkey_code(&world.alice, "alice").await.unwrap();
    let mut passkey = software();
    passkey.counter = 0;
    passkey.flags |= 0x08;
    let enrolled = world.enrols(&sha256(code.code.expose()), &passkey).await;
    enrolled.unwrap();
    for _ in 0..3 {
        world.sign_in_by(&mut passkey).await;
    }
    // Whether it may be copied is settled when it is made; that it was, is not.
    passkey.flags |= 0x10;
    world.sign_in_by(&mut passkey).await;
    passkey.flags = SoftwarePasskey::PRESENT_AND_VERIFIED;
    let error = world.proven_by(&mut passkey).await;
    let flaw = PasskeyRefusal::Flaw(Flaw::BackupFlags);
    assert_eq!(refusal(error.unwrap_err()), flaw);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_is_of_a_known_passkey_of_the_person_that_it_names() {
    let world = World::new().await;
    let bob = world.operator("bob", &[]).await;
    let mut passkey = world.passkey(&world.alice, "alice").await;
    let mut bobs = world.passkey(&bob, "bob").await;
    let prove = async |passkey: &mut SoftwarePasskey, bend: &dyn Fn(&mut AssertedCredential)| {
        let issued = world.challenge(&Ceremony::SignIn);
        let answered = passkey.answer(&issued.challenge).unwrap();
        let mut credential = asserted(passkey, answered);
        bend(&mut credential);
        let proven = world
            .prove(&Ceremony::SignIn, &issued.state, credential)
            .await;
        proven.map(|person| *person.actor()).map_err(refusal)
    };
    let handle = |bytes: &[u8]| Some(procura_types::encoding::b64url(bytes));
    let (alice, bob_id) = (world.alice.id, bob.id);
    let own = prove(&mut passkey, &|credential| {
        credential.response.user_handle = handle(alice.as_bytes());
    })
    .await;
    assert_eq!(own, Ok(alice));
    let others = prove(&mut passkey, &|credential| {
        credential.response.user_handle = handle(bob_id.as_bytes());
    })
    .await;
    assert_eq!(others, Err(PasskeyRefusal::OtherUser));
    // Bob's id with alice's signature.
    let bobs_id = bobs.credential_id.clone();
    let mixed = prove(&mut passkey, &|credential| {
        credential.id.clone_from(&bobs_id);
    })
    .await;
    let flaw = PasskeyRefusal::Flaw(Flaw::BadSignature);
    assert_eq!(mixed, Err(flaw));
    let kind = prove(&mut passkey, &|credential| {
        credential.kind = "password".to_owned();
    })
    .await;
    assert_eq!(kind, Err(PasskeyRefusal::Kind));
    let mut stranger = software();
    let unknown = prove(&mut stranger, &|_| {}).await;
    assert_eq!(unknown, Err(PasskeyRefusal::Unknown));
    // On another site, for another site.
    passkey.origin = "https://procura.example.evil".to_owned();
    let flaw = Err(PasskeyRefusal::Flaw(Flaw::WrongOrigin));
    assert_eq!(prove(&mut passkey, &|_| {}).await, flaw);
    bobs.rp_id = "evil.example".to_owned();
    let flaw = Err(PasskeyRefusal::Flaw(Flaw::WrongRelyingParty));
    assert_eq!(prove(&mut bobs, &|_| {}).await, flaw);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_passkey_that_goes_between_check_and_commit_proves_nobody() {
    let world = World::new().await;
    let mut passkey = world.passkey(&world.alice, "alice").await;
    let id = passkey.key.public().thumbprint();
    let issued = world.challenge(&Ceremony::SignIn);
    let answered = passkey.answer(&issued.challenge).unwrap();
    let answer = asserted(&passkey, answered).into();
    let snapshot = world.snapshot();
    let op = PasskeyUse::check(
        (&snapshot, &KEYS),
        &party(),
        &Ceremony::SignIn,
        (&issued.state, &answer),
        world.now(),
    )
    .unwrap();
    let caller = op.caller(&snapshot, world.now(), home());
    world.remove_passkey(&world.alice, &id).await.unwrap();
    let error = perform(&world.recorder, caller, op, |batch| {
        PasskeyUse::run(batch, world.now())
    })
    .await
    .unwrap_err();
    assert_eq!(refusal(error.domain()), PasskeyRefusal::Removed);
}
