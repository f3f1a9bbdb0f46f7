//! A backup that is being sent ends within a second for whoever might not begin it any
//! more, and what came until then is none.

use crate::actors::{Actors, join_body};
use crate::servers::{PROMISED, soon};
use axum::body::Body;
use http_body_util::BodyExt as _;
use procura_crypto::{SigningKey, SystemEntropy};
use procura_store::backup::{BackupEnd, BackupFault, BackupReader};
use procura_types::{LinkCodeText, encoding};
use serde_json::{Value, json};
use std::time::Duration;

/// More than waits for a client that takes nothing.
const VALUES: usize = 6;

/// What happens to the steward meanwhile.
#[derive(Debug, Clone, Copy)]
enum Meanwhile {
    Nothing,
    OnHold,
    DeviceRevoked,
    NoStewardAnyMore,
    Sealed,
}

/// An installation with so much in it that a backup does not fit between server and
/// client, and a steward besides alice.
async fn filled() -> (Actors, SigningKey) {
    let actors = Actors::new().await;
    let value = json!({"value_b64": encoding::b64url(&vec![b'x'; 1024 * 1024])});
    for number in 0..VALUES {
        let target = format!("/v1/namespaces/shop/secrets/large/{number}");
        actors.ok("adam", "PUT", &target, value.clone()).await;
    }
    let invitation = json!({"name": "bea", "roles": [
        {"role": "steward"},
        {"role": "admin", "namespace": "shop"},
    ]});
    let code = actors
        .ok("alice", "POST", "/v1/operators", invitation)
        .await;
    let code = LinkCodeText::parse(code["code"].as_str().unwrap()).unwrap();
    let bea = SigningKey::generate_p256(&SystemEntropy).unwrap();
    let body = serde_json::to_vec(&join_body(&code, &bea)).unwrap();
    let sent = crate::world::Sent::new("POST", "/v1/join", Some(&body));
    let answer = actors.world.send(&sent).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    (actors, bea)
}

async fn begun(actors: &Actors, key: &SigningKey) -> Body {
    let sent = actors.world.signed(key, "GET", "/v1/backup", None);
    let response = actors.world.response(&sent).await;
    assert_eq!(response.status(), 200);
    response.into_body()
}

async fn happens(what: Meanwhile, actors: &Actors, bea: &SigningKey) {
    let device = bea.public().thumbprint();
    match what {
        Meanwhile::Nothing => {}
        Meanwhile::OnHold => {
            let target = format!("/v1/devices/{device}/hold");
            actors.ok("alice", "POST", &target, Value::Null).await;
        }
        Meanwhile::DeviceRevoked => {
            let target = format!("/v1/devices/{device}/revoke");
            actors.world.ok(bea, "POST", &target, Value::Null).await;
        }
        Meanwhile::NoStewardAnyMore => {
            let roles = json!({"roles": []});
            let target = "/v1/operators/bea/roles";
            actors.world.ok(bea, "PUT", target, roles).await;
        }
        Meanwhile::Sealed => actors.world.seal().await,
    }
}

/// What came, and whether it was broken off.
async fn rest(mut body: Body, mut bytes: Vec<u8>) -> (Vec<u8>, bool) {
    while let Some(frame) = body.frame().await {
        match frame {
            Ok(frame) => bytes.extend(frame.into_data().unwrap()),
            Err(_) => return (bytes, true),
        }
    }
    (bytes, false)
}

fn read(bytes: &[u8]) -> Result<BackupEnd, BackupFault> {
    BackupReader::new(bytes)?.to_end()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_may_not_begin_a_backup_any_more_does_not_get_the_rest_of_one() {
    for what in [
        Meanwhile::Nothing,
        Meanwhile::OnHold,
        Meanwhile::DeviceRevoked,
        Meanwhile::NoStewardAnyMore,
        Meanwhile::Sealed,
    ] {
        let (actors, bea) = filled().await;
        let mut body = begun(&actors, &bea).await;
        let first = body.frame().await.unwrap().unwrap();
        let first = first.into_data().unwrap().to_vec();
        happens(what, &actors, &bea).await;
        // Nothing is taken meanwhile: what waits is not handed out after that.
        let places = &actors.world.app.backups;
        if matches!(what, Meanwhile::Nothing) {
            tokio::time::sleep(Duration::from_secs(1)).await;
            assert_eq!(places.available_permits(), 0, "it goes on");
        } else {
            soon(&format!("its end after {what:?}"), PROMISED, async || {
                (places.available_permits() == 1).then_some(())
            })
            .await;
        }
        let length = first.len();
        let (bytes, broken) = rest(body, first).await;
        let found = read(&bytes);
        if matches!(what, Meanwhile::Nothing) {
            assert!(!broken && found.is_ok(), "{found:?}");
            assert!(bytes.len() > VALUES * 1024 * 1024);
            continue;
        }
        assert!(broken, "{what:?}: {} bytes, {found:?}", bytes.len());
        assert_eq!(bytes.len(), length, "{what:?}");
        assert!(
            matches!(found, Err(BackupFault::Partial { .. })),
            "{what:?}: {found:?}"
        );
        if matches!(what, Meanwhile::Sealed) {
            actors.world.unseal().await;
        }
        // The next one is not kept waiting by it.
        let (whole, broken) = rest(begun(&actors, actors.key("alice")).await, Vec::new()).await;
        assert!(!broken, "{what:?}");
        read(&whole).unwrap();
    }
}
