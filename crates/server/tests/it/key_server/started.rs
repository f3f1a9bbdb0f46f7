//! The service as the program runs it.

use super::agent::{Agent, enrol};
use crate::process::{Home, NOW, Raw, Server, connect, get, raw, read, start};
use procura_server::{Config, ConfigError, StartError};
use serde_json::{Value, json};
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;

fn post(server: &Server, body: &str) -> Raw {
    let api = server.api();
    let length = body.len();
    let head = format!(
        "POST /api/verify HTTP/1.1\r\nHost: {api}\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n"
    );
    raw(api, format!("{head}{body}").as_bytes())
}

fn expect(answer: &Raw, status: u16, body: &Value) {
    assert_eq!((answer.status(), answer.json()), (status, body.clone()));
}

fn valid() -> Value {
    json!({"valid": true, "agent_id": "scribe"})
}

fn invalid(reason: &str) -> Value {
    json!({"valid": false, "reason": reason})
}

#[test]
fn the_folders_are_made_for_the_server_alone() {
    let home = Home::new();
    for folder in ["keys", "keys/agents", "auth"] {
        let found = fs::metadata(home.path().join(folder)).unwrap();
        assert_eq!(found.permissions().mode() & 0o777, 0o700, "{folder}");
    }
    // Where they were removed, or are from before, they are made again.
    fs::remove_dir_all(home.path().join("keys")).unwrap();
    let server = start(home.unsealed()).unwrap();
    assert!(home.path().join("keys/agents").is_dir());
    let scribe = Agent::new("scribe");
    enrol(home.path(), "scribe", &scribe.line());
    expect(
        &post(&server, &scribe.asks(&scribe.proof(NOW)).to_string()),
        200,
        &valid(),
    );
}

#[test]
fn replays_are_known_after_a_restart() {
    let home = Home::new();
    let scribe = Agent::new("scribe");
    enrol(home.path(), "scribe", &scribe.line());
    let asked = scribe.asks(&scribe.proof(NOW)).to_string();
    let server = start(home.unsealed()).unwrap();
    expect(&post(&server, &asked), 200, &valid());
    drop(server);
    let server = start(home.unsealed()).unwrap();
    expect(&post(&server, &asked), 401, &invalid("nonce_replayed"));
    let another = scribe.asks(&scribe.proof(NOW)).to_string();
    expect(&post(&server, &another), 200, &valid());
    drop(server);
    // All that was answered is in the file by now.
    let text = fs::read_to_string(home.path().join("logs/verify.jsonl")).unwrap();
    let results: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["result"].clone())
        .collect();
    assert_eq!(results, ["ok", "fail", "ok"]);
}

#[test]
fn a_guard_that_lost_its_memory_lets_nothing_through() {
    let home = Home::new();
    let scribe = Agent::new("scribe");
    enrol(home.path(), "scribe", &scribe.line());
    drop(start(home.unsealed()).unwrap());
    let journal = home.path().join("replay-foreign.journal.0");
    assert!(journal.exists());
    fs::remove_file(journal).unwrap();
    let server = start(home.unsealed()).unwrap();
    let asked = scribe.asks(&scribe.proof(NOW)).to_string();
    let unavailable = json!({"error": "service_unavailable", "reason": "verifier_unavailable"});
    let answer = post(&server, &asked);
    expect(&answer, 503, &unavailable);
    assert!(answer.0.contains("\r\nretry-after: "), "{}", answer.0);
    // What the guard does not need to be asked about has its usual answer.
    let stranger = Agent::new("stranger");
    let strange = stranger.asks(&stranger.proof(NOW)).to_string();
    expect(&post(&server, &strange), 401, &invalid("unknown_agent"));
}

#[test]
fn a_body_that_does_not_come_is_not_waited_for() {
    let home = Home::new();
    let server = start(Config {
        request_seconds: 1,
        ..home.unsealed()
    })
    .unwrap();
    let head = |rest: &str| {
        format!(
            "POST /api/verify HTTP/1.1\r\nHost: {}\r\n{rest}\r\n",
            server.api()
        )
    };
    let mut slow = connect(server.api());
    slow.write_all(head("Content-Length: 100\r\n").as_bytes())
        .unwrap();
    let answer = read(&mut slow);
    expect(&answer, 408, &json!({"error": "timeout"}));
    // One that does not say how long it is, and does not end.
    let mut endless = connect(server.api());
    endless
        .write_all(head("Transfer-Encoding: chunked\r\n").as_bytes())
        .unwrap();
    let chunk = format!("1000\r\n{}\r\n", "x".repeat(0x1000));
    for _ in 0..64 {
        if endless.write_all(chunk.as_bytes()).is_err() {
            break;
        }
    }
    let answer = read(&mut endless);
    if !answer.0.is_empty() {
        expect(
            &answer,
            400,
            &json!({"error": "bad_request", "reason": "body too large"}),
        );
    }
    assert_eq!(get(server.api(), "/api/agents/identity").status(), 200);
}

#[test]
fn what_is_counted_has_no_id_in_it() {
    let home = Home::new();
    let scribe = Agent::new("scribe-with-a-name");
    enrol(home.path(), scribe.id, &scribe.line());
    let server = start(home.unsealed()).unwrap();
    let asked = scribe.asks(&scribe.proof(NOW)).to_string();
    assert_eq!(post(&server, &asked).status(), 200);
    assert_eq!(post(&server, &asked).status(), 401);
    let target = format!("/api/agents/identity/{}", scribe.id);
    assert_eq!(get(server.api(), &target).status(), 200);
    let metrics = get(server.health(), "/metrics");
    for line in [
        "procura_requests_total{action=\"verify\",status=\"200\"} 1",
        "procura_requests_total{action=\"verify\",status=\"401\"} 1",
        "procura_requests_total{action=\"agent_identity.read\",status=\"200\"} 1",
        "procura_proofs_refused_total{reason=\"nonce_replayed\"} 1",
        "procura_log_lines_lost_total{log=\"verify.jsonl\"} 0",
    ] {
        assert!(metrics.body().contains(line), "{line}\n{}", metrics.body());
    }
    assert!(!metrics.body().contains(scribe.id));
}

#[test]
fn logs_have_a_size_an_age_and_a_number() {
    let home = Home::new();
    for change in [
        (|config: &mut Config| config.log_megabytes = 0) as fn(&mut Config),
        |config| config.log_days = 0,
        |config| config.log_files = 0,
    ] {
        let mut config = home.config();
        change(&mut config);
        let error = crate::process::refused(config);
        assert!(
            matches!(&error, StartError::Config(ConfigError::Contradiction(text)) if text.contains("log_files")),
            "{error}"
        );
    }
}
