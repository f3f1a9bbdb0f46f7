//! Transit keys: what one wraps, it unwraps for the same context and device's agent, and
//! for nothing else.

use crate::actors::Actors;
use crate::world::Answer;
use procura_types::encoding::b64url;
use serde_json::{Value, json};

const KEYS: &str = "/v1/namespaces/shop/transit";

async fn call(actors: &Actors, by: &str, method: &str, target: &str, body: Value) -> Answer {
    let body = (!body.is_null()).then_some(&body);
    actors
        .world
        .call(actors.key(by), method, target, body)
        .await
}

async fn wrap(actors: &Actors, by: &str, key: &str, context: &str) -> String {
    let body = json!({"value_b64": b64url(b"canary value"), "context": b64url(context.as_bytes())});
    let target = format!("{KEYS}/{key}/wrap");
    let wrapped = actors.ok(by, "POST", &target, body).await;
    wrapped["wrapped"].as_str().unwrap().to_owned()
}

async fn unwrap(actors: &Actors, by: &str, key: &str, wrapped: &str, context: &str) -> Answer {
    let body = json!({"wrapped": wrapped, "context": b64url(context.as_bytes())});
    let target = format!("{KEYS}/{key}/unwrap");
    call(actors, by, "POST", &target, body).await
}

async fn entries(actors: &Actors, action: &str) -> Vec<Value> {
    let target = format!("/v1/ledger/entries?action={action}&limit=10");
    let found = actors.ok("alice", "GET", &target, Value::Null).await;
    let found = found["entries"].as_array().unwrap().iter();
    found
        .map(|row| serde_json::from_str(row["entry"].as_str().unwrap()).unwrap())
        .collect()
}

#[tokio::test]
async fn a_key_unwraps_what_it_wrapped_for_the_same_context_alone() {
    let actors = Actors::new().await;
    for key in ["one", "two"] {
        let target = format!("{KEYS}/{key}");
        actors
            .ok("adam", "PUT", &target, json!({"agents": ["baker"]}))
            .await;
    }
    let wrapped = wrap(&actors, "baker", "one", "vault a").await;
    let good = unwrap(&actors, "baker", "one", &wrapped, "vault a").await;
    assert_eq!(good.json()["value_b64"], b64url(b"canary value"));
    // Twice the same is wrapped differently.
    assert_ne!(wrap(&actors, "baker", "one", "vault a").await, wrapped);
    let mut changed = wrapped.clone();
    let last = changed.pop().unwrap();
    changed.push(if last == 'A' { 'Q' } else { 'A' });
    for (key, bytes, context) in [
        ("one", &wrapped, "vault b"),
        ("one", &wrapped, ""),
        ("two", &wrapped, "vault a"),
        ("one", &changed, "vault a"),
    ] {
        let refused = unwrap(&actors, "baker", key, bytes, context).await;
        refused.expect("wrapped_key_refused", None, None, key);
    }
    // Nothing of the key or of what was wrapped is told to those who make it.
    let list = actors.ok("adam", "GET", KEYS, Value::Null).await;
    assert_eq!(list["keys"].as_array().unwrap().len(), 2);
    let mut told: Vec<_> = list["keys"][0].as_object().unwrap().keys().collect();
    told.sort();
    assert_eq!(told, ["agents", "created", "name"]);
    unwrap(&actors, "adam", "one", &wrapped, "vault a")
        .await
        .expect("not_found", None, None, "an admin, who is no member");
}

/// A use is in the record before its answer, and one that came to nothing says so.
#[tokio::test]
async fn each_use_is_in_the_record() {
    let actors = Actors::new().await;
    let target = format!("{KEYS}/one");
    actors
        .ok("adam", "PUT", &target, json!({"agents": ["baker"]}))
        .await;
    let wrapped = wrap(&actors, "baker", "one", "a").await;
    unwrap(&actors, "baker", "one", &wrapped, "a").await;
    unwrap(&actors, "baker", "one", &wrapped, "b").await;
    let used = entries(&actors, "transit.unwrap").await;
    let told: Vec<_> = used
        .iter()
        .map(|entry| (entry["phase"].clone(), entry["decision"].clone()))
        .collect();
    assert_eq!(
        told,
        [
            (json!("outcome"), json!("failed")),
            (json!("intent"), json!("allow")),
            (json!("intent"), json!("allow")),
        ]
    );
    for entry in &used {
        assert_eq!(entry["resource"], "transit/one");
        assert!(!entry.to_string().contains(&b64url(b"canary value")));
    }
    assert_eq!(entries(&actors, "transit.wrap").await.len(), 1);
    assert_eq!(entries(&actors, "transit.write").await.len(), 1);
}

/// Who may use a key is said anew without another key; who is not named any more, or is
/// revoked, may not; and a removed key stays gone though one of its name is made.
#[tokio::test]
async fn those_who_may_use_a_key_come_and_go() {
    let actors = Actors::new().await;
    let target = format!("{KEYS}/one");
    let put = async |agents: Value| {
        actors
            .ok("adam", "PUT", &target, json!({"agents": agents}))
            .await
    };
    put(json!(["baker", "scribe"])).await;
    let wrapped = wrap(&actors, "scribe", "one", "a").await;
    put(json!(["baker"])).await;
    unwrap(&actors, "scribe", "one", &wrapped, "a")
        .await
        .expect("not_found", None, None, "not named any more");
    let good = unwrap(&actors, "baker", "one", &wrapped, "a").await;
    assert_eq!(good.status, 200, "{}", good.text());
    actors
        .ok(
            "adam",
            "DELETE",
            "/v1/namespaces/shop/agents/baker",
            Value::Null,
        )
        .await;
    let refused = unwrap(&actors, "baker", "one", &wrapped, "a").await;
    assert_eq!(refused.json()["reason"], "revoked", "{}", refused.text());
    let listed = actors.ok("adam", "GET", KEYS, Value::Null).await;
    assert_eq!(listed["keys"][0]["agents"], json!([]));

    actors.ok("adam", "DELETE", &target, Value::Null).await;
    call(&actors, "adam", "DELETE", &target, Value::Null)
        .await
        .expect("not_found", None, None, "removed");
    put(json!(["scribe"])).await;
    unwrap(&actors, "scribe", "one", &wrapped, "a")
        .await
        .expect("wrapped_key_refused", None, None, "another key");
    let many: Vec<String> = (0..17).map(|number| format!("agent-{number}")).collect();
    call(&actors, "adam", "PUT", &target, json!({"agents": many}))
        .await
        .expect("conflict", None, None, "too many agents");
}

/// The end of a namespace is the end of its keys.
#[tokio::test]
async fn the_keys_of_a_namespace_end_with_it() {
    let actors = Actors::new().await;
    let target = format!("{KEYS}/one");
    actors
        .ok("adam", "PUT", &target, json!({"agents": ["baker"]}))
        .await;
    let wrapped = wrap(&actors, "baker", "one", "a").await;
    let shop = "/v1/namespaces/shop";
    actors
        .ok("alice", "DELETE", shop, json!({"confirm": "shop"}))
        .await;
    let refused = unwrap(&actors, "baker", "one", &wrapped, "a").await;
    refused.expect("unauthorized", Some("revoked"), None, "an agent of it");
    call(&actors, "alice", "GET", KEYS, Value::Null)
        .await
        .expect("not_found", None, None, "its keys");
}
