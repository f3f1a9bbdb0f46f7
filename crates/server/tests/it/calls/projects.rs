//! Projects.

use super::{Case, NS, c};
use serde_json::json;

pub(super) fn cases() -> Vec<Case> {
    vec![
        c(
            "PUT",
            "/v1/namespaces/{ns}/projects/{name}",
            format!("{NS}/projects/cron"),
            "adam",
        )
        .body(json!({"agents": ["scribe"], "env": {"KEY": "db/password"}}))
        .refuses("anna", "forbidden")
        .bad_target("cron", "cr_on", "project")
        .bad_body(json!({"agents": ["Scribe"]}), "invalid_json", Some("label"))
        .bad_body(json!({"agents": ["nobody"]}), "malformed", Some("agents"))
        .bad_body(
            json!({"env": {"A-B": "db/password"}}),
            "invalid_json",
            Some("env"),
        )
        .bad_body(
            json!({"env": {"GLIBC_TUNABLES": "db/password"}}),
            "malformed",
            Some("env"),
        )
        .bad_body(json!({"env": {"KEY": "/db"}}), "invalid_json", Some("path")),
        c(
            "GET",
            "/v1/namespaces/{ns}/projects",
            format!("{NS}/projects"),
            "otto",
        )
        .refuses("scribe", "forbidden"),
        c(
            "GET",
            "/v1/namespaces/{ns}/projects/{name}",
            format!("{NS}/projects/cron"),
            "otto",
        )
        .refuses("scribe", "forbidden")
        .bad_target("cron", "CRON", "project"),
        c(
            "PUT",
            "/v1/namespaces/{ns}/projects/{name}/require-grade",
            format!("{NS}/projects/cron/require-grade"),
            "adam",
        )
        .body(json!({"grade": "quoted"}))
        .refuses("anna", "forbidden")
        .bad_target("cron", "Cron", "project")
        .bad_body(json!({"grade": "best"}), "invalid_json", None)
        .bad_body(json!({}), "invalid_json", Some("grade")),
        c(
            "PUT",
            "/v1/namespaces/{ns}/projects/{name}/display-name",
            format!("{NS}/projects/cron/display-name"),
            "adam",
        )
        .body(json!({"display_name": "By the clock"}))
        .refuses("otto", "forbidden")
        .bad_target("cron", "CRON", "project")
        .bad_body(
            json!({"display_name": " cron"}),
            "invalid_json",
            Some("display_name"),
        )
        .bad_body(json!({}), "invalid_json", Some("display_name")),
        c(
            "POST",
            "/v1/namespaces/{ns}/projects/{name}/rebind",
            format!("{NS}/projects/cron/rebind"),
            "adam",
        )
        .body(json!({"agents": ["baker"], "env": {"KEY": "db/password"}}))
        .refuses("anna", "forbidden")
        .bad_target("cron", "cr%2Fon", "project")
        .bad_body(json!({"env": {}}), "invalid_json", Some("agents")),
        c(
            "DELETE",
            "/v1/namespaces/{ns}/projects/{name}",
            format!("{NS}/projects/cron"),
            "adam",
        )
        .refuses("otto", "forbidden")
        .bad_target("cron", "..", "project"),
    ]
}
