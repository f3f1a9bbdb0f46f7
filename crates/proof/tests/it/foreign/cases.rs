//! Requests for the rows of `spec/reasons.md` that only foreign profiles have.

use super::{CLERK, SCRIBE, World, only_public, refused, required, secret, set, signing_key};
use crate::fixture::{NOW, Request};
use procura_crypto::SigningKey;
use procura_directory::Snapshot;
use procura_proof::foreign::{Allowed, Foreign, ForeignCaller, ForeignKey, recognise};
use procura_proof::{Caller, Case, Limits, Refusal};
use procura_types::Duration;
use std::sync::Arc;

/// A proven request of every profile.
fn in_each_proven(world: &World) -> Vec<ForeignCaller> {
    Foreign::ALL
        .map(|profile| {
            let request = world.sign(profile, &Request::put());
            world.verify(&request).unwrap()
        })
        .into()
}

/// Provokes a case in every profile that has it.
pub(crate) fn provoke(case: Case) -> Vec<Refusal> {
    let world = World::new();
    let signed = |profile| world.sign(profile, &Request::put());
    let see = |request: Request| refused(world.verify(&request));
    let in_each = |change: &dyn Fn(Foreign, Request) -> Vec<Request>| -> Vec<Refusal> {
        Foreign::ALL
            .into_iter()
            .flat_map(|profile| change(profile, signed(profile)))
            .map(see)
            .collect()
    };
    let at = |offset: i64| {
        let now = NOW.as_millis().saturating_add_signed(offset * 1000);
        procura_types::Timestamp::from_millis(now)
    };
    match case {
        Case::NoProof => {
            let bare = [
                Request::get(),
                Request::get().with("x-agent-name", "scribe"),
                Request::get().with("x-session-id", "1"),
            ];
            for request in &bare {
                assert_eq!(recognise(&request.headers), Err(Case::NoProof));
            }
            let native = Request::get().with("signature-input", "a=()");
            bare.into_iter().chain([native]).map(see).collect()
        }
        Case::ProfileOff => {
            let world = World {
                allowed: Allowed::default(),
                ..World::new()
            };
            vec![refused(
                world.verify(&world.sign(Foreign::HmacV1, &Request::put())),
            )]
        }
        Case::ForeignMissing => in_each(&|profile, signed| {
            required(profile)
                .iter()
                .map(|name| signed.clone().without(name))
                .collect()
        }),
        Case::ForeignDoubled => in_each(&|profile, signed| {
            let mut names = required(profile).to_vec();
            names.push("x-nonce");
            if profile == Foreign::HmacV2 {
                names.push("x-signature-version");
            }
            names
                .into_iter()
                .map(|name| signed.clone().with(name, signed.header(name)))
                .collect()
        }),
        Case::AgentIdForm => in_each(&|profile, signed| {
            let longer = "n".repeat(65);
            ["", "a b", "a/b", "../scribe", "a..b", "é", "a,b", &longer]
                .map(|id| set(&signed, required(profile)[0], id))
                .to_vec()
        }),
        Case::TimestampForm => in_each(&|profile, signed| {
            let mut bad = vec!["", "now", "1800000000.5", "-1", "+1800000000", "é"];
            bad.extend([
                "2027-01-15",
                "2027-01-15T08:00:00",
                "2027-01-15T08:00:00+00:00",
                "2027-01-15T08:00:00z",
                "2027-02-30T08:00:00Z",
                "99999999999999999999999",
            ]);
            if profile == Foreign::GuideV1 {
                bad.push("2027-01-15T08:00:00Z");
            }
            // By `X-Agent-Id` and digits it would be another profile.
            if profile == Foreign::KeyServerV1 {
                bad.pop();
            }
            bad.into_iter()
                .map(|moment| set(&signed, "x-timestamp", moment))
                .collect()
        }),
        Case::VersionForm => [Foreign::HmacV1, Foreign::HmacV2]
            .into_iter()
            .flat_map(|profile| {
                ["", "1", "3", "02", "2.0", "v2"]
                    .map(|version| set(&signed(profile), "x-signature-version", version))
            })
            .map(see)
            .collect(),
        Case::AgentNonceForm => in_each(&|profile, signed| {
            let (hex, longest) = ("a".repeat(129), "A".repeat(129));
            let bad: &[&str] = match profile {
                Foreign::KeyServerV1 => &["", "0123456789abcde", "0123456789abcdeg", &hex, "é"],
                Foreign::GuideV1 => &[
                    "",
                    "AAAAAAAAAA",
                    "AAAAAAAAAAA+",
                    "AAAAAAAAAAA/",
                    "AAAAAAAAAAAAA",
                    "A A",
                    &longest,
                ],
                Foreign::HmacV1 | Foreign::HmacV2 => &["", "é", "a\tb", &longest],
            };
            bad.iter()
                .map(|nonce| set(&signed, "x-nonce", nonce))
                .collect()
        }),
        Case::AgentSessionForm => [Foreign::HmacV1, Foreign::HmacV2]
            .into_iter()
            .flat_map(|profile| {
                ["", "é", "a\nb", &"s".repeat(513)]
                    .map(|session| set(&signed(profile), "x-session-id", session))
            })
            .map(see)
            .collect(),
        Case::AgentSignatureForm => in_each(&|_, signed| {
            ["", "é", "a\u{7f}", &"A".repeat(257)]
                .map(|signature| set(&signed, "x-signature", signature))
                .to_vec()
        }),
        Case::ForeignTooOld => Foreign::ALL
            .map(|profile| {
                let back = i64::try_from(profile.windows().back).unwrap();
                refused(world.verify_at(&signed(profile), at(back + 1)))
            })
            .to_vec(),
        Case::ForeignTooNew => {
            let mut out = Foreign::ALL
                .map(|profile| refused(world.verify_at(&signed(profile), at(-61))))
                .to_vec();
            for profile in [Foreign::GuideV1, Foreign::HmacV2] {
                let far = set(&signed(profile), "x-timestamp", "18446744073709551615");
                out.push(see(far));
            }
            out
        }
        Case::AgentUnknown => {
            // Whatever the signature is.
            let mut out = in_each(&|profile, signed| {
                let unknown = set(&signed, required(profile)[0], &"n".repeat(34));
                let garbled = set(&unknown, "x-signature", &"A".repeat(88));
                vec![unknown, garbled]
            });
            world.put(SCRIBE, ForeignKey::default());
            out.extend(in_each(&|_, signed| vec![signed]));
            world.put(SCRIBE, only_public(signing_key(SCRIBE).public()));
            out.push(see(signed(Foreign::HmacV1)));
            out.push(see(signed(Foreign::HmacV2)));
            let p256 = SigningKey::generate_p256(&world.entropy).unwrap();
            world.put(
                SCRIBE,
                ForeignKey {
                    public: Some(p256.public().clone()),
                    secrets: vec![Arc::new(secret(SCRIBE))],
                    revoked: false,
                },
            );
            out.push(see(signed(Foreign::KeyServerV1)));
            out.push(see(signed(Foreign::GuideV1)));
            out
        }
        Case::AgentUnbound => {
            let proven = in_each_proven(&world);
            proven
                .into_iter()
                .map(|caller| {
                    Caller::foreign(caller, &Snapshot::default()).expect_err("it was let in")
                })
                .collect()
        }
        Case::AgentQuarantined => {
            let held = super::bound::quarantined_by_its_id();
            let proven = in_each_proven(&world);
            proven
                .into_iter()
                .map(|caller| Caller::foreign(caller, &held).expect_err("it was let in"))
                .collect()
        }
        Case::KeysUnavailable => {
            *world.keys.0.lock().unwrap() = None;
            in_each(&|_, signed| vec![signed])
        }
        Case::AgentSignatureRefused => [Foreign::KeyServerV1, Foreign::GuideV1]
            .into_iter()
            .flat_map(|profile| {
                let signed = signed(profile);
                let other = world.sign(profile, &Request::get());
                let as_another = set(&signed, required(profile)[0], CLERK);
                let mut out: Vec<_> = [
                    // 66 bytes, in 88 characters; 63; 0 of none.
                    "A".repeat(88),
                    "A".repeat(84),
                    "A".repeat(86) + "==",
                    "!".repeat(88),
                    "=".to_owned(),
                    other.header("x-signature").to_owned(),
                ]
                .iter()
                .map(|text| set(&signed, "x-signature", text))
                .collect();
                out.push(as_another);
                out
            })
            .map(see)
            .collect(),
        Case::AgentMacRefused => [Foreign::HmacV1, Foreign::HmacV2]
            .into_iter()
            .flat_map(|profile| {
                let signed = signed(profile);
                let good = signed.header("x-signature").to_owned();
                let other = world.sign(profile, &Request::get());
                let mut out: Vec<_> = [
                    good.to_uppercase(),
                    good[..62].to_owned(),
                    good.clone() + "00",
                    "0".repeat(64),
                    "g".repeat(64),
                    other.header("x-signature").to_owned(),
                ]
                .iter()
                .map(|text| set(&signed, "x-signature", text))
                .collect();
                out.push(set(&signed, "x-agent-id", CLERK));
                out
            })
            .map(see)
            .collect(),
        other => panic!("{other:?} is not of foreign profiles alone"),
    }
}

/// The cases of the step replay, which foreign profiles share with the others.
pub(crate) fn provoke_replay(case: Case) -> Vec<Refusal> {
    let one_nonce = Limits {
        nonces: 1,
        sessions: 1,
    };
    let provoke = |profile| {
        let world = World::with_limits(match case {
            Case::OverCap => one_nonce,
            _ => Limits::default(),
        });
        let signed = |agent| world.sign_as(profile, &Request::put(), agent, NOW);
        match case {
            Case::NonceUsed => {
                let signed = signed(SCRIBE);
                assert!(world.verify(&signed).is_ok());
                refused(world.verify(&signed))
            }
            Case::OverCap => {
                assert!(world.verify(&signed(SCRIBE)).is_ok());
                let refusal = refused(world.verify(&signed(SCRIBE)));
                // Others are not touched.
                assert!(world.verify(&signed(CLERK)).is_ok());
                refusal
            }
            Case::GuardUnavailable => {
                world.guard.refuse_created_until(NOW.as_secs());
                let next = NOW.plus(Duration::from_secs(1));
                let next = world.sign_as(profile, &Request::put(), SCRIBE, next);
                assert!(world.verify(&next).is_ok());
                refused(world.verify(&signed(SCRIBE)))
            }
            other => panic!("{other:?} is not of the step replay"),
        }
    };
    Foreign::ALL.map(provoke).to_vec()
}
