//! WebSocket (RFC 6455): the one protocol that a connection may change to.

use crate::fields::names;
use crate::standing::Standing;
use http::header::{self, HeaderName};
use http::{HeaderMap, Method, Request, Version};
use hyper::body::{Body as _, Incoming};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;

/// Whether a request is a handshake of full form (RFC 6455 §4.1). What merely has
/// an `Upgrade` field is a request like any other, and goes on without it.
pub(crate) fn is_handshake(request: &Request<Incoming>) -> bool {
    request.version() == Version::HTTP_11
        && *request.method() == Method::GET
        && request.body().is_end_stream()
        && has_handshake_fields(request.headers())
}

fn has_handshake_fields(headers: &HeaderMap) -> bool {
    let only = |name: &HeaderName| {
        let mut values = headers.get_all(name).iter();
        values.next().filter(|_| values.next().is_none())
    };
    // Sixteen bytes in base64.
    let key = |value: &[u8]| {
        value.len() == 24
            && value.strip_suffix(b"==").is_some_and(|digits| {
                digits
                    .iter()
                    .all(|byte| byte.is_ascii_alphanumeric() || b"+/".contains(byte))
            })
    };
    names(headers, &header::CONNECTION, "upgrade")
        && only(&header::UPGRADE)
            .is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"websocket"))
        && only(&header::SEC_WEBSOCKET_VERSION).is_some_and(|value| value == "13")
        && only(&header::SEC_WEBSOCKET_KEY).is_some_and(|value| key(value.as_bytes()))
}

/// Both ends of a connection that has left HTTP.
pub(crate) struct Tunnel {
    pub(crate) client: OnUpgrade,
    pub(crate) upstream: OnUpgrade,
    /// Of whoever made the handshake.
    pub(crate) standing: Standing,
}

impl Tunnel {
    /// Carries bytes both ways until both sides have ended or one has broken, or until
    /// whoever made the handshake would not be let in any more.
    pub(crate) async fn run(self) {
        let ending = self.standing.ending();
        let carry = Self::carry(self.client, self.upstream);
        match ending {
            None => carry.await,
            Some(ending) => tokio::select! {
                () = carry => {}
                () = ending => tracing::debug!("a tunnel ends with the standing of its client"),
            },
        }
    }

    async fn carry(client: OnUpgrade, upstream: OnUpgrade) {
        let (client, upstream) = match (client.await, upstream.await) {
            (Ok(client), Ok(upstream)) => (client, upstream),
            (Err(error), _) | (_, Err(error)) => {
                tracing::debug!(%error, "a tunnel did not come about");
                return;
            }
        };
        let (mut client, mut upstream) = (TokioIo::new(client), TokioIo::new(upstream));
        if let Err(error) = tokio::io::copy_bidirectional(&mut client, &mut upstream).await {
            tracing::debug!(%error, "a tunnel broke");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FULL: [(&str, &str); 4] = [
        ("connection", "keep-alive, Upgrade"),
        ("upgrade", "WebSocket"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ];

    fn with(fields: &[(&'static str, &'static str)]) -> bool {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, value.parse().unwrap());
        }
        has_handshake_fields(&headers)
    }

    #[test]
    fn a_handshake_has_all_its_fields() {
        assert!(with(&FULL));
        for missing in 0..FULL.len() {
            let mut fields = FULL.to_vec();
            fields.remove(missing);
            assert!(!with(&fields), "{missing}");
        }
        for (name, value) in [
            ("connection", "close"),
            ("upgrade", "websocket, h2c"),
            ("upgrade", "h2c"),
            ("sec-websocket-version", "8"),
            ("sec-websocket-key", "short=="),
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZ!=="),
        ] {
            let fields = FULL.map(|field| {
                if field.0 == name {
                    (name, value)
                } else {
                    field
                }
            });
            assert!(!with(&fields), "{name}: {value}");
        }
        let twice: Vec<_> = FULL.into_iter().chain([("upgrade", "websocket")]).collect();
        assert!(!with(&twice));
    }
}
