//! Nobody but the gate says who asks.

use crate::client::{http2, proven, read, request2, tell};
use crate::upstream::App;
use crate::world::{World, dial, within};
use procura_types::dial::Mode;

const SPELLINGS: [&str; 10] = [
    "Procura-Actor",
    "PROCURA-AGENT",
    "procura-owner",
    "pRoCuRa-PrOfIlE",
    "Procura_Actor",
    "PROCURA_AGENT",
    "procura_owner",
    "Procura-_Profile",
    "procura.profile",
    "Procura~Agent",
];

/// The values that a client made up.
fn made_up(text: &str) -> usize {
    text.matches("mallory").count()
}

#[tokio::test]
async fn spoofed_identities_never_arrive() {
    let app = App::http1().await;
    let world = World::enforcing(app.address).await;
    for mode in [Mode::Off, Mode::Observe, Mode::Enforce] {
        world.gate.set_dial(dial(mode, vec![]));
        for spelling in SPELLINGS {
            // One that only looks alike is a field like any other.
            let alike = usize::from(spelling == "Procura-_Profile");
            let fields = format!("{spelling}: mallory\r\n");
            let answer = tell(&world, proven("GET /x", &fields)).await;
            assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
            assert_eq!(made_up(&answer), alike, "{mode} {spelling}: {answer}");
            assert_eq!(
                answer.contains("\nprocura-agent: alice//scribe\n"),
                mode != Mode::Off
            );
            let mut client = http2(world.address).await;
            let mut request = request2("GET", "/x", "");
            request.headers_mut().insert(
                http::HeaderName::from_bytes(spelling.to_lowercase().as_bytes()).unwrap(),
                "mallory".parse().unwrap(),
            );
            let answer = within(client.send_request(request)).await.unwrap();
            let answer = read(answer).await.unwrap();
            assert_eq!(answer.status, 200);
            assert_eq!(made_up(&answer.text), alike, "{mode} {spelling}");
        }
    }
}

#[tokio::test]
async fn connection_cannot_take_the_gates_own_fields_away() {
    let app = App::http1().await;
    let world = World::enforcing(app.address).await;
    let request = proven("GET /x", "").replace(
        "Connection: close",
        "Connection: close, procura-agent, Procura-Actor, host, x-forwarded-for",
    );
    let answer = tell(&world, request).await;
    for line in [
        "procura-agent: alice",
        "procura-actor: ",
        "host: app",
        "x-forwarded-for: 127",
    ] {
        assert!(answer.contains(&format!("\n{line}")), "{line}: {answer}");
    }
}

#[tokio::test]
async fn where_a_request_comes_from_is_the_peers_address() {
    let app = App::http1().await;
    let world = World::enforcing(app.address).await;
    let fields = "X-Forwarded-For: 10.0.0.5\r\nx-forwarded-for: 10.0.0.6\r\nX_FORWARDED_FOR: 10.0.0.7\r\nForwarded: for=10.0.0.8\r\nX-Real-IP: 10.0.0.9\r\nX-Forwarded-Host: evil\r\n";
    let answer = tell(&world, proven("GET /x", fields)).await;
    assert!(
        answer.contains("\nx-forwarded-for: 127.0.0.1\n"),
        "{answer}"
    );
    assert!(
        !answer.contains("10.0.0.") && !answer.contains("evil"),
        "{answer}"
    );
    assert!(world.asked()[0].peer.is_loopback());
}

#[tokio::test]
async fn no_field_names_another_target_method_or_address() {
    let app = App::http1().await;
    let world = World::enforcing(app.address).await;
    for name in [
        "X-Original-URL",
        "X_Original_Uri",
        "X-Rewrite-URL",
        "X-HTTP-Method",
        "X-HTTP-Method-Override",
        "X-Method-Override",
        "X-Forwarded-Prefix",
        "X-Forwarded-Anything",
        "X-Client-IP",
        "True-Client-IP",
        "Client_IP",
    ] {
        for line in ["GET /health", "GET /x"] {
            let fields = format!("{name}: mallory\r\n");
            let answer = tell(&world, proven(line, &fields)).await;
            assert!(answer.starts_with("HTTP/1.1 200"), "{name}: {answer}");
            assert_eq!(made_up(&answer), 0, "{name}: {answer}");
        }
    }
}

#[tokio::test]
async fn trailers_of_requests_end_at_the_gate() {
    let app = App::http1().await;
    let world = World::with(app.address, |setup| setup.mode = Mode::Off).await;
    let answer = tell(
        &world,
        "POST /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTrailer: Procura-Actor\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nProcura-Actor: mallory\r\n\r\n",
    )
    .await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(answer.contains("\n\nabc"), "{answer}");
    assert_eq!(made_up(&answer), 0, "{answer}");
    assert!(!answer.contains("trailer"), "{answer}");
}

#[tokio::test]
async fn values_cannot_bring_fields_in() {
    // Whatever survives as a value arrives as one value.
    let app = App::http1().await;
    let world = World::enforcing(app.address).await;
    let answer = tell(
        &world,
        proven("GET /x", "X-Odd: a%0d%0aProcura-Actor: mallory\r\n"),
    )
    .await;
    assert!(
        answer.contains("\nx-odd: a%0d%0aProcura-Actor: mallory\n"),
        "{answer}"
    );
    assert!(!answer.contains("\nprocura-actor: mallory"), "{answer}");
}
