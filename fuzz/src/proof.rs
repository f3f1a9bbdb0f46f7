//! Keys, signatures, sessions and joins.

use crate::Verdict;
use crate::world::{AGENT, AUDIENCE, NOW, PEER, WORLD, key};
use procura_crypto::{PublicKey, SigningKey, sha256};
use procura_proof::agent_session::AgentSession;
use procura_proof::{Profile, session, verify_join};
use procura_types::wire::{JoinRequest, PublicJwk};
use procura_types::{ActorId, Alg, Thumbprint, encoding};

/// Public keys: one spelling each, and the same key by every way in.
pub(crate) fn public_key(data: &[u8]) -> Verdict {
    let mut read = Vec::new();
    if let Ok(jwk) = serde_json::from_slice::<PublicJwk>(data)
        && let Ok(key) = PublicKey::from_jwk(&jwk)
    {
        assert_eq!(key.to_jwk(), jwk);
        read.push(key);
    }
    for key in [PublicKey::from_ed25519(data), PublicKey::from_p256(data)] {
        let Ok(key) = key else { continue };
        assert_eq!(key.as_bytes(), data);
        read.push(key);
    }
    for key in &read {
        let again = PublicKey::from_jwk(&key.to_jwk()).expect("its own form");
        assert_eq!(again.as_bytes(), key.as_bytes());
        assert_eq!(again.thumbprint(), key.thumbprint());
        assert_eq!(again.algorithm(), key.algorithm());
        // No key is so weak that a signature anybody can write is its own.
        for signature in [[0; 64], [0xff; 64]] {
            assert!(!key.verify(b"message", &signature));
        }
        let mut identity = [0; 64];
        identity[0] = 1;
        assert!(!key.verify(b"message", &identity));
    }
    Verdict::of(!read.is_empty())
}

/// Signatures: one of Ed25519 has one spelling, and none is of two messages.
pub(crate) fn signature(data: &[u8]) -> Verdict {
    let Some((which, given)) = data.split_first() else {
        return Verdict::Refused;
    };
    let signer = if which & 1 == 0 {
        &WORLD.agent
    } else {
        &WORLD.owner
    };
    let accepted = signer.public().verify(MESSAGE, given);
    if accepted && which & 1 == 0 {
        assert_eq!(given, signer.sign(MESSAGE).unwrap());
    }
    if accepted {
        assert_eq!(given.len(), 64);
        assert!(!signer.public().verify(b"another", given));
        assert!(!stranger().public().verify(MESSAGE, given));
    }
    Verdict::of(accepted)
}

/// What [`signature`] is over.
pub(crate) const MESSAGE: &[u8] = b"what was signed";

fn stranger() -> SigningKey {
    key(Alg::Ed25519, 99)
}

/// Session ids: those that were issued open, for their audience.
pub(crate) fn session_id(data: &[u8]) -> Verdict {
    let Ok(id) = std::str::from_utf8(data) else {
        return Verdict::Refused;
    };
    let open = |audience| session::open(WORLD.roots.as_ref(), id, audience);
    // Of sessions of foreign agents, which look alike, none was ever issued.
    assert!(AgentSession::open(WORLD.roots.as_ref(), id).is_err());
    match open(AUDIENCE) {
        Ok(session) => {
            assert_eq!(id, WORLD.session.session_id, "never issued");
            assert_eq!(session.expires(), WORLD.session.expires);
            assert_eq!(session.subject().actor, AGENT);
            assert!(open("elsewhere").is_err());
            Verdict::Accepted
        }
        Err(_) => {
            let foreign = WORLD.foreign_session();
            assert_eq!(open("elsewhere").is_ok(), id == foreign.session_id);
            Verdict::Refused
        }
    }
}

/// The server that devices join.
pub(crate) const SERVER: Thumbprint = Thumbprint::from_bytes([8; 32]);
/// The link code, and whom it is for.
pub(crate) const CODE: [u8; 16] = [6; 16];

/// Joins: what passes was signed by the key that it brings, for this server,
/// code and actor.
pub(crate) fn join(data: &[u8]) -> Verdict {
    let Ok(request) = serde_json::from_slice::<JoinRequest>(data) else {
        return Verdict::Refused;
    };
    let verify = |request: &JoinRequest, server: &Thumbprint| {
        verify_join(request, server, &WORLD.directory, NOW, PEER)
    };
    let Ok((joining, caller)) = verify(&request, &SERVER) else {
        return Verdict::Refused;
    };
    assert_eq!(caller.profile(), Profile::Join);
    assert_eq!(*joining.actor(), AGENT);
    assert_eq!(*joining.code_sha256(), sha256(&CODE));
    assert_eq!(joining.key().to_jwk(), request.device_key);
    let known = [&WORLD.agent, &WORLD.owner].map(|key| key.public().thumbprint());
    assert!(known.contains(&joining.device()), "a key that never signed");
    let other = |change: &dyn Fn(&mut JoinRequest)| {
        let mut changed = request.clone();
        change(&mut changed);
        assert!(verify(&changed, &SERVER).is_err());
    };
    other(&|request| request.actor_id = ActorId::from_bytes([3; 32]));
    other(&|request| request.code_sha256 = sha256(b"another").to_vec());
    other(&|request| request.device_key = stranger().public().to_jwk());
    assert!(verify(&request, &Thumbprint::from_bytes([0; 32])).is_err());
    assert!(encoding::b64url(&request.signature).len() == 86);
    Verdict::Accepted
}
