//! TLS on both sides.

use crate::client::{proven, read, request2};
use crate::upstream::App;
use crate::world::{World, within};
use hyper_util::rt::{TokioExecutor, TokioIo};
use procura_gate::{GateConfig, GateError, Limits};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::sync::Arc;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, TlsConnector};

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

/// A server's side and the client's that trusts it.
fn pair(name: &str) -> (Arc<rustls::ServerConfig>, rustls::ClientConfig) {
    let made = rcgen::generate_simple_self_signed(vec![name.to_owned()]).unwrap();
    let certificate = CertificateDer::from(made.cert.der().to_vec());
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let server = rustls::ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.clone()], key)
        .unwrap();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(certificate).unwrap();
    let client = rustls::ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    (Arc::new(server), client)
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
    let (server, client) = pair("app.example");
    let world = World::with(app.address, |setup| setup.tls = Some(server)).await;
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
async fn an_upstream_over_tls_is_checked() {
    let app = App::http1().await;
    let (server, client) = pair("localhost");
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let own = Arc::clone(&app);
    tokio::spawn(async move {
        let acceptor = TlsAcceptor::from(server);
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let (acceptor, own) = (acceptor.clone(), Arc::clone(&own));
            tokio::spawn(async move {
                if let Ok(stream) = acceptor.accept(stream).await {
                    own.connection(stream, false).await;
                }
            });
        }
    });
    let url = format!("https://localhost:{port}");
    let trusting = World::with(app.address, |setup| {
        setup.upstream = url.clone();
        setup.upstream_tls = Some(Arc::new(client));
    })
    .await;
    let answer = crate::client::tell(&trusting, proven("GET /x", "")).await;
    assert!(answer.contains("\nhost: app.example\n"), "{answer}");
    let (_, other) = pair("localhost");
    let wary = World::with(app.address, |setup| {
        setup.upstream = url;
        setup.upstream_tls = Some(Arc::new(other));
    })
    .await;
    let answer = crate::client::tell(&wary, proven("GET /x", "")).await;
    assert!(answer.starts_with("HTTP/1.1 502"), "{answer}");
}

#[test]
fn an_upstream_over_tls_needs_something_to_check_it_with() {
    let config = GateConfig {
        upstream: "https://localhost".parse().unwrap(),
        upstream_tls: None,
        upstream_http2: true,
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
