//! A client asks to log in, a person answers, and the client collects a token.

use super::{AUTHORIZE, BAKER, GRANTS, Scene, TILL, TOKEN, hash_of, new_key};
use crate::world::{AUTHORITY, Sent};
use procura_token::{DaemonClaims, Expected, KeySet, LegacyClaims, TokenError};
use procura_types::{Duration, Rate, RateLimit};
use serde_json::{Value, json};

const AGENTS: &str = "/v1/namespaces/shop/agents";

#[tokio::test]
async fn a_client_logs_in_once_a_person_has_said_yes() {
    let scene = Scene::set().await;
    let answer = scene
        .post(AUTHORIZE, &json!({"client_id": "cortex-cli"}))
        .await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.headers["cache-control"], "no-store");
    let got = answer.json();
    let numbers = (
        &got["expires_in"],
        &got["interval"],
        &got["verification_uri"],
    );
    assert_eq!(numbers, (&json!(600), &json!(5), &json!("/device")));
    let code = json!({"device_code": got["device_code"]});
    // As often as it likes: there is no word for too often.
    for _ in 0..3 {
        let waits = scene.post(TOKEN, &code).await;
        waits.is_refused(401, "authorization_pending", "nobody answered");
    }

    // Whoever answers sees of which kind it is.
    let user_code = got["user_code"].as_str().unwrap();
    let list = scene.actors.ok("adam", "GET", GRANTS, Value::Null).await;
    assert_eq!(list["grants"][0]["legacy"], true);
    let shown = scene.approve(user_code, "baker").await;
    assert_eq!(
        (&shown["legacy"], &shown["host"]),
        (&json!(true), &json!("cortex-cli"))
    );
    assert!(shown.get("fingerprint").is_none());

    let answer = scene.post(TOKEN, &code).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.headers["cache-control"], "no-store");
    let got = answer.json();
    let found = (&got["token_type"], &got["expires_in"]);
    assert_eq!(found, (&json!("Bearer"), &json!(2_592_000)));
    let token = got["access_token"].as_str().unwrap();

    // It says whose it is, by a key that everybody can look up, and is no daemon's of ours.
    let set = Sent::new("GET", "/.well-known/jwks.json", None);
    let set = KeySet::parse(&scene.world().send(&set).await.body).unwrap();
    let issuer = format!("http://{AUTHORITY}");
    let expected = Expected {
        issuer: &issuer,
        now: scene.world().now(),
    };
    let claims = LegacyClaims::verify(token, &set, &expected).unwrap();
    assert_eq!(claims.sub.as_str(), BAKER);
    assert_eq!(claims.cnf.jkt, scene.key.public().thumbprint());
    let other = DaemonClaims::verify(token, &set, &expected);
    assert_eq!(other.unwrap_err(), TokenError::Type);

    // Nobody has a device more, and the code is used up.
    let again = scene.post(TOKEN, &code).await;
    again.is_refused(403, "collected", "redeemed twice");
    assert_eq!(scene.refusal("legacy.login").await, "collected");
    let entries = scene.entries("legacy.login").await;
    let made = entries
        .iter()
        .find(|entry| entry["decision"] == "allow")
        .unwrap();
    assert_eq!(made["device"], Value::Null, "{made}");
    let resource = made["resource"].as_str().unwrap();
    assert_eq!(resource, format!("foreign/{BAKER} token:{}", claims.jti));
    assert_eq!(scene.entries("device_grant.ask").await.len(), 1);
    let record = scene
        .actors
        .ok("alice", "GET", "/v1/ledger/entries?limit=1000", Value::Null);
    let record = record.await.to_string();
    for secret in [token, user_code, code["device_code"].as_str().unwrap()] {
        assert!(!record.contains(secret));
    }
}

#[tokio::test]
async fn what_was_not_said_lets_nobody_in() {
    let scene = Scene::set().await;
    let collect = async |code: &str| scene.post(TOKEN, &json!({"device_code": code})).await;
    collect("nobody's")
        .await
        .is_refused(403, "unknown_code", "unknown");
    assert_eq!(scene.refusal("legacy.login").await, "unknown_code");

    let (denied, user_code) = scene.asks().await;
    let target = format!("{GRANTS}/deny");
    let no = json!({"user_code": user_code});
    scene.actors.ok("anna", "POST", &target, no).await;
    collect(&denied).await.is_refused(403, "denied", "denied");
    // Neither of a no, which is on record itself, nor of one that nobody answered there is
    // anything to tell.
    let (unanswered, _) = scene.asks().await;
    scene.turn(600);
    for _ in 0..2 {
        let answer = collect(&unanswered).await;
        answer.is_refused(403, "code_expired", "unanswered");
    }
    assert_eq!(scene.refusal("legacy.login").await, "unknown_code");

    let (late, user_code) = scene.asks().await;
    scene.approve(&user_code, "baker").await;
    scene.turn(600);
    collect(&late).await.is_refused(403, "code_expired", "late");
    let entries = scene.entries("legacy.login").await;
    let entry = entries.iter().find(|entry| entry["decision"] == "deny");
    let entry = entry.unwrap();
    assert_eq!(entry["reason"], "code_expired");
    // Somebody had said whose it is, so those who audit that namespace see it.
    let list = scene.actors.ok("adam", "GET", AGENTS, Value::Null).await;
    let agents = list["agents"].as_array().unwrap();
    let baker = agents.iter().find(|agent| agent["label"] == "baker");
    assert_eq!(entry["actor"], baker.unwrap()["actor_id"], "{entry}");
    assert_eq!(entry["namespace"], "shop", "{entry}");

    // The code of a host of ours is none here, nor is one of theirs there.
    let host = crate::device_grants::Host::asks(scene.world()).await;
    let (theirs, _) = scene.asks().await;
    let form = format!(
        "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Adevice_code&client_id=procura-daemon&device_code={theirs}&device_signature=AAAA"
    );
    let mut sent = Sent::new("POST", "/oauth/token", Some(form.as_bytes()));
    sent.set("content-type", |_| {
        "application/x-www-form-urlencoded".to_owned()
    });
    let answer = scene.world().send(&sent).await;
    assert_eq!(answer.json()["error"], "invalid_grant", "{}", answer.text());
    collect(host.device_code())
        .await
        .is_refused(403, "unknown_code", "a host's");
}

#[tokio::test]
async fn an_agent_has_to_have_one_id_and_its_key() {
    let scene = Scene::set().await;
    let (device_code, user_code) = scene.asks().await;
    let code = json!({"device_code": device_code});
    // Without an id there is nothing that its client would know it by.
    let target = format!("{GRANTS}/show");
    let shown = json!({"user_code": user_code});
    let shown = scene
        .actors
        .ok("bert", "POST", &target.replace("shop", "bank"), shown)
        .await;
    let yes = json!({"user_code": user_code, "agent": "robber", "device": shown["device"]});
    let target = format!("{GRANTS}/approve").replace("shop", "bank");
    let key = scene.actors.key("bert");
    let answer = scene.world().call(key, "POST", &target, Some(&yes)).await;
    answer.expect("conflict", Some("no_one_id"), None, "no id");

    scene.approve(&user_code, "baker").await;
    std::fs::remove_file(scene.file(BAKER)).unwrap();
    let answer = scene.post(TOKEN, &code).await;
    answer.is_refused(401, "unknown_agent", "no key");
    // That used nothing up.
    scene.enrol(BAKER, &scene.key);
    let answer = scene.post(TOKEN, &code).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
}

#[tokio::test]
async fn how_often_an_address_asks_is_bounded() {
    let scene = Scene::configured(|config| {
        config.rate_device_grants = Some(RateLimit::To(Rate::per_minute(1, 2)));
    })
    .await;
    for _ in 0..2 {
        scene.asks().await;
    }
    let answer = scene.post(AUTHORIZE, &json!({})).await;
    answer.is_refused(429, "rate_limited", "too often");
    assert!(answer.headers.contains_key("retry-after"));
    scene.world().clock.turn(Duration::from_secs(60));
    scene.asks().await;
}

/// The daemon's session and the project's tokens end with what they were given for.
#[tokio::test]
async fn a_login_ends_with_the_agents_key_and_with_its_id() {
    let scene = Scene::set().await;
    let (baker, till) = (scene.logs_in("baker").await, scene.logs_in("scribe").await);
    let statement = scene.statement(&new_key());
    let attests = async |login: &str| scene.attests(login, &statement).await;
    assert_eq!(attests(&baker).await.status, 200);
    // Another key, and the first one again: the login is of the key, whatever file it is in.
    scene.enrol(BAKER, &new_key());
    attests(&baker)
        .await
        .is_refused(401, "token_revoked", "another key");
    assert_eq!(scene.refusal("legacy.attest").await, "token_revoked");
    scene.enrol(BAKER, &scene.key);
    assert_eq!(attests(&baker).await.status, 200);
    std::fs::remove_file(scene.file(BAKER)).unwrap();
    attests(&baker)
        .await
        .is_refused(401, "unknown_agent", "no key");
    // Released, and bound to another agent.
    let target = format!("/v1/namespaces/shop/foreign-ids/{TILL}");
    scene
        .actors
        .ok("adam", "DELETE", &target, Value::Null)
        .await;
    attests(&till)
        .await
        .is_refused(401, "unknown_agent", "released");
    scene
        .actors
        .ok("alice", "PUT", &target, json!({"agent": "baker"}))
        .await;
    attests(&till)
        .await
        .is_refused(401, "token_revoked", "another's");
    // Over.
    scene.enrol(BAKER, &scene.key);
    assert_eq!(attests(&baker).await.status, 200);
    scene.turn(30 * 24 * 60 * 60);
    attests(&baker)
        .await
        .is_refused(401, "token_expired", "over");
    for login in ["x", "a.b.c", &hash_of("x")] {
        attests(login)
            .await
            .is_refused(401, "token_malformed", login);
    }
    let bare = serde_json::to_vec(&statement).unwrap();
    let bare = Sent::new("POST", super::ATTEST, Some(&bare));
    let answer = scene.world().send(&bare).await;
    answer.is_refused(401, "token_missing", "no token");
}
