//! Profiles of other systems at a gate whose server cannot say whether a proof is good,
//! and bodies that such proofs are about. What a server says is held in the acceptance
//! tests, against a real one.

use crate::client::{Raw, proven_post, refusal, tell};
use crate::upstream::App;
use crate::verifying::{HOST, NOW};
use crate::world::{Heard, PROOF, World, dial, proof_of, route};
use procura_client::{Client, ClientOptions, SessionClient};
use procura_crypto::{SigningKey, SystemEntropy};
use procura_gate::{Authorities, Gate, GateConfig, Limits};
use procura_proof::RequestView;
use procura_proof::foreign::{AgentSecret, ForeignSigner, sign};
use procura_types::dial::{Mode, Route};
use procura_types::{Clock, Duration};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::sync::watch;

/// For a server that answers, however busy the machine is.
const LONG: Duration = Duration::from_secs(15);

/// A gate that follows by feeds that the test gives, and asks the server at `server`,
/// whose answer it waits for so long.
async fn door(
    upstream: SocketAddr,
    server: SocketAddr,
    mode: Mode,
    judge_time: Duration,
) -> (SocketAddr, Arc<Heard>, Held) {
    let world = crate::verifying::World::after(0);
    let key = SigningKey::generate_ed25519(&SystemEntropy).unwrap();
    let options = ClientOptions {
        pinned_server_key: Some(key.public().clone()),
        ..ClientOptions::default()
    };
    let clock: Arc<dyn Clock> = Arc::clone(&world.clock) as Arc<dyn Clock>;
    let client = Client::new(
        &format!("http://{server}"),
        options,
        Arc::clone(&clock),
        Arc::new(SystemEntropy),
    );
    let server = SessionClient::new(client.unwrap(), Arc::new(key));
    let verifying = procura_gate::Verifying::new(
        &"shop".parse().unwrap(),
        &"web".parse().unwrap(),
        crate::verifying::guard(),
        0,
        Duration::from_secs(60),
        clock,
    );
    let verifying = Arc::new(verifying.unwrap().asking(server));
    verifying
        .take(&world.whole(40), world.clock.steady())
        .unwrap();
    let config = GateConfig {
        upstream: format!("http://{upstream}").parse().unwrap(),
        upstream_tls: None,
        environment: None,
        authorities: Authorities::Listed(vec![HOST.to_owned()]),
        limits: Limits {
            judge_time,
            ..Limits::default()
        },
    };
    let heard = Arc::new(Heard::default());
    let observer = Arc::clone(&heard);
    let gate = Gate::new(config, dial(mode, vec![]), verifying, observer).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopping) = watch::channel(false);
    tokio::spawn(async move { gate.serve(listener, None, stopping).await });
    (address, heard, Held(world, stop))
}

/// What has to be there as long as a gate is.
struct Held(
    crate::verifying::World,
    #[expect(dead_code, reason = "it is only held")] watch::Sender<bool>,
);

/// One request by each profile.
fn requests(body: &str) -> Vec<(&'static str, String)> {
    let key = SigningKey::generate_ed25519(&SystemEntropy).unwrap();
    let secret = AgentSecret::new("not a secret").unwrap();
    let signers = [
        ForeignSigner::KeyServerV1(&key),
        ForeignSigner::GuideV1(&key),
        ForeignSigner::HmacV1(&secret),
        ForeignSigner::HmacV2(&secret),
    ];
    let none: [(&str, &str); 0] = [];
    let view = RequestView {
        method: "POST",
        authority: HOST,
        scheme: None,
        path: "/orders",
        query: None,
        headers: &none,
        body: body.as_bytes(),
    };
    signers
        .into_iter()
        .map(|signer| {
            let agent = "legacy".parse().unwrap();
            let fields = sign(&view, &agent, signer, NOW, &SystemEntropy).unwrap();
            let mut text = format!(
                "POST /orders HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\nContent-Length: {}\r\n",
                body.len()
            );
            for (name, value) in fields {
                text.push_str(&format!("{name}: {value}\r\n"));
            }
            (signer.profile().as_str(), format!("{text}\r\n{body}"))
        })
        .collect()
}

async fn say(address: SocketAddr, request: &str) -> String {
    let mut raw = Raw::connect(address).await;
    raw.send(request).await;
    raw.all_of_it().await
}

/// A port at which nobody listens.
async fn nobody() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    listener.local_addr().unwrap()
}

#[tokio::test]
async fn nobody_is_let_in_by_a_server_that_is_gone_or_slow() {
    const SHORT: Duration = Duration::from_millis(300);
    let app = App::http1().await;
    // It accepts, and never answers.
    let slow = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let gone = nobody().await;
    for server in [gone, slow.local_addr().unwrap()] {
        let (address, heard, _held) = door(app.address, server, Mode::Enforce, SHORT).await;
        for (profile, request) in requests("{}") {
            let answer = say(address, &request).await;
            assert_eq!(
                refusal(&answer),
                (503, "verifier_unavailable".to_owned()),
                "{profile}"
            );
            assert!(answer.contains("retry-after: 1\r\n"), "{answer}");
        }
        assert_eq!(heard.all().len(), 4);
        assert!(app.whole.lock().unwrap().is_empty());

        let (address, heard, _held) = door(app.address, server, Mode::Observe, SHORT).await;
        for (profile, request) in requests("{}") {
            let answer = say(address, &request).await;
            assert!(answer.starts_with("HTTP/1.1 200"), "{profile}: {answer}");
        }
        let all = heard.all();
        let words: Vec<_> = all
            .iter()
            .map(|line| line.starts_with("would POST /orders verifier_unavailable "))
            .collect();
        assert_eq!(words, [true; 4], "{all:?}");
        app.whole.lock().unwrap().clear();
    }
}

/// A server that says that it is asked too often, and how often it was asked.
async fn over_its_rate(retry_after: &'static str) -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    tokio::spawn(async move {
        let body = r#"{"type":"urn:procura:error:rate_limited","title":"t","status":429,"detail":"d","code":"rate_limited","reason":"rate_limited","request_id":"r"}"#;
        let answer = format!(
            "HTTP/1.1 429 Too Many Requests\r\nContent-Type: application/problem+json\r\nConnection: close\r\n{retry_after}Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut head = [0; 4096];
            if stream.read(&mut head).await.is_ok_and(|read| read > 0) {
                count.fetch_add(1, Ordering::SeqCst);
                let _ = stream.write_all(answer.as_bytes()).await;
                let _ = stream.shutdown().await;
            }
        }
    });
    (address, asked)
}

#[tokio::test]
async fn a_server_that_is_asked_too_often_is_not_asked_again_before_it_says() {
    let app = App::http1().await;
    for (said, seconds) in [
        ("Retry-After: 3\r\n", 3),
        // Nobody signs a refusal, so it closes a gate for no longer than this.
        ("Retry-After: 3600\r\n", 5),
        ("Retry-After: 0\r\n", 1),
        ("", 1),
    ] {
        let (server, asked) = over_its_rate(said).await;
        let (address, _, held) = door(app.address, server, Mode::Enforce, LONG).await;
        for expected in 1..=2 {
            for (profile, request) in requests("{}") {
                let answer = say(address, &request).await;
                assert_eq!(
                    refusal(&answer),
                    (429, "rate_limited".to_owned()),
                    "{profile}"
                );
                let told = format!("retry-after: {seconds}\r\n");
                assert!(answer.contains(&told), "{said:?}: {answer}");
                assert_eq!(asked.load(Ordering::SeqCst), expected, "{said:?} {profile}");
            }
            held.0.pass_time(seconds);
        }
    }
    assert!(app.whole.lock().unwrap().is_empty());
}

#[tokio::test]
async fn what_shows_no_profile_or_two_is_refused_without_a_question() {
    let app = App::http1().await;
    // Whoever is asked would be too slow: the answers come without.
    let slow = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let slow = slow.local_addr().unwrap();
    let (address, _, _held) = door(app.address, slow, Mode::Enforce, LONG).await;
    for (fields, reason) in [
        ("", "missing_headers"),
        ("X-Agent-Id: a\r\n", "missing_headers"),
        ("X-Agent: a\r\nX-Agent-Id: a\r\n", "malformed"),
        ("X-Agent-Id: a\r\nX-Timestamp: yesterday\r\n", "malformed"),
        (
            "X-Agent-Id: a\r\nX-Timestamp: 1800000000000\r\nX-Signature-Version: 3\r\n",
            "malformed",
        ),
        (
            "X-Agent-Id: a\r\nX-Timestamp: 1\r\nX-Timestamp: 1\r\n",
            "malformed",
        ),
    ] {
        let request =
            format!("GET / HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n{fields}\r\n");
        let answer = say(address, &request).await;
        assert_eq!(refusal(&answer), (401, reason.to_owned()), "{fields}");
    }
}

#[tokio::test]
async fn a_body_is_read_whole_for_a_proof_that_is_about_it() {
    let app = App::http1().await;
    let world = World::with(app.address, |setup| {
        setup.routes = vec![
            Route {
                stream: Some(true),
                ..route("/stream", Mode::Enforce)
            },
            Route {
                danger_unsigned_body: Some(true),
                ..route("/open", Mode::Enforce)
            },
        ];
    })
    .await;
    let foreign = "X-Agent-Id: legacy\r\nX-Timestamp: 2027-01-15T08:00:00Z\r\n";
    for (path, fields, seen) in [
        ("/stream", "", "(streamed)"),
        ("/stream", foreign, "body"),
        ("/open", "", "(unsigned)"),
        ("/open", foreign, "body"),
    ] {
        let answer = tell(&world, proven_post(path, "body", fields)).await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        let asked = world.asked().pop().unwrap();
        assert_eq!(asked.body, seen, "{path} {fields}");
    }
    // A body of unknown length is left out where it may be; hmac-v1 signs nothing else.
    let weak = "X-Agent-Id: legacy\r\nX-Timestamp: 1800000000000\r\n";
    for (path, fields, seen) in [
        ("/stream", foreign, "body"),
        ("/open", foreign, "(unsigned)"),
        ("/open", weak, "body"),
    ] {
        let request = format!(
            "POST {path} HTTP/1.1\r\nHost: app.example\r\n{PROOF}: {}\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n{fields}\r\n4\r\nbody\r\n0\r\n\r\n",
            proof_of(b"body")
        );
        let answer = tell(&world, request).await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        let asked = world.asked().pop().unwrap();
        assert_eq!(asked.body, seen, "{path} {fields}");
    }
    // So that no route takes more of it than it would hold.
    let large = "x".repeat(1024 * 1024 + 1);
    let request = format!(
        "POST /stream HTTP/1.1\r\nHost: app.example\r\n{PROOF}: {}\r\nConnection: close\r\nContent-Length: {}\r\n{foreign}\r\n",
        proof_of(large.as_bytes()),
        large.len()
    );
    let answer = tell(&world, request).await;
    assert_eq!(refusal(&answer), (413, "body_too_large".to_owned()));
}
