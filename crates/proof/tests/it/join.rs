//! Joining.

use crate::fixture::{AGENT, NOW, OWNER, PEER, World};
use procura_crypto::SigningKey;
use procura_proof::{Profile, join_message, verify_join};
use procura_types::wire::JoinRequest;
use procura_types::{ActorId, Thumbprint};

pub(crate) const SERVER: Thumbprint = Thumbprint::from_bytes([5; 32]);

pub(crate) fn request(key: &SigningKey, actor: ActorId) -> JoinRequest {
    let code_sha256 = [4; 32];
    let message = join_message(&SERVER, &code_sha256, &actor, &key.public().thumbprint());
    JoinRequest {
        code_sha256: code_sha256.to_vec(),
        actor_id: actor,
        device_key: key.public().to_jwk(),
        signature: key.sign(&message).unwrap(),
    }
}

#[test]
fn a_device_proves_that_it_holds_the_key_it_brings() {
    let world = World::new();
    for key in [
        SigningKey::generate_ed25519(&world.entropy).unwrap(),
        SigningKey::generate_p256(&world.entropy).unwrap(),
    ] {
        let request = request(&key, AGENT);
        let (joining, caller) =
            verify_join(&request, &SERVER, &world.directory, NOW, PEER).unwrap();
        assert_eq!(joining.key(), key.public());
        assert_eq!(joining.device(), key.public().thumbprint());
        assert_eq!((joining.actor(), joining.code_sha256()), (&AGENT, &[4; 32]));
        assert_eq!((caller.actor(), caller.owner()), (&AGENT, &OWNER));
        assert_eq!(caller.device(), Some(&key.public().thumbprint()));
        assert_eq!(caller.profile(), Profile::Join);
    }
}

#[test]
fn an_operator_that_is_not_known_yet_is_its_own_owner() {
    let world = World::new();
    let key = SigningKey::generate_p256(&world.entropy).unwrap();
    let actor = ActorId::from_bytes([77; 32]);
    let (_, caller) =
        verify_join(&request(&key, actor), &SERVER, &world.directory, NOW, PEER).unwrap();
    assert_eq!((caller.actor(), caller.owner()), (&actor, &actor));
}
