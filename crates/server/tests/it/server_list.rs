//! Which servers there are, and the end of one: what a server that was removed, or was
//! not heard of for long, may do no more.

use crate::servers::{PATIENCE, PROMISED, SECRET, Shared, change_passphrase};
use crate::servers::{put, sees, soon, unavailable};
use crate::world::{CANARY, PASSPHRASE, World};
use procura_crypto::SigningKey;
use procura_store::{Batch, Blob, Kind, Table};
use procura_types::{BatchId, Clock as _, Duration, InstanceId, Timestamp};
use serde_json::{Value, json};

const NEW: &str = "second passphrase 2";

/// What is known of homes, and what each open one is handed.
const KNOWN: Table<String, Value> = Table::new("server-known", Kind::Ordinary);
const HANDOVERS: Table<String, Blob> = Table::new("handover", Kind::Ordinary);

fn id(world: &World) -> String {
    let text = std::fs::read_to_string(world.home.path().join("server.id")).unwrap();
    text.trim().to_owned()
}

/// The states of the servers, by their ids, as one of them lists them.
async fn states(world: &World, root: &SigningKey) -> Vec<(String, String, bool)> {
    let list = world.ok(root, "GET", "/v1/servers", Value::Null).await;
    let servers = list["servers"].as_array().unwrap().iter();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    servers
        .map(|server| {
            let answers = server["answers"].as_bool().unwrap();
            (text(&server["id"]), text(&server["state"]), answers)
        })
        .collect()
}

async fn state(asked: &World, root: &SigningKey, of: &str) -> Option<String> {
    let all = states(asked, root).await;
    let found = all.into_iter().find(|(id, _, _)| id == of);
    found.map(|(_, state, _)| state)
}

/// Makes it so that `world` was last heard of so long ago.
async fn silent(world: &World, by: Duration) {
    let open = world.app.open().unwrap();
    let store = open.vault.store();
    let now = world.clock.now();
    let home = id(world);
    let mut row = KNOWN.get(store, &home).unwrap().unwrap().value;
    row["seen"] = serde_json::to_value(now.minus(by)).unwrap();
    let entropy = procura_crypto::SystemEntropy;
    let mut batch = Batch::new(BatchId::generate(now, &entropy).unwrap());
    KNOWN.put(&mut batch, &home, &row);
    store.commit(batch).await.unwrap();
}

/// Resources of the entries of an action, the newest first.
async fn recorded(world: &World, root: &SigningKey, action: &str) -> Vec<String> {
    let target = format!("/v1/ledger/entries?action={action}&limit=10");
    let found = world.ok(root, "GET", &target, Value::Null).await;
    let entries = found["entries"].as_array().unwrap().iter();
    entries
        .map(|row| {
            let entry: Value = serde_json::from_str(row["entry"].as_str().unwrap()).unwrap();
            entry["resource"].as_str().unwrap().to_owned()
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removed_server_writes_nothing_more_and_does_not_come_back() {
    let shared = Shared::new();
    let (one, two, root) = shared.two().await;
    let (first, second) = (id(&one), id(&two));
    one.ok(&root, "PUT", SECRET, put(CANARY)).await;
    for (asked, own) in [(&one, &first), (&two, &second)] {
        let all = states(asked, &root).await;
        assert_eq!(all.len(), 2, "{all:?}");
        for (id, state, answers) in all {
            assert_eq!((state.as_str(), answers), ("open", id == *own));
        }
    }
    let entropy = procura_crypto::SystemEntropy;
    let unknown = InstanceId::generate(one.now(), &entropy).unwrap();
    let remove = async |which: &str| {
        let target = format!("/v1/servers/{which}");
        one.call(&root, "DELETE", &target, None).await
    };
    let refused = remove(&unknown.to_string()).await;
    refused.expect("not_found", None, None, "nobody's id");
    let refused = remove(&first).await;
    refused.expect("conflict", Some("own_server"), None, "its own");
    // Whether it has heard of it or not when it writes.
    let removed = remove(&second).await;
    assert_eq!(removed.status, 204, "{}", removed.text());
    let refused = two.call(&root, "PUT", SECRET, Some(&put("late"))).await;
    unavailable(&refused, None, "a write of the removed one");
    // Nor does it release anything, as that takes an entry.
    let refused = two.call(&root, "GET", SECRET, None).await;
    unavailable(&refused, None, "a read of the removed one");
    sees(&one, &root, CANARY).await;
    let refused = remove(&second).await;
    refused.expect("not_found", None, None, "a second time");
    let resource = format!("server/{second}");
    assert_eq!(recorded(&one, &root, "server.remove").await, [resource]);

    // The one that is left goes on, also with another root; the removed home learns
    // nothing of it, whatever it is unsealed with.
    one.ok(&root, "PUT", SECRET, put("after")).await;
    two.seal().await;
    let open = |passphrase: &str| json!({"passphrase": passphrase});
    let refused = two.admin("POST", "/admin/unseal", &open(PASSPHRASE)).await;
    refused.expect("server_removed", None, None, "with what opens the vault");
    change_passphrase(&one, PASSPHRASE, NEW).await;
    let store = one.app.open().unwrap().vault.store().clone();
    assert!(HANDOVERS.get(&store, &first).unwrap().is_some());
    assert!(HANDOVERS.get(&store, &second).unwrap().is_none());
    let refused = two.admin("POST", "/admin/unseal", &open(PASSPHRASE)).await;
    refused.expect("wrong_passphrase", None, None, "with what opened it");
    let refused = two.admin("POST", "/admin/unseal", &open(NEW)).await;
    refused.expect("server_removed", None, None, "with what opens it now");
    let all = states(&one, &root).await;
    let mut wanted = vec![
        (first.clone(), "open".to_owned(), true),
        (second.clone(), "removed".to_owned(), false),
    ];
    wanted.sort();
    assert_eq!(all, wanted);

    // Another home on its machine is another server, once somebody unseals it.
    std::fs::remove_file(two.home.path().join("server.id")).unwrap();
    let opened = two.admin("POST", "/admin/unseal", &open(NEW)).await;
    assert_eq!(opened.status, 204, "{}", opened.text());
    assert_ne!(id(&two), second);
    sees(&two, &root, "after").await;
    two.ok(&root, "PUT", SECRET, put("anew")).await;
    sees(&one, &root, "anew").await;
    // Who goes in order is none that is missed.
    let third = id(&two);
    two.seal().await;
    assert_eq!(state(&one, &root, &third).await.as_deref(), Some("sealed"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_others_write_on_when_one_is_removed() {
    let shared = Shared::new();
    let (one, two, root) = shared.two().await;
    let three = shared.server();
    three.unseal().await;
    let target = format!("/v1/servers/{}", id(&two));
    let removed = one.call(&root, "DELETE", &target, None).await;
    assert_eq!(removed.status, 204, "{}", removed.text());
    for (number, world) in [&one, &three].into_iter().enumerate() {
        let wanted = format!("{CANARY} {number}");
        // Who takes the later keys over refuses for as long as it takes.
        soon("that it writes on", PATIENCE, async || {
            let written = world.call(&root, "PUT", SECRET, Some(&put(&wanted))).await;
            if written.status == 503 {
                return None;
            }
            assert!(written.status.is_success(), "{}", written.text());
            Some(())
        })
        .await;
        sees(world, &root, &wanted).await;
    }
    // And a root that one of them turns is turned at the other.
    change_passphrase(&three, PASSPHRASE, NEW).await;
    soon("the new root", PROMISED, async || {
        let epoch = one.app.open().unwrap().vault.installation().root_epoch;
        (epoch == 2).then_some(())
    })
    .await;
    one.ok(&root, "PUT", SECRET, put("on")).await;
    sees(&three, &root, "on").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_was_not_heard_of_for_long_gets_no_later_root() {
    const WEEK: Duration = Duration::from_secs(7 * 24 * 60 * 60);
    let shared = Shared::new();
    let (one, two, root) = shared.two().await;
    let second = id(&two);
    one.ok(&root, "PUT", SECRET, put(CANARY)).await;
    let counted = async |world: &World| {
        let open = world.app.open().unwrap();
        open.vault.say_present(world.clock.as_ref()).await.unwrap();
        open.vault.servers_counted()
    };
    // Not yet.
    silent(&two, WEEK - Duration::from_secs(60)).await;
    assert_eq!(state(&one, &root, &second).await.as_deref(), Some("open"));
    assert_eq!(counted(&one).await, Some((2, 0)));
    silent(&two, WEEK + Duration::from_secs(60)).await;
    assert_eq!(state(&one, &root, &second).await.as_deref(), Some("absent"));
    assert_eq!(counted(&one).await, Some((1, 1)));
    // Its own word does not make it present again, though it still serves.
    assert_eq!(counted(&two).await, Some((1, 1)));
    assert_eq!(state(&one, &root, &second).await.as_deref(), Some("absent"));
    sees(&two, &root, CANARY).await;

    change_passphrase(&one, PASSPHRASE, NEW).await;
    let store = one.app.open().unwrap().vault.store().clone();
    assert!(HANDOVERS.get(&store, &second).unwrap().is_none());
    let left_out = recorded(&one, &root, "server.left_out").await;
    assert_eq!(left_out, [format!("server/{second}")]);
    let refused = two.call(&root, "PUT", SECRET, Some(&put("old keys"))).await;
    unavailable(&refused, None, "a write with the keys of before");
    assert_eq!(counted(&one).await, Some((1, 0)));

    // It comes back by a source of its own.
    two.seal().await;
    let open = |passphrase: &str| json!({"passphrase": passphrase});
    let refused = two.admin("POST", "/admin/unseal", &open(PASSPHRASE)).await;
    refused.expect("wrong_passphrase", None, None, "the passphrase of before");
    let opened = two.admin("POST", "/admin/unseal", &open(NEW)).await;
    assert_eq!(opened.status, 204, "{}", opened.text());
    assert_eq!(state(&one, &root, &second).await.as_deref(), Some("open"));
    assert_eq!(counted(&two).await, Some((2, 0)));
    two.ok(&root, "PUT", SECRET, put("new keys")).await;
    sees(&one, &root, "new keys").await;
}

/// Whether a server may say that it is there, and does. What it says by itself when it is
/// opened may be in between, and be of before.
async fn says(world: &World) -> bool {
    let open = world.app.open().unwrap();
    for _ in 0..5 {
        if !open.vault.say_present(world.clock.as_ref()).await.unwrap() {
            return false;
        }
    }
    true
}

/// Whoever has the machine of a server sets its clock, a little further each time.
#[tokio::test(flavor = "multi_thread")]
async fn an_absent_server_does_not_walk_itself_back_by_its_clock() {
    const DAY: Duration = Duration::from_secs(24 * 60 * 60);
    let shared = Shared::new();
    let (one, two, _) = shared.two().await;
    let second = id(&two);
    // The other goes on for a month, which its clock knows and what it says of itself.
    for step in 0..5 {
        one.clock.turn(DAY * 6);
        assert!(says(&one).await, "{step}");
        // What it was open for counts over its openings.
        if step == 2 {
            one.seal().await;
            one.unseal().await;
        }
    }
    let seen = || {
        let open = two.app.open().unwrap();
        let row = KNOWN.get(open.vault.store(), &second).unwrap().unwrap();
        row.value["seen"].clone()
    };
    let counted = one.app.open().unwrap().vault.servers_counted();
    assert_eq!(counted, Some((1, 1)));
    let before = seen();
    for step in 0..5 {
        // Nor while nobody else is open.
        if step == 1 {
            one.seal().await;
        }
        two.clock.turn(DAY * 6);
        assert!(!says(&two).await, "its own word counts: {step}");
        assert_eq!(seen(), before, "{step}");
    }
    // Somebody unseals it: then it is there.
    two.seal().await;
    two.unseal().await;
    assert!(says(&two).await);
}

/// Each jump is of less than a week: it says so, and for how long it was open is not that.
#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_jumps_again_and_again_makes_no_other_server_absent() {
    const DAY: Duration = Duration::from_secs(24 * 60 * 60);
    let shared = Shared::new();
    let (one, two, _) = shared.two().await;
    let (first, second) = (id(&one), id(&two));
    // As it is now, not as a server has heard.
    let row = |of: &str| {
        let open = one.app.open().unwrap();
        let now = open.vault.store().snapshot().unwrap();
        KNOWN.get_at(&now, &of.to_owned()).unwrap().unwrap().value
    };
    let seen = |of: &str| serde_json::from_value::<Timestamp>(row(of)["seen"].clone()).unwrap();
    let begin = seen(&first);
    assert!(says(&two).await);
    for step in 1..=5 {
        one.clock.set_ahead(DAY * 6 * step);
        assert!(says(&one).await, "{step}");
    }
    assert!(seen(&first) >= begin.plus(DAY * 30), "it said each");
    let lived = row(&first)["lived"].as_u64().unwrap();
    assert!(u128::from(lived) < DAY.as_millis(), "{lived}");
    // The other is there as before, and its word counts.
    let before = seen(&second);
    two.clock.turn(Duration::from_secs(60));
    assert!(says(&two).await);
    assert!(seen(&second) > before);
    // Time that goes by does count.
    one.clock.turn(DAY * 2);
    assert!(says(&one).await);
    let more = row(&first)["lived"].as_u64().unwrap() - lived;
    assert!(u128::from(more) >= (DAY * 2).as_millis(), "{more}");
}

/// A machine whose clock was a year ahead was opened, and died.
#[tokio::test(flavor = "multi_thread")]
async fn a_home_that_is_gone_and_was_far_ahead_keeps_nobody_from_saying_that_they_are_there() {
    const DAY: Duration = Duration::from_secs(24 * 60 * 60);
    let shared = Shared::new();
    let (one, two, root) = shared.two().await;
    let (first, second) = (id(&one), id(&two));
    one.ok(&root, "PUT", SECRET, put(CANARY)).await;
    let says = async |world: &World| {
        let open = world.app.open().unwrap();
        open.vault.say_present(world.clock.as_ref()).await.unwrap()
    };
    let seen = |of: &str| {
        let open = one.app.open().unwrap();
        // As it is now, not as this server has heard.
        let now = open.vault.store().snapshot().unwrap();
        let row = KNOWN.get_at(&now, &of.to_owned()).unwrap();
        let seen = row.unwrap().value["seen"].take();
        serde_json::from_value::<Timestamp>(seen).unwrap()
    };
    two.seal().await;
    two.clock.set_ahead(DAY * 365);
    two.unseal().await;
    assert!(says(&two).await);
    assert!(seen(&second) > seen(&first).plus(DAY * 300), "it said so");
    drop(two);
    for day in 0..20 {
        one.clock.turn(DAY);
        let before = seen(&first);
        assert!(says(&one).await, "day {day}");
        assert!(seen(&first) > before, "day {day}");
    }
    assert!(
        seen(&second) > seen(&first).plus(DAY * 300),
        "it is as it was"
    );
    // Who comes later is there as well, and each is told of a later root.
    let three = shared.server();
    three.clock.turn(DAY * 20);
    three.unseal().await;
    assert!(says(&three).await);
    assert!(says(&one).await);
    assert_eq!(
        one.app.open().unwrap().vault.servers_counted(),
        Some((3, 0))
    );
    change_passphrase(&three, PASSPHRASE, NEW).await;
    soon("the new root", PATIENCE, async || {
        let epoch = one.app.open().unwrap().vault.installation().root_epoch;
        (epoch == 2).then_some(())
    })
    .await;
    assert!(says(&one).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_turns_the_root_at_a_server_that_was_absent_has_brought_what_opens_it() {
    let shared = Shared::new();
    let (one, two, root) = shared.two().await;
    let (first, second) = (id(&one), id(&two));
    silent(&one, Duration::from_secs(30 * 24 * 60 * 60)).await;
    assert_eq!(state(&two, &root, &first).await.as_deref(), Some("absent"));
    change_passphrase(&one, PASSPHRASE, NEW).await;
    for id in [&first, &second] {
        assert_eq!(state(&one, &root, id).await.as_deref(), Some("open"));
    }
    soon("the new root", PATIENCE, async || {
        let written = two.call(&root, "PUT", SECRET, Some(&put("on"))).await;
        (written.status == 200).then_some(())
    })
    .await;
    sees(&one, &root, "on").await;
}

/// As a database that several servers used, which is in the home of one now.
#[tokio::test]
async fn where_there_is_one_server_there_are_none_beside_it() {
    let world = World::empty();
    let root = SigningKey::generate_p256(&procura_crypto::SystemEntropy).unwrap();
    world.init(&root).await;
    assert!(states(&world, &root).await.is_empty());
    let unknown = InstanceId::generate(world.now(), &procura_crypto::SystemEntropy).unwrap();
    let target = format!("/v1/servers/{unknown}");
    let refused = world.call(&root, "DELETE", &target, None).await;
    refused.expect("not_found", None, None, "nobody's id");
}
