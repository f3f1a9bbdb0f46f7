//! What belongs to the installation as a whole: the keys that sign, what several stewards
//! agree to, its servers, its copies.

use super::{Case, c, plain};
use crate::actors::Actors;
use procura_crypto::SystemEntropy;
use procura_store::{Batch, Kind, Table};
use procura_types::{BatchId, InstanceId, encoding, wire};
use serde_json::{Value, json};

/// A server that was here, as a database that was shared once knows it.
async fn server_beside(actors: &Actors) -> String {
    const KNOWN: Table<String, Value> = Table::new("server-known", Kind::Ordinary);
    let (now, entropy) = (actors.world.now(), SystemEntropy);
    let id = InstanceId::generate(now, &entropy).unwrap().to_string();
    let mut batch = Batch::new(BatchId::generate(now, &entropy).unwrap());
    let row = json!({"host": "two", "since": now, "seen": now});
    KNOWN.put(&mut batch, &id, &row);
    let open = actors.world.app.open().unwrap();
    open.vault.store().commit(batch).await.unwrap();
    id
}

pub(super) async fn cases(actors: &Actors) -> Vec<Case> {
    let keys = actors
        .ok("alice", "GET", "/v1/signing-keys", Value::Null)
        .await;
    let kid = keys["keys"][0]["kid"].as_str().unwrap().to_owned();
    let act = json!({"act": {"make_shares": {"name": "shares", "threshold": 2, "count": 3}}});
    let proposed = actors.ok("alice", "POST", "/v1/proposals", act).await;
    let proposed: wire::Proposal = serde_json::from_value(proposed).unwrap();
    let proposal = proposed.id.to_string();
    let agreed = actors
        .key("alice")
        .sign(&proposed.message(&actors.installation));
    let agreed = encoding::b64url(&agreed.unwrap());
    let beside = server_beside(actors).await;
    vec![
        c(
            "GET",
            "/v1/signing-keys",
            "/v1/signing-keys?tokens=project",
            "alice",
        )
        .refuses("adam", "forbidden")
        .bad_target("tokens=project", "tokens=all", "query"),
        c(
            "POST",
            "/v1/signing-keys/roll",
            "/v1/signing-keys/roll?tokens=agent",
            "alice",
        )
        .refuses("adam", "forbidden")
        .bad_target("tokens=agent", "token=agent", "query"),
        plain("GET", "/v1/proposals", "alice").refuses("adam", "forbidden"),
        plain("POST", "/v1/proposals", "alice")
            .body(json!({"act": {"make_shares": {"name": "recovery", "threshold": 2, "count": 3}}}))
            .refuses("adam", "forbidden")
            .bad_body(
                json!({"act": {"make_shares": {"name": "recovery", "threshold": 1, "count": 3}}}),
                "malformed",
                Some("act"),
            )
            .bad_body(
                json!({"act": {"make_shares": {"name": "recovery", "threshold": 4, "count": 3}}}),
                "malformed",
                Some("act"),
            )
            .bad_body(
                json!({"act": {"make_shares": {"name": "A b", "threshold": 2, "count": 3}}}),
                "invalid_json",
                Some("label"),
            )
            .bad_body(json!({"act": "make_shares"}), "invalid_json", None),
        c(
            "POST",
            "/v1/proposals/{id}/refuse",
            format!("/v1/proposals/{proposal}/refuse"),
            "alice",
        )
        .body(json!({}))
        .refuses("adam", "forbidden")
        .bad_target(&proposal, "7", "proposal")
        .bad_body(json!({"why": "no"}), "invalid_json", None),
        c(
            "POST",
            "/v1/proposals/{id}/sign",
            format!("/v1/proposals/{proposal}/sign"),
            "alice",
        )
        .body(json!({"signature": agreed}))
        .refuses("adam", "forbidden")
        .bad_target(&proposal, "7", "proposal")
        .bad_body(json!({"signature": "!"}), "invalid_json", None),
        plain("GET", "/v1/servers", "alice").refuses("adam", "forbidden"),
        c(
            "DELETE",
            "/v1/servers/{id}",
            format!("/v1/servers/{beside}"),
            "alice",
        )
        .refuses("adam", "forbidden")
        .bad_target(&beside, "7", "instance"),
        plain("POST", "/v1/recoveries/seen", "otto")
            .body(json!({"until": "2026-11-21T20:00:00Z"}))
            .refuses("scribe", "not_found")
            .bad_body(json!({"until": "yesterday"}), "invalid_json", Some("time"))
            .bad_body(json!({}), "invalid_json", Some("until")),
        c(
            "POST",
            "/v1/signing-keys/{kid}/retire",
            format!("/v1/signing-keys/{kid}/retire"),
            "alice",
        )
        .refuses("adam", "forbidden")
        .bad_target(&kid, "x", "kid"),
        c("GET", "/v1/backup", "/v1/backup?ledger_since=1", "alice")
            .refuses("adam", "forbidden")
            .bad_target("ledger_since=1", "ledger_since=all", "query"),
        plain("GET", "/v1/rotation", "alice").refuses("adam", "forbidden"),
        c(
            "POST",
            "/v1/namespaces/{ns}/rotate",
            "/v1/namespaces/shop/rotate",
            "adam",
        )
        .refuses("otto", "forbidden")
        .bad_target("shop", "Shop", "namespace"),
    ]
}
