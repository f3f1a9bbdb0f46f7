//! `/agent/protected/echo` and its dial.

use super::agent::{ask, enrol, fleet, open, turn};
use crate::actors::Actors;
use crate::key_server::lines;
use crate::world::Sent;
use procura_proof::foreign::Foreign;
use procura_types::dial::Mode;
use procura_types::{Duration, ObservedLine, WouldReject};
use serde_json::json;

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
    let log = actors.world.home.path().join("logs/observe.jsonl");
    open(&actors, ECHO, &json!({})).await.good("nobody");
    let mut bad = agent
        .maker()
        .sent(Foreign::KeyServerV1, OTHER, b"{}", actors.world.now());
    bad.set("x-signature", |_| "A".repeat(88));
    actors.world.send(&bad).await.good("a bad signature");
    let answer = ask(
        &actors,
        &agent.within("none"),
        Foreign::HmacV2,
        ECHO,
        &json!({}),
    )
    .await;
    answer.good("no session");
    for _ in 0..2 {
        ask(&actors, &agent.maker(), Foreign::GuideV1, ECHO, &json!({}))
            .await
            .good("good");
        // From time to time they are counted.
        actors.world.clock.turn(Duration::from_secs(5));
    }
    let lines: Vec<String> = lines(&log, 4)
        .await
        .into_iter()
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
        .collect();
    assert_eq!(
        lines,
        [
            format!("fleet {ECHO} missing_headers - "),
            format!("fleet {OTHER} bad_signature x key-server-v1"),
            format!("fleet {ECHO} session_unknown x hmac-v2"),
            "fleet 2 3".to_owned(),
        ]
    );
}
