//! Bytes to a server and back: over TCP with keep-alive, or over a Unix socket.

use crate::{ClientError, address::Address, tls};
use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo};
use procura_proof::ANSWER_FIELD;
use procura_types::{Duration, Secret, SecretBytes};
use std::path::PathBuf;
use tokio::net::UnixStream;

/// The largest answer that is read: the largest thing that the API sends is an
/// entry bundle of 256 × 65,537 bytes, and what a process can take as its
/// environment is smaller.
const ANSWER_LIMIT: usize = 32 * 1024 * 1024;

/// How long a connection may take to be made, within the time of the call.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// A request body that is wiped when the last part of it has been sent.
struct Wiped(SecretBytes);

impl AsRef<[u8]> for Wiped {
    fn as_ref(&self) -> &[u8] {
        self.0.expose()
    }
}

/// A body to send, wiped after use. Secrets travel in bodies.
pub(crate) fn body(bytes: SecretBytes) -> Bytes {
    Bytes::from_owner(Wiped(bytes))
}

/// An answer, read to its end.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    /// The media type without parameters, lower case.
    pub(crate) content_type: String,
    /// The `Content-Type` field as sent; empty without one.
    pub(crate) content_type_field: String,
    /// The `Procura-Answer` field; empty without one.
    pub(crate) tag: String,
    /// The `Date` field, RFC 9110 §6.6.1.
    pub(crate) date: Option<String>,
    /// All fields as sent.
    pub(crate) headers: HeaderMap,
    pub(crate) body: SecretBytes,
}

impl Answer {
    /// One whose body is not read yet.
    fn of(head: http::response::Parts) -> Self {
        let field = |name: &str| head.headers.get(name).and_then(|value| value.to_str().ok());
        let content_type_field = field(header::CONTENT_TYPE.as_str()).unwrap_or_default();
        let media_type = content_type_field.split(';').next().unwrap_or_default();
        Self {
            status: head.status,
            content_type: media_type.trim().to_ascii_lowercase(),
            content_type_field: content_type_field.to_owned(),
            date: field(header::DATE.as_str()).map(str::to_owned),
            tag: field(ANSWER_FIELD).unwrap_or_default().to_owned(),
            headers: head.headers,
            body: Secret::new(Vec::new()),
        }
    }
}

enum Way {
    Tcp(hyper_util::client::legacy::Client<HttpsConnector<HttpConnector>, Full<Bytes>>),
    Unix(PathBuf),
}

/// A way to one server.
pub(crate) struct Transport {
    way: Way,
    name: String,
    timeout: Duration,
}

impl Transport {
    /// Over TCP, with TLS if the address says so. Connections are kept and
    /// used again.
    pub(crate) fn tcp(
        address: &Address,
        ca_pem: Option<&[u8]>,
        timeout: Duration,
    ) -> Result<Self, ClientError> {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(CONNECT_TIMEOUT.min(timeout)));
        let config = if address.tls() {
            tls::config(ca_pem)?
        } else {
            // Never used: an address without TLS never becomes one with it.
            tls::untrusting()?
        };
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(config)
            .https_or_http()
            .enable_http1()
            .wrap_connector(tcp);
        let client = hyper_util::client::legacy::Client::builder(TokioExecutor::new())
            .pool_idle_timeout(Duration::from_secs(60))
            .build(connector);
        Ok(Self {
            way: Way::Tcp(client),
            name: address.url(),
            timeout,
        })
    }

    /// Over a Unix socket, one connection for each call.
    pub(crate) fn unix(socket: PathBuf, timeout: Duration) -> Self {
        Self {
            name: socket.display().to_string(),
            way: Way::Unix(socket),
            timeout,
        }
    }

    /// Sends a request and reads the whole answer, within the time of a call.
    pub(crate) async fn send(&self, request: Request<Full<Bytes>>) -> Result<Answer, ClientError> {
        tokio::time::timeout(self.timeout, self.exchange(request))
            .await
            .map_err(|_| self.unreachable("no answer within the time of a call"))?
    }

    async fn exchange(&self, request: Request<Full<Bytes>>) -> Result<Answer, ClientError> {
        match &self.way {
            Way::Tcp(client) => {
                let answer = client
                    .request(request)
                    .await
                    .map_err(|error| self.not_connected(&error))?;
                self.read(answer).await
            }
            Way::Unix(socket) => {
                let stream = UnixStream::connect(socket)
                    .await
                    .map_err(|error| self.unreachable(&error.to_string()))?;
                let (mut sender, connection) =
                    hyper::client::conn::http1::handshake(TokioIo::new(stream))
                        .await
                        .map_err(|error| self.unreachable(&reason(&error)))?;
                let exchange = async {
                    let answer = sender
                        .send_request(request)
                        .await
                        .map_err(|error| self.unreachable(&reason(&error)))?;
                    self.read(answer).await
                };
                // The connection moves only while it is polled; it ends with
                // the exchange, and its own error shows there too.
                tokio::pin!(connection);
                tokio::pin!(exchange);
                tokio::select! {
                    biased;
                    answer = &mut exchange => answer,
                    ended = &mut connection => match ended {
                        Ok(()) => exchange.await,
                        Err(error) => Err(self.unreachable(&reason(&error))),
                    },
                }
            }
        }
    }

    /// Sends a request whose answer goes on: its head within the time of a call, and
    /// its body as it comes. One that is not a success is read whole.
    pub(crate) async fn open(
        &self,
        request: Request<Full<Bytes>>,
    ) -> Result<(Answer, Option<Incoming>), ClientError> {
        let Way::Tcp(client) = &self.way else {
            return Err(self.not_understood("no answer goes on over a socket"));
        };
        let opened = async {
            let answer = client
                .request(request)
                .await
                .map_err(|error| self.not_connected(&error))?;
            if !answer.status().is_success() {
                return Ok((self.read(answer).await?, None));
            }
            let (head, body) = answer.into_parts();
            Ok((Answer::of(head), Some(body)))
        };
        tokio::time::timeout(self.timeout, opened)
            .await
            .map_err(|_| self.unreachable("no answer within the time of a call"))?
    }

    async fn read(&self, answer: Response<Incoming>) -> Result<Answer, ClientError> {
        let (head, mut incoming) = answer.into_parts();
        let announced = head
            .headers
            .get(header::CONTENT_LENGTH)
            .and_then(|value| value.to_str().ok()?.parse::<usize>().ok())
            .unwrap_or(0);
        let mut answer = Answer::of(head);
        // Room for all of it at once, so that a value is not left behind in
        // memory that was grown out of.
        let mut body = Secret::new(Vec::with_capacity(announced.min(ANSWER_LIMIT)));
        while let Some(frame) = incoming.frame().await {
            let frame = frame.map_err(|error| self.unreachable(&reason(&error)))?;
            if let Some(data) = frame.data_ref() {
                if body.expose().len().saturating_add(data.len()) > ANSWER_LIMIT {
                    return Err(self.not_understood("it is larger than 32 MiB"));
                }
                body.expose_mut().extend_from_slice(data);
            }
        }
        answer.body = body;
        Ok(answer)
    }

    fn not_connected(&self, error: &(dyn std::error::Error + 'static)) -> ClientError {
        match tls::refused(error) {
            Some((cause, advice)) => ClientError::Unreachable {
                address: self.name.clone(),
                cause: cause.to_owned(),
                advice: Some(advice),
            },
            None => self.unreachable(&reason(error)),
        }
    }

    pub(crate) fn unreachable(&self, cause: &str) -> ClientError {
        ClientError::Unreachable {
            address: self.name.clone(),
            cause: cause.to_owned(),
            advice: None,
        }
    }

    /// The connection broke while an answer came.
    pub(crate) fn broken(&self, error: &hyper::Error) -> ClientError {
        self.unreachable(&reason(error))
    }

    pub(crate) fn not_understood(&self, cause: &str) -> ClientError {
        ClientError::NotUnderstood {
            address: self.name.clone(),
            cause: cause.to_owned(),
        }
    }

    pub(crate) fn impostor(&self, evidence: &'static str) -> ClientError {
        ClientError::Impostor {
            address: self.name.clone(),
            evidence,
        }
    }
}

/// The innermost cause: "connection refused" says more than "client error".
fn reason(error: &dyn std::error::Error) -> String {
    let mut deepest: &dyn std::error::Error = error;
    while let Some(source) = deepest.source() {
        deepest = source;
    }
    deepest.to_string()
}
