//! A start at which thousands of grants and project tokens are over: they cost no entry,
//! and no time that anybody would notice.

use crate::actors::Actors;
use crate::world::World;
use procura_crypto::SystemEntropy;
use procura_record::tables::{DIRECTORY_GUARD, GRANTS, GUARD, TOKENS};
use procura_store::Batch;
use procura_types::{BatchId, Duration, GrantId, TokenId};
use serde_json::{Value, json};
use std::time::Instant;

/// How many of each.
const CROWD: usize = 10_000;
const RUNS: &str = "/v1/namespaces/shop/projects/web/runs";

/// Puts grants and tokens there that were over an hour ago, as they are after years.
async fn crowd(actors: &Actors, token: &TokenId) {
    let world = &actors.world;
    let open = world.app.open().unwrap();
    let snapshot = open.directory.snapshot();
    let grant = snapshot.grant(&actors.grant.parse().unwrap()).unwrap();
    let token = snapshot.token(token).unwrap();
    let (store, now) = (open.vault.store(), world.now());
    let over = now.minus(Duration::from_secs(60 * 60));
    for _ in 0..CROWD / 1000 {
        let mut batch = Batch::new(BatchId::generate(now, &SystemEntropy).unwrap());
        for _ in 0..1000 {
            let mut grant = (**grant).clone();
            grant.id = GrantId::generate(over, &SystemEntropy).unwrap();
            grant.until = over;
            GRANTS.put(&mut batch, &grant.id.to_string(), &grant);
            let mut token = (**token).clone();
            token.id = TokenId::generate(over, &SystemEntropy).unwrap();
            token.until = over;
            token.hash = None;
            TOKENS.put(&mut batch, &token.id.to_string(), &token);
        }
        DIRECTORY_GUARD.put(&mut batch, &GUARD.to_owned(), &());
        store.commit(batch).await.unwrap();
    }
}

async fn entries(actors: &Actors) -> u64 {
    let target = "/v1/ledger/entries?limit=1";
    let found = actors.ok("alice", "GET", target, Value::Null).await;
    found["entries"][0]["index"].as_u64().unwrap()
}

/// Reads all of them, one time; how long that takes here and now.
fn read_once(actors: &Actors) -> std::time::Duration {
    let open = actors.world.app.open().unwrap();
    let snapshot = open.vault.store().snapshot().unwrap();
    let began = Instant::now();
    assert_eq!(GRANTS.load(&snapshot).unwrap().len(), CROWD + 1);
    assert_eq!(TOKENS.load(&snapshot).unwrap().len(), CROWD + 1);
    began.elapsed()
}

/// Seals and opens; how many entries that took, with that of who looks, and how long.
async fn started(actors: &Actors) -> (u64, std::time::Duration) {
    let before = entries(actors).await;
    let began = Instant::now();
    actors.world.seal().await;
    actors.world.unseal().await;
    let took = began.elapsed();
    (entries(actors).await - before, took)
}

fn grants_held(world: &World) -> usize {
    let snapshot = world.app.open().unwrap().directory.snapshot();
    let now = world.now();
    snapshot.grants().filter(|grant| grant.holds(now)).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_over_in_thousands_costs_no_entry_at_the_start_and_opens_nothing() {
    let actors = Actors::new().await;
    let issue = json!({"kind": "opaque", "names": ["DB"]});
    let target = "/v1/namespaces/shop/projects/web/tokens";
    let issued = actors.ok("scribe", "POST", target, issue).await;
    let token: TokenId = issued["id"].as_str().unwrap().parse().unwrap();
    let (quiet, without) = started(&actors).await;
    let held = grants_held(&actors.world);
    crowd(&actors, &token).await;
    // The same entries as without them.
    for _ in 0..2 {
        let read = read_once(&actors);
        let (told, took) = started(&actors).await;
        assert_eq!(told, quiet);
        // Twenty thousand rows are read some times, and nothing is done with them: what
        // grew with more than their number would take minutes.
        let most = without * 4 + read * 10 + std::time::Duration::from_secs(5);
        assert!(
            took < most,
            "{took:?}, {without:?} without them, {read:?} to read them"
        );
    }
    let snapshot = actors.world.app.open().unwrap().directory.snapshot();
    assert_eq!(snapshot.grants().count(), CROWD + 1);
    // None of them counts for anything, and what counted does.
    assert_eq!(grants_held(&actors.world), held);
    let run = json!({"names": ["DB"], "delivery": "env"});
    let ran = actors.ok("scribe", "POST", RUNS, run.clone()).await;
    assert_eq!(ran["grant"], json!(actors.grant));
    // Nor when the last one that counted is over as well.
    actors.world.clock.turn(Duration::from_secs(24 * 60 * 60));
    let key = actors.key("scribe");
    let after = actors.world.call(key, "POST", RUNS, Some(&run)).await;
    assert_eq!(after.status, 202, "{}", after.text());
    assert!(after.json()["values"].is_null());
}
