//! The server keeps an index of the record, and answers the same with it.

use crate::actors::Actors;
use procura_crypto::SystemEntropy;
use procura_ledger::Entry;
use procura_record::tables::LEDGER;
use procura_store::{Kind, Store, Table};
use procura_types::TraceId;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::time::Duration;

/// What every row of the index begins with.
#[derive(Serialize, Deserialize)]
struct Begins {
    v: u8,
}

const ROWS: Table<u64, Begins> = Table::new("ledger-block", Kind::Ordinary);

fn store(actors: &Actors) -> Store {
    let open = actors.world.app.open().ok().unwrap();
    open.vault.store().clone()
}

/// What the record answers to a few questions, newest first.
async fn answers(actors: &Actors) -> Vec<Value> {
    let mut answers = Vec::new();
    for question in [
        "entries?action=secret.read",
        "entries?namespace=shop&action=request.approve",
        "entries?action=installation.check&limit=1",
        "entries?action=installation.spool",
        "entries?until=2020-01-01T00:00:00Z",
    ] {
        let target = format!("/v1/ledger/{question}");
        answers.push(actors.ok("alice", "GET", &target, Value::Null).await);
    }
    answers
}

#[tokio::test]
async fn answers_are_the_same_before_and_after_it_is_made() {
    let actors = Actors::new().await;
    // Entries of the actors are in the first block, which these fill.
    let mut batch = store(&actors).batch().unwrap();
    for _ in 0..5000 {
        let trace = TraceId::from_bytes([1; 16]);
        let entry = Entry::new(
            actors.world.now(),
            &SystemEntropy,
            "installation.check",
            trace,
        )
        .unwrap();
        batch.append(LEDGER, entry.to_bytes().unwrap());
    }
    store(&actors).commit(batch).await.unwrap();
    let before = answers(&actors).await;
    assert!(!before[1]["entries"].as_array().unwrap().is_empty());

    // The questions made it already; without its row, the server makes it.
    let mut batch = store(&actors).batch().unwrap().bulk();
    ROWS.delete(&mut batch, &0);
    store(&actors).commit(batch).await.unwrap();
    actors.world.seal().await;
    actors.world.unseal().await;
    let made = async {
        while ROWS.get(&store(&actors), &0).unwrap().is_none() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), made)
        .await
        .unwrap();
    assert_eq!(answers(&actors).await, before);

    let oldest = &before[1]["entries"][0]["entry"];
    let entry: Value = serde_json::from_str(oldest.as_str().unwrap()).unwrap();
    let target = format!("/v1/ledger/proof/{}", entry["id"].as_str().unwrap());
    let proof = actors.ok("alice", "GET", &target, Value::Null).await;
    assert_eq!(&proof["entry"], oldest);
}
