//! The way to the upstream: connections that are kept and used again.

use crate::answer::Fault;
use crate::body::Upload;
use crate::config::{GateConfig, GateError, UpstreamUrl};
use http::uri::PathAndQuery;
use http::{HeaderValue, Request, Response, Uri, Version, header};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use procura_types::Duration;
use rustls_pki_types::ServerName;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsConnector;

/// Connections that are kept when nobody uses them.
const MOST_IDLE: usize = 256;
/// Requests on one HTTP/2 connection before another one is made: what servers
/// commonly allow (RFC 9113 §6.5.2 recommends no less).
const STREAMS_EACH: usize = 100;
/// How often an HTTP/2 connection in use is asked whether it is still there.
const PING: Duration = Duration::from_secs(20);

type One = http1::SendRequest<Upload>;
type Two = http2::SendRequest<Upload>;

/// Where requests go.
pub(crate) struct Upstream {
    url: UpstreamUrl,
    tls: Option<Tls>,
    connect_time: Duration,
    idle_time: Duration,
    /// The longest unused first.
    idle: Mutex<Vec<Idle>>,
    lanes: tokio::sync::Mutex<Vec<Lane>>,
}

struct Tls {
    name: ServerName<'static>,
    http1: TlsConnector,
    http2: TlsConnector,
}

struct Idle {
    sender: One,
    since: Instant,
}

/// An HTTP/2 connection. Who uses it holds a clone of `uses`.
struct Lane {
    sender: Two,
    uses: Arc<()>,
}

/// What is held of a connection while an answer comes over it.
pub(crate) struct Lease {
    upstream: Arc<Upstream>,
    way: Way,
}

enum Way {
    One(One),
    Two { _use: Arc<()> },
}

impl Lease {
    /// The answer is over, and the connection free for the next.
    pub(crate) fn free(self) {
        if let Way::One(sender) = self.way {
            self.upstream.keep(sender);
        }
    }
}

impl Upstream {
    pub(crate) fn new(config: &GateConfig) -> Result<Self, GateError> {
        let tls = match (&config.upstream_tls, config.upstream.tls) {
            (_, false) => None,
            (None, true) => return Err(GateError::UpstreamTls),
            (Some(tls), true) => {
                let over = |protocol: &[u8]| {
                    let mut tls = tls.as_ref().clone();
                    tls.alpn_protocols = vec![protocol.to_vec()];
                    TlsConnector::from(Arc::new(tls))
                };
                let name = ServerName::try_from(config.upstream.host.clone())
                    .map_err(|_| GateError::Upstream("names no host that a certificate can"))?;
                Some(Tls {
                    name,
                    http1: over(b"http/1.1"),
                    http2: over(b"h2"),
                })
            }
        };
        Ok(Self {
            url: config.upstream.clone(),
            tls,
            connect_time: config.limits.connect_time,
            idle_time: config.limits.idle_time,
            idle: Mutex::default(),
            lanes: tokio::sync::Mutex::default(),
        })
    }

    /// Sends a request and waits for the head of the answer. `request` has its
    /// target in origin form and `authority` for the name that it is for.
    pub(crate) async fn send(
        self: &Arc<Self>,
        mut request: Request<Upload>,
        authority: HeaderValue,
        over_http2: bool,
    ) -> Result<(Response<Incoming>, Lease), Fault> {
        if over_http2 {
            *request.uri_mut() = self.absolute(request.uri(), &authority)?;
            *request.version_mut() = Version::HTTP_2;
            request.headers_mut().remove(header::HOST);
            self.send_two(request).await
        } else {
            // A hop may only be told of a coding that the connection is said to have.
            if request.headers().contains_key(header::TE) {
                let named = HeaderValue::from_static("te");
                request.headers_mut().append(header::CONNECTION, named);
            }
            request.headers_mut().insert(header::HOST, authority);
            self.send_one(request).await
        }
    }

    /// HTTP/2 has the authority in the target.
    fn absolute(&self, target: &Uri, authority: &HeaderValue) -> Result<Uri, Fault> {
        let target = target
            .path_and_query()
            .cloned()
            .unwrap_or(PathAndQuery::from_static("/"));
        Uri::builder()
            .scheme(if self.url.tls { "https" } else { "http" })
            .authority(authority.as_bytes())
            .path_and_query(target)
            .build()
            .map_err(|_| Fault::Malformed(crate::framing::Flaw::Host))
    }

    async fn send_one(
        self: &Arc<Self>,
        mut request: Request<Upload>,
    ) -> Result<(Response<Incoming>, Lease), Fault> {
        loop {
            let (mut sender, kept) = match self.take_idle() {
                Some(sender) => (sender, true),
                None => (self.open_one().await?, false),
            };
            match sender.try_send_request(request).await {
                Ok(response) => {
                    let lease = Lease {
                        upstream: Arc::clone(self),
                        way: Way::One(sender),
                    };
                    return Ok((response, lease));
                }
                Err(mut error) => match error.take_message() {
                    // The upstream closed a connection that nobody used, and saw
                    // nothing of the request.
                    Some(unsent) if kept => request = unsent,
                    _ => return Err(failed(error.error())),
                },
            }
        }
    }

    async fn send_two(
        self: &Arc<Self>,
        mut request: Request<Upload>,
    ) -> Result<(Response<Incoming>, Lease), Fault> {
        loop {
            let (mut sender, used, kept) = self.lane().await?;
            match sender.try_send_request(request).await {
                Ok(response) => {
                    let lease = Lease {
                        upstream: Arc::clone(self),
                        way: Way::Two { _use: used },
                    };
                    return Ok((response, lease));
                }
                Err(mut error) => match error.take_message() {
                    Some(unsent) if kept && sender.is_closed() => request = unsent,
                    _ => return Err(failed(error.error())),
                },
            }
        }
    }

    /// A connection that is ready for a request.
    fn take_idle(&self) -> Option<One> {
        let mut idle = self.idle();
        // One whose last request is still being sent will be ready later.
        let mut later = Vec::new();
        let mut found = None;
        while let Some(last) = idle.pop() {
            if last.sender.is_ready() {
                found = Some(last.sender);
                break;
            }
            if !last.sender.is_closed() {
                later.push(last);
            }
        }
        idle.extend(later.into_iter().rev());
        found
    }

    fn keep(&self, sender: One) {
        if sender.is_closed() {
            return;
        }
        let now = Instant::now();
        let mut idle = self.idle();
        let over = idle
            .iter()
            .take_while(|kept| now.duration_since(kept.since) > self.idle_time)
            .count();
        let over = over.max((idle.len() + 1).saturating_sub(MOST_IDLE));
        let over = over.min(idle.len());
        idle.drain(..over);
        idle.push(Idle { sender, since: now });
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Idle>> {
        // The list is whole between any two lines.
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An HTTP/2 connection with room, and whether it was there already.
    async fn lane(&self) -> Result<(Two, Arc<()>, bool), Fault> {
        // Held while one is made: of many who wait, one makes it.
        let mut lanes = self.lanes.lock().await;
        lanes.retain(|lane| !lane.sender.is_closed());
        let room = lanes
            .iter()
            .find(|lane| Arc::strong_count(&lane.uses) <= STREAMS_EACH);
        if let Some(lane) = room {
            return Ok((lane.sender.clone(), Arc::clone(&lane.uses), true));
        }
        let (sender, uses) = (self.open_two().await?, Arc::new(()));
        lanes.push(Lane {
            sender: sender.clone(),
            uses: Arc::clone(&uses),
        });
        Ok((sender, uses, false))
    }

    async fn open_one(&self) -> Result<One, Fault> {
        let open = async {
            let stream = self.connect().await?;
            match &self.tls {
                None => start_one(stream).await,
                Some(tls) => start_one(secure(&tls.http1, tls, stream).await?).await,
            }
        };
        self.in_time(open).await
    }

    async fn open_two(&self) -> Result<Two, Fault> {
        let open = async {
            let stream = self.connect().await?;
            match &self.tls {
                None => start_two(stream).await,
                Some(tls) => start_two(secure(&tls.http2, tls, stream).await?).await,
            }
        };
        self.in_time(open).await
    }

    async fn in_time<T>(&self, open: impl Future<Output = Result<T, Fault>>) -> Result<T, Fault> {
        timeout(self.connect_time, open).await.unwrap_or_else(|_| {
            tracing::warn!("the upstream takes too long to accept a connection");
            Err(Fault::UpstreamTooSlow)
        })
    }

    async fn connect(&self) -> Result<TcpStream, Fault> {
        let stream = TcpStream::connect((self.url.host.as_str(), self.url.port))
            .await
            .map_err(|error| {
                tracing::warn!(%error, "the upstream cannot be reached");
                Fault::UpstreamUnreachable
            })?;
        // Waiting to fill a segment only adds latency; without it all works too.
        let _ = stream.set_nodelay(true);
        Ok(stream)
    }
}

async fn secure(
    connector: &TlsConnector,
    tls: &Tls,
    stream: TcpStream,
) -> Result<tokio_rustls::client::TlsStream<TcpStream>, Fault> {
    connector
        .connect(tls.name.clone(), stream)
        .await
        .map_err(|error| {
            tracing::warn!(%error, "no TLS with the upstream");
            Fault::UpstreamUnreachable
        })
}

async fn start_one<S>(stream: S) -> Result<One, Fault>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (sender, connection) = http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|error| failed(&error))?;
    tokio::spawn(async move {
        if let Err(error) = connection.with_upgrades().await {
            tracing::debug!(%error, "a connection to the upstream ended badly");
        }
    });
    Ok(sender)
}

async fn start_two<S>(stream: S) -> Result<Two, Fault>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (sender, connection) = http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .keep_alive_interval(PING)
        .keep_alive_timeout(PING)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(|error| failed(&error))?;
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "a connection to the upstream ended badly");
        }
    });
    Ok(sender)
}

fn failed(error: &hyper::Error) -> Fault {
    tracing::debug!(%error, "the upstream gave no answer");
    Fault::UpstreamFailed
}
