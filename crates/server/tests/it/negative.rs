//! Every call, refused for every reason, each time for exactly that one.

use crate::actors::Actors;
use crate::calls::{Case, NO_INPUT, OPEN, cases};
use crate::world::{Sent, World};
use procura_crypto::{SigningKey, SystemEntropy, sha256};
use procura_proof::sign::Signer;
use procura_types::Duration;
use procura_types::encoding::b64_standard;
use serde_json::Value;
use std::collections::BTreeSet;

fn bytes(body: Option<&Value>) -> Option<Vec<u8>> {
    body.map(|body| serde_json::to_vec(body).unwrap())
}

impl Case {
    pub(crate) fn sent(&self, actors: &Actors, by: &str) -> Sent {
        self.sent_with(actors, by, &self.target, self.body.as_ref())
    }

    fn sent_with(&self, actors: &Actors, by: &str, target: &str, body: Option<&Value>) -> Sent {
        let mut sent = Sent::new(self.method, target, bytes(body).as_deref());
        sent.headers.extend(self.fields.iter().cloned());
        sent.signed(Signer::Device(actors.key(by)), actors.world.now())
    }

    pub(crate) fn unsigned(&self) -> Sent {
        let body = bytes(self.body.as_ref());
        let mut sent = Sent::new(self.method, &self.target, body.as_deref());
        sent.headers.extend(self.fields.iter().cloned());
        sent
    }
}

/// A good request that is changed, and the reason for which it is refused then.
type Change = (&'static str, fn(&mut Sent), &'static str);

/// Changes what the proof says of itself.
fn input(sent: &mut Sent, from: &str, to: &str) {
    sent.set("signature-input", |input| {
        assert!(input.contains(from), "{input} has no {from}");
        input.replacen(from, to, 1)
    });
}

const QUERY: &str = "another query";

const CHANGES: [Change; 10] = [
    (
        "a component is missing",
        |sent| input(sent, "\"@authority\" ", ""),
        "malformed",
    ),
    (
        "a component is there twice",
        |sent| input(sent, "\"@path\"", "\"@path\" \"@path\""),
        "malformed",
    ),
    (
        "a component of a field that is not there",
        |sent| input(sent, "(", "(\"accept\" "),
        "malformed",
    ),
    (
        "a component more, of a field that is there",
        |sent| input(sent, "(", "(\"host\" "),
        "bad_signature",
    ),
    (
        "components in another order",
        |sent| {
            input(
                sent,
                "\"@method\" \"@authority\"",
                "\"@authority\" \"@method\"",
            )
        },
        "bad_signature",
    ),
    (
        "an algorithm that is not the key's",
        |sent| {
            sent.set("signature-input", |input| {
                match input.contains("alg=\"ed25519\"") {
                    true => input.replace("alg=\"ed25519\"", "alg=\"ecdsa-p256-sha256\""),
                    false => input.replace("alg=\"ecdsa-p256-sha256\"", "alg=\"ed25519\""),
                }
            });
        },
        "bad_signature",
    ),
    (
        "made at no time",
        |sent| input(sent, ";created=", ";crafted="),
        "malformed",
    ),
    (
        "made at another time",
        |sent| {
            sent.set("signature-input", |input| {
                let (before, rest) = input.split_once(";created=").unwrap();
                let (seconds, rest) = rest.split_once(';').unwrap();
                let seconds: u64 = seconds.parse().unwrap();
                format!("{before};created={};{rest}", seconds - 1)
            });
        },
        "bad_signature",
    ),
    (
        "over already",
        |sent| input(sent, ";tag=", ";expires=1;tag="),
        "timestamp_out_of_window",
    ),
    (
        QUERY,
        |sent| {
            let joint = if sent.target.contains('?') { '&' } else { '?' };
            sent.target = format!("{}{joint}x=1", sent.target);
        },
        "bad_signature",
    ),
];

async fn unauthorized(world: &World, sent: &Sent, reason: &str, what: &str) {
    world
        .send(sent)
        .await
        .expect("unauthorized", Some(reason), None, what);
}

#[test]
fn the_exceptions_are_calls() {
    let names: BTreeSet<String> = document().into_iter().collect();
    for exception in OPEN.iter().chain(&NO_INPUT) {
        assert!(names.contains(*exception), "{exception}");
    }
}

/// Method and path of every call that the document names.
fn document() -> Vec<String> {
    let document: Value = serde_json::from_str(&procura_server::api::openapi_json()).unwrap();
    let paths = document["paths"].as_object().unwrap();
    paths
        .iter()
        // The calls in the shapes of others have tests of their own.
        .filter(|(path, _)| path.starts_with("/v1/"))
        .flat_map(|(path, item)| {
            let methods = item
                .as_object()
                .unwrap()
                .keys()
                .filter(|key| ["get", "put", "post", "delete"].contains(&key.as_str()));
            methods.map(move |method| format!("{} {path}", method.to_uppercase()))
        })
        .collect()
}

#[tokio::test]
async fn every_call_is_in_the_table_with_its_negative_cases() {
    let actors = Actors::new().await;
    let cases = cases(&actors).await;
    let covered: BTreeSet<String> = cases
        .iter()
        .map(|case| format!("{} {}", case.method, case.template))
        .collect();
    let mut missing: BTreeSet<String> = document().into_iter().collect();
    // CALLS name a rest of the path `{*path}` where the document has `{path}`.
    missing.extend(
        procura_server::api::CALLS
            .iter()
            .map(|(method, path, _)| format!("{method} {}", path.replace("{*", "{"))),
    );
    missing.retain(|call| !covered.contains(call));
    // Joining has no device to prove itself with; its cases are in `joining`.
    assert_eq!(missing, BTreeSet::from(["POST /v1/join".to_owned()]));
    for case in &cases {
        let call = format!("{} {}", case.method, case.template);
        let open = OPEN.contains(&call.as_str());
        assert_eq!(case.refused.is_none(), open, "{call} needs a wrong actor");
        let no_input = NO_INPUT.contains(&call.as_str()) || case.namespaced();
        assert!(
            !case.bad.is_empty() || no_input,
            "{call} needs a malformed case"
        );
    }
}

#[tokio::test]
async fn unproven_requests_are_refused() {
    let actors = Actors::new().await;
    let (world, stranger) = (
        &actors.world,
        SigningKey::generate_ed25519(&SystemEntropy).unwrap(),
    );
    for case in cases(&actors).await {
        let what = case.what();
        unauthorized(world, &case.unsigned(), "missing_headers", &what).await;
        let mut halved = case.sent(&actors, case.by);
        halved.headers.retain(|(name, _)| name != "signature");
        unauthorized(world, &halved, "missing_headers", &what).await;

        let mut forged = case.sent(&actors, case.by);
        forged.set("signature-input", |input| {
            input.replacen("nonce=\"", "nonce=\"AAAA", 1)
        });
        unauthorized(world, &forged, "bad_signature", &what).await;
        // The proof of another call is none of this one.
        let elsewhere = case.sent_with(&actors, case.by, "/v1/elsewhere", case.body.as_ref());
        let moved = Sent {
            target: case.target.clone(),
            ..elsewhere
        };
        unauthorized(world, &moved, "bad_signature", &what).await;

        let unknown = case
            .unsigned()
            .signed(Signer::Device(&stranger), world.now());
        unauthorized(world, &unknown, "unknown_agent", &what).await;

        for (now, what) in [
            (world.now().minus(Duration::from_secs(61)), "too old"),
            (world.now().plus(Duration::from_secs(16)), "too new"),
        ] {
            let expired = case
                .unsigned()
                .signed(Signer::Device(actors.key(case.by)), now);
            unauthorized(world, &expired, "timestamp_out_of_window", what).await;
        }
        for revoked in ["gone", "dead"] {
            unauthorized(world, &case.sent(&actors, revoked), "revoked", &what).await;
        }

        let mut changed = case.sent(&actors, case.by);
        if case.body.is_some() {
            changed.body.push(b' ');
            unauthorized(world, &changed, "digest_mismatch", &what).await;
        } else {
            changed.body = b"{}".to_vec();
            unauthorized(world, &changed, "malformed", &what).await;
        }
        for (change, apply, reason) in CHANGES {
            // Of the state of the server, what needs no proof is another call.
            if case.template == "/v1/status" && change == QUERY {
                continue;
            }
            let mut changed = case.sent(&actors, case.by);
            apply(&mut changed);
            unauthorized(world, &changed, reason, &format!("{what}: {change}")).await;
        }
        if case.body.is_some() {
            // With the digest of the body that arrives, which is not what was signed.
            let mut changed = case.sent(&actors, case.by);
            changed.body.push(b' ');
            let digest = b64_standard(&sha256(&changed.body));
            changed.set("content-digest", |_| format!("sha-256=:{digest}:"));
            unauthorized(world, &changed, "bad_signature", &what).await;
        }
        let mut mixed = case.sent(&actors, case.by);
        mixed
            .headers
            .push(("x-agent-id".to_owned(), "alice".to_owned()));
        unauthorized(world, &mixed, "malformed", &what).await;
    }
}

#[tokio::test]
async fn a_proof_is_good_once() {
    let actors = Actors::new().await;
    for case in cases(&actors).await {
        // By whom it is refused anyway, so that nothing of the table happens.
        let by = case.refused.map_or(case.by, |(who, _)| who);
        let sent = case.sent(&actors, by);
        let first = actors.world.send(&sent).await;
        match case.refused {
            Some((_, code)) => first.expect(code, None, None, &case.what()),
            None => assert!(
                first.status.is_success(),
                "{}: {}",
                case.what(),
                first.text()
            ),
        }
        unauthorized(&actors.world, &sent, "nonce_replayed", &case.what()).await;
    }
}

#[tokio::test]
async fn the_wrong_actor_and_the_wrong_namespace_are_refused() {
    let actors = Actors::new().await;
    let world = &actors.world;
    for case in cases(&actors).await {
        let what = case.what();
        if let Some((who, code)) = case.refused {
            world
                .send(&case.sent(&actors, who))
                .await
                .expect(code, None, None, &what);
        }
        if !case.namespaced() {
            continue;
        }
        // All roles of another namespace, and an agent of it: there is nothing here.
        for outsider in ["bert", "robber"] {
            world.send(&case.sent(&actors, outsider)).await.expect(
                "not_found",
                None,
                None,
                &format!("{outsider}: {what}"),
            );
        }
        for (to, code, field) in [
            ("nowhere", "not_found", None),
            ("bank", "not_found", None),
            ("Shop", "malformed", Some("namespace")),
        ] {
            // A steward is one everywhere.
            if to == "bank" && case.by == "alice" {
                continue;
            }
            let query = case.target.contains("namespace=shop");
            let target = case
                .target
                .replacen("/namespaces/shop", &format!("/namespaces/{to}"), 1)
                .replacen("=shop", &format!("={to}"), 1);
            let field = if query && field.is_some() {
                Some("query")
            } else {
                field
            };
            let sent = case.sent_with(&actors, case.by, &target, case.body.as_ref());
            world
                .send(&sent)
                .await
                .expect(code, None, field, &format!("{} {target}", case.method));
        }
    }
}

#[tokio::test]
async fn malformed_input_is_refused_with_its_field() {
    let actors = Actors::new().await;
    let world = &actors.world;
    for case in cases(&actors).await {
        for bad in &case.bad {
            let what = format!("{} {} {:?}", case.method, bad.target, bad.body);
            let sent = case.sent_with(&actors, case.by, &bad.target, bad.body.as_ref());
            world
                .send(&sent)
                .await
                .expect(bad.code, None, bad.field, &what);
        }
        let Some(body) = &case.body else { continue };
        let text = serde_json::to_string(body).unwrap();
        let unknown = text.replacen('{', "{\"canary-value-7e5d\":1,", 1);
        let twice = format!("{}{}", &text[..text.len() - 1], text.replacen('{', ",", 1));
        let deep = "[".repeat(20_000);
        let nested = text.replacen(
            '{',
            &format!("{{\"x\":{}1{},", "[".repeat(2_000), "]".repeat(2_000)),
            1,
        );
        let hostile: [&[u8]; 9] = [
            unknown.as_bytes(),
            twice.as_bytes(),
            deep.as_bytes(),
            nested.as_bytes(),
            &text.as_bytes()[..text.len() - 1],
            b"\xff\xfe{}",
            b"null",
            b"[]",
            b"{\"\\ud800\":1}",
        ];
        for (number, body) in hostile.iter().enumerate() {
            let sent = world.signed(actors.key(case.by), case.method, &case.target, Some(body));
            let answer = world.send(&sent).await;
            let problem = answer.problem(&case.what());
            assert_eq!(
                problem.code,
                "invalid_json",
                "{} body {number}",
                case.what()
            );
        }
        // What is to be deleted is in the path; a body only confirms it.
        if case.method == "DELETE" {
            continue;
        }
        let sent = case.sent_with(&actors, case.by, &case.target, None);
        world
            .send(&sent)
            .await
            .expect("invalid_json", None, None, "no body at all");
    }
}

#[tokio::test]
async fn a_sealed_vault_refuses_everything_and_goes_on_after() {
    let actors = Actors::new().await;
    let cases = cases(&actors).await;
    actors.world.seal().await;
    for case in &cases {
        let answer = actors.world.send(&case.sent(&actors, case.by)).await;
        answer.expect("sealed", None, None, &case.what());
        assert_eq!(answer.headers["retry-after"], "1");
        // Sealed is said to anybody, before a proof is looked at.
        actors
            .world
            .send(&case.unsigned())
            .await
            .expect("sealed", None, None, &case.what());
    }
    actors.world.unseal().await;
    let list = actors
        .ok("scribe", "GET", "/v1/namespaces", Value::Null)
        .await;
    assert_eq!(list["namespaces"][0]["name"], "shop");
}

#[tokio::test]
async fn without_an_installation_everything_says_so() {
    let (actors, empty) = (Actors::new().await, World::empty());
    for case in cases(&actors).await {
        empty
            .send(&case.unsigned())
            .await
            .expect("not_initialised", None, None, &case.what());
    }
}

#[tokio::test]
async fn a_request_for_another_server_proves_nothing_here() {
    let actors = Actors::new().await;
    let world = &actors.world;
    for case in cases(&actors).await {
        let mut other = case.sent(&actors, case.by);
        other.set("host", |_| "vault.example:7310".to_owned());
        world
            .send(&other)
            .await
            .expect("malformed", None, Some("host"), &case.what());
        let mut twice = case.sent(&actors, case.by);
        twice
            .headers
            .push(("host".to_owned(), crate::world::AUTHORITY.to_owned()));
        world
            .send(&twice)
            .await
            .expect("malformed", None, None, &case.what());
        let mut none = case.sent(&actors, case.by);
        none.headers.retain(|(name, _)| name != "host");
        world
            .send(&none)
            .await
            .expect("malformed", None, None, &case.what());
    }
}

/// The table itself: whoever may, can. Without this the refusals above could all
/// be for one reason that nobody named.
#[tokio::test]
async fn the_right_actor_may() {
    let actors = Actors::new().await;
    for case in cases(&actors).await {
        let answer = actors.world.send(&case.sent(&actors, case.by)).await;
        assert!(
            answer.status.is_success(),
            "{}: {}",
            case.what(),
            answer.text()
        );
        assert_eq!(answer.headers["cache-control"], "no-store");
        assert!(answer.headers.contains_key("x-request-id"));
    }
}
