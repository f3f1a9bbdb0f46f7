//! Whether the gate can do its work, on a listener of its own: the paths of the other
//! one belong to the service.

use crate::verifying::Verifying;
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use procura_types::Duration;
use std::convert::Infallible;
use std::sync::Arc;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

/// Connections at once; others wait to be accepted.
const CONNECTIONS: usize = 64;

/// How long one may take.
const TIME: Duration = Duration::from_secs(10);

/// Answers `GET /health` until `stopping` is true or its sender is gone: 200 with
/// `{"status":"ok"}`, or 503 with `{"status":"stale"}` while too little is known to
/// let anybody in.
pub async fn serve_health(
    listener: TcpListener,
    verifying: Arc<Verifying>,
    mut stopping: watch::Receiver<bool>,
) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    let mut running = JoinSet::new();
    loop {
        let accepted = async {
            // Nobody closes the semaphore.
            let place = Arc::clone(&places).acquire_owned().await.ok();
            (listener.accept().await, place)
        };
        // What it gives is let go at once: it locks.
        let stopped = async { drop(stopping.wait_for(|stop| *stop).await) };
        tokio::select! {
            () = stopped => return,
            Some(_) = running.join_next() => {}
            (accepted, place) = accepted => match accepted {
                Ok((stream, _)) => {
                    let verifying = Arc::clone(&verifying);
                    running.spawn(async move {
                        let _place = place;
                        // One that takes longer, or ends badly, asks again.
                        let _ = tokio::time::timeout(TIME, answer(stream, &verifying)).await;
                    });
                }
                Err(error) => {
                    // Out of descriptors: waiting is all that helps.
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            },
        }
    }
}

async fn answer(stream: TcpStream, verifying: &Verifying) -> Result<(), hyper::Error> {
    let service = hyper::service::service_fn(async |request: Request<Incoming>| {
        Ok::<_, Infallible>(health(&request, verifying.is_fresh()))
    });
    http1::Builder::new()
        .timer(TokioTimer::new())
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service)
        .await
}

fn health(request: &Request<Incoming>, is_fresh: bool) -> Response<Full<Bytes>> {
    let (status, text) = match (request.uri().path(), request.method()) {
        ("/health", &Method::GET) if is_fresh => (StatusCode::OK, r#"{"status":"ok"}"#),
        ("/health", &Method::GET) => (StatusCode::SERVICE_UNAVAILABLE, r#"{"status":"stale"}"#),
        ("/health", _) => (
            StatusCode::METHOD_NOT_ALLOWED,
            r#"{"error":"method_not_allowed"}"#,
        ),
        _ => (StatusCode::NOT_FOUND, r#"{"error":"not_found"}"#),
    };
    let mut response = Response::new(Full::new(Bytes::from_static(text.as_bytes())));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    let json = header::HeaderValue::from_static("application/json");
    headers.insert(header::CONTENT_TYPE, json);
    let no_store = header::HeaderValue::from_static("no-store");
    headers.insert(header::CACHE_CONTROL, no_store);
    if status == StatusCode::METHOD_NOT_ALLOWED {
        headers.insert(header::ALLOW, header::HeaderValue::from_static("GET"));
    }
    response
}
