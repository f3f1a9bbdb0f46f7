//! Agents of other systems at a gate, whose proofs the server verifies (`protocol.md`
//! §3.2, §3.4).

use crate::gate::{Call, Upstream, host, now, web};
use crate::scene::{PATIENCE, agent};
use procura_acceptance::{GateHost, Installation, until};
use procura_crypto::{SigningKey, SystemEntropy};
use procura_proof::RequestView;
use procura_proof::foreign::{AgentSecret, ForeignSigner, sign};
use procura_types::{Duration, ForeignId, Timestamp, encoding};
use serde_json::Value;

/// An agent of another system, with a key in a file and, if it is bound, a secret.
pub(crate) struct Legacy {
    id: ForeignId,
    key: SigningKey,
    secret: Option<AgentSecret>,
}

impl Legacy {
    pub(crate) fn new(id: &str) -> Self {
        Self {
            id: id.parse().unwrap(),
            key: SigningKey::generate_ed25519(&SystemEntropy).unwrap(),
            secret: None,
        }
    }

    /// Its key as a file in the server's home.
    pub(crate) fn enrol(&self, server: &Installation) {
        let point = self.key.public().to_jwk().x;
        let point: [u8; 32] = encoding::from_b64url_fixed("x", &point).unwrap();
        let mut blob = Vec::new();
        for part in [&b"ssh-ed25519"[..], &point] {
            blob.extend_from_slice(&(part.len() as u32).to_be_bytes());
            blob.extend_from_slice(part);
        }
        let line = format!(
            "ssh-ed25519 {} {}\n",
            encoding::b64_standard(&blob),
            self.id
        );
        std::fs::write(self.file(server), line).unwrap();
    }

    fn file(&self, server: &Installation) -> std::path::PathBuf {
        let folder = server.home().join("keys/agents");
        folder.join(format!("{}.pub", self.id))
    }

    /// Bound to an agent of the namespace, with a secret.
    pub(crate) fn bind(mut self, server: &Installation, label: &str) -> Self {
        let id = self.id.as_str();
        let cli = |words: &[&str]| server.cli(&[&["-n", "shop", "agent"][..], words].concat());
        cli(&["foreign", "bind", id, label]).ok();
        let secret = cli(&["secret", "rotate", id]).ok().text();
        self.secret = Some(AgentSecret::new(secret.trim()).unwrap());
        self
    }

    fn signer(&self, profile: &str) -> ForeignSigner<'_> {
        let secret = || self.secret.as_ref().expect("it has a secret");
        match profile {
            "key-server-v1" => ForeignSigner::KeyServerV1(&self.key),
            "guide-v1" => ForeignSigner::GuideV1(&self.key),
            "hmac-v1" => ForeignSigner::HmacV1(secret()),
            "hmac-v2" => ForeignSigner::HmacV2(secret()),
            other => panic!("{other} is no profile"),
        }
    }

    /// A proven `POST /orders` at this moment.
    fn call_at(&self, profile: &str, host: &str, at: Timestamp) -> Call {
        self.sign(
            Call::new("POST", "/orders", b"{\"n\":1}"),
            profile,
            host,
            at,
        )
    }

    /// A proven `GET` at this moment.
    pub(crate) fn get(&self, profile: &str, host: &str, path: &str) -> Call {
        self.sign(Call::new("GET", path, b""), profile, host, now())
    }

    fn sign(&self, mut call: Call, profile: &str, host: &str, at: Timestamp) -> Call {
        let view = RequestView {
            method: call.method,
            authority: host,
            scheme: None,
            path: &call.path,
            query: None,
            headers: &call.headers,
            body: &call.body,
        };
        let signer = self.signer(profile);
        let fields = sign(&view, &self.id, signer, at, &SystemEntropy).unwrap();
        let fields = fields.into_iter();
        call.headers
            .extend(fields.map(|(name, value)| (name.to_owned(), value)));
        call
    }

    fn call(&self, profile: &str, host: &str) -> Call {
        self.call_at(profile, host, now())
    }
}

/// What of a request is changed after it was signed.
type Change = fn(&mut Call);

fn other_body(call: &mut Call) {
    call.body = b"{\"n\":2}".to_vec();
}

fn other_method(call: &mut Call) {
    call.method = "PUT";
}

fn other_path(call: &mut Call) {
    call.path = "/order".to_owned();
}

fn a_query(call: &mut Call) {
    call.path = "/orders?n=2".to_owned();
}

fn another_nonce(call: &mut Call) {
    for (name, value) in &mut call.headers {
        if name == "x-nonce" {
            *value = value.replace(|digit: char| digit.is_ascii_digit(), "a");
            value.truncate(32);
        }
    }
}

/// The line of a field that the service got.
fn line(head: &str, name: &str) -> Option<String> {
    let head = head.to_ascii_lowercase();
    let mut lines = head
        .lines()
        .filter_map(|line| line.strip_prefix(&format!("{name}: ")).map(str::to_owned));
    let first = lines.next();
    assert!(lines.next().is_none(), "{head}");
    first
}

const SIGNED: [&str; 2] = ["key-server-v1", "guide-v1"];
const ALL: [&str; 4] = ["key-server-v1", "guide-v1", "hmac-v1", "hmac-v2"];

fn allow_hmac_v1(server: &Installation, words: &[&str]) {
    let set = ["-n", "shop", "service", "set", "web", "--allow-hmac-v1"];
    server.cli(&[&set[..], words].concat()).ok();
}

/// Waits until an agent that was just bound is known to the gate.
fn known(legacy: &Legacy, at: &str) {
    until("the gate knows the agent", PATIENCE, || {
        let answer = legacy.call("hmac-v2", at).send(at);
        (answer.status == 200).then_some(())
    });
}

/// The records of an action, newest first.
fn entries(server: &Installation, action: &str) -> Vec<Value> {
    let words = ["-n", "shop", "--json", "audit", "list", "--action", action];
    let list = server.cli(&words).ok().json();
    let rows = list["entries"].as_array().unwrap().iter();
    rows.map(|row| serde_json::from_str(row["entry"].as_str().unwrap()).unwrap())
        .collect()
}

#[test]
fn each_profile_is_let_in_once_and_refused_for_what_is_wrong_with_it() {
    let upstream = Upstream::start();
    let (server, gate) = web(&upstream, &[]);
    let at = gate.address().to_owned();
    let _ = agent(&server, "shop", "scribe");
    let legacy = Legacy::new("legacy-7").bind(&server, "scribe");
    legacy.enrol(&server);
    known(&legacy, &at);
    allow_hmac_v1(&server, &["true"]);

    let served = upstream.served();
    let stranger = Legacy {
        secret: Some(AgentSecret::new("another secret").unwrap()),
        ..Legacy::new("legacy-7")
    };
    let nobody = Legacy {
        secret: Some(AgentSecret::new("another secret").unwrap()),
        ..Legacy::new("nobody")
    };
    let long_ago = now().minus(Duration::from_secs(400));
    let ahead = now().plus(Duration::from_secs(400));
    for profile in ALL {
        stranger
            .call(profile, &at)
            .send(&at)
            .refuses(401, "bad_signature");
        nobody
            .call(profile, &at)
            .send(&at)
            .refuses(401, "unknown_agent");
        for moment in [long_ago, ahead] {
            legacy
                .call_at(profile, &at, moment)
                .send(&at)
                .refuses(401, "timestamp_out_of_window");
        }
        let id = if profile == "guide-v1" {
            "x-agent"
        } else {
            "x-agent-id"
        };
        // With hmac-* the nonce may be left out; hmac-v2 signs that.
        let without_nonce = match profile {
            "hmac-v1" => None,
            "hmac-v2" => Some("bad_signature"),
            _ => Some("missing_headers"),
        };
        for (field, reason) in [
            ("x-signature", Some("missing_headers")),
            ("x-timestamp", Some("missing_headers")),
            (id, Some("missing_headers")),
            ("x-nonce", without_nonce),
        ] {
            let Some(reason) = reason else { continue };
            let mut lacking = legacy.call(profile, &at);
            let there = lacking.headers.len();
            lacking.headers.retain(|(name, _)| name != field);
            assert_eq!(lacking.headers.len(), there - 1, "{profile} {field}");
            lacking.send(&at).refuses(401, reason);
        }
        let mut garbled = legacy.call(profile, &at);
        for (name, value) in &mut garbled.headers {
            if name == "x-agent-id" || name == "x-agent" {
                *value = "../etc".to_owned();
            }
        }
        garbled.send(&at).refuses(401, "malformed");
        let mut mixed = legacy.call(profile, &at);
        let more = if profile == "guide-v1" {
            "X-Agent-Id"
        } else {
            "X-Agent"
        };
        mixed.headers.push((more.to_owned(), "legacy-7".to_owned()));
        mixed.send(&at).refuses(401, "malformed");
    }
    let altered: [(&str, &[Change]); 4] = [
        (
            "key-server-v1",
            &[other_body, other_method, other_path, another_nonce],
        ),
        ("guide-v1", &[other_body, other_method, other_path]),
        ("hmac-v1", &[other_body]),
        (
            "hmac-v2",
            &[other_body, other_method, other_path, a_query, another_nonce],
        ),
    ];
    for (profile, changes) in altered {
        for change in changes {
            let mut call = legacy.call(profile, &at);
            change(&mut call);
            call.send(&at).refuses(401, "bad_signature");
        }
    }
    // Signed for another host it is good there alone, where that is signed at all.
    legacy
        .call("hmac-v2", "elsewhere.example")
        .send(&at)
        .refuses(401, "bad_signature");
    assert_eq!(upstream.served(), served);

    // None of it used anything up; what is good is let in, once.
    for profile in ALL {
        let call = legacy.call(profile, &at);
        let answer = call.send(&at);
        let head = answer.passes();
        assert_eq!(line(head, "procura-agent").as_deref(), Some("legacy-7"));
        assert_eq!(line(head, "procura-profile").as_deref(), Some(profile));
        assert!(line(head, "procura-actor").is_some(), "{head}");
        assert!(line(head, "procura-owner").is_some(), "{head}");
        call.send(&at).refuses(401, "nonce_replayed");
    }
    assert_eq!(upstream.served(), served + 4);
}

#[test]
fn hmac_v1_is_let_in_where_the_service_says_so_and_each_use_is_recorded() {
    let upstream = Upstream::start();
    let (server, gate) = web(&upstream, &[]);
    let at = gate.address().to_owned();
    let _ = agent(&server, "shop", "scribe");
    let legacy = Legacy::new("legacy-7").bind(&server, "scribe");
    known(&legacy, &at);
    let asks = || legacy.call("hmac-v1", &at).send(&at);

    // Off where nobody said anything, and it takes a yes to change that.
    asks().refuses(401, "missing_headers");
    let set = [
        "-n",
        "shop",
        "service",
        "set",
        "web",
        "--allow-hmac-v1",
        "true",
    ];
    let _ = server
        .cli(&[&set[..], &["--window", "20"]].concat())
        .code(64);
    allow_hmac_v1(&server, &["true", "--window", "30", "--nonce-required"]);
    asks().passes();
    let mut without = legacy.call("hmac-v1", &at);
    without.headers.retain(|(name, _)| name != "x-nonce");
    without.send(&at).refuses(401, "missing_headers");
    legacy
        .call_at("hmac-v1", &at, now().minus(Duration::from_secs(45)))
        .send(&at)
        .refuses(401, "timestamp_out_of_window");
    allow_hmac_v1(&server, &["true"]);
    without.send(&at).passes();
    allow_hmac_v1(&server, &["false"]);
    asks().refuses(401, "missing_headers");

    let uses: Vec<Value> = entries(&server, "service.verify")
        .into_iter()
        .filter(|entry| entry["decision"] == "allow")
        .collect();
    assert_eq!(uses.len(), 2, "{uses:?}");
    for entry in &uses {
        let resource = entry["resource"].as_str().unwrap();
        assert!(
            resource.ends_with(" weak:hmac-v1 agent:legacy-7"),
            "{resource}"
        );
    }
    let turned = entries(&server, "service.write");
    let said: Vec<&str> = turned
        .iter()
        .filter_map(|entry| entry["resource"].as_str())
        .collect();
    for words in [
        "hmac_v1:none>30s,nonce",
        "hmac_v1:30s,nonce>60s",
        "hmac_v1:60s>none",
    ] {
        assert!(
            said.iter().any(|resource| resource.contains(words)),
            "{said:?}"
        );
    }
}

#[test]
fn a_key_file_counts_from_the_next_request_on_and_its_nonces_are_used_everywhere() {
    let upstream = Upstream::start();
    let (server, gate) = web(&upstream, &[]);
    let at = gate.address().to_owned();
    let legacy = Legacy::new("legacy-7");
    for profile in SIGNED {
        legacy
            .call(profile, &at)
            .send(&at)
            .refuses(401, "unknown_agent");
        legacy.enrol(&server);
        let call = legacy.call(profile, &at);
        let answer = call.send(&at);
        let head = answer.passes();
        // It has no place in the tree, and nobody says so for it.
        assert_eq!(line(head, "procura-agent").as_deref(), Some("legacy-7"));
        assert_eq!(line(head, "procura-actor"), None);
        assert_eq!(line(head, "procura-owner"), None);
        std::fs::remove_file(legacy.file(&server)).unwrap();
        legacy
            .call(profile, &at)
            .send(&at)
            .refuses(401, "unknown_agent");
    }

    // What was used at the gate was used at the verification service.
    legacy.enrol(&server);
    let call = legacy.call("key-server-v1", &at);
    call.send(&at).passes();
    let field = |wanted: &str| {
        let found = call.headers.iter().find(|(name, _)| name == wanted);
        found.unwrap().1.clone()
    };
    let body = serde_json::json!({
        "agent_id": field("x-agent-id"),
        "timestamp": field("x-timestamp"),
        "nonce": field("x-nonce"),
        "method": "POST",
        "path": "/orders",
        "body_sha256": encoding::hex(&procura_crypto::sha256(&call.body)),
        "signature": field("x-signature"),
    });
    let again = Call::new("POST", "/api/verify", body.to_string().as_bytes());
    let answer = again.send(host(&server));
    let verdict: Value = serde_json::from_str(&answer.body).unwrap();
    assert_eq!(
        (answer.status, &verdict["reason"]),
        (401, &"nonce_replayed".into())
    );

    // A body of the longest length is a question as well.
    let mut large = legacy.call("guide-v1", &at);
    large.body = vec![b'x'; 1024 * 1024];
    large.send(&at).refuses(401, "bad_signature");
    large.body.push(b'x');
    large.send(&at).refuses(413, "body_too_large");
}

#[test]
fn an_id_is_the_agent_that_it_is_bound_to() {
    let upstream = Upstream::start();
    let (server, gate) = web(&upstream, &[]);
    let at = gate.address().to_owned();
    let _ = agent(&server, "shop", "scribe");
    let legacy = Legacy::new("legacy-7").bind(&server, "scribe");
    legacy.enrol(&server);
    known(&legacy, &at);
    // In another namespace that agent has no part.
    server.cli(&["namespace", "create", "bank"]).ok();
    let _ = agent(&server, "bank", "teller");
    let teller = Legacy::new("teller-1");
    teller.enrol(&server);
    teller.call("key-server-v1", &at).send(&at).passes();
    let bind = [
        "-n", "bank", "agent", "foreign", "bind", "teller-1", "teller",
    ];
    server.cli(&bind).ok();
    teller
        .call("key-server-v1", &at)
        .send(&at)
        .refuses(401, "unknown_agent");

    server
        .cli(&["-n", "shop", "agent", "revoke", "scribe"])
        .ok();
    for profile in ["key-server-v1", "hmac-v2"] {
        legacy.call(profile, &at).send(&at).refuses(401, "revoked");
    }
}

/// Whether the gate says nothing but that it cannot tell.
fn unavailable(gate: &GateHost, legacy: &Legacy) {
    let at = gate.address();
    for profile in SIGNED {
        let answer = legacy.call(profile, at).send(at);
        answer.refuses(503, "verifier_unavailable");
        let head = answer.head.to_ascii_lowercase();
        assert!(head.contains("retry-after: "), "{head}");
    }
}

#[test]
fn without_the_server_nobody_is_let_in_and_everybody_where_it_only_observes() {
    let upstream = Upstream::start();
    let (mut server, gate) = web(&upstream, &[]);
    let legacy = Legacy::new("legacy-7");
    legacy.enrol(&server);
    let at = gate.address().to_owned();
    legacy.call("key-server-v1", &at).send(&at).passes();

    let served = upstream.served();
    server.cli(&["seal"]).ok();
    unavailable(&gate, &legacy);
    server.unseal().ok();
    until("the server says yes again", PATIENCE, || {
        let answer = legacy.call("guide-v1", &at).send(&at);
        (answer.status == 200).then_some(())
    });
    assert_eq!(server.stop(), Some(0));
    let now_served = upstream.served();
    assert!(now_served > served);
    unavailable(&gate, &legacy);
    assert_eq!(upstream.served(), now_served);
    server.start_again();
    server.unseal().ok();
    until("the server says yes after its return", PATIENCE, || {
        let answer = legacy.call("guide-v1", &at).send(&at);
        (answer.status == 200).then_some(())
    });

    server
        .cli(&["-n", "shop", "auth", "mode", "web", "observe"])
        .ok();
    until("the gate observes", PATIENCE, || {
        let answer = Call::new("GET", "/", b"").send(&at);
        (answer.status == 200).then_some(())
    });
    assert_eq!(server.stop(), Some(0));
    let answer = legacy.call("key-server-v1", &at).send(&at);
    assert_eq!(line(answer.passes(), "procura-agent"), None);
    let log = gate.home().join("logs/observe.jsonl");
    until("what was observed is in the log", PATIENCE, || {
        let text = std::fs::read_to_string(&log).ok()?;
        let lines = text
            .lines()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let mut lines = lines.filter(|line| line["reason"] == "verifier_unavailable");
        let line = lines.next()?;
        assert_eq!(line["profile"], "key-server-v1");
        assert_eq!(line["agent_id"], "legacy-7");
        Some(())
    });
}
