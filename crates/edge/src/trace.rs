//! The trace that a request is part of: W3C Trace Context (level 1) in and out, and
//! spans for whoever collects them (`docs/adr/0021-traces.md`).

mod exporter;
mod otlp;
mod span;
mod tracer;

pub use exporter::{Endpoint, EndpointError};
pub use span::{Kind, Span, Value};
pub use tracer::{Ratio, Tracer, Tracing};

use http::header::HeaderName;
use http::{HeaderMap, HeaderValue};
use procura_types::encoding::{from_hex_fixed, hex};
use std::fmt;

/// `traceparent` (W3C Trace Context §3.2).
pub const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
/// `tracestate` (W3C Trace Context §3.3).
pub const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// `00-<32 digits>-<16 digits>-<2 digits>`.
const LENGTH: usize = 55;

/// Which trace, and which span of it (W3C Trace Context §3.2.2). Neither id is zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceContext {
    trace: [u8; 16],
    span: [u8; 8],
    sampled: bool,
}

impl TraceContext {
    /// A place in a trace. `None` if one of the ids is zero, which stands for none.
    #[must_use]
    pub fn new(trace: [u8; 16], span: [u8; 8], sampled: bool) -> Option<Self> {
        (trace != [0; 16] && span != [0; 8]).then_some(Self {
            trace,
            span,
            sampled,
        })
    }

    /// Whose request this is, if it says so in one valid `traceparent`. With none, with
    /// several, or with one that is not valid, a new trace begins.
    #[must_use]
    pub fn of(headers: &HeaderMap) -> Option<Self> {
        let mut fields = headers.get_all(TRACEPARENT).iter();
        match (fields.next(), fields.next()) {
            (Some(only), None) => Self::parse(only.as_bytes()),
            _ => None,
        }
    }

    /// Reads the value of a `traceparent`. A later version than ours may have more
    /// behind what we know (W3C Trace Context §3.2.3).
    #[must_use]
    pub fn parse(text: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(text).ok()?;
        let (known, more) = text.split_at_checked(LENGTH)?;
        // Digits of the other case are not valid here, unlike elsewhere.
        if known.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return None;
        }
        let mut parts = known.split('-');
        let (version, trace, span, flags) =
            (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let [version] = from_hex_fixed(version)?;
        let fits = match version {
            0 => more.is_empty(),
            0xff => false,
            _ => more.is_empty() || more.starts_with('-'),
        };
        let [flags] = from_hex_fixed(flags)?;
        let context = Self::new(
            from_hex_fixed(trace)?,
            from_hex_fixed(span)?,
            flags & 1 == 1,
        );
        context.filter(|_| fits && parts.next().is_none())
    }

    /// As the value of `traceparent`, of version 00. Flags that we do not know are not
    /// passed on (W3C Trace Context §3.2.2.5).
    #[must_use]
    pub fn to_field(self) -> HeaderValue {
        // Digits and hyphens are a value.
        HeaderValue::try_from(self.to_string()).unwrap_or(HeaderValue::from_static(""))
    }

    /// The trace, as 32 digits.
    #[must_use]
    pub fn trace_id(&self) -> String {
        hex(&self.trace)
    }

    /// The trace.
    #[must_use]
    pub const fn trace(&self) -> &[u8; 16] {
        &self.trace
    }

    /// The span.
    #[must_use]
    pub const fn span(&self) -> &[u8; 8] {
        &self.span
    }

    /// Whether whoever made the span keeps it.
    #[must_use]
    pub const fn is_sampled(&self) -> bool {
        self.sampled
    }
}

impl fmt::Display for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let flags = u8::from(self.sampled);
        let (trace, span) = (hex(&self.trace), hex(&self.span));
        write!(f, "00-{trace}-{span}-{flags:02x}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    const SPAN: &str = "00f067aa0ba902b7";

    #[test]
    fn what_is_valid_is_read_and_what_is_not_begins_a_new_trace() {
        let valid = [
            (format!("00-{TRACE}-{SPAN}-01"), true),
            (format!("00-{TRACE}-{SPAN}-00"), false),
            // Flags that nobody knows yet say nothing.
            (format!("00-{TRACE}-{SPAN}-03"), true),
            (format!("00-{TRACE}-{SPAN}-fe"), false),
            // A later version, with and without more.
            (format!("cc-{TRACE}-{SPAN}-01"), true),
            (format!("01-{TRACE}-{SPAN}-01-what-the-future-brings"), true),
        ];
        for (text, sampled) in &valid {
            let read = TraceContext::parse(text.as_bytes()).unwrap_or_else(|| panic!("{text}"));
            assert_eq!(read.trace_id(), TRACE);
            assert_eq!(read.is_sampled(), *sampled, "{text}");
            let flags = if *sampled { "01" } else { "00" };
            assert_eq!(read.to_field(), format!("00-{TRACE}-{SPAN}-{flags}"));
        }
        let zero = "0".repeat(32);
        let invalid = [
            String::new(),
            "-".repeat(LENGTH),
            format!("00-{}-{SPAN}-01", TRACE.to_uppercase()),
            format!("00-{TRACE}-{}-01", SPAN.to_uppercase()),
            format!("00-{zero}-{SPAN}-01"),
            format!("00-{TRACE}-{}-01", &zero[..16]),
            format!("ff-{TRACE}-{SPAN}-01"),
            format!("FF-{TRACE}-{SPAN}-01"),
            format!("0-{TRACE}-{SPAN}-01"),
            format!("000-{TRACE}-{SPAN}-01"),
            format!("00-{}-{SPAN}-01", &TRACE[1..]),
            format!("00-{TRACE}0-{SPAN}-01"),
            format!("00-{TRACE}-{}-01", &SPAN[1..]),
            format!("00-{TRACE}-{SPAN}-1"),
            format!("00-{TRACE}-{SPAN}-0A"),
            format!("00-{TRACE}-{SPAN}-01-more"),
            format!("00-{TRACE}-{SPAN}-01-"),
            format!("01-{TRACE}-{SPAN}-01.more"),
            format!("00_{TRACE}_{SPAN}_01"),
            format!(" 00-{TRACE}-{SPAN}-01"),
            format!("00-{TRACE}-{SPAN}-01 "),
            format!("00-{}x-{SPAN}-01", &TRACE[1..]),
        ];
        for text in &invalid {
            assert_eq!(TraceContext::parse(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn one_field_says_it_and_not_two() {
        let field: HeaderValue = format!("00-{TRACE}-{SPAN}-01").parse().unwrap();
        let mut headers = HeaderMap::new();
        assert_eq!(TraceContext::of(&headers), None);
        headers.append(TRACEPARENT, field.clone());
        assert_eq!(TraceContext::of(&headers).unwrap().to_field(), field);
        headers.append(TRACEPARENT, field);
        assert_eq!(TraceContext::of(&headers), None);
    }
}
