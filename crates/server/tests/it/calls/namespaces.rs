//! Namespaces: what is in them, how much may be, what they are called.

use super::{Case, NS, c, plain};
use serde_json::json;

pub(super) fn cases() -> Vec<Case> {
    vec![
        plain("GET", "/v1/namespaces", "scribe"),
        plain("POST", "/v1/namespaces", "alice")
            .body(json!({"name": "dock"}))
            .refuses("adam", "forbidden")
            .bad_body(json!({"name": "Not-A-Label"}), "invalid_json", Some("namespace"))
            .bad_body(json!({}), "invalid_json", Some("name"))
            .bad_body(json!({"name": 7}), "invalid_json", None),
        c("GET", "/v1/namespaces/{ns}", "/v1/namespaces/shop", "otto")
            .refuses("scribe", "forbidden")
            .bad_target("shop", "Shop", "namespace"),
        c("PUT", "/v1/namespaces/{ns}/quota", format!("{NS}/quota"), "alice")
            .body(json!({"secrets": 100, "versions_per_secret": 50, "versions": 1000, "bytes": 1_000_000}))
            .refuses("adam", "forbidden")
            .bad_target("shop", "shop-", "namespace")
            .bad_body(json!({"secrets": -1}), "invalid_json", None)
            .bad_body(json!({"secret": 1}), "invalid_json", None),
        c("PUT", "/v1/namespaces/{ns}/display-name", format!("{NS}/display-name"), "adam")
            .body(json!({"display_name": "The shop"}))
            .refuses("anna", "forbidden")
            .bad_target("shop", "sh%00p", "namespace")
            .bad_body(json!({"display_name": "a\nb"}), "invalid_json", Some("display_name"))
            .bad_body(json!({"display_name": "\u{1b}[2J"}), "invalid_json", Some("display_name"))
            .bad_body(json!({}), "invalid_json", Some("display_name")),
        c("DELETE", "/v1/namespaces/{ns}", "/v1/namespaces/dock", "alice")
            .body(json!({"confirm": "dock"}))
            .refuses("adam", "not_found")
            .bad_target("dock", "..%2Fdock", "namespace")
            .bad_body(json!({"confirm": "deck"}), "malformed", Some("confirm"))
            .bad_body(json!({"confirm": "Dock"}), "invalid_json", Some("namespace"))
            .bad_body(json!({"force": true}), "invalid_json", None),
    ]
}
