//! What a server does of its own accord: after a change of passphrase, after one
//! that broke off, and with what is over.

use crate::actors::Actors;
use crate::sessions::{list, started, unauthorized};
use crate::world::{Answer, PASSPHRASE, World};
use procura_types::Duration;
use serde_json::{Value, json};

const NEW: &str = "canary passphrase 55aa";

async fn change(world: &World, current: &str, new: &str) -> Answer {
    let body = json!({"current": current, "new": new});
    world.admin("POST", "/admin/passphrase", &body).await
}

/// The newest entry of an action.
async fn newest(actors: &Actors, action: &str) -> Value {
    let target = format!("/v1/ledger/entries?action={action}&limit=1");
    let found = actors.ok("alice", "GET", &target, Value::Null).await;
    serde_json::from_str(found["entries"][0]["entry"].as_str().unwrap()).unwrap()
}

#[tokio::test]
async fn a_change_that_breaks_off_is_undone_and_blocks_nothing() {
    let actors = Actors::new().await;
    let world = &actors.world;
    let blocked = world.home.path().join("installation.json.new");
    std::fs::create_dir(&blocked).unwrap();
    let failed = change(world, PASSPHRASE, NEW).await;
    failed.expect("internal", None, None, "the file cannot be written");
    let detail = failed.json()["detail"].as_str().unwrap().to_owned();
    assert!(
        detail.contains("What opened the vault before opens it"),
        "{detail}"
    );
    let entry = newest(&actors, "installation.passphrase").await;
    assert_eq!(
        (&entry["decision"], &entry["reason"]),
        (&json!("failed"), &json!("interrupted"))
    );
    // Without a restart, and with the file as broken as before.
    let body = json!({"name": "dock"});
    actors.ok("alice", "POST", "/v1/namespaces", body).await;
    std::fs::remove_dir(&blocked).unwrap();
    let changed = change(world, PASSPHRASE, NEW).await;
    assert_eq!(changed.status, 204, "{}", changed.text());
    let target = "/v1/namespaces/shop/secrets/db/password";
    actors.ok("adam", "GET", target, Value::Null).await;
}

#[tokio::test]
async fn sessions_end_and_keys_of_values_are_wrapped_anew() {
    let actors = Actors::new().await;
    let world = &actors.world;
    let (session, _) = started(world, actors.key("scribe"), None).await;
    assert_eq!(list(world, &session, 1).await.status, 200);
    let changed = change(world, PASSPHRASE, NEW).await;
    assert_eq!(changed.status, 204, "{}", changed.text());
    // An old backup with the old passphrase could make such a session itself.
    unauthorized(&list(world, &session, 2).await, "session_unknown");
    let (session, _) = started(world, actors.key("scribe"), None).await;
    assert_eq!(list(world, &session, 1).await.status, 200);
    let status = async || {
        world
            .admin("GET", "/admin/status", &Value::Null)
            .await
            .json()
    };
    for _ in 0..10_000 {
        if status().await.get("rewrapping").is_none() {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    }
    assert_eq!(status().await.get("rewrapping"), None);
    let entry = newest(&actors, "installation.rewrap").await;
    assert_eq!(entry["reason"], "summary");
    assert!(entry["count"].as_u64().unwrap() >= 1, "{entry}");
}

#[tokio::test]
async fn what_is_over_is_taken_away_and_recorded() {
    const LIST: &str = "/v1/namespaces/shop/requests";
    let actors = Actors::new().await;
    let world = &actors.world;
    let count = async || {
        let list = actors.ok("anna", "GET", LIST, Value::Null).await;
        list["requests"].as_array().unwrap().len()
    };
    let before = count().await;
    assert!(before >= 3, "one is answered, two wait");
    world.clock.turn(Duration::from_secs(92 * 24 * 60 * 60));
    // One look finds them over and a later one takes them away. Each change of
    // passphrase makes it look, though a look may come for two of them.
    let (mut current, mut new) = (PASSPHRASE, NEW);
    for _ in 0..50 {
        world.clock.turn(Duration::from_secs(60 * 60));
        assert_eq!(change(world, current, new).await.status, 204);
        std::mem::swap(&mut current, &mut new);
        if count().await == 0 {
            break;
        }
    }
    assert_eq!(count().await, 0);
    let entry = newest(&actors, "request.prune").await;
    assert_eq!(
        (&entry["namespace"], &entry["reason"], &entry["count"]),
        (&json!("shop"), &json!("summary"), &json!(before))
    );
    // The grant is over and stays.
    let grant = format!("/v1/namespaces/shop/grants/{}", actors.grant);
    actors.ok("anna", "GET", &grant, Value::Null).await;
}

#[tokio::test]
async fn a_secret_whose_date_is_over_is_recorded() {
    let actors = Actors::new().await;
    let world = &actors.world;
    let date = world.now().plus(Duration::from_secs(60));
    let target = "/v1/namespaces/shop/metadata/db/password";
    actors
        .ok("adam", "POST", target, json!({"rotate_by": date}))
        .await;
    world.clock.turn(Duration::from_secs(60));
    // A change of passphrase makes it look.
    assert_eq!(change(world, PASSPHRASE, NEW).await.status, 204);
    let target = "/v1/ledger/entries?action=secret.due";
    let mut found = Value::Null;
    for _ in 0..10_000 {
        found = actors.ok("alice", "GET", target, Value::Null).await;
        if found["entries"] != json!([]) {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    }
    assert_eq!(found["entries"].as_array().unwrap().len(), 1);
    let entry = newest(&actors, "secret.due").await;
    assert_eq!(
        (&entry["decision"], &entry["namespace"], &entry["actor"]),
        (&json!("allow"), &json!("shop"), &Value::Null)
    );
    let resource = format!("secret/db/password rotate_by:{date}");
    assert_eq!(entry["resource"], json!(resource));
}
