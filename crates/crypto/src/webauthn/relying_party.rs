//! The site that passkeys are for.

use procura_types::Malformed;

/// Which site passkeys answer for: the id that they are bound to for good, and the
/// origin of the pages that may ask them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RelyingParty {
    id: String,
    /// None: any origin that belongs to the id.
    origin: Option<String>,
}

impl RelyingParty {
    /// The site of this origin, such as `https://procura.example`: `https`, or `http` for
    /// `localhost` alone, a host name in lower case that is no address, a port other than
    /// the usual one, and nothing behind it. Its host is the id.
    ///
    /// # Errors
    /// [`Malformed`] for anything else.
    pub fn of_origin(origin: &str) -> Result<Self, Malformed> {
        let host = host(origin).ok_or(Malformed::new(
            "origin",
            "must be like https://procura.example, with a host name in lower case, or http://localhost:PORT",
        ))?;
        Ok(Self {
            id: host.to_owned(),
            origin: Some(origin.to_owned()),
        })
    }

    /// The site with this id, as the record says it, whatever its origin was: for whoever
    /// checks later what was signed then.
    #[must_use]
    pub fn of_id(id: &str) -> Self {
        Self {
            id: id.to_owned(),
            origin: None,
        }
    }

    /// What passkeys are bound to: a host name.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Whether pages of this origin may ask the passkeys.
    pub(super) fn takes(&self, origin: &str) -> bool {
        match &self.origin {
            Some(own) => own == origin,
            None => host(origin).is_some_and(|host| {
                let below = host.strip_suffix(self.id.as_str());
                below.is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
            }),
        }
    }
}

/// The host of an origin in its one spelling (RFC 6454 §6.2).
fn host(origin: &str) -> Option<&str> {
    let (scheme, rest) = origin.split_once("://")?;
    let (host, port) = match rest.split_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (rest, None),
    };
    let usual = match scheme {
        "https" => "443",
        "http" if host == "localhost" => "80",
        _ => return None,
    };
    let port_is_fine = port.is_none_or(|port| {
        port != usual
            && !port.starts_with('0')
            && port.parse::<u16>().is_ok()
            && !port.starts_with('+')
    });
    (port_is_fine && is_host_name(host)).then_some(host)
}

/// Labels of letters, digits and hyphens with dots between; the last has a letter, so
/// that it is no address.
fn is_host_name(host: &str) -> bool {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label
                .bytes()
                .all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'))
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let last = host.rsplit('.').next().unwrap_or_default();
    host.len() <= 253
        && host.split('.').all(is_label)
        && last.bytes().any(|byte| byte.is_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_has_one_spelling() {
        for (origin, id) in [
            ("https://procura.example", "procura.example"),
            ("https://procura.example:8443", "procura.example"),
            ("https://a-1.b2.example", "a-1.b2.example"),
            ("http://localhost", "localhost"),
            ("http://localhost:7310", "localhost"),
            ("https://localhost:7310", "localhost"),
        ] {
            let party = RelyingParty::of_origin(origin).unwrap();
            assert_eq!(party.id(), id, "{origin}");
            assert!(party.takes(origin), "{origin}");
        }
        for bad in [
            "",
            "procura.example",
            "http://procura.example",
            "https://",
            "https://Procura.example",
            "https://procura.example/",
            "https://procura.example:443",
            "http://localhost:80",
            "https://procura.example:",
            "https://procura.example:0",
            "https://procura.example:+1",
            "https://procura.example:08443",
            "https://procura.example:65536",
            "https://127.0.0.1",
            "http://127.0.0.1:7310",
            "https://[::1]",
            "https://-a.example",
            "https://a-.example",
            "https://a..example",
            "https://.example",
            "https://example.",
            "https://user@procura.example",
            "https://procura.example?x",
            "ftp://procura.example",
            "null",
        ] {
            assert!(RelyingParty::of_origin(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn pages_of_other_origins_may_not_ask() {
        let party = RelyingParty::of_origin("https://procura.example").unwrap();
        let later = RelyingParty::of_id("procura.example");
        for (origin, as_recorded) in [
            ("https://procura.example:8443", true),
            ("https://www.procura.example", true),
            ("http://procura.example", false),
            ("https://evilprocura.example", false),
            ("https://procura.example.evil", false),
            ("https://example", false),
            ("http://localhost", false),
        ] {
            assert!(!party.takes(origin), "{origin}");
            assert_eq!(later.takes(origin), as_recorded, "{origin}");
        }
        assert!(later.takes("https://procura.example"));
    }
}
