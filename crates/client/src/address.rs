//! Where the server is, as a URL typed by a person.

use crate::ClientError;
use http::Uri;
use http::uri::Scheme;
use std::net::IpAddr;

/// A server's address: `https://host[:port]`, or `http://` to this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Address {
    tls: bool,
    /// `host[:port]` as RFC 9421 §2.2.3 wants it signed: lower case, without
    /// the scheme's own port.
    authority: String,
}

impl Address {
    /// Reads an address. Plain HTTP is for loopback only: proofs are not
    /// secret, but sessions' keys and values are.
    pub(crate) fn parse(text: &str) -> Result<Self, ClientError> {
        let uri: Uri = text.parse().map_err(|_| {
            ClientError::Address("is not a URL such as https://procura.example:7310")
        })?;
        let address = Self::of(&uri)?;
        if !matches!(uri.path(), "" | "/") || uri.query().is_some() {
            return Err(ClientError::Address("must end after the host and port"));
        }
        if !address.is_private() {
            return Err(ClientError::Address(
                "plain http:// is accepted for this machine only (127.0.0.1, [::1], localhost); use https://",
            ));
        }
        Ok(address)
    }

    /// The address in any absolute URL.
    pub(crate) fn of(uri: &Uri) -> Result<Self, ClientError> {
        let tls = match uri.scheme() {
            Some(scheme) if *scheme == Scheme::HTTPS => true,
            Some(scheme) if *scheme == Scheme::HTTP => false,
            _ => return Err(ClientError::Address("must begin with https:// or http://")),
        };
        let (Some(authority), Some(host)) = (uri.authority(), uri.host()) else {
            return Err(ClientError::Address("names no host"));
        };
        if authority.as_str().contains('@') {
            return Err(ClientError::Address(
                "must not carry a user name or password",
            ));
        }
        let host = host.to_ascii_lowercase();
        let own_port = if tls { 443 } else { 80 };
        let authority = match authority.port_u16() {
            Some(port) if port != own_port => format!("{host}:{port}"),
            // A port that is none would lead to another server than the one named.
            None if authority.as_str().len() != host.len() => {
                return Err(ClientError::Address("names a port that is none"));
            }
            _ => host,
        };
        Ok(Self { tls, authority })
    }

    /// Whether nobody on the way can read along: over TLS, or on this machine.
    pub(crate) fn is_private(&self) -> bool {
        let port = self
            .authority
            .rfind(':')
            .filter(|_| !self.authority.ends_with(']'));
        let host = port.map_or(self.authority.as_str(), |port| {
            self.authority.split_at(port).0
        });
        self.tls || is_loopback(host)
    }

    pub(crate) const fn tls(&self) -> bool {
        self.tls
    }

    pub(crate) fn authority(&self) -> &str {
        &self.authority
    }

    /// The address as a person would type it.
    pub(crate) fn url(&self) -> String {
        let scheme = if self.tls { "https" } else { "http" };
        format!("{scheme}://{}", self.authority)
    }
}

fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost")
        || bare.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_and_normalised() {
        for (text, url, authority) in [
            (
                "http://127.0.0.1:7310",
                "http://127.0.0.1:7310",
                "127.0.0.1:7310",
            ),
            ("http://LOCALHOST:80/", "http://localhost", "localhost"),
            ("http://[::1]:7310", "http://[::1]:7310", "[::1]:7310"),
            (
                "https://Keys.Example:443",
                "https://keys.example",
                "keys.example",
            ),
            (
                "https://keys.example:7310/",
                "https://keys.example:7310",
                "keys.example:7310",
            ),
        ] {
            let address = Address::parse(text).unwrap();
            assert_eq!(address.url(), url);
            assert_eq!(address.authority(), authority);
        }
    }

    #[test]
    fn other_addresses_are_refused_with_the_reason() {
        for (text, reason) in [
            ("127.0.0.1:7310", "must begin with https:// or http://"),
            ("ftp://localhost", "must begin with https:// or http://"),
            (
                "http://",
                "is not a URL such as https://procura.example:7310",
            ),
            (
                "https://a:b@keys.example",
                "must not carry a user name or password",
            ),
            ("https://keys.example:", "names a port that is none"),
            ("https://keys.example:65536", "names a port that is none"),
            (
                "https://keys.example/v1",
                "must end after the host and port",
            ),
            (
                "https://keys.example/?a",
                "must end after the host and port",
            ),
            (
                "http://10.0.0.1:7310",
                "plain http:// is accepted for this machine only (127.0.0.1, [::1], localhost); use https://",
            ),
            (
                "http://localhost.example",
                "plain http:// is accepted for this machine only (127.0.0.1, [::1], localhost); use https://",
            ),
        ] {
            match Address::parse(text) {
                Err(ClientError::Address(why)) => assert_eq!(why, reason, "{text}"),
                other => panic!("{text}: {other:?}"),
            }
        }
    }
}
