//! Whose request it is that a proxy passes on: `Forwarded` (RFC 7239) and
//! `X-Forwarded-For`, from proxies that are configured and from nobody else.

use http::{HeaderMap, header};
use procura_types::Cidr;
use std::net::{IpAddr, SocketAddr};

/// What a proxy says of its client cannot be used: it names none by address, or its
/// two fields name different ones, so that one of them is the client's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the fields that say whom a proxy forwards for name no address, or two")]
pub struct Unclear;

/// The proxies whose word counts.
#[derive(Debug, Clone, Default)]
pub struct Proxies(Vec<Cidr>);

/// Visits the hops in one line of a field.
type Each = fn(&str, &mut dyn FnMut(&str));

/// What of the hops that were read so far decides.
#[derive(Clone, Copy)]
enum Hops {
    None,
    /// All of them are proxies of ours; the first of them.
    Ours(IpAddr),
    /// The last that is not.
    Client(Result<IpAddr, Unclear>),
}

impl Proxies {
    /// These blocks of addresses.
    #[must_use]
    pub const fn new(proxies: Vec<Cidr>) -> Self {
        Self(proxies)
    }

    fn trusts(&self, address: IpAddr) -> bool {
        self.0.iter().any(|proxy| proxy.contains(address))
    }

    /// The address that a request of `peer` comes from: `peer` itself, unless it is one
    /// of the proxies. Then it is the last hop that is none, as each proxy adds the
    /// address that it saw at the end; what stands before that is the client's word.
    /// When a proxy says nothing the request is its own.
    ///
    /// # Errors
    /// [`Unclear`].
    pub fn source(&self, peer: IpAddr, headers: &HeaderMap) -> Result<IpAddr, Unclear> {
        let peer = peer.to_canonical();
        if self.0.is_empty() || !self.trusts(peer) {
            return Ok(peer);
        }
        let one = self.hops(headers, "x-forwarded-for", each_plain)?;
        let other = self.hops(headers, header::FORWARDED.as_str(), each_forwarded)?;
        match (one, other) {
            (None, None) => Ok(peer),
            (Some(one), Some(other)) if one != other => Err(Unclear),
            (Some(source), _) | (None, Some(source)) => Ok(source),
        }
    }

    /// What one of the fields says.
    fn hops(
        &self,
        headers: &HeaderMap,
        field: &str,
        each: Each,
    ) -> Result<Option<IpAddr>, Unclear> {
        let mut hops = Hops::None;
        for line in headers.get_all(field) {
            let Ok(line) = line.to_str() else {
                hops = Hops::Client(Err(Unclear));
                continue;
            };
            each(line, &mut |hop| {
                hops = match (address(hop), hops) {
                    (None, _) => Hops::Client(Err(Unclear)),
                    (Some(hop), Hops::None) if self.trusts(hop) => Hops::Ours(hop),
                    (Some(hop), before) if self.trusts(hop) => before,
                    (Some(hop), _) => Hops::Client(Ok(hop)),
                };
            });
        }
        match hops {
            Hops::None => Ok(None),
            Hops::Ours(first) => Ok(Some(first)),
            Hops::Client(client) => client.map(Some),
        }
    }
}

/// The members of `X-Forwarded-For`.
fn each_plain(line: &str, visit: &mut dyn FnMut(&str)) {
    for hop in line.split(',') {
        visit(hop.trim_matches([' ', '\t']));
    }
}

/// What the members of `Forwarded` say after `for=`; nothing, for those that do not.
fn each_forwarded(line: &str, visit: &mut dyn FnMut(&str)) {
    for element in unquoted(line, ',') {
        let mut pairs = unquoted(element, ';').filter_map(|pair| pair.split_once('='));
        let whom = pairs.find(|(name, _)| name.trim().eq_ignore_ascii_case("for"));
        let whom = whom.map_or("", |(_, node)| node.trim());
        let bare = whom
            .strip_prefix('"')
            .and_then(|rest| rest.strip_suffix('"'));
        visit(bare.unwrap_or(whom));
    }
}

/// The parts between separators that stand in no quoted string (RFC 9110 §5.6.4).
fn unquoted(text: &str, separator: char) -> impl Iterator<Item = &str> {
    let (mut quoted, mut escaped) = (false, false);
    text.split(move |letter| {
        let was_escaped = std::mem::take(&mut escaped);
        match letter {
            '\\' if quoted && !was_escaped => escaped = true,
            '"' if !was_escaped => quoted = !quoted,
            _ => return !quoted && letter == separator,
        }
        false
    })
}

/// An address, with a port or without; one of IPv6 also in brackets.
fn address(text: &str) -> Option<IpAddr> {
    let bare = text
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    let address = match bare {
        Some(bare) => bare.parse().ok().map(IpAddr::V6),
        None => {
            let plain = text.parse::<IpAddr>().ok();
            plain.or_else(|| text.parse::<SocketAddr>().ok().map(|socket| socket.ip()))
        }
    };
    address.map(|address| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{HeaderName, HeaderValue};
    use proptest::prelude::*;

    const PROXY: &str = "10.0.0.1";

    fn proxies() -> Proxies {
        let blocks = ["10.0.0.0/8", "2001:db8::/64"];
        Proxies::new(blocks.map(|block| block.parse().unwrap()).to_vec())
    }

    fn source(peer: &str, fields: &[(&str, &str)]) -> Result<String, Unclear> {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
            headers.append(name, HeaderValue::from_str(value).unwrap());
        }
        let source = proxies().source(peer.parse().unwrap(), &headers);
        source.map(|source| source.to_string())
    }

    #[test]
    fn the_word_of_strangers_is_nothing() {
        for field in ["X-Forwarded-For", "Forwarded"] {
            for value in ["10.0.0.5", "for=10.0.0.5", "nonsense", ""] {
                let found = source("203.0.113.9", &[(field, value)]);
                assert_eq!(found.unwrap(), "203.0.113.9", "{field}: {value}");
            }
        }
        let nobody = Proxies::default();
        let mut headers = HeaderMap::new();
        headers.insert("x-forwarded-for", HeaderValue::from_static("10.0.0.5"));
        let peer: IpAddr = "127.0.0.1".parse().unwrap();
        assert_eq!(nobody.source(peer, &headers), Ok(peer));
    }

    #[test]
    fn the_last_hop_that_is_no_proxy_counts() {
        for (value, expected) in [
            ("203.0.113.9", "203.0.113.9"),
            // What the client itself wrote stands before what the proxy adds.
            ("10.9.9.9, 198.51.100.7, 203.0.113.9", "203.0.113.9"),
            ("nonsense, 203.0.113.9", "203.0.113.9"),
            ("203.0.113.9, 10.0.0.7", "203.0.113.9"),
            ("203.0.113.9 ,\t10.0.0.7,10.0.0.8", "203.0.113.9"),
            ("203.0.113.9:4711", "203.0.113.9"),
            ("2001:db9::7", "2001:db9::7"),
            ("[2001:db9::7]", "2001:db9::7"),
            ("[2001:db9::7]:443", "2001:db9::7"),
            ("::ffff:203.0.113.9", "203.0.113.9"),
            // All are ours: the first of them asks.
            ("10.0.0.5, 10.0.0.7", "10.0.0.5"),
            ("2001:db8::5", "2001:db8::5"),
        ] {
            let found = source(PROXY, &[("X-Forwarded-For", value)]);
            assert_eq!(found.as_deref(), Ok(expected), "{value}");
        }
        // Several lines are one list (RFC 9110 §5.3).
        let lines = [
            ("X-Forwarded-For", "10.0.0.5"),
            ("x-forwarded-for", "203.0.113.9"),
        ];
        assert_eq!(source(PROXY, &lines).unwrap(), "203.0.113.9");
        assert_eq!(source("::ffff:10.0.0.1", &lines).unwrap(), "203.0.113.9");
        assert_eq!(source(PROXY, &[]).unwrap(), PROXY);
    }

    #[test]
    fn forwarded_says_it_in_pairs() {
        for (value, expected) in [
            ("for=203.0.113.9", "203.0.113.9"),
            ("For=\"203.0.113.9:80\";proto=http", "203.0.113.9"),
            (
                "proto=https;host=\"a,b;for=10.0.0.5\";for=203.0.113.9",
                "203.0.113.9",
            ),
            ("for=\"[2001:db9::7]:4711\"", "2001:db9::7"),
            (
                "for=198.51.100.7, for=203.0.113.9;by=10.0.0.1, for=10.0.0.7",
                "203.0.113.9",
            ),
            ("host=\"\\\",\";for=203.0.113.9", "203.0.113.9"),
        ] {
            let found = source(PROXY, &[("Forwarded", value)]);
            assert_eq!(found.as_deref(), Ok(expected), "{value}");
        }
    }

    #[test]
    fn a_client_without_an_address_is_refused() {
        for value in [
            "",
            "unknown",
            "203.0.113.9, unknown",
            "203.0.113",
            "203.0.113.9, 10.0.0.7,",
            "203.0.113.9/32",
            "[203.0.113.9]",
        ] {
            assert_eq!(
                source(PROXY, &[("X-Forwarded-For", value)]),
                Err(Unclear),
                "{value}"
            );
        }
        for value in [
            "",
            "for=unknown",
            "for=_hidden",
            "for=",
            "proto=https",
            "for=203.0.113.9, by=10.0.0.1",
            "for=\"203.0.113.9",
        ] {
            assert_eq!(
                source(PROXY, &[("Forwarded", value)]),
                Err(Unclear),
                "{value}"
            );
        }
    }

    /// A proxy that writes one of the fields may pass the other on as the client wrote
    /// it.
    #[test]
    fn two_fields_must_agree() {
        let both = |plain, forwarded| {
            source(
                PROXY,
                &[("X-Forwarded-For", plain), ("Forwarded", forwarded)],
            )
        };
        assert_eq!(
            both("203.0.113.9", "for=203.0.113.9").unwrap(),
            "203.0.113.9"
        );
        assert_eq!(both("203.0.113.9", "for=10.0.0.5"), Err(Unclear));
        assert_eq!(both("10.0.0.5", "for=203.0.113.9"), Err(Unclear));
        assert_eq!(both("203.0.113.9", "for=unknown"), Err(Unclear));
    }

    proptest! {
        /// Whatever a client writes, what the proxy added decides.
        #[test]
        fn what_stands_before_the_proxys_word_decides_nothing(text in "[ -~]{0,40}") {
            let plain = format!("{text}, 203.0.113.9, 10.0.0.7");
            let found = source(PROXY, &[("X-Forwarded-For", &plain)]);
            prop_assert_eq!(found.unwrap(), "203.0.113.9");
            let lines = [("Forwarded", text.as_str()), ("Forwarded", "for=203.0.113.9")];
            prop_assert_eq!(source(PROXY, &lines).unwrap(), "203.0.113.9");
        }
    }
}
