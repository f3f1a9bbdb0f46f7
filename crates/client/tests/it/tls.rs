//! TLS: the authorities that were named are trusted, others are not.

use crate::server::{TestClock, json, serve_stream};
use procura_client::{Client, ClientError, ClientOptions};
use procura_crypto::SystemEntropy;
use procura_types::wire::Status;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use tokio_rustls::rustls::{ServerConfig, crypto};

async fn listen_tls() -> (String, String) {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let config =
        ServerConfig::builder_with_provider(Arc::new(crypto::aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key)
            .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!(
        "https://localhost:{}",
        listener.local_addr().unwrap().port()
    );
    tokio::spawn(async move {
        let answer = Arc::new(|_: crate::server::Got| {
            json(
                200,
                &Status {
                    installation: None,
                    initialized: false,
                    sealed: true,
                    version: "1".to_owned(),
                    degraded: Vec::new(),
                    rewrapping: false,
                    checkpoint: None,
                    api: None,
                    deep: None,
                },
            )
        });
        while let Ok((stream, _)) = listener.accept().await {
            let (acceptor, answer) = (acceptor.clone(), Arc::clone(&answer));
            tokio::spawn(async move {
                if let Ok(stream) = acceptor.accept(stream).await {
                    serve_stream(stream, answer).await;
                }
            });
        }
    });
    (url, made.cert.pem())
}

fn client(url: &str, ca: Option<&str>) -> Result<Client, ClientError> {
    let options = ClientOptions {
        ca_pem: ca.map(|pem| pem.as_bytes().to_vec()),
        ..ClientOptions::default()
    };
    Client::new(url, options, TestClock::new(), Arc::new(SystemEntropy))
}

#[tokio::test]
async fn named_authorities_are_trusted_and_no_others() {
    let (url, pem) = listen_tls().await;
    assert!(
        client(&url, Some(&pem))
            .unwrap()
            .status()
            .await
            .unwrap()
            .sealed
    );

    let (_, other) = listen_tls().await;
    match client(&url, Some(&other)).unwrap().status().await {
        Err(ClientError::Unreachable { cause, .. }) => {
            assert!(cause.contains("invalid peer certificate"), "{cause}");
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn what_is_no_certificate_is_refused() {
    for (pem, why) in [
        ("", "none found in the PEM text"),
        ("hello", "none found in the PEM text"),
    ] {
        match client("https://localhost:1", Some(pem)).map(drop) {
            Err(ClientError::Certificates(said)) => assert_eq!(said, why),
            other => panic!("{other:?}"),
        }
    }
}
