//! The proxy that a gate is measured against: the same stack on both sides, and nothing
//! in between. It runs as a process of its own, this program with `--forward`.

use crate::Outcome;
use http::{HeaderValue, Request, Response, header};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use std::io::Write as _;
use std::time::Duration;
use tokio::net::TcpListener;

type Body = BoxBody<Bytes, hyper::Error>;

/// Prints its URL and serves until it is killed.
pub(crate) fn serve(port: u16) -> Outcome<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        writeln!(std::io::stdout(), "http://{}", listener.local_addr()?)?;
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        let client: Client<_, Incoming> = Client::builder(TokioExecutor::new()).build(connector);
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            let client = client.clone();
            tokio::spawn(async move {
                let service = hyper::service::service_fn(move |request| {
                    let client = client.clone();
                    async move { Ok::<_, std::convert::Infallible>(pass(&client, port, request).await) }
                });
                let mut builder = hyper::server::conn::http1::Builder::new();
                builder
                    .timer(TokioTimer::new())
                    .header_read_timeout(Duration::from_secs(10));
                // A client that goes away ends its connection, and no more.
                let _ = builder
                    .serve_connection(TokioIo::new(stream), service)
                    .await;
            });
        }
    })
}

async fn pass(
    client: &Client<HttpConnector, Incoming>,
    port: u16,
    mut request: Request<Incoming>,
) -> Response<Body> {
    let path = request
        .uri()
        .path_and_query()
        .map_or("/", http::uri::PathAndQuery::as_str);
    let Ok(uri) = format!("http://127.0.0.1:{port}{path}").parse() else {
        return failed();
    };
    *request.uri_mut() = uri;
    request
        .headers_mut()
        .insert("x-forwarded-for", HeaderValue::from_static("127.0.0.1"));
    match client.request(request).await {
        Ok(answer) => answer.map(BodyExt::boxed),
        Err(_) => failed(),
    }
}

fn failed() -> Response<Body> {
    let text = Full::new(Bytes::from_static(b"bad gateway"));
    let mut answer = Response::new(text.map_err(|never| match never {}).boxed());
    *answer.status_mut() = http::StatusCode::BAD_GATEWAY;
    answer
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    answer
}
