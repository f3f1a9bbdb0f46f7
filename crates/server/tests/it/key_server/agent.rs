//! An agent that signs by the rules of `key-server-v1`, written down here once more,
//! and an installation that knows it.

use crate::world::{Answer, Sent, World};
use http::StatusCode;
use procura_crypto::{SigningKey, SystemEntropy, sha256};
use procura_types::Timestamp;
use procura_types::encoding::{b64_standard, hex};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

pub(super) struct Agent {
    pub(super) id: &'static str,
    pub(super) key: SigningKey,
}

impl Agent {
    pub(super) fn new(id: &'static str) -> Self {
        Self {
            id,
            key: SigningKey::generate_ed25519(&SystemEntropy).unwrap(),
        }
    }

    /// The key as OpenSSH writes it.
    pub(super) fn line(&self) -> String {
        line(self.key.public().as_bytes())
    }

    /// A good proof for a request that an agent made of another service.
    pub(super) fn proof(&self, now: Timestamp) -> Proof {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let nonce = NEXT.fetch_add(1, Ordering::Relaxed);
        Proof {
            agent: self.id.to_owned(),
            timestamp: now.to_string(),
            nonce: format!("{nonce:032x}"),
            method: "POST".to_owned(),
            path: "/api/notes".to_owned(),
            body: br#"{"title":"x"}"#.to_vec(),
        }
    }

    /// As a service would pass it on.
    pub(super) fn asks(&self, proof: &Proof) -> Value {
        proof.asked(&b64_standard(&self.key.sign(&proof.message()).unwrap()))
    }

    /// A good question.
    pub(super) fn asks_now(&self, world: &World) -> Value {
        self.asks(&self.proof(world.now()))
    }
}

/// `ssh-ed25519`, the key, and a comment.
pub(crate) fn line(key: &[u8]) -> String {
    let mut blob = Vec::new();
    for part in [b"ssh-ed25519", key] {
        blob.extend_from_slice(&u32::try_from(part.len()).unwrap().to_be_bytes());
        blob.extend_from_slice(part);
    }
    format!("ssh-ed25519 {} agent@host\n", b64_standard(&blob))
}

#[derive(Clone)]
pub(super) struct Proof {
    pub(super) agent: String,
    pub(super) timestamp: String,
    pub(super) nonce: String,
    pub(super) method: String,
    pub(super) path: String,
    pub(super) body: Vec<u8>,
}

impl Proof {
    fn hash(&self) -> String {
        hex(&sha256(&self.body))
    }

    pub(super) fn message(&self) -> Vec<u8> {
        let Self {
            timestamp,
            nonce,
            path,
            ..
        } = self;
        let (method, hash) = (self.method.to_uppercase(), self.hash());
        format!("{method}\n{path}\n{timestamp}\n{nonce}\n{hash}").into_bytes()
    }

    pub(super) fn asked(&self, signature: &str) -> Value {
        json!({
            "agent_id": self.agent,
            "timestamp": self.timestamp,
            "nonce": self.nonce,
            "method": self.method,
            "path": self.path,
            "body_sha256": self.hash(),
            "signature": signature,
        })
    }
}

/// An unsealed installation that knows some agents.
pub(super) async fn serving(agents: &[&Agent]) -> World {
    served_by(World::empty(), agents).await
}

/// The same of an installation that is to be made of this home.
pub(super) async fn served_by(world: World, agents: &[&Agent]) -> World {
    world
        .init(&SigningKey::generate_p256(&SystemEntropy).unwrap())
        .await;
    for agent in agents {
        enrol(world.home.path(), agent.id, &agent.line());
    }
    world
}

pub(super) fn file(home: &Path, id: &str) -> PathBuf {
    home.join("keys/agents").join(format!("{id}.pub"))
}

pub(crate) fn enrol(home: &Path, id: &str, text: &str) {
    let path = file(home, id);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

/// `POST /api/verify` with these bytes.
pub(super) fn question(body: &[u8]) -> Sent {
    Sent::new("POST", "/api/verify", Some(body))
}

pub(super) async fn ask(world: &World, asked: &Value) -> Answer {
    world.send(&question(asked.to_string().as_bytes())).await
}

impl Answer {
    /// That it is this in the shapes of the service, and shared with no other origin.
    #[track_caller]
    pub(super) fn says(&self, status: u16, body: &Value, what: &str) {
        let found = (self.status, self.json());
        assert_eq!(
            found,
            (StatusCode::from_u16(status).unwrap(), body.clone()),
            "{what}: {}",
            self.text()
        );
        assert_eq!(self.headers["content-type"], "application/json", "{what}");
        assert_eq!(self.headers["cache-control"], "no-store", "{what}");
        for (name, _) in &self.headers {
            assert!(
                !name.as_str().starts_with("access-control"),
                "{what}: {name}"
            );
        }
        let waits = self.headers.contains_key("retry-after");
        assert_eq!(waits, status == 503, "{what}");
    }

    #[track_caller]
    pub(super) fn valid(&self, agent: &str, what: &str) {
        self.says(200, &json!({"valid": true, "agent_id": agent}), what);
    }

    #[track_caller]
    pub(super) fn invalid(&self, reason: &str, what: &str) {
        self.says(401, &json!({"valid": false, "reason": reason}), what);
    }

    #[track_caller]
    pub(super) fn bad_request(&self, reason: &str, what: &str) {
        self.says(
            400,
            &json!({"error": "bad_request", "reason": reason}),
            what,
        );
    }

    #[track_caller]
    pub(super) fn unavailable(&self, reason: &str, what: &str) {
        let body = json!({"error": "service_unavailable", "reason": reason});
        self.says(503, &body, what);
    }
}
