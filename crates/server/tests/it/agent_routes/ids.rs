//! Ids that are bound, released, or of revoked agents, on every way in.

use super::agent::{START, ask, ed25519, enrol};
use crate::actors::Actors;
use crate::key_server::{line_of, put_file};
use crate::world::Sent;
use procura_proof::foreign::Foreign;
use serde_json::{Value, json};

const KEYED: [Foreign; 2] = [Foreign::KeyServerV1, Foreign::GuideV1];

async fn identities(actors: &Actors) -> Value {
    let sent = Sent::new("GET", "/api/agents/identity", None);
    actors.world.send(&sent).await.json()["agents"].clone()
}

#[tokio::test]
async fn the_enrolled_key_counts_and_the_file_is_ignored() {
    let actors = Actors::new().await;
    let mut agent = enrol(&actors, "x").await;
    let intruder = ed25519();
    put_file(
        actors.world.home.path(),
        "x",
        &line_of(intruder.public().as_bytes()),
    );
    let enrolled = std::mem::replace(&mut agent.key, intruder);
    for profile in KEYED {
        let answer = ask(&actors, &agent.maker(), profile, START, &json!({})).await;
        answer.error(401, "bad_signature", "the file");
    }
    agent.key = enrolled;
    for profile in KEYED {
        let answer = ask(&actors, &agent.maker(), profile, START, &json!({})).await;
        answer.good("the enrolled key");
    }
    let status = actors
        .world
        .send(&Sent::new("GET", "/v1/status", None))
        .await;
    assert!(
        status.text().contains("the file of x is ignored"),
        "{}",
        status.text()
    );
    assert_eq!(identities(&actors).await, json!(["x"]));

    // A device that is revoked does not come back as a file either.
    let device = agent.key.public().thumbprint();
    actors
        .ok(
            "adam",
            "POST",
            &format!("/v1/devices/{device}/revoke"),
            Value::Null,
        )
        .await;
    for profile in KEYED {
        let answer = ask(&actors, &agent.maker(), profile, START, &json!({})).await;
        answer.error(401, "unknown_agent", "revoked device");
    }
    assert_eq!(identities(&actors).await, json!([]));
}

#[tokio::test]
async fn a_revoked_agent_is_told_so_and_a_released_id_is_nobody() {
    let actors = Actors::new().await;
    let agent = enrol(&actors, "x").await;
    let baker = json!({"agent": "baker", "agent_id": "y"});
    let started = actors
        .ok("adam", "POST", "/agent/enroll/start", baker)
        .await;
    let key = ed25519();
    let answer = super::agent::complete(&actors, &started, &key)
        .await
        .good("baker");
    let other = super::agent::Enrolled {
        id: "y".to_owned(),
        key,
        secret: answer["agent_secret"].as_str().unwrap().to_owned(),
        jwt: String::new(),
    };
    actors
        .ok(
            "adam",
            "DELETE",
            "/v1/namespaces/shop/agents/baker",
            Value::Null,
        )
        .await;
    for profile in [Foreign::KeyServerV1, Foreign::GuideV1, Foreign::HmacV2] {
        let answer = ask(&actors, &other.maker(), profile, START, &json!({})).await;
        answer.error(401, "revoked", profile.as_str());
    }
    // The verification service tells nobody which it is.
    assert_eq!(identities(&actors).await, json!(["x"]));
    let target = "/api/agents/identity/y";
    let answer = actors.world.send(&Sent::new("GET", target, None)).await;
    assert_eq!(answer.status, 404);

    actors
        .ok(
            "adam",
            "DELETE",
            "/v1/namespaces/shop/foreign-ids/x",
            Value::Null,
        )
        .await;
    for profile in [Foreign::KeyServerV1, Foreign::GuideV1, Foreign::HmacV2] {
        let answer = ask(&actors, &agent.maker(), profile, START, &json!({})).await;
        answer.error(401, "unknown_agent", profile.as_str());
    }
    // The key that came with the id proves nothing natively either.
    let native = actors
        .world
        .call(
            &agent.key,
            "POST",
            START,
            Some(&json!({"agent_id": "till.7"})),
        )
        .await;
    native.error(401, "revoked", "natively");
    assert_eq!(identities(&actors).await, json!([]));
}

#[tokio::test]
async fn an_id_that_is_bound_to_nobody_proves_itself_and_gets_no_token() {
    let actors = Actors::new().await;
    let key = ed25519();
    put_file(
        actors.world.home.path(),
        "free",
        &line_of(key.public().as_bytes()),
    );
    let free = super::agent::Maker {
        id: "free",
        key: &key,
        secret: "",
        session: None,
    };
    for profile in KEYED {
        ask(&actors, &free, profile, START, &json!({}))
            .await
            .good("a session");
        let answer = ask(&actors, &free, profile, "/agent/token/refresh", &json!({})).await;
        answer.error(401, "unknown_agent", "no token");
        let answer = ask(&actors, &free, profile, "/agent/enroll/start", &json!({})).await;
        answer.error(401, "unknown_agent", "no enrolment");
    }
    // Bound it may ask, but a token is for a MAC or a native proof.
    let bind = json!({"agent": "scribe"});
    actors
        .ok("alice", "PUT", "/v1/namespaces/shop/foreign-ids/free", bind)
        .await;
    for profile in KEYED {
        let answer = ask(&actors, &free, profile, "/agent/token/refresh", &json!({})).await;
        answer.error(403, "forbidden", profile.as_str());
        let answer = ask(&actors, &free, profile, "/agent/secret/rotate", &json!({})).await;
        answer.error(403, "forbidden", profile.as_str());
    }
}
