//! Touches of decoys whose request or process came to its end half way, and what was kept
//! of them and is damaged.

use crate::actors::{Actors, value_b64};
use crate::honey::{NS, alarms, call, free_again, held, plant, quarantined, touches, until_held};
use procura_crypto::SystemEntropy;
use procura_store::{Batch, KeyPrefix, Kind, Table};
use procura_types::{BatchId, Duration, SecretPath, Thumbprint, TraceId};
use procura_vault::{MissedAsk, MissedRow, keep_missed};
use serde_json::{Value, json};
use std::task::Poll;

/// What was asked for, as it lies in the store.
const MISSED: Table<String, Value> = Table::new("honey-missed", Kind::Ordinary);

fn kept(actors: &Actors) -> Vec<Value> {
    let open = actors.world.app.open().unwrap();
    let snapshot = open.vault.store().snapshot().unwrap();
    let rows = MISSED.scan(&snapshot, &KeyPrefix::all(), None, 1000);
    let rows = rows.unwrap().into_iter();
    rows.map(|(_, row)| row.value).collect()
}

/// The server drops a request whose client hung up; what it had begun has its effect.
#[tokio::test]
async fn who_hangs_up_behind_a_touch_has_touched() {
    let actors = Actors::new().await;
    let before = actors.world.now();
    actors.world.clock.turn(Duration::from_secs(60));
    let cases = [
        (
            "PUT",
            format!("{NS}/secrets/prod/one"),
            json!({"value_b64": value_b64()}),
        ),
        (
            "POST",
            format!("{NS}/import"),
            json!({"secrets": [{"secret": {"path": "prod/two", "value_b64": value_b64()}}]}),
        ),
        (
            "POST",
            "/v1/import".to_owned(),
            json!({"namespaces": [{"namespace": "shop", "secrets": [
                {"secret": {"path": "prod/three", "value_b64": value_b64()}}]}]}),
        ),
        (
            "POST",
            format!("{NS}/rollback"),
            json!({"prefix": "prod/four", "at": before}),
        ),
    ];
    let device = actors.device("adam");
    for ((method, target, body), path) in
        cases
            .iter()
            .zip(["prod/one", "prod/two", "prod/three", "prod/four"])
    {
        let planted = plant(&actors, path, json!({"shape": "aws"})).await;
        let adam = actors.key("adam");
        let mut request = Box::pin(actors.world.call(adam, method, target, Some(body)));
        let mut poll = async || {
            let once = std::future::poll_fn(|context| Poll::Ready(request.as_mut().poll(context)));
            once.await.is_ready()
        };
        let mut rows = Vec::new();
        for _ in 0..2000 {
            assert!(!poll().await, "{path}: it was answered before it was kept");
            tokio::time::sleep(std::time::Duration::from_millis(2)).await;
            rows = kept(&actors);
            if !rows.is_empty() {
                break;
            }
        }
        // By its name, since its path is about to be a secret's.
        let [row] = rows.as_slice() else {
            panic!("{path}: {rows:?}");
        };
        assert_eq!(row["asked"], json!({"decoy": planted["canary"]}), "{path}");
        // On until its commit is done, and away before it hears of that.
        let mut removed = false;
        for round in 0..2000 {
            // Seldom, so that it does not hear of the commit that it made right before.
            if round % 100 == 0 {
                assert!(!poll().await, "{path}: it was answered");
            }
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            let open = actors.world.app.open().unwrap();
            let place: SecretPath = path.parse().unwrap();
            let snapshot = open.directory.snapshot();
            removed = snapshot
                .honey_at(&"shop".parse().unwrap(), &place)
                .is_none();
            if removed {
                break;
            }
        }
        assert!(removed, "{path}: it had no effect");
        drop(request);
        held(
            &call(&actors, "adam", "GET", &format!("{NS}/agents")).await,
            path,
        );
        let found = until_held(&actors, &device).await;
        assert_eq!(found["canary"], planted["canary"], "{path}");
        free_again(&actors, &device, "adam").await;
    }
    assert_eq!(
        touches(&actors).await,
        [Value::Null; 0],
        "decoys that are gone"
    );
    assert_eq!(alarms(&actors).await.len(), cases.len());
}

/// As after a kill behind a write over a decoy, which took it away, and before the commit
/// of what follows from it.
#[tokio::test]
async fn a_touch_that_removed_its_decoy_is_noticed_when_the_vault_opens() {
    let actors = Actors::new().await;
    let planted = plant(&actors, "prod/fake", json!({"shape": "aws"})).await;
    let open = actors.world.app.open().unwrap();
    let now = actors.world.now();
    let device: Thumbprint = actors.device("adam").parse().unwrap();
    let row = MissedRow {
        suspect: procura_directory::Suspect::Device(device),
        actor: open.directory.snapshot().device(&device).unwrap().actor,
        profile: "native".to_owned(),
        session: None,
        how: "secret.write".to_owned(),
        asked: MissedAsk::Decoy(planted["canary"].as_str().unwrap().parse().unwrap()),
        time: now,
        ip: None,
        trace: TraceId::generate(now, &SystemEntropy).unwrap(),
    };
    keep_missed(open.vault.store(), &[row], now, &SystemEntropy)
        .await
        .unwrap();
    drop(open);
    // A steward who takes it away touches nothing, and the path is free as behind a write.
    let removed = call(&actors, "alice", "DELETE", "/v1/honey/shop/prod/fake").await;
    assert_eq!(removed.status, 204, "{}", removed.text());
    assert_eq!(quarantined(&actors).await, [Value::Null; 0]);
    actors.world.seal().await;
    actors.world.unseal().await;
    let found = until_held(&actors, &actors.device("adam")).await;
    assert_eq!(found["canary"], planted["canary"]);
    let alarms = alarms(&actors).await;
    assert_eq!(alarms.len(), 1);
    assert_eq!(alarms[0]["reason"], "secret.write");
    actors.world.seal().await;
    actors.world.unseal().await;
    assert_eq!(kept(&actors), [Value::Null; 0]);
}

/// A row that opens, and that no program reads, is no reason to stay shut.
#[tokio::test]
async fn the_vault_opens_over_what_was_kept_and_is_damaged() {
    let actors = Actors::new().await;
    let planted = plant(&actors, "prod/fake", json!({"shape": "aws"})).await;
    let open = actors.world.app.open().unwrap();
    let now = actors.world.now();
    let device: Thumbprint = actors.device("adam").parse().unwrap();
    let row = MissedRow {
        suspect: procura_directory::Suspect::Device(device),
        actor: open.directory.snapshot().device(&device).unwrap().actor,
        profile: "native".to_owned(),
        session: None,
        how: "secret.read".to_owned(),
        asked: MissedAsk::Path("shop".parse().unwrap(), "prod/fake".parse().unwrap()),
        time: now,
        ip: None,
        trace: TraceId::generate(now, &SystemEntropy).unwrap(),
    };
    let store = open.vault.store();
    keep_missed(store, &[row], now, &SystemEntropy)
        .await
        .unwrap();
    let mut batch = Batch::new(BatchId::generate(now, &SystemEntropy).unwrap());
    // Behind all ids.
    MISSED.put(&mut batch, &"~/0".to_owned(), &json!({"broken": true}));
    store.commit(batch).await.unwrap();
    drop(open);
    for opened in 1..=2 {
        actors.world.seal().await;
        actors.world.unseal().await;
        // What lies before it is looked at, and people are told of the rest.
        let found = until_held(&actors, &actors.device("adam")).await;
        assert_eq!(found["canary"], planted["canary"]);
        let mut damaged = Vec::new();
        for _ in 0..1000 {
            damaged = alarms(&actors).await;
            damaged.retain(|entry| entry["reason"] == "damaged");
            if damaged.len() == opened {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        assert_eq!(damaged.len(), opened, "once each time that it opens");
        assert_eq!(damaged[0]["resource"], "installation");
    }
    let told = call(&actors, "alice", "GET", "/v1/events?follow=false").await;
    assert_eq!(
        told.text().matches("\"damaged\"").count(),
        2,
        "{}",
        told.text()
    );
}
