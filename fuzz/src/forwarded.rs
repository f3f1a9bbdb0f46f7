//! Where a request comes from, by what proxies and everybody else say.

use crate::Verdict;
use hyper::http::{HeaderMap, HeaderValue};
use procura_edge::source::Proxies;
use procura_types::{Rate, RateLimit};
use std::net::IpAddr;

/// Lines of fields: `p` begins one of `X-Forwarded-For`, all else one of `Forwarded`.
fn fields(input: &[u8]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for line in input.split(|byte| *byte == b'\n') {
        let (name, value) = match line {
            [b'p', value @ ..] => ("x-forwarded-for", value),
            [_, value @ ..] => ("forwarded", value),
            [] => continue,
        };
        if let Ok(value) = HeaderValue::from_bytes(value) {
            headers.append(name, value);
        }
    }
    headers
}

/// What a trusted proxy says is an address or is refused, and whatever clients write:
/// from a stranger it is nothing, and behind what a proxy adds it is nothing.
pub(crate) fn forwarded(input: &[u8]) -> Verdict {
    let proxies = Proxies::new(vec!["10.0.0.0/8".parse().unwrap()]);
    let [stranger, proxy, client] =
        ["192.0.2.1", "10.0.0.1", "203.0.113.9"].map(|text| text.parse::<IpAddr>().unwrap());
    let mut headers = fields(input);
    assert_eq!(proxies.source(stranger, &headers), Ok(stranger));
    let found = proxies.source(proxy, &headers);
    headers.append("x-forwarded-for", HeaderValue::from_static("203.0.113.9"));
    headers.append(
        "forwarded",
        HeaderValue::from_static("proto=https;for=203.0.113.9, for=10.0.0.2"),
    );
    assert_eq!(proxies.source(proxy, &headers), Ok(client));
    Verdict::of(found.is_ok())
}

/// A rate has one spelling, and never lets more through than it says.
pub(crate) fn rate(input: &[u8]) -> Verdict {
    let Ok(text) = std::str::from_utf8(input) else {
        return Verdict::Refused;
    };
    let limit = text.parse::<RateLimit>();
    if let Ok(RateLimit::To(rate)) = limit {
        assert_eq!(rate.to_string().parse::<Rate>(), Ok(rate));
        let (count, per) = text.split_once('/').unwrap();
        let seconds = match per.as_bytes()[0] {
            b's' => 1,
            b'm' => 60,
            _ => 3600,
        };
        let all = rate.interval() * count.parse::<u32>().unwrap();
        assert!(all.as_secs() >= seconds && rate.burst() > 0);
    }
    Verdict::of(limit.is_ok())
}
