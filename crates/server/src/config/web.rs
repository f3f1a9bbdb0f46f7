//! The pages for people in a browser, as the section `[web]` says.

use procura_types::Malformed;
use serde::Deserialize;

/// Whether there are pages, and where browsers find them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Web {
    /// Whether they are served.
    pub enabled: bool,
    /// Where browsers find them, if it is not where the API is found.
    pub origin: Option<WebOrigin>,
}

/// An origin as browsers write it: a scheme, a name in lower case, and a port unless it
/// is the scheme's own (RFC 6454 §6.2). https, or a loopback address of this machine.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct WebOrigin(String);

impl WebOrigin {
    /// As a browser writes it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The origin that a URL begins with, if a page may be found there.
    pub(crate) fn of(url: &str) -> Option<Self> {
        Self::try_from(url.trim_end_matches('/').to_owned()).ok()
    }
}

impl TryFrom<String> for WebOrigin {
    type Error = Malformed;

    fn try_from(text: String) -> Result<Self, Malformed> {
        let wrong = Malformed::new(
            "origin",
            "must be https://NAME[:PORT], or http:// with a loopback address, in lower case and without a path",
        );
        let (scheme, authority) = text.split_once("://").ok_or(wrong.clone())?;
        let (name, port) = match authority.rsplit_once(':') {
            Some((name, port)) if !name.ends_with(':') && !port.ends_with(']') => {
                (name, Some(port))
            }
            _ => (authority, None),
        };
        let is_name = match name.strip_prefix('[') {
            Some(rest) => rest
                .strip_suffix(']')
                .is_some_and(|rest| rest.parse::<std::net::Ipv6Addr>().is_ok()),
            None => {
                !name.is_empty()
                    && name.bytes().all(|byte| {
                        byte.is_ascii_lowercase() || byte.is_ascii_digit() || b".-".contains(&byte)
                    })
            }
        };
        let own_port = if scheme == "https" { "443" } else { "80" };
        let is_port = port.is_none_or(|port| {
            port != own_port && !port.starts_with(['0', '+']) && port.parse::<u16>().is_ok()
        });
        let is_local = matches!(name, "localhost" | "127.0.0.1" | "[::1]");
        let is_scheme = scheme == "https" || (scheme == "http" && is_local);
        if is_scheme && is_name && is_port {
            Ok(Self(text))
        } else {
            Err(wrong)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::WebOrigin;

    #[test]
    fn an_origin_is_what_a_browser_writes() {
        for good in [
            "https://procura.example",
            "https://procura.example:8443",
            "https://10.0.0.7:7310",
            "https://[2001:db8::1]",
            "http://localhost:7310",
            "http://127.0.0.1:7310",
            "http://[::1]:7310",
            "http://localhost",
        ] {
            let origin = WebOrigin::try_from(good.to_owned());
            assert_eq!(origin.unwrap().as_str(), good);
        }
        for bad in [
            "",
            "procura.example",
            "http://procura.example",
            "http://localhost.example:7310",
            "https://Procura.example",
            "https://procura.example/",
            "https://procura.example/pages",
            "https://procura.example:443",
            "http://localhost:80",
            "https://procura.example:0443",
            "https://procura.example:",
            "https://procura.example:70000",
            "https://user@procura.example",
            "https://procura.example?x",
            "https://[::1",
            "https://",
            "ftp://procura.example",
            "javascript://procura.example",
        ] {
            assert!(WebOrigin::try_from(bad.to_owned()).is_err(), "{bad}");
        }
    }
}
