//! The administration socket: plain HTTP over a Unix socket.

use crate::server::{json, problem, serve_stream};
use procura_client::{AdminClient, ClientError};
use procura_types::wire::Status;
use procura_types::{Duration, Secret};
use std::sync::Arc;
use tokio::net::UnixListener;

#[tokio::test]
async fn passphrases_go_over_the_socket_and_wrong_ones_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("admin.sock");
    let listener = UnixListener::bind(&path).unwrap();
    tokio::spawn(async move {
        let answer = Arc::new(|got: crate::server::Got| match got.path.as_str() {
            "/admin/unseal" if got.body == br#"{"passphrase":"right \"one\""}"# => {
                http::Response::builder()
                    .status(204)
                    .body(Default::default())
                    .unwrap()
            }
            "/admin/unseal" => problem(403, "wrong_passphrase", None),
            "/admin/status" => json(
                200,
                &Status {
                    installation: None,
                    initialized: true,
                    sealed: false,
                    version: "1".to_owned(),
                    degraded: Vec::new(),
                    rewrapping: false,
                    checkpoint: None,
                    api: None,
                    deep: None,
                },
            ),
            other => panic!("{other}"),
        });
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve_stream(stream, Arc::clone(&answer)));
        }
    });
    let admin = AdminClient::new(path, Duration::from_secs(10));
    admin
        .unseal(&Secret::new("right \"one\"".to_owned()))
        .await
        .unwrap();
    assert!(!admin.status().await.unwrap().sealed);
    let refused = admin
        .unseal(&Secret::new("wrong".to_owned()))
        .await
        .unwrap_err();
    assert!(refused.is_refusal("wrong_passphrase"), "{refused}");
}

#[tokio::test]
async fn no_socket_is_unreachable() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("admin.sock");
    let admin = AdminClient::new(path.clone(), Duration::from_secs(10));
    match admin.status().await {
        Err(ClientError::Unreachable { address, cause, .. }) => {
            assert_eq!(address, path.display().to_string());
            assert!(cause.starts_with("No such file or directory"), "{cause}");
        }
        other => panic!("{other:?}"),
    }
}
