//! Spans as OTLP/HTTP in JSON (OpenTelemetry protocol 1.x, "JSON Protobuf Encoding"):
//! ids are hexadecimal, 64-bit numbers are text, enumerations are numbers.

use super::span::{Kind, Running, Value};
use procura_types::Duration;
use procura_types::encoding::hex;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Request<'a> {
    resource_spans: [ResourceSpans<'a>; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ResourceSpans<'a> {
    resource: Resource<'a>,
    scope_spans: [ScopeSpans; 1],
}

#[derive(Serialize)]
struct Resource<'a> {
    attributes: Vec<Attribute<'a>>,
}

#[derive(Serialize)]
struct ScopeSpans {
    scope: Scope,
    spans: Vec<Span>,
}

#[derive(Serialize)]
struct Scope {
    name: &'static str,
    version: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Span {
    trace_id: String,
    span_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    parent_span_id: Option<String>,
    name: &'static str,
    kind: u8,
    start_time_unix_nano: String,
    end_time_unix_nano: String,
    attributes: Vec<Attribute<'static>>,
    status: Status,
}

#[derive(Serialize)]
struct Status {
    /// 0 is unset, 2 an error.
    code: u8,
}

#[derive(Serialize)]
struct Attribute<'a> {
    key: &'static str,
    value: Any<'a>,
}

/// `AnyValue`: an object of one key, which says what kind of value it is.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
enum Any<'a> {
    StringValue(Cow<'a, str>),
    IntValue(String),
}

impl Any<'_> {
    fn of(value: Value) -> Self {
        match value {
            Value::Word(word) => Self::StringValue(word.into()),
            Value::Text(text) => Self::StringValue(text.into()),
            Value::Number(number) => Self::IntValue(number.to_string()),
        }
    }
}

fn nanos(since_1970: Duration) -> String {
    since_1970.as_nanos().to_string()
}

/// The body of a request to a collector.
pub(super) fn encode(
    resource: &[(&'static str, String)],
    spans: impl Iterator<Item = Running>,
) -> Vec<u8> {
    let attributes = resource.iter().map(|(key, value)| Attribute {
        key,
        value: Any::StringValue(value.into()),
    });
    let spans = spans.map(|span| Span {
        trace_id: span.context.trace_id(),
        span_id: hex(span.context.span()),
        parent_span_id: span.parent.as_ref().map(|parent| hex(parent)),
        name: span.name,
        kind: match span.kind {
            Kind::Server => 2,
            Kind::Client => 3,
        },
        start_time_unix_nano: nanos(span.begun),
        end_time_unix_nano: nanos(span.begun + span.took),
        attributes: span
            .attributes
            .into_iter()
            .map(|(key, value)| Attribute {
                key,
                value: Any::of(value),
            })
            .collect(),
        status: Status {
            code: if span.failed { 2 } else { 0 },
        },
    });
    let request = Request {
        resource_spans: [ResourceSpans {
            resource: Resource {
                attributes: attributes.collect(),
            },
            scope_spans: [ScopeSpans {
                scope: Scope {
                    name: "procura",
                    version: env!("CARGO_PKG_VERSION"),
                },
                spans: spans.collect(),
            }],
        }],
    };
    // Words and numbers always have a form in JSON.
    serde_json::to_vec(&request).unwrap_or_default()
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Answer {
    partial_success: Partial,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Partial {
    rejected_spans: Count,
}

/// A 64-bit number, which is text in this encoding and a number from many.
#[derive(Deserialize)]
#[serde(untagged)]
enum Count {
    Number(u64),
    Text(String),
}

impl Default for Count {
    fn default() -> Self {
        Self::Number(0)
    }
}

/// How many spans a collector did not take although it took the request. What it
/// answers in another form says nothing.
pub(super) fn rejected(answer: &[u8]) -> u64 {
    let answer: Answer = serde_json::from_slice(answer).unwrap_or_default();
    match answer.partial_success.rejected_spans {
        Count::Number(count) => count,
        Count::Text(text) => text.parse().unwrap_or(0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::TraceContext;
    use serde_json::{Value as Json, json};

    #[test]
    fn spans_have_the_form_of_the_protocol() {
        let span = Running {
            context: TraceContext::new([0xab; 16], [1; 8], true).unwrap(),
            parent: Some([2; 8]),
            name: "secret.read",
            kind: Kind::Server,
            begun: Duration::from_millis(1_795_000_000_123),
            took: Duration::from_nanos(4_500),
            attributes: vec![
                ("http.response.status_code", Value::Number(503)),
                ("error.type", Value::Word("sealed")),
            ],
            failed: true,
        };
        let resource = [("service.name", "procura-server".to_owned())];
        let body = encode(&resource, std::iter::once(span));
        let read: Json = serde_json::from_slice(&body).unwrap();
        assert_eq!(
            read,
            json!({"resourceSpans": [{
                "resource": {"attributes": [
                    {"key": "service.name", "value": {"stringValue": "procura-server"}},
                ]},
                "scopeSpans": [{
                    "scope": {"name": "procura", "version": env!("CARGO_PKG_VERSION")},
                    "spans": [{
                        "traceId": "abababababababababababababababab",
                        "spanId": "0101010101010101",
                        "parentSpanId": "0202020202020202",
                        "name": "secret.read",
                        "kind": 2,
                        "startTimeUnixNano": "1795000000123000000",
                        "endTimeUnixNano": "1795000000123004500",
                        "attributes": [
                            {"key": "http.response.status_code", "value": {"intValue": "503"}},
                            {"key": "error.type", "value": {"stringValue": "sealed"}},
                        ],
                        "status": {"code": 2},
                    }],
                }],
            }]})
        );
    }

    #[test]
    fn a_collector_may_take_a_part() {
        for (answer, count) in [
            ("", 0),
            ("{}", 0),
            (r#"{"partialSuccess":{}}"#, 0),
            (
                r#"{"partialSuccess":{"rejectedSpans":"3","errorMessage":"x"}}"#,
                3,
            ),
            (r#"{"partialSuccess":{"rejectedSpans":4}}"#, 4),
            (r#"{"partialSuccess":null}"#, 0),
            ("<html>", 0),
        ] {
            assert_eq!(rejected(answer.as_bytes()), count, "{answer}");
        }
    }
}
