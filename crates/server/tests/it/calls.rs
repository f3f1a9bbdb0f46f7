//! Every call of the API with who may make it, who may not, and what of it can be
//! malformed. The negative cases go through this table; a call that is not in it
//! fails `every_call_is_in_the_table`.

use crate::actors::{Actors, value_b64};
use serde_json::{Value, json};

/// A malformed variant: another target or another body, with its code and field.
pub(crate) struct Bad {
    pub(crate) target: String,
    pub(crate) body: Option<Value>,
    pub(crate) code: &'static str,
    pub(crate) field: Option<&'static str>,
}

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

pub(crate) struct Case {
    pub(crate) method: &'static str,
    pub(crate) template: &'static str,
    pub(crate) target: String,
    pub(crate) body: Option<Value>,
    /// Who may.
    pub(crate) by: &'static str,
    /// Who may not although they have a part in the same scope, and the code.
    pub(crate) refused: Option<(&'static str, &'static str)>,
    pub(crate) bad: Vec<Bad>,
}

impl Case {
    fn new(
        method: &'static str,
        template: &'static str,
        target: impl Into<String>,
        by: &'static str,
    ) -> Self {
        Self {
            method,
            template,
            target: target.into(),
            body: None,
            by,
            refused: None,
            bad: Vec::new(),
        }
    }

    fn body(mut self, body: Value) -> Self {
        self.body = Some(body);
        self
    }

    fn refuses(mut self, who: &'static str, code: &'static str) -> Self {
        self.refused = Some((who, code));
        self
    }

    fn bad_body(mut self, body: Value, code: &'static str, field: Option<&'static str>) -> Self {
        let target = self.target.clone();
        self.bad.push(Bad {
            target,
            body: Some(body),
            code,
            field,
        });
        self
    }

    /// The target with `from` replaced by `to`.
    fn bad_target(mut self, from: &str, to: &str, field: &'static str) -> Self {
        let target = self.target.replacen(from, to, 1);
        assert_ne!(target, self.target, "{from}");
        self.bad.push(Bad {
            target,
            body: self.body.clone(),
            code: "malformed",
            field: Some(field),
        });
        self
    }

    pub(crate) fn namespaced(&self) -> bool {
        self.target.contains("/namespaces/shop/") || self.target.contains("namespace=shop")
    }

    pub(crate) fn what(&self) -> String {
        format!("{} {}", self.method, self.target)
    }
}

/// Calls without a wrong actor: whoever has a device may make them.
pub(crate) const OPEN: [&str; 5] = [
    // Whoever has a role anywhere, and every agent; what they see is in `events`.
    "GET /v1/events",
    "GET /v1/namespaces",
    "POST /v1/sessions",
    "GET /v1/ledger/checkpoint",
    "GET /v1/ledger/consistency",
];
/// Calls that read neither path parameters, nor a query, nor a body.
pub(crate) const NO_INPUT: [&str; 7] = [
    "GET /v1/signing-keys",
    "POST /v1/signing-keys/roll",
    "GET /v1/namespaces",
    "GET /v1/operators",
    "GET /v1/ledger/checkpoint",
    "POST /v1/seal",
    "GET /v1/status",
];

fn c(
    method: &'static str,
    template: &'static str,
    target: impl Into<String>,
    by: &'static str,
) -> Case {
    Case::new(method, template, target, by)
}

/// In an order in which all of them succeed one after the other.
pub(crate) async fn cases(actors: &Actors) -> Vec<Case> {
    const NS: &str = "/v1/namespaces/shop";
    let (grant, run, [first, second]) = (&actors.grant, &actors.run, &actors.waiting);
    let approval = actors.approval(first, "anna").await;
    let mut late = approval.clone();
    late["until"] = json!("tomorrow");
    let entries = actors
        .ok("alice", "GET", "/v1/ledger/entries?limit=1", Value::Null)
        .await;
    let entry: Value =
        serde_json::from_str(entries["entries"][0]["entry"].as_str().unwrap()).unwrap();
    let entry = entry["id"].as_str().unwrap().to_owned();
    let keys = actors
        .ok("alice", "GET", "/v1/signing-keys", Value::Null)
        .await;
    let kid = keys["keys"][0]["kid"].as_str().unwrap().to_owned();
    vec![
        c("GET", "/v1/namespaces", "/v1/namespaces", "scribe"),
        c("POST", "/v1/namespaces", "/v1/namespaces", "alice")
            .body(json!({"name": "dock"}))
            .refuses("adam", "forbidden")
            .bad_body(json!({"name": "Not-A-Label"}), "invalid_json", Some("namespace"))
            .bad_body(json!({}), "invalid_json", Some("name"))
            .bad_body(json!({"name": 7}), "invalid_json", None),
        c("POST", "/v1/sessions", "/v1/sessions", "scribe")
            .body(json!({"audience": "procura"}))
            .bad_body(json!({"audience": "another"}), "malformed", Some("audience"))
            .bad_body(json!({"audience": "gate:shop"}), "malformed", Some("audience"))
            .bad_body(json!({"audience": "gate:Shop/till"}), "malformed", Some("audience"))
            .bad_body(json!({}), "invalid_json", Some("audience")),
        c("GET", "/v1/operators", "/v1/operators", "alice").refuses("adam", "forbidden"),
        c("POST", "/v1/operators", "/v1/operators", "alice")
            .body(json!({"name": "nina", "roles": [{"role": "auditor", "namespace": "shop"}]}))
            .refuses("adam", "forbidden")
            .bad_body(json!({"name": "Nina", "roles": []}), "invalid_json", Some("label"))
            .bad_body(json!({"name": "nina"}), "invalid_json", Some("roles"))
            .bad_body(json!({"name": "nina", "roles": [{"role": "king"}]}), "invalid_json", None)
            .bad_body(json!({"name": "nina", "roles": [{"role": "steward", "namespace": "shop"}]}), "malformed", Some("roles")),
        c("PUT", "/v1/operators/{name}/roles", "/v1/operators/otto/roles", "alice")
            .body(json!({"roles": [{"role": "auditor", "namespace": "shop"}]}))
            .refuses("adam", "forbidden")
            .bad_target("otto", "Otto", "label")
            .bad_body(json!({"roles": [{"role": "admin"}]}), "malformed", Some("roles"))
            .bad_body(json!({"role": []}), "invalid_json", None),
        c("POST", "/v1/operators/{name}/link-code", "/v1/operators/otto/link-code", "otto")
            .refuses("adam", "not_found")
            .bad_target("otto", "-otto", "label"),
        c("GET", "/v1/namespaces/{ns}/agents", format!("{NS}/agents"), "otto").refuses("scribe", "forbidden"),
        c("POST", "/v1/namespaces/{ns}/agents", format!("{NS}/agents"), "adam")
            .body(json!({"label": "clerk", "parent": "baker"}))
            .refuses("anna", "forbidden")
            .bad_body(json!({"label": "a label"}), "invalid_json", Some("label"))
            .bad_body(json!({"label": "clerk", "parent": ""}), "invalid_json", Some("label"))
            .bad_body(json!({"parent": "baker"}), "invalid_json", Some("label")),
        c("POST", "/v1/namespaces/{ns}/agents/{label}/link-code", format!("{NS}/agents/clerk/link-code"), "adam")
            .refuses("otto", "forbidden")
            .bad_target("clerk", "cl%20erk", "label"),
        c("PUT", "/v1/namespaces/{ns}/agents/{label}/sources", format!("{NS}/agents/clerk/sources"), "adam")
            .body(json!({"sources": ["10.0.0.0/8", "2001:db8::/48"]}))
            .refuses("otto", "forbidden")
            .bad_target("clerk", "cl%20erk", "label")
            .bad_body(json!({"sources": ["10.0.0.0/33"]}), "invalid_json", Some("address"))
            .bad_body(json!({"sources": (0..33).map(|host| format!("10.0.0.{host}")).collect::<Vec<_>>()}), "malformed", Some("sources"))
            .bad_body(json!({}), "invalid_json", Some("sources")),
        c("DELETE", "/v1/namespaces/{ns}/agents/{label}", format!("{NS}/agents/clerk"), "adam")
            .refuses("scribe", "forbidden")
            .bad_target("clerk", "clerk-", "label"),
        c("PUT", "/v1/namespaces/{ns}/secrets/{path}", format!("{NS}/secrets/new/key"), "adam")
            .body(json!({"value_b64": value_b64(), "env": "NEW", "description": "of the test"}))
            .refuses("anna", "forbidden")
            .bad_target("new/key", "new//key", "path")
            .bad_target("new/key", "new/..%2Fkey", "path")
            .bad_body(json!({"value_b64": format!("{}!", value_b64())}), "malformed", Some("value_b64"))
            .bad_body(json!({"value_b64": format!("{}==", value_b64())}), "malformed", Some("value_b64"))
            .bad_body(json!({"value_b64": value_b64(), "env": "1ST"}), "invalid_json", Some("env"))
            .bad_body(json!({"value_b64": value_b64(), "env": "LD_PRELOAD"}), "malformed", Some("env"))
            .bad_body(json!({"value_b64": value_b64(), "description": "a\nb"}), "malformed", Some("description"))
            .bad_body(json!({"value_b64": value_b64(), "expect_version": -1}), "invalid_json", None)
            .bad_body(json!({"value_b64": value_b64(), "kind": "json"}), "malformed", Some("value_b64"))
            .bad_body(json!({"value_b64": value_b64(), "kind": "template"}), "invalid_json", None)
            .bad_body(json!({"value_b64": value_b64(), "tags": ["A"]}), "invalid_json", Some("tags"))
            .bad_body(json!({"value_b64": value_b64(), "tags": (0..17).map(|tag| format!("t{tag}")).collect::<Vec<_>>()}), "invalid_json", Some("tags"))
            .bad_body(json!({"value_b64": value_b64(), "owner": "a\nb"}), "invalid_json", Some("owner"))
            .bad_body(json!({"value_b64": value_b64(), "expires": "tomorrow"}), "invalid_json", Some("time"))
            .bad_body(json!({"value_b64": value_b64(), "delivery": ["env", "broker-only"]}), "invalid_json", Some("delivery"))
            .bad_body(json!({"value_b64": value_b64(), "delivery": []}), "invalid_json", Some("delivery"))
            .bad_body(json!({"env": "NEW"}), "invalid_json", Some("value_b64")),
        c("GET", "/v1/namespaces/{ns}/secrets", format!("{NS}/secrets?prefix=new&limit=5"), "otto")
            .refuses("scribe", "forbidden")
            .bad_target("limit=5", "limit=five", "query")
            .bad_target("limit=5", "limits=5", "query")
            .bad_target("limit=5", "after=%2F", "query")
            .bad_target("limit=5", "due_within=-1", "query")
            .bad_target("limit=5", "d%65leted=true", "deleted"),
        c("GET", "/v1/namespaces/{ns}/secrets", format!("{NS}/secrets?deleted=true"), "adam")
            .refuses("otto", "forbidden")
            .bad_target("deleted=true", "deleted=yes", "query")
            .bad_target("deleted=true", "deleted=true&due_within=0", "due_within"),
        c("POST", "/v1/namespaces/{ns}/metadata/{path}", format!("{NS}/metadata/new/key"), "adam")
            .body(json!({"tags": ["payments"], "owner": "Ann", "clear": ["expires"]}))
            .refuses("anna", "forbidden")
            .bad_target("new/key", "new//key", "path")
            .bad_body(json!({"tags": [""]}), "invalid_json", Some("tags"))
            .bad_body(json!({"owner": ""}), "invalid_json", Some("owner"))
            .bad_body(json!({"description": "a\nb"}), "malformed", Some("description"))
            .bad_body(json!({"rotate_by": 7}), "invalid_json", None)
            .bad_body(json!({"clear": ["value"]}), "invalid_json", None),
        c("GET", "/v1/namespaces/{ns}/secrets/{path}", format!("{NS}/secrets/new/key?version=1"), "adam")
            .refuses("otto", "forbidden")
            .bad_target("new/key", "new%20/key", "path")
            .bad_target("version=1", "version=one", "query")
            .bad_target("version=1", "version=1&version=1", "query"),
        c("GET", "/v1/namespaces/{ns}/history/{path}", format!("{NS}/history/new/key?limit=1"), "otto")
            .refuses("scribe", "forbidden")
            .bad_target("new/key", "new/%C3%BC", "path")
            .bad_target("limit=1", "limit=-1", "query"),
        c("DELETE", "/v1/namespaces/{ns}/secrets/{path}", format!("{NS}/secrets/new/key?version=1"), "adam")
            .refuses("anna", "forbidden")
            .bad_target("new/key", "new/./key", "path")
            .bad_target("version=1", "d%65stroy=true", "destroy")
            .bad_target("version=1", "destroy", "query"),
        c("POST", "/v1/namespaces/{ns}/undelete/{path}", format!("{NS}/undelete/new/key?version=1"), "adam")
            .refuses("anna", "forbidden")
            .bad_target("new/key", "new/../key", "path")
            .bad_target("version=1", "version=", "query"),
        c("DELETE", "/v1/namespaces/{ns}/secrets/{path}", format!("{NS}/secrets/new/key?version=1&destroy=true"), "adam")
            .refuses("anna", "forbidden")
            .bad_target("destroy=true", "destroy=yes", "query")
            .bad_target("destroy=true", "destroy=true&d%65stroy=false", "query"),
        c("PUT", "/v1/namespaces/{ns}/projects/{name}", format!("{NS}/projects/cron"), "adam")
            .body(json!({"agents": ["scribe"], "env": {"KEY": "db/password"}}))
            .refuses("anna", "forbidden")
            .bad_target("cron", "cr_on", "project")
            .bad_body(json!({"agents": ["Scribe"]}), "invalid_json", Some("label"))
            .bad_body(json!({"agents": ["nobody"]}), "malformed", Some("agents"))
            .bad_body(json!({"env": {"A-B": "db/password"}}), "invalid_json", Some("env"))
            .bad_body(json!({"env": {"GLIBC_TUNABLES": "db/password"}}), "malformed", Some("env"))
            .bad_body(json!({"env": {"KEY": "/db"}}), "invalid_json", Some("path")),
        c("GET", "/v1/namespaces/{ns}/projects", format!("{NS}/projects"), "otto").refuses("scribe", "forbidden"),
        c("GET", "/v1/namespaces/{ns}/projects/{name}", format!("{NS}/projects/cron"), "otto")
            .refuses("scribe", "forbidden")
            .bad_target("cron", "CRON", "project"),
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
        c("POST", "/v1/namespaces/{ns}/projects/{name}/runs", format!("{NS}/projects/web/runs"), "scribe")
            .body(json!({"names": ["DB"], "delivery": "env"}))
            .refuses("baker", "not_found")
            .bad_target("web", "w.b", "project")
            .bad_body(json!({"names": ["DB"]}), "invalid_json", Some("delivery"))
            .bad_body(json!({"names": "DB", "delivery": "env"}), "invalid_json", None)
            .bad_body(json!({"names": ["DB"], "delivery": "mail"}), "invalid_json", None)
            .bad_body(json!({"names": (0..257).map(|number| format!("N{number}")).collect::<Vec<_>>(), "delivery": "env"}), "malformed", Some("names")),
        c("POST", "/v1/namespaces/{ns}/projects/{name}/runs/{run}/end", format!("{NS}/projects/web/runs/{run}/end"), "scribe")
            .refuses("baker", "forbidden")
            .bad_target(run, "7", "run"),
        c("GET", "/v1/namespaces/{ns}/requests", format!("{NS}/requests?limit=1"), "anna")
            .refuses("scribe", "forbidden")
            .bad_target("limit=1", "after=x", "query"),
        c("GET", "/v1/namespaces/{ns}/requests/{id}", format!("{NS}/requests/{first}"), "scribe")
            .refuses("baker", "forbidden")
            .bad_target(first, &first.to_uppercase(), "request"),
        c("POST", "/v1/namespaces/{ns}/requests/{id}/approve", format!("{NS}/requests/{first}/approve"), "anna")
            .body(approval)
            .refuses("adam", "forbidden")
            .bad_target(first, "none", "request")
            .bad_body(late, "invalid_json", Some("time"))
            .bad_body(json!({}), "invalid_json", Some("from")),
        c("POST", "/v1/namespaces/{ns}/requests/{id}/deny", format!("{NS}/requests/{second}/deny"), "anna")
            .refuses("adam", "forbidden")
            .bad_target(second, "none", "request"),
        c("GET", "/v1/namespaces/{ns}/grants", format!("{NS}/grants?limit=1"), "otto")
            .refuses("scribe", "forbidden")
            .bad_target("limit=1", "before=1", "query"),
        c("GET", "/v1/namespaces/{ns}/grants/{id}", format!("{NS}/grants/{grant}"), "otto")
            .refuses("scribe", "forbidden")
            .bad_target(grant, "7", "grant"),
        c("POST", "/v1/namespaces/{ns}/grants/{id}/withdraw", format!("{NS}/grants/{grant}/withdraw"), "anna")
            .refuses("otto", "forbidden")
            .bad_target(grant, "7", "grant"),
        c("GET", "/v1/signing-keys", "/v1/signing-keys", "alice").refuses("adam", "forbidden"),
        c("POST", "/v1/signing-keys/roll", "/v1/signing-keys/roll", "alice").refuses("adam", "forbidden"),
        c("POST", "/v1/recoveries/seen", "/v1/recoveries/seen", "otto")
            .body(json!({"until": "2026-11-21T20:00:00Z"}))
            .refuses("scribe", "not_found")
            .bad_body(json!({"until": "yesterday"}), "invalid_json", Some("time"))
            .bad_body(json!({}), "invalid_json", Some("until")),
        c("POST", "/v1/signing-keys/{kid}/retire", format!("/v1/signing-keys/{kid}/retire"), "alice")
            .refuses("adam", "forbidden")
            .bad_target(&kid, "x", "kid"),
        c("GET", "/v1/events", "/v1/events?follow=false", "otto")
            .bad_target("follow=false", "follow=maybe", "query")
            .bad_target("follow=false", "follow=false&after=-1", "query")
            .bad_target("follow=false", "follow=false&namespace=shop", "query"),
        c("GET", "/v1/ledger/checkpoint", "/v1/ledger/checkpoint", "scribe"),
        c("GET", "/v1/ledger/consistency", "/v1/ledger/consistency?from=1&to=3", "scribe")
            .bad_target("to=3", "to=all", "query")
            .bad_target("&to=3", "", "query"),
        c("GET", "/v1/ledger/entries", "/v1/ledger/entries?limit=1", "alice")
            .refuses("otto", "forbidden")
            .bad_target("limit=1", "limit=", "query")
            .bad_target("limit=1", "since=yesterday", "query"),
        c("GET", "/v1/ledger/entries", "/v1/ledger/entries?namespace=shop", "otto")
            .refuses("adam", "forbidden")
            .bad_target("namespace=shop", "namespace=Shop", "query")
            .bad_target("namespace=shop", "namespace=shop&actor=x", "query"),
        c("GET", "/v1/ledger/tile/{path}", "/v1/ledger/tile/0/000.p/3", "alice")
            .refuses("otto", "forbidden")
            .bad_target("000.p/3", "0.p/3", "path")
            .bad_target("000.p/3", "../../procura.db", "path"),
        c("GET", "/v1/ledger/proof/{id}", format!("/v1/ledger/proof/{entry}"), "alice")
            .refuses("adam", "forbidden")
            .bad_target(&entry, "0", "entry"),
        c("POST", "/v1/devices/{thumbprint}/revoke", format!("/v1/devices/{}/revoke", actors.device("baker")), "adam")
            .refuses("otto", "forbidden")
            .bad_target(&actors.device("baker"), "x", "device"),
        c("POST", "/v1/devices/{thumbprint}/revoke", format!("/v1/devices/{}/revoke", actors.device("bert")), "alice")
            .refuses("adam", "forbidden")
            .bad_target(&actors.device("bert"), "x", "device"),
        c("DELETE", "/v1/operators/{name}", "/v1/operators/otto", "alice")
            .refuses("adam", "forbidden")
            .bad_target("otto", "o%00", "label"),
        c("GET", "/v1/status", "/v1/status?deep=true", "alice").refuses("adam", "forbidden"),
        c("POST", "/v1/seal", "/v1/seal", "alice").refuses("adam", "forbidden"),
    ]
}
