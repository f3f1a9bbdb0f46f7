//! Honey secrets: listed like others, answered like what is not there, and the end of
//! whatever touches one.

use crate::actors::{Actors, value_b64};
use crate::sessions::{list, started, unauthorized};
use crate::world::Answer;
use procura_crypto::{SigningKey, SystemEntropy};
use procura_directory::Suspect;
use procura_types::{ActorId, CanaryId, TraceId, encoding};
use procura_vault::Touch;
use serde_json::{Value, json};
use std::time::Duration;

pub(crate) const NS: &str = "/v1/namespaces/shop";
const RUNS: &str = "/v1/namespaces/shop/projects/web/runs";

/// A decoy at a path.
pub(crate) async fn plant(actors: &Actors, path: &str, body: Value) -> Value {
    let target = format!("/v1/honey/shop/{path}");
    actors.ok("alice", "PUT", &target, body).await
}

pub(crate) async fn call(actors: &Actors, by: &str, method: &str, target: &str) -> Answer {
    actors
        .world
        .call(actors.key(by), method, target, None)
        .await
}

pub(crate) async fn run(actors: &Actors, key: &SigningKey, names: &[&str]) -> Answer {
    let body = json!({"names": names, "delivery": "env"});
    actors.world.call(key, "POST", RUNS, Some(&body)).await
}

pub(crate) async fn quarantined(actors: &Actors) -> Vec<Value> {
    let list = actors
        .ok("alice", "GET", "/v1/quarantine", Value::Null)
        .await;
    list["quarantined"].as_array().unwrap().clone()
}

/// Waits until the record has the quarantine of this device.
pub(crate) async fn until_held(actors: &Actors, device: &str) -> Value {
    let mut all = Vec::new();
    for _ in 0..3000 {
        all = quarantined(actors).await;
        if let Some(found) = all.iter().find(|held| held["device"] == device) {
            return found.clone();
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{device} is not in quarantine: {all:?}");
}

pub(crate) async fn reinstate(actors: &Actors, device: &str) {
    let target = format!("/v1/devices/{device}/reinstate");
    actors.ok("alice", "POST", &target, Value::Null).await;
}

/// Lets a device of this actor go on, which is in force with the answer.
pub(crate) async fn free_again(actors: &Actors, device: &str, name: &str) {
    reinstate(actors, device).await;
    let answer = call(actors, name, "GET", &format!("{NS}/agents")).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
}

pub(crate) fn held(answer: &Answer, what: &str) {
    assert_eq!(answer.status, 403, "{what}");
    answer.expect("device_quarantined", Some("quarantined"), None, what);
}

/// An answer without what is of its request alone, and with `path` for both paths.
pub(crate) fn words(answer: &Answer, path: &str) -> (u16, Vec<(String, String)>, String) {
    let mut headers: Vec<(String, String)> = answer
        .headers
        .iter()
        .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
        .filter(|(name, _)| name != "x-request-id" && name != "content-length")
        .collect();
    headers.sort();
    let id = answer.json()["request_id"].as_str().unwrap().to_owned();
    let text = answer.text().replace(&id, "ID").replace(path, "PATH");
    (answer.status.as_u16(), headers, text)
}

pub(crate) async fn touches(actors: &Actors) -> Vec<Value> {
    let list = actors.ok("alice", "GET", "/v1/honey", Value::Null).await;
    let honey = list["honey"].as_array().unwrap();
    honey
        .iter()
        .flat_map(|honey| honey["touches"].as_array().unwrap().clone())
        .collect()
}

/// A touch of now, which nobody was told of yet.
pub(crate) fn touch_of(
    actors: &Actors,
    suspect: Suspect,
    canary: CanaryId,
    actor: ActorId,
) -> Touch {
    let now = actors.world.now();
    Touch {
        suspect,
        canary,
        actor,
        owner: actor,
        how: "secret.read",
        profile: "native",
        session: None,
        ip: None,
        trace: TraceId::generate(now, &SystemEntropy).unwrap(),
        first: now,
        last: now,
        count: 1,
        seq: actors.world.app.open().unwrap().directory.snapshot().seq(),
        told: false,
        kept: Vec::new(),
    }
}

/// The alarms that a steward is told, as reason and resource.
pub(crate) async fn alarms(actors: &Actors) -> Vec<Value> {
    let entries = "/v1/ledger/entries?action=honey.touch&limit=100";
    let found = actors.ok("alice", "GET", entries, Value::Null).await;
    let entries = found["entries"].as_array().unwrap();
    entries
        .iter()
        .map(|row| serde_json::from_str(row["entry"].as_str().unwrap()).unwrap())
        .collect()
}

#[tokio::test]
async fn a_decoy_is_answered_as_what_is_not_there_and_ends_who_asks() {
    let actors = Actors::new().await;
    let planted = plant(&actors, "prod/aws", json!({"shape": "aws"})).await;
    let calls: [(&str, &str, &str, Option<Value>); 7] = [
        ("GET", "secrets", "", None),
        ("GET", "secrets", "?version=1", None),
        ("GET", "history", "", None),
        ("POST", "metadata", "", Some(json!({"owner": "me"}))),
        ("POST", "undelete", "", None),
        ("DELETE", "secrets", "", None),
        ("DELETE", "secrets", "?destroy=true", None),
    ];
    let device = actors.device("adam");
    let adam = actors.key("adam");
    let world = &actors.world;
    for (method, kind, query, body) in calls {
        let ask = async |path: &str| {
            let target = format!("{NS}/{kind}/{path}{query}");
            world.call(adam, method, &target, body.as_ref()).await
        };
        let missing = ask("prod/gcp").await;
        let decoy = ask("prod/aws").await;
        let what = format!("{method} {kind}{query}");
        missing.expect("not_found", None, None, &what);
        assert_eq!(
            words(&missing, "prod/gcp"),
            words(&decoy, "prod/aws"),
            "{what}"
        );
        // From the next request on, whatever the record says by now.
        held(&ask("prod/gcp").await, &what);
        held(
            &call(&actors, "adam", "GET", &format!("{NS}/agents")).await,
            &what,
        );
        let found = until_held(&actors, &device).await;
        assert_eq!(found["canary"], planted["canary"]);
        assert_eq!(found["name"], "adam");
        free_again(&actors, &device, "adam").await;
    }
    assert!(quarantined(&actors).await.is_empty());
}

#[tokio::test]
async fn a_run_that_asks_for_a_decoy_is_answered_as_for_a_missing_name() {
    let actors = Actors::new().await;
    plant(
        &actors,
        "prod/stripe",
        json!({"shape": "stripe", "env": "STRIPE"}),
    )
    .await;
    // By a name that a decoy declares, and by one that a project maps to it.
    let project = json!({"agents": ["scribe"], "env": {
        "DB": "db/password", "API": "api/key", "MAIL": "mail/key",
        "PAY": "prod/stripe", "NONE": "prod/none"}});
    actors
        .ok("adam", "PUT", &format!("{NS}/projects/web"), project)
        .await;
    for (decoy, missing) in [("STRIPE", "STRIPO"), ("PAY", "NONE")] {
        let key = actors.join_as("adam", "shop", "scribe").await;
        let first = run(&actors, &key, &[missing]).await;
        let second = run(&actors, &key, &[decoy]).await;
        assert_eq!(words(&first, missing), words(&second, decoy), "{decoy}");
        let device = key.public().thumbprint().to_string();
        held(&run(&actors, &key, &["DB"]).await, decoy);
        until_held(&actors, &device).await;
        // Other devices of the agent go on.
        assert_eq!(
            run(&actors, actors.key("scribe"), &["DB"]).await.status,
            200
        );
    }
    // Beside a name that is there it is as if it were not: and all the same a touch.
    let key = actors.join_as("adam", "shop", "scribe").await;
    let answer = run(&actors, &key, &["DB", "STRIPE"]).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(
        answer.json()["unmatched"],
        json!([{"name": "STRIPE", "reason": "no_match"}])
    );
    held(&run(&actors, &key, &["DB"]).await, "beside another");
    // Who has no part in the project asks for nothing.
    let baker = run(&actors, actors.key("baker"), &["STRIPE"]).await;
    baker.expect("not_found", None, None, "no member");
    let baker = run(&actors, actors.key("baker"), &["STRIPE"]).await;
    baker.expect("not_found", None, None, "still let in");
}

#[tokio::test]
async fn sessions_from_before_do_not_come_back() {
    let actors = Actors::new().await;
    plant(&actors, "prod/aws", json!({"shape": "aws"})).await;
    let world = &actors.world;
    let (session, _) = started(world, actors.key("adam"), None).await;
    assert_eq!(list(world, &session, 1).await.status, 200);
    let target = format!("{NS}/secrets/prod/aws");
    let touched = world.in_session(&session, 2, "GET", &target, None).await;
    touched.expect("not_found", None, None, "the touch");
    held(&list(world, &session, 3).await, "the session");
    let start = json!({"audience": "procura"});
    let renewed = world
        .call(actors.key("adam"), "POST", "/v1/sessions", Some(&start))
        .await;
    held(&renewed, "another session");
    let device = actors.device("adam");
    until_held(&actors, &device).await;
    held(&list(world, &session, 4).await, "once it is committed");

    // Only stewards let out, and only what is in.
    let reinstate_by = async |by: &str| {
        let target = format!("/v1/devices/{device}/reinstate");
        call(&actors, by, "POST", &target).await
    };
    reinstate_by("anna")
        .await
        .expect("forbidden", None, None, "anna");
    held(&reinstate_by("adam").await, "itself");
    reinstate(&actors, &device).await;
    let again = reinstate_by("alice").await;
    again.expect("not_found", None, None, "it is out already");
    unauthorized(&list(world, &session, 5).await, "session_expired");
    let (session, _) = started(world, actors.key("adam"), None).await;
    assert_eq!(list(world, &session, 1).await.status, 200);
}

#[tokio::test]
async fn repeated_touches_are_one_alarm_with_a_count() {
    let actors = Actors::new().await;
    let planted = plant(&actors, "prod/aws", json!({"shape": "aws"})).await;
    let target = format!("{NS}/secrets/prod/aws");
    let device = actors.device("adam");
    call(&actors, "adam", "GET", &target).await;
    for _ in 0..3 {
        held(&call(&actors, "adam", "GET", &target).await, "again");
    }
    until_held(&actors, &device).await;
    held(&call(&actors, "adam", "GET", &target).await, "later");
    // The count follows a few seconds behind, and at the latest with the seal.
    actors.world.seal().await;
    actors.world.unseal().await;
    let found = touches(&actors).await;
    let [touch] = found.as_slice() else {
        panic!("{found:?}");
    };
    assert_eq!(touch["count"], 5);
    assert_eq!(
        (&touch["device"], &touch["how"]),
        (&json!(device), &json!("secret.read"))
    );
    assert_eq!(touch["quarantined"], true);
    let entries = alarms(&actors).await;
    let counts: u64 = entries
        .iter()
        .map(|entry| entry["count"].as_u64().unwrap_or(1))
        .sum();
    assert_eq!(counts, 5, "{entries:?}");
    let canary = planted["canary"].as_str().unwrap();
    for entry in &entries {
        assert_eq!(entry["resource"], format!("canary/{canary}"));
        assert_eq!(entry["device"], json!(device));
        assert_eq!(entry.get("namespace"), None);
    }
    // One alarm, told to stewards; whom it is about hears nothing of it.
    let alarms_of = async |by: &str| {
        let target = "/v1/events?follow=false";
        let answer = call(&actors, by, "GET", target).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.text().matches("\"honey.touch\"").count()
    };
    assert_eq!(alarms_of("alice").await, 1);
    assert_eq!(alarms_of("otto").await, 0);
    // Still in quarantine, from the store.
    held(
        &call(&actors, "adam", "GET", &target).await,
        "after an unseal",
    );
    // Let out, and at it again: another alarm.
    reinstate(&actors, &device).await;
    call(&actors, "adam", "GET", &target).await;
    until_held(&actors, &device).await;
    assert_eq!(alarms_of("alice").await, 2);
}

#[tokio::test]
async fn lists_show_a_decoy_like_any_other_and_its_namespace_knows_of_none() {
    let actors = Actors::new().await;
    let real = json!({"value_b64": value_b64(), "env": "REAL", "description": "key"});
    for path in ["prod/a", "prod/c", "prod/e"] {
        actors
            .ok("adam", "PUT", &format!("{NS}/secrets/{path}"), real.clone())
            .await;
    }
    for path in ["prod/b", "prod/d", "other/x"] {
        let body = json!({"shape": "github", "env": "FAKE", "description": "key"});
        plant(&actors, path, body).await;
    }
    let secrets = async |query: &str| {
        let target = format!("{NS}/secrets?{query}");
        actors.ok("otto", "GET", &target, Value::Null).await
    };
    let all = secrets("prefix=prod/").await;
    let paths = |list: &Value| -> Vec<String> {
        let rows = list["secrets"].as_array().unwrap().iter();
        rows.map(|row| row["path"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(
        paths(&all),
        ["prod/a", "prod/b", "prod/c", "prod/d", "prod/e"]
    );
    let shape = |row: &Value| -> Vec<String> {
        let keys = row.as_object().unwrap().keys();
        keys.cloned().collect()
    };
    let rows = all["secrets"].as_array().unwrap();
    for row in rows {
        assert_eq!(shape(row), shape(&rows[0]));
        assert_eq!(
            (&row["version"], &row["kind"]),
            (&json!(1), &rows[0]["kind"])
        );
    }
    // Page by page it is the same list, whatever the page.
    for limit in 1..7 {
        let (mut found, mut after) = (Vec::new(), String::new());
        loop {
            let page = secrets(&format!("prefix=prod/&limit={limit}{after}")).await;
            let part = paths(&page);
            assert!(part.len() <= limit);
            found.extend(part);
            match page["next"].as_str() {
                Some(next) => after = format!("&after={next}"),
                None => break,
            }
        }
        assert_eq!(found, paths(&all), "{limit}");
    }
    assert_eq!(
        paths(&secrets("prefix=prod/&due_within=99999999").await),
        [""; 0]
    );
    // Nothing of it in the record of the namespace, nor to who has not the right.
    let record = "/v1/ledger/entries?namespace=shop&limit=1000";
    let record = actors
        .ok("otto", "GET", record, Value::Null)
        .await
        .to_string();
    assert!(
        !record.contains("honey") && !record.contains("canary"),
        "{record}"
    );
    for by in ["adam", "anna", "otto", "scribe"] {
        for target in ["/v1/honey", "/v1/quarantine"] {
            let answer = call(&actors, by, "GET", target).await;
            answer.expect("forbidden", None, None, by);
        }
        // Whether there is one or not.
        for path in ["prod/b", "prod/a", "prod/none"] {
            let target = format!("/v1/honey/shop/{path}");
            let answer = call(&actors, by, "DELETE", &target).await;
            answer.expect("forbidden", None, None, by);
        }
    }
}

#[tokio::test]
async fn bait_is_handed_out_and_recorded_and_ends_who_took_it() {
    let actors = Actors::new().await;
    let body = json!({"shape": "openai", "mode": "bait", "env": "OPENAI"});
    let planted = plant(&actors, "ai/openai", body).await;
    let value = planted["value_b64"].as_str().unwrap();
    let target = format!("{NS}/secrets/ai/openai");
    let read = actors.ok("adam", "GET", &target, Value::Null).await;
    assert_eq!(
        (&read["value_b64"], &read["version"], &read["path"]),
        (&json!(value), &json!(1), &json!("ai/openai"))
    );
    held(&call(&actors, "adam", "GET", &target).await, "read");
    until_held(&actors, &actors.device("adam")).await;
    reinstate(&actors, &actors.device("adam")).await;
    let other = format!("{target}?version=2");
    let none = call(&actors, "adam", "GET", &other).await;
    none.expect("not_found", None, None, "a version that is not there");
    until_held(&actors, &actors.device("adam")).await;
    reinstate(&actors, &actors.device("adam")).await;

    let key = actors.join_as("adam", "shop", "scribe").await;
    let answer = run(&actors, &key, &["OPENAI", "DB"]).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let answer = answer.json();
    assert_eq!(answer["values"]["OPENAI"]["value_b64"], value);
    // Nothing real leaves beside it.
    assert_eq!(answer["values"].as_object().unwrap().len(), 1);
    assert_eq!(
        answer["unmatched"],
        json!([{"name": "DB", "reason": "no_match"}])
    );
    held(&run(&actors, &key, &["DB"]).await, "run");
    let requests = actors
        .ok("anna", "GET", &format!("{NS}/requests"), Value::Null)
        .await;
    assert!(!requests.to_string().contains("OPENAI"));
    for action in ["secret.read", "honey.bait"] {
        let target = format!("/v1/ledger/entries?action={action}&limit=1");
        let found = actors.ok("alice", "GET", &target, Value::Null).await;
        let entry = found["entries"][0]["entry"].as_str().unwrap().to_owned();
        assert!(entry.contains("@1"), "{entry}");
    }
}

#[tokio::test]
async fn stewards_touch_nothing() {
    let actors = Actors::new().await;
    plant(&actors, "prod/aws", json!({"shape": "aws"})).await;
    // The maker of a namespace is its admin too.
    for _ in 0..3 {
        let answer = call(&actors, "alice", "GET", &format!("{NS}/secrets/prod/aws")).await;
        answer.expect("not_found", None, None, "a steward");
    }
    let put = json!({"value_b64": value_b64()});
    let answer = actors
        .world
        .call(
            actors.key("alice"),
            "PUT",
            &format!("{NS}/secrets/prod/aws"),
            Some(&put),
        )
        .await;
    answer.expect("conflict", Some("honey"), None, "a steward's write");
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(quarantined(&actors).await.is_empty());
    assert!(touches(&actors).await.is_empty());
}

#[tokio::test]
async fn a_write_in_the_place_of_a_decoy_is_as_over_any_secret_and_is_told() {
    let actors = Actors::new().await;
    plant(&actors, "prod/aws", json!({"shape": "aws"})).await;
    let target = format!("{NS}/secrets/prod/aws");
    let put = async |body: Value| {
        let adam = actors.key("adam");
        actors.world.call(adam, "PUT", &target, Some(&body)).await
    };
    // As a list shows it: there is a first version. What is refused asks all the same.
    let device = actors.device("adam");
    let wrong = put(json!({"value_b64": value_b64(), "expect_version": 0})).await;
    wrong.expect("version_mismatch", None, None, "there is one");
    assert!(wrong.text().contains("latest version is 1, not 0"));
    until_held(&actors, &device).await;
    reinstate(&actors, &device).await;
    let other = put(json!({"value_b64": value_b64(), "kind": "api-key"})).await;
    other.expect("conflict", Some("other_kind"), None, "of another kind");
    until_held(&actors, &device).await;
    reinstate(&actors, &device).await;
    let written = put(json!({"value_b64": value_b64(), "expect_version": 1})).await;
    assert_eq!(written.json()["version"], 2, "{}", written.text());
    held(&put(json!({"value_b64": value_b64()})).await, "after it");
    until_held(&actors, &device).await;
    reinstate(&actors, &device).await;
    // It is a secret like others now.
    let read = actors.ok("adam", "GET", &target, Value::Null).await;
    assert_eq!(
        (&read["version"], &read["value_b64"]),
        (&json!(2), &json!(value_b64()))
    );
    let list = actors.ok("alice", "GET", "/v1/honey", Value::Null).await;
    assert_eq!(list, json!({"honey": []}));
}

#[tokio::test]
async fn what_is_found_is_known_again() {
    let actors = Actors::new().await;
    let which = async |text: &[u8]| {
        let body = json!({"value_b64": encoding::b64url(text)});
        let found = actors.ok("alice", "POST", "/v1/honey/which", body).await;
        let matches = found["matches"].as_array().unwrap().clone();
        let canaries: Vec<Value> = matches.iter().map(|one| one["canary"].clone()).collect();
        (canaries, matches)
    };
    for shape in ["aws", "github", "openai", "stripe", "postgresql"] {
        let planted = plant(&actors, &format!("decoy/{shape}"), json!({"shape": shape})).await;
        let value = planted["value_b64"].as_str().unwrap();
        let value = encoding::from_b64url("value_b64", value).unwrap();
        let canary = vec![planted["canary"].clone()];
        assert_eq!(which(&value).await.0, canary, "{shape}");
        let text = String::from_utf8(value).unwrap();
        let pasted = format!("found this:\n  export X=\"{}\"\n", text.trim());
        assert_eq!(which(pasted.as_bytes()).await.0, canary, "{pasted}");
        for part in text.split(|letter: char| "= :@\n/".contains(letter)) {
            let is_random = part.len() >= 20 && !part.contains('.') && !part.contains("aws_");
            if is_random && matches!(shape, "aws" | "postgresql") && !part.contains('+') {
                // Of what has a slash in it, only the whole is one word.
                // One piece of that may be as long as the id of a key by chance.
                if shape == "aws" && !part.starts_with("AKIA") {
                    continue;
                }
                assert_eq!(which(part.as_bytes()).await.0, canary, "{shape}: a part");
            }
        }
    }
    let own = encoding::b64url(b"user=root password=correct-horse-battery");
    let planted = plant(&actors, "decoy/own", json!({"value_b64": own})).await;
    let found = which(b"correct-horse-battery").await.1;
    assert_eq!(found[0]["canary"], planted["canary"]);
    assert_eq!(
        (&found[0]["path"], &found[0]["removed"]),
        (&json!("decoy/own"), &Value::Null)
    );
    let removed = call(&actors, "alice", "DELETE", "/v1/honey/shop/decoy/own").await;
    assert_eq!(removed.status, 204, "{}", removed.text());
    let found = which(b"correct-horse-battery").await.1;
    assert_eq!(found.len(), 1);
    assert!(found[0]["removed"].is_string());
    // Whoever asks for it now is not noticed.
    let gone = call(&actors, "adam", "GET", &format!("{NS}/secrets/decoy/own")).await;
    gone.expect("not_found", None, None, "removed");
    let gone = call(&actors, "adam", "GET", &format!("{NS}/secrets/decoy/own")).await;
    gone.expect("not_found", None, None, "removed, and still let in");
    assert!(which(b"nothing of this installation").await.1.is_empty());
}

#[tokio::test]
async fn a_decoy_is_planted_where_nothing_is_or_was() {
    let actors = Actors::new().await;
    let put = async |path: &str, body: Value| {
        let target = format!("/v1/honey/{path}");
        actors
            .world
            .call(actors.key("alice"), "PUT", &target, Some(&body))
            .await
    };
    let aws = || json!({"shape": "aws"});
    let taken = put("shop/db/password", aws()).await;
    taken.expect("already_exists", None, None, "a secret");
    call(
        &actors,
        "adam",
        "DELETE",
        &format!("{NS}/secrets/mail/key?destroy=true"),
    )
    .await;
    let taken = put("shop/mail/key", aws()).await;
    taken.expect("already_exists", None, None, "what was one");
    assert_eq!(put("shop/decoy", aws()).await.status, 201);
    let taken = put("shop/decoy", aws()).await;
    taken.expect("already_exists", None, None, "a decoy");
    let nowhere = put("nowhere/decoy", aws()).await;
    nowhere.expect("not_found", None, None, "no namespace");
    let both = json!({"shape": "aws", "value_b64": value_b64()});
    put("shop/b", both)
        .await
        .expect("malformed", None, Some("shape"), "both");
    let kind = json!({"shape": "aws", "kind": "json"});
    let kind = put("shop/b", kind).await;
    kind.expect("malformed", None, Some("value_b64"), "not of its kind");
    for (what, length) in [("nothing", 0), ("too long", 32 * 1024 + 1)] {
        let value = json!({"value_b64": encoding::b64url(&vec![b'x'; length])});
        put("shop/b", value)
            .await
            .expect("malformed", None, Some("value_b64"), what);
    }
}
