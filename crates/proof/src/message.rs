//! The request as the verifier sees it.

use crate::reason::Case;
use std::borrow::Cow;

/// The header fields of a message, in their order.
pub trait Headers {
    /// Shows each field line: its name in lower case and its value as received.
    fn for_each<'h>(&'h self, visit: &mut dyn FnMut(&'h str, &'h [u8]));
}

impl<N: AsRef<str>, V: AsRef<[u8]>> Headers for Vec<(N, V)> {
    fn for_each<'h>(&'h self, visit: &mut dyn FnMut(&'h str, &'h [u8])) {
        for (name, value) in self {
            visit(name.as_ref(), value.as_ref());
        }
    }
}

impl<N: AsRef<str>, V: AsRef<[u8]>, const L: usize> Headers for [(N, V); L] {
    fn for_each<'h>(&'h self, visit: &mut dyn FnMut(&'h str, &'h [u8])) {
        for (name, value) in self {
            visit(name.as_ref(), value.as_ref());
        }
    }
}

/// A request to be verified or signed.
#[derive(Clone, Copy)]
pub struct RequestView<'a> {
    /// As sent, in its own case.
    pub method: &'a str,
    /// The `Host` field or the authority of the target, as received. That it is
    /// one of the server's own names has to be checked by the edge: a signature
    /// for another server verifies here if its authority is let in.
    pub authority: &'a str,
    /// `http` or `https` where the edge knows it; without it `@scheme` and
    /// `@target-uri` cannot be covered.
    pub scheme: Option<&'a str>,
    /// The path of the target as sent, encoded.
    pub path: &'a str,
    /// The query as sent without its `?`; `None` when there is no `?`.
    pub query: Option<&'a str>,
    /// All header fields.
    pub headers: &'a dyn Headers,
    /// The whole body, empty when there is none.
    pub body: &'a [u8],
}

/// The field lines of a message, found by name.
pub(crate) struct Fields<'a>(Vec<(&'a str, &'a [u8])>);

impl<'a> Fields<'a> {
    pub(crate) fn of(headers: &'a dyn Headers) -> Self {
        let mut lines = Vec::with_capacity(16);
        headers.for_each(&mut |name, value| lines.push((name, value)));
        Self(lines)
    }

    pub(crate) fn lines<'s>(&'s self, name: &'s str) -> impl Iterator<Item = &'a [u8]> + 's {
        self.0
            .iter()
            .filter(move |(known, _)| *known == name)
            .map(|(_, value)| *value)
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.lines(name).next().is_some()
    }

    /// Puts one line in place of all of this name.
    pub(crate) fn set(&mut self, name: &'a str, value: &'a [u8]) {
        self.0.retain(|(known, _)| *known != name);
        self.0.push((name, value));
    }

    pub(crate) fn any(&self, test: impl Fn(&str) -> bool) -> bool {
        self.0.iter().any(|(name, _)| test(name))
    }

    /// The lines of a structured field as one (RFC 9110 §5.2); `None` when
    /// there is none.
    pub(crate) fn joined(&self, name: &str) -> Option<Cow<'a, [u8]>> {
        let mut lines = self.lines(name);
        let first = lines.next()?;
        let mut all = Cow::Borrowed(first);
        for line in lines {
            let all = all.to_mut();
            all.extend_from_slice(b", ");
            all.extend_from_slice(line);
        }
        Some(all)
    }
}

/// What components are derived from (RFC 9421 §2).
pub(crate) struct Message<'a> {
    /// `None` in an answer.
    pub(crate) target: Option<Target<'a>>,
    /// `None` in a request.
    pub(crate) status: Option<u16>,
    pub(crate) fields: Fields<'a>,
}

/// The target of a request.
pub(crate) struct Target<'a> {
    pub(crate) method: &'a str,
    pub(crate) scheme: Option<&'a str>,
    /// Normalised.
    pub(crate) authority: Cow<'a, str>,
    /// `/` when it was empty.
    pub(crate) path: &'a str,
    pub(crate) query: Option<&'a str>,
}

impl<'a> Message<'a> {
    pub(crate) fn request(view: &RequestView<'a>) -> Result<Self, Case> {
        let path = if view.path.is_empty() { "/" } else { view.path };
        let sound = !view.method.is_empty()
            && view.method.bytes().all(is_token)
            && path.starts_with('/')
            && path.bytes().all(|byte| byte.is_ascii_graphic())
            && view
                .query
                .unwrap_or("")
                .bytes()
                .all(|byte| byte.is_ascii_graphic());
        if !sound {
            return Err(Case::TargetForm);
        }
        Ok(Self {
            target: Some(Target {
                method: view.method,
                scheme: view.scheme,
                authority: normal_authority(view.authority, view.scheme)?,
                path,
                query: view.query,
            }),
            status: None,
            fields: Fields::of(view.headers),
        })
    }
}

/// A character of a token (RFC 9110 §5.6.2).
pub(crate) fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// Lower case, and without the default port (RFC 9421 §2.2.3, RFC 9110 §4.2.3).
/// Where the scheme is not known both default ports are dropped, on both sides.
fn normal_authority<'a>(raw: &'a str, scheme: Option<&str>) -> Result<Cow<'a, str>, Case> {
    let sound = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~:[]%!$&'()*+,;=".contains(&byte);
    if raw.is_empty() || !raw.bytes().all(sound) {
        return Err(Case::TargetForm);
    }
    let default: &[&str] = match scheme {
        Some(scheme) if scheme.eq_ignore_ascii_case("http") => &[":80"],
        Some(scheme) if scheme.eq_ignore_ascii_case("https") => &[":443"],
        _ => &[":80", ":443"],
    };
    let host = default
        .iter()
        .find_map(|port| raw.strip_suffix(port))
        // What ends a bare IPv6 address is no port.
        .filter(|host| !host.contains(':') || host.ends_with(']'))
        .unwrap_or(raw);
    let host = host.strip_suffix(':').unwrap_or(host);
    if host.is_empty() {
        return Err(Case::TargetForm);
    }
    Ok(if host.bytes().any(|byte| byte.is_ascii_uppercase()) {
        Cow::Owned(host.to_ascii_lowercase())
    } else {
        Cow::Borrowed(host)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn authorities_are_normalised() {
        for (raw, scheme, normal) in [
            ("Example.COM", None, "example.com"),
            ("example.com:443", Some("https"), "example.com"),
            ("example.com:80", Some("https"), "example.com:80"),
            ("example.com:80", Some("HTTP"), "example.com"),
            ("example.com:8080", Some("http"), "example.com:8080"),
            ("[::1]:7310", Some("http"), "[::1]:7310"),
            ("[::1]:80", Some("http"), "[::1]"),
            ("127.0.0.1:7310", None, "127.0.0.1:7310"),
        ] {
            assert_eq!(normal_authority(raw, scheme).unwrap(), normal, "{raw}");
        }
        for raw in ["", ":80", "a b", "a/b", "user@host", "é"] {
            assert_eq!(
                normal_authority(raw, None).unwrap_err(),
                Case::TargetForm,
                "{raw}"
            );
        }
    }
}
