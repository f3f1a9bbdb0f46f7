//! The floor of HTTP: the same stack as the server's, with a handler that does
//! nothing. It runs as a process of its own, this program with `--bare-http`.

use crate::Outcome;
use axum::Router;
use axum::body::Body;
use axum::extract::{Path, Request};
use axum::response::Response;
use bytes::Bytes;
use http::{HeaderValue, header};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::io::Write as _;
use std::time::Duration;
use tokio::net::TcpListener;
use tower::ServiceExt as _;

/// As long as an answer with a value of 1 KB.
pub(crate) const ANSWER: &str = const {
    const TEXT: [u8; 1490] = [b'='; 1490];
    match std::str::from_utf8(&TEXT) {
        Ok(text) => text,
        Err(_) => "",
    }
};

/// Prints its URL and serves until it is killed.
pub(crate) fn serve() -> Outcome<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        writeln!(std::io::stdout(), "http://{}", listener.local_addr()?)?;
        let router = Router::new().route(
            "/v1/namespaces/{ns}/secrets/{*path}",
            axum::routing::get(answer),
        );
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            let router = router.clone();
            tokio::spawn(async move {
                let service =
                    hyper::service::service_fn(move |request: http::Request<Incoming>| {
                        router.clone().oneshot(request.map(Body::new))
                    });
                let mut builder = hyper::server::conn::http1::Builder::new();
                // The settings of the server's own listener.
                builder
                    .timer(TokioTimer::new())
                    .header_read_timeout(Duration::from_secs(10))
                    .max_buf_size(64 * 1024);
                // A client that goes away ends its connection, and no more.
                let _ = builder
                    .serve_connection(TokioIo::new(stream), service)
                    .await;
            });
        }
    })
}

async fn answer(Path(_): Path<(String, String)>, request: Request) -> Response {
    // Like the server, it has read all of the request before it answers.
    let _ = request.into_body().collect().await;
    let mut response = Response::new(Body::from(Bytes::from_static(ANSWER.as_bytes())));
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(
        "x-request-id",
        HeaderValue::from_static("00000000-0000-0000-0000-000000000000"),
    );
    response
}
