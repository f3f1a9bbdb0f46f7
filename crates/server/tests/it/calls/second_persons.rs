//! The calls about rules of approval, break-glass accounts and API keys.

use super::{Case, c, plain};
use crate::actors::Actors;
use crate::api_keys::api_key;
use crate::second_persons::account;
use procura_crypto::{SigningKey, SystemEntropy};
use serde_json::{Value, json};

pub(super) async fn cases(actors: &Actors) -> Vec<Case> {
    // Its key is the one that calls.
    let night = account(actors, "night", actors.key("night"), 60);
    actors.ok("alice", "POST", "/v1/break-glass", night).await;
    let other = SigningKey::generate_p256(&SystemEntropy).unwrap();
    let day = account(actors, "day", &other, 60);
    let with = |body: &Value, name: &str, value: Value| {
        let mut body = body.clone();
        body[name] = value;
        body
    };
    let first = SigningKey::generate_ed25519(&SystemEntropy).unwrap();
    let made = api_key(actors, "otto", "first", &first, &["secret.list"]);
    let keys = "/v1/operators/otto/api-keys";
    actors.ok("otto", "POST", keys, made).await;
    let second = SigningKey::generate_ed25519(&SystemEntropy).unwrap();
    let new = api_key(actors, "otto", "second", &second, &["secret.list"]);
    let device = first.public().thumbprint().to_string();
    vec![
        plain("GET", "/v1/approval-rules", "alice").refuses("adam", "forbidden"),
        c(
            "PUT",
            "/v1/approval-rules/{act}",
            "/v1/approval-rules/rotate_root",
            "alice",
        )
        .body(json!({"needs": 1}))
        .refuses("adam", "forbidden")
        .bad_target("rotate_root", "rotate", "act")
        .bad_body(json!({"needs": 0}), "malformed", Some("needs"))
        // There is one steward.
        .bad_body(json!({"needs": 2}), "malformed", Some("needs"))
        .bad_body(json!({"needs": 256}), "invalid_json", None)
        .bad_body(json!({}), "invalid_json", Some("needs")),
        plain("GET", "/v1/break-glass", "alice").refuses("adam", "forbidden"),
        plain("POST", "/v1/break-glass", "alice")
            .body(day.clone())
            .refuses("adam", "forbidden")
            .bad_body(
                with(&day, "minutes", json!(4)),
                "malformed",
                Some("minutes"),
            )
            .bad_body(
                with(&day, "minutes", json!(1441)),
                "malformed",
                Some("minutes"),
            )
            .bad_body(
                with(&day, "key", json!({"kty": "EC", "crv": "P-256", "x": "AA"})),
                "malformed",
                Some("key"),
            )
            .bad_body(
                with(&day, "name", json!("Day")),
                "invalid_json",
                Some("label"),
            )
            .bad_body(json!({}), "invalid_json", Some("name")),
        c(
            "POST",
            "/v1/break-glass/{name}/use",
            "/v1/break-glass/night/use",
            "night",
        )
        .body(json!({}))
        .refuses("adam", "not_found")
        .bad_target("night", "Night", "label")
        .bad_body(json!({"proposal": 7}), "invalid_json", None)
        .bad_body(json!({"why": "so"}), "invalid_json", None),
        c("GET", "/v1/operators/{name}/api-keys", keys, "otto")
            .refuses("adam", "not_found")
            .bad_target("otto", "Otto", "label"),
        c("POST", "/v1/operators/{name}/api-keys", keys, "otto")
            .body(new.clone())
            .refuses("alice", "not_found")
            .bad_target("otto", "Otto", "label")
            .bad_body(
                with(&new, "actions", json!([])),
                "malformed",
                Some("actions"),
            )
            .bad_body(
                with(&new, "actions", json!(["request.approve"])),
                "malformed",
                Some("actions"),
            )
            .bad_body(
                with(&new, "namespaces", json!([])),
                "malformed",
                Some("namespaces"),
            )
            .bad_body(with(&new, "life", json!(59)), "malformed", Some("life"))
            .bad_body(
                with(&new, "life", json!(31_536_001)),
                "malformed",
                Some("life"),
            )
            .bad_body(
                with(&new, "namespaces", json!(["Shop"])),
                "invalid_json",
                Some("namespace"),
            )
            .bad_body(json!({}), "invalid_json", Some("name")),
        c(
            "DELETE",
            "/v1/operators/{name}/api-keys/{device}",
            format!("{keys}/{device}"),
            "otto",
        )
        .refuses("adam", "not_found")
        .bad_target(&device, "x", "device"),
    ]
}
