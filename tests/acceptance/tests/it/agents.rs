//! Agents of another system, enrolled and at work: keys by `openssl genpkey`, signatures
//! and MACs by `openssl` after the rules of `protocol.md` §3.2, requests by `curl`.
//! Nothing of ours has a part in what an agent sends.

use crate::verify::{Agent, curl, now, text, tool};
use procura_acceptance::{Installation, Outcome, Search, program};
use serde_json::{Value, json};
use std::process::{Command, Stdio};

fn base64url(bytes: &[u8]) -> String {
    let standard = text(&["openssl", "base64", "-A"], bytes);
    standard
        .replace('+', "-")
        .replace('/', "_")
        .replace('=', "")
}

fn sha256(bytes: &[u8]) -> String {
    let printed = text(&["openssl", "dgst", "-sha256", "-r"], bytes);
    printed.split(' ').next().unwrap().to_owned()
}

/// The 32 bytes of the agent's public key.
fn public(agent: &Agent) -> Vec<u8> {
    let key = agent.folder.join("key.der");
    let words = [
        "openssl", "pkey", "-inform", "DER", "-pubout", "-outform", "DER", "-in",
    ];
    let der = tool(&[&words[..], &[key.to_str().unwrap()]].concat(), b"");
    der[der.len() - 32..].to_vec()
}

/// Sends a POST with these fields: the status, and the JSON of the answer.
fn post(server: &Installation, path: &str, fields: &[(&str, String)], body: &str) -> (u16, Value) {
    let fields: Vec<String> = fields
        .iter()
        .map(|(name, value)| format!("{name}: {value}"))
        .collect();
    let mut words = vec![
        "--data-binary",
        "@-",
        "-H",
        "content-type: application/json",
    ];
    words.extend(fields.iter().flat_map(|field| ["-H", field.as_str()]));
    let (status, head, body) = curl(server, path, &words, body.as_bytes());
    assert!(head.contains("content-type: application/json"), "{head}");
    assert!(head.contains("cache-control: no-store"), "{head}");
    (status, serde_json::from_str(&body).unwrap())
}

/// `key-server-v1`.
fn signed(server: &Installation, agent: &Agent, path: &str, body: &str) -> (u16, Value) {
    let signed_path = path.split('?').next().unwrap();
    let proof = agent.proof(&now(), "POST", signed_path, body.as_bytes());
    let part = |name: &str| proof[name].as_str().unwrap().to_owned();
    let fields = [
        ("X-Agent-Id", part("agent_id")),
        ("X-Timestamp", part("timestamp")),
        ("X-Nonce", part("nonce")),
        ("X-Signature", part("signature")),
    ];
    post(server, path, &fields, body)
}

/// `guide-v1`.
fn guided(server: &Installation, agent: &Agent, path: &str, body: &str) -> (u16, Value) {
    let moment = text(&["date", "-u", "+%s"], b"");
    let nonce = base64url(&tool(&["openssl", "rand", "16"], b""));
    let message = format!("POST\n{path}\n{moment}\n{nonce}\n{body}");
    let fields = [
        ("X-Agent", agent.id.to_owned()),
        ("X-Timestamp", moment),
        ("X-Nonce", nonce),
        ("X-Signature", base64url(&agent.sign(message.as_bytes()))),
    ];
    post(server, path, &fields, body)
}

/// `hmac-v2`, in a session or in none.
fn maced(
    server: &Installation,
    (id, secret, session): (&str, &str, &str),
    path: &str,
    body: &str,
) -> (u16, Value) {
    let moment = text(&["date", "-u", "+%s%3N"], b"");
    let nonce = text(&["openssl", "rand", "-hex", "16"], b"");
    let authority = server.url().trim_start_matches("http://");
    let hash = sha256(body.as_bytes());
    let message = format!("v2\nPOST\n{path}\n{authority}\n{moment}\n{nonce}\n{session}\n{hash}");
    let key = format!("key:{secret}");
    let words = [
        "openssl",
        "kdf",
        "-keylen",
        "32",
        "-kdfopt",
        "digest:SHA256",
        "-kdfopt",
        &key,
    ];
    let rest = ["-kdfopt", "info:procura.hmac-v2", "HKDF"];
    let key = text(&[&words[..], &rest[..]].concat(), b"").replace(':', "");
    let key = format!("hexkey:{key}");
    let words = [
        "openssl", "dgst", "-sha256", "-r", "-mac", "HMAC", "-macopt", &key,
    ];
    let tag = text(&words, message.as_bytes());
    let mut fields = vec![
        ("X-Agent-Id", id.to_owned()),
        ("X-Timestamp", moment),
        ("X-Nonce", nonce),
        ("X-Signature-Version", "2".to_owned()),
        ("X-Signature", tag.split(' ').next().unwrap().to_owned()),
    ];
    if !session.is_empty() {
        fields.push(("X-Session-Id", session.to_owned()));
    }
    post(server, path, &fields, body)
}

fn error(status: u16, word: &str) -> (u16, Value) {
    (status, json!({"error": word}))
}

/// An operator asks with a proof of their own.
fn operator(server: &Installation, path: &str, body: &Value) -> Value {
    let url = format!("{}{path}", server.url());
    let body = body.to_string();
    let words = [
        "request",
        "POST",
        &url,
        &body,
        "--header",
        "content-type: application/json",
    ];
    server.cli(&words).ok().json()
}

#[test]
fn an_agent_is_enrolled_works_in_sessions_and_is_let_go_of() {
    let mut server = Installation::ready();
    server.cli(&["agent", "add", "scribe", "--no-code"]).ok();
    let scribe = Agent::of_openssl(&server, "Scribe.1");
    let wanted = json!({"namespace": "default", "agent": "scribe", "agent_id": "Scribe.1"});
    let started = operator(&server, "/agent/enroll/start", &wanted);
    assert_eq!(started["expires_in_sec"], 600, "{started}");
    let challenge = started["challenge"].as_str().unwrap();
    let completion = |signature: &str| {
        json!({
            "enroll_code": started["enroll_code"],
            "public_key": base64url(&public(&scribe)),
            "signature": signature,
        })
        .to_string()
    };
    let complete = "/functions/v1/agent/enroll/complete";
    let wrong = completion(&base64url(&scribe.sign(b"another challenge")));
    assert_eq!(
        post(&server, complete, &[], &wrong),
        error(401, "bad_signature")
    );
    let right = completion(&base64url(&scribe.sign(challenge.as_bytes())));
    let (status, enrolled) = post(&server, complete, &[], &right);
    assert_eq!((status, &enrolled["agent_id"]), (200, &json!("Scribe.1")));
    assert_eq!(
        post(&server, complete, &[], &right),
        error(403, "unknown_code")
    );
    let secret = enrolled["agent_secret"].as_str().unwrap().to_owned();
    assert_eq!(
        enrolled["agent_jwt"].as_str().unwrap().split('.').count(),
        3
    );

    // A session by each kind of proof, gone on with by another.
    let start = "/agent/session/start";
    let body = r#"{"agent_id":"Scribe.1"}"#;
    let (status, session) = signed(&server, &scribe, start, body);
    assert_eq!((status, &session["ttl_ms"]), (200, &json!(600_000)));
    let (status, other) = guided(&server, &scribe, start, body);
    assert_eq!((status, &other["ttl_ms"]), (200, &json!(600_000)));
    let at = session["session_id"].as_str().unwrap();
    let extend = "/functions/v1/agent/session/extend";
    let (status, next) = maced(&server, ("Scribe.1", &secret, at), extend, "");
    assert_eq!(status, 200, "{next}");
    assert_ne!(next["session_id"], session["session_id"]);
    let token = "/agent/token/refresh";
    let (status, refreshed) = maced(&server, ("Scribe.1", &secret, at), token, "");
    assert_eq!((status, &refreshed["expires_in"]), (200, &json!(3600)));
    let nobody = maced(&server, ("Scribe.1", &secret, "none"), token, "");
    assert_eq!(nobody, error(401, "session_unknown"));
    assert_eq!(signed(&server, &scribe, token, ""), error(403, "forbidden"));
    let echo = post(&server, "/agent/protected/echo", &[], r#"{"a":[1]}"#);
    assert_eq!(echo, (200, json!({"ok": true, "echo": {"a": [1]}})));

    // Secrets have an age, and can be exchanged in peace or on suspicion.
    let list = server
        .cli(&["--json", "agent", "secret", "list"])
        .ok()
        .json();
    assert_eq!(list["ids"][0]["agent_id"], "Scribe.1", "{list}");
    assert_eq!(
        list["ids"][0]["secrets"].as_array().unwrap().len(),
        1,
        "{list}"
    );
    let rotated = server.cli(&["agent", "secret", "rotate", "Scribe.1"]).ok();
    let newer = rotated.says("is good until").text();
    for secret in [secret.as_str(), newer.trim()] {
        assert_eq!(maced(&server, ("Scribe.1", secret, ""), token, "").0, 200);
    }
    let newest = server
        .cli(&["agent", "secret", "rotate", "Scribe.1", "--invalidate"])
        .ok()
        .text();
    for secret in [secret.as_str(), newer.trim()] {
        let refused = maced(&server, ("Scribe.1", secret, ""), token, "");
        assert_eq!(refused, error(401, "bad_signature"));
    }
    assert_eq!(
        maced(&server, ("Scribe.1", newest.trim(), ""), token, "").0,
        200
    );

    // Sealed, nobody is looked at; open again, all is as it was.
    server.kill();
    server.start_again();
    assert_eq!(signed(&server, &scribe, start, body), error(503, "sealed"));
    server.unseal().ok();
    assert_eq!(signed(&server, &scribe, start, body).0, 200);

    // Whose it is can be seen, and ended.
    let list = server.cli(&["agent", "foreign", "list"]).ok().text();
    assert!(
        list.contains("Scribe.1") && list.contains("scribe"),
        "{list}"
    );
    server
        .cli(&["agent", "foreign", "bind", "Scribe.1", "nobody"])
        .code(77)
        .says("there is no agent nobody");
    server
        .cli(&["agent", "foreign", "release", "Scribe.1"])
        .ok();
    assert_eq!(
        signed(&server, &scribe, start, body),
        error(401, "unknown_agent")
    );
    let refused = maced(&server, ("Scribe.1", newest.trim(), ""), token, "");
    assert_eq!(refused, error(401, "unknown_agent"));

    assert_eq!(server.stop(), Some(0));
    for secret in [&secret, newest.trim()] {
        let mut search = Search::new(secret);
        search.folder(&server.home());
        search.bytes("the server's log", server.server_said().as_bytes());
        search.assert_nowhere();
    }
}

#[test]
fn a_mode_that_nobody_knows_starts_no_server() {
    let home = tempfile::tempdir().unwrap();
    for mode in ["enfroce", "Enforce", "", " off"] {
        let output = Command::new(program("procura"))
            .args([
                "server",
                "--listen",
                "127.0.0.1:0",
                "--health-listen",
                "127.0.0.1:0",
            ])
            .env("PROCURA_HOME", home.path())
            .env("AUTH_MODE", mode)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        Outcome::from(output)
            .code(78)
            .says("AUTH_MODE must be off, observe or enforce");
    }
}
