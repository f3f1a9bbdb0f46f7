//! A person lets a device in from a browser: by a passkey that answers for just that.

use crate::device_grants::{draft, mac, refusal, world};
use crate::passkey_world::{asserted, party, software};
use crate::passkeys::{recorded, refusal as passkey_refusal};
use crate::world::{Actor, Failure, World, ed25519, p256, perform, role};
use procura_crypto::webauthn::{Flaw, SoftwarePasskey};
use procura_identity::passkey::{Ceremony, PasskeyRefusal};
use procura_identity::web_login::NewWebLogin;
use procura_identity::{
    DeviceGrantApprove, DeviceGrantDraft, DeviceGrantRefusal, DeviceGrantYes, IdentityError,
    NewDeviceGrant,
};
use procura_policy::{DenyReason, authorize};
use procura_types::wire::{DeviceGrant, DeviceGrantState};
use procura_types::{Role, Thumbprint};

const SCRIBE: (&str, &str) = ("shop", "scribe");

/// A person in a browser, who has a passkey.
struct Person {
    actor: Actor,
    passkey: SoftwarePasskey,
    login: NewWebLogin,
}

impl Person {
    async fn new(world: &World, name: &str, of: Role) -> Self {
        let actor = world.operator(name, &[role(of, Some("shop"))]).await;
        let mut passkey = world.passkey(&actor, name).await;
        let login = world.sign_in_by(&mut passkey).await;
        Self {
            actor,
            passkey,
            login,
        }
    }

    fn id(&self) -> Thumbprint {
        self.passkey.key.public().thumbprint()
    }

    /// What this person's browser is asked with for a yes.
    fn asked(&self, world: &World, of: DeviceGrantDraft) -> Result<[u8; 32], Failure> {
        let caller = world.browser(&self.login.cookie).unwrap();
        let (snapshot, now) = (world.snapshot(), world.now());
        let permit = authorize(world.recorder.decider(), &snapshot, caller, of, now)
            .map_err(|(denied, ..)| Failure::Denied(denied.reason))?;
        let places = (world.recorder.store(), &*snapshot);
        DeviceGrantDraft::run(&permit, places, &mac(), &world.server, now).map_err(Failure::Domain)
    }

    /// Says yes from the browser, by this.
    async fn says(
        &self,
        world: &World,
        of: DeviceGrantDraft,
        yes: DeviceGrantYes,
    ) -> Result<DeviceGrant, Failure> {
        let caller = world.browser(&self.login.cookie).unwrap();
        let op = DeviceGrantApprove { draft: of, yes };
        perform(&world.recorder, caller, op, |batch| {
            DeviceGrantApprove::run(batch, &mac(), &world.server, world.now())
        })
        .await
    }

    /// All of it: what is asked is what the passkey answers.
    async fn approves(&mut self, world: &World, new: &NewDeviceGrant, device: Thumbprint) {
        let challenge = self.asked(world, draft(SCRIBE, &new.user_code, device));
        let yes = answered(&mut self.passkey, &challenge.unwrap());
        let of = draft(SCRIBE, &new.user_code, device);
        let approved = self.says(world, of, yes).await.unwrap();
        assert_eq!(approved.state, DeviceGrantState::Approved);
    }
}

/// What a passkey answers to this challenge.
fn answered(passkey: &mut SoftwarePasskey, challenge: &[u8; 32]) -> DeviceGrantYes {
    let answered = passkey.answer(challenge).unwrap();
    DeviceGrantYes::Passkey {
        party: party(),
        answer: Box::new(asserted(passkey, answered).into()),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_passkey_that_answers_for_it_lets_a_device_in_once() {
    let (world, key) = (world().await, ed25519());
    let mut adam = Person::new(&world, "adam", Role::Admin).await;
    let (new, device) = (world.ask(&key).await, key.public().thumbprint());
    adam.approves(&world, &new, device).await;
    let entries = recorded(&world, "device_grant.approve");
    let entry = entries.last().unwrap();
    let said = format!("agent/scribe device/{device} passkey/{}", adam.id());
    assert_eq!(entry.resource.as_deref(), Some(said.as_str()));
    assert_eq!((entry.actor, entry.device), (Some(adam.actor.id), None));
    // A second click finds it answered, before it is asked and after.
    let of = || draft(SCRIBE, &new.user_code, device);
    let error = adam.asked(&world, of()).unwrap_err();
    assert_eq!(refusal(error), DeviceGrantRefusal::Answered);
    let yes = answered(&mut adam.passkey, &[0; 32]);
    let error = adam.says(&world, of(), yes).await.unwrap_err();
    assert_eq!(refusal(error), DeviceGrantRefusal::Answered);
    let joined = world.collect(&new, &key).await.unwrap();
    assert_eq!(joined.device, device);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_else_lets_one_in_from_a_browser() {
    let (world, key, other) = (world().await, ed25519(), ed25519());
    world.agent("clerk", None).await.unwrap();
    let mut adam = Person::new(&world, "adam", Role::Admin).await;
    let mut bert = Person::new(&world, "bert", Role::Admin).await;
    let (new, device) = (world.ask(&key).await, key.public().thumbprint());
    let again = world.ask(&key).await;
    let beside = world.ask(&other).await;
    let of = || draft(SCRIBE, &new.user_code, device);
    let own = adam.asked(&world, of()).unwrap();
    // The cookie alone.
    let error = adam.says(&world, of(), DeviceGrantYes::Device).await;
    let reason = passkey_refusal(error.unwrap_err().domain());
    assert_eq!(reason, PasskeyRefusal::NotShown);
    // What was answered for another agent, another device, another code of the same device,
    // or a sign-in.
    let elsewhere = [
        draft(("shop", "clerk"), &new.user_code, device),
        draft(SCRIBE, &beside.user_code, other.public().thumbprint()),
        draft(SCRIBE, &again.user_code, device),
    ];
    let mut challenges = vec![world.challenge(&Ceremony::SignIn).challenge];
    challenges.extend(elsewhere.map(|of| adam.asked(&world, of).unwrap()));
    for challenge in challenges {
        assert_ne!(challenge, own);
        let yes = answered(&mut adam.passkey, &challenge);
        let error = adam.says(&world, of(), yes).await.unwrap_err();
        let flaw = PasskeyRefusal::Flaw(Flaw::WrongChallenge);
        assert_eq!(passkey_refusal(error.domain()), flaw);
    }
    // Somebody else's passkey, and one that nobody enrolled.
    for (passkey, reason) in [
        (&mut bert.passkey, PasskeyRefusal::OtherUser),
        (&mut software(), PasskeyRefusal::Unknown),
    ] {
        let yes = answered(passkey, &own);
        let error = adam.says(&world, of(), yes).await.unwrap_err();
        assert_eq!(passkey_refusal(error.domain()), reason);
    }
    // Another device than was looked at.
    let seen = draft(SCRIBE, &new.user_code, other.public().thumbprint());
    let error = adam.asked(&world, seen).unwrap_err();
    assert_eq!(refusal(error), DeviceGrantRefusal::OtherDevice);
    // Who calls with a device says it with that.
    let op = DeviceGrantApprove {
        draft: of(),
        yes: answered(&mut adam.passkey, &own),
    };
    let error = world
        .act(&adam.actor, op, |batch| {
            DeviceGrantApprove::run(batch, &mac(), &world.server, world.now())
        })
        .await
        .unwrap_err();
    assert!(matches!(error.domain(), IdentityError::OtherCaller));
    // All the while it waits.
    adam.approves(&world, &new, device).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_let_devices_in_is_not_asked_for_a_passkey() {
    let (world, key) = (world().await, ed25519());
    let mut anna = Person::new(&world, "anna", Role::Approver).await;
    let (new, device) = (world.ask(&key).await, key.public().thumbprint());
    let of = || draft(SCRIBE, &new.user_code, device);
    let error = anna.asked(&world, of()).unwrap_err();
    assert_eq!(error.denied(), DenyReason::NoRole);
    let yes = answered(&mut anna.passkey, &[0; 32]);
    let error = anna.says(&world, of(), yes).await.unwrap_err();
    assert_eq!(error.denied(), DenyReason::NoRole);
}

/// What is let in outlives the web login that a group lends its role to.
#[tokio::test(flavor = "multi_thread")]
async fn a_role_that_a_group_lends_lets_nothing_in() {
    let (world, key) = (world().await, ed25519());
    let mut anna = Person::new(&world, "anna", Role::Approver).await;
    let (new, device) = (world.ask(&key).await, key.public().thumbprint());
    let of = || draft(SCRIBE, &new.user_code, device);
    let lent = [role(Role::Admin, Some("shop"))];
    let caller = || {
        let caller = world.browser(&anna.login.cookie).unwrap();
        caller.lending(&lent)
    };
    let snapshot = world.snapshot();
    let permit = authorize(
        world.recorder.decider(),
        &snapshot,
        caller(),
        of(),
        world.now(),
    );
    let permit = permit.map_err(|(denied, ..)| denied.reason).unwrap();
    let places = (world.recorder.store(), &*snapshot);
    let asked = DeviceGrantDraft::run(&permit, places, &mac(), &world.server, world.now());
    let error = Failure::Domain(asked.unwrap_err());
    assert_eq!(refusal(error), DeviceGrantRefusal::LentRole);
    let op = DeviceGrantApprove {
        draft: of(),
        yes: answered(&mut anna.passkey, &[0; 32]),
    };
    let said = perform(&world.recorder, caller(), op, |batch| {
        DeviceGrantApprove::run(batch, &mac(), &world.server, world.now())
    });
    let error = said.await.unwrap_err();
    assert_eq!(refusal(error), DeviceGrantRefusal::LentRole);
}

/// As one that was said with a device.
#[tokio::test(flavor = "multi_thread")]
async fn a_yes_dies_with_the_passkey_it_was_said_with() {
    let world = world().await;
    for way in ["passkey", "device", "hold", "role"] {
        let name = format!("bob-{way}");
        let mut bob = Person::new(&world, &name, Role::Admin).await;
        let key = ed25519();
        let (new, device) = (world.ask(&key).await, key.public().thumbprint());
        bob.approves(&world, &new, device).await;
        match way {
            "passkey" => world.remove_passkey(&bob.actor, &bob.id()).await.unwrap(),
            "device" => {
                let vouches = bob.actor.device();
                world.revoke_device(&world.alice, &vouches).await.unwrap();
            }
            // Whoever has that device may have enrolled the passkey.
            "hold" => {
                let device = bob.actor.device();
                world.hold(&world.alice, &device).await.unwrap();
            }
            _ => {
                world
                    .set_roles(&world.alice, &name, &[role(Role::Auditor, Some("shop"))])
                    .await
                    .unwrap();
            }
        }
        let error = world.collect(&new, &key).await.unwrap_err();
        assert_eq!(refusal(error), DeviceGrantRefusal::ApproverGone, "{way}");
    }
}

/// A client of CortexAuth that was let in by a passkey, of whose owner another device than the
/// one that vouches for it is on hold.
#[tokio::test(flavor = "multi_thread")]
async fn a_login_that_a_passkey_let_in_does_not_outlive_a_hold() {
    let world = world().await;
    world.bind("scribe", "scribe-1").await;
    let mut bob = Person::new(&world, "bob", Role::Admin).await;
    let (before, after) = (world.ask_to_log_in().await, world.ask_to_log_in().await);
    for new in [&before, &after] {
        let stands_for = world.stands_for(new);
        bob.approves(&world, new, stands_for).await;
    }
    world.log_in(&before, "scribe-1").await.unwrap();
    let (code, other) = (world.link("bob", &bob.actor).await, p256());
    world.join(&code, &other).await.unwrap();
    let device = other.public().thumbprint();
    world.hold(&world.alice, &device).await.unwrap();
    let error = world.log_in(&after, "scribe-1").await.unwrap_err();
    assert_eq!(refusal(error), DeviceGrantRefusal::ApproverGone);
}
