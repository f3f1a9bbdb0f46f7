//! An agent of another system, and an installation that it can be enrolled in.

use crate::actors::Actors;
use crate::world::{AUTHORITY, Answer, Sent, World};
use procura_crypto::{SigningKey, SystemEntropy};
use procura_proof::RequestView;
use procura_proof::foreign::{AgentSecret, Foreign, ForeignSigner, sign};
use procura_server::{AgentService, Config};
use procura_types::Timestamp;
use procura_types::encoding::b64url;
use serde_json::{Value, json};

pub(super) const START: &str = "/agent/session/start";

/// Who was enrolled, and with what.
pub(super) struct Enrolled {
    pub(super) id: String,
    pub(super) key: SigningKey,
    pub(super) secret: String,
    pub(super) jwt: String,
}

pub(super) fn ed25519() -> SigningKey {
    SigningKey::generate_ed25519(&SystemEntropy).unwrap()
}

/// A request of an agent, with whatever key and secret.
pub(super) struct Maker<'a> {
    pub(super) id: &'a str,
    pub(super) key: &'a SigningKey,
    pub(super) secret: &'a str,
    pub(super) session: Option<&'a str>,
}

impl Maker<'_> {
    pub(super) fn sent(&self, profile: Foreign, target: &str, body: &[u8], now: Timestamp) -> Sent {
        let mut sent = Sent::new("POST", target, Some(body));
        let (path, query) = match target.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (target, None),
        };
        let view = RequestView {
            method: "POST",
            authority: AUTHORITY,
            scheme: None,
            path,
            query,
            headers: &sent.headers,
            body,
        };
        let secret = AgentSecret::new(self.secret).unwrap();
        let signer = match profile {
            Foreign::KeyServerV1 => ForeignSigner::KeyServerV1(self.key),
            Foreign::GuideV1 => ForeignSigner::GuideV1(self.key),
            Foreign::HmacV1 => ForeignSigner::HmacV1(&secret),
            Foreign::HmacV2 => ForeignSigner::HmacV2(&secret),
        };
        let id = self.id.parse().unwrap();
        let fields = sign(&view, &id, signer, now, &SystemEntropy).unwrap();
        let fields = fields.into_iter();
        sent.headers
            .extend(fields.map(|(name, value)| (name.to_owned(), value)));
        match (profile, self.session) {
            (Foreign::HmacV2, Some(session)) => self.in_session(sent, session, body),
            (_, Some(session)) => {
                sent.headers
                    .push(("x-session-id".to_owned(), session.to_owned()));
                sent
            }
            (_, None) => sent,
        }
    }

    /// Under `hmac-v2` the session is part of what is signed; written down once more by
    /// the rules of the protocol.
    fn in_session(&self, mut sent: Sent, session: &str, body: &[u8]) -> Sent {
        let field = |name: &str| {
            let found = sent.headers.iter().find(|(found, _)| found == name);
            found.unwrap().1.clone()
        };
        let (timestamp, nonce) = (field("x-timestamp"), field("x-nonce"));
        let hash = procura_types::encoding::hex(&procura_crypto::sha256(body));
        let target = &sent.target;
        let signed =
            format!("v2\nPOST\n{target}\n{AUTHORITY}\n{timestamp}\n{nonce}\n{session}\n{hash}");
        let key =
            procura_crypto::hkdf_sha256::<32>(self.secret.as_bytes(), b"", b"procura.hmac-v2");
        let mac = procura_crypto::MacKey::from_bytes(key.expose()).unwrap();
        let tag = procura_types::encoding::hex(&mac.sign(&[signed.as_bytes()]));
        sent.headers
            .push(("x-session-id".to_owned(), session.to_owned()));
        sent.set("x-signature", |_| tag.clone());
        sent
    }
}

impl Enrolled {
    pub(super) fn maker(&self) -> Maker<'_> {
        Maker {
            id: &self.id,
            key: &self.key,
            secret: &self.secret,
            session: None,
        }
    }

    pub(super) fn within<'a>(&'a self, session: &'a str) -> Maker<'a> {
        Maker {
            session: Some(session),
            ..self.maker()
        }
    }
}

/// An installation whose agents' service is `shop/fleet`, which adam can make.
pub(super) async fn fleet(change: impl FnOnce(&mut Config)) -> Actors {
    let world = World::standing(|config| {
        config.agent_service = Some(AgentService {
            namespace: "shop".parse().unwrap(),
            name: "fleet".parse().unwrap(),
        });
        change(config);
    });
    Actors::within(world).await
}

/// Makes the service, or changes it.
pub(super) async fn turn(actors: &Actors, version: u64, mut service: Value) {
    service["expect_version"] = version.into();
    let target = "/v1/namespaces/shop/services/fleet";
    actors.ok("adam", "PUT", target, service).await;
}

/// Enrols a new key as this id of the agent scribe.
pub(super) async fn enrol(actors: &Actors, id: &str) -> Enrolled {
    let wanted = json!({"agent": "scribe", "agent_id": id});
    let started = actors
        .ok("adam", "POST", "/agent/enroll/start", wanted)
        .await;
    let key = ed25519();
    let answer = complete(actors, &started, &key).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let answer = answer.json();
    let text = |name: &str| answer[name].as_str().unwrap().to_owned();
    assert_eq!(text("agent_id"), id);
    Enrolled {
        id: id.to_owned(),
        key,
        secret: text("agent_secret"),
        jwt: text("agent_jwt"),
    }
}

/// What the key sends to be enrolled.
pub(super) fn completion(started: &Value, key: &SigningKey) -> Value {
    let challenge = started["challenge"].as_str().unwrap();
    json!({
        "enroll_code": started["enroll_code"],
        "public_key": b64url(key.public().as_bytes()),
        "signature": b64url(&key.sign(challenge.as_bytes()).unwrap()),
    })
}

pub(super) async fn complete(actors: &Actors, started: &Value, key: &SigningKey) -> Answer {
    open(actors, "/agent/enroll/complete", &completion(started, key)).await
}

/// Without a proof.
pub(super) async fn open(actors: &Actors, target: &str, body: &Value) -> Answer {
    let body = serde_json::to_vec(body).unwrap();
    actors
        .world
        .send(&Sent::new("POST", target, Some(&body)))
        .await
}

pub(super) async fn ask(
    actors: &Actors,
    maker: &Maker<'_>,
    profile: Foreign,
    target: &str,
    body: &Value,
) -> Answer {
    let body = serde_json::to_vec(body).unwrap();
    let sent = maker.sent(profile, target, &body, actors.world.now());
    actors.world.send(&sent).await
}

impl Answer {
    /// That it is this refusal in the shape of these routes.
    #[track_caller]
    pub(super) fn error(&self, status: u16, word: &str, what: &str) {
        let found = (self.status.as_u16(), self.json());
        assert_eq!(
            found,
            (status, json!({"error": word})),
            "{what}: {}",
            self.text()
        );
        assert_eq!(self.headers["content-type"], "application/json", "{what}");
        assert_eq!(self.headers["cache-control"], "no-store", "{what}");
        let waits = matches!(status, 429 | 503);
        assert_eq!(self.headers.contains_key("retry-after"), waits, "{what}");
        for (name, _) in &self.headers {
            assert!(
                !name.as_str().starts_with("access-control"),
                "{what}: {name}"
            );
        }
    }

    /// That it is a success; its JSON.
    #[track_caller]
    pub(super) fn good(&self, what: &str) -> Value {
        assert_eq!(self.status.as_u16(), 200, "{what}: {}", self.text());
        assert_eq!(self.headers["cache-control"], "no-store", "{what}");
        self.json()
    }
}

/// An agent asks within a session, by the profile that signs which one it is.
pub(super) async fn within(actors: &Actors, agent: &Enrolled, at: &str, target: &str) -> Answer {
    let maker = agent.within(at);
    ask(actors, &maker, Foreign::HmacV2, target, &json!({})).await
}

/// The id of a session that is started now.
pub(super) async fn session(actors: &Actors, agent: &Enrolled, profile: Foreign) -> String {
    let answer = ask(actors, &agent.maker(), profile, START, &json!({})).await;
    let answer = answer.good("a session");
    answer["session_id"].as_str().unwrap().to_owned()
}
