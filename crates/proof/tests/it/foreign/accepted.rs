//! What is let in, and as whom.

use super::{CLERK, SCRIBE, World, id, record, secret, set, signing_key};
use crate::fixture::{NOW, PEER, Request};
use procura_proof::foreign::{AgentSecret, Foreign, ForeignKey, ForeignSigner, sign};
use procura_proof::{Case, Profile, RequestView};
use procura_types::{Duration, Timestamp};
use std::sync::Arc;

#[test]
fn each_profile_proves_its_agent() {
    let world = World::new();
    for profile in Foreign::ALL {
        for request in [Request::get(), Request::put()] {
            for agent in [SCRIBE, CLERK] {
                let signed = world.sign_as(profile, &request, agent, NOW);
                let caller = world.verify(&signed).unwrap();
                assert_eq!(caller.agent(), &id(agent));
                assert_eq!(caller.foreign(), profile);
                assert_eq!(caller.profile(), Profile::Foreign(profile));
                assert_eq!(caller.profile().as_str(), profile.as_str());
                assert_eq!(caller.is_weak(), profile == Foreign::HmacV1);
                assert_eq!(caller.nonce(), Some(signed.header("x-nonce")));
                assert_eq!(caller.session(), None);
                assert_eq!(caller.created(), NOW);
                assert_eq!(caller.peer(), PEER);
            }
        }
    }
    let words = ["key-server-v1", "guide-v1", "hmac-v1", "hmac-v2"];
    assert_eq!(Foreign::ALL.map(Foreign::as_str), words);
    assert_eq!(
        words.map(|word| word.parse::<Foreign>().unwrap()),
        Foreign::ALL
    );
    assert!("native".parse::<Foreign>().is_err());
}

#[test]
fn the_windows_are_those_of_the_profiles_with_both_ends() {
    let world = World::new();
    for (profile, back, forward) in [
        (Foreign::KeyServerV1, 300, 60),
        (Foreign::GuideV1, 60, 60),
        (Foreign::HmacV1, 60, 60),
        (Foreign::HmacV2, 60, 60),
    ] {
        let signed_at = |offset: i64| {
            let made = Timestamp::from_secs(NOW.as_secs().saturating_add_signed(offset));
            let signed = world.sign_as(profile, &Request::get(), SCRIBE, made);
            world.verify(&signed).map(|_| ()).map_err(|no| no.case)
        };
        assert_eq!(signed_at(-back - 1), Err(Case::ForeignTooOld), "{profile}");
        assert_eq!(signed_at(-back), Ok(()), "{profile}");
        assert_eq!(signed_at(0), Ok(()), "{profile}");
        assert_eq!(signed_at(forward), Ok(()), "{profile}");
        assert_eq!(
            signed_at(forward + 1),
            Err(Case::ForeignTooNew),
            "{profile}"
        );
    }
}

#[test]
fn a_service_may_set_the_window_of_hmac_v1_and_ask_for_nonces() {
    use procura_proof::foreign::HmacV1;
    for outside in [0, 29, 121, u64::MAX] {
        assert_eq!(HmacV1::new(outside, false).unwrap_err().field, "window");
    }
    for window in [30, 120] {
        let mut world = World::new();
        world.allowed.hmac_v1 = Some(HmacV1::new(window, true).unwrap());
        for (offset, case) in [
            (0, None),
            (window, None),
            (window + 1, Some(Case::ForeignTooOld)),
        ] {
            let signed = world.sign(Foreign::HmacV1, &Request::get());
            let now = NOW.plus(Duration::from_secs(offset));
            assert_eq!(world.verify_at(&signed, now).err().map(|no| no.case), case);
        }
        let ahead = NOW.minus(Duration::from_secs(window + 1));
        let signed = world.sign(Foreign::HmacV1, &Request::get());
        let refusal = super::refused(world.verify_at(&signed, ahead));
        assert_eq!(refusal.case, Case::ForeignTooNew);
        let without = signed.without("x-nonce");
        let refusal = super::refused(world.verify(&without));
        assert_eq!(refusal.case, Case::ForeignMissing);
        // The other profile with a MAC has rules of its own.
        let v2 = world.sign(Foreign::HmacV2, &Request::get());
        let late = NOW.plus(Duration::from_secs(60));
        assert!(world.verify_at(&v2, late).is_ok());
    }
}

/// What a format leaves open stays open, and is written down: these changes are
/// not noticed, and nothing may rest on them.
#[test]
fn what_no_signature_covers() {
    type Change = (&'static str, fn(&mut Request));
    let query: Change = ("query", |request| request.query = Some("other=1".into()));
    let host: Change = ("authority", |request| {
        request.authority = "other.example".into();
    });
    let path: Change = ("path", |request| request.path = "/other".into());
    let method: Change = ("method", |request| request.method = "DELETE".into());
    for (profile, open) in [
        (Foreign::KeyServerV1, vec![query, host]),
        (Foreign::GuideV1, vec![query, host]),
        (Foreign::HmacV1, vec![query, host, path, method]),
        (Foreign::HmacV2, vec![]),
    ] {
        for (what, change) in open {
            let world = World::new();
            let mut signed = world.sign(profile, &Request::put());
            change(&mut signed);
            assert!(world.verify(&signed).is_ok(), "{profile}, {what}");
        }
    }
}

#[test]
fn while_secrets_change_both_are_good() {
    let world = World::new();
    let next = "bmV4dCBzZWNyZXQgb2YgdGhlIHNjcmliZSAuLi4uLi4";
    let next = Arc::new(AgentSecret::new(next).unwrap());
    let record_of = |secrets| ForeignKey {
        public: None,
        secrets,
        revoked: false,
    };
    let with_next = |profile| {
        let signer = match profile {
            Foreign::HmacV1 => ForeignSigner::HmacV1(&next),
            _ => ForeignSigner::HmacV2(&next),
        };
        let mut request = Request::put();
        let headers = sign(&request.view(), &id(SCRIBE), signer, NOW, &world.entropy).unwrap();
        for (name, value) in headers {
            request = request.with(name, &value);
        }
        request
    };
    for profile in [Foreign::HmacV1, Foreign::HmacV2] {
        let old = Arc::new(secret(SCRIBE));
        world.put(SCRIBE, record_of(vec![Arc::clone(&next), old]));
        assert!(world.verify(&with_next(profile)).is_ok());
        assert!(world.verify(&world.sign(profile, &Request::put())).is_ok());
        world.put(SCRIBE, record_of(vec![Arc::clone(&next)]));
        assert!(world.verify(&with_next(profile)).is_ok());
        let old = world.sign(profile, &Request::put());
        let refusal = super::refused(world.verify(&old));
        assert_eq!(refusal.case, Case::AgentMacRefused);
    }
}

#[test]
fn ids_of_any_length_that_an_id_may_have() {
    let world = World::new();
    for length in [1, 34, 64] {
        let name = "n".repeat(length);
        world.put(&name, record(SCRIBE));
        for profile in Foreign::ALL {
            let signed = world.sign(profile, &Request::get());
            let field = match profile {
                Foreign::GuideV1 => "x-agent",
                _ => "x-agent-id",
            };
            let caller = world.verify(&set(&signed, field, &name)).unwrap();
            assert_eq!(caller.agent().as_str(), name);
        }
    }
}

#[test]
fn an_empty_path_is_the_root_and_a_method_is_signed_in_upper_case() {
    let world = World::new();
    for profile in Foreign::ALL {
        let empty = Request {
            path: String::new(),
            ..Request::get()
        };
        let mut signed = world.sign(profile, &empty);
        signed.path = "/".to_owned();
        assert!(world.verify(&signed).is_ok(), "{profile}");
    }
    let lower = Request {
        method: "get".to_owned(),
        ..Request::get()
    };
    let mut signed = world.sign(Foreign::KeyServerV1, &lower);
    signed.method = "GET".to_owned();
    assert!(world.verify(&signed).is_ok());
}

#[test]
fn space_around_a_value_is_none_of_it() {
    let world = World::new();
    for profile in Foreign::ALL {
        let mut signed = world.sign(profile, &Request::get());
        for (_, value) in &mut signed.headers {
            value.insert(0, b' ');
            value.push(b'\t');
        }
        assert!(world.verify(&signed).is_ok(), "{profile}");
    }
}

#[test]
fn signatures_of_others_may_stand_beside() {
    let world = World::new();
    for profile in Foreign::ALL {
        let signed = world
            .sign(profile, &Request::get())
            .with("signature-input", "sig1=(\"@method\");tag=\"web-bot-auth\"")
            .with("signature", "sig1=:AAAA:");
        assert!(world.verify(&signed).is_ok(), "{profile}");
    }
}

#[test]
fn only_an_ed25519_key_signs_by_these_profiles() {
    let world = World::new();
    let p256 = procura_crypto::SigningKey::generate_p256(&world.entropy).unwrap();
    let request = Request::get();
    let view: RequestView<'_> = request.view();
    for signer in [
        ForeignSigner::KeyServerV1(&p256),
        ForeignSigner::GuideV1(&p256),
    ] {
        let error = sign(&view, &id(SCRIBE), signer, NOW, &world.entropy).unwrap_err();
        assert!(error.to_string().contains("Ed25519"));
    }
    let odd = Request {
        path: "/a b".to_owned(),
        ..Request::get()
    };
    let key = signing_key(SCRIBE);
    for profile in [
        ForeignSigner::KeyServerV1(&key),
        ForeignSigner::GuideV1(&key),
    ] {
        assert!(sign(&odd.view(), &id(SCRIBE), profile, NOW, &world.entropy).is_err());
    }
}
