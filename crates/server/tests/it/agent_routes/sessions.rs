//! Sessions of agents: who starts one, how long it lives, and what it ends with.

use super::agent::{START, ask, ed25519, enrol, fleet, session, turn, within};
use crate::actors::Actors;
use crate::key_server::{line_of, put_file};
use crate::world::Answer;
use procura_proof::foreign::Foreign;
use procura_types::Duration;
use serde_json::{Value, json};

const EXTEND: &str = "/agent/session/extend";
const ECHO: &str = "/agent/protected/echo";
const TOKEN: &str = "/agent/token/refresh";

fn id(answer: &Answer) -> String {
    answer.good("extended")["session_id"]
        .as_str()
        .unwrap()
        .to_owned()
}

#[tokio::test]
async fn a_session_lives_ten_minutes_and_is_gone_on_with_for_twelve_hours() {
    let actors = Actors::new().await;
    let agent = enrol(&actors, "x").await;
    let clock = &actors.world.clock;
    let began = actors.world.now();
    let mut at = session(&actors, &agent, Foreign::KeyServerV1).await;
    clock.turn(Duration::from_millis(599_999));
    within(&actors, &agent, &at, TOKEN).await.good("alive");
    clock.turn(Duration::from_millis(1));
    for target in [TOKEN, EXTEND, "/agent/secret/rotate"] {
        let answer = within(&actors, &agent, &at, target).await;
        answer.error(401, "session_expired", target);
    }
    let body = json!({"session_id": at});
    let answer = ask(&actors, &agent.maker(), Foreign::GuideV1, EXTEND, &body).await;
    answer.error(401, "session_expired", "in the body");

    // Every profile goes on with it, by the field or by the body.
    at = session(&actors, &agent, Foreign::GuideV1).await;
    let first = actors.world.now();
    assert!(first > began);
    let mut before = at.clone();
    for round in 0..80 {
        clock.turn(Duration::from_secs(540));
        let elapsed = actors.world.now().since(first);
        let profile = [Foreign::KeyServerV1, Foreign::GuideV1, Foreign::HmacV2][round % 3];
        let answer = if profile == Foreign::HmacV2 {
            ask(&actors, &agent.within(&before), profile, EXTEND, &json!({})).await
        } else {
            let body = json!({"session_id": before});
            ask(&actors, &agent.maker(), profile, EXTEND, &body).await
        };
        if elapsed >= Duration::from_secs(12 * 3600) {
            answer.error(401, "session_expired", "after twelve hours");
            assert_eq!(round, 79);
            return;
        }
        let left = Duration::from_secs(12 * 3600) - elapsed;
        let ttl = left.min(Duration::from_secs(600)).as_millis();
        assert_eq!(answer.good("on")["ttl_ms"], u64::try_from(ttl).unwrap());
        let next = id(&answer);
        assert_ne!(next, before);
        before = next;
    }
    panic!("it never ended");
}

#[tokio::test]
async fn a_session_is_of_its_agent_alone() {
    let actors = Actors::new().await;
    let (one, two) = (enrol(&actors, "x").await, enrol(&actors, "y").await);
    let at = session(&actors, &one, Foreign::HmacV2).await;
    let mut garbled = at.clone();
    garbled.replace_range(40..41, if &at[40..41] == "A" { "B" } else { "A" });
    for (agent, session) in [(&two, at.as_str()), (&one, garbled.as_str()), (&one, "x")] {
        for target in [TOKEN, EXTEND] {
            let answer = within(&actors, agent, session, target).await;
            answer.error(401, "session_unknown", target);
        }
    }
    // Which one is meant has one answer; and without any there is nothing to extend.
    let body = json!({"session_id": session(&actors, &one, Foreign::HmacV2).await});
    let answer = ask(&actors, &one.within(&at), Foreign::HmacV2, EXTEND, &body).await;
    answer.error(401, "session_unknown", "two");
    let answer = ask(&actors, &one.maker(), Foreign::HmacV2, EXTEND, &json!({})).await;
    answer.error(401, "session_unknown", "none");
    let body = json!({"agent_id": "y"});
    let answer = ask(&actors, &one.maker(), Foreign::HmacV2, START, &body).await;
    answer.error(403, "forbidden", "for another");
    let answer = within(&actors, &one, &at, EXTEND).await;
    answer.good("its own");
    // A native proof of the same agent may be in it as well.
    let mut sent = actors
        .world
        .signed(&one.key, "POST", TOKEN, Some(br#"{"agent_id":"x"}"#));
    sent.headers.push(("x-session-id".to_owned(), at.clone()));
    actors.world.send(&sent).await.good("natively");
    let mut sent = actors
        .world
        .signed(&one.key, "POST", TOKEN, Some(br#"{"agent_id":"x"}"#));
    sent.headers.push(("x-session-id".to_owned(), garbled));
    actors
        .world
        .send(&sent)
        .await
        .error(401, "session_unknown", "natively");
}

#[tokio::test]
async fn sessions_are_not_those_of_the_native_api() {
    let actors = Actors::new().await;
    let agent = enrol(&actors, "x").await;
    let body = json!({"audience": "procura"});
    let native = actors
        .world
        .call(&agent.key, "POST", "/v1/sessions", Some(&body))
        .await;
    let started = native.json();
    let native = started["session_id"].as_str().unwrap().to_owned();
    // Nor does a session of the native API begin or get anything here: it proves less
    // than the key that it came from.
    let mac_key = started["mac_key"].as_str().unwrap();
    let mac_key = procura_types::encoding::from_b64url("mac_key", mac_key).unwrap();
    let session = crate::world::TestSession {
        id: native.clone(),
        key: procura_crypto::MacKey::from_bytes(&mac_key).unwrap(),
    };
    let named = json!({"agent_id": "x"});
    for (counter, target) in (1u64..).zip([START, EXTEND, TOKEN]) {
        let answer = actors
            .world
            .in_session(&session, counter, "POST", target, Some(&named))
            .await;
        answer.error(401, "unauthorized", target);
    }
    let answer = within(&actors, &agent, &native, TOKEN).await;
    answer.error(401, "session_unknown", "a native session");
}

#[tokio::test]
async fn removing_the_key_file_ends_its_sessions_also_when_it_is_put_back() {
    let actors = fleet(|_| {}).await;
    turn(&actors, 0, json!({"mode": "enforce"})).await;
    let home = actors.world.home.path();
    let (key, other) = (ed25519(), ed25519());
    let line = line_of(key.public().as_bytes());
    put_file(home, "filed", &line);
    let bind = json!({"agent": "scribe"});
    let target = "/v1/namespaces/shop/foreign-ids/filed";
    actors.ok("alice", "PUT", target, bind).await;
    let secret = actors
        .ok("adam", "POST", &format!("{target}/secret"), json!({}))
        .await;
    let agent = super::agent::Enrolled {
        id: "filed".to_owned(),
        key,
        secret: secret["secret"].as_str().unwrap().to_owned(),
        jwt: String::new(),
    };
    let file = home.join("keys/agents/filed.pub");
    let aside = home.join("aside");
    let alive = async |at: &str| within(&actors, &agent, at, ECHO).await;
    let at = session(&actors, &agent, Foreign::KeyServerV1).await;
    alive(&at).await.good("started");
    // Moved away and back: the same inode, and another file all the same.
    std::fs::rename(&file, &aside).unwrap();
    alive(&at).await.error(401, "session_unknown", "away");
    std::fs::rename(&aside, &file).unwrap();
    alive(&at).await.error(401, "session_unknown", "back");
    // Written anew with the same key.
    let at = session(&actors, &agent, Foreign::GuideV1).await;
    alive(&at).await.good("again");
    std::fs::remove_file(&file).unwrap();
    std::fs::write(&file, &line).unwrap();
    alive(&at).await.error(401, "session_unknown", "written");
    // With another key in its place.
    let at = session(&actors, &agent, Foreign::GuideV1).await;
    std::fs::write(&file, line_of(other.public().as_bytes())).unwrap();
    alive(&at)
        .await
        .error(401, "session_unknown", "another key");
    let body = json!({"session_id": at});
    let answer = ask(&actors, &agent.maker(), Foreign::HmacV2, EXTEND, &body).await;
    answer.error(401, "session_unknown", "not gone on with");
}

#[tokio::test]
async fn a_session_ends_with_the_secret_or_the_enrolment_that_it_came_from() {
    let actors = Actors::new().await;
    let mut agent = enrol(&actors, "x").await;
    let target = "/v1/namespaces/shop/foreign-ids/x/secret";
    let at = session(&actors, &agent, Foreign::HmacV2).await;
    // Exchanged in peace it goes on.
    let made = actors.ok("adam", "POST", target, json!({})).await;
    agent.secret = made["secret"].as_str().unwrap().to_owned();
    let answer = within(&actors, &agent, &at, TOKEN).await;
    answer.good("a new secret");
    let made = actors
        .ok("adam", "POST", target, json!({"invalidate": true}))
        .await;
    agent.secret = made["secret"].as_str().unwrap().to_owned();
    let answer = within(&actors, &agent, &at, TOKEN).await;
    answer.error(401, "session_unknown", "invalidated");

    let at = session(&actors, &agent, Foreign::KeyServerV1).await;
    let agent = enrol(&actors, "x").await;
    let answer = within(&actors, &agent, &at, TOKEN).await;
    answer.error(401, "session_unknown", "enrolled anew");
    let at = session(&actors, &agent, Foreign::KeyServerV1).await;
    actors
        .ok(
            "adam",
            "DELETE",
            "/v1/namespaces/shop/agents/scribe",
            Value::Null,
        )
        .await;
    let answer = within(&actors, &agent, &at, EXTEND).await;
    answer.error(401, "revoked", "revoked");
}

#[tokio::test]
async fn the_numbers_say_how_many_there_are() {
    let actors = Actors::new().await;
    let agent = enrol(&actors, "x").await;
    let at = session(&actors, &agent, Foreign::HmacV2).await;
    within(&actors, &agent, &at, EXTEND).await.good("on");
    let sent = crate::world::Sent::new("GET", "/functions/v1/agent/metrics", None);
    let counts = actors.world.send(&sent).await.good("numbers");
    assert_eq!(
        counts,
        json!({"sessions": 2, "secrets": 1, "nonces": 2, "now": actors.world.now().as_millis()})
    );
    let elsewhere = actors.world.send_from(&sent, [10, 0, 0, 5].into()).await;
    assert_eq!(elsewhere.status, 403);
    let sent = crate::world::Sent::new("GET", "/agent/healthz", None);
    for peer in [[127, 0, 0, 1], [10, 0, 0, 5]] {
        let well = actors.world.send_from(&sent, peer.into()).await;
        assert_eq!(well.good("well"), json!({"ok": true}));
    }
}
