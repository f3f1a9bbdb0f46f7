//! Refusals are recorded without making anyone wait; a flood keeps its counts.

use crate::world::{NOW, World, shop, trace};
use procura_ledger::{Decision, Entry, SUMMARY};
use procura_record::Refusal;
use procura_store::FakeFault;
use procura_types::{Duration, Timestamp};
use std::collections::BTreeMap;

fn refusal(reason: &str, time: Timestamp) -> Refusal {
    Refusal {
        action: "authenticate".to_owned(),
        reason: reason.to_owned(),
        time,
        actor: None,
        owner: None,
        device: None,
        token: None,
        namespace: Some(shop()),
        resource: Some("http//v1/namespaces".to_owned()),
        profile: "none",
        ip: Some([127, 0, 0, 1].into()),
        trace: trace(),
    }
}

/// Refusals that the record speaks of, by reason: one by one, and in summaries.
fn counted(entries: &[Entry]) -> (BTreeMap<String, u64>, BTreeMap<String, u64>) {
    let (mut single, mut summed) = (BTreeMap::new(), BTreeMap::new());
    for entry in entries
        .iter()
        .filter(|entry| entry.decision == Decision::Deny)
    {
        match &entry.summary {
            None => {
                *single
                    .entry(entry.reason.as_deref().unwrap().to_owned())
                    .or_default() += 1
            }
            Some(summary) => {
                assert_eq!(entry.reason.as_deref(), Some(SUMMARY));
                let reason = entry
                    .resource
                    .as_deref()
                    .unwrap()
                    .strip_prefix("reason/")
                    .unwrap();
                *summed.entry(reason.to_owned()).or_default() += summary.count;
            }
        }
    }
    (single, summed)
}

#[tokio::test]
async fn a_refusal_stands_in_the_record_as_it_was() {
    let world = World::new().await;
    world.recorder.refuse(refusal("bad_signature", NOW));
    world.recorder.drain_refusals().await;
    let entry = world.entries().pop().unwrap();
    assert_eq!(
        (&*entry.action, entry.decision),
        ("authenticate", Decision::Deny)
    );
    assert_eq!(entry.reason.as_deref(), Some("bad_signature"));
    assert_eq!(
        (entry.time, entry.trace, entry.namespace),
        (NOW, trace(), Some(shop()))
    );
    assert_eq!(entry.ip, Some([127, 0, 0, 1].into()));
    assert_eq!(&*entry.profile, "none");
}

#[tokio::test]
async fn a_flood_becomes_summaries_that_keep_the_counts() {
    let world = World::new().await;
    // On this one thread the writer does not run before the flood is over.
    let last = NOW.plus(Duration::from_secs(6_999));
    for number in 0..7_000u64 {
        let reason = if number % 7 == 0 {
            "revoked"
        } else {
            "bad_signature"
        };
        world
            .recorder
            .refuse(refusal(reason, NOW.plus(Duration::from_secs(number))));
    }
    world.recorder.drain_refusals().await;
    let entries = world.entries();
    let (single, summed) = counted(&entries);
    let total = |reason: &str| single[reason] + summed[reason];
    assert_eq!((total("revoked"), total("bad_signature")), (1_000, 6_000));
    assert_eq!(single.values().sum::<u64>(), 4_096);
    let summaries: Vec<_> = entries.iter().filter_map(|entry| entry.summary).collect();
    assert_eq!(summaries.len(), 2);
    for summary in &summaries {
        assert!(
            summary.from >= NOW.plus(Duration::from_secs(4_096)),
            "{summary:?}"
        );
        assert!(summary.until <= last && summary.from <= summary.until);
    }
    assert!(summaries.iter().any(|summary| summary.until == last));
}

/// Who saw one request by `hmac-v1` makes as many as they like: they hide no other
/// refusal behind theirs.
#[tokio::test]
async fn a_flood_of_weak_proofs_is_one_of_its_own() {
    let world = World::new().await;
    for _ in 0..300 {
        world.recorder.refuse(Refusal {
            profile: "hmac-v1",
            ..refusal("bad_signature", NOW)
        });
    }
    world.recorder.refuse(refusal("bad_signature", NOW));
    world.recorder.drain_refusals().await;
    let entries = world.entries();
    let counted = |profile: &str| -> (usize, u64) {
        let of = entries.iter().filter(|entry| entry.profile == profile);
        let refused = of.filter(|entry| entry.decision == Decision::Deny);
        refused.fold((0, 0), |(one, all), entry| match entry.summary {
            None => (one + 1, all),
            Some(summary) => (one, all + summary.count),
        })
    };
    assert_eq!(counted("hmac-v1"), (100, 200));
    assert_eq!(counted("none"), (1, 0));
}

#[tokio::test]
async fn what_could_not_be_written_stays_counted() {
    let world = World::new().await;
    world.disk.fail(world.disk.steps() + 1, FakeFault::Full);
    for _ in 0..10 {
        world.recorder.refuse(refusal("revoked", NOW));
    }
    world.recorder.drain_refusals().await;
    let (single, summed) = counted(&world.entries());
    assert!(single.is_empty() && summed.is_empty());
    // There is room again.
    world.recorder.refuse(refusal("bad_signature", NOW));
    world.recorder.drain_refusals().await;
    let (single, summed) = counted(&world.entries());
    assert_eq!(single, BTreeMap::from([("bad_signature".to_owned(), 1)]));
    assert_eq!(summed, BTreeMap::from([("revoked".to_owned(), 10)]));
}

#[tokio::test]
async fn a_flood_that_lasts_does_not_fill_the_disk() {
    let world = World::new().await;
    // A hundred a second for half an hour: few enough that the writer keeps up.
    for second in 0..1_800u64 {
        for _ in 0..100 {
            let time = NOW.plus(Duration::from_secs(second));
            world.recorder.refuse(refusal("missing_headers", time));
        }
        if second % 100 == 0 {
            world.recorder.drain_refusals().await;
        }
    }
    world.recorder.drain_refusals().await;
    let (single, summed) = counted(&world.entries());
    assert_eq!(single["missing_headers"], 100 + 1_799);
    assert_eq!(
        single["missing_headers"] + summed["missing_headers"],
        180_000
    );
}
