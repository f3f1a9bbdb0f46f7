//! Services, whose gates ask, and the ids that other systems have for agents.

use super::{Case, NS, c};
use serde_json::{Value, json};

/// What a gate asks about a request with this body.
fn question(body: &Value) -> Value {
    json!({
        "method": "GET",
        "authority": "till.example",
        "path": "/",
        "fields": [],
        "body": body,
        "peer": "10.0.0.5",
    })
}

pub(super) fn cases() -> Vec<Case> {
    vec![
        c("PUT", "/v1/namespaces/{ns}/services/{name}", format!("{NS}/services/till"), "adam")
            .body(json!({"expect_version": 0, "mode": "observe", "routes": [{"prefix": "/pay", "mode": "enforce"}], "gates": ["baker"]}))
            .refuses("anna", "forbidden")
            .bad_target("till", "t%2Fll", "label")
            .bad_body(json!({"expect_version": 0, "mode": "enfroce"}), "invalid_json", Some("mode"))
            .bad_body(json!({"mode": "observe"}), "invalid_json", Some("expect_version"))
            .bad_body(json!({"expect_version": 0, "routes": [{"prefix": "/a/../b"}]}), "invalid_json", Some("route"))
            .bad_body(json!({"expect_version": 0, "routes": [{"prefix": "/a%2Fb"}]}), "invalid_json", Some("route"))
            .bad_body(json!({"expect_version": 0, "routes": [{"mode": "off"}]}), "invalid_json", Some("prefix"))
            .bad_body(json!({"expect_version": 0, "routes": [{"prefix": "/a"}, {"prefix": "/a"}]}), "invalid_json", Some("routes"))
            .bad_body(json!({"expect_version": 0, "routes": (0..65).map(|number| json!({"prefix": format!("/{number}")})).collect::<Vec<_>>()}), "invalid_json", Some("routes"))
            .bad_body(json!({"expect_version": 0, "exceptions": [{"agent": "a..b", "reason": "x"}]}), "invalid_json", Some("agent_id"))
            .bad_body(json!({"expect_version": 0, "exceptions": [{"agent": "a", "reason": ""}]}), "invalid_json", Some("reason"))
            .bad_body(json!({"expect_version": 0, "exceptions": [{"reason": "all of them"}]}), "invalid_json", Some("exceptions"))
            .bad_body(json!({"expect_version": 0, "gates": ["a b"]}), "invalid_json", Some("label"))
            .bad_body(json!({"expect_version": 0, "gates": ["nobody"]}), "malformed", Some("gates"))
            .bad_body(json!({"expect_version": 0, "gates": vec!["baker"; 17]}), "malformed", Some("gates"))
            .bad_body(json!({"expect_version": 0, "hmac_v1": {"window_seconds": 29}}), "invalid_json", Some("window_seconds"))
            .bad_body(json!({"expect_version": 1}), "version_mismatch", None),
        c("GET", "/v1/namespaces/{ns}/services", format!("{NS}/services"), "otto").refuses("scribe", "forbidden"),
        c("GET", "/v1/namespaces/{ns}/services/{name}", format!("{NS}/services/till"), "anna")
            .refuses("scribe", "forbidden")
            .bad_target("till", "TILL", "label"),
        c("GET", "/v1/namespaces/{ns}/services/{name}/feed", format!("{NS}/services/till/feed?instance=01234567-89ab-7fff-bfff-ffffffffffff&nonce=AAAAAAAAAAAAAAAAAAAAAA&wait=0"), "baker")
            .refuses("scribe", "not_found")
            .bad_target("till", "TILL", "label")
            .bad_target("7fff", "7FFF", "query")
            .bad_target("nonce=AA", "nonce=A", "nonce")
            .bad_target("wait=0", "wait=now", "query")
            .bad_target("wait=0", "wait=0&after=-1", "query")
            .bad_target("&wait=0", "&until=0", "query")
            .bad_target("&nonce=AAAAAAAAAAAAAAAAAAAAAA", "", "query"),
        c("POST", "/v1/namespaces/{ns}/services/{name}/verify", format!("{NS}/services/till/verify"), "baker")
            .body(question(&json!({"bytes": ""})))
            .refuses("scribe", "not_found")
            .bad_target("till", "TILL", "label")
            .bad_body(question(&json!({"sha256": "AAAA"})), "malformed", Some("body"))
            .bad_body(question(&json!({"bytes": "+"})), "malformed", Some("body"))
            .bad_body(question(&json!({"bytes": "", "sha256": ""})), "invalid_json", None)
            .bad_body(question(&json!({"text": ""})), "invalid_json", None)
            .bad_body(json!({"method": "GET"}), "invalid_json", None),
        c("DELETE", "/v1/namespaces/{ns}/services/{name}", format!("{NS}/services/till?expect_version=1"), "adam")
            .refuses("otto", "forbidden")
            .bad_target("till", "-", "label")
            .bad_target("expect_version=1", "expect_version=one", "query")
            .bad_target("?expect_version=1", "", "query"),
        c("PUT", "/v1/namespaces/{ns}/foreign-ids/{agent_id}", format!("{NS}/foreign-ids/till.7"), "adam")
            .body(json!({"agent": "scribe"}))
            .refuses("otto", "forbidden")
            .bad_target("till.7", "till..7", "agent_id")
            .bad_target("till.7", "till%2F7", "agent_id")
            .bad_body(json!({}), "invalid_json", Some("agent"))
            .bad_body(json!({"agent": "A"}), "invalid_json", Some("label")),
        c("GET", "/v1/namespaces/{ns}/foreign-ids", format!("{NS}/foreign-ids"), "otto").refuses("scribe", "forbidden"),
        c("GET", "/v1/namespaces/{ns}/foreign-ids/{agent_id}", format!("{NS}/foreign-ids/till.7"), "anna")
            .refuses("scribe", "forbidden")
            .bad_target("till.7", "a..b", "agent_id"),
        c("POST", "/v1/namespaces/{ns}/foreign-ids/{agent_id}/secret", format!("{NS}/foreign-ids/till.7/secret"), "scribe")
            .body(json!({"invalidate": true}))
            .refuses("otto", "forbidden")
            .bad_target("till.7", "..", "agent_id")
            .bad_body(json!({"invalidate": 1}), "invalid_json", None),
        c("DELETE", "/v1/namespaces/{ns}/foreign-ids/{agent_id}/secret", format!("{NS}/foreign-ids/till.7/secret"), "adam")
            .refuses("scribe", "forbidden")
            .bad_target("till.7", "%20", "agent_id"),
        c("DELETE", "/v1/namespaces/{ns}/foreign-ids/{agent_id}", format!("{NS}/foreign-ids/till.7"), "adam")
            .refuses("anna", "forbidden")
            .bad_target("till.7", "a:b", "agent_id"),
    ]
}
