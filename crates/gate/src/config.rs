//! How a gate is set up.

use procura_types::Duration;
use procura_types::dial::Mode;
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

/// Everything that does not change while a gate runs; its dial does.
pub struct GateConfig {
    /// Where requests go.
    pub upstream: UpstreamUrl,
    /// How an `https` upstream is checked. Its protocols (ALPN) are set by the gate.
    pub upstream_tls: Option<Arc<rustls::ClientConfig>>,
    /// Whether gRPC that comes over HTTP/2 goes on over HTTP/2. All else goes over
    /// HTTP/1.1, whatever it came over.
    pub upstream_http2: bool,
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

/// Scheme, host and port of the upstream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpstreamUrl {
    pub(crate) tls: bool,
    /// Without the brackets of an IPv6 address.
    pub(crate) host: String,
    pub(crate) port: u16,
}

impl FromStr for UpstreamUrl {
    type Err = GateError;

    fn from_str(text: &str) -> Result<Self, GateError> {
        let uri: http::Uri = text
            .parse()
            .map_err(|_| GateError::Upstream("is not a URL"))?;
        let tls = match uri.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            _ => return Err(GateError::Upstream("is neither http nor https")),
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
            None if tls => 443,
            None => 80,
        };
        let host = authority.host();
        let host = host
            .strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'))
            .unwrap_or(host);
        Ok(Self {
            tls,
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
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            head_time: Duration::from_secs(10),
            head_bytes: 32 * 1024,
            body_time: Duration::from_secs(30),
            body_bytes: 1024 * 1024,
            held_bytes: 256 * 1024 * 1024,
            judge_time: Duration::from_secs(10),
            connect_time: Duration::from_secs(5),
            answer_time: Duration::from_secs(120),
            idle_time: Duration::from_secs(75),
            stall_time: Duration::from_secs(60),
            drain_time: Duration::from_secs(10),
            connections: 8192,
            connections_each: 512,
            streams: 100,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn upstreams_are_scheme_host_and_port() {
        for (text, tls, host, port) in [
            ("http://127.0.0.1:8080", false, "127.0.0.1", 8080),
            ("http://app/", false, "app", 80),
            ("https://app.internal", true, "app.internal", 443),
            ("http://[::1]:9000", false, "::1", 9000),
        ] {
            let expected = UpstreamUrl {
                tls,
                host: host.to_owned(),
                port,
            };
            assert_eq!(text.parse::<UpstreamUrl>().unwrap(), expected, "{text}");
        }
        for (text, problem) in [
            ("", "is not a URL"),
            ("app:80", "is neither http nor https"),
            ("ftp://app", "is neither http nor https"),
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
