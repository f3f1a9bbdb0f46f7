//! Devices that ask without a link code: the words of OAuth for hosts, the native API for
//! operators, and every way that lets nobody in.

use crate::actors::Actors;
use crate::world::{AUTHORITY, Answer, Sent, World};
use procura_crypto::{PublicKey, SigningKey, SystemEntropy, sha256};
use procura_proof::{ask_message, collect_message, fingerprint};
use procura_record::tables::LEDGER;
use procura_token::{DaemonClaims, Expected, KeySet};
use procura_types::encoding::b64url;
use procura_types::wire::{JoinAnswer, OauthMetadata};
use procura_types::{DisplayName, Duration, FieldTuple, Rate, RateLimit, Thumbprint, UserCode};
use serde_json::{Value, json};
use std::net::IpAddr;

pub(crate) const ASK: &str = "/oauth/device_authorization";
pub(crate) const TOKEN: &str = "/oauth/token";
const METADATA: &str = "/.well-known/oauth-authorization-server";
const DEVICE_CODE: &str = "urn:ietf:params:oauth:grant-type:device_code";
pub(crate) const GRANTS: &str = "/v1/namespaces/shop/device-grants";
pub(crate) const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

pub(crate) fn form<N: AsRef<str>, V: AsRef<str>>(pairs: &[(N, V)]) -> Vec<u8> {
    let mut body = String::new();
    for (name, value) in pairs {
        if !body.is_empty() {
            body.push('&');
        }
        body.push_str(name.as_ref());
        body.push('=');
        for byte in value.as_ref().bytes() {
            body.push_str(&format!("%{byte:02X}"));
        }
    }
    body.into_bytes()
}

pub(crate) async fn post(world: &World, target: &str, body: &[u8], from: IpAddr) -> Answer {
    let mut sent = Sent::new("POST", target, Some(body));
    sent.set("content-type", |_| {
        "application/x-www-form-urlencoded".to_owned()
    });
    world.send_from(&sent, from).await
}

/// What an endpoint says that it does not do: exactly these fields, never kept.
pub(crate) fn refused(answer: &Answer, status: u16, word: &str, what: &str) {
    assert_eq!(answer.status, status, "{what}: {}", answer.text());
    assert_eq!(answer.headers["content-type"], "application/json", "{what}");
    assert_eq!(answer.headers["cache-control"], "no-store", "{what}");
    let found = answer.json();
    assert_eq!(found["error"], word, "{what}: {found}");
    let known = ["error", "error_description"];
    let keys = found.as_object().unwrap().keys();
    assert!(
        keys.into_iter().all(|key| known.contains(&key.as_str())),
        "{what}: {found}"
    );
}

/// A host that joins.
pub(crate) struct Host {
    pub(crate) key: SigningKey,
    server: Thumbprint,
    /// What it got.
    device_code: String,
    pub(crate) user_code: String,
}

/// The key of the server, as its metadata has it.
pub(crate) async fn server(world: &World) -> Thumbprint {
    let answer = world.send(&Sent::new("GET", METADATA, None)).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let metadata: OauthMetadata = serde_json::from_value(answer.json()).unwrap();
    PublicKey::from_jwk(&metadata.procura_server_key)
        .unwrap()
        .thumbprint()
}

/// The parameters of a question.
pub(crate) fn question(
    key: &SigningKey,
    server: &Thumbprint,
    host: &str,
) -> Vec<(&'static str, String)> {
    let name: DisplayName = host.parse().unwrap();
    let signed = ask_message(server, &key.public().thumbprint(), &name);
    vec![
        ("client_id", "procura-daemon".to_owned()),
        (
            "device_jwk",
            serde_json::to_string(&key.public().to_jwk()).unwrap(),
        ),
        ("device_host", host.to_owned()),
        ("device_signature", b64url(&key.sign(&signed).unwrap())),
    ]
}

impl Host {
    pub(crate) async fn asks(world: &World) -> Self {
        let key = SigningKey::generate_ed25519(&SystemEntropy).unwrap();
        Self::asks_with(world, key).await
    }

    pub(crate) async fn asks_with(world: &World, key: SigningKey) -> Self {
        Self::asks_called(world, key, "build-7").await
    }

    /// One that says that it is called so.
    pub(crate) async fn asks_called(world: &World, key: SigningKey, host: &str) -> Self {
        let server = server(world).await;
        let parameters = question(&key, &server, host);
        let answer = post(world, ASK, &form(&parameters), HERE).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(answer.headers["cache-control"], "no-store");
        let got = answer.json();
        let text = |name: &str| got[name].as_str().unwrap().to_owned();
        let (device_code, user_code) = (text("device_code"), text("user_code"));
        assert_eq!(device_code.len(), 43);
        assert_eq!(
            (&got["expires_in"], &got["interval"]),
            (&json!(600), &json!(5))
        );
        let page = text("verification_uri");
        assert!(page.ends_with("/device"), "{page}");
        let complete = format!("{page}?user_code={user_code}");
        assert_eq!(text("verification_uri_complete"), complete);
        Self {
            key,
            server,
            device_code,
            user_code,
        }
    }

    pub(crate) fn device(&self) -> Thumbprint {
        self.key.public().thumbprint()
    }

    pub(crate) fn device_code(&self) -> &str {
        &self.device_code
    }

    pub(crate) fn fingerprint(&self) -> String {
        let code: UserCode = self.user_code.parse().unwrap();
        fingerprint(&self.server, &self.device(), &code)
    }

    /// The parameters of a look, signed by `key`.
    pub(crate) fn look(&self, key: &SigningKey) -> Vec<(&'static str, String)> {
        let code_sha256 = sha256(self.device_code.as_bytes());
        let signed = collect_message(&self.server, &code_sha256, &key.public().thumbprint());
        vec![
            ("grant_type", DEVICE_CODE.to_owned()),
            ("client_id", "procura-daemon".to_owned()),
            ("device_code", self.device_code.clone()),
            ("device_signature", b64url(&key.sign(&signed).unwrap())),
        ]
    }

    async fn looks_with(&self, world: &World, key: &SigningKey) -> Answer {
        post(world, TOKEN, &form(&self.look(key)), HERE).await
    }

    /// Looks after the time that it has to wait.
    pub(crate) async fn looks(&self, world: &World) -> Answer {
        world.clock.turn(Duration::from_secs(5));
        self.looks_with(world, &self.key).await
    }

    pub(crate) fn approval(&self, agent: &str) -> Value {
        json!({"user_code": self.user_code, "agent": agent, "device": self.device()})
    }
}

pub(crate) async fn approve(actors: &Actors, host: &Host) {
    let target = format!("{GRANTS}/approve");
    let approved = actors
        .ok("adam", "POST", &target, host.approval("baker"))
        .await;
    assert_eq!(approved["state"], "approved");
}

#[tokio::test]
async fn a_host_asks_an_operator_approves_and_the_host_collects_what_a_link_code_brings() {
    let actors = Actors::new().await;
    let world = &actors.world;
    let host = Host::asks(world).await;
    let waits = host.looks(world).await;
    refused(&waits, 400, "authorization_pending", "nobody answered");

    let list = actors.ok("adam", "GET", GRANTS, Value::Null).await;
    assert_eq!(list["grants"][0]["device"], json!(host.device()));
    assert_eq!(list["grants"][0]["host"], "build-7");
    assert!(!list.to_string().contains(&host.user_code));
    assert!(list["grants"][0].get("fingerprint").is_none());
    let typed = host.user_code.to_lowercase().replace('-', " ");
    let shown = actors
        .ok(
            "anna",
            "POST",
            &format!("{GRANTS}/show"),
            json!({"user_code": typed}),
        )
        .await;
    assert_eq!(shown["fingerprint"], host.fingerprint());
    assert_eq!(
        (&shown["state"], &shown["from"]),
        (&json!("pending"), &json!("127.0.0.1"))
    );
    approve(&actors, &host).await;

    let answer = host.looks(world).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.headers["cache-control"], "no-store");
    let got = answer.json();
    assert_eq!(
        (&got["token_type"], &got["expires_in"]),
        (&json!("PoP"), &json!(2_592_000))
    );
    let joined: JoinAnswer = serde_json::from_value(got.clone()).unwrap();
    assert_eq!(joined.device, host.device());
    let server = PublicKey::from_jwk(&joined.server_key).unwrap();
    assert_eq!(server.thumbprint(), host.server);
    let message = FieldTuple::new("procura.join.answer.v1")
        .bytes(host.server.as_bytes())
        .bytes(&sha256(host.device_code.as_bytes()))
        .bytes(joined.actor.as_bytes())
        .bytes(joined.device.as_bytes())
        .text(&joined.ledger_vkey);
    assert!(server.verify(message.as_bytes(), &joined.server_signature));
    // The device is one of the agent's.
    let asked = world.call(&host.key, "GET", "/v1/namespaces", None).await;
    assert_eq!(asked.status, 200, "{}", asked.text());

    // The token says so too, and opens nothing.
    let set = world
        .send(&Sent::new(
            "GET",
            "/.well-known/jwks/procura-daemon.json",
            None,
        ))
        .await;
    let set = KeySet::parse(&set.body).unwrap();
    let token = got["access_token"].as_str().unwrap();
    let issuer = format!("http://{AUTHORITY}");
    let expected = Expected {
        issuer: &issuer,
        now: world.now(),
    };
    let claims = DaemonClaims::verify(token, &set, &expected).unwrap();
    assert_eq!((claims.sub, claims.cnf.jkt), (joined.actor, joined.device));
    assert_eq!(claims.agent, joined.name);
    let mut bearer = Sent::new("GET", "/v1/namespaces", None);
    let field = ("authorization".to_owned(), format!("Bearer {token}"));
    bearer.headers.push(field);
    let alone = world.send(&bearer).await;
    alone.expect(
        "unauthorized",
        Some("missing_headers"),
        None,
        "a token alone",
    );

    // Redeemed twice.
    let again = host.looks(world).await;
    refused(&again, 400, "invalid_grant", "redeemed twice");
    let entries = actors.recorded("device.join").await;
    let made = entries
        .iter()
        .find(|entry| entry["decision"] == "allow" && entry["device"] == json!(host.device()));
    let resource = made.unwrap()["resource"].as_str().unwrap();
    let expected = format!("device/{} device_grant token:{}", host.device(), claims.jti);
    assert_eq!(resource, expected);
    assert!(entries.iter().any(|entry| entry["reason"] == "collected"));
    // Neither code is in the record.
    let all = actors
        .ok("alice", "GET", "/v1/ledger/entries?limit=1000", Value::Null)
        .await
        .to_string();
    assert!(!all.contains(&host.device_code) && !all.contains(&host.user_code));
}

#[tokio::test]
async fn the_metadata_says_where_and_for_whom() {
    let actors = Actors::new().await;
    let answer = actors.world.send(&Sent::new("GET", METADATA, None)).await;
    let found = answer.json();
    let here = |path: &str| json!(format!("http://{AUTHORITY}{path}"));
    assert_eq!(found["issuer"], here(""));
    assert_eq!(found["device_authorization_endpoint"], here(ASK));
    assert_eq!(found["token_endpoint"], here(TOKEN));
    assert_eq!(
        found["jwks_uri"],
        here("/.well-known/jwks/procura-daemon.json")
    );
    assert_eq!(found["grant_types_supported"], json!([DEVICE_CODE]));
    assert_eq!(
        found["token_endpoint_auth_methods_supported"],
        json!(["none"])
    );
    let mut elsewhere = Sent::new("GET", METADATA, None);
    elsewhere.set("host", |_| "elsewhere.example".to_owned());
    let answer = actors.world.send(&elsewhere).await;
    refused(&answer, 400, "invalid_request", "another server's name");
}

#[tokio::test]
async fn another_device_with_the_code_gets_nothing_and_raises_an_alarm() {
    let actors = Actors::new().await;
    let world = &actors.world;
    let host = Host::asks(world).await;
    approve(&actors, &host).await;
    let thief = SigningKey::generate_ed25519(&SystemEntropy).unwrap();
    let answer = host.looks_with(world, &thief).await;
    refused(&answer, 400, "invalid_grant", "another device");
    // It is a program that reads this, and nobody who looks at a screen.
    let said = answer.json()["error_description"].to_string();
    assert!(said.contains("another key"), "{said}");
    let entries = actors.recorded("device.join").await;
    let entry = entries
        .iter()
        .find(|entry| entry["reason"] == "other_device")
        .unwrap();
    assert_eq!(entry["resource"], format!("device/{}", host.device()));
    assert_eq!(entry["decision"], "deny");
    let sent = world.signed(actors.key("alice"), "GET", "/v1/events?follow=false", None);
    let events = world.send(&sent).await.text();
    assert!(
        events.contains("event: alarm") && events.contains("other_device"),
        "{events}"
    );
    // The device that asked has its turn all the same, and was not slowed down.
    let answer = host.looks_with(world, &host.key).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
}

#[tokio::test]
async fn whoever_looks_too_often_is_slowed_down_by_five_seconds_each_time() {
    let world = World::standing(|_| {});
    let actors = Actors::within(world).await;
    let world = &actors.world;
    let host = Host::asks(world).await;
    let after = async |seconds| {
        world.clock.turn(Duration::from_secs(seconds));
        host.looks_with(world, &host.key).await
    };
    for (seconds, word) in [
        (0, "authorization_pending"),
        (5, "authorization_pending"),
        (3, "slow_down"),
        // Ten seconds now.
        (9, "slow_down"),
        // Fifteen.
        (15, "authorization_pending"),
        (14, "slow_down"),
    ] {
        refused(&after(seconds).await, 400, word, &seconds.to_string());
    }
    // A yes does not let it ask more often.
    approve(&actors, &host).await;
    refused(&after(1).await, 400, "slow_down", "too early, and approved");
    assert_eq!(after(30).await.status, 200);
}

#[tokio::test]
async fn a_no_a_late_answer_and_a_revoked_agent_have_words_of_their_own() {
    let actors = Actors::new().await;
    let world = &actors.world;
    let (denied, late, revoked) = (
        Host::asks(world).await,
        Host::asks(world).await,
        Host::asks(world).await,
    );
    let no = json!({"user_code": denied.user_code});
    let answer = actors
        .ok("anna", "POST", &format!("{GRANTS}/deny"), no.clone())
        .await;
    assert_eq!(answer["state"], "denied");
    refused(&denied.looks(world).await, 400, "access_denied", "denied");
    let call = |by: &'static str, way: &str, body: &Value| {
        let (target, body) = (format!("{GRANTS}/{way}"), body.clone());
        let actors = &actors;
        async move {
            actors
                .world
                .call(actors.key(by), "POST", &target, Some(&body))
                .await
        }
    };
    let approval = denied.approval("baker");
    call("adam", "approve", &approval).await.expect(
        "conflict",
        Some("answered"),
        None,
        "approved after a no",
    );
    call("anna", "deny", &no)
        .await
        .expect("conflict", Some("answered"), None, "denied twice");

    approve(&actors, &revoked).await;
    call("adam", "approve", &revoked.approval("baker"))
        .await
        .expect("conflict", Some("answered"), None, "approved twice");
    actors
        .ok(
            "adam",
            "DELETE",
            "/v1/namespaces/shop/agents/baker",
            Value::Null,
        )
        .await;
    refused(
        &revoked.looks(world).await,
        400,
        "access_denied",
        "a revoked agent",
    );

    let mut other = late.approval("scribe");
    other["device"] = json!(Thumbprint::from_bytes([1; 32]));
    call("adam", "approve", &other).await.expect(
        "conflict",
        Some("other_device"),
        None,
        "another device than was seen",
    );
    call("adam", "approve", &late.approval("nobody"))
        .await
        .expect("not_found", None, None, "no such agent");
    world.clock.turn(Duration::from_secs(600));
    refused(&late.looks(world).await, 400, "expired_token", "expired");
    call("adam", "approve", &late.approval("scribe"))
        .await
        .expect("not_found", Some("code_expired"), None, "approved too late");
}

#[tokio::test]
async fn a_key_that_is_a_device_already_is_not_let_in_again() {
    let actors = Actors::new().await;
    let world = &actors.world;
    let host = Host::asks(world).await;
    approve(&actors, &host).await;
    assert_eq!(host.looks(world).await.status, 200);
    let copy = SigningKey::from_secret_bytes(host.key.to_secret_bytes().expose()).unwrap();
    let again = Host::asks_with(world, copy).await;
    let target = format!("{GRANTS}/approve");
    let answer = world
        .call(
            actors.key("adam"),
            "POST",
            &target,
            Some(&again.approval("scribe")),
        )
        .await;
    answer.expect(
        "code_refused",
        Some("device_bound"),
        None,
        "a device already",
    );
}

#[tokio::test]
async fn the_sixth_wrong_code_waits_and_others_do_not() {
    let world = World::standing(|_| {});
    let actors = Actors::within(world).await;
    let world = &actors.world;
    let host = Host::asks(world).await;
    let target = format!("{GRANTS}/show");
    let tries = async |by: &str, code: &str| {
        let body = json!({"user_code": code});
        world
            .call(actors.key(by), "POST", &target, Some(&body))
            .await
    };
    for place in 0..5 {
        let answer = tries("adam", "BBBB-BBBB").await;
        answer.expect("not_found", Some("unknown_code"), None, &place.to_string());
    }
    // The right one waits too, by whichever call.
    let sixth = tries("adam", &host.user_code).await;
    sixth.expect("rate_limited", None, None, "the sixth");
    assert_eq!(sixth.headers["retry-after"], "60");
    let approve = format!("{GRANTS}/approve");
    let answer = world
        .call(
            actors.key("adam"),
            "POST",
            &approve,
            Some(&host.approval("baker")),
        )
        .await;
    answer.expect("rate_limited", None, None, "approving");
    assert_eq!(tries("anna", &host.user_code).await.status, 200);
    world.clock.turn(Duration::from_secs(60));
    assert_eq!(tries("adam", &host.user_code).await.status, 200);
    let refusals = actors.recorded("device_grant.read").await;
    assert_eq!(
        refusals
            .iter()
            .filter(|entry| entry["reason"] == "unknown_code")
            .count(),
        5
    );
    assert!(
        !refusals
            .iter()
            .any(|entry| entry.to_string().contains("BBBB"))
    );
}

#[tokio::test]
async fn an_address_asks_so_often_and_no_more() {
    let world = World::standing(|config| {
        config.rate_device_grants = Some(RateLimit::To(Rate::per_minute(1, 3)));
    });
    let actors = Actors::within(world).await;
    let world = &actors.world;
    let server = server(world).await;
    let ask = async |from: [u8; 4]| {
        let key = SigningKey::generate_ed25519(&SystemEntropy).unwrap();
        let parameters = question(&key, &server, "build-7");
        post(world, ASK, &form(&parameters), from.into()).await
    };
    for _ in 0..3 {
        assert_eq!(ask([192, 0, 2, 1]).await.status, 200);
    }
    let over = ask([192, 0, 2, 1]).await;
    refused(&over, 429, "temporarily_unavailable", "the fourth");
    assert_eq!(over.headers["retry-after"], "60");
    assert_eq!(ask([192, 0, 2, 2]).await.status, 200);
    world.clock.turn(Duration::from_secs(60));
    assert_eq!(ask([192, 0, 2, 1]).await.status, 200);
}

#[tokio::test]
async fn sealed_the_endpoints_say_so_in_their_words() {
    let actors = Actors::new().await;
    let world = &actors.world;
    let host = Host::asks(world).await;
    actors.ok("alice", "POST", "/v1/seal", Value::Null).await;
    for target in [ASK, TOKEN] {
        let answer = post(world, target, b"", HERE).await;
        refused(&answer, 503, "temporarily_unavailable", target);
        assert!(answer.headers.contains_key("retry-after"));
    }
    drop(host);
}

/// Whoever waits and looks writes nothing: nothing changes without an entry, and there is
/// not one.
#[tokio::test]
async fn a_look_writes_nothing() {
    let actors = Actors::new().await;
    let world = &actors.world;
    let host = Host::asks(world).await;
    refused(
        &host.looks(world).await,
        400,
        "authorization_pending",
        "the first",
    );
    let open = world.app.open().unwrap();
    let store = open.vault.store();
    let before = store.log_len(LEDGER).unwrap();
    for _ in 0..20 {
        let answer = host.looks(world).await;
        let early = host.looks_with(world, &host.key).await;
        assert_eq!(answer.status, 400, "{}", answer.text());
        refused(&early, 400, "slow_down", "at once again");
    }
    open.recorder.drain_refusals().await;
    assert_eq!(store.log_len(LEDGER).unwrap(), before);
}
