//! What is told of the record to those who follow.

use crate::world::{ADMIN, NOW, World, admin_roles, entropy, entry, shop};
use procura_ledger::{Decision, Entry, Phase, SUMMARY, Summary};
use procura_record::tables::LEDGER;
use procura_record::{Directory, Events, Notice, Since};
use procura_store::{Batch, FakeDisk, Store};
use procura_types::wire::{Event, EventKind};
use procura_types::{ActorId, BatchId, GrantId, Role};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

const SCRIBE: ActorId = ActorId::from_bytes([3; 32]);

fn start(world: &World) -> Arc<Events> {
    Events::start(world.store(), world.recorder.directory()).unwrap()
}

async fn append(store: &Store, entries: &[Entry]) {
    let id = BatchId::generate(NOW, entropy().as_ref()).unwrap();
    let mut batch = Batch::new(id);
    for entry in entries {
        batch.append(LEDGER, entry.to_bytes().unwrap());
    }
    store.commit(batch).await.unwrap();
}

fn asked() -> Entry {
    Entry {
        actor: Some(SCRIBE),
        namespace: Some(shop()),
        resource: Some("project/web".into()),
        grant: Some(GrantId::from_bytes([4; 16])),
        ..entry("request.create")
    }
}

fn refused(action: &'static str, reason: &'static str) -> Entry {
    Entry {
        decision: Decision::Deny,
        reason: Some(reason.into()),
        ..entry(action)
    }
}

/// That followers are woken.
async fn woken(changed: &mut watch::Receiver<bool>) {
    tokio::time::timeout(Duration::from_secs(60), changed.changed())
        .await
        .expect("they are woken")
        .unwrap();
}

fn notices(events: &Events, place: u64) -> (Vec<Arc<Notice>>, u64) {
    match events.since(place) {
        Since::Notices(notices, next) => (notices, next),
        Since::Gone(next) => panic!("gone, up to {next}"),
    }
}

fn event(notice: &Notice) -> Event {
    serde_json::from_str(&notice.json).unwrap()
}

#[tokio::test]
async fn notices_come_in_the_order_of_the_ledger_under_its_indexes() {
    let world = World::new().await;
    let events = start(&world);
    let place = events.place();
    assert_eq!(place, world.store().log_len(LEDGER).unwrap());
    let mut changed = events.changed();
    changed.mark_unchanged();
    // Of what most entries say nothing is told.
    append(world.store(), &[entry("secret.read"), entry("run.deliver")]).await;
    append(
        world.store(),
        &[entry("run.end"), asked(), entry("x"), asked()],
    )
    .await;
    woken(&mut changed).await;
    let (found, next) = notices(&events, place);
    let indexes: Vec<u64> = found.iter().map(|notice| notice.index).collect();
    assert_eq!((indexes, next), (vec![place + 3, place + 5], place + 6));
    assert_eq!(found[0].kinds, [EventKind::Request]);
    assert_eq!(found[0].namespace, Some(shop()));
    assert_eq!(found[0].concerned, []);
    let told = event(&found[0]);
    assert_eq!(
        (told.action.as_str(), told.subject),
        ("request.create", Some(SCRIBE))
    );
    // From each place on, what comes after it.
    assert_eq!(notices(&events, place + 4).0.len(), 1);
    assert_eq!(notices(&events, next).0, []);
}

#[tokio::test]
async fn what_the_ring_does_not_reach_back_to_is_read_from_the_record() {
    let world = World::new().await;
    let events = start(&world);
    let (store, place) = (world.store(), events.place());
    for _ in 0..3 {
        let many: Vec<Entry> = (0..500).map(|_| entry("secret.read")).collect();
        append(store, &many).await;
        append(store, &[asked()]).await;
    }
    // In parts, each with the place to go on from; the same that the ring says.
    let (first, next) = events.read_back(store, place).unwrap();
    assert_eq!(next, place + 1024);
    let (rest, end) = events.read_back(store, next).unwrap();
    assert_eq!(end, place + 3 * 501);
    let read: Vec<Arc<Notice>> = [first, rest].concat();
    assert_eq!((read, end), notices(&events, place));
    assert_eq!(events.read_back(store, end).unwrap(), (vec![], end));
    // A place that the record does not have yet is its end.
    assert_eq!(events.read_back(store, end + 7).unwrap(), (vec![], end));
}

#[tokio::test]
async fn a_change_of_the_directory_wakes_and_tells_nothing() {
    let world = World::new().await;
    let events = start(&world);
    let mut changed = events.changed();
    changed.mark_unchanged();
    let place = events.place();
    world
        .socket(|batch| batch.put_roles(&admin_roles(&[Role::Auditor])))
        .await;
    woken(&mut changed).await;
    assert_eq!(notices(&events, place), (vec![], place + 1));
    // The end is an end.
    events.close();
    events.wake();
    assert!(*changed.borrow_and_update());
    assert!(*events.changed().borrow());
}

#[tokio::test]
async fn an_approval_is_an_answer_and_a_grant() {
    let world = World::new().await;
    let events = start(&world);
    let place = events.place();
    let denied = Entry {
        resource: Some(format!("request/x agent:{SCRIBE}")),
        ..Entry {
            action: "request.deny".into(),
            ..asked()
        }
    };
    let approved = Entry {
        action: "request.approve".into(),
        ..asked()
    };
    append(world.store(), &[approved, denied]).await;
    let (found, _) = notices(&events, place);
    assert_eq!(found[0].kinds, [EventKind::Request, EventKind::Grant]);
    assert_eq!(event(&found[1]).subject, Some(SCRIBE));
}

/// To whoever has a role where the secret is, and to no agent.
#[tokio::test]
async fn a_date_that_is_over_is_a_reminder() {
    let world = World::new().await;
    let events = start(&world);
    let place = events.place();
    let due = Entry {
        namespace: Some(shop()),
        resource: Some("secret/db/password rotate_by:2026-11-22T00:00:00.000Z".into()),
        ..entry("secret.due")
    };
    append(world.store(), &[entry("secret.set"), due]).await;
    let (found, _) = notices(&events, place);
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].kinds, [EventKind::Reminder]);
    assert_eq!(found[0].namespace, Some(shop()));
    assert_eq!(found[0].concerned, []);
    let told = event(&found[0]);
    assert_eq!((told.action.as_str(), told.subject), ("secret.due", None));
    assert!(told.resource.unwrap().starts_with("secret/db/password "));
}

#[tokio::test]
async fn alarms_are_what_no_honest_device_does() {
    let world = World::new().await;
    let events = start(&world);
    let place = events.place();
    let flood = Entry {
        summary: Some(Summary {
            count: 7,
            from: NOW,
            until: NOW,
        }),
        resource: Some("reason/no_role".into()),
        ..refused("secret.read", SUMMARY)
    };
    let claimed = Entry {
        actor: Some(SCRIBE),
        ..refused("authenticate", "bad_signature")
    };
    let alarms = [
        claimed,
        refused("authenticate", "nonce_replayed"),
        refused("authenticate", "digest_mismatch"),
        refused("authenticate", "revoked"),
        refused("authenticate", "source_not_allowed"),
        refused("verify", "bad_signature"),
        refused("service.verify", "bad_signature"),
        refused("service.verify", "nonce_replayed"),
        refused("installation.unseal", "wrong_passphrase"),
        refused("installation.unseal", "share_forged"),
        refused("operator.passkey.use", "counter_back"),
        refused("request.approve", "counter_back"),
        refused("device_grant.approve", "counter_back"),
        entry("unseal_source.add"),
        entry("unseal_source.remove"),
        entry("operator.recover"),
        entry("operator.passkey.enrol"),
        entry("web_login.wrong_codes"),
        entry("operator.password.void"),
        entry("ledger.retention"),
        Entry {
            reason: Some(procura_record::RECOVERY.into()),
            ..entry("installation.unseal")
        },
        flood.clone(),
    ];
    // Who saw one request by `hmac-v1` makes as many others as they like.
    let weak = |refusal: Entry| Entry {
        profile: "hmac-v1".into(),
        ..refusal
    };
    let none = [
        weak(refused("authenticate", "bad_signature")),
        weak(refused("authenticate", "nonce_replayed")),
        weak(refused("authenticate", "source_not_allowed")),
        weak(refused("verify", "revoked")),
        weak(refused("service.verify", "bad_signature")),
        weak(flood),
        refused("service.verify", "unknown_agent"),
        refused("service.verify", "not_found"),
        refused("authenticate", "timestamp_out_of_window"),
        refused("authenticate", "missing_headers"),
        refused("authenticate", "session_expired"),
        refused("secret.read", "no_role"),
        refused("agent.revoke", "no_role"),
        refused("operator.passkey.use", "bad_signature"),
        refused("operator.passkey.enrol", "unknown_code"),
        entry("operator.passkey.invite"),
        refused("request.approve", "removed"),
        entry("installation.unseal"),
        Entry {
            phase: Phase::Outcome,
            decision: Decision::Failed,
            reason: Some("x".into()),
            ..entry("grant.withdraw")
        },
    ];
    append(world.store(), &none).await;
    append(world.store(), &alarms).await;
    let (found, _) = notices(&events, place);
    assert_eq!(found.len(), alarms.len());
    assert!(
        found
            .iter()
            .all(|notice| notice.kinds == [EventKind::Alarm])
    );
    let (first, last) = (event(&found[0]), event(&found[alarms.len() - 1]));
    // Whom somebody said they were has done nothing.
    assert_eq!((first.subject, first.actor), (Some(SCRIBE), None));
    assert_eq!(
        (last.count, last.reason.as_deref()),
        (Some(7), Some(SUMMARY))
    );
}

/// Nobody is known to have done it; its operator is told, and stewards are.
#[tokio::test]
async fn an_operator_is_told_that_somebody_has_their_password() {
    let world = World::new().await;
    let events = start(&world);
    let place = events.place();
    for (action, resource) in [
        ("web_login.wrong_codes", "operator/alice wrong:3"),
        ("operator.password.void", "operator/alice wrong:50"),
    ] {
        let said = Entry {
            resource: Some(resource.into()),
            ..entry(action)
        };
        append(world.store(), &[said]).await;
    }
    let (found, _) = notices(&events, place);
    assert_eq!(found.len(), 2);
    for notice in &found {
        assert_eq!(notice.kinds, [EventKind::Alarm]);
        assert_eq!(notice.concerned, [ADMIN]);
        assert_eq!(notice.namespace, None);
        let told = event(notice);
        assert_eq!((told.subject, told.actor), (Some(ADMIN), None));
    }
}

#[tokio::test]
async fn what_is_too_long_ago_is_gone_and_so_is_what_never_was() {
    let world = World::new().await;
    let events = start(&world);
    let place = events.place();
    let many = vec![asked(); 500];
    for _ in 0..9 {
        append(world.store(), &many).await;
    }
    let end = place + 9 * 500;
    assert!(matches!(events.since(place), Since::Gone(next) if next == end));
    assert!(matches!(events.since(end + 1), Since::Gone(next) if next == end));
    let first = events.first();
    assert_eq!(end - first, 4096);
    // In parts, without a gap.
    let (mut at, mut seen) = (first, Vec::new());
    while at < end {
        let (found, next) = notices(&events, at);
        assert!(found.len() <= 256 && next > at);
        seen.extend(found.iter().map(|notice| notice.index));
        at = next;
    }
    assert_eq!(seen, (first..end).collect::<Vec<_>>());
}

#[tokio::test]
async fn after_a_restart_what_happened_last_is_known() {
    let disk = FakeDisk::default();
    let world = World::on(&disk).await;
    append(world.store(), &vec![asked(); 200]).await;
    append(world.store(), &vec![entry("secret.read"); 1000]).await;
    let end = world.store().log_len(LEDGER).unwrap();
    let world = world.reopen();
    let events = start(&world);
    assert_eq!((events.place(), events.first()), (end, end - 1024));
    let (found, next) = notices(&events, end - 1024);
    assert_eq!((found.len(), next), (24, end));
    assert!(matches!(events.since(end - 1025), Since::Gone(_)));
    append(world.store(), &[asked()]).await;
    assert_eq!(notices(&events, end).0[0].index, end);
}

#[tokio::test]
async fn nobody_holds_what_was_closed() {
    let world = World::new().await;
    let events = start(&world);
    let weak = Arc::downgrade(&events);
    drop(events);
    assert!(weak.upgrade().is_none());
    append(world.store(), &[asked()]).await;
    // Another unseal, another directory.
    let directory = Directory::load(world.store()).unwrap();
    let events = Events::start(world.store(), &directory).unwrap();
    assert_eq!(notices(&events, events.first()).0.len(), 1);
}
