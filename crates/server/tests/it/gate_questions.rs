//! What the gate of a service is told about proofs that it cannot verify itself
//! (`protocol.md` §3.4).

use crate::actors::Actors;
use crate::key_server::{line_of, put_file};
use crate::world::{Answer, World};
use procura_crypto::{SigningKey, SystemEntropy, sha256};
use procura_proof::RequestView;
use procura_proof::foreign::{AgentSecret, Foreign, ForeignSigner, sign};
use procura_types::wire::{ProofField, ProvenAgent, SentBody, VerifyAnswer, VerifyQuestion};
use procura_types::{Duration, Timestamp};
use serde_json::{Value, json};

const TILL: &str = "/v1/namespaces/shop/services/till";
const HOST: &str = "till.example";
const BODY: &[u8] = br#"{"n":1}"#;

/// The service `till`, whose gate `baker` runs, and an agent of another system.
struct Scene {
    actors: Actors,
    key: SigningKey,
    secret: Option<AgentSecret>,
}

impl Scene {
    async fn set() -> Self {
        Self::within(World::empty()).await
    }

    async fn within(world: World) -> Self {
        let scene = Self {
            actors: Actors::within(world).await,
            key: SigningKey::generate_ed25519(&SystemEntropy).unwrap(),
            secret: None,
        };
        scene.put(0, Value::Null).await;
        scene
    }

    /// Puts the service with these terms for `hmac-v1`.
    async fn put(&self, expect_version: u64, hmac_v1: Value) -> u64 {
        let mut put = json!({
            "expect_version": expect_version,
            "mode": "enforce",
            "gates": ["baker"],
        });
        if !hmac_v1.is_null() {
            put["hmac_v1"] = hmac_v1;
        }
        let service = self.actors.ok("adam", "PUT", TILL, put).await;
        service["version"].as_u64().unwrap()
    }

    /// Its key as a file.
    fn enrol(&self) {
        let line = line_of(self.key.public().as_bytes());
        put_file(self.actors.world.home.path(), "legacy-7", &line);
    }

    /// Bound to an agent, with a secret.
    async fn bind(&mut self, by: &str, namespace: &str, label: &str) {
        let id = format!("/v1/namespaces/{namespace}/foreign-ids/legacy-7");
        let bind = json!({"agent": label});
        self.actors.ok(by, "PUT", &id, bind).await;
        let secret = format!("{id}/secret");
        let made = self.actors.ok(by, "POST", &secret, json!({})).await;
        let text = made["secret"].as_str().unwrap();
        self.secret = Some(AgentSecret::new(text).unwrap());
    }

    fn now(&self) -> Timestamp {
        self.actors.world.now()
    }

    /// A good request by this profile.
    fn question(&self, profile: Foreign) -> VerifyQuestion {
        let none = AgentSecret::new("not its secret").unwrap();
        let secret = self.secret.as_ref().unwrap_or(&none);
        let signer = match profile {
            Foreign::KeyServerV1 => ForeignSigner::KeyServerV1(&self.key),
            Foreign::GuideV1 => ForeignSigner::GuideV1(&self.key),
            Foreign::HmacV1 => ForeignSigner::HmacV1(secret),
            Foreign::HmacV2 => ForeignSigner::HmacV2(secret),
        };
        let fields: [(&str, &str); 0] = [];
        let view = RequestView {
            method: "POST",
            authority: HOST,
            scheme: None,
            path: "/orders",
            query: Some("n=1"),
            headers: &fields,
            body: BODY,
        };
        let agent = "legacy-7".parse().unwrap();
        let fields = sign(&view, &agent, signer, self.now(), &SystemEntropy).unwrap();
        VerifyQuestion {
            method: "POST".to_owned(),
            authority: HOST.to_owned(),
            path: "/orders".to_owned(),
            query: Some("n=1".to_owned()),
            fields: fields
                .into_iter()
                .map(|(name, value)| ProofField {
                    name: name.to_owned(),
                    value,
                })
                .collect(),
            body: if profile.signs_digest() {
                SentBody::sha256(&sha256(BODY))
            } else {
                SentBody::bytes(BODY)
            },
            peer: "10.0.0.5".parse().unwrap(),
        }
    }

    async fn asked(&self, by: &str, question: &VerifyQuestion) -> Answer {
        let body = serde_json::to_value(question).unwrap();
        let target = format!("{TILL}/verify");
        let key = self.actors.key(by);
        self.actors
            .world
            .call(key, "POST", &target, Some(&body))
            .await
    }

    async fn proven(&self, question: &VerifyQuestion) -> ProvenAgent {
        match self.answered(question).await {
            VerifyAnswer::Proven(agent) => agent,
            VerifyAnswer::Refused(refused) => panic!("{question:?}: {refused:?}"),
        }
    }

    async fn answered(&self, question: &VerifyQuestion) -> VerifyAnswer {
        let answer = self.asked("baker", question).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        serde_json::from_value(answer.json()).unwrap()
    }

    #[track_caller]
    fn reason(&self, answer: &VerifyAnswer) -> String {
        match answer {
            VerifyAnswer::Refused(refused) => refused.reason.clone(),
            VerifyAnswer::Proven(agent) => panic!("{agent:?}"),
        }
    }

    async fn refused(&self, question: &VerifyQuestion) -> String {
        self.reason(&self.answered(question).await)
    }
}

#[tokio::test]
async fn only_a_gate_of_the_service_is_told() {
    let scene = Scene::set().await;
    scene.enrol();
    let question = scene.question(Foreign::KeyServerV1);
    for who in ["scribe", "adam", "alice", "otto", "robber", "bert"] {
        let answer = scene.asked(who, &question).await;
        answer.expect("not_found", None, None, who);
    }
    // None of them used it up.
    let agent = scene.proven(&question).await;
    assert_eq!(agent.agent_id.as_str(), "legacy-7");
    assert_eq!(agent.profile, "key-server-v1");
    assert_eq!((agent.actor, agent.owner, agent.device), (None, None, None));
    assert_eq!(scene.refused(&question).await, "nonce_replayed");
}

/// What is changed of a question, and what it is refused for.
type Change = (&'static str, fn(&mut VerifyQuestion), &'static str);

#[tokio::test]
async fn what_was_signed_is_what_is_verified() {
    let mut scene = Scene::set().await;
    scene.enrol();
    scene.bind("alice", "shop", "scribe").await;
    let version = 1;
    scene.put(version, json!({})).await;
    let body = |question: &mut VerifyQuestion| {
        question.body = match &question.body {
            SentBody::Bytes(_) => SentBody::bytes(b"other"),
            SentBody::Sha256(_) => SentBody::sha256(&sha256(b"other")),
        };
    };
    let common: [Change; 5] = [
        ("body", body, "bad_signature"),
        (
            "signature",
            |question| {
                let mut fields = question.fields.iter_mut();
                let field = fields.find(|field| field.name == "x-signature");
                field.unwrap().value = "AAAA".to_owned();
            },
            "bad_signature",
        ),
        (
            "no signature",
            |question| question.fields.retain(|field| field.name != "x-signature"),
            "missing_headers",
        ),
        (
            "a field twice",
            |question| {
                let again = question.fields.last().unwrap().clone();
                question.fields.push(again);
            },
            "malformed",
        ),
        (
            "no proof",
            |question| question.fields.clear(),
            "missing_headers",
        ),
    ];
    let target: [Change; 2] = [
        (
            "method",
            |question| question.method = "PUT".to_owned(),
            "bad_signature",
        ),
        (
            "path",
            |question| question.path = "/order".to_owned(),
            "bad_signature",
        ),
    ];
    let all: [Change; 2] = [
        ("query", |question| question.query = None, "bad_signature"),
        (
            "authority",
            |question| question.authority = "other.example".to_owned(),
            "bad_signature",
        ),
    ];
    for profile in Foreign::ALL {
        let changes: Vec<Change> = match profile {
            Foreign::HmacV1 => common.to_vec(),
            Foreign::HmacV2 => [&common[..], &target, &all].concat(),
            Foreign::KeyServerV1 | Foreign::GuideV1 => [&common[..], &target].concat(),
        };
        for (what, change, reason) in changes {
            let mut question = scene.question(profile);
            change(&mut question);
            assert_eq!(scene.refused(&question).await, reason, "{profile}: {what}");
        }
        let question = scene.question(profile);
        let agent = scene.proven(&question).await;
        assert_eq!(agent.profile, profile.as_str());
        assert_eq!(
            scene.refused(&question).await,
            "nonce_replayed",
            "{profile}"
        );
        // A body of which only the hash is known can be verified where that is signed.
        let mut hashed = scene.question(profile);
        hashed.body = SentBody::sha256(&sha256(BODY));
        if profile.signs_digest() {
            scene.proven(&hashed).await;
        } else {
            assert_eq!(scene.refused(&hashed).await, "digest_mismatch");
        }
    }
    scene.actors.world.clock.turn(Duration::from_secs(1));
    let mut old = scene.question(Foreign::GuideV1);
    scene.actors.world.clock.turn(Duration::from_secs(61));
    assert_eq!(scene.refused(&old).await, "timestamp_out_of_window");
    old.fields[0].value = "a/b".to_owned();
    assert_eq!(scene.refused(&old).await, "malformed");
}

#[tokio::test]
async fn an_id_that_is_bound_is_its_agent_here_and_nobody_elsewhere() {
    let mut scene = Scene::set().await;
    scene.enrol();
    scene.bind("alice", "shop", "scribe").await;
    let agent = scene.proven(&scene.question(Foreign::HmacV2)).await;
    assert!(agent.actor.is_some() && agent.owner.is_some());
    let by_file = scene.proven(&scene.question(Foreign::KeyServerV1)).await;
    assert_eq!((by_file.actor, by_file.owner), (agent.actor, agent.owner));

    // Its key is good where the agent may be.
    let sources = "/v1/namespaces/shop/agents/scribe/sources";
    for (block, reason) in [
        ("10.1.0.0/16", Some("source_not_allowed")),
        ("10.0.0.0/16", None),
    ] {
        let put = json!({"sources": [block]});
        scene.actors.ok("adam", "PUT", sources, put).await;
        let answer = scene.answered(&scene.question(Foreign::HmacV2)).await;
        let refused = match &answer {
            VerifyAnswer::Refused(refused) => Some(refused.reason.as_str()),
            VerifyAnswer::Proven(_) => None,
        };
        assert_eq!(refused, reason, "{block}");
    }

    let revoke = "/v1/namespaces/shop/agents/scribe";
    scene.actors.ok("adam", "DELETE", revoke, Value::Null).await;
    for profile in [Foreign::HmacV2, Foreign::KeyServerV1] {
        let question = scene.question(profile);
        assert_eq!(scene.refused(&question).await, "revoked", "{profile}");
    }

    let mut elsewhere = Scene::set().await;
    elsewhere.enrol();
    elsewhere.bind("alice", "bank", "robber").await;
    let question = elsewhere.question(Foreign::KeyServerV1);
    assert_eq!(elsewhere.refused(&question).await, "unknown_agent");
}

#[tokio::test]
async fn the_weak_profile_is_let_in_as_the_service_says() {
    let mut scene = Scene::set().await;
    scene.bind("adam", "shop", "scribe").await;
    let question = scene.question(Foreign::HmacV1);
    assert_eq!(scene.refused(&question).await, "missing_headers");
    let version = scene
        .put(1, json!({"window_seconds": 30, "nonce_required": true}))
        .await;
    scene.proven(&question).await;
    let mut without = scene.question(Foreign::HmacV1);
    without.fields.retain(|field| field.name != "x-nonce");
    assert_eq!(scene.refused(&without).await, "missing_headers");
    let late = scene.question(Foreign::HmacV1);
    scene.actors.world.clock.turn(Duration::from_secs(31));
    assert_eq!(scene.refused(&late).await, "timestamp_out_of_window");
    scene.put(version, json!({})).await;
    scene.proven(&late).await;

    let target = "/v1/ledger/entries?namespace=shop&action=service.verify";
    let list = scene.actors.ok("otto", "GET", target, Value::Null).await;
    let said: Vec<String> = list["entries"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row["entry"].as_str().unwrap().to_owned())
        .filter(|entry| entry.contains("weak:hmac-v1 agent:legacy-7"))
        .collect();
    assert_eq!(said.len(), 2, "{list}");
}

#[tokio::test]
async fn refusals_stand_in_the_record_with_the_address_of_the_caller() {
    let scene = Scene::set().await;
    let question = scene.question(Foreign::GuideV1);
    assert_eq!(scene.refused(&question).await, "unknown_agent");
    let target = "/v1/ledger/entries?namespace=shop&action=service.verify";
    let mut found = None;
    for _ in 0..3_000 {
        let list = scene.actors.ok("otto", "GET", target, Value::Null).await;
        found = list["entries"].as_array().unwrap().first().cloned();
        if found.is_some() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let row = found.expect("the refusal is in the record");
    let entry: Value = serde_json::from_str(row["entry"].as_str().unwrap()).unwrap();
    let word = |key: &str| entry[key].as_str().unwrap_or_default().to_owned();
    assert_eq!(
        [
            word("resource"),
            word("reason"),
            word("profile"),
            word("ip")
        ],
        ["foreign/legacy-7", "unknown_agent", "guide-v1", "10.0.0.5"]
    );
}

/// Whoever makes a gate ask much must not keep it from hearing whom it may let in.
#[tokio::test]
async fn a_flood_of_questions_does_not_keep_the_gate_from_hearing_what_is_so() {
    // Of the 40 calls that inform, an agent whose bucket is empty has used 31; where calls
    // of one kind are counted together, 6 of each of the three kinds had their own.
    for (agent, left) in [(true, 9), (false, 27)] {
        let world = World::standing(|config| {
            let rate = "1/h burst 6".parse().unwrap();
            if agent {
                config.rate_agent = rate;
            } else {
                config.rate_route = rate;
            }
        });
        let scene = Scene::within(world).await;
        scene.enrol();
        let question = scene.question(Foreign::KeyServerV1);
        let mut limited = 0;
        for _ in 0..20 {
            let answer = scene.asked("baker", &question).await;
            if answer.status != 200 {
                answer.expect("rate_limited", Some("rate_limited"), None, "a question");
                assert_eq!(answer.status, 429);
                assert_eq!(answer.headers["retry-after"], "3600");
                limited += 1;
            }
        }
        assert_eq!(limited, 14);
        let feed = format!(
            "{TILL}/feed?instance={}&nonce={}&wait=0",
            procura_types::InstanceId::from_bytes([1; 16]),
            procura_types::encoding::b64url(&[7; 16]),
        );
        let (world, key) = (&scene.actors.world, scene.actors.key("baker"));
        let session = json!({"audience": "procura"});
        for _ in 0..10 {
            for (method, target, body) in [
                ("GET", feed.as_str(), None),
                ("GET", "/v1/ledger/checkpoint", None),
                ("POST", "/v1/sessions", Some(&session)),
            ] {
                let answer = world.call(key, method, target, body).await;
                assert_eq!(answer.status, 200, "{target}: {}", answer.text());
            }
        }
        // A revocation is heard of while questions are still refused.
        let revoke = "/v1/namespaces/shop/agents/scribe";
        scene.actors.ok("adam", "DELETE", revoke, Value::Null).await;
        assert_eq!(world.call(key, "GET", &feed, None).await.status, 200);
        assert_eq!(scene.asked("baker", &question).await.status, 429);
        // What informs is counted as well.
        let mut passed = 0;
        for _ in 0..60 {
            let answer = world.call(key, "GET", &feed, None).await;
            if answer.status != 200 {
                answer.expect("rate_limited", Some("rate_limited"), None, "a feed");
                break;
            }
            passed += 1;
        }
        assert_eq!(passed, left);
    }
}
