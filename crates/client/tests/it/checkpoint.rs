//! The newest checkpoint: taken where it is told to anybody, asked for where it is not.

use crate::server::{Authority, TestClock, client, json, listen};
use bytes::Bytes;
use procura_client::SessionClient;
use procura_crypto::{SigningKey, SystemEntropy};
use procura_types::wire::Status;
use std::sync::Arc;

/// What is given of a server whose status tells this, and what it took a proof for.
async fn newest(told: Option<&'static str>) -> (Vec<u8>, Vec<String>) {
    let device = Arc::new(SigningKey::generate_p256(&SystemEntropy).unwrap());
    let clock = TestClock::new();
    let authority = Authority::new(device.public(), &clock);
    let serving = Arc::clone(&authority);
    let url = listen(move |got| {
        if got.path == "/v1/status" {
            let status = Status {
                installation: None,
                initialized: true,
                sealed: told.is_none(),
                version: "1".to_owned(),
                degraded: Vec::new(),
                rewrapping: false,
                checkpoint: told.map(str::to_owned),
                api: None,
                deep: None,
            };
            return json(200, &status);
        }
        serving.handle(got, |_, _| {
            http::Response::new(Bytes::from_static(b"a proven note"))
        })
    })
    .await;
    let client = client(&url, Some(authority.key.public().clone()), &clock);
    let client = SessionClient::new(client, device);
    let note = client.newest_checkpoint().await.unwrap();
    let seen = authority.seen.lock().unwrap();
    let proven = seen.iter().map(|(call, _)| call.clone()).collect();
    (note, proven)
}

#[tokio::test]
async fn what_is_told_to_anybody_takes_no_proof() {
    assert_eq!(
        newest(Some("a told note")).await,
        (b"a told note".to_vec(), Vec::new())
    );
}

#[tokio::test]
async fn what_is_not_told_is_asked_for() {
    let (note, proven) = newest(None).await;
    assert_eq!(note, b"a proven note");
    assert_eq!(proven, ["POST /v1/sessions", "GET /v1/ledger/checkpoint"]);
}
