//! Clients of CortexAuth, served while they are moved: `baker-1` and `till.7` of `shop`,
//! whose keys are files, and the project `site` of `baker`.

mod discovering;
mod doors;
mod login;
mod off;
mod proofs;
mod values;

use crate::actors::Actors;
use crate::world::{Answer, Sent, World};
use procura_crypto::{SigningKey, SystemEntropy, sha256};
use procura_server::Config;
use procura_types::Duration;
use procura_types::encoding::{b64_standard, b64url, hex};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

const AUTHORIZE: &str = "/device/authorize";
const TOKEN: &str = "/device/token";
const ATTEST: &str = "/daemon/attest";
const DISCOVER: &str = "/agent/discover";
const SECRETS: &str = "/project/secrets/site";
const CONFIG: &str = "/project/config/site/nginx";
const GRANTS: &str = "/v1/namespaces/shop/device-grants";
/// Of the agent `baker`, and of `scribe`.
const BAKER: &str = "baker-1";
const TILL: &str = "till.7";

/// An installation that serves these clients.
struct Scene {
    actors: Actors,
    /// The key of every agent here.
    key: SigningKey,
    once: AtomicU64,
}

/// A daemon that was given a session.
struct Daemon {
    id: &'static str,
    process: SigningKey,
    login: String,
    session: String,
}

/// What a daemon signs, as it is sent.
#[derive(Clone)]
struct Proof {
    ts: u64,
    jti: String,
    method: String,
    path: String,
    body: Vec<u8>,
    token: String,
}

fn new_key() -> SigningKey {
    SigningKey::generate_ed25519(&SystemEntropy).unwrap()
}

/// What such a client signs for that shows this.
fn hash_of(token: &str) -> String {
    hex(&sha256(token.as_bytes()))
}

impl Scene {
    async fn set() -> Self {
        Self::configured(|_| {}).await
    }

    async fn configured(change: impl FnOnce(&mut Config)) -> Self {
        let world = World::configured(|config| {
            config.cortexauth = true;
            change(config);
        });
        let scene = Self {
            actors: Actors::within(world).await,
            key: new_key(),
            once: AtomicU64::new(0),
        };
        let bind = json!({"agent": "baker"});
        let target = format!("/v1/namespaces/shop/foreign-ids/{BAKER}");
        scene.actors.ok("adam", "PUT", &target, bind).await;
        scene.enrol(BAKER, &scene.key);
        scene.enrol(TILL, &scene.key);
        let env = json!({"DB": "db/password", "API": "api/key"});
        scene.project(env).await;
        scene
    }

    fn world(&self) -> &World {
        &self.actors.world
    }

    async fn project(&self, env: Value) {
        let body = json!({"agents": ["baker"], "env": env});
        let target = "/v1/namespaces/shop/projects/site";
        self.actors.ok("adam", "PUT", target, body).await;
    }

    fn file(&self, id: &str) -> PathBuf {
        let home = self.world().home.path();
        home.join(format!("keys/agents/{id}.pub"))
    }

    /// Puts a key into the place of an id.
    fn enrol(&self, id: &str, key: &SigningKey) {
        let mut blob = b"\0\0\0\x0bssh-ed25519\0\0\0\x20".to_vec();
        blob.extend_from_slice(key.public().as_bytes());
        let path = self.file(id);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, format!("ssh-ed25519 {}\n", b64_standard(&blob))).unwrap();
    }

    /// What is good once, never the same.
    fn once(&self) -> String {
        let next = self.once.fetch_add(1, Ordering::Relaxed);
        format!("{next:016x}")
    }

    fn secs(&self) -> u64 {
        self.world().now().as_secs()
    }

    async fn post(&self, target: &str, body: &Value) -> Answer {
        let body = serde_json::to_vec(body).unwrap();
        self.world()
            .send(&Sent::new("POST", target, Some(&body)))
            .await
    }

    /// A login that waits: its codes.
    async fn asks(&self) -> (String, String) {
        let answer = self
            .post(AUTHORIZE, &json!({"client_id": "cortex-cli"}))
            .await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        let got = answer.json();
        let text = |name: &str| got[name].as_str().unwrap().to_owned();
        (text("device_code"), text("user_code"))
    }

    async fn approve(&self, user_code: &str, agent: &str) -> Value {
        let target = format!("{GRANTS}/show");
        let code = json!({"user_code": user_code});
        let shown = self.actors.ok("adam", "POST", &target, code).await;
        let yes = json!({"user_code": user_code, "agent": agent, "device": shown["device"]});
        let target = format!("{GRANTS}/approve");
        self.actors.ok("adam", "POST", &target, yes).await;
        shown
    }

    /// The token of a login as an agent.
    async fn logs_in(&self, agent: &str) -> String {
        let (device_code, user_code) = self.asks().await;
        self.approve(&user_code, agent).await;
        let answer = self.post(TOKEN, &json!({"device_code": device_code})).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json()["access_token"].as_str().unwrap().to_owned()
    }

    fn statement(&self, process: &SigningKey) -> Value {
        json!({
            "attestation_pub": b64url(process.public().as_bytes()),
            "binary_sha256": "0".repeat(64),
            "daemon_version": "0.1.0",
            "daemon_pid": 4711,
            "daemon_uid": 1000,
            "hostname": "build 7",
        })
    }

    async fn attests(&self, login: &str, statement: &Value) -> Answer {
        let body = serde_json::to_vec(statement).unwrap();
        let sent = bearing(Sent::new("POST", ATTEST, Some(&body)), login);
        self.world().send(&sent).await
    }

    /// A daemon of the agent `baker` or `scribe`.
    async fn daemon(&self, id: &'static str) -> Daemon {
        let agent = if id == BAKER { "baker" } else { "scribe" };
        let login = self.logs_in(agent).await;
        self.daemon_by(id, login).await
    }

    async fn daemon_by(&self, id: &'static str, login: String) -> Daemon {
        let process = new_key();
        let answer = self.attests(&login, &self.statement(&process)).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        let session = answer.json()["session_id"].as_str().unwrap().to_owned();
        Daemon {
            id,
            process,
            login,
            session,
        }
    }

    fn proof(&self, method: &str, path: &str, body: &[u8], token: &str) -> Proof {
        Proof {
            ts: self.secs(),
            jti: self.once(),
            method: method.to_owned(),
            path: path.to_owned(),
            body: body.to_vec(),
            token: token.to_owned(),
        }
    }

    /// The body of a discovery by an agent.
    fn question(&self, id: &str, project: &str, file: &str) -> Value {
        let (ts, nonce) = (self.secs(), self.once());
        let message = format!("{ts}|{nonce}|{id}|/agent/discover");
        json!({
            "agent_id": id,
            "auth_proof": b64url(&self.key.sign(message.as_bytes()).unwrap()),
            "ts": ts,
            "nonce": nonce,
            "context": {"project_name": project, "file_content": file},
            "regenerate_token": false,
        })
    }

    async fn discovers(&self, daemon: &Daemon, file: &str) -> Answer {
        let question = self.question(daemon.id, "site", file);
        self.asks_with(daemon, &question).await
    }

    async fn asks_with(&self, daemon: &Daemon, question: &Value) -> Answer {
        let body = serde_json::to_vec(question).unwrap();
        let token = format!("agent:{}", daemon.id);
        // Without `Authorization`: they show none here.
        let proof = self.proof("POST", DISCOVER, &body, &token);
        self.world().send(&daemon.signed(&proof)).await
    }

    /// What a project token opens. The target is as those clients have it: what they sign is
    /// that, and what they send is escaped.
    async fn gets(&self, daemon: &Daemon, target: &str, token: &str) -> Answer {
        let proof = self.proof("GET", target, b"", &hash_of(token));
        let mut sent = daemon.signed(&proof);
        sent.target = target.replace(' ', "%20");
        self.world().send(&bearing(sent, token)).await
    }

    /// As [`Self::gets`], of a target that is sent as it is, whatever was signed.
    async fn gets_sent(
        &self,
        daemon: &Daemon,
        (signed, sent): (&str, &str),
        token: &str,
    ) -> Answer {
        let proof = self.proof("GET", signed, b"", &hash_of(token));
        let mut request = daemon.signed(&proof);
        request.target = sent.to_owned();
        self.world().send(&bearing(request, token)).await
    }

    /// How many alarms those who watch were told by now.
    async fn alarms(&self) -> usize {
        let open = self.world().app.open().unwrap();
        open.recorder.drain_refusals().await;
        let (events, key) = ("/v1/events?follow=false", self.actors.key("otto"));
        let told = self.world().call(key, "GET", events, None).await;
        assert_eq!(told.status, 200, "{}", told.text());
        told.text().matches("event: alarm").count()
    }

    /// Says yes to what waits.
    async fn grants(&self, request: &str) {
        let body = self.actors.approval(request, "anna").await;
        let target = format!("/v1/namespaces/shop/requests/{request}/approve");
        self.actors.ok("anna", "POST", &target, body).await;
    }

    async fn withdraw(&self, grant: &str) {
        let target = format!("/v1/namespaces/shop/grants/{grant}/withdraw");
        self.actors.ok("anna", "POST", &target, Value::Null).await;
    }

    /// A project token for all names of the file, for which somebody said yes; and the grant.
    async fn opened(&self, daemon: &Daemon, file: &str) -> (String, String) {
        let waits = self.discovers(daemon, file).await;
        let grant = waits.waits(file);
        self.grants(&grant).await;
        let answer = self.discovers(daemon, file).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        let token = answer.json()["project_token"].as_str().unwrap().to_owned();
        (token, grant)
    }

    /// Entries of an action by these clients, newest first.
    async fn entries(&self, action: &str) -> Vec<Value> {
        let open = self.world().app.open().unwrap();
        open.recorder.drain_refusals().await;
        let target = format!("/v1/ledger/entries?action={action}&limit=1000");
        let list = self.actors.ok("alice", "GET", &target, Value::Null).await;
        let rows = list["entries"].as_array().unwrap().iter();
        rows.map(|row| serde_json::from_str(row["entry"].as_str().unwrap()).unwrap())
            .filter(|entry: &Value| entry["profile"] == "legacy")
            .collect()
    }

    /// The reason of the newest refusal of an action by these clients.
    async fn refusal(&self, action: &str) -> Value {
        let entries = self.entries(action).await;
        let denied = entries.iter().find(|entry| entry["decision"] == "deny");
        denied.map_or(Value::Null, |entry| entry["reason"].clone())
    }

    fn turn(&self, secs: u64) {
        self.world().clock.turn(Duration::from_secs(secs));
    }
}

fn bearing(mut sent: Sent, token: &str) -> Sent {
    let field = ("authorization".to_owned(), format!("Bearer {token}"));
    sent.headers.push(field);
    sent
}

impl Daemon {
    fn header(&self, proof: &Proof) -> String {
        let hash = hex(&sha256(&proof.body));
        let Proof {
            ts,
            jti,
            method,
            path,
            token,
            ..
        } = proof;
        let message = format!("{ts}|{jti}|{method}|{path}|{hash}|{token}");
        let signature = b64url(&self.process.sign(message.as_bytes()).unwrap());
        format!("{}.{ts}.{jti}.{hash}.{token}.{signature}", self.session)
    }

    fn signed(&self, proof: &Proof) -> Sent {
        let body = (!proof.body.is_empty()).then_some(proof.body.as_slice());
        let mut sent = Sent::new(&proof.method, &proof.path, body);
        let field = ("x-daemon-attestation".to_owned(), self.header(proof));
        sent.headers.push(field);
        sent
    }
}

impl Answer {
    /// That it is a refusal in the shape of these clients, of this code.
    #[track_caller]
    fn is_refused(&self, status: u16, code: &str, what: &str) {
        assert_eq!(self.status.as_u16(), status, "{what}: {}", self.text());
        let body = self.json();
        let mut members: Vec<&String> = body.as_object().unwrap().keys().collect();
        members.sort();
        assert_eq!(members, ["details", "error", "error_code"], "{what}");
        assert_eq!(body["error_code"], code, "{what}: {body}");
        assert!(!body["error"].as_str().unwrap().is_empty(), "{what}");
        let request = body["details"]["request_id"].as_str().unwrap();
        assert_eq!(self.headers["x-request-id"], request, "{what}");
        assert_eq!(self.headers["content-type"], "application/json", "{what}");
        assert_eq!(self.headers["cache-control"], "no-store", "{what}");
    }

    /// The request that waits for a person.
    #[track_caller]
    fn waits(&self, what: &str) -> String {
        self.is_refused(403, "pending_approval", what);
        let details = &self.json()["details"];
        assert!(details["requested_keys"].is_array(), "{what}");
        details["grant_id"].as_str().unwrap().to_owned()
    }
}
