//! Names in paths: what is no name never reaches anything, on any route, however it is
//! spelled; and words that mean something elsewhere are names like others here.

use crate::actors::Actors;
use crate::world::Sent;
use procura_proof::sign::Signer;
use serde_json::json;

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

/// The template with one of its parameters replaced, and the others as they can be.
fn targets(template: &str, hostile: &str) -> Vec<String> {
    let names: Vec<&str> = template
        .split('/')
        .filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
        .collect();
    let usual = |name: &str| match name {
        "ns" => "shop".to_owned(),
        "*path" | "path" => "db/password".to_owned(),
        "id" | "run" => "01234567-89ab-7fff-bfff-ffffffffffff".to_owned(),
        "thumbprint" | "kid" => "4pKbMyPXWbNVqwj3d4ZUrB4KTaUYO0ArTVcsBPyCVH4".to_owned(),
        "agent_id" => "till.7".to_owned(),
        _ => "scribe".to_owned(),
    };
    names
        .iter()
        .map(|at| {
            names.iter().fold(template.to_owned(), |target, name| {
                let value = match name == at {
                    true => hostile.to_owned(),
                    false => usual(name),
                };
                target.replace(&format!("{{{name}}}"), &value)
            })
        })
        .collect()
}

#[tokio::test]
async fn what_is_no_name_is_refused_on_every_route() {
    let actors = Actors::new().await;
    let world = &actors.world;
    let (mut routes, mut asked) = (0, 0);
    for (method, template, action) in procura_server::api::CALLS {
        if !template.contains('{') {
            continue;
        }
        routes += 1;
        for hostile in HOSTILE {
            for target in targets(template, hostile) {
                let body = matches!(*method, "PUT" | "POST").then(|| json!({}).to_string());
                let sent = world.signed(
                    actors.key("alice"),
                    method,
                    &target,
                    body.as_deref().map(str::as_bytes),
                );
                let answer = world.send(&sent).await;
                asked += 1;
                let problem = answer.problem(&format!("{method} {target}"));
                let refused = matches!(
                    problem.code.as_str(),
                    "malformed"
                        | "invalid_json"
                        | "not_found"
                        | "method_not_allowed"
                        | "forbidden"
                        | "conflict"
                );
                assert!(refused, "{action}: {method} {target}: {}", problem.code);
            }
        }
    }
    assert!(routes > 40 && asked > 800, "{routes} {asked}");
    // Everything is as it was.
    let listed = actors
        .ok(
            "adam",
            "GET",
            "/v1/namespaces/shop/secrets",
            serde_json::Value::Null,
        )
        .await;
    assert_eq!(listed["secrets"].as_array().unwrap().len(), 3);
    actors
        .ok(
            "adam",
            "GET",
            "/v1/namespaces/shop/projects/web",
            serde_json::Value::Null,
        )
        .await;
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
