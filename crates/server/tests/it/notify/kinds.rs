//! What each kind of receiver gets: one suite for all that are reached over HTTP. Mail is
//! in `tests/acceptance`, against a mail server of others.

use super::receiver::{Got, Receiver, status};
use super::{SECRET, actors, credential, eventually, put, queue, remind, route, tried, webhook};
use crate::actors::Actors;
use crate::world::{CANARY, World};
use procura_crypto::{PublicKey, sha256};
use procura_types::encoding::{b64_standard, from_b64_any};
use procura_types::wire::PublicJwk;
use serde_json::{Value, json};

/// A kind of receiver: its name, what it is put with at a URL, and the text of a message.
struct Kind {
    name: &'static str,
    put: fn(&str) -> Value,
    text: fn(&Value) -> String,
    target: &'static str,
}

const KINDS: [Kind; 4] = [
    Kind {
        name: "slack",
        put: |url| json!({"kind": "slack", "credential_b64": credential(&format!("{url}/services/{SECRET}"))}),
        text: |body| {
            assert_eq!(body["mrkdwn"], false);
            assert_eq!(body["parse"], "none");
            assert_eq!(body["unfurl_links"], false);
            body["text"].as_str().unwrap().to_owned()
        },
        target: "/services/credential-canary-55d0b1",
    },
    Kind {
        name: "discord",
        put: |url| json!({"kind": "discord", "credential_b64": credential(&format!("{url}/api/{SECRET}"))}),
        text: |body| {
            assert_eq!(body["allowed_mentions"], json!({"parse": []}));
            body["content"].as_str().unwrap().replace('\\', "")
        },
        target: "/api/credential-canary-55d0b1",
    },
    Kind {
        name: "telegram",
        put: |_| json!({"kind": "telegram", "chat": "-10042", "credential_b64": credential(&format!("77:{SECRET}"))}),
        text: |body| {
            assert_eq!(body["chat_id"], "-10042");
            assert!(body.get("parse_mode").is_none());
            body["text"].as_str().unwrap().to_owned()
        },
        target: "/bot77:credential-canary-55d0b1/sendMessage",
    },
    Kind {
        name: "webhook",
        put: |url| json!({"kind": "webhook", "credential_b64": credential(&format!("{url}/hook?key={SECRET}"))}),
        text: |body| body["text"].as_str().unwrap().to_owned(),
        target: "/hook?key=credential-canary-55d0b1",
    },
];

async fn first(receiver: &Receiver) -> Got {
    eventually("a message", async || receiver.got().first().cloned()).await
}

#[tokio::test]
async fn every_kind_is_told_who_asks_for_what_and_how_to_answer() {
    for kind in KINDS {
        let receiver = Receiver::start().await;
        let actors = Actors::within(World::configured(|config| {
            config.danger_telegram_api = Some(receiver.url.clone());
            config.web.enabled = true;
        }))
        .await;
        let answer = put(&actors, "ops", &(kind.put)(&receiver.url)).await;
        assert_eq!(answer.status, 200, "{}: {}", kind.name, answer.text());
        assert_eq!(answer.json()["receiver"], receiver.url, "{}", kind.name);
        route(&actors, json!({"channel": "ops", "events": ["request"]})).await;
        // Of no other kind of event is it told.
        remind(&actors, 0..3).await;
        let denied = &actors.waiting[1];
        let target = format!("/v1/namespaces/shop/requests/{denied}/deny");
        actors.ok("anna", "POST", &target, Value::Null).await;
        let body = json!({"names": ["MAIL"], "delivery": "env"});
        let target = "/v1/namespaces/shop/projects/web/runs";
        let scribe = actors.key("scribe");
        let asked = actors.world.call(scribe, "POST", target, Some(&body)).await;
        let request = asked.json()["request"].as_str().unwrap().to_owned();

        let got = first(&receiver).await;
        assert_eq!(got.target, kind.target);
        assert_eq!(got.fields["content-type"], "application/json");
        let text = (kind.text)(&got.json());
        for part in [
            "scribe asks for MAIL".to_owned(),
            "a request in shop".to_owned(),
            "project web,".to_owned(),
            format!("procura request approve {request} --namespace shop"),
            format!("http://127.0.0.1:7310/requests/shop/{request}"),
        ] {
            assert!(text.contains(&part), "{}: no {part:?} in {text}", kind.name);
        }
        for secret in [SECRET, CANARY] {
            assert!(!got.text().contains(secret), "{}", kind.name);
        }
        eventually("nothing waits", async || {
            (queue(&actors).await["waiting"] == 0).then_some(())
        })
        .await;
        assert_eq!(receiver.got().len(), 1, "{}", kind.name);
    }
}

#[tokio::test]
async fn a_test_says_what_came_of_it() {
    let receiver = Receiver::start().await;
    let actors = actors().await;
    for kind in KINDS.iter().filter(|kind| kind.name != "telegram") {
        put(&actors, "ops", &(kind.put)(&receiver.url)).await;
        receiver.says(status("204 No Content"));
        assert_eq!(tried(&actors).await.status, 204, "{}", kind.name);
        let got = receiver.got().pop().unwrap();
        assert!((kind.text)(&got.json()).contains("this is a test of the channel ops"));
        for (line, words) in [
            (
                "401 Unauthorized",
                "does not know the channel's credential (401)",
            ),
            (
                "404 Not Found",
                "does not know the channel's credential (404)",
            ),
            ("400 Bad Request", "refused the message (400)"),
            ("503 Busy", "cannot take the message now (503)"),
        ] {
            receiver.says(status(line));
            let answer = tried(&actors).await;
            answer.expect("receiver_failed", None, None, kind.name);
            let text = answer.text();
            assert!(text.contains(words), "{}: {text}", kind.name);
            assert!(!text.contains(SECRET), "{text}");
        }
    }
}

#[tokio::test]
async fn a_webhook_is_signed_by_the_key_that_is_shown() {
    let receiver = Receiver::start().await;
    let actors = actors().await;
    webhook(&actors, &receiver.url, 20).await;
    remind(&actors, 0..1).await;
    let got = first(&receiver).await;
    let set = actors
        .world
        .send(&crate::world::Sent::new(
            "GET",
            "/.well-known/jwks/procura-webhook.json",
            None,
        ))
        .await;
    assert_eq!(set.headers["content-type"], "application/jwk-set+json");
    let jwk = &set.json()["keys"][0];
    let key = PublicKey::from_jwk(&PublicJwk {
        kty: jwk["kty"].as_str().unwrap().to_owned(),
        crv: jwk["crv"].as_str().unwrap().to_owned(),
        x: jwk["x"].as_str().unwrap().to_owned(),
        y: None,
    })
    .unwrap();
    // That it was made is in the record, once.
    let target = "/v1/ledger/entries?action=notify.key";
    let made = actors.ok("alice", "GET", target, Value::Null).await;
    let made = made["entries"].as_array().unwrap().clone();
    assert_eq!(made.len(), 1, "{made:?}");
    let entry = made[0]["entry"].as_str().unwrap();
    assert!(entry.contains(jwk["kid"].as_str().unwrap()), "{entry}");
    let digest = format!("sha-256=:{}:", b64_standard(&sha256(&got.body)));
    assert_eq!(got.fields["content-digest"], digest);
    let input = got.fields["signature-input"]
        .strip_prefix("procura=")
        .unwrap();
    assert!(input.contains(&format!("keyid=\"{}\"", jwk["kid"].as_str().unwrap())));
    assert!(
        input.ends_with(";tag=\"procura-webhook;ns=shop\""),
        "{input}"
    );
    let id = &got.fields["idempotency-key"];
    assert_eq!(*id, format!("\"{}\"", got.json()["id"].as_str().unwrap()));
    let base = format!(
        "\"@method\": POST\n\"@target-uri\": {}{}\n\"content-type\": application/json\n\"content-digest\": {digest}\n\"idempotency-key\": {id}\n\"@signature-params\": {input}",
        receiver.url, got.target
    );
    let signature = got.fields["signature"].strip_prefix("procura=:").unwrap();
    let signature = from_b64_any(signature.strip_suffix(':').unwrap()).unwrap();
    assert!(key.verify(base.as_bytes(), &signature));
    // Of what is said nothing can be changed, nor whose channel it is.
    for (from, to) in [("POST", "PUT"), ("ns=shop", "ns=bank")] {
        let other = base.replace(from, to);
        assert!(!key.verify(other.as_bytes(), &signature), "{from}");
    }
}

#[tokio::test]
async fn one_namespace_cannot_speak_for_another_to_a_receiver() {
    let receiver = Receiver::start().await;
    let actors = actors().await;
    // Whoever knows a receiver's URL can have the server send to it.
    for (by, query, tag) in [
        ("adam", "?namespace=shop", "procura-webhook;ns=shop"),
        ("bert", "?namespace=bank", "procura-webhook;ns=bank"),
        ("alice", "", "procura-webhook;installation"),
    ] {
        let body = json!({"kind": "webhook", "credential_b64": credential(&receiver.url)});
        let target = format!("/v1/notify/channels/ops{query}");
        actors.ok(by, "PUT", &target, body).await;
        let target = format!("/v1/notify/channels/ops/test{query}");
        actors.ok(by, "POST", &target, Value::Null).await;
        let got = receiver.got().pop().unwrap();
        let input = &got.fields["signature-input"];
        assert!(input.ends_with(&format!(";tag=\"{tag}\"")), "{input}");
    }
}

#[tokio::test]
async fn a_channel_can_have_words_of_its_own() {
    let receiver = Receiver::start().await;
    let actors = actors().await;
    let mut body = (KINDS[0].put)(&receiver.url);
    body["templates"] = json!({"reminder": "{{due}} {resource}\nnobody: {who}\nin {namespace}"});
    assert_eq!(put(&actors, "ops", &body).await.status, 200);
    route(&actors, json!({"channel": "ops"})).await;
    remind(&actors, 7..8).await;
    let got = first(&receiver).await.json();
    assert_eq!(got["text"], "{due} secret/shop/date/7\nin shop");
}

#[tokio::test]
async fn routes_are_by_namespace_event_and_severity() {
    let receiver = Receiver::start().await;
    let actors = actors().await;
    // Of the installation: what is critical, and of `bank` alone.
    for (name, only) in [("one", "shop"), ("two", "bank")] {
        let channel = json!({"kind": "webhook", "credential_b64": credential(&format!("{}/{name}", receiver.url))});
        let target = format!("/v1/notify/channels/{name}");
        actors.ok("alice", "PUT", &target, channel).await;
        let route = json!({"channel": name, "only": only, "least": "warning"});
        let target = format!("/v1/notify/routes/{name}");
        actors.ok("alice", "PUT", &target, route).await;
    }
    webhook(&actors, &format!("{}/shop", receiver.url), 100).await;
    route(
        &actors,
        json!({"channel": "ops", "events": ["revocation", "alarm"]}),
    )
    .await;
    remind(&actors, 0..2).await;
    let target = "/v1/namespaces/shop/agents/baker";
    actors.ok("adam", "DELETE", target, Value::Null).await;
    let target = "/v1/namespaces/bank/agents/robber";
    actors.ok("bert", "DELETE", target, Value::Null).await;
    let got = eventually("three messages", async || {
        let got = receiver.got();
        (got.len() >= 3).then_some(got)
    })
    .await;
    let mut told: Vec<(String, String)> = got
        .iter()
        .map(|got| {
            let json = got.json();
            let resource = json["events"][0]["resource"].as_str().unwrap().to_owned();
            (got.target.split('/').nth(1).unwrap().to_owned(), resource)
        })
        .collect();
    told.sort();
    let expected = [
        ("one", "agent/shop/baker"),
        ("shop", "agent/shop/baker"),
        ("two", "agent/bank/robber"),
    ]
    .map(|(place, resource)| (place.to_owned(), resource.to_owned()));
    let short: Vec<_> = told
        .iter()
        .map(|(place, resource)| (place.as_str(), resource.rsplit('/').next().unwrap()))
        .collect();
    let expected: Vec<_> = expected
        .iter()
        .map(|(place, resource)| (place.as_str(), resource.rsplit('/').next().unwrap()))
        .collect();
    assert_eq!(short, expected, "{told:?}");
}
