//! How long entries of the record are kept: said by a steward with their own key, in force
//! after a day, done by the server itself, and told to whoever asks for one that is gone.

use crate::actors::Actors;
use crate::sessions::started;
use crate::world::{Answer, PASSPHRASE, World};
use procura_types::Duration;
use serde_json::{Value, json};

const NEW: &str = "canary passphrase 55aa";
const RETENTION: &str = "/v1/ledger/retention";
const HOUR: Duration = Duration::from_secs(60 * 60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Lets an hour go by and has the server look what is to be done, so often: each change of
/// the passphrase makes it look.
async fn hours(world: &World, count: u32, mut done: impl AsyncFnMut() -> bool) {
    let (mut current, mut new) = (PASSPHRASE, NEW);
    for hour in 0..count {
        world.clock.turn(HOUR);
        let body = json!({"current": current, "new": new});
        let changed = world.admin("POST", "/admin/passphrase", &body).await;
        assert_eq!(changed.status, 204, "{}", changed.text());
        std::mem::swap(&mut current, &mut new);
        // As it was, for whoever comes next.
        if hour % 2 == 1 && done().await {
            return;
        }
    }
}

async fn call(
    actors: &Actors,
    who: &str,
    method: &str,
    target: &str,
    body: Option<&Value>,
) -> Answer {
    actors
        .world
        .call(actors.key(who), method, target, body)
        .await
}

async fn shown(actors: &Actors) -> Value {
    actors.ok("otto", "GET", RETENTION, Value::Null).await
}

/// The record has two bundles of old entries, which nobody may forget yet.
async fn old() -> (Actors, String) {
    let actors = Actors::new().await;
    let secret = "/v1/namespaces/shop/secrets/db/password";
    while shown(&actors).await["entries"].as_u64().unwrap() < 520 {
        for _ in 0..50 {
            actors.ok("adam", "GET", secret, Value::Null).await;
        }
    }
    let target = "/v1/ledger/entries?before=10&limit=1";
    let found = actors.ok("alice", "GET", target, Value::Null).await;
    let entry: Value =
        serde_json::from_str(found["entries"][0]["entry"].as_str().unwrap()).unwrap();
    actors.world.clock.turn(DAY * 9);
    (actors, entry["id"].as_str().unwrap().to_owned())
}

#[tokio::test]
async fn what_is_too_old_is_forgotten_a_day_after_it_was_said() {
    let (actors, id) = old().await;
    let world = &actors.world;
    let before = shown(&actors).await;
    assert_eq!(before["first"], 0);
    assert_eq!(before.get("keep_days").or(before.get("since")), None);
    let said = actors
        .ok("alice", "PUT", RETENTION, json!({"keep_days": 7}))
        .await;
    let until = world.now().plus(DAY);
    assert_eq!((&said["keep_days"], &said["first"]), (&json!(7), &json!(0)));
    assert_eq!(said["waits_until"], json!(until));
    assert_eq!(said.get("until_then_days"), None, "for ever until then");
    // Old enough they are, and twice it was looked an hour apart.
    hours(world, 6, async || false).await;
    assert_eq!(shown(&actors).await["first"], 0);
    world.clock.turn(DAY);
    hours(world, 40, async || shown(&actors).await["first"] != 0).await;
    let now = shown(&actors).await;
    assert_eq!(now["first"], 512, "{now}");
    assert_eq!(now.get("waits_until"), None);

    // It stands in the record who said it, and what the server did.
    let entries = async |query: &str| {
        let target = format!("/v1/ledger/entries?{query}");
        actors.ok("alice", "GET", &target, Value::Null).await
    };
    let resource = |list: &Value| {
        let entry: Value =
            serde_json::from_str(list["entries"][0]["entry"].as_str().unwrap()).unwrap();
        entry["resource"].as_str().unwrap().to_owned()
    };
    let set = resource(&entries("action=ledger.retention").await);
    assert_eq!(
        set,
        format!("installation keep:7d was:forever from:{until}")
    );
    let forgot = resource(&entries("action=ledger.forget").await);
    assert!(
        forgot.starts_with("installation until:512 root:"),
        "{forgot}"
    );
    assert!(forgot.contains(" kept:604800s by:"), "{forgot}");
    let left = actors
        .ok("alice", "GET", "/v1/ledger/forgotten", Value::Null)
        .await;
    assert_eq!(left["entries"], 512);
    assert!(!left["devices"].as_object().unwrap().is_empty());

    // Whoever asks for what is gone is told so, and from where it is there.
    let all = entries("limit=1000").await;
    assert_eq!(all["first"], 512);
    assert_eq!(all.get("next"), None);
    assert_eq!(
        all["entries"].as_array().unwrap().last().unwrap()["index"],
        512
    );
    for target in [
        "/v1/ledger/entries?before=512".to_owned(),
        "/v1/ledger/entries?before=1&namespace=shop".to_owned(),
        "/v1/ledger/tile/entries/000".to_owned(),
        "/v1/ledger/tile/entries/001".to_owned(),
        format!("/v1/ledger/proof/{id}"),
    ] {
        let who = if target.contains("shop") {
            "otto"
        } else {
            "alice"
        };
        let answer = call(&actors, who, "GET", &target, None).await;
        answer.expect("entry_forgotten", None, None, &target);
        assert_eq!(answer.status, 410);
        let detail = answer.json()["detail"].as_str().unwrap().to_owned();
        assert!(detail.contains("from entry 512 on"), "{detail}");
    }
    let answer = call(&actors, "alice", "GET", "/v1/backup?ledger_since=100", None).await;
    answer.expect("entry_forgotten", None, None, "a copy that lags behind");
    let detail = answer.json()["detail"].as_str().unwrap().to_owned();
    assert!(
        detail.contains("ends before entry 100") && detail.contains("from entry 512 on"),
        "{detail}"
    );
    for target in [
        "/v1/ledger/tile/0/000",
        "/v1/ledger/tile/entries/002.p/1",
        "/v1/backup?ledger_since=512",
    ] {
        let answer = call(&actors, "alice", "GET", target, None).await;
        assert_eq!(answer.status, 200, "{target}");
    }
    // And all that is stored is whole, over a restart too.
    world.seal().await;
    world.unseal().await;
    let deep = actors
        .ok("alice", "GET", "/v1/status?deep=true", Value::Null)
        .await;
    assert_eq!(deep["deep"], json!([]));
    assert_eq!(shown(&actors).await["first"], 512);
}

/// All readings of some hours agree, and are a month ahead: what is old by them is kept.
#[tokio::test]
async fn a_clock_that_is_wrong_for_hours_forgets_nothing() {
    let (actors, _) = old().await;
    let world = &actors.world;
    hours(world, 4, async || false).await;
    actors
        .ok("alice", "PUT", RETENTION, json!({"keep_days": 7}))
        .await;
    world.clock.set_ahead(DAY * 30);
    hours(world, 8, async || false).await;
    let open = world.app.open().unwrap();
    let store = open.vault.store();
    let rule = procura_record::retention(store).unwrap().unwrap().value;
    assert_eq!(
        rule.waits_until(world.now()),
        None,
        "by that clock it is in force"
    );
    assert_eq!(procura_record::first_kept(store).unwrap(), 0);
}

#[tokio::test]
async fn who_says_otherwise_within_the_day_is_in_time() {
    let (actors, _) = old().await;
    let world = &actors.world;
    actors
        .ok("alice", "PUT", RETENTION, json!({"keep_days": 7}))
        .await;
    let said = actors
        .ok("alice", "PUT", RETENTION, json!({"keep_days": null}))
        .await;
    assert_eq!(said.get("keep_days").or(said.get("waits_until")), None);
    world.clock.turn(DAY * 2);
    hours(world, 6, async || false).await;
    assert_eq!(shown(&actors).await["first"], 0);
    // A longer time than before counts at once.
    for (days, waits) in [(400, true), (500, false), (400, true), (7, true)] {
        let said = actors
            .ok("alice", "PUT", RETENTION, json!({"keep_days": days}))
            .await;
        assert_eq!(said["keep_days"], days);
        assert_eq!(said.get("waits_until").is_some(), waits, "{days}: {said}");
        world.clock.turn(DAY);
    }
}

#[tokio::test]
async fn a_session_alone_and_others_than_stewards_say_nothing() {
    let actors = Actors::new().await;
    let world = &actors.world;
    let (session, _) = started(world, actors.key("alice"), None).await;
    let body = json!({"keep_days": 7});
    let answer = world
        .in_session(&session, 1, "PUT", RETENTION, Some(&body))
        .await;
    answer.expect("unauthorized", None, None, "by a session");
    assert!(
        answer.json()["detail"]
            .as_str()
            .unwrap()
            .contains("the device's own key")
    );
    for (who, code) in [
        ("adam", "forbidden"),
        ("anna", "forbidden"),
        ("otto", "forbidden"),
        ("scribe", "forbidden"),
    ] {
        let answer = call(&actors, who, "PUT", RETENTION, Some(&body)).await;
        answer.expect(code, None, None, who);
    }
    let now = shown(&actors).await;
    assert_eq!(now.get("since"), None, "{now}");
}
