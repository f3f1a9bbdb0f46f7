//! Notifications: what receivers get, what they never get, and what becomes of what they
//! do not take.

mod channels;
mod crowds;
mod kinds;
mod lasting;
mod mailbox;
mod network;
pub(crate) mod receiver;
mod secrecy;
mod servers;

use crate::actors::Actors;
use crate::world::Answer;
use procura_crypto::SystemEntropy;
use procura_ledger::Entry;
use procura_record::tables::LEDGER;
use procura_store::Batch;
use procura_types::{BatchId, Duration, TraceId, encoding};
use serde_json::{Value, json};
use std::ops::Range;
use std::time::Instant;

/// Stands in the path of every URL, and is every token: it must be nowhere but where it
/// is sent to.
pub(crate) const SECRET: &str = "credential-canary-55d0b1";

/// A credential as it is put.
pub(crate) fn credential(text: &str) -> String {
    encoding::b64url(text.as_bytes())
}

/// Everybody, where receivers on this machine may be reached.
async fn actors() -> Actors {
    Actors::new().await
}

/// Puts a channel in `shop`.
async fn put(actors: &Actors, name: &str, body: &Value) -> Answer {
    let target = format!("/v1/notify/channels/{name}?namespace=shop");
    let world = &actors.world;
    world
        .call(actors.key("adam"), "PUT", &target, Some(body))
        .await
}

/// A webhook in `shop` with a route of everything.
async fn webhook(actors: &Actors, url: &str, per_minute: u32) {
    let body = json!({
        "kind": "webhook",
        "credential_b64": credential(&format!("{url}/{SECRET}")),
        "per_minute": per_minute,
    });
    let answer = put(actors, "ops", &body).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    route(actors, json!({"channel": "ops"})).await;
}

/// A route in `shop`.
async fn route(actors: &Actors, body: Value) {
    let target = "/v1/notify/routes/all?namespace=shop";
    actors.ok("adam", "PUT", target, body).await;
}

/// Tries the channel `ops` of `shop`.
async fn tried(actors: &Actors) -> Answer {
    let target = "/v1/notify/channels/ops/test?namespace=shop";
    let world = &actors.world;
    world.call(actors.key("adam"), "POST", target, None).await
}

/// What waits in the channels of `shop`, by their names.
async fn queues(actors: &Actors) -> Vec<Value> {
    let target = "/v1/notify/queue?namespace=shop";
    let queue = actors.ok("adam", "GET", target, Value::Null).await;
    queue["channels"].as_array().unwrap().clone()
}

/// What waits in `ops`.
async fn queue(actors: &Actors) -> Value {
    queues(actors).await[0].clone()
}

/// Lets dates of so many secrets of `shop` be over, as the record has it.
async fn remind(actors: &Actors, range: Range<u32>) {
    remind_by(actors, range, 500).await;
}

/// The same, so many in one commit.
async fn remind_by(actors: &Actors, range: Range<u32>, together: usize) {
    let world = &actors.world;
    let store = world.app.open().unwrap().vault.store().clone();
    let (now, entropy) = (world.now(), SystemEntropy);
    let all: Vec<u32> = range.collect();
    for part in all.chunks(together) {
        let mut batch = Batch::new(BatchId::generate(now, &entropy).unwrap());
        for number in part {
            let trace = TraceId::generate(now, &entropy).unwrap();
            let entry = Entry {
                namespace: Some("shop".parse().unwrap()),
                resource: Some(format!("secret/shop/date/{number}")),
                ..Entry::new(now, &entropy, "secret.due", trace).unwrap()
            };
            batch.append(LEDGER, entry.to_bytes().unwrap());
        }
        store.commit(batch).await.unwrap();
    }
}

/// Waits until something is so, for as long as a busy machine may take.
async fn eventually<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let since = Instant::now();
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(since.elapsed() < Duration::from_secs(60), "{what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
