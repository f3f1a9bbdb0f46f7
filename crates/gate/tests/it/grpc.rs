//! HTTP/2 to the upstream for gRPC: trailers, streams of the server, and streams of
//! the client where a route allows.

use crate::client::{http2, read, request2};
use crate::upstream::{App, Parts, part, parts};
use crate::world::{PROOF, World, route, within};
use http::Request;
use http_body_util::BodyExt as _;
use procura_types::dial::{Mode, Route};
use std::sync::atomic::Ordering;

fn grpc(path: &str, body: &str) -> Request<http_body_util::Full<bytes::Bytes>> {
    let mut request = request2("POST", path, body);
    let headers = request.headers_mut();
    headers.insert("content-type", "application/grpc".parse().unwrap());
    headers.insert("te", "trailers".parse().unwrap());
    request
}

#[tokio::test]
async fn a_unary_call_keeps_its_trailers() {
    let app = App::http2().await;
    let world = World::over_http2(app.address).await;
    let mut client = http2(world.address).await;
    for _ in 0..3 {
        let answer = within(client.send_request(grpc("/unary", "message")))
            .await
            .unwrap();
        let answer = read(answer).await.unwrap();
        assert_eq!(answer.status, 200);
        assert_eq!(
            answer.text,
            "HTTP/2.0 te=Some(\"trailers\") agent=Some(\"alice//scribe\") body=message"
        );
        assert_eq!(answer.trailers.unwrap()["grpc-status"], "0");
    }
    assert_eq!(app.connections.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn the_name_and_the_target_arrive_as_sent() {
    let app = App::http2().await;
    let world = World::over_http2(app.address).await;
    let mut client = http2(world.address).await;
    let mut request = grpc("/pkg.Service/Call?x=%2F", "m");
    *request.uri_mut() = "http://APP.example:443/pkg.Service/Call?x=%2F"
        .parse()
        .unwrap();
    let answer = read(client.send_request(request).await.unwrap())
        .await
        .unwrap();
    assert!(
        answer
            .text
            .starts_with("POST /pkg.Service/Call?x=%2F HTTP/2.0\n:authority: APP.example:443\n"),
        "{}",
        answer.text
    );
}

#[tokio::test]
async fn an_unproven_call_is_refused() {
    let app = App::http2().await;
    let world = World::over_http2(app.address).await;
    let mut client = http2(world.address).await;
    let mut request = grpc("/unary", "m");
    request.headers_mut().remove(PROOF);
    let answer = read(client.send_request(request).await.unwrap())
        .await
        .unwrap();
    assert_eq!(answer.status, 401);
    assert_eq!(app.connections.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn messages_of_the_server_arrive_one_by_one() {
    let app = App::http2().await;
    let world = World::over_http2(app.address).await;
    let mut client = http2(world.address).await;
    let mut answer = within(client.send_request(grpc("/events", "m")))
        .await
        .unwrap();
    let frame = within(answer.body_mut().frame()).await.unwrap().unwrap();
    assert_eq!(frame.into_data().unwrap(), "data: 1\n\n");
    app.go_on.notify_waiters();
    let frame = within(answer.body_mut().frame()).await.unwrap().unwrap();
    assert_eq!(frame.into_data().unwrap(), "data: 2\n\n");
}

#[tokio::test]
async fn a_client_may_stream_where_the_route_says_so() {
    let app = App::http2().await;
    let world = World::with(app.address, |setup| {
        setup.upstream = format!("http://{}", app.address);
        setup.routes = vec![Route {
            danger_unsigned_body: Some(true),
            ..route("/chat", Mode::Enforce)
        }];
    })
    .await;
    let mut client = http2::<Parts>(world.address).await;
    let (giver, body) = parts();
    let request = Request::builder()
        .method("POST")
        .uri("http://app.example/chat")
        .header(PROOF, "anything")
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(body)
        .unwrap();
    let mut answer = within(client.send_request(request)).await.unwrap();
    // Each is answered before the next is made.
    for text in ["one", "two", "three"] {
        giver.send(part(text)).await.unwrap();
        let frame = within(answer.body_mut().frame()).await.unwrap().unwrap();
        assert_eq!(frame.into_data().unwrap(), text);
    }
    drop(giver);
    let last = within(answer.body_mut().frame()).await.unwrap().unwrap();
    assert_eq!(last.into_trailers().unwrap()["grpc-status"], "0");
}

#[tokio::test]
async fn many_calls_take_as_many_connections_as_they_need() {
    let app = App::http2().await;
    let world = World::with(app.address, |setup| {
        setup.upstream = format!("h2c://{}", app.address);
        setup.limits.streams = 300;
    })
    .await;
    let mut client = http2(world.address).await;
    let mut open = Vec::new();
    for _ in 0..150 {
        let mut answer = within(client.send_request(grpc("/events", "m")))
            .await
            .unwrap();
        within(answer.body_mut().frame()).await.unwrap().unwrap();
        open.push(answer);
    }
    assert_eq!(app.connections.load(Ordering::SeqCst), 2);
}
