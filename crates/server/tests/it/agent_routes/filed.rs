//! Ids that have a key file: whoever holds the file's key is that agent towards all
//! services, so nobody gets the id by being an admin somewhere.

use super::agent::{Maker, START, ask, complete, ed25519};
use crate::actors::Actors;
use crate::key_server::{line_of, put_file};
use procura_crypto::SigningKey;
use procura_proof::foreign::Foreign;
use procura_types::Role;
use serde_json::{Value, json};

const ENROL: &str = "/agent/enroll/start";
const ID: &str = "/v1/namespaces/shop/foreign-ids/Agent_7";
const KEYED: [Foreign; 2] = [Foreign::KeyServerV1, Foreign::GuideV1];

fn wanted() -> Value {
    json!({"namespace": "shop", "agent": "scribe", "agent_id": "Agent_7"})
}

fn bind() -> Value {
    json!({"agent": "scribe"})
}

/// Puts the key in the place of the id's file.
fn file(actors: &Actors, key: &SigningKey) {
    let line = line_of(key.public().as_bytes());
    put_file(actors.world.home.path(), "Agent_7", &line);
}

fn remove(actors: &Actors) {
    let path = actors.world.home.path().join("keys/agents/Agent_7.pub");
    std::fs::remove_file(path).unwrap();
}

/// That the holder of one key is the agent, and that of the other is not.
async fn is_of(actors: &Actors, victim: &SigningKey, thief: &SigningKey) {
    for profile in KEYED {
        let by = |key| Maker {
            id: "Agent_7",
            key,
            secret: "",
            session: None,
        };
        let answer = ask(actors, &by(victim), profile, START, &json!({})).await;
        answer.good(profile.as_str());
        let answer = ask(actors, &by(thief), profile, START, &json!({})).await;
        answer.error(401, "bad_signature", profile.as_str());
    }
}

#[tokio::test]
async fn nobody_is_enrolled_under_an_id_that_has_a_key_file() {
    let actors = Actors::new().await;
    let (victim, thief) = (ed25519(), ed25519());
    let started = actors.ok("adam", "POST", ENROL, wanted()).await;
    file(&actors, &victim);
    // Whoever asks, and also for an agent that would be made.
    let made = json!({"namespace": "shop", "agent_id": "Agent_7"});
    for who in ["adam", "alice"] {
        for body in [wanted(), made.clone()] {
            let key = actors.key(who);
            let answer = actors.world.call(key, "POST", ENROL, Some(&body)).await;
            answer.error(409, "id_has_key_file", who);
        }
    }
    // Nor by a code from before.
    complete(&actors, &started, &thief)
        .await
        .error(409, "id_has_key_file", "a code from before");
    is_of(&actors, &victim, &thief).await;
    // What is no key now may be one in a moment.
    put_file(actors.world.home.path(), "Agent_7", "not yet");
    complete(&actors, &started, &thief)
        .await
        .error(409, "id_has_key_file", "no key yet");
    // Who may remove the file may let another key in; the code is still good.
    remove(&actors);
    complete(&actors, &started, &thief).await.good("removed");
}

#[tokio::test]
async fn to_bind_an_id_that_has_a_key_file_takes_a_steward() {
    let actors = Actors::new().await;
    let (victim, thief) = (ed25519(), ed25519());
    file(&actors, &victim);
    let refused = async |what: &str| {
        let adam = actors.key("adam");
        let answer = actors.world.call(adam, "PUT", ID, Some(&bind())).await;
        answer.expect("forbidden", None, None, what);
        let problem = answer.problem(what);
        assert_eq!(problem.status, 403);
        assert_eq!(problem.roles, [Role::Steward]);
        assert_eq!(problem.action.as_deref(), Some("foreign.bind"));
        assert!(
            problem.detail.contains("role steward"),
            "{}",
            problem.detail
        );
    };
    refused("an admin alone").await;
    // There is nothing to make secrets of.
    let secret = format!("{ID}/secret");
    let adam = actors.key("adam");
    let answer = actors
        .world
        .call(adam, "POST", &secret, Some(&json!({})))
        .await;
    answer.expect("not_found", None, None, "no secret");
    let rotate = json!({"agent_id": "Agent_7"});
    let target = "/agent/secret/rotate";
    let answer = actors.world.call(adam, "POST", target, Some(&rotate)).await;
    answer.error(404, "not_found", "no secret");
    is_of(&actors, &victim, &thief).await;
    // Once a steward bound it, it is of the namespace as any other, until it is released.
    actors.ok("alice", "PUT", ID, bind()).await;
    is_of(&actors, &victim, &thief).await;
    actors.ok("adam", "POST", &secret, json!({})).await;
    actors.ok("adam", "DELETE", ID, Value::Null).await;
    refused("released").await;
    remove(&actors);
    actors.ok("adam", "PUT", ID, bind()).await;
}

#[tokio::test]
async fn while_the_files_cannot_be_read_nobody_gets_an_id() {
    let actors = Actors::new().await;
    let started = actors.ok("adam", "POST", ENROL, wanted()).await;
    let keys = actors.world.home.path().join("keys");
    match std::fs::remove_dir_all(&keys) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => panic!("{error}"),
        _ => std::fs::write(&keys, "").unwrap(),
    }
    for who in ["adam", "alice"] {
        let key = actors.key(who);
        let answer = actors.world.call(key, "POST", ENROL, Some(&wanted())).await;
        answer.error(503, "verifier_unavailable", who);
        let answer = actors.world.call(key, "PUT", ID, Some(&bind())).await;
        answer.expect("verifier_unavailable", None, None, who);
        assert_eq!(answer.status, 503);
    }
    complete(&actors, &started, &ed25519()).await.error(
        503,
        "verifier_unavailable",
        "a code from before",
    );
}
