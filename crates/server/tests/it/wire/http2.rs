//! HTTP/2 as its clients speak it: over TLS by agreement, on loopback by prior
//! knowledge; the same proofs, the same answers.

use crate::process::{Home, NOW, Server, connect, get, raw, read, start};
use crate::wire::frames::{
    Bare, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, NO_ERROR, OK, PREFACE, field, fields,
    frame, request,
};
use bytes::Bytes;
use http::{Request, Response, StatusCode, Version};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http2::SendRequest;
use hyper_util::rt::{TokioExecutor, TokioIo};
use procura_crypto::{MacKey, SystemEntropy};
use procura_proof::sign::{Signer, sign_request};
use procura_proof::{ANSWER_FIELD, AnswerView, RequestView};
use procura_server::Config;
use procura_types::wire::SessionAnswer;
use serde_json::{Value, json};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// The files of a certificate for loopback, and the certificate for who trusts it.
pub(super) struct Pair {
    pub(super) cert: PathBuf,
    pub(super) key: PathBuf,
    pub(super) pem: String,
    pub(super) key_pem: String,
}

impl Pair {
    pub(super) fn new(folder: &Path, name: &str) -> Self {
        let names = ["localhost", "127.0.0.1"].map(str::to_owned);
        let made = rcgen::generate_simple_self_signed(names).unwrap();
        let pair = Self {
            cert: folder.join(format!("{name}.cert.pem")),
            key: folder.join(format!("{name}.key.pem")),
            pem: made.cert.pem(),
            key_pem: made.signing_key.serialize_pem(),
        };
        std::fs::write(&pair.cert, &pair.pem).unwrap();
        crate::process::private_file(&pair.key, &pair.key_pem);
        pair
    }

    /// The configuration of a server that has it.
    pub(super) fn serves(&self, config: Config) -> Config {
        Config {
            tls_cert: Some(self.cert.clone()),
            tls_key: Some(self.key.clone()),
            ..config
        }
    }
}

/// Shakes hands, trusting one certificate and offering these protocols.
pub(super) async fn handshake(
    address: &str,
    pem: &str,
    protocols: &[&str],
) -> std::io::Result<TlsStream<TcpStream>> {
    use rustls_pki_types::pem::PemObject as _;
    let mut roots = rustls::RootCertStore::empty();
    let certificate = rustls_pki_types::CertificateDer::from_pem_slice(pem.as_bytes()).unwrap();
    roots.add(certificate).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = protocols
        .iter()
        .map(|name| name.as_bytes().to_vec())
        .collect();
    let stream = TcpStream::connect(address).await?;
    let name = rustls_pki_types::ServerName::try_from("127.0.0.1").unwrap();
    TlsConnector::from(Arc::new(config))
        .connect(name, stream)
        .await
}

/// A client's connection, moved by the runtime.
async fn speak(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
) -> SendRequest<Full<Bytes>> {
    let (sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .unwrap();
    tokio::spawn(connection);
    sender
}

async fn whole(response: Response<hyper::body::Incoming>) -> (StatusCode, http::HeaderMap, Bytes) {
    assert_eq!(response.version(), Version::HTTP_2);
    let (head, body) = response.into_parts();
    (
        head.status,
        head.headers,
        body.collect().await.unwrap().to_bytes(),
    )
}

/// A signed request, as HTTP/2 carries it: without a Host field.
fn signed(
    base: &str,
    method: &str,
    path: &str,
    body: Option<&Value>,
    signer: Signer<'_>,
) -> Request<Full<Bytes>> {
    let body = body.map_or_else(Vec::new, |body| body.to_string().into_bytes());
    let headers = match body.is_empty() {
        true => Vec::new(),
        false => vec![("content-type".to_owned(), "application/json".to_owned())],
    };
    let view = RequestView {
        method,
        authority: base.split_once("://").unwrap().1,
        scheme: None,
        path,
        query: None,
        headers: &headers,
        body: &body,
    };
    let proof = sign_request(&view, signer, NOW, &SystemEntropy).unwrap();
    let mut request = Request::builder()
        .method(method)
        .uri(format!("{base}{path}"));
    for (name, value) in headers {
        request = request.header(name, value);
    }
    for (name, value) in proof.headers {
        request = request.header(name, value);
    }
    request.body(Full::new(body.into())).unwrap()
}

/// Proves requests by a key and in a session, and checks the answers' tags.
async fn proves_itself(home: &Home, base: &str, mut sender: SendRequest<Full<Bytes>>) {
    let by_key = Signer::Device(&home.root);
    let made = json!({"name": "dock"});
    let make = signed(base, "POST", "/v1/namespaces", Some(&made), by_key);
    let (status, headers, _) = whole(sender.send_request(make).await.unwrap()).await;
    assert_eq!(status, 201);
    assert!(headers.get(ANSWER_FIELD).is_none());

    let wanted = json!({"audience": "procura"});
    let by_key = Signer::Device(&home.root);
    let begin = signed(base, "POST", "/v1/sessions", Some(&wanted), by_key);
    let (status, _, body) = whole(sender.send_request(begin).await.unwrap()).await;
    assert_eq!(status, 200);
    let session: SessionAnswer = serde_json::from_slice(&body).unwrap();
    let key = MacKey::from_bytes(session.mac_key.decode().unwrap().expose()).unwrap();
    // Many at once on the one connection.
    let answers: Vec<_> = (1..=50)
        .map(|counter| {
            let in_session = Signer::Session {
                id: &session.session_id,
                mac_key: &key,
                counter,
            };
            let list = signed(base, "GET", "/v1/namespaces", None, in_session);
            (counter, sender.send_request(list))
        })
        .collect();
    for (counter, answer) in answers {
        let (status, headers, body) = whole(answer.await.unwrap()).await;
        assert_eq!(status, 200);
        let field = |name: &str| headers.get(name).unwrap().to_str().unwrap();
        let view = AnswerView {
            status: 200,
            content_type: field("content-type"),
            body: &body,
        };
        assert!(view.is_signed(&key, counter, field(ANSWER_FIELD)));
        assert!(String::from_utf8_lossy(&body).contains("\"dock\""));
    }
    // What is signed for another path proves nothing here.
    let by_key = Signer::Device(&home.root);
    let mut other = signed(base, "GET", "/v1/operators", None, by_key);
    *other.uri_mut() = format!("{base}/v1/namespaces").parse().unwrap();
    let (status, _, body) = whole(sender.send_request(other).await.unwrap()).await;
    assert_eq!(status, 401);
    assert!(String::from_utf8_lossy(&body).contains("\"bad_signature\""));
}

#[test]
fn requests_prove_themselves_by_prior_knowledge_on_loopback() {
    let home = Home::new();
    let server = start(home.unsealed()).unwrap();
    let base = server.ready["api"].as_str().unwrap();
    runtime().block_on(async {
        let stream = TcpStream::connect(server.api()).await.unwrap();
        proves_itself(&home, base, speak(stream).await).await;
    });
}

#[test]
fn requests_prove_themselves_over_tls() {
    let home = Home::new();
    let pair = Pair::new(home.path(), "one");
    let server = start(pair.serves(home.unsealed())).unwrap();
    let base = server.ready["api"].as_str().unwrap();
    assert!(base.starts_with("https://"));
    runtime().block_on(async {
        let both = ["http/1.1", "h2"];
        let stream = handshake(server.api(), &pair.pem, &both).await.unwrap();
        let agreed = stream.get_ref().1.alpn_protocol().map(<[u8]>::to_vec);
        assert_eq!(agreed.as_deref(), Some(&b"h2"[..]));
        proves_itself(&home, base, speak(stream).await).await;
    });
}

#[test]
fn what_tls_agreed_on_is_spoken_and_nothing_else() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let home = Home::new();
    let pair = Pair::new(home.path(), "one");
    let server = start(pair.serves(home.unsealed())).unwrap();
    let (api, pem) = (server.api().to_owned(), pair.pem.as_str());
    let said = |protocols: &'static [&'static str], bytes: Vec<u8>| {
        let api = api.clone();
        async move {
            let mut stream = handshake(&api, pem, protocols).await?;
            let agreed = stream.get_ref().1.alpn_protocol().map(<[u8]>::to_vec);
            stream.write_all(&bytes).await?;
            let mut answer = Vec::new();
            // A connection that is cut off is at its end too.
            let _ = stream.read_to_end(&mut answer).await;
            std::io::Result::Ok((agreed, String::from_utf8_lossy(&answer).into_owned()))
        }
    };
    let ask = format!("GET /v1/status HTTP/1.1\r\nHost: {api}\r\nConnection: close\r\n\r\n");
    let preface = [PREFACE, &frame(4, 0, 0, &[])].concat();
    runtime().block_on(async {
        for protocols in [&["http/1.1"][..], &[]] {
            let (agreed, answer) = said(protocols, ask.clone().into_bytes()).await.unwrap();
            assert_eq!(agreed.is_some(), !protocols.is_empty());
            assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
            // HTTP/2 without agreement is no HTTP.
            let (_, answer) = said(protocols, preface.clone()).await.unwrap();
            assert!(
                answer.is_empty() || answer.starts_with("HTTP/1.1 400"),
                "{answer}"
            );
        }
        // HTTP/1 on a connection of HTTP/2 is none either.
        let (_, answer) = said(&["h2"], ask.clone().into_bytes()).await.unwrap();
        assert!(!answer.contains("HTTP/1.1"), "{answer}");
        // Who wants neither is told so in the handshake.
        let refused = said(&["spdy/3"], Vec::new()).await.unwrap_err();
        assert!(
            refused.to_string().contains("NoApplicationProtocol"),
            "{refused}"
        );
    });
    // Plain HTTP/2 is none where there is TLS.
    let plain = raw(&api, &preface);
    assert!(!plain.0.contains("HTTP"), "{}", plain.0);
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Runtime::new().unwrap()
}

/// The code, the field and the words of the refusal that a request meets.
fn refusal(server: &Server, more: &[(&str, &str)], path: &str) -> (String, Option<String>, String) {
    let mut bare = Bare::connect(server.api());
    let all = [
        &[(":method", "GET"), (":scheme", "http"), (":path", path)],
        more,
    ]
    .concat();
    bare.send(&frame(HEADERS, END_HEADERS | END_STREAM, 1, &fields(&all)));
    let (_, body) = bare.answer(1).unwrap();
    let problem: Value = serde_json::from_slice(&body).unwrap();
    let text = |key: &str| problem[key].as_str().map(str::to_owned);
    (
        text("code").unwrap(),
        text("field"),
        text("detail").unwrap(),
    )
}

#[test]
fn the_authority_is_named_once_or_twice_the_same() {
    let home = Home::new();
    let server = start(home.unsealed()).unwrap();
    let api = server.api();
    let port = api.rsplit(':').next().unwrap();
    let loud = format!("LOCALHOST:{port}");
    let quiet = format!("localhost:{port}");
    let user = format!("user@{api}");
    let other = [(":authority", "vault.example")];
    for path in ["/v1/namespaces", "/v1/status"] {
        let malformed = |more: &[(&str, &str)]| {
            let (code, field, detail) = refusal(&server, more, path);
            assert_eq!(code, "malformed", "{more:?}: {detail}");
            (field, detail)
        };
        let none = (None, "There must be an :authority.".to_owned());
        assert_eq!(malformed(&[]), none);
        assert_eq!(malformed(&[("host", api)]), none);
        let differ = (None, "The target and the Host field differ.".to_owned());
        assert_eq!(
            malformed(&[(":authority", api), ("host", "vault.example")]),
            differ
        );
        assert_eq!(
            malformed(&[(":authority", "vault.example"), ("host", api)]),
            differ
        );
        assert_eq!(malformed(&[(":authority", &quiet), ("host", api)]), differ);
        assert_eq!(malformed(&[(":authority", api), ("host", "")]), differ);
        let twice = (None, "There must be exactly one Host field.".to_owned());
        assert_eq!(
            malformed(&[(":authority", api), ("host", api), ("host", api)]),
            twice
        );
        assert_eq!(malformed(&other).0.as_deref(), Some("host"));
        assert_eq!(
            malformed(&[(":authority", &user)]).0.as_deref(),
            Some("host")
        );
    }
    // The same name, and the same in other letters, is as good: what is missing is a
    // proof.
    for more in [
        &[(":authority", api)][..],
        &[(":authority", api), ("host", api)],
        &[(":authority", &loud)],
        &[(":authority", &loud), ("host", &quiet)],
    ] {
        assert_eq!(
            refusal(&server, more, "/v1/namespaces").0,
            "unauthorized",
            "{more:?}"
        );
    }
    // Paths that are no path of ours are not found.
    for path in ["*", "//v1/status"] {
        let own = [(":authority", api)];
        assert_eq!(refusal(&server, &own, path).0, "not_found", "{path}");
    }
}

#[test]
fn a_stop_says_goodbye_and_finishes_what_is_running() {
    let home = Home::new();
    let mut server = start(home.unsealed()).unwrap();
    let api = server.api().to_owned();
    let (mut busy, mut idle) = (Bare::connect(&api), Bare::connect(&api));
    let content = field("content-type", "application/json");
    let head = [request("POST", &api, "/v1/join"), content].concat();
    busy.send(&frame(HEADERS, END_HEADERS, 1, &head));
    busy.send(&frame(DATA, 0, 1, b"{\"code_sha256\":"));
    busy.seen().unwrap();
    idle.seen().unwrap();
    server.terminate();
    let goodbye = busy.next().unwrap();
    assert_eq!((goodbye.kind, goodbye.error()), (GOAWAY, NO_ERROR));
    busy.send(&frame(DATA, END_STREAM, 1, b"\"\",\"actor_id\":1}"));
    let (_, body) = busy.answer(1).unwrap();
    assert!(String::from_utf8_lossy(&body).contains("invalid_json"));
    while busy.next().is_some() {}
    let goodbye = idle.next().unwrap();
    assert_eq!((goodbye.kind, goodbye.error()), (GOAWAY, NO_ERROR));
    while idle.next().is_some() {}
    server.wait();
}

#[test]
fn a_preface_in_pieces_and_what_only_begins_like_one() {
    let home = Home::new();
    let server = start(home.unsealed()).unwrap();
    let api = server.api().to_owned();
    let mut bare = Bare(connect(&api));
    for byte in PREFACE {
        bare.0.write_all(&[*byte]).unwrap();
    }
    let ask = frame(
        HEADERS,
        END_HEADERS | END_STREAM,
        1,
        &request("GET", &api, "/v1/status"),
    );
    bare.send(&[frame(4, 0, 0, &[]), ask].concat());
    assert_eq!(bare.answer(1).unwrap().0[0], OK);
    // HTTP/1 whose first letters are those of the preface, and in pieces too.
    let mut stream = connect(&api);
    let text = format!("PRI /v1/status HTTP/1.1\r\nHost: {api}\r\nConnection: close\r\n\r\n");
    for part in text.as_bytes().chunks(3) {
        stream.write_all(part).unwrap();
    }
    assert_eq!(read(&mut stream).status(), 405);
    // There is no way from HTTP/1 to HTTP/2 on a connection.
    let upgrade = raw(
        &api,
        format!(
            "GET /v1/status HTTP/1.1\r\nHost: {api}\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n\r\nGET /v1/status HTTP/1.1\r\nHost: {api}\r\nConnection: close\r\n\r\n"
        )
        .as_bytes(),
    );
    assert_eq!(upgrade.status(), 200);
    assert_eq!(
        upgrade.0.matches("HTTP/1.1 200").count(),
        2,
        "{}",
        upgrade.0
    );
    assert_eq!(get(&api, "/v1/status").status(), 200);
}

#[test]
fn health_is_told_over_http_1_alone() {
    let home = Home::new();
    let server = start(home.unsealed()).unwrap();
    let preface = [PREFACE, &frame(4, 0, 0, &[])].concat();
    let answer = raw(server.health(), &preface);
    assert!(
        answer.0.is_empty() || answer.status() == 400,
        "{}",
        answer.0
    );
    assert_eq!(get(server.health(), "/health").status(), 200);
}
