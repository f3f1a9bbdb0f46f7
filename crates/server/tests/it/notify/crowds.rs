//! Many receivers of one namespace that hang, and many tries of channels: others are not
//! held up by them.

use super::receiver::{Receiver, Says, status};
use super::{actors, credential, eventually, remind, tried, webhook};
use crate::actors::Actors;
use crate::world::{Answer, World};
use procura_types::Duration;
use serde_json::{Value, json};
use std::time::Instant;

/// Sends a message to see whether a channel works.
async fn tries(actors: &Actors, by: &str, target: &str) -> Answer {
    let world = &actors.world;
    world.call(actors.key(by), "POST", target, None).await
}

/// Puts a webhook at the URL, and a route of everything to it.
async fn channel(actors: &Actors, by: &str, (name, query): (&str, &str), url: &str) {
    let body = json!({"kind": "webhook", "credential_b64": credential(url)});
    let target = format!("/v1/notify/channels/{name}{query}");
    actors.ok(by, "PUT", &target, body).await;
    let target = format!("/v1/notify/routes/{name}{query}");
    actors
        .ok(by, "PUT", &target, json!({"channel": name}))
        .await;
}

#[tokio::test]
async fn a_crowd_of_receivers_that_hang_holds_up_no_other_namespace() {
    let (slow, quick) = (Receiver::start().await, Receiver::start().await);
    slow.says(Says::Slowly);
    let actors = actors().await;
    // More than there may be messages on their way in all.
    for number in 0..20 {
        let name = format!("c{number}");
        let place = (name.as_str(), "?namespace=bank");
        channel(&actors, "bert", place, &slow.url).await;
    }
    webhook(&actors, &quick.url, 100).await;
    let target = "/v1/namespaces/bank/agents/robber";
    actors.ok("bert", "DELETE", target, Value::Null).await;
    eventually("they hang", async || (slow.got().len() == 4).then_some(())).await;
    let since = Instant::now();
    remind(&actors, 0..3).await;
    eventually("the others are told", async || {
        (quick.told().len() == 3).then_some(())
    })
    .await;
    // A receiver that hangs does so for ten seconds.
    assert!(
        since.elapsed() < Duration::from_secs(5),
        "{:?}",
        since.elapsed()
    );
    assert!(slow.got().len() <= 4, "{}", slow.got().len());
}

#[tokio::test]
async fn an_operator_tries_channels_so_often_in_a_minute() {
    let receiver = Receiver::start().await;
    let actors = Actors::within(World::standing(|_| {})).await;
    webhook(&actors, &receiver.url, 6000).await;
    for number in 0..20 {
        assert_eq!(tried(&actors).await.status, 204, "{number}");
    }
    let answer = tried(&actors).await;
    answer.expect("rate_limited", Some("rate_limited"), None, "the 21st");
    assert_eq!(answer.status, 429);
    assert_eq!(answer.headers["retry-after"], "3");
    assert_eq!(receiver.got().len(), 20);
    // Nothing is recorded of it, and others have their own.
    assert_eq!(actors.recorded("notify.test").await.len(), 20);
    let target = "/v1/notify/channels/ops/test?namespace=shop";
    assert_eq!(tries(&actors, "alice", target).await.status, 204);
    actors.world.clock.turn(Duration::from_secs(3));
    assert_eq!(tried(&actors).await.status, 204);
    assert_eq!(tried(&actors).await.status, 429);
}

#[tokio::test]
async fn few_tries_of_channels_are_on_their_way_at_once() {
    let slow = Receiver::start().await;
    slow.says(Says::Slowly);
    let actors = actors().await;
    for (by, query) in [
        ("adam", "?namespace=shop"),
        ("bert", "?namespace=bank"),
        ("alice", ""),
    ] {
        let body = json!({"kind": "webhook", "credential_b64": credential(&slow.url)});
        let target = format!("/v1/notify/channels/ops{query}");
        actors.ok(by, "PUT", &target, body).await;
    }
    let shop = "/v1/notify/channels/ops/test?namespace=shop";
    let bank = "/v1/notify/channels/ops/test?namespace=bank";
    let installation = "/v1/notify/channels/ops/test";
    let waits_for = async |count: usize| {
        eventually("they hang", async || {
            (slow.got().len() == count).then_some(())
        })
        .await;
    };
    let over = async |by: &str, target: &str| {
        let answer = tries(&actors, by, target).await;
        answer.expect("rate_limited", Some("tests_at_once"), None, target);
        assert_eq!(answer.status, 429);
        assert_eq!(answer.headers["retry-after"], "10");
    };
    let refused = async {
        waits_for(2).await;
        // Two of one namespace, whoever asks; another has its own.
        over("adam", shop).await;
        over("alice", shop).await;
        let of_bank = async {
            waits_for(4).await;
            // Four in all.
            over("bert", bank).await;
            over("alice", installation).await;
        };
        tokio::join!(
            tries(&actors, "bert", bank),
            tries(&actors, "bert", bank),
            of_bank
        )
    };
    let (one, two, (three, four, ())) = tokio::join!(
        tries(&actors, "adam", shop),
        tries(&actors, "adam", shop),
        refused
    );
    for answer in [one, two, three, four] {
        answer.expect("receiver_failed", None, None, "it hangs");
    }
    assert_eq!(slow.got().len(), 4);
    // When they are over there is room again.
    slow.says(status("204 No Content"));
    for (by, target) in [("adam", shop), ("bert", bank), ("alice", installation)] {
        assert_eq!(tries(&actors, by, target).await.status, 204, "{target}");
    }
}
