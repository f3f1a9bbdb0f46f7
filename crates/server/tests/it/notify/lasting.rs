//! What waits is told in the end, once each as far as anybody can know: through restarts,
//! through an hour without the receiver, and in few messages when it is much.

use super::mailbox::Mailbox;
use super::receiver::{Receiver, status};
use super::{actors, eventually, put, queue, queues, remind, remind_by, webhook};
use crate::actors::Actors;
use procura_store::{Blob, KeyPrefix, Kind, Table};
use procura_types::{Duration, Label};
use serde_json::{Value, json};

/// As the server has them.
const WAITING: Table<(String, Label, u64), Value> = Table::new("notify-waiting", Kind::Ordinary);
const CREDENTIALS: Table<(String, Label), Blob> = Table::new("notify-credential", Kind::Ordinary);

/// Turns the clock until the receiver was told of so many.
async fn until_told(actors: &Actors, receiver: &Receiver, count: usize) {
    eventually("all are told", async || {
        actors.world.clock.turn(Duration::from_secs(61));
        (receiver.told().len() >= count).then_some(())
    })
    .await;
}

#[tokio::test]
async fn ten_thousand_that_wait_survive_a_restart() {
    let down = Receiver::start().await;
    let url = down.url.clone();
    let actors = actors().await;
    webhook(&actors, &url, 1).await;
    drop(down);
    remind(&actors, 0..10_000).await;
    eventually("all of them wait", async || {
        (queue(&actors).await["waiting"] == 10_000).then_some(())
    })
    .await;
    actors.world.seal().await;
    actors.world.unseal().await;
    assert_eq!(queue(&actors).await["waiting"], 10_000);
    let up = Receiver::at(url.strip_prefix("http://").unwrap()).await;
    until_told(&actors, &up, 10_000).await;
    assert_eq!(queue(&actors).await["dead"], 0);
    let told = up.told();
    assert_eq!(told.len(), 10_000);
    assert!(told.values().all(|count| *count == 1));
}

#[tokio::test]
async fn what_memory_does_not_reach_back_to_is_read_from_the_record() {
    let receiver = Receiver::start().await;
    let actors = actors().await;
    // Before there is a route nobody is told.
    remind(&actors, 0..5).await;
    webhook(&actors, &receiver.url, 1).await;
    // More than is kept for those who follow, so that the first are gone there.
    remind_by(&actors, 5..5005, 5000).await;
    until_told(&actors, &receiver, 5000).await;
    let told = receiver.told();
    assert_eq!(told.len(), 5000);
    assert!(!told.contains_key("secret/shop/date/4"));
    assert!(told.values().all(|count| *count == 1));
}

#[tokio::test]
async fn an_hour_without_the_receiver_loses_nothing() {
    let down = Receiver::start().await;
    let url = down.url.clone();
    let actors = actors().await;
    webhook(&actors, &url, 20).await;
    drop(down);
    // Beside it a mail server, which nobody reaches either.
    let mut mailbox = Mailbox::closed();
    let mail = json!({
        "host": "localhost", "port": mailbox.port, "tls": "tls",
        "from": "procura@example.com", "to": ["ops@example.com"],
    });
    let channel = json!({"kind": "mail", "mail": mail, "ca_pem": mailbox.ca_pem});
    let answer = put(&actors, "post", &channel).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let target = "/v1/notify/routes/post?namespace=shop";
    let post = json!({"channel": "post"});
    actors.ok("adam", "PUT", target, post).await;
    remind(&actors, 0..3).await;
    let clock = &actors.world.clock;
    // Each look is a try, if one is due.
    for _ in 0..60 {
        clock.turn(Duration::from_secs(60));
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
    let found = eventually("tries", async || {
        clock.turn(Duration::from_secs(1));
        let queues = queues(&actors).await;
        let tried = queues.iter().all(|queue| !queue["failure"].is_null());
        (queues.len() == 2 && tried).then_some(queues)
    })
    .await;
    for (queue, (channel, failure)) in found.iter().zip([
        ("ops", "the receiver takes no connection"),
        ("post", "the mail server takes no connection"),
    ]) {
        assert_eq!(queue["channel"], channel);
        assert_eq!((&queue["waiting"], &queue["dead"]), (&json!(3), &json!(0)));
        assert_eq!(queue["failure"], failure);
    }
    let up = Receiver::at(url.strip_prefix("http://").unwrap()).await;
    mailbox.open();
    until_told(&actors, &up, 3).await;
    eventually("nothing waits", async || {
        clock.turn(Duration::from_secs(61));
        let queues = queues(&actors).await;
        let all = queues.iter().all(|queue| queue["waiting"] == 0);
        all.then_some(())
    })
    .await;
    // Of each thing once, by either way.
    let told = up.told();
    assert_eq!(told.len(), 3);
    assert!(told.values().all(|count| *count == 1), "{told:?}");
    let texts = mailbox.texts().join("\n");
    for number in 0..3 {
        let times = texts.matches(&format!("secret/shop/date/{number}")).count();
        assert_eq!(times, 1, "{number}: {texts}");
    }
}

#[tokio::test]
async fn what_cannot_arrive_is_given_up_shown_and_tried_again_on_demand() {
    let receiver = Receiver::start().await;
    receiver.says(status("404 Not Found"));
    let actors = actors().await;
    webhook(&actors, &receiver.url, 100).await;
    remind(&actors, 0..3).await;
    eventually("three are given up", async || {
        (queue(&actors).await["dead"] == 3).then_some(())
    })
    .await;
    let target = "/v1/notify/dead?namespace=shop";
    let dead = actors.ok("adam", "GET", target, Value::Null).await;
    let dead = dead["deliveries"].as_array().unwrap().clone();
    assert_eq!(dead.len(), 3);
    for delivery in &dead {
        assert_eq!(delivery["tries"], 1);
        assert_eq!(delivery["event"], "reminder");
        assert_eq!(
            delivery["failure"],
            "the receiver does not know the channel's credential (404)"
        );
    }
    // One is forgotten, the others are tried again.
    let id = dead[0]["id"].as_str().unwrap();
    let entry: u64 = id.split_once('/').unwrap().1.parse().unwrap();
    let pick = json!({"channel": "ops", "entries": [entry]});
    let target = "/v1/notify/dead/drop?namespace=shop";
    let done = actors.ok("adam", "POST", target, pick).await;
    assert_eq!(done, json!({"count": 1, "more": false}));
    receiver.says(status("200 OK"));
    let before = receiver.got().len();
    let target = "/v1/notify/dead/retry?namespace=shop";
    let done = actors
        .ok("adam", "POST", target, json!({"channel": "ops"}))
        .await;
    assert_eq!(done, json!({"count": 2, "more": false}));
    eventually("both arrive", async || {
        let queue = queue(&actors).await;
        (receiver.got().len() == before + 2 && queue["waiting"] == 0).then_some(())
    })
    .await;
    assert_eq!(queue(&actors).await["dead"], 0);
}

#[tokio::test]
async fn what_a_minute_does_not_take_is_one_message() {
    let receiver = Receiver::start().await;
    let actors = actors().await;
    webhook(&actors, &receiver.url, 3).await;
    receiver.says(status("503 Later"));
    remind(&actors, 0..40).await;
    eventually("all wait", async || {
        (queue(&actors).await["waiting"] == 40).then_some(())
    })
    .await;
    let before = receiver.got().len();
    receiver.says(status("200 OK"));
    eventually("nothing waits", async || {
        actors.world.clock.turn(Duration::from_secs(5));
        (queue(&actors).await["waiting"] == 0).then_some(())
    })
    .await;
    let after = receiver.got();
    let mut all = after.iter().map(super::receiver::Got::json);
    let digest = all.find(|body| body["kind"] == "digest").unwrap();
    assert!(digest["events"].as_array().unwrap().len() >= 30, "{digest}");
    let text = digest["text"].as_str().unwrap();
    assert!(text.contains("messages in one"), "{text}");
    assert!(text.contains("more, in the record"), "{text}");
    assert!(after.len() - before <= 12, "{}", after.len() - before);
}

#[tokio::test]
async fn a_receiver_that_hangs_holds_up_nobody() {
    let (slow, quick) = (Receiver::start().await, Receiver::start().await);
    slow.says(super::receiver::Says::Slowly);
    let actors = actors().await;
    webhook(&actors, &slow.url, 100).await;
    let other = json!({"kind": "webhook", "credential_b64": super::credential(&quick.url)});
    actors
        .ok("alice", "PUT", "/v1/notify/channels/other", other)
        .await;
    let route = json!({"channel": "other"});
    actors
        .ok("alice", "PUT", "/v1/notify/routes/other", route)
        .await;
    remind(&actors, 0..10).await;
    eventually("the quick one", async || {
        (quick.told().len() == 10).then_some(())
    })
    .await;
    assert!(slow.got().len() <= 1);
    // Sealing does not wait for it either.
    let since = std::time::Instant::now();
    actors.world.seal().await;
    assert!(since.elapsed() < Duration::from_secs(8));
}

#[tokio::test]
async fn the_end_of_a_namespace_ends_its_channels() {
    let receiver = Receiver::start().await;
    let actors = actors().await;
    webhook(&actors, &receiver.url, 1).await;
    receiver.says(status("503 Down"));
    remind(&actors, 0..5).await;
    eventually("they wait", async || {
        (queue(&actors).await["waiting"] == 5).then_some(())
    })
    .await;
    let target = "/v1/namespaces/shop";
    let delete = json!({"confirm": "shop"});
    actors.ok("alice", "DELETE", target, delete).await;
    let open = actors.world.app.open().unwrap();
    let store = open.vault.store();
    eventually("nothing is left", async || {
        let rows = store.snapshot().unwrap();
        let waiting = WAITING.scan(&rows, &KeyPrefix::all(), None, 10).unwrap();
        let kept = CREDENTIALS
            .scan(&rows, &KeyPrefix::all(), None, 10)
            .unwrap();
        (waiting.is_empty() && kept.is_empty()).then_some(())
    })
    .await;
}
