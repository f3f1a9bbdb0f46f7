//! Answers that are passed on as they come.

use crate::client::{Raw, http2, proven, read, request2, tell};
use crate::upstream::App;
use crate::world::{World, within};
use http_body_util::BodyExt as _;

#[tokio::test]
async fn events_arrive_before_the_stream_ends() {
    let app = App::http1().await;
    let world = World::enforcing(app.address).await;
    let mut raw = Raw::connect(world.address).await;
    raw.send(proven("GET /events", "Accept: text/event-stream\r\n"))
        .await;
    let first = raw.until("data: 1\n\n").await;
    assert!(
        first.contains("content-type: text/event-stream\r\n"),
        "{first}"
    );
    assert!(!first.contains("data: 2"), "{first}");
    let mut client = http2(world.address).await;
    let mut answer = within(client.send_request(request2("GET", "/events", "")))
        .await
        .unwrap();
    let frame = within(answer.body_mut().frame()).await.unwrap().unwrap();
    assert_eq!(frame.into_data().unwrap(), "data: 1\n\n");
    // Both wait for this.
    app.go_on.notify_waiters();
    let all = raw.all_of_it().await;
    assert!(all.contains("data: 2\n\n"), "{all}");
    let frame = within(answer.body_mut().frame()).await.unwrap().unwrap();
    assert_eq!(frame.into_data().unwrap(), "data: 2\n\n");
}

#[tokio::test]
async fn an_upstream_that_dies_leaves_no_whole_answer() {
    let app = App::http1().await;
    let world = World::enforcing(app.address).await;
    let mut raw = Raw::connect(world.address).await;
    raw.send(proven("GET /dies", "")).await;
    raw.until("half of ").await;
    let mut client = http2(world.address).await;
    let mut answer = within(client.send_request(request2("GET", "/dies", "")))
        .await
        .unwrap();
    within(answer.body_mut().frame()).await.unwrap().unwrap();
    app.go_on.notify_waiters();
    // No last chunk: the client knows that something is missing.
    let all = raw.all_of_it().await;
    assert!(all.starts_with("HTTP/1.1 200"), "{all}");
    assert!(!all.ends_with("0\r\n\r\n"), "{all}");
    assert!(read(answer).await.is_err());
    // The connection goes on.
    let answer = client
        .send_request(request2("GET", "/x", ""))
        .await
        .unwrap();
    assert_eq!(read(answer).await.unwrap().status, 200);
}

#[tokio::test]
async fn a_client_that_leaves_ends_the_request_to_the_upstream() {
    let app = App::http1().await;
    let world = World::enforcing(app.address).await;
    let mut raw = Raw::connect(world.address).await;
    raw.send(proven("GET /events", "").replace("Connection: close\r\n", ""))
        .await;
    raw.until("data: 1").await;
    drop(raw);
    // Its way to the upstream was one of its own and is gone with it, so the next
    // request makes another.
    within(async {
        loop {
            let before = app.connections.load(std::sync::atomic::Ordering::SeqCst);
            let answer = tell(&world, proven("GET /x", "")).await;
            assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
            if before >= 2 {
                break;
            }
        }
    })
    .await;
}

#[tokio::test]
async fn trailers_go_through_over_http1() {
    let app = App::http1().await;
    let world = World::enforcing(app.address).await;
    let answer = tell(&world, proven("GET /unary", "TE: trailers\r\n")).await;
    assert!(answer.contains("trailer: grpc-status\r\n"), "{answer}");
    assert!(answer.ends_with("0\r\ngrpc-status: 0\r\n\r\n"), "{answer}");
}
