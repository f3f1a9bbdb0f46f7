//! The profiles of other systems: agents with keys, and a verifier.

mod accepted;
mod bound;
pub(crate) mod cases;
pub(crate) mod legacy;
mod presented;
mod refused;
mod replay;
mod shape;
mod vectors;

use crate::fixture::{Counting, NOW, PEER, Request};
use procura_crypto::{MacKey, PublicKey, SigningKey};
use procura_proof::foreign::{
    AgentSecret, Allowed, Foreign, ForeignCaller, ForeignKey, ForeignKeys, ForeignSigner,
    ForeignVerifier, HmacV1, KeysUnavailable, Presented, sign,
};
use procura_proof::{Limits, MemoryGuard, Refusal, ReplayGuard, Windows};
use procura_types::{Alg, ForeignId, Timestamp};
use std::collections::HashMap;
use std::sync::{Arc, Mutex};

/// Of the published vectors: 00 to 1f.
pub(crate) fn vector_key() -> SigningKey {
    let seed: Vec<u8> = (0..32).collect();
    SigningKey::from_secret_bytes(&[&[Alg::Ed25519.byte()][..], &seed].concat()).unwrap()
}

pub(crate) fn key(byte: u8) -> SigningKey {
    SigningKey::from_secret_bytes(&[&[Alg::Ed25519.byte()][..], &[byte; 32]].concat()).unwrap()
}

pub(crate) fn id(text: &str) -> ForeignId {
    text.parse().unwrap()
}

/// Keys on record; `None` cannot be read.
pub(crate) struct Keys(pub(crate) Mutex<Option<HashMap<ForeignId, ForeignKey>>>);

impl ForeignKeys for Keys {
    fn find(&self, agent: &ForeignId) -> Result<Option<ForeignKey>, KeysUnavailable> {
        let keys = self.0.lock().unwrap();
        Ok(keys.as_ref().ok_or(KeysUnavailable)?.get(agent).cloned())
    }
}

/// `scribe` and `clerk`, each with a key and a secret.
pub(crate) struct World {
    pub(crate) keys: Keys,
    pub(crate) guard: Arc<MemoryGuard>,
    pub(crate) verifier: ForeignVerifier,
    pub(crate) allowed: Allowed,
    pub(crate) entropy: Counting,
}

pub(crate) const SCRIBE: &str = "scribe";
pub(crate) const CLERK: &str = "clerk.v-2_B";
const SECRETS: [(&str, &str); 2] = [
    (SCRIBE, "c2NyaWJlJ3Mgc2VjcmV0IG9mIDMyIGJ5dGVzIC4uLi4"),
    (CLERK, "Y2xlcmsncyBzZWNyZXQgb2YgMzIgYnl0ZXMgLi4uLi4"),
];

pub(crate) fn secret(agent: &str) -> AgentSecret {
    let (_, text) = SECRETS.iter().find(|(name, _)| *name == agent).unwrap();
    AgentSecret::new(text).unwrap()
}

pub(crate) fn signing_key(agent: &str) -> SigningKey {
    key(if agent == SCRIBE { 11 } else { 12 })
}

pub(crate) fn record(agent: &str) -> ForeignKey {
    ForeignKey {
        public: Some(signing_key(agent).public().clone()),
        secrets: vec![Arc::new(secret(agent))],
        revoked: false,
    }
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with_limits(Limits::default())
    }

    pub(crate) fn with_limits(limits: Limits) -> Self {
        let guard = Arc::new(MemoryGuard::new(
            MacKey::from_bytes(&[9; 32]).unwrap(),
            limits,
            Windows::FOREIGN,
        ));
        let keys = [SCRIBE, CLERK].map(|agent| (id(agent), record(agent)));
        Self {
            keys: Keys(Mutex::new(Some(keys.into()))),
            verifier: ForeignVerifier::new(Arc::clone(&guard) as Arc<dyn ReplayGuard>).unwrap(),
            guard,
            allowed: Allowed {
                hmac_v1: Some(HmacV1::default()),
            },
            entropy: Counting::default(),
        }
    }

    pub(crate) fn put(&self, agent: &str, key: ForeignKey) {
        self.keys
            .0
            .lock()
            .unwrap()
            .as_mut()
            .unwrap()
            .insert(id(agent), key);
    }

    pub(crate) fn remove(&self, agent: &str) {
        self.keys
            .0
            .lock()
            .unwrap()
            .as_mut()
            .unwrap()
            .remove(&id(agent));
    }

    pub(crate) fn sign(&self, profile: Foreign, request: &Request) -> Request {
        self.sign_as(profile, request, SCRIBE, NOW)
    }

    pub(crate) fn sign_as(
        &self,
        profile: Foreign,
        request: &Request,
        agent: &str,
        now: Timestamp,
    ) -> Request {
        let (key, secret) = (signing_key(agent), secret(agent));
        let signer = match profile {
            Foreign::KeyServerV1 => ForeignSigner::KeyServerV1(&key),
            Foreign::GuideV1 => ForeignSigner::GuideV1(&key),
            Foreign::HmacV1 => ForeignSigner::HmacV1(&secret),
            Foreign::HmacV2 => ForeignSigner::HmacV2(&secret),
        };
        let mut signed = request.clone();
        let headers = sign(&request.view(), &id(agent), signer, now, &self.entropy).unwrap();
        for (name, value) in headers {
            signed.headers.push((name.to_owned(), value.into_bytes()));
        }
        signed
    }

    pub(crate) fn verify(&self, request: &Request) -> Result<ForeignCaller, Refusal> {
        self.verify_at(request, NOW)
    }

    pub(crate) fn verify_at(
        &self,
        request: &Request,
        now: Timestamp,
    ) -> Result<ForeignCaller, Refusal> {
        let view = request.view();
        self.verifier
            .verify(&self.keys, &view, &self.allowed, now, PEER)
    }

    pub(crate) fn present(&self, presented: &Presented<'_>, now: Timestamp) -> Result<(), Refusal> {
        self.verifier.verify_presented(&self.keys, presented, now)
    }
}

pub(crate) fn only_public(key: &PublicKey) -> ForeignKey {
    ForeignKey {
        public: Some(key.clone()),
        secrets: Vec::new(),
        revoked: false,
    }
}

pub(crate) fn refused(result: Result<ForeignCaller, Refusal>) -> Refusal {
    result.expect_err("it was let in")
}

/// With a field made another.
pub(crate) fn set(request: &Request, name: &str, value: &str) -> Request {
    request.clone().without(name).with(name, value)
}

/// The fields of a profile that have to be there.
pub(crate) fn required(profile: Foreign) -> &'static [&'static str] {
    match profile {
        Foreign::KeyServerV1 => &["x-agent-id", "x-timestamp", "x-nonce", "x-signature"],
        Foreign::GuideV1 => &["x-agent", "x-timestamp", "x-nonce", "x-signature"],
        Foreign::HmacV1 | Foreign::HmacV2 => &["x-agent-id", "x-timestamp", "x-signature"],
    }
}
