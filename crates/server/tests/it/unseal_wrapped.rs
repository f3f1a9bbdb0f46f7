//! Sources with wrappers on the admin socket: what is refused before a wrapper is asked,
//! and what is told of one that is not there.

use crate::world::{PASSPHRASE, World};
use serde_json::json;

async fn world() -> World {
    let world = World::empty();
    let key = procura_crypto::SigningKey::generate_p256(&procura_crypto::SystemEntropy).unwrap();
    world.init(&key).await;
    world
}

fn tpm() -> serde_json::Value {
    json!({"kind": "tpm", "device": "/nonexistent/tpm", "pcrs": [7]})
}

#[tokio::test]
async fn only_sources_that_have_a_wrapper_are_opened_by_their_name() {
    let world = world().await;
    world.seal().await;
    for (name, code) in [("nobody", "not_found"), ("passphrase", "conflict")] {
        for target in ["/admin/unseal", "/admin/unseal-sources/test"] {
            let brought = json!({"source": {"name": name}});
            let body = match target {
                "/admin/unseal" => brought,
                _ => json!({"open": brought}),
            };
            let answer = world.admin("POST", target, &body).await;
            answer.expect(code, None, None, target);
        }
    }
    for body in [
        json!({"source": {}}),
        json!({"source": {"name": "A"}}),
        json!({"source": {"name": "a", "pin": "1"}}),
        json!({"source": "a"}),
    ] {
        let answer = world.admin("POST", "/admin/unseal", &body).await;
        assert_eq!(answer.json()["code"], "invalid_json", "{body}");
    }
}

#[tokio::test]
async fn what_cannot_be_asked_is_told_apart_and_changes_nothing() {
    let world = world().await;
    let credentials = "[default]\naws_access_key_id=A\naws_secret_access_key=B\n";
    let pkcs11 = |module: &str| json!({"by": {"kind": "pkcs11", "module": module, "token": "t", "key": "k"}, "credentials": "1234"});
    let kms = |endpoint: &str| json!({"by": {"kind": "kms", "key": "k", "region": "eu-central-1", "endpoint": endpoint}, "credentials": credentials});
    let of_tpm = |by: serde_json::Value| json!({"by": by});
    for (source, code) in [
        (of_tpm(tpm()), "source_unavailable"),
        (
            of_tpm(json!({"kind": "tpm", "device": "tpm", "pcrs": [7]})),
            "wrapper_unfit",
        ),
        (
            of_tpm(json!({"kind": "tpm", "device": "/etc/passwd", "pcrs": [7]})),
            "wrapper_unfit",
        ),
        (
            of_tpm(json!({"kind": "tpm", "device": "/dev/null", "pcrs": []})),
            "wrapper_unfit",
        ),
        (
            of_tpm(json!({"kind": "tpm", "device": "/dev/null", "pcrs": [7, 0]})),
            "wrapper_unfit",
        ),
        (
            of_tpm(json!({"kind": "tpm", "device": "/dev/null", "pcrs": [24]})),
            "wrapper_unfit",
        ),
        (pkcs11("/nonexistent/module.so"), "source_unavailable"),
        (pkcs11("module.so"), "wrapper_unfit"),
        (
            json!({"by": {"kind": "pkcs11", "module": "/x", "token": "t", "key": "k"}}),
            "credentials_needed",
        ),
        (kms("http://192.0.2.1"), "wrapper_unfit"),
        (kms("http://127.0.0.1:9"), "source_unavailable"),
        (
            json!({"by": {"kind": "kms", "key": "k", "region": "eu-central-1"}, "credentials": "x"}),
            "credentials_needed",
        ),
        (
            json!({"by": {"kind": "transit", "namespace": "a", "key": "b"}, "credentials": "{}"}),
            "credentials_needed",
        ),
        (
            json!({"by": {"kind": "transit", "namespace": "a", "key": "b"}}),
            "credentials_needed",
        ),
    ] {
        let body = json!({
            "open": {"passphrase": PASSPHRASE},
            "name": "late",
            "source": {"wrapped": source},
        });
        let answer = world.admin("POST", "/admin/unseal-sources", &body).await;
        assert_eq!(answer.json()["code"], code, "{body}: {}", answer.text());
    }
    let list = world
        .admin("GET", "/admin/unseal-sources", &serde_json::Value::Null)
        .await;
    assert_eq!(list.json()["sources"].as_array().unwrap().len(), 1);
    // None of them was a guess.
    let wrong = world
        .admin(
            "POST",
            "/admin/unseal-sources/test",
            &json!({"open": {"passphrase": "not the one"}}),
        )
        .await;
    assert!(
        wrong
            .text()
            .contains("(1 refused since the last right one)"),
        "{}",
        wrong.text()
    );
    // Nothing is asked of a wrapper for whoever cannot open the vault.
    let body = json!({
        "open": {"passphrase": "not the one"},
        "name": "late",
        "source": {"wrapped": {"by": tpm()}},
    });
    let answer = world.admin("POST", "/admin/unseal-sources", &body).await;
    assert_eq!(answer.json()["code"], "wrong_passphrase");
}
