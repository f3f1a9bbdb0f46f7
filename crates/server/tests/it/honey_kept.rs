//! What was asked for and not found is kept until it is known whether it was a decoy:
//! before the answer, over the end of a request or of the process, beside what is damaged,
//! under a flood, and by several servers.

use crate::actors::{Actors, value_b64};
use crate::honey::{
    NS, alarms, call, free_again, held, plant, quarantined, run, touch_of, touches, until_held,
};
use crate::honey_apart::touched;
use procura_crypto::SystemEntropy;
use procura_store::{Batch, KeyPrefix, Kind, Table};
use procura_types::{BatchId, Duration, SecretPath, Thumbprint, TraceId};
use procura_vault::{MissedAsk, MissedRow, Touch, commit_touches, keep_missed};
use serde_json::{Value, json};
use std::task::Poll;

/// What was asked for, as it lies in the store.
const MISSED: Table<String, Value> = Table::new("honey-missed", Kind::Ordinary);

pub(crate) fn kept(actors: &Actors) -> Vec<Value> {
    let open = actors.world.app.open().unwrap();
    let snapshot = open.vault.store().snapshot().unwrap();
    let rows = MISSED.scan(&snapshot, &KeyPrefix::all(), None, 1000);
    let rows = rows.unwrap().into_iter();
    rows.map(|(_, row)| row.value).collect()
}

/// What Adam's device asked for, as it is kept.
fn missed(actors: &Actors, how: &str, asked: MissedAsk) -> MissedRow {
    let now = actors.world.now();
    let device: Thumbprint = actors.device("adam").parse().unwrap();
    let open = actors.world.app.open().unwrap();
    MissedRow {
        suspect: procura_directory::Suspect::Device(device),
        actor: open.directory.snapshot().device(&device).unwrap().actor,
        profile: "native".to_owned(),
        session: None,
        how: how.to_owned(),
        asked,
        time: now,
        seq: Some(open.directory.snapshot().seq()),
        ip: None,
        trace: TraceId::generate(now, &SystemEntropy).unwrap(),
    }
}

/// The path of a secret of the namespace, asked for.
fn path(path: &str) -> MissedAsk {
    MissedAsk::Path("shop".parse().unwrap(), path.parse().unwrap())
}

async fn keep(actors: &Actors, rows: &[MissedRow]) {
    let open = actors.world.app.open().unwrap();
    let store = open.vault.store();
    keep_missed(store, rows, actors.world.now(), &SystemEntropy)
        .await
        .unwrap();
}

pub(crate) async fn open_again(actors: &Actors) {
    actors.world.seal().await;
    actors.world.unseal().await;
}

/// The server drops a request whose client hung up; what it had begun has its effect.
#[tokio::test]
async fn who_hangs_up_behind_a_touch_has_touched() {
    let actors = Actors::new().await;
    let before = actors.world.now();
    actors.world.clock.turn(Duration::from_secs(60));
    let cases = [
        (
            "PUT",
            format!("{NS}/secrets/prod/one"),
            json!({"value_b64": value_b64()}),
        ),
        (
            "POST",
            format!("{NS}/import"),
            json!({"secrets": [{"secret": {"path": "prod/two", "value_b64": value_b64()}}]}),
        ),
        (
            "POST",
            "/v1/import".to_owned(),
            json!({"namespaces": [{"namespace": "shop", "secrets": [
                {"secret": {"path": "prod/three", "value_b64": value_b64()}}]}]}),
        ),
        (
            "POST",
            format!("{NS}/rollback"),
            json!({"prefix": "prod/four", "at": before}),
        ),
    ];
    let device = actors.device("adam");
    for ((method, target, body), path) in
        cases
            .iter()
            .zip(["prod/one", "prod/two", "prod/three", "prod/four"])
    {
        let planted = plant(&actors, path, json!({"shape": "aws"})).await;
        let adam = actors.key("adam");
        let mut request = Box::pin(actors.world.call(adam, method, target, Some(body)));
        let mut poll = async || {
            let once = std::future::poll_fn(|context| Poll::Ready(request.as_mut().poll(context)));
            once.await.is_ready()
        };
        let mut rows = Vec::new();
        for _ in 0..2000 {
            assert!(!poll().await, "{path}: it was answered before it was kept");
            tokio::time::sleep(std::time::Duration::from_millis(2)).await;
            rows = kept(&actors);
            if !rows.is_empty() {
                break;
            }
        }
        // By its name, since its path is about to be a secret's.
        let [row] = rows.as_slice() else {
            panic!("{path}: {rows:?}");
        };
        assert_eq!(row["asked"], json!({"decoy": planted["canary"]}), "{path}");
        // On until its commit is done, and away before it hears of that.
        let mut removed = false;
        for round in 0..2000 {
            // Seldom, so that it does not hear of the commit that it made right before. On a
            // busy machine that may be done within one look: who is answered has touched too.
            let answered = round % 100 == 0 && poll().await;
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            let open = actors.world.app.open().unwrap();
            let place: SecretPath = path.parse().unwrap();
            let snapshot = open.directory.snapshot();
            removed = snapshot
                .honey_at(&"shop".parse().unwrap(), &place)
                .is_none();
            if removed || answered {
                break;
            }
        }
        assert!(removed, "{path}: it had no effect");
        drop(request);
        held(
            &call(&actors, "adam", "GET", &format!("{NS}/agents")).await,
            path,
        );
        let found = until_held(&actors, &device).await;
        assert_eq!(found["canary"], planted["canary"], "{path}");
        free_again(&actors, &device, "adam").await;
    }
    assert_eq!(
        touches(&actors).await,
        [Value::Null; 0],
        "decoys that are gone"
    );
    assert_eq!(alarms(&actors).await.len(), cases.len());
}

/// As after a kill behind a write over a decoy, which took it away, and before the commit
/// of what follows from it.
#[tokio::test]
async fn a_touch_that_removed_its_decoy_is_noticed_when_the_vault_opens() {
    let actors = Actors::new().await;
    let planted = plant(&actors, "prod/fake", json!({"shape": "aws"})).await;
    let canary = planted["canary"].as_str().unwrap().parse().unwrap();
    let row = missed(&actors, "secret.write", MissedAsk::Decoy(canary));
    keep(&actors, &[row]).await;
    // A steward who takes it away touches nothing, and the path is free as behind a write.
    let removed = call(&actors, "alice", "DELETE", "/v1/honey/shop/prod/fake").await;
    assert_eq!(removed.status, 204, "{}", removed.text());
    assert_eq!(quarantined(&actors).await, [Value::Null; 0]);
    open_again(&actors).await;
    let found = until_held(&actors, &actors.device("adam")).await;
    assert_eq!(found["canary"], planted["canary"]);
    let alarms = alarms(&actors).await;
    assert_eq!(alarms.len(), 1);
    assert_eq!(alarms[0]["reason"], "secret.write");
    open_again(&actors).await;
    assert_eq!(kept(&actors), [Value::Null; 0]);
}

/// A row that opens, and that no program reads, is no reason to stay shut.
#[tokio::test]
async fn the_vault_opens_over_what_was_kept_and_is_damaged() {
    let actors = Actors::new().await;
    let planted = plant(&actors, "prod/fake", json!({"shape": "aws"})).await;
    let row = missed(&actors, "secret.read", path("prod/fake"));
    keep(&actors, &[row]).await;
    let open = actors.world.app.open().unwrap();
    let now = actors.world.now();
    let mut batch = Batch::new(BatchId::generate(now, &SystemEntropy).unwrap());
    // Behind all ids.
    MISSED.put(&mut batch, &"~/0".to_owned(), &json!({"broken": true}));
    open.vault.store().commit(batch).await.unwrap();
    drop(open);
    for opened in 1..=2 {
        open_again(&actors).await;
        // What lies before it is looked at, and people are told of the rest.
        let found = until_held(&actors, &actors.device("adam")).await;
        assert_eq!(found["canary"], planted["canary"]);
        let mut damaged = Vec::new();
        for _ in 0..1000 {
            damaged = alarms(&actors).await;
            damaged.retain(|entry| entry["reason"] == "damaged");
            if damaged.len() == opened {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        assert_eq!(damaged.len(), opened, "once each time that it opens");
        assert_eq!(damaged[0]["resource"], "installation");
    }
    let told = call(&actors, "alice", "GET", "/v1/events?follow=false").await;
    assert_eq!(
        told.text().matches("\"damaged\"").count(),
        2,
        "{}",
        told.text()
    );
}

/// A touch is durable when it is answered, and so is what is none: the one is not lost
/// with the process, and the other takes as long.
#[tokio::test]
async fn what_is_not_found_is_durable_before_its_answer_decoy_or_not() {
    let actors = Actors::new().await;
    let ask = async |path: &str| {
        let answer = call(&actors, "adam", "GET", &format!("{NS}/secrets/{path}")).await;
        answer.expect("not_found", None, None, path);
    };
    // Without any decoy there is nothing to keep.
    ask("prod/none").await;
    assert_eq!(kept(&actors), [Value::Null; 0]);
    plant(
        &actors,
        "prod/fake",
        json!({"shape": "stripe", "env": "FAKED"}),
    )
    .await;
    ask("prod/none").await;
    assert_eq!(kept(&actors).len(), 1);
    run(&actors, actors.key("scribe"), &["DB", "NONE"]).await;
    assert_eq!(kept(&actors).len(), 2);
    // What is found needs none of it.
    actors
        .ok(
            "adam",
            "GET",
            &format!("{NS}/secrets/db/password"),
            Value::Null,
        )
        .await;
    assert_eq!(
        run(&actors, actors.key("scribe"), &["DB"]).await.status,
        200
    );
    assert_eq!(kept(&actors).len(), 2);
    ask("prod/fake").await;
    let with_touch = kept(&actors).len();
    assert!((1..=3).contains(&with_touch), "{with_touch}");
    touched(&actors, "the read").await;
    // Nothing stays of it: at the latest a seal takes it away.
    open_again(&actors).await;
    assert_eq!(kept(&actors), [Value::Null; 0]);
}

/// As after a kill between the answer and the commit of what follows from it.
#[tokio::test]
async fn a_touch_that_the_process_did_not_outlive_is_noticed_when_the_vault_opens() {
    let actors = Actors::new().await;
    let planted = plant(&actors, "prod/fake", json!({"shape": "aws"})).await;
    let rows = [path("prod/none"), path("prod/fake")];
    let rows = rows.map(|asked| missed(&actors, "secret.read", asked));
    keep(&actors, &rows).await;
    open_again(&actors).await;
    // Before anybody else is served.
    held(
        &call(&actors, "adam", "GET", &format!("{NS}/agents")).await,
        "at once",
    );
    let found = until_held(&actors, &actors.device("adam")).await;
    assert_eq!(found["canary"], planted["canary"]);
    let touches = touches(&actors).await;
    assert_eq!(
        (&touches[0]["count"], &touches[0]["how"]),
        (&json!(1), &json!("secret.read"))
    );
    open_again(&actors).await;
    assert_eq!(kept(&actors), [Value::Null; 0]);
}

/// Whoever asks for one thing after the other that is not there does not put off the
/// quarantine of somebody else.
#[tokio::test]
async fn a_flood_of_what_is_not_there_puts_no_quarantine_off() {
    let actors = Actors::new().await;
    plant(&actors, "prod/fake", json!({"shape": "aws"})).await;
    let open = actors.world.app.open().unwrap();
    let device: Thumbprint = actors.device("adam").parse().unwrap();
    let suspect = procura_directory::Suspect::Device(device);
    let is_held = || open.directory.snapshot().is_held(&suspect);
    call(&actors, "adam", "GET", &format!("{NS}/secrets/prod/fake")).await;
    let begin = std::time::Instant::now();
    while !is_held() && begin.elapsed() < std::time::Duration::from_secs(30) {
        call(&actors, "alice", "GET", &format!("{NS}/secrets/prod/none")).await;
    }
    assert!(is_held(), "not while others ask");
}

#[tokio::test]
async fn who_asks_while_the_watch_meets_a_damaged_row_is_noticed_all_the_same() {
    const PROJECTS: Table<(procura_types::Namespace, procura_types::ProjectName), Value> =
        Table::new("project", Kind::Ordinary);
    let actors = Actors::new().await;
    plant(
        &actors,
        "prod/fake",
        json!({"shape": "stripe", "env": "FAKED"}),
    )
    .await;
    // A row that opens, and that no program reads.
    let open = actors.world.app.open().unwrap();
    let id = BatchId::generate(actors.world.now(), &SystemEntropy).unwrap();
    let mut batch = Batch::new(id);
    let key = ("shop".parse().unwrap(), "web".parse().unwrap());
    PROJECTS.put(&mut batch, &key, &json!({"broken": true}));
    open.vault.store().commit(batch).await.unwrap();
    let scribe = actors.key("scribe");
    for _ in 0..3 {
        let answer = run(&actors, scribe, &["FAKED"]).await;
        answer.expect("damaged", None, None, "a damaged row");
    }
    // Those behind it are looked at.
    call(&actors, "adam", "GET", &format!("{NS}/secrets/prod/fake")).await;
    held(
        &call(&actors, "adam", "GET", &format!("{NS}/agents")).await,
        "behind it",
    );
    touched(&actors, "behind it").await;
    // People are told of it, once; nobody is put into quarantine for what nobody knows.
    let damaged: Vec<Value> = alarms(&actors).await;
    let damaged: Vec<&Value> = damaged
        .iter()
        .filter(|entry| entry["reason"] == "damaged")
        .collect();
    let [alarm] = damaged.as_slice() else {
        panic!("{damaged:?}");
    };
    assert_eq!(alarm["resource"], "project/web");
    assert_eq!(alarm["device"], json!(actors.device("scribe")));
    let told = call(&actors, "alice", "GET", "/v1/events?follow=false").await;
    assert_eq!(
        told.text().matches("\"damaged\"").count(),
        1,
        "{}",
        told.text()
    );
    assert!(quarantined(&actors).await.is_empty());
}

/// What joins repeated touches is a row that all servers share, not the memory of one:
/// touches of the same that are committed beside each other are one alarm with a count.
#[tokio::test]
async fn touches_that_several_servers_notice_are_one_alarm_with_a_count() {
    let actors = Actors::new().await;
    let planted = plant(&actors, "prod/fake", json!({"shape": "aws"})).await;
    let open = actors.world.app.open().unwrap();
    let entropy = SystemEntropy;
    let device: Thumbprint = actors.device("adam").parse().unwrap();
    let actor = open.directory.snapshot().device(&device).unwrap().actor;
    let noticed = async |told: bool| {
        let suspect = procura_directory::Suspect::Device(device);
        let canary = planted["canary"].as_str().unwrap().parse().unwrap();
        let touch = Touch {
            told,
            ..touch_of(&actors, suspect, canary, actor)
        };
        let (store, directory) = (open.vault.store(), &open.directory);
        let clock = actors.world.clock.as_ref();
        // Whoever was slower does it again, on what the other left.
        for _ in 0..1000 {
            if commit_touches(
                store,
                directory,
                std::slice::from_ref(&touch),
                clock,
                &entropy,
            )
            .await
            .unwrap()
            {
                return;
            }
            tokio::task::yield_now().await;
        }
        panic!("never recorded");
    };
    for told in [false, true] {
        tokio::join!(noticed(told), noticed(told), noticed(told), noticed(told));
    }
    let touches = touches(&actors).await;
    assert_eq!(touches.len(), 1);
    assert_eq!(touches[0]["count"], json!(8));
    let entries = alarms(&actors).await;
    let (counts, first): (Vec<_>, Vec<_>) = entries
        .iter()
        .partition(|entry| entry["reason"] == "summary");
    assert_eq!(first.len(), 1, "{entries:?}");
    let counted: u64 = counts
        .iter()
        .map(|entry| entry["count"].as_u64().unwrap())
        .sum();
    assert_eq!(counted, 7, "{entries:?}");
    let told = call(&actors, "alice", "GET", "/v1/events?follow=false").await;
    assert_eq!(told.text().matches("\"honey.touch\"").count(), 1);
}
