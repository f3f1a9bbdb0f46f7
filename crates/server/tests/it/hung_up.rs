//! Clients that go away, or never come to an end.

use crate::actors::{Actors, value_b64};
use crate::honey::{NS, free_again, plant, until_held};
use crate::honey_kept::kept;
use crate::world::{AUTHORITY, World};
use axum::body::{Body, HttpBody};
use bytes::Bytes;
use http::Request;
use procura_crypto::{SigningKey, SystemEntropy};
use procura_server::serve::{LARGE_BODIES, MAX_BODY, SMALL_BODY};
use procura_server::{Stage, admin, api};
use serde_json::json;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use tower::ServiceExt as _;

async fn opened() -> World {
    let world = World::empty();
    world
        .init(&SigningKey::generate_p256(&SystemEntropy).unwrap())
        .await;
    world
}

/// A body of which nothing comes.
struct Never;

impl HttpBody for Never {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<hyper::body::Frame<Bytes>, Infallible>>> {
        Poll::Pending
    }
}

fn put(length: usize, body: Body) -> Request<Body> {
    Request::put("/v1/namespaces/shop/secrets/x")
        .header("host", AUTHORITY)
        .header("content-length", length)
        .body(body)
        .unwrap()
}

/// Asks to unseal, and goes away as soon as that has begun, which takes longer than a look.
async fn unseals_and_goes(world: &World, passphrase: &str) {
    let body = json!({"passphrase": passphrase});
    let mut unseal = Box::pin(world.admin("POST", "/admin/unseal", &body));
    let end = Instant::now() + Duration::from_secs(60);
    while Instant::now() < end {
        let answered =
            std::future::poll_fn(|context| Poll::Ready(unseal.as_mut().poll(context).is_ready()));
        let answered = answered.await;
        assert!(!answered, "the answer came before the client could go");
        if world.app.ceremony.try_lock().is_err() {
            return;
        }
        tokio::task::yield_now().await;
    }
    panic!("it does not begin");
}

#[tokio::test]
async fn a_wrong_passphrase_counts_though_nobody_waits_for_the_answer() {
    let world = opened().await;
    world.seal().await;
    unseals_and_goes(&world, "another passphrase").await;
    drop(world.app.ceremony.lock().await);
    assert_eq!(world.app.wrong_tries(), 1);
}

#[tokio::test]
async fn an_unseal_that_nobody_waits_for_leaves_no_key_behind_a_sealed_server() {
    let world = opened().await;
    world.seal().await;
    unseals_and_goes(&world, crate::world::PASSPHRASE).await;
    drop(world.app.ceremony.lock().await);
    if let Stage::Sealed(store, _) = world.app.stage().as_ref() {
        assert!(store.is_sealed(), "sealed it says, and keys are in memory");
    }
}

#[tokio::test]
async fn a_seal_that_nobody_waits_for_seals() {
    let world = opened().await;
    let mut seal = Box::pin(admin::seal(&world.app));
    let begun = std::future::poll_fn(|context| {
        std::task::Poll::Ready(seal.as_mut().poll(context).is_pending())
    });
    assert!(begun.await, "it was done before the client could go");
    drop(seal);
    for _ in 0..10_000 {
        if let Stage::Sealed(store, _) = world.app.stage().as_ref()
            && store.is_sealed()
        {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("it did not come to its end, and keys are in memory");
}

/// Publishing of the vault that was closed does not go on beside that of the next.
#[tokio::test]
async fn after_a_seal_that_nobody_waits_for_checkpoints_go_on() {
    let key = SigningKey::generate_p256(&SystemEntropy).unwrap();
    let world = World::empty();
    world.init(&key).await;
    let mut seal = Box::pin(admin::seal(&world.app));
    let begun = std::future::poll_fn(|context| Poll::Ready(seal.as_mut().poll(context)));
    assert!(
        begun.await.is_pending(),
        "it was done before the client could go"
    );
    drop(seal);
    world.unseal().await;
    for name in ["one", "two"] {
        let body = json!({"name": name});
        world.ok(&key, "POST", "/v1/namespaces", body).await;
        let stage = world.app.stage();
        let Stage::Open(open) = stage.as_ref() else {
            panic!("it is sealed");
        };
        let size = open.reader.size().unwrap();
        let covering = open.publisher.covering(size);
        let published = tokio::time::timeout(Duration::from_secs(60), covering).await;
        assert!(published.unwrap().unwrap().size >= size, "{name}");
        assert_eq!(open.publisher.problem(), None, "{name}");
    }
}

#[tokio::test]
async fn who_hears_nothing_in_time_is_told_whether_it_may_have_happened() {
    let world = World::configured(|config| config.request_seconds = 2);
    let key = SigningKey::generate_p256(&SystemEntropy).unwrap();
    world.init(&key).await;
    // Of one request nothing comes, so nothing can have happened; the other is
    // durable, and then waits for a ceremony.
    let router = api::router(Arc::clone(&world.app));
    let seal = world.signed(&key, "POST", "/v1/seal", None);
    let ceremony = world.app.ceremony.lock().await;
    let (late, unknown) =
        tokio::join!(router.oneshot(put(10, Body::new(Never))), world.send(&seal));
    drop(ceremony);
    assert_eq!(late.unwrap().status(), 408);
    unknown.expect("outcome_unknown", None, None, "sealing");
    let entries = world
        .ok(&key, "GET", "/v1/ledger/entries", serde_json::Value::Null)
        .await;
    assert!(
        entries.to_string().contains("installation.seal"),
        "{entries}"
    );
}

/// The request is dropped while what it looks for is being kept.
#[tokio::test]
async fn who_hangs_up_before_the_answer_has_looked_for_a_decoy() {
    let actors = Actors::new().await;
    let device = actors.device("adam");
    let value = json!({"value_b64": value_b64()});
    for (method, path, body) in [
        ("GET", "prod/one", None),
        ("DELETE", "prod/two", None),
        ("PUT", "prod/three", Some(&value)),
    ] {
        let planted = plant(&actors, path, json!({"shape": "aws"})).await;
        let target = format!("{NS}/secrets/{path}");
        let adam = actors.key("adam");
        let mut request = Box::pin(actors.world.call(adam, method, &target, body));
        // It goes on seldom, so that it does not hear that it is kept.
        for round in 0..20_000 {
            if !kept(&actors).is_empty() {
                break;
            }
            if round % 20 == 0 {
                let once =
                    std::future::poll_fn(|context| Poll::Ready(request.as_mut().poll(context)));
                assert!(once.await.is_pending(), "{path}: it was answered");
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        drop(request);
        let found = until_held(&actors, &device).await;
        assert_eq!(found["canary"], planted["canary"], "{path}");
        free_again(&actors, &device, "adam").await;
    }
    assert_eq!(kept(&actors), Vec::<serde_json::Value>::new());
}

#[tokio::test]
async fn strangers_cannot_fill_the_memory_with_large_bodies() {
    let world = opened().await;
    let router = api::router(Arc::clone(&world.app));
    let mut held: Vec<_> = (0..LARGE_BODIES)
        .map(|_| tokio::spawn(router.clone().oneshot(put(MAX_BODY, Body::new(Never)))))
        .collect();
    tokio::task::yield_now().await;
    let length = SMALL_BODY + 1;
    let whole = || put(length, Body::from(vec![b'x'; length]));
    let mut next = Box::pin(router.clone().oneshot(whole()));
    let waits = tokio::time::timeout(Duration::from_millis(100), next.as_mut()).await;
    assert!(waits.is_err(), "one more large body was taken");
    // Everybody else goes on.
    let small = router.clone().oneshot(put(2, Body::from("{}"))).await;
    assert_eq!(small.unwrap().status(), 401);
    held.pop().unwrap().abort();
    assert_eq!(next.await.unwrap().status(), 401);
}

#[tokio::test]
async fn only_a_value_may_be_large() {
    let world = opened().await;
    let router = api::router(Arc::clone(&world.app));
    for path in ["/v1/join", "/v1/sessions", "/v1/namespaces"] {
        for length in [Some(SMALL_BODY + 1), None] {
            let mut request = Request::post(path).header("host", AUTHORITY);
            if let Some(length) = length {
                request = request.header("content-length", length);
            }
            let body = Body::from(vec![b'x'; SMALL_BODY + 1]);
            let answer = router.clone().oneshot(request.body(body).unwrap()).await;
            assert_eq!(answer.unwrap().status(), 413, "{path}");
        }
    }
}
