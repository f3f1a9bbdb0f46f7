//! The agents of a namespace.

use super::{Case, NS, c};
use serde_json::json;

pub(super) fn cases() -> Vec<Case> {
    vec![
        c(
            "GET",
            "/v1/namespaces/{ns}/agents",
            format!("{NS}/agents"),
            "otto",
        )
        .refuses("scribe", "forbidden"),
        c(
            "POST",
            "/v1/namespaces/{ns}/agents",
            format!("{NS}/agents"),
            "adam",
        )
        .body(json!({"label": "clerk", "parent": "baker"}))
        .refuses("anna", "forbidden")
        .bad_body(json!({"label": "a label"}), "invalid_json", Some("label"))
        .bad_body(
            json!({"label": "clerk", "parent": ""}),
            "invalid_json",
            Some("label"),
        )
        .bad_body(json!({"parent": "baker"}), "invalid_json", Some("label")),
        c(
            "POST",
            "/v1/namespaces/{ns}/agents/{label}/link-code",
            format!("{NS}/agents/clerk/link-code"),
            "adam",
        )
        .refuses("otto", "forbidden")
        .bad_target("clerk", "cl%20erk", "label"),
        c(
            "PUT",
            "/v1/namespaces/{ns}/agents/{label}/sources",
            format!("{NS}/agents/clerk/sources"),
            "adam",
        )
        .body(json!({"sources": ["10.0.0.0/8", "2001:db8::/48"]}))
        .refuses("otto", "forbidden")
        .bad_target("clerk", "cl%20erk", "label")
        .bad_body(
            json!({"sources": ["10.0.0.0/33"]}),
            "invalid_json",
            Some("address"),
        )
        .bad_body(
            json!({"sources": (0..33).map(|host| format!("10.0.0.{host}")).collect::<Vec<_>>()}),
            "malformed",
            Some("sources"),
        )
        .bad_body(json!({}), "invalid_json", Some("sources")),
        c(
            "PUT",
            "/v1/namespaces/{ns}/agents/{label}/display-name",
            format!("{NS}/agents/clerk/display-name"),
            "adam",
        )
        .body(json!({"display_name": null}))
        .refuses("otto", "forbidden")
        .bad_target("clerk", "cl%20erk", "label")
        .bad_body(
            json!({"display_name": "\u{202e}krelc"}),
            "invalid_json",
            Some("display_name"),
        )
        .bad_body(json!({"display_name": 7}), "invalid_json", None)
        .bad_body(json!({}), "invalid_json", Some("display_name")),
        c(
            "DELETE",
            "/v1/namespaces/{ns}/agents/{label}",
            format!("{NS}/agents/clerk"),
            "adam",
        )
        .refuses("scribe", "forbidden")
        .bad_target("clerk", "clerk-", "label"),
    ]
}
