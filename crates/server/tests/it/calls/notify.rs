//! Channels, and what people are told by them.

use super::{Case, c};
use crate::notify::receiver::Receiver;
use procura_types::encoding;
use serde_json::json;

pub(super) async fn cases() -> Vec<Case> {
    let receiver = Receiver::start().await;
    let at = encoding::b64url(receiver.url.as_bytes());
    // It goes on for as long as the test does.
    std::mem::forget(receiver);
    let receiver = at;
    vec![
        c(
            "PUT",
            "/v1/notify/channels/{name}",
            "/v1/notify/channels/ops?namespace=shop",
            "adam",
        )
        .body(json!({"kind": "webhook", "credential_b64": receiver}))
        .refuses("otto", "forbidden")
        .bad_target("/ops", "/Ops%20", "label")
        .bad_target("namespace=shop", "namespace=shop&x=1", "query")
        .bad_body(
            json!({"kind": "webhook", "credential_b64": "%"}),
            "malformed",
            Some("credential_b64"),
        )
        .bad_body(
            json!({"kind": "webhook"}),
            "malformed",
            Some("credential_b64"),
        )
        .bad_body(json!({"kind": "pigeon"}), "invalid_json", None),
        c(
            "GET",
            "/v1/notify/channels",
            "/v1/notify/channels?namespace=shop",
            "otto",
        )
        .refuses("anna", "forbidden")
        .bad_target("namespace=shop", "namespace=shop&x=1", "query"),
        c("GET", "/v1/notify/channels", "/v1/notify/channels", "alice")
            .refuses("adam", "forbidden")
            .bad_target("channels", "channels?x=1", "query"),
        c(
            "POST",
            "/v1/notify/channels/{name}/test",
            "/v1/notify/channels/ops/test?namespace=shop",
            "adam",
        )
        .refuses("otto", "forbidden")
        .bad_target("/ops", "/Ops%20", "label"),
        c(
            "PUT",
            "/v1/notify/routes/{name}",
            "/v1/notify/routes/all?namespace=shop",
            "adam",
        )
        .body(json!({"channel": "ops", "events": ["request"], "least": "notice"}))
        .refuses("otto", "forbidden")
        .bad_target("/all", "/All%20", "label")
        .bad_body(
            json!({"channel": "ops", "only": "shop"}),
            "malformed",
            Some("only"),
        )
        .bad_body(
            json!({"channel": "ops", "events": ["all"]}),
            "invalid_json",
            None,
        )
        .bad_body(json!({}), "invalid_json", Some("channel")),
        c(
            "GET",
            "/v1/notify/routes",
            "/v1/notify/routes?namespace=shop",
            "otto",
        )
        .refuses("anna", "forbidden")
        .bad_target("namespace=shop", "namespace=shop&x=1", "query"),
        c(
            "GET",
            "/v1/notify/queue",
            "/v1/notify/queue?namespace=shop",
            "otto",
        )
        .refuses("anna", "forbidden")
        .bad_target("namespace=shop", "namespace=shop&x=1", "query"),
        c(
            "GET",
            "/v1/notify/dead",
            "/v1/notify/dead?namespace=shop",
            "otto",
        )
        .refuses("anna", "forbidden")
        .bad_target("namespace=shop", "namespace=shop&after=7", "after"),
        c(
            "POST",
            "/v1/notify/dead/retry",
            "/v1/notify/dead/retry?namespace=shop",
            "adam",
        )
        .body(json!({"channel": "ops"}))
        .refuses("otto", "forbidden")
        .bad_body(
            json!({"channel": "ops", "entries": vec![1; 201]}),
            "malformed",
            Some("entries"),
        )
        .bad_body(json!({}), "invalid_json", Some("channel")),
        c(
            "POST",
            "/v1/notify/dead/drop",
            "/v1/notify/dead/drop?namespace=shop",
            "adam",
        )
        .body(json!({"channel": "ops", "entries": [7]}))
        .refuses("otto", "forbidden")
        .bad_body(
            json!({"channel": "ops", "entries": [-1]}),
            "invalid_json",
            None,
        ),
        c(
            "DELETE",
            "/v1/notify/routes/{name}",
            "/v1/notify/routes/all?namespace=shop",
            "adam",
        )
        .refuses("otto", "forbidden")
        .bad_target("/all", "/All%20", "label"),
        c(
            "DELETE",
            "/v1/notify/channels/{name}",
            "/v1/notify/channels/ops?namespace=shop",
            "adam",
        )
        .refuses("otto", "forbidden")
        .bad_target("/ops", "/Ops%20", "label"),
    ]
}
