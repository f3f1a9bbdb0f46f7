//! Quotas over the API: what is said, and that writers at once neither pass a bound nor
//! hinder each other.

use crate::actors::{Actors, value_b64};
use procura_types::encoding;
use serde_json::{Value, json};

const NS: &str = "/v1/namespaces/shop";
const QUOTA: &str = "/v1/namespaces/shop/quota";

async fn put(actors: &Actors, path: &str, bytes: usize) -> crate::world::Answer {
    let target = format!("{NS}/secrets/{path}");
    let body = json!({"value_b64": encoding::b64url(&vec![b'x'; bytes])});
    let key = actors.key("adam");
    actors.world.call(key, "PUT", &target, Some(&body)).await
}

#[tokio::test]
async fn what_is_over_is_said_with_what_helps() {
    let actors = Actors::new().await;
    let shown = actors
        .ok("alice", "PUT", QUOTA, json!({"secrets": 4, "versions": 5}))
        .await;
    let bytes = 3 * encoding::from_b64url("value", &value_b64()).unwrap().len();
    assert_eq!(shown["quota"], json!({"secrets": 4, "versions": 5}));
    assert_eq!(
        shown["used"],
        json!({"secrets": 3, "versions": 3, "bytes": bytes})
    );
    assert_eq!(put(&actors, "new/1", 10).await.status, 200);
    let refused = put(&actors, "new/2", 10).await;
    refused.expect("quota_exceeded", Some("secrets"), None, "a fifth secret");
    assert_eq!(refused.status, 409);
    let detail = refused.json()["detail"].as_str().unwrap().to_owned();
    assert_eq!(
        detail,
        "the namespace shop may hold 4 secrets and holds 4. Destroy what is not needed any more (what is only deleted counts), or have a steward raise it."
    );
    assert_eq!(put(&actors, "new/1", 10).await.status, 200);
    put(&actors, "new/1", 10).await.expect(
        "quota_exceeded",
        Some("versions"),
        None,
        "a sixth version",
    );
    let destroyed = format!("{NS}/secrets/new/1?version=1&destroy=true");
    let key = actors.key("adam");
    assert_eq!(
        actors
            .world
            .call(key, "DELETE", &destroyed, None)
            .await
            .status,
        204
    );
    assert_eq!(put(&actors, "new/1", 10).await.status, 200);
    let shown = actors.ok("otto", "GET", NS, Value::Null).await;
    assert_eq!(
        shown["used"],
        json!({"secrets": 4, "versions": 5, "bytes": bytes + 20})
    );
    // What is not named has no bound any more.
    let shown = actors.ok("alice", "PUT", QUOTA, json!({})).await;
    assert_eq!(shown["quota"], json!({}));
    assert_eq!(put(&actors, "new/2", 10).await.status, 200);
}

#[tokio::test]
async fn writers_at_once_fill_it_exactly() {
    let actors = Actors::new().await;
    actors
        .ok("alice", "PUT", QUOTA, json!({"secrets": 13}))
        .await;
    let paths: Vec<String> = (0..40).map(|number| format!("at/once/{number}")).collect();
    let writes = paths.iter().map(|path| put(&actors, path, 5));
    let (mut written, mut over) = (0, 0);
    for answer in beside_each_other(writes).await {
        if answer.status == 200 {
            written += 1;
        } else {
            answer.expect("quota_exceeded", Some("secrets"), None, "one too many");
            over += 1;
        }
    }
    assert_eq!((written, over), (10, 30));
    let shown = actors.ok("alice", "GET", NS, Value::Null).await;
    assert_eq!(shown["used"]["secrets"], 13);
    let listed = actors
        .ok(
            "adam",
            "GET",
            &format!("{NS}/secrets?prefix=at/"),
            Value::Null,
        )
        .await;
    assert_eq!(listed["secrets"].as_array().unwrap().len(), 10);
}

#[tokio::test]
async fn writers_of_a_namespace_without_one_do_not_wait_for_each_other() {
    let actors = Actors::new().await;
    let paths: Vec<String> = (0..40).map(|number| format!("at/once/{number}")).collect();
    let writes = paths.iter().map(|path| put(&actors, path, 5));
    for answer in beside_each_other(writes).await {
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
}

async fn beside_each_other<F: Future>(all: impl Iterator<Item = F>) -> Vec<F::Output> {
    let mut all: Vec<_> = all.map(Box::pin).collect();
    let mut done: Vec<Option<F::Output>> = all.iter().map(|_| None).collect();
    std::future::poll_fn(|context| {
        for (future, done) in all.iter_mut().zip(&mut done) {
            if done.is_none()
                && let std::task::Poll::Ready(value) = future.as_mut().poll(context)
            {
                *done = Some(value);
            }
        }
        match done.iter().all(Option::is_some) {
            true => std::task::Poll::Ready(()),
            false => std::task::Poll::Pending,
        }
    })
    .await;
    done.into_iter().map(Option::unwrap).collect()
}

#[tokio::test]
async fn an_import_counts_as_a_whole() {
    let actors = Actors::new().await;
    actors
        .ok("alice", "PUT", QUOTA, json!({"secrets": 5}))
        .await;
    let import = |count: usize| {
        let secrets: Vec<Value> = (0..count)
            .map(|number| json!({"secret": {"path": format!("in/{number}"), "value_b64": value_b64()}}))
            .collect();
        json!({"secrets": secrets})
    };
    let target = format!("{NS}/import");
    let key = actors.key("adam");
    let refused = actors
        .world
        .call(key, "POST", &target, Some(&import(3)))
        .await;
    refused.expect("quota_exceeded", Some("secrets"), None, "one too many");
    let listed = actors
        .ok(
            "adam",
            "GET",
            &format!("{NS}/secrets?prefix=in/"),
            Value::Null,
        )
        .await;
    assert_eq!(listed["secrets"], json!([]));
    actors.ok("adam", "POST", &target, import(2)).await;
    let shown = actors.ok("alice", "GET", NS, Value::Null).await;
    assert_eq!(shown["used"]["secrets"], 5);
}
