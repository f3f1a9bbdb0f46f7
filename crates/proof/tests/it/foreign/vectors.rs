//! Values that others computed: what they signed verifies, and our side signs the
//! same bytes.

use super::{World, id, only_public, vector_key};
use crate::fixture::Request;
use procura_crypto::sha256;
use procura_proof::foreign::{
    AgentSecret, Foreign, ForeignKey, ForeignSigner, Presented, Shown, recognise, sign,
};
use procura_types::{Entropy, EntropyError, Timestamp, encoding};
use serde_json::Value;
use std::sync::Arc;

const VECTORS: &str = include_str!("../../../../../spec/vectors/profiles/request_profiles.json");
const AGENT: &str = "agent-1";

/// 00, 01, 02 and so on: the nonces of the vectors.
struct Ascending;

impl Entropy for Ascending {
    fn fill(&self, out: &mut [u8]) -> Result<(), EntropyError> {
        for (at, byte) in out.iter_mut().enumerate() {
            *byte = u8::try_from(at).unwrap();
        }
        Ok(())
    }
}

/// The header fields of a case, sorted.
fn headers(case: &Value) -> Vec<(&'static str, String)> {
    let text = |name: &str| case[name].as_str().unwrap().to_owned();
    let agent = match text("profile").as_str() {
        "guide-v1" => "x-agent",
        _ => "x-agent-id",
    };
    vec![
        (agent, AGENT.to_owned()),
        ("x-nonce", text("nonce")),
        ("x-signature", text("signature")),
        ("x-timestamp", text("timestamp")),
    ]
}

#[test]
fn published_signatures_verify_and_are_ours() {
    let vectors: Value = serde_json::from_str(VECTORS).unwrap();
    let key = vector_key();
    let public = vectors["key"]["public_b64url"].as_str().unwrap();
    assert_eq!(encoding::b64url(key.public().as_bytes()), public);
    let mut ran = Vec::new();
    for case in vectors["cases"].as_array().unwrap() {
        let text = |name: &str| case[name].as_str().unwrap();
        let profile: Foreign = text("profile").parse().unwrap();
        ran.push(profile);
        let request = Request {
            method: text("method").to_owned(),
            path: text("path").to_owned(),
            query: None,
            headers: Vec::new(),
            body: text("body").as_bytes().to_vec(),
            ..Request::get()
        };
        let now = Timestamp::from_secs(1_776_636_000);
        let signer = match profile {
            Foreign::KeyServerV1 => ForeignSigner::KeyServerV1(&key),
            Foreign::GuideV1 => ForeignSigner::GuideV1(&key),
            other => panic!("{other} has no vector"),
        };
        let mut ours = sign(&request.view(), &id(AGENT), signer, now, &Ascending).unwrap();
        ours.sort();
        assert_eq!(ours, headers(case), "{profile}");

        let mut signed = request.clone();
        for (name, value) in headers(case) {
            signed = signed.with(name, &value);
        }
        assert_eq!(recognise(&signed.headers), Ok(Shown::Foreign(profile)));
        let world = World::new();
        world.put(AGENT, only_public(key.public()));
        let caller = world.verify_at(&signed, now).unwrap();
        assert_eq!((caller.agent(), caller.foreign()), (&id(AGENT), profile));

        // Other spellings of the same signature, too.
        let standard = text("signature").replace('-', "+").replace('_', "/");
        let url_safe = standard.replace('+', "-").replace('/', "_");
        for spelling in [&standard, &url_safe] {
            for text in [spelling.as_str(), spelling.trim_end_matches('=')] {
                let world = World::new();
                world.put(AGENT, only_public(key.public()));
                let signed = super::set(&signed, "x-signature", text);
                assert!(world.verify_at(&signed, now).is_ok(), "{text}");
            }
        }
        if profile == Foreign::KeyServerV1 {
            let hash = sha256(&request.body);
            assert_eq!(encoding::hex(&hash), text("body_sha256"));
            let world = World::new();
            world.put(AGENT, only_public(key.public()));
            let agent = id(AGENT);
            let presented = Presented {
                agent: &agent,
                timestamp: text("timestamp"),
                nonce: text("nonce"),
                method: "post",
                path: text("path"),
                body_sha256: &hash,
                signature: text("signature"),
            };
            assert_eq!(world.present(&presented, now), Ok(()));
        }
    }
    assert_eq!(ran, [Foreign::KeyServerV1, Foreign::GuideV1]);
}

/// Computed with Python's `hmac` and the HKDF of its `cryptography` package.
#[test]
fn macs_that_another_library_computed() {
    let text = "pcs-0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOP-äö";
    let secret = ForeignKey {
        public: None,
        secrets: vec![Arc::new(AgentSecret::new(text).unwrap())],
        revoked: false,
    };
    let request = Request {
        method: "POST".to_owned(),
        path: "/api/notes".to_owned(),
        query: Some("a=1&b=%20".to_owned()),
        headers: Vec::new(),
        body: br#"{"title":"x"}"#.to_vec(),
        ..Request::get()
    };
    let empty = Request {
        method: "GET".to_owned(),
        authority: "Example.COM:80".to_owned(),
        query: None,
        body: Vec::new(),
        ..request.clone()
    };
    let with = |request: &Request, fields: &[(&str, &str)]| {
        let signed = request.clone().with("x-agent-id", AGENT);
        fields
            .iter()
            .fold(signed, |signed, (name, value)| signed.with(name, value))
    };
    let v1 = with(
        &request,
        &[
            ("x-timestamp", "1800000000000"),
            (
                "x-signature",
                "5925a1922b2a88b831d18950e775049dc4d2e30419364d4197fd888087d998b0",
            ),
        ],
    );
    let v2 = with(
        &request,
        &[
            ("x-timestamp", "1800000000123"),
            ("x-nonce", "n-1"),
            ("x-session-id", "s-1"),
            ("x-signature-version", "2"),
            (
                "x-signature",
                "95d49d33f9bf6005f8fb20460e3e02f60aa9bc4d3a93b9538d4880a148b29b48",
            ),
        ],
    );
    let bare = with(
        &empty,
        &[
            ("x-timestamp", "1800000000000"),
            ("x-signature-version", "2"),
            (
                "x-signature",
                "74918bc51f196a5705c882287a18c41e162c787a8a2be43e5074654ef77bf426",
            ),
        ],
    );
    for (signed, profile, session) in [
        (v1, Foreign::HmacV1, None),
        (v2, Foreign::HmacV2, Some("s-1")),
        (bare, Foreign::HmacV2, None),
    ] {
        let world = World::new();
        world.put(AGENT, secret.clone());
        let caller = world.verify(&signed).unwrap();
        assert_eq!((caller.foreign(), caller.session()), (profile, session));
    }
}
