//! Sessions: started once, used, renewed, started anew, and refused from
//! strangers.

use crate::server::{Authority, TestClock, client, json, listen, problem};
use procura_client::{ClientError, SessionClient};
use procura_crypto::{SigningKey, SystemEntropy};
use procura_types::wire::{
    GuardedAct, NamespaceList, PolicyState, ProposedAct, SecretPut, SecretWritten, ValueB64,
};
use procura_types::{Clock as _, Duration};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

fn device() -> Arc<SigningKey> {
    Arc::new(SigningKey::generate_p256(&SystemEntropy).unwrap())
}

fn empty() -> NamespaceList {
    NamespaceList {
        namespaces: Vec::new(),
    }
}

/// A client of a server that answers every call with no namespaces.
async fn joined() -> (Arc<Authority>, SessionClient, Arc<TestClock>) {
    let (device, clock) = (device(), TestClock::new());
    let authority = Authority::new(device.public(), &clock);
    let serving = Arc::clone(&authority);
    let url = listen(move |got| serving.handle(got, |_, _| json(200, &empty()))).await;
    let client = client(&url, Some(authority.key.public().clone()), &clock);
    (authority, SessionClient::new(client, device), clock)
}

fn seen(authority: &Authority) -> Vec<(String, &'static str)> {
    std::mem::take(&mut *authority.seen.lock().unwrap())
}

const START: (&str, &str) = ("POST /v1/sessions", "key");
const LIST: (&str, &str) = ("GET /v1/namespaces", "session");

fn calls(expected: &[(&str, &'static str)]) -> Vec<(String, &'static str)> {
    expected
        .iter()
        .map(|(call, by)| ((*call).to_owned(), *by))
        .collect()
}

#[tokio::test]
async fn one_session_serves_many_calls_and_is_renewed_before_it_ends() {
    let (authority, client, clock) = joined().await;
    client.namespaces().await.unwrap();
    client.namespaces().await.unwrap();
    assert_eq!(seen(&authority), calls(&[START, LIST, LIST]));

    clock.turn(Duration::from_secs(530));
    client.namespaces().await.unwrap();
    assert_eq!(seen(&authority), calls(&[LIST]));

    clock.turn(Duration::from_secs(11));
    client.namespaces().await.unwrap();
    assert_eq!(seen(&authority), calls(&[START, LIST]));
}

#[tokio::test]
async fn calls_go_on_beyond_the_twelve_hours_of_one_chain() {
    let (authority, client, clock) = joined().await;
    for _ in 0..82 {
        client.namespaces().await.unwrap();
        clock.turn(Duration::from_secs(545));
    }
    // More than twelve hours later each call has passed, under a session each.
    let all = seen(&authority);
    assert_eq!(all.iter().filter(|call| call.1 == "session").count(), 82);
    assert_eq!(all.iter().filter(|call| call.1 == "key").count(), 82);
}

#[tokio::test]
async fn clones_share_a_session_and_many_at_once_start_only_one() {
    let (authority, client, _) = joined().await;
    let calls: Vec<_> = (0..32)
        .map(|_| {
            let client = client.clone();
            tokio::spawn(async move { client.namespaces().await.map(drop) })
        })
        .collect();
    for call in calls {
        call.await.unwrap().unwrap();
    }
    let all = seen(&authority);
    assert_eq!(
        all.iter()
            .filter(|call| call.0 == "POST /v1/sessions")
            .count(),
        1
    );
    assert_eq!(all.len(), 33);
}

#[tokio::test]
async fn a_session_that_the_server_forgot_is_replaced_once() {
    let (device, clock) = (device(), TestClock::new());
    let authority = Authority::new(device.public(), &clock);
    for (refusals, passes) in [(1, true), (2, false)] {
        let (serving, left) = (Arc::clone(&authority), AtomicUsize::new(refusals));
        let url = listen(move |got| {
            serving.handle(got, |_, _| {
                let refuse =
                    left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1));
                match refuse {
                    Ok(_) => problem(401, "unauthorized", Some("session_unknown")),
                    Err(_) => json(200, &empty()),
                }
            })
        })
        .await;
        let client = client(&url, Some(authority.key.public().clone()), &clock);
        let client = SessionClient::new(client, Arc::<SigningKey>::clone(&device));
        match client.namespaces().await {
            Ok(_) => {
                assert!(passes);
                // Told, and no other one is started for it.
                assert_eq!(client.session_number().await.unwrap(), 2);
            }
            Err(error) => {
                assert!(!passes);
                assert!(error.is_refusal("session_unknown"), "{error}");
            }
        }
        assert_eq!(seen(&authority), calls(&[START, LIST, START, LIST]));
    }
}

#[tokio::test]
async fn a_server_with_another_key_is_an_impostor_and_learns_no_value() {
    let (device, clock) = (device(), TestClock::new());
    let authority = Authority::new(device.public(), &clock);
    let serving = Arc::clone(&authority);
    let url = listen(move |got| serving.handle(got, |_, _| json(200, &empty()))).await;
    let expected = SigningKey::generate_ed25519(&SystemEntropy).unwrap();
    let put = SecretPut::new(ValueB64::encode(b"canary"));
    for (pinned, evidence) in [
        (
            Some(expected.public().clone()),
            "the session is not signed by the server's key",
        ),
        (None, "its key is not known here; join it first"),
    ] {
        let client = SessionClient::new(
            client(&url, pinned, &clock),
            Arc::<SigningKey>::clone(&device),
        );
        let refused = client
            .put_secret(&"default".parse().unwrap(), &"a".parse().unwrap(), &put)
            .await;
        match refused {
            Err(ClientError::Impostor {
                address,
                evidence: why,
            }) => {
                assert_eq!((address, why), (url.clone(), evidence));
            }
            other => panic!("{:?}", other.map(drop)),
        }
    }
    assert_eq!(seen(&authority), calls(&[START]));
}

#[tokio::test]
async fn bodies_and_queries_are_covered_by_the_proof() {
    let (device, clock) = (device(), TestClock::new());
    let authority = Authority::new(device.public(), &clock);
    let serving = Arc::clone(&authority);
    let created = clock.now();
    let url = listen(move |got| {
        serving.handle(got, |got, _| match got.method.as_str() {
            "PUT" => {
                let put: SecretPut = serde_json::from_slice(&got.body).unwrap();
                assert!(put.value_b64.decode().unwrap().expose() == b"\x00\xffvalue");
                json(
                    200,
                    &SecretWritten {
                        path: "a/b".parse().unwrap(),
                        version: 1,
                        created,
                    },
                )
            }
            "DELETE" => {
                assert_eq!(got.query.as_deref(), Some("version=7&destroy=true"));
                http::Response::builder()
                    .status(204)
                    .body(Default::default())
                    .unwrap()
            }
            other => panic!("{other}"),
        })
    })
    .await;
    let client = client(&url, Some(authority.key.public().clone()), &clock);
    let client = SessionClient::new(client, device);
    let (namespace, path) = ("default".parse().unwrap(), "a/b".parse().unwrap());
    let put = SecretPut {
        expect_version: Some(0),
        ..SecretPut::new(ValueB64::encode(b"\x00\xffvalue"))
    };
    assert_eq!(
        client
            .put_secret(&namespace, &path, &put)
            .await
            .unwrap()
            .version,
        1
    );
    client
        .delete_secret(&namespace, &path, Some(7), true)
        .await
        .unwrap();
    // What nothing brings back takes the key, once the server has proven itself.
    let of_the_secret = |method: &str| format!("{method} /v1/namespaces/default/secrets/a/b");
    let (put, delete) = (of_the_secret("PUT"), of_the_secret("DELETE"));
    let expected = calls(&[START, (put.as_str(), "session"), (delete.as_str(), "key")]);
    assert_eq!(seen(&authority), expected);
}

/// Whatever comes of it: who lets somebody in or says who may signs with the key, once the
/// server has proven itself. What can be made again ends within a session.
#[tokio::test]
async fn what_would_outlive_a_stolen_session_is_signed_by_the_key() {
    let (authority, client, _) = joined().await;
    let name = "alice".parse().unwrap();
    // What is sealed has no session before.
    client.use_break_glass(&name, None).await.ok();
    let id = "01997a3e-5a6c-7d21-9d0e-3f6f2f6f0a01".parse().unwrap();
    let (act, needs) = (GuardedAct::RotateRoot, 2);
    client.set_approval_rule(act, needs, None).await.ok();
    client.refuse_proposal(&id).await.ok();
    client.link_identity(&name, "proof".to_owned()).await.ok();
    // The signature that counts is in the body, and is not to be sent again by others.
    let proposed = ProposedAct::SetApprovals { act, needs };
    client.propose(proposed).await.ok();
    client.sign_proposal(&id, vec![7; 64]).await.ok();
    let text = "PCfMGuJiMVe6aCQMYtYGJGsHzlHJxaIYy7e2ZrnUfxo";
    let (identity, device) = (text.parse().unwrap(), text.parse().unwrap());
    client.unlink_identity(&name, &identity).await.ok();
    client.revoke_api_key(&name, &device).await.ok();
    // What takes a guard away that stays away.
    let enforce = PolicyState::Enforce;
    client.set_policy_state(None, 3, enforce).await.ok();
    client.remove_notify_route(None, &name).await.ok();
    let (shop, web) = ("shop".parse().unwrap(), "web".parse().unwrap());
    client.delete_project(&shop, &web).await.ok();
    let of_the_proposal = |what: &str| format!("POST /v1/proposals/{id}/{what}");
    let (refuse, sign) = (of_the_proposal("refuse"), of_the_proposal("sign"));
    let unlink = format!("DELETE /v1/operators/alice/identities/{text}");
    let revoke = format!("DELETE /v1/operators/alice/api-keys/{text}");
    let expected = calls(&[
        ("POST /v1/break-glass/alice/use", "key"),
        START,
        ("PUT /v1/approval-rules/rotate_root", "key"),
        (refuse.as_str(), "key"),
        ("POST /v1/operators/alice/identities", "key"),
        ("POST /v1/proposals", "session"),
        (sign.as_str(), "key"),
        (unlink.as_str(), "session"),
        (revoke.as_str(), "key"),
        ("PUT /v1/policies/3/state", "key"),
        ("DELETE /v1/notify/routes/alice", "key"),
        ("DELETE /v1/namespaces/shop/projects/web", "key"),
    ]);
    assert_eq!(seen(&authority), expected);
}
