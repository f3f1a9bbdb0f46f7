//! No id is the name of an operator: a gate says either in the same field.

use super::agent::{complete, ed25519};
use crate::actors::{Actors, join_body};
use crate::world::{Answer, Sent};
use procura_crypto::{SigningKey, SystemEntropy};
use procura_types::LinkCodeText;
use serde_json::{Value, json};

const ENROL: &str = "/agent/enroll/start";
const OPERATORS: &str = "/v1/operators";

fn id(name: &str) -> String {
    format!("/v1/namespaces/shop/foreign-ids/{name}")
}

fn wanted(name: &str) -> Value {
    json!({"namespace": "shop", "agent": "scribe", "agent_id": name})
}

fn invitation(name: &str) -> Value {
    json!({"name": name, "roles": [{"role": "auditor", "namespace": "shop"}]})
}

async fn join(actors: &Actors, code: &Value) -> Answer {
    let code = LinkCodeText::parse(code["code"].as_str().unwrap()).unwrap();
    let key = SigningKey::generate_p256(&SystemEntropy).unwrap();
    let body = serde_json::to_vec(&join_body(&code, &key)).unwrap();
    let sent = Sent::new("POST", "/v1/join", Some(&body));
    actors.world.send(&sent).await
}

async fn is_no_id(actors: &Actors, name: &str) {
    let bind = json!({"agent": "scribe"});
    for who in ["adam", "alice"] {
        let key = actors.key(who);
        let answer = actors.world.call(key, "PUT", &id(name), Some(&bind)).await;
        answer.expect("conflict", Some("id_of_operator"), None, name);
        assert_eq!(answer.status, 409);
        let body = wanted(name);
        let answer = actors.world.call(key, "POST", ENROL, Some(&body)).await;
        answer.error(409, "id_of_operator", name);
    }
}

#[tokio::test]
async fn the_name_of_an_operator_is_no_id() {
    let actors = Actors::new().await;
    // Of whatever namespace they are.
    for name in ["alice", "anna", "bert"] {
        is_no_id(&actors, name).await;
    }
    // Of who became an operator while a code to enrol with was on its way.
    let started = actors.ok("adam", "POST", ENROL, wanted("carol")).await;
    let code = actors
        .ok("alice", "POST", OPERATORS, invitation("carol"))
        .await;
    assert_eq!(join(&actors, &code).await.status, 200);
    complete(&actors, &started, &ed25519())
        .await
        .error(409, "id_of_operator", "carol is here");
    is_no_id(&actors, "carol").await;
}

#[tokio::test]
async fn an_id_is_no_name_of_an_operator() {
    let actors = Actors::new().await;
    let bind = || json!({"agent": "scribe"});
    let code = actors
        .ok("alice", "POST", OPERATORS, invitation("carol"))
        .await;
    actors.ok("adam", "PUT", &id("carol"), bind()).await;
    let alice = actors.key("alice");
    let again = invitation("carol");
    let answer = actors
        .world
        .call(alice, "POST", OPERATORS, Some(&again))
        .await;
    answer.expect("already_exists", None, None, "invited");
    assert_eq!(answer.status, 409);
    let answer = join(&actors, &code).await;
    answer.expect("already_exists", None, None, "joins");
    assert_eq!(answer.status, 409);
    // Whose name it is is for the admin to say; the code is still good.
    actors.ok("adam", "DELETE", &id("carol"), Value::Null).await;
    assert_eq!(join(&actors, &code).await.status, 200);
}
