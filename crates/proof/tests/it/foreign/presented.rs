//! `key-server-v1` proofs in their parts, as a service hands them on.

use super::{CLERK, SCRIBE, World, id, refused};
use crate::fixture::{NOW, Request};
use procura_crypto::sha256;
use procura_proof::Case;
use procura_proof::foreign::{Foreign, Presented};
use procura_types::ForeignId;

/// A proof in its parts, signed by the scribe.
struct Parts {
    agent: ForeignId,
    timestamp: String,
    nonce: String,
    method: String,
    path: String,
    body_sha256: [u8; 32],
    signature: String,
}

impl Parts {
    /// Of a request that was signed.
    fn of(signed: &Request) -> Self {
        Self {
            agent: id(SCRIBE),
            timestamp: signed.header("x-timestamp").to_owned(),
            nonce: signed.header("x-nonce").to_owned(),
            method: signed.method.clone(),
            path: signed.path.clone(),
            body_sha256: sha256(&signed.body),
            signature: signed.header("x-signature").to_owned(),
        }
    }

    fn presented(&self) -> Presented<'_> {
        Presented {
            agent: &self.agent,
            timestamp: &self.timestamp,
            nonce: &self.nonce,
            method: &self.method,
            path: &self.path,
            body_sha256: &self.body_sha256,
            signature: &self.signature,
        }
    }
}

#[test]
fn a_proof_that_is_handed_on() {
    type Row = (&'static str, fn(&mut Parts), Option<Case>);
    let rows: [Row; 20] = [
        ("nothing", |_| (), None),
        (
            "method in lower case",
            |p| p.method.make_ascii_lowercase(),
            None,
        ),
        (
            "method",
            |p| p.method = "GET".into(),
            Some(Case::AgentSignatureRefused),
        ),
        (
            "path",
            |p| p.path.push('x'),
            Some(Case::AgentSignatureRefused),
        ),
        (
            "query",
            |p| p.path.push_str("?a=1"),
            Some(Case::AgentSignatureRefused),
        ),
        (
            "body",
            |p| p.body_sha256[0] ^= 1,
            Some(Case::AgentSignatureRefused),
        ),
        (
            "nonce",
            |p| p.nonce = "0".repeat(16),
            Some(Case::AgentSignatureRefused),
        ),
        (
            "case of the nonce",
            |p| p.nonce.make_ascii_uppercase(),
            Some(Case::AgentSignatureRefused),
        ),
        (
            "agent",
            |p| p.agent = id(CLERK),
            Some(Case::AgentSignatureRefused),
        ),
        (
            "unknown",
            |p| p.agent = id(&"n".repeat(34)),
            Some(Case::AgentUnknown),
        ),
        (
            "66 bytes",
            |p| p.signature = "A".repeat(88),
            Some(Case::AgentSignatureRefused),
        ),
        (
            "66 bytes of an unknown agent",
            |p| {
                p.signature = "A".repeat(88);
                p.agent = id("nobody");
            },
            Some(Case::AgentUnknown),
        ),
        (
            "no base64",
            |p| p.signature = "é".into(),
            Some(Case::AgentSignatureRefused),
        ),
        (
            "empty signature",
            |p| p.signature.clear(),
            Some(Case::AgentSignatureForm),
        ),
        (
            "long signature",
            |p| p.signature = "A".repeat(257),
            Some(Case::AgentSignatureForm),
        ),
        (
            "timestamp",
            |p| p.timestamp = "1800000000".into(),
            Some(Case::TimestampForm),
        ),
        (
            "old",
            |p| p.timestamp = "2027-01-15T07:54:59Z".into(),
            Some(Case::ForeignTooOld),
        ),
        (
            "nonce form",
            |p| p.nonce = "0".repeat(15),
            Some(Case::AgentNonceForm),
        ),
        (
            "a line feed in the method",
            |p| p.method = format!("{}\n{}", p.method, p.path),
            Some(Case::TargetForm),
        ),
        (
            "a line feed in the path",
            |p| p.path = format!("{}\n{}", p.path, p.timestamp),
            Some(Case::TargetForm),
        ),
    ];
    for (what, change, case) in rows {
        let world = World::new();
        let mut parts = Parts::of(&world.sign(Foreign::KeyServerV1, &Request::put()));
        change(&mut parts);
        let result = world.present(&parts.presented(), NOW);
        assert_eq!(result.as_ref().err().map(|no| no.case), case, "{what}");
        if let Err(refusal) = result {
            assert_eq!(refusal.agent, Some(parts.agent), "{what}");
        } else {
            let again = world.present(&parts.presented(), NOW).unwrap_err();
            assert_eq!(again.case, Case::NonceUsed);
        }
    }
}

/// By either way in a proof is used up for both.
#[test]
fn a_proof_is_good_once_whoever_asks() {
    let world = World::new();
    let signed = world.sign(Foreign::KeyServerV1, &Request::put());
    let parts = Parts::of(&signed);
    assert_eq!(world.present(&parts.presented(), NOW), Ok(()));
    assert_eq!(refused(world.verify(&signed)).case, Case::NonceUsed);
}
