//! Hands spans over to a collector (OTLP/HTTP, in JSON). Behind the requests: a span
//! that finds no room is lost and counted, and a collector that is slow or away holds
//! nothing up.

use super::otlp;
use super::span::Running;
use super::tracer::Tracing;
use bytes::Bytes;
use http::{HeaderValue, Method, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use procura_types::{Duration, Malformed};
use prometheus_client::metrics::counter::Counter;
use serde::Deserialize;
use std::fmt;
use std::str::FromStr;
use std::sync::{Mutex, PoisonError};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

/// Spans that wait; what comes beyond is lost.
const QUEUE: usize = 4096;
/// Spans of one request to the collector.
const BATCH: usize = 512;
/// How long spans are collected after the first one came.
const PAUSE: Duration = Duration::from_secs(1);
/// How long one request may take, and how often one batch is tried.
const TIME: Duration = Duration::from_secs(5);
const TRIES: u32 = 3;
/// How long a stop waits for what is left to be sent.
const STOP: Duration = Duration::from_secs(2);
/// What is read of an answer.
const LONGEST_ANSWER: usize = 64 * 1024;

/// Where a collector listens: `http://HOST[:PORT][/PATH]`, without `/v1/traces`, as in
/// `OTEL_EXPORTER_OTLP_ENDPOINT`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Endpoint {
    host: String,
    port: u16,
    authority: HeaderValue,
    target: String,
}

/// An address that no spans are sent to.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct EndpointError(#[from] Malformed);

impl FromStr for Endpoint {
    type Err = EndpointError;

    fn from_str(text: &str) -> Result<Self, EndpointError> {
        let malformed = |problem| EndpointError(Malformed::new("otlp_endpoint", problem));
        let uri = text.parse::<http::Uri>().ok();
        let uri = uri
            .filter(|uri| uri.scheme().is_some())
            .ok_or_else(|| malformed("is not a URL; write it like http://127.0.0.1:4318"))?;
        if uri.scheme_str() != Some("http") {
            return Err(malformed(
                "is not http; run a collector on this machine, which sends spans on as it may",
            ));
        }
        let authority = uri
            .authority()
            .filter(|authority| !authority.host().is_empty() && !authority.as_str().contains('@'))
            .ok_or_else(|| malformed("names no host"))?;
        if uri.query().is_some() {
            return Err(malformed("has a query"));
        }
        let host = authority.host();
        let bare = host
            .strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'));
        Ok(Self {
            host: bare.unwrap_or(host).to_owned(),
            port: authority.port_u16().unwrap_or(80),
            authority: HeaderValue::from_str(authority.as_str())
                .map_err(|_| malformed("names no host"))?,
            target: format!("{}/v1/traces", uri.path().trim_end_matches('/')),
        })
    }
}

impl TryFrom<String> for Endpoint {
    type Error = EndpointError;

    fn try_from(text: String) -> Result<Self, EndpointError> {
        text.parse()
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let authority = self.authority.to_str().unwrap_or_default();
        write!(f, "http://{authority}{}", self.target)
    }
}

/// The queue before the task that sends. The task begins with the first span.
#[derive(Debug)]
pub(super) struct Exporter {
    queue: mpsc::Sender<Running>,
    sending: Mutex<Sending>,
    stop: watch::Sender<bool>,
    lost: Counter,
}

#[derive(Debug)]
enum Sending {
    Unstarted(Box<Sender>),
    Started(JoinHandle<()>),
    Over,
}

impl Exporter {
    pub(super) fn new(tracing: Tracing) -> Self {
        let (queue, spans) = mpsc::channel(QUEUE);
        let (stop, stopping) = watch::channel(false);
        let lost = tracing.lost.clone();
        let sender = Sender {
            endpoint: tracing.endpoint,
            resource: tracing.resource,
            exported: tracing.exported,
            lost: tracing.lost,
            spans,
            stopping,
            away: false,
        };
        Self {
            queue,
            sending: Mutex::new(Sending::Unstarted(Box::new(sender))),
            stop,
            lost,
        }
    }

    /// Never waits.
    pub(super) fn queue(&self, span: Running) {
        if self.queue.try_send(span).is_err() {
            self.lost.inc();
            return;
        }
        let mut sending = self.sending();
        if matches!(*sending, Sending::Unstarted(_))
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
            && let Sending::Unstarted(sender) = std::mem::replace(&mut *sending, Sending::Over)
        {
            *sending = Sending::Started(runtime.spawn(sender.run()));
        }
    }

    pub(super) async fn stop(&self) {
        self.stop.send_replace(true);
        let started = std::mem::replace(&mut *self.sending(), Sending::Over);
        if let Sending::Started(mut task) = started
            && timeout(STOP, &mut task).await.is_err()
        {
            task.abort();
            tracing::warn!("spans were left when the time of a stop was over");
        }
    }

    fn sending(&self) -> std::sync::MutexGuard<'_, Sending> {
        // The state is whole between any two lines.
        self.sending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug)]
struct Sender {
    endpoint: Endpoint,
    resource: Vec<(&'static str, String)>,
    exported: Counter,
    lost: Counter,
    spans: mpsc::Receiver<Running>,
    stopping: watch::Receiver<bool>,
    /// Whether the log says that the collector is away.
    away: bool,
}

/// Why a batch was not taken.
#[derive(Debug, thiserror::Error)]
enum Untaken {
    #[error("{0}")]
    Unreachable(#[from] std::io::Error),
    #[error("{0}")]
    Broken(#[from] hyper::Error),
    #[error("it takes too long")]
    Slow(#[from] tokio::time::error::Elapsed),
    #[error("it answers with status {0}")]
    Status(StatusCode),
}

impl Untaken {
    /// Whether the same batch may be taken later (OTLP/HTTP, "Retryable Response
    /// Codes").
    fn may_pass(&self) -> bool {
        match self {
            Self::Status(status) => matches!(status.as_u16(), 429 | 502..=504),
            _ => true,
        }
    }
}

impl Sender {
    async fn run(mut self: Box<Self>) {
        let mut batch = Vec::with_capacity(BATCH);
        loop {
            // Whoever would say so may be gone.
            let stopping = *self.stopping.borrow() || self.stopping.has_changed().is_err();
            if stopping {
                self.spans.close();
            } else {
                tokio::select! {
                    _ = self.spans.recv_many(&mut batch, BATCH) => {}
                    () = told(self.stopping.clone()) => continue,
                }
                let more = async {
                    while batch.len() < BATCH {
                        let room = BATCH - batch.len();
                        if self.spans.recv_many(&mut batch, room).await == 0 {
                            return;
                        }
                    }
                };
                tokio::select! {
                    _ = timeout(PAUSE, more) => {}
                    () = told(self.stopping.clone()) => {}
                }
            }
            if stopping && self.spans.recv_many(&mut batch, BATCH).await == 0 && batch.is_empty() {
                return;
            }
            self.deliver(&mut batch).await;
        }
    }

    async fn deliver(&mut self, batch: &mut Vec<Running>) {
        let count = u64::try_from(batch.len()).unwrap_or(u64::MAX);
        if count == 0 {
            return;
        }
        let body = Bytes::from(otlp::encode(&self.resource, batch.drain(..)));
        for tried in 1..=TRIES {
            let error = match self.post(body.clone()).await {
                Ok(rejected) => {
                    let rejected = rejected.min(count);
                    self.exported.inc_by(count - rejected);
                    self.lost.inc_by(rejected);
                    if std::mem::take(&mut self.away) {
                        tracing::info!(endpoint = %self.endpoint, "spans are taken again");
                    }
                    return;
                }
                Err(error) => error,
            };
            if !std::mem::replace(&mut self.away, true) {
                tracing::warn!(endpoint = %self.endpoint, %error, "spans are not taken");
            }
            if tried == TRIES || !error.may_pass() || *self.stopping.borrow() {
                break;
            }
            tokio::select! {
                () = sleep(Duration::from_secs(1) * tried) => {}
                () = told(self.stopping.clone()) => {}
            }
        }
        self.lost.inc_by(count);
    }

    /// Sends one batch; how many of it were not taken.
    async fn post(&self, body: Bytes) -> Result<u64, Untaken> {
        timeout(TIME, async {
            let Endpoint {
                host,
                port,
                authority,
                target,
            } = &self.endpoint;
            let stream = TcpStream::connect((host.as_str(), *port)).await?;
            let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
            let mut request = Request::new(Full::new(body));
            *request.method_mut() = Method::POST;
            // What `FromStr` put together is a target.
            *request.uri_mut() = target.parse().unwrap_or_default();
            let headers = request.headers_mut();
            headers.insert(header::HOST, authority.clone());
            let json = HeaderValue::from_static("application/json");
            headers.insert(header::CONTENT_TYPE, json);
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
            let asked = async {
                let answer = sender.send_request(request).await?;
                let status = answer.status();
                if !status.is_success() {
                    return Err(Untaken::Status(status));
                }
                let read = Limited::new(answer.into_body(), LONGEST_ANSWER);
                // It said that it took them; what else it says is no error.
                let text = read.collect().await.map(|text| text.to_bytes());
                Ok(otlp::rejected(&text.unwrap_or_default()))
            };
            let mut asked = std::pin::pin!(asked);
            tokio::select! {
                answer = &mut asked => answer,
                ended = connection => {
                    ended?;
                    asked.await
                }
            }
        })
        .await?
    }
}

async fn told(mut stopping: watch::Receiver<bool>) {
    // A sender that is gone says so too.
    let _ = stopping.wait_for(|stop| *stop).await;
}

#[cfg(test)]
mod tests;
