//! What takes a proof by the device's own key is refused within a session, each call for
//! exactly that; all else a session does as the key would. Nor does an API key do it, but for
//! what such keys are made for.

use crate::actors::Actors;
use crate::api_keys::api_key;
use crate::calls::{Case, cases};
use crate::matrix_http::rows::row;
use crate::sessions::started;
use crate::world::Answer;
use procura_crypto::{SigningKey, SystemEntropy};
use procura_policy::Action;
use procura_proof::sign::Signer;
use serde_json::{Value, json};

/// Calls that say so before they look at anything else, in words of their own.
const AT_ONCE: [&str; 6] = [
    "POST /v1/sessions",
    "POST /v1/attestations",
    "POST /v1/attestations/challenge",
    "POST /v1/namespaces/{ns}/projects/{name}/tokens",
    "POST /v1/namespaces/{ns}/tokens/{id}/rotate",
    "PUT /v1/ledger/retention",
];

/// The call within a session of whoever may make it.
async fn in_session(actors: &Actors, case: &Case) -> Answer {
    let (session, _) = started(&actors.world, actors.key(case.by), None).await;
    let signer = Signer::Session {
        id: &session.id,
        mac_key: &session.key,
        counter: 1,
    };
    let sent = case.unsigned().signed(signer, actors.world.now());
    actors.world.send(&sent).await
}

/// The call by the key of whoever may make it.
async fn by_key(actors: &Actors, case: &Case) {
    let answer = actors.world.send(&case.sent(actors, case.by)).await;
    assert!(
        answer.status.is_success(),
        "{}: {}",
        case.what(),
        answer.text()
    );
}

fn action_of(named: &str) -> Action {
    let mut actions = Action::ALL.iter().copied();
    actions.find(|action| action.as_str() == named).unwrap()
}

#[tokio::test]
async fn a_session_does_all_but_what_would_outlive_its_theft() {
    let actors = Actors::new().await;
    let mut keyed = 0;
    for case in cases(&actors).await {
        let (what, row) = (case.what(), row(&case, &actors));
        let action = action_of(row.action);
        // What is sealed starts no session before it is open.
        let sealed = action == Action::BreakGlassUse;
        if sealed {
            by_key(&actors, &case).await;
        }
        let answer = in_session(&actors, &case).await;
        if !action.takes_own_key() {
            assert!(answer.status.is_success(), "{what}: {}", answer.text());
            continue;
        }
        if AT_ONCE.contains(&row.call) {
            answer.expect("unauthorized", None, None, &what);
        } else {
            answer.expect("reauthenticate", Some("own_key"), None, &what);
        }
        keyed += 1;
        // By the key it is another matter.
        if !sealed {
            by_key(&actors, &case).await;
        }
    }
    assert!(keyed > 40, "{keyed}");
}

/// The key is one of the steward who has every role, and made for all that keys are made for.
#[tokio::test]
async fn an_api_key_does_nothing_else_of_what_takes_the_own_key_of_a_device() {
    let actors = Actors::new().await;
    let all = Action::ALL.iter().filter(|action| action.takes_api_key());
    let all: Vec<&str> = all.map(|action| action.as_str()).collect();
    let key = SigningKey::generate_ed25519(&SystemEntropy).unwrap();
    let mut wanted = api_key(&actors, "alice", "all", &key, &all);
    wanted["installation"] = json!(true);
    let keys = "/v1/operators/alice/api-keys";
    let made = actors.ok("alice", "POST", keys, wanted).await;
    let token = made["token"].as_str().unwrap();
    let mut refused = 0;
    for case in cases(&actors).await {
        let (what, row) = (case.what(), row(&case, &actors));
        let action = action_of(row.action);
        if action.takes_own_key() && !action.takes_api_key() {
            let mut sent = case.unsigned();
            let shown = ("authorization".to_owned(), format!("Bearer {token}"));
            sent.headers.push(shown);
            let sent = sent.signed(Signer::Device(&key), actors.world.now());
            let answer = actors.world.send(&sent).await;
            let problem = answer.problem(&what);
            match problem.reason.as_deref() {
                Some("api_key_scope") => assert_eq!(problem.code, "forbidden", "{what}"),
                // What only agents do is not there for a device of an operator.
                _ => assert_eq!(problem.code, "not_found", "{what}: {}", answer.text()),
            }
            refused += i32::from(problem.code == "forbidden");
        }
        by_key(&actors, &case).await;
    }
    assert!(refused > 30, "{refused}");
}

#[tokio::test]
async fn the_refusal_is_recorded_and_nothing_happened() {
    let actors = Actors::new().await;
    let world = &actors.world;
    let (session, _) = started(world, actors.key("alice"), None).await;
    let invite = json!({"name": "eve", "roles": [{"role": "admin", "namespace": "shop"}]});
    let end = json!({"confirm": "shop"});
    for (counter, (method, target, body, action)) in (1u64..).zip([
        ("POST", "/v1/operators", Some(&invite), "operator.invite"),
        ("DELETE", "/v1/operators/otto", None, "operator.revoke"),
        (
            "DELETE",
            "/v1/namespaces/shop",
            Some(&end),
            "namespace.delete",
        ),
        ("POST", "/v1/seal", None, "installation.seal"),
    ]) {
        let answer = world
            .in_session(&session, counter, method, target, body)
            .await;
        answer.expect("reauthenticate", Some("own_key"), None, target);
        let entry = actors.recorded(action).await.remove(0);
        assert_eq!(
            (&entry["decision"], &entry["reason"], &entry["profile"]),
            (&json!("deny"), &json!("own_key"), &json!("session")),
            "{entry}"
        );
    }
    let list = actors
        .ok("otto", "GET", "/v1/namespaces", Value::Null)
        .await;
    assert_eq!(list["namespaces"][0]["name"], "shop");
}

/// Whoever may not do it at all learns no more by a session than by the key.
#[tokio::test]
async fn who_has_no_part_in_a_namespace_is_told_nothing_of_it() {
    let actors = Actors::new().await;
    let world = &actors.world;
    let (session, _) = started(world, actors.key("bert"), None).await;
    let nobodys = actors.device("baker").replace(|_: char| true, "A");
    for (counter, (method, target)) in (1u64..).zip([
        ("DELETE", "/v1/namespaces/shop".to_owned()),
        ("DELETE", "/v1/namespaces/nowhere".to_owned()),
        (
            "POST",
            format!("/v1/devices/{}/revoke", actors.device("baker")),
        ),
        ("POST", format!("/v1/devices/{nobodys}/revoke")),
        (
            "POST",
            format!("/v1/devices/{}/hold", actors.device("alice")),
        ),
        ("POST", format!("/v1/devices/{nobodys}/hold")),
    ]) {
        let answer = world
            .in_session(&session, counter, method, &target, None)
            .await;
        answer.expect("not_found", None, None, &target);
    }
}
