//! Who is a steward, over the API: one cannot make the others fewer or more, a hold stops a
//! device at once, and a quorum carries out what it signed.

use crate::actors::{Actors, join_body};
use crate::world::Answer;
use procura_crypto::{SigningKey, SystemEntropy};
use procura_types::wire::Proposal;
use procura_types::{LinkCodeText, encoding};
use serde_json::{Value, json};

fn p256() -> SigningKey {
    SigningKey::generate_p256(&SystemEntropy).unwrap()
}

async fn joined(actors: &Actors, code: &Value) -> SigningKey {
    let code = LinkCodeText::parse(code["code"].as_str().unwrap()).unwrap();
    let key = p256();
    let body = serde_json::to_vec(&join_body(&code, &key)).unwrap();
    let sent = crate::world::Sent::new("POST", "/v1/join", Some(&body));
    let answer = actors.world.send(&sent).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    key
}

/// Two stewards besides alice, invited while she is the only one.
async fn stewards(actors: &Actors) -> [SigningKey; 2] {
    let mut codes = Vec::new();
    for name in ["bea", "cleo"] {
        let invitation = json!({"name": name, "roles": [{"role": "steward"}]});
        codes.push(
            actors
                .ok("alice", "POST", "/v1/operators", invitation)
                .await,
        );
    }
    [
        joined(actors, &codes[0]).await,
        joined(actors, &codes[1]).await,
    ]
}

async fn call(
    actors: &Actors,
    key: &SigningKey,
    method: &str,
    target: &str,
    body: Value,
) -> Answer {
    let body = (!body.is_null()).then_some(&body);
    actors.world.call(key, method, target, body).await
}

async fn propose(actors: &Actors, key: &SigningKey, act: Value) -> Proposal {
    let body = json!({ "act": act });
    let made = actors.world.ok(key, "POST", "/v1/proposals", body).await;
    serde_json::from_value(made).unwrap()
}

async fn sign(actors: &Actors, key: &SigningKey, proposal: &Proposal) -> Answer {
    let signature = key.sign(&proposal.message(&actors.installation)).unwrap();
    let target = format!("/v1/proposals/{}/sign", proposal.id);
    let body = json!({"signature": encoding::b64url(&signature)});
    call(actors, key, "POST", &target, body).await
}

#[tokio::test]
async fn one_steward_ends_none_of_the_others_and_makes_no_more() {
    let actors = Actors::new().await;
    let [bea, _] = stewards(&actors).await;
    let alice = actors.key("alice");
    let steward = json!([{"role": "steward"}]);
    let device = bea.public().thumbprint();
    for (method, target, body, reason) in [
        (
            "POST",
            "/v1/operators".to_owned(),
            json!({"name": "eve", "roles": steward}),
            "join_first",
        ),
        (
            "PUT",
            "/v1/operators/otto/roles".to_owned(),
            json!({"roles": steward}),
            "quorum_needed",
        ),
        (
            "PUT",
            "/v1/operators/bea/roles".to_owned(),
            json!({"roles": []}),
            "quorum_needed",
        ),
        (
            "DELETE",
            "/v1/operators/bea".to_owned(),
            Value::Null,
            "quorum_needed",
        ),
        (
            "POST",
            format!("/v1/devices/{device}/revoke"),
            Value::Null,
            "hold_instead",
        ),
    ] {
        let refused = call(&actors, alice, method, &target, body).await;
        refused.expect("forbidden", Some(reason), None, &target);
    }

    let proposal = propose(&actors, alice, json!({"remove_steward": {"name": "bea"}})).await;
    sign(&actors, alice, &proposal).await;
    let target = format!("/v1/operators/bea?proposal={}", proposal.id);
    let early = call(&actors, alice, "DELETE", &target, Value::Null).await;
    early.expect("conflict", Some("not_agreed"), None, "one of three");
    let signed = sign(&actors, &bea, &proposal).await;
    assert_eq!(signed.json()["state"], "agreed", "{}", signed.text());
    let other = format!("/v1/operators/cleo?proposal={}", proposal.id);
    let wrong = call(&actors, alice, "DELETE", &other, Value::Null).await;
    wrong.expect("conflict", Some("other_proposal"), None, "another one");
    let done = call(&actors, alice, "DELETE", &target, Value::Null).await;
    assert_eq!(done.status, 200, "{}", done.text());
    let listed = actors
        .ok("alice", "GET", "/v1/proposals", Value::Null)
        .await;
    assert_eq!(listed["proposals"][0]["state"], "done");
}

#[tokio::test]
async fn a_hold_stops_a_device_at_once_and_leaves_it_a_say() {
    let actors = Actors::new().await;
    let [bea, cleo] = stewards(&actors).await;
    let alice = actors.key("alice");
    let hold = |key: &SigningKey| format!("/v1/devices/{}/hold", key.public().thumbprint());
    for key in [&bea, &cleo] {
        let held = call(&actors, alice, "POST", &hold(key), Value::Null).await;
        assert_eq!(held.status, 204, "{}", held.text());
        let refused = call(&actors, key, "GET", "/v1/operators", Value::Null).await;
        refused.expect("device_quarantined", Some("quarantined"), None, "on hold");
    }
    let listed = actors
        .ok("alice", "GET", "/v1/quarantine", Value::Null)
        .await;
    let listed = listed["quarantined"].as_array().unwrap();
    assert_eq!(listed.len(), 2);
    assert!(listed.iter().all(|held| held["by"].is_string()));

    let shares = json!({"make_shares": {"name": "recovery", "threshold": 2, "count": 3}});
    let refused = call(
        &actors,
        &bea,
        "POST",
        "/v1/proposals",
        json!({"act": shares}),
    )
    .await;
    refused.expect("device_quarantined", Some("on_hold"), None, "for her");
    let proposal = propose(&actors, &bea, json!({"remove_steward": {"name": "alice"}})).await;
    for key in [&bea, &cleo] {
        let signed = sign(&actors, key, &proposal).await;
        assert_eq!(signed.status, 200, "{}", signed.text());
    }
    let target = format!("/v1/operators/alice?proposal={}", proposal.id);
    let done = call(&actors, &cleo, "DELETE", &target, Value::Null).await;
    assert_eq!(done.status, 200, "{}", done.text());
    let free = call(&actors, &bea, "GET", "/v1/operators", Value::Null).await;
    assert_eq!(free.status, 200, "{}", free.text());
}

#[tokio::test]
async fn a_no_is_kept_and_takes_a_yes_back() {
    let actors = Actors::new().await;
    let [bea, _] = stewards(&actors).await;
    let alice = actors.key("alice");
    let proposal = propose(&actors, alice, json!({"remove_steward": {"name": "bea"}})).await;
    assert!(proposal.unless_refused.is_some());
    sign(&actors, &bea, &proposal).await;
    let target = format!("/v1/proposals/{}/refuse", proposal.id);
    let refused = call(&actors, &bea, "POST", &target, json!({})).await.json();
    assert_eq!(refused["refused"].as_array().unwrap().len(), 1);
    assert_eq!(refused["signed"], json!([]));
}
