//! Methods, paths, hosts and other origins.

use super::agent::{Agent, ask, question, serving};
use crate::world::Sent;
use serde_json::json;

#[tokio::test]
async fn what_is_not_there_is_refused_in_the_same_shapes() {
    let world = serving(&[]).await;
    let nothing = json!({"error": "not_found"});
    for target in [
        "/api",
        "/api/",
        "/api/nothing",
        "/api/verify/",
        "/api//verify",
        "/api/Verify",
        "/api/%76erify",
        "/api/verify%2f",
        "/api/agents",
        "/api/agents/",
        "/api/agents/identities",
        "/api/agents//identity",
        "/api/./verify",
        "/api/keys",
        "/api/audit",
    ] {
        for method in ["GET", "POST", "DELETE", "OPTIONS", "BREW"] {
            let answer = world.send(&Sent::new(method, target, None)).await;
            answer.says(404, &nothing, &format!("{method} {target}"));
        }
    }
    let wrong = json!({"error": "method_not_allowed"});
    for (target, allowed, methods) in [
        ("/api/verify", "POST", ["GET", "PUT", "DELETE", "OPTIONS"]),
        (
            "/api/agents/identity",
            "GET, HEAD",
            ["POST", "PUT", "DELETE", "OPTIONS"],
        ),
        (
            "/api/agents/identity/scribe",
            "GET, HEAD",
            ["POST", "PUT", "DELETE", "OPTIONS"],
        ),
    ] {
        for method in methods {
            let mut sent = Sent::new(method, target, Some(b"{}"));
            // A page of another origin asks whether it may.
            sent.headers
                .push(("origin".into(), "https://evil.example".into()));
            sent.headers
                .push(("access-control-request-method".into(), "POST".into()));
            let answer = world.send(&sent).await;
            answer.says(405, &wrong, &format!("{method} {target}"));
            assert_eq!(answer.headers["allow"], allowed);
        }
    }
    let head = world.send(&Sent::new("HEAD", "/api/verify", None)).await;
    assert_eq!(head.status, 405);
    // The neighbours are what they were.
    let native = world.send(&Sent::new("GET", "/apiv", None)).await;
    native.expect("not_found", None, None, "/apiv");
}

#[tokio::test]
async fn no_answer_is_for_another_origin() {
    let scribe = Agent::new("scribe");
    let world = serving(&[&scribe]).await;
    let mut sent = question(scribe.asks_now(&world).to_string().as_bytes());
    sent.headers
        .push(("origin".into(), "https://evil.example".into()));
    // `says` looks at the fields.
    world.send(&sent).await.valid("scribe", "from a page");
    world
        .send(&sent)
        .await
        .invalid("nonce_replayed", "from a page");
}

#[tokio::test]
async fn the_host_is_this_server() {
    let scribe = Agent::new("scribe");
    let world = serving(&[&scribe]).await;
    let elsewhere = json!({"error": "misdirected_request", "reason": "host"});
    let asked = scribe.asks_now(&world);
    let body = asked.to_string();
    for host in [
        "elsewhere.example",
        "127.0.0.1",
        "127.0.0.1:7311",
        "127.0.0.1:7310.elsewhere.example",
        "elsewhere.example:7310",
        "",
    ] {
        for target in ["/api/verify", "/api/agents/identity", "/api/nothing"] {
            let mut sent = Sent::new("POST", target, Some(body.as_bytes()));
            sent.set("host", |_| host.to_owned());
            world.send(&sent).await.says(421, &elsewhere, host);
        }
    }
    let mut none = question(body.as_bytes());
    none.headers.retain(|(name, _)| name != "host");
    world.send(&none).await.bad_request("host", "none");
    let mut two = question(body.as_bytes());
    two.headers
        .push(("host".into(), crate::world::AUTHORITY.into()));
    world.send(&two).await.bad_request("host", "two");
    for own in ["LOCALHOST:7310", "[::1]:7310"] {
        let mut sent = question(scribe.asks_now(&world).to_string().as_bytes());
        sent.set("host", |_| own.to_owned());
        world.send(&sent).await.valid("scribe", own);
    }
    ask(&world, &asked)
        .await
        .valid("scribe", "no nonce was used up");
}

#[tokio::test]
async fn the_kind_of_the_body_is_not_asked_for() {
    // Clients of this protocol say what they like.
    let scribe = Agent::new("scribe");
    let world = serving(&[&scribe]).await;
    for kind in ["text/plain", "application/x-www-form-urlencoded", ""] {
        let mut sent = question(scribe.asks_now(&world).to_string().as_bytes());
        sent.set("content-type", |_| kind.to_owned());
        world.send(&sent).await.valid("scribe", kind);
    }
}
