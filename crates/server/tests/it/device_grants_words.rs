//! Devices that ask without a link code: what is no question and no look gets the word of
//! OAuth that says why.

use crate::actors::Actors;
use crate::device_grants::{ASK, GRANTS, HERE, Host, TOKEN, form, post, question, refused, server};
use crate::world::Sent;
use procura_crypto::{SigningKey, SystemEntropy};
use procura_types::Thumbprint;
use serde_json::{Value, json};

#[tokio::test]
async fn what_is_no_question_gets_the_word_for_it() {
    let actors = Actors::new().await;
    let world = &actors.world;
    let key = SigningKey::generate_ed25519(&SystemEntropy).unwrap();
    let good = question(&key, &server(world).await, "build-7");
    let with = |name: &'static str, value: Option<&str>| {
        let mut changed = good.clone();
        changed.retain(|(found, _)| *found != name);
        changed.extend(value.map(|value| (name, value.to_owned())));
        form(&changed)
    };
    let other = SigningKey::generate_ed25519(&SystemEntropy).unwrap();
    let jwk = serde_json::to_string(&other.public().to_jwk()).unwrap();
    let lured = question(&key, &Thumbprint::from_bytes([1; 32]), "build-7");
    let mut doubled = form(&good);
    doubled.extend_from_slice(b"&client_id=procura-daemon");
    for (body, status, word, what) in [
        (with("client_id", None), 400, "invalid_request", "no client"),
        (
            with("client_id", Some("another")),
            401,
            "invalid_client",
            "another client",
        ),
        (
            with("client_secret", Some("x")),
            401,
            "invalid_client",
            "a secret",
        ),
        (with("device_jwk", None), 400, "invalid_request", "no key"),
        (
            with("device_jwk", Some("{")),
            400,
            "invalid_request",
            "no JSON",
        ),
        (
            with("device_jwk", Some(r#"{"kty":"RSA"}"#)),
            400,
            "invalid_request",
            "no key of ours",
        ),
        (
            with("device_jwk", Some(&jwk)),
            401,
            "invalid_client",
            "another key",
        ),
        (
            with("device_host", Some("a\nb")),
            400,
            "invalid_request",
            "a host of two lines",
        ),
        (
            with("device_host", Some("other")),
            401,
            "invalid_client",
            "another host",
        ),
        (
            with("device_signature", None),
            400,
            "invalid_request",
            "no signature",
        ),
        (
            with("device_signature", Some("!")),
            400,
            "invalid_request",
            "no base64url",
        ),
        (
            with("device_signature", Some("AAAA")),
            401,
            "invalid_client",
            "a short signature",
        ),
        (
            form(&lured),
            401,
            "invalid_client",
            "signed for another server",
        ),
        (doubled, 400, "invalid_request", "a parameter twice"),
        (b"client_id=%zz".to_vec(), 400, "invalid_request", "no form"),
        (b"\xff".to_vec(), 400, "invalid_request", "no text"),
    ] {
        refused(&post(world, ASK, &body, HERE).await, status, word, what);
    }
    let body = form(&good);
    let json = world.send(&Sent::new("POST", ASK, Some(&body))).await;
    refused(&json, 400, "invalid_request", "another media type");
    let answer = post(
        world,
        &format!("{ASK}?client_id=procura-daemon"),
        &body,
        HERE,
    )
    .await;
    refused(&answer, 400, "invalid_request", "parameters in the query");
    for (name, value) in [
        ("origin", "http://evil.example"),
        ("sec-fetch-site", "cross-site"),
        ("authorization", "Basic cHJvY3VyYTp4"),
    ] {
        let mut sent = Sent::new("POST", ASK, Some(&body));
        sent.set("content-type", |_| {
            "application/x-www-form-urlencoded".to_owned()
        });
        sent.headers.push((name.to_owned(), value.to_owned()));
        let answer = world.send(&sent).await;
        let (status, word) = match name {
            "authorization" => (401, "invalid_client"),
            _ => (400, "invalid_request"),
        };
        refused(&answer, status, word, name);
        let told = answer.headers.contains_key("www-authenticate");
        assert_eq!(told, status == 401, "{name}");
    }
    // Nothing of all this waits.
    let list = actors.ok("adam", "GET", GRANTS, Value::Null).await;
    assert_eq!(list["grants"], json!([]));
    assert_eq!(post(world, ASK, &body, HERE).await.status, 200);
}

#[tokio::test]
async fn what_is_no_look_gets_the_word_for_it() {
    let actors = Actors::new().await;
    let world = &actors.world;
    let host = Host::asks(world).await;
    let good = host.look(&host.key);
    let with = |name: &str, value: &str| -> Vec<u8> {
        let changed: Vec<(&str, &str)> = good
            .iter()
            .map(|(found, old)| (*found, if *found == name { value } else { old.as_str() }))
            .filter(|(_, value)| !value.is_empty())
            .collect();
        form(&changed)
    };
    let mut doubled = form(&good);
    doubled.extend_from_slice(b"&device_code=x");
    for (body, status, word, what) in [
        (
            with("grant_type", ""),
            400,
            "invalid_request",
            "no grant type",
        ),
        (
            with("grant_type", "authorization_code"),
            400,
            "unsupported_grant_type",
            "another",
        ),
        (
            with("grant_type", "password"),
            400,
            "unsupported_grant_type",
            "a password",
        ),
        (with("client_id", ""), 400, "invalid_request", "no client"),
        (
            with("client_id", "another"),
            401,
            "invalid_client",
            "another client",
        ),
        (with("device_code", ""), 400, "invalid_request", "no code"),
        (
            with("device_code", "wrong"),
            400,
            "invalid_grant",
            "a wrong code",
        ),
        (
            with("device_signature", ""),
            400,
            "invalid_request",
            "no signature",
        ),
        (
            with("device_signature", "AAAA"),
            400,
            "invalid_grant",
            "a short signature",
        ),
        (doubled, 400, "invalid_request", "a code twice"),
    ] {
        refused(&post(world, TOKEN, &body, HERE).await, status, word, what);
    }
    let answer = host.looks(world).await;
    refused(&answer, 400, "authorization_pending", "none of it did harm");
}
