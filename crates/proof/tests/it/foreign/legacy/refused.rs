//! What is not as it was signed.

use super::{CLERK, NONCE, SCRIBE, Sent, World, after, discovery, part, provoke, signed};
use crate::fixture::{NOW, Request};
use procura_crypto::sha256;
use procura_proof::Case;
use procura_proof::foreign::legacy::ATTESTATION;
use procura_types::encoding;

#[test]
fn a_header_has_six_parts_of_their_form() {
    let world = World::new();
    let good = world.good();
    for field in ["x-agent-id", "x-agent", "signature-input", "signature"] {
        let mixed = good.clone().with(field, "scribe");
        assert_eq!(world.case(&mixed), Some(Case::MixedProfiles), "{field}");
    }
    for case in [Case::LegacyMissing, Case::LegacyForm, Case::ForeignDoubled] {
        for (position, refusal) in provoke(case).into_iter().enumerate() {
            assert_eq!((refusal.case, refusal.agent), (case, None), "{position}");
        }
    }
    // None of these used the proof up.
    assert_eq!(world.case(&good), None);
}

#[test]
fn each_part_that_is_signed_counts() {
    let world = World::new();
    let good = world.good();
    let hash = |body: &[u8]| encoding::hex(&sha256(body));
    let other = |change: &dyn Fn(&mut Request)| {
        let mut request = good.clone();
        change(&mut request);
        request
    };
    let moved = Sent {
        ts: (NOW.as_secs() + 1).to_string(),
        ..Sent::now()
    };
    let moved = world.sign(&discovery(), &moved);
    let theirs = moved.header(ATTESTATION).rsplit_once('.').unwrap().1;
    let (late, soon) = (
        (NOW.as_secs() - 301).to_string(),
        (NOW.as_secs() + 301).to_string(),
    );
    let at = |ts: String| world.sign(&discovery(), &Sent { ts, ..Sent::now() });
    for (what, request, case) in [
        ("stale", at(late), Case::ForeignTooOld),
        ("ahead", at(soon), Case::ForeignTooNew),
        (
            "another time",
            part(&good, 1, "1800000001"),
            Case::AgentSignatureRefused,
        ),
        (
            "another jti",
            part(&good, 2, "00000000"),
            Case::AgentSignatureRefused,
        ),
        (
            "another method",
            other(&|one| one.method = "PUT".into()),
            Case::AgentSignatureRefused,
        ),
        (
            "another path",
            other(&|one| one.path = "/agent/discove".into()),
            Case::AgentSignatureRefused,
        ),
        (
            "another body",
            other(&|one| one.body[0] ^= 1),
            Case::BodyChanged,
        ),
        (
            "the hash of another",
            part(&good, 3, &hash(b"x")),
            Case::AgentSignatureRefused,
        ),
        (
            "another token",
            part(&good, 4, "agent:clerk"),
            Case::AgentSignatureRefused,
        ),
        (
            "the signature of another",
            part(&good, 5, theirs),
            Case::AgentSignatureRefused,
        ),
        (
            "no signature",
            part(&good, 5, "!"),
            Case::AgentSignatureRefused,
        ),
    ] {
        assert_eq!(world.case(&request), Some(case), "{what}");
    }
    // Nothing of it was used up; in another spelling the signature is the same.
    let signature = good.header(ATTESTATION).rsplit_once('.').unwrap().1;
    let standard = signature.replace('-', "+").replace('_', "/") + "==";
    assert_eq!(world.case(&part(&good, 5, &standard)), None);
    assert_eq!(world.case(&good), Some(Case::NonceUsed));
}

#[test]
fn a_jti_is_used_until_its_proof_is_too_old() {
    let world = World::new();
    for (made, seen, case) in [
        (300, 0, None),
        (300, 1, Some(Case::NonceUsed)),
        (300, 600, Some(Case::NonceUsed)),
        (300, 601, Some(Case::ForeignTooOld)),
    ] {
        let sent = Sent {
            ts: (NOW.as_secs() + made).to_string(),
            ..Sent::now()
        };
        let request = world.sign(&discovery(), &sent);
        assert_eq!(world.case_at(&request, after(seen)), case, "{seen}");
    }
}

#[test]
fn an_agent_signs_for_itself_and_for_a_discovery() {
    let world = World::new();
    let ts = NOW.as_secs();
    let sign = |message: String| signed(&world.agent, &message);
    let good = sign(format!("{ts}|{NONCE}|scribe|/agent/discover"));
    let elsewhere = sign(format!("{ts}|{NONCE}|scribe|/agent/discovered"));
    let as_clerk = sign(format!("{ts}|{NONCE}|{CLERK}|/agent/discover"));
    let unknown = sign(format!("{ts}|{NONCE}|nobody|/agent/discover"));
    let of = |ts: u64| sign(format!("{ts}|{NONCE}|scribe|/agent/discover"));
    for (what, agent, ts, nonce, signature, case) in [
        ("no nonce", SCRIBE, ts, "", &good, Case::LegacyForm),
        (
            "a short nonce",
            SCRIBE,
            ts,
            "1234567",
            &good,
            Case::LegacyForm,
        ),
        (
            "two words in one",
            SCRIBE,
            ts,
            "00112233|scribe",
            &good,
            Case::LegacyForm,
        ),
        (
            "no signature",
            SCRIBE,
            ts,
            NONCE,
            &String::new(),
            Case::LegacyForm,
        ),
        (
            "stale",
            SCRIBE,
            ts - 301,
            NONCE,
            &of(ts - 301),
            Case::ForeignTooOld,
        ),
        (
            "ahead",
            SCRIBE,
            ts + 301,
            NONCE,
            &of(ts + 301),
            Case::ForeignTooNew,
        ),
        (
            "of nobody",
            "nobody",
            ts,
            NONCE,
            &unknown,
            Case::AgentUnknown,
        ),
        (
            "of another key",
            CLERK,
            ts,
            NONCE,
            &as_clerk,
            Case::AgentSignatureRefused,
        ),
        (
            "for another path",
            SCRIBE,
            ts,
            NONCE,
            &elsewhere,
            Case::AgentSignatureRefused,
        ),
        (
            "for another time",
            SCRIBE,
            ts + 1,
            NONCE,
            &good,
            Case::AgentSignatureRefused,
        ),
        (
            "for another nonce",
            SCRIBE,
            ts,
            "0011223344556678",
            &good,
            Case::AgentSignatureRefused,
        ),
        (
            "no base64",
            SCRIBE,
            ts,
            NONCE,
            &"!".to_owned(),
            Case::AgentSignatureRefused,
        ),
    ] {
        let found = world.proof(agent, ts, nonce, signature, NOW);
        assert_eq!(found, Some(case), "{what}");
    }
    let use_it = |now| world.proof(SCRIBE, ts, NONCE, &good, now);
    assert_eq!(use_it(NOW), None);
    assert_eq!(use_it(after(300)), Some(Case::NonceUsed));
    assert_eq!(use_it(after(301)), Some(Case::ForeignTooOld));
}
