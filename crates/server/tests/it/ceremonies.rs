//! Init, unseal and passphrase on the admin socket.

use crate::actors::Actors;
use crate::world::{PASSPHRASE, World, init_body};
use procura_crypto::{SigningKey, SystemEntropy};
use procura_types::Duration;
use serde_json::{Value, json};

fn root() -> SigningKey {
    SigningKey::generate_p256(&SystemEntropy).unwrap()
}

#[tokio::test]
async fn init_is_done_once_and_by_the_key_that_it_brings() {
    let (world, key) = (World::empty(), root());
    let post = async |body: &Value| world.admin("POST", "/admin/init", body).await;
    let good = init_body(&key, PASSPHRASE);
    let weak = init_body(&key, "elevenchars");
    post(&weak)
        .await
        .expect("weak_passphrase", None, None, "weak");
    let mut forged = good.clone();
    forged["signature"] = init_body(&root(), PASSPHRASE)["signature"].clone();
    post(&forged)
        .await
        .expect("signature_refused", None, None, "forged");
    let ed25519 = init_body(
        &SigningKey::generate_ed25519(&SystemEntropy).unwrap(),
        PASSPHRASE,
    );
    post(&ed25519)
        .await
        .expect("signature_refused", None, None, "another algorithm");
    for (change, field) in [
        (json!({"owner": "Alice"}), Some("label")),
        (json!({"passphrase": 7}), None),
        (json!({"surprise": PASSPHRASE}), None),
    ] {
        let mut body = good.clone();
        body.as_object_mut()
            .unwrap()
            .extend(change.as_object().unwrap().clone());
        post(&body)
            .await
            .expect("invalid_json", None, field, &change.to_string());
    }
    for missing in ["passphrase", "owner", "root_key", "signature"] {
        let mut body = good.clone();
        body.as_object_mut().unwrap().remove(missing);
        post(&body)
            .await
            .expect("invalid_json", None, Some(missing), missing);
    }
    let mut point = good.clone();
    point["root_key"]["x"] = procura_types::encoding::b64url(&[1; 32]).into();
    post(&point)
        .await
        .expect("malformed", None, Some("root_key"), "no point of the curve");
    assert!(!world.home.path().join("installation.json").exists());

    let answer = post(&good).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    post(&good)
        .await
        .expect("already_initialised", None, None, "again");
    let namespaces = world.ok(&key, "GET", "/v1/namespaces", Value::Null).await;
    assert_eq!(namespaces["namespaces"][0]["name"], "default");
}

#[tokio::test]
async fn what_is_not_there_cannot_be_unsealed() {
    let world = World::empty();
    let unseal = world
        .admin("POST", "/admin/unseal", &json!({"passphrase": PASSPHRASE}))
        .await;
    unseal.expect("not_initialised", None, None, "unseal");
    let change = json!({"current": PASSPHRASE, "new": PASSPHRASE});
    world
        .admin("POST", "/admin/passphrase", &change)
        .await
        .expect("not_initialised", None, None, "passphrase");
    let status = world.admin("GET", "/admin/status", &json!({})).await.json();
    assert_eq!(
        (&status["initialized"], &status["sealed"]),
        (&json!(false), &json!(true))
    );
}

#[test]
fn each_wrong_passphrase_doubles_the_wait_up_to_a_minute() {
    let waits: Vec<u64> = (1..=9)
        .map(|wrong| procura_server::admin::penalty(wrong).as_secs())
        .collect();
    assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
    assert_eq!(
        procura_server::admin::penalty(u32::MAX),
        Duration::from_secs(60)
    );
}

#[tokio::test]
async fn wrong_passphrases_are_counted_slowed_and_recorded() {
    let (world, key) = (World::empty(), root());
    world.init(&key).await;
    world.seal().await;
    let unseal = async |passphrase: &str| {
        world
            .admin("POST", "/admin/unseal", &json!({"passphrase": passphrase}))
            .await
    };
    let first = unseal("wrong passphrase one").await;
    first.expect("wrong_passphrase", None, None, "one");
    assert_eq!(first.headers["retry-after"], "1");
    let before = std::time::Instant::now();
    let second = unseal("wrong passphrase two").await;
    second.expect("wrong_passphrase", None, None, "two");
    assert_eq!(second.headers["retry-after"], "2");
    assert!(
        before.elapsed() >= std::time::Duration::from_secs(1),
        "the second try did not wait"
    );
    assert_eq!(world.app.wrong_tries(), 2);
    assert_eq!(unseal(PASSPHRASE).await.status, 204);
    assert_eq!(world.app.wrong_tries(), 0);
    // Unsealing what is open asks for nothing.
    assert_eq!(unseal("whatever").await.status, 204);
    let list = world
        .ok(&key, "GET", "/v1/ledger/entries", Value::Null)
        .await;
    let actions: Vec<(Value, Value)> = list["entries"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| serde_json::from_str::<Value>(row["entry"].as_str().unwrap()).unwrap())
        .filter(|entry| entry["action"] == "installation.unseal")
        .map(|entry| (entry["decision"].clone(), entry["reason"].clone()))
        .collect();
    // Newest first: opened, two wrong ones, opened by init.
    let wrong = (json!("deny"), json!("wrong_passphrase"));
    let opened = (json!("allow"), json!(null));
    assert_eq!(actions, [opened.clone(), wrong.clone(), wrong, opened]);
}

#[tokio::test]
async fn tries_at_the_same_time_wait_for_one_another() {
    let (world, key) = (World::empty(), root());
    world.init(&key).await;
    world.seal().await;
    let wrong = json!({"passphrase": "wrong passphrase"});
    let unseal = || world.admin("POST", "/admin/unseal", &wrong);
    let began = std::time::Instant::now();
    let (one, two, three) = tokio::join!(unseal(), unseal(), unseal());
    for answer in [&one, &two, &three] {
        answer.expect("wrong_passphrase", None, None, "at once");
    }
    // The second waited 1 s for the first, and the third 2 s for both.
    assert!(began.elapsed() >= std::time::Duration::from_secs(3));
    let mut waits = [&one, &two, &three].map(|answer| answer.headers["retry-after"].clone());
    waits.sort();
    assert_eq!(waits, ["1", "2", "4"]);
    assert_eq!(world.app.wrong_tries(), 3);
}

#[tokio::test]
async fn whoever_seals_does_not_wait_for_somebody_who_guesses() {
    let (world, key) = (World::empty(), root());
    world.init(&key).await;
    // Six wrong ones: the next try waits 32 s.
    for waits in [1, 2, 4, 8, 16, 32] {
        assert_eq!(world.app.count_wrong_try(), waits);
    }
    let guess = json!({"current": "a guess", "new": PASSPHRASE});
    let guesses: Vec<_> = (0..3)
        .map(|_| {
            let router = procura_server::admin::router(std::sync::Arc::clone(&world.app));
            let request = http::Request::post("/admin/passphrase")
                .header("content-type", "application/json")
                .body(axum::body::Body::from(guess.to_string()))
                .unwrap();
            tokio::spawn(tower::ServiceExt::oneshot(router, request))
        })
        .collect();
    // Until they wait for their turn.
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    let began = std::time::Instant::now();
    let sealed = world.call(&key, "POST", "/v1/seal", None).await;
    assert_eq!(sealed.status, 204, "{}", sealed.text());
    assert!(
        began.elapsed() < std::time::Duration::from_secs(16),
        "sealing waited for a guess"
    );
    assert!(guesses.iter().all(|guess| !guess.is_finished()));
    let status = world.admin("GET", "/admin/status", &json!({})).await.json();
    assert_eq!(status["sealed"], json!(true));
}

#[tokio::test]
async fn a_change_of_passphrase_keeps_no_other_request_waiting() {
    let (world, key) = (World::empty(), root());
    world.init(&key).await;
    let change = json!({"current": PASSPHRASE, "new": "canary passphrase 77bb"});
    let mut changing = std::pin::pin!(world.admin("POST", "/admin/passphrase", &change));
    // All of this is on one thread: what held it up while two keys are derived
    // would let nothing else go on in between.
    let mut turns = 0;
    let changed = loop {
        tokio::select! {
            changed = changing.as_mut() => break changed,
            () = tokio::time::sleep(std::time::Duration::from_millis(1)) => turns += 1,
        }
    };
    assert_eq!(changed.status, 204, "{}", changed.text());
    assert!(turns >= 20, "{turns} turns");
}

#[tokio::test]
async fn a_changed_passphrase_is_the_only_one() {
    const NEW: &str = "canary passphrase 55aa";
    let actors = Actors::new().await;
    let world = &actors.world;
    let change = async |current: &str, new: &str| {
        world
            .admin(
                "POST",
                "/admin/passphrase",
                &json!({"current": current, "new": new}),
            )
            .await
    };
    change(PASSPHRASE, "short")
        .await
        .expect("weak_passphrase", None, None, "weak");
    let changed = change(PASSPHRASE, NEW).await;
    assert_eq!(changed.status, 204, "{}", changed.text());
    // What was there can still be read, and what is written now as well.
    let target = "/v1/namespaces/shop/secrets/db/password";
    actors.ok("adam", "GET", target, Value::Null).await;
    world.seal().await;
    let old = world
        .admin("POST", "/admin/unseal", &json!({"passphrase": PASSPHRASE}))
        .await;
    old.expect("wrong_passphrase", None, None, "the old one");
    let new = world
        .admin("POST", "/admin/unseal", &json!({"passphrase": NEW}))
        .await;
    assert_eq!(new.status, 204, "{}", new.text());
    actors.ok("adam", "GET", target, Value::Null).await;
    change(PASSPHRASE, NEW)
        .await
        .expect("wrong_passphrase", None, None, "the old one as current");
}

#[tokio::test]
async fn sealing_twice_is_sealing_once() {
    let (world, key) = (World::empty(), root());
    world.init(&key).await;
    let answer = world.call(&key, "POST", "/v1/seal", None).await;
    assert_eq!(answer.status, 204, "{}", answer.text());
    world.seal().await;
    world.unseal().await;
    world.ok(&key, "GET", "/v1/namespaces", Value::Null).await;
}
