//! `POST /v1/join`: the way in for a device with a link code, and every way that is none.

use crate::actors::{Actors, join_body, join_body_as};
use crate::world::{Answer, Sent};
use procura_crypto::{PublicKey, SigningKey, SystemEntropy};
use procura_types::wire::JoinAnswer;
use procura_types::{ActorId, Duration, FieldTuple, LinkCodeText, Thumbprint, encoding};
use serde_json::{Value, json};

const CODE: &str = "/v1/namespaces/shop/agents/baker/link-code";

async fn code(actors: &Actors) -> LinkCodeText {
    let answer = actors.ok("adam", "POST", CODE, Value::Null).await;
    LinkCodeText::parse(answer["code"].as_str().unwrap()).unwrap()
}

fn device() -> SigningKey {
    SigningKey::generate_ed25519(&SystemEntropy).unwrap()
}

async fn join(actors: &Actors, body: &Value) -> Answer {
    let body = serde_json::to_vec(body).unwrap();
    actors
        .world
        .send(&Sent::new("POST", "/v1/join", Some(&body)))
        .await
}

#[tokio::test]
async fn a_device_joins_once_and_the_server_signs_for_itself() {
    let actors = Actors::new().await;
    let (code, key) = (code(&actors).await, device());
    let answer = join(&actors, &join_body(&code, &key)).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let joined: JoinAnswer = serde_json::from_value(answer.json()).unwrap();
    let server = PublicKey::from_jwk(&joined.server_key).unwrap();
    assert_eq!(server.thumbprint(), code.server);
    let message = FieldTuple::new("procura.join.answer.v1")
        .bytes(code.server.as_bytes())
        .bytes(&procura_crypto::sha256(code.code.expose()))
        .bytes(joined.actor.as_bytes())
        .bytes(joined.device.as_bytes())
        .text(&joined.ledger_vkey);
    assert!(server.verify(message.as_bytes(), &joined.server_signature));
    assert_eq!(joined.name, "alice//baker".replace("alice", "adam"));
    let list = actors.world.call(&key, "GET", "/v1/namespaces", None).await;
    assert_eq!(list.status, 200, "{}", list.text());
    // The code is used up, for this key and for any other.
    for key in [&key, &device()] {
        join(&actors, &join_body(&code, key)).await.expect(
            "code_refused",
            Some("unknown_code"),
            None,
            "twice",
        );
    }
}

#[tokio::test]
async fn a_code_is_good_for_ten_minutes() {
    let actors = Actors::new().await;
    let (one, two) = (code(&actors).await, code(&actors).await);
    actors.world.clock.turn(Duration::from_secs(599));
    assert_eq!(join(&actors, &join_body(&two, &device())).await.status, 200);
    actors.world.clock.turn(Duration::from_secs(1));
    join(&actors, &join_body(&one, &device())).await.expect(
        "code_refused",
        Some("code_expired"),
        None,
        "late",
    );
}

#[tokio::test]
async fn what_is_not_proven_does_not_use_the_code_up() {
    let actors = Actors::new().await;
    let (code, key) = (code(&actors).await, device());
    let good = join_body(&code, &key);

    let mut other_key = good.clone();
    other_key["device_key"] = serde_json::to_value(device().public().to_jwk()).unwrap();
    join(&actors, &other_key).await.expect(
        "unauthorized",
        Some("bad_signature"),
        None,
        "another key",
    );
    let mut unsigned = good.clone();
    unsigned["signature"] = encoding::b64url(&[0; 64]).into();
    join(&actors, &unsigned).await.expect(
        "unauthorized",
        Some("bad_signature"),
        None,
        "no signature",
    );
    // Signed for another server that lured the device.
    let lured = LinkCodeText {
        server: Thumbprint::from_bytes([1; 32]),
        code: procura_types::Secret::new(*code.code.expose()),
        url: code.url.clone(),
        ..code
    };
    join(&actors, &join_body(&lured, &key)).await.expect(
        "unauthorized",
        Some("bad_signature"),
        None,
        "another server",
    );
    let mut short = good.clone();
    short["code_sha256"] = encoding::b64url(&[0; 31]).into();
    join(&actors, &short)
        .await
        .expect("unauthorized", Some("malformed"), None, "a short hash");
    let mut weak = good.clone();
    weak["device_key"]["crv"] = "P-384".into();
    join(&actors, &weak)
        .await
        .expect("unauthorized", Some("malformed"), None, "another curve");

    assert_eq!(join(&actors, &good).await.status, 200);
}

#[tokio::test]
async fn a_code_is_for_one_actor() {
    let actors = Actors::new().await;
    let code = code(&actors).await;
    let other = join_body_as(&code, &device(), ActorId::from_bytes([9; 32]));
    join(&actors, &other)
        .await
        .expect("code_refused", Some("unknown_code"), None, "another actor");
    let unknown = LinkCodeText {
        code: procura_types::Secret::new([3; 16]),
        url: code.url.clone(),
        ..code
    };
    join(&actors, &join_body(&unknown, &device())).await.expect(
        "code_refused",
        Some("unknown_code"),
        None,
        "no such code",
    );
    let taken = join_body(&code, actors.key("scribe"));
    join(&actors, &taken).await.expect(
        "code_refused",
        Some("device_bound"),
        None,
        "a device that joined",
    );
    assert_eq!(
        join(&actors, &join_body(&code, &device())).await.status,
        200
    );
}

#[tokio::test]
async fn malformed_requests_are_refused_with_their_field() {
    let actors = Actors::new().await;
    let good = join_body(&code(&actors).await, &device());
    let with = |change: &dyn Fn(&mut Value)| {
        let mut body = good.clone();
        change(&mut body);
        body
    };
    for (body, field) in [
        (json!({}), Some("code_sha256")),
        (json!([]), None),
        (
            with(&|body| body["actor_id"] = "short".into()),
            Some("actor_id"),
        ),
        (with(&|body| body["surprise"] = 1.into()), None),
        (
            with(&|body| body["device_key"]["d"] = "private".into()),
            None,
        ),
        (
            with(&|body| drop(body.as_object_mut().unwrap().remove("signature"))),
            Some("signature"),
        ),
    ] {
        join(&actors, &body)
            .await
            .expect("invalid_json", None, field, &body.to_string());
    }
    for body in [&b""[..], b"\xff", b"{"] {
        actors
            .world
            .send(&Sent::new("POST", "/v1/join", Some(body)))
            .await
            .expect("invalid_json", None, None, "no JSON");
    }
}

#[tokio::test]
async fn a_sealed_vault_lets_nobody_in() {
    let actors = Actors::new().await;
    let body = join_body(&code(&actors).await, &device());
    actors.world.seal().await;
    join(&actors, &body)
        .await
        .expect("sealed", None, None, "sealed");
    actors.world.unseal().await;
    assert_eq!(join(&actors, &body).await.status, 200);
}

#[tokio::test]
async fn what_is_revoked_stays_revoked() {
    let actors = Actors::new().await;
    let code = code(&actors).await;
    actors
        .ok(
            "adam",
            "DELETE",
            "/v1/namespaces/shop/agents/baker",
            Value::Null,
        )
        .await;
    join(&actors, &join_body(&code, &device())).await.expect(
        "code_refused",
        Some("actor_revoked"),
        None,
        "revoked meanwhile",
    );
    // A device that was revoked joins no more, not even as another agent.
    let again = actors
        .ok(
            "adam",
            "POST",
            "/v1/namespaces/shop/agents/scribe/link-code",
            Value::Null,
        )
        .await;
    let again = LinkCodeText::parse(again["code"].as_str().unwrap()).unwrap();
    let revoked = join_body(&again, actors.key("baker"));
    join(&actors, &revoked).await.expect(
        "code_refused",
        Some("device_bound"),
        None,
        "a revoked device",
    );
}
