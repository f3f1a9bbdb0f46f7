//! The few lines of Python and of JavaScript by which an agent signs, against a server
//! and a service behind a gate.

use super::{Program, Site, step};
use crate::observability::recorder::Recorder;
use serde_json::Value;

/// What a client is told, in this order.
fn answers() -> Vec<Value> {
    let mut all = Vec::new();
    let mut thrice = |name: &str| {
        all.push(step(name, 200, None));
        all.push(step(&format!("{name} again"), 401, Some("nonce_replayed")));
        all.push(step(&format!("{name} altered"), 401, Some("bad_signature")));
    };
    for profile in ["key-server-v1", "guide-v1"] {
        for what in ["echo", "keys", "gate"] {
            thrice(&format!("{profile} {what}"));
        }
    }
    thrice("verify");
    all
}

/// Runs a client. The service gets what is good, once, with the name of who sent it.
fn is_understood(run: fn(&str, &[&str]) -> Program, file: &str) {
    let service = Recorder::start();
    let site = Site::before(&service.url);
    let (gate, key) = (site.url(), site.key());
    let words = [site.server.url(), &gate, &key, site.agent.id];
    assert_eq!(run(file, &words).rest(), answers());
    let got = service.got();
    assert_eq!(got.len(), 2, "{got:?}");
    for (got, profile) in got.iter().zip(["key-server-v1", "guide-v1"]) {
        assert!(got.head.starts_with("post /orders http/1.1"), "{got:?}");
        assert_eq!(got.body, br#"{"title":"x"}"#);
        assert_eq!(got.field("procura-profile"), Some(profile));
        assert_eq!(got.field("procura-agent"), Some("scribe.1"));
        assert!(got.field("procura-actor").is_some(), "{got:?}");
    }
}

#[test]
fn python_is_understood() {
    is_understood(Program::python, "snippets.py");
}

#[test]
fn javascript_is_understood() {
    is_understood(Program::node, "snippets.mjs");
}
