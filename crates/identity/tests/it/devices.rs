use crate::world::{World, ed25519, label, role};
use procura_identity::{DeviceRevocation, OperatorLink};
use procura_policy::DenyReason;
use procura_types::{Duration, Role, Thumbprint};

#[tokio::test]
async fn a_revoked_device_does_nothing_and_stays_revoked() {
    let world = World::new().await;
    let scribe = world.agent_with_device("scribe", None).await;
    let code = world.agent_code("scribe").await.unwrap();
    let second = ed25519();
    world.join(&code, &second).await.unwrap();
    world
        .revoke_device(&world.alice, &scribe.device())
        .await
        .unwrap();
    let first_time = world.snapshot().device(&scribe.device()).unwrap().revoked;
    assert_eq!(first_time, Some(world.now()));
    world.pass(Duration::from_secs(1));
    world
        .revoke_device(&world.alice, &scribe.device())
        .await
        .unwrap();
    let snapshot = world.snapshot();
    assert_eq!(
        snapshot.device(&scribe.device()).unwrap().revoked,
        first_time
    );
    assert!(
        snapshot
            .device(&second.public().thumbprint())
            .unwrap()
            .revoked
            .is_none()
    );
    assert!(snapshot.is_active(&scribe.id));
}

#[tokio::test]
async fn an_actor_revokes_its_own_devices_and_no_others() {
    let world = World::new().await;
    let scribe = world.agent_with_device("scribe", None).await;
    let other = world.agent_with_device("other", None).await;
    let bob = world
        .operator("bob", &[role(Role::Auditor, Some("shop"))])
        .await;
    let denied = world
        .revoke_device(&scribe, &other.device())
        .await
        .unwrap_err();
    assert_eq!(denied.denied(), DenyReason::NoRole);
    let denied = world
        .revoke_device(&bob, &other.device())
        .await
        .unwrap_err();
    assert_eq!(denied.denied(), DenyReason::NoRole);
    let denied = world
        .revoke_device(&bob, &world.alice.device())
        .await
        .unwrap_err();
    assert_eq!(denied.denied(), DenyReason::NoRole);
    world
        .revoke_device(&scribe, &scribe.device())
        .await
        .unwrap();
    let denied = world
        .revoke_device(&scribe, &scribe.device())
        .await
        .unwrap_err();
    assert_eq!(denied.denied(), DenyReason::Revoked);
    world.revoke_device(&bob, &bob.device()).await.unwrap();
}

#[tokio::test]
async fn a_steward_with_two_devices_can_lose_one() {
    let world = World::new().await;
    let link = OperatorLink::resolve(&world.snapshot(), &label("alice")).unwrap();
    let code = world
        .act(&world.alice, link, |batch| {
            OperatorLink::run(batch, world.now(), &procura_crypto::SystemEntropy)
        })
        .await
        .unwrap();
    let second = ed25519();
    world.join(&code, &second).await.unwrap();
    world
        .revoke_device(&world.alice, &world.alice.device())
        .await
        .unwrap();
    let alice = crate::world::Actor {
        id: world.alice.id,
        key: second,
    };
    assert!(
        world
            .permit(&alice, procura_identity::OperatorListing)
            .is_ok()
    );
}

#[tokio::test]
async fn an_unknown_device_is_nothing_to_revoke() {
    let world = World::new().await;
    assert!(
        DeviceRevocation::resolve(&world.snapshot(), &Thumbprint::from_bytes([0; 32])).is_none()
    );
}
