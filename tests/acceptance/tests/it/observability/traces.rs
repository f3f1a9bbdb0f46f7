//! One trace through client, gate, server and service, as a collector gets it.

use super::recorder::{Recorder, Span};
use super::scrape::Scrape;
use super::{Agent, ask, gate, status};
use crate::scene::{PATIENCE, agent};
use procura_acceptance::{Installation, promised, until};
use serde_json::Value;
use std::net::TcpListener;
use std::time::Instant;

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const CLIENT: &str = "00f067aa0ba902b7";

/// An installation that sends its spans there.
fn traced(endpoint: &str, ratio: &str) -> Installation {
    let mut server = Installation::empty();
    server.cli(&["init", "--owner", "alice"]).ok();
    server.cli(&["login"]).ok();
    server.cli(&["namespace", "create", "shop"]).ok();
    let config = format!("otlp_endpoint = \"{endpoint}\"\notlp_ratio = {ratio}\n");
    std::fs::write(server.home().join("procura.toml"), config).unwrap();
    assert_eq!(server.stop(), Some(0));
    server.start_again();
    server.unseal().ok();
    server
}

/// The one span of a trace with this service and name.
fn one<'a>(spans: &'a [Span], trace: &str, service: &str, name: &str) -> Option<&'a Span> {
    let mut found = spans.iter().filter(|span| {
        (
            span.trace.as_str(),
            span.service.as_str(),
            span.name.as_str(),
        ) == (trace, service, name)
    });
    let first = found.next()?;
    assert!(found.next().is_none(), "{name} twice: {spans:#?}");
    Some(first)
}

#[test]
fn a_trace_goes_from_the_client_through_the_gate_to_server_and_service() {
    let (collector, upstream) = (Recorder::start(), Recorder::start());
    let server = traced(&collector.url, "0");
    let code = agent(&server, "shop", "door");
    let endpoint = ["--otlp-endpoint", &collector.url, "--otlp-ratio", "0"];
    let mut gate = gate(&server, &code, &upstream.url, &endpoint);
    let scribe = Agent::enrolled(&server, "scribe-7");
    let at = gate.address().to_owned();

    let parent = format!("traceparent: 00-{TRACE}-{CLIENT}-01\r\ntracestate: a=1,b=2\r\n");
    let proof = scribe.proof(&server, &format!("http://{at}/orders"));
    let answer = ask(&at, "/orders", &format!("{proof}{parent}"));
    assert_eq!(status(&answer), "200", "{answer}");
    // What is not sampled is passed on and not told of.
    let unsampled = parent.replace("-01", "-00");
    assert_eq!(status(&ask(&at, "/open/unsampled", &unsampled)), "200");
    // A new trace, of which none is kept: the state of another is not for it.
    let invalid = parent.replace("00-4b", "00-4B");
    assert_eq!(status(&ask(&at, "/open/invalid", &invalid)), "200");

    let gates = "procura-gate";
    let spans = until("the spans are told of", PATIENCE, || {
        let spans = collector.spans();
        let told = one(&spans, TRACE, gates, "upstream").is_some()
            && one(&spans, TRACE, "procura-server", "service.verify").is_some();
        told.then_some(spans)
    });
    let request = one(&spans, TRACE, gates, "request").unwrap();
    assert_eq!((request.parent.as_deref(), request.kind), (Some(CLIENT), 2));
    assert_eq!(request.attributes["http.response.status_code"], "200");
    let onwards = one(&spans, TRACE, gates, "upstream").unwrap();
    assert_eq!(
        (onwards.parent.as_ref(), onwards.kind),
        (Some(&request.id), 3)
    );
    let asked = one(&spans, TRACE, "procura-server", "service.verify").unwrap();
    assert_eq!((asked.parent.as_ref(), asked.kind), (Some(&request.id), 2));
    assert_eq!(asked.attributes["http.request.method"], "POST");
    assert_eq!(asked.attributes["procura.request_id"].len(), 36);
    assert!(spans.iter().all(|span| span.trace == TRACE), "{spans:#?}");

    let got = upstream.got();
    let expected = format!("00-{TRACE}-{}-01", onwards.id);
    assert_eq!(got[0].field("traceparent"), Some(expected.as_str()));
    assert_eq!(got[0].field("tracestate"), Some("a=1,b=2"));
    let unsampled = got[1].field("traceparent").unwrap();
    assert!(unsampled.starts_with(&format!("00-{TRACE}-")) && unsampled.ends_with("-00"));
    assert!(!unsampled.contains(CLIENT), "{unsampled}");
    let fresh = got[2].field("traceparent").unwrap();
    assert!(fresh.ends_with("-00") && !fresh.contains(TRACE), "{fresh}");
    assert_eq!(got[2].field("tracestate"), None);

    // Neither ids of agents nor paths are told to a collector.
    let told: String = collector
        .got()
        .iter()
        .map(|got| String::from_utf8_lossy(&got.body).into_owned())
        .collect();
    assert!(
        !told.contains("scribe") && !told.contains("orders"),
        "{told}"
    );
    assert_eq!(gate.stop(), Some(0));
}

#[test]
fn errors_and_events_say_which_trace_they_are_part_of() {
    let collector = Recorder::start();
    let server = traced(&collector.url, "1");
    let problem = |fields: &str| -> Value {
        let answer = ask(server.url(), "/v1/namespaces", fields);
        assert_eq!(status(&answer), "401");
        serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap()
    };
    let linked = problem(&format!("traceparent: 00-{TRACE}-{CLIENT}-01\r\n"));
    assert_eq!(linked["trace_id"], TRACE);
    let own = problem(&format!("traceparent: ff-{TRACE}-{CLIENT}-01\r\n"));
    let id = own["request_id"].as_str().unwrap();
    assert_eq!(own["trace_id"], id.replace('-', ""));

    let events = server.home().join("logs/events.jsonl");
    let lines: Vec<Value> = until("both have lines", PATIENCE, || {
        let text = std::fs::read_to_string(&events).ok()?;
        let lines = text.lines().map(|line| serde_json::from_str(line).unwrap());
        let lines: Vec<Value> = lines
            .filter(|line: &Value| line["event"] == "auth_violation")
            .collect();
        (lines.len() == 2).then_some(lines)
    });
    for (line, problem) in lines.iter().zip([&linked, &own]) {
        for key in ["trace_id", "request_id", "reason"] {
            assert_eq!(line[key], problem[key], "{key}");
        }
        assert_eq!(
            (&line["agent_id"], line["ip"].as_str()),
            (&Value::Null, Some("127.0.0.1"))
        );
    }
    for problem in [&linked, &own] {
        let trace = problem["trace_id"].as_str().unwrap();
        let span = until("the span is told of", PATIENCE, || {
            one(
                &collector.spans(),
                trace,
                "procura-server",
                "namespace.list",
            )
            .cloned()
        });
        assert_eq!(span.attributes["procura.request_id"], problem["request_id"]);
        assert_eq!(span.attributes["http.response.status_code"], "401");
    }
}

#[test]
fn a_collector_that_is_away_costs_spans_and_nothing_else() {
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", nobody.local_addr().unwrap());
    drop(nobody);
    let mut server = traced(&endpoint, "1");
    let began = Instant::now();
    for _ in 0..200 {
        assert_eq!(status(&ask(server.url(), "/v1/namespaces", "")), "401");
    }
    assert!(began.elapsed() < promised(10));
    until("spans are lost", PATIENCE, || {
        let seen = Scrape::of(server.health());
        assert_eq!(seen.sum("procura_spans_exported_total"), 0.0);
        (seen.sum("procura_spans_lost_total") >= 200.0).then_some(())
    });
    assert_eq!(Scrape::of(server.health()).sum("procura_degraded"), 0.0);
    let began = Instant::now();
    assert_eq!(server.stop(), Some(0));
    assert!(began.elapsed() < promised(8));
}
