//! `auth_mode` of the configuration, read again by a server that runs.

use crate::verify::{curl, text};
use procura_acceptance::{Installation, until};
use serde_json::{Value, json};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(20);
const REFUSED: &str =
    "configuration: it cannot be taken over, the log says why; what was read before counts";

/// What somebody without a proof is told.
fn nobody(server: &Installation) -> (u16, Value) {
    let words = [
        "--data-binary",
        "@-",
        "-H",
        "content-type: application/json",
    ];
    let (status, _, body) = curl(server, "/agent/protected/echo", &words, b"{}");
    (status, serde_json::from_str(&body).unwrap())
}

fn echoed() -> (u16, Value) {
    (200, json!({"ok": true, "echo": {}}))
}

fn refused() -> (u16, Value) {
    (401, json!({"error": "missing_headers"}))
}

/// Writes the configuration anew, and sends the server SIGHUP.
fn turn(server: &Installation, configuration: &str) {
    let file = server.home().join("procura.toml");
    let new = server.home().join("procura.toml.new");
    std::fs::write(&new, configuration).unwrap();
    std::fs::rename(&new, &file).unwrap();
    let pid = server.pid().to_string();
    text(&["sh", "-c", "kill -HUP \"$0\"", &pid], b"");
}

fn turned(server: &Installation, expected: &(u16, Value)) {
    until("another mode", LIMIT, || {
        (nobody(server) == *expected).then_some(())
    });
}

fn degraded(server: &Installation) -> Vec<String> {
    let health = format!("{}/health", server.health());
    let health: Value =
        serde_json::from_str(&text(&["curl", "-sS", "--noproxy", "*", &health], b"")).unwrap();
    serde_json::from_value(health["degraded"].clone()).unwrap()
}

/// That the configuration is refused, for this. What stands in it is for the log alone.
fn stays(server: &Installation, why: &str) {
    until(why, LIMIT, || {
        server.server_said().contains(why).then_some(())
    });
    until("the health says so", LIMIT, || {
        (degraded(server) == [REFUSED]).then_some(())
    });
}

fn well(server: &Installation) {
    until("well again", LIMIT, || {
        degraded(server).is_empty().then_some(())
    });
}

/// What the record says of turns, the newest first.
fn recorded(server: &Installation) -> Vec<String> {
    let words = [
        "--json",
        "audit",
        "list",
        "--everywhere",
        "--action",
        "installation.auth_mode",
    ];
    let listed = server.cli(&words).ok().json();
    let entries = listed["entries"].as_array().unwrap().iter();
    entries
        .map(|row| {
            let entry: Value = serde_json::from_str(row["entry"].as_str().unwrap()).unwrap();
            assert_eq!(entry["decision"], "allow", "{entry}");
            assert_eq!(entry["profile"], "none", "{entry}");
            assert_eq!(entry["actor"], Value::Null, "{entry}");
            entry["resource"].as_str().unwrap().to_owned()
        })
        .collect()
}

#[test]
fn a_hangup_takes_the_mode_over_and_a_wrong_one_changes_nothing() {
    let server = Installation::configured("auth_mode = \"enforce\"\n");
    assert_eq!(nobody(&server), refused());
    turn(&server, "auth_mode = \"observe\"\n");
    turned(&server, &echoed());
    for (wrong, why) in [
        (
            "auth_mode = \"enfroce\"\n",
            "must be off, observe or enforce",
        ),
        ("auth_mode = \"Enforce\"\nx", "key with no value"),
        (
            "auth_mode = \"enforce\"\nlistens = 7\n",
            "did you mean `listen`?",
        ),
        (
            "auth_mode = \"enforce\"\ntls_cert = \"cert.pem\"\n",
            "tls_cert and tls_key go together",
        ),
    ] {
        turn(&server, wrong);
        stays(&server, why);
        assert_eq!(nobody(&server), echoed(), "{wrong}");
    }
    let said = server.server_said();
    assert!(
        said.contains("the configuration cannot be taken over"),
        "{said}"
    );
    // What else stands in it counts from the next start.
    turn(
        &server,
        "auth_mode = \"enforce\"\nrate_address = \"1/h burst 1\"\n",
    );
    turned(&server, &refused());
    well(&server);
    for _ in 0..5 {
        assert_eq!(nobody(&server), refused());
    }
    turn(&server, "");
    turned(&server, &echoed());
    assert_eq!(
        recorded(&server),
        [
            "installation mode:enforce>none",
            "installation mode:observe>enforce",
            "installation mode:enforce>observe",
        ]
    );
}

#[test]
fn the_environment_is_over_what_is_read_again() {
    let mut server = Installation::configured("auth_mode = \"off\"\n");
    assert_eq!(nobody(&server), echoed());
    assert_eq!(server.stop(), Some(0));
    server.start_again_under(&["env", "AUTH_MODE=enforce"]);
    server.unseal().ok();
    assert_eq!(nobody(&server), refused());
    // That a wrong one was read shows when a right one was.
    turn(&server, "auth_mode = \"of\"\n");
    stays(&server, "must be off, observe or enforce");
    turn(&server, "auth_mode = \"observe\"\n");
    well(&server);
    assert_eq!(nobody(&server), refused());
    assert_eq!(recorded(&server), [""; 0]);
}

#[test]
fn a_sealed_server_takes_the_mode_over_as_well() {
    let mut server = Installation::configured("auth_mode = \"enforce\"\n");
    assert_eq!(server.stop(), Some(0));
    server.start_again();
    assert_eq!(nobody(&server), (503, json!({"error": "sealed"})));
    turn(&server, "auth_mode = \"observe\"\n");
    turned(&server, &echoed());
    assert!(
        server.server_said().contains("auth_mode is another"),
        "{}",
        server.server_said()
    );
    server.unseal().ok();
    assert_eq!(nobody(&server), echoed());
}
