//! A yes to a device that can no longer be kept when the device collects it: answered in
//! the words of OAuth, and recorded with the agent whose device it would have been.

use crate::actors::Actors;
use crate::device_grants::{Host, approve, refused};
use procura_crypto::SigningKey;
use procura_types::Duration;
use serde_json::{Value, json};

const AGENTS: &str = "/v1/namespaces/shop/agents";

/// The id of the agent whose device the hosts are said to be.
async fn baker(actors: &Actors) -> Value {
    let list = actors.ok("adam", "GET", AGENTS, Value::Null).await;
    let agents = list["agents"].as_array().unwrap();
    let found = agents.iter().find(|agent| agent["label"] == "baker");
    found.unwrap()["actor_id"].clone()
}

/// That the newest refusal to join is this one.
async fn stands(actors: &Actors, host: &Host, agent: &Value, reason: &str) {
    let entries = actors.recorded("device.join").await;
    let entry = entries.iter().find(|entry| entry["decision"] == "deny");
    let entry = entry.unwrap_or_else(|| panic!("{reason}: not recorded"));
    assert_eq!(entry["reason"], reason);
    assert_eq!(&entry["actor"], agent, "{reason}: {entry}");
    assert_eq!(entry["device"], json!(host.device()), "{reason}: {entry}");
    assert_eq!(entry["namespace"], "shop", "{reason}: {entry}");
    let resource = format!("device/{}", host.device());
    assert_eq!(entry["resource"], resource, "{reason}: {entry}");
}

#[tokio::test]
async fn an_agent_that_is_gone_takes_no_device() {
    let actors = Actors::new().await;
    let (world, baker) = (&actors.world, baker(&actors).await);
    let host = Host::asks(world).await;
    approve(&actors, &host).await;
    let target = format!("{AGENTS}/baker");
    actors.ok("adam", "DELETE", &target, Value::Null).await;
    let answer = host.looks(world).await;
    refused(&answer, 400, "access_denied", "a revoked agent");
    stands(&actors, &host, &baker, "actor_revoked").await;
}

#[tokio::test]
async fn a_yes_ends_with_the_device_that_it_was_said_with() {
    let actors = Actors::new().await;
    let (world, baker) = (&actors.world, baker(&actors).await);
    let host = Host::asks(world).await;
    approve(&actors, &host).await;
    let target = format!("/v1/devices/{}/revoke", actors.device("adam"));
    actors.ok("alice", "POST", &target, Value::Null).await;
    let answer = host.looks(world).await;
    refused(&answer, 400, "access_denied", "an approver without device");
    stands(&actors, &host, &baker, "approver_gone").await;
}

#[tokio::test]
async fn a_key_that_became_a_device_meanwhile_is_not_bound_again() {
    let actors = Actors::new().await;
    let (world, baker) = (&actors.world, baker(&actors).await);
    let host = Host::asks(world).await;
    let copy = SigningKey::from_secret_bytes(host.key.to_secret_bytes().expose()).unwrap();
    let again = Host::asks_with(world, copy).await;
    for asked in [&host, &again] {
        approve(&actors, asked).await;
    }
    assert_eq!(host.looks(world).await.status, 200);
    let answer = again.looks(world).await;
    refused(&answer, 400, "invalid_grant", "a device already");
    stands(&actors, &again, &baker, "device_bound").await;
}

#[tokio::test]
async fn a_yes_that_was_not_collected_in_time_is_over() {
    let actors = Actors::new().await;
    let (world, baker) = (&actors.world, baker(&actors).await);
    let (host, unanswered) = (Host::asks(world).await, Host::asks(world).await);
    approve(&actors, &host).await;
    world.clock.turn(Duration::from_secs(600));
    // Nobody said anything to this one, so that there is nothing to tell.
    let answer = unanswered.looks(world).await;
    refused(&answer, 400, "expired_token", "never answered");
    let entries = actors.recorded("device.join").await;
    assert!(entries.iter().all(|entry| entry["decision"] == "allow"));
    let answer = host.looks(world).await;
    refused(&answer, 400, "expired_token", "too late");
    stands(&actors, &host, &baker, "code_expired").await;
}
