//! Device grants, from the question to the device, and every way that is none.

use crate::world::{Actor, Failure, World, ed25519, label, namespace, p256, perform, role};
use procura_crypto::{MacKey, SigningKey, SystemEntropy, sha256};
use procura_identity::{
    DEVICE_GRANT_LIFE, DeviceCodeTag, DeviceGrantApprove, DeviceGrantAsk, DeviceGrantCollect,
    DeviceGrantDeny, DeviceGrantDraft, DeviceGrantListing, DeviceGrantRefusal, DeviceGrantShow,
    DeviceGrantStanding, DeviceGrantYes, IdentityError, JoinRefusal, Joined, NewDeviceGrant,
};
use procura_policy::DenyReason;
use procura_proof::{
    Collector, DeviceAsk, ask_message, collect_message, fingerprint, verify_ask, verify_collector,
};
use procura_types::wire::{DeviceGrant, DeviceGrantState};
use procura_types::{Duration, Role, Thumbprint, TokenId, UserCode};
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::runtime::Handle;
use tokio::task::block_in_place;

const HOST: &str = "build-7";
const TOKEN: TokenId = TokenId::from_bytes([4; 16]);

pub(crate) fn mac() -> MacKey {
    MacKey::from_bytes(&[5; 32]).unwrap()
}

pub(crate) fn refusal(failure: Failure) -> DeviceGrantRefusal {
    match failure.domain() {
        IdentityError::DeviceGrant(refusal) => refusal,
        other => panic!("another error: {other}"),
    }
}

fn join_refusal(failure: Failure) -> JoinRefusal {
    match failure.domain() {
        IdentityError::Join(refusal) => refusal,
        other => panic!("another error: {other}"),
    }
}

fn same(code: &UserCode) -> UserCode {
    code.to_string().parse().unwrap()
}

/// What a yes is to that makes this device one of this agent's.
pub(crate) fn draft(
    (place, agent): (&str, &str),
    code: &UserCode,
    device: Thumbprint,
) -> DeviceGrantDraft {
    DeviceGrantDraft {
        namespace: namespace(place),
        agent: label(agent),
        code: same(code),
        device,
    }
}

impl World {
    pub(crate) async fn ask(&self, key: &SigningKey) -> NewDeviceGrant {
        let (device, host) = (key.public().thumbprint(), HOST.parse().unwrap());
        let signature = key
            .sign(&ask_message(&self.server, &device, &host))
            .unwrap();
        let jwk = key.public().to_jwk();
        let ask = DeviceAsk {
            key: &jwk,
            host,
            signature: &signature,
        };
        let peer = [192, 0, 2, 7].into();
        let (device, caller) =
            verify_ask(ask, &self.server, &self.snapshot(), self.now(), peer).unwrap();
        let op = DeviceGrantAsk::new(device, Some(peer));
        perform(&self.recorder, caller, op, |batch| {
            DeviceGrantAsk::run(batch, &mac(), self.now(), &SystemEntropy)
        })
        .await
        .unwrap()
    }

    pub(crate) fn show(
        &self,
        actor: &Actor,
        code: &UserCode,
    ) -> Result<DeviceGrant, IdentityError> {
        let op = DeviceGrantShow {
            namespace: namespace("shop"),
            code: same(code),
        };
        let permit = self.permit(actor, op).unwrap();
        let store = self.recorder.store();
        DeviceGrantShow::run(&permit, store, &mac(), &self.server, self.now())
    }

    pub(crate) async fn approve(
        &self,
        by: &Actor,
        code: &UserCode,
        device: Thumbprint,
    ) -> Result<DeviceGrant, Failure> {
        self.approve_in(by, "shop", "scribe", code, device).await
    }

    async fn approve_in(
        &self,
        by: &Actor,
        place: &str,
        agent: &str,
        code: &UserCode,
        device: Thumbprint,
    ) -> Result<DeviceGrant, Failure> {
        let op = DeviceGrantApprove {
            draft: draft((place, agent), code, device),
            yes: DeviceGrantYes::Device,
        };
        self.act(by, op, |batch| {
            DeviceGrantApprove::run(batch, &mac(), &self.server, self.now())
        })
        .await
    }

    pub(crate) async fn deny(&self, by: &Actor, code: &UserCode) -> Result<DeviceGrant, Failure> {
        let op = DeviceGrantDeny {
            namespace: namespace("shop"),
            code: same(code),
        };
        self.act(by, op, |batch| {
            DeviceGrantDeny::run(batch, &mac(), self.now())
        })
        .await
    }

    pub(crate) fn standing(&self, new: &NewDeviceGrant) -> Option<DeviceGrantStanding> {
        let tag = DeviceCodeTag::of(&mac(), new.device_code.expose());
        let found = tag.find(self.recorder.store(), self.now()).unwrap();
        found.map(|found| found.standing)
    }

    fn collector(&self, new: &NewDeviceGrant, key: &SigningKey) -> Collector {
        let code_sha256 = sha256(new.device_code.expose().as_bytes());
        let device = key.public().thumbprint();
        let signed = collect_message(&self.server, &code_sha256, &device);
        let signature = key.sign(&signed).unwrap();
        verify_collector(key.public(), &code_sha256, &signature, &self.server).unwrap()
    }

    /// Collects what was said for the agent that was named.
    pub(crate) async fn collect(
        &self,
        new: &NewDeviceGrant,
        key: &SigningKey,
    ) -> Result<Joined, Failure> {
        let agent = self.scribe();
        let (snapshot, collector) = (self.snapshot(), self.collector(new, key));
        let caller = collector.caller(agent, &snapshot, self.now(), [127, 0, 0, 1].into());
        let op = DeviceGrantCollect::new(new.tag, &collector, (agent, TOKEN), &snapshot);
        perform(&self.recorder, caller, op, |batch| {
            DeviceGrantCollect::run(batch, self.now())
        })
        .await
    }
}

/// A world with an agent to which devices are let in.
pub(crate) async fn world() -> World {
    let world = World::new().await;
    world.agent("scribe", None).await.unwrap();
    world
}

#[tokio::test]
async fn a_device_asks_is_seen_approved_and_joins_once() {
    let (world, key) = (world().await, ed25519());
    let device = key.public().thumbprint();
    let new = world.ask(&key).await;
    assert_eq!(new.expires, world.now().plus(DEVICE_GRANT_LIFE));
    assert_eq!(new.device_code.expose().len(), 43);
    assert_eq!(world.standing(&new), Some(DeviceGrantStanding::Pending));

    let shown = world.show(&world.alice, &new.user_code).unwrap();
    assert_eq!((shown.device, shown.host.as_str()), (device, HOST));
    assert_eq!(shown.from, Some([192, 0, 2, 7].into()));
    assert_eq!(shown.state, DeviceGrantState::Pending);
    let expected = fingerprint(&world.server, &device, &new.user_code);
    assert_eq!(shown.fingerprint, Some(expected));

    let approved = world
        .approve(&world.alice, &new.user_code, device)
        .await
        .unwrap();
    assert_eq!(approved.state, DeviceGrantState::Approved);
    let scribe = world.scribe();
    assert_eq!(
        world.standing(&new),
        Some(DeviceGrantStanding::Approved(scribe))
    );
    assert!(world.snapshot().device(&device).is_none());

    let joined = world.collect(&new, &key).await.unwrap();
    assert_eq!((joined.actor, joined.device), (scribe, device));
    assert_eq!(joined.name, "alice//scribe");
    assert_eq!(joined.namespace, Some(namespace("shop")));
    assert_eq!(world.snapshot().devices_of(&scribe).count(), 1);
    // Redeemed twice.
    assert_eq!(world.standing(&new), Some(DeviceGrantStanding::Collected));
    let again = world.collect(&new, &key).await.unwrap_err();
    assert_eq!(refusal(again), DeviceGrantRefusal::Collected);
    assert_eq!(world.snapshot().devices_of(&scribe).count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_that_collect_at_once_one_joins() {
    let (world, key) = (world().await, ed25519());
    let new = world.ask(&key).await;
    let device = key.public().thumbprint();
    world
        .approve(&world.alice, &new.user_code, device)
        .await
        .unwrap();
    let scribe = world.scribe();
    let (snapshot, collector) = (world.snapshot(), world.collector(&new, &key));
    let caller = collector.caller(scribe, &snapshot, world.now(), [127, 0, 0, 1].into());
    let op = DeviceGrantCollect::new(new.tag, &collector, (scribe, TOKEN), &snapshot);
    let first = AtomicBool::new(true);
    let slower = perform(&world.recorder, caller, op, |batch| {
        let joined = DeviceGrantCollect::run(batch, world.now());
        if first.swap(false, Ordering::SeqCst) {
            assert!(joined.is_ok());
            block_in_place(|| Handle::current().block_on(world.collect(&new, &key))).unwrap();
        }
        joined
    });
    let lost = slower.await.unwrap_err();
    assert_eq!(refusal(lost), DeviceGrantRefusal::Collected);
    assert_eq!(world.snapshot().devices_of(&scribe).count(), 1);
}

#[tokio::test]
async fn what_is_typed_wrongly_finds_nothing() {
    let (world, key) = (world().await, ed25519());
    let new = world.ask(&key).await;
    let device = key.public().thumbprint();
    let mut wrong: UserCode = "BBBB-BBBB".parse().unwrap();
    if wrong.letters() == new.user_code.letters() {
        wrong = "CCCC-CCCC".parse().unwrap();
    }
    let unknown = |error: IdentityError| {
        matches!(
            error,
            IdentityError::DeviceGrant(DeviceGrantRefusal::Unknown)
        )
    };
    assert!(unknown(world.show(&world.alice, &wrong).unwrap_err()));
    let error = world
        .approve(&world.alice, &wrong, device)
        .await
        .unwrap_err();
    assert_eq!(refusal(error), DeviceGrantRefusal::Unknown);
    let error = world.deny(&world.alice, &wrong).await.unwrap_err();
    assert_eq!(refusal(error), DeviceGrantRefusal::Unknown);
    let tag = DeviceCodeTag::of(&mac(), "not a code");
    assert!(
        tag.find(world.recorder.store(), world.now())
            .unwrap()
            .is_none()
    );
    // The tag is under a key: with another one nothing is found either.
    let other = DeviceCodeTag::of(
        &MacKey::from_bytes(&[6; 32]).unwrap(),
        new.device_code.expose(),
    );
    assert!(
        other
            .find(world.recorder.store(), world.now())
            .unwrap()
            .is_none()
    );
}

#[tokio::test]
async fn it_is_over_after_ten_minutes_and_forgotten_after_ten_more() {
    let (world, key) = (world().await, ed25519());
    let (asked, approved, denied) = (
        world.ask(&key).await,
        world.ask(&key).await,
        world.ask(&key).await,
    );
    let device = key.public().thumbprint();
    world
        .approve(&world.alice, &approved.user_code, device)
        .await
        .unwrap();
    world.deny(&world.alice, &denied.user_code).await.unwrap();
    world.pass(DEVICE_GRANT_LIFE - Duration::from_millis(1));
    assert_eq!(world.standing(&asked), Some(DeviceGrantStanding::Pending));
    world.pass(Duration::from_millis(1));
    assert_eq!(world.standing(&asked), Some(DeviceGrantStanding::Expired));
    assert_eq!(
        world.standing(&approved),
        Some(DeviceGrantStanding::Expired)
    );
    assert_eq!(world.standing(&denied), Some(DeviceGrantStanding::Denied));
    let error = world.show(&world.alice, &asked.user_code).unwrap_err();
    assert!(matches!(
        error,
        IdentityError::DeviceGrant(DeviceGrantRefusal::Expired)
    ));
    let error = world
        .approve(&world.alice, &asked.user_code, device)
        .await
        .unwrap_err();
    assert_eq!(refusal(error), DeviceGrantRefusal::Expired);
    let error = world.collect(&approved, &key).await.unwrap_err();
    assert_eq!(refusal(error), DeviceGrantRefusal::Expired);
    // The next one sweeps them away.
    world.pass(DEVICE_GRANT_LIFE);
    let fresh = world.ask(&ed25519()).await;
    for gone in [&asked, &approved, &denied] {
        assert_eq!(world.standing(gone), None);
    }
    assert_eq!(world.standing(&fresh), Some(DeviceGrantStanding::Pending));
}

#[tokio::test]
async fn the_first_answer_is_the_one() {
    let (world, key) = (world().await, ed25519());
    let device = key.public().thumbprint();
    let (yes, no) = (world.ask(&key).await, world.ask(&key).await);
    world
        .approve(&world.alice, &yes.user_code, device)
        .await
        .unwrap();
    world.deny(&world.alice, &no.user_code).await.unwrap();
    for new in [&yes, &no] {
        let error = world
            .approve(&world.alice, &new.user_code, device)
            .await
            .unwrap_err();
        assert_eq!(refusal(error), DeviceGrantRefusal::Answered);
        let error = world.deny(&world.alice, &new.user_code).await.unwrap_err();
        assert_eq!(refusal(error), DeviceGrantRefusal::Answered);
    }
    let error = world.collect(&no, &key).await.unwrap_err();
    assert_eq!(refusal(error), DeviceGrantRefusal::Denied);
    world.collect(&yes, &key).await.unwrap();
}

#[tokio::test]
async fn only_the_device_that_asked_collects_and_only_what_was_looked_at_is_approved() {
    let (world, key, other) = (world().await, ed25519(), ed25519());
    let new = world.ask(&key).await;
    let seen = other.public().thumbprint();
    let error = world
        .approve(&world.alice, &new.user_code, seen)
        .await
        .unwrap_err();
    assert_eq!(refusal(error), DeviceGrantRefusal::OtherDevice);
    let device = key.public().thumbprint();
    world
        .approve(&world.alice, &new.user_code, device)
        .await
        .unwrap();
    // With a signature of its own, and a caller of its own: the row says whose it is.
    let error = world.collect(&new, &other).await.unwrap_err();
    assert_eq!(refusal(error), DeviceGrantRefusal::OtherDevice);
    // Without the key there is no proof that the server takes.
    let code_sha256 = sha256(new.device_code.expose().as_bytes());
    let signed = collect_message(&world.server, &code_sha256, &device);
    for signature in [other.sign(&signed).unwrap(), vec![0; 64], Vec::new()] {
        let proven = verify_collector(key.public(), &code_sha256, &signature, &world.server);
        assert!(proven.is_err());
    }
    let elsewhere = Thumbprint::from_bytes([1; 32]);
    let signature = key.sign(&signed).unwrap();
    assert!(verify_collector(key.public(), &code_sha256, &signature, &elsewhere).is_err());
    let other_code = sha256(b"another code");
    assert!(verify_collector(key.public(), &other_code, &signature, &world.server).is_err());
    world.collect(&new, &key).await.unwrap();
}

#[tokio::test]
async fn a_key_that_is_a_device_asks_for_nothing_more() {
    let world = World::new().await;
    let scribe = world.agent_with_device("scribe", None).await;
    let new = world.ask(&scribe.key).await;
    let error = world
        .approve(&world.alice, &new.user_code, scribe.device())
        .await
        .unwrap_err();
    assert_eq!(join_refusal(error), JoinRefusal::DeviceBound);
    // It became one between the yes and its coming back.
    let key = ed25519();
    let device = key.public().thumbprint();
    let (one, two) = (world.ask(&key).await, world.ask(&key).await);
    for new in [&one, &two] {
        world
            .approve(&world.alice, &new.user_code, device)
            .await
            .unwrap();
    }
    world.collect(&one, &key).await.unwrap();
    let error = world.collect(&two, &key).await.unwrap_err();
    assert_eq!(join_refusal(error), JoinRefusal::DeviceBound);
}

#[tokio::test]
async fn nobody_joins_a_revoked_agent_or_one_that_there_is_not() {
    let (world, key) = (world().await, ed25519());
    let device = key.public().thumbprint();
    let new = world.ask(&key).await;
    let error = world
        .approve_in(&world.alice, "shop", "nobody", &new.user_code, device)
        .await
        .unwrap_err();
    assert!(matches!(error.domain(), IdentityError::NoAgent(_)));
    world
        .approve(&world.alice, &new.user_code, device)
        .await
        .unwrap();
    let scribe = world.scribe();
    world.revoke("scribe").await.unwrap();
    let (snapshot, collector) = (world.snapshot(), world.collector(&new, &key));
    let caller = collector.caller(scribe, &snapshot, world.now(), [127, 0, 0, 1].into());
    let op = DeviceGrantCollect::new(new.tag, &collector, (scribe, TOKEN), &snapshot);
    let error = perform(&world.recorder, caller, op, |batch| {
        DeviceGrantCollect::run(batch, world.now())
    })
    .await
    .unwrap_err();
    assert_eq!(join_refusal(error), JoinRefusal::ActorRevoked);
}

#[tokio::test]
async fn roles_decide_who_looks_answers_and_approves() {
    let world = world().await;
    world.make_namespace("bank").await;
    let people = [
        ("adam", role(Role::Admin, Some("shop")), (true, true)),
        ("anna", role(Role::Approver, Some("shop")), (true, false)),
        ("otto", role(Role::Auditor, Some("shop")), (false, false)),
        ("bert", role(Role::Admin, Some("bank")), (false, false)),
    ];
    for (name, held, (answers, approves)) in people {
        let may = |may| if may { Ok(()) } else { Err(DenyReason::NoRole) };
        let who = world.operator(name, &[held]).await;
        let key = ed25519();
        let (one, two) = (world.ask(&key).await, world.ask(&key).await);
        let list = DeviceGrantListing {
            namespace: namespace("shop"),
        };
        let listed = world.permit(&who, list).map(drop);
        assert_eq!(listed, may(answers), "{name} lists");
        let show = DeviceGrantShow {
            namespace: namespace("shop"),
            code: same(&one.user_code),
        };
        let shown = world.permit(&who, show).map(drop);
        assert_eq!(shown, may(answers), "{name} looks");
        let device = key.public().thumbprint();
        let yes = world.approve(&who, &one.user_code, device).await;
        let yes = yes.map(drop).map_err(Failure::denied);
        assert_eq!(yes, may(approves), "{name} approves");
        let no = world.deny(&who, &two.user_code).await;
        let no = no.map(drop).map_err(Failure::denied);
        assert_eq!(no, may(answers), "{name} denies");
    }
}

#[tokio::test]
async fn a_yes_dies_with_whoever_said_it() {
    let world = world().await;
    let admin = [role(Role::Admin, Some("shop"))];
    for way in ["device", "role"] {
        let name = format!("bob-{way}");
        let bob = world.operator(&name, &admin).await;
        let key = ed25519();
        let new = world.ask(&key).await;
        let device = key.public().thumbprint();
        world.approve(&bob, &new.user_code, device).await.unwrap();
        if way == "device" {
            world
                .revoke_device(&world.alice, &bob.device())
                .await
                .unwrap();
        } else {
            world
                .set_roles(&world.alice, &name, &[role(Role::Auditor, Some("shop"))])
                .await
                .unwrap();
        }
        let error = world.collect(&new, &key).await.unwrap_err();
        assert_eq!(refusal(error), DeviceGrantRefusal::ApproverGone, "{way}");
    }
}

#[tokio::test]
async fn the_list_has_those_that_wait_the_newest_first_without_what_their_hosts_show() {
    let world = world().await;
    let keys = [ed25519(), p256(), ed25519()];
    let mut asked = Vec::new();
    for key in &keys {
        asked.push(world.ask(key).await);
        world.pass(Duration::from_secs(1));
    }
    world.deny(&world.alice, &asked[2].user_code).await.unwrap();
    let op = DeviceGrantListing {
        namespace: namespace("shop"),
    };
    let permit = world.permit(&world.alice, op).unwrap();
    let list = || {
        let list = DeviceGrantListing::run(&permit, world.recorder.store(), world.now());
        list.unwrap().grants
    };
    let found: Vec<_> = list().iter().map(|grant| grant.device).collect();
    let expected = [keys[1].public().thumbprint(), keys[0].public().thumbprint()];
    assert_eq!(found, expected);
    assert!(list().iter().all(|grant| grant.fingerprint.is_none()));
    world.pass(DEVICE_GRANT_LIFE);
    assert!(list().is_empty());
}

/// Neither code stands in the database in a form that a copy of it yields.
#[tokio::test]
async fn what_is_stored_of_the_codes_are_tags() {
    let (world, key) = (world().await, ed25519());
    let new = world.ask(&key).await;
    let rows = new.tag;
    assert_eq!(rows, DeviceCodeTag::of(&mac(), new.device_code.expose()));
    assert!(!format!("{rows:?}").contains(new.device_code.expose().as_str()));
}
