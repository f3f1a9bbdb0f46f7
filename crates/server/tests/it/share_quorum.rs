//! Shares where there are several stewards: made as a quorum of stewards agreed.

use crate::actors::{Actors, join_body};
use crate::world::{Answer, PASSPHRASE};
use procura_crypto::{SigningKey, SystemEntropy};
use procura_types::wire::Proposal;
use procura_types::{LinkCodeText, encoding};
use serde_json::{Value, json};

fn shares(name: &str, threshold: u8, count: u8, proposal: Option<&Proposal>) -> Value {
    let mut body = json!({
        "open": {"passphrase": PASSPHRASE},
        "name": name,
        "source": {"shares": {"threshold": threshold, "count": count}},
    });
    if let Some(proposal) = proposal {
        body["proposal"] = json!(proposal.id);
    }
    body
}

async fn add(actors: &Actors, body: Value) -> Answer {
    actors
        .world
        .admin("POST", "/admin/unseal-sources", &body)
        .await
}

/// Another steward.
pub(crate) async fn steward(actors: &Actors, name: &str) -> SigningKey {
    let roles = json!({"name": name, "roles": [{"role": "steward"}]});
    let code = actors.ok("alice", "POST", "/v1/operators", roles).await;
    let code = LinkCodeText::parse(code["code"].as_str().unwrap()).unwrap();
    let key = SigningKey::generate_p256(&SystemEntropy).unwrap();
    let body = serde_json::to_vec(&join_body(&code, &key)).unwrap();
    let sent = crate::world::Sent::new("POST", "/v1/join", Some(&body));
    let answer = actors.world.send(&sent).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    key
}

async fn propose(actors: &Actors, name: &str, count: u8, retires: Option<&str>) -> Proposal {
    let mut act = json!({"name": name, "threshold": 2, "count": count});
    if let Some(retires) = retires {
        act["retires"] = json!(retires);
    }
    let body = json!({"act": {"make_shares": act}});
    let made = actors.ok("alice", "POST", "/v1/proposals", body).await;
    serde_json::from_value(made).unwrap()
}

pub(crate) async fn sign(actors: &Actors, key: &SigningKey, proposal: &Proposal) -> Proposal {
    let signature = key.sign(&proposal.message(&actors.installation)).unwrap();
    let target = format!("/v1/proposals/{}/sign", proposal.id);
    let body = json!({"signature": encoding::b64url(&signature)});
    let signed = actors.world.ok(key, "POST", &target, body).await;
    serde_json::from_value(signed).unwrap()
}

fn count(answer: &Answer) -> usize {
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()["shares"].as_array().unwrap().len()
}

#[tokio::test]
async fn what_opens_the_vault_is_not_enough_among_several_stewards() {
    let actors = Actors::new().await;
    let bea = steward(&actors, "bea").await;
    let alice = actors.key("alice");
    let why = "no proposal";
    add(&actors, shares("recovery", 2, 3, None)).await.expect(
        "forbidden",
        Some("quorum_needed"),
        None,
        why,
    );

    let proposal = propose(&actors, "recovery", 3, None).await;
    sign(&actors, alice, &proposal).await;
    add(&actors, shares("recovery", 2, 3, Some(&proposal)))
        .await
        .expect("conflict", Some("not_agreed"), None, "one of two");
    sign(&actors, &bea, &proposal).await;
    for (body, what) in [
        (shares("another", 2, 3, Some(&proposal)), "another name"),
        (shares("recovery", 2, 4, Some(&proposal)), "another count"),
        (
            shares("recovery", 3, 3, Some(&proposal)),
            "another threshold",
        ),
    ] {
        add(&actors, body)
            .await
            .expect("conflict", Some("other_proposal"), None, what);
    }
    // A quorum is not enough either.
    let mut wrong = shares("recovery", 2, 3, Some(&proposal));
    wrong["open"] = json!({"passphrase": "not the passphrase"});
    add(&actors, wrong)
        .await
        .expect("wrong_passphrase", None, None, "without what opens it");

    let made = add(&actors, shares("recovery", 2, 3, Some(&proposal))).await;
    assert_eq!(count(&made), 3);
    assert_eq!(made.json()["retired"], json!([]));
    add(&actors, shares("recovery2", 2, 3, Some(&proposal)))
        .await
        .expect("conflict", Some("proposal_over"), None, "twice");
    let target = "/v1/ledger/entries?action=unseal_source.add&limit=1";
    let found = actors.ok("alice", "GET", target, Value::Null).await;
    let entry = found["entries"][0]["entry"].as_str().unwrap();
    let words = format!("proposal {}", proposal.id);
    assert!(entry.contains(&words), "{entry}");
}

#[tokio::test]
async fn one_steward_among_operators_makes_shares_alone() {
    let actors = Actors::new().await;
    let listed = actors
        .ok("alice", "GET", "/v1/operators", Value::Null)
        .await;
    assert!(listed["operators"].as_array().unwrap().len() > 1);
    let made = add(&actors, shares("recovery", 2, 3, None)).await;
    assert_eq!(count(&made), 3);
}

#[tokio::test]
async fn a_new_set_takes_the_place_of_the_one_before() {
    let actors = Actors::new().await;
    let bea = steward(&actors, "bea").await;
    let alice = actors.key("alice");
    let agree = async |proposal: &Proposal| {
        sign(&actors, alice, proposal).await;
        sign(&actors, &bea, proposal).await;
    };
    let first = propose(&actors, "recovery", 3, None).await;
    agree(&first).await;
    let old = add(&actors, shares("recovery", 2, 3, Some(&first))).await;
    assert_eq!(count(&old), 3);

    // Who signed has to have known that the old ones go.
    let blind = propose(&actors, "recovery2", 3, None).await;
    agree(&blind).await;
    add(&actors, shares("recovery2", 2, 3, Some(&blind)))
        .await
        .expect("conflict", Some("other_proposal"), None, "retires one");
    let second = propose(&actors, "recovery2", 3, Some("recovery")).await;
    agree(&second).await;
    let new = add(&actors, shares("recovery2", 2, 3, Some(&second))).await;
    assert_eq!(count(&new), 3);
    assert_eq!(new.json()["retired"], json!(["recovery"]));

    let listed = actors
        .world
        .admin("GET", "/admin/unseal-sources", &Value::Null)
        .await
        .json();
    let names = listed["sources"].as_array().unwrap().iter();
    let names: Vec<_> = names.map(|source| source["name"].clone()).collect();
    assert_eq!(names, [json!("passphrase"), json!("recovery2")]);

    actors.world.seal().await;
    let old = json!({"shares": [old.json()["shares"][0], old.json()["shares"][1]]});
    actors
        .world
        .admin("POST", "/admin/unseal", &old)
        .await
        .expect("share_other_set", None, None, "the set of before");
    let new = json!({"shares": [new.json()["shares"][2], new.json()["shares"][0]]});
    let opened = actors.world.admin("POST", "/admin/unseal", &new).await;
    assert_eq!(opened.status, 204, "{}", opened.text());
}
