//! Proofs that are not good, and a server that cannot tell.

use super::scene::{API, AUDIT, By, LIST, SSH, Scene};
use crate::world::{Sent, World};
use procura_types::Duration;
use serde_json::{Value, json};
use std::fs;

#[tokio::test]
async fn each_failing_of_a_proof_has_its_reason() {
    let scene = Scene::set().await;
    scene.granted(SSH).await;
    for target in [SSH, API, LIST, AUDIT, "/keys/ssh/nothing"] {
        let bare = Sent::new("GET", target, None);
        scene.send(&bare).await.unproven("missing_headers", target);
        let good = || scene.proven("Scribe.1", By::KeyServerV1, target);
        for missing in ["x-timestamp", "x-nonce", "x-signature", "x-agent-id"] {
            let mut sent = good();
            sent.headers.retain(|(name, _)| name != missing);
            scene.send(&sent).await.unproven("missing_headers", missing);
        }
        for (name, value, reason) in [
            ("x-agent-id", "a/b", "malformed"),
            ("x-agent-id", "nobody", "unknown_agent"),
            ("x-timestamp", "yesterday", "malformed"),
            ("x-nonce", "zz", "malformed"),
            (
                "x-nonce",
                "00112233445566778899aabbccddeeff",
                "bad_signature",
            ),
            ("x-signature", "", "malformed"),
            ("x-signature", "AAAA", "bad_signature"),
        ] {
            let mut sent = good();
            sent.set(name, |_| value.to_owned());
            scene.send(&sent).await.unproven(reason, name);
        }
        let mut two = good();
        two.headers
            .push(("x-agent".to_owned(), "Scribe.1".to_owned()));
        scene.send(&two).await.unproven("malformed", "two profiles");
        for away in [301, 400] {
            let then = scene.now();
            scene.actors.world.clock.turn(Duration::from_secs(away));
            let old = scene.proven_at("Scribe.1", By::KeyServerV1, target, then);
            let answer = scene.send(&old).await;
            answer.unproven("timestamp_out_of_window", target);
        }
        let elsewhere = scene.proven("Scribe.1", By::KeyServerV1, "/keys/ssh/other");
        let moved = Sent {
            target: target.to_owned(),
            ..elsewhere
        };
        scene.send(&moved).await.unproven("bad_signature", target);
    }
    scene.get("Scribe.1", SSH).await.is_key("still");
}

#[tokio::test]
async fn nobody_is_let_in_when_it_cannot_be_told_who_they_are() {
    let scene = Scene::set().await;
    scene.granted(SSH).await;
    let unavailable = |reason: &str| json!({"error": "service_unavailable", "reason": reason});
    // The directory of keys cannot be read.
    let home = scene.actors.world.home.path();
    let (keys, aside) = (home.join("keys"), home.join("aside"));
    fs::rename(&keys, &aside).unwrap();
    fs::write(&keys, "not a directory").unwrap();
    let answer = scene.get("Scribe.1", SSH).await;
    answer.is(503, &unavailable("verifier_unavailable"), "no directory");
    fs::remove_file(&keys).unwrap();
    fs::rename(&aside, &keys).unwrap();
    scene.get("Scribe.1", SSH).await.is_key("there again");
    // Sealed: for everybody, and nothing is used up.
    let sent = scene.proven("Scribe.1", By::KeyServerV1, SSH);
    scene.actors.world.seal().await;
    for target in [SSH, API, LIST, AUDIT] {
        let bare = Sent::new("GET", target, None);
        let answer = scene.send(&bare).await;
        answer.is(503, &unavailable("sealed"), target);
    }
    let answer = scene.send(&sent).await;
    answer.is(503, &unavailable("sealed"), "proven");
    scene.actors.world.unseal().await;
    scene.send(&sent).await.is_key("open again");
    let empty = World::empty();
    let answer = empty.send(&Sent::new("GET", SSH, None)).await;
    answer.is(503, &unavailable("not_initialised"), "empty");
}

#[tokio::test]
async fn a_value_that_is_no_text_is_no_key_of_an_api() {
    let scene = Scene::set().await;
    scene.granted(API).await;
    scene.granted(SSH).await;
    scene.put("api/openai", b"\xff\xfe").await;
    scene.put("ssh/deploy", b"\xff\xfe").await;
    let answer = scene.get("Scribe.1", API).await;
    answer.is(500, &json!({"error": "internal"}), "not UTF-8");
    // What is not JSON is handed on as it is.
    let answer = scene.get("Scribe.1", SSH).await;
    assert_eq!(
        (answer.status.as_u16(), answer.body),
        (200, b"\xff\xfe".to_vec())
    );
}

#[tokio::test]
async fn a_deleted_key_is_none() {
    let scene = Scene::set().await;
    scene.granted(SSH).await;
    let target = "/v1/namespaces/shop/secrets/ssh/deploy";
    scene.actors.ok("adam", "DELETE", target, Value::Null).await;
    let answer = scene.get("Scribe.1", SSH).await;
    answer.is(404, &super::scene::no_key(), "deleted");
    let none = json!({"ssh_keys": [], "api_services": []});
    scene.get("Scribe.1", LIST).await.is(200, &none, "deleted");
}
