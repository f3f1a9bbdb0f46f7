//! Requests that two programs could understand in two ways, over raw sockets, in
//! front of an upstream that counts.

use crate::client::{Raw, proven, refusal, tell};
use crate::upstream::Counter;
use crate::world::{PROOF, World, proof_of, within};
use procura_types::dial::Mode;

/// What hides behind a request, to be taken for the next one.
const HIDDEN: &str = "GET /hidden HTTP/1.1\r\nHost: app.example\r\nX: y\r\n\r\n";

/// Each with the word that it is refused with.
fn shapes() -> Vec<(String, &'static str)> {
    let proof = proof_of(b"");
    let with = |fields: &str, body: &str| {
        format!(
            "POST / HTTP/1.1\r\nHost: app.example\r\n{PROOF}: {proof}\r\n{fields}\r\n\r\n{body}{HIDDEN}"
        )
    };
    let head = |head: &str| format!("{head}{HIDDEN}");
    vec![
        (
            with(
                "Content-Length: 4\r\nTransfer-Encoding: chunked",
                "0\r\n\r\n",
            ),
            "length_and_transfer_encoding",
        ),
        (
            with(
                "Transfer-Encoding: chunked\r\nContent-Length: 4",
                "0\r\n\r\n",
            ),
            "length_and_transfer_encoding",
        ),
        (
            with("Content-Length: 0\r\nContent-Length: 49", ""),
            "two_lengths",
        ),
        (
            with("Content-Length: 0\r\nContent-Length: 0", ""),
            "two_lengths",
        ),
        (with("Content-Length: 0, 49", ""), "two_lengths"),
        (with("Content-Length: +0", ""), "two_lengths"),
        (with("Content-Length: 0x0", ""), "two_lengths"),
        (with("Content-Length: -1", ""), "two_lengths"),
        (with("Content-Length : 0", ""), "field_name"),
        (with("Content-Length\t: 0", ""), "field_name"),
        (with(" Content-Length: 49", ""), "folded_line"),
        (with("X-A: b\r\n Content-Length: 49", ""), "folded_line"),
        (
            with("X-A: b\r\n\tTransfer-Encoding: chunked", ""),
            "folded_line",
        ),
        (with("X-A: b\nContent-Length: 49", ""), "line_end"),
        (with("X-A: b\rContent-Length: 49", ""), "line_end"),
        (with("X-A: b\r\r\nContent-Length: 49", ""), "line_end"),
        (with("X-A: b\0", ""), "field_value"),
        (with("X-A: b\x0b", ""), "field_value"),
        (
            with("Transfer-Encoding: chunked, identity", "0\r\n\r\n"),
            "transfer_encoding",
        ),
        (
            with("Transfer-Encoding: xchunked", "0\r\n\r\n"),
            "transfer_encoding",
        ),
        (
            with(
                "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
                "0\r\n\r\n",
            ),
            "transfer_encoding",
        ),
        (
            with("Transfer-Encoding:\x0bchunked", "0\r\n\r\n"),
            "field_value",
        ),
        (
            with("Transfer-Encoding : chunked", "0\r\n\r\n"),
            "field_name",
        ),
        (with("Transfer-Encoding: chunked", "zz\r\n"), "chunk"),
        (
            with("Transfer-Encoding: chunked", "0x1\r\na\r\n0\r\n\r\n"),
            "chunk",
        ),
        (with("Transfer-Encoding: chunked", "-1\r\n"), "chunk"),
        (with("Transfer-Encoding: chunked", "1\na\n0\n\n"), "chunk"),
        (
            with("Transfer-Encoding: chunked", "1 \r\na\r\n0\r\n\r\n"),
            "chunk",
        ),
        (
            with("Transfer-Encoding: chunked", "1;\nGET\r\na\r\n0\r\n\r\n"),
            "chunk",
        ),
        (
            with("Transfer-Encoding: chunked", "ffffffffffffffff1\r\n"),
            "chunk",
        ),
        (
            with("Transfer-Encoding: chunked", "1\r\nab\r\n0\r\n\r\n"),
            "chunk",
        ),
        (
            with("Transfer-Encoding: chunked", "0\r\nX: y\nZ: z\r\n\r\n"),
            "chunk",
        ),
        (
            with("Transfer-Encoding: chunked", "0\r\n X: y\r\n\r\n"),
            "chunk",
        ),
        (with("Host: app.example", ""), "host"),
        (with("Host: other.example", ""), "host"),
        (head("GET / HTTP/1.1\r\nX: y\r\n\r\n"), "host"),
        (
            head("GET / HTTP/1.1\r\nHost: app.example/x\r\n\r\n"),
            "host",
        ),
        (head("GET / HTTP/1.1\r\nHost: a b\r\n\r\n"), "host"),
        (
            head("GET http://other.example/ HTTP/1.1\r\nHost: app.example\r\n\r\n"),
            "target",
        ),
        (
            head("GET http://x@app.example/ HTTP/1.1\r\nHost: app.example\r\n\r\n"),
            "target",
        ),
        (
            head("GET ftp://app.example/ HTTP/1.1\r\nHost: app.example\r\n\r\n"),
            "target",
        ),
        (
            head("GET app.example/x HTTP/1.1\r\nHost: app.example\r\n\r\n"),
            "target",
        ),
        (
            head("OPTIONS * HTTP/1.1\r\nHost: app.example\r\n\r\n"),
            "target",
        ),
        (
            head("GET /#/../admin HTTP/1.1\r\nHost: app.example\r\n\r\n"),
            "target",
        ),
        (
            head("GET /\u{e9} HTTP/1.1\r\nHost: app.example\r\n\r\n"),
            "target",
        ),
        (
            head("GET /\x7f HTTP/1.1\r\nHost: app.example\r\n\r\n"),
            "request_line",
        ),
        (
            head("CONNECT app.example:443 HTTP/1.1\r\nHost: app.example:443\r\n\r\n"),
            "method",
        ),
        (
            head("TRACE / HTTP/1.1\r\nHost: app.example\r\n\r\n"),
            "method",
        ),
        (
            head("GET  / HTTP/1.1\r\nHost: app.example\r\n\r\n"),
            "request_line",
        ),
        (
            head("GET / HTTP/1.1 \r\nHost: app.example\r\n\r\n"),
            "request_line",
        ),
        (
            head("GET / x HTTP/1.1\r\nHost: app.example\r\n\r\n"),
            "request_line",
        ),
        (
            head("GET / HTTP/1.2\r\nHost: app.example\r\n\r\n"),
            "request_line",
        ),
        (
            head("GET / http/1.1\r\nHost: app.example\r\n\r\n"),
            "request_line",
        ),
        (head("GET /\r\nHost: app.example\r\n\r\n"), "request_line"),
        (head("GET / HTTP/1.1\nHost: app.example\n\n"), "line_end"),
        (
            head("GET / HTTP/1.1\r\nHost: app.example\n\r\n"),
            "line_end",
        ),
        (
            head("GET\r/ HTTP/1.1\r\nHost: app.example\r\n\r\n"),
            "line_end",
        ),
        (
            head("G(T / HTTP/1.1\r\nHost: app.example\r\n\r\n"),
            "request_line",
        ),
        (
            head("POST / HTTP/1.0\r\nHost: app.example\r\nTransfer-Encoding: chunked\r\n\r\n"),
            "transfer_encoding",
        ),
        (
            head("GET / HTTP/1.1\r\nHost: app.example\r\n: empty\r\n\r\n"),
            "field_name",
        ),
        (
            head("GET / HTTP/1.1\r\nHost: app.example\r\nno colon\r\n\r\n"),
            "field_name",
        ),
    ]
}

#[tokio::test]
async fn what_can_be_understood_in_two_ways_goes_nowhere() {
    let counter = Counter::answering("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", false).await;
    let world = World::enforcing(counter.address).await;
    for (shape, word) in shapes() {
        // `tell` reads to the end: the connection is closed.
        let answer = tell(&world, &shape).await;
        assert_eq!(refusal(&answer), (400, word.to_owned()), "{shape:?}");
        assert!(answer.contains("connection: close\r\n"), "{answer}");
        assert_eq!(
            answer.matches("HTTP/1.1 ").count(),
            1,
            "{shape:?}: {answer}"
        );
    }
    assert_eq!(counter.connections(), 0);
    assert_eq!(counter.text(), "");
    assert!(world.asked().is_empty());
}

#[tokio::test]
async fn what_was_meant_to_arrive_is_not_named_away() {
    let counter = Counter::answering("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", false).await;
    for mode in Mode::ALL {
        let world = World::with(counter.address, |setup| setup.mode = mode).await;
        for fields in [
            "Connection: close, X-Tenant\r\nX-Tenant: 7\r\nSignature-Input: a=(\"@path\" \"x-tenant\")\r\n",
            "Connection: Authorization\r\nAuthorization: Bearer x\r\n",
            "Connection: close\r\nConnection: Cookie\r\nCookie: a=b\r\n",
            "Connection: content-type\r\nContent-Type: text/plain\r\n",
            "Connection: Content-Digest\r\n",
        ] {
            let request = proven("GET /", fields).replacen("Connection: close\r\n", "", 1);
            let answer = tell(&world, request).await;
            assert_eq!(refusal(&answer), (400, "connection".to_owned()), "{fields}");
            assert!(answer.contains("connection: close\r\n"), "{answer}");
        }
        assert!(world.asked().is_empty());
    }
    assert_eq!(counter.connections(), 0);
    let world = World::enforcing(counter.address).await;
    let request = proven("GET /", "X-Hop: 1\r\n").replace("close", "close, X-Hop");
    let answer = tell(&world, request).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(!counter.text().contains("hop"), "{}", counter.text());
}

#[tokio::test]
async fn heads_are_refused_in_every_mode() {
    let counter = Counter::answering("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", false).await;
    let world = World::with(counter.address, |setup| setup.mode = Mode::Off).await;
    for (shape, word) in shapes().into_iter().filter(|(_, word)| *word != "chunk") {
        let answer = tell(&world, &shape).await;
        assert_eq!(refusal(&answer), (400, word.to_owned()), "{shape:?}");
    }
    assert_eq!(counter.connections(), 0);
}

#[tokio::test]
async fn it_does_not_matter_how_the_bytes_arrive() {
    let counter = Counter::answering("", false).await;
    let world = World::enforcing(counter.address).await;
    for (shape, word) in shapes().into_iter().step_by(7) {
        let mut raw = Raw::connect(world.address).await;
        for byte in shape.bytes() {
            if tokio::io::AsyncWriteExt::write_all(&mut raw.stream, &[byte])
                .await
                .is_err()
            {
                break;
            }
        }
        let answer = raw.all_of_it().await;
        assert_eq!(refusal(&answer), (400, word.to_owned()), "{shape:?}");
    }
    assert_eq!(counter.connections(), 0);
}

#[tokio::test]
async fn a_flaw_behind_a_good_request_ends_the_connection_after_its_answer() {
    let counter = Counter::answering("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", false).await;
    let world = World::enforcing(counter.address).await;
    let good = proven("GET /good", "").replace("Connection: close\r\n", "");
    let bad = "GET /bad HTTP/1.1\r\nHost: app.example\nX: y\r\n\r\n";
    let answer = tell(&world, format!("{good}{bad}{HIDDEN}")).await;
    let (first, second) = answer.split_once("ok").unwrap();
    assert!(first.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert_eq!(refusal(second), (400, "line_end".to_owned()));
    let seen = counter.text();
    assert!(seen.starts_with("GET /good ") && !seen.contains("bad") && !seen.contains("hidden"));
    assert_eq!(seen.matches("HTTP/1.1").count(), 1);
}

#[tokio::test]
async fn what_goes_on_is_framed_anew() {
    // Chunks, extensions and trailers of the client end here; the upstream gets a
    // length.
    let counter = Counter::answering("", false).await;
    let world = World::enforcing(counter.address).await;
    let mut raw = Raw::connect(world.address).await;
    raw.send(format!(
        "\r\nPOST /x HTTP/1.1\r\nHost: app.example\r\n{PROOF}: {}\r\nTransfer-Encoding: chunked\r\n\r\n3;a=b\r\nabc\r\n2\r\nde\r\n0\r\nX-Late: 1\r\n\r\n",
        proof_of(b"abcde")
    ))
    .await;
    let mut received = counter.received.clone();
    within(received.wait_for(|all| all.ends_with(b"abcde")))
        .await
        .unwrap();
    let seen = counter.text();
    assert!(seen.contains("\r\ncontent-length: 5\r\n"), "{seen}");
    assert!(!seen.contains("transfer-encoding") && !seen.contains("ate: 1"));
}

#[tokio::test]
async fn leftovers_of_a_refused_body_are_not_the_next_request() {
    let counter = Counter::answering("", false).await;
    let world = World::with(counter.address, |setup| setup.limits.body_bytes = 10).await;
    let request = format!(
        "POST / HTTP/1.1\r\nHost: app.example\r\nContent-Length: {}\r\n\r\n{HIDDEN}",
        HIDDEN.len()
    );
    let answer = tell(&world, request).await;
    assert_eq!(refusal(&answer), (413, "body_too_large".to_owned()));
    assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{answer}");
    assert_eq!(counter.connections(), 0);
}
