//! TLS: the authorities that were named are trusted, others are not.

use crate::server::{TestClock, json, serve_stream};
use procura_client::{Client, ClientError, ClientOptions, Target};
use procura_crypto::SystemEntropy;
use procura_types::wire::Status;
use procura_types::{Duration, Secret};
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use tokio_rustls::rustls::{ServerConfig, crypto};

async fn listen_tls() -> (String, String) {
    listen_with(rcgen::IsCa::NoCa).await
}

async fn listen_with(is_ca: rcgen::IsCa) -> (String, String) {
    let mut params = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    params.is_ca = is_ca;
    let pair = rcgen::KeyPair::generate().unwrap();
    let cert = params.self_signed(&pair).unwrap();
    let key = PrivateKeyDer::try_from(pair.serialize_der()).unwrap();
    let config =
        ServerConfig::builder_with_provider(Arc::new(crypto::aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![cert.der().clone()], key)
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
    (url, cert.pem())
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

    // One of the same name with another key, and one of another name.
    let (_, same_name) = listen_tls().await;
    let mut params = rcgen::CertificateParams::default();
    let name = rcgen::DnType::CommonName;
    params.distinguished_name.push(name, "another");
    let pair = rcgen::KeyPair::generate().unwrap();
    let other_name = params.self_signed(&pair).unwrap().pem();
    for other in [same_name, other_name] {
        match client(&url, Some(&other)).unwrap().status().await {
            Err(ClientError::Unreachable { cause, advice, .. }) => {
                assert_eq!(
                    cause,
                    "the server's certificate is not of an authority that is trusted here"
                );
                assert!(advice.unwrap().starts_with("give --ca FILE"), "{advice:?}");
            }
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn a_certificate_of_an_authority_itself_is_no_servers() {
    let authority = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let (url, pem) = listen_with(authority).await;
    match client(&url, Some(&pem)).unwrap().status().await {
        Err(ClientError::Unreachable { cause, advice, .. }) => {
            assert_eq!(cause, "the server's certificate is a CA's own");
            assert_eq!(advice, Some("make one with basicConstraints=CA:FALSE"));
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_server_without_tls_is_said_to_have_none() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!(
        "https://localhost:{}",
        listener.local_addr().unwrap().port()
    );
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let answer = Arc::new(|_: crate::server::Got| json(200, &"hello"));
            tokio::spawn(serve_stream(stream, answer));
        }
    });
    let (_, pem) = listen_tls().await;
    match client(&url, Some(&pem)).unwrap().status().await {
        Err(ClientError::Unreachable { cause, advice, .. }) => {
            assert_eq!(cause, "the server answers without TLS");
            assert!(advice.unwrap().starts_with("use http://"), "{advice:?}");
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

#[tokio::test]
async fn any_service_is_reached_over_tls_by_the_same_rules() {
    let (url, pem) = listen_tls().await;
    let target = Target::parse(&format!("{url}/any?a=%2f")).unwrap();
    let send = |ca: &str| {
        let (target, ca) = (target.clone(), ca.as_bytes().to_vec());
        async move {
            let body = Secret::new(Vec::new());
            let patience = Duration::from_secs(10);
            target.send("GET", &[], body, Some(&ca), patience).await
        }
    };
    let answer = send(&pem).await.unwrap();
    assert_eq!((answer.status, answer.phrase), (200, "OK"));
    let (_, other) = listen_tls().await;
    match send(&other).await {
        Err(ClientError::Unreachable { advice, .. }) => {
            assert!(advice.unwrap().starts_with("give --ca FILE"), "{advice:?}");
        }
        _ => panic!("an authority that was not named is trusted"),
    }
    assert!(matches!(
        send("no certificates").await,
        Err(ClientError::Certificates(_))
    ));
}
