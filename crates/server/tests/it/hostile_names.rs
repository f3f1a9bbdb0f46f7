//! Names in paths: what is no name never reaches anything, on any route, however it is
//! spelled; and words that mean something elsewhere are names like others here.

use crate::actors::Actors;
use crate::calls::{Case, cases};
use crate::world::Sent;
use procura_proof::sign::Signer;
use serde_json::{Value, json};
use std::time::Duration;

/// What a parameter is not, as it is written in a path. Those that a path is cut by, or
/// that an escape hides, come through as they are or not at all.
const HOSTILE: [&str; 14] = [
    "..",
    ".",
    "%2e%2e",
    "%2E%2e",
    "%2e",
    "..%2f..%2froot",
    "%2e%2e%2fshop",
    "%00",
    "root%00",
    "%2froot",
    "a%0ab",
    "%1b%5b2J",
    "a%c2%adb",
    "%e2%80%ae",
];

/// What an answer calls a parameter of a path that is none.
fn field(template: &str, parameter: &str) -> &'static str {
    match (parameter, template) {
        ("ns", _) => "namespace",
        ("path", _) => "path",
        ("run", _) => "run",
        ("thumbprint" | "device", _) => "device",
        ("act", _) => "act",
        ("sha256", _) => "sha256",
        ("version", _) => "version",
        ("kid", _) => "kid",
        ("agent_id", _) => "agent_id",
        ("label" | "key", _) => "label",
        ("name", of) if of.contains("/projects/") => "project",
        ("name", _) => "label",
        ("id", of) if of.contains("/requests/") => "request",
        ("id", of) if of.contains("/grants/") => "grant",
        ("id", of) if of.contains("/tokens/") => "token",
        ("id", of) if of.contains("/proposals/") => "proposal",
        ("id", of) if of.contains("/servers/") => "instance",
        ("id", of) if of.contains("/passkeys/") => "device",
        ("id", of) if of.contains("/identities/") => "identity",
        ("id", of) if of.contains("/attestations/") => "attestation",
        ("id", of) if of.contains("/logins/") => "web_login",
        ("id", of) if of.contains("/proof/") => "entry",
        _ => panic!("{parameter} of {template} has no word"),
    }
}

/// The call with one of its parameters replaced, all others as they are good: each target
/// with the word for what is wrong with it.
fn targets(case: &Case, hostile: &str) -> Vec<(String, &'static str)> {
    let (path, query) = match case.target.split_once('?') {
        Some((path, query)) => (path, format!("?{query}")),
        None => (case.target.as_str(), String::new()),
    };
    let parts: Vec<&str> = path.split('/').collect();
    let mut found = Vec::new();
    for (at, part) in case.template.split('/').enumerate() {
        let name = part
            .strip_prefix('{')
            .and_then(|part| part.strip_suffix('}'));
        let Some(name) = name else { continue };
        // Ids of other systems may have a point, and be one.
        if name == "agent_id" && matches!(hostile, "." | "%2e") {
            continue;
        }
        // A path is the rest of its target.
        let behind = if name == "path" { parts.len() } else { at + 1 };
        let words = [&parts[..at], &[hostile], &parts[behind..]].concat();
        let target = format!("{}{query}", words.join("/"));
        found.push((target, field(case.template, name)));
    }
    found
}

/// Each call as it would succeed but for one name, so that nothing else refuses it.
#[tokio::test]
async fn what_is_no_name_is_refused_on_every_route() {
    let actors = Actors::new().await;
    let world = &actors.world;
    let (mut routes, mut asked) = (0, 0);
    for case in cases(&actors).await {
        let body = case.body.as_ref().map(ToString::to_string);
        let before = asked;
        for hostile in HOSTILE {
            for (target, field) in targets(&case, hostile) {
                let mut sent = Sent::new(case.method, &target, body.as_deref().map(str::as_bytes));
                sent.headers.extend(case.fields.iter().cloned());
                let key = actors.key(case.by);
                let sent = sent.signed(Signer::Device(key), world.now());
                let answer = world.send(&sent).await;
                let what = format!("{} {target}", case.method);
                answer.expect("malformed", None, Some(field), &what);
                assert_eq!(answer.status, 400, "{what}");
                asked += 1;
            }
        }
        routes += usize::from(asked > before);
        // Nobody asks too often.
        world.clock.turn(Duration::from_secs(1));
    }
    assert!(routes > 70 && asked > 1500, "{routes} {asked}");
    // Everything is as it was.
    let secrets = "/v1/namespaces/shop/secrets";
    let listed = actors.ok("adam", "GET", secrets, Value::Null).await;
    assert_eq!(listed["secrets"].as_array().unwrap().len(), 3);
    let project = "/v1/namespaces/shop/projects/web";
    actors.ok("adam", "GET", project, Value::Null).await;
}

/// A path is signed as it is written: an escape of what needs none is another path, and
/// is not the name that it decodes to.
#[tokio::test]
async fn an_escaped_name_is_proven_as_it_is_written() {
    let actors = Actors::new().await;
    let key = actors.key("adam");
    let plain = "/v1/namespaces/shop/secrets/db/password";
    let escaped = "/v1/namespaces/shop/secrets/db/%70assword";
    let mut sent = Sent::new("GET", plain, None).signed(Signer::Device(key), actors.world.now());
    sent.target = escaped.to_owned();
    let answer = actors.world.send(&sent).await;
    answer.expect(
        "unauthorized",
        Some("bad_signature"),
        None,
        "another spelling",
    );
}

#[tokio::test]
async fn a_literal_root_is_a_name_like_any_other() {
    let actors = Actors::new().await;
    for name in ["root", "admin", "system", "null"] {
        actors
            .ok("alice", "POST", "/v1/namespaces", json!({"name": name}))
            .await;
        let ns = format!("/v1/namespaces/{name}");
        actors
            .ok(
                "alice",
                "POST",
                &format!("{ns}/agents"),
                json!({"label": "root"}),
            )
            .await;
        let body = json!({"agents": ["root"], "env": {"ROOT": "root"}});
        actors
            .ok("alice", "PUT", &format!("{ns}/projects/root"), body)
            .await;
        let body = json!({"value_b64": crate::actors::value_b64()});
        actors
            .ok("alice", "PUT", &format!("{ns}/secrets/root"), body)
            .await;
        // Whoever has a role elsewhere has none here, and the owner no more than given.
        for by in ["adam", "bert", "scribe"] {
            let key = actors.key(by);
            let answer = actors
                .world
                .call(key, "GET", &format!("{ns}/secrets/root"), None)
                .await;
            answer.expect("not_found", None, None, &format!("{by} in {name}"));
        }
    }
    let roles = json!({"name": "root", "roles": [{"role": "auditor", "namespace": "shop"}]});
    actors.ok("alice", "POST", "/v1/operators", roles).await;
}
