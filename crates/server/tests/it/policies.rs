//! Policies over HTTP: what agents are refused by them, what operators see of it, and how
//! it is put right.

use crate::actors::Actors;
use crate::world::Answer;
use procura_crypto::SystemEntropy;
use procura_store::{Batch, Blob, Kind, Table};
use procura_types::BatchId;
use serde_json::{Value, json};

const HERE: &str = "/v1/namespaces/shop/policies";
const ALL: &str = "@id(\"all\") permit(principal, action, resource);\n";

async fn put(actors: &Actors, by: &str, at: &str, text: &str) -> u64 {
    let made = actors.ok(by, "POST", at, json!({"text": text})).await;
    assert_eq!(made["state"], "draft");
    made["version"].as_u64().unwrap()
}

async fn set(actors: &Actors, by: &str, at: &str, version: u64, state: &str) {
    let target = format!("{at}/{version}/state");
    let now = actors.ok(by, "PUT", &target, json!({"state": state})).await;
    assert_eq!(now["state"], state);
}

async fn run(actors: &Actors) -> Answer {
    let body = json!({"names": ["DB"], "delivery": "env"});
    let target = "/v1/namespaces/shop/projects/web/runs";
    let key = actors.key("scribe");
    actors.world.call(key, "POST", target, Some(&body)).await
}

#[tokio::test]
async fn what_policies_do_not_permit_is_refused_with_its_reason_and_recorded() {
    let actors = Actors::new().await;
    assert_eq!(run(&actors).await.status, 200);
    let version = put(&actors, "adam", HERE, "").await;
    assert_eq!(run(&actors).await.status, 200, "a draft counts for nothing");
    set(&actors, "adam", HERE, version, "enforce").await;
    let refused = run(&actors).await;
    refused.expect("forbidden", Some("no_policy_permits"), None, "no policy");
    let entry = &actors.recorded("run.deliver").await[0];
    assert_eq!(entry["decision"], "deny");
    assert_eq!(entry["reason"], "no_policy_permits");
    let text = format!(
        "{ALL}@id(\"db\") forbid(principal, action == Procura::Action::\"run.deliver\", resource) when {{ context.path like \"db/*\" }};"
    );
    let version = put(&actors, "adam", HERE, &text).await;
    set(&actors, "adam", HERE, version, "enforce").await;
    let refused = run(&actors).await;
    refused.expect("forbidden", Some("policy_forbids"), None, "a forbid");
    // Which policy it was is for those who read the record.
    assert!(!refused.text().contains("shop@2"), "{}", refused.text());
    let entry = &actors.recorded("run.deliver").await[0];
    assert_eq!(entry["policies"], "shop@2:db");
    let version = put(&actors, "adam", HERE, ALL).await;
    set(&actors, "adam", HERE, version, "enforce").await;
    assert_eq!(run(&actors).await.status, 200);
    let entry = &actors.recorded("run.deliver").await[0];
    assert_eq!(entry["policies"], "shop@3:all");
}

#[tokio::test]
async fn what_is_observed_is_reported_and_refuses_nobody() {
    let actors = Actors::new().await;
    let version = put(&actors, "adam", HERE, "").await;
    set(&actors, "adam", HERE, version, "observe").await;
    assert_eq!(run(&actors).await.status, 200);
    let report = actors
        .ok("otto", "GET", &format!("{HERE}/report"), Value::Null)
        .await;
    assert_eq!(report["version"], version);
    let line = &report["lines"][0];
    assert_eq!(line["would"], "would_deny");
    assert_eq!(
        (line["actor"].as_str(), line["owner"].as_str()),
        (Some("adam//scribe"), Some("adam"))
    );
    assert_eq!(line["action"], "run.deliver");
}

#[tokio::test]
async fn a_text_that_cannot_take_effect_is_refused_with_all_that_is_wrong() {
    let actors = Actors::new().await;
    let text = "permit(principal, action, resource);\npermit(principal, action;\nforbid(";
    let body = json!({"text": text});
    let key = actors.key("adam");
    let refused = actors.world.call(key, "POST", HERE, Some(&body)).await;
    refused.expect("policies_flawed", None, None, "a syntax error");
    let detail = refused.json()["detail"].as_str().unwrap().to_owned();
    assert!(
        detail.contains("line 2: ") && detail.contains("line 3: "),
        "{detail}"
    );
    let list = actors.ok("adam", "GET", HERE, Value::Null).await;
    assert_eq!(list["versions"], json!([]));
}

#[tokio::test]
async fn no_policy_locks_a_steward_out() {
    let actors = Actors::new().await;
    let at = "/v1/policies";
    let version = put(&actors, "alice", at, "forbid(principal, action, resource);").await;
    set(&actors, "alice", at, version, "enforce").await;
    let key = actors.key("alice");
    let refused = actors.world.call(key, "GET", "/v1/operators", None).await;
    refused.expect("forbidden", Some("policy_forbids"), None, "operators");
    assert_eq!(run(&actors).await.status, 403);
    set(&actors, "alice", at, version, "draft").await;
    actors
        .ok("alice", "GET", "/v1/operators", Value::Null)
        .await;
    assert_eq!(run(&actors).await.status, 200);
}

#[tokio::test]
async fn what_policies_say_is_explained() {
    let actors = Actors::new().await;
    let text = format!(
        "{ALL}@id(\"late\") forbid(principal, action == Procura::Action::\"run.deliver\", resource) when {{ context.hour >= 18 }};"
    );
    let version = put(&actors, "adam", HERE, &text).await;
    set(&actors, "adam", HERE, version, "enforce").await;
    let ask = |time: &str| {
        json!({
            "principal": "agent/scribe",
            "action": "run.deliver",
            "resource": "project/web",
            "context": {"time": time},
        })
    };
    let target = format!("{HERE}/explain");
    let late = actors
        .ok("otto", "POST", &target, ask("2026-11-22T18:00:00Z"))
        .await;
    assert_eq!(late["answer"], "deny");
    let told = &late["versions"][0];
    assert_eq!(
        (&told["reason"], &told["by"]),
        (&json!("policy_forbids"), &json!(["late"]))
    );
    assert_eq!(
        (&told["looked_at"], &told["kept"]),
        (&json!(2), &json!(false))
    );
    let early = actors
        .ok("otto", "POST", &target, ask("2026-11-22T17:59:59Z"))
        .await;
    assert_eq!(early["answer"], "allow");
    assert_eq!(early["versions"][0]["by"], json!(["all"]));
    // A label alone could be an agent's or an operator's.
    let mut nobody = ask("2026-11-22T17:59:59Z");
    nobody["principal"] = json!("scribe");
    let key = actors.key("otto");
    let refused = actors.world.call(key, "POST", &target, Some(&nobody)).await;
    assert_eq!(refused.status, 400, "{}", refused.text());
    assert!(refused.text().contains("agent/LABEL"), "{}", refused.text());
}

#[tokio::test]
async fn policies_of_the_installation_are_for_stewards() {
    let actors = Actors::new().await;
    for (method, target) in [
        ("GET", "/v1/policies"),
        ("GET", "/v1/policies/1"),
        ("GET", "/v1/policies/report"),
    ] {
        let key = actors.key("adam");
        let refused = actors.world.call(key, method, target, None).await;
        refused.expect("forbidden", None, None, target);
    }
    let key = actors.key("bert");
    let refused = actors.world.call(key, "GET", HERE, None).await;
    refused.expect("not_found", None, None, "of another namespace");
}

/// The text of a version, as the crate declares it: another one in its place is what a
/// schema that changed, or damage, comes to.
const TEXTS: Table<(String, u32), Blob> = Table::new("policy-text", Kind::Ordinary);

#[tokio::test]
async fn a_broken_text_closes_its_namespace_at_load_and_is_an_alarm() {
    let actors = Actors::new().await;
    let version = put(&actors, "adam", HERE, ALL).await;
    set(&actors, "adam", HERE, version, "enforce").await;
    let open = actors.world.app.open().unwrap();
    let id = BatchId::generate(actors.world.now(), &SystemEntropy).unwrap();
    let mut batch = Batch::new(id);
    let key = ("shop".to_owned(), 1);
    TEXTS.put(&mut batch, &key, &Blob::new(b"permit".to_vec()));
    open.vault.store().commit(batch).await.unwrap();
    drop(open);
    actors.world.seal().await;
    actors.world.unseal().await;

    // Before anybody was refused.
    let entry = &actors.recorded("policy.state").await[0];
    assert_eq!(
        (&entry["decision"], &entry["reason"]),
        (&json!("deny"), &json!("policies_unusable"))
    );
    assert_eq!(
        (&entry["namespace"], &entry["resource"]),
        (&json!("shop"), &json!("policies version:1"))
    );
    let events = actors
        .world
        .signed(actors.key("alice"), "GET", "/v1/events?follow=false", None);
    let events = actors.world.send(&events).await.text();
    assert!(
        events.contains("event: alarm") && events.contains("policies_unusable"),
        "{events}"
    );
    run(&actors).await.expect(
        "forbidden",
        Some("policies_unusable"),
        None,
        "a broken text",
    );
    let list = actors.ok("adam", "GET", HERE, Value::Null).await;
    let why = list["unusable"].as_str().unwrap();
    assert!(why.starts_with("version 1: "), "{why}");
    let status = actors
        .ok("alice", "GET", "/v1/status?deep=true", Value::Null)
        .await;
    assert!(
        status["degraded"].to_string().contains("policies: "),
        "{status}"
    );
    // An admin puts it right.
    set(&actors, "adam", HERE, 1, "draft").await;
    assert_eq!(run(&actors).await.status, 200);
}
