//! Requests to any HTTP service: sent as the caller signed them, and answered as
//! the service answers.

use crate::ClientError;
use crate::address::Address;
use crate::transport::{self, Transport};
use http::{HeaderName, HeaderValue, Method, Request, Uri, header};
use http_body_util::Full;
use procura_types::{Duration, SecretBytes};

/// A resource, as somebody typed its URL. What is signed of it is what is sent.
#[derive(Debug, Clone)]
pub struct Target {
    address: Address,
    path: String,
    query: Option<String>,
}

/// What a service answered.
pub struct ServiceAnswer {
    /// The status.
    pub status: u16,
    /// What the status is called, where it has a name.
    pub phrase: &'static str,
    /// The header fields in their order of arrival by name, names in lower case.
    pub headers: Vec<(String, Vec<u8>)>,
    /// The body, at most 32 MiB.
    pub body: SecretBytes,
}

impl Target {
    /// Reads an absolute URL, `https://` or `http://`. Path and query stay as they
    /// are, encoded or not; nothing is normalised but the host's case and a port
    /// that is the scheme's own.
    ///
    /// # Errors
    /// [`ClientError::Address`] with what is wrong: another scheme, no host, a user
    /// name, a fragment (which is never sent, so it could not be signed), or
    /// characters that no URL has.
    pub fn parse(url: &str) -> Result<Self, ClientError> {
        if url.contains('#') {
            return Err(ClientError::Address(
                "must not have a fragment, which is never sent",
            ));
        }
        if !url.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(ClientError::Address(
                "has characters that a URL does not have; encode them, such as a space as %20",
            ));
        }
        let uri: Uri = url.parse().map_err(|_| {
            ClientError::Address("is not a URL such as https://service.example/path?query")
        })?;
        Ok(Self {
            address: Address::of(&uri)?,
            path: uri.path().to_owned(),
            query: uri.query().map(str::to_owned),
        })
    }

    /// Whether nobody on the way can read along: over TLS, or on this machine.
    #[must_use]
    pub fn is_private(&self) -> bool {
        self.address.is_private()
    }

    /// `http` or `https`.
    #[must_use]
    pub const fn scheme(&self) -> &'static str {
        if self.address.tls() { "https" } else { "http" }
    }

    /// The `Host` field that goes out: `host[:port]`, lower case, without the
    /// scheme's own port.
    #[must_use]
    pub fn authority(&self) -> &str {
        self.address.authority()
    }

    /// The path as typed; `/` when there was none.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The query as typed, without its `?`; `None` when there is no `?`.
    #[must_use]
    pub fn query(&self) -> Option<&str> {
        self.query.as_deref()
    }

    /// Sends one request, with `Host` as [`Self::authority`] says, and reads the
    /// whole answer. Redirects are answers: a proof is for one target. `ca_pem` are
    /// the authorities to trust for `https://`; without them, the machine's own.
    ///
    /// # Errors
    /// [`ClientError::Address`] when method or headers cannot be sent,
    /// [`ClientError::Certificates`], [`ClientError::Unreachable`], and
    /// [`ClientError::NotUnderstood`] for an answer above 32 MiB.
    pub async fn send(
        &self,
        method: &str,
        headers: &[(String, String)],
        body: SecretBytes,
        ca_pem: Option<&[u8]>,
        timeout: Duration,
    ) -> Result<ServiceAnswer, ClientError> {
        let transport = Transport::tcp(&self.address, ca_pem, timeout)?;
        let query = self.query.as_ref();
        let query = query.map_or_else(String::new, |query| format!("?{query}"));
        // Whoever signed it has looked at all of it already.
        let unsendable = || ClientError::Address("the request cannot be written");
        let method: Method = method.parse().map_err(|_| unsendable())?;
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}{}{query}", self.address.url(), self.path))
            .header(header::HOST, self.authority())
            .body(if body.expose().is_empty() {
                Full::default()
            } else {
                Full::new(transport::body(body))
            })
            .map_err(|_| unsendable())?;
        for (name, value) in headers {
            let name: HeaderName = name.parse().map_err(|_| unsendable())?;
            let value = HeaderValue::from_str(value).map_err(|_| unsendable())?;
            request.headers_mut().append(name, value);
        }
        let answer = transport.send(request).await?;
        let headers = answer.headers.iter();
        Ok(ServiceAnswer {
            status: answer.status.as_u16(),
            phrase: answer.status.canonical_reason().unwrap_or_default(),
            headers: headers
                .map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_vec()))
                .collect(),
            body: answer.body,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_kept_as_typed() {
        for (text, scheme, authority, path, query) in [
            ("https://a.example", "https", "a.example", "/", None),
            ("https://A.example:443/X", "https", "a.example", "/X", None),
            (
                "http://10.0.0.7:80/a//b/%2e%2F?",
                "http",
                "10.0.0.7",
                "/a//b/%2e%2F",
                Some(""),
            ),
            (
                "http://[::1]:8080/?q=%20&q",
                "http",
                "[::1]:8080",
                "/",
                Some("q=%20&q"),
            ),
            ("https://a.example?x", "https", "a.example", "/", Some("x")),
        ] {
            let target = Target::parse(text).unwrap();
            assert_eq!(
                (target.scheme(), target.authority()),
                (scheme, authority),
                "{text}"
            );
            assert_eq!((target.path(), target.query()), (path, query), "{text}");
        }
    }

    #[test]
    fn who_can_read_along_is_known() {
        for (text, private) in [
            ("https://a.example/", true),
            ("http://127.0.0.1:80/", true),
            ("http://[::1]:8080/", true),
            ("http://[::1]/", true),
            ("http://LocalHost/", true),
            ("http://10.0.0.1/", false),
            ("http://[2001:db8::1]/", false),
            ("http://localhost.example:8080/", false),
        ] {
            assert_eq!(Target::parse(text).unwrap().is_private(), private, "{text}");
        }
    }

    #[test]
    fn what_cannot_be_signed_and_sent_alike_is_refused() {
        let character =
            "has characters that a URL does not have; encode them, such as a space as %20";
        let form = "is not a URL such as https://service.example/path?query";
        for (text, reason) in [
            (
                "https://a.example/x#y",
                "must not have a fragment, which is never sent",
            ),
            (
                "https://a.example/#",
                "must not have a fragment, which is never sent",
            ),
            ("https://a.example/a b", character),
            ("https://a.example/a\r\nX: y", character),
            ("https://ä.example/", character),
            ("https://a.example/ü", character),
            ("", form),
            ("https://", form),
            ("a.example/x", form),
            ("/x", "must begin with https:// or http://"),
            ("ws://a.example/", "must begin with https:// or http://"),
            (
                "https://u:p@a.example/",
                "must not carry a user name or password",
            ),
            ("https://a.example:0x50/", "names a port that is none"),
            ("https://a.example:70000/", "names a port that is none"),
        ] {
            match Target::parse(text) {
                Err(ClientError::Address(why)) => assert_eq!(why, reason, "{text}"),
                other => panic!("{text}: {other:?}"),
            }
        }
    }
}
