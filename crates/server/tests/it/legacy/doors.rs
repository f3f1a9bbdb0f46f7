//! Who is let in: which daemon a session comes of, and what ends it.

use super::{ATTEST, AUTHORIZE, BAKER, DISCOVER, SECRETS, Scene, TILL, TOKEN, bearing, new_key};
use crate::world::Sent;
use procura_crypto::sha256;
use procura_types::encoding::{b64url, hex};
use serde_json::{Value, json};

#[tokio::test]
async fn a_daemon_is_given_a_session_and_what_it_says_is_taken_down() {
    let scene = Scene::set().await;
    let login = scene.logs_in("baker").await;
    let process = new_key();
    let mut statement = scene.statement(&process);
    statement["binary_sha256"] = json!(hex(&sha256(b"daemon")));
    let answer = scene.attests(&login, &statement).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.headers["cache-control"], "no-store");
    let got = answer.json();
    let found = (&got["expires_in"], &got["allowlist_enforced"]);
    assert_eq!(found, (&json!(86_400), &json!(false)));
    let entries = scene.entries("legacy.attest").await;
    assert_eq!(entries[0]["decision"], "allow");
    let resource = entries[0]["resource"].as_str().unwrap();
    let expected = format!(
        "foreign/{BAKER} key:{} exe:{} version:0.1.0 host:build?7 pid:4711 uid:1000",
        process.public().thumbprint(),
        hex(&sha256(b"daemon")),
    );
    assert_eq!(resource, expected);
    let session = got["session_id"].as_str().unwrap();
    assert!(!resource.contains(session) && !resource.contains(&login));
}

#[tokio::test]
async fn what_is_no_statement_is_refused_by_its_field() {
    let scene = Scene::set().await;
    let login = scene.logs_in("baker").await;
    let good = scene.statement(&new_key());
    let with = |name: &str, value: Value| {
        let mut changed = good.clone();
        changed[name] = value;
        changed
    };
    for (name, value) in [
        ("attestation_pub", json!("")),
        ("attestation_pub", json!("!")),
        ("attestation_pub", json!(b64url(&[1; 31]))),
        // Of small order: whatever is signed, such a key verifies.
        ("attestation_pub", json!(b64url(&[0; 32]))),
    ] {
        let answer = scene.attests(&login, &with(name, value.clone())).await;
        answer.is_refused(400, "malformed", &value.to_string());
        assert_eq!(answer.json()["details"]["field"], name);
    }
    for (name, value) in [
        ("binary_sha256", json!("0")),
        ("binary_sha256", json!("G".repeat(64))),
        ("daemon_pid", json!(-1)),
        ("attestation_pub", Value::Null),
    ] {
        let answer = scene.attests(&login, &with(name, value.clone())).await;
        answer.is_refused(400, "invalid_json", &value.to_string());
    }
    let sent = bearing(Sent::new("POST", ATTEST, Some(b"[]")), &login);
    let answer = scene.world().send(&sent).await;
    answer.is_refused(400, "invalid_json", "no object");
}

/// What a session was given for ends it at the next request, and so does its day.
#[tokio::test]
async fn a_session_ends_with_what_it_was_given_for() {
    let discovers = async |scene: &Scene, daemon: &super::Daemon, code: &str, what: &str| {
        let answer = scene.discovers(daemon, "DB=\n").await;
        let status = if code == "pending_approval" { 403 } else { 401 };
        answer.is_refused(status, code, what);
    };
    let scene = Scene::set().await;
    let daemon = scene.daemon(BAKER).await;
    discovers(&scene, &daemon, "pending_approval", "at first").await;
    scene.turn(24 * 60 * 60 - 1);
    discovers(&scene, &daemon, "pending_approval", "a day but a second").await;
    scene.turn(1);
    discovers(&scene, &daemon, "session_expired", "a day").await;

    // The same key, put there anew, is another.
    let daemon = scene.daemon_by(BAKER, daemon.login).await;
    discovers(&scene, &daemon, "pending_approval", "the next").await;
    std::fs::remove_file(scene.file(BAKER)).unwrap();
    discovers(&scene, &daemon, "unknown_agent", "without a key").await;
    scene.enrol(BAKER, &scene.key);
    discovers(&scene, &daemon, "session_unknown", "with the key again").await;

    // Its id is let go, and its agent revoked.
    let till = scene.daemon(TILL).await;
    let target = format!("/v1/namespaces/shop/foreign-ids/{TILL}");
    scene
        .actors
        .ok("adam", "DELETE", &target, Value::Null)
        .await;
    discovers(&scene, &till, "unknown_agent", "released").await;
    // Whoever gets the id next does not get its sessions, nor does the same agent.
    for to in ["baker", "scribe"] {
        scene.turn(1);
        let to = json!({"agent": to});
        scene.actors.ok("alice", "PUT", &target, to.clone()).await;
        discovers(&scene, &till, "session_unknown", &to.to_string()).await;
        scene
            .actors
            .ok("adam", "DELETE", &target, Value::Null)
            .await;
    }
    let daemon = scene.daemon_by(BAKER, daemon.login).await;
    let target = "/v1/namespaces/shop/agents/baker";
    scene.actors.ok("adam", "DELETE", target, Value::Null).await;
    discovers(&scene, &daemon, "revoked", "revoked").await;
}

/// An agent that is held to addresses is held to them here too.
#[tokio::test]
async fn an_agent_is_where_it_may_be() {
    let scene = Scene::set().await;
    let daemon = scene.daemon(BAKER).await;
    let (token, _) = scene.opened(&daemon, "DB=\n").await;
    let target = "/v1/namespaces/shop/agents/baker/sources";
    let sources = json!({"sources": ["10.0.0.0/8"]});
    scene.actors.ok("adam", "PUT", target, sources).await;
    let answer = scene.gets(&daemon, SECRETS, &token).await;
    answer.is_refused(403, "source_not_allowed", "elsewhere");
    let answer = scene
        .attests(&daemon.login, &scene.statement(&new_key()))
        .await;
    answer.is_refused(403, "source_not_allowed", "elsewhere");
}

/// Its bodies are read whatever kind they say they are, so a page of another site can have a
/// browser send all of this; none of it is tried, and no address is made to wait.
#[tokio::test]
async fn a_page_of_another_site_tries_nothing() {
    let scene = Scene::set().await;
    for (name, value) in [
        ("origin", "https://evil.example"),
        ("sec-fetch-site", "cross-site"),
    ] {
        for (method, target) in [
            ("POST", AUTHORIZE),
            ("POST", TOKEN),
            ("POST", ATTEST),
            ("POST", DISCOVER),
            ("GET", SECRETS),
        ] {
            let body = br#"{"device_code": "x"}"#;
            let body = (method == "POST").then_some(body.as_slice());
            let mut sent = Sent::new(method, target, body);
            sent.headers.push((name.to_owned(), value.to_owned()));
            let answer = scene.world().send(&sent).await;
            answer.is_refused(403, "from_browser", target);
        }
    }
    let entries = scene.actors.recorded("authenticate").await;
    let told = |entry: &&Value| entry["reason"] == "from_browser";
    assert_ne!(entries.iter().filter(told).count(), 0);
    assert!(scene.entries("device_grant.ask").await.is_empty());
    assert!(scene.entries("legacy.login").await.is_empty());
}
