//! What a gate counts of itself.

use crate::client::{Raw, proven_post, refusal, tell};
use crate::upstream::App;
use crate::verifying::World as Known;
use crate::websocket::{HANDSHAKE, chat, handshake};
use crate::world::{World, within};
use procura_types::Duration;
use procura_types::dial::Mode;

/// What is shown, as far as anything begins with this.
fn shown(world: &World, known: &Known, beginning: &str) -> String {
    let text = world.gate.metrics(&known.verifying);
    let lines = text.lines().filter(|line| line.starts_with(beginning));
    lines.collect::<Vec<_>>().join("\n")
}

async fn becomes(world: &World, known: &Known, line: &str) {
    within(async {
        while shown(world, known, line) != line {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn what_is_open_and_held_is_shown_for_as_long_as_it_is() {
    let (world, known) = (World::enforcing(chat().await).await, Known::after(0));
    becomes(&world, &known, "procura_gate_connections 0").await;
    let mut tunnel = Raw::connect(world.address).await;
    tunnel.send(handshake(HANDSHAKE)).await;
    tunnel.until("hello\n").await;
    becomes(&world, &known, "procura_gate_tunnels 1").await;
    becomes(&world, &known, "procura_gate_connections 1").await;
    let tunnelled = "procura_gate_requests_total{outcome=\"tunnelled\"} 1";
    becomes(&world, &known, tunnelled).await;
    // A body of which a part has come.
    let mut half = Raw::connect(world.address).await;
    let whole = proven_post("/orders", "0123456789", "");
    half.send(&whole[..whole.len() - 4]).await;
    becomes(&world, &known, "procura_gate_held_bytes 6").await;
    drop((half, tunnel));
    becomes(&world, &known, "procura_gate_held_bytes 0").await;
    becomes(&world, &known, "procura_gate_tunnels 0").await;
    becomes(&world, &known, "procura_gate_connections 0").await;
}

#[tokio::test]
async fn a_gate_that_knows_nothing_says_so() {
    let app = App::http1().await;
    let (world, known) = (World::enforcing(app.address).await, Known::after(0));
    becomes(&world, &known, "procura_gate_fresh 0").await;
    let age = shown(&world, &known, "procura_gate_known_age_seconds");
    let seconds: f64 = age.rsplit(' ').next().unwrap().parse().unwrap();
    assert!((0.0..60.0).contains(&seconds), "{age}");
}

#[tokio::test]
async fn what_a_gate_answers_itself_is_counted_by_reason_once() {
    let app = App::http1().await;
    let known = Known::after(0);
    let world = World::with(app.address, |setup| setup.mode = Mode::Enforce).await;
    let bare = "GET / HTTP/1.1\r\nHost: app.example\r\nConnection: close\r\n\r\n";
    assert_eq!(refusal(&tell(&world, bare).await).0, 401);
    let broken = bare.replace("Host: app.example", "Host: a\r\nHost: b");
    assert_eq!(refusal(&tell(&world, &broken).await).0, 400);
    let refused = "procura_gate_requests_total{outcome=\"refused\"} 2";
    becomes(&world, &known, refused).await;
    let answers = shown(&world, &known, "procura_gate_answers_total");
    let counted: Vec<&str> = answers
        .lines()
        .filter(|line| !line.ends_with(" 0"))
        .collect();
    assert_eq!(counted.len(), 2, "{answers}");
    let missing = "procura_gate_answers_total{reason=\"missing_headers\"} 1";
    assert!(counted.contains(&missing), "{answers}");
    let none = shown(&world, &known, "procura_gate_would_refuse_total");
    assert!(none.lines().all(|line| line.ends_with(" 0")), "{none}");
    // Observed, it goes through and is counted as what it would be.
    let observed = World::with(app.address, |setup| setup.mode = Mode::Observe).await;
    assert!(tell(&observed, bare).await.starts_with("HTTP/1.1 200"));
    let would = "procura_gate_would_refuse_total{reason=\"missing_headers\"} 1";
    becomes(&observed, &known, would).await;
    let passed = "procura_gate_requests_total{outcome=\"passed\"} 1";
    becomes(&observed, &known, passed).await;
}
