//! Every kind of token at every door that takes one: each opens its own and no other.

use super::{KINDS, NS, VALUES, refused, show, token};
use crate::actors::Actors;
use crate::world::Sent;
use procura_proof::sign::Signer;
use procura_types::encoding::b64url;
use procura_types::{ActorId, ForeignId};
use serde_json::{Value, json};

/// Everything of ours that is shown to somebody, by what it is called.
struct Shown {
    agent_jwt: String,
    session: String,
    link_code: String,
    opaque: String,
    signed: String,
}

async fn shown(actors: &Actors) -> Shown {
    let (world, key) = (&actors.world, actors.key("scribe"));
    let session = world
        .ok(key, "POST", "/v1/sessions", json!({"audience": "procura"}))
        .await;
    let link = format!("{NS}/agents/scribe/link-code");
    let link = actors.ok("adam", "POST", &link, Value::Null).await;
    let (actor, owner) = (ActorId::from_bytes([1; 32]), ActorId::from_bytes([2; 32]));
    let open = world.app.open().unwrap();
    let id: ForeignId = "till.7".parse().unwrap();
    let made = open
        .tokens
        .agent_jwt(id.as_str(), &actor, &owner, &["read"], world.now())
        .unwrap();
    Shown {
        agent_jwt: made.token.expose().clone(),
        session: session["session_id"].as_str().unwrap().to_owned(),
        link_code: link["code"].as_str().unwrap().to_owned(),
        opaque: token(actors, "opaque").await.text,
        signed: token(actors, "signed").await.text,
    }
}

#[tokio::test]
async fn nothing_but_a_project_token_opens_values() {
    let actors = Actors::new().await;
    let shown = shown(&actors).await;
    for (what, text, reason) in [
        ("the token of an agent", &shown.agent_jwt, "token_type"),
        ("a session id", &shown.session, "token_malformed"),
        ("a link code", &shown.link_code, "token_malformed"),
        ("a thumbprint", &actors.device("scribe"), "token_malformed"),
        ("a grant", &actors.grant, "token_malformed"),
        ("an agent's secret", &b64url(&[7; 32]), "token_malformed"),
    ] {
        refused(&actors, text, reason, what).await;
    }
    for text in [&shown.opaque, &shown.signed] {
        assert_eq!(show(&actors, text).await.status, 200);
    }
}

#[tokio::test]
async fn a_project_token_opens_nothing_but_values() {
    let actors = Actors::new().await;
    let world = &actors.world;
    let now = world.now();
    for kind in KINDS {
        let token = token(&actors, kind).await;
        let field = ("authorization".to_owned(), format!("Bearer {}", token.text));
        // Without a proof it is nothing, at its own door too.
        for (method, target) in [
            ("POST", VALUES),
            ("GET", "/v1/namespaces"),
            ("GET", "/v1/namespaces/shop/tokens"),
        ] {
            let mut bare = Sent::new(method, target, (method == "POST").then_some(b"{}"));
            bare.headers.push(field.clone());
            let answer = world.send(&bare).await;
            answer.expect("unauthorized", Some("missing_headers"), None, target);
        }
        // Beside a proof it adds nothing to what its device may do.
        for (method, target, code) in [
            (
                "GET",
                "/v1/namespaces/shop/secrets/db/password",
                "forbidden",
            ),
            ("GET", "/v1/namespaces/shop/secrets", "forbidden"),
            ("GET", "/v1/ledger/entries?namespace=shop", "forbidden"),
            ("POST", "/v1/seal", "forbidden"),
        ] {
            let mut sent = Sent::new(method, target, None);
            sent.headers.push(field.clone());
            let answer = world
                .send(&sent.signed(Signer::Device(actors.key("scribe")), now))
                .await;
            answer.expect(code, None, None, target);
        }
        // As a session: neither its id, nor one to go on from.
        let mac = procura_crypto::MacKey::from_bytes(&[7; 32]).unwrap();
        let signer = Signer::Session {
            id: &token.text,
            mac_key: &mac,
            counter: 1,
        };
        let as_session = Sent::new("GET", "/v1/namespaces", None).signed(signer, now);
        let answer = world.send(&as_session).await;
        assert_eq!(answer.status, 401, "{kind}: {}", answer.text());
        let reason = answer.problem("as a session").reason;
        assert_eq!(reason.as_deref(), Some("session_unknown"), "{kind}");
        let renew = json!({"audience": "procura", "renew": token.text});
        let answer = world
            .call(actors.key("scribe"), "POST", "/v1/sessions", Some(&renew))
            .await;
        answer.expect("unauthorized", Some("session_unknown"), None, "renewed");
        // As the session of another system's agent.
        let mut echo = Sent::new("POST", "/agent/session/extend", Some(b"{}"));
        echo.headers
            .push(("x-session-id".to_owned(), token.text.clone()));
        let answer = world
            .send(&echo.signed(Signer::Device(actors.key("scribe")), now))
            .await;
        assert!(!answer.status.is_success(), "{kind}: {}", answer.text());
        assert_ne!(answer.json()["ttl_ms"], json!(600_000));
        // As a code, a grant, a request or a run.
        for target in [
            format!("{NS}/grants/{}", token.id),
            format!("{NS}/requests/{}", token.id),
        ] {
            let answer = world.call(actors.key("otto"), "GET", &target, None).await;
            answer.expect("not_found", None, None, &target);
        }
        assert_eq!(show(&actors, &token.text).await.status, 200, "{kind}");
    }
}

#[tokio::test]
async fn while_sealed_it_opens_nothing_and_says_so() {
    let actors = Actors::new().await;
    let token = token(&actors, "signed").await;
    actors.world.seal().await;
    show(&actors, &token.text)
        .await
        .expect("sealed", None, None, "sealed");
    actors.world.unseal().await;
    assert_eq!(show(&actors, &token.text).await.status, 200);
}
