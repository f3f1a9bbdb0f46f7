//! The table of errors, and that none of them tells more than it should.

use crate::actors::{Actors, value_b64};
use crate::world::{AUTHORITY, CANARY, Sent, World};
use procura_proof::sign::Signer;
use procura_server::problem::{Blame, Code, Failure, printable};
use procura_server::serve::{MAX_BODY, SMALL_BODY};
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
            Blame::Dependency => matches!(status, 502 | 503 | 507),
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
    for _ in 0..10_000 {
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

#[tokio::test]
async fn status_is_told_to_nobody_who_was_led_here_by_another_name() {
    let actors = Actors::new().await;
    let empty = World::empty();
    for world in [&actors.world, &empty] {
        for (hosts, detail, field) in [
            (
                &["evil.example"][..],
                "The Host field names another server",
                Some("host"),
            ),
            (
                &["evil.example:7310"],
                "The Host field names another server",
                Some("host"),
            ),
            (&[""], "The Host field names another server", Some("host")),
            (
                &[AUTHORITY, AUTHORITY],
                "There must be exactly one Host field.",
                None,
            ),
            (
                &[AUTHORITY, "evil.example"],
                "There must be exactly one Host field.",
                None,
            ),
            (&[], "There must be exactly one Host field.", None),
        ] {
            let mut sent = Sent::new("GET", "/v1/status", None);
            sent.headers = hosts
                .iter()
                .map(|host| ("host".to_owned(), (*host).to_owned()))
                .collect();
            let answer = world.send(&sent).await;
            answer.expect("malformed", None, field, detail);
            let text = answer.text();
            assert!(text.contains(detail), "{hosts:?}: {text}");
            assert!(!text.contains("installation\""), "{text}");
        }
        for host in [AUTHORITY, "LOCALHOST:7310", "[::1]:7310"] {
            let mut sent = Sent::new("GET", "/v1/status", None);
            sent.set("host", |_| host.to_owned());
            assert_eq!(world.send(&sent).await.status, 200, "{host}");
        }
    }
}

#[tokio::test]
async fn a_missing_field_and_a_passed_limit_are_named() {
    let actors = Actors::new().await;
    let (world, adam) = (&actors.world, actors.key("adam"));
    let secret = "/v1/namespaces/shop/secrets/a/key";
    for (method, target, body, code, detail) in [
        (
            "PUT",
            secret,
            json!({"env": "A"}),
            "invalid_json",
            "`value_b64` is missing.".to_owned(),
        ),
        (
            "PUT",
            secret,
            json!({"value_b64": "x".repeat(MAX_BODY)}),
            "too_large",
            format!("The body is longer than the {MAX_BODY} bytes that this call takes."),
        ),
        (
            "POST",
            "/v1/namespaces",
            json!({"name": "x".repeat(SMALL_BODY)}),
            "too_large",
            format!("The body is longer than the {SMALL_BODY} bytes that this call takes."),
        ),
    ] {
        let answer = world.call(adam, method, target, Some(&body)).await;
        let problem = answer.problem(target);
        assert_eq!((problem.code.as_str(), problem.detail), (code, detail));
    }
    // What looks like the name of a field and is a word of the body is not repeated.
    let body = format!("{{\"missing field `{CANARY}`\": 1}}");
    let sent = world.signed(adam, "PUT", secret, Some(body.as_bytes()));
    let problem = world.send(&sent).await.problem("a canary");
    assert!(
        problem
            .detail
            .starts_with("The body does not fit at line 1"),
        "{}",
        problem.detail
    );
    let join = Sent::new("POST", "/v1/join", Some(b"{}"));
    let problem = world.send(&join).await.problem("join");
    assert_eq!(
        (problem.detail.as_str(), problem.field.as_deref()),
        ("`code_sha256` is missing.", Some("code_sha256"))
    );
}

#[tokio::test]
async fn only_what_is_said_to_be_json_is_read_as_json() {
    let actors = Actors::new().await;
    let (world, adam) = (&actors.world, actors.key("adam"));
    let target = "/v1/namespaces/shop/secrets/a/key";
    let body = serde_json::to_vec(&json!({"value_b64": value_b64()})).unwrap();
    let sent_as = |kind: &str| {
        let mut sent = Sent::new("PUT", target, Some(&body));
        sent.set("content-type", |_| kind.to_owned());
        sent.signed(Signer::Device(adam), world.now())
    };
    for kind in [
        "application/json",
        "Application/JSON",
        "application/json; charset=utf-8",
    ] {
        let answer = world.send(&sent_as(kind)).await;
        assert_eq!(answer.status, 200, "{kind}: {}", answer.text());
    }
    for kind in [
        "text/plain",
        "application/x-www-form-urlencoded",
        "application/jsonp",
        "text/plain; application/json",
    ] {
        world
            .send(&sent_as(kind))
            .await
            .expect("malformed", None, Some("content-type"), kind);
    }
    let mut join = Sent::new("POST", "/v1/join", Some(b"{}"));
    join.headers
        .push(("content-type".to_owned(), "application/json".to_owned()));
    world
        .send(&join)
        .await
        .expect("malformed", None, Some("content-type"), "two");
    join.headers.retain(|(name, _)| name != "content-type");
    world
        .send(&join)
        .await
        .expect("malformed", None, Some("content-type"), "none");
}

#[tokio::test]
async fn variables_of_the_loader_get_no_authority() {
    let actors = Actors::new().await;
    let (world, adam) = (&actors.world, actors.key("adam"));
    for name in ["LD_PRELOAD", "LD_AUDIT", "GCONV_PATH"] {
        let detail = format!(
            "{name} is a variable of the loader and is never delivered; name the secret otherwise"
        );
        for (target, body) in [
            (
                "/v1/namespaces/shop/secrets/a/key",
                json!({"value_b64": value_b64(), "env": name}),
            ),
            (
                "/v1/namespaces/shop/projects/web",
                json!({"agents": ["scribe"], "env": {name: "db/password"}}),
            ),
        ] {
            let answer = world.call(adam, "PUT", target, Some(&body)).await;
            answer.expect("malformed", None, Some("env"), target);
            assert_eq!(answer.json()["detail"], detail);
        }
    }
    let body = json!({"names": ["LD_PRELOAD", "DB"], "delivery": "env"});
    let run = "/v1/namespaces/shop/projects/web/runs";
    let answer = actors.ok("scribe", "POST", run, body).await;
    assert_eq!(
        answer["unmatched"],
        json!([{"name": "LD_PRELOAD", "reason": "invalid_name"}])
    );
}
