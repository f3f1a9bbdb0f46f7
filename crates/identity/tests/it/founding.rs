use crate::world::{
    World, admin, clock, ed25519, empty_store, label, owner_id, p256, perform, role,
};
use procura_identity::{IdentityError, InstallationInit};
use procura_policy::DenyReason;
use procura_types::{Role, Timestamp};

#[tokio::test]
async fn the_first_owner_is_steward_and_their_root_key_is_a_device() {
    let world = World::new().await;
    let snapshot = world.snapshot();
    let alice = snapshot.owner_named(&label("alice")).unwrap();
    assert_eq!(alice.id, owner_id(world.alice.key.public()));
    assert!(
        snapshot
            .roles(&alice.id)
            .unwrap()
            .roles
            .contains(&role(Role::Steward, None))
    );
    assert_eq!(
        snapshot.device(&world.alice.device()).unwrap().actor,
        alice.id
    );
}

#[tokio::test]
async fn there_is_one_first_owner_with_a_p256_key() {
    let home = tempfile::tempdir().unwrap();
    let clock = clock();
    let recorder = empty_store(&home, &clock);
    let init = |key: &procura_crypto::SigningKey| InstallationInit {
        owner: label("alice"),
        root_key: key.public().clone(),
    };
    let now = Timestamp::from_millis(1);
    let wrong = perform(&recorder, admin(&clock), init(&ed25519()), |batch| {
        InstallationInit::run(batch, now)
    })
    .await;
    assert!(matches!(
        wrong.unwrap_err().domain(),
        IdentityError::RootKeyAlgorithm
    ));
    perform(&recorder, admin(&clock), init(&p256()), |batch| {
        InstallationInit::run(batch, now)
    })
    .await
    .unwrap();
    let twice = perform(&recorder, admin(&clock), init(&p256()), |batch| {
        InstallationInit::run(batch, now)
    })
    .await;
    assert!(matches!(
        twice.unwrap_err().domain(),
        IdentityError::Founded
    ));
}

#[tokio::test]
async fn only_the_admin_socket_founds() {
    let world = World::new().await;
    let init = InstallationInit {
        owner: label("eve"),
        root_key: p256().public().clone(),
    };
    let denied = world
        .act(&world.alice, init, |batch| {
            InstallationInit::run(batch, world.now())
        })
        .await;
    assert_eq!(denied.unwrap_err().denied(), DenyReason::WrongProfile);
}
