//! Keys of automation: what they open, with what, and how they end.

use crate::actors::{Actors, join_body};
use crate::world::{Answer, Sent};
use procura_crypto::{SigningKey, SystemEntropy};
use procura_policy::Action;
use procura_proof::sign::Signer;
use procura_types::wire::ApiKeyCreate;
use procura_types::{Duration, Label, LinkCodeText, encoding};
use serde_json::{Value, json};

const SECRETS: &str = "/v1/namespaces/shop/secrets";

/// What makes an API key of this operator, in `shop`, for an hour.
pub(crate) fn api_key(
    actors: &Actors,
    operator: &str,
    name: &str,
    key: &SigningKey,
    actions: &[&str],
) -> Value {
    let open = actors.world.app.open().unwrap();
    let (snapshot, label) = (open.directory.snapshot(), operator.parse().unwrap());
    let actor = snapshot.owner_named(&label).unwrap().id;
    let label: Label = name.parse().unwrap();
    let thumbprint = key.public().thumbprint();
    let message = ApiKeyCreate::message(&actors.installation, &actor, &label, &thumbprint);
    json!({
        "name": name,
        "key": key.public().to_jwk(),
        "signature": encoding::b64url(&key.sign(&message).unwrap()),
        "actions": actions,
        "namespaces": ["shop"],
        "life": 3600,
    })
}

/// A request by this key that shows this token.
async fn shows(
    actors: &Actors,
    key: &SigningKey,
    token: Option<&str>,
    (method, target): (&str, &str),
) -> Answer {
    let mut sent = Sent::new(method, target, None);
    if let Some(token) = token {
        let field = ("authorization".to_owned(), format!("Bearer {token}"));
        sent.headers.push(field);
    }
    let sent = sent.signed(Signer::Device(key), actors.world.now());
    actors.world.send(&sent).await
}

#[tokio::test]
async fn an_api_key_opens_its_part_with_its_own_device_and_nothing_else() {
    let actors = Actors::new().await;
    let key = SigningKey::generate_ed25519(&SystemEntropy).unwrap();
    let keys = "/v1/operators/adam/api-keys";
    let wanted = api_key(
        &actors,
        "adam",
        "deploy",
        &key,
        &["secret.list", "agent.list"],
    );
    let made = actors.ok("adam", "POST", keys, wanted).await;
    let token = made["token"].as_str().unwrap().to_owned();
    let list = ("GET", SECRETS);
    let good = shows(&actors, &key, Some(&token), list).await;
    assert_eq!(good.status, 200, "{}", good.text());
    assert_eq!(good.json()["secrets"].as_array().unwrap().len(), 3);

    // The token alone proves nothing.
    let mut alone = Sent::new("GET", SECRETS, None);
    let field = ("authorization".to_owned(), format!("Bearer {token}"));
    alone.headers.push(field);
    actors.world.send(&alone).await.expect(
        "unauthorized",
        Some("missing_headers"),
        None,
        "the token alone",
    );
    let other = SigningKey::generate_ed25519(&SystemEntropy).unwrap();
    let wanted = api_key(&actors, "adam", "other", &other, &["secret.list"]);
    let wrong = actors.ok("adam", "POST", keys, wanted).await;
    let wrong = wrong["token"].as_str().unwrap().to_owned();
    let changed = format!("{token}x");
    let adam = actors.key("adam");
    for (by, shown, reason, what) in [
        (&key, None, "api_key_missing", "without its token"),
        (&key, Some(&wrong), "api_key_device", "the token of another"),
        (&key, Some(&changed), "api_key_unknown", "a token of nobody"),
        (
            adam,
            Some(&token),
            "api_key_device",
            "the operator's device",
        ),
        (&other, Some(&token), "api_key_device", "another device"),
        (
            actors.key("scribe"),
            Some(&token),
            "api_key_device",
            "an agent",
        ),
    ] {
        let answer = shows(&actors, by, shown.map(String::as_str), list).await;
        answer.expect("api_key_refused", Some(reason), None, what);
    }
    // Nothing of what is not listed, nor where it is not, whatever adam may do.
    for (method, target) in [
        ("GET", "/v1/namespaces/shop/secrets/db/password"),
        ("GET", "/v1/namespaces/bank/secrets"),
        ("GET", "/v1/namespaces"),
        ("POST", "/v1/operators/adam/link-code"),
        ("GET", keys),
    ] {
        let answer = shows(&actors, &key, Some(&token), (method, target)).await;
        answer.expect("forbidden", Some("api_key_scope"), None, target);
    }
    // Nor a session, by which more could be done.
    let body = json!({"audience": "procura"});
    let mut sent = Sent::new("POST", "/v1/sessions", Some(body.to_string().as_bytes()));
    let field = ("authorization".to_owned(), format!("Bearer {token}"));
    sent.headers.push(field);
    let sent = sent.signed(Signer::Device(&key), actors.world.now());
    let answer = actors.world.send(&sent).await;
    answer.expect("forbidden", Some("api_key_scope"), None, "a session");
}

#[tokio::test]
async fn an_api_key_ends_on_time_when_it_is_revoked_and_with_its_operators_role() {
    let actors = Actors::new().await;
    let keys = "/v1/operators/adam/api-keys";
    let mut made = Vec::new();
    for name in ["one", "two"] {
        let key = SigningKey::generate_ed25519(&SystemEntropy).unwrap();
        let wanted = api_key(&actors, "adam", name, &key, &["secret.list"]);
        let answer = actors.ok("adam", "POST", keys, wanted).await;
        let token = answer["token"].as_str().unwrap().to_owned();
        made.push((key, token));
    }
    let list = ("GET", SECRETS);
    let [(one, first), (two, second)] = &made[..] else {
        panic!("there are two");
    };
    // A name counts once, and a key is one key's for good.
    let again = SigningKey::generate_ed25519(&SystemEntropy).unwrap();
    let world = &actors.world;
    for (name, key, code, reason) in [
        ("one", &again, "already_exists", None),
        ("three", one, "conflict", Some("key_taken")),
        ("three", adam(&actors), "conflict", Some("key_taken")),
    ] {
        let wanted = api_key(&actors, "adam", name, key, &["secret.list"]);
        world
            .call(adam(&actors), "POST", keys, Some(&wanted))
            .await
            .expect(code, reason, None, name);
    }
    let mut unsigned = api_key(&actors, "adam", "three", &again, &["secret.list"]);
    unsigned["name"] = json!("four");
    world
        .call(adam(&actors), "POST", keys, Some(&unsigned))
        .await
        .expect(
            "signature_refused",
            Some("bad_signature"),
            None,
            "other terms",
        );

    let target = format!("{keys}/{}", one.public().thumbprint());
    actors.ok("alice", "DELETE", &target, Value::Null).await;
    let answer = shows(&actors, one, Some(first), list).await;
    answer.expect("unauthorized", Some("revoked"), None, "revoked");
    actors.world.clock.turn(Duration::from_millis(3_599_999));
    assert_eq!(shows(&actors, two, Some(second), list).await.status, 200);
    let roles = json!({"roles": []});
    let target = "/v1/operators/adam/roles";
    let auditor = json!({"roles": [{"role": "auditor", "namespace": "shop"}]});
    actors.ok("alice", "PUT", target, auditor).await;
    assert_eq!(shows(&actors, two, Some(second), list).await.status, 200);
    actors.ok("alice", "PUT", target, roles).await;
    shows(&actors, two, Some(second), list).await.expect(
        "not_found",
        None,
        None,
        "without a role there",
    );
    actors.world.clock.turn(Duration::from_millis(1));
    shows(&actors, two, Some(second), list).await.expect(
        "api_key_refused",
        Some("api_key_expired"),
        None,
        "over",
    );
    let found = actors.ok("alice", "GET", keys, Value::Null).await;
    let states: Vec<&Value> = found["keys"]
        .as_array()
        .unwrap()
        .iter()
        .map(|key| &key["state"])
        .collect();
    assert_eq!(states, [&json!("revoked"), &json!("expired")]);
    assert!(!found.to_string().contains("pca1_"));
}

/// Whoever stole a device cannot have let something in that stays.
#[tokio::test]
async fn an_api_key_goes_with_the_device_that_made_it() {
    let actors = Actors::new().await;
    let keys = "/v1/operators/adam/api-keys";
    let key = SigningKey::generate_ed25519(&SystemEntropy).unwrap();
    let lets = ["secret.list", "agent.link"];
    let wanted = api_key(&actors, "adam", "deploy", &key, &lets);
    let made = actors.ok("adam", "POST", keys, wanted).await;
    let device = actors.device("adam");
    assert_eq!(made["made_with"], json!(device));
    let token = made["token"].as_str().unwrap().to_owned();
    let list = ("GET", SECRETS);
    let of_device = |what: &str| format!("/v1/devices/{device}/{what}");
    let state = async || {
        let found = actors.ok("alice", "GET", keys, Value::Null).await;
        found["keys"][0]["state"].as_str().unwrap().to_owned()
    };
    assert_eq!(shows(&actors, &key, Some(&token), list).await.status, 200);
    let mut codes = Vec::new();
    for _ in 0..2 {
        let link = ("POST", "/v1/namespaces/shop/agents/baker/link-code");
        let code = shows(&actors, &key, Some(&token), link).await.json();
        codes.push(LinkCodeText::parse(code["code"].as_str().unwrap()).unwrap());
    }
    for (what, expected) in [("hold", "live"), ("revoke", "revoked")] {
        actors
            .ok("alice", "POST", &of_device(what), Value::Null)
            .await;
        let answer = shows(&actors, &key, Some(&token), list).await;
        answer.expect("api_key_refused", Some("api_key_maker"), None, what);
        // Nor does a code that the key made before let anything in.
        let joins = SigningKey::generate_ed25519(&SystemEntropy).unwrap();
        let body = serde_json::to_vec(&join_body(&codes.pop().unwrap(), &joins)).unwrap();
        let sent = Sent::new("POST", "/v1/join", Some(&body));
        let answer = actors.world.send(&sent).await;
        answer.expect("code_refused", Some("unknown_code"), None, what);
        assert_eq!(state().await, expected, "{what}");
        if what == "hold" {
            let target = of_device("reinstate");
            actors.ok("alice", "POST", &target, Value::Null).await;
            assert_eq!(shows(&actors, &key, Some(&token), list).await.status, 200);
        }
    }
    let entries = actors.recorded("secret.list").await;
    let mut refused = entries.iter().map(|entry| &entry["reason"]);
    assert!(
        refused.any(|reason| reason == "api_key_maker"),
        "{entries:?}"
    );
}

/// What a session must not do a key of automation does not do either, but for five.
#[tokio::test]
async fn no_api_key_is_made_for_what_takes_a_persons_own_key() {
    let actors = Actors::new().await;
    let keys = "/v1/operators/adam/api-keys";
    let keyed = Action::ALL.iter().filter(|action| action.takes_own_key());
    let mut made = Vec::new();
    for (number, action) in keyed.enumerate() {
        let key = SigningKey::generate_ed25519(&SystemEntropy).unwrap();
        let (name, action) = (format!("key-{number}"), action.as_str());
        let wanted = api_key(&actors, "adam", &name, &key, &[action]);
        let world = &actors.world;
        let answer = world.call(adam(&actors), "POST", keys, Some(&wanted)).await;
        if answer.status.is_success() {
            made.push(action);
        } else {
            answer.expect("malformed", None, Some("actions"), action);
        }
    }
    let named = [
        "agent.link",
        "agent.revoke",
        "agent.sources",
        "device.revoke",
        "release.add",
    ];
    assert_eq!(made, named);
}

fn adam(actors: &Actors) -> &SigningKey {
    actors.key("adam")
}
