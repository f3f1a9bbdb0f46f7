//! One token bucket: the generic cell rate algorithm (ITU-T I.371, annex A), which is
//! a leaky bucket in one number.

use crate::rate::table::Entry;
use procura_types::Rate;

/// What a bucket owes: until when all that was taken out of it would have flowed back
/// in, in nanoseconds since the beginning of the table. A bucket that owes nothing is
/// full, and one that was never there is as good.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Bucket {
    until: u64,
}

impl Entry for Bucket {
    fn is_at_rest(&self, now: u64) -> bool {
        self.until <= now
    }
}

/// What is left in a bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Left {
    /// How many more may be taken at once.
    pub(super) tokens: u64,
    /// Nanoseconds until it is full.
    pub(super) full_in: u64,
}

/// Nanoseconds from one token to the next, and of a whole bucket.
pub(super) fn sizes(rate: &Rate) -> (u64, u64) {
    // An hour by a million, the most that a rate says, is a fifth of what fits.
    let interval = u64::try_from(rate.interval().as_nanos()).unwrap_or(u64::MAX);
    (interval, interval.saturating_mul(u64::from(rate.burst())))
}

impl Bucket {
    /// Takes one token at `now`, or says in how many nanoseconds there is one.
    pub(super) fn take(&mut self, rate: &Rate, now: u64) -> Result<Left, u64> {
        let (interval, whole) = sizes(rate);
        let until = self.until.max(now).saturating_add(interval);
        let owed = until.saturating_sub(now);
        if owed > whole {
            return Err(owed - whole);
        }
        self.until = until;
        Ok(Left {
            tokens: (whole - owed) / interval.max(1),
            full_in: owed,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_burst_and_then_one_by_one() {
        let rate: Rate = "10/s burst 3".parse().unwrap();
        let mut bucket = Bucket::default();
        let step = 100_000_000;
        for tokens in [2, 1, 0] {
            assert_eq!(bucket.take(&rate, step).unwrap().tokens, tokens);
        }
        assert_eq!(bucket.take(&rate, step), Err(step));
        assert_eq!(bucket.take(&rate, 2 * step - 1), Err(1));
        let left = bucket.take(&rate, 2 * step).unwrap();
        assert_eq!((left.tokens, left.full_in), (0, 3 * step));
        assert!(!bucket.is_at_rest(5 * step - 1) && bucket.is_at_rest(5 * step));
        // A clock that stands, or turns back, gives nothing.
        assert_eq!(bucket.take(&rate, 0), Err(3 * step));
    }

    proptest! {
        /// In no stretch of time more than the burst and what flows in meanwhile.
        #[test]
        fn never_more_than_rate_times_time_and_burst(
            count in 1..2_000_u32, burst in 1..50_u32,
            steps in prop::collection::vec(prop_oneof![Just(0_u64), 0..2_000_000_u64, 0..3_000_000_000_u64], 1..200),
        ) {
            let rate: Rate = format!("{count}/s burst {burst}").parse().unwrap();
            let mut bucket = Bucket::default();
            let (mut now, mut passed) = (0, Vec::new());
            for step in steps {
                now += step;
                if bucket.take(&rate, now).is_ok() {
                    passed.push(now);
                }
            }
            for (first, from) in passed.iter().enumerate() {
                for (last, to) in passed.iter().enumerate().skip(first) {
                    let most = u128::from(to - from) * u128::from(count) / 1_000_000_000 + u128::from(burst);
                    prop_assert!(u128::try_from(last - first + 1).unwrap() <= most);
                }
            }
        }

        /// Whoever keeps to the rate is never refused.
        #[test]
        fn an_even_pace_always_passes(count in 1..2_000_u32, late in prop::collection::vec(0..1_000_000_u64, 1..200)) {
            let rate: Rate = format!("{count}/s burst 1").parse().unwrap();
            let (interval, _) = sizes(&rate);
            let (mut bucket, mut now) = (Bucket::default(), 0);
            for late in late {
                now += interval + late;
                prop_assert!(bucket.take(&rate, now).is_ok());
            }
        }
    }
}
