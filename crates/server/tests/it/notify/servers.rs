//! Several servers of one installation: one sends, whichever was asked, and another goes
//! on when that one goes.

use super::receiver::Receiver;
use super::{credential, eventually};
use crate::servers::Shared;
use crate::world::World;
use procura_crypto::SigningKey;
use serde_json::{Value, json};
use std::ops::Range;

/// Makes agents and revokes them: something to tell of.
async fn revoke(world: &World, root: &SigningKey, range: Range<u32>) {
    let agents = "/v1/namespaces/default/agents";
    for number in range {
        let label = format!("told-{number}");
        let agent = json!({"label": label});
        world.ok(root, "POST", agents, agent).await;
        let agent = format!("{agents}/{label}");
        world.ok(root, "DELETE", &agent, Value::Null).await;
    }
}

async fn until_told(receiver: &Receiver, count: usize) {
    eventually("all are told", async || {
        (receiver.told().len() >= count).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_of_several_servers_sends_and_another_goes_on() {
    let shared = Shared::new();
    let (one, two, root) = shared.two().await;
    let receiver = Receiver::start().await;
    let channel = json!({
        "kind": "webhook",
        "credential_b64": credential(&receiver.url),
        "per_minute": 6000,
    });
    let target = "/v1/notify/channels/ops?namespace=default";
    two.ok(&root, "PUT", target, channel).await;
    let route = json!({"channel": "ops", "events": ["revocation"]});
    let target = "/v1/notify/routes/all?namespace=default";
    two.ok(&root, "PUT", target, route).await;
    revoke(&one, &root, 0..5).await;
    revoke(&two, &root, 5..10).await;
    until_told(&receiver, 10).await;
    assert!(receiver.told().values().all(|count| *count == 1));
    one.seal().await;
    revoke(&two, &root, 10..15).await;
    until_told(&receiver, 15).await;
    one.unseal().await;
    two.seal().await;
    revoke(&one, &root, 15..20).await;
    until_told(&receiver, 20).await;
    let told = receiver.told();
    assert_eq!(told.len(), 20);
    // What was on its way at a seal may come once more.
    assert!(told.values().all(|count| *count <= 2), "{told:?}");
}
