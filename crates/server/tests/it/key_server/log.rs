//! `logs/verify.jsonl`.

use super::agent::{Agent, Proof, ask, enrol, question, serving};
use crate::world::{Sent, World};
use procura_types::Duration;
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

/// The lines of a file, once so many are there.
pub(crate) async fn lines(path: &Path, count: usize) -> Vec<Value> {
    let mut found = Vec::new();
    for _ in 0..10_000 {
        let text = fs::read_to_string(path).unwrap_or_default();
        found = text
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok())
            .collect();
        if found.len() >= count {
            break;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    found
}

#[tokio::test]
async fn each_answer_to_a_client_is_a_line() {
    let scribe = Agent::new("scribe");
    let world = serving(&[&scribe]).await;
    let path = world.home.path().join("logs/verify.jsonl");
    let ts = world.now().to_string();
    let good = scribe.asks_now(&world);
    ask(&world, &good).await.valid("scribe", "good");
    ask(&world, &good).await.invalid("nonce_replayed", "again");
    let odd = Proof {
        agent: "clerk".to_owned(),
        method: "get".to_owned(),
        path: "/notes/\"é\u{202e}<b>\\".to_owned(),
        ..scribe.proof(world.now())
    };
    ask(&world, &scribe.asks(&odd))
        .await
        .invalid("unknown_agent", "clerk");
    world
        .send(&question(b"{"))
        .await
        .bad_request("invalid_json", "{");
    let mut lacking = good.clone();
    lacking["nonce"] = Value::Null;
    ask(&world, &lacking)
        .await
        .bad_request("missing_or_invalid_fields", "no nonce");
    let long = "x".repeat(20_000);
    world
        .send(&question(long.as_bytes()))
        .await
        .bad_request("body too large", "long");
    // An agent that is none, with more of a path than is written down.
    let mut strange = good.clone();
    strange["agent_id"] = "../../etc/passwd\n{\"event\":\"verify\"}".into();
    strange["path"] = format!("/{}", "p".repeat(600)).into();
    ask(&world, &strange)
        .await
        .bad_request("missing_or_invalid_fields", "strange");
    let v6 = question(scribe.asks_now(&world).to_string().as_bytes());
    world
        .send_from(&v6, "::1".parse().unwrap())
        .await
        .valid("scribe", "over IPv6");
    world.seal().await;
    ask(&world, &good).await.unavailable("sealed", "sealed");

    let line = |agent: Value, method: Value, path: Value, result: &str, reason: Option<&str>| {
        let mut line = json!({
            "ts": ts, "event": "verify", "agent_id": agent, "method": method, "path": path,
            "result": result, "ip": "127.0.0.1",
        });
        if let Some(reason) = reason {
            line["reason"] = reason.into();
        }
        line
    };
    let usual = |result: &str, reason: Option<&str>| {
        line(
            json!("scribe"),
            json!("POST"),
            json!("/api/notes"),
            result,
            reason,
        )
    };
    let nothing = |reason: &str| line(Value::Null, Value::Null, Value::Null, "error", Some(reason));
    let mut over_v6 = usual("ok", None);
    over_v6["ip"] = "::1".into();
    let expected = [
        usual("ok", None),
        usual("fail", Some("nonce_replayed")),
        line(
            json!("clerk"),
            json!("get"),
            json!(odd.path),
            "fail",
            Some("unknown_agent"),
        ),
        nothing("invalid_json"),
        usual("error", Some("missing_or_invalid_fields")),
        nothing("body too large"),
        line(
            strange["agent_id"].clone(),
            json!("POST"),
            json!(format!("/{}\u{2026}", "p".repeat(511))),
            "error",
            Some("missing_or_invalid_fields"),
        ),
        over_v6,
        usual("error", Some("sealed")),
    ];
    let found = lines(&path, expected.len()).await;
    assert_eq!(found, expected);
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.starts_with(&format!("{{\"ts\":\"{ts}\",\"event\":\"verify\",\"agent_id\":\"scribe\",\"method\":\"POST\",\"path\":\"/api/notes\",\"result\":\"ok\",\"ip\":\"127.0.0.1\"}}\n")), "{text}");
    assert!(
        text.bytes()
            .all(|byte| byte == b'\n' || matches!(byte, b' '..=b'~'))
    );
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
    // Nothing that a proof consists of is in it.
    for part in ["nonce", "signature"] {
        assert!(!text.contains(good[part].as_str().unwrap()), "{part}");
    }
}

#[tokio::test]
async fn strangers_write_nothing() {
    let scribe = Agent::new("scribe");
    let world = serving(&[&scribe]).await;
    let path = world.home.path().join("logs/verify.jsonl");
    let body = scribe.asks_now(&world).to_string();
    for _ in 0..20 {
        let peer = "192.0.2.1".parse().unwrap();
        let answer = world.send_from(&question(body.as_bytes()), peer).await;
        assert_eq!(answer.status, 403);
        let mut misled = question(body.as_bytes());
        misled.set("host", |_| "elsewhere.example".to_owned());
        assert_eq!(world.send(&misled).await.status, 421);
        world.send(&Sent::new("GET", "/api/verify", None)).await;
    }
    ask(&world, &scribe.asks_now(&world))
        .await
        .valid("scribe", "a client");
    let found = lines(&path, 1).await;
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0]["result"], "ok");
}

#[tokio::test]
async fn what_could_not_be_written_is_counted_and_told() {
    let scribe = Agent::new("scribe");
    let world = serving(&[&scribe]).await;
    let path = world.home.path().join("logs/verify.jsonl");
    fs::create_dir_all(&path).unwrap();
    // An answer does not wait for the log.
    ask(&world, &scribe.asks_now(&world))
        .await
        .valid("scribe", "unwritten");
    let count = "procura_log_lines_lost_total{log=\"verify.jsonl\"} 1";
    for _ in 0..10_000 {
        if world.app.metrics.render(&world.app).contains(count) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let metrics = world.app.metrics.render(&world.app);
    assert!(metrics.contains(count), "{metrics}");
    let why = procura_server::api::status::status(&world.app).degraded;
    assert!(
        why.len() == 1 && why[0].starts_with("log verify.jsonl: "),
        "{why:?}"
    );
    fs::remove_dir(&path).unwrap();
    ask(&world, &scribe.asks_now(&world))
        .await
        .valid("scribe", "written");
    let found = lines(&path, 2).await;
    assert_eq!(
        (&found[0]["event"], &found[0]["count"]),
        (&json!("lines_lost"), &json!(1))
    );
    assert_eq!(found[1]["result"], "ok");
    // The writer says that it can write again a moment after it has written.
    let degraded = || procura_server::api::status::status(&world.app).degraded;
    for _ in 0..10_000 {
        if degraded().is_empty() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(degraded(), Vec::<String>::new());
}

#[tokio::test]
async fn a_full_file_makes_room_for_a_new_one() {
    let scribe = Agent::new("scribe");
    let world = World::configured(|config| {
        config.log_megabytes = 1;
        config.log_files = 2;
    });
    enrol(world.home.path(), scribe.id, &scribe.line());
    let mut asked = scribe.asks_now(&world);
    asked["path"] = "/\u{1F600}".repeat(255).into();
    let folder = world.home.path().join("logs");
    let size = |name: &str| fs::metadata(folder.join(name)).map_or(0, |file| file.len());
    // Not initialised is an answer like any other, and costs the least. Of lines
    // with escapes this is more than five megabytes.
    for _ in 0..1600 {
        ask(&world, &asked)
            .await
            .unavailable("not_initialised", "no installation");
    }
    for _ in 0..10_000 {
        tokio::time::sleep(Duration::from_millis(5)).await;
        for name in ["verify.jsonl", "verify.jsonl.1", "verify.jsonl.2"] {
            assert!(size(name) <= 1024 * 1024, "{name} {}", size(name));
        }
        assert_eq!(size("verify.jsonl.3"), 0);
        if size("verify.jsonl.2") > 0 {
            // More than fits into all of them has come.
            return;
        }
    }
    panic!("no file was begun anew");
}
