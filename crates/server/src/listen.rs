//! Listeners: TCP with or without TLS, and the admin socket. Bounded in number, in the
//! places of each address, in time, and in the time that stopping takes.

mod connection;
mod sending;
mod watch;

use crate::app::App;
use axum::Router;
use connection::Serving;
use procura_edge::framing::Heads;
use procura_edge::places::Places;
use procura_edge::tls::{Certificate, is_http2};
use procura_edge::wire::{self, Wire};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream, UnixListener};
use tokio::sync::watch::Receiver;
use tokio::time::{Instant, timeout_at};
use tokio_util::task::TaskTracker;
use watch::{Limits, Watch};

/// Connections to the listener of health and metrics: few look at it, and no crowd
/// at the other listener may keep them out.
pub(crate) const HEALTH_CONNECTIONS: usize = 64;

/// The largest head: of HTTP/1 as bytes, of HTTP/2 as RFC 9113 §6.5.2 counts. What is
/// larger is answered with 431; of HTTP/2 four times as much of it closes the
/// connection, and so do more CONTINUATION frames than it takes (the flood of
/// CVE-2024-27316).
const HEAD: u32 = 64 * 1024;

/// [`HEAD`] as the size of a buffer.
const HEAD_BUFFER: usize = 64 * 1024;

/// What a TCP listener serves.
pub(crate) struct Service {
    pub(crate) router: Router,
    pub(crate) certificate: Option<Arc<Certificate>>,
    /// Places for connections.
    pub(crate) connections: Arc<Places>,
    /// Places for requests of HTTP/2; without them it is not spoken.
    pub(crate) streams: Option<Arc<Places>>,
}

/// What all listeners share.
#[derive(Clone)]
pub(crate) struct Listening {
    pub(crate) app: Arc<App>,
    /// Connections and everything they run.
    pub(crate) tracker: TaskTracker,
    /// Turns true when the server stops.
    pub(crate) stopping: Receiver<bool>,
}

impl Listening {
    /// Serves a TCP listener until the server stops.
    ///
    /// A connection of an address that has its share of the places is closed at once: in
    /// a queue it would stand before those of others. When all places are taken by many,
    /// the next connection waits for one, and the kernel's queue holds those behind it:
    /// who comes then is served a little later, and not turned away.
    pub(crate) async fn tcp(self, listener: TcpListener, service: Service) {
        let mut stopping = self.stopping.clone();
        let serving = self.serving(service.router, service.streams);
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = stopped(&mut stopping) => return,
            };
            let (stream, address) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    // Out of descriptors: waiting is all that helps.
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            };
            let peer = address.ip().to_canonical();
            let Some(share) = service.connections.share(peer) else {
                tracing::debug!(%peer, "a connection is closed: its address has its share");
                self.app.metrics.turned_away();
                continue;
            };
            let place = tokio::select! {
                place = service.connections.free(share) => place,
                () = stopped(&mut stopping) => return,
            };
            let Some(place) = place else {
                return;
            };
            // Answers are small; waiting to fill a segment only adds latency.
            let _ = stream.set_nodelay(true);
            let (app, serving) = (Arc::clone(&self.app), serving.clone());
            let certificate = service.certificate.clone();
            self.tracker.spawn(async move {
                let _place = place;
                app.metrics.connected();
                serving.arrived(stream, peer, certificate).await;
                app.metrics.disconnected();
            });
        }
    }

    fn serving(&self, router: Router, streams: Option<Arc<Places>>) -> Serving {
        Serving {
            app: Arc::clone(&self.app),
            router,
            streams,
            tracker: self.tracker.clone(),
            stopping: self.stopping.clone(),
        }
    }

    /// Serves the admin socket: only the server's own user and root get through.
    pub(crate) async fn unix(self, listener: UnixListener, router: Router) {
        let own = rustix::process::getuid().as_raw();
        let mut stopping = self.stopping.clone();
        let serving = self.serving(router, None);
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = stopped(&mut stopping) => return,
            };
            let Ok((stream, _)) = accepted else {
                // Out of descriptors: to try again at once would only spin.
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            };
            let peer = stream.peer_cred().ok().map(|peer| peer.uid());
            if !admits(own, peer) {
                continue;
            }
            let limits = Limits::of(&self.app.config);
            let began = Instant::now();
            let mut wire = Wire::on_socket(stream, reading(limits));
            wire.http1(Some(began + limits.head));
            let watch = Watch::new(began, limits);
            let connection = serving.clone().connection(wire, false, None, watch);
            self.tracker.spawn(connection);
        }
    }
}

impl Serving {
    /// Learns which HTTP a connection speaks, and serves it. What serves it is on the
    /// heap by itself: here there would be room for each way that it can go, with
    /// thousands of connections for nothing.
    async fn arrived(self, stream: TcpStream, peer: IpAddr, certificate: Option<Arc<Certificate>>) {
        let mut stopping = self.stopping.clone();
        let limits = Limits::of(&self.app.config);
        let began = Instant::now();
        let watch = Watch::new(began, limits);
        let mut wire = Wire::on_socket(stream, reading(limits));
        let by = began + limits.head;
        if let Some(certificate) = certificate {
            let accepted = tokio::select! {
                biased;
                accepted = timeout_at(by, certificate.acceptor().accept(wire)) => accepted,
                () = stopped(&mut stopping) => return,
            };
            match accepted {
                Ok(Ok(stream)) => {
                    let http2 = is_http2(stream.get_ref().1);
                    let mut wire = Wire::on_another(stream, reading(limits));
                    if !http2 {
                        wire.http1(Some(by));
                    }
                    Box::pin(self.connection(wire, http2, Some(peer), watch)).await;
                }
                Ok(Err(error)) => tracing::debug!(%error, "a TLS handshake failed"),
                Err(_) => tracing::debug!("a TLS handshake took too long"),
            }
            return;
        }
        let mut http2 = false;
        if self.streams.is_some() {
            let read = tokio::select! {
                biased;
                read = timeout_at(by, wire.begins_with_preface()) => read,
                () = stopped(&mut stopping) => return,
            };
            http2 = match read {
                Ok(Ok(http2)) => http2,
                Ok(Err(error)) => return tracing::debug!(%error, "a connection broke off"),
                Err(_) => return tracing::debug!("a connection said nothing"),
            };
        }
        if !http2 {
            wire.http1(Some(by));
        }
        Box::pin(self.connection(wire, http2, Some(peer), watch)).await;
    }
}

/// How connections are read.
const fn reading(limits: Limits) -> wire::Limits {
    wire::Limits {
        heads: Heads {
            bytes: HEAD_BUFFER,
            // Whoever looks after health may be of the last century.
            nameless: true,
        },
        head_time: limits.head,
        stall_time: limits.stall,
    }
}

/// Whether the admin socket of user `own` serves this user: its own and root, and
/// nobody whom the kernel does not name.
fn admits(own: u32, peer: Option<u32>) -> bool {
    peer.is_some_and(|peer| peer == own || peer == 0)
}

/// Waits until the server stops.
async fn stopped(stopping: &mut Receiver<bool>) {
    // A sender that is gone has stopped as well.
    let _ = stopping.wait_for(|stop| *stop).await;
}

#[cfg(test)]
mod tests {
    use super::admits;

    #[test]
    fn the_admin_socket_serves_its_own_user_and_root() {
        assert!(admits(1000, Some(1000)) && admits(1000, Some(0)) && admits(0, Some(0)));
        assert!(!admits(1000, Some(1001)) && !admits(0, Some(1000)) && !admits(1000, None));
    }
}
