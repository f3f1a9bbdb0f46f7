//! One connection, from its first byte to its last.
//!
//! What bounds it, over either HTTP: the time of a head and of a client that takes
//! nothing ([`Wire`]), of silence, of what is not taken of an answer (`watch`), of a
//! request (`framed.rs`), and what is kept of unread bytes. What HTTP/2 adds has its limit
//! in the library, and each its test in `tests/it/wire/floods.rs`.

use crate::app::App;
use crate::listen::sending::Sending;
use crate::listen::watch::{Verdict, Watch};
use crate::listen::{HEAD, HEAD_BUFFER};
use crate::problem::{Code, Failure};
use crate::serve::Peer;
use axum::Router;
use axum::body::Body;
use axum::response::{IntoResponse as _, Response};
use http::{Method, Request, StatusCode, Version};
use hyper::body::Incoming;
use hyper_util::rt::{TokioIo, TokioTimer};
use procura_edge::framing::Flaw;
use procura_edge::places::Places;
use procura_edge::wire::{Signals, Wire};
use procura_types::TraceId;
use std::convert::Infallible;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch::Receiver;
use tokio_util::task::TaskTracker;
use tower::ServiceExt as _;

/// Requests that one connection may have at once, as few as RFC 9113 §6.5.2 advises at
/// least. All connections together have as many as there are connections.
const STREAMS: u32 = 100;

/// Bytes of a body that may arrive unread: of one request, and of all on a connection.
/// Bodies are small, and nothing is gained by reading one ahead of its place in memory.
const STREAM_WINDOW: u32 = 64 * 1024;
const CONNECTION_WINDOW: u32 = 2 * STREAM_WINDOW;

/// Requests that were taken back before they were looked at: more of them at once close
/// the connection (the rapid reset of CVE-2023-44487). Those that are taken back later
/// are counted by the watch.
const UNSEEN_RESETS: usize = 20;

/// Requests on one connection that the library resets because they are malformed (the
/// floods of CVE-2019-9514 and CVE-2025-8671).
const MALFORMED_RESETS: usize = 100;

/// Bytes of an answer that are handed to the library ahead of the client's window.
const SEND_BUFFER: usize = 64 * 1024;

/// A client that is gone without a word is found out by a ping that it does not answer.
const PING_INTERVAL: Duration = Duration::from_secs(30);
const PING_TIME: Duration = Duration::from_secs(20);

/// What a connection is served with.
#[derive(Clone)]
pub(crate) struct Serving {
    pub(crate) app: Arc<App>,
    pub(crate) router: Router,
    /// Places for requests of HTTP/2; without them it is not spoken.
    pub(crate) streams: Option<Arc<Places>>,
    pub(crate) tracker: TaskTracker,
    pub(crate) stopping: Receiver<bool>,
}

/// Runs the requests of an HTTP/2 connection where a stop waits for them.
#[derive(Clone)]
struct Tracked(TaskTracker);

impl<F> hyper::rt::Executor<F> for Tracked
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, request: F) {
        self.0.spawn(request);
    }
}

impl Serving {
    /// Serves a connection to its end, over `http2` or HTTP/1.
    pub(crate) async fn connection<S>(
        self,
        wire: Wire<S>,
        http2: bool,
        peer: Option<IpAddr>,
        watch: Arc<Watch>,
    ) where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let signals = Arc::clone(wire.signals());
        let io = TokioIo::new(wire);
        let mut stopping = self.stopping.clone();
        let tracker = self.tracker.clone();
        let on = Arc::clone(&watch);
        let service =
            hyper::service::service_fn(move |request| self.answer(&on, &signals, peer, request));
        if http2 {
            let mut builder = hyper::server::conn::http2::Builder::new(Tracked(tracker));
            builder
                .timer(TokioTimer::new())
                .max_concurrent_streams(STREAMS)
                .max_header_list_size(HEAD)
                .initial_stream_window_size(STREAM_WINDOW)
                .initial_connection_window_size(CONNECTION_WINDOW)
                .max_pending_accept_reset_streams(UNSEEN_RESETS)
                .max_local_error_reset_streams(MALFORMED_RESETS)
                .max_send_buf_size(SEND_BUFFER)
                .keep_alive_interval(PING_INTERVAL)
                .keep_alive_timeout(PING_TIME);
            let connection = Box::pin(builder.serve_connection(io, service));
            let leave = |connection: Pin<&mut _>| {
                hyper::server::conn::http2::Connection::graceful_shutdown(connection)
            };
            drive(connection, leave, &watch, &mut stopping).await;
        } else {
            let mut builder = hyper::server::conn::http1::Builder::new();
            // The wire measures the time of a head, and the watch that between requests.
            builder.header_read_timeout(None).max_buf_size(HEAD_BUFFER);
            let connection = Box::pin(builder.serve_connection(io, service));
            let leave = |connection: Pin<&mut _>| {
                hyper::server::conn::http1::Connection::graceful_shutdown(connection)
            };
            drive(connection, leave, &watch, &mut stopping).await;
        }
    }

    /// Answers one request.
    fn answer(
        &self,
        watch: &Arc<Watch>,
        signals: &Signals,
        peer: Option<IpAddr>,
        request: Request<Incoming>,
    ) -> impl Future<Output = Result<Response<Sending>, Infallible>> + use<> {
        // No client gets this method past the wire: it stands in for a head that was
        // refused.
        let stands_in = request.method() == Method::TRACE && request.version() < Version::HTTP_2;
        let flaw = signals.flaw().filter(|_| stands_in);
        let streams = self.streams.as_ref();
        let streams = streams.filter(|_| request.version() == Version::HTTP_2);
        // A connection of HTTP/1 has one request at a time, for which its own place is.
        let place = streams.zip(peer).map(|(streams, peer)| streams.take(peer));
        let crowded = matches!(place, Some(None));
        let answer = watch.request(streams.is_some(), place.flatten());
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(Peer(peer));
        let (app, router) = (Arc::clone(&self.app), self.router.clone());
        async move {
            let response = if let Some(flaw) = flaw {
                refused(&app, flaw)
            } else if crowded {
                too_many(&app)
            } else {
                let Ok(response) = router.oneshot(request).await;
                response
            };
            Ok(response.map(|body| Sending::new(body, answer)))
        }
    }
}

/// What a request is told that finds no place.
fn too_many(app: &App) -> Response {
    let failure = Failure::new(
        Code::RateLimited,
        "There are too many requests at once, from this address or in all; send it again.",
    );
    failure.into_response_for(trace(app))
}

/// What is said of a head that nothing was understood of.
fn refused(app: &App, flaw: Flaw) -> Response {
    let word = flaw.word();
    let failure = match flaw.status() {
        StatusCode::REQUEST_TIMEOUT => Failure::new(
            Code::Timeout,
            "The head of the request did not come in time.",
        ),
        StatusCode::BAD_REQUEST => Failure::new(
            Code::Malformed,
            format!("The head of the request is not of the one form that is taken: {word}."),
        ),
        status => return status.into_response(),
    };
    failure.into_response_for(trace(app))
}

fn trace(app: &App) -> TraceId {
    TraceId::generate(app.clock.now(), app.entropy.as_ref())
        .unwrap_or_else(|_| TraceId::from_bytes([0; 16]))
}

/// Moves a connection until it ends, the watch ends it, or the server stops.
async fn drive<C>(
    mut connection: Pin<Box<C>>,
    leave: impl Fn(Pin<&mut C>),
    watch: &Watch,
    stopping: &mut Receiver<bool>,
) where
    C: Future<Output = hyper::Result<()>>,
{
    let mut look = std::pin::pin!(tokio::time::sleep_until(watch.at(Duration::ZERO)));
    let mut left = false;
    loop {
        match watch.look() {
            Verdict::Wait(until) => look.as_mut().reset(watch.at(until)),
            Verdict::Leave => {
                left = true;
                watch.leaving();
                leave(connection.as_mut());
                continue;
            }
            Verdict::Cut(why) => {
                tracing::debug!(why, "a connection is closed");
                return;
            }
        }
        tokio::select! {
            biased;
            ended = connection.as_mut() => {
                if let Err(error) = ended {
                    tracing::debug!(%error, "a connection ended badly");
                }
                return;
            }
            () = crate::listen::stopped(stopping), if !left => {
                left = true;
                watch.leaving();
                leave(connection.as_mut());
            }
            () = look.as_mut() => {}
            () = watch.at_once() => {}
        }
    }
}
