//! Keys that wrap and unwrap for agents.

use super::{Case, NS, c};
use crate::actors::{Actors, value_b64};
use procura_types::encoding;
use serde_json::json;

pub(super) async fn cases(actors: &Actors) -> Vec<Case> {
    let transit = format!("{NS}/transit/unseal");
    actors
        .ok("adam", "PUT", &transit, json!({"agents": ["baker"]}))
        .await;
    let wrap = json!({"value_b64": value_b64(), "context": "AA"});
    let wrapped = actors
        .ok("baker", "POST", &format!("{transit}/wrap"), wrap)
        .await;
    vec![
        c(
            "PUT",
            "/v1/namespaces/{ns}/transit/{key}",
            format!("{NS}/transit/unseal"),
            "adam",
        )
        .body(json!({"agents": ["baker"]}))
        .refuses("anna", "forbidden")
        .bad_target("unseal", "Unseal", "label")
        .bad_body(json!({"agents": ["nobody"]}), "malformed", Some("agents"))
        .bad_body(json!({}), "invalid_json", Some("agents")),
        c(
            "GET",
            "/v1/namespaces/{ns}/transit",
            format!("{NS}/transit"),
            "otto",
        )
        .refuses("scribe", "forbidden"),
        c(
            "POST",
            "/v1/namespaces/{ns}/transit/{key}/wrap",
            format!("{NS}/transit/unseal/wrap"),
            "baker",
        )
        .body(json!({"value_b64": value_b64(), "context": "AA"}))
        .refuses("scribe", "not_found")
        .bad_target("unseal", "Unseal", "label")
        .bad_body(
            json!({"value_b64": "", "context": ""}),
            "malformed",
            Some("value_b64"),
        )
        .bad_body(
            json!({"value_b64": encoding::b64url(&[1; 257]), "context": ""}),
            "malformed",
            Some("value_b64"),
        )
        .bad_body(
            json!({"value_b64": "AA", "context": encoding::b64url(&[1; 257])}),
            "malformed",
            Some("context"),
        )
        .bad_body(json!({"value_b64": "AA"}), "invalid_json", Some("context")),
        c(
            "POST",
            "/v1/namespaces/{ns}/transit/{key}/unwrap",
            format!("{NS}/transit/unseal/unwrap"),
            "baker",
        )
        .body(json!({"wrapped": wrapped["wrapped"], "context": "AA"}))
        .refuses("scribe", "not_found")
        .bad_target("unseal", "Unseal", "label")
        .bad_body(
            json!({"wrapped": "AA", "context": encoding::b64url(&[1; 257])}),
            "malformed",
            Some("context"),
        )
        .bad_body(json!({"context": ""}), "invalid_json", None)
        .bad_body(
            json!({"wrapped": "AA", "context": ""}),
            "wrapped_key_refused",
            None,
        ),
        c(
            "DELETE",
            "/v1/namespaces/{ns}/transit/{key}",
            format!("{NS}/transit/unseal"),
            "adam",
        )
        .refuses("otto", "forbidden")
        .bad_target("unseal", "Unseal", "label"),
    ]
}
