//! What can be seen of a server and of a gate: metrics, traces, events; and that
//! documents, alerts and dashboard speak of what there is.

mod promql;
pub(crate) mod recorder;
mod scrape;
mod traces;

use crate::rules::{read, tables};
use crate::scene::{PATIENCE, agent, shop};
use procura_acceptance::{GateHost, Installation, until};
use promql::Named;
use recorder::Recorder;
use scrape::Scrape;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::Command;

const ALERTS: &str = "deploy/prometheus/alerts.yml";
const DASHBOARD: &str = "deploy/grafana/procura.json";
const PAGE: &str = "docs/observability.md";

/// Labels that Prometheus adds to everything.
const ADDED: [&str; 2] = ["job", "instance"];
/// What Prometheus has by itself.
const OWN: &str = "up";

/// An agent of another system, whose key is a file at the server.
struct Agent {
    id: &'static str,
    key: String,
}

impl Agent {
    fn enrolled(server: &Installation, id: &'static str) -> Self {
        let key = server.folder().join(format!("key-of-{id}"));
        let key = key.to_str().unwrap().to_owned();
        let made = Command::new("ssh-keygen")
            .args(["-q", "-t", "ed25519", "-N", "", "-f", &key])
            .status();
        assert!(made.unwrap().success());
        let enrolled = server.home().join(format!("keys/agents/{id}.pub"));
        std::fs::copy(format!("{key}.pub"), enrolled).unwrap();
        Self { id, key }
    }

    /// The fields that prove a request.
    fn proof(&self, server: &Installation, url: &str) -> String {
        let profile = ["--profile", "key-server-v1", "--key", &self.key];
        let words = ["sign", "GET", url, "--agent-id", self.id];
        let lines = server.cli(&[&words[..], &profile].concat()).ok().text();
        lines.lines().map(|line| format!("{line}\r\n")).collect()
    }
}

/// Sends a GET with these lines of fields; the whole answer.
fn ask(address: &str, path: &str, fields: &str) -> String {
    let address = address.trim_start_matches("http://");
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n{fields}\r\n"
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

fn status(answer: &str) -> &str {
    &answer[9..12]
}

/// The installation with the service `web`, which enforces but for `/open`, and a gate
/// before this upstream.
fn web(upstream: &str, words: &[&str]) -> (Installation, GateHost) {
    let server = shop();
    let code = agent(&server, "shop", "door");
    let gate = gate(&server, &code, upstream, words);
    (server, gate)
}

fn gate(server: &Installation, code: &str, upstream: &str, words: &[&str]) -> GateHost {
    let add = ["-n", "shop", "service", "add", "web", "--mode", "enforce"];
    server.cli(&[&add[..], &["--gate", "door"]].concat()).ok();
    let route = ["-n", "shop", "auth", "mode", "web", "observe"];
    let route = [&route[..], &["--route", "/open"]].concat();
    server.cli(&route).ok();
    let base = ["--service", "web", "--upstream", upstream];
    let health = ["--health-listen", "127.0.0.1:0"];
    let words = [&base[..], &health, words].concat();
    GateHost::start(server, "gate", code, &words)
}

/// Traffic of all kinds; what is shown afterwards, of the server and of the gate.
fn seen() -> (Scrape, Scrape) {
    let upstream = Recorder::start();
    let (server, gate) = web(&upstream.url, &[]);
    let scribe = Agent::enrolled(&server, "scribe-7");
    let at = gate.address().to_owned();
    let (url, api) = (format!("http://{at}/orders"), server.url().to_owned());

    let proof = scribe.proof(&server, &url);
    assert_eq!(status(&ask(&at, "/orders", &proof)), "200");
    assert_eq!(status(&ask(&at, "/orders", &proof)), "401");
    assert_eq!(status(&ask(&at, "/orders", "")), "401");
    assert_eq!(status(&ask(&at, "/open", "")), "200");
    assert_eq!(
        status(&ask(
            &at,
            "/open",
            &scribe.proof(&server, &format!("http://{at}/open"))
        )),
        "200"
    );
    assert_eq!(status(&ask(&api, "/v1/namespaces", "")), "401");
    assert_eq!(status(&ask(&api, "/v1/nothing", "")), "404");
    // The checkpoint that covers all this is signed behind it.
    until("the record is covered", PATIENCE, || {
        let seen = Scrape::of(server.health());
        let entries = seen.sum("procura_ledger_entries");
        (entries > 0.0 && entries <= seen.sum("procura_checkpoint_entries")).then_some(())
    });
    (Scrape::of(server.health()), Scrape::of(gate.health()))
}

#[test]
fn metrics_are_those_of_the_page_and_move_by_what_they_count() {
    let (server, gate) = seen();
    let page = read(PAGE);
    for (place, scrape) in [(0, &server), (1, &gate)] {
        let documented: BTreeMap<String, (String, BTreeSet<String>)> = tables(&page, "metric")
            .swap_remove(place)
            .into_iter()
            .map(|row| {
                let labels = row[2].split(", ").filter(|label| !label.is_empty());
                let labels = labels.map(str::to_owned).collect();
                (row[0].clone(), (row[1].clone(), labels))
            })
            .collect();
        let shown: BTreeMap<String, (String, BTreeSet<String>)> = scrape
            .families
            .iter()
            .map(|(name, family)| {
                let labels = family.labels.keys().cloned().collect();
                (name.clone(), (family.kind.clone(), labels))
            })
            .collect();
        assert_eq!(shown, documented);
    }
    let at_least = |scrape: &Scrape, series: &str, least: f64| {
        let sum = scrape.sum(series);
        assert!(sum >= least, "{series}: {sum} in {scrape:#?}");
    };
    for (series, least) in [
        (
            r#"procura_requests_total{action="namespace.list",status="401"}"#,
            1.0,
        ),
        (r#"procura_requests_total{action="none",status="404"}"#, 1.0),
        (r#"procura_requests_total{action="service.verify""#, 2.0),
        (r#"procura_request_seconds_count{class="namespace"}"#, 1.0),
        (r#"procura_request_seconds_count{class="news"}"#, 1.0),
        (
            r#"procura_proofs_refused_total{reason="missing_headers"}"#,
            1.0,
        ),
        (r#"procura_proofs_accepted_total{profile="session"}"#, 1.0),
        ("procura_sessions_started_total", 1.0),
        ("procura_replays_total", 1.0),
        ("procura_gates_following", 1.0),
        ("procura_connections", 1.0),
        (r#"procura_directory_records{kind="agent"}"#, 1.0),
        (r#"procura_directory_records{kind="device"}"#, 2.0),
        (r#"procura_nonces_held{guard="foreign"}"#, 1.0),
        (
            r#"procura_cache_lookups_total{cache="sessions",result="hit"}"#,
            1.0,
        ),
        ("process_resident_memory_bytes", 1_000_000.0),
        ("process_open_fds", 10.0),
    ] {
        at_least(&server, series, least);
    }
    for (series, least) in [
        (r#"procura_gate_requests_total{outcome="passed"}"#, 3.0),
        (r#"procura_gate_requests_total{outcome="refused"}"#, 2.0),
        (
            r#"procura_gate_answers_total{reason="missing_headers"}"#,
            1.0,
        ),
        (
            r#"procura_gate_answers_total{reason="nonce_replayed"}"#,
            1.0,
        ),
        (
            r#"procura_gate_would_refuse_total{reason="missing_headers"}"#,
            1.0,
        ),
        ("procura_gate_would_pass_total", 1.0),
        ("procura_gate_request_seconds_count", 5.0),
        ("procura_gate_upstream_seconds_count", 3.0),
        ("procura_gate_fresh", 1.0),
    ] {
        at_least(&gate, series, least);
    }
    assert_eq!(server.sum("procura_sealed"), 0.0);
    assert_eq!(server.sum("procura_degraded"), 0.0);
    assert!(gate.sum("procura_gate_known_age_seconds") < 60.0);
    for scrape in [&server, &gate] {
        labels_are_words(scrape);
    }
    alerts_and_dashboard_ask_for_what_there_is(&server, &gate);
}

/// No label has an id, a name, an address or a path in it.
fn labels_are_words(scrape: &Scrape) {
    let words = [
        ("spec/reasons.md", "step", 2),
        ("spec/errors.md", "code", 0),
    ];
    let mut reasons: BTreeSet<String> = words
        .iter()
        .flat_map(|(file, first, column)| {
            let rows = tables(&read(file), first).into_iter().flatten();
            rows.map(|row| row[*column].clone())
        })
        .collect();
    // Of a try that is not made, so nobody is told it as an error.
    reasons.insert("few_tries_left".to_owned());
    for (name, family) in &scrape.families {
        for (label, values) in &family.labels {
            for value in values {
                let is_word = value.len() <= 40
                    && value
                        .bytes()
                        .all(|byte| byte.is_ascii_lowercase() || b"._-".contains(&byte));
                let fits = match label.as_str() {
                    "status" => value
                        .parse::<u16>()
                        .is_ok_and(|code| (100..600).contains(&code)),
                    "version" => true,
                    "profile" => {
                        let known = ["native", "session", "key-server-v1", "guide-v1"];
                        let more = [
                            "hmac-v1",
                            "hmac-v2",
                            "legacy",
                            "web_login_password",
                            "web_login_passkey",
                            "web_login_oidc",
                        ];
                        known.contains(&value.as_str()) || more.contains(&value.as_str())
                    }
                    "reason" => {
                        is_word && (name.starts_with("procura_gate") || reasons.contains(value))
                    }
                    "action" | "class" | "cache" | "result" | "guard" | "kind" | "log"
                    | "outcome" | "state" => is_word,
                    _ => false,
                };
                assert!(fits, "{name}{{{label}={value:?}}}");
            }
        }
    }
}

/// The queries of the rules, with the names of their alerts.
fn alerts() -> Vec<(String, String)> {
    let text = read(ALERTS);
    let lines = |key: &str| -> Vec<String> {
        let key = format!("{key}: ");
        let lines = text
            .lines()
            .map(|line| line.trim().trim_start_matches("- "));
        lines
            .filter_map(|line| line.strip_prefix(&key).map(str::to_owned))
            .collect()
    };
    let (names, queries) = (lines("alert"), lines("expr"));
    assert!(names.len() >= 15 && names.len() == queries.len());
    names.into_iter().zip(queries).collect()
}

/// The queries of the dashboard, with the titles of their panels.
fn panels() -> Vec<(String, String)> {
    let dashboard: Value = serde_json::from_str(&read(DASHBOARD)).unwrap();
    let mut queries = Vec::new();
    for panel in dashboard["panels"].as_array().unwrap() {
        for target in panel["targets"].as_array().into_iter().flatten() {
            let title = panel["title"].as_str().unwrap().to_owned();
            queries.push((title, target["expr"].as_str().unwrap().to_owned()));
        }
    }
    for variable in dashboard["templating"]["list"].as_array().unwrap() {
        if let Some(query) = variable["query"]["query"].as_str() {
            // Of the two arguments one is a metric and the other a label.
            let (query, label) = query.rsplit_once(", ").unwrap();
            assert!(ADDED.contains(&label.trim_end_matches(')')), "{query}");
            queries.push(("a variable".to_owned(), format!("{query})")));
        }
    }
    assert!(queries.len() >= 30);
    queries
}

fn alerts_and_dashboard_ask_for_what_there_is(server: &Scrape, gate: &Scrape) {
    for (of, query) in alerts().into_iter().chain(panels()) {
        let named = Named::by(&query);
        assert!(!named.selected.is_empty(), "{of}: {query}");
        let mut labels: BTreeSet<&str> = ADDED.into();
        for one in &named.selected {
            if one.metric == OWN {
                continue;
            }
            let family = server
                .named(&one.metric)
                .or_else(|| gate.named(&one.metric));
            let family = family.unwrap_or_else(|| panic!("{of}: no {} in {query}", one.metric));
            let counts = family.kind == "counter" || family.kind == "histogram";
            assert_eq!(
                one.ranged, counts,
                "{of}: {} is a {}",
                one.metric, family.kind
            );
            if one.metric.ends_with("_bucket") {
                assert!(named.grouped.contains("le"), "{of}: {query}");
                labels.insert("le");
            }
            for (label, value) in &one.matched {
                if ADDED.contains(&label.as_str()) {
                    continue;
                }
                let values = family.labels.get(label);
                let values = values.unwrap_or_else(|| panic!("{of}: no {label} in {query}"));
                if let Some(value) = value {
                    assert!(
                        values.contains(value),
                        "{of}: no {label}={value} in {values:?}"
                    );
                }
            }
            labels.extend(family.labels.keys().map(String::as_str));
        }
        for label in &named.grouped {
            assert!(
                labels.contains(label.as_str()),
                "{of}: by {label} in {query}"
            );
        }
    }
}

#[test]
fn every_alert_is_explained() {
    let page = read(PAGE);
    for (alert, _) in alerts() {
        assert!(page.contains(&format!("**{alert}**")), "{alert}");
    }
}

#[test]
fn a_gate_counts_what_its_upstream_does_not_answer() {
    // Whoever had this port has it no longer.
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap();
    let upstream = format!("http://{}", nobody.local_addr().unwrap());
    drop(nobody);
    let (_server, gate) = web(&upstream, &[]);
    assert_eq!(status(&ask(gate.address(), "/open", "")), "502");
    let seen = Scrape::of(gate.health());
    let failed = r#"procura_gate_upstream_failures_total{reason="upstream_unreachable"}"#;
    assert_eq!(seen.sum(failed), 1.0);
    assert_eq!(
        seen.sum(r#"procura_gate_requests_total{outcome="failed"}"#),
        1.0
    );
    assert_eq!(seen.sum("procura_gate_upstream_seconds_count"), 0.0);
    let other = scrape::get(gate.health(), "/metric");
    assert_eq!(status(&other), "404");
}
