//! Whom the layer lets in, what the service is told, and when answers end.

use crate::world::{HOST, NOW, World, request, within};
use procura_types::dial::{Dial, Mode};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// That it is this refusal.
#[track_caller]
fn refuses(answer: &str, status: &str, reason: &str) {
    assert!(
        answer.starts_with(&format!("HTTP/1.1 {status} ")),
        "{reason}: {answer}"
    );
    assert!(
        answer.contains(&format!("\"reason\":\"{reason}\"")),
        "{answer}"
    );
}

#[tokio::test]
async fn who_is_known_is_let_in_once_and_named() {
    let world = World::new(Mode::Enforce).await;
    let once = world.proven("/orders", "body");
    let answer = world.ask(&once).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(answer.contains("POST|alice//scribe native "), "{answer}");
    assert!(
        answer.contains("procura-agent=alice//scribe,procura-owner="),
        "{answer}"
    );
    assert!(answer.contains("procura-profile=native|body|"), "{answer}");
    refuses(&world.ask(&once).await, "401", "nonce_replayed");
}

#[tokio::test]
async fn what_is_not_proven_is_refused_and_nobody_names_themselves() {
    let world = World::new(Mode::Enforce).await;
    let spoofed = "Procura-Agent: alice//scribe\r\nprocura_actor: x\r\nPROCURA.OWNER: x\r\n";
    refuses(
        &world.ask(&request("/orders", spoofed, "")).await,
        "401",
        "missing_headers",
    );
    let proven = world.proven("/orders", "body");
    let changed = proven.replace("\r\n\r\nbody", "\r\n\r\nbodx");
    refuses(&world.ask(&changed).await, "401", "digest_mismatch");
    let elsewhere = proven.replace("POST /orders", "POST /order");
    refuses(&world.ask(&elsewhere).await, "401", "bad_signature");
    let misdirected = proven.replace(HOST, "other.example");
    refuses(&world.ask(&misdirected).await, "421", "host_unknown");
    let large = "x".repeat(1001);
    refuses(
        &world.ask(&world.proven("/orders", &large)).await,
        "413",
        "body_too_large",
    );
    // There is no server to ask, and it is not guessed.
    let foreign = "X-Agent-Id: legacy\r\nX-Timestamp: 2027-01-15T08:00:00Z\r\nX-Nonce: 00112233445566778899aabbccddeeff\r\nX-Signature: AAAA\r\n";
    refuses(
        &world.ask(&request("/orders", foreign, "")).await,
        "503",
        "verifier_unavailable",
    );
    // A name beside a proof is the proof's.
    let named = world.proven("/orders", "body").replacen(
        "Content-Type",
        &format!("{spoofed}Content-Type"),
        1,
    );
    let answer = world.ask(&named).await;
    assert!(answer.contains("procura-agent=alice//scribe,"), "{answer}");
    assert!(!answer.contains("=x"), "{answer}");

    world.tell(41, Some(NOW));
    refuses(
        &world.ask(&world.proven("/orders", "body")).await,
        "401",
        "revoked",
    );
    let heard = world.heard.0.lock().unwrap();
    assert_eq!(heard.len(), 7, "{heard:?}");
    assert_eq!(heard[0], "did POST /orders missing_headers");
}

#[tokio::test]
async fn the_dial_counts_as_it_is_turned() {
    let world = World::new(Mode::Off).await;
    let spoofed = request("/orders", "Procura-Agent: alice//scribe\r\n", "body");
    let answer = world.ask(&spoofed).await;
    assert!(answer.contains("POST|nobody||body|"), "{answer}");
    assert!(world.heard.0.lock().unwrap().is_empty());

    let turn = |mode| {
        world.admission.set_dial(Dial {
            mode: Some(mode),
            ..Dial::default()
        });
    };
    turn(Mode::Observe);
    let answer = world.ask(&spoofed).await;
    assert!(answer.contains("POST|nobody||body|"), "{answer}");
    let answer = world.ask(&world.proven("/orders", "body")).await;
    assert!(answer.contains("POST|alice//scribe native "), "{answer}");
    assert_eq!(
        *world.heard.0.lock().unwrap(),
        ["would POST /orders missing_headers"]
    );
    turn(Mode::Enforce);
    refuses(&world.ask(&spoofed).await, "401", "missing_headers");
}

#[tokio::test]
async fn an_answer_that_streams_ends_with_whoever_asked() {
    let world = World::new(Mode::Enforce).await;
    let mut stream = TcpStream::connect(world.address).await.unwrap();
    stream
        .write_all(world.proven("/stream", "").as_bytes())
        .await
        .unwrap();
    let (mut received, mut buffer) = (Vec::new(), [0; 1024]);
    while !received.ends_with(b"begun\r\n") {
        let length = within(stream.read(&mut buffer)).await.unwrap();
        assert!(length > 0, "{received:?}");
        received.extend_from_slice(&buffer[..length]);
    }
    world.tell(41, None);
    world.tell(42, Some(NOW));
    // No last chunk: the client knows that something is missing.
    let rest = within(stream.read_to_end(&mut received)).await;
    let text = String::from_utf8_lossy(&received);
    assert!(rest.is_err() || !text.ends_with("0\r\n\r\n"), "{text}");
    assert!(text.ends_with("begun\r\n"), "{text}");
}
