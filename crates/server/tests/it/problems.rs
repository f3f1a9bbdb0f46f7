//! The table of errors, and that none of them tells more than it should.

use crate::actors::{Actors, value_b64};
use crate::world::{CANARY, Sent, World};
use procura_server::problem::{Blame, Code, Failure, printable};
use procura_types::TraceId;
use serde_json::json;
use std::collections::BTreeSet;

#[test]
fn codes_are_words_used_once_with_a_fitting_status() {
    let mut seen = BTreeSet::new();
    for code in Code::ALL {
        let (word, status) = (code.as_str(), code.status().as_u16());
        assert!(seen.insert(word), "{word} twice");
        assert!(
            word.bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte == b'_'),
            "{word}"
        );
        assert!(!code.title().is_empty() && !code.what_to_do().is_empty());
        let fits = match code.blame() {
            Blame::Caller | Blame::Policy => (400..500).contains(&status),
            Blame::Dependency => matches!(status, 503 | 507),
            Blame::Us => status == 500,
        };
        assert!(fits, "{word} {status}");
    }
}

#[tokio::test]
async fn the_cause_stays_in_the_log() {
    let trace = TraceId::from_bytes([1; 16]);
    let response = Failure::internal(format!("the cause, {CANARY}")).into_response_for(trace);
    let body = http_body_util::BodyExt::collect(response.into_body())
        .await
        .unwrap()
        .to_bytes();
    let text = String::from_utf8(body.to_vec()).unwrap();
    assert!(!text.contains(CANARY), "{text}");
    assert!(text.contains(&trace.to_string()));
}

#[test]
fn what_strangers_send_is_made_printable() {
    assert_eq!(printable("/v1/a\n\u{1b}[31m b\u{202e}ü"), "/v1/a??[31m?b??");
    assert_eq!(printable(&"x".repeat(1_000)).len(), 200);
}

#[tokio::test]
async fn no_error_repeats_a_value() {
    // Every answer that is no success is searched for the canary where it is read.
    let actors = Actors::new().await;
    let (world, adam) = (&actors.world, actors.key("adam"));
    let target = "/v1/namespaces/shop/secrets/a/key";
    for (body, code, field) in [
        (
            json!({"value_b64": format!("{}!", value_b64())}),
            "malformed",
            Some("value_b64"),
        ),
        (json!({"value_b64": [CANARY]}), "invalid_json", None),
        (json!({"value_b64": {CANARY: 1}}), "invalid_json", None),
        (json!({CANARY: value_b64()}), "invalid_json", None),
        (
            json!({"value_b64": value_b64(), "env": CANARY}),
            "invalid_json",
            Some("env"),
        ),
        (
            json!({"value_b64": value_b64(), "expect_version": CANARY}),
            "invalid_json",
            None,
        ),
        (
            json!({"value_b64": value_b64(), "expect_version": 9}),
            "version_mismatch",
            None,
        ),
        (
            json!({"value_b64": value_b64(), "description": format!("{CANARY}\n")}),
            "malformed",
            Some("description"),
        ),
    ] {
        let answer = world.call(adam, "PUT", target, Some(&body)).await;
        answer.expect(code, None, field, &body.to_string());
    }
    let unquoted = format!("{{\"value_b64\": {CANARY}}}");
    let sent = world.signed(adam, "PUT", target, Some(unquoted.as_bytes()));
    world
        .send(&sent)
        .await
        .expect("invalid_json", None, None, "unquoted");
    let query = format!("{target}?version={CANARY}");
    let sent = world.signed(adam, "GET", &query, None);
    let problem = world.send(&sent).await.problem("a query");
    assert_eq!(problem.field.as_deref(), Some("query"));
}

#[tokio::test]
async fn values_are_at_most_one_mebibyte() {
    let actors = Actors::new().await;
    let (world, adam) = (&actors.world, actors.key("adam"));
    let target = "/v1/namespaces/shop/secrets/large";
    let value =
        |length: usize| json!({"value_b64": procura_types::encoding::b64url(&vec![7; length])});
    let most = world
        .call(adam, "PUT", target, Some(&value(1024 * 1024)))
        .await;
    assert_eq!(most.status, 200, "{}", most.text());
    let read = world.call(adam, "GET", target, None).await;
    assert_eq!(read.json()["value_b64"], value(1024 * 1024)["value_b64"]);
    let over = world
        .call(adam, "PUT", target, Some(&value(1024 * 1024 + 1)))
        .await;
    over.expect("too_large", None, None, "one byte more");
    let body = world
        .call(adam, "PUT", target, Some(&value(1_200_000)))
        .await;
    body.expect("too_large", None, None, "a larger body");
}

#[tokio::test]
async fn unknown_paths_and_methods_are_problems_too() {
    let world = World::empty();
    for target in [
        "/",
        "/v1",
        "/v2/status",
        "/v1/namespaces/",
        "//v1/namespaces",
        "/admin/unseal",
        "/health",
        "/metrics",
    ] {
        world
            .send(&Sent::new("GET", target, None))
            .await
            .expect("not_found", None, None, target);
    }
    for (method, target) in [
        ("PATCH", "/v1/namespaces"),
        ("DELETE", "/v1/seal"),
        ("GET", "/v1/join"),
        ("OPTIONS", "/v1/status"),
    ] {
        world.send(&Sent::new(method, target, None)).await.expect(
            "method_not_allowed",
            None,
            None,
            target,
        );
    }
}

#[tokio::test]
async fn status_tells_anybody_no_more_than_it_should() {
    let actors = Actors::new().await;
    let open = actors
        .world
        .send(&Sent::new("GET", "/v1/status", None))
        .await;
    assert_eq!(open.status, 200);
    let status = open.json();
    assert_eq!(
        (&status["initialized"], &status["sealed"]),
        (&json!(true), &json!(false))
    );
    assert_eq!(status["degraded"], json!([]));
    assert!(
        status["checkpoint"]
            .as_str()
            .unwrap()
            .starts_with("procura/")
    );
    assert!(status["deep"].is_null());
    actors.world.seal().await;
    let sealed = actors
        .world
        .send(&Sent::new("GET", "/v1/status", None))
        .await
        .json();
    assert_eq!(
        (&sealed["sealed"], &sealed["checkpoint"]),
        (&json!(true), &json!(null))
    );
    let empty = World::empty();
    let status = empty
        .send(&Sent::new("GET", "/v1/status", None))
        .await
        .json();
    assert_eq!(
        (
            &status["initialized"],
            &status["sealed"],
            &status["installation"]
        ),
        (&json!(false), &json!(true), &json!(null))
    );
}

#[tokio::test]
async fn what_cannot_be_published_is_told_in_the_status() {
    let actors = Actors::new().await;
    // No checkpoint can be put in the place of a directory.
    let place = actors.world.home.path().join("ledger/checkpoint");
    std::fs::remove_file(&place).unwrap();
    std::fs::create_dir(&place).unwrap();
    actors
        .ok("alice", "POST", "/v1/namespaces", json!({"name": "dock"}))
        .await;
    let mut degraded = json!([]);
    for _ in 0..2_000 {
        degraded = actors
            .world
            .send(&Sent::new("GET", "/v1/status", None))
            .await
            .json()["degraded"]
            .clone();
        if degraded != json!([]) {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    assert!(
        degraded[0].as_str().unwrap().starts_with("checkpoints: "),
        "{degraded}"
    );
}
