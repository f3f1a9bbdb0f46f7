//! Tunnels and answers that stream end with the standing of whoever opened them.

use crate::client::{Raw, http2};
use crate::upstream::App;
use crate::verifying::{AGENT, AUDIENCE, HOST, NOW, World};
use crate::websocket::HANDSHAKE;
use crate::world::{Heard, dial, route, within};
use http::Request;
use http_body_util::{BodyExt as _, Empty};
use procura_crypto::{MacKey, SystemEntropy};
use procura_gate::{Authorities, Gate, GateConfig, Limits};
use procura_proof::RequestView;
use procura_proof::sign::{Signer, sign_request};
use procura_types::dial::{Mode, Route};
use procura_types::wire::{Feed, FeedDevice};
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::sync::watch;

/// A gate that verifies, in front of an upstream.
struct Door {
    world: World,
    address: SocketAddr,
    _stop: watch::Sender<bool>,
}

impl Door {
    async fn with(upstream: SocketAddr, mode: Mode) -> Self {
        let world = World::new();
        let config = GateConfig {
            upstream: format!("http://{upstream}").parse().unwrap(),
            upstream_tls: None,
            environment: None,
            authorities: Authorities::Listed(vec![HOST.to_owned()]),
            limits: Limits::default(),
        };
        let verifying = Arc::clone(&world.verifying);
        let observer = Arc::new(Heard::default());
        let gate = Gate::new(
            config,
            {
                let stream = Route {
                    stream: Some(true),
                    ..route("/up", mode)
                };
                dial(mode, vec![stream])
            },
            verifying,
            observer,
        )
        .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopping) = watch::channel(false);
        tokio::spawn(async move { gate.serve(listener, None, stopping).await });
        Self {
            world,
            address,
            _stop: stop,
        }
    }

    /// The fields of a proof.
    fn fields(path: &str, signer: Signer<'_>) -> Vec<(&'static str, String)> {
        let none: [(&str, &str); 0] = [];
        let view = RequestView {
            method: "GET",
            authority: HOST,
            scheme: None,
            path,
            query: None,
            headers: &none,
            body: b"",
        };
        sign_request(&view, signer, NOW, &SystemEntropy)
            .unwrap()
            .headers
    }

    fn request(path: &str, signer: Signer<'_>, more: &str) -> String {
        let mut text = format!("GET {path} HTTP/1.1\r\nHost: {HOST}\r\n{more}");
        for (name, value) in Self::fields(path, signer) {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        text + "\r\n"
    }

    /// The same over a session, whose end is that of the device that started it.
    async fn by_session(&self, path: &str) -> Raw {
        let session = self.world.session(AUDIENCE, 40);
        let key = MacKey::from_bytes(session.mac_key.expose()).unwrap();
        let signer = Signer::Session {
            id: &session.session_id,
            mac_key: &key,
            counter: 1,
        };
        let mut raw = Raw::connect(self.address).await;
        raw.send(Self::request(path, signer, "")).await;
        raw
    }

    async fn by_device(&self, path: &str, more: &str) -> Raw {
        let mut raw = Raw::connect(self.address).await;
        raw.send(Self::request(path, Signer::Device(&self.world.key), more))
            .await;
        raw
    }

    fn revoke_device(&self, seq: u64) {
        let device = FeedDevice {
            revoked: Some(NOW),
            ..World::device(&self.world.key, AGENT)
        };
        let feed = Feed {
            devices: vec![device],
            ..self.world.delta(seq)
        };
        self.world.take(&feed).unwrap();
    }

    fn revoke_agent(&self, seq: u64) {
        let feed = Feed {
            actors: vec![World::agent(Some(NOW))],
            ..self.world.delta(seq)
        };
        self.world.take(&feed).unwrap();
    }
}

/// Changes the protocol and then says nothing; tells when a connection ends.
async fn silent() -> (SocketAddr, watch::Receiver<usize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (ended, ends) = watch::channel(0);
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let ended = ended.clone();
            tokio::spawn(async move {
                let (mut head, mut byte) = (Vec::new(), [0]);
                while !head.ends_with(b"\r\n\r\n") {
                    stream.read_exact(&mut byte).await.unwrap();
                    head.push(byte[0]);
                }
                stream
                    .write_all(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\nhello\n")
                    .await
                    .unwrap();
                // A reset is an end too.
                while stream.read(&mut byte).await.unwrap_or(0) > 0 {}
                ended.send_modify(|count| *count += 1);
            });
        }
    });
    (address, ends)
}

#[tokio::test]
async fn answers_that_stream_end_with_the_device_that_opened_them() {
    let app = App::http1().await;
    let door = Door::with(app.address, Mode::Enforce).await;
    let mut over_http1 = door.by_device("/events", "").await;
    over_http1.until("data: 1\n\n").await;
    let mut in_session = door.by_session("/events").await;
    in_session.until("data: 1\n\n").await;
    // What happens to others ends nothing.
    door.world.take(&door.world.delta(41)).unwrap();
    app.go_on.notify_waiters();
    over_http1.until("data: 2\n\n").await;
    let mut again = door.by_device("/events", "").await;
    again.until("data: 1\n\n").await;
    let mut in_another = door.by_session("/events").await;
    in_another.until("data: 1\n\n").await;

    let mut client = http2(door.address).await;
    let mut request = Request::builder().uri(format!("http://{HOST}/events"));
    for (name, value) in Door::fields("/events", Signer::Device(&door.world.key)) {
        request = request.header(name, value);
    }
    let request = request.body(Empty::<bytes::Bytes>::new()).unwrap();
    let mut over_http2 = within(client.send_request(request)).await.unwrap();
    within(over_http2.body_mut().frame())
        .await
        .unwrap()
        .unwrap();

    door.revoke_device(42);
    // No last chunk: the client knows that something is missing.
    for raw in [&mut again, &mut in_another] {
        let all = raw.all_of_it().await;
        assert!(all.starts_with("HTTP/1.1 200"), "{all}");
        assert!(!all.ends_with("0\r\n\r\n"), "{all}");
        assert!(!all.contains("data: 2"), "{all}");
    }
    loop {
        match within(over_http2.body_mut().frame()).await {
            // What was on its way before.
            Some(Ok(_)) => {}
            Some(Err(_)) => break,
            None => panic!("it ended as if it were whole"),
        }
    }
    let refused = door.by_device("/events", "").await.until("}\n").await;
    assert!(refused.contains("\"reason\":\"revoked\""), "{refused}");
}

#[tokio::test]
async fn a_tunnel_ends_with_the_actor_on_both_sides() {
    let (upstream, mut ends) = silent().await;
    let door = Door::with(upstream, Mode::Enforce).await;
    let upgrade = format!("Connection: Upgrade\r\n{HANDSHAKE}");
    let mut raw = door.by_device("/ws", &upgrade).await;
    raw.until("hello\n").await;
    let mut stays = door.by_device("/ws", &upgrade).await;
    stays.until("hello\n").await;
    door.world.take(&door.world.delta(41)).unwrap();
    assert_eq!(*ends.borrow_and_update(), 0);
    door.revoke_agent(42);
    raw.all_of_it().await;
    stays.all_of_it().await;
    within(ends.wait_for(|count| *count == 2)).await.unwrap();
}

#[tokio::test]
async fn everything_ends_when_nothing_is_known_any_more() {
    let (upstream, mut ends) = silent().await;
    let door = Door::with(upstream, Mode::Enforce).await;
    let upgrade = format!("Connection: Upgrade\r\n{HANDSHAKE}");
    let mut raw = door.by_device("/ws", &upgrade).await;
    raw.until("hello\n").await;
    // As long as it is not too old, it lasts.
    door.world.verifying.end_stale();
    raw.send("x").await;
    assert_eq!(*ends.borrow_and_update(), 0);
    door.world.pass_time(61);
    door.world.verifying.end_stale();
    raw.all_of_it().await;
    within(ends.wait_for(|count| *count == 1)).await.unwrap();

    door.world.take(&door.world.whole(43)).unwrap();
    let mut raw = door.by_device("/ws", &upgrade).await;
    raw.until("hello\n").await;
    door.world.verifying.lose();
    raw.all_of_it().await;
    within(ends.wait_for(|count| *count == 2)).await.unwrap();
}

#[tokio::test]
async fn where_nothing_is_enforced_nothing_ends() {
    let app = App::http1().await;
    let door = Door::with(app.address, Mode::Observe).await;
    let mut raw = door.by_device("/events", "").await;
    raw.until("data: 1\n\n").await;
    door.revoke_device(41);
    app.go_on.notify_waiters();
    raw.until("data: 2\n\n").await;
}

#[tokio::test]
async fn a_body_that_is_still_coming_goes_no_further() {
    let app = App::http1().await;
    let door = Door::with(app.address, Mode::Enforce).await;
    let kind = [("content-type", "text/plain")];
    let view = RequestView {
        method: "POST",
        authority: HOST,
        scheme: None,
        path: "/up",
        query: None,
        headers: &kind,
        body: b"0123456789",
    };
    let signer = Signer::Device(&door.world.key);
    let signed = sign_request(&view, signer, NOW, &SystemEntropy).unwrap();
    let mut text = format!(
        "POST /up HTTP/1.1\r\nHost: {HOST}\r\nContent-Type: text/plain\r\nContent-Length: 10\r\n"
    );
    for (name, value) in signed.headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    let mut raw = Raw::connect(door.address).await;
    raw.send(text + "\r\n01234").await;
    // Let in, and under way to the upstream.
    within(async {
        while app.connections.load(std::sync::atomic::Ordering::SeqCst) == 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    door.revoke_device(41);
    let answer = raw.all_of_it().await;
    assert!(answer.starts_with("HTTP/1.1 401 "), "{answer}");
    assert!(answer.contains("\"reason\":\"revoked\""), "{answer}");
    assert!(app.whole.lock().unwrap().is_empty());
}
