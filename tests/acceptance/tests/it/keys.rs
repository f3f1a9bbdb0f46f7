//! Keys fetched by agents of another system: made by `ssh-keygen` and `openssl`, proofs
//! signed by `openssl` after the rules of `key-server-v1`, requests sent by `curl`.
//! Nothing of ours has a part in a proof.

use crate::verify::{Agent, asks, curl, file, now, text, valid};
use procura_acceptance::{Installation, Search, until};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// In both keys below; to be found nowhere but in the answers to whom they are for.
pub(crate) const CANARY: &str = "key-canary-51c07e88d3b94f20a6";

/// A private key of SSH, as far as anybody looks at it.
pub(crate) fn private_key() -> String {
    format!("-----BEGIN OPENSSH PRIVATE KEY-----\n{CANARY}\n-----END OPENSSH PRIVATE KEY-----\n")
}

/// The key of an API.
pub(crate) fn api_key() -> String {
    format!("sk-{CANARY}")
}

/// A tree as another system keeps it, with these agents.
pub(crate) fn tree(server: &Installation, name: &str, agents: &[&Agent]) -> PathBuf {
    let dir = server.folder().join(name);
    for folder in ["agents", "ssh", "openai"] {
        std::fs::create_dir_all(dir.join(folder)).unwrap();
    }
    for agent in agents {
        std::fs::copy(agent.public(), dir.join(format!("agents/{}.pub", agent.id))).unwrap();
    }
    std::fs::write(dir.join("ssh/deploy"), private_key()).unwrap();
    std::fs::write(dir.join("openai/api-key.txt"), api_key() + "\n").unwrap();
    dir
}

/// Brings a tree into a namespace.
fn import(server: &Installation, namespace: &str, dir: &Path) {
    let words = ["-n", namespace, "import", "keys", dir.to_str().unwrap()];
    server.cli(&words).ok();
}

/// The fields of a proof of `GET path` that the agent makes now.
fn proof(agent: &Agent, path: &str) -> Vec<String> {
    let proof = agent.proof(&now(), "GET", path, b"");
    [
        ("X-Agent-Id", "agent_id"),
        ("X-Timestamp", "timestamp"),
        ("X-Nonce", "nonce"),
        ("X-Signature", "signature"),
    ]
    .iter()
    .map(|(field, part)| format!("{field}: {}", proof[part].as_str().unwrap()))
    .collect()
}

fn send(server: &Installation, path: &str, fields: &[String]) -> (u16, String, String) {
    let words: Vec<&str> = fields
        .iter()
        .flat_map(|field| ["-H", field.as_str()])
        .collect();
    curl(server, path, &words, b"")
}

/// The agent asks; the status, the head, and the body.
fn get(server: &Installation, agent: &Agent, path: &str) -> (u16, String, String) {
    send(server, path, &proof(agent, path))
}

/// The same, where the answer is JSON.
fn get_json(server: &Installation, agent: &Agent, path: &str) -> (u16, Value) {
    let (status, head, body) = get(server, agent, path);
    assert!(head.contains("content-type: application/json"), "{head}");
    assert!(head.contains("cache-control: no-store"), "{head}");
    (status, serde_json::from_str(&body).unwrap())
}

fn unproven(reason: &str) -> (u16, Value) {
    (401, json!({"error": "unauthorized", "reason": reason}))
}

/// The agent asks for what it has no grant for; the request that waits.
fn waits(server: &Installation, agent: &Agent, path: &str) -> String {
    let (status, answer) = get_json(server, agent, path);
    let request = answer["request"].as_str().unwrap_or_default().to_owned();
    let expected = json!({
        "error": "Forbidden", "reason": "approval_required", "request": request,
    });
    assert_eq!((status, &answer), (403, &expected), "{path}");
    request
}

#[test]
fn an_agent_of_another_system_gets_a_key_between_approval_and_withdrawal() {
    let mut server = Installation::ready();
    for namespace in ["shop", "bank"] {
        server.cli(&["namespace", "create", namespace]).ok();
    }
    let scribe = Agent::of_ssh_keygen(&server, "Scribe.1");
    let clerk = Agent::of_openssl(&server, "clerk");
    import(&server, "shop", &tree(&server, "of-shop", &[&scribe]));
    // The other namespace has agents and no such keys.
    let of_bank = tree(&server, "of-bank", &[&clerk]);
    std::fs::remove_dir_all(of_bank.join("ssh")).unwrap();
    import(&server, "bank", &of_bank);

    // It is registered, and services that ask are told so.
    let (status, _, body) = curl(&server, "/api/agents/identity", &[], b"");
    let both = json!({"agents": ["Scribe.1", "clerk"], "count": 2});
    assert_eq!(
        (status, serde_json::from_str::<Value>(&body).unwrap()),
        (200, both)
    );
    asks(&server, &scribe.proof_now(), 200, &valid("Scribe.1"));

    // Before the approval: a request, and the same one when it asks again.
    let none = json!({"ssh_keys": [], "api_services": []});
    assert_eq!(
        get_json(&server, &scribe, "/keys/list"),
        (200, none.clone())
    );
    let request = waits(&server, &scribe, "/keys/ssh/deploy");
    assert_eq!(waits(&server, &scribe, "/keys/ssh/deploy"), request);
    let api = waits(&server, &scribe, "/keys/api/openai");
    assert_ne!(api, request);
    let shown = server
        .cli(&["-n", "shop", "--json", "request", "show", &request])
        .ok()
        .json();
    assert_eq!(shown["project"], "keys", "{shown}");
    assert_eq!(shown["delivery"], "http", "{shown}");
    assert_eq!(shown["lineage"], "alice//scribe-1", "{shown}");
    let item = json!([{"name": "SSH_DEPLOY", "path": "ssh/deploy"}]);
    assert_eq!(shown["items"], item, "{shown}");

    // After it: the key, byte for byte, once for each proof.
    approve(&server, &request);
    let fields = proof(&scribe, "/keys/ssh/deploy");
    let (status, head, body) = send(&server, "/keys/ssh/deploy", &fields);
    assert_eq!((status, body), (200, private_key()));
    assert!(head.contains("content-type: text/plain"), "{head}");
    assert!(head.contains("cache-control: no-store"), "{head}");
    let (status, _, body) = send(&server, "/keys/ssh/deploy", &fields);
    let again = serde_json::from_str::<Value>(&body).unwrap();
    assert_eq!((status, again), unproven("nonce_replayed"));
    let one = json!({"ssh_keys": ["deploy"], "api_services": []});
    assert_eq!(get_json(&server, &scribe, "/keys/list"), (200, one));
    waits(&server, &scribe, "/keys/api/openai");
    approve(&server, &api);
    let key = json!({"service": "openai", "api_key": api_key()});
    assert_eq!(get_json(&server, &scribe, "/keys/api/openai"), (200, key));
    in_the_record(&server, &request);

    // Nobody else: neither of the other namespace, nor without a proof, nor under a
    // proof of something else.
    let no_key = (404, json!({"error": "Key not found"}));
    assert_eq!(get_json(&server, &clerk, "/keys/ssh/deploy"), no_key);
    assert_eq!(get_json(&server, &scribe, "/keys/ssh/nothing"), no_key);
    let no_api_key = (404, json!({"error": "API key not found"}));
    assert_eq!(get_json(&server, &scribe, "/keys/api/nothing"), no_api_key);
    let other = proof(&scribe, "/keys/ssh/other");
    let (status, _, body) = send(&server, "/keys/ssh/deploy", &other);
    let refused = serde_json::from_str::<Value>(&body).unwrap();
    assert_eq!((status, refused), unproven("bad_signature"));
    let (status, _, body) = send(&server, "/keys/ssh/deploy", &[]);
    let refused = serde_json::from_str::<Value>(&body).unwrap();
    assert_eq!((status, refused), unproven("missing_headers"));

    // After the withdrawal.
    server
        .cli(&["-n", "shop", "grant", "withdraw", &request])
        .ok();
    assert_ne!(waits(&server, &scribe, "/keys/ssh/deploy"), request);

    // Sealed, and open again.
    server.kill();
    server.start_again();
    let sealed = json!({"error": "service_unavailable", "reason": "sealed"});
    assert_eq!(
        get_json(&server, &scribe, "/keys/api/openai"),
        (503, sealed)
    );
    server.unseal().ok();
    assert_eq!(get_json(&server, &scribe, "/keys/api/openai").0, 200);

    // The file goes, and with it the agent.
    std::fs::remove_file(file(&server, "Scribe.1")).unwrap();
    let gone = get_json(&server, &scribe, "/keys/api/openai");
    assert_eq!(gone, unproven("unknown_agent"));
    scribe.enrol(&server);
    assert_eq!(get_json(&server, &scribe, "/keys/api/openai").0, 200);

    assert_eq!(server.stop(), Some(0));
    let mut search = Search::new(CANARY);
    search.folder(&server.home());
    search.bytes("the server's log", server.server_said().as_bytes());
    search.assert_nowhere();
}

fn approve(server: &Installation, request: &str) {
    server
        .cli(&["-n", "shop", "request", "approve", request])
        .ok();
}

/// That the record says who got what, how proven, and under which grant.
fn in_the_record(server: &Installation, grant: &str) {
    let agents = ["-n", "shop", "--json", "agent", "list"];
    let agents = server.cli(&agents).ok().json();
    let list = [
        "-n", "shop", "--json", "audit", "list", "--action", "key.read",
    ];
    let listed = until("the read in the record", crate::scene::PATIENCE, || {
        let listed = server.cli(&list).ok().json();
        let rows = listed["entries"].as_array().unwrap().clone();
        (!rows.is_empty()).then_some(rows)
    });
    let entries: Vec<Value> = listed
        .iter()
        .map(|row| serde_json::from_str(row["entry"].as_str().unwrap()).unwrap())
        .collect();
    let read = entries
        .iter()
        .find(|entry| entry["grant"] == grant)
        .unwrap_or_else(|| panic!("{entries:?}"));
    assert_eq!(read["actor"], agents["agents"][0]["actor_id"], "{read}");
    assert_eq!(read["profile"], "key-server-v1", "{read}");
    assert_eq!(read["phase"], "intent", "{read}");
    assert_eq!(read["decision"], "allow", "{read}");
    assert_eq!(read["resource"], "secret/ssh/deploy @1", "{read}");
    assert_eq!(read["namespace"], "shop", "{read}");
    assert_eq!(read["ip"], "127.0.0.1", "{read}");
}

#[test]
fn a_weak_proof_releases_nothing_whatever_is_granted() {
    let server = Installation::ready();
    let scribe = Agent::of_openssl(&server, "scribe");
    let dir = tree(&server, "tree", &[&scribe]);
    import(&server, "default", &dir);
    let request = waits(&server, &scribe, "/keys/ssh/deploy");
    server.cli(&["request", "approve", &request]).ok();
    assert_eq!(get(&server, &scribe, "/keys/ssh/deploy").0, 200);
    // The shape of hmac-v1: a timestamp of digits, and no version.
    let millis = text(&["date", "+%s%3N"], b"");
    let fields = [
        "X-Agent-Id: scribe".to_owned(),
        format!("X-Timestamp: {millis}"),
        "X-Nonce: 0011223344556677".to_owned(),
        format!("X-Signature: {}", "0".repeat(64)),
    ];
    for path in [
        "/keys/ssh/deploy",
        "/keys/api/openai",
        "/keys/list",
        "/audit",
    ] {
        let (status, _, body) = send(&server, path, &fields);
        let refused = serde_json::from_str::<Value>(&body).unwrap();
        assert_eq!((status, refused), unproven("missing_headers"), "{path}");
    }
}

#[test]
fn who_is_a_key_and_no_agent_of_ours_gets_nothing() {
    let server = Installation::ready();
    let (scribe, stray) = (
        Agent::of_openssl(&server, "scribe"),
        Agent::of_openssl(&server, "stray"),
    );
    import(&server, "default", &tree(&server, "tree", &[&scribe]));
    // A file alone makes nobody an actor here, though services that ask know it.
    stray.enrol(&server);
    asks(&server, &stray.proof_now(), 200, &valid("stray"));
    for path in ["/keys/ssh/deploy", "/keys/list", "/audit"] {
        let found = get_json(&server, &stray, path);
        assert_eq!(found, unproven("unknown_agent"), "{path}");
    }
    // An agent is no auditor.
    let no = (403, json!({"error": "Forbidden", "reason": "no_role"}));
    assert_eq!(get_json(&server, &scribe, "/audit"), no);
    // An agent that is revoked is nobody, whatever file it has.
    server.cli(&["agent", "revoke", "scribe"]).ok();
    let (status, refused) = get_json(&server, &scribe, "/keys/list");
    assert_eq!(status, 401, "{refused}");
    assert_eq!(refused["error"], "unauthorized", "{refused}");
}

#[test]
fn the_address_and_the_name_of_the_server_come_first() {
    let server = Installation::ready();
    let scribe = Agent::of_openssl(&server, "scribe");
    let dir = tree(&server, "tree", &[&scribe]);
    let list = r#"{"allowed_ips": ["127.0.0.1", "10.0.0.0/8"]}"#;
    std::fs::write(dir.join("allowed-clients.json"), list).unwrap();
    import(&server, "default", &dir);
    for path in ["/keys/list", "/keys/ssh/deploy", "/keys/nothing", "/audit"] {
        let mut words: Vec<String> = vec!["--interface".into(), "127.0.0.2".into()];
        for field in proof(&scribe, path) {
            words.extend(["-H".to_owned(), field]);
        }
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let (status, _, body) = curl(&server, path, &words, b"");
        let refused = r#"{"error":"Forbidden","reason":"IP not whitelisted"}"#;
        assert_eq!((status, body.as_str()), (403, refused), "{path}");
        let words = ["-H", "Host: elsewhere.example"];
        let (status, _, body) = curl(&server, path, &words, b"");
        let refused = r#"{"error":"misdirected_request","reason":"host"}"#;
        assert_eq!((status, body.as_str()), (421, refused), "{path}");
    }
    let (status, _, body) = curl(&server, "/keys/nothing", &[], b"");
    assert_eq!((status, body.as_str()), (404, r#"{"error":"not_found"}"#));
    let (status, head, _) = curl(&server, "/keys/list", &["-X", "POST"], b"");
    assert!(status == 405 && head.contains("allow: get"), "{head}");
    assert_eq!(get(&server, &scribe, "/keys/list").0, 200);
}

#[test]
fn auditors_read_the_end_of_the_record_with_a_proof_of_their_own() {
    let server = Installation::ready();
    let scribe = Agent::of_openssl(&server, "scribe");
    import(&server, "default", &tree(&server, "tree", &[&scribe]));
    waits(&server, &scribe, "/keys/ssh/deploy");
    let url = format!("{}/audit", server.url());
    let answer = server.cli(&["request", "GET", &url]).ok().json();
    let entries = answer["recent_entries"].as_array().unwrap();
    assert!(!entries.is_empty() && entries.len() <= 100, "{answer}");
    assert!(answer["total_entries"].as_u64().unwrap() >= entries.len() as u64);
    let actions: Vec<String> = entries
        .iter()
        .map(|line| serde_json::from_str::<Value>(line.as_str().unwrap()).unwrap())
        .map(|entry| entry["action"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(actions.last().unwrap(), "request.create", "{actions:?}");
    assert!(actions.contains(&"project.write".to_owned()), "{actions:?}");
}
