//! Enrolment: what an operator starts and an agent completes.

use super::agent::{ask, complete, completion, ed25519, enrol, fleet, open};
use crate::actors::Actors;
use crate::world::Sent;
use procura_proof::foreign::Foreign;
use procura_types::Duration;
use procura_types::encoding::{b64url, from_b64url};
use serde_json::{Value, json};

const ENROL: &str = "/agent/enroll/start";

/// The claims of a token, which is checked elsewhere.
fn claims(jwt: &str) -> Value {
    let parts: Vec<&str> = jwt.split('.').collect();
    assert_eq!(parts.len(), 3);
    serde_json::from_slice(&from_b64url("jwt", parts[1]).unwrap()).unwrap()
}

#[tokio::test]
async fn an_agent_is_enrolled_and_known_everywhere() {
    let actors = Actors::new().await;
    let wanted = json!({"agent": "scribe", "agent_id": "Scribe_7.x", "more": true});
    let started = actors.ok("adam", "POST", ENROL, wanted).await;
    assert_eq!(started["expires_in_sec"], 600);
    assert_eq!(started["agent_id"], "Scribe_7.x");
    assert_eq!(started["enroll_code"].as_str().unwrap().len(), 22);
    assert_eq!(started["challenge"].as_str().unwrap().len(), 43);
    let agent = enrol(&actors, "Scribe_7.x").await;
    assert_eq!(from_b64url("secret", &agent.secret).unwrap().len(), 32);
    let claims = claims(&agent.jwt);
    assert_eq!(claims["sub"], "Scribe_7.x");
    assert_eq!(claims["agent_id"], "Scribe_7.x");
    assert_eq!(claims["scopes"], json!(["agent"]));
    // Who it is in the directory: one more device, under an id.
    let list = actors
        .ok(
            "adam",
            "GET",
            "/v1/namespaces/shop/foreign-ids/Scribe_7.x",
            Value::Null,
        )
        .await;
    assert_eq!(
        (&list["agent"], &list["revoked"]),
        (&json!("scribe"), &json!(false))
    );
    assert_eq!(list["device"], agent.key.public().thumbprint().to_string());
    assert_eq!(list["secrets"].as_array().unwrap().len(), 1);
    let ids = actors
        .world
        .send(&Sent::new("GET", "/api/agents/identity", None))
        .await;
    assert_eq!(ids.json(), json!({"agents": ["Scribe_7.x"], "count": 1}));
    let target = "/api/agents/identity/Scribe_7.x";
    let identity = actors.world.send(&Sent::new("GET", target, None)).await;
    let line = crate::key_server::line_of(agent.key.public().as_bytes());
    assert_eq!(
        format!(
            "{} agent@host\n",
            identity.json()["pub_key"].as_str().unwrap()
        ),
        line
    );
    // All that it can do, by all that it has, under both prefixes.
    for prefix in ["", "/functions/v1"] {
        for profile in [Foreign::KeyServerV1, Foreign::GuideV1, Foreign::HmacV2] {
            let target = format!("{prefix}/agent/session/start");
            let answer = ask(
                &actors,
                &agent.maker(),
                profile,
                &target,
                &json!({"agent_id": agent.id}),
            )
            .await;
            assert_eq!(answer.good(&target)["ttl_ms"], 600_000);
        }
        let target = format!("{prefix}/agent/token/refresh");
        let answer = ask(
            &actors,
            &agent.maker(),
            Foreign::HmacV2,
            &target,
            &json!({}),
        )
        .await;
        let answer = answer.good(&target);
        assert_eq!(answer["expires_in"], 3600);
        assert_eq!(
            self::claims(answer["agent_jwt"].as_str().unwrap())["sub"],
            "Scribe_7.x"
        );
    }
    // The key is a device like any other.
    let native = actors
        .world
        .call(&agent.key, "POST", "/agent/session/start", Some(&json!({})))
        .await;
    // The agent has two ids, so it has to say which.
    native.error(400, "malformed", "which id");
    let body = json!({"agent_id": "Scribe_7.x"});
    for target in ["/agent/session/start", "/agent/token/refresh"] {
        let native = actors
            .world
            .call(&agent.key, "POST", target, Some(&body))
            .await;
        native.good(target);
    }
}

#[tokio::test]
async fn a_code_is_for_one_key_once_and_ten_minutes() {
    let actors = Actors::new().await;
    let wanted = || json!({"agent": "scribe", "agent_id": "x"});
    let started = actors.ok("adam", "POST", ENROL, wanted()).await;
    let key = ed25519();
    complete(&actors, &started, &key).await.good("once");
    complete(&actors, &started, &ed25519())
        .await
        .error(403, "unknown_code", "twice");
    // Nor is a key that is a device already taken.
    let started = actors.ok("adam", "POST", ENROL, wanted()).await;
    complete(&actors, &started, &key)
        .await
        .error(403, "device_bound", "the same key");
    complete(&actors, &started, &ed25519())
        .await
        .good("another");
    let started = actors.ok("adam", "POST", ENROL, wanted()).await;
    actors.world.clock.turn(Duration::from_secs(599));
    let other = json!({"agent": "baker", "agent_id": "y"});
    let later = actors.ok("adam", "POST", ENROL, other).await;
    actors.world.clock.turn(Duration::from_secs(1));
    complete(&actors, &started, &ed25519())
        .await
        .error(403, "code_expired", "late");
    complete(&actors, &later, &ed25519()).await.good("in time");
}

#[tokio::test]
async fn a_wrong_signature_burns_no_code_until_there_were_ten() {
    let actors = Actors::new().await;
    let wanted = json!({"agent": "scribe", "agent_id": "x"});
    let started = actors.ok("adam", "POST", ENROL, wanted).await;
    let (key, other) = (ed25519(), ed25519());
    let good = completion(&started, &key);
    let with = |name: &str, value: &str| {
        let mut body = good.clone();
        body[name] = value.into();
        body
    };
    let stranger = b64url(other.public().as_bytes());
    let of_code = b64url(
        &key.sign(started["enroll_code"].as_str().unwrap().as_bytes())
            .unwrap(),
    );
    let target = "/functions/v1/agent/enroll/complete";
    // What is no key and no code has no attempt.
    for (name, value) in [
        ("public_key", ""),
        ("public_key", "AAAA"),
        ("public_key", &b64url(&[0; 32])),
        ("enroll_code", ""),
        ("enroll_code", "AAAA"),
        ("enroll_code", "not base64url at all!!"),
    ] {
        open(&actors, target, &with(name, value))
            .await
            .error(401, "malformed", name);
    }
    open(&actors, target, &with("enroll_code", &b64url(&[7; 16])))
        .await
        .error(403, "unknown_code", "another code");
    for round in 0..3 {
        for body in [
            with("signature", ""),
            with("signature", &"A".repeat(88)),
            with("signature", &of_code),
        ] {
            open(&actors, target, &body).await.error(
                401,
                "bad_signature",
                &format!("{round} {body}"),
            );
        }
    }
    open(&actors, target, &good)
        .await
        .good("the ninth did not burn it");

    let wanted = json!({"agent": "scribe", "agent_id": "x"});
    let started = actors.ok("adam", "POST", ENROL, wanted).await;
    let mut bad = completion(&started, &ed25519());
    bad["public_key"] = stranger.into();
    for _ in 0..10 {
        open(&actors, target, &bad)
            .await
            .error(401, "bad_signature", "wrong");
    }
    complete(&actors, &started, &ed25519())
        .await
        .error(429, "rate_limited", "the eleventh");
}

#[tokio::test]
async fn only_an_admin_starts_an_enrolment_and_natively() {
    let actors = Actors::new().await;
    let agent = enrol(&actors, "x").await;
    let body = json!({"namespace": "shop", "agent": "baker", "agent_id": "y"});
    for who in ["otto", "anna", "scribe"] {
        let answer = actors
            .world
            .call(actors.key(who), "POST", ENROL, Some(&body))
            .await;
        answer.error(403, "forbidden", who);
    }
    for who in ["bert", "robber"] {
        let answer = actors
            .world
            .call(actors.key(who), "POST", ENROL, Some(&body))
            .await;
        answer.error(404, "not_found", who);
    }
    for who in ["gone", "dead"] {
        let answer = actors
            .world
            .call(actors.key(who), "POST", ENROL, Some(&body))
            .await;
        answer.error(401, "revoked", who);
    }
    for profile in [Foreign::KeyServerV1, Foreign::GuideV1, Foreign::HmacV2] {
        let answer = ask(&actors, &agent.maker(), profile, ENROL, &body).await;
        answer.error(403, "forbidden", profile.as_str());
    }
    open(&actors, ENROL, &body)
        .await
        .error(401, "missing_headers", "nobody");
    // What is left out or wrong.
    for (body, status, word) in [
        (json!({"agent": "nobody"}), 404, "not_found"),
        (json!({"agent": "Nobody"}), 400, "invalid_json"),
        (
            json!({"agent": "baker", "agent_id": "a..b"}),
            400,
            "invalid_json",
        ),
        (
            json!({"agent": "baker", "agent_id": "x"}),
            409,
            "already_exists",
        ),
        (json!({"agent": "baker", "owner": "bert"}), 400, "malformed"),
        (
            json!({"agent": "baker", "namespace": "bank"}),
            404,
            "not_found",
        ),
        (json!(["baker"]), 400, "invalid_json"),
    ] {
        let answer = actors
            .world
            .call(actors.key("adam"), "POST", ENROL, Some(&body))
            .await;
        answer.error(status, word, &body.to_string());
    }
    // Alice is admin of two namespaces.
    let which = actors
        .world
        .call(
            actors.key("alice"),
            "POST",
            ENROL,
            Some(&json!({"agent": "baker"})),
        )
        .await;
    which.error(400, "malformed", "which namespace");
    let started = actors
        .ok(
            "adam",
            "POST",
            ENROL,
            json!({"label": "baker", "owner": "adam"}),
        )
        .await;
    assert_eq!(started["agent_id"], "baker");
}

#[tokio::test]
async fn an_empty_body_makes_an_agent() {
    let actors = Actors::new().await;
    let sent = actors.world.signed(actors.key("adam"), "POST", ENROL, None);
    let started = actors.world.send(&sent).await.good("no body");
    let id = started["agent_id"].as_str().unwrap().to_owned();
    assert!(id.starts_with("agent-") && id.len() == 22, "{id}");
    let enrolled = complete(&actors, &started, &ed25519())
        .await
        .good("complete");
    assert_eq!(enrolled["agent_id"], id);
    let list = actors
        .ok("adam", "GET", "/v1/namespaces/shop/agents", Value::Null)
        .await;
    let made = list["agents"].as_array().unwrap().iter();
    let made = made.filter(|agent| agent["label"] == id).count();
    assert_eq!(made, 1);
}

#[tokio::test]
async fn all_of_it_is_in_the_record() {
    let actors = fleet(|_| {}).await;
    let agent = enrol(&actors, "x").await;
    let answer = ask(
        &actors,
        &agent.maker(),
        Foreign::HmacV2,
        "/agent/token/refresh",
        &json!({}),
    )
    .await;
    answer.good("a token");
    complete(
        &actors,
        &json!({"enroll_code": b64url(&[1; 16]), "challenge": ""}),
        &ed25519(),
    )
    .await
    .error(403, "unknown_code", "a code of nobody");
    actors
        .world
        .app
        .open()
        .unwrap()
        .recorder
        .drain_refusals()
        .await;
    let target = "/v1/ledger/entries?limit=4";
    let page = actors.ok("alice", "GET", target, Value::Null).await;
    let mut told = Vec::new();
    for row in page["entries"].as_array().unwrap() {
        let entry: Value = serde_json::from_str(row["entry"].as_str().unwrap()).unwrap();
        let text = |name: &str| entry[name].as_str().unwrap_or("-").to_owned();
        let resource = text("resource");
        let resource = resource.split(" device/").next().unwrap().to_owned();
        told.push([text("action"), text("decision"), text("profile"), resource].join(" "));
        let whole = row.to_string();
        for secret in [&agent.secret, &agent.jwt] {
            assert!(!whole.contains(secret.as_str()), "{whole}");
        }
    }
    assert_eq!(
        told,
        [
            "agent.enrol.complete deny join -",
            "agent.token.refresh allow hmac-v2 foreign/x",
            "agent.enrol.complete allow join foreign/x",
            "agent.enrol.start allow native foreign/x of agent/scribe",
        ]
    );
}

#[tokio::test]
async fn what_agents_do_to_be_let_in_is_in_the_log_of_events() {
    let actors = Actors::new().await;
    let agent = enrol(&actors, "x").await;
    super::agent::session(&actors, &agent, Foreign::GuideV1).await;
    let mut bad = agent.maker().sent(
        Foreign::GuideV1,
        "/agent/session/start",
        b"{}",
        actors.world.now(),
    );
    bad.set("x-signature", |_| "AAAA".to_owned());
    actors
        .world
        .send(&bad)
        .await
        .error(401, "bad_signature", "bad");
    let path = actors.world.home.path().join("logs/events.jsonl");
    // Beside the lines of agents that joined natively.
    let told: Vec<String> = crate::key_server::lines(&path, 12)
        .await
        .iter()
        .filter(|line| line["agent_id"] == "x")
        .map(|line| {
            let text = |name: &str| line[name].as_str().unwrap_or("-").to_owned();
            [text("event"), text("agent_id"), text("reason"), text("ip")].join(" ")
        })
        .collect();
    assert_eq!(
        told,
        [
            "agent_enroll_started x - 127.0.0.1",
            "agent_enroll_completed x - 127.0.0.1",
            "agent_session_started x - 127.0.0.1",
            "auth_violation x bad_signature 127.0.0.1",
        ]
    );
}
