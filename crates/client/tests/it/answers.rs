//! Answers that are refusals, nonsense, too large, late, or none.

use crate::server::{TestClock, client, listen, problem};
use bytes::Bytes;
use http::Response;
use procura_client::{Client, ClientError, ClientOptions};
use procura_crypto::SystemEntropy;
use procura_types::Duration;
use std::sync::Arc;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpListener;

fn raw(status: u16, kind: &str, body: impl Into<Bytes>) -> Response<Bytes> {
    Response::builder()
        .status(status)
        .header("content-type", kind)
        .body(body.into())
        .unwrap()
}

#[tokio::test]
async fn a_problem_is_a_refusal_in_the_servers_words() {
    let url = listen(|_| problem(503, "sealed", None)).await;
    let error = client(&url, None, &TestClock::new())
        .status()
        .await
        .unwrap_err();
    assert!(error.is_refusal("sealed"));
    assert_eq!(error.to_string(), "it is sealed");
    assert_eq!(error.problem().unwrap().status, 503);
}

#[tokio::test]
async fn what_is_no_answer_of_the_api_is_not_understood() {
    for (status, kind, body, cause) in [
        (502, "text/html", "<html>", "status 502 without a problem"),
        (302, "text/html", "", "status 302 without a problem"),
        (200, "text/html", "<html>", "it is not JSON"),
        (
            200,
            "application/json",
            "{\"canary\":",
            "its JSON does not fit at line 1 column 10",
        ),
        (
            200,
            "application/json",
            "{}",
            "its JSON does not fit at line 1 column 2",
        ),
        (
            400,
            "application/problem+json",
            "{}",
            "missing field `type` at line 1 column 2",
        ),
    ] {
        let url = listen(move |_| raw(status, kind, body)).await;
        match client(&url, None, &TestClock::new()).status().await {
            Err(ClientError::NotUnderstood {
                address,
                cause: why,
            }) => {
                assert_eq!((address, why.as_str()), (url, cause));
            }
            other => panic!("{status} {body}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn an_answer_without_end_is_cut_off() {
    let url = listen(|_| raw(200, "application/json", vec![b' '; 32 * 1024 * 1024 + 1])).await;
    match client(&url, None, &TestClock::new()).status().await {
        Err(ClientError::NotUnderstood { cause, .. }) => {
            assert_eq!(cause, "it is larger than 32 MiB")
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn nobody_there_and_nobody_answering_are_unreachable() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let silent = format!("http://{}", listener.local_addr().unwrap());
    let options = ClientOptions {
        timeout: Duration::from_millis(200),
        ..ClientOptions::default()
    };
    let quick = |url: &str| {
        Client::new(
            url,
            options.clone(),
            TestClock::new(),
            Arc::new(SystemEntropy),
        )
        .unwrap()
    };
    match quick(&silent).status().await {
        Err(ClientError::Unreachable { address, cause, .. }) => {
            assert_eq!(
                (address, cause.as_str()),
                (silent.clone(), "no answer within the time of a call")
            );
        }
        other => panic!("{other:?}"),
    }
    drop(listener);
    match quick(&silent).status().await {
        Err(ClientError::Unreachable { cause, .. }) => {
            assert!(cause.contains("onnection refused"), "{cause}");
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_connection_that_breaks_in_the_middle_is_unreachable() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{";
            stream.write_all(head).await.unwrap();
        }
    });
    match client(&url, None, &TestClock::new()).status().await {
        Err(ClientError::Unreachable { .. }) => {}
        other => panic!("{other:?}"),
    }
}
