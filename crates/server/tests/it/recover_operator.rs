//! Another key of an operator whose own is lost: made on the admin socket, with what opens
//! the vault, and told to everybody.

use crate::actors::{Actors, join_body};
use crate::world::{Answer, PASSPHRASE, Sent};
use procura_crypto::{SigningKey, SystemEntropy};
use procura_types::{LinkCodeText, ProposalId};
use serde_json::{Value, json};

fn body(name: &str, passphrase: &str) -> Value {
    json!({"open": {"passphrase": passphrase}, "name": name})
}

async fn recover(actors: &Actors, body: Value) -> Answer {
    let target = "/admin/operators/recover";
    actors.world.admin("POST", target, &body).await
}

async fn join(actors: &Actors, code: &Value, key: &SigningKey) -> Answer {
    let code = LinkCodeText::parse(code["code"].as_str().unwrap()).unwrap();
    let body = serde_json::to_vec(&join_body(&code, key)).unwrap();
    actors
        .world
        .send(&Sent::new("POST", "/v1/join", Some(&body)))
        .await
}

/// What a device of an operator is told of when it signs in.
async fn told(actors: &Actors, key: &SigningKey) -> Vec<Value> {
    let audience = json!({"audience": "procura"});
    let session = actors.world.ok(key, "POST", "/v1/sessions", audience).await;
    let recoveries = session.get("recoveries").and_then(Value::as_array);
    recoveries.cloned().unwrap_or_default()
}

#[tokio::test]
async fn what_opens_the_vault_lets_another_key_of_the_steward_join() {
    let actors = Actors::new().await;
    recover(&actors, body("alice", "not the passphrase"))
        .await
        .expect("wrong_passphrase", None, None, "without what opens it");
    recover(&actors, body("nobody", PASSPHRASE)).await.expect(
        "not_found",
        None,
        None,
        "no such operator",
    );
    recover(&actors, json!({"name": "alice"})).await.expect(
        "invalid_json",
        None,
        None,
        "nothing is brought",
    );

    // With one steward nobody looks at an agreement, and the record names none.
    let now = actors.world.app.clock.now();
    let made_up = ProposalId::generate(now, &SystemEntropy).unwrap();
    let mut unneeded = body("alice", PASSPHRASE);
    unneeded["proposal"] = json!(made_up);
    let made = recover(&actors, unneeded).await;
    assert_eq!(made.status, 201, "{}", made.text());
    let key = SigningKey::generate_p256(&SystemEntropy).unwrap();
    let joined = join(&actors, &made.json(), &key).await;
    assert_eq!(joined.status, 200, "{}", joined.text());
    assert_eq!(joined.json()["label"], "alice");
    let world = &actors.world;
    world.ok(&key, "GET", "/v1/operators", Value::Null).await;

    let target = "/v1/ledger/entries?action=operator.recover&limit=9";
    let found = world.ok(&key, "GET", target, Value::Null).await;
    let entries = found["entries"].as_array().unwrap();
    assert_eq!(entries.len(), 1, "{found}");
    let entry: Value = serde_json::from_str(entries[0]["entry"].as_str().unwrap()).unwrap();
    let resource = "operator/alice unseal_source/passphrase";
    assert_eq!(entry["resource"], json!(resource), "{entry}");
    assert_eq!(entry["decision"], "allow");

    // Every operator hears of it when they sign in.
    for key in [&key, actors.key("otto")] {
        let told = told(&actors, key).await;
        assert_eq!(told.len(), 1);
        assert_eq!(
            (&told[0]["operator"], &told[0]["source"]),
            (&json!("alice"), &json!("passphrase"))
        );
    }
}

#[tokio::test]
async fn whoever_joined_so_keeps_nobody_else_from_hearing_of_it() {
    let actors = Actors::new().await;
    let world = &actors.world;
    let made = recover(&actors, body("alice", PASSPHRASE)).await.json();
    let thief = SigningKey::generate_p256(&SystemEntropy).unwrap();
    assert_eq!(join(&actors, &made, &thief).await.status, 200);
    let seen = async |key: &SigningKey| {
        let until = told(&actors, key).await[0]["time"].clone();
        let body = json!({"until": until});
        let said = world
            .call(key, "POST", "/v1/recoveries/seen", Some(&body))
            .await;
        assert_eq!(said.status, 204, "{}", said.text());
    };
    // It acts as alice, and says that she knows.
    seen(&thief).await;
    assert_eq!(told(&actors, &thief).await.len(), 0);
    for name in ["alice", "otto"] {
        assert_eq!(told(&actors, actors.key(name)).await.len(), 1, "{name}");
    }
    // Who says it of their own device is not told again.
    seen(actors.key("alice")).await;
    assert_eq!(told(&actors, actors.key("alice")).await.len(), 0);
}

#[tokio::test]
async fn among_several_stewards_it_takes_a_quorum() {
    let actors = Actors::new().await;
    let invitation = json!({"name": "bea", "roles": [{"role": "steward"}]});
    let code = actors
        .ok("alice", "POST", "/v1/operators", invitation)
        .await;
    let bea = SigningKey::generate_p256(&SystemEntropy).unwrap();
    assert_eq!(join(&actors, &code, &bea).await.status, 200);
    for name in ["bea", "alice", "otto"] {
        recover(&actors, body(name, PASSPHRASE)).await.expect(
            "forbidden",
            Some("quorum_needed"),
            None,
            name,
        );
    }
    assert_eq!(told(&actors, actors.key("otto")).await.len(), 0);
}
