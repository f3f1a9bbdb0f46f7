//! `/agent/protected/echo` and its dial.

use super::agent::{ask, enrol, fleet, open, turn, within};
use crate::actors::Actors;
use crate::key_server::lines;
use crate::world::Sent;
use procura_proof::foreign::Foreign;
use procura_types::dial::Mode;
use procura_types::{Duration, ObservedLine, WouldReject};
use serde_json::{Value, json};

const ECHO: &str = "/agent/protected/echo";
const OTHER: &str = "/functions/v1/agent/protected/echo";

#[tokio::test]
async fn the_body_comes_back_as_it_was_sent() {
    let actors = Actors::new().await;
    for (body, echoed) in [
        (
            r#"{"b":1, "a" : [1.0,null]}"#,
            r#"{"b":1, "a" : [1.0,null]}"#,
        ),
        ("7", "7"),
        ("", "null"),
        ("not json", r#""not json""#),
        ("{\"a\":1} x", r#""{\"a\":1} x""#),
    ] {
        let sent = Sent::new("POST", ECHO, Some(body.as_bytes()));
        let answer = actors.world.send(&sent).await;
        assert_eq!(answer.text(), format!("{{\"ok\":true,\"echo\":{echoed}}}"));
        assert_eq!(
            (answer.status.as_u16(), &answer.headers["content-type"]),
            (200, &"application/json".parse().unwrap())
        );
    }
    let long = vec![b'x'; 64 * 1024 + 1];
    actors
        .world
        .send(&Sent::new("POST", ECHO, Some(&long)))
        .await
        .error(413, "too_large", "too long");
}

#[tokio::test]
async fn the_environment_is_over_the_stored_dial_over_off() {
    for (environment, stored, expected) in [
        (None, None, Mode::Off),
        (Some(Mode::Enforce), None, Mode::Enforce),
        (Some(Mode::Observe), Some("enforce"), Mode::Observe),
        (Some(Mode::Off), Some("enforce"), Mode::Off),
        (Some(Mode::Enforce), Some("off"), Mode::Enforce),
        (None, Some("off"), Mode::Off),
        (None, Some("observe"), Mode::Observe),
        (None, Some("enforce"), Mode::Enforce),
    ] {
        let actors = fleet(|config| {
            config.auth_mode = environment;
            if stored.is_none() {
                config.agent_service = None;
            }
        })
        .await;
        if let Some(mode) = stored {
            turn(&actors, 0, json!({"mode": mode})).await;
        }
        let agent = enrol(&actors, "x").await;
        for target in [ECHO, OTHER] {
            let what = format!("{environment:?} {stored:?} {target}");
            let nobody = open(&actors, target, &json!({})).await;
            if expected == Mode::Enforce {
                nobody.error(401, "missing_headers", &what);
            } else {
                nobody.good(&what);
            }
            for profile in [Foreign::KeyServerV1, Foreign::GuideV1, Foreign::HmacV2] {
                let answer = ask(&actors, &agent.maker(), profile, target, &json!({})).await;
                answer.good(&what);
            }
            let native = actors
                .world
                .call(actors.key("otto"), "POST", target, Some(&json!({})))
                .await;
            native.good(&what);
        }
        // Sealed, only what refuses nobody goes on.
        actors.world.seal().await;
        let sealed = open(&actors, ECHO, &json!({})).await;
        let known = environment.or(stored.is_none().then_some(Mode::Off));
        let known = known.is_some_and(|mode| mode != Mode::Enforce);
        if known {
            sealed.good("off, and sealed");
        } else {
            sealed.error(503, "sealed", "sealed");
        }
    }
}

#[tokio::test]
async fn a_service_that_is_not_there_lets_nobody_in_and_routes_count() {
    let actors = fleet(|_| {}).await;
    open(&actors, ECHO, &json!({}))
        .await
        .error(401, "missing_headers", "no such service");
    let routes = json!([{"prefix": "/agent/protected", "mode": "enforce"}]);
    turn(&actors, 0, json!({"mode": "off", "routes": routes})).await;
    for target in [ECHO, OTHER] {
        open(&actors, target, &json!({}))
            .await
            .error(401, "missing_headers", target);
    }
    let routes = json!([{"prefix": "/agent/protected/echo", "mode": "off"}]);
    turn(&actors, 1, json!({"mode": "enforce", "routes": routes})).await;
    for target in [ECHO, OTHER] {
        open(&actors, target, &json!({})).await.good(target);
    }
    // What hands something out enforces, whatever the dial says.
    for target in [
        "/agent/session/start",
        "/agent/token/refresh",
        "/agent/enroll/start",
    ] {
        open(&actors, target, &json!({}))
            .await
            .error(401, "missing_headers", target);
    }
}

#[tokio::test]
async fn observing_writes_down_what_enforcing_would_refuse() {
    let actors = fleet(|_| {}).await;
    turn(&actors, 0, json!({"mode": "observe"})).await;
    let agent = enrol(&actors, "x").await;
    open(&actors, ECHO, &json!({})).await.good("nobody");
    let mut bad = agent
        .maker()
        .sent(Foreign::KeyServerV1, OTHER, b"{}", actors.world.now());
    bad.set("x-signature", |_| "A".repeat(88));
    actors.world.send(&bad).await.good("a bad signature");
    let answer = within(&actors, &agent, "none", ECHO).await;
    answer.good("no session");
    for _ in 0..2 {
        ask(&actors, &agent.maker(), Foreign::GuideV1, ECHO, &json!({}))
            .await
            .good("good");
        // From time to time they are counted.
        actors.world.clock.turn(Duration::from_secs(5));
    }
    assert_eq!(
        observed(&actors, 4).await,
        [
            format!("fleet {ECHO} missing_headers - "),
            format!("fleet {OTHER} bad_signature x key-server-v1"),
            format!("fleet {ECHO} session_unknown x hmac-v2"),
            "fleet 2 3".to_owned(),
        ]
    );
}

/// What the observe log says in so many lines.
async fn observed(actors: &Actors, count: usize) -> Vec<String> {
    let log = actors.world.home.path().join("logs/observe.jsonl");
    let lines = lines(&log, count).await.into_iter();
    lines
        .map(|line| match serde_json::from_value(line).unwrap() {
            ObservedLine::WouldReject(WouldReject {
                service,
                path,
                reason,
                agent_id,
                profile,
                ..
            }) => format!(
                "{service} {path} {reason} {} {}",
                agent_id.map_or("-".to_owned(), |id| id.to_string()),
                profile.unwrap_or_default()
            ),
            ObservedLine::Observed(line) => {
                format!("{} {} {}", line.service, line.passed, line.would_reject)
            }
            ObservedLine::LinesLost(_) => "lost".to_owned(),
        })
        .collect()
}

async fn recorded(actors: &Actors, action: &str) -> usize {
    let target = format!("/v1/ledger/entries?action={action}&limit=100");
    let page = actors.ok("alice", "GET", &target, Value::Null).await;
    page["entries"].as_array().unwrap().len()
}

#[tokio::test]
async fn observing_holds_an_agent_to_its_addresses_as_enforcing_does() {
    let actors = fleet(|_| {}).await;
    turn(&actors, 0, json!({"mode": "observe"})).await;
    let agent = enrol(&actors, "x").await;
    let sources = json!({"sources": ["10.0.0.0/8"]});
    let target = "/v1/namespaces/shop/agents/scribe/sources";
    actors.ok("adam", "PUT", target, sources).await;
    let profiles = [Foreign::KeyServerV1, Foreign::GuideV1, Foreign::HmacV2];
    for profile in profiles {
        let answer = ask(&actors, &agent.maker(), profile, ECHO, &json!({})).await;
        answer.good(profile.as_str());
    }
    let own = &agent.key;
    let answer = actors.world.call(own, "POST", ECHO, Some(&json!({}))).await;
    answer.good("native");
    actors.world.clock.turn(Duration::from_secs(5));
    let now = actors.world.now();
    let sent = agent.maker().sent(Foreign::GuideV1, ECHO, b"{}", now);
    let there = [10, 1, 2, 3].into();
    let answer = actors.world.send_from(&sent, there).await;
    answer.good("from where it may be");
    let refused =
        |agent: &str, profile: &str| format!("fleet {ECHO} source_not_allowed {agent} {profile}");
    let mut expected: Vec<String> = profiles
        .iter()
        .map(|profile| refused("x", profile.as_str()))
        .collect();
    expected.push(refused("-", "native"));
    expected.push("fleet 1 4".to_owned());
    assert_eq!(observed(&actors, 5).await, expected);
    // Nobody was refused, so nobody is in the record as such.
    assert_eq!(recorded(&actors, "authenticate").await, 0);

    turn(&actors, 1, json!({"mode": "enforce"})).await;
    let answer = ask(&actors, &agent.maker(), Foreign::GuideV1, ECHO, &json!({})).await;
    answer.error(403, "source_not_allowed", "enforced");
}

#[tokio::test]
async fn observing_records_weak_proofs_and_counts_as_enforcing_does() {
    let actors = fleet(|config| config.rate_agent = "1/h burst 6".parse().unwrap()).await;
    turn(
        &actors,
        0,
        json!({"mode": "observe", "hmac_v1": {"window_seconds": 60}}),
    )
    .await;
    let agent = enrol(&actors, "x").await;
    let makers = (0..7).map(|number| match number {
        1 => agent.within("none"),
        _ => agent.maker(),
    });
    for maker in makers {
        let answer = ask(&actors, &maker, Foreign::HmacV1, ECHO, &json!({})).await;
        answer.good("whatever it is worth");
    }
    actors.world.clock.turn(Duration::from_secs(5));
    open(&actors, ECHO, &json!({})).await.good("nobody");
    assert_eq!(
        observed(&actors, 4).await,
        [
            format!("fleet {ECHO} session_unknown x hmac-v1"),
            format!("fleet {ECHO} rate_limited x hmac-v1"),
            format!("fleet {ECHO} missing_headers - "),
            "fleet 5 3".to_owned(),
        ]
    );
    // Each that enforcing would take, also where it was refused after that.
    assert_eq!(recorded(&actors, "foreign.weak").await, 6);
}
