//! Clients of CortexAuth log in, from the question to the token, and every way that is none.

use crate::device_grants::{mac, refusal};
use crate::world::{Actor, Failure, World, ed25519, label, namespace, perform, role};
use procura_crypto::SystemEntropy;
use procura_identity::{
    DEVICE_GRANT_LIFE, DeviceCodeTag, DeviceGrantRefusal, DeviceGrantStanding, ForeignBind,
    ForeignRelease, FoundLegacyLogin, LegacyLogin, LegacyLoginAsk, NewDeviceGrant, SecretTerms,
};
use procura_proof::Caller;
use procura_types::{Duration, ForeignId, Role, Thumbprint, TokenId};

const TOKEN: TokenId = TokenId::from_bytes([4; 16]);
const PEER: std::net::IpAddr = std::net::IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 7));

fn id(text: &str) -> ForeignId {
    text.parse().unwrap()
}

impl World {
    pub(crate) async fn ask_to_log_in(&self) -> NewDeviceGrant {
        let caller = Caller::logging_in(&self.snapshot(), self.now(), PEER);
        let op = LegacyLoginAsk {
            host: "cortex-cli".parse().unwrap(),
            from: Some(PEER),
        };
        perform(&self.recorder, caller, op, |batch| {
            LegacyLoginAsk::run(batch, &mac(), self.now(), &SystemEntropy)
        })
        .await
        .unwrap()
    }

    fn login(&self, new: &NewDeviceGrant) -> Option<FoundLegacyLogin> {
        let tag = DeviceCodeTag::of(&mac(), new.device_code.expose());
        tag.find_login(self.recorder.store(), self.now()).unwrap()
    }

    /// Collects as the agent of an id.
    pub(crate) async fn log_in(&self, new: &NewDeviceGrant, as_id: &str) -> Result<(), Failure> {
        let snapshot = self.snapshot();
        let caller = Caller::logged_in(&id(as_id), &snapshot, self.now(), PEER).unwrap();
        let who = (*caller.actor(), id(as_id));
        let op = LegacyLogin::new(new.tag, who, TOKEN, &snapshot).unwrap();
        perform(&self.recorder, caller, op, |batch| {
            LegacyLogin::run(batch, self.now())
        })
        .await
    }

    pub(crate) async fn bind(&self, agent: &str, to: &str) {
        let op = ForeignBind {
            namespace: namespace("shop"),
            id: id(to),
            agent: label(agent),
        };
        self.act(&self.alice, op, |batch| {
            ForeignBind::run(batch, &SecretTerms::default(), self.now())
        })
        .await
        .unwrap();
    }

    /// What stands in the place of a device.
    pub(crate) fn stands_for(&self, new: &NewDeviceGrant) -> Thumbprint {
        self.show(&self.alice, &new.user_code).unwrap().device
    }

    async fn approve_login(&self, by: &Actor, new: &NewDeviceGrant) -> Result<(), Failure> {
        let looked_at = self.stands_for(new);
        let approved = self.approve(by, &new.user_code, looked_at).await;
        approved.map(drop)
    }
}

/// A world with an agent that has one id.
async fn world() -> World {
    let world = World::new().await;
    world.agent("scribe", None).await.unwrap();
    world.bind("scribe", "scribe-1").await;
    world
}

#[tokio::test]
async fn a_client_asks_is_seen_approved_and_collects_once() {
    let world = world().await;
    let new = world.ask_to_log_in().await;
    assert_eq!(new.expires, world.now().plus(DEVICE_GRANT_LIFE));
    let found = world.login(&new).unwrap();
    assert_eq!(
        (found.standing, found.id),
        (DeviceGrantStanding::Pending, None)
    );

    // It is seen to be none of ours, and to show no key.
    let shown = world.show(&world.alice, &new.user_code).unwrap();
    assert_eq!((shown.legacy, shown.fingerprint), (true, None));
    let other = world.ask_to_log_in().await;
    assert_ne!(shown.device, world.stands_for(&other));
    assert_eq!(
        (shown.host.as_str(), shown.from),
        ("cortex-cli", Some(PEER))
    );

    world.approve_login(&world.alice, &new).await.unwrap();
    let found = world.login(&new).unwrap();
    let scribe = world.scribe();
    assert_eq!(found.standing, DeviceGrantStanding::Approved(scribe));
    assert_eq!(found.id, Some(id("scribe-1")));

    world.log_in(&new, "scribe-1").await.unwrap();
    // Nobody has a device more.
    assert_eq!(world.snapshot().devices_of(&scribe).count(), 0);
    let found = world.login(&new).unwrap();
    assert_eq!(found.standing, DeviceGrantStanding::Collected);
    let again = world.log_in(&new, "scribe-1").await.unwrap_err();
    assert_eq!(refusal(again), DeviceGrantRefusal::Collected);
}

#[tokio::test]
async fn codes_of_hosts_and_of_clients_are_not_each_others() {
    let world = world().await;
    let key = ed25519();
    let (host, client) = (world.ask(&key).await, world.ask_to_log_in().await);
    assert!(world.login(&host).is_none());
    assert_eq!(world.standing(&client), None);
    let device = key.public().thumbprint();
    world
        .approve(&world.alice, &host.user_code, device)
        .await
        .unwrap();
    let stood_for = world.stands_for(&client);
    world.approve_login(&world.alice, &client).await.unwrap();
    let error = world.log_in(&host, "scribe-1").await.unwrap_err();
    assert_eq!(refusal(error), DeviceGrantRefusal::Unknown);
    // Only what was looked at is approved.
    let other = world.ask_to_log_in().await;
    let error = world.approve(&world.alice, &other.user_code, stood_for);
    assert_eq!(
        refusal(error.await.unwrap_err()),
        DeviceGrantRefusal::OtherDevice
    );
}

#[tokio::test]
async fn a_client_knows_an_agent_by_its_one_id() {
    let world = World::new().await;
    world.agent("scribe", None).await.unwrap();
    let new = world.ask_to_log_in().await;
    let error = world.approve_login(&world.alice, &new).await.unwrap_err();
    assert_eq!(refusal(error), DeviceGrantRefusal::NoOneId);
    world.bind("scribe", "scribe-1").await;
    world.bind("scribe", "scribe-2").await;
    let error = world.approve_login(&world.alice, &new).await.unwrap_err();
    assert_eq!(refusal(error), DeviceGrantRefusal::NoOneId);
    release(&world, "scribe-2").await;
    world.approve_login(&world.alice, &new).await.unwrap();
    // By the time that it collects, it is of another agent.
    world.agent("clerk", None).await.unwrap();
    release(&world, "scribe-1").await;
    world.bind("clerk", "scribe-1").await;
    let error = world.log_in(&new, "scribe-1").await.unwrap_err();
    assert_eq!(refusal(error), DeviceGrantRefusal::OtherDevice);
}

async fn release(world: &World, of: &str) {
    let op = ForeignRelease {
        namespace: namespace("shop"),
        id: id(of),
    };
    world
        .act(&world.alice, op, |batch| {
            ForeignRelease::run(batch, world.now())
        })
        .await
        .unwrap();
}

#[tokio::test]
async fn what_was_not_said_in_time_or_not_at_all_lets_nobody_in() {
    let world = world().await;
    let waits = world.ask_to_log_in().await;
    let error = world.log_in(&waits, "scribe-1").await.unwrap_err();
    assert_eq!(refusal(error), DeviceGrantRefusal::Pending);
    let denied = world.ask_to_log_in().await;
    world.deny(&world.alice, &denied.user_code).await.unwrap();
    let error = world.log_in(&denied, "scribe-1").await.unwrap_err();
    assert_eq!(refusal(error), DeviceGrantRefusal::Denied);
    let late = world.ask_to_log_in().await;
    world.approve_login(&world.alice, &late).await.unwrap();
    world.pass(DEVICE_GRANT_LIFE);
    let error = world.log_in(&late, "scribe-1").await.unwrap_err();
    assert_eq!(refusal(error), DeviceGrantRefusal::Expired);
    world.pass(Duration::from_secs(1));
    let found = world.login(&late).map(|found| found.standing);
    assert_eq!(found, Some(DeviceGrantStanding::Expired));
}

#[tokio::test]
async fn a_yes_to_a_login_dies_with_whoever_said_it() {
    let world = world().await;
    let admin = [role(Role::Admin, Some("shop"))];
    let bob = world.operator("bob", &admin).await;
    let new = world.ask_to_log_in().await;
    world.approve_login(&bob, &new).await.unwrap();
    world
        .set_roles(&world.alice, "bob", &[role(Role::Auditor, Some("shop"))])
        .await
        .unwrap();
    let error = world.log_in(&new, "scribe-1").await.unwrap_err();
    assert_eq!(refusal(error), DeviceGrantRefusal::ApproverGone);
}
