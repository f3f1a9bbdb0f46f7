//! Receivers that are where they must not be, or that are not what they should be. Each
//! is refused for its own reason, in words that hold nothing of the URL.

use super::receiver::{Receiver, Says};
use super::{SECRET, actors, credential, put, tried};
use crate::actors::Actors;
use crate::world::World;
use serde_json::json;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

async fn at(actors: &Actors, url: &str) {
    let body = json!({"kind": "webhook", "credential_b64": credential(url)});
    let answer = put(actors, "ops", &body).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
}

async fn fails(actors: &Actors, words: &str) {
    let answer = tried(actors).await;
    answer.expect("receiver_failed", None, None, words);
    let text = answer.text();
    assert!(text.contains(words), "{text}");
    assert!(!text.contains(SECRET), "{text}");
}

#[tokio::test]
async fn addresses_that_are_not_public_are_refused_when_they_are_put() {
    let actors = Actors::within(World::configured(|config| config.notify_networks.clear())).await;
    for host in [
        "169.254.169.254",
        "127.0.0.1:8080",
        "[::1]",
        "[::ffff:169.254.169.254]",
        "[64:ff9b::a9fe:a9fe]",
        "10.0.0.1",
        "100.100.100.200",
        "0.0.0.0",
        "[fd00:ec2::254]",
        "[fe80::1]",
    ] {
        for kind in ["slack", "discord", "webhook"] {
            let url = format!("https://{host}/{SECRET}");
            let body = json!({"kind": kind, "credential_b64": credential(&url)});
            let answer = put(&actors, "ops", &body).await;
            let what = format!("{kind} {host}");
            answer.expect("malformed", None, Some("credential_b64"), &what);
            assert!(
                answer.text().contains("not of the public internet"),
                "{what}"
            );
            assert!(!answer.text().contains(SECRET), "{what}");
        }
    }
}

#[tokio::test]
async fn a_name_that_leads_to_this_machine_is_refused_when_it_is_looked_up() {
    let receiver = Receiver::start().await;
    let actors = Actors::within(World::configured(|config| config.notify_networks.clear())).await;
    let port = receiver.url.rsplit(':').next().unwrap();
    at(&actors, &format!("https://localhost:{port}/{SECRET}")).await;
    fails(
        &actors,
        "is at a loopback address, which notify_networks does not name",
    )
    .await;
    // Nor by mail, whose server is looked up in the same way.
    let mail = json!({"kind": "mail", "mail": {"host": "localhost", "tls": "starttls", "from": "a@example.com", "to": ["b@example.com"]}});
    assert_eq!(put(&actors, "ops", &mail).await.status, 200);
    fails(&actors, "is at a loopback address").await;
    assert!(receiver.got().is_empty());
}

#[tokio::test]
async fn a_redirect_is_a_failure_and_nobody_goes_there() {
    let (receiver, private) = (Receiver::start().await, Receiver::start().await);
    let actors = actors().await;
    at(&actors, &format!("{}/{SECRET}", receiver.url)).await;
    for status in ["301 Moved", "302 Found", "307 Temporary", "308 Permanent"] {
        receiver.says(Says::Whole(format!(
            "HTTP/1.1 {status}\r\nlocation: {}/latest/meta-data\r\ncontent-length: 0\r\n\r\n",
            private.url
        )));
        let code = status.split(' ').next().unwrap();
        fails(
            &actors,
            &format!("leads elsewhere ({code}), which is not followed"),
        )
        .await;
    }
    assert!(private.got().is_empty());
}

#[tokio::test]
async fn answers_are_bounded_in_length_and_in_time() {
    let receiver = Receiver::start().await;
    let actors = actors().await;
    at(&actors, &format!("{}/{SECRET}", receiver.url)).await;
    receiver.says(Says::Endlessly);
    fails(&actors, "answer is too long").await;
    let head = format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "y".repeat(200_000));
    receiver.says(Says::Whole(head));
    fails(&actors, "answer is too long").await;
    receiver.says(Says::Whole("SSH-2.0-OpenSSH_9.2\r\n".to_owned()));
    fails(&actors, "broke off or is not HTTP").await;
    receiver.says(Says::Slowly);
    fails(&actors, "gave no answer in time").await;
}

#[tokio::test]
async fn nothing_listens_there() {
    let actors = actors().await;
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = free.local_addr().unwrap().port();
    drop(free);
    at(&actors, &format!("http://127.0.0.1:{port}/{SECRET}")).await;
    fails(&actors, "takes no connection").await;
    at(&actors, &format!("https://nowhere.invalid/{SECRET}")).await;
    fails(&actors, "name leads to no address").await;
}

#[tokio::test]
async fn tls_is_for_the_name_and_by_an_authority_that_is_trusted() {
    let names = vec!["other.example".to_owned()];
    let made = rcgen::generate_simple_self_signed(names).unwrap();
    let key = rustls_pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let task = tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let acceptor = acceptor.clone();
            // It ends as soon as the certificate was looked at.
            tokio::spawn(async move { drop(acceptor.accept(stream).await) });
        }
    });
    let actors = actors().await;
    let url = format!("https://localhost:{port}/{SECRET}");
    at(&actors, &url).await;
    fails(&actors, "not of an authority that is trusted here").await;
    let body =
        json!({"kind": "webhook", "credential_b64": credential(&url), "ca_pem": made.cert.pem()});
    assert_eq!(put(&actors, "ops", &body).await.status, 200);
    fails(&actors, "certificate is for another name").await;
    task.abort();
}
