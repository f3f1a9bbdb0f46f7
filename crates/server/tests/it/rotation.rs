//! Keys that turn while requests go on: none of them fails.

use crate::actors::{Actors, value_b64};
use crate::world::{PASSPHRASE, World};
use procura_ledger::{Checkpoint, Succession, Vkey};
use procura_types::Duration;
use serde_json::{Value, json};

const SECRET: &str = "/v1/namespaces/shop/secrets/db/password";

/// Turns the root, and says what came of it.
async fn rotate(world: &World, with: &str, sessions_go_on: bool) -> (u16, String) {
    let body = json!({"open": {"passphrase": with}, "sessions_go_on": sessions_go_on});
    let answer = world.admin("POST", "/admin/rotate", &body).await;
    (answer.status.as_u16(), answer.text())
}

async fn state(actors: &Actors) -> Value {
    actors.ok("alice", "GET", "/v1/rotation", Value::Null).await
}

/// Waits until nothing is left to be wrapped anew.
async fn finished(actors: &Actors) -> Value {
    for _ in 0..10_000 {
        let state = state(actors).await;
        if state["rewrapping"].is_null() && state["root_settled"] == true {
            return state;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("the pass has no end");
}

async fn newest(actors: &Actors, action: &str) -> Value {
    let target = format!("/v1/ledger/entries?action={action}&limit=1");
    let found = actors.ok("alice", "GET", &target, Value::Null).await;
    serde_json::from_str(found["entries"][0]["entry"].as_str().unwrap()).unwrap()
}

async fn checkpoint(actors: &Actors) -> String {
    let world = &actors.world;
    // Whatever was recorded is signed a moment later.
    let length = {
        let open = world.app.open().unwrap();
        let length = open
            .vault
            .store()
            .log_len(procura_record::tables::LEDGER)
            .unwrap();
        open.publisher.covering(length).await.unwrap();
        length
    };
    assert!(length > 0);
    let answer = world
        .call(actors.key("alice"), "GET", "/v1/ledger/checkpoint", None)
        .await;
    answer.text()
}

#[tokio::test]
async fn no_request_fails_while_everything_turns() {
    let actors = Actors::new().await;
    let world = &actors.world;
    // Reads, writes and key sets, one after the other, the whole time.
    let mut served = 0;
    let requests = async {
        loop {
            actors.ok("adam", "GET", SECRET, Value::Null).await;
            let body = json!({"value_b64": value_b64()});
            actors.ok("adam", "PUT", SECRET, body).await;
            let sent = crate::world::Sent::new("GET", "/.well-known/jwks.json", None);
            assert_eq!(world.send(&sent).await.status, 200);
            served += 3;
            tokio::task::yield_now().await;
        }
    };
    let turns = async {
        for _ in 0..3 {
            assert_eq!(rotate(world, PASSPHRASE, true).await.0, 204);
            for namespace in ["shop", "bank"] {
                let target = format!("/v1/namespaces/{namespace}/rotate");
                actors.ok("alice", "POST", &target, Value::Null).await;
            }
            for tokens in ["agent", "project"] {
                let target = format!("/v1/signing-keys/roll?tokens={tokens}");
                actors.ok("alice", "POST", &target, Value::Null).await;
            }
            // So that the next keys are ready for the next roll.
            world.clock.turn(Duration::from_secs(361));
            finished(&actors).await;
        }
    };
    tokio::select! {
        () = requests => {}
        () = turns => {}
    }
    assert!(served > 30, "{served} requests were served meanwhile");
    let state = finished(&actors).await;
    assert_eq!(state["root_epoch"], 4);
    for namespace in state["namespaces"].as_array().unwrap() {
        assert_eq!(namespace["key_epochs"].as_array().unwrap().len(), 1);
    }
    assert_eq!(state["sessions"].as_array().unwrap().len(), 4);
    let keys = state["ledger_keys"].as_array().unwrap().iter();
    let states: Vec<&str> = keys.map(|key| key["state"].as_str().unwrap()).collect();
    assert_eq!(states, ["retiring", "retiring", "retiring", "active"]);
    world.seal().await;
    world.unseal().await;
    actors.ok("adam", "GET", SECRET, Value::Null).await;
}

#[tokio::test]
async fn a_root_turns_for_who_opens_the_vault_alone() {
    let actors = Actors::new().await;
    let world = &actors.world;
    let (status, text) = rotate(world, "not the passphrase at all", false).await;
    assert_eq!(status, 403, "{text}");
    assert_eq!(state(&actors).await["root_epoch"], 1);
    assert_eq!(rotate(world, PASSPHRASE, false).await.0, 204);
    let state = finished(&actors).await;
    assert_eq!(state["root_epoch"], 2);
    assert_eq!(state["sessions"], json!([{"epoch": 2}]));
    let vkey = world.app.open().unwrap().vault.installation().ledger_vkey;
    let entry = newest(&actors, "installation.rotate").await;
    assert_eq!(entry["resource"], format!("installation ledger_key:{vkey}"));
    let entry = newest(&actors, "installation.rotated").await;
    assert_eq!(
        (&entry["resource"], &entry["profile"]),
        (&json!("installation"), &json!("none"))
    );
}

#[tokio::test]
async fn the_record_leads_from_its_first_key_to_the_one_of_today() {
    let actors = Actors::new().await;
    let world = &actors.world;
    let first: Vkey = world
        .app
        .open()
        .unwrap()
        .vault
        .installation()
        .ledger_vkey
        .parse()
        .unwrap();
    assert_eq!(rotate(world, PASSPHRASE, false).await.0, 204);
    finished(&actors).await;
    let note = checkpoint(&actors).await;
    let second = Checkpoint::open_following(&note, &first)
        .unwrap()
        .successor
        .unwrap();
    assert_eq!(rotate(world, PASSPHRASE, false).await.0, 204);
    finished(&actors).await;
    let note = checkpoint(&actors).await;
    Checkpoint::open(&note, &second).unwrap();
    // Long after both have retired.
    world.clock.turn(Duration::from_secs(31 * 24 * 60 * 60));
    actors
        .ok("adam", "PUT", SECRET, json!({"value_b64": value_b64()}))
        .await;
    let note = checkpoint(&actors).await;
    for retired in [&first, &second] {
        assert!(Checkpoint::open(&note, retired).is_err());
    }
    let list = actors
        .ok("scribe", "GET", "/v1/ledger/handovers", Value::Null)
        .await;
    let notes: Vec<&str> = list["handovers"]
        .as_array()
        .unwrap()
        .iter()
        .map(|note| note.as_str().unwrap())
        .collect();
    let succession = Succession::of(first).follow(notes);
    assert_eq!(succession.heads().len(), 2);
    Checkpoint::open(&note, succession.newest()).unwrap();
    let today = world.app.open().unwrap().vault.installation().ledger_vkey;
    assert_eq!(succession.newest().to_string(), today);
}
