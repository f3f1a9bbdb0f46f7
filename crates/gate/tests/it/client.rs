//! Clients: raw sockets, and hyper over HTTP/1 and HTTP/2.

use crate::world::{PROOF, World, proof_of, within};
use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Body, Incoming};
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// A socket and what came over it.
pub(crate) struct Raw {
    pub(crate) stream: TcpStream,
    pub(crate) received: Vec<u8>,
}

impl Raw {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self {
            stream,
            received: Vec::new(),
        }
    }

    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).await.unwrap();
    }

    /// Reads on until this text has come.
    pub(crate) async fn until(&mut self, text: &str) -> String {
        within(async {
            while !self.text().contains(text) {
                assert!(self.more().await, "it ended with {:?}", self.text());
            }
        })
        .await;
        self.text()
    }

    /// Reads on to the end of the connection.
    pub(crate) async fn all_of_it(&mut self) -> String {
        within(async { while self.more().await {} }).await;
        self.text()
    }

    /// Forgets what came.
    pub(crate) fn forget(&mut self) {
        self.received.clear();
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.received).into_owned()
    }

    async fn more(&mut self) -> bool {
        let mut buffer = [0; 8192];
        // A reset is an end too.
        let length = self.stream.read(&mut buffer).await.unwrap_or(0);
        self.received.extend_from_slice(&buffer[..length]);
        length > 0
    }
}

/// Sends this on a connection of its own and reads all that comes back.
pub(crate) async fn tell(world: &World, bytes: impl AsRef<[u8]>) -> String {
    let mut raw = Raw::connect(world.address).await;
    raw.send(bytes).await;
    raw.all_of_it().await
}

/// A request without a body, proven, on a connection that ends with it.
pub(crate) fn proven(line: &str, fields: &str) -> String {
    format!(
        "{line} HTTP/1.1\r\nHost: app.example\r\n{PROOF}: {}\r\nConnection: close\r\n{fields}\r\n",
        proof_of(b"")
    )
}

/// A request with a body of known length, proven.
pub(crate) fn proven_post(path: &str, body: &str, fields: &str) -> String {
    format!(
        "POST {path} HTTP/1.1\r\nHost: app.example\r\n{PROOF}: {}\r\nConnection: close\r\nContent-Length: {}\r\n{fields}\r\n{body}",
        proof_of(body.as_bytes()),
        body.len()
    )
}

/// Status and `reason` of an answer of the gate.
pub(crate) fn refusal(answer: &str) -> (u16, String) {
    let status = answer
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok())
        .unwrap_or_else(|| panic!("no answer: {answer:?}"));
    let reason = answer
        .split_once("\"reason\":\"")
        .and_then(|(_, rest)| rest.split_once('"'))
        .map_or("", |(reason, _)| reason);
    (status, reason.to_owned())
}

pub(crate) type Two<B> = hyper::client::conn::http2::SendRequest<B>;

/// An HTTP/2 connection with prior knowledge.
pub(crate) async fn http2<B>(address: SocketAddr) -> Two<B>
where
    B: Body<Data = Bytes> + Unpin + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let stream = TcpStream::connect(address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let (sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .unwrap();
    tokio::spawn(connection);
    sender
}

/// A request over HTTP/2 with its body proven.
pub(crate) fn request2(method: &str, target: &str, body: &str) -> Request<Full<Bytes>> {
    Request::builder()
        .method(method)
        .uri(format!("http://app.example{target}"))
        .header(PROOF, proof_of(body.as_bytes()))
        .body(Full::new(Bytes::from(body.to_owned())))
        .unwrap()
}

/// An answer, read to its end.
pub(crate) struct Read {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
    pub(crate) trailers: Option<HeaderMap>,
}

pub(crate) async fn read(answer: Response<Incoming>) -> Result<Read, hyper::Error> {
    let (head, body) = answer.into_parts();
    let body = within(body.collect()).await?;
    let trailers = body.trailers().cloned();
    Ok(Read {
        status: head.status.as_u16(),
        headers: head.headers,
        text: String::from_utf8_lossy(&body.to_bytes()).into_owned(),
        trailers,
    })
}
