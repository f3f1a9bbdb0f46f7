//! What is refused, each for the exact reason.

use super::{
    CLERK, SCRIBE, World, id, key, only_public, record, refused, required, set, signing_key,
};
use crate::fixture::{NOW, PEER, Request, World as NativeWorld};
use procura_proof::foreign::{Allowed, Foreign, Shown, recognise};
use procura_proof::{Case, Reason};
use procura_types::{Duration, encoding};

type Change = Box<dyn Fn(Foreign, &Request) -> Request>;

/// What is done to a good request, and the reason in each profile: of
/// `key-server-v1`, `guide-v1`, `hmac-v1`, `hmac-v2`; `None` where the format
/// does not cover it.
#[test]
fn one_thing_wrong() {
    use Reason::{BadSignature, Malformed, TimestampOutOfWindow, UnknownAgent};
    let bad = Some(BadSignature);
    let malformed = Some(Malformed);
    let changed = |change: fn(&mut Request)| -> Change {
        Box::new(move |_, signed| {
            let mut signed = signed.clone();
            change(&mut signed);
            signed
        })
    };
    let field = |name: &'static str, value: &'static str| -> Change {
        Box::new(move |_, signed| set(signed, name, value))
    };
    let agent = |value: &'static str| -> Change {
        Box::new(move |profile, signed| set(signed, required(profile)[0], value))
    };
    let rows: Vec<(&str, Change, [Option<Reason>; 4])> = vec![
        (
            "method",
            changed(|r| r.method = "DELETE".into()),
            [bad, bad, None, bad],
        ),
        ("path", changed(|r| r.path.push('x')), [bad, bad, None, bad]),
        (
            "path in another encoding",
            changed(|r| r.path = r.path.replace("api", "%61pi")),
            [bad, bad, None, bad],
        ),
        (
            "path with a double slash",
            changed(|r| r.path.insert(0, '/')),
            [bad, bad, None, bad],
        ),
        (
            "query",
            changed(|r| r.query = Some("b=1".into())),
            [None, None, None, bad],
        ),
        (
            "no query",
            changed(|r| r.query = None),
            [None, None, None, bad],
        ),
        (
            "authority",
            changed(|r| r.authority = "other.example".into()),
            [None, None, None, bad],
        ),
        ("body", changed(|r| r.body[0] ^= 1), [bad; 4]),
        ("no body", changed(|r| r.body.clear()), [bad; 4]),
        ("more body", changed(|r| r.body.push(b'\n')), [bad; 4]),
        ("wrong key", agent(CLERK), [bad; 4]),
        (
            "unknown agent of 34 characters",
            agent("an-agent-id-of-thirty-four-letters"),
            [Some(UnknownAgent); 4],
        ),
        (
            "an id of 65 characters",
            agent("an-agent-id-of-sixty-five-letters-which-is-one-more-than-there-is"),
            [malformed; 4],
        ),
        (
            "88 characters that decode to 66 bytes",
            field(
                "x-signature",
                "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
            ),
            [bad; 4],
        ),
        (
            "a signature in no encoding",
            field("x-signature", "?"),
            [bad; 4],
        ),
        (
            "an empty signature",
            field("x-signature", ""),
            [malformed; 4],
        ),
        (
            "another nonce",
            field("x-nonce", "0123456789abcdef0123456789abcdef"),
            [bad, bad, None, bad],
        ),
        ("an empty nonce", field("x-nonce", ""), [malformed; 4]),
        (
            "another millisecond or second",
            Box::new(|profile, signed| {
                let moment = match profile {
                    Foreign::KeyServerV1 => "2027-01-15T08:00:01Z",
                    Foreign::GuideV1 => "1800000001",
                    Foreign::HmacV1 | Foreign::HmacV2 => "1800000000001",
                };
                set(signed, "x-timestamp", moment)
            }),
            [bad, bad, None, bad],
        ),
        (
            "the same moment written otherwise",
            Box::new(|profile, signed| {
                let moment = match profile {
                    Foreign::KeyServerV1 => "2027-01-15T08:00:00.000Z",
                    Foreign::GuideV1 => "01800000000",
                    Foreign::HmacV1 | Foreign::HmacV2 => "01800000000000",
                };
                set(signed, "x-timestamp", moment)
            }),
            [bad, bad, None, bad],
        ),
        (
            "a moment of long ago",
            Box::new(|profile, signed| {
                let moment = match profile {
                    Foreign::KeyServerV1 => "1970-01-01T00:00:00Z",
                    _ => "0",
                };
                set(signed, "x-timestamp", moment)
            }),
            [Some(TimestampOutOfWindow); 4],
        ),
        (
            "a session that was not signed",
            field("x-session-id", "s"),
            [malformed, malformed, None, bad],
        ),
        (
            "a field of the profiles with a MAC",
            field("x-signature-version", "1"),
            [malformed; 4],
        ),
        (
            "both names of the agent",
            Box::new(|_, signed| set(&set(signed, "x-agent", SCRIBE), "x-agent-id", SCRIBE)),
            [malformed; 4],
        ),
        (
            "a native signature",
            Box::new(|_, signed| {
                signed
                    .clone()
                    .with("signature-input", "p=();tag=\"procura-v1\"")
                    .with("signature", "p=:AAAA:")
            }),
            [malformed; 4],
        ),
        (
            "a target that cannot be signed",
            changed(|r| r.path = "/a b".into()),
            [malformed; 4],
        ),
    ];
    assert_eq!("an-agent-id-of-thirty-four-letters".len(), 34);
    for (what, change, reasons) in rows {
        for (profile, reason) in Foreign::ALL.into_iter().zip(reasons) {
            let world = World::new();
            let request = Request {
                path: "/api/notes".to_owned(),
                query: Some("a=1".to_owned()),
                ..Request::put()
            };
            let signed = world.sign(profile, &request);
            let result = world.verify(&change(profile, &signed));
            assert_eq!(
                result.map_err(|no| no.reason()).err(),
                reason,
                "{profile}: {what}"
            );
            // Whatever was tried, the request itself is as good as before, unless
            // it went through as it is.
            let let_in = world.verify(&signed).is_ok();
            assert_eq!(
                let_in,
                reason.is_some() || what == "another nonce",
                "{what}"
            );
        }
    }
}

#[test]
fn a_key_that_is_removed_between_two_requests() {
    for profile in Foreign::ALL {
        let world = World::new();
        assert!(world.verify(&world.sign(profile, &Request::put())).is_ok());
        let next = world.sign(profile, &Request::put());
        world.remove(SCRIBE);
        assert_eq!(refused(world.verify(&next)).reason(), Reason::UnknownAgent);
        world.put(SCRIBE, record(CLERK));
        assert_eq!(refused(world.verify(&next)).reason(), Reason::BadSignature);
        world.put(SCRIBE, record(SCRIBE));
        assert!(world.verify(&next).is_ok());
    }
}

/// A request that breaks a rule of each step is refused for the earliest.
#[test]
fn the_order_of_the_checks() {
    for profile in Foreign::ALL {
        let world = World::new();
        let signed = world.sign(profile, &Request::put());
        assert!(world.verify(&signed).is_ok(), "its nonce is used now");
        let late = NOW.plus(Duration::from_secs(1000));
        let bad = set(&signed, "x-signature", "?");
        world.remove(SCRIBE);
        let shapeless = set(&bad, "x-nonce", "é");
        let case = |request: &Request, now| refused(world.verify_at(request, now)).case;
        assert_eq!(case(&shapeless, late), Case::AgentNonceForm);
        assert_eq!(case(&bad, late), Case::ForeignTooOld);
        assert_eq!(case(&bad, NOW), Case::AgentUnknown);
        world.put(SCRIBE, record(SCRIBE));
        let refusal = refused(world.verify(&bad));
        assert_eq!(refusal.reason(), Reason::BadSignature);
        assert_eq!(case(&signed, NOW), Case::NonceUsed);
    }
}

#[test]
fn a_profile_that_is_off_is_off_before_anything_is_looked_up() {
    let world = World {
        allowed: Allowed::default(),
        ..World::new()
    };
    *world.keys.0.lock().unwrap() = None;
    let signed = world.sign(Foreign::HmacV1, &Request::put());
    let late = NOW.plus(Duration::from_secs(1000));
    let refusal = refused(world.verify_at(&signed, late));
    assert_eq!(refusal.case, Case::ProfileOff);
    assert_eq!(refusal.reason(), Reason::MissingHeaders);
    // What can be made of it by adding a field is no way around.
    let v2 = signed.with("x-signature-version", "2");
    assert_eq!(refused(world.verify(&v2)).case, Case::KeysUnavailable);
    let world = World {
        allowed: Allowed::default(),
        ..World::new()
    };
    assert_eq!(refused(world.verify(&v2)).case, Case::AgentMacRefused);
    // The others need no leave.
    for profile in Foreign::ALL {
        let signed = world.sign(profile, &Request::put());
        assert_eq!(world.verify(&signed).is_ok(), profile != Foreign::HmacV1);
    }
}

#[test]
fn refusals_name_the_agent_as_soon_as_it_can_be_read() {
    let world = World::new();
    for profile in Foreign::ALL {
        let signed = world.sign(profile, &Request::put());
        for bad in [
            signed.clone().without("x-signature"),
            set(&signed, "x-nonce", "é"),
            set(&signed, "x-signature", "?"),
        ] {
            let refusal = refused(world.verify(&bad));
            assert_eq!(refusal.agent, Some(id(SCRIBE)), "{profile}");
            assert_eq!((refusal.device, refusal.actor), (None, None));
        }
        let nameless = set(&signed, required(profile)[0], "é");
        assert_eq!(refused(world.verify(&nameless)).agent, None);
    }
}

/// Neither verifier takes what is for the other.
#[test]
fn native_and_foreign_proofs_do_not_cross() {
    let (native, foreign) = (NativeWorld::new(), World::new());
    let signed = native.sign(&Request::put());
    assert_eq!(recognise(&signed.headers), Ok(Shown::Native));
    assert_eq!(refused(foreign.verify(&signed)).case, Case::NoProof);
    for profile in Foreign::ALL {
        let signed = foreign.sign(profile, &Request::put());
        assert_eq!(recognise(&signed.headers), Ok(Shown::Foreign(profile)));
        let refusal = native.verify(&signed).expect_err("it was let in");
        assert_eq!(refusal.reason(), Reason::MissingHeaders);
        // Both proofs in one request are none.
        let both = native.sign(&signed);
        assert_eq!(recognise(&both.headers), Err(Case::MixedProfiles));
        assert_eq!(refused(foreign.verify(&both)).case, Case::MixedProfiles);
        let refusal = native.verify(&both).expect_err("it was let in");
        assert_eq!(refusal.case, Case::MixedProfiles);
    }
}

/// Two profiles under one key, and still no signature of one passes in another.
#[test]
fn no_signature_is_good_in_another_profile() {
    for from in Foreign::ALL {
        for to in Foreign::ALL {
            let world = World::new();
            let signed = world.sign(from, &Request::put());
            let mut crossed = world.sign(to, &Request::put());
            crossed = set(&crossed, "x-signature", signed.header("x-signature"));
            crossed = set(&crossed, "x-nonce", "0123456789abcdef0123456789abcdef");
            if from != to {
                let reason = refused(world.verify(&crossed)).reason();
                assert_eq!(reason, Reason::BadSignature, "{from} as {to}");
            }
        }
    }
}

/// Ed25519 has no second signature of the same bytes here, so that what is seen
/// cannot be sent again with another look.
#[test]
fn an_altered_signature_is_refused_whatever_the_alteration() {
    let world = World::new();
    for profile in [Foreign::KeyServerV1, Foreign::GuideV1] {
        let signed = world.sign(profile, &Request::put());
        let bytes = encoding::from_b64_any(signed.header("x-signature")).unwrap();
        for bit in 0..512 {
            let mut altered = bytes.clone();
            altered[bit / 8] ^= 1 << (bit % 8);
            let altered = set(&signed, "x-signature", &encoding::b64_standard(&altered));
            let refusal = refused(world.verify(&altered));
            assert_eq!(refusal.case, Case::AgentSignatureRefused, "bit {bit}");
        }
        assert!(world.verify(&signed).is_ok());
    }
}

/// The key that stands in for unknown ones is known to everybody, and lets nobody
/// in; nor does the signature that stands in for those that have no form.
#[test]
fn what_stands_in_opens_nothing() {
    let world = World::new();
    let stranger = key(99);
    let request = Request::put();
    let mut signed = world.sign(Foreign::KeyServerV1, &request);
    signed = set(&signed, "x-agent-id", "nobody");
    assert_eq!(refused(world.verify(&signed)).case, Case::AgentUnknown);
    world.put("nobody", only_public(stranger.public()));
    assert_eq!(
        refused(world.verify(&signed)).case,
        Case::AgentSignatureRefused
    );
    world.put("nobody", only_public(signing_key(SCRIBE).public()));
    let garbled = set(&signed, "x-signature", "no base64");
    assert_eq!(
        refused(world.verify(&garbled)).case,
        Case::AgentSignatureRefused
    );
    let view = signed.view();
    let caller = world
        .verifier
        .verify(&world.keys, &view, &Allowed::default(), NOW, PEER)
        .unwrap();
    assert_eq!(caller.agent(), &id("nobody"));
}
