//! Values that others computed.

use super::{SCRIBE, World, discovery, on_record, signed};
use crate::fixture::{NOW, Request};
use crate::foreign::{id, vector_key};
use procura_crypto::SigningKey;
use procura_proof::foreign::legacy::ATTESTATION;
use procura_types::{Alg, encoding};
use serde_json::Value;

const VECTORS: &str = include_str!("../../../../../../spec/vectors/profiles/cortexauth.json");

#[test]
fn published_proofs_verify() {
    let vectors: Value = serde_json::from_str(VECTORS).unwrap();
    let seed: Vec<u8> = (32..64).collect();
    let alg = Alg::Ed25519.byte();
    let process = SigningKey::from_secret_bytes(&[&[alg][..], &seed].concat()).unwrap();
    for (name, key) in [("agent_key", &vector_key()), ("process_key", &process)] {
        let public = vectors[name]["public_b64url"].as_str().unwrap();
        assert_eq!(encoding::b64url(key.public().as_bytes()), public);
    }
    let text = |case: &Value, name: &str| case[name].as_str().unwrap().to_owned();
    let mut ran = (0, 0);
    for case in vectors["auth_proof"].as_array().unwrap() {
        let world = World::new();
        let agent = text(case, "agent_id");
        let key = on_record(&agent, &vector_key());
        world
            .keys
            .0
            .lock()
            .unwrap()
            .as_mut()
            .unwrap()
            .insert(id(&agent), key);
        let (ts, nonce) = (case["ts"].as_u64().unwrap(), text(case, "nonce"));
        let signature = text(case, "signature");
        assert_eq!(signed(&vector_key(), &text(case, "message")), signature);
        assert_eq!(world.proof(&agent, ts, &nonce, &signature, NOW), None);
        ran.0 += 1;
    }
    for case in vectors["attestation"].as_array().unwrap() {
        let world = World::new();
        let session = world.issue(SCRIBE, &process, 7, NOW);
        let line = session + &text(case, "header_after_session");
        let request = Request {
            method: text(case, "method"),
            path: text(case, "path"),
            body: text(case, "body").into_bytes(),
            ..discovery()
        };
        let request = request.with(ATTESTATION, &line);
        let token = text(case, "auth_token_id");
        let caller = world.verify(&request, &token, NOW).unwrap();
        assert_eq!(caller.agent(), &id(SCRIBE));
        ran.1 += 1;
    }
    assert_eq!(ran, (2, 5));
}
