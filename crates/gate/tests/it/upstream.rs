//! Services behind the gate.

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use hyper::body::{Body, Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, mpsc, watch};

/// A body whose parts are given one by one; dropped in the middle it breaks off.
pub(crate) struct Parts(mpsc::Receiver<Result<Frame<Bytes>, std::io::Error>>);

pub(crate) type Giver = mpsc::Sender<Result<Frame<Bytes>, std::io::Error>>;

pub(crate) fn parts() -> (Giver, Parts) {
    let (giver, parts) = mpsc::channel(16);
    (giver, Parts(parts))
}

pub(crate) fn part(text: &'static str) -> Result<Frame<Bytes>, std::io::Error> {
    Ok(Frame::data(Bytes::from_static(text.as_bytes())))
}

impl Body for Parts {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        self.0.poll_recv(cx)
    }
}

pub(crate) fn whole(text: impl Into<Bytes>) -> Parts {
    let (giver, parts) = parts();
    giver.try_send(Ok(Frame::data(text.into()))).unwrap();
    parts
}

/// An application: what it answers depends on the path.
pub(crate) struct App {
    pub(crate) address: SocketAddr,
    pub(crate) connections: Arc<AtomicUsize>,
    /// Lets a stream go on.
    pub(crate) go_on: Arc<Notify>,
    /// What it got in full: target and body.
    pub(crate) whole: Arc<Mutex<Vec<(String, Bytes)>>>,
    /// Bodies that broke off.
    pub(crate) broken: Arc<AtomicUsize>,
}

impl App {
    pub(crate) async fn http1() -> Arc<Self> {
        Self::start(false).await
    }

    pub(crate) async fn http2() -> Arc<Self> {
        Self::start(true).await
    }

    async fn start(http2: bool) -> Arc<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let app = Arc::new(Self {
            address: listener.local_addr().unwrap(),
            connections: Arc::default(),
            go_on: Arc::default(),
            whole: Arc::default(),
            broken: Arc::default(),
        });
        let own = Arc::clone(&app);
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                stream.set_nodelay(true).unwrap();
                own.connections.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(Arc::clone(&own).connection(stream, http2));
            }
        });
        app
    }

    pub(crate) async fn connection<S>(self: Arc<Self>, stream: S, http2: bool)
    where
        S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
    {
        let service = service_fn(move |request| Arc::clone(&self).answer(request));
        let stream = TokioIo::new(stream);
        // A gate that goes away ends its connection, and no more.
        if http2 {
            let _ = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
                .serve_connection(stream, service)
                .await;
        } else {
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(stream, service)
                .await;
        }
    }

    async fn answer(
        self: Arc<Self>,
        request: Request<Incoming>,
    ) -> Result<Response<Parts>, Infallible> {
        let target = request.uri().path_and_query().unwrap().clone();
        let mut answer = match target.path() {
            "/events" => self.events(),
            "/dies" => self.dies(),
            "/never" => {
                std::future::pending::<()>().await;
                unreachable!()
            }
            "/unary" => return Ok(self.unary(request).await),
            "/chat" => self.chat(request),
            "/moved" => Response::builder()
                .status(StatusCode::FOUND)
                .header("location", "/elsewhere")
                .header("connection", "x-hop")
                .header("x-hop", "1")
                .header("keep-alive", "timeout=5")
                .body(parts().1)
                .unwrap(),
            "/large" => Response::new(whole(vec![b'x'; 3_000_000])),
            _ => self.echo(request).await,
        };
        answer
            .headers_mut()
            .insert("x-from", "upstream".parse().unwrap());
        Ok(answer)
    }

    /// The request as it was seen.
    async fn echo(&self, request: Request<Incoming>) -> Response<Parts> {
        let (head, body) = request.into_parts();
        let target = head.uri.path_and_query().unwrap().as_str().to_owned();
        let Ok(body) = body.collect().await else {
            self.broken.fetch_add(1, Ordering::SeqCst);
            return Response::new(whole("broken"));
        };
        let body = body.to_bytes();
        let mut text = format!("{} {target} {:?}\n", head.method, head.version);
        if let Some(authority) = head.uri.authority() {
            text.push_str(&format!(":authority: {authority}\n"));
        }
        text.push_str(&lines(&head.headers));
        text.push('\n');
        text.push_str(&String::from_utf8_lossy(&body[..body.len().min(1000)]));
        self.whole.lock().unwrap().push((target, body));
        Response::new(whole(text))
    }

    /// One event, and another when told.
    fn events(&self) -> Response<Parts> {
        let (giver, parts) = parts();
        let go_on = Arc::clone(&self.go_on);
        tokio::spawn(async move {
            giver.send(part("data: 1\n\n")).await.unwrap();
            go_on.notified().await;
            // Whoever has gone does not want the second one.
            let _ = giver.send(part("data: 2\n\n")).await;
        });
        Response::builder()
            .header("content-type", "text/event-stream")
            .body(parts)
            .unwrap()
    }

    /// Breaks off in the middle of its answer, when told.
    fn dies(&self) -> Response<Parts> {
        let (giver, parts) = parts();
        let go_on = Arc::clone(&self.go_on);
        tokio::spawn(async move {
            giver.send(part("half of ")).await.unwrap();
            go_on.notified().await;
            let _ = giver.send(Err(std::io::Error::other("the end"))).await;
        });
        Response::new(parts)
    }

    /// A message and a status, like gRPC.
    async fn unary(&self, request: Request<Incoming>) -> Response<Parts> {
        let (head, body) = request.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        let (giver, parts) = parts();
        let text = format!(
            "{:?} te={:?} agent={:?} body={}",
            head.version,
            head.headers.get("te"),
            head.headers.get("procura-agent"),
            String::from_utf8_lossy(&body)
        );
        giver.send(Ok(Frame::data(text.into()))).await.unwrap();
        giver.send(Ok(Frame::trailers(status()))).await.unwrap();
        Response::builder()
            .header("content-type", "application/grpc")
            .header("trailer", "grpc-status")
            .body(parts)
            .unwrap()
    }

    /// Gives each part of the request back as it comes.
    fn chat(&self, request: Request<Incoming>) -> Response<Parts> {
        let (giver, parts) = parts();
        let mut body = request.into_body();
        tokio::spawn(async move {
            while let Some(Ok(frame)) = body.frame().await {
                if let Ok(data) = frame.into_data() {
                    giver.send(Ok(Frame::data(data))).await.unwrap();
                }
            }
            giver.send(Ok(Frame::trailers(status()))).await.unwrap();
        });
        Response::builder()
            .header("content-type", "application/grpc")
            .body(parts)
            .unwrap()
    }
}

fn status() -> HeaderMap {
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", "0".parse().unwrap());
    trailers
}

fn lines(headers: &HeaderMap) -> String {
    let mut lines: Vec<String> = headers
        .iter()
        .map(|(name, value)| format!("{name}: {}\n", String::from_utf8_lossy(value.as_bytes())))
        .collect();
    lines.sort();
    lines.concat()
}

/// Counts what it gets and knows nothing of HTTP.
pub(crate) struct Counter {
    pub(crate) address: SocketAddr,
    pub(crate) connections: Arc<AtomicUsize>,
    /// All that came, over all connections.
    pub(crate) received: watch::Receiver<Vec<u8>>,
}

impl Counter {
    /// Answers each time with `answer` when what came ends an HTTP head or chunked
    /// body, or is as long as `after`; closes when `once`.
    pub(crate) async fn answering(answer: &'static str, once: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, received) = watch::channel(Vec::new());
        let sender = Arc::new(sender);
        let connections = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&connections);
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                count.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(converse(stream, Arc::clone(&sender), answer, once));
            }
        });
        Self {
            address,
            connections,
            received,
        }
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.received.borrow()).into_owned()
    }

    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

async fn converse(
    mut stream: TcpStream,
    sender: Arc<watch::Sender<Vec<u8>>>,
    answer: &'static str,
    once: bool,
) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(length) = stream.read(&mut buffer).await {
        if length == 0 {
            return;
        }
        sender.send_modify(|all| all.extend_from_slice(&buffer[..length]));
        if buffer[..length].ends_with(b"\r\n\r\n") && !answer.is_empty() {
            let _ = stream.write_all(answer.as_bytes()).await;
            if once {
                return;
            }
        }
    }
}
