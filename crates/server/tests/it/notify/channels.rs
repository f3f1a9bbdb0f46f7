//! Channels and routes: what is put, what is kept, and what is refused.

use super::receiver::Receiver;
use super::{SECRET, actors, credential, put, route, webhook};
use procura_types::encoding;
use serde_json::{Value, json};

const URL: &str = "https://hooks.example.com/services/credential-canary-55d0b1";

fn mail() -> Value {
    json!({"host": "mail.example.com", "tls": "starttls", "from": "p@example.com", "to": ["ops@example.com"]})
}

#[tokio::test]
async fn what_does_not_fit_is_refused_with_its_field() {
    let actors = actors().await;
    let with = |change: Value| {
        let mut body = json!({"kind": "slack", "credential_b64": credential(URL)});
        for (key, value) in change.as_object().unwrap() {
            body[key] = value.clone();
        }
        body
    };
    let of_mail = |change: Value| {
        let mut server = mail();
        for (key, value) in change.as_object().unwrap() {
            server[key] = value.clone();
        }
        json!({"kind": "mail", "mail": server})
    };
    let telegram = |chat: &str, token: &str| json!({"kind": "telegram", "chat": chat, "credential_b64": credential(token)});
    for (body, field) in [
        (json!({"kind": "slack"}), "credential_b64"),
        (with(json!({"credential_b64": "%"})), "credential_b64"),
        (
            with(json!({"credential_b64": encoding::b64url(&[0xff])})),
            "credential_b64",
        ),
        (with(json!({"credential_b64": ""})), "credential_b64"),
        (
            with(json!({"credential_b64": credential("ftp://a.example/")})),
            "credential_b64",
        ),
        (
            with(json!({"credential_b64": credential("https://u:p@a.example/")})),
            "credential_b64",
        ),
        (
            with(json!({"credential_b64": credential("https://a.example/x\r\nX: y")})),
            "credential_b64",
        ),
        (
            with(json!({"credential_b64": credential("http://1.1.1.1/")})),
            "credential_b64",
        ),
        (with(json!({"chat": "1"})), "chat"),
        (with(json!({"mail": mail()})), "mail"),
        (with(json!({"per_minute": 0})), "per_minute"),
        (with(json!({"per_minute": 6001})), "per_minute"),
        (with(json!({"ca_pem": "no"})), "ca_pem"),
        (
            with(json!({"templates": {"request": "{value}"}})),
            "templates",
        ),
        (
            with(json!({"templates": {"request": "a\u{1b}[2J"}})),
            "templates",
        ),
        (telegram("ops", "1:a"), "chat"),
        (telegram("-", "1:a"), "chat"),
        (telegram("@a/../b", "1:a"), "chat"),
        (telegram("-1", "1:a/../../x"), "credential_b64"),
        (telegram("-1", "x:a"), "credential_b64"),
        (of_mail(json!({"host": "127.0.0.1"})), "mail"),
        (of_mail(json!({"host": "a..b"})), "mail"),
        (of_mail(json!({"from": "P <p@example.com>"})), "mail"),
        (of_mail(json!({"to": []})), "mail"),
        (
            of_mail(json!({"to": ["a@example.com\r\nBcc: b@example.com"]})),
            "mail",
        ),
        (of_mail(json!({"user": "a\nb"})), "mail"),
        (of_mail(json!({"user": "a"})), "credential_b64"),
    ] {
        let answer = put(&actors, "ops", &body).await;
        answer.expect("malformed", None, Some(field), &body.to_string());
        assert!(!answer.text().contains(SECRET), "{body}");
    }
    for body in [
        json!({"kind": "pager"}),
        with(json!({"templates": {"other": "x"}})),
        of_mail(json!({"tls": "none"})),
        with(json!({"url": URL})),
    ] {
        let answer = put(&actors, "ops", &body).await;
        assert_eq!(answer.json()["code"], "invalid_json", "{body}");
    }
    let list = actors
        .ok(
            "adam",
            "GET",
            "/v1/notify/channels?namespace=shop",
            Value::Null,
        )
        .await;
    assert_eq!(list, json!({"channels": []}));
}

#[tokio::test]
async fn a_credential_is_kept_for_the_same_receiver_and_shown_to_nobody() {
    let receiver = Receiver::start().await;
    let actors = actors().await;
    webhook(&actors, &receiver.url, 20).await;
    let kept = put(&actors, "ops", &json!({"kind": "webhook", "per_minute": 7})).await;
    assert_eq!(kept.status, 200, "{}", kept.text());
    assert_eq!(kept.json()["receiver"], receiver.url);
    assert_eq!(super::tried(&actors).await.status, 204);
    let got = receiver.got().pop().unwrap();
    assert_eq!(got.target, format!("/{SECRET}"));
    // Not for another kind, nor for authorities that somebody else may have.
    let ca = rcgen::generate_simple_self_signed(vec!["x.example".to_owned()]).unwrap();
    for body in [
        json!({"kind": "slack"}),
        json!({"kind": "webhook", "ca_pem": ca.cert.pem()}),
    ] {
        let answer = put(&actors, "ops", &body).await;
        answer.expect("malformed", None, Some("credential_b64"), "another");
    }
    let mut server = mail();
    server["user"] = json!("p");
    let whole = json!({"kind": "mail", "mail": server, "credential_b64": credential(SECRET)});
    assert_eq!(put(&actors, "mail", &whole).await.status, 200);
    for (key, value) in [
        ("host", json!("mail.evil.example")),
        ("port", json!(2525)),
        ("user", json!("q")),
        ("tls", json!("tls")),
    ] {
        let mut other = server.clone();
        other[key] = value;
        let body = json!({"kind": "mail", "mail": other});
        let answer = put(&actors, "mail", &body).await;
        answer.expect("malformed", None, Some("credential_b64"), key);
    }
    server["to"] = json!(["else@example.com"]);
    let body = json!({"kind": "mail", "mail": server});
    assert_eq!(put(&actors, "mail", &body).await.status, 200);
    let list = actors
        .ok(
            "otto",
            "GET",
            "/v1/notify/channels?namespace=shop",
            Value::Null,
        )
        .await;
    assert_eq!(list["channels"].as_array().unwrap().len(), 2);
    assert!(!list.to_string().contains(SECRET));
}

#[tokio::test]
async fn a_channel_that_a_route_leads_to_stays() {
    let actors = actors().await;
    webhook(&actors, "http://127.0.0.1:9", 20).await;
    let target = "/v1/notify/channels/ops?namespace=shop";
    let adam = actors.key("adam");
    let answer = actors.world.call(adam, "DELETE", target, None).await;
    answer.expect("conflict", Some("in_use"), None, "a route");
    let of_route = "/v1/notify/routes/all?namespace=shop";
    actors.ok("adam", "DELETE", of_route, Value::Null).await;
    actors.ok("adam", "DELETE", target, Value::Null).await;
    for target in [target, of_route] {
        let answer = actors.world.call(adam, "DELETE", target, None).await;
        answer.expect("not_found", None, None, target);
    }
}

#[tokio::test]
async fn there_are_not_more_than_there_may_be() {
    let actors = actors().await;
    let body = json!({"kind": "slack", "credential_b64": credential(URL)});
    for number in 0..32 {
        assert_eq!(put(&actors, &format!("c{number}"), &body).await.status, 200);
    }
    let answer = put(&actors, "one-more", &body).await;
    answer.expect("conflict", Some("too_many_channels"), None, "channels");
    assert_eq!(put(&actors, "c0", &body).await.status, 200);
    for number in 0..64 {
        let target = format!("/v1/notify/routes/r{number}?namespace=shop");
        actors
            .ok("adam", "PUT", &target, json!({"channel": "c0"}))
            .await;
    }
    let answer = actors
        .world
        .call(
            actors.key("adam"),
            "PUT",
            "/v1/notify/routes/one-more?namespace=shop",
            Some(&json!({"channel": "c0"})),
        )
        .await;
    answer.expect("conflict", Some("too_many_routes"), None, "routes");
}

#[tokio::test]
async fn a_namespace_has_its_own_and_the_installation_too() {
    let actors = actors().await;
    webhook(&actors, "http://127.0.0.1:9", 20).await;
    // A route of one leads to no channel of another, and names none of its namespaces.
    let body = json!({"channel": "ops"});
    let target = "/v1/notify/routes/all";
    let alice = actors.key("alice");
    let answer = actors.world.call(alice, "PUT", target, Some(&body)).await;
    answer.expect("not_found", None, None, "the installation's");
    let bert = actors.key("bert");
    let target = "/v1/notify/routes/all?namespace=bank";
    let answer = actors.world.call(bert, "PUT", target, Some(&body)).await;
    answer.expect("not_found", None, None, "of bank");
    let body = json!({"channel": "ops", "only": "bank"});
    let target = "/v1/notify/routes/all?namespace=shop";
    let adam = actors.key("adam");
    let answer = actors.world.call(adam, "PUT", target, Some(&body)).await;
    answer.expect("malformed", None, Some("only"), "only");
    route(&actors, json!({"channel": "ops", "least": "critical"})).await;
}
