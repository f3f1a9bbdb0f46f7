//! The record, and what is told of it.

use super::{Case, c, plain};
use crate::actors::Actors;
use serde_json::{Value, json};

pub(super) async fn cases(actors: &Actors) -> Vec<Case> {
    let entries = actors
        .ok("alice", "GET", "/v1/ledger/entries?limit=1", Value::Null)
        .await;
    let entry: Value =
        serde_json::from_str(entries["entries"][0]["entry"].as_str().unwrap()).unwrap();
    let entry = entry["id"].as_str().unwrap().to_owned();
    vec![
        c("GET", "/v1/events", "/v1/events?follow=false", "otto")
            .bad_target("follow=false", "follow=maybe", "query")
            .bad_target("follow=false", "follow=false&after=-1", "query")
            .bad_target("follow=false", "follow=false&namespace=shop", "query"),
        plain("GET", "/v1/ledger/handovers", "scribe"),
        plain("GET", "/v1/ledger/checkpoint", "scribe"),
        plain("GET", "/v1/ledger/retention", "scribe"),
        plain("PUT", "/v1/ledger/retention", "alice")
            .body(json!({"keep_days": 400}))
            .refuses("adam", "forbidden")
            .bad_body(json!({"keep_days": 6}), "malformed", Some("keep_days"))
            .bad_body(json!({"keep_days": 36_501}), "malformed", Some("keep_days"))
            .bad_body(json!({"keep_days": 7, "for": "now"}), "invalid_json", None)
            .bad_body(json!({}), "invalid_json", Some("keep_days")),
        plain("GET", "/v1/ledger/forgotten", "alice").refuses("adam", "forbidden"),
        c(
            "GET",
            "/v1/ledger/consistency",
            "/v1/ledger/consistency?from=1&to=3",
            "scribe",
        )
        .bad_target("to=3", "to=all", "query")
        .bad_target("&to=3", "", "query"),
        c(
            "GET",
            "/v1/ledger/entries",
            "/v1/ledger/entries?limit=1",
            "alice",
        )
        .refuses("otto", "forbidden")
        .bad_target("limit=1", "limit=", "query")
        .bad_target("limit=1", "since=yesterday", "query"),
        c(
            "GET",
            "/v1/ledger/entries",
            "/v1/ledger/entries?namespace=shop",
            "otto",
        )
        .refuses("adam", "forbidden")
        .bad_target("namespace=shop", "namespace=Shop", "query")
        .bad_target("namespace=shop", "namespace=shop&actor=x", "query"),
        c(
            "GET",
            "/v1/ledger/tile/{path}",
            "/v1/ledger/tile/0/000.p/3",
            "alice",
        )
        .refuses("otto", "forbidden")
        .bad_target("000.p/3", "0.p/3", "path")
        .bad_target("000.p/3", "../../procura.db", "path"),
        c(
            "GET",
            "/v1/ledger/proof/{id}",
            format!("/v1/ledger/proof/{entry}"),
            "alice",
        )
        .refuses("adam", "forbidden")
        .bad_target(&entry, "0", "entry"),
    ]
}
