//! How a gate is set up.

use procura_types::dial::Mode;
use procura_types::{Cidr, Duration, RateLimit};
use std::str::FromStr;
use std::sync::Arc;

/// A gate that cannot be built.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GateError {
    /// Where to pass requests on to.
    #[error("upstream: {0}; write it like http://127.0.0.1:8080")]
    Upstream(&'static str),
    /// An upstream over TLS, and nothing to check its certificate with.
    #[error("upstream: https needs the certificates to trust")]
    UpstreamTls,
}

/// How an upstream over TLS is checked.
pub type UpstreamTls = Arc<rustls::ClientConfig>;

/// Everything that does not change while a gate runs; its dial does.
pub struct GateConfig {
    /// Where requests go.
    pub upstream: UpstreamUrl,
    /// How an `https` upstream is checked. Its protocols (ALPN) are set by the gate.
    pub upstream_tls: Option<UpstreamTls>,
    /// The mode that `AUTH_MODE` says, over the dial's own.
    pub environment: Option<Mode>,
    /// The names that this gate answers to where it authenticates.
    pub authorities: Authorities,
    /// What bounds it.
    pub limits: Limits,
}

/// Which `Host` a request may have. A proof that was made for another service
/// verifies here just as well, so a gate has to know its own names.
#[derive(Debug, Clone)]
pub enum Authorities {
    /// `host` or `host:port`. Case and the ports 80 and 443 do not matter.
    Listed(Vec<String>),
    /// Any: whoever receives a request for another service can use it here.
    DangerAny,
}

impl Authorities {
    pub(crate) fn serve(&self, authority: &str) -> bool {
        match self {
            Self::DangerAny => true,
            Self::Listed(names) => names
                .iter()
                .any(|name| bare(name).eq_ignore_ascii_case(bare(authority))),
        }
    }
}

/// Without the default ports.
fn bare(authority: &str) -> &str {
    [":80", ":443"]
        .iter()
        .find_map(|port| authority.strip_suffix(port))
        // What ends a bare IPv6 address is no port.
        .filter(|host| !host.contains(':') || host.ends_with(']'))
        .unwrap_or(authority)
}

/// Scheme, host and port of the upstream: `http` for HTTP/1.1, `h2c` for HTTP/2 with
/// prior knowledge (RFC 9113 §3.3), `https` for what the upstream chooses of both.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpstreamUrl {
    pub(crate) speaks: Speaks,
    /// Without the brackets of an IPv6 address.
    pub(crate) host: String,
    pub(crate) port: u16,
}

/// Which HTTP an upstream is spoken to in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Speaks {
    /// HTTP/1.1 without TLS, and HTTP/2 for gRPC.
    Http1,
    /// HTTP/2, without TLS.
    Http2,
    /// What it chooses over TLS.
    Offered,
}

impl UpstreamUrl {
    /// Whether it is reached over TLS.
    #[must_use]
    pub fn is_tls(&self) -> bool {
        self.speaks == Speaks::Offered
    }
}

impl FromStr for UpstreamUrl {
    type Err = GateError;

    fn from_str(text: &str) -> Result<Self, GateError> {
        let uri: http::Uri = text
            .parse()
            .map_err(|_| GateError::Upstream("is not a URL"))?;
        let (speaks, default_port) = match uri.scheme_str() {
            Some("http") => (Speaks::Http1, 80),
            Some("h2c") => (Speaks::Http2, 80),
            Some("https") => (Speaks::Offered, 443),
            _ => return Err(GateError::Upstream("is neither http, https nor h2c")),
        };
        let authority = uri
            .authority()
            .filter(|authority| !authority.host().is_empty() && !authority.as_str().contains('@'))
            .ok_or(GateError::Upstream("names no host"))?;
        if uri.path() != "/" || uri.query().is_some() {
            return Err(GateError::Upstream(
                "has a path or a query, and requests go on with their own",
            ));
        }
        let port = match authority.port() {
            Some(port) => port.as_u16(),
            None if authority.as_str().ends_with(':') => {
                return Err(GateError::Upstream("has no usable port"));
            }
            None => default_port,
        };
        let host = authority.host();
        let host = host
            .strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'))
            .unwrap_or(host);
        Ok(Self {
            speaks,
            host: host.to_owned(),
            port,
        })
    }
}

/// What bounds a gate, in time and in memory.
#[derive(Debug, Clone)]
pub struct Limits {
    /// How long a head, or a TLS handshake, may take.
    pub head_time: Duration,
    /// Bytes of a head; above it 431.
    pub head_bytes: usize,
    /// How long a body that is read whole may take; above it 408.
    pub body_time: Duration,
    /// Bytes of a body that is read whole; above it 413.
    pub body_bytes: usize,
    /// Bytes of all bodies that are held at once; above it 503.
    pub held_bytes: usize,
    /// The same of one address, or of one IPv6 /64. Does not bound this machine's own.
    pub held_bytes_each: usize,
    /// How long the verdict on one request may take; above it 503.
    pub judge_time: Duration,
    /// How long the upstream may take to accept a connection; above it 504.
    pub connect_time: Duration,
    /// How long the upstream may take to begin its answer, from the end of the
    /// request on; above it 504. The answer itself may take for ever.
    pub answer_time: Duration,
    /// How long a connection without a request is kept, on both sides.
    pub idle_time: Duration,
    /// How long a client may take no byte of an answer that waits for it, or give
    /// none of a body that is held against its digest. Over HTTP/2 its connection then
    /// takes no more requests, and is closed after as long again.
    pub stall_time: Duration,
    /// How long what runs may go on after the gate is told to stop.
    pub drain_time: Duration,
    /// Connections at once; others wait to be accepted.
    pub connections: usize,
    /// Connections at once of one address, or of one IPv6 /64; others are closed.
    /// Does not bound this machine's own.
    pub connections_each: usize,
    /// Requests at once on one HTTP/2 connection.
    pub streams: u32,
    /// How often one address may ask, whoever it is, in every mode; above it 429. Unless
    /// it is said, however often; with [`RateLimit::Off`] also nobody waits whose proofs
    /// fail. Bounds this machine's own only if it is said.
    pub address_rate: Option<RateLimit>,
    /// How often each agent may ask that has proven itself, in every mode; above it 429.
    pub agent_rate: RateLimit,
    /// Addresses of proxies in front of the gate that say whom they stand for.
    pub trusted_proxies: Vec<Cidr>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            head_time: Duration::from_secs(10),
            head_bytes: 32 * 1024,
            body_time: Duration::from_secs(30),
            body_bytes: 1024 * 1024,
            held_bytes: 256 * 1024 * 1024,
            held_bytes_each: 64 * 1024 * 1024,
            judge_time: Duration::from_secs(10),
            connect_time: Duration::from_secs(5),
            answer_time: Duration::from_secs(120),
            idle_time: Duration::from_secs(75),
            stall_time: Duration::from_secs(60),
            drain_time: Duration::from_secs(10),
            connections: 8192,
            connections_each: 512,
            streams: 100,
            address_rate: None,
            agent_rate: RateLimit::Off,
            trusted_proxies: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn upstreams_are_scheme_host_and_port() {
        for (text, speaks, host, port) in [
            ("http://127.0.0.1:8080", Speaks::Http1, "127.0.0.1", 8080),
            ("http://app/", Speaks::Http1, "app", 80),
            ("https://app.internal", Speaks::Offered, "app.internal", 443),
            ("h2c://app:50051", Speaks::Http2, "app", 50051),
            ("http://[::1]:9000", Speaks::Http1, "::1", 9000),
        ] {
            let expected = UpstreamUrl {
                speaks,
                host: host.to_owned(),
                port,
            };
            assert_eq!(text.parse::<UpstreamUrl>().unwrap(), expected, "{text}");
        }
        for (text, problem) in [
            ("", "is not a URL"),
            ("app:80", "is neither http, https nor h2c"),
            ("ftp://app", "is neither http, https nor h2c"),
            ("http://user@app", "names no host"),
            (
                "http://app/v1",
                "has a path or a query, and requests go on with their own",
            ),
            (
                "http://app/?a",
                "has a path or a query, and requests go on with their own",
            ),
        ] {
            assert_eq!(
                text.parse::<UpstreamUrl>().unwrap_err(),
                GateError::Upstream(problem),
                "{text}"
            );
        }
    }

    #[test]
    fn a_gate_knows_its_names() {
        let own = Authorities::Listed(vec!["Api.example".into(), "[::1]:7320".into()]);
        for name in [
            "api.example",
            "API.EXAMPLE:443",
            "api.example:80",
            "[::1]:7320",
        ] {
            assert!(own.serve(name), "{name}");
        }
        for name in [
            "",
            "api.example:8080",
            "api.example.evil",
            "xapi.example",
            "[::1]",
        ] {
            assert!(!own.serve(name), "{name}");
        }
        assert!(Authorities::DangerAny.serve("anything"));
    }
}
