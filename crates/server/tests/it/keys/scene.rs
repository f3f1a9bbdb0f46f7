//! Two keys in `shop`, and who may ask for them: `scribe`, under an id of another
//! system whose key is a file. `baker` has such an id too and is not in the project;
//! `robber` is of `bank`.

use crate::actors::Actors;
use crate::world::{AUTHORITY, Answer, CANARY, Sent};
use http::StatusCode;
use procura_crypto::{SigningKey, SystemEntropy};
use procura_proof::RequestView;
use procura_proof::foreign::{AgentSecret, ForeignSigner, sign};
use procura_types::encoding::{self, b64_standard};
use procura_types::{ForeignId, Timestamp};
use serde_json::{Value, json};
use std::path::PathBuf;

pub(super) const SSH: &str = "/keys/ssh/deploy";
pub(super) const API: &str = "/keys/api/openai";
pub(super) const LIST: &str = "/keys/list";
pub(super) const AUDIT: &str = "/audit";

/// The private key, which is text.
pub(super) fn private_key() -> String {
    format!("-----BEGIN OPENSSH PRIVATE KEY-----\n{CANARY}\n-----END OPENSSH PRIVATE KEY-----\n")
}

/// With what a request is proven.
#[derive(Clone, Copy)]
pub(super) enum By<'a> {
    KeyServerV1,
    GuideV1,
    HmacV1(&'a AgentSecret),
    HmacV2(&'a AgentSecret),
}

pub(super) struct Scene {
    pub(super) actors: Actors,
    key: SigningKey,
}

impl Scene {
    pub(super) async fn set() -> Self {
        let scene = Self {
            actors: Actors::new().await,
            key: SigningKey::generate_ed25519(&SystemEntropy).unwrap(),
        };
        for (path, value) in [
            ("ssh/deploy", private_key()),
            ("api/openai", format!("sk-\"{CANARY}\"")),
        ] {
            scene.put(path, value.as_bytes()).await;
        }
        scene.project(&["scribe"]).await;
        for (id, agent, by, namespace) in [
            ("Scribe.1", "scribe", "adam", "shop"),
            ("baker", "baker", "adam", "shop"),
            ("robber", "robber", "bert", "bank"),
        ] {
            let target = format!("/v1/namespaces/{namespace}/foreign-ids/{id}");
            scene
                .actors
                .ok(by, "PUT", &target, json!({"agent": agent}))
                .await;
            scene.enrol(id);
        }
        scene
    }

    pub(super) async fn put(&self, path: &str, value: &[u8]) {
        let target = format!("/v1/namespaces/shop/secrets/{path}");
        let body = json!({"value_b64": encoding::b64url(value)});
        self.actors.ok("adam", "PUT", &target, body).await;
    }

    pub(super) async fn project(&self, agents: &[&str]) {
        let env = json!({"SSH_DEPLOY": "ssh/deploy", "API_OPENAI": "api/openai"});
        let body = json!({"agents": agents, "env": env});
        let target = "/v1/namespaces/shop/projects/keys";
        self.actors.ok("adam", "PUT", target, body).await;
    }

    pub(super) fn file(&self, id: &str) -> PathBuf {
        let home = self.actors.world.home.path();
        home.join(format!("keys/agents/{id}.pub"))
    }

    /// Puts the one key of all agents here into the place of an id.
    pub(super) fn enrol(&self, id: &str) {
        let mut blob = b"\0\0\0\x0bssh-ed25519\0\0\0\x20".to_vec();
        blob.extend_from_slice(self.key.public().as_bytes());
        let path = self.file(id);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, format!("ssh-ed25519 {}\n", b64_standard(&blob))).unwrap();
    }

    pub(super) fn now(&self) -> Timestamp {
        self.actors.world.now()
    }

    /// A request with a good proof.
    pub(super) fn proven(&self, id: &str, by: By<'_>, target: &str) -> Sent {
        self.proven_at(id, by, target, self.now())
    }

    pub(super) fn proven_at(&self, id: &str, by: By<'_>, target: &str, now: Timestamp) -> Sent {
        let mut sent = Sent::new("GET", target, None);
        let (path, query) = match target.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (target, None),
        };
        let view = RequestView {
            method: "GET",
            authority: AUTHORITY,
            scheme: None,
            path,
            query,
            headers: &sent.headers,
            body: b"",
        };
        let signer = match by {
            By::KeyServerV1 => ForeignSigner::KeyServerV1(&self.key),
            By::GuideV1 => ForeignSigner::GuideV1(&self.key),
            By::HmacV1(secret) => ForeignSigner::HmacV1(secret),
            By::HmacV2(secret) => ForeignSigner::HmacV2(secret),
        };
        let id: ForeignId = id.parse().unwrap();
        let fields = sign(&view, &id, signer, now, &SystemEntropy).unwrap();
        let fields = fields
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value));
        sent.headers.extend(fields);
        sent
    }

    pub(super) async fn send(&self, sent: &Sent) -> Answer {
        self.actors.world.send(sent).await
    }

    /// An agent asks by `key-server-v1`.
    pub(super) async fn get(&self, id: &str, target: &str) -> Answer {
        self.send(&self.proven(id, By::KeyServerV1, target)).await
    }

    /// `scribe` asks for what it has no grant for; the request that waits.
    pub(super) async fn waits(&self, target: &str) -> String {
        let answer = self.get("Scribe.1", target).await;
        let request = answer.json()["request"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        let body = json!({
            "error": "Forbidden", "reason": "approval_required", "request": request,
        });
        answer.is(403, &body, target);
        request
    }

    /// Gives `scribe` what it asks for.
    pub(super) async fn granted(&self, target: &str) -> String {
        let request = self.waits(target).await;
        let body = self.actors.approval(&request, "anna").await;
        let target = format!("/v1/namespaces/shop/requests/{request}/approve");
        self.actors.ok("anna", "POST", &target, body).await;
        request
    }

    pub(super) async fn withdraw(&self, grant: &str) {
        let target = format!("/v1/namespaces/shop/grants/{grant}/withdraw");
        self.actors.ok("anna", "POST", &target, Value::Null).await;
    }

    /// The secret that `scribe` shares with the server, made anew.
    pub(super) async fn secret(&self) -> AgentSecret {
        let target = "/v1/namespaces/shop/foreign-ids/Scribe.1/secret";
        let issued = self.actors.ok("adam", "POST", target, json!({})).await;
        AgentSecret::new(issued["secret"].as_str().unwrap()).unwrap()
    }

    /// Entries of an action, newest first.
    pub(super) async fn entries(&self, action: &str) -> Vec<Value> {
        let target = format!("/v1/ledger/entries?action={action}&limit=1000");
        let list = self.actors.ok("alice", "GET", &target, Value::Null).await;
        let rows = list["entries"].as_array().unwrap().iter();
        rows.map(|row| serde_json::from_str(row["entry"].as_str().unwrap()).unwrap())
            .collect()
    }
}

impl Answer {
    /// That it is this, in the shapes of others and for no other origin.
    #[track_caller]
    pub(super) fn is(&self, status: u16, body: &Value, what: &str) {
        let found = (self.status, self.json());
        let status = StatusCode::from_u16(status).unwrap();
        assert_eq!(found, (status, body.clone()), "{what}: {}", self.text());
        assert_eq!(self.headers["content-type"], "application/json", "{what}");
        assert_eq!(self.headers["cache-control"], "no-store", "{what}");
        for (name, _) in &self.headers {
            let shared = name.as_str().starts_with("access-control");
            assert!(!shared, "{what}: {name}");
        }
        let waits = self.headers.contains_key("retry-after");
        assert_eq!(waits, matches!(status.as_u16(), 429 | 503), "{what}");
    }

    #[track_caller]
    pub(super) fn unproven(&self, reason: &str, what: &str) {
        let body = json!({"error": "unauthorized", "reason": reason});
        self.is(401, &body, what);
    }

    #[track_caller]
    pub(super) fn is_key(&self, what: &str) {
        assert_eq!(
            (self.status.as_u16(), self.text()),
            (200, private_key()),
            "{what}"
        );
        assert_eq!(
            self.headers["content-type"], "text/plain; charset=utf-8",
            "{what}"
        );
        assert_eq!(self.headers["cache-control"], "no-store", "{what}");
    }
}

pub(super) fn no_key() -> Value {
    json!({"error": "Key not found"})
}

pub(super) fn no_api_key() -> Value {
    json!({"error": "API key not found"})
}
