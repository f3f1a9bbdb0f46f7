//! Decoys among the keys that agents of other systems fetch.

use super::scene::{API, By, Scene};
use serde_json::{Value, json};
use std::time::Duration;

/// Whether the record has the quarantine of the id, after a while at most.
async fn until_held(scene: &Scene, id: &str) {
    let mut all = Vec::new();
    for _ in 0..3000 {
        let list = scene
            .actors
            .ok("alice", "GET", "/v1/quarantine", Value::Null)
            .await;
        all = list["quarantined"].as_array().unwrap().clone();
        if all.iter().any(|held| held["agent_id"] == id) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{id} is not in quarantine: {all:?}");
}

#[tokio::test]
async fn a_key_that_is_a_decoy_is_none_and_ends_the_id_that_asks() {
    let scene = Scene::set().await;
    let plant = async |path: &str, body: Value| {
        let target = format!("/v1/honey/shop/{path}");
        scene.actors.ok("alice", "PUT", &target, body).await
    };
    plant("ssh/root", json!({"shape": "github"})).await;
    let bait = plant("api/stripe", json!({"shape": "stripe", "mode": "bait"})).await;
    let ask = async |target: &str| {
        let sent = scene.proven("Scribe.1", By::KeyServerV1, target);
        scene.actors.world.send(&sent).await
    };
    let (missing, decoy) = (ask("/keys/ssh/none").await, ask("/keys/ssh/root").await);
    assert_eq!(
        (missing.status, missing.text()),
        (decoy.status, decoy.text())
    );
    assert_eq!(decoy.status, 404);
    let refused = ask(API).await;
    assert_eq!(refused.status, 403, "{}", refused.text());
    assert!(refused.text().contains("quarantined"), "{}", refused.text());
    until_held(&scene, "Scribe.1").await;
    assert_eq!(ask(API).await.status, 403);
    // The agent's own device is another thing.
    let own = scene
        .actors
        .world
        .call(scene.actors.key("scribe"), "GET", API, None);
    assert_ne!(own.await.status, 401);

    let reinstate = "/v1/quarantine/Scribe.1/reinstate";
    scene
        .actors
        .ok("alice", "POST", reinstate, Value::Null)
        .await;
    let handed = ask("/keys/api/stripe").await;
    assert_eq!(handed.status, 200, "{}", handed.text());
    let value = bait["value_b64"].as_str().unwrap();
    let value = procura_types::encoding::from_b64url("value_b64", value).unwrap();
    assert_eq!(handed.json()["api_key"], String::from_utf8(value).unwrap());
    assert_eq!(ask(API).await.status, 403);
    until_held(&scene, "Scribe.1").await;
}

/// Whoever saw one request by `hmac-v1` makes any other of it: what comes by it is nobody's
/// touch, neither before a quarantine nor in it.
#[tokio::test]
async fn what_comes_by_the_weak_profile_touches_nothing() {
    let scene = Scene::set().await;
    let target = "/v1/honey/shop/ssh/root";
    let body = json!({"shape": "github"});
    scene.actors.ok("alice", "PUT", target, body).await;
    let secret = scene.secret().await;
    let ask = async |by: By<'_>| {
        let sent = scene.proven("Scribe.1", by, "/keys/ssh/root");
        scene.send(&sent).await
    };
    let touches = async || {
        let list = scene
            .actors
            .ok("alice", "GET", "/v1/honey", Value::Null)
            .await;
        list["honey"][0]["touches"].as_array().unwrap().clone()
    };
    for _ in 0..3 {
        let weak = ask(By::HmacV1(&secret)).await;
        weak.unproven("missing_headers", "a weak proof");
    }
    tokio::time::sleep(Duration::from_millis(150)).await;
    assert!(touches().await.is_empty());
    let quarantine = "/v1/quarantine";
    let held = scene.actors.ok("alice", "GET", quarantine, Value::Null);
    assert_eq!(held.await["quarantined"], json!([]));
    // The same secret, by the profile that says what it is for.
    assert_eq!(ask(By::HmacV2(&secret)).await.status, 404);
    until_held(&scene, "Scribe.1").await;
    for _ in 0..5 {
        assert_ne!(ask(By::HmacV1(&secret)).await.status, 200);
    }
    scene.actors.world.seal().await;
    scene.actors.world.unseal().await;
    let [touch]: [Value; 1] = touches().await.try_into().unwrap();
    assert_eq!(
        (&touch["count"], &touch["agent_id"]),
        (&json!(1), &json!("Scribe.1"))
    );
}
