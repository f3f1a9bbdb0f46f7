//! The calls by which operators answer devices that ask.

use super::{Case, c};
use crate::actors::Actors;
use crate::device_grants::Host;
use serde_json::json;

pub(super) async fn cases(actors: &Actors) -> Vec<Case> {
    const NS: &str = "/v1/namespaces/shop";
    let asking = Host::asks(&actors.world).await;
    let refused_host = Host::asks(&actors.world).await;
    vec![
        c(
            "GET",
            "/v1/namespaces/{ns}/device-grants",
            format!("{NS}/device-grants"),
            "anna",
        )
        .refuses("otto", "forbidden")
        .bad_target("shop", "Shop", "namespace"),
        c(
            "POST",
            "/v1/namespaces/{ns}/device-grants/show",
            format!("{NS}/device-grants/show"),
            "anna",
        )
        .body(json!({"user_code": asking.user_code}))
        .refuses("otto", "forbidden")
        .bad_body(
            json!({"user_code": "WDJB-MJH"}),
            "invalid_json",
            Some("user_code"),
        )
        .bad_body(
            json!({"user_code": "WDJB-MJHA"}),
            "invalid_json",
            Some("user_code"),
        )
        .bad_body(json!({"user_code": 7}), "invalid_json", None)
        .bad_body(json!({}), "invalid_json", Some("user_code")),
        c(
            "POST",
            "/v1/namespaces/{ns}/device-grants/approve",
            format!("{NS}/device-grants/approve"),
            "adam",
        )
        .body(asking.approval("baker"))
        .refuses("anna", "forbidden")
        .bad_body(
            json!({"user_code": asking.user_code, "agent": "Baker", "device": asking.device()}),
            "invalid_json",
            Some("label"),
        )
        .bad_body(
            json!({"user_code": asking.user_code, "agent": "baker"}),
            "invalid_json",
            Some("device"),
        )
        .bad_body(
            json!({"user_code": "?", "agent": "baker", "device": asking.device()}),
            "invalid_json",
            Some("user_code"),
        ),
        c(
            "POST",
            "/v1/namespaces/{ns}/device-grants/deny",
            format!("{NS}/device-grants/deny"),
            "anna",
        )
        .body(json!({"user_code": refused_host.user_code}))
        .refuses("scribe", "forbidden")
        .bad_body(json!({"user_code": ""}), "invalid_json", Some("user_code"))
        .bad_body(json!({"code": "WDJB-MJHT"}), "invalid_json", None),
    ]
}
