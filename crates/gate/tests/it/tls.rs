//! TLS on both sides.

use crate::client::{http2, proven, proven_post, read, request2};
use crate::upstream::App;
use crate::world::{PROOF, World, proof_of, within};
use hyper_util::rt::{TokioExecutor, TokioIo};
use procura_edge::tls::Certificate;
use procura_gate::{GateConfig, GateError, Limits};
use procura_types::Duration;
use rustls::pki_types::PrivateKeyDer;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, TlsConnector};

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

/// A certificate that signs itself, in files.
struct Pair {
    dir: tempfile::TempDir,
    made: rcgen::CertifiedKey<rcgen::KeyPair>,
}

impl Pair {
    fn of(name: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let pair = Self {
            made: rcgen::generate_simple_self_signed(vec![name.to_owned()]).unwrap(),
            dir,
        };
        pair.write(&pair.made);
        pair
    }

    /// Writes another one in its place, for the same name.
    fn renew(&mut self, name: &str) {
        self.made = rcgen::generate_simple_self_signed(vec![name.to_owned()]).unwrap();
        self.write(&self.made);
    }

    fn write(&self, made: &rcgen::CertifiedKey<rcgen::KeyPair>) {
        let key = self.dir.path().join("key.pem");
        std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
        let private = std::fs::Permissions::from_mode(0o600);
        std::fs::set_permissions(&key, private).unwrap();
        std::fs::write(self.dir.path().join("cert.pem"), made.cert.pem()).unwrap();
    }

    fn certificate(&self) -> Arc<Certificate> {
        let (cert, key) = (
            self.dir.path().join("cert.pem"),
            self.dir.path().join("key.pem"),
        );
        Arc::new(Certificate::read(&cert, &key).unwrap())
    }

    /// A client that trusts it.
    fn client(&self) -> rustls::ClientConfig {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(self.made.cert.der().clone()).unwrap();
        rustls::ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth()
    }
}

/// A service over TLS that offers these, and how many connections it had in each.
struct SecureApp {
    url: String,
    app: Arc<App>,
    over_one: Arc<AtomicUsize>,
    over_two: Arc<AtomicUsize>,
}

impl SecureApp {
    async fn offering(pair: &Pair, protocols: &[&[u8]]) -> Self {
        let mut config = rustls::ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![pair.made.cert.der().clone()],
                PrivateKeyDer::try_from(pair.made.signing_key.serialize_der()).unwrap(),
            )
            .unwrap();
        config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let secure = Self {
            url: format!("https://localhost:{port}"),
            app: App::http1().await,
            over_one: Arc::default(),
            over_two: Arc::default(),
        };
        let (app, one, two) = (
            Arc::clone(&secure.app),
            Arc::clone(&secure.over_one),
            Arc::clone(&secure.over_two),
        );
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (acceptor, app) = (acceptor.clone(), Arc::clone(&app));
                let (one, two) = (Arc::clone(&one), Arc::clone(&two));
                tokio::spawn(async move {
                    if let Ok(stream) = acceptor.accept(stream).await {
                        let http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
                        let count = if http2 { two } else { one };
                        count.fetch_add(1, Ordering::SeqCst);
                        app.connection(stream, http2).await;
                    }
                });
            }
        });
        secure
    }

    /// A gate in front of it that trusts it.
    async fn world(&self, pair: &Pair) -> World {
        World::with(self.app.address, |setup| {
            setup.upstream = self.url.clone();
            setup.upstream_tls = Some(Arc::new(pair.client()));
        })
        .await
    }

    fn connections(&self) -> (usize, usize) {
        (
            self.over_one.load(Ordering::SeqCst),
            self.over_two.load(Ordering::SeqCst),
        )
    }
}

async fn connect(
    world: &World,
    client: &rustls::ClientConfig,
    protocols: &[&[u8]],
) -> tokio_rustls::client::TlsStream<TcpStream> {
    let mut config = client.clone();
    config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
    let stream = TcpStream::connect(world.address).await.unwrap();
    TlsConnector::from(Arc::new(config))
        .connect("app.example".try_into().unwrap(), stream)
        .await
        .unwrap()
}

#[tokio::test]
async fn clients_choose_their_protocol() {
    let app = App::http1().await;
    let pair = Pair::of("app.example");
    let client = pair.client();
    let certificate = pair.certificate();
    let world = World::with(app.address, |setup| setup.certificate = Some(certificate)).await;
    for protocols in [&[][..], &[&b"http/1.1"[..]]] {
        let mut stream = connect(&world, &client, protocols).await;
        stream
            .write_all(proven("GET /one", "").as_bytes())
            .await
            .unwrap();
        let mut answer = String::new();
        within(stream.read_to_string(&mut answer)).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        assert!(answer.contains("\nx-forwarded-proto: https\n"), "{answer}");
    }
    let stream = connect(&world, &client, &[b"h2", b"http/1.1"]).await;
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .unwrap();
    tokio::spawn(connection);
    let answer = within(sender.send_request(request2("GET", "/two", "")))
        .await
        .unwrap();
    let answer = read(answer).await.unwrap();
    assert!(
        answer.text.starts_with("GET /two HTTP/1.1\n"),
        "{}",
        answer.text
    );
    assert!(answer.text.contains("\nprocura-agent: alice//scribe\n"));
}

#[tokio::test]
async fn who_does_not_speak_tls_gets_nothing() {
    let app = App::http1().await;
    let certificate = Pair::of("app.example").certificate();
    let world = World::with(app.address, |setup| {
        setup.certificate = Some(certificate);
        setup.limits.head_time = Duration::from_millis(300);
    })
    .await;
    let answer = crate::client::tell(&world, proven("GET /plain", "")).await;
    assert!(!answer.contains("HTTP"), "{answer:?}");
    // Nor who begins and says no more.
    assert_eq!(
        crate::client::Raw::connect(world.address)
            .await
            .all_of_it()
            .await,
        ""
    );
    assert!(world.asked().is_empty());
}

#[tokio::test]
async fn heads_over_tls_are_as_strict_and_have_their_time() {
    let app = App::http1().await;
    let pair = Pair::of("app.example");
    let certificate = pair.certificate();
    let world = World::with(app.address, |setup| {
        setup.certificate = Some(certificate);
        setup.limits.head_time = Duration::from_secs(3);
    })
    .await;
    for (request, expected) in [
        ("GET / HTTP/1.1\nHost: app.example\n\n", (400, "line_end")),
        ("GET / HTTP/1.1\r\nHost: app", (408, "head_too_slow")),
    ] {
        let mut stream = connect(&world, &pair.client(), &[]).await;
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        within(stream.read_to_string(&mut answer)).await.unwrap();
        let (status, reason) = crate::client::refusal(&answer);
        assert_eq!((status, reason.as_str()), expected, "{request:?}");
    }
}

#[tokio::test]
async fn a_client_over_tls_that_reads_nothing_is_cut() {
    let app = App::http1().await;
    let pair = Pair::of("app.example");
    let certificate = pair.certificate();
    let world = World::with(app.address, |setup| {
        setup.certificate = Some(certificate);
        setup.limits.stall_time = Duration::from_millis(200);
    })
    .await;
    let mut stream = connect(&world, &pair.client(), &[]).await;
    let request = proven("GET /large", "").replace("Connection: close\r\n", "");
    for _ in 0..6 {
        stream.write_all(request.as_bytes()).await.unwrap();
    }
    within(async {
        loop {
            tokio::time::sleep(Duration::from_millis(100)).await;
            let sent = stream.write_all(b"\r\n").await;
            if sent.is_err() || stream.flush().await.is_err() {
                break;
            }
        }
    })
    .await;
}

#[tokio::test]
async fn a_new_certificate_is_for_the_connections_that_come_then() {
    let app = App::http1().await;
    let mut pair = Pair::of("app.example");
    let certificate = pair.certificate();
    let own = Arc::clone(&certificate);
    let world = World::with(app.address, |setup| setup.certificate = Some(own)).await;
    let before = pair.client();
    let mut open = connect(&world, &before, &[]).await;
    pair.renew("app.example");
    certificate.renew(true);
    assert_eq!(certificate.problem(), None);
    // The new one is shown, and the old connection goes on.
    connect(&world, &pair.client(), &[]).await;
    let stream = TcpStream::connect(world.address).await.unwrap();
    let refused = TlsConnector::from(Arc::new(before))
        .connect("app.example".try_into().unwrap(), stream)
        .await;
    assert!(refused.is_err());
    open.write_all(proven("GET /one", "").as_bytes())
        .await
        .unwrap();
    let mut answer = String::new();
    within(open.read_to_string(&mut answer)).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[tokio::test]
async fn an_upstream_over_tls_is_checked() {
    let pair = Pair::of("localhost");
    let secure = SecureApp::offering(&pair, &[]).await;
    let trusting = secure.world(&pair).await;
    let answer = crate::client::tell(&trusting, proven("GET /x", "")).await;
    assert!(answer.contains("\nhost: app.example\n"), "{answer}");
    // One of another authority, and one for another name.
    let wary = secure.world(&Pair::of("localhost")).await;
    let other = Pair::of("elsewhere.example");
    let misnamed = SecureApp::offering(&other, &[]).await.world(&other).await;
    for world in [wary, misnamed] {
        let answer = crate::client::tell(&world, proven("GET /x", "")).await;
        let refused = crate::client::refusal(&answer);
        assert_eq!(refused, (502, "upstream_unreachable".to_owned()));
    }
}

#[tokio::test]
async fn an_upstream_over_tls_chooses_its_protocol() {
    let pair = Pair::of("localhost");
    for (offered, version, connections) in [
        (&[&b"h2"[..], b"http/1.1"][..], "HTTP/2.0", (0, 1)),
        (&[b"h2"], "HTTP/2.0", (0, 1)),
        (&[b"http/1.1"], "HTTP/1.1", (1, 0)),
        (&[], "HTTP/1.1", (1, 0)),
    ] {
        let secure = SecureApp::offering(&pair, offered).await;
        let world = secure.world(&pair).await;
        for body in ["one", "two"] {
            let answer =
                crate::client::tell(&world, proven_post("/x?y", body, "TE: trailers\r\n")).await;
            assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
            assert!(
                answer.contains(&format!("POST /x?y {version}\n")),
                "{answer}"
            );
            assert!(answer.contains(body), "{answer}");
        }
        // In chunks: the length is known once it was read.
        let chunked = format!(
            "POST /chunks HTTP/1.1\r\nHost: app.example\r\n{PROOF}: {}\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
            proof_of(b"abc")
        );
        let answer = crate::client::tell(&world, chunked).await;
        assert!(answer.contains("abc"), "{answer}");
        assert_eq!(secure.connections(), connections, "{version}");
    }
}

#[tokio::test]
async fn what_needs_one_protocol_goes_over_that() {
    let pair = Pair::of("localhost");
    let secure = SecureApp::offering(&pair, &[b"h2", b"http/1.1"]).await;
    let world = secure.world(&pair).await;
    let mut client = http2(world.address).await;
    let mut grpc = request2("POST", "/unary", "message");
    for (name, value) in [("content-type", "application/grpc"), ("te", "trailers")] {
        grpc.headers_mut().insert(name, value.parse().unwrap());
    }
    let answer = read(client.send_request(grpc).await.unwrap())
        .await
        .unwrap();
    assert!(
        answer.text.starts_with("HTTP/2.0 te=Some"),
        "{}",
        answer.text
    );
    assert_eq!(answer.trailers.unwrap()["grpc-status"], "0");
    assert_eq!(secure.connections(), (0, 1));
    // A handshake, which this service knows nothing of and answers like any request.
    let fields = "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    let request = proven("GET /ws", fields).replace("Connection: close", "Connection: upgrade");
    let mut raw = crate::client::Raw::connect(world.address).await;
    raw.send(request).await;
    let answer = raw.until("upgrade: websocket\n").await;
    assert!(answer.contains("GET /ws HTTP/1.1\n"), "{answer}");
    assert_eq!(secure.connections(), (1, 1));
    // gRPC to who has no HTTP/2.
    let secure = SecureApp::offering(&pair, &[b"http/1.1"]).await;
    let world = secure.world(&pair).await;
    let mut client = http2(world.address).await;
    let mut grpc = request2("POST", "/unary", "message");
    let kind = "application/grpc".parse().unwrap();
    grpc.headers_mut().insert("content-type", kind);
    let answer = read(client.send_request(grpc).await.unwrap())
        .await
        .unwrap();
    assert_eq!(answer.status, 502);
}

#[tokio::test]
async fn http2_with_prior_knowledge_is_for_everything() {
    let app = App::http2().await;
    let world = World::over_http2(app.address).await;
    let answer = crate::client::tell(&world, proven("GET /x", "")).await;
    assert!(
        answer.contains("GET /x HTTP/2.0\n:authority: app.example\n"),
        "{answer}"
    );
    // A handshake is a request like any other there.
    let fields = "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    let request =
        proven("GET /ws", fields).replace("Connection: close", "Connection: upgrade, close");
    let answer = crate::client::tell(&world, request).await;
    assert!(answer.contains("GET /ws HTTP/2.0\n"), "{answer}");
    assert!(!answer.contains("\nupgrade:"), "{answer}");
}

#[test]
fn an_upstream_over_tls_needs_something_to_check_it_with() {
    let config = GateConfig {
        upstream: "https://localhost".parse().unwrap(),
        upstream_tls: None,
        environment: None,
        authorities: procura_gate::Authorities::DangerAny,
        limits: Limits::default(),
    };
    let stand_in = Arc::new(crate::world::StandIn::default());
    let heard = Arc::new(crate::world::Heard::default());
    let gate = procura_gate::Gate::new(
        config,
        procura_types::dial::Dial::default(),
        stand_in,
        heard,
    );
    assert_eq!(gate.err(), Some(GateError::UpstreamTls));
}
