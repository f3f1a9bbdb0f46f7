//! Policies, of a namespace and of the installation.

use super::{Case, NS, c, plain};
use serde_json::json;

pub(super) fn cases() -> Vec<Case> {
    vec![
        c("POST", "/v1/namespaces/{ns}/policies", format!("{NS}/policies"), "adam")
            .body(json!({"text": "permit(principal, action, resource);"}))
            .refuses("anna", "forbidden")
            .bad_body(json!({"text": "permit"}), "policies_flawed", None)
            .bad_body(json!({}), "invalid_json", Some("text")),
        c("GET", "/v1/namespaces/{ns}/policies", format!("{NS}/policies"), "otto").refuses("scribe", "forbidden"),
        c("GET", "/v1/namespaces/{ns}/policies/{version}", format!("{NS}/policies/1"), "anna")
            .refuses("scribe", "forbidden")
            .bad_target("policies/1", "policies/01", "version")
            .bad_target("policies/1", "policies/-1", "version"),
        c("PUT", "/v1/namespaces/{ns}/policies/{version}/state", format!("{NS}/policies/1/state"), "adam")
            .body(json!({"state": "observe"}))
            .refuses("anna", "forbidden")
            .bad_target("policies/1", "policies/one", "version")
            .bad_body(json!({"state": "force"}), "invalid_json", None)
            .bad_body(json!({}), "invalid_json", Some("state")),
        c("POST", "/v1/namespaces/{ns}/policies/{version}/rollback", format!("{NS}/policies/1/rollback"), "adam")
            .refuses("otto", "forbidden")
            .bad_target("policies/1", "policies/0", "version"),
        c("POST", "/v1/namespaces/{ns}/policies/explain", format!("{NS}/policies/explain"), "otto")
            .body(json!({"principal": "agent/scribe", "action": "run.deliver", "resource": "project/web"}))
            .refuses("scribe", "forbidden")
            .bad_body(json!({"principal": "agent/nobody", "action": "run.deliver", "resource": "project/web"}), "malformed", Some("question"))
            .bad_body(json!({"principal": "agent/scribe", "action": "run.walk", "resource": "project/web"}), "malformed", Some("question"))
            .bad_body(json!({}), "invalid_json", Some("principal")),
        c("GET", "/v1/namespaces/{ns}/policies/report", format!("{NS}/policies/report"), "otto").refuses("scribe", "forbidden"),
        plain("POST", "/v1/policies", "alice")
            .body(json!({"text": "permit(principal, action, resource);"}))
            .refuses("adam", "forbidden")
            .bad_body(json!({"text": "permit(principal, action, resource) when { context.hours > 3 };"}), "policies_flawed", None)
            .bad_body(json!({}), "invalid_json", Some("text")),
        plain("GET", "/v1/policies", "alice").refuses("adam", "forbidden"),
        c("GET", "/v1/policies/{version}", "/v1/policies/1", "alice")
            .refuses("otto", "forbidden")
            .bad_target("policies/1", "policies/1.0", "version"),
        c("PUT", "/v1/policies/{version}/state", "/v1/policies/1/state", "alice")
            .body(json!({"state": "observe"}))
            .refuses("adam", "forbidden")
            .bad_target("policies/1", "policies/one", "version")
            .bad_body(json!({"state": "force"}), "invalid_json", None),
        c("POST", "/v1/policies/{version}/rollback", "/v1/policies/1/rollback", "alice")
            .refuses("adam", "forbidden")
            .bad_target("policies/1", "policies/0", "version"),
        plain("POST", "/v1/policies/explain", "alice")
            .body(json!({"principal": "operator/adam", "action": "namespace.create", "resource": "installation"}))
            .refuses("adam", "forbidden")
            .bad_body(json!({"principal": "adam", "action": "namespace.create", "resource": "installation"}), "malformed", Some("question"))
            .bad_body(json!({}), "invalid_json", Some("principal")),
        plain("GET", "/v1/policies/report", "alice").refuses("adam", "forbidden"),
    ]
}
