//! Decoys, and what was held because it touched one.

use super::{Case, c, plain};
use crate::actors::{Actors, value_b64};
use crate::honey::touch_of;
use procura_crypto::SystemEntropy;
use procura_directory::Suspect;
use procura_types::{ActorId, CanaryId, Thumbprint};
use procura_vault::commit_touches;
use serde_json::json;

/// A device and an id of another system that touched a decoy.
async fn in_quarantine(actors: &Actors) -> (String, String) {
    let open = actors.world.app.open().unwrap();
    let (device, id) = (Thumbprint::from_bytes([7; 32]), "mole.7");
    let now = actors.world.now();
    let entropy = SystemEntropy;
    let touch = |suspect| {
        let canary = CanaryId::generate(now, &entropy).unwrap();
        touch_of(actors, suspect, canary, ActorId::from_bytes([7; 32]))
    };
    let touches = [
        touch(Suspect::Device(device)),
        touch(Suspect::Foreign(id.parse().unwrap())),
    ];
    let (store, directory) = (open.vault.store(), &open.directory);
    let clock = actors.world.clock.as_ref();
    let done = commit_touches(store, directory, &touches, clock, &entropy).await;
    assert!(done.unwrap());
    (device.to_string(), id.to_owned())
}

pub(super) async fn cases(actors: &Actors) -> Vec<Case> {
    let held = in_quarantine(actors).await;
    vec![
        plain("GET", "/v1/honey", "alice").refuses("adam", "forbidden"),
        c(
            "PUT",
            "/v1/honey/{ns}/{path}",
            "/v1/honey/shop/prod/aws",
            "alice",
        )
        .body(json!({"shape": "aws", "mode": "bait", "env": "AWS"}))
        .refuses("adam", "forbidden")
        .bad_target("prod/aws", "prod//aws", "path")
        .bad_target("shop", "Shop", "namespace")
        .bad_body(json!({}), "malformed", Some("shape"))
        .bad_body(
            json!({"shape": "aws", "value_b64": value_b64()}),
            "malformed",
            Some("shape"),
        )
        .bad_body(json!({"shape": "gcp"}), "invalid_json", None)
        .bad_body(
            json!({"shape": "aws", "mode": "shout"}),
            "invalid_json",
            None,
        )
        .bad_body(
            json!({"shape": "aws", "env": "LD_PRELOAD"}),
            "malformed",
            Some("env"),
        )
        .bad_body(json!({"value_b64": ""}), "malformed", Some("value_b64")),
        plain("POST", "/v1/honey/which", "alice")
            .body(json!({"value_b64": value_b64()}))
            .refuses("adam", "forbidden")
            .bad_body(json!({"value_b64": "+"}), "malformed", Some("value_b64"))
            .bad_body(json!({}), "invalid_json", Some("value_b64")),
        c(
            "DELETE",
            "/v1/honey/{ns}/{path}",
            "/v1/honey/shop/prod/aws",
            "alice",
        )
        .refuses("adam", "forbidden")
        .bad_target("prod/aws", "prod/../aws", "path"),
        plain("GET", "/v1/quarantine", "alice").refuses("adam", "forbidden"),
        c(
            "POST",
            "/v1/devices/{thumbprint}/reinstate",
            format!("/v1/devices/{}/reinstate", held.0),
            "alice",
        )
        .refuses("adam", "forbidden")
        .bad_target(&held.0, "x", "device"),
        c(
            "POST",
            "/v1/quarantine/{agent_id}/reinstate",
            format!("/v1/quarantine/{}/reinstate", held.1),
            "alice",
        )
        .refuses("adam", "forbidden")
        .bad_target(&held.1, "a..b", "agent_id"),
    ]
}
