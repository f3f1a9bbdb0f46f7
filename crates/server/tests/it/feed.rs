//! What a gate is told, and what it is not (`protocol.md` §3.4).

use crate::actors::Actors;
use crate::world::{Answer, CANARY, PASSPHRASE};
use procura_crypto::PublicKey;
use procura_proof::SessionKeys;
use procura_proof::session::{SessionFault, open};
use procura_types::wire::{Feed, FeedActorKind, FeedTerms, SessionAnswer, SignedFeed};
use procura_types::{Duration, InstanceId, Secret};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

const TILL: &str = "/v1/namespaces/shop/services/till";
const ONE: InstanceId = InstanceId::from_bytes([1; 16]);
const TWO: InstanceId = InstanceId::from_bytes([2; 16]);
const NONCE: [u8; 16] = [7; 16];

/// The service `till`, whose gate `baker` may run.
async fn till() -> Actors {
    let actors = Actors::new().await;
    let put = json!({
        "expect_version": 0,
        "mode": "observe",
        "routes": [{"prefix": "/pay", "mode": "enforce"}],
        "gates": ["baker"],
    });
    actors.ok("adam", "PUT", TILL, put).await;
    actors
}

async fn ask(
    actors: &Actors,
    instance: &InstanceId,
    known: Option<(u64, &str)>,
    wait: u64,
) -> Answer {
    let nonce = procura_types::encoding::b64url(&NONCE);
    let mut target = format!("{TILL}/feed?instance={instance}&nonce={nonce}&wait={wait}");
    if let Some((after, mark)) = known {
        write!(target, "&after={after}&mark={mark}").unwrap();
    }
    let key = actors.key("baker");
    actors.world.call(key, "GET", &target, None).await
}

fn signed(answer: &Answer) -> SignedFeed {
    assert_eq!(answer.status, 200, "{}", answer.text());
    serde_json::from_value(answer.json()).unwrap()
}

async fn feed(actors: &Actors, known: Option<(u64, &str)>, wait: u64) -> Feed {
    let signed = signed(&ask(actors, &ONE, known, wait).await);
    serde_json::from_slice(signed.feed.decode().unwrap().expose()).unwrap()
}

fn labels(feed: &Feed) -> BTreeSet<&str> {
    feed.actors
        .iter()
        .map(|actor| actor.label.as_str())
        .collect()
}

/// Whose devices it names.
fn devices<'a>(actors: &Actors, feed: &Feed, names: &[&'a str]) -> BTreeSet<&'a str> {
    let thumbprints: BTreeSet<String> = feed
        .devices
        .iter()
        .map(|device| device.thumbprint.to_string())
        .collect();
    let found: BTreeSet<&str> = names
        .iter()
        .copied()
        .filter(|name| thumbprints.contains(&actors.device(name)))
        .collect();
    assert_eq!(found.len(), thumbprints.len(), "{thumbprints:?}");
    found
}

const ALL: [&str; 10] = [
    "alice", "adam", "anna", "otto", "gone", "bert", "scribe", "baker", "dead", "robber",
];

#[tokio::test]
async fn a_gate_learns_who_can_call_and_nothing_else() {
    let actors = till().await;
    let feed = feed(&actors, None, 0).await;
    let here = BTreeSet::from([
        "alice", "adam", "anna", "otto", "gone", "scribe", "baker", "dead",
    ]);
    assert!(feed.full);
    assert_eq!(labels(&feed), here);
    assert_eq!(devices(&actors, &feed, &ALL), here);
    let revoked: BTreeSet<&str> = feed
        .actors
        .iter()
        .filter(|actor| actor.revoked.is_some())
        .map(|actor| actor.label.as_str())
        .collect();
    assert_eq!(revoked, BTreeSet::from(["dead"]));
    let gone = actors.device("gone");
    let gone = feed
        .devices
        .iter()
        .find(|device| device.thumbprint.to_string() == gone)
        .unwrap();
    assert!(gone.revoked.is_some());
    for actor in &feed.actors {
        let is_owner = matches!(actor.kind, FeedActorKind::Owner { .. });
        assert_eq!(is_owner, actor.owner == actor.id, "{}", actor.label);
    }
    assert_eq!(feed.mode.unwrap().as_str(), "observe");
    assert_eq!(feed.routes.iter().count(), 1);

    // Neither grants, nor projects, nor secrets, nor other namespaces.
    let text = serde_json::to_string(&feed).unwrap();
    for word in [
        CANARY,
        "bank",
        "bert",
        "robber",
        "password",
        "api/key",
        "grant",
        "steward",
        "roles",
        &actors.grant,
    ] {
        assert!(!text.contains(word), "{word}: {text}");
    }
}

/// The keys of a feed, as a gate holds them.
struct Held(String, BTreeMap<u32, Vec<u8>>);

impl SessionKeys for Held {
    fn accepts(&self, epoch: u32) -> bool {
        self.1.contains_key(&epoch)
    }
    fn audience_key(&self, epoch: u32, audience: &str) -> Option<Secret<[u8; 32]>> {
        let key = self.1.get(&epoch).filter(|_| audience == self.0)?;
        Some(Secret::new(key.as_slice().try_into().unwrap()))
    }
    fn current(&self) -> Option<u32> {
        None
    }
}

#[tokio::test]
async fn its_keys_open_the_sessions_of_its_audience_only() {
    let actors = till().await;
    let other = "/v1/namespaces/shop/services/other";
    actors
        .ok("adam", "PUT", other, json!({"expect_version": 0}))
        .await;
    let feed = feed(&actors, None, 0).await;
    let keys: BTreeMap<u32, Vec<u8>> = feed
        .keys
        .iter()
        .map(|key| (key.epoch, key.key.decode().unwrap().expose().clone()))
        .collect();
    for (audience, opens) in [
        ("gate:shop/till", true),
        ("gate:shop/other", false),
        ("procura", false),
    ] {
        let answer = actors
            .ok(
                "scribe",
                "POST",
                "/v1/sessions",
                json!({"audience": audience}),
            )
            .await;
        let session: SessionAnswer = serde_json::from_value(answer).unwrap();
        let held = Held(audience.to_owned(), keys.clone());
        let opened = open(&held, &session.session_id, audience).map(|session| *session.subject());
        if opens {
            let device = opened.unwrap().device.to_string();
            assert_eq!(device, actors.device("scribe"));
        } else {
            assert_eq!(opened.unwrap_err(), SessionFault::Unknown, "{audience}");
        }
        // Nor does the server take a session of a gate for one of its own.
        let mac = procura_crypto::MacKey::from_bytes(session.mac_key.decode().unwrap().expose());
        let session = crate::world::TestSession {
            id: session.session_id,
            key: mac.unwrap(),
        };
        let listed = crate::sessions::list(&actors.world, &session, 1).await;
        if audience == "procura" {
            assert_eq!(listed.status, 200, "{}", listed.text());
        } else {
            listed.expect("unauthorized", Some("session_unknown"), None, audience);
        }
    }
}

#[tokio::test]
async fn sessions_of_gates_are_for_who_has_a_part_in_the_namespace() {
    let actors = till().await;
    let body = json!({"audience": "gate:shop/till"});
    for name in ["robber", "bert"] {
        let key = actors.key(name);
        let answer = actors.world.call(key, "POST", "/v1/sessions", Some(&body));
        let answer = answer.await;
        answer.expect("not_found", None, None, name);
        // Which services there are is not told either.
        let nothing = json!({"audience": "gate:shop/nothing"});
        let other = actors
            .world
            .call(key, "POST", "/v1/sessions", Some(&nothing));
        let other = other.await;
        other.expect("not_found", None, None, name);
        let detail = |answer: &Answer| answer.json()["detail"].clone();
        assert_eq!(detail(&answer), detail(&other));
    }
    for (audience, name) in [
        ("gate:shop/nothing", "scribe"),
        ("gate:mine/till", "scribe"),
    ] {
        let key = actors.key(name);
        let body = json!({"audience": audience});
        let answer = actors.world.call(key, "POST", "/v1/sessions", Some(&body));
        answer.await.expect("not_found", None, None, audience);
    }
    // It is renewed under its own audience only.
    let first = actors.ok("scribe", "POST", "/v1/sessions", body).await;
    let renew = |audience: &str| json!({"audience": audience, "renew": first["session_id"]});
    actors
        .ok("scribe", "POST", "/v1/sessions", renew("gate:shop/till"))
        .await;
    let key = actors.key("scribe");
    let body = renew("procura");
    let answer = actors.world.call(key, "POST", "/v1/sessions", Some(&body));
    answer
        .await
        .expect("unauthorized", Some("session_unknown"), None, "renewed");
}

#[tokio::test]
async fn it_is_signed_for_one_question() {
    let actors = till().await;
    let root = procura_crypto::SigningKey::generate_p256(&procura_crypto::SystemEntropy).unwrap();
    let stage = actors.world.app.open().unwrap();
    let server: &PublicKey = stage.vault.server_key().public();
    let signed = signed(&ask(&actors, &ONE, None, 0).await);
    let feed = signed.feed.decode().unwrap();
    let (shop, bank) = ("shop".parse().unwrap(), "bank".parse().unwrap());
    let (till, other) = ("till".parse().unwrap(), "other".parse().unwrap());
    let terms = FeedTerms {
        installation: &actors.installation,
        namespace: &shop,
        service: &till,
        instance: &ONE,
        nonce: &NONCE,
    };
    let holds =
        |terms: FeedTerms<'_>, feed: &[u8]| server.verify(&terms.message(feed), &signed.signature);
    assert!(holds(terms, feed.expose()));
    let installation = procura_types::InstallationId::from_bytes([0; 16]);
    for wrong in [
        FeedTerms {
            installation: &installation,
            ..terms
        },
        FeedTerms {
            namespace: &bank,
            ..terms
        },
        FeedTerms {
            service: &other,
            ..terms
        },
        FeedTerms {
            instance: &TWO,
            ..terms
        },
        FeedTerms {
            nonce: &[8; 16],
            ..terms
        },
    ] {
        assert!(!holds(wrong, feed.expose()), "{wrong:?}");
    }
    let mut changed = feed.expose().clone();
    changed.push(b' ');
    assert!(!holds(terms, &changed));
    assert!(
        !root
            .public()
            .verify(&terms.message(feed.expose()), &signed.signature)
    );
}

#[tokio::test]
async fn changes_come_alone() {
    let actors = till().await;
    let first = feed(&actors, None, 0).await;
    let nothing = feed(&actors, Some((first.seq, &first.mark)), 0).await;
    assert!(!nothing.full && nothing.actors.is_empty() && nothing.devices.is_empty());
    assert_eq!((nothing.seq, &nothing.mark), (first.seq, &first.mark));
    assert!(!nothing.keys.is_empty());

    // What is no gate's business moves the sequence, which sessions compare.
    let withdraw = format!("/v1/namespaces/shop/grants/{}/withdraw", actors.grant);
    actors.ok("anna", "POST", &withdraw, Value::Null).await;
    let robber = "/v1/namespaces/bank/agents/robber";
    actors.ok("bert", "DELETE", robber, Value::Null).await;
    let other = feed(&actors, Some((first.seq, &first.mark)), 0).await;
    assert!(other.seq > first.seq);
    assert!(!other.full && other.actors.is_empty() && other.devices.is_empty());

    let scribe = "/v1/namespaces/shop/agents/scribe";
    actors.ok("adam", "DELETE", scribe, Value::Null).await;
    let agents = "/v1/namespaces/shop/agents";
    actors
        .ok("adam", "POST", agents, json!({"label": "clerk"}))
        .await;
    let revoked = feed(&actors, Some((other.seq, &other.mark)), 0).await;
    assert!(!revoked.full);
    assert_eq!(
        labels(&revoked),
        BTreeSet::from(["adam", "clerk", "scribe"])
    );
    let scribe = revoked
        .actors
        .iter()
        .find(|actor| actor.label.as_str() == "scribe")
        .unwrap();
    assert!(scribe.revoked.is_some());

    // A role that goes takes an operator out, which only a whole feed says.
    let roles = "/v1/operators/otto/roles";
    actors.ok("alice", "PUT", roles, json!({"roles": []})).await;
    let whole = feed(&actors, Some((revoked.seq, &revoked.mark)), 0).await;
    assert!(whole.full);
    assert!(!labels(&whole).contains("otto"));
    assert!(!devices(&actors, &whole, &ALL).contains("otto"));

    // A state that never was here is answered with all there is.
    assert!(
        feed(&actors, Some((whole.seq + 1, &whole.mark)), 0)
            .await
            .full
    );
    assert!(feed(&actors, Some((0, &whole.mark)), 0).await.full);
}

#[tokio::test]
async fn ids_of_other_systems_are_told_with_the_agents_of_the_namespace() {
    let actors = till().await;
    let bound = |feed: &Feed| -> Vec<(String, bool)> {
        let foreign = feed.foreign.iter();
        let mut bound: Vec<_> = foreign
            .map(|bound| (bound.id.to_string(), bound.released.is_some()))
            .collect();
        bound.sort();
        bound
    };
    let told = |id: &str, released| (id.to_owned(), released);
    let path = |namespace: &str, id: &str| format!("/v1/namespaces/{namespace}/foreign-ids/{id}");
    let whole = feed(&actors, None, 0).await;
    assert_eq!(bound(&whole), [told("till.7", false)]);
    let scribe = whole
        .actors
        .iter()
        .find(|one| one.label.as_str() == "scribe");
    assert_eq!(whole.foreign[0].actor, scribe.unwrap().id);
    let nothing = feed(&actors, Some((whole.seq, &whole.mark)), 0).await;
    assert!(!nothing.full && nothing.foreign.is_empty());

    // Of other namespaces nothing, also when an id moves there.
    let bind = |agent: &str| json!({"agent": agent});
    let elsewhere = path("bank", "till.8");
    actors.ok("bert", "PUT", &elsewhere, bind("robber")).await;
    let other = feed(&actors, Some((whole.seq, &whole.mark)), 0).await;
    assert!(other.seq > whole.seq && !other.full && other.foreign.is_empty());
    let (here, there) = (path("shop", "till.7"), path("bank", "till.7"));
    actors.ok("adam", "DELETE", &here, Value::Null).await;
    let released = feed(&actors, Some((other.seq, &other.mark)), 0).await;
    assert!(!released.full);
    assert_eq!(bound(&released), [told("till.7", true)]);
    actors.ok("bert", "PUT", &there, bind("robber")).await;
    let moved = feed(&actors, Some((other.seq, &other.mark)), 0).await;
    assert_eq!(bound(&moved), [told("till.7", true)]);
    let whole = feed(&actors, None, 0).await;
    assert!(whole.full && whole.foreign.is_empty());

    // Back at another agent: both steps, the last one last.
    actors.ok("bert", "DELETE", &there, Value::Null).await;
    actors.ok("adam", "PUT", &here, bind("scribe")).await;
    actors.ok("adam", "DELETE", &here, Value::Null).await;
    actors.ok("adam", "PUT", &here, bind("baker")).await;
    let back = feed(&actors, Some((moved.seq, &moved.mark)), 0).await;
    let last = back.foreign.last().unwrap();
    let baker = whole
        .actors
        .iter()
        .find(|one| one.label.as_str() == "baker");
    assert_eq!((last.actor, last.released), (baker.unwrap().id, None));
}

#[tokio::test]
async fn who_waits_hears_at_once() {
    // Who hears nothing is answered after ten seconds.
    const AT_ONCE: Duration = Duration::from_secs(9);
    let actors = till().await;
    let known = feed(&actors, None, 0).await;
    let waiting = feed(&actors, Some((known.seq, &known.mark)), 10);
    let scribe = "/v1/namespaces/shop/agents/scribe";
    let begun = std::time::Instant::now();
    let (heard, _) = tokio::join!(waiting, actors.ok("adam", "DELETE", scribe, Value::Null));
    assert!(begun.elapsed() < AT_ONCE);
    assert!(labels(&heard).contains("scribe"));

    // The dial too.
    let put = json!({"expect_version": 1, "mode": "enforce", "gates": ["baker"]});
    let waiting = feed(&actors, Some((heard.seq, &heard.mark)), 10);
    let begun = std::time::Instant::now();
    let (dialled, _) = tokio::join!(waiting, actors.ok("adam", "PUT", TILL, put));
    assert!(begun.elapsed() < AT_ONCE);
    assert_eq!(dialled.mode.unwrap().as_str(), "enforce");

    // A seal ends it.
    let waiting = ask(&actors, &ONE, Some((dialled.seq, &dialled.mark)), 10);
    let begun = std::time::Instant::now();
    let (sealed, ()) = tokio::join!(waiting, actors.world.seal());
    assert!(begun.elapsed() < AT_ONCE);
    sealed.expect("sealed", None, None, "sealed");
}

#[tokio::test]
async fn a_change_of_passphrase_turns_the_keys_while_a_gate_waits() {
    let actors = till().await;
    let known = feed(&actors, None, 0).await;
    let change = json!({"current": PASSPHRASE, "new": "another passphrase of the test"});
    let waiting = feed(&actors, Some((known.seq, &known.mark)), 10);
    let changing = actors.world.admin("POST", "/admin/passphrase", &change);
    let (heard, changed) = tokio::join!(waiting, changing);
    assert_eq!(changed.status, 204, "{}", changed.text());
    let epochs = |feed: &Feed| -> Vec<u32> { feed.keys.iter().map(|key| key.epoch).collect() };
    assert_ne!(epochs(&heard), epochs(&known));
    assert!(!heard.full && heard.actors.is_empty());
}

#[tokio::test]
async fn who_may_not_follow_any_more_hears_that_while_it_waits() {
    let actors = till().await;
    let known = feed(&actors, None, 0).await;
    let put = json!({"expect_version": 1, "mode": "enforce"});
    let waiting = ask(&actors, &ONE, Some((known.seq, &known.mark)), 10);
    let (off, _) = tokio::join!(waiting, actors.ok("adam", "PUT", TILL, put));
    off.expect("not_found", None, None, "taken off");
    let again = ask(&actors, &ONE, None, 0).await;
    again.expect("not_found", None, None, "taken off");

    let put = json!({"expect_version": 2, "gates": ["baker"]});
    actors.ok("adam", "PUT", TILL, put).await;
    let known = feed(&actors, None, 0).await;
    let baker = "/v1/namespaces/shop/agents/baker";
    let waiting = ask(&actors, &ONE, Some((known.seq, &known.mark)), 10);
    let (revoked, _) = tokio::join!(waiting, actors.ok("adam", "DELETE", baker, Value::Null));
    revoked.expect("unauthorized", Some("revoked"), None, "revoked");
    let service = actors.ok("otto", "GET", TILL, Value::Null).await;
    assert_eq!(service["gates"], json!([]));
}

#[tokio::test]
async fn one_gate_follows_a_service_and_its_beginning_is_recorded() {
    let actors = till().await;
    let begin = feed(&actors, None, 0).await;
    feed(&actors, Some((begin.seq, &begin.mark)), 0).await;
    let second = ask(&actors, &TWO, None, 0).await;
    second.expect("already_followed", None, None, "second");
    assert_eq!(second.status, 409);
    actors.world.clock.turn(Duration::from_secs(59));
    let second = ask(&actors, &TWO, None, 0).await;
    second.expect("already_followed", None, None, "still");
    actors.world.clock.turn(Duration::from_secs(1));
    signed(&ask(&actors, &TWO, None, 0).await);
    let first = ask(&actors, &ONE, None, 0).await;
    first.expect("already_followed", None, None, "first");

    let entries = actors
        .ok("alice", "GET", "/v1/ledger/entries?limit=1000", Value::Null)
        .await;
    let follows: Vec<Value> = entries["entries"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| serde_json::from_str(row["entry"].as_str().unwrap()).unwrap())
        .filter(|entry: &Value| entry["action"] == "service.follow")
        .map(|entry| entry["resource"].clone())
        .collect();
    let of = |instance: &InstanceId| json!(format!("service/till instance:{instance}"));
    assert_eq!(follows, [of(&TWO), of(&ONE)]);
}
