//! What devices prove of themselves and of their hosts, and the releases that they are
//! held against.

use super::{Case, NS, c, plain};
use crate::actors::Actors;
use crate::attestations::{Daemon, release, with_quote};
use procura_types::ExeDigest;
use serde_json::json;

pub(super) async fn cases(actors: &Actors) -> Vec<Case> {
    let attested = serde_json::to_value(Daemon::start(actors, "scribe").put().await).unwrap();
    let (chip, said, digest) = with_quote(actors, "baker").await;
    let (chip, said) = (chip.to_string(), said.to_string());
    let released = ExeDigest::from_bytes([1; 32]).to_string();
    let (vkey, note) = release();
    vec![
        plain("POST", "/v1/sessions", "scribe")
            .body(json!({"audience": "procura"}))
            .bad_body(
                json!({"audience": "another"}),
                "malformed",
                Some("audience"),
            )
            .bad_body(
                json!({"audience": "gate:shop"}),
                "malformed",
                Some("audience"),
            )
            .bad_body(
                json!({"audience": "gate:Shop/till"}),
                "malformed",
                Some("audience"),
            )
            .bad_body(json!({}), "invalid_json", Some("audience")),
        // Before another challenge takes the place of the one that it was signed for.
        plain("POST", "/v1/attestations", "scribe")
            .body(attested)
            .refuses("adam", "not_found")
            .bad_body(json!({}), "invalid_json", Some("statement"))
            .bad_body(
                json!({"statement": {}, "signature": "AA"}),
                "invalid_json",
                Some("installation"),
            ),
        plain("POST", "/v1/attestations/challenge", "scribe")
            .body(json!({}))
            .refuses("adam", "not_found")
            .bad_body(json!({"tpm": {"ek": 7}}), "invalid_json", None)
            .bad_body(json!({"chip": {}}), "invalid_json", None),
        c(
            "GET",
            "/v1/namespaces/{ns}/attestations",
            format!("{NS}/attestations"),
            "otto",
        )
        .refuses("scribe", "forbidden")
        .bad_target("shop", "Shop", "namespace"),
        c(
            "PUT",
            "/v1/namespaces/{ns}/devices/{thumbprint}/baseline",
            format!("{NS}/devices/{chip}/baseline"),
            "adam",
        )
        .body(json!({"attestation": said, "pcr_digest": digest}))
        .refuses("anna", "forbidden")
        .bad_target(&chip, "abc", "device")
        .bad_body(
            json!({"attestation": said}),
            "invalid_json",
            Some("pcr_digest"),
        )
        .bad_body(
            json!({"attestation": said, "pcr_digest": "AB"}),
            "invalid_json",
            Some("sha256"),
        ),
        c(
            "DELETE",
            "/v1/namespaces/{ns}/devices/{thumbprint}/baseline",
            format!("{NS}/devices/{chip}/baseline"),
            "adam",
        )
        .refuses("anna", "forbidden")
        .bad_target(&chip, "abc", "device"),
        c(
            "POST",
            "/v1/namespaces/{ns}/attestations/{id}/revoke",
            format!("{NS}/attestations/{said}/revoke"),
            "adam",
        )
        .refuses("otto", "forbidden")
        .bad_target(&said, "7", "attestation"),
        plain("GET", "/v1/release-keys", "alice").refuses("adam", "forbidden"),
        plain("POST", "/v1/release-keys", "alice")
            .body(json!({"vkey": vkey}))
            .refuses("adam", "forbidden")
            .bad_body(json!({"vkey": "a+b+c"}), "malformed", Some("vkey"))
            .bad_body(json!({}), "invalid_json", Some("vkey")),
        plain("GET", "/v1/releases", "alice").refuses("adam", "forbidden"),
        plain("POST", "/v1/releases", "alice")
            .body(json!({"note": note}))
            .refuses("adam", "forbidden")
            .bad_body(json!({"note": 7}), "invalid_json", None)
            .bad_body(json!({}), "invalid_json", Some("note")),
        c(
            "POST",
            "/v1/releases/{sha256}/withdraw",
            format!("/v1/releases/{released}/withdraw"),
            "alice",
        )
        .refuses("adam", "forbidden")
        .bad_target(&released, "0101", "sha256"),
        c(
            "DELETE",
            "/v1/release-keys",
            "/v1/release-keys?name=release.example.com",
            "alice",
        )
        .refuses("adam", "forbidden")
        .bad_target("name=", "key=", "query"),
    ]
}
