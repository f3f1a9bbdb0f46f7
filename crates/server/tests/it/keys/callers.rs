//! Who gets a key, by which proof, and what the record says of it.

use super::scene::{API, AUDIT, By, LIST, SSH, Scene, no_api_key, no_key};
use crate::sessions::started;
use crate::world::CANARY;
use procura_proof::{ANSWER_FIELD, AnswerView};
use procura_types::Duration;
use serde_json::{Value, json};

#[tokio::test]
async fn a_key_is_there_between_approval_and_withdrawal() {
    let scene = Scene::set().await;
    let none = json!({"ssh_keys": [], "api_services": []});
    scene.get("Scribe.1", LIST).await.is(200, &none, "before");
    let request = scene.waits(SSH).await;
    assert_eq!(scene.waits(SSH).await, request, "asked once");
    assert_eq!(scene.granted(SSH).await, request);
    scene.get("Scribe.1", SSH).await.is_key("granted");
    let one = json!({"ssh_keys": ["deploy"], "api_services": []});
    scene.get("Scribe.1", LIST).await.is(200, &one, "granted");
    scene.granted(API).await;
    let key = json!({"service": "openai", "api_key": format!("sk-\"{CANARY}\"")});
    scene.get("Scribe.1", API).await.is(200, &key, "granted");
    scene.withdraw(&request).await;
    assert_ne!(scene.waits(SSH).await, request);
    // The grant of another key is untouched, and ends with its time.
    scene.get("Scribe.1", API).await.is(200, &key, "granted");
    scene.actors.world.clock.turn(Duration::from_secs(86_400));
    scene.waits(API).await;
}

#[tokio::test]
async fn every_profile_but_the_weak_one_is_taken() {
    let scene = Scene::set().await;
    scene.granted(SSH).await;
    let secret = scene.secret().await;
    for (by, what) in [
        (By::KeyServerV1, "key-server-v1"),
        (By::GuideV1, "guide-v1"),
        (By::HmacV2(&secret), "hmac-v2"),
    ] {
        let sent = scene.proven("Scribe.1", by, SSH);
        scene.send(&sent).await.is_key(what);
        scene.send(&sent).await.unproven("nonce_replayed", what);
    }
    for target in [SSH, API, LIST, AUDIT, "/keys/ssh/nothing"] {
        let weak = scene.proven("Scribe.1", By::HmacV1(&secret), target);
        scene.send(&weak).await.unproven("missing_headers", target);
    }
    let profiles: Vec<String> = scene
        .entries("key.read")
        .await
        .iter()
        .filter(|entry| entry["decision"] == "allow")
        .map(|entry| entry["profile"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(profiles, ["hmac-v2", "guide-v1", "key-server-v1"]);
}

#[tokio::test]
async fn a_native_proof_and_a_session_do_as_well() {
    let scene = Scene::set().await;
    scene.granted(SSH).await;
    let (world, key) = (&scene.actors.world, scene.actors.key("scribe"));
    world.call(key, "GET", SSH, None).await.is_key("native");
    let (session, _) = started(world, key, None).await;
    let answer = world.in_session(&session, 1, "GET", SSH, None).await;
    answer.is_key("in a session");
    let tag = answer.headers[ANSWER_FIELD].to_str().unwrap();
    let view = AnswerView {
        status: 200,
        content_type: "text/plain; charset=utf-8",
        body: &answer.body,
    };
    assert!(view.is_signed(&session.key, 1, tag), "{tag}");
    let again = world.in_session(&session, 1, "GET", SSH, None).await;
    again.unproven("nonce_replayed", "the counter");
}

#[tokio::test]
async fn the_record_names_actor_profile_path_and_grant() {
    let scene = Scene::set().await;
    let grant = scene.granted(SSH).await;
    scene
        .put("ssh/deploy", super::scene::private_key().as_bytes())
        .await;
    scene.get("Scribe.1", SSH).await.is_key("granted");
    let found = scene.entries("key.read").await;
    let read = &found[0];
    let actor = scene
        .actors
        .ok("adam", "GET", "/v1/namespaces/shop/agents", Value::Null)
        .await;
    let scribe = actor["agents"]
        .as_array()
        .unwrap()
        .iter()
        .find(|agent| agent["label"] == "scribe")
        .unwrap();
    assert_eq!(read["actor"], scribe["actor_id"], "{read}");
    assert_eq!(read["phase"], "intent", "{read}");
    assert_eq!(read["decision"], "allow", "{read}");
    assert_eq!(read["profile"], "key-server-v1", "{read}");
    assert_eq!(read["resource"], "secret/ssh/deploy @2", "{read}");
    assert_eq!(read["namespace"], "shop", "{read}");
    assert_eq!(read["grant"], json!(grant), "{read}");
    assert_eq!(read["device"], Value::Null, "the key is a file: {read}");
    // Looking for what is not there is in it as well.
    scene
        .get("baker", SSH)
        .await
        .is(404, &no_key(), "not named by the project");
    let found = scene.entries("key.read").await;
    assert_eq!(found[0]["decision"], "deny", "{:?}", found[0]);
    assert_eq!(found[0]["reason"], "not_found", "{:?}", found[0]);
    for entry in found {
        assert!(!entry.to_string().contains(CANARY));
    }
}

#[tokio::test]
async fn whoever_may_not_even_ask_hears_that_there_is_none() {
    let scene = Scene::set().await;
    scene.granted(SSH).await;
    for (id, what) in [("baker", "not named"), ("robber", "of another namespace")] {
        scene.get(id, SSH).await.is(404, &no_key(), what);
        scene.get(id, API).await.is(404, &no_api_key(), what);
        let none = json!({"ssh_keys": [], "api_services": []});
        scene.get(id, LIST).await.is(200, &none, what);
    }
    let world = &scene.actors.world;
    for operator in ["alice", "adam", "anna", "otto", "bert"] {
        let key = scene.actors.key(operator);
        let answer = world.call(key, "GET", SSH, None).await;
        answer.is(404, &no_key(), operator);
        let none = json!({"ssh_keys": [], "api_services": []});
        world
            .call(key, "GET", LIST, None)
            .await
            .is(200, &none, operator);
    }
    for name in [
        "nothing", "%64eploy", "deploy/", "a/b", "..", ".", "", "a%2Fb",
    ] {
        let target = format!("/keys/ssh/{name}");
        let answer = scene.get("Scribe.1", &target).await;
        answer.is(404, &no_key(), name);
        let target = format!("/keys/api/{name}");
        let answer = scene.get("Scribe.1", &target).await;
        answer.is(404, &no_api_key(), name);
    }
    // Taken out of the project it keeps what it was granted, and asks no more.
    scene.project(&[]).await;
    scene.get("Scribe.1", SSH).await.is_key("granted");
    let answer = scene.get("Scribe.1", API).await;
    answer.is(404, &no_api_key(), "taken out");
}

#[tokio::test]
async fn a_grant_for_a_run_opens_no_key() {
    let scene = Scene::set().await;
    let target = "/v1/namespaces/shop/projects/keys/runs";
    let run = json!({"names": ["SSH_DEPLOY"], "delivery": "env"});
    let (world, key) = (&scene.actors.world, scene.actors.key("scribe"));
    let asked = world.call(key, "POST", target, Some(&run)).await;
    let request = asked.json()["request"].as_str().unwrap().to_owned();
    let body = scene.actors.approval(&request, "anna").await;
    let approve = format!("/v1/namespaces/shop/requests/{request}/approve");
    scene.actors.ok("anna", "POST", &approve, body).await;
    assert_eq!(
        world.call(key, "POST", target, Some(&run)).await.status,
        200
    );
    scene.waits(SSH).await;
    // Nor may a run ask for the other way.
    let run = json!({"names": ["SSH_DEPLOY"], "delivery": "http"});
    let refused = world.call(key, "POST", target, Some(&run)).await;
    refused.expect("malformed", None, Some("delivery"), "http");
}

#[tokio::test]
async fn who_is_gone_gets_nothing_from_the_next_request_on() {
    let scene = Scene::set().await;
    scene.granted(SSH).await;
    scene.get("Scribe.1", SSH).await.is_key("granted");
    // The file goes and comes back.
    std::fs::remove_file(scene.file("Scribe.1")).unwrap();
    let answer = scene.get("Scribe.1", SSH).await;
    answer.unproven("unknown_agent", "the file is gone");
    scene.enrol("Scribe.1");
    scene.get("Scribe.1", SSH).await.is_key("it is back");
    // A key that stands for nobody here.
    scene.enrol("stray");
    let answer = scene.get("stray", SSH).await;
    answer.unproven("unknown_agent", "not bound");
    // The id is released.
    let target = "/v1/namespaces/shop/foreign-ids/Scribe.1";
    scene.actors.ok("adam", "DELETE", target, Value::Null).await;
    let answer = scene.get("Scribe.1", SSH).await;
    answer.unproven("unknown_agent", "released");
    scene
        .actors
        .ok("alice", "PUT", target, json!({"agent": "scribe"}))
        .await;
    scene.get("Scribe.1", SSH).await.is_key("bound again");
    let revoke = "/v1/namespaces/shop/agents/scribe";
    scene.actors.ok("adam", "DELETE", revoke, Value::Null).await;
    let answer = scene.get("Scribe.1", SSH).await;
    answer.unproven("revoked", "revoked");
}

#[tokio::test]
async fn too_many_requests_wait_for_too_many_answers() {
    let scene = Scene::set().await;
    // One question in a hundred versions of the project: the bound of one agent.
    for round in 0..=100 {
        let env = json!({format!("NAME_{round}"): "ssh/deploy"});
        let body = json!({"agents": ["scribe"], "env": env});
        let target = "/v1/namespaces/shop/projects/keys";
        scene.actors.ok("adam", "PUT", target, body).await;
        let answer = scene.get("Scribe.1", SSH).await;
        // Two wait already.
        if round < 98 {
            assert_eq!(answer.status, 403, "{round}: {}", answer.text());
        } else {
            answer.is(429, &json!({"error": "rate_limited"}), &round.to_string());
        }
    }
}

#[tokio::test]
async fn an_agent_gets_keys_at_its_addresses_alone() {
    let scene = Scene::set().await;
    scene.granted(SSH).await;
    let secret = scene.secret().await;
    // Who may ask at all is another list than where this agent may be.
    let folder = scene.actors.world.home.path().join("auth");
    std::fs::create_dir_all(&folder).unwrap();
    let allowed = json!({"allowed_ips": ["127.0.0.1", "10.0.0.0/8"]}).to_string();
    std::fs::write(folder.join("allowed-clients.json"), allowed).unwrap();
    let target = "/v1/namespaces/shop/agents/scribe/sources";
    let sources = json!({"sources": ["10.0.0.0/8"]});
    scene.actors.ok("adam", "PUT", target, sources).await;
    let refused = json!({"error": "Forbidden", "reason": "source_not_allowed"});
    let world = &scene.actors.world;
    for by in [By::KeyServerV1, By::GuideV1, By::HmacV2(&secret)] {
        for target in [SSH, API, LIST, AUDIT, "/keys/ssh/nothing"] {
            let sent = scene.proven("Scribe.1", by, target);
            scene.send(&sent).await.is(403, &refused, target);
        }
        let sent = scene.proven("Scribe.1", by, SSH);
        let answer = world.send_from(&sent, [10, 1, 2, 3].into()).await;
        answer.is_key("from where it may be");
    }
    let key = scene.actors.key("scribe");
    let answer = world.call(key, "GET", SSH, None).await;
    answer.is(403, &refused, "native");
    // Others of the namespace are let be.
    let answer = scene.get("baker", SSH).await;
    answer.is(404, &no_key(), "not held to any");
}
