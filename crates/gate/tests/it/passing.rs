//! What goes through, and how.

use crate::client::{Raw, http2, proven, proven_post, read, request2, tell};
use crate::upstream::{App, Counter};
use crate::world::{PROOF, World, proof_of, within};
use procura_types::dial::Mode;
use std::sync::atomic::Ordering;

#[tokio::test]
async fn a_proven_request_arrives_with_its_identity() {
    let app = App::http1().await;
    let world = World::enforcing(app.address).await;
    let answer = tell(
        &world,
        proven_post(
            "/echo/x?y=z",
            "hello",
            "X-Kept: 1\r\nX-Hop: 2\r\nContent-Type: text/plain\r\nTE: trailers\r\n",
        )
        .replace("Connection: close", "Connection: close, x-hop"),
    )
    .await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(answer.contains("x-from: upstream\r\n"), "{answer}");
    let seen = answer.split_once("\r\n\r\n").unwrap().1;
    let actor = "AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI";
    let owner = "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE";
    let expected = format!(
        "POST /echo/x?y=z HTTP/1.1\nconnection: te\ncontent-length: 5\ncontent-type: text/plain\nhost: app.example\nprocura-actor: {actor}\nprocura-agent: alice//scribe\nprocura-owner: {owner}\nprocura-profile: native\nte: trailers\nx-forwarded-for: 127.0.0.1\nx-forwarded-proto: http\nx-kept: 1\nx-test-proof: {}\n\nhello",
        proof_of(b"hello")
    );
    assert!(seen.contains(&expected), "{seen}");
    let asked = world.asked();
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0].line, "POST app.example /echo/x?y=z");
    assert_eq!(asked[0].body, "hello");
    assert!(world.heard.all().is_empty());
}

#[tokio::test]
async fn a_get_in_chunks_keeps_its_body() {
    let app = App::http1().await;
    let world = World::with(app.address, |setup| setup.mode = Mode::Off).await;
    let answer = tell(
        &world,
        "GET /search HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    )
    .await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(answer.contains("\n\nhello"), "{answer}");
}

#[tokio::test]
async fn targets_and_hosts_go_on_byte_for_byte() {
    let app = App::http1().await;
    let world = World::enforcing(app.address).await;
    for target in [
        "/",
        "/?",
        "/a?b?c=%2F..//&d",
        "/a%20b/%C3%A9",
        "/a;b=c,d/~x",
        "/A|b\"c{d}",
        "/a?%2e%2e/..",
    ] {
        let answer = tell(&world, proven(&format!("GET {target}"), "")).await;
        assert!(
            answer.contains(&format!("\nGET {target} HTTP/1.1\n")),
            "{target}: {answer}"
        );
    }
    for host in ["app.example", "APP.Example:80", "app.example:443"] {
        let request = proven("GET /", "").replace("Host: app.example", &format!("host:{host}"));
        let answer = tell(&world, request).await;
        assert!(answer.contains(&format!("\nhost: {host}\n")), "{answer}");
    }
    // In absolute form, for the same host.
    let answer = tell(&world, proven("GET http://APP.example/abs?x", "")).await;
    assert!(answer.contains("\nGET /abs?x HTTP/1.1\n"), "{answer}");
    assert!(answer.contains("\nhost: app.example\n"), "{answer}");
}

#[tokio::test]
async fn http2_goes_on_as_http1() {
    let app = App::http1().await;
    let world = World::enforcing(app.address).await;
    let mut client = http2(world.address).await;
    let answer = client
        .send_request(request2("PUT", "/a?b", "text"))
        .await
        .unwrap();
    let answer = read(answer).await.unwrap();
    assert_eq!(answer.status, 200);
    for line in [
        "PUT /a?b HTTP/1.1\n",
        "\nhost: app.example\n",
        "\ncontent-length: 4\n",
        "\nprocura-agent: alice//scribe\n",
        "\n\ntext",
    ] {
        assert!(answer.text.contains(line), "{line:?} in {}", answer.text);
    }
    assert_eq!(world.asked()[0].line, "PUT app.example /a?b");
    assert!(!answer.headers.contains_key("connection"));
}

#[tokio::test]
async fn http2_requests_with_two_names_or_odd_methods_are_refused() {
    let counter = Counter::answering("", false).await;
    let world = World::enforcing(counter.address).await;
    let mut client = http2(world.address).await;
    let mut two_names = request2("GET", "/", "");
    two_names
        .headers_mut()
        .insert("host", "other.example".parse().unwrap());
    for (request, reason) in [(two_names, "host"), (request2("TRACE", "/", ""), "method")] {
        let answer = read(client.send_request(request).await.unwrap())
            .await
            .unwrap();
        assert_eq!(answer.status, 400);
        let expected = format!("{{\"error\":\"bad_request\",\"reason\":\"{reason}\"}}\n");
        assert_eq!(answer.text, expected);
    }
    assert_eq!(counter.connections(), 0);
}

#[tokio::test]
async fn connections_are_kept_on_both_sides() {
    let app = App::http1().await;
    let world = World::enforcing(app.address).await;
    let mut raw = Raw::connect(world.address).await;
    for number in 0..5 {
        let target = format!("/n{number}");
        let request = proven(&format!("GET {target}"), "").replace("Connection: close\r\n", "");
        raw.send(request).await;
        raw.until(&format!("GET {target} ")).await;
        raw.until(&format!("{PROOF}: {}\n\n", proof_of(b""))).await;
        raw.forget();
    }
    // Two at once are answered in their order.
    let first = proven("GET /first", "").replace("Connection: close\r\n", "");
    raw.send(format!("{first}{}", proven("GET /second", "")))
        .await;
    let both = raw.all_of_it().await;
    let (one, two) = (both.find("GET /first "), both.find("GET /second "));
    assert!(one.is_some() && one < two, "{both}");
    assert_eq!(app.connections.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_connection_that_the_upstream_closed_is_not_an_error() {
    let counter = Counter::answering("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", true).await;
    let world = World::enforcing(counter.address).await;
    for _ in 0..10 {
        let answer = tell(&world, proven("GET /", "")).await;
        // The upstream closes without a word, before or after the gate sees it.
        assert!(answer.ends_with("\r\n\r\nok"), "{answer}");
    }
    assert_eq!(counter.connections(), 10);
}

#[tokio::test]
async fn answers_go_through_without_the_fields_of_their_connection() {
    let app = App::http1().await;
    let world = World::enforcing(app.address).await;
    let answer = tell(&world, proven("GET /moved", "")).await;
    assert!(answer.starts_with("HTTP/1.1 302 Found\r\n"), "{answer}");
    assert!(answer.contains("location: /elsewhere\r\n"), "{answer}");
    assert!(!answer.contains("x-hop") && !answer.contains("keep-alive"));
    let answer = tell(&world, proven("HEAD /large", "")).await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(answer.ends_with("\r\n\r\n"), "{answer}");
}

#[tokio::test]
async fn large_answers_come_whole() {
    let app = App::http1().await;
    let world = World::enforcing(app.address).await;
    let answer = tell(&world, proven("GET /large", "")).await;
    let body = answer.split_once("\r\n\r\n").unwrap().1;
    assert_eq!(body.bytes().filter(|byte| *byte == b'x').count(), 3_000_000);
    let mut client = http2(world.address).await;
    let many: Vec<_> = (0..8)
        .map(|_| {
            let answer = client.send_request(request2("GET", "/large", ""));
            tokio::spawn(async move { read(answer.await.unwrap()).await.unwrap() })
        })
        .collect();
    for answer in many {
        assert_eq!(within(answer).await.unwrap().text.len(), 3_000_000);
    }
}

#[tokio::test]
async fn http_1_0_is_understood() {
    let app = App::http1().await;
    let world = World::enforcing(app.address).await;
    let request = proven("GET /old", "").replace("HTTP/1.1", "HTTP/1.0");
    let answer = tell(&world, request).await;
    assert!(answer.starts_with("HTTP/1.0 200 OK\r\n"), "{answer}");
    assert!(answer.contains("GET /old HTTP/1.1\n"), "{answer}");
}
