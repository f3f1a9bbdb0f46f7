//! The life of a secret through the API: deleted and back, kinds, what is said of it,
//! and how it may be handed over.

use crate::actors::{Actors, value_b64};
use crate::world::Answer;
use procura_types::{Duration, encoding};
use serde_json::{Value, json};

const NS: &str = "/v1/namespaces/shop";
const KEY: &str = "/v1/namespaces/shop/secrets/a/key";
const HISTORY: &str = "/v1/namespaces/shop/history/a/key";
const UNDELETE: &str = "/v1/namespaces/shop/undelete/a/key";
const METADATA: &str = "/v1/namespaces/shop/metadata/a/key";

async fn call(actors: &Actors, by: &str, method: &str, target: &str) -> Answer {
    actors
        .world
        .call(actors.key(by), method, target, None)
        .await
}

async fn put(actors: &Actors, body: &Value) -> Answer {
    let world = &actors.world;
    world.call(actors.key("adam"), "PUT", KEY, Some(body)).await
}

async fn set(actors: &Actors, target: &str, body: Value) -> Value {
    actors.ok("adam", "POST", target, body).await
}

fn conflict(answer: &Answer, reason: &str) {
    answer.expect("conflict", Some(reason), None, reason);
}

#[tokio::test]
async fn a_deleted_secret_is_there_for_who_may_undelete_it_alone() {
    let actors = Actors::new().await;
    put(&actors, &json!({"value_b64": value_b64(), "env": "AKEY"})).await;
    let deleted = call(&actors, "adam", "DELETE", KEY).await;
    assert_eq!(deleted.status, 204, "{}", deleted.text());
    let list = format!("{NS}/secrets?prefix=a/");
    for by in ["adam", "anna", "otto"] {
        let found = actors.ok(by, "GET", &list, Value::Null).await;
        assert_eq!(found["secrets"], json!([]), "{by}");
    }
    // For an auditor as if it had never been.
    let missing = call(&actors, "otto", "GET", &format!("{NS}/history/a/none")).await;
    let hidden = call(&actors, "otto", "GET", HISTORY).await;
    hidden.expect("not_found", None, None, "deleted");
    let words = |answer: &Answer, path: &str| {
        let detail = answer.json()["detail"].as_str().unwrap().to_owned();
        detail.replace(path, "PATH")
    };
    assert_eq!(words(&hidden, "a/key"), words(&missing, "a/none"));
    let history = actors.ok("adam", "GET", HISTORY, Value::Null).await;
    assert_eq!(history["versions"][0]["state"], "deleted");

    let deleted = format!("{NS}/secrets?deleted=true");
    for by in ["anna", "otto", "scribe"] {
        let refused = call(&actors, by, "GET", &deleted).await;
        refused.expect("forbidden", None, None, by);
        let refused = call(&actors, by, "POST", UNDELETE).await;
        refused.expect("forbidden", None, None, by);
    }
    let found = actors.ok("adam", "GET", &deleted, Value::Null).await;
    let paths: Vec<&Value> = found["secrets"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| &row["path"])
        .collect();
    assert_eq!(paths, ["a/key"]);
    let undeleted = actors.ok("adam", "POST", UNDELETE, Value::Null).await;
    assert_eq!(undeleted, json!({"path": "a/key", "versions": [1]}));
    let read = actors.ok("adam", "GET", KEY, Value::Null).await;
    assert_eq!(read["value_b64"], value_b64());
    let history = actors.ok("otto", "GET", HISTORY, Value::Null).await;
    assert_eq!(history["versions"][0]["state"], "live");
}

#[tokio::test]
async fn what_cannot_be_undeleted_says_why() {
    let actors = Actors::new().await;
    let undelete = async || call(&actors, "adam", "POST", UNDELETE).await;
    undelete().await.expect("not_found", None, None, "unknown");
    put(&actors, &json!({"value_b64": value_b64()})).await;
    conflict(&undelete().await, "not_deleted");
    let target = format!("{UNDELETE}?version=2");
    let answer = call(&actors, "adam", "POST", &target).await;
    answer.expect("not_found", None, None, "no such version");
    let destroyed = call(&actors, "adam", "DELETE", &format!("{KEY}?destroy=true")).await;
    assert_eq!(destroyed.status, 204);
    conflict(&undelete().await, "destroyed");
    let elsewhere = call(&actors, "bert", "POST", UNDELETE).await;
    elsewhere.expect("not_found", None, None, "of another namespace");
}

#[tokio::test]
async fn a_value_that_is_not_of_its_kind_is_refused_at_the_value() {
    let actors = Actors::new().await;
    for kind in ["json", "certificate", "ssh-key", "api-key"] {
        let value = encoding::b64url(format!("{{{}\n", crate::world::CANARY).as_bytes());
        let answer = put(&actors, &json!({"value_b64": value, "kind": kind})).await;
        answer.expect("malformed", None, Some("value_b64"), kind);
    }
    let made = rcgen::generate_simple_self_signed(vec!["web.example".to_owned()]).unwrap();
    let pem = made.cert.pem() + &made.signing_key.serialize_pem();
    let value = encoding::b64url(pem.as_bytes());
    let body = json!({"value_b64": value, "kind": "certificate"});
    let written = put(&actors, &body).await;
    assert_eq!(written.status, 200, "{}", written.text());
    let read = actors.ok("adam", "GET", KEY, Value::Null).await;
    assert_eq!(read["value_b64"], value);
    let body = json!({"value_b64": value_b64(), "kind": "key-value"});
    conflict(&put(&actors, &body).await, "other_kind");
    let history = actors.ok("otto", "GET", HISTORY, Value::Null).await;
    assert_eq!(history["kind"], "certificate");
    let list = format!("{NS}/secrets?prefix=a/");
    let list = actors.ok("otto", "GET", &list, Value::Null).await;
    assert_eq!(list["secrets"][0]["kind"], "certificate");
}

#[tokio::test]
async fn what_is_said_of_a_secret_is_set_and_shown() {
    let actors = Actors::new().await;
    put(&actors, &json!({"value_b64": value_b64()})).await;
    let time = actors.world.now().plus(Duration::from_secs(60));
    let body = json!({"tags": ["b", "a"], "owner": "Ann", "rotate_by": time, "delivery": ["env"]});
    let row = set(&actors, METADATA, body).await;
    assert_eq!(
        (&row["tags"], &row["owner"], &row["delivery"]),
        (&json!(["a", "b"]), &json!("Ann"), &json!(["env"]))
    );
    let due = async |within: u64| {
        let target = format!("{NS}/secrets?prefix=a/&due_within={within}");
        let list = actors.ok("otto", "GET", &target, Value::Null).await;
        list["secrets"].as_array().unwrap().len()
    };
    assert_eq!((due(59).await, due(60).await), (0, 1));
    let row = set(&actors, METADATA, json!({"clear": ["rotate_by", "tags"]})).await;
    assert_eq!(
        (&row["rotate_by"], &row["tags"], &row["owner"]),
        (&Value::Null, &Value::Null, &json!("Ann"))
    );
    assert_eq!(due(60).await, 0);
    let mixed = call(
        &actors,
        "adam",
        "GET",
        &format!("{NS}/secrets?deleted=true&due_within=1"),
    )
    .await;
    mixed.expect("malformed", None, Some("due_within"), "both");
}

#[tokio::test]
async fn what_has_expired_and_what_may_not_be_delivered_so_is_not_handed_over() {
    let actors = Actors::new().await;
    let metadata = format!("{NS}/metadata/db/password");
    let secret = format!("{NS}/secrets/db/password");
    let run = async |by: &str| {
        let body = json!({"names": ["DB"], "delivery": "env"});
        let target = format!("{NS}/projects/web/runs");
        let world = &actors.world;
        world
            .call(actors.key(by), "POST", &target, Some(&body))
            .await
    };
    assert_eq!(run("scribe").await.status, 200);
    set(&actors, &metadata, json!({"delivery": ["http", "file"]})).await;
    let refused = run("scribe").await;
    refused.expect("delivery_not_allowed", None, None, "env");
    assert_eq!(refused.status, 422);
    assert!(refused.json()["values"].is_null());
    // An operator reads it all the same.
    actors.ok("adam", "GET", &secret, Value::Null).await;
    set(&actors, &metadata, json!({"clear": ["delivery"]})).await;
    assert_eq!(run("scribe").await.status, 200);

    let soon = actors.world.now().plus(Duration::from_secs(5));
    set(&actors, &metadata, json!({"expires": soon})).await;
    assert_eq!(run("scribe").await.status, 200);
    actors.world.clock.turn(Duration::from_secs(5));
    let refused = run("scribe").await;
    refused.expect("secret_expired", None, None, "granted");
    assert_eq!(refused.status, 410);
    let refused = call(&actors, "adam", "GET", &secret).await;
    refused.expect("secret_expired", None, None, "an admin");
    // To whoever could not read it anyway it says nothing of that.
    let refused = call(&actors, "otto", "GET", &secret).await;
    refused.expect("forbidden", None, None, "an auditor");
    let refused = call(&actors, "bert", "GET", &secret).await;
    refused.expect("not_found", None, None, "of another namespace");
}
