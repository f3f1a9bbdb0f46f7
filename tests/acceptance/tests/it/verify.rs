//! The verification service, asked by other people's tools: agents made by
//! `ssh-keygen` and `openssl`, proofs signed by `openssl`, questions sent by `curl`.
//! Nothing of ours has a part in a proof.

use crate::scene::PATIENCE;
use procura_acceptance::{Installation, until};
use serde_json::{Value, json};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Runs a tool with something on stdin; what it printed.
pub(crate) fn tool(words: &[&str], input: &[u8]) -> Vec<u8> {
    let mut child = Command::new(words[0])
        .args(&words[1..])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{}: {error}; ./x setup installs it", words[0]));
    child.stdin.take().unwrap().write_all(input).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{words:?}: {said}");
    output.stdout
}

pub(crate) fn text(words: &[&str], input: &[u8]) -> String {
    let printed = String::from_utf8(tool(words, input)).unwrap();
    printed.trim_end().to_owned()
}

fn base64(bytes: &[u8]) -> String {
    text(&["openssl", "base64", "-A"], bytes)
}

fn sha256(bytes: &[u8]) -> String {
    let printed = text(&["openssl", "dgst", "-sha256", "-r"], bytes);
    printed.split(' ').next().unwrap().to_owned()
}

pub(crate) fn now() -> String {
    text(&["date", "-u", "+%Y-%m-%dT%H:%M:%S.%3NZ"], b"")
}

/// An agent on a host of its own.
pub(crate) struct Agent {
    pub(crate) folder: PathBuf,
    pub(crate) id: &'static str,
}

impl Agent {
    /// As the guide for agents says it: `ssh-keygen -t ed25519`.
    pub(crate) fn of_ssh_keygen(server: &Installation, id: &'static str) -> Self {
        let agent = Self::empty(server, id);
        let key = agent.folder.join("key");
        let comment = format!("{id}@host");
        let words = ["-q", "-t", "ed25519", "-N", "", "-C", &comment, "-f"];
        tool(
            &[&["ssh-keygen"], &words[..], &[key.to_str().unwrap()]].concat(),
            b"",
        );
        let seed = seed(&std::fs::read_to_string(&key).unwrap());
        // RFC 8410 section 7: what stands before the seed is always the same.
        let mut der = b"\x30\x2e\x02\x01\x00\x30\x05\x06\x03\x2b\x65\x70\x04\x22\x04\x20".to_vec();
        der.extend_from_slice(&seed);
        std::fs::write(agent.folder.join("key.der"), der).unwrap();
        agent
    }

    /// By `openssl genpkey`; the line of OpenSSH is put together from its parts.
    pub(crate) fn of_openssl(server: &Installation, id: &'static str) -> Self {
        let agent = Self::empty(server, id);
        let der = agent.folder.join("key.der");
        let words = [
            "genpkey",
            "-algorithm",
            "ed25519",
            "-outform",
            "DER",
            "-out",
        ];
        tool(
            &[&["openssl"], &words[..], &[der.to_str().unwrap()]].concat(),
            b"",
        );
        let words = [
            "pkey", "-inform", "DER", "-pubout", "-outform", "DER", "-in",
        ];
        let public = tool(
            &[&["openssl"], &words[..], &[der.to_str().unwrap()]].concat(),
            b"",
        );
        let mut blob = b"\0\0\0\x0bssh-ed25519\0\0\0\x20".to_vec();
        blob.extend_from_slice(&public[public.len() - 32..]);
        let line = format!("ssh-ed25519 {}\n", base64(&blob));
        std::fs::write(agent.folder.join("key.pub"), line).unwrap();
        agent
    }

    fn empty(server: &Installation, id: &'static str) -> Self {
        let folder = server.folder().join(format!("host-of-{id}"));
        std::fs::create_dir(&folder).unwrap();
        Self { folder, id }
    }

    /// Its public key, as a file.
    pub(crate) fn public(&self) -> PathBuf {
        self.folder.join("key.pub")
    }

    /// Drops the public key into the directory of the server.
    pub(crate) fn enrol(&self, server: &Installation) {
        std::fs::copy(self.public(), file(server, self.id)).unwrap();
    }

    pub(crate) fn sign(&self, message: &[u8]) -> Vec<u8> {
        let (signed, key) = (self.folder.join("message"), self.folder.join("key.der"));
        std::fs::write(&signed, message).unwrap();
        let (signed, key) = (signed.to_str().unwrap(), key.to_str().unwrap());
        let words = [
            "pkeyutl", "-sign", "-rawin", "-keyform", "DER", "-inkey", key, "-in", signed,
        ];
        tool(&[&["openssl"], &words[..]].concat(), b"")
    }

    /// What a service that the agent called hands on.
    pub(crate) fn proof(&self, timestamp: &str, method: &str, path: &str, body: &[u8]) -> Value {
        let nonce = text(&["openssl", "rand", "-hex", "16"], b"");
        let hash = sha256(body);
        let message = format!("{method}\n{path}\n{timestamp}\n{nonce}\n{hash}");
        json!({
            "agent_id": self.id,
            "timestamp": timestamp,
            "nonce": nonce,
            "method": method,
            "path": path,
            "body_sha256": hash,
            "signature": base64(&self.sign(message.as_bytes())),
        })
    }

    pub(crate) fn proof_now(&self) -> Value {
        self.proof(&now(), "POST", "/api/notes", br#"{"title":"x"}"#)
    }
}

pub(crate) fn file(server: &Installation, id: &str) -> PathBuf {
    server.home().join(format!("keys/agents/{id}.pub"))
}

/// The 32 secret bytes in an unencrypted private key of OpenSSH (PROTOCOL.key).
fn seed(file: &str) -> Vec<u8> {
    let body: String = file.lines().filter(|line| !line.starts_with('-')).collect();
    let bytes = tool(&["openssl", "base64", "-d", "-A"], body.as_bytes());
    let mut rest = bytes.strip_prefix(b"openssh-key-v1\0").unwrap();
    fn string<'a>(rest: &mut &'a [u8]) -> &'a [u8] {
        let (length, after) = rest.split_first_chunk::<4>().unwrap();
        let (string, after) = after.split_at(u32::from_be_bytes(*length) as usize);
        *rest = after;
        string
    }
    assert_eq!(
        (string(&mut rest), string(&mut rest)),
        (&b"none"[..], &b"none"[..])
    );
    string(&mut rest);
    rest = &rest[4..];
    string(&mut rest);
    let mut private = string(&mut rest);
    private = &private[8..];
    assert_eq!(string(&mut private), b"ssh-ed25519");
    string(&mut private);
    string(&mut private)[..32].to_vec()
}

/// Asks with `curl`: the status, the fields of the answer, and the body.
pub(crate) fn curl(
    server: &Installation,
    target: &str,
    words: &[&str],
    input: &[u8],
) -> (u16, String, String) {
    let url = format!("{}{target}", server.url());
    let usual = [
        "curl",
        "-sS",
        "-i",
        "--noproxy",
        "*",
        "--max-time",
        "20",
        "--path-as-is",
    ];
    let printed = tool(&[&usual, words, &[url.as_str()]].concat(), input);
    let printed = String::from_utf8(printed).unwrap();
    let (head, body) = printed.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    assert!(!head.to_lowercase().contains("access-control"), "{head}");
    (status, head.to_lowercase(), body.to_owned())
}

/// `POST /api/verify`.
#[track_caller]
pub(crate) fn asks(server: &Installation, proof: &Value, status: u16, answer: &Value) {
    let json = "content-type: application/json";
    let words = ["--data-binary", "@-", "-H", json];
    let (found, head, body) = curl(server, "/api/verify", &words, proof.to_string().as_bytes());
    let body: Value = serde_json::from_str(&body).unwrap();
    assert_eq!((found, &body), (status, answer), "{proof}");
    assert!(head.contains("content-type: application/json"), "{head}");
}

pub(crate) fn valid(agent: &str) -> Value {
    json!({"valid": true, "agent_id": agent})
}

fn invalid(reason: &str) -> Value {
    json!({"valid": false, "reason": reason})
}

#[test]
fn proofs_by_other_peoples_tools_are_good_once_and_until_the_key_goes() {
    let mut server = Installation::ready();
    let (scribe, clerk) = (
        Agent::of_ssh_keygen(&server, "scribe"),
        Agent::of_openssl(&server, "clerk.2"),
    );
    asks(&server, &scribe.proof_now(), 401, &invalid("unknown_agent"));
    scribe.enrol(&server);
    clerk.enrol(&server);
    let (first, other) = (scribe.proof_now(), clerk.proof_now());
    asks(&server, &first, 200, &valid("scribe"));
    asks(&server, &other, 200, &valid("clerk.2"));
    asks(&server, &first, 401, &invalid("nonce_replayed"));
    let empty = scribe.proof(&now(), "GET", "/", b"");
    asks(&server, &empty, 200, &valid("scribe"));
    for (field, value) in [
        ("path", json!("/api/notes/1")),
        ("method", json!("PUT")),
        ("body_sha256", json!(sha256(b"another"))),
        ("agent_id", json!("clerk.2")),
        ("signature", json!(base64(&[1; 66]))),
    ] {
        let mut altered = scribe.proof_now();
        altered[field] = value;
        asks(&server, &altered, 401, &invalid("bad_signature"));
    }
    for timestamp in ["2020-01-01T00:00:00Z", "2120-01-01T00:00:00Z"] {
        let odd = scribe.proof(timestamp, "GET", "/", b"");
        asks(&server, &odd, 401, &invalid("timestamp_out_of_window"));
    }

    // What was used stays used when the server is killed, and sealed is not open.
    let unused = scribe.proof_now();
    server.kill();
    server.start_again();
    let sealed = json!({"error": "service_unavailable", "reason": "sealed"});
    asks(&server, &unused, 503, &sealed);
    server.unseal().ok();
    asks(&server, &first, 401, &invalid("nonce_replayed"));
    asks(&server, &unused, 200, &valid("scribe"));

    // The key goes, another comes, and the first one comes back.
    let key = file(&server, "scribe");
    std::fs::remove_file(&key).unwrap();
    asks(&server, &scribe.proof_now(), 401, &invalid("unknown_agent"));
    std::fs::copy(clerk.public(), &key).unwrap();
    asks(&server, &scribe.proof_now(), 401, &invalid("bad_signature"));
    scribe.enrol(&server);
    asks(&server, &scribe.proof_now(), 200, &valid("scribe"));

    let list = [
        "--json",
        "audit",
        "list",
        "--everywhere",
        "--action",
        "verify",
    ];
    until("the refusal in the record", PATIENCE, || {
        let listed = server.cli(&list).ok().text();
        listed.contains("foreign/scribe").then_some(())
    });
    assert_eq!(server.stop(), Some(0));
    assert_lines(&server.home().join("logs/verify.jsonl"));
}

/// That every line is whole, and what came of the questions above is there.
fn assert_lines(path: &Path) {
    let text = std::fs::read_to_string(path).unwrap();
    let lines: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let count = |result: &str, reason: Option<&str>| {
        let is = |line: &&Value| {
            line["event"] == "verify"
                && line["ip"] == "127.0.0.1"
                && line["result"] == result
                && line.get("reason").and_then(Value::as_str) == reason
        };
        lines.iter().filter(is).count()
    };
    assert_eq!(count("ok", None), 5, "{text}");
    assert_eq!(count("fail", Some("unknown_agent")), 2, "{text}");
    assert_eq!(count("fail", Some("nonce_replayed")), 2, "{text}");
    assert_eq!(count("fail", Some("bad_signature")), 6, "{text}");
    assert_eq!(count("fail", Some("timestamp_out_of_window")), 2, "{text}");
    assert_eq!(count("error", Some("sealed")), 1, "{text}");
    assert_eq!(lines.len(), 18, "{text}");
}

#[test]
fn identities_are_what_openssh_says_they_are() {
    let server = Installation::ready();
    let agents = ["scribe", "a-1"].map(|id| Agent::of_ssh_keygen(&server, id));
    let get = |target: &str| {
        let (status, _, body) = curl(&server, target, &[], b"");
        (status, serde_json::from_str::<Value>(&body).unwrap())
    };
    assert_eq!(
        get("/api/agents/identity"),
        (200, json!({"agents": [], "count": 0}))
    );
    for agent in &agents {
        agent.enrol(&server);
        let (status, found) = get(&format!("/api/agents/identity/{}", agent.id));
        let listed = [
            "ssh-keygen",
            "-l",
            "-f",
            agent.folder.join("key.pub").to_str().unwrap(),
        ]
        .map(str::to_owned);
        let listed: Vec<&str> = listed.iter().map(String::as_str).collect();
        let shown = text(&listed, b"");
        let line = std::fs::read_to_string(agent.public()).unwrap();
        let key: Vec<&str> = line.split(' ').take(2).collect();
        assert_eq!(status, 200, "{found}");
        assert_eq!(found["agent_id"], agent.id);
        assert_eq!(found["fingerprint"], shown.split(' ').nth(1).unwrap());
        assert_eq!(found["pub_key"], key.join(" "));
        let time = found["registered_at"].as_str().unwrap();
        assert!(time.ends_with('Z') && time.contains('T'), "{time}");
    }
    assert_eq!(
        get("/api/agents/identity"),
        (200, json!({"agents": ["a-1", "scribe"], "count": 2}))
    );
    let (status, nobody) = get("/api/agents/identity/nobody");
    assert_eq!(
        (status, &nobody["error"]),
        (404, &json!("Agent identity not registered"))
    );
    assert!(
        nobody["hint"]
            .as_str()
            .unwrap()
            .contains("keys/agents/nobody.pub")
    );
    for bad in ["..", "%2e%2e", "../scribe", "a%2Fb"] {
        let (status, answer) = get(&format!("/api/agents/identity/{bad}"));
        assert_eq!(
            (status, &answer["error"]),
            (400, &json!("bad_request")),
            "{bad}"
        );
    }
}

#[test]
fn refusals_have_the_shapes_of_others() {
    let server = Installation::ready();
    let scribe = Agent::of_openssl(&server, "scribe");
    scribe.enrol(&server);
    let post = |body: &[u8]| {
        let (status, _, body) = curl(&server, "/api/verify", &["--data-binary", "@-"], body);
        (status, serde_json::from_str::<Value>(&body).unwrap())
    };
    let bad = |reason: &str| (400, json!({"error": "bad_request", "reason": reason}));
    assert_eq!(post(b"{"), bad("invalid_json"));
    assert_eq!(post(b"{}"), bad("missing_or_invalid_fields"));
    let padded = |length: usize| {
        let mut proof = scribe.proof_now();
        proof["padding"] = "".into();
        let rest = length - proof.to_string().len();
        proof["padding"] = "x".repeat(rest).into();
        proof.to_string().into_bytes()
    };
    assert_eq!(post(&padded(16 * 1024)), (200, valid("scribe")));
    assert_eq!(post(&padded(17 * 1024)), bad("body too large"));
    let (status, _, body) = curl(
        &server,
        "/api/verify",
        &["-H", "Host: elsewhere.example"],
        b"",
    );
    assert_eq!(status, 421, "{body}");
    let (status, head, _) = curl(
        &server,
        "/api/verify",
        &["-H", "Origin: https://evil.example"],
        b"",
    );
    assert!(status == 405 && head.contains("allow: post"), "{head}");
    let (status, head, body) = curl(&server, "/api/nothing", &[], b"");
    assert_eq!((status, body.as_str()), (404, "{\"error\":\"not_found\"}"));
    assert!(head.contains("application/json"), "{head}");
}

#[test]
fn the_list_of_addresses_is_followed() {
    let server = Installation::ready();
    let scribe = Agent::of_openssl(&server, "scribe");
    scribe.enrol(&server);
    let list = server.home().join("auth/allowed-clients.json");
    let from = |address: &str| {
        let words = ["--interface", address, "-H", "X-Forwarded-For: 127.0.0.3"];
        let (status, _, body) = curl(&server, "/api/agents/identity", &words, b"");
        assert!(
            status == 200 || body == r#"{"error":"Forbidden","reason":"IP not whitelisted"}"#,
            "{body}"
        );
        status
    };
    // All of 127.0.0.0/8 is this machine.
    assert_eq!((from("127.0.0.1"), from("127.0.0.2")), (200, 200));
    std::fs::write(&list, r#"{"allowed_ips": ["127.0.0.2/32", "10.0.0.0/8"]}"#).unwrap();
    assert_eq!(
        (from("127.0.0.1"), from("127.0.0.2"), from("127.0.0.22")),
        (403, 200, 403)
    );
    std::fs::write(&list, r#"{"allowed_ips": ["127.0.0.0/30"]}"#).unwrap();
    assert_eq!(
        (from("127.0.0.1"), from("127.0.0.2"), from("127.0.0.4")),
        (200, 200, 403)
    );
    // Who wrote a list meant to keep somebody out.
    std::fs::write(&list, r#"{"allowed_ips": ["127.0.0.0/33"]}"#).unwrap();
    assert_eq!((from("127.0.0.1"), from("127.0.0.2")), (403, 403));
    let status = server.cli(&["--json", "status"]).ok().json();
    assert!(
        status["degraded"][0]
            .as_str()
            .unwrap()
            .starts_with("allow-list: "),
        "{status}"
    );
    assert!(server.server_said().contains("allowed-clients.json"));
    std::fs::remove_file(&list).unwrap();
    assert_eq!((from("127.0.0.1"), from("127.0.0.2")), (200, 200));
}
