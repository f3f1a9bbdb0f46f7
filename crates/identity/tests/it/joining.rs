use crate::world::{World, ed25519, label, namespace, owner_id, p256, perform, role};
use procura_identity::{
    AgentLink, CODE_LIFE, DeviceJoin, IdentityError, Join, JoinRefusal, OperatorLink,
};
use procura_types::{Duration, Role};
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::runtime::Handle;
use tokio::task::block_in_place;

fn refusal(error: IdentityError) -> JoinRefusal {
    match error {
        IdentityError::Join(refusal) => refusal,
        other => panic!("another error: {other}"),
    }
}

#[tokio::test]
async fn a_code_lets_one_device_in_once() {
    let world = World::new().await;
    let agent = world.agent("scribe", None).await.unwrap();
    let code = world.agent_code("scribe").await.unwrap();
    assert_eq!(code.expires, world.now().plus(CODE_LIFE));
    let joined = world.join(&code, &ed25519()).await.unwrap();
    assert_eq!(joined.actor, agent.actor_id);
    assert_eq!(joined.owner, world.alice.id);
    assert_eq!(
        (joined.name.as_str(), joined.label),
        ("alice//scribe", label("scribe"))
    );
    assert_eq!(joined.namespace, Some(namespace("shop")));
    let again = world.join(&code, &ed25519()).await.unwrap_err().domain();
    assert_eq!(refusal(again), JoinRefusal::UnknownCode);
    assert_eq!(world.snapshot().devices_of(&agent.actor_id).count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_at_once_with_one_code_are_one_device() {
    let world = World::new().await;
    let agent = world.agent("scribe", None).await.unwrap();
    let code = world.agent_code("scribe").await.unwrap();
    let (joining, caller) = world.joining(code.code.expose(), agent.actor_id, &ed25519());
    let opened = Join::resolve(
        world.recorder.store(),
        &world.snapshot(),
        &joining,
        world.now(),
    );
    let Ok(Join::Device(op)) = opened else {
        panic!("the code is for a device")
    };
    let first = AtomicBool::new(true);
    let slower = perform(&world.recorder, caller, op, |batch| {
        let joined = DeviceJoin::run(batch, world.now());
        // Another device joins between this one's look and its commit.
        if first.swap(false, Ordering::SeqCst) {
            assert!(joined.is_ok());
            block_in_place(|| Handle::current().block_on(world.join(&code, &ed25519()))).unwrap();
        }
        joined
    });
    let lost = slower.await.unwrap_err().domain();
    assert_eq!(refusal(lost), JoinRefusal::UnknownCode);
    assert_eq!(world.snapshot().devices_of(&agent.actor_id).count(), 1);
}

#[tokio::test]
async fn a_code_expires_after_ten_minutes() {
    let world = World::new().await;
    world.agent("scribe", None).await.unwrap();
    let code = world.agent_code("scribe").await.unwrap();
    let late = world.agent_code("scribe").await.unwrap();
    world.pass(CODE_LIFE - Duration::from_millis(1));
    world.join(&code, &ed25519()).await.unwrap();
    world.pass(Duration::from_millis(1));
    let error = world.join(&late, &ed25519()).await.unwrap_err().domain();
    assert_eq!(refusal(error), JoinRefusal::CodeExpired);
    world.pass(Duration::from_millis(1));
    let error = world.join(&late, &ed25519()).await.unwrap_err().domain();
    assert_eq!(refusal(error), JoinRefusal::CodeExpired);
    // The next code sweeps it away.
    world.agent_code("scribe").await.unwrap();
    let error = world.join(&late, &ed25519()).await.unwrap_err().domain();
    assert_eq!(refusal(error), JoinRefusal::UnknownCode);
}

#[tokio::test]
async fn a_code_is_for_one_actor_and_a_wrong_one_does_not_use_it_up() {
    let world = World::new().await;
    let scribe = world.agent("scribe", None).await.unwrap();
    let other = world.agent("other", None).await.unwrap();
    let code = world.agent_code("scribe").await.unwrap();
    let key = ed25519();
    for wrong in [other.actor_id, world.alice.id, owner_id(key.public())] {
        let error = world
            .join_as(code.code.expose(), wrong, &key)
            .await
            .unwrap_err()
            .domain();
        assert_eq!(refusal(error), JoinRefusal::UnknownCode);
    }
    let invitation = world.invite("bob", &[]).await.unwrap();
    let error = world
        .join_as(invitation.code.expose(), scribe.actor_id, &key)
        .await
        .unwrap_err()
        .domain();
    assert_eq!(refusal(error), JoinRefusal::UnknownCode);
    let error = world
        .join_as(&[0; 16], scribe.actor_id, &key)
        .await
        .unwrap_err()
        .domain();
    assert_eq!(refusal(error), JoinRefusal::UnknownCode);
    world.join(&code, &key).await.unwrap();
    world.join(&invitation, &p256()).await.unwrap();
}

#[tokio::test]
async fn a_key_is_one_device_for_ever() {
    let world = World::new().await;
    let scribe = world.agent_with_device("scribe", None).await;
    world.agent("other", None).await.unwrap();
    let code = world.agent_code("other").await.unwrap();
    let error = world.join(&code, &scribe.key).await.unwrap_err().domain();
    assert_eq!(refusal(error), JoinRefusal::DeviceBound);
    world
        .revoke_device(&world.alice, &scribe.device())
        .await
        .unwrap();
    let error = world.join(&code, &scribe.key).await.unwrap_err().domain();
    assert_eq!(refusal(error), JoinRefusal::DeviceBound);
    let invitation = world.invite("bob", &[]).await.unwrap();
    let error = world
        .join(&invitation, &scribe.key)
        .await
        .unwrap_err()
        .domain();
    assert_eq!(refusal(error), JoinRefusal::DeviceBound);
}

#[tokio::test]
async fn nobody_joins_a_revoked_actor() {
    let world = World::new().await;
    world.agent("scribe", None).await.unwrap();
    let code = world.agent_code("scribe").await.unwrap();
    world.revoke("scribe").await.unwrap();
    let error = world.join(&code, &ed25519()).await.unwrap_err().domain();
    assert_eq!(refusal(error), JoinRefusal::ActorRevoked);
    // The next incarnation is another actor: the code is not for it.
    let next = world.agent("scribe", None).await.unwrap();
    let error = world
        .join_as(code.code.expose(), next.actor_id, &ed25519())
        .await
        .unwrap_err()
        .domain();
    assert_eq!(refusal(error), JoinRefusal::UnknownCode);
}

#[tokio::test]
async fn a_code_dies_with_its_maker() {
    let world = World::new().await;
    let bob = world.operator("bob", &[role(Role::Steward, None)]).await;
    let invite = procura_identity::OperatorInvite {
        name: label("eve"),
        roles: vec![role(Role::Auditor, Some("shop"))],
    };
    let code = world
        .act(&bob, invite, |batch| {
            procura_identity::OperatorInvite::run(
                batch,
                world.now(),
                &procura_crypto::SystemEntropy,
            )
        })
        .await
        .unwrap();
    world.revoke_operator(&bob, "bob").await.unwrap();
    let error = world.join(&code, &p256()).await.unwrap_err().domain();
    assert_eq!(refusal(error), JoinRefusal::UnknownCode);
}

#[tokio::test]
async fn a_code_dies_with_the_device_that_made_it() {
    let world = World::new().await;
    let bob = world
        .operator("bob", &[role(Role::Admin, Some("shop"))])
        .await;
    world.agent("scribe", None).await.unwrap();
    // Whoever stole bob's device makes codes with it while it lasts.
    let another = OperatorLink::resolve(&world.snapshot(), &label("bob")).unwrap();
    let mine = world
        .act(&bob, another, |batch| {
            OperatorLink::run(batch, world.now(), &procura_crypto::SystemEntropy)
        })
        .await
        .unwrap();
    let op = AgentLink {
        namespace: namespace("shop"),
        label: label("scribe"),
    };
    let of_an_agent = world
        .act(&bob, op, |batch| {
            AgentLink::run(batch, world.now(), &procura_crypto::SystemEntropy)
        })
        .await
        .unwrap();
    world
        .revoke_device(&world.alice, &bob.device())
        .await
        .unwrap();
    for code in [mine, of_an_agent] {
        let error = world.join(&code, &ed25519()).await.unwrap_err().domain();
        assert_eq!(refusal(error), JoinRefusal::UnknownCode);
    }
}

#[tokio::test]
async fn a_code_dies_with_the_role_that_let_it_be_made() {
    let world = World::new().await;
    let bob = world
        .operator(
            "bob",
            &[role(Role::Steward, None), role(Role::Admin, Some("shop"))],
        )
        .await;
    world.agent("scribe", None).await.unwrap();
    let invite = procura_identity::OperatorInvite {
        name: label("eve"),
        roles: vec![role(Role::Auditor, Some("shop"))],
    };
    let invitation = world
        .act(&bob, invite, |batch| {
            let entropy = &procura_crypto::SystemEntropy;
            procura_identity::OperatorInvite::run(batch, world.now(), entropy)
        })
        .await
        .unwrap();
    let op = AgentLink {
        namespace: namespace("shop"),
        label: label("scribe"),
    };
    let code = world
        .act(&bob, op, |batch| {
            AgentLink::run(batch, world.now(), &procura_crypto::SystemEntropy)
        })
        .await
        .unwrap();
    world
        .set_roles(&bob, "bob", &[role(Role::Auditor, Some("shop"))])
        .await
        .unwrap();
    let error = world.join(&invitation, &p256()).await.unwrap_err().domain();
    assert_eq!(refusal(error), JoinRefusal::UnknownCode);
    let error = world.join(&code, &ed25519()).await.unwrap_err().domain();
    assert_eq!(refusal(error), JoinRefusal::UnknownCode);
}

#[tokio::test]
async fn one_device_cannot_join_by_the_signature_of_another() {
    let world = World::new().await;
    let scribe = world.agent("scribe", None).await.unwrap();
    let other = world.agent("other", None).await.unwrap();
    let code = world.agent_code("scribe").await.unwrap();
    let key = ed25519();
    let (joining, _) = world.joining(code.code.expose(), scribe.actor_id, &key);
    for (actor, signer) in [(other.actor_id, &key), (scribe.actor_id, &ed25519())] {
        let (_, caller) = world.joining(code.code.expose(), actor, signer);
        let error = world.join_by(&joining, caller).await.unwrap_err().domain();
        assert!(matches!(error, IdentityError::OtherCaller));
    }
    let invitation = world.invite("bob", &[]).await.unwrap();
    let root = p256();
    let (joining, _) = world.joining(invitation.code.expose(), owner_id(root.public()), &root);
    let (_, caller) = world.joining(invitation.code.expose(), owner_id(root.public()), &key);
    let error = world.join_by(&joining, caller).await.unwrap_err().domain();
    assert!(matches!(error, IdentityError::OtherCaller));
}

#[tokio::test]
async fn an_invited_operator_may_bring_an_ed25519_root_key() {
    let world = World::new().await;
    let invitation = world.invite("bob", &[]).await.unwrap();
    let key = ed25519();
    let joined = world.join(&invitation, &key).await.unwrap();
    assert_eq!(joined.actor, owner_id(key.public()));
    assert_eq!((joined.owner, joined.name.as_str()), (joined.actor, "bob"));
}
