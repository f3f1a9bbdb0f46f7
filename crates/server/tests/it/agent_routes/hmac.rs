//! Secrets of agents through the routes, and what `hmac-v1` is kept from.

use super::agent::{START, ask, enrol, fleet, session, turn};
use crate::actors::Actors;
use procura_proof::foreign::Foreign;
use procura_types::Duration;
use serde_json::{Value, json};

const ROTATE: &str = "/agent/secret/rotate";
const TOKEN: &str = "/agent/token/refresh";
const ECHO: &str = "/agent/protected/echo";

#[tokio::test]
async fn the_agent_and_its_admin_rotate_and_both_secrets_are_good_for_seven_days() {
    const DAY: Duration = Duration::from_secs(24 * 60 * 60);
    let actors = Actors::new().await;
    let mut agent = enrol(&actors, "x").await;
    let old = agent.secret.clone();
    let mine = json!({"agent_id": "x"});
    let made = actors
        .world
        .call(&agent.key, "POST", ROTATE, Some(&mine))
        .await;
    let made = made.good("by itself");
    assert_eq!(made["agent_id"], "x");
    let new = made["new_secret"].as_str().unwrap().to_owned();
    let try_with = async |agent: &mut super::agent::Enrolled, secret: &str| {
        agent.secret = secret.to_owned();
        ask(&actors, &agent.maker(), Foreign::HmacV2, TOKEN, &json!({})).await
    };
    actors.world.clock.turn(DAY * 7 - Duration::from_secs(1));
    for secret in [&old, &new] {
        try_with(&mut agent, secret).await.good("both");
    }
    actors.world.clock.turn(Duration::from_secs(1));
    try_with(&mut agent, &old)
        .await
        .error(401, "bad_signature", "after seven days");
    try_with(&mut agent, &new).await.good("the new one");
    // On suspicion, by the admin.
    let body = json!({"agent_id": "x", "invalidate": true});
    let made = actors.ok("adam", "POST", ROTATE, body).await;
    try_with(&mut agent, &new)
        .await
        .error(401, "bad_signature", "at once");
    let newest = made["new_secret"].as_str().unwrap().to_owned();
    // The first and the last moment of its 97 days.
    actors.world.clock.turn(DAY * 97 - Duration::from_secs(1));
    try_with(&mut agent, &newest).await.good("due, and good");
    actors.world.clock.turn(Duration::from_secs(1));
    try_with(&mut agent, &newest)
        .await
        .error(401, "unknown_agent", "97 days");

    for (who, status, word) in [
        ("otto", 403, "forbidden"),
        ("baker", 403, "forbidden"),
        ("bert", 404, "not_found"),
    ] {
        let answer = actors
            .world
            .call(actors.key(who), "POST", ROTATE, Some(&mine))
            .await;
        answer.error(status, word, who);
    }
    let nobody = json!({"agent_id": "nobody"});
    let answer = actors
        .world
        .call(actors.key("adam"), "POST", ROTATE, Some(&nobody))
        .await;
    answer.error(404, "not_found", "nobody");
    let answer = actors
        .world
        .call(actors.key("adam"), "POST", ROTATE, Some(&json!({})))
        .await;
    answer.error(404, "not_found", "an operator has no id");
    let answer = ask(&actors, &agent.maker(), Foreign::GuideV1, ROTATE, &mine).await;
    answer.error(403, "forbidden", "not natively");
}

#[tokio::test]
async fn hmac_v1_is_off_unless_the_service_switches_it_on_and_then_weak() {
    let actors = fleet(|_| {}).await;
    let agent = enrol(&actors, "x").await;
    let maker = agent.maker();
    let all = [
        START,
        "/agent/session/extend",
        TOKEN,
        ROTATE,
        "/agent/enroll/start",
        ECHO,
    ];
    for target in all {
        let answer = ask(&actors, &maker, Foreign::HmacV1, target, &json!({})).await;
        answer.error(401, "missing_headers", target);
    }
    let service = json!({"mode": "enforce", "hmac_v1": {"window_seconds": 60}});
    turn(&actors, 0, service).await;
    for target in &all[..5] {
        let answer = ask(&actors, &maker, Foreign::HmacV1, target, &json!({})).await;
        answer.error(403, "forbidden", target);
    }
    let answer = ask(
        &actors,
        &maker,
        Foreign::HmacV1,
        ECHO,
        &json!({"a": [1, 2]}),
    )
    .await;
    assert_eq!(
        answer.good(ECHO),
        json!({"ok": true, "echo": {"a": [1, 2]}})
    );
    let at = session(&actors, &agent, Foreign::HmacV2).await;
    let answer = ask(
        &actors,
        &agent.within(&at),
        Foreign::HmacV1,
        ECHO,
        &json!({}),
    )
    .await;
    answer.good("in a session");
    let answer = ask(
        &actors,
        &agent.within("x"),
        Foreign::HmacV1,
        ECHO,
        &json!({}),
    )
    .await;
    answer.error(401, "session_unknown", "in none");
    // Each use stands in the record, the refused ones too.
    let target = "/v1/ledger/entries?action=foreign.weak&limit=100";
    let page = actors.ok("alice", "GET", target, Value::Null).await;
    let entries = page["entries"].as_array().unwrap();
    assert_eq!(entries.len(), 8);
    let entry: Value = serde_json::from_str(entries[0]["entry"].as_str().unwrap()).unwrap();
    assert_eq!(entry["profile"], "hmac-v1");
    assert_eq!(entry["resource"], format!("foreign/x POST {ECHO}"));
    assert_eq!(entry["decision"], "allow");
}

/// `hmac-v1` signs nothing but the body: who was shown one request has as many as they
/// like.
#[tokio::test]
async fn a_weak_proof_that_is_repeated_takes_nothing_from_its_agent() {
    let actors = fleet(|config| config.rate_agent = "1/h burst 6".parse().unwrap()).await;
    let agent = enrol(&actors, "x").await;
    let maker = agent.maker();
    turn(
        &actors,
        0,
        json!({"mode": "enforce", "hmac_v1": {"window_seconds": 60}}),
    )
    .await;
    let now = actors.world.now();
    let captured = maker.sent(Foreign::HmacV1, ECHO, b"{}", now);
    let mut passed = 0;
    for number in 0..20 {
        let mut sent = captured.clone();
        sent.set("x-timestamp", |_| (now.as_millis() + number).to_string());
        sent.set("x-nonce", |_| format!("n{number}"));
        let answer = actors.world.send(&sent).await;
        if answer.status == 200 {
            passed += 1;
        } else {
            answer.error(429, "rate_limited", "repeated");
            assert_eq!(answer.headers["retry-after"], "3600");
        }
    }
    assert_eq!(passed, 6);
    for profile in [Foreign::KeyServerV1, Foreign::HmacV2] {
        let answer = ask(&actors, &maker, profile, ECHO, &json!({})).await;
        answer.good(profile.as_str());
    }
    // What was refused is not in the record.
    let target = "/v1/ledger/entries?action=foreign.weak&limit=100";
    let page = actors.ok("alice", "GET", target, Value::Null).await;
    assert_eq!(page["entries"].as_array().unwrap().len(), 6);
}
