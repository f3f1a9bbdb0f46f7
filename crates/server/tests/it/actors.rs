//! People and agents who joined through the API, and what they did so far.

use crate::world::{CANARY, World};
use procura_crypto::{SigningKey, SystemEntropy, owner_id};
use procura_ledger::{GrantTerms, grant_bytes, receipt_message};
use procura_proof::join_message;
use procura_types::wire::{AccessRequest, Joins};
use procura_types::{ActorId, Alg, GrantId, InstallationId, LinkCodeText, encoding};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Everybody, in namespace `shop` unless said otherwise: the steward `alice`, the
/// operators `adam` (admin), `anna` (approver), `otto` (auditor), `gone` (all
/// three, device revoked), `bert` (all three, of `bank`), the agents `scribe` (of
/// project `web`), `baker`, `dead` (revoked) and `robber` (of `bank`).
pub(crate) struct Actors {
    pub(crate) world: World,
    keys: BTreeMap<&'static str, SigningKey>,
    pub(crate) installation: InstallationId,
    /// What `scribe` was granted, and its one run.
    pub(crate) grant: String,
    pub(crate) run: String,
    /// Two requests that wait.
    pub(crate) waiting: [String; 2],
}

pub(crate) fn value_b64() -> String {
    encoding::b64url(CANARY.as_bytes())
}

/// What a device sends to join with a code.
pub(crate) fn join_body(code: &LinkCodeText, key: &SigningKey) -> Value {
    let actor = match code.joins {
        Joins::Agent(actor) | Joins::Operator(actor) => actor,
        Joins::NewOperator => owner_id(Alg::P256, key.public().as_bytes()),
    };
    join_body_as(code, key, actor)
}

pub(crate) fn join_body_as(code: &LinkCodeText, key: &SigningKey, actor: ActorId) -> Value {
    let hash = procura_crypto::sha256(code.code.expose());
    let message = join_message(&code.server, &hash, &actor, &key.public().thumbprint());
    json!({
        "code_sha256": encoding::b64url(&hash),
        "actor_id": actor,
        "device_key": key.public().to_jwk(),
        "signature": encoding::b64url(&key.sign(&message).unwrap()),
    })
}

impl Actors {
    pub(crate) async fn new() -> Self {
        Self::within(World::configured(crate::oidc::configured)).await
    }

    pub(crate) async fn within(world: World) -> Self {
        let root = SigningKey::generate_p256(&SystemEntropy).unwrap();
        let installation = world.init(&root).await.installation;
        // The key of an account that nobody has made yet.
        let night = SigningKey::generate_p256(&SystemEntropy).unwrap();
        let mut actors = Self {
            world,
            keys: BTreeMap::from([("alice", root), ("night", night)]),
            installation,
            grant: String::new(),
            run: String::new(),
            waiting: Default::default(),
        };
        for name in ["shop", "bank"] {
            actors
                .ok("alice", "POST", "/v1/namespaces", json!({"name": name}))
                .await;
        }
        let all = ["admin", "approver", "auditor"];
        for (name, namespace, roles) in [
            ("adam", "shop", &all[..1]),
            ("anna", "shop", &all[1..2]),
            ("otto", "shop", &all[2..]),
            ("gone", "shop", &all),
            ("bert", "bank", &all),
        ] {
            let roles: Vec<Value> = roles
                .iter()
                .map(|role| json!({"role": role, "namespace": namespace}))
                .collect();
            let invitation = json!({"name": name, "roles": roles});
            let code = actors
                .ok("alice", "POST", "/v1/operators", invitation)
                .await;
            actors
                .join(
                    name,
                    &code,
                    SigningKey::generate_p256(&SystemEntropy).unwrap(),
                )
                .await;
        }
        for (name, namespace) in [
            ("scribe", "shop"),
            ("baker", "shop"),
            ("dead", "shop"),
            ("robber", "bank"),
        ] {
            let agents = format!("/v1/namespaces/{namespace}/agents");
            let by = if namespace == "shop" { "adam" } else { "bert" };
            actors.ok(by, "POST", &agents, json!({"label": name})).await;
            let code = actors
                .ok(
                    by,
                    "POST",
                    &format!("{agents}/{name}/link-code"),
                    Value::Null,
                )
                .await;
            actors
                .join(
                    name,
                    &code,
                    SigningKey::generate_ed25519(&SystemEntropy).unwrap(),
                )
                .await;
        }
        let gone = format!("/v1/devices/{}/revoke", actors.device("gone"));
        actors.ok("alice", "POST", &gone, Value::Null).await;
        actors
            .ok(
                "adam",
                "DELETE",
                "/v1/namespaces/shop/agents/dead",
                Value::Null,
            )
            .await;
        actors.work().await;
        actors
    }

    /// Secrets, a project, a grant with a run, and two requests that wait.
    async fn work(&mut self) {
        for path in ["db/password", "api/key", "mail/key"] {
            let target = format!("/v1/namespaces/shop/secrets/{path}");
            self.ok("adam", "PUT", &target, json!({"value_b64": value_b64()}))
                .await;
        }
        let bind = json!({"agent": "scribe"});
        self.ok(
            "adam",
            "PUT",
            "/v1/namespaces/shop/foreign-ids/till.7",
            bind,
        )
        .await;
        let project = json!({"agents": ["scribe"], "env": {"DB": "db/password", "API": "api/key", "MAIL": "mail/key"}});
        self.ok("adam", "PUT", "/v1/namespaces/shop/projects/web", project)
            .await;
        let first = self.ask("DB").await;
        let body = self.approval(&first, "anna").await;
        let grant = self
            .ok(
                "anna",
                "POST",
                &format!("/v1/namespaces/shop/requests/{first}/approve"),
                body,
            )
            .await;
        self.grant = grant["id"].as_str().unwrap().to_owned();
        let run = json!({"names": ["DB"], "delivery": "env"});
        let delivered = self
            .ok(
                "scribe",
                "POST",
                "/v1/namespaces/shop/projects/web/runs",
                run,
            )
            .await;
        assert_eq!(delivered["values"]["DB"]["value_b64"], value_b64());
        self.run = delivered["run"].as_str().unwrap().to_owned();
        self.waiting = [self.ask("API").await, self.ask("MAIL").await];
    }

    async fn ask(&self, name: &str) -> String {
        let body = json!({"names": [name], "delivery": "env"});
        let target = "/v1/namespaces/shop/projects/web/runs";
        let answer = self
            .world
            .call(self.key("scribe"), "POST", target, Some(&body))
            .await;
        assert_eq!(answer.status, 202, "{}", answer.text());
        answer.json()["request"].as_str().unwrap().to_owned()
    }

    /// The signed yes of an approver, for a day.
    pub(crate) async fn approval(&self, id: &str, by: &str) -> Value {
        let target = format!("/v1/namespaces/shop/requests/{id}");
        let request: AccessRequest =
            serde_json::from_value(self.ok(by, "GET", &target, Value::Null).await).unwrap();
        let from = self.world.now();
        let until = from.plus(procura_types::Duration::from_secs(86_400));
        let message = receipt_message(&grant_bytes(&GrantTerms {
            installation: self.installation,
            grant: GrantId::from_bytes(*request.id.as_bytes()),
            namespace: request.namespace,
            agent: request.agent,
            project: request.project,
            delivery: request.delivery,
            from,
            until,
            items: request.items,
        }));
        let signature = self.key(by).sign(&message).unwrap();
        json!({"from": from, "until": until, "signature": encoding::b64url(&signature)})
    }

    pub(crate) fn key(&self, name: &str) -> &SigningKey {
        &self.keys[name]
    }

    pub(crate) fn device(&self, name: &str) -> String {
        self.key(name).public().thumbprint().to_string()
    }

    pub(crate) async fn ok(&self, by: &str, method: &str, target: &str, body: Value) -> Value {
        self.world.ok(self.key(by), method, target, body).await
    }

    /// The entries of an action, the newest first. Refusals that wait are put there before.
    pub(crate) async fn recorded(&self, action: &str) -> Vec<Value> {
        let open = self.world.app.open().unwrap();
        open.recorder.drain_refusals().await;
        let target = format!("/v1/ledger/entries?action={action}&limit=1000");
        let list = self.ok("alice", "GET", &target, Value::Null).await;
        let rows = list["entries"].as_array().unwrap().iter();
        rows.map(|row| serde_json::from_str(row["entry"].as_str().unwrap()).unwrap())
            .collect()
    }

    /// One more operator.
    pub(crate) async fn enters(&mut self, name: &'static str, roles: Value) {
        let invitation = json!({"name": name, "roles": roles});
        let code = self.ok("alice", "POST", "/v1/operators", invitation).await;
        let key = SigningKey::generate_p256(&SystemEntropy).unwrap();
        self.join(name, &code, key).await;
    }

    /// A new device of an agent.
    pub(crate) async fn join_as(&self, by: &str, namespace: &str, label: &str) -> SigningKey {
        let target = format!("/v1/namespaces/{namespace}/agents/{label}/link-code");
        let code = self.ok(by, "POST", &target, Value::Null).await;
        let key = SigningKey::generate_ed25519(&SystemEntropy).unwrap();
        self.sent_join(&code, &key).await;
        key
    }

    async fn join(&mut self, name: &'static str, code: &Value, key: SigningKey) {
        self.sent_join(code, &key).await;
        self.keys.insert(name, key);
    }

    async fn sent_join(&self, code: &Value, key: &SigningKey) {
        let code = LinkCodeText::parse(code["code"].as_str().unwrap()).unwrap();
        let body = serde_json::to_vec(&join_body(&code, key)).unwrap();
        let answer = self
            .world
            .send(&crate::world::Sent::new("POST", "/v1/join", Some(&body)))
            .await;
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
}
