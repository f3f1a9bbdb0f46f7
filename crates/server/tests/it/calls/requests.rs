//! Requests, the answers of people, and the grants that come of them.

use super::{Case, NS, c};
use crate::actors::Actors;
use serde_json::json;

pub(super) async fn cases(actors: &Actors) -> Vec<Case> {
    let (grant, [first, second]) = (&actors.grant, &actors.waiting);
    let approval = actors.approval(first, "anna").await;
    let mut late = approval.clone();
    late["until"] = json!("tomorrow");
    vec![
        c(
            "GET",
            "/v1/namespaces/{ns}/requests",
            format!("{NS}/requests?limit=1"),
            "anna",
        )
        .refuses("scribe", "forbidden")
        .bad_target("limit=1", "after=x", "query"),
        c(
            "GET",
            "/v1/namespaces/{ns}/requests/{id}",
            format!("{NS}/requests/{first}"),
            "scribe",
        )
        .refuses("baker", "forbidden")
        .bad_target(first, &first.to_uppercase(), "request"),
        c(
            "POST",
            "/v1/namespaces/{ns}/requests/{id}/approve",
            format!("{NS}/requests/{first}/approve"),
            "anna",
        )
        .body(approval)
        .refuses("adam", "forbidden")
        .bad_target(first, "none", "request")
        .bad_body(late, "invalid_json", Some("time"))
        .bad_body(json!({}), "invalid_json", Some("from")),
        c(
            "POST",
            "/v1/namespaces/{ns}/requests/{id}/deny",
            format!("{NS}/requests/{second}/deny"),
            "anna",
        )
        .refuses("adam", "forbidden")
        .bad_target(second, "none", "request"),
        c(
            "GET",
            "/v1/namespaces/{ns}/grants",
            format!("{NS}/grants?limit=1"),
            "otto",
        )
        .refuses("scribe", "forbidden")
        .bad_target("limit=1", "before=1", "query"),
        c(
            "GET",
            "/v1/namespaces/{ns}/grants/{id}",
            format!("{NS}/grants/{grant}"),
            "otto",
        )
        .refuses("scribe", "forbidden")
        .bad_target(grant, "7", "grant"),
        c(
            "POST",
            "/v1/namespaces/{ns}/grants/{id}/withdraw",
            format!("{NS}/grants/{grant}/withdraw"),
            "anna",
        )
        .refuses("otto", "forbidden")
        .bad_target(grant, "7", "grant"),
    ]
}
