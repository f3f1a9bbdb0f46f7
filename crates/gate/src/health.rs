//! Whether the gate can do its work, and what it counts, on a listener of its own: the
//! paths of the other one belong to the service.

use crate::serve::Gate;
use crate::verifying::Verifying;
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use procura_edge::tls::Certificate;
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

/// Answers until `stopping` is true or its sender is gone. `GET /health` is 200 with
/// `{"status":"ok"}`, or 503 with `{"status":"stale"}` while too little is known to
/// let anybody in, and `{"status":"no_guard"}` while a shared replay guard is away; with
/// `"degraded":["tls"]` while what is in the files of `certificate` is not in use. `GET
/// /metrics` is what `gate` counts, as OpenMetrics text.
pub async fn serve_health(
    listener: TcpListener,
    gate: Gate,
    verifying: Arc<Verifying>,
    certificate: Option<Arc<Certificate>>,
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
                    let (gate, verifying) = (gate.clone(), Arc::clone(&verifying));
                    let certificate = certificate.clone();
                    running.spawn(async move {
                        let _place = place;
                        let answer = answer(stream, &gate, &verifying, certificate.as_deref());
                        // One that takes longer, or ends badly, asks again.
                        let _ = tokio::time::timeout(TIME, answer).await;
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

async fn answer(
    stream: TcpStream,
    gate: &Gate,
    verifying: &Verifying,
    certificate: Option<&Certificate>,
) -> Result<(), hyper::Error> {
    let service = hyper::service::service_fn(async |request: Request<Incoming>| {
        Ok::<_, Infallible>(match (request.uri().path(), request.method()) {
            ("/metrics", &Method::GET) => metrics(gate.metrics(verifying)),
            _ => health(&request, state(verifying, certificate)),
        })
    });
    http1::Builder::new()
        .timer(TokioTimer::new())
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service)
        .await
}

fn metrics(text: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(text));
    let open_metrics = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        header::HeaderValue::from_static(open_metrics),
    );
    response
}

/// Whether anybody can be let in, or what keeps the gate from it.
fn state(verifying: &Verifying, certificate: Option<&Certificate>) -> (StatusCode, &'static str) {
    if !verifying.is_fresh() {
        (StatusCode::SERVICE_UNAVAILABLE, r#"{"status":"stale"}"#)
    } else if !verifying.can_claim() {
        (StatusCode::SERVICE_UNAVAILABLE, r#"{"status":"no_guard"}"#)
    } else if certificate.is_some_and(|certificate| certificate.problem().is_some()) {
        // Its log says what is wrong.
        (StatusCode::OK, r#"{"status":"ok","degraded":["tls"]}"#)
    } else {
        (StatusCode::OK, r#"{"status":"ok"}"#)
    }
}

fn health(request: &Request<Incoming>, state: (StatusCode, &'static str)) -> Response<Full<Bytes>> {
    let (status, text) = match (request.uri().path(), request.method()) {
        ("/health", &Method::GET) => state,
        ("/health" | "/metrics", _) => (
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
