//! The keys that sign tokens, from their first set to a roll and to suspicion.

use crate::actors::Actors;
use crate::process::{Home, admin, get, raw, start};
use crate::world::{PASSPHRASE, Sent, World};
use procura_token::{AgentClaims, Expected, KeySet, TokenError};
use procura_types::{ActorId, Duration, Thumbprint, Timestamp};
use serde_json::{Value, json};

const KEYS: &str = "/v1/signing-keys";
/// The set of agents' tokens alone.
const SET: &str = "/.well-known/jwks/procura-agent.json";
const ISSUER: &str = "http://127.0.0.1:7310";

async fn set(world: &World) -> KeySet {
    let answer = world.send(&Sent::new("GET", SET, None)).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.headers["cache-control"], "public, max-age=300");
    assert_eq!(answer.headers["content-type"], "application/jwk-set+json");
    KeySet::parse(&answer.body).unwrap()
}

/// Ids by state, as the API lists them.
async fn states(actors: &Actors) -> Vec<(String, String)> {
    let list = actors.ok("alice", "GET", KEYS, Value::Null).await;
    listed(&list)
}

fn listed(list: &Value) -> Vec<(String, String)> {
    let text = |key: &Value, name: &str| key[name].as_str().unwrap().to_owned();
    let keys = list["keys"].as_array().unwrap();
    keys.iter()
        .map(|key| (text(key, "state"), text(key, "kid")))
        .collect()
}

fn kid<'a>(rows: &'a [(String, String)], state: &str) -> &'a str {
    &rows.iter().find(|(found, _)| found == state).unwrap().1
}

fn token(world: &World) -> String {
    let open = world.app.open().unwrap();
    let (actor, owner) = (ActorId::from_bytes([1; 32]), ActorId::from_bytes([2; 32]));
    let made = open
        .tokens
        .agent_jwt("scribe-7", &actor, &owner, &["read", "write"], world.now())
        .unwrap();
    assert_eq!(made.expires_in, Duration::from_secs(3600));
    made.token.expose().clone()
}

fn verify(token: &str, set: &KeySet, now: Timestamp) -> Result<AgentClaims, TokenError> {
    let expected = Expected {
        issuer: ISSUER,
        now,
    };
    AgentClaims::verify(token, set, &expected)
}

async fn retire(actors: &Actors, kid: &str) -> Value {
    let target = format!("{KEYS}/{kid}/retire");
    actors.ok("alice", "POST", &target, Value::Null).await
}

/// The newest entry of an action.
async fn newest(actors: &Actors, action: &str) -> Value {
    let target = format!("/v1/ledger/entries?action={action}&limit=1");
    let found = actors.ok("alice", "GET", &target, Value::Null).await;
    serde_json::from_str(found["entries"][0]["entry"].as_str().unwrap()).unwrap()
}

#[tokio::test]
async fn two_keys_are_live_from_the_first_moment_and_that_is_recorded() {
    let actors = Actors::new().await;
    let rows = states(&actors).await;
    assert_eq!(rows.len(), 2);
    let (active, next) = (kid(&rows, "active"), kid(&rows, "next"));
    let set = set(&actors.world).await;
    for id in [active, next] {
        assert!(set.key(id).is_some());
    }
    let says = format!("installation active:{active} next:{next}");
    let made = actors.recorded("signing_key.make").await;
    let entry = made.iter().find(|entry| entry["resource"] == says);
    let entry = entry.expect("those of agents' tokens");
    assert_eq!(
        (&entry["actor"], &entry["profile"]),
        (&Value::Null, &json!("none"))
    );
    // The list has the public half and no more.
    let list = actors.ok("alice", "GET", KEYS, Value::Null).await;
    for key in list["keys"].as_array().unwrap() {
        assert_eq!(key["key"].as_object().unwrap().len(), 4, "kty, crv, x, y");
    }
}

#[tokio::test]
async fn a_token_verifies_by_the_published_set_and_says_whose_it_is() {
    let actors = Actors::new().await;
    let world = &actors.world;
    let (one, two) = (token(world), token(world));
    let claims = verify(&one, &set(world).await, world.now()).unwrap();
    assert_eq!(
        (claims.sub.as_str(), claims.agent_id.as_str()),
        ("scribe-7", "scribe-7")
    );
    assert_eq!(claims.owner_user_id, ActorId::from_bytes([2; 32]));
    assert_eq!(claims.scopes, ["read", "write"]);
    assert_eq!(claims.exp - claims.iat, 3600);
    let other = verify(&two, &set(world).await, world.now()).unwrap();
    assert_ne!(claims.jti, other.jti);
}

#[tokio::test]
async fn no_verifier_fails_over_a_roll() {
    let actors = Actors::new().await;
    let world = &actors.world;
    let (before, cached) = (token(world), set(world).await);
    let rows = states(&actors).await;
    let rolled = actors
        .ok("alice", "POST", &format!("{KEYS}/roll"), Value::Null)
        .await;
    let after_rows = listed(&rolled);
    assert_eq!(kid(&after_rows, "active"), kid(&rows, "next"));
    assert_eq!(kid(&after_rows, "retiring"), kid(&rows, "active"));
    let after = token(world);
    assert_eq!(cached.keys().len(), 2);
    let fresh = set(world).await;
    assert_eq!(fresh.keys().len(), 3);
    for token in [&before, &after] {
        for set in [&cached, &fresh] {
            verify(token, set, world.now()).unwrap();
        }
    }
    let entry = newest(&actors, "signing_key.roll").await;
    let says = format!(
        "installation active:{} next:{}",
        kid(&after_rows, "active"),
        kid(&after_rows, "next")
    );
    assert_eq!(entry["resource"], says);
    // Whoever has the set from before has to learn of the next key first.
    let soon = world
        .call(actors.key("alice"), "POST", &format!("{KEYS}/roll"), None)
        .await;
    soon.expect("conflict", None, None, "the second roll at once");
    world.clock.turn(Duration::from_secs(360));
    actors
        .ok("alice", "POST", &format!("{KEYS}/roll"), Value::Null)
        .await;
    // An hour and a minute later the first key is in no set.
    world.clock.turn(Duration::from_secs(3661));
    assert_eq!(set(world).await.keys().len(), 2);
    assert_eq!(
        states(&actors)
            .await
            .iter()
            .filter(|(state, _)| state == "retired")
            .count(),
        2
    );
}

#[tokio::test]
async fn a_suspected_key_is_out_at_once_and_signs_nothing_more() {
    let actors = Actors::new().await;
    let world = &actors.world;
    let stolen = token(world);
    let rows = states(&actors).await;
    let suspected = kid(&rows, "active").to_owned();
    let after = listed(&retire(&actors, &suspected).await);
    assert_eq!(kid(&after, "retired"), suspected);
    assert_eq!(kid(&after, "active"), kid(&rows, "next"));
    let set = set(world).await;
    let refused = verify(&stolen, &set, world.now()).unwrap_err();
    assert_eq!(refused, TokenError::UnknownKey);
    verify(&token(world), &set, world.now()).unwrap();
    let entry = newest(&actors, "signing_key.retire").await;
    let resource = entry["resource"].as_str().unwrap();
    assert!(
        resource.starts_with(&format!("signing_key/{suspected} active:")),
        "{resource}"
    );
    // Again, it changes nothing; and one that never was is not found.
    let again = listed(&retire(&actors, &suspected).await);
    assert_eq!(again, after);
    let unknown = Thumbprint::from_bytes([7; 32]);
    let target = format!("{KEYS}/{unknown}/retire");
    let answer = world.call(actors.key("alice"), "POST", &target, None).await;
    answer.expect("not_found", None, None, "a key that never was");
}

#[tokio::test]
async fn keys_outlive_a_seal_and_nothing_is_signed_meanwhile() {
    let actors = Actors::new().await;
    let world = &actors.world;
    let (before, rows) = (token(world), states(&actors).await);
    let open = world.app.open().unwrap();
    world.seal().await;
    let answer = world.send(&Sent::new("GET", SET, None)).await;
    answer.expect("sealed", None, None, "the set");
    let id = ActorId::from_bytes([1; 32]);
    let refused = open.tokens.agent_jwt("a", &id, &id, &[], world.now()).err();
    assert_eq!(refused.unwrap().code, procura_server::problem::Code::Sealed);
    drop(open);
    world.unseal().await;
    assert_eq!(states(&actors).await, rows);
    verify(&before, &set(world).await, world.now()).unwrap();
}

#[tokio::test]
async fn private_keys_are_nowhere_in_the_home() {
    let actors = Actors::new().await;
    let world = &actors.world;
    // PKCS #8 or SEC 1 of such a key names its curve; a JWK names its scalar.
    for word in ["\"d\":", "PRIVATE KEY"] {
        for file in std::fs::read_dir(world.home.path()).unwrap() {
            let path = file.unwrap().path();
            if path.is_file() {
                let bytes = std::fs::read(&path).unwrap();
                let found = bytes
                    .windows(word.len())
                    .any(|part| part == word.as_bytes());
                assert!(!found, "{word} in {}", path.display());
            }
        }
    }
}

#[test]
fn the_set_is_for_everybody_under_the_servers_own_name() {
    let home = Home::new();
    let server = start(home.config()).unwrap();
    let sealed = get(server.api(), SET);
    assert_eq!(sealed.problem().0, "sealed");
    let unsealed = admin(
        home.path(),
        "/admin/unseal",
        &json!({"passphrase": PASSPHRASE}),
    );
    assert_eq!(unsealed.status(), 204);
    let answer = get(server.api(), SET);
    assert_eq!(answer.status(), 200);
    assert_eq!(
        KeySet::parse(answer.body().as_bytes())
            .unwrap()
            .keys()
            .len(),
        2
    );
    let misled = raw(
        server.api(),
        format!("GET {SET} HTTP/1.1\r\nHost: keys.example\r\nConnection: close\r\n\r\n").as_bytes(),
    );
    assert_eq!(misled.problem(), ("malformed".into(), Some("host".into())));
    let posted = raw(
        server.api(),
        format!(
            "POST {SET} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
            server.api()
        )
        .as_bytes(),
    );
    assert_eq!(posted.problem().0, "method_not_allowed");
}
