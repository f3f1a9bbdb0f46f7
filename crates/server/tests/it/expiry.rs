//! What ends by itself, through the real API on a clock that the test turns.

use crate::actors::{Actors, join_body};
use crate::world::Sent;
use procura_crypto::{SigningKey, SystemEntropy};
use procura_types::{Duration, LinkCodeText};
use serde_json::{Value, json};

#[tokio::test]
async fn a_grant_ends_when_its_approver_said() {
    let actors = Actors::new().await;
    let world = &actors.world;
    let run = json!({"names": ["DB"], "delivery": "env"});
    let target = "/v1/namespaces/shop/projects/web/runs";
    // Approved for a day.
    world.clock.turn(Duration::from_secs(86_399));
    let last = world
        .call(actors.key("scribe"), "POST", target, Some(&run))
        .await;
    assert_eq!(last.status, 200, "{}", last.text());
    world.clock.turn(Duration::from_secs(1));
    let after = world
        .call(actors.key("scribe"), "POST", target, Some(&run))
        .await;
    assert_eq!(after.status, 202, "{}", after.text());
    assert!(after.json()["values"].is_null());
    assert!(!after.text().contains(&crate::actors::value_b64()));
    // A new yes is a new grant; the old one is over for good.
    let request = after.json()["request"].as_str().unwrap().to_owned();
    let body = actors.approval(&request, "anna").await;
    let approve = format!("/v1/namespaces/shop/requests/{request}/approve");
    let grant = actors.ok("anna", "POST", &approve, body).await;
    assert_ne!(grant["id"], json!(actors.grant));
    let again = world
        .call(actors.key("scribe"), "POST", target, Some(&run))
        .await;
    assert_eq!(again.status, 200, "{}", again.text());
    assert_eq!(again.json()["grant"], grant["id"]);
}

#[tokio::test]
async fn an_invitation_is_good_for_ten_minutes() {
    let actors = Actors::new().await;
    let world = &actors.world;
    let mut codes = Vec::new();
    for name in ["early", "late"] {
        let invitation = json!({"name": name, "roles": [{"role": "auditor", "namespace": "shop"}]});
        let made = actors
            .ok("alice", "POST", "/v1/operators", invitation)
            .await;
        codes.push(LinkCodeText::parse(made["code"].as_str().unwrap()).unwrap());
    }
    let join = async |code: &LinkCodeText| {
        let key = SigningKey::generate_p256(&SystemEntropy).unwrap();
        let body = serde_json::to_vec(&join_body(code, &key)).unwrap();
        let answer = world
            .send(&Sent::new("POST", "/v1/join", Some(&body)))
            .await;
        (answer, key)
    };
    world.clock.turn(Duration::from_secs(599));
    let (early, _) = join(&codes[0]).await;
    assert_eq!(early.status, 200, "{}", early.text());
    world.clock.turn(Duration::from_secs(1));
    let (late, key) = join(&codes[1]).await;
    late.expect("code_refused", Some("code_expired"), None, "late");
    // And the key that came too late is nobody's.
    let list = world.call(&key, "GET", "/v1/namespaces", None).await;
    list.expect("unauthorized", Some("unknown_agent"), None, "late");
    let operators = actors
        .ok("alice", "GET", "/v1/operators", Value::Null)
        .await;
    let names: Vec<&str> = operators["operators"]
        .as_array()
        .unwrap()
        .iter()
        .map(|operator| operator["name"].as_str().unwrap())
        .collect();
    assert!(names.contains(&"early") && !names.contains(&"late"));
}
