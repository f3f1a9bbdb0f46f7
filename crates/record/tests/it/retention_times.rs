//! When entries are too old: by a clock that is wrong at times, and never what is of now.

use crate::retention_world::{DAY, Site};
use procura_record::first_kept;
use procura_record::tables::LEDGER;
use procura_types::{Clock, Duration, Timestamp};
use std::sync::atomic::Ordering;

const HOUR: Duration = Duration::from_secs(60 * 60);

/// As many hours of a clock that is wrong have at most so many hours too much forgotten.
#[tokio::test]
async fn time_that_was_not_lived_through_makes_nothing_too_old() {
    let mut site = Site::new().await;
    let retention = site.retention();
    let now = site.clock.now();
    let none = retention.reached(now..=now, HOUR).await.unwrap();
    assert_eq!(none, None, "no rule");
    site.keep(7).await;
    let since = now.minus(DAY);
    // The clock is right, and goes on; what was missed is caught up with.
    for (agreed, reached) in [
        (now.minus(DAY * 2), now.minus(DAY * 2)),
        (now, since.plus(HOUR * 2)),
        (now, since.plus(HOUR * 4)),
    ] {
        let found = site.retention().reached(agreed..=now, HOUR).await.unwrap();
        assert_eq!(found, Some(reached));
    }
    // A year ahead, also over restarts, and right again.
    site = site.restart().await;
    for hour in 3..=5 {
        let ahead = now.plus(DAY * 365);
        let found = site.retention().reached(ahead..=ahead, HOUR).await.unwrap();
        assert_eq!(found, Some(since.plus(HOUR * 2 * hour)));
        site = site.restart().await;
    }
    let at = async |read: Timestamp, lived| {
        let found = site.retention().reached(read..=read, lived).await;
        found.unwrap()
    };
    let zero = at(now.plus(DAY * 365), Duration::ZERO).await;
    assert_eq!(zero, Some(since.plus(HOUR * 10)));
    assert_eq!(at(now, DAY).await, Some(now));
    // Behind for a while: nothing is lost by it where the rule is settled.
    let later = since.plus(DAY * 8);
    assert_eq!(at(later, DAY * 4).await, Some(later));
    let behind = Timestamp::from_millis(0);
    assert_eq!(at(behind, HOUR).await, Some(behind));
    assert_eq!(at(later, HOUR).await, Some(later));
    // A rule that is made anew is of now.
    site.later(DAY * 30);
    site.keep(8).await;
    let now = site.clock.now();
    assert_eq!(at(now, HOUR).await, Some(now.minus(DAY).plus(HOUR * 2)));
}

/// A rule that was made while the clock was a year ahead is no reason to forget a year.
#[tokio::test]
async fn a_rule_from_ahead_begins_once_the_clock_is_right() {
    let site = Site::new().await;
    let now = site.clock.now();
    let (ahead, since) = (now.plus(DAY * 365), now.minus(DAY));
    let reached = async |read| site.retention().reached(read, HOUR).await.unwrap();
    let at = async |read: Timestamp| reached(read..=read).await;
    let rule = async |made: Timestamp| {
        let made = u64::try_from(made.since(Timestamp::from_millis(0)).as_millis());
        site.clock.0.store(made.unwrap(), Ordering::Relaxed);
        site.keep(7).await;
    };
    for hours in [0, 1, 3] {
        rule(ahead).await;
        for hour in 1..=hours {
            let more = ahead.minus(DAY).plus(HOUR * 2 * hour);
            assert_eq!(at(ahead).await, Some(more), "ahead still: {hour}");
        }
        // One reading of two that is behind says nothing yet.
        assert_eq!(reached(now..=ahead).await, Some(now));
        assert_eq!(at(now).await, Some(now), "{hours}");
        assert_eq!(at(ahead).await, Some(now.plus(HOUR * 2)), "{hours}");
    }
    // A rule that is made anew when the clock is right begins with that, at once.
    rule(ahead).await;
    assert_eq!(at(ahead).await, Some(ahead.minus(DAY).plus(HOUR * 2)));
    rule(now).await;
    assert_eq!(at(ahead).await, Some(since.plus(HOUR * 2)));
}

#[tokio::test]
async fn what_is_of_now_stays_whatever_a_row_and_a_clock_say() {
    let site = Site::new().await;
    site.write(600).await;
    site.later(DAY * 6);
    site.write(10).await;
    // A row that no call writes.
    site.keep(0).await;
    assert_eq!(site.forget().await, 0);
    // A time that the clock has not reached.
    let ahead = site.clock.now().plus(DAY * 400);
    assert!(!site.retention().step(Some(ahead)).await.unwrap());
    site.later(DAY * 2);
    assert_eq!(site.forget().await, 1 + 1);
    assert_eq!(first_kept(&site.store).unwrap(), 512);
    // A bundle with one young entry in it stayed whole, and so does the last one.
    site.write(300).await;
    site.later(DAY * 400);
    assert_eq!(site.forget().await, 1 + 1);
    assert_eq!(first_kept(&site.store).unwrap(), 768);
    assert_eq!(site.store.log_len(LEDGER).unwrap(), 912);
    site.later(DAY * 400);
    assert_eq!(site.forget().await, 0);
}

#[tokio::test]
async fn it_is_said_once_a_day_at_most() {
    let site = Site::new().await;
    site.keep(7).await;
    let mut said = Vec::new();
    for third in 0..30 {
        site.write(300).await;
        if site.forget().await > 0 {
            said.push(third);
        }
        site.later(DAY / 3);
    }
    // When the first entries are over a week old, and each day behind.
    assert_eq!(said, [22, 25, 28]);
    assert!(site.export().await.is_ok());
}

#[tokio::test]
async fn a_clock_that_is_ahead_when_it_is_said_does_not_put_off_the_next_time() {
    let site = Site::new().await;
    site.write(600).await;
    site.later(DAY * 8);
    site.write(600).await;
    site.keep(7).await;
    site.published().await;
    let (right, year) = (site.now(), DAY * 365);
    site.later(year);
    assert!(site.retention().step(Some(right)).await.unwrap());
    let ahead = u64::try_from(year.as_millis()).unwrap();
    site.clock.0.fetch_sub(ahead, Ordering::Relaxed);
    assert_eq!(site.now(), right);
    assert_eq!(site.forget().await, 1);
    assert_eq!(first_kept(&site.store).unwrap(), 512);
    site.later(DAY * 8);
    assert_eq!(site.forget().await, 1 + 1);
    assert_eq!(first_kept(&site.store).unwrap(), 1024);
}
