//! Lists as of a time: what could be read then, with the versions of then.

use crate::actors::{Actors, value_b64};
use crate::honey::plant;
use procura_types::{Duration, Timestamp};
use serde_json::{Value, json};

const NS: &str = "/v1/namespaces/shop";

impl Actors {
    /// A second later, of which nothing has been written yet.
    fn later(&self) -> Timestamp {
        self.world.clock.turn(Duration::from_secs(1));
        self.world.now()
    }

    async fn put(&self, path: &str) {
        let target = format!("{NS}/secrets/{path}");
        let body = json!({"value_b64": value_b64()});
        self.ok("adam", "PUT", &target, body).await;
    }

    async fn remove(&self, path: &str, query: &str) {
        let target = format!("{NS}/secrets/{path}{query}");
        let world = &self.world;
        let gone = world.call(self.key("adam"), "DELETE", &target, None).await;
        assert_eq!(gone.status, 204, "{}", gone.text());
    }

    /// Paths and versions of all pages of so many.
    async fn listed(&self, at: Timestamp, more: &str, limit: usize) -> Vec<(String, u64)> {
        let mut rows: Vec<(String, u64)> = Vec::new();
        let mut after = String::new();
        for _ in 0..20 {
            let target = format!("{NS}/secrets?at={at}&limit={limit}{more}{after}");
            let page = self.ok("adam", "GET", &target, Value::Null).await;
            let secrets = page["secrets"].as_array().unwrap();
            assert!(secrets.len() <= limit);
            rows.extend(secrets.iter().map(|row| {
                let path = row["path"].as_str().unwrap().to_owned();
                (path, row["version"].as_u64().unwrap())
            }));
            match page["next"].as_str() {
                Some(next) => after = format!("&after={next}"),
                None => return rows,
            }
        }
        panic!("more pages than there are secrets");
    }
}

fn rows(expected: &[(&str, u64)]) -> Vec<(String, u64)> {
    let rows = expected.iter();
    rows.map(|(path, version)| ((*path).to_owned(), *version))
        .collect()
}

#[tokio::test]
async fn a_list_as_of_a_time_has_what_was_there_then() {
    let actors = Actors::new().await;
    let empty = actors.later();
    actors.later();
    for path in ["at/changed", "at/gone", "at/kept", "at/destroyed", "b"] {
        actors.put(path).await;
    }
    let first = actors.later();
    actors.later();
    actors.put("at/changed").await;
    actors.put("at/changed").await;
    actors.put("at/made").await;
    actors.remove("at/gone", "").await;
    actors.remove("at/destroyed", "?destroy=true").await;
    let second = actors.later();
    let then = [("at/changed", 1), ("at/gone", 1), ("at/kept", 1)];
    let now = [("at/changed", 3), ("at/kept", 1), ("at/made", 1)];
    for limit in [1, 2, 100] {
        for (at, expected) in [(empty, &[][..]), (first, &then), (second, &now)] {
            let found = actors.listed(at, "&prefix=at/", limit).await;
            assert_eq!(found, rows(expected), "{at} by {limit}");
        }
    }
    let all = actors.listed(first, "", 100).await;
    assert!(all.contains(&("b".to_owned(), 1)), "{all:?}");
    // Each row of then can be read as of then, and says the version that is read.
    for (path, version) in then {
        let target = format!("{NS}/secrets/{path}?at={first}");
        let read = actors.ok("adam", "GET", &target, Value::Null).await;
        assert_eq!(read["version"], version, "{path}");
    }
    // What is brought back was away in between.
    let away = actors.later();
    actors.later();
    let target = format!("{NS}/undelete/at/gone");
    actors.ok("adam", "POST", &target, Value::Null).await;
    let back = actors.later();
    let has = async |at| {
        let found = actors.listed(at, "&prefix=at/gone", 100).await;
        found == rows(&[("at/gone", 1)])
    };
    assert_eq!(
        (has(first).await, has(away).await, has(back).await),
        (true, false, true)
    );
}

#[tokio::test]
async fn who_may_not_undelete_sees_no_list_of_then_and_the_record_says_who_did() {
    let actors = Actors::new().await;
    actors.put("at/key").await;
    let at = actors.later();
    let target = format!("{NS}/secrets?at={at}");
    for by in ["anna", "otto", "scribe"] {
        let refused = actors
            .world
            .call(actors.key(by), "GET", &target, None)
            .await;
        refused.expect("forbidden", None, None, by);
    }
    let other = actors.world.call(actors.key("bert"), "GET", &target, None);
    other.await.expect("not_found", None, None, "another's");
    actors.ok("adam", "GET", &target, Value::Null).await;
    let entries = "/v1/ledger/entries?namespace=shop&action=secret.list.at";
    let found = actors.ok("otto", "GET", entries, Value::Null).await;
    let rows = found["entries"].as_array().unwrap().iter();
    let entry: Value = rows
        .map(|row| serde_json::from_str(row["entry"].as_str().unwrap()).unwrap())
        .find(|entry: &Value| entry["decision"] == "allow")
        .unwrap();
    assert_eq!(entry["resource"], format!("namespace/shop at:{at}"));
    assert_eq!(entry["device"], actors.device("adam"));
    let future = format!("{NS}/secrets?at={}", at.plus(Duration::from_secs(3600)));
    let early = actors.world.call(actors.key("adam"), "GET", &future, None);
    early.await.expect("malformed", None, Some("at"), "future");
}

#[tokio::test]
async fn a_decoy_is_listed_as_of_a_time_like_a_secret_of_the_same_age() {
    let actors = Actors::new().await;
    actors.put("prod/before").await;
    let before = actors.later();
    actors.later();
    plant(&actors, "prod/decoy", json!({"shape": "aws"})).await;
    actors.put("prod/real").await;
    let after = actors.later();
    assert_eq!(
        actors.listed(before, "&prefix=prod/", 100).await,
        rows(&[("prod/before", 1)])
    );
    let both = [("prod/before", 1), ("prod/decoy", 1), ("prod/real", 1)];
    for limit in [1, 100] {
        let found = actors.listed(after, "&prefix=prod/", limit).await;
        assert_eq!(found, rows(&both), "{limit}");
    }
    // A list is no touch.
    let held = actors.ok("alice", "GET", "/v1/quarantine", Value::Null);
    assert_eq!(held.await["quarantined"], json!([]));
}
