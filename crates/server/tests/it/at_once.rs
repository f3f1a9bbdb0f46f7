//! Many secrets at once through the API, and what was there at a time.

use crate::actors::{Actors, value_b64};
use crate::world::{Answer, CANARY};
use procura_crypto::age::{Identity, decrypt};
use procura_types::{Duration, encoding};
use serde_json::{Value, json};

const NS: &str = "/v1/namespaces/shop";
/// Bytes that templates, logs, pages and shells like to change.
const RAW: &[u8] = b"<a href=\"x\">&amp; 'q'</a>\r\n\t\\u003c %3C \0\xff";

async fn post(actors: &Actors, by: &str, path: &str, body: Value) -> Answer {
    let target = format!("{NS}/{path}");
    let world = &actors.world;
    world
        .call(actors.key(by), "POST", &target, Some(&body))
        .await
}

async fn read(actors: &Actors, path: &str) -> Vec<u8> {
    let target = format!("{NS}/secrets/{path}");
    let found = actors.ok("adam", "GET", &target, Value::Null).await;
    encoding::from_b64url("value", found["value_b64"].as_str().unwrap()).unwrap()
}

fn item(path: &str, value: &[u8]) -> Value {
    json!({"secret": {"path": path, "value_b64": encoding::b64url(value)}})
}

#[tokio::test]
async fn bytes_go_in_and_come_out_as_they_are_by_every_way() {
    let actors = Actors::new().await;
    let put = json!({"value_b64": encoding::b64url(RAW), "env": "RAW"});
    actors
        .ok("adam", "PUT", &format!("{NS}/secrets/raw/put"), put)
        .await;
    let imported = post(
        &actors,
        "adam",
        "import",
        json!({"secrets": [item("raw/import", RAW)]}),
    );
    assert_eq!(imported.await.status, 200);
    for path in ["raw/put", "raw/import"] {
        assert_eq!(read(&actors, path).await, RAW, "{path}");
    }
    let then = actors.world.now();
    actors.world.clock.turn(Duration::from_secs(5));
    let other = json!({"value_b64": value_b64()});
    actors
        .ok("adam", "PUT", &format!("{NS}/secrets/raw/put"), other)
        .await;
    let target = format!("{NS}/secrets/raw/put?at={then}");
    let found = actors.ok("adam", "GET", &target, Value::Null).await;
    assert_eq!(
        (&found["version"], &found["value_b64"]),
        (&json!(1), &json!(encoding::b64url(RAW)))
    );
    let rolled = post(&actors, "adam", "rollback/raw/put", json!({"at": then})).await;
    assert_eq!(rolled.status, 200, "{}", rolled.text());
    assert_eq!(read(&actors, "raw/put").await, RAW);

    let made = std::process::Command::new("age-keygen").output().unwrap();
    let identity = Identity::read(&made.stdout, None).unwrap();
    let to = identity[0].recipient().unwrap().fingerprint();
    let body = json!({"prefix": "raw/", "recipients": [to]});
    let exported = post(&actors, "adam", "export", body).await;
    assert_eq!(exported.status, 200, "{}", exported.text());
    assert_eq!(exported.json()["count"], 2);
    assert!(!exported.text().contains(CANARY));
    let file = exported.json()["age_b64"].as_str().unwrap().to_owned();
    let file = encoding::from_b64url("file", &file).unwrap();
    let open = decrypt(&identity, &file).unwrap();
    let document: Value = serde_json::from_slice(open.expose()).unwrap();
    for secret in document["secrets"].as_array().unwrap() {
        assert_eq!(secret["value_b64"], encoding::b64url(RAW));
    }
}

#[tokio::test]
async fn an_import_is_seen_first_written_whole_and_held_to_what_was_seen() {
    let actors = Actors::new().await;
    let secrets = json!([item("im/one", b"1"), item("im/two", b"2")]);
    let body = json!({"secrets": secrets, "dry_run": true});
    let seen = post(&actors, "adam", "import", body).await.json();
    assert_eq!(
        seen,
        json!({"secrets": [
            {"path": "im/one", "state": "new", "latest": 0},
            {"path": "im/two", "state": "new", "latest": 0},
        ], "written": 0})
    );
    let missing = actors
        .world
        .call(
            actors.key("adam"),
            "GET",
            &format!("{NS}/secrets/im/one"),
            None,
        )
        .await;
    missing.expect("not_found", None, None, "nothing was written by looking");
    let mut held = [item("im/one", b"1"), item("im/two", b"2")];
    held[0]["expect_version"] = json!(0);
    held[1]["expect_version"] = json!(1);
    let refused = post(&actors, "adam", "import", json!({"secrets": held})).await;
    refused.expect("version_mismatch", None, None, "held");
    assert!(
        refused.text().contains("Nothing was written. im/two: "),
        "{}",
        refused.text()
    );
    held[1]["expect_version"] = json!(0);
    let written = post(&actors, "adam", "import", json!({"secrets": held})).await;
    assert_eq!(written.json()["written"], 2, "{}", written.text());
    for by in ["anna", "otto", "scribe"] {
        let refused = post(&actors, by, "import", json!({"secrets": held})).await;
        refused.expect("forbidden", None, None, by);
    }
    post(&actors, "bert", "import", json!({"secrets": held}))
        .await
        .expect("not_found", None, None, "of another namespace");
}

#[tokio::test]
async fn a_body_of_an_import_is_bounded() {
    let actors = Actors::new().await;
    let value = "A".repeat(1_398_000);
    let items = |count: usize| {
        let items: Vec<Value> = (0..count)
            .map(|number| json!({"secret": {"path": format!("b/{number}"), "value_b64": value}}))
            .collect();
        json!({"secrets": items})
    };
    let fits = post(&actors, "adam", "import", items(5)).await;
    assert_eq!(fits.status, 200, "{}", fits.text());
    let refused = post(&actors, "adam", "import", items(10)).await;
    refused.expect("too_large", None, None, "body");
    assert_eq!(read(&actors, "b/4").await.len(), 1_048_500);
    let none = actors
        .world
        .call(
            actors.key("adam"),
            "GET",
            &format!("{NS}/secrets/b/9"),
            None,
        )
        .await;
    none.expect("not_found", None, None, "none of it");
}

#[tokio::test]
async fn a_rollback_says_what_it_does_and_refuses_what_changed() {
    let actors = Actors::new().await;
    let then = actors.world.now();
    actors.world.clock.turn(Duration::from_secs(5));
    for path in ["db/password", "api/key"] {
        let body = json!({"value_b64": encoding::b64url(b"new")});
        actors
            .ok("adam", "PUT", &format!("{NS}/secrets/{path}"), body)
            .await;
    }
    let preview = post(
        &actors,
        "adam",
        "rollback",
        json!({"at": then, "dry_run": true}),
    )
    .await;
    let preview = preview.json();
    assert_eq!(
        preview["changes"],
        json!([
            {"path": "api/key", "change": "restore", "latest": 2, "from": 1, "version": 3},
            {"path": "db/password", "change": "restore", "latest": 2, "from": 1, "version": 3},
        ])
    );
    assert_eq!(
        (&preview["done"], &preview["unchanged"]),
        (&json!(false), &json!(1))
    );
    assert_eq!(read(&actors, "api/key").await, b"new");
    let put = json!({"value_b64": encoding::b64url(b"newer")});
    actors
        .ok("adam", "PUT", &format!("{NS}/secrets/mail/key"), put)
        .await;
    let held = json!({"at": then, "expect_state": preview["state"]});
    post(&actors, "adam", "rollback", held).await.expect(
        "conflict",
        Some("changed_meanwhile"),
        None,
        "changed",
    );
    let done = post(&actors, "adam", "rollback", json!({"at": then}))
        .await
        .json();
    assert_eq!(done["changes"].as_array().unwrap().len(), 3);
    for path in ["api/key", "db/password", "mail/key"] {
        assert_eq!(read(&actors, path).await, CANARY.as_bytes(), "{path}");
    }
    for by in ["anna", "otto", "scribe"] {
        post(&actors, by, "rollback", json!({"at": then}))
            .await
            .expect("forbidden", None, None, by);
    }
}
