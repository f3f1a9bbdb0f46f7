//! What a person lets out of quarantine goes on at once, whatever is still known of what it
//! touched before.

use crate::actors::Actors;
use crate::honey::{
    NS, alarms, call, free_again, held, plant, quarantined, reinstate, touch_of, touches,
    until_held,
};
use crate::honey_kept::{kept, open_again};
use crate::servers::{LIST, PROMISED, Shared, agent, soon};
use procura_crypto::SystemEntropy;
use procura_directory::Suspect;
use procura_types::{CanaryId, Thumbprint, TraceId};
use procura_vault::{MissedAsk, MissedRow, commit_touches, keep_missed};
use serde_json::{Value, json};
use std::time::Duration;

/// Rounds in which the watch may be faster than this test.
const ROUNDS: usize = 20;

fn canary(planted: &Value) -> CanaryId {
    planted["canary"].as_str().unwrap().parse().unwrap()
}

/// Puts the device of Adam into quarantine for this decoy, as another server does that
/// shares the database; false when somebody else changed the directory.
async fn noticed_elsewhere(actors: &Actors, canary: CanaryId) -> bool {
    let open = actors.world.app.open().unwrap();
    let entropy = SystemEntropy;
    let device: Thumbprint = actors.device("adam").parse().unwrap();
    let snapshot = open.directory.snapshot();
    let actor = snapshot.device(&device).unwrap().actor;
    let touch = touch_of(actors, Suspect::Device(device), canary, actor);
    let (store, directory) = (open.vault.store(), &open.directory);
    let clock = actors.world.clock.as_ref();
    let done = commit_touches(store, directory, &[touch], clock, &entropy).await;
    done.unwrap()
}

/// The watch holds what touched a decoy by its memory until it has recorded that. Where
/// the quarantine is in the record already, and a person ends it before the watch is done,
/// that counts, and what the watch records behind it puts nobody back.
#[tokio::test]
async fn a_device_that_was_let_out_is_not_held_for_a_touch_of_before() {
    let actors = Actors::new().await;
    let device = actors.device("adam");
    let agents = format!("{NS}/agents");
    let mut in_time = 0;
    for round in 0..ROUNDS {
        let [here, there] = ["here", "there"].map(|at| format!("prod/{at}-{round}"));
        plant(&actors, &here, json!({"shape": "aws"})).await;
        let other = canary(&plant(&actors, &there, json!({"shape": "aws"})).await);
        let missing = call(&actors, "adam", "GET", &format!("{NS}/secrets/{here}")).await;
        missing.expect("not_found", None, None, &here);
        held(&call(&actors, "adam", "GET", &agents).await, &here);
        if !noticed_elsewhere(&actors, other).await {
            until_held(&actors, &device).await;
        }
        free_again(&actors, &device, "adam").await;
        // What the watch has recorded it forgets in the same commit.
        in_time += usize::from(!kept(&actors).is_empty());
        for _ in 0..1000 {
            if kept(&actors).is_empty() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let all = touches(&actors).await;
        let told = all.iter().filter(|touch| touch["count"] == 1);
        assert_eq!(
            (kept(&actors).len(), told.count()),
            (0, all.len()),
            "{all:?}"
        );
        assert!(all.len() > round, "{all:?}");
        assert!(quarantined(&actors).await.is_empty(), "{here}");
        let on = call(&actors, "adam", "GET", &agents).await;
        assert_eq!(on.status, 200, "{}", on.text());
        if in_time == 3 {
            break;
        }
    }
    // As it is built for tests, on a busy machine, the watch may be faster each time.
    if !cfg!(debug_assertions) {
        assert!(in_time > 0, "the watch was always faster");
    }
    // One of after it is another quarantine.
    plant(&actors, "prod/last", json!({"shape": "aws"})).await;
    call(&actors, "adam", "GET", &format!("{NS}/secrets/prod/last")).await;
    held(&call(&actors, "adam", "GET", &agents).await, "behind it");
    until_held(&actors, &device).await;
}

/// What was kept and is looked at only when the vault opens was asked when it was asked.
#[tokio::test]
async fn what_was_asked_before_a_device_was_let_out_is_told_and_holds_it_not() {
    let actors = Actors::new().await;
    let device = actors.device("adam");
    let decoy = canary(&plant(&actors, "prod/kept", json!({"shape": "aws"})).await);
    let other = canary(&plant(&actors, "prod/other", json!({"shape": "aws"})).await);
    let keep = async |seq: u64| {
        let open = actors.world.app.open().unwrap();
        let suspect: Thumbprint = device.parse().unwrap();
        let now = actors.world.now();
        let row = MissedRow {
            suspect: Suspect::Device(suspect),
            actor: open.directory.snapshot().device(&suspect).unwrap().actor,
            profile: "native".to_owned(),
            session: None,
            how: "secret.read".to_owned(),
            asked: MissedAsk::Decoy(decoy),
            time: now,
            seq: Some(seq),
            ip: None,
            trace: TraceId::generate(now, &SystemEntropy).unwrap(),
        };
        let store = open.vault.store();
        let rows = keep_missed(store, &[row], now, &SystemEntropy).await;
        assert_eq!(rows.unwrap().len(), 1);
    };
    let seq = || actors.world.app.open().unwrap().directory.snapshot().seq();
    let before = seq();
    assert!(noticed_elsewhere(&actors, other).await);
    let in_it = seq();
    reinstate(&actors, &device).await;
    let after = seq();
    assert!(before < in_it && in_it < after);
    let told = alarms(&actors).await.len();
    for (number, asked) in [(1, before), (2, in_it)] {
        keep(asked).await;
        open_again(&actors).await;
        let on = call(&actors, "adam", "GET", &format!("{NS}/agents")).await;
        assert_eq!(on.status, 200, "{}", on.text());
        // Recorded with the seal at the latest, and told: as an alarm, then as a count.
        open_again(&actors).await;
        assert_eq!(alarms(&actors).await.len(), told + number);
        assert!(quarantined(&actors).await.is_empty(), "{number}");
        let on = call(&actors, "adam", "GET", &format!("{NS}/agents")).await;
        assert_eq!(on.status, 200, "{}", on.text());
    }
    keep(after).await;
    open_again(&actors).await;
    held(
        &call(&actors, "adam", "GET", &format!("{NS}/agents")).await,
        "asked since",
    );
    let found = until_held(&actors, &device).await;
    assert_eq!(found["canary"], json!(decoy));
}

/// The same between servers: the one that noticed the touch is not the one that lets out.
#[tokio::test(flavor = "multi_thread")]
async fn a_device_that_one_server_lets_out_goes_on_at_the_other_within_a_second() {
    let shared = Shared::new();
    let (one, two, root) = shared.two().await;
    let key = agent(&one, &root, "scribe").await;
    let device = key.public().thumbprint().to_string();
    one.ok(
        &root,
        "PUT",
        "/v1/honey/default/prod/aws",
        json!({"shape": "aws"}),
    )
    .await;
    for round in 0..3 {
        // Until the other server knows of the decoy, or of the agent, it is none.
        soon("the touch", PROMISED * 5, async || {
            let target = "/v1/namespaces/default/secrets/prod/aws";
            let answer = two.call(&key, "GET", target, None).await;
            (answer.json()["code"] == "device_quarantined").then_some(())
        })
        .await;
        soon("the quarantine", PROMISED * 5, async || {
            let list = one.ok(&root, "GET", "/v1/quarantine", Value::Null).await;
            let list = list["quarantined"].as_array().unwrap().clone();
            list.iter()
                .any(|held| held["device"] == device)
                .then_some(())
        })
        .await;
        let target = format!("/v1/devices/{device}/reinstate");
        one.ok(&root, "POST", &target, Value::Null).await;
        let here = one.call(&key, LIST.0, LIST.1, None).await;
        assert_eq!(here.status, 200, "{round}: {}", here.text());
        soon("that it goes on", PROMISED, async || {
            let answer = two.call(&key, LIST.0, LIST.1, None).await;
            (answer.status == 200).then_some(())
        })
        .await;
        // And stays out.
        tokio::time::sleep(Duration::from_millis(200)).await;
        for world in [&one, &two] {
            let answer = world.call(&key, LIST.0, LIST.1, None).await;
            assert_eq!(answer.status, 200, "{round}: {}", answer.text());
        }
    }
}
