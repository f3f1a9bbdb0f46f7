//! HTTP/2 to the upstream for gRPC: trailers, streams of the server, and streams of
//! the client where a route allows.

use crate::client::{http2, read, request2};
use crate::upstream::{App, Parts, part, parts};
use crate::world::{PROOF, World, proof_of, route, within};
use http::Request;
use http_body_util::BodyExt as _;
use procura_types::Duration;
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
    let request = streaming("/chat", "anything", body);
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

/// A call whose messages are given one by one, with the proof of all of them.
fn streaming(path: &str, proof: &str, body: Parts) -> Request<Parts> {
    Request::builder()
        .method("POST")
        .uri(format!("http://app.example{path}"))
        .header(PROOF, proof)
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(body)
        .unwrap()
}

#[tokio::test]
async fn elsewhere_the_upstream_hears_nothing_before_the_stream_ends() {
    let app = App::http2().await;
    let world = World::over_http2(app.address).await;
    let mut client = http2::<Parts>(world.address).await;
    let (giver, body) = parts();
    let request = streaming("/unary", &proof_of(b"onetwo"), body);
    let answer = client.send_request(request);
    for text in ["one", "two"] {
        giver.send(part(text)).await.unwrap();
        // Another request on the connection comes and goes meanwhile.
        let (_, none) = parts();
        let other = streaming("/other", "bad_signature", none);
        let other = within(client.send_request(other)).await.unwrap();
        assert_eq!(other.status(), 401);
        assert_eq!(app.connections.load(Ordering::SeqCst), 0);
    }
    drop(giver);
    let answer = read(within(answer).await.unwrap()).await.unwrap();
    assert!(answer.text.ends_with(" body=onetwo"), "{}", answer.text);
    assert_eq!(app.connections.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_stream_that_does_not_end_is_not_waited_for() {
    let app = App::http2().await;
    let world = World::with(app.address, |setup| {
        setup.upstream = format!("h2c://{}", app.address);
        setup.limits.body_time = Duration::from_millis(60);
    })
    .await;
    let mut client = http2::<Parts>(world.address).await;
    let (giver, body) = parts();
    giver.send(part("one")).await.unwrap();
    let request = streaming("/unary", &proof_of(b"one"), body);
    let answer = within(client.send_request(request)).await.unwrap();
    let answer = read(answer).await.unwrap();
    assert_eq!(answer.status, 408);
    let said = "{\"error\":\"request_timeout\",\"reason\":\"body_too_slow\"}\n";
    assert_eq!(answer.text, said);
    assert!(world.asked().is_empty());
    assert_eq!(app.connections.load(Ordering::SeqCst), 0);
    drop(giver);
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
