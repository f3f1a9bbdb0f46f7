//! Switched off, which it is unless somebody says otherwise, there is none of it.

use super::{ATTEST, AUTHORIZE, CONFIG, DISCOVER, SECRETS, Scene, TOKEN, bearing};
use crate::actors::Actors;
use crate::world::{Sent, World};
use serde_json::{Value, json};

#[tokio::test]
async fn there_are_no_such_paths_unless_it_is_switched_on() {
    let actors = Actors::within(World::empty()).await;
    for (method, path) in [
        ("POST", AUTHORIZE),
        ("POST", TOKEN),
        ("POST", ATTEST),
        ("GET", SECRETS),
        ("GET", CONFIG),
    ] {
        let body = (method == "POST").then_some(&b"{}"[..]);
        let sent = bearing(Sent::new(method, path, body), "x");
        let answer = actors.world.send(&sent).await;
        answer.expect("not_found", None, None, path);
    }
    let answer = actors
        .world
        .send(&Sent::new("POST", DISCOVER, Some(b"{}")))
        .await;
    assert_eq!(
        (answer.status.as_u16(), answer.json()),
        (404, json!({"error": "not_found"}))
    );
}

/// What is on opens no other door: a login, a session or a token of it is nothing to the
/// rest of the server.
#[tokio::test]
async fn the_rest_of_the_server_takes_nothing_of_it() {
    let scene = Scene::set().await;
    let daemon = scene.daemon(super::BAKER).await;
    let (token, _) = scene.opened(&daemon, "DB=\n").await;
    let values = "/v1/namespaces/shop/projects/site/values";
    for (method, target, body) in [
        ("GET", "/v1/namespaces", None),
        ("POST", values, Some(&b"{}"[..])),
        ("GET", "/keys/list", None),
        ("POST", "/agent/session/start", Some(&b"{}"[..])),
    ] {
        let body = body.unwrap_or_default();
        let proof = scene.proof(method, target, body, "agent:baker-1");
        for bearer in [&daemon.login, &token] {
            let sent = bearing(daemon.signed(&proof), bearer);
            let answer = scene.world().send(&sent).await;
            assert_eq!(answer.status, 401, "{target}: {}", answer.text());
        }
    }
    // Nor does a device of the same agent, with a good proof of its own.
    let mut sent = bearing(Sent::new("POST", values, Some(b"{}")), &token);
    let signer = procura_proof::sign::Signer::Device(scene.actors.key("baker"));
    sent = sent.signed(signer, scene.world().now());
    let answer = scene.world().send(&sent).await;
    answer.expect("token_refused", Some("token_device"), None, values);
    // And it takes none of theirs: a native proof is none here.
    let native = scene
        .world()
        .signed(scene.actors.key("baker"), "GET", SECRETS, None);
    let answer = scene.world().send(&bearing(native, &token)).await;
    answer.is_refused(401, "malformed", "a native proof");
    // Who has no such header is told so in each shape.
    for (method, target) in [("GET", SECRETS), ("GET", CONFIG), ("POST", DISCOVER)] {
        let question = scene.question(super::BAKER, "site", "");
        let body = serde_json::to_vec(&question).unwrap();
        let body = (method == "POST").then_some(body.as_slice());
        let sent = bearing(Sent::new(method, target, body), &token);
        let answer = scene.world().send(&sent).await;
        answer.is_refused(401, "missing_headers", target);
    }
    assert_eq!(
        scene.refusal("authenticate").await,
        json!("missing_headers")
    );
}

#[tokio::test]
async fn what_is_documented_is_served_as_it_says() {
    let scene = Scene::set().await;
    let document: Value = serde_json::from_str(&procura_server::api::openapi_json()).unwrap();
    let mut found = 0;
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let label = operation["tags"][0].as_str().unwrap_or_default();
            if !label.starts_with("legacy.") {
                continue;
            }
            found += 1;
            let what = format!("{method} {path}");
            let answers = operation["responses"].as_object().unwrap();
            let target = path.replace("{project}", "site").replace("{app}", "nginx");
            let body = (method == "post").then_some(&b"x"[..]);
            let sent = Sent::new(&method.to_uppercase(), &target, body);
            let answer = scene.world().send(&sent).await;
            assert!(answers.contains_key(answer.status.as_str()), "{what}");
            let other = Sent::new("PATCH", &target, None);
            let answer = scene.world().send(&other).await;
            answer.is_refused(405, "method_not_allowed", &what);
            assert_eq!(answer.headers["allow"], method.to_uppercase().as_str());
            let asked = Sent::new(&method.to_uppercase(), &format!("{target}?a=1"), body);
            let answer = scene.world().send(&asked).await;
            answer.is_refused(400, "malformed", &what);
            assert_eq!(answer.json()["details"]["field"], "query", "{what}");
            let mut lured = Sent::new(&method.to_uppercase(), &target, body);
            lured.set("host", |_| "elsewhere.example".to_owned());
            let answer = scene.world().send(&lured).await;
            answer.is_refused(400, "malformed", &what);
        }
    }
    assert_eq!(found, 6);
    let closed = Scene::set().await;
    closed.world().seal().await;
    let answer = closed.post(AUTHORIZE, &json!({})).await;
    answer.is_refused(503, "sealed", "sealed");
    assert_eq!(answer.headers["retry-after"], "1");
}
