//! Listening, and the life of a connection.

use crate::admission::{Admission, Terms};
use crate::authenticate::{Authenticate, Observer};
use crate::config::{GateConfig, GateError};
use crate::exchange::exchange;
use crate::link::Link;
use crate::metrics::{Counting, GateMetrics};
use crate::upstream::Upstream;
use crate::verifying::Verifying;
use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use procura_edge::counted::Counted;
use procura_edge::framing::Heads;
use procura_edge::places::{Each, Place, Places};
use procura_edge::tls::{Certificate, is_http2};
use procura_edge::trace::Tracer;
use procura_edge::wire::{self, Wire};
use procura_types::Duration;
use procura_types::dial::Dial;
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

/// How soon and how often a peer that says nothing is asked whether it is there.
/// A vanished client would otherwise hold its stream or tunnel for ever.
const PROBE_AFTER: Duration = Duration::from_secs(60);
const PROBE_EVERY: Duration = Duration::from_secs(10);
const PROBES: u32 = 3;
/// The same within HTTP/2, where a peer can be there and its program gone.
const PING: Duration = Duration::from_secs(30);
/// What one HTTP/2 connection may send before it is read, in all and for one request.
const CONNECTION_WINDOW: u32 = 1024 * 1024;
const STREAM_WINDOW: u32 = 256 * 1024;
/// Requests that were taken back before they were looked at (CVE-2023-44487), and
/// malformed ones (CVE-2019-9514): more of them close the connection. Those that are
/// taken back later are counted in [`Link`].
const UNSEEN_RESETS: usize = 20;
const MALFORMED_RESETS: usize = 100;
/// What is buffered of the answers to one request.
const SEND_BUFFER: usize = 128 * 1024;

/// What all connections share.
pub(crate) struct Core {
    pub(crate) config: GateConfig,
    pub(crate) admission: Arc<Admission>,
    pub(crate) upstream: Arc<Upstream>,
    pub(crate) metrics: Arc<GateMetrics>,
    pub(crate) tracer: Tracer,
}

/// A gate in front of one service.
#[derive(Clone)]
pub struct Gate(Arc<Core>);

impl Gate {
    /// A gate that asks `authenticate` about each request as `dial` says, and tells
    /// `observer` what it refuses or would refuse.
    ///
    /// # Errors
    /// When the upstream cannot be one.
    pub fn new(
        config: GateConfig,
        dial: Dial,
        authenticate: Arc<dyn Authenticate>,
        observer: Arc<dyn Observer>,
    ) -> Result<Self, GateError> {
        let seen = (GateMetrics::default(), Tracer::default());
        Self::seen(config, dial, authenticate, observer, seen)
    }

    /// A gate that counts in these metrics and traces requests by this tracer.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn seen(
        config: GateConfig,
        dial: Dial,
        authenticate: Arc<dyn Authenticate>,
        observer: Arc<dyn Observer>,
        (metrics, tracer): (GateMetrics, Tracer),
    ) -> Result<Self, GateError> {
        let metrics = Arc::new(metrics);
        let observer = Arc::new(Counting {
            metrics: Arc::clone(&metrics),
            observer,
        });
        let upstream = Arc::new(Upstream::new(&config)?);
        let terms = Terms {
            environment: config.environment,
            authorities: config.authorities.clone(),
            limits: config.limits.clone(),
        };
        let admission = Arc::new(Admission::new(terms, dial, authenticate, observer));
        Ok(Self(Arc::new(Core {
            config,
            admission,
            upstream,
            metrics,
            tracer,
        })))
    }

    /// What it counts, as OpenMetrics text.
    #[must_use]
    pub fn metrics(&self, verifying: &Verifying) -> String {
        let held = self.0.admission.held_bytes();
        self.0.metrics.render(verifying, held)
    }

    /// Sends the spans that wait to be sent, for as long as a stop may take.
    pub async fn end_traces(&self) {
        self.0.tracer.stop().await;
    }

    /// Turns the dial. Counts from the next request on, also on open connections.
    pub fn set_dial(&self, dial: Dial) {
        self.0.admission.set_dial(dial);
    }

    /// Serves until `stopping` is true or its sender is gone, and then as long as
    /// running requests need, at most `drain_time`. Dropping the future ends all at
    /// once.
    ///
    /// With a certificate, HTTP/2 or HTTP/1.1 over TLS as the client chooses; it may
    /// be renewed meanwhile. Without, HTTP/1.1, and on loopback also HTTP/2 with prior
    /// knowledge (RFC 9113 §3.3).
    pub async fn serve(
        &self,
        listener: TcpListener,
        certificate: Option<Arc<Certificate>>,
        mut stopping: watch::Receiver<bool>,
    ) {
        let limits = &self.0.config.limits;
        let places = Places::new(
            limits.connections,
            Each {
                most: limits.connections_each,
                of_this_machine: false,
            },
        );
        let mut running = JoinSet::new();
        {
            // One that has come and waits for a place is not lost when another one ends.
            let mut accepted = pin!(accept(&listener, &places));
            loop {
                tokio::select! {
                    () = stopped(&mut stopping) => break,
                    Some(_) = running.join_next() => {}
                    (stream, peer, place) = accepted.as_mut() => {
                        accepted.set(accept(&listener, &places));
                        let connection = Connection {
                            core: Arc::clone(&self.0),
                            _open: self.0.metrics.connection(),
                            peer,
                            stopping: stopping.clone(),
                            _place: place,
                        };
                        running.spawn(connection.run(stream, certificate.clone()));
                    }
                }
            }
        }
        drop(listener);
        let ended = async { while running.join_next().await.is_some() {} };
        if timeout(limits.drain_time, ended).await.is_err() {
            tracing::warn!(
                connections = running.len(),
                "connections were cut: they went on for too long after the stop"
            );
            running.shutdown().await;
        }
    }
}

/// The next connection that has a place. One of an address that has its share is
/// closed at once: in a queue it would stand before those of others. When all places
/// are taken the next one waits, and the kernel's queue holds those behind it.
async fn accept(listener: &TcpListener, places: &Arc<Places>) -> (TcpStream, SocketAddr, Place) {
    loop {
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of descriptors: waiting is all that helps.
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
        let Some(share) = places.share(peer.ip()) else {
            tracing::debug!(%peer, "has as many connections as one may have");
            continue;
        };
        if let Some(place) = places.free(share).await {
            return (stream, peer, place);
        }
    }
}

/// Waits until the gate stops.
async fn stopped(stopping: &mut watch::Receiver<bool>) {
    // A sender that is gone has stopped as well.
    let _ = stopping.wait_for(|stop| *stop).await;
}

struct Connection {
    core: Arc<Core>,
    peer: SocketAddr,
    stopping: watch::Receiver<bool>,
    _place: Place,
    _open: Counted,
}

impl Connection {
    async fn run(self, stream: TcpStream, certificate: Option<Arc<Certificate>>) {
        // Without these all works too, only less well.
        let _ = stream.set_nodelay(true);
        let _ = probe(&stream);
        let limits = &self.core.config.limits;
        let reading = wire::Limits {
            heads: Heads {
                bytes: limits.head_bytes,
                nameless: false,
            },
            head_time: limits.head_time,
            stall_time: limits.stall_time,
        };
        let mut wire = Wire::on_socket(stream, reading);
        let Some(certificate) = certificate else {
            let http2 = self.peer.ip().is_loopback()
                && match self.first_bytes(&mut wire).await {
                    Some(http2) => http2,
                    None => return,
                };
            return self.serve(wire, false, http2).await;
        };
        match timeout(limits.head_time, certificate.acceptor().accept(wire)).await {
            Ok(Ok(stream)) => {
                let http2 = is_http2(stream.get_ref().1);
                let wire = Wire::on_another(stream, reading);
                self.serve(wire, true, http2).await;
            }
            Ok(Err(error)) => tracing::debug!(%error, "a TLS handshake failed"),
            Err(_) => tracing::debug!("a TLS handshake took too long"),
        }
    }

    /// Whether the connection begins as HTTP/2; nothing when it ends before it begins.
    async fn first_bytes(&self, wire: &mut Wire<TcpStream>) -> Option<bool> {
        let mut stopping = self.stopping.clone();
        let first = timeout(
            self.core.config.limits.idle_time,
            wire.begins_with_preface(),
        );
        tokio::select! {
            first = first => first.ok()?.ok(),
            () = stopped(&mut stopping) => None,
        }
    }

    async fn serve<S>(self, mut wire: Wire<S>, tls: bool, http2: bool)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let signals = Arc::clone(wire.signals());
        let peer = self.peer.ip();
        let link = Arc::new(Link::new(
            Arc::clone(&self.core),
            peer,
            (tls, http2),
            signals,
        ));
        let ended = if http2 {
            self.http2(wire, &link).await
        } else {
            // The time until a first head is that between requests.
            wire.http1(None);
            self.http1(wire, &link).await
        };
        if let Err(error) = ended {
            tracing::debug!(%error, "a connection ended badly");
        }
        if let Some(tunnel) = link.take_tunnel() {
            let _open = self.core.metrics.tunnel();
            tunnel.run().await;
        }
    }

    async fn http1<S>(&self, wire: Wire<S>, link: &Arc<Link>) -> Result<(), hyper::Error>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let limits = &self.core.config.limits;
        let mut builder = http1::Builder::new();
        builder
            .timer(TokioTimer::new())
            // Heads come whole or not at all, so this is the time between requests.
            .header_read_timeout(limits.idle_time)
            .max_buf_size(limits.head_bytes.max(64 * 1024));
        let service = {
            let link = Arc::clone(link);
            hyper::service::service_fn(move |request: Request<Incoming>| {
                let link = Arc::clone(&link);
                async move { Ok::<_, Infallible>(exchange(link, request).await) }
            })
        };
        let connection = builder.serve_connection(TokioIo::new(wire), service);
        let mut connection = pin!(connection.with_upgrades());
        let mut stopping = self.stopping.clone();
        tokio::select! {
            ended = connection.as_mut() => return ended,
            () = stopped(&mut stopping) => connection.as_mut().graceful_shutdown(),
        }
        connection.await
    }

    async fn http2<S>(&self, wire: Wire<S>, link: &Arc<Link>) -> Result<(), hyper::Error>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let limits = &self.core.config.limits;
        let mut builder = http2::Builder::new(TokioExecutor::new());
        builder
            .timer(TokioTimer::new())
            .max_concurrent_streams(limits.streams)
            .max_header_list_size(u32::try_from(limits.head_bytes).unwrap_or(u32::MAX))
            .initial_connection_window_size(CONNECTION_WINDOW)
            .initial_stream_window_size(STREAM_WINDOW)
            .max_pending_accept_reset_streams(UNSEEN_RESETS)
            .max_local_error_reset_streams(MALFORMED_RESETS)
            .max_send_buf_size(SEND_BUFFER)
            .keep_alive_interval(PING)
            .keep_alive_timeout(PING);
        let service = {
            let link = Arc::clone(link);
            hyper::service::service_fn(move |request: Request<Incoming>| {
                let link = Arc::clone(&link);
                async move { Ok::<_, Infallible>(exchange(link, request).await) }
            })
        };
        let mut connection = pin!(builder.serve_connection(TokioIo::new(wire), service));
        let mut stopping = self.stopping.clone();
        tokio::select! {
            ended = connection.as_mut() => return ended,
            () = stopped(&mut stopping) => {}
            () = unused(link, limits.idle_time) => {}
            () = link.flooded() => tracing::debug!("a client takes its requests back"),
            () = link.stalled(limits.stall_time) => tracing::debug!("a client takes no answer"),
        }
        connection.as_mut().graceful_shutdown();
        // What is not taken would be waited for without an end.
        tokio::select! {
            ended = connection.as_mut() => ended,
            () = link.stalled(limits.stall_time.saturating_mul(2)) => Ok(()),
        }
    }
}

/// Waits until a connection has had no request for so long, or up to twice that.
async fn unused(link: &Link, idle_time: Duration) {
    let mut before = None;
    loop {
        tokio::time::sleep_until(Instant::now() + idle_time).await;
        let now = link.at_rest();
        if now.is_some() && now == before {
            return;
        }
        before = now;
    }
}

/// Has the kernel ask a silent peer whether it is there.
fn probe(stream: &TcpStream) -> io::Result<()> {
    use rustix::net::sockopt;
    sockopt::set_socket_keepalive(stream, true)?;
    sockopt::set_tcp_keepidle(stream, PROBE_AFTER)?;
    sockopt::set_tcp_keepintvl(stream, PROBE_EVERY)?;
    sockopt::set_tcp_keepcnt(stream, PROBES)?;
    Ok(())
}
