//! A stop lets what runs come to its end, and no longer than that.

use crate::client::{Raw, http2, proven, read, request2};
use crate::upstream::App;
use crate::world::{World, within};
use procura_types::Duration;
use tokio::net::TcpStream;

#[tokio::test]
async fn what_runs_comes_to_its_end() {
    let app = App::http1().await;
    let world = World::enforcing(app.address).await;
    let mut one = Raw::connect(world.address).await;
    one.send(proven("GET /events", "").replace("Connection: close\r\n", ""))
        .await;
    one.until("data: 1").await;
    let mut client = http2(world.address).await;
    let two = client
        .send_request(request2("GET", "/events", ""))
        .await
        .unwrap();
    let mut unused = Raw::connect(world.address).await;
    let mut used = Raw::connect(world.address).await;
    used.send(proven("GET /x", "").replace("Connection: close\r\n", ""))
        .await;
    used.until("x-test-proof").await;
    world.stop.send(true).unwrap();
    // Who waits is let go at once, and nobody new gets in.
    unused.all_of_it().await;
    used.all_of_it().await;
    within(async {
        while TcpStream::connect(world.address).await.is_ok() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert!(!world.serving.is_finished());
    app.go_on.notify_waiters();
    let all = one.all_of_it().await;
    assert!(
        all.contains("data: 2") && all.ends_with("0\r\n\r\n"),
        "{all}"
    );
    assert!(read(two).await.unwrap().text.contains("data: 2"));
    drop(client);
    within(world.serving).await.unwrap();
}

#[tokio::test]
async fn what_does_not_end_is_cut() {
    let app = App::http1().await;
    let world = World::with(app.address, |setup| {
        setup.limits.drain_time = Duration::from_millis(50);
    })
    .await;
    let mut raw = Raw::connect(world.address).await;
    raw.send(proven("GET /events", "")).await;
    raw.until("data: 1").await;
    // A sender that is gone stops it as well.
    drop(world.stop);
    within(world.serving).await.unwrap();
    let all = raw.all_of_it().await;
    assert!(!all.ends_with("0\r\n\r\n"), "{all}");
}

#[tokio::test]
async fn a_tunnel_is_cut_when_its_time_is_over() {
    let world = World::with(crate::websocket::chat().await, |setup| {
        setup.limits.drain_time = Duration::from_millis(50);
    })
    .await;
    let mut raw = Raw::connect(world.address).await;
    raw.send(crate::websocket::handshake(crate::websocket::HANDSHAKE))
        .await;
    raw.until("hello\n").await;
    world.stop.send(true).unwrap();
    within(world.serving).await.unwrap();
    raw.all_of_it().await;
}
