//! Requests to places that somebody else named: each name is resolved here, what it leads
//! to is looked at, and the connection goes to the very address that was looked at, so
//! that no second answer of a name server takes it elsewhere. No redirect is followed,
//! nothing of a URL but scheme, host and port is in any error, and answers are bounded in
//! length and in time. What receivers of messages answer is not kept.

use crate::{ClientError, Target, tls, transport};
use http::uri::Authority;
use http::{HeaderName, HeaderValue, Method, Request, header};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use procura_types::{Cidr, Duration, SecretBytes, inward};
use rustls::ClientConfig;
use rustls_pki_types::{CertificateDer, ServerName};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, OnceLock};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// How long one address may take to be connected to.
const CONNECT: Duration = Duration::from_secs(5);
/// Addresses of a name that are tried.
const ADDRESSES: usize = 4;
/// The longest head of an answer.
const HEAD: usize = 64 * 1024;
/// The longest body of an answer: whoever takes messages says yes in a few bytes, and what
/// is asked for has no more either.
const BODY: usize = 64 * 1024;

/// What a request says of its sender.
const USER_AGENT: &str = concat!("procura/", env!("CARGO_PKG_VERSION"));

/// What an answer says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutwardAnswer {
    /// The status.
    pub status: u16,
    /// How long it says to wait (`Retry-After`, RFC 9110 §10.2.3), in seconds.
    pub retry_after: Option<u64>,
}

/// What was asked for.
pub struct OutwardDocument {
    /// The status.
    pub status: u16,
    /// The body. It may have a token in it.
    pub body: SecretBytes,
}

/// Why there was no answer. None of it holds a path, a query or what a receiver said.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OutwardError {
    /// No address for the name.
    #[error("the receiver's name leads to no address")]
    Unknown,
    /// An address that is not of the public internet.
    #[error("the receiver is at {0} address, which notify_networks does not name")]
    Inward(&'static str),
    /// No TLS.
    #[error("the receiver is reached without TLS, and notify_networks does not name its address")]
    Plain,
    /// Nothing listens.
    #[error("the receiver takes no connection")]
    NoConnection,
    /// Certificates, or no TLS at all.
    #[error("TLS with the receiver failed: {0}")]
    Tls(&'static str),
    /// Nothing in time.
    #[error("the receiver gave no answer in time")]
    Late,
    /// Not HTTP, or the end of the connection.
    #[error("the receiver's answer broke off or is not HTTP")]
    Broken,
    /// More than an answer to a message has.
    #[error("the receiver's answer is too long")]
    TooLong,
    /// The authorities to trust.
    #[error("the authorities to trust cannot be read")]
    Authorities,
    /// Header fields that cannot be sent.
    #[error("the request cannot be written")]
    Unwritable,
}

impl OutwardError {
    /// Whether trying again cannot help as long as nobody changes anything here.
    #[must_use]
    pub const fn lasts(&self) -> bool {
        matches!(
            self,
            Self::Inward(_) | Self::Plain | Self::Authorities | Self::Unwritable
        )
    }
}

/// The way out.
pub struct Outward {
    allowed: Vec<Cidr>,
    /// TLS that trusts whom the machine trusts, once it was needed.
    machine: OnceLock<Arc<ClientConfig>>,
    /// What answers for names in a test.
    #[cfg(test)]
    names: Option<Names>,
}

#[cfg(test)]
type Names = Box<dyn Fn(&str) -> Vec<IpAddr> + Send + Sync>;

impl Outward {
    /// A way to the public internet, and to these networks beside it.
    #[must_use]
    pub const fn new(allowed: Vec<Cidr>) -> Self {
        Self {
            allowed,
            machine: OnceLock::new(),
            #[cfg(test)]
            names: None,
        }
    }

    /// The addresses of a host, all of which may be reached.
    ///
    /// # Errors
    /// [`OutwardError::Unknown`], and [`OutwardError::Inward`] when one of them may not:
    /// whoever answers for the name is not trusted with the choice.
    pub async fn resolve(&self, host: &str, port: u16) -> Result<Vec<SocketAddr>, OutwardError> {
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let found: Vec<SocketAddr> = match bare.parse::<IpAddr>() {
            Ok(address) => vec![SocketAddr::new(address, port)],
            Err(_) => self.look_up(bare, port).await?,
        };
        if found.is_empty() {
            return Err(OutwardError::Unknown);
        }
        for address in &found {
            if !self.allows(address.ip())
                && let Some(what) = inward(address.ip())
            {
                return Err(OutwardError::Inward(what));
            }
        }
        Ok(found.into_iter().take(ADDRESSES).collect())
    }

    /// Asks for the addresses of a name, once for each request.
    async fn look_up(&self, name: &str, port: u16) -> Result<Vec<SocketAddr>, OutwardError> {
        #[cfg(test)]
        if let Some(names) = &self.names {
            let found = names(name).into_iter();
            return Ok(found
                .map(|address| SocketAddr::new(address, port))
                .collect());
        }
        tokio::net::lookup_host((name, port))
            .await
            .map(Iterator::collect)
            .map_err(|_| OutwardError::Unknown)
    }

    fn allows(&self, address: IpAddr) -> bool {
        self.allowed.iter().any(|network| network.contains(address))
    }

    /// Sends a body and waits for what the receiver says to it, all within `time`.
    ///
    /// # Errors
    /// All of [`OutwardError`]. Whether the receiver took the message is known of those
    /// alone that come before a connection.
    pub async fn post(
        &self,
        target: &Target,
        headers: &[(HeaderName, HeaderValue)],
        body: SecretBytes,
        ca_pem: Option<&[u8]>,
        time: Duration,
    ) -> Result<OutwardAnswer, OutwardError> {
        let request = written(Method::POST, target, headers, body)?;
        let sent = self.send(target, request, ca_pem, Keep::Nothing);
        let (answer, _) = tokio::time::timeout(time, sent)
            .await
            .map_err(|_| OutwardError::Late)??;
        Ok(answer)
    }

    /// Asks for a document, all within `time`; with a body by POST.
    ///
    /// # Errors
    /// All of [`OutwardError`]. Another status than one of success is none.
    pub async fn ask(
        &self,
        target: &Target,
        headers: &[(HeaderName, HeaderValue)],
        body: Option<SecretBytes>,
        ca_pem: Option<&[u8]>,
        time: Duration,
    ) -> Result<OutwardDocument, OutwardError> {
        let (method, body) = match body {
            Some(body) => (Method::POST, body),
            None => (Method::GET, SecretBytes::new(Vec::new())),
        };
        let request = written(method, target, headers, body)?;
        let sent = self.send(target, request, ca_pem, Keep::Body);
        let (answer, body) = tokio::time::timeout(time, sent)
            .await
            .map_err(|_| OutwardError::Late)??;
        Ok(OutwardDocument {
            status: answer.status,
            body,
        })
    }

    async fn send(
        &self,
        target: &Target,
        request: Request<Full<bytes::Bytes>>,
        ca_pem: Option<&[u8]>,
        keep: Keep,
    ) -> Result<(OutwardAnswer, SecretBytes), OutwardError> {
        let authority: Authority = target
            .authority()
            .parse()
            .map_err(|_| OutwardError::Unwritable)?;
        let tls = target.scheme() == "https";
        let port = authority.port_u16().unwrap_or(if tls { 443 } else { 80 });
        let addresses = self.resolve(authority.host(), port).await?;
        if !tls && !addresses.iter().all(|address| self.allows(address.ip())) {
            return Err(OutwardError::Plain);
        }
        let config = tls.then(|| self.trusting(ca_pem)).transpose()?;
        let stream = connect(&addresses).await?;
        let Some(config) = config else {
            return exchange(stream, request, keep).await;
        };
        let bare = authority
            .host()
            .trim_start_matches('[')
            .trim_end_matches(']');
        let name = ServerName::try_from(bare.to_owned()).map_err(|_| OutwardError::Unwritable)?;
        let stream = TlsConnector::from(config)
            .connect(name, stream)
            .await
            .map_err(|error| not_encrypted(&error))?;
        exchange(stream, request, keep).await
    }

    fn trusting(&self, ca_pem: Option<&[u8]>) -> Result<Arc<ClientConfig>, OutwardError> {
        let made = |pem| {
            tls::config(pem)
                .map(Arc::new)
                .map_err(|_| OutwardError::Authorities)
        };
        if ca_pem.is_some() {
            return made(ca_pem);
        }
        if let Some(config) = self.machine.get() {
            return Ok(Arc::clone(config));
        }
        let config = made(None)?;
        Ok(Arc::clone(self.machine.get_or_init(|| config)))
    }
}

/// The certificates of the authorities to trust, for a connection that is made elsewhere:
/// those in `ca_pem`, or the machine's.
///
/// # Errors
/// [`ClientError::Certificates`] when there are none.
pub fn authorities(ca_pem: Option<&[u8]>) -> Result<Vec<CertificateDer<'static>>, ClientError> {
    tls::authorities(ca_pem)
}

/// What is kept of an answer beside its status.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Keep {
    Nothing,
    Body,
}

fn written(
    method: Method,
    target: &Target,
    headers: &[(HeaderName, HeaderValue)],
    body: SecretBytes,
) -> Result<Request<Full<bytes::Bytes>>, OutwardError> {
    let query = target.query().map(|query| format!("?{query}"));
    let mut request = Request::builder()
        .method(method)
        .uri(format!("{}{}", target.path(), query.unwrap_or_default()))
        .header(header::HOST, target.authority())
        // Some refuse what does not say what it is.
        .header(header::USER_AGENT, USER_AGENT)
        .body(Full::new(transport::body(body)))
        .map_err(|_| OutwardError::Unwritable)?;
    for (name, value) in headers {
        request.headers_mut().append(name, value.clone());
    }
    Ok(request)
}

async fn connect(addresses: &[SocketAddr]) -> Result<TcpStream, OutwardError> {
    for address in addresses {
        let connecting = tokio::time::timeout(CONNECT, TcpStream::connect(address));
        if let Ok(Ok(stream)) = connecting.await {
            // Without it a small request may wait for the answer to the one before.
            let _ = stream.set_nodelay(true);
            return Ok(stream);
        }
    }
    Err(OutwardError::NoConnection)
}

fn not_encrypted(error: &std::io::Error) -> OutwardError {
    match tls::refused(error) {
        Some((cause, _)) => OutwardError::Tls(cause),
        None => OutwardError::Tls("the connection broke off"),
    }
}

async fn exchange<S>(
    stream: S,
    request: Request<Full<bytes::Bytes>>,
    keep: Keep,
) -> Result<(OutwardAnswer, SecretBytes), OutwardError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) = http1::Builder::new()
        .max_buf_size(HEAD)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(|_| OutwardError::Broken)?;
    let exchange = async move {
        let answer = sender.send_request(request).await.map_err(|error| {
            if error.is_parse_too_large() {
                OutwardError::TooLong
            } else {
                OutwardError::Broken
            }
        })?;
        let (head, mut body) = answer.into_parts();
        let mut read = 0usize;
        // Room for all of it at once: nothing is left behind in memory that was grown out of.
        let room = if keep == Keep::Body { BODY } else { 0 };
        let mut kept = SecretBytes::new(Vec::with_capacity(room));
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|_| OutwardError::Broken)?;
            let Some(data) = frame.data_ref() else {
                continue;
            };
            read = read.saturating_add(data.len());
            if read > BODY {
                return Err(OutwardError::TooLong);
            }
            if keep == Keep::Body {
                kept.expose_mut().extend_from_slice(data);
            }
        }
        let retry_after = head.headers.get(header::RETRY_AFTER);
        let answer = OutwardAnswer {
            status: head.status.as_u16(),
            retry_after: retry_after.and_then(|value| value.to_str().ok()?.parse().ok()),
        };
        Ok((answer, kept))
    };
    // The connection moves only while it is polled, and ends with the exchange.
    tokio::pin!(connection);
    tokio::pin!(exchange);
    tokio::select! {
        biased;
        answer = &mut exchange => answer,
        ended = &mut connection => match ended {
            Ok(()) => exchange.await,
            Err(error) if error.is_parse_too_large() => Err(OutwardError::TooLong),
            Err(_) => Err(OutwardError::Broken),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outward(allowed: &[&str]) -> Outward {
        Outward::new(allowed.iter().map(|net| net.parse().unwrap()).collect())
    }

    #[tokio::test]
    async fn what_is_not_public_is_refused_unless_it_is_named() {
        for (host, what) in [
            ("169.254.169.254", "a link-local"),
            ("127.0.0.1", "a loopback"),
            ("[::1]", "a loopback"),
            ("[::ffff:10.0.0.1]", "an IPv4-mapped"),
            ("[64:ff9b::7f00:1]", "a NAT64"),
            ("100.64.1.1", "a shared (carrier's)"),
            ("10.1.2.3", "a private"),
            ("localhost", "a loopback"),
        ] {
            let found = outward(&[]).resolve(host, 80).await;
            assert_eq!(found, Err(OutwardError::Inward(what)), "{host}");
        }
        let found = outward(&["127.0.0.0/8", "::1"])
            .resolve("localhost", 80)
            .await;
        assert!(found.unwrap().iter().all(|found| found.ip().is_loopback()));
        let other = outward(&["10.0.0.0/8"]).resolve("127.0.0.1", 80).await;
        assert_eq!(other, Err(OutwardError::Inward("a loopback")));
    }

    #[tokio::test]
    async fn without_tls_nothing_goes_to_strangers() {
        // An address of the public internet: it is refused before it is connected to.
        let target = Target::parse("http://192.0.9.1/canary-path").unwrap();
        let body = SecretBytes::new(Vec::new());
        let sent = outward(&[])
            .post(&target, &[], body, None, Duration::from_secs(5))
            .await;
        assert_eq!(sent, Err(OutwardError::Plain));
    }

    #[tokio::test]
    async fn a_name_that_leads_elsewhere_when_it_is_asked_again_leads_nowhere() {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let asked = Arc::new(std::sync::Mutex::new(Vec::new()));
        let seen = Arc::clone(&asked);
        let mut outward = outward(&["127.0.0.1"]);
        outward.names = Some(Box::new(move |name| {
            let mut seen = seen.lock().unwrap();
            seen.push(name.to_owned());
            let last = u8::try_from(seen.len()).unwrap();
            // What may be reached is the first answer alone.
            vec![[127, 0, 0, last].into()]
        }));
        let serving = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut head = vec![0; 4096];
            let read = stream.read(&mut head).await.unwrap();
            stream
                .write_all(b"HTTP/1.1 204 No Content\r\n\r\n")
                .await
                .unwrap();
            String::from_utf8(head[..read].to_vec()).unwrap()
        });
        let target = Target::parse(&format!("http://rebind.example:{port}/x")).unwrap();
        let send = async || {
            let body = SecretBytes::new(b"x".to_vec());
            let time = Duration::from_secs(30);
            outward.post(&target, &[], body, None, time).await
        };
        assert_eq!(send().await.unwrap().status, 204);
        let head = serving.await.unwrap().to_ascii_lowercase();
        assert!(
            head.contains(&format!("host: rebind.example:{port}")),
            "{head}"
        );
        assert_eq!(*asked.lock().unwrap(), ["rebind.example"]);
        // The second answer is looked at as the first was.
        assert_eq!(send().await, Err(OutwardError::Inward("a loopback")));
    }

    /// Answers one request as it is told, and gives the request.
    async fn answers(text: String) -> (String, tokio::task::JoinHandle<String>) {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let serving = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut head = vec![0; 4096];
            let read = stream.read(&mut head).await.unwrap();
            // Whoever hears too much hangs up.
            let _ = stream.write_all(text.as_bytes()).await;
            String::from_utf8(head[..read].to_vec()).unwrap()
        });
        (url, serving)
    }

    #[tokio::test]
    async fn a_document_is_read_to_its_end_and_no_further_than_it_may_be_long() {
        let outward = outward(&["127.0.0.1"]);
        let ask = async |url: &str, body: Option<&[u8]>| {
            let target = Target::parse(&format!("{url}/keys?a=b")).unwrap();
            let body = body.map(|body| SecretBytes::new(body.to_vec()));
            let time = Duration::from_secs(30);
            outward.ask(&target, &[], body, None, time).await
        };
        let whole = "HTTP/1.1 200 OK\r\ncontent-length: 11\r\n\r\n{\"keys\":[]}";
        let (url, serving) = answers(whole.to_owned()).await;
        let found = ask(&url, None).await.ok().unwrap();
        assert_eq!(
            (found.status, found.body.expose().as_slice()),
            (200, &b"{\"keys\":[]}"[..])
        );
        let head = serving.await.unwrap();
        assert!(head.starts_with("GET /keys?a=b HTTP/1.1\r\n"), "{head}");
        // A redirect is an answer like another, and nobody goes there.
        let moved = "HTTP/1.1 302 Found\r\nlocation: http://10.0.0.1/\r\ncontent-length: 0\r\n\r\n";
        let (url, serving) = answers(moved.to_owned()).await;
        assert_eq!(ask(&url, Some(b"x=y")).await.ok().unwrap().status, 302);
        assert!(serving.await.unwrap().starts_with("POST "));
        let long = format!("HTTP/1.1 200 OK\r\n\r\n{}", "x".repeat(BODY + 1));
        let (url, _serving) = answers(long).await;
        assert_eq!(ask(&url, None).await.err(), Some(OutwardError::TooLong));
    }

    #[tokio::test]
    async fn one_address_of_several_that_is_not_public_is_enough_for_a_no() {
        let mut outward = outward(&[]);
        outward.names = Some(Box::new(|_| {
            vec![[1, 1, 1, 1].into(), [169, 254, 169, 254].into()]
        }));
        let found = outward.resolve("two.example", 443).await;
        assert_eq!(found, Err(OutwardError::Inward("a link-local")));
    }
}
