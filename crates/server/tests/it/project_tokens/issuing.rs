//! Who gets a token, for what and for how long.

use super::{ISSUE, KINDS, NS, grant, issue, newest, opens, record, refused, token};
use crate::actors::Actors;
use crate::world::Sent;
use procura_proof::sign::Signer;
use procura_token::{AgentClaims, Expected, KeySet, PROJECT_AUDIENCE, ProjectClaims, TokenError};
use procura_types::wire::SessionAnswer;
use procura_types::{Duration, Timestamp};
use serde_json::{Value, json};

const ISSUER: &str = "http://127.0.0.1:7310";

async fn set(actors: &Actors, target: &str) -> KeySet {
    let answer = actors.world.send(&Sent::new("GET", target, None)).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    KeySet::parse(&answer.body).unwrap()
}

#[tokio::test]
async fn a_token_is_shown_once_and_the_record_knows_its_id() {
    let actors = Actors::new().await;
    for kind in KINDS {
        let token = token(&actors, kind).await;
        assert_eq!(token.about["kind"], kind);
        assert_eq!(token.about["state"], "live");
        assert_eq!(token.about["grant"], actors.grant);
        assert_eq!(token.about["device"], actors.device("scribe"));
        assert_eq!(
            token.about["items"],
            json!([{"name": "DB", "path": "db/password"}])
        );
        let entry = newest(&actors, "project_token.issue").await;
        assert_eq!(
            (&entry["token"], &entry["grant"], &entry["decision"]),
            (&json!(token.id), &json!(actors.grant), &json!("allow"))
        );
        let until = token.about["expires"].as_str().unwrap();
        assert_eq!(
            entry["resource"],
            format!("project/web {kind} delivery:env until:{until} DB=db/password")
        );
        opens(&actors, &token.text, kind).await;
        let entry = newest(&actors, "project_token.use").await;
        assert_eq!(
            (&entry["token"], &entry["grant"], &entry["phase"]),
            (&json!(token.id), &json!(actors.grant), &json!("intent"))
        );
        assert_eq!(entry["resource"], "project/web DB=db/password@1");
        assert!(entry["run"].is_string(), "{entry}");
        // Neither the record nor any list has the token.
        let secret = &token.text[token.text.len() - 40..];
        assert!(!record(&actors).await.contains(secret), "{kind}");
        for by in ["otto", "scribe"] {
            let list = actors
                .ok(by, "GET", &format!("{NS}/tokens"), Value::Null)
                .await;
            let rows = list["tokens"].as_array().unwrap();
            assert!(rows.iter().any(|row| row["id"] == token.id), "{by}: {list}");
            assert!(!list.to_string().contains(secret), "{by}");
        }
    }
}

#[tokio::test]
async fn a_signed_token_says_what_it_is_to_whoever_has_the_key_set() {
    let actors = Actors::new().await;
    let token = token(&actors, "signed").await;
    let now = actors.world.now();
    let expected = Expected {
        issuer: ISSUER,
        now,
    };
    let (all, projects, agents, daemons) = (
        set(&actors, "/.well-known/jwks.json").await,
        set(&actors, "/.well-known/jwks/procura-project.json").await,
        set(&actors, "/.well-known/jwks/procura-agent.json").await,
        set(&actors, "/.well-known/jwks/procura-daemon.json").await,
    );
    for set in [&all, &projects] {
        let claims = ProjectClaims::verify(&token.text, set, &expected).unwrap();
        assert_eq!(claims.aud, PROJECT_AUDIENCE);
        assert_eq!(claims.jti.to_string(), token.id);
        assert_eq!(
            claims.sub.to_string(),
            token.about["agent"].as_str().unwrap()
        );
        assert_eq!(claims.cnf.jkt.to_string(), actors.device("scribe"));
        assert_eq!(
            (claims.namespace.as_str(), claims.project.as_str()),
            ("shop", "web")
        );
        assert_eq!(claims.scope, "DB=db/password");
        let until: Timestamp = token.about["expires"].as_str().unwrap().parse().unwrap();
        assert_eq!(Timestamp::from_secs(claims.exp), until);
    }
    // A key signs tokens of one type only.
    let of = |set| ProjectClaims::verify(&token.text, set, &expected).unwrap_err();
    for others in [&agents, &daemons] {
        assert_eq!(of(others), TokenError::UnknownKey);
    }
    let each = [&projects, &agents, &daemons].map(|set| set.keys().len());
    assert_eq!(all.keys().len(), each.iter().sum::<usize>());
    let as_agents = AgentClaims::verify(&token.text, &all, &expected).unwrap_err();
    assert_eq!(as_agents, TokenError::Type);
}

#[tokio::test]
async fn it_ends_after_14_days_or_with_the_grant_or_when_it_is_said() {
    let actors = Actors::new().await;
    let begin = actors.world.now();
    for (life, seconds) in [
        (Value::Null, 86_400),
        (json!(60), 60),
        (json!(86_401), 86_400),
    ] {
        for kind in KINDS {
            let mut body = json!({"kind": kind, "names": ["DB"]});
            if life.is_number() {
                body["life"] = life.clone();
            }
            // The grant is for a day.
            let token = issue(&actors, body).await;
            let until = begin.plus(Duration::from_secs(seconds));
            assert_eq!(token.about["expires"], json!(until), "{kind} {life}");
        }
    }
}

#[tokio::test]
async fn one_is_issued_for_what_one_grant_covers_and_nothing_else() {
    let actors = Actors::new().await;
    for names in [json!(["API"]), json!(["DB", "API"]), json!([])] {
        let body = json!({"kind": "opaque", "names": names});
        let answer = actors
            .world
            .call(actors.key("scribe"), "POST", ISSUE, Some(&body))
            .await;
        answer.expect("forbidden", None, None, &names.to_string());
        let entry = newest(&actors, "project_token.issue").await;
        assert_eq!(
            (&entry["decision"], &entry["reason"]),
            (&json!("deny"), &json!("no_grant"))
        );
    }
    // What was said yes to is asked for no more, in part neither: nothing waits for it.
    let waiting = |list: &Value| {
        let rows = list["requests"].as_array().unwrap().iter();
        rows.filter(|row| row["state"] == "pending").count()
    };
    let requests = format!("{NS}/requests");
    let granted = grant(&actors, &["API", "DB", "MAIL"]).await;
    let before = waiting(&actors.ok("anna", "GET", &requests, Value::Null).await);
    for names in [json!(["API"]), json!(["DB", "MAIL"]), json!([])] {
        let token = issue(&actors, json!({"kind": "signed", "names": names})).await;
        let expected = if names == json!(["DB", "MAIL"]) {
            2
        } else {
            names.as_array().unwrap().len().max(1)
        };
        let items = token.about["items"].as_array().unwrap().len();
        assert_eq!(
            items,
            if names == json!([]) { 3 } else { expected },
            "{names}"
        );
        assert_eq!(token.about["grant"], granted);
        let run = json!({"names": names, "delivery": "env"});
        let target = format!("{NS}/projects/web/runs");
        let answer = actors
            .world
            .call(actors.key("scribe"), "POST", &target, Some(&run))
            .await;
        assert_eq!(answer.status, 200, "{names}: {}", answer.text());
    }
    let after = waiting(&actors.ok("anna", "GET", &requests, Value::Null).await);
    assert_eq!(after, before);
}

#[tokio::test]
async fn a_session_makes_none_and_shows_one() {
    let actors = Actors::new().await;
    let (world, key) = (&actors.world, actors.key("scribe"));
    let started = world
        .ok(key, "POST", "/v1/sessions", json!({"audience": "procura"}))
        .await;
    let session: SessionAnswer = serde_json::from_value(started).unwrap();
    let mac =
        procura_crypto::MacKey::from_bytes(session.mac_key.decode().unwrap().expose()).unwrap();
    let mut counter = 0;
    let mut sent = |target: &str, body: Value, field: Option<&str>| {
        counter += 1;
        let body = serde_json::to_vec(&body).unwrap();
        let mut sent = Sent::new("POST", target, Some(&body));
        if let Some(field) = field {
            sent.headers
                .push(("authorization".to_owned(), format!("Bearer {field}")));
        }
        sent.signed(
            Signer::Session {
                id: &session.session_id,
                mac_key: &mac,
                counter,
            },
            world.now(),
        )
    };
    let issue = json!({"kind": "opaque", "names": ["DB"]});
    let refusal = world.send(&sent(ISSUE, issue, None)).await;
    refusal.expect("unauthorized", None, None, "issued within a session");
    let token = token(&actors, "opaque").await;
    let rotate = format!("{NS}/tokens/{}/rotate", token.id);
    let refusal = world.send(&sent(&rotate, json!({}), None)).await;
    refusal.expect("unauthorized", None, None, "rotated within a session");
    let answer = world
        .send(&sent(super::VALUES, json!({}), Some(&token.text)))
        .await;
    assert_eq!(answer.status, 200, "{}", answer.text());
}

#[tokio::test]
async fn an_agent_has_32_tokens_at_most() {
    let actors = Actors::new().await;
    let mut tokens = Vec::new();
    for _ in 0..32 {
        tokens.push(token(&actors, "opaque").await);
    }
    let body = json!({"kind": "opaque", "names": ["DB"]});
    let more = actors
        .world
        .call(actors.key("scribe"), "POST", ISSUE, Some(&body))
        .await;
    more.expect("conflict", Some("too_many_tokens"), None, "the 33rd");
    // Exchanging one is no more; and one that ends makes room.
    let rotate = format!("{NS}/tokens/{}/rotate", tokens[0].id);
    actors.ok("scribe", "POST", &rotate, json!({})).await;
    let revoke = format!("{NS}/tokens/{}", tokens[1].id);
    actors.ok("scribe", "DELETE", &revoke, Value::Null).await;
    token(&actors, "opaque").await;
    // However many were made, what is remembered of an agent is bounded; what is not
    // remembered opens nothing.
    let (mut last, first) = (tokens.pop().unwrap(), tokens.swap_remove(0));
    for _ in 0..70 {
        let rotate = format!("{NS}/tokens/{}/rotate", last.id);
        last = super::read(actors.ok("scribe", "POST", &rotate, json!({})).await);
    }
    let list = actors
        .ok(
            "otto",
            "GET",
            &format!("{NS}/tokens?limit=1000"),
            Value::Null,
        )
        .await;
    assert_eq!(list["tokens"].as_array().unwrap().len(), 64);
    refused(&actors, &first.text, "token_unknown", "forgotten").await;
    opens(&actors, &last.text, "the last of them").await;
}
