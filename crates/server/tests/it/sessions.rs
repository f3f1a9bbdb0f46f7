//! Sessions (`protocol.md` §3.4): started by a key, never by themselves.

use crate::actors::Actors;
use crate::world::{Answer, Sent, TestSession, World};
use procura_crypto::{MacKey, SigningKey, SystemEntropy};
use procura_proof::sign::Signer;
use procura_proof::{ANSWER_FIELD, AnswerView};
use procura_types::wire::SessionAnswer;
use procura_types::{Duration, FieldTuple, Timestamp};
use serde_json::{Value, json};

const LIST: (&str, &str) = ("GET", "/v1/namespaces");

async fn start(world: &World, key: &SigningKey, renew: Option<&str>) -> Answer {
    let mut body = json!({"audience": "procura"});
    if let Some(id) = renew {
        body["renew"] = id.into();
    }
    world.call(key, "POST", "/v1/sessions", Some(&body)).await
}

pub(crate) async fn started(
    world: &World,
    key: &SigningKey,
    renew: Option<&str>,
) -> (TestSession, Timestamp) {
    let answer = start(world, key, renew).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let answer: SessionAnswer = serde_json::from_value(answer.json()).unwrap();
    let key = MacKey::from_bytes(answer.mac_key.decode().unwrap().expose()).unwrap();
    (
        TestSession {
            id: answer.session_id,
            key,
        },
        answer.expires_at,
    )
}

pub(crate) async fn list(world: &World, session: &TestSession, counter: u64) -> Answer {
    world
        .in_session(session, counter, LIST.0, LIST.1, None)
        .await
}

pub(crate) fn unauthorized(answer: &Answer, reason: &str) {
    answer.expect("unauthorized", Some(reason), None, reason);
}

#[tokio::test]
async fn the_answer_is_signed_by_the_server_for_this_request() {
    let world = World::empty();
    let root = SigningKey::generate_p256(&SystemEntropy).unwrap();
    let init = world.init(&root).await;
    let server = procura_crypto::PublicKey::from_jwk(&init.server_key).unwrap();
    let sent = world.signed(
        &root,
        "POST",
        "/v1/sessions",
        Some(b"{\"audience\":\"procura\"}"),
    );
    let answer: SessionAnswer = serde_json::from_value(world.send(&sent).await.json()).unwrap();
    assert_eq!(
        answer.expires_at,
        world.now().plus(Duration::from_secs(600))
    );
    let message = |nonce: &str, id: &str, expires: Timestamp| {
        FieldTuple::new("procura.session.answer.v1")
            .text(nonce)
            .text(id)
            .bytes(answer.mac_key.decode().unwrap().expose())
            .u64(expires.as_millis())
            .into_bytes()
    };
    let signed = |nonce: &str, id: &str, expires| {
        server.verify(&message(nonce, id, expires), &answer.server_signature)
    };
    let (nonce, id) = (sent.nonce(), answer.session_id.clone());
    assert!(signed(&nonce, &id, answer.expires_at));
    // For another request, another session or another end it is no signature.
    assert!(!signed("AAAAAAAAAAAAAAAAAAAAAAAA", &id, answer.expires_at));
    assert!(!signed(&nonce, &id[1..], answer.expires_at));
    assert!(!signed(
        &nonce,
        &id,
        answer.expires_at.plus(Duration::from_millis(1))
    ));
}

#[tokio::test]
async fn each_counter_is_good_once_and_the_mac_has_to_fit() {
    let actors = Actors::new().await;
    let world = &actors.world;
    let (session, _) = started(world, actors.key("adam"), None).await;
    for counter in [1, 2, 5, 3] {
        assert_eq!(list(world, &session, counter).await.status, 200);
    }
    unauthorized(&list(world, &session, 3).await, "nonce_replayed");
    assert_eq!(list(world, &session, 5_000).await.status, 200);
    unauthorized(&list(world, &session, 4).await, "nonce_replayed");
    let stolen = TestSession {
        id: session.id.clone(),
        key: MacKey::from_bytes(&[7; 32]).unwrap(),
    };
    unauthorized(&list(world, &stolen, 5_001).await, "bad_signature");
    // A wrong MAC uses no counter up.
    assert_eq!(list(world, &session, 5_001).await.status, 200);
    let last = if session.id.ends_with('A') { 'B' } else { 'A' };
    let mut id = session.id.clone();
    id.pop();
    id.push(last);
    let garbled = TestSession {
        id,
        key: MacKey::from_bytes(&[7; 32]).unwrap(),
    };
    unauthorized(&list(world, &garbled, 1).await, "session_unknown");
}

#[tokio::test]
async fn a_session_starts_no_session() {
    let actors = Actors::new().await;
    let world = &actors.world;
    let (session, _) = started(world, actors.key("adam"), None).await;
    for body in [
        json!({"audience": "procura"}),
        json!({"audience": "procura", "renew": session.id}),
    ] {
        let counter = if body["renew"].is_null() { 1 } else { 2 };
        let answer = world
            .in_session(&session, counter, "POST", "/v1/sessions", Some(&body))
            .await;
        answer.expect("unauthorized", None, None, "by a session");
    }
}

/// The tag that an answer bears.
fn tag(answer: &Answer) -> Option<&str> {
    let mut tags = answer.headers.get_all(ANSWER_FIELD).iter();
    let tag = tags.next()?;
    assert!(tags.next().is_none(), "one tag");
    Some(tag.to_str().unwrap())
}

fn view(answer: &Answer) -> AnswerView<'_> {
    let content_type = answer.headers.get("content-type");
    AnswerView {
        status: answer.status.as_u16(),
        content_type: content_type.map_or("", |value| value.to_str().unwrap()),
        body: &answer.body,
    }
}

#[tokio::test]
async fn every_success_in_a_session_is_signed_for_its_request() {
    let actors = Actors::new().await;
    let world = &actors.world;
    let (session, _) = started(world, actors.key("adam"), None).await;
    let secret = "/v1/namespaces/shop/secrets/signed/one";
    let put = json!({"value_b64": "aGVsbG8"});
    let delete = format!("{secret}?version=1");
    let add = json!({"label": "zoe"});
    let calls = [
        ("GET", "/v1/namespaces", None, 200, "application/json"),
        ("GET", "/v1/namespaces", None, 200, "application/json"),
        ("PUT", secret, Some(&put), 200, "application/json"),
        ("GET", secret, None, 200, "application/json"),
        ("DELETE", delete.as_str(), None, 204, ""),
        (
            "POST",
            "/v1/namespaces/shop/agents",
            Some(&add),
            201,
            "application/json",
        ),
        (
            "GET",
            "/v1/ledger/checkpoint",
            None,
            200,
            "text/plain; charset=utf-8",
        ),
    ];
    let mut tags = std::collections::BTreeSet::new();
    for (counter, (method, target, body, status, kind)) in (1..).zip(calls) {
        let answer = world
            .in_session(&session, counter, method, target, body)
            .await;
        let what = format!("{method} {target}: {}", answer.text());
        let view = view(&answer);
        assert_eq!((view.status, view.content_type), (status, kind), "{what}");
        let tag = tag(&answer).expect(&what);
        assert!(view.is_signed(&session.key, counter, tag), "{what}");
        assert!(!view.is_signed(&session.key, counter + 1, tag), "{what}");
        let (body, status) = ([view.body, b" "].concat(), status + 1);
        let body = AnswerView {
            body: &body,
            ..view
        };
        assert!(!body.is_signed(&session.key, counter, tag), "{what}");
        let status = AnswerView { status, ..view };
        assert!(!status.is_signed(&session.key, counter, tag), "{what}");
        tags.insert(tag.to_owned());
    }
    // The first two answers are the same bytes.
    assert_eq!(tags.len(), calls.len());
}

#[tokio::test]
async fn what_no_session_asked_and_what_is_refused_is_not_signed() {
    let actors = Actors::new().await;
    let world = &actors.world;
    let key = actors.key("adam");
    let (session, _) = started(world, key, None).await;
    for answer in [
        world.call(key, LIST.0, LIST.1, None).await,
        world.send(&Sent::new("GET", "/v1/status", None)).await,
        world
            .in_session(&session, 1, "GET", "/v1/namespaces/none/secrets/a", None)
            .await,
        list(world, &session, 1).await,
    ] {
        assert_eq!(tag(&answer), None, "{}", answer.text());
    }
}

#[tokio::test]
async fn a_session_ends_after_ten_minutes() {
    let actors = Actors::new().await;
    let world = &actors.world;
    let (session, expires) = started(world, actors.key("scribe"), None).await;
    world.clock.turn(Duration::from_secs(599));
    assert_eq!(list(world, &session, 1).await.status, 200);
    world.clock.turn(Duration::from_secs(1));
    assert_eq!(world.now(), expires);
    unauthorized(&list(world, &session, 2).await, "session_expired");
}

#[tokio::test]
async fn renewing_ends_twelve_hours_after_the_first() {
    let actors = Actors::new().await;
    let (world, key) = (&actors.world, actors.key("scribe"));
    let end = world.now().plus(Duration::from_secs(12 * 3600));
    let (mut session, mut expires) = started(world, key, None).await;
    let mut renewals = 0;
    while expires < end {
        world.clock.turn(Duration::from_secs(590));
        (session, expires) = started(world, key, Some(&session.id)).await;
        renewals += 1;
        assert!(expires <= end && renewals < 100);
    }
    assert_eq!(renewals, 73);
    assert_eq!(list(world, &session, 1).await.status, 200);
    let left = end.since(world.now());
    world.clock.turn(left);
    unauthorized(
        &start(world, key, Some(&session.id)).await,
        "session_expired",
    );
    // A fresh one begins twelve hours of its own.
    started(world, key, None).await;
}

#[tokio::test]
async fn only_ones_own_session_is_renewed() {
    let actors = Actors::new().await;
    let world = &actors.world;
    let (session, _) = started(world, actors.key("adam"), None).await;
    for foreign in [session.id.as_str(), "", "AAAA", "not base64!"] {
        let answer = start(world, actors.key("scribe"), Some(foreign)).await;
        unauthorized(&answer, "session_unknown");
    }
}

#[tokio::test]
async fn a_revocation_ends_the_session_at_once() {
    let actors = Actors::new().await;
    let world = &actors.world;
    let (session, _) = started(world, actors.key("scribe"), None).await;
    assert_eq!(list(world, &session, 1).await.status, 200);
    let target = format!("/v1/devices/{}/revoke", actors.device("scribe"));
    actors.ok("adam", "POST", &target, Value::Null).await;
    unauthorized(&list(world, &session, 2).await, "revoked");
}

#[tokio::test]
async fn sessions_outlive_a_seal_and_counters_with_them() {
    let actors = Actors::new().await;
    let world = &actors.world;
    let (session, _) = started(world, actors.key("scribe"), None).await;
    assert_eq!(list(world, &session, 1).await.status, 200);
    let signer = Signer::Session {
        id: &session.id,
        mac_key: &session.key,
        counter: 2,
    };
    let kept = Sent::new(LIST.0, LIST.1, None).signed(signer, world.now());
    assert_eq!(world.send(&kept).await.status, 200);
    world.seal().await;
    world.unseal().await;
    unauthorized(&world.send(&kept).await, "nonce_replayed");
    assert_eq!(list(world, &session, 3).await.status, 200);
}

#[tokio::test]
async fn a_used_proof_stays_used_over_a_seal() {
    let actors = Actors::new().await;
    let world = &actors.world;
    let sent = world.signed(actors.key("scribe"), LIST.0, LIST.1, None);
    assert_eq!(world.send(&sent).await.status, 200);
    world.seal().await;
    world.unseal().await;
    unauthorized(&world.send(&sent).await, "nonce_replayed");
}
