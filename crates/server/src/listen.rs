//! Listeners: TCP with or without TLS, and the admin socket. Bounded in number,
//! in the time that a head may take, and in the time that stopping takes.

use crate::app::App;
use crate::private_file::{NotPrivate, read_private_file};
use crate::serve::Peer;
use axum::Router;
use axum::body::Body;
use http::Request;
use hyper::body::Incoming;
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::{Semaphore, watch};
use tokio_rustls::TlsAcceptor;
use tokio_util::task::TaskTracker;
use tower::ServiceExt as _;

/// How long a connection may take for its TLS handshake or for one request head.
const HEAD_TIME: Duration = Duration::from_secs(10);

/// Connections to the listener of health and metrics: few look at it, and no crowd
/// at the other listener may keep them out.
pub(crate) const HEALTH_CONNECTIONS: usize = 64;

/// A certificate or key that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file.
    #[error("{0}: {1}")]
    File(String, String),
    /// The key is not the server's alone, or cannot be read.
    #[error("tls_key: {0}")]
    Key(#[from] NotPrivate),
    /// Chain and key.
    #[error("tls_cert and tls_key cannot be used together: {0}")]
    Pair(String),
}

/// Reads chain and key from PEM files.
pub(crate) fn tls_acceptor(cert: &Path, key: &Path) -> Result<TlsAcceptor, TlsError> {
    let file = |path: &Path, cause: &dyn std::fmt::Display| {
        TlsError::File(path.display().to_string(), cause.to_string())
    };
    let chain = CertificateDer::pem_file_iter(cert)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| file(cert, &error))?;
    if chain.is_empty() {
        return Err(file(cert, &"holds no certificate"));
    }
    let text = read_private_file(key, rustix::process::getuid().as_raw())?;
    let private =
        PrivateKeyDer::from_pem_slice(text.expose()).map_err(|error| file(key, &error))?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| TlsError::Pair(error.to_string()))?
        .with_no_client_auth()
        .with_single_cert(chain, private)
        .map_err(|error| TlsError::Pair(error.to_string()))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// What all listeners share.
#[derive(Clone)]
pub(crate) struct Listening {
    /// Connections and everything they run.
    pub(crate) tracker: TaskTracker,
    /// Turns true when the server stops.
    pub(crate) stopping: watch::Receiver<bool>,
}

impl Listening {
    /// Serves a TCP listener until the server stops, at most so many connections at
    /// once.
    pub(crate) async fn tcp(
        self,
        app: Arc<App>,
        listener: TcpListener,
        router: Router,
        tls: Option<TlsAcceptor>,
        most: usize,
    ) {
        let places = Arc::new(Semaphore::new(most));
        let mut stopping = self.stopping.clone();
        loop {
            // A place is taken before a connection is accepted: beyond the limit
            // the kernel's queue holds them, and the server's memory does not.
            let Ok(place) = Arc::clone(&places).acquire_owned().await else {
                return;
            };
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
            // Answers are small; waiting to fill a segment only adds latency.
            let _ = stream.set_nodelay(true);
            let (router, tls, stopping) = (router.clone(), tls.clone(), self.stopping.clone());
            let app = Arc::clone(&app);
            self.tracker.spawn(async move {
                let _place = place;
                app.metrics.connected();
                let peer = Some(address.ip().to_canonical());
                match tls {
                    None => connection(stream, router, peer, stopping).await,
                    Some(tls) => match tokio::time::timeout(HEAD_TIME, tls.accept(stream)).await {
                        Ok(Ok(stream)) => connection(stream, router, peer, stopping).await,
                        Ok(Err(error)) => tracing::debug!(%error, "a TLS handshake failed"),
                        Err(_) => tracing::debug!("a TLS handshake took too long"),
                    },
                }
                app.metrics.disconnected();
            });
        }
    }

    /// Serves the admin socket: only the server's own user and root get through.
    pub(crate) async fn unix(self, listener: UnixListener, router: Router) {
        let own = rustix::process::getuid().as_raw();
        let mut stopping = self.stopping.clone();
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
            let (router, stopping) = (router.clone(), self.stopping.clone());
            self.tracker
                .spawn(connection(stream, router, None, stopping));
        }
    }
}

async fn connection<S>(
    stream: S,
    router: Router,
    peer: Option<IpAddr>,
    mut stopping: watch::Receiver<bool>,
) where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let service = hyper::service::service_fn(move |request: Request<Incoming>| {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(Peer(peer));
        router.clone().oneshot(request)
    });
    let mut builder = hyper::server::conn::http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME)
        .max_buf_size(64 * 1024);
    let mut connection = std::pin::pin!(builder.serve_connection(TokioIo::new(stream), service));
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stopped(&mut stopping) => {
            connection.as_mut().graceful_shutdown();
            connection.as_mut().await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended badly");
    }
}

/// Whether the admin socket of user `own` serves this user: its own and root, and
/// nobody whom the kernel does not name.
fn admits(own: u32, peer: Option<u32>) -> bool {
    peer.is_some_and(|peer| peer == own || peer == 0)
}

/// Waits until the server stops.
async fn stopped(stopping: &mut watch::Receiver<bool>) {
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
