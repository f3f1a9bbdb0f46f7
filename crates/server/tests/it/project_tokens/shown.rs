//! What is shown as a token and is none, each time refused for exactly that.

use super::{KINDS, NS, newest, opens, refused, show, showing, token};
use crate::actors::Actors;
use procura_crypto::{SigningKey, SystemEntropy};
use procura_token::{PROJECT_TYPE, sign};
use procura_types::encoding::{b64url, from_b64url};
use serde_json::{Value, json};

#[tokio::test]
async fn one_field_with_one_token_in_one_spelling() {
    let actors = Actors::new().await;
    let key = actors.key("scribe");
    for kind in KINDS {
        let token = token(&actors, kind).await.text;
        let bearer = format!("Bearer {token}");
        let twice: &[&str] = &[&bearer, &bearer];
        let basic = format!("Basic {token}");
        let spaces = format!("Bearer  {token}");
        let two = format!("Bearer {token} {token}");
        let list = format!("Bearer {token}, Bearer {token}");
        let dpop = format!("DPoP {token}");
        for (what, fields, reason) in [
            ("no field", &[][..], "token_missing"),
            ("two fields", twice, "token_malformed"),
            ("the scheme alone", &["Bearer"], "token_malformed"),
            ("nothing behind the scheme", &["Bearer "], "token_malformed"),
            ("no scheme", &[token.as_str()], "token_malformed"),
            ("another scheme", &[basic.as_str()], "token_malformed"),
            (
                "another that is like it",
                &[dpop.as_str()],
                "token_malformed",
            ),
            ("two spaces", &[spaces.as_str()], "token_malformed"),
            ("two tokens", &[two.as_str()], "token_malformed"),
            ("a list", &[list.as_str()], "token_malformed"),
        ] {
            let answer = actors
                .world
                .send(&showing(&actors, key, fields, &json!({})))
                .await;
            answer.expect(
                "token_refused",
                Some(reason),
                None,
                &format!("{kind}: {what}"),
            );
            let entry = newest(&actors, "project_token.use").await;
            assert_eq!(
                (&entry["reason"], &entry["decision"]),
                (&json!(reason), &json!("deny"))
            );
            assert_eq!(entry["resource"], "project/web", "{what}");
        }
        // The case of the scheme is not part of it (RFC 9110 §11.1).
        for scheme in ["bearer", "BEARER", "bEaReR"] {
            let field = format!("{scheme} {token}");
            let sent = showing(&actors, key, &[&field], &json!({}));
            let answer = actors.world.send(&sent).await;
            assert_eq!(answer.status, 200, "{scheme}: {}", answer.text());
        }
        // A proof that leaves the field out proves nothing.
        let mut left_out = showing(&actors, key, &[], &json!({}));
        left_out.headers.push(("authorization".to_owned(), bearer));
        let answer = actors.world.send(&left_out).await;
        answer.expect("unauthorized", Some("malformed"), None, "not covered");
    }
}

#[tokio::test]
async fn an_opaque_token_is_its_bits_and_nothing_near_them() {
    let actors = Actors::new().await;
    let token = token(&actors, "opaque").await.text;
    let bits = token.strip_prefix("pcp1_").unwrap();
    let mut other = from_b64url("token", bits).unwrap();
    other[31] ^= 1;
    for (text, reason) in [
        (format!("pcp1_{}", b64url(&other)), "token_unknown"),
        (format!("pcp1_{}", b64url(&[0; 32])), "token_unknown"),
        (format!("pcp1_{bits}="), "token_malformed"),
        (format!("pcp1_{}", &bits[..42]), "token_malformed"),
        (format!("pcp1_{bits}AA"), "token_malformed"),
        ("pcp1_".to_owned(), "token_malformed"),
        (format!("PCP1_{bits}"), "token_malformed"),
        (bits.to_owned(), "token_malformed"),
        // The last character has two bits that say nothing; they have to be zero.
        (spelled_otherwise(&token), "token_malformed"),
    ] {
        refused(&actors, &text, reason, &text.replace(bits, "BITS")).await;
    }
    opens(&actors, &token, "as it is").await;
}

/// The same bits with other ones in the part of the last character that is no data.
fn spelled_otherwise(token: &str) -> String {
    const LETTERS: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let (rest, last) = token.split_at(token.len() - 1);
    let place = LETTERS.find(last).unwrap();
    format!("{rest}{}", &LETTERS[place + 1..=place + 1])
}

/// A token of three parts with these.
fn jws(header: &Value, payload: &[u8], signature: &str) -> String {
    let header = b64url(&serde_json::to_vec(header).unwrap());
    format!("{header}.{}.{signature}", b64url(payload))
}

#[tokio::test]
async fn a_signed_token_is_what_was_signed_and_nothing_else() {
    let actors = Actors::new().await;
    let token = token(&actors, "signed").await.text;
    let [header, payload, signature] = token.split('.').collect::<Vec<_>>()[..] else {
        panic!("three parts");
    };
    let read = |part| from_b64url("token", part).unwrap();
    let head: Value = serde_json::from_slice(&read(header)).unwrap();
    let claims: Value = serde_json::from_slice(&read(payload)).unwrap();
    let with = |name: &str, value: Value| {
        let mut head = head.clone();
        head[name] = value;
        jws(&head, &read(payload), signature)
    };
    let says = |name: &str, value: Value| {
        let mut claims = claims.clone();
        claims[name] = value;
        jws(&head, &serde_json::to_vec(&claims).unwrap(), signature)
    };
    let none = jws(
        &json!({"alg": "none", "kid": head["kid"], "typ": PROJECT_TYPE}),
        &read(payload),
        "",
    );
    let stranger = SigningKey::generate_p256(&SystemEntropy).unwrap();
    let foreign = sign(&stranger, PROJECT_TYPE, &read(payload)).unwrap();
    let mut flipped = read(signature);
    flipped[40] ^= 1;
    let mut twice = head.to_string();
    twice.insert_str(1, "\"alg\":\"none\",");
    let twice = format!("{}.{payload}.{signature}", b64url(twice.as_bytes()));
    for (what, text, reason) in [
        ("alg none", none, "token_algorithm"),
        (
            "alg none, with the signature",
            with("alg", json!("none")),
            "token_algorithm",
        ),
        ("alg HS256", with("alg", json!("HS256")), "token_algorithm"),
        ("alg EdDSA", with("alg", json!("EdDSA")), "token_algorithm"),
        (
            "a key that comes along",
            with("jwk", json!(stranger.public().to_jwk())),
            "token_malformed",
        ),
        (
            "the place of a key",
            with("jku", json!("https://keys.example")),
            "token_malformed",
        ),
        (
            "certificates",
            with("x5c", json!(["AA"])),
            "token_malformed",
        ),
        (
            "something critical",
            with("crit", json!(["exp"])),
            "token_malformed",
        ),
        ("alg twice", twice, "token_malformed"),
        (
            "another kid",
            with("kid", json!(stranger.public().thumbprint())),
            "token_key",
        ),
        (
            "a path as kid",
            with("kid", json!("../../dev/null")),
            "token_key",
        ),
        ("another type", with("typ", json!("JWT")), "token_type"),
        (
            "the type of agents",
            with("typ", json!("procura-agent+jwt")),
            "token_type",
        ),
        (
            "the type in capital letters",
            with("typ", json!("PROCURA-PROJECT+JWT")),
            "token_type",
        ),
        ("another key", foreign.expose().clone(), "token_key"),
        (
            "another signature",
            format!("{header}.{payload}.{}", b64url(&flipped)),
            "token_signature",
        ),
        (
            "a shorter signature",
            format!("{header}.{payload}.{}", b64url(&flipped[..63])),
            "token_signature",
        ),
        (
            "no signature",
            format!("{header}.{payload}."),
            "token_signature",
        ),
        (
            "longer",
            says("exp", json!(claims["exp"].as_u64().unwrap() + 1)),
            "token_signature",
        ),
        (
            "another project",
            says("project", json!("cron")),
            "token_signature",
        ),
        (
            "another device",
            says("cnf", json!({"jkt": actors.device("baker")})),
            "token_signature",
        ),
        (
            "another scope",
            says("scope", json!("API=api/key")),
            "token_signature",
        ),
        (
            "two parts",
            format!("{header}.{payload}"),
            "token_malformed",
        ),
        ("four parts", format!("{token}.AA"), "token_malformed"),
        ("padded", format!("{token}="), "token_malformed"),
        (
            "too long",
            format!("{token}.{}", "A".repeat(9000)),
            "token_malformed",
        ),
    ] {
        refused(&actors, &text, reason, what).await;
    }
    opens(&actors, &token, "as it is").await;
}

/// Another installation of the same name, with the same people: its tokens are none here.
#[tokio::test]
async fn a_token_of_another_installation_opens_nothing() {
    let (here, there) = (Actors::new().await, Actors::new().await);
    for (kind, reason) in [("opaque", "token_unknown"), ("signed", "token_key")] {
        let token = token(&there, kind).await;
        opens(&there, &token.text, kind).await;
        refused(&here, &token.text, reason, kind).await;
    }
}

#[tokio::test]
async fn it_is_for_one_device_one_project_and_one_namespace() {
    let actors = Actors::new().await;
    let second = actors.join_as("adam", "shop", "scribe").await;
    // Everybody below is of the project, so that nothing but the token keeps them out.
    let all = json!({"agents": ["scribe", "baker"], "env": {"DB": "db/password"}});
    for project in ["web", "cron"] {
        actors
            .ok(
                "adam",
                "PUT",
                &format!("{NS}/projects/{project}"),
                all.clone(),
            )
            .await;
    }
    for kind in KINDS {
        let token = token(&actors, kind).await;
        let field = format!("Bearer {}", token.text);
        for (who, key) in [
            ("another device of the agent", &second),
            ("another agent", actors.key("baker")),
        ] {
            let sent = showing(&actors, key, &[&field], &json!({}));
            let answer = actors.world.send(&sent).await;
            answer.expect("token_refused", Some("token_device"), None, who);
            let entry = newest(&actors, "project_token.use").await;
            assert_eq!(
                (&entry["reason"], &entry["token"], &entry["device"]),
                (
                    &json!("token_device"),
                    &json!(token.id),
                    &json!(key.public().thumbprint())
                )
            );
        }
        // Somebody may have taken it, so whoever watches is told.
        let events = "/v1/events?follow=false";
        let key = actors.key("otto");
        let told = actors.world.call(key, "GET", events, None).await.text();
        let alarms = told.matches("event: alarm").count();
        assert!(
            alarms >= 2 && told.contains("\"reason\":\"token_device\""),
            "{told}"
        );
        // Operators, and who has no part in the namespace, find no such door.
        for who in ["adam", "anna", "alice", "bert", "robber"] {
            let sent = showing(&actors, actors.key(who), &[&field], &json!({}));
            actors
                .world
                .send(&sent)
                .await
                .expect("not_found", None, None, who);
        }
        for (target, code, reason) in [
            (
                format!("{NS}/projects/cron/values"),
                "token_refused",
                Some("token_project"),
            ),
            (
                format!("{NS}/projects/nothing/values"),
                "token_refused",
                Some("token_project"),
            ),
            (
                "/v1/namespaces/bank/projects/web/values".to_owned(),
                "not_found",
                None,
            ),
        ] {
            let mut sent = crate::world::Sent::new("POST", &target, Some(b"{}"));
            sent.headers
                .push(("authorization".to_owned(), field.clone()));
            let signer = procura_proof::sign::Signer::Device(actors.key("scribe"));
            let answer = actors
                .world
                .send(&sent.signed(signer, actors.world.now()))
                .await;
            answer.expect(code, reason, None, &target);
        }
        // It has not ended by any of this.
        let answer = show(&actors, &token.text).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
}
