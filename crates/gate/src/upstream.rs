//! The way to the upstream: connections that are kept and used again.

use crate::answer::Fault;
use crate::body::Upload;
use crate::config::{GateConfig, GateError, Speaks, UpstreamUrl};
use crate::fields::names;
use http::uri::PathAndQuery;
use http::{HeaderValue, Request, Response, Uri, Version, header};
use hyper::body::{Body as _, Incoming};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use procura_edge::framing::Flaw;
use procura_types::Duration;
use rustls_pki_types::ServerName;
use std::sync::atomic::{AtomicBool, Ordering};
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

/// What a request needs of the connection that it goes over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Need {
    /// Nothing.
    Any,
    /// HTTP/1.1: to leave it for another protocol.
    Http1,
    /// HTTP/2, where the upstream has it: gRPC.
    Http2,
}

/// Where requests go.
pub(crate) struct Upstream {
    url: UpstreamUrl,
    tls: Option<Tls>,
    connect_time: Duration,
    idle_time: Duration,
    /// The longest unused first.
    idle: Mutex<Vec<Idle>>,
    lanes: tokio::sync::Mutex<Vec<Lane>>,
    /// Whether the upstream, asked for either, last chose HTTP/1.1.
    chose_one: AtomicBool,
}

struct Tls {
    name: ServerName<'static>,
    http1: TlsConnector,
    http2: TlsConnector,
    /// Offers both.
    either: TlsConnector,
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

/// A connection that a request goes over.
enum Way {
    One(One),
    Two { sender: Two, _use: Arc<()> },
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
        let tls = match (&config.upstream_tls, config.upstream.speaks) {
            (_, Speaks::Http1 | Speaks::Http2) => None,
            (None, Speaks::Offered) => return Err(GateError::UpstreamTls),
            (Some(tls), Speaks::Offered) => {
                let over = |protocols: &[&[u8]]| {
                    let mut tls = tls.as_ref().clone();
                    tls.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
                    TlsConnector::from(Arc::new(tls))
                };
                let name = ServerName::try_from(config.upstream.host.clone())
                    .map_err(|_| GateError::Upstream("names no host that a certificate can"))?;
                Some(Tls {
                    name,
                    http1: over(&[b"http/1.1"]),
                    http2: over(&[b"h2"]),
                    either: over(&[b"h2", b"http/1.1"]),
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
            chose_one: AtomicBool::new(false),
        })
    }

    /// Whether a connection can leave HTTP for another protocol: one of HTTP/1.1 can.
    pub(crate) fn can_tunnel(&self) -> bool {
        self.url.speaks != Speaks::Http2
    }

    /// Sends a request and waits for the head of the answer. `request` has its
    /// target in origin form and `authority` for the name that it is for.
    pub(crate) async fn send(
        self: &Arc<Self>,
        mut request: Request<Upload>,
        authority: HeaderValue,
        need: Need,
    ) -> Result<(Response<Incoming>, Lease), Fault> {
        loop {
            let (mut way, kept) = self.way(need).await?;
            let sent = match &mut way {
                Way::One(sender) => {
                    as_one(&mut request, &authority);
                    sender.try_send_request(request).await
                }
                Way::Two { sender, .. } => {
                    self.as_two(&mut request, &authority)?;
                    sender.try_send_request(request).await
                }
            };
            match sent {
                Ok(response) => {
                    let upstream = Arc::clone(self);
                    return Ok((response, Lease { upstream, way }));
                }
                Err(mut error) => match error.take_message() {
                    // The upstream closed a connection that was kept, and saw nothing
                    // of the request.
                    Some(unsent) if kept && way.is_over() => request = unsent,
                    _ => return Err(failed(error.error())),
                },
            }
        }
    }

    /// A connection, and whether it was there already.
    async fn way(&self, need: Need) -> Result<(Way, bool), Fault> {
        match (self.url.speaks, need) {
            // Nobody serves gRPC over HTTP/1.1, so an upstream that is called by it has
            // HTTP/2 with prior knowledge (RFC 9113 §3.3).
            (Speaks::Http2, _) | (Speaks::Http1 | Speaks::Offered, Need::Http2) => {
                self.lane(false).await
            }
            (Speaks::Http1, _) | (Speaks::Offered, Need::Http1) => self.one().await,
            (Speaks::Offered, Need::Any) => {
                if self.chose_one.load(Ordering::Relaxed) {
                    return self.one().await;
                }
                self.lane(true).await
            }
        }
    }

    async fn one(&self) -> Result<(Way, bool), Fault> {
        match self.take_idle() {
            Some(sender) => Ok((Way::One(sender), true)),
            None => Ok((Way::One(self.open_one().await?), false)),
        }
    }

    /// An HTTP/2 connection with room, and whether it was there already. If one is
    /// opened, the upstream may choose otherwise where it is asked for `either`.
    async fn lane(&self, either: bool) -> Result<(Way, bool), Fault> {
        // Held while one is made: of many who wait, one makes it.
        let mut lanes = self.lanes.lock().await;
        lanes.retain(|lane| !lane.sender.is_closed());
        let room = lanes
            .iter()
            .find(|lane| Arc::strong_count(&lane.uses) <= STREAMS_EACH);
        if let Some(lane) = room {
            return Ok((lane.way(), true));
        }
        let opened = if either {
            self.open_either().await?
        } else {
            Opened::Two(self.open_two().await?)
        };
        match opened {
            Opened::One(sender) => Ok((Way::One(sender), false)),
            Opened::Two(sender) => {
                let lane = Lane {
                    sender,
                    uses: Arc::default(),
                };
                let way = lane.way();
                lanes.push(lane);
                Ok((way, false))
            }
        }
    }

    /// HTTP/2 has the authority in the target, and no fields of one connection.
    fn as_two(&self, request: &mut Request<Upload>, authority: &HeaderValue) -> Result<(), Fault> {
        *request.uri_mut() = Uri::builder()
            .scheme(if self.tls.is_some() { "https" } else { "http" })
            .authority(authority.as_bytes())
            .path_and_query(target(request.uri()))
            .build()
            .map_err(|_| Fault::Malformed(Flaw::Host))?;
        *request.version_mut() = Version::HTTP_2;
        let headers = request.headers_mut();
        headers.remove(header::HOST);
        headers.remove(header::CONNECTION);
        headers.remove(header::TRANSFER_ENCODING);
        Ok(())
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

    /// Lets the upstream choose (RFC 7301).
    async fn open_either(&self) -> Result<Opened, Fault> {
        let Some(tls) = &self.tls else {
            return Ok(Opened::One(self.open_one().await?));
        };
        let open = async {
            let stream = secure(&tls.either, tls, self.connect().await?).await?;
            if stream.get_ref().1.alpn_protocol() == Some(b"h2") {
                return Ok(Opened::Two(start_two(stream).await?));
            }
            self.chose_one.store(true, Ordering::Relaxed);
            Ok(Opened::One(start_one(stream).await?))
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

/// A connection that was made.
enum Opened {
    One(One),
    Two(Two),
}

impl Lane {
    fn way(&self) -> Way {
        Way::Two {
            sender: self.sender.clone(),
            _use: Arc::clone(&self.uses),
        }
    }
}

impl Way {
    /// Whether nothing more can be sent over it.
    fn is_over(&self) -> bool {
        match self {
            // It has one request at a time: one that it did not take is its last.
            Self::One(_) => true,
            Self::Two { sender, .. } => sender.is_closed(),
        }
    }
}

fn target(uri: &Uri) -> PathAndQuery {
    uri.path_and_query()
        .cloned()
        .unwrap_or(PathAndQuery::from_static("/"))
}

/// HTTP/1.1 has the authority in `Host`.
fn as_one(request: &mut Request<Upload>, authority: &HeaderValue) {
    *request.uri_mut() = Uri::from(target(request.uri()));
    *request.version_mut() = Version::HTTP_11;
    let body = request.body();
    let unknown = !body.is_end_stream() && body.size_hint().exact().is_none();
    let headers = request.headers_mut();
    headers.insert(header::HOST, authority.clone());
    if unknown {
        // hyper would send no body with a GET of which it knows no length.
        let chunked = HeaderValue::from_static("chunked");
        headers.insert(header::TRANSFER_ENCODING, chunked);
    }
    // A hop may only be told of a coding that the connection is said to have.
    if headers.contains_key(header::TE) && !names(headers, &header::CONNECTION, "te") {
        let named = HeaderValue::from_static("te");
        headers.append(header::CONNECTION, named);
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
