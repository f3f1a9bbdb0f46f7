//! Decoy against what is not there, by the clock: interleaved pairs and a rank test
//! (Mann and Whitney), as somebody outside would do it.

use crate::actors::Actors;
use crate::honey::{NS, plant, run};
use procura_crypto::SigningKey;
use serde_json::json;
use std::time::{Duration, Instant};

/// By how many standard deviations the sum of ranks differs from what it is when both
/// are drawn from one distribution.
pub(crate) fn difference(one: &[Duration], other: &[Duration]) -> f64 {
    let mut all: Vec<(Duration, bool)> = one.iter().map(|time| (*time, true)).collect();
    all.extend(other.iter().map(|time| (*time, false)));
    all.sort();
    let ranks: usize = all
        .iter()
        .enumerate()
        .filter(|(_, (_, first))| *first)
        .map(|(at, _)| at + 1)
        .sum();
    let number = |count: usize| f64::from(u32::try_from(count).unwrap());
    let (n, m) = (number(one.len()), number(other.len()));
    let mean = n * (n + m + 1.0) / 2.0;
    let deviation = (n * m * (n + m + 1.0) / 12.0).sqrt();
    (number(ranks) - mean) / deviation
}

/// How much the times of one kind differ by themselves, and what so many pairs can tell from
/// that at all, by this many standard deviations.
pub(crate) fn findable(plain: &[Duration], pairs: usize, apart: f64) -> (Duration, Duration) {
    let mut plain = plain.to_vec();
    plain.sort();
    let spread = plain[plain.len() * 3 / 4] - plain[plain.len() / 4];
    // Of a normal distribution, whose middle half is 1.35 deviations wide, a shift by
    // one deviation is 0.28 of all pairs in the other order.
    let number = f64::from(u32::try_from(pairs).unwrap());
    let ranks = ((2.0 * number + 1.0) / (12.0 * number * number)).sqrt();
    (spread, spread.mul_f64(apart * ranks / 0.28 / 1.35))
}

#[test]
fn the_test_tells_what_differs() {
    let times = |from: u64| {
        (from..from + 200)
            .map(Duration::from_micros)
            .collect::<Vec<_>>()
    };
    assert!(difference(&times(100), &times(100)).abs() < 0.5);
    assert!(difference(&times(100), &times(160)) < -5.0);
    assert!(difference(&times(160), &times(100)) > 5.0);
}

/// Each request by a device of its own, since one that touches a decoy asks for nothing
/// any more; and each device asks for something else first, so that none is new.
#[tokio::test]
async fn a_run_for_a_decoy_takes_as_long_as_for_a_missing_name() {
    const PAIRS: usize = 120;
    let actors = Actors::new().await;
    plant(&actors, "prod/aws", json!({"shape": "aws", "env": "DECOY"})).await;
    let (mut decoys, mut missing) = (Vec::new(), Vec::new());
    let timed = async |key: &SigningKey, name: &str| {
        let begin = Instant::now();
        let answer = run(&actors, key, &[name]).await;
        let time = begin.elapsed();
        answer.expect("nothing_to_deliver", None, None, name);
        time
    };
    for pair in 0..PAIRS {
        let keys = [
            actors.join_as("adam", "shop", "scribe").await,
            actors.join_as("adam", "shop", "scribe").await,
        ];
        for key in &keys {
            timed(key, "ANOTHER").await;
        }
        // Which of them comes first changes, so that what one leaves behind meets both.
        if pair % 2 == 0 {
            decoys.push(timed(&keys[0], "DECOY").await);
            missing.push(timed(&keys[1], "MISSING").await);
        } else {
            missing.push(timed(&keys[0], "MISSING").await);
            decoys.push(timed(&keys[1], "DECOY").await);
        }
    }
    let found = difference(&decoys, &missing);
    assert!(found.abs() < 5.0, "{found} standard deviations");
}

/// The same for what one operator reads who may know of decoys, again and again.
#[tokio::test]
async fn a_read_of_a_decoy_takes_as_long_as_of_what_is_not_there() {
    const PAIRS: usize = 1000;
    let actors = Actors::new().await;
    plant(&actors, "prod/aws", json!({"shape": "aws"})).await;
    let timed = async |path: &str| {
        let world = &actors.world;
        let target = format!("{NS}/secrets/prod/{path}");
        let sent = world.signed(actors.key("alice"), "GET", &target, None);
        let begin = Instant::now();
        let answer = world.send(&sent).await;
        let time = begin.elapsed();
        answer.expect("not_found", None, None, path);
        time
    };
    let (mut decoys, mut missing) = (Vec::new(), Vec::new());
    for pair in 0..PAIRS {
        if pair % 2 == 0 {
            decoys.push(timed("aws").await);
            missing.push(timed("gcp").await);
        } else {
            missing.push(timed("gcp").await);
            decoys.push(timed("aws").await);
        }
    }
    let found = difference(&decoys, &missing);
    assert!(found.abs() < 5.0, "{found} standard deviations");
}
