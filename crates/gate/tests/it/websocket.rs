//! WebSocket: a handshake is a request like any other, and then bytes.

use crate::client::{Raw, proven, refusal};
use crate::upstream::{App, Counter};
use crate::world::{World, within};
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

pub(crate) const HANDSHAKE: &str = "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

pub(crate) fn handshake(fields: &str) -> String {
    proven("GET /ws?room=1", fields).replace("Connection: close", "Connection: Upgrade")
}

/// Changes the protocol, says hello at once, and gives back what it gets in upper
/// case.
pub(crate) async fn chat() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                let (mut head, mut byte) = (Vec::new(), [0]);
                while !head.ends_with(b"\r\n\r\n") {
                    stream.read_exact(&mut byte).await.unwrap();
                    head.push(byte[0]);
                }
                let head = String::from_utf8(head).unwrap();
                assert!(head.contains("\r\nconnection: upgrade\r\n"), "{head}");
                assert!(head.contains("\r\nupgrade: websocket\r\n"), "{head}");
                assert!(
                    head.contains("\r\nprocura-agent: alice//scribe\r\n"),
                    "{head}"
                );
                assert!(head.contains("\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n"));
                stream
                    .write_all(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\nhello\n")
                    .await
                    .unwrap();
                let mut buffer = [0; 1024];
                while let Ok(length @ 1..) = stream.read(&mut buffer).await {
                    buffer[..length].make_ascii_uppercase();
                    stream.write_all(&buffer[..length]).await.unwrap();
                }
            });
        }
    });
    address
}

#[tokio::test]
async fn bytes_go_both_ways_after_a_proven_handshake() {
    let world = World::enforcing(chat().await).await;
    let mut raw = Raw::connect(world.address).await;
    raw.send(handshake(HANDSHAKE)).await;
    let answer = raw.until("hello\n").await;
    assert!(
        answer.starts_with("HTTP/1.1 101 Switching Protocols\r\n"),
        "{answer}"
    );
    assert!(answer.contains("sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"));
    // Nothing in a tunnel is HTTP, whatever it looks like.
    for (sent, back) in [
        ("ping", "PING"),
        ("get / http/1.1\r\n\r\n", "GET / HTTP/1.1\r\n\r\n"),
        ("\0\r\n\n\u{7f}x", "\0\r\n\n\u{7f}X"),
    ] {
        raw.forget();
        raw.send(sent).await;
        raw.until(back).await;
    }
    let much = "a".repeat(300_000);
    raw.forget();
    let (mut reader, mut writer) = raw.stream.split();
    let mut all = vec![0; much.len()];
    let (sent, got) = within(async {
        tokio::join!(
            writer.write_all(much.as_bytes()),
            reader.read_exact(&mut all)
        )
    })
    .await;
    sent.unwrap();
    got.unwrap();
    assert!(all.iter().all(|byte| *byte == b'A'));
    assert_eq!(world.asked().len(), 1);
    assert_eq!(world.asked()[0].line, "GET app.example /ws?room=1");
}

#[tokio::test]
async fn the_end_of_either_side_ends_the_tunnel() {
    let world = World::enforcing(chat().await).await;
    let mut raw = Raw::connect(world.address).await;
    raw.send(handshake(HANDSHAKE)).await;
    raw.until("hello\n").await;
    raw.stream.shutdown().await.unwrap();
    // The upstream ends when its input does, and so does our side.
    raw.all_of_it().await;
}

#[tokio::test]
async fn no_field_gets_past_the_gate() {
    let counter = Counter::answering("", false).await;
    let world = World::enforcing(counter.address).await;
    let bare = |fields: &str| {
        format!("GET /ws HTTP/1.1\r\nHost: app.example\r\nConnection: Upgrade\r\n{fields}\r\n")
    };
    for fields in [
        HANDSHAKE,
        "Upgrade: websocket\r\n",
        "Upgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n",
    ] {
        let mut raw = Raw::connect(world.address).await;
        raw.send(bare(fields)).await;
        let answer = raw.until("}\n").await;
        assert_eq!(
            refusal(&answer),
            (401, "missing_headers".to_owned()),
            "{fields}"
        );
    }
    assert_eq!(counter.connections(), 0);
}

#[tokio::test]
async fn what_is_no_full_handshake_is_a_plain_request() {
    let app = App::http1().await;
    let world = World::enforcing(app.address).await;
    for fields in [
        "Upgrade: websocket\r\n".to_owned(),
        HANDSHAKE.replace("13", "8"),
        HANDSHAKE.replace("dGhl", ""),
        HANDSHAKE.replace("websocket", "h2c"),
        HANDSHAKE.replace("websocket", "websocket, h2c"),
    ] {
        let mut raw = Raw::connect(world.address).await;
        raw.send(handshake(&fields).replace("Connection: Upgrade", "Connection: Upgrade, close"))
            .await;
        let answer = raw.all_of_it().await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{fields}: {answer}");
        let seen = answer.split_once("\r\n\r\n").unwrap().1;
        assert!(!seen.contains("\nupgrade: "), "{seen}");
        assert!(!seen.contains("\nconnection: "), "{seen}");
    }
}

#[tokio::test]
async fn an_upstream_may_refuse_the_handshake() {
    let app = App::http1().await;
    let world = World::enforcing(app.address).await;
    let mut raw = Raw::connect(world.address).await;
    raw.send(handshake(HANDSHAKE)).await;
    // It answers 200, as if it had been asked nothing else; HTTP goes on.
    raw.until("\nupgrade: websocket\n").await;
    raw.until("x-test-proof").await;
    raw.forget();
    raw.send(proven("GET /next", "")).await;
    let answer = raw.all_of_it().await;
    assert!(answer.contains("GET /next HTTP/1.1"), "{answer}");
}

#[tokio::test]
async fn nobody_changes_the_protocol_unasked() {
    let counter = Counter::answering(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
        false,
    )
    .await;
    let world = World::enforcing(counter.address).await;
    let mut raw = Raw::connect(world.address).await;
    raw.send(proven("GET /x", "")).await;
    let answer = raw.all_of_it().await;
    assert_eq!(refusal(&answer), (502, "upstream_failed".to_owned()));
    // Nor to another one.
    let counter = Counter::answering(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n",
        false,
    )
    .await;
    let world = World::enforcing(counter.address).await;
    let mut raw = Raw::connect(world.address).await;
    raw.send(handshake(HANDSHAKE)).await;
    let answer = raw.until("}\n").await;
    assert_eq!(refusal(&answer), (502, "upstream_failed".to_owned()));
}

#[tokio::test]
async fn what_a_client_says_too_early_is_not_mistaken() {
    let world = World::enforcing(chat().await).await;
    let mut raw = Raw::connect(world.address).await;
    raw.send(handshake(HANDSHAKE) + "early").await;
    raw.until("hello\nEARLY").await;
    // What cannot be a request ends the connection, since it may have been one.
    let mut raw = Raw::connect(world.address).await;
    raw.send(handshake(HANDSHAKE) + "early\nGET /hidden HTTP/1.1\r\n\r\n")
        .await;
    let answer = raw.all_of_it().await;
    assert_eq!(refusal(&answer), (400, "line_end".to_owned()));
}
