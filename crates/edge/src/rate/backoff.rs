//! Whoever keeps breaking rules waits, each time twice as long.

use crate::rate::bucket::Bucket;
use crate::rate::table::{Entry, Found, Table};
use procura_types::{Duration, Rate};
use std::hash::Hash;
use std::time::Instant;

/// Violations that have no consequence: a clock that is wrong, or an agent whose key
/// was just taken away, is not an attack, and behind one address there may be many.
const TOLERATED: Rate = Rate::per_second(1, 20);

/// The first wait, and the longest.
const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(5 * 60);

/// Nanoseconds after the last wait until the next is as short as the first: 10 min.
const QUIET: u64 = 600_000_000_000;

/// What is remembered of one who broke rules.
#[derive(Debug, Clone, Copy, Default)]
struct Conduct {
    tolerated: Bucket,
    /// Until when the last wait goes, in nanoseconds.
    until: u64,
    /// How many waits there were in a row; none of them is forgiven yet.
    waits: u32,
}

impl Conduct {
    /// Whether all waits are forgiven.
    const fn is_forgiven(&self, now: u64) -> bool {
        self.waits == 0 || now >= self.until.saturating_add(QUIET)
    }

    /// How long to wait still.
    const fn wait(&self, now: u64) -> Option<Duration> {
        match self.until.saturating_sub(now) {
            0 => None,
            rest => Some(Duration::from_nanos(rest)),
        }
    }

    fn violate(&mut self, now: u64) -> Option<Duration> {
        if self.is_forgiven(now) {
            self.waits = 0;
        }
        // What is tolerated is tolerated; and a wait that is running was for what came
        // before it.
        if self.wait(now).is_some() || self.tolerated.take(&TOLERATED, now).is_ok() {
            return None;
        }
        let factor = 1_u32.checked_shl(self.waits).unwrap_or(u32::MAX);
        let wait = FIRST.saturating_mul(factor).min(LONGEST);
        self.waits = self.waits.saturating_add(1).min(u32::BITS);
        self.until = now.saturating_add(u64::try_from(wait.as_nanos()).unwrap_or(u64::MAX));
        Some(wait)
    }
}

impl Entry for Conduct {
    fn is_at_rest(&self, now: u64) -> bool {
        self.is_forgiven(now) && self.tolerated.is_at_rest(now)
    }
}

/// Who has to wait, of at most so many. Whoever finds no place, because all are held by
/// others who broke rules, does not wait: to let strangers wait for what others did
/// would be the lock-out that this is to prevent.
pub struct Backoff {
    table: Table<Conduct>,
    epoch: Instant,
}

impl Backoff {
    /// Remembers about `capacity` offenders, from `now` on.
    #[must_use]
    pub fn new(capacity: usize, now: Instant) -> Self {
        Self {
            table: Table::new(capacity),
            epoch: now,
        }
    }

    /// How long `of` has to wait still.
    pub fn wait(&self, of: &impl Hash, now: Instant) -> Option<Duration> {
        let now = super::nanoseconds(self.epoch, now);
        let key = self.table.key(of);
        self.table.at(key, now, |found| match found {
            Found::Own(conduct) => conduct.wait(now),
            Found::New { .. } | Found::Crowd(_) => None,
        })
    }

    /// Notes that `of` broke a rule. Gives the wait that begins with it, if one does:
    /// 1 s, then 2 s, 4 s, up to 5 min, and 1 s again after 10 min of quiet. Once a
    /// second, and twenty times at once, has no consequence.
    pub fn violate(&self, of: &impl Hash, now: Instant) -> Option<Duration> {
        let now = super::nanoseconds(self.epoch, now);
        let key = self.table.key(of);
        self.table.at(key, now, |found| match found {
            Found::Own(conduct) | Found::New { entry: conduct, .. } => conduct.violate(now),
            Found::Crowd(_) => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Breaks rules until it has to wait, and says for how long.
    fn provoke(backoff: &Backoff, of: &str, now: Instant) -> Duration {
        let waits = (0..100).find_map(|_| backoff.violate(&of, now));
        waits.expect("somebody who breaks rules a hundred times at once waits")
    }

    #[test]
    fn it_doubles_up_to_five_minutes_and_forgives() {
        let mut now = Instant::now();
        let backoff = Backoff::new(64, now);
        for seconds in [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300] {
            let wait = provoke(&backoff, "mallory", now);
            assert_eq!(wait, Duration::from_secs(seconds));
            assert_eq!(backoff.wait(&"mallory", now), Some(wait));
            // Nothing that comes meanwhile makes it longer.
            assert_eq!(backoff.violate(&"mallory", now), None);
            assert_eq!(backoff.wait(&"mallory", now), Some(wait));
            assert_eq!(backoff.wait(&"alice", now), None);
            now += wait;
            assert_eq!(backoff.wait(&"mallory", now), None);
        }
        // Not yet, and then at once.
        now += Duration::from_nanos(QUIET - 1);
        assert_eq!(provoke(&backoff, "mallory", now), LONGEST);
        now += LONGEST + Duration::from_nanos(QUIET);
        assert_eq!(provoke(&backoff, "mallory", now), FIRST);
    }

    #[test]
    fn some_violations_have_no_consequence() {
        let mut now = Instant::now();
        let backoff = Backoff::new(64, now);
        for _ in 0..20 {
            assert_eq!(backoff.violate(&"nat", now), None);
        }
        assert_eq!(backoff.violate(&"nat", now), Some(FIRST));
        now += FIRST + Duration::from_nanos(QUIET);
        // One a second goes on for ever.
        for _ in 0..1000 {
            assert_eq!(backoff.violate(&"nat", now), None);
            now += Duration::from_secs(1);
        }
    }

    #[test]
    fn many_offenders_take_no_more_memory_and_nobody_waits_for_them() {
        let now = Instant::now();
        let backoff = Backoff::new(1024, now);
        let bytes = backoff.table.bytes();
        assert!(bytes < 64 * 1024, "{bytes}");
        for number in 0..20_000_u32 {
            for _ in 0..30 {
                backoff.violate(&number, now);
            }
        }
        assert_eq!(backoff.table.bytes(), bytes);
        assert_eq!(backoff.table.taken(0), 1024);
        assert_eq!(backoff.wait(&"alice", now), None);
        // Those who have a place keep it: it is no way out to bring others.
        let waiting = (0..20_000_u32).filter(|number| backoff.wait(number, now).is_some());
        assert_eq!(waiting.count(), 1024);
    }

    proptest! {
        /// Whatever others do meanwhile, whoever waits goes on waiting.
        #[test]
        fn no_wait_is_washed_off(others in prop::collection::vec((0..500_u32, 0..900_u64), 0..300)) {
            let begin = Instant::now();
            let backoff = Backoff::new(8, begin);
            let wait = provoke(&backoff, "mallory", begin);
            for (other, millis) in others {
                let now = begin + Duration::from_millis(millis);
                backoff.violate(&other, now);
                prop_assert_eq!(backoff.wait(&"mallory", now), Some(begin + wait - now));
            }
        }
    }
}
