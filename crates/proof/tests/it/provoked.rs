//! Each case of a refusal, provoked by a request to a world.

use crate::fixture::{
    AGENT, NOW, OWNER, PEER, Request, Roots, SEQ, World, agent, device, held, owner, quarantined,
};
use crate::foreign::{cases, legacy};
use procura_crypto::SigningKey;
use procura_directory::Suspect;
use procura_proof::sign::Signer;
use procura_proof::{Caller, Case, Limits, Outcome, Refusal, verify_join};
use procura_types::wire::JoinRequest;
use procura_types::{Duration, Thumbprint, Timestamp};

/// With the signature of another request.
pub(crate) fn forged(world: &World, request: Request) -> Request {
    let other = world.sign(&Request {
        path: "/other".into(),
        ..Request::get()
    });
    request
        .without("signature")
        .with("signature", other.header("signature"))
}

pub(crate) fn refused(result: Result<Caller, Refusal>) -> Refusal {
    result.expect_err("it was let in")
}

/// Provokes a case by a request to a world.
pub(crate) fn provoke(case: Case) -> Vec<Refusal> {
    let world = World::new();
    let get = || world.sign(&Request::get());
    let put = || world.sign(&Request::put());
    let see = |request: Request| refused(world.verify(&request));
    let all = |requests: Vec<Request>| requests.into_iter().map(see).collect();
    let uncover = |name: &str| put().input(&format!(" \"{name}\""), "");
    let cover = |component: &str| get().input("(", &format!("({component} "));
    match case {
        Case::ForeignUser => vec![refused(Caller::admin_socket(1001, 1000, NOW))],
        Case::NoSignature => all(vec![
            Request::get(),
            get().without("signature"),
            get().without("signature-input"),
        ]),
        Case::NoOwnTag => all(vec![
            get().input("procura-v1", "procura-v2"),
            get().input(";tag=\"procura-v1\"", ""),
            get().input(";tag=\"procura-v1\"", ";tag=procura-v1"),
            get().without("signature-input").with("signature-input", ""),
        ]),
        Case::MixedProfiles => all(vec![
            get().with("x-agent", "scribe"),
            get().with("x-agent-id", "scribe"),
            get().with("x-agent-session-token", ""),
        ]),
        Case::InputSyntax => all(vec![
            get().input("procura=(", "procura=["),
            get().input("procura=(", "procura=1, other=("),
            get().input("\"@method\"", "@method"),
            get().with("signature-input", "procura=();tag=\"procura-v1\""),
            get().input(";created=", ";created=5;created="),
            get().with(
                "signature-input",
                &format!("x=(\"{}\")", "a".repeat(16 * 1024)),
            ),
            get().with("signature-input", &format!("x=({})", "\"a\" ".repeat(65))),
            get().with("signature-input", "é"),
        ]),
        Case::SignatureSyntax => all(vec![
            get().without("signature").with("signature", "procura"),
            get().without("signature").with("signature", "other=:AAAA:"),
            get()
                .without("signature")
                .with("signature", "procura=\"AAAA\""),
            get()
                .without("signature")
                .with("signature", "procura=(:AAAA:)"),
            get()
                .without("signature")
                .with("signature", "procura=:_-_-:"),
            get().with("signature", "procura=:AAAA:"),
        ]),
        Case::TwoSignatures => {
            let second = get()
                .header("signature-input")
                .replacen("procura=", "second=", 1);
            all(vec![get().with("signature-input", &second)])
        }
        Case::ParameterMissing => all(vec![
            get().input(";created=1800000000", ""),
            get().input(";created=1800000000", ";created=\"1800000000\""),
            get().input(";created=1800000000", ";created=-1"),
            get().input(";nonce=", ";nonsense="),
            get().input(";keyid=", ";kid="),
            get().input(";alg=\"ed25519\"", ""),
            get().input(";alg=\"ed25519\"", ";alg=ed25519"),
            get().input(";tag=", ";expires=\"soon\";tag="),
        ]),
        Case::AlgorithmUnknown => all(vec![
            get().input("ed25519", "rsa-pss-sha512"),
            get().input("ed25519", "none"),
            get().input("ed25519", ""),
        ]),
        Case::KeyIdForm => all(vec![
            get().input("keyid=\"", "keyid=\"A"),
            get().input("keyid=\"", "keyid=\"../"),
        ]),
        Case::NonceForm => {
            let nonce = |text: String| {
                let signed = get();
                let old = signed.header("signature-input").to_owned();
                let old = old
                    .split("nonce=\"")
                    .nth(1)
                    .unwrap()
                    .split('"')
                    .next()
                    .unwrap();
                signed.input(old, &text)
            };
            all(vec![
                nonce(String::new()),
                nonce("A".repeat(20)),
                nonce("A".repeat(66)),
                nonce("=".repeat(24)),
                nonce("A".repeat(22) + "=="),
                nonce("+".repeat(24)),
            ])
        }
        Case::CounterForm => {
            let session = world.session();
            let under = world.sign_under(&Request::get(), &session, 5);
            [
                "",
                "05",
                "-1",
                "+5",
                "0x5",
                "5.0",
                " 5",
                "18446744073709551616",
            ]
            .map(|nonce| {
                under
                    .clone()
                    .input("nonce=\"5\"", &format!("nonce=\"{nonce}\""))
            })
            .map(see)
            .to_vec()
        }
        Case::TargetForm => all(vec![
            Request {
                method: "GE T".into(),
                ..get()
            },
            Request {
                method: String::new(),
                ..get()
            },
            Request {
                authority: String::new(),
                ..get()
            },
            Request {
                authority: "user@host".into(),
                ..get()
            },
            Request {
                authority: "host\n".into(),
                ..get()
            },
            Request {
                path: "v1".into(),
                ..get()
            },
            Request {
                path: "/a\nb".into(),
                ..get()
            },
            Request {
                query: Some("a b".into()),
                ..get()
            },
        ]),
        Case::TargetNotCovered => all(vec![
            get().input("\"@method\" ", ""),
            get().input("\"@authority\" ", ""),
            get().input("\"@path\" ", ""),
            get().input(" \"@query\"", ""),
            get().input("\"@query\"", "\"@query-param\";name=\"version\""),
        ]),
        Case::BodyNotCovered => all(vec![
            uncover("content-digest"),
            uncover("content-type"),
            put().input("\"content-digest\"", "\"content-digest\";key=\"sha-256\""),
        ]),
        Case::EncodingNotCovered => all(vec![uncover("content-encoding")]),
        Case::AuthorizationNotCovered => all(vec![
            uncover("authorization"),
            get().with("authorization", "Bearer stolen"),
        ]),
        Case::ComponentUnsupported => all(vec![
            cover("\"@status\""),
            cover("\"@nothing\""),
            cover("\"@scheme\""),
            cover("\"@target-uri\""),
            cover("\"@signature-params\""),
            cover("\"accept\";req"),
            cover("\"accept\";tr"),
            cover("\"accept\";sf"),
            cover("\"Accept\""),
            cover("\"accept\" \"accept\""),
            cover("\"@method\";x"),
            cover("\"@query-param\";name=\"version\";x"),
        ]),
        Case::ComponentAbsent => all(vec![
            cover("\"date\""),
            cover("\"@query-param\";name=\"other\""),
            put().without("content-type"),
            put().without("content-digest"),
        ]),
        Case::ComponentValue => {
            let mut odd = cover("\"odd\"");
            odd.headers.push(("odd".into(), b"a\xffb".to_vec()));
            let mut broken = cover("\"odd\"");
            broken
                .headers
                .push(("odd".into(), b"a\r\n\"@method\": GET".to_vec()));
            all(vec![odd, broken, cover("\"accept\";key=\"a\"")])
        }
        Case::DigestForm => {
            let digest = |value: &str| {
                put()
                    .without("content-digest")
                    .with("content-digest", value)
            };
            all(vec![
                digest("sha-512=:AAAA:"),
                digest("sha-256=:AAAA:"),
                digest("sha-256=\"AAAA\""),
                digest("sha-256=(:AAAA:)"),
                digest("sha-256"),
                digest(""),
            ])
        }
        Case::JoinForm => {
            let good = join_request(&world);
            let mut key = good.clone();
            key.device_key.x = "AAAA".into();
            let code = JoinRequest {
                code_sha256: vec![0; 31],
                ..good
            };
            [key, code]
                .map(|request| see_join(&world, &request))
                .to_vec()
        }
        Case::TooOld => vec![refused(
            world.verify_at(&get(), NOW.plus(Duration::from_secs(61))),
        )],
        Case::TooNew => vec![refused(
            world.verify_at(&get(), NOW.minus(Duration::from_secs(16))),
        )],
        Case::SignatureExpired => all(vec![get().input(";tag=", ";expires=1799999999;tag=")]),
        Case::DeviceUnknown => {
            let stranger = SigningKey::generate_ed25519(&world.entropy).unwrap();
            let other = SigningKey::generate_p256(&world.entropy).unwrap();
            [stranger, other]
                .map(|key| see(world.sign_with(&Request::get(), Signer::Device(&key), NOW)))
                .to_vec()
        }
        Case::DeviceRevoked => {
            let mut world = World::new();
            let session = world.session();
            let revoked = device(world.ed25519.public(), AGENT, Some(NOW));
            world.apply([revoked]);
            let native = world.sign(&Request::get());
            let under = world.sign_under(&Request::get(), &session, 1);
            [native, under]
                .map(|request| refused(world.verify(&request)))
                .to_vec()
        }
        Case::ActorRevoked => {
            let mut out = Vec::new();
            for change in [agent(Some(NOW)), owner(world.p256.public(), Some(NOW))] {
                let mut world = World::new();
                let session = world.session();
                // Opened before, so that what is remembered of it is tested too.
                assert!(
                    world
                        .verify(&world.sign_under(&Request::get(), &session, 1))
                        .is_ok()
                );
                world.apply([change]);
                out.push(refused(world.verify(&world.sign(&Request::get()))));
                let under = world.sign_under(&Request::get(), &session, 2);
                out.push(refused(world.verify(&under)));
            }
            out
        }
        Case::AddressRefused => {
            let mut out = Vec::new();
            let elsewhere = ["127.0.0.5/32", "10.0.0.0/8", "::/0"];
            for change in [agent(None), owner(world.p256.public(), None)] {
                let mut world = World::new();
                let session = world.session();
                world.apply([held(change, &elsewhere)]);
                out.push(refused(world.verify(&world.sign(&Request::get()))));
                let under = world.sign_under(&Request::get(), &session, 1);
                out.push(refused(world.verify(&under)));
            }
            out
        }
        Case::DeviceQuarantined => {
            let mut world = World::new();
            let session = world.session();
            world.apply([quarantined(Suspect::Device(world.device()), None)]);
            let native = world.sign(&Request::get());
            let under = world.sign_under(&Request::get(), &session, 1);
            [native, under]
                .map(|request| refused(world.verify(&request)))
                .to_vec()
        }
        Case::SessionForeign => {
            let session = world.session();
            let id = session.session_id.as_str();
            let under = world.sign_under(&Request::get(), &session, 1);
            let with = |other: &str| under.clone().input(id, other);
            let elsewhere = world.issue("gate", NOW, NOW);
            let other_root = World {
                roots: Roots::new(7, 4),
                ..World::new()
            }
            .session();
            let other_epoch = World {
                roots: Roots::new(8, 3),
                ..World::new()
            }
            .session();
            let mut out: Vec<_> = all(vec![
                with(""),
                with("A"),
                with("*"),
                with(&id[..id.len() - 1]),
                with(&format!("{id}AAAA")),
                with(&format!("B{}", &id[1..])),
                world.sign_under(&Request::get(), &elsewhere, 1),
                world.sign_under(&Request::get(), &other_root, 1),
                world.sign_under(&Request::get(), &other_epoch, 1),
            ]);
            // A session that is remembered ends with its epoch.
            assert!(world.verify(&under).is_ok());
            *world.roots.0.lock().unwrap() = None;
            out.push(refused(world.verify(&world.sign_under(
                &Request::get(),
                &session,
                2,
            ))));
            out
        }
        Case::SessionOver => {
            let session = world.session();
            let end = NOW.plus(Duration::from_secs(600));
            let under = world.sign_under_at(&Request::get(), &session, 1, end);
            assert!(
                world
                    .verify_at(&under, end.minus(Duration::from_millis(1)))
                    .is_ok()
            );
            let under = world.sign_under_at(&Request::get(), &session, 2, end);
            vec![refused(world.verify_at(&under, end))]
        }
        Case::DirectoryBehind => {
            let session = world.session();
            let earlier = World {
                directory: procura_directory::Snapshot::default().apply(
                    SEQ - 1,
                    [
                        owner(world.p256.public(), None),
                        agent(None),
                        device(world.ed25519.public(), AGENT, None),
                    ],
                ),
                ..World::new()
            };
            vec![refused(earlier.verify(&earlier.sign_under(
                &Request::get(),
                &session,
                1,
            )))]
        }
        Case::AlgorithmMismatch => {
            let by_p256 = world.sign_with(&Request::get(), Signer::Device(&world.p256), NOW);
            all(vec![
                get().input("ed25519", "ecdsa-p256-sha256"),
                by_p256.input("ecdsa-p256-sha256", "ed25519"),
            ])
        }
        Case::SignatureRefused => all(vec![
            forged(&world, get()),
            // Another list of what is covered, each part of which may be there.
            cover("\"accept\""),
            get().input("\"@method\" \"@authority\"", "\"@authority\" \"@method\""),
            get().without("signature").with("signature", "procura=::"),
            get()
                .input(
                    &world.device().to_string(),
                    &world.p256.public().thumbprint().to_string(),
                )
                .input("\"ed25519\"", "\"ecdsa-p256-sha256\""),
        ]),
        Case::MacRefused => {
            let session = world.session();
            let under = world.sign_under(&Request::get(), &session, 1);
            let other = world.session();
            all(vec![
                under.clone().input("nonce=\"1\"", "nonce=\"2\""),
                under.clone().input(&session.session_id, &other.session_id),
                under.without("signature").with("signature", "procura=::"),
            ])
        }
        Case::JoinRefused => {
            let good = join_request(&world);
            let mut changed = good.clone();
            changed.signature[5] ^= 1;
            let other_actor = JoinRequest {
                actor_id: OWNER,
                ..good.clone()
            };
            let other_code = JoinRequest {
                code_sha256: vec![8; 32],
                ..good.clone()
            };
            let mut out: Vec<_> = [changed, other_actor, other_code]
                .iter()
                .map(|r| see_join(&world, r))
                .collect();
            let elsewhere = Thumbprint::from_bytes([6; 32]);
            let elsewhere = verify_join(&good, &elsewhere, &world.directory, NOW, PEER);
            out.push(elsewhere.expect_err("it was let in"));
            out
        }
        Case::BodyChanged => {
            let mut changed = put();
            changed.body[0] ^= 1;
            let mut gone = put();
            gone.body.clear();
            all(vec![changed, gone])
        }
        Case::NonceUsed => {
            let signed = get();
            assert!(world.verify(&signed).is_ok());
            let replayed = refused(world.verify(&signed));
            let late = Timestamp::from_secs(NOW.as_secs() + 60);
            let mut out = vec![replayed, refused(world.verify_at(&signed, late))];
            out.extend(cases::provoke_replay(case));
            out
        }
        Case::CounterUsed => {
            let session = world.session();
            let under = |counter| world.sign_under(&Request::get(), &session, counter);
            assert!(world.verify(&under(5000)).is_ok());
            assert!(world.verify(&under(905)).is_ok());
            all(vec![under(5000), under(905), under(904)])
        }
        Case::OverCap => {
            let world = World::with_limits(Limits {
                nonces: 1,
                sessions: 1,
            });
            assert!(world.verify(&world.sign(&Request::get())).is_ok());
            let (one, two) = (world.session(), world.session());
            assert!(
                world
                    .verify(&world.sign_under(&Request::get(), &one, 1))
                    .is_ok()
            );
            let nonce = refused(world.verify(&world.sign(&Request::get())));
            let under = world.sign_under(&Request::get(), &two, 1);
            let session = refused(world.verify(&under));
            // Others are not touched.
            let other = world.sign_with(&Request::get(), Signer::Device(&world.p256), NOW);
            assert!(world.verify(&other).is_ok());
            let mut out = vec![nonce, session];
            out.extend(cases::provoke_replay(case));
            out
        }
        Case::Tombstoned => {
            let session = world.session();
            let requests = [get(), world.sign_under(&Request::get(), &session, 1)];
            let refused = requests.iter().map(|request| {
                let pending = world
                    .verifier
                    .prepare(&world.directory, &request.view(), NOW, PEER);
                let settled = pending.unwrap().settle(Ok(Outcome::Revoked));
                settled.expect_err("it was let in")
            });
            refused.collect()
        }
        Case::GuardUnavailable => {
            world.guard.refuse_created_until(NOW.as_secs());
            let session = world.session();
            let mut out = all(vec![get(), world.sign_under(&Request::get(), &session, 1)]);
            let next = world.sign_at(&Request::get(), NOW.plus(Duration::from_secs(1)));
            assert!(world.verify(&next).is_ok());
            out.extend(cases::provoke_replay(case));
            out
        }
        Case::WebLoginForm
        | Case::WebLoginUnknown
        | Case::WebLoginOver
        | Case::WebLoginIdle
        | Case::PasskeyRemoved => crate::web_logins::provoke(case),
        Case::NoProof
        | Case::ProfileOff
        | Case::ForeignMissing
        | Case::ForeignDoubled
        | Case::AgentIdForm
        | Case::TimestampForm
        | Case::VersionForm
        | Case::AgentNonceForm
        | Case::AgentSessionForm
        | Case::AgentSignatureForm
        | Case::ForeignTooOld
        | Case::ForeignTooNew
        | Case::AgentUnknown
        | Case::KeysUnavailable
        | Case::AgentSignatureRefused
        | Case::AgentMacRefused
        | Case::AgentUnbound
        | Case::AgentQuarantined => cases::provoke(case),
        Case::LegacyMissing | Case::LegacyForm | Case::LegacyTokenOther => legacy::provoke(case),
    }
}

fn join_request(world: &World) -> JoinRequest {
    crate::join::request(
        &SigningKey::generate_ed25519(&world.entropy).unwrap(),
        AGENT,
    )
}

fn see_join(world: &World, request: &JoinRequest) -> Refusal {
    verify_join(request, &crate::join::SERVER, &world.directory, NOW, PEER)
        .expect_err("it was let in")
}
