//! Each proof is good for one request, for as long as it lives.

use super::{CLERK, SCRIBE, World, record, refused, set, signing_key};
use crate::fixture::{NOW, Request};
use procura_proof::Case;
use procura_proof::foreign::{Foreign, ForeignKey};
use procura_types::{Duration, Timestamp};

fn later(secs: u64) -> Timestamp {
    NOW.plus(Duration::from_secs(secs))
}

#[test]
fn a_nonce_is_used_until_its_proof_is_too_old() {
    for profile in Foreign::ALL {
        let windows = profile.windows();
        let end = windows.back + windows.forward;
        let world = World::new();
        // Made as far ahead as can be: it lives longest.
        let ahead = later(windows.forward);
        let signed = world.sign_as(profile, &Request::put(), SCRIBE, ahead);
        assert!(world.verify(&signed).is_ok());
        let mut at: Vec<u64> = (0..=end).step_by(7).collect();
        at.extend([1, 61, 301.min(end), end]);
        at.sort_unstable();
        for secs in at {
            // The claims of others make the guard forget what it may.
            let other = world.sign_as(profile, &Request::put(), CLERK, later(secs));
            assert!(world.verify_at(&other, later(secs)).is_ok());
            let refusal = refused(world.verify_at(&signed, later(secs)));
            assert_eq!(refusal.case, Case::NonceUsed, "{profile}, {secs} s later");
        }
        let refusal = refused(world.verify_at(&signed, later(end + 1)));
        assert_eq!(refusal.case, Case::ForeignTooOld);
    }
}

#[test]
fn garbage_does_not_use_up_the_nonce_of_a_victim() {
    for profile in Foreign::ALL {
        let world = World::new();
        let signed = world.sign(profile, &Request::put());
        for garbage in ["?", &"0".repeat(64), &"A".repeat(86)] {
            let forged = set(&signed, "x-signature", garbage);
            assert!(world.verify(&forged).is_err());
        }
        // Nor does another agent that uses it first.
        let field = super::required(profile)[0];
        assert!(world.verify(&set(&signed, field, CLERK)).is_err());
        assert!(world.verify(&signed).is_ok(), "{profile}");
    }
}

#[test]
fn two_agents_may_use_the_same_nonce() {
    for profile in Foreign::ALL {
        let world = World::new();
        let one = world.sign(profile, &Request::put());
        // Counted from the beginning again, so that the nonce is the same.
        let other = World::new().sign_as(profile, &Request::put(), CLERK, NOW);
        assert_eq!(one.header("x-nonce"), other.header("x-nonce"));
        assert!(world.verify(&one).is_ok());
        assert!(world.verify(&other).is_ok(), "{profile}");
    }
}

/// What is signed names no agent: were the nonce the agent's, one proof could be
/// used under each name that a key has.
#[test]
fn two_names_of_one_key_share_its_nonces() {
    for profile in [Foreign::KeyServerV1, Foreign::GuideV1] {
        let world = World::new();
        let alias = ForeignKey {
            public: Some(signing_key(SCRIBE).public().clone()),
            secrets: Vec::new(),
            revoked: false,
        };
        world.put("alias", alias);
        let signed = world.sign(profile, &Request::put());
        assert!(world.verify(&signed).is_ok());
        let renamed = set(&signed, super::required(profile)[0], "alias");
        assert_eq!(refused(world.verify(&renamed)).case, Case::NonceUsed);
    }
}

#[test]
fn an_agent_that_left_and_came_back_cannot_use_a_nonce_again() {
    for profile in Foreign::ALL {
        let world = World::new();
        let signed = world.sign(profile, &Request::put());
        assert!(world.verify(&signed).is_ok());
        world.remove(SCRIBE);
        world.put(SCRIBE, record(SCRIBE));
        assert_eq!(refused(world.verify(&signed)).case, Case::NonceUsed);
    }
}

/// `hmac-v2` is over all that makes a request, so without a nonce the MAC itself
/// is used once; the MAC of `hmac-v1` is one of many equal ones.
#[test]
fn without_a_nonce() {
    let world = World::new();
    let request = Request::get();
    let signed = world.sign(Foreign::HmacV1, &request).without("x-nonce");
    for _ in 0..3 {
        let caller = world.verify(&signed).unwrap();
        assert!(caller.is_weak());
        assert_eq!(caller.nonce(), None);
    }
    let refusal = refused(world.verify_at(&signed, later(61)));
    assert_eq!(refusal.case, Case::ForeignTooOld);

    // Computed as in the vectors, for this secret.
    let bare = request
        .with("x-agent-id", SCRIBE)
        .with("x-timestamp", "1800000000000")
        .with("x-signature-version", "2");
    let mac = mac_v2(&bare);
    let signed = bare.with("x-signature", &mac);
    assert!(world.verify(&signed).is_ok());
    assert_eq!(refused(world.verify(&signed)).case, Case::NonceUsed);
}

/// The MAC of a request without a body, nonce and session, by its description.
fn mac_v2(request: &Request) -> String {
    use procura_crypto::{MacKey, hkdf_sha256, sha256};
    use procura_types::encoding::hex;
    let (_, secret) = super::SECRETS[0];
    let key = hkdf_sha256::<32>(secret.as_bytes(), b"", b"procura.hmac-v2");
    let message = format!(
        "v2\n{}\n{}?{}\n{}\n{}\n\n\n{}",
        request.method,
        request.path,
        request.query.as_deref().unwrap(),
        request.authority,
        request.header("x-timestamp"),
        hex(&sha256(b"")),
    );
    let key = MacKey::from_bytes(key.expose()).unwrap();
    hex(&key.sign(&[message.as_bytes()]))
}

/// Whoever has seen one weak request can make others with other nonces: those do
/// not use up what the strong profile of the same agent has.
#[test]
fn weak_proofs_do_not_touch_strong_ones() {
    let world = World::with_limits(procura_proof::Limits {
        nonces: 2,
        sessions: 1,
    });
    let weak = world.sign(Foreign::HmacV1, &Request::put());
    let strong = world.sign(Foreign::HmacV2, &Request::put());
    let stolen = strong.header("x-nonce");
    assert!(world.verify(&set(&weak, "x-nonce", stolen)).is_ok());
    assert!(world.verify(&set(&weak, "x-nonce", "another")).is_ok());
    let over = refused(world.verify(&set(&weak, "x-nonce", "a third")));
    assert_eq!(over.case, Case::OverCap);
    assert!(world.verify(&strong).is_ok());
}
