//! How much a list gives and an import takes at once, and what a rollback counts for.

use crate::actors::Actors;
use crate::world::Answer;
use procura_types::{Duration, encoding};
use serde_json::{Value, json};

const NS: &str = "/v1/namespaces/shop";

async fn post(actors: &Actors, by: &str, target: &str, body: Value) -> Answer {
    let world = &actors.world;
    world
        .call(actors.key(by), "POST", target, Some(&body))
        .await
}

/// So many secrets of one byte below a folder.
fn items(folder: &str, count: usize) -> Vec<Value> {
    (0..count)
        .map(|number| {
            let path = format!("{folder}/{number:05}");
            json!({"secret": {"path": path, "value_b64": encoding::b64url(b"v")}})
        })
        .collect()
}

async fn listed(actors: &Actors, query: &str) -> Value {
    let target = format!("{NS}/secrets?prefix=many/{query}");
    actors.ok("adam", "GET", &target, Value::Null).await
}

fn count(list: &Value) -> usize {
    list["secrets"].as_array().unwrap().len()
}

#[tokio::test]
async fn an_import_takes_ten_thousand_and_a_list_gives_a_thousand() {
    let actors = Actors::new().await;
    let import = format!("{NS}/import");
    let over = json!({"secrets": items("many", 10_001)});
    let refused = post(&actors, "adam", &import, over).await;
    refused.expect("malformed", None, Some("secrets"), "10,001");
    let halves = json!({"namespaces": [
        {"namespace": "bank", "secrets": items("many", 5_000)},
        {"namespace": "shop", "secrets": items("many", 5_001)},
    ]});
    let refused = post(&actors, "alice", "/v1/import", halves).await;
    refused.expect("too_large", None, None, "10,001 in two namespaces");
    assert_eq!(count(&listed(&actors, "").await), 0, "nothing was written");

    let all = json!({"secrets": items("many", 10_000)});
    let written = post(&actors, "adam", &import, all).await;
    assert_eq!(written.json()["written"], 10_000, "{}", written.text());
    // Whatever is asked for: a thousand, and where to go on.
    for (query, expected) in [
        ("", 100),
        ("&limit=1000", 1000),
        ("&limit=1001", 1000),
        ("&limit=99999", 1000),
    ] {
        let page = listed(&actors, query).await;
        assert_eq!(count(&page), expected, "{query}");
        let last = format!("many/{:05}", expected - 1);
        assert_eq!(page["next"], last, "{query}");
    }
    let end = listed(&actors, "&limit=1000&after=many/09000").await;
    assert_eq!((count(&end), &end["next"]), (999, &Value::Null));
    // A rollback takes as many as an import, and one more is refused.
    let then = actors.world.now();
    actors.world.clock.turn(Duration::from_secs(1));
    let one = json!({"secrets": items("many-more", 1)});
    post(&actors, "adam", &import, one).await;
    let body =
        json!({"at": then.minus(Duration::from_secs(60)), "prefix": "many", "dry_run": true});
    let refused = post(&actors, "adam", &format!("{NS}/rollback"), body).await;
    refused.expect("too_large", None, None, "10,001 that would change");
}

#[tokio::test]
async fn a_rollback_counts_for_the_quota_like_a_write() {
    let actors = Actors::new().await;
    let put = async |path: &str, value: &[u8]| {
        let body = json!({"value_b64": encoding::b64url(value)});
        let target = format!("{NS}/secrets/{path}");
        actors.ok("adam", "PUT", &target, body).await;
    };
    let used = async || {
        let shown = actors.ok("alice", "GET", NS, Value::Null).await;
        shown["used"].clone()
    };
    put("q/one", b"0123456789").await;
    put("q/two", b"0123456789").await;
    let then = actors.world.now();
    actors.world.clock.turn(Duration::from_secs(5));
    put("q/one", b"1").await;
    put("q/two", b"2").await;
    let before = used().await;
    let number = |used: &Value, what: &str| used[what].as_u64().unwrap();
    let quota = async |versions: u64, bytes: u64| {
        let body = json!({"versions": number(&before, "versions") + versions, "bytes": number(&before, "bytes") + bytes});
        actors
            .ok("alice", "PUT", &format!("{NS}/quota"), body)
            .await;
    };
    let roll = async || {
        let body = json!({"at": then, "prefix": "q/"});
        post(&actors, "adam", &format!("{NS}/rollback"), body).await
    };
    // Two versions of ten bytes each are one too many, or a byte too many: none comes.
    for (versions, bytes, bound) in [(1, 1000, "versions"), (1000, 19, "bytes")] {
        quota(versions, bytes).await;
        roll()
            .await
            .expect("quota_exceeded", Some(bound), None, bound);
        assert_eq!(used().await, before, "{bound}");
        for (path, value) in [("q/one", b"1"), ("q/two", b"2")] {
            let target = format!("{NS}/secrets/{path}");
            let read = actors.ok("adam", "GET", &target, Value::Null).await;
            assert_eq!(read["value_b64"], encoding::b64url(value), "{bound}");
        }
    }
    quota(2, 20).await;
    let done = roll().await;
    assert_eq!(done.json()["done"], true, "{}", done.text());
    let after = used().await;
    let more = |what: &str| number(&after, what) - number(&before, what);
    assert_eq!(
        (more("secrets"), more("versions"), more("bytes")),
        (0, 2, 20)
    );
    // It is full to the byte.
    let body = json!({"value_b64": encoding::b64url(b"x")});
    let target = format!("{NS}/secrets/q/three");
    let world = &actors.world;
    let full = world
        .call(actors.key("adam"), "PUT", &target, Some(&body))
        .await;
    assert_eq!(full.problem("full").code, "quota_exceeded");
}
