//! `GET /audit`: whose record is told to whom.

use super::scene::{AUDIT, SSH, Scene};
use crate::world::{Answer, CANARY};
use serde_json::{Value, json};

/// The entries and how many there are in all.
#[track_caller]
fn told(answer: &Answer, what: &str) -> (Vec<Value>, u64) {
    assert_eq!(answer.status, 200, "{what}: {}", answer.text());
    assert!(!answer.text().contains(CANARY), "{what}");
    let answer = answer.json();
    let lines = answer["recent_entries"].as_array().unwrap();
    assert!(lines.len() <= 100, "{what}");
    let entries = lines
        .iter()
        .map(|line| serde_json::from_str(line.as_str().unwrap()).unwrap())
        .collect();
    (entries, answer["total_entries"].as_u64().unwrap())
}

async fn ask(scene: &Scene, by: &str, target: &str) -> Answer {
    let (world, key) = (&scene.actors.world, scene.actors.key(by));
    world.call(key, "GET", target, None).await
}

#[tokio::test]
async fn a_steward_has_the_whole_record_and_an_auditor_a_namespace() {
    let scene = Scene::set().await;
    scene.granted(SSH).await;
    scene.get("Scribe.1", SSH).await.is_key("granted");
    let (all, total) = told(&ask(&scene, "alice", AUDIT).await, "steward");
    assert_eq!(all.last().unwrap()["action"], "key.read", "newest last");
    let list = scene
        .actors
        .ok("alice", "GET", "/v1/ledger/entries?limit=1", Value::Null)
        .await;
    let newest = &list["entries"][0];
    let answer = ask(&scene, "alice", AUDIT).await.json();
    let lines = answer["recent_entries"].as_array().unwrap();
    assert_eq!(lines.last().unwrap(), &newest["entry"], "byte for byte");
    assert_eq!(total, newest["index"].as_u64().unwrap() + 1);
    for (by, target, namespace) in [
        ("otto", AUDIT, "shop"),
        ("otto", "/audit?namespace=shop", "shop"),
        ("bert", AUDIT, "bank"),
        ("alice", "/audit?namespace=bank", "bank"),
    ] {
        let (entries, of_all) = told(&ask(&scene, by, target).await, by);
        assert_eq!(of_all, total, "{by}");
        assert!(!entries.is_empty(), "{by}");
        for entry in entries {
            assert_eq!(entry["namespace"], namespace, "{by}: {entry}");
        }
    }
}

#[tokio::test]
async fn at_most_a_hundred_are_told_and_they_are_the_newest() {
    let scene = Scene::set().await;
    for round in 0..120 {
        scene.put("ssh/deploy", round.to_string().as_bytes()).await;
    }
    for (by, what) in [("alice", "steward"), ("otto", "auditor")] {
        let (entries, total) = told(&ask(&scene, by, AUDIT).await, what);
        assert_eq!(entries.len(), 100, "{what}");
        assert!(total > 120, "{what}");
        for entry in entries {
            assert_eq!(entry["action"], "secret.write", "{what}");
        }
    }
}

#[tokio::test]
async fn whoever_audits_nothing_hears_one_no() {
    let scene = Scene::set().await;
    let no = json!({"error": "Forbidden", "reason": "no_role"});
    for (by, target) in [
        ("adam", AUDIT),
        ("anna", AUDIT),
        ("scribe", AUDIT),
        ("adam", "/audit?namespace=shop"),
        ("otto", "/audit?namespace=bank"),
        ("otto", "/audit?namespace=nothing"),
        ("scribe", "/audit?namespace=shop"),
    ] {
        let what = format!("{by} {target}");
        ask(&scene, by, target).await.is(403, &no, &what);
    }
    // Agents have no roles, whatever they prove themselves by.
    scene.get("Scribe.1", AUDIT).await.is(403, &no, "foreign");
    let bad = |reason: &str| json!({"error": "bad_request", "reason": reason});
    for target in ["/audit?namespace=A", "/audit?after=1", "/audit?namespace="] {
        ask(&scene, "otto", target)
            .await
            .is(400, &bad("query"), target);
    }
}

#[tokio::test]
async fn an_auditor_of_two_namespaces_says_which() {
    let scene = Scene::set().await;
    let roles = json!({"roles": [
        {"role": "auditor", "namespace": "shop"}, {"role": "auditor", "namespace": "bank"},
    ]});
    let target = "/v1/operators/otto/roles";
    scene.actors.ok("alice", "PUT", target, roles).await;
    let which = json!({"error": "bad_request", "reason": "namespace"});
    ask(&scene, "otto", AUDIT).await.is(400, &which, "which");
    for namespace in ["shop", "bank"] {
        let target = format!("/audit?namespace={namespace}");
        told(&ask(&scene, "otto", &target).await, namespace);
    }
}
