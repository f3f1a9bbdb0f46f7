//! The calls about identities at identity providers.

use super::{Case, c};
use crate::actors::Actors;
use crate::oidc::link_proof;
use serde_json::{Value, json};

pub(super) async fn cases(actors: &Actors) -> Vec<Case> {
    const LIST: &str = "/v1/operators/otto/identities";
    const TEMPLATE: &str = "/v1/operators/{name}/identities";
    let before = json!({"proof": link_proof(actors, "otto-before")});
    let linked: Value = actors.ok("otto", "POST", LIST, before).await;
    let id = linked["id"].as_str().unwrap();
    vec![
        c("GET", TEMPLATE, LIST, "otto")
            .refuses("adam", "not_found")
            .bad_target("otto", "Otto", "label"),
        c("POST", TEMPLATE, LIST, "otto")
            .body(json!({"proof": link_proof(actors, "otto-1")}))
            .refuses("alice", "not_found")
            .bad_target("otto", "Otto", "label")
            .bad_body(json!({"proof": 7}), "invalid_json", None)
            .bad_body(json!({}), "invalid_json", Some("proof")),
        c(
            "DELETE",
            "/v1/operators/{name}/identities/{id}",
            format!("{LIST}/{id}"),
            "otto",
        )
        .refuses("adam", "not_found")
        .bad_target(id, "x", "identity"),
    ]
}
