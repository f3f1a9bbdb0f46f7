//! Secrets whose date is over, where several servers could say so: the record says it once.

use crate::servers::{PATIENCE, Shared, put, soon_told};
use crate::world::World;
use procura_types::Timestamp;
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// More than one look takes.
const SECRETS: usize = 150;

async fn remind(world: &World) {
    let open = world.app.open().unwrap();
    for _ in 0..1000 {
        // Another server's step may have been in between.
        if let Ok(false) = open.vault.remind_step(world.clock.as_ref()).await {
            return;
        }
    }
    panic!("reminding does not come to its end");
}

async fn told(world: &World, root: &procura_crypto::SigningKey) -> Vec<String> {
    let target = "/v1/ledger/entries?action=secret.due&limit=1000";
    let found = world.ok(root, "GET", target, Value::Null).await;
    let rows = found["entries"].as_array().unwrap().iter();
    rows.map(|row| {
        let entry: Value = serde_json::from_str(row["entry"].as_str().unwrap()).unwrap();
        entry["resource"].as_str().unwrap().to_owned()
    })
    .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn two_servers_say_of_each_date_once_that_it_is_over() {
    let shared = Shared::new();
    let (one, two, root) = shared.two().await;
    let date = Timestamp::from_millis(one.now().as_millis() - 1000);
    let secrets: Vec<Value> = (0..SECRETS)
        .map(|number| {
            let mut secret = put("value");
            secret["path"] = json!(format!("due/{number:03}"));
            secret["rotate_by"] = json!(date);
            json!({"secret": secret})
        })
        .collect();
    let body = json!({"secrets": secrets});
    one.ok(&root, "POST", "/v1/namespaces/default/import", body)
        .await;
    // Beside what each of them does by itself.
    tokio::join!(remind(&one), remind(&two), remind(&one), remind(&two));
    for world in [&one, &two] {
        // As soon as it has heard of what the other said last.
        let said = soon_told("all of them", PATIENCE, async || {
            let said = told(world, &root).await;
            match said.len() >= SECRETS {
                true => Ok(said),
                false => Err(said.len()),
            }
        })
        .await;
        let each: BTreeSet<&String> = said.iter().collect();
        assert_eq!((said.len(), each.len()), (SECRETS, SECRETS));
    }
    // Nor again, by the one that comes later.
    two.seal().await;
    two.unseal().await;
    tokio::join!(remind(&one), remind(&two));
    assert_eq!(told(&two, &root).await.len(), SECRETS);
}
