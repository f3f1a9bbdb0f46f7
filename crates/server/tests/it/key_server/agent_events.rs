//! `logs/events.jsonl`.

use super::agent::{Agent, ask, serving};
use super::log::lines;
use crate::actors::Actors;
use crate::world::Sent;
use serde_json::{Value, json};
use std::fs;
use std::path::PathBuf;
use std::time::Instant;

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

fn path(home: &tempfile::TempDir) -> PathBuf {
    home.path().join("logs/events.jsonl")
}

#[tokio::test]
async fn what_becomes_of_agents_has_lines_and_what_people_do_has_none() {
    // Six people and four agents have joined in it.
    let actors = Actors::new().await;
    let path = path(&actors.world.home);
    let begun = lines(&path, 8).await;
    assert_eq!(begun.len(), 8, "{begun:?}");
    for pair in begun.chunks(2) {
        assert_eq!(pair[0]["event"], "agent_enroll_started");
        assert_eq!(pair[1]["event"], "agent_enroll_completed");
        for key in ["agent_id", "trace_id", "request_id", "ip"] {
            assert!(pair[0][key].is_string(), "{key}: {pair:?}");
            assert_eq!(pair[0][key], pair[1][key], "{key}");
        }
        assert!(pair[0].get("reason").is_none());
    }
    // Of the request's own id when it is part of no other's trace.
    let id = begun[0]["request_id"].as_str().unwrap();
    assert_eq!(begun[0]["trace_id"], id.replace('-', ""));
}

#[tokio::test]
async fn a_refused_proof_has_a_line_with_its_trace() {
    let scribe = Agent::new("scribe");
    let world = serving(&[&scribe]).await;
    let path = path(&world.home);
    let mut unproven = Sent::new("GET", "/v1/namespaces", None);
    let parent = format!("00-{TRACE}-00f067aa0ba902b7-01");
    unproven.headers.push(("traceparent".to_owned(), parent));
    let answer = world.send(&unproven).await;
    let problem = answer.json();
    assert_eq!(problem["reason"], "missing_headers");
    assert_eq!(problem["trace_id"], TRACE);
    let proof = scribe.asks_now(&world);
    ask(&world, &proof).await.valid("scribe", "good");
    ask(&world, &proof).await.invalid("nonce_replayed", "again");
    let stranger = Sent::new("GET", "/api/agents/identity", None);
    let answer = world.send_from(&stranger, [192, 0, 2, 1].into()).await;
    assert_eq!(answer.status, 403);

    let found = lines(&path, 3).await;
    let line = |at: usize| {
        let line = &found[at];
        assert_eq!(line["event"], "auth_violation");
        let keys = ["agent_id", "reason", "ip"];
        keys.map(|key| line[key].clone())
    };
    let local = json!("127.0.0.1");
    assert_eq!(
        line(0),
        [Value::Null, json!("missing_headers"), local.clone()]
    );
    assert_eq!(line(1), [json!("scribe"), json!("nonce_replayed"), local]);
    assert_eq!(
        line(2),
        [Value::Null, json!("source_not_allowed"), json!("192.0.2.1")]
    );
    assert_eq!((found.len(), &found[0]["trace_id"]), (3, &json!(TRACE)));
    assert_eq!(found[0]["request_id"], problem["request_id"]);
    // Nothing that a proof consists of is in it.
    let text = fs::read_to_string(&path).unwrap();
    for part in ["nonce", "signature"] {
        assert!(!text.contains(proof[part].as_str().unwrap()), "{part}");
    }
    // What cannot be checked is nobody's violation.
    world.seal().await;
    let sealed = Sent::new("GET", "/v1/namespaces", None);
    assert_eq!(world.send(&sealed).await.status, 503);
    world.unseal().await;
    world.send(&unproven).await;
    assert_eq!(lines(&path, 4).await.len(), 4);
}

#[tokio::test]
async fn a_flood_does_not_fill_the_file_and_a_file_that_cannot_be_written_is_told_of() {
    let world = serving(&[]).await;
    let path = path(&world.home);
    fs::create_dir_all(&path).unwrap();
    let unproven = Sent::new("GET", "/v1/namespaces", None);
    world.send(&unproven).await;
    let why = || procura_server::api::status::status(&world.app).degraded;
    for _ in 0..10_000 {
        if !why().is_empty() {
            break;
        }
        tokio::time::sleep(procura_types::Duration::from_millis(5)).await;
    }
    assert!(why()[0].starts_with("log events.jsonl: "), "{:?}", why());
    fs::remove_dir(&path).unwrap();

    let began = Instant::now();
    for _ in 0..300 {
        assert_eq!(world.send(&unproven).await.status, 401);
    }
    let most = 59 + usize::try_from(began.elapsed().as_secs()).unwrap() + 1;
    let found = lines(&path, 60).await;
    let violations = |found: &[Value]| {
        let violations = found
            .iter()
            .filter(|line| line["event"] == "auth_violation");
        violations.count()
    };
    assert!((59..=most).contains(&violations(&found)), "{}", found.len());
    assert_eq!(
        found[0],
        json!({"ts": world.now().to_string(), "event": "lines_lost", "count": 1})
    );
    // The lines are there a moment before the log says that all is well again.
    for _ in 0..10_000 {
        if why().is_empty() {
            break;
        }
        tokio::time::sleep(procura_types::Duration::from_millis(5)).await;
    }
    assert!(why().is_empty(), "{:?}", why());
    let text = world.app.metrics.render(&world.app);
    let count = "procura_proofs_refused_total{reason=\"missing_headers\"} 301";
    assert!(text.contains(count), "{text}");
}
