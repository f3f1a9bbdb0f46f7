//! How often somebody may ask, and how long whoever breaks rules has to wait
//! (`docs/adr/0019-rates.md`).
//!
//! A [`Limiter`] has a token bucket for each key, a [`Backoff`] a wait; both hold no
//! more than so many keys, and neither forgets a debt for the sake of another key. No
//! clock is read here: what passes is what callers say has passed.

mod backoff;
mod bucket;
mod left;
mod table;

pub use backoff::Backoff;
pub use left::{LIMIT_FIELD, Left, Over, POLICY_FIELD};
pub use table::Key;

use bucket::Bucket;
use procura_types::{Duration, Rate};
use std::hash::Hash;
use std::time::Instant;
use table::{Entry as _, Found, Table};

/// Token buckets by key. All keys that find no place, since everything is held by
/// others in debt, share a bucket with each other.
pub struct Limiter {
    name: &'static str,
    table: Table<Bucket>,
    epoch: Instant,
}

impl Limiter {
    /// Buckets for about `capacity` keys, from `now` on. `name` is what the fields of
    /// answers call them: a word of lower-case letters.
    #[must_use]
    pub fn new(name: &'static str, capacity: usize, now: Instant) -> Self {
        Self {
            name,
            table: Table::new(capacity),
            epoch: now,
        }
    }

    /// What it is called.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// The key of somebody, or of something.
    pub fn key(&self, of: &impl Hash) -> Key {
        self.table.key(of)
    }

    /// Takes one token out of the bucket of `key`. In any stretch of time no key gets
    /// more than the rate says for it and one burst.
    ///
    /// # Errors
    /// [`Over`], with the time after which there is a token again.
    pub fn take(&self, key: Key, rate: &Rate, now: Instant) -> Result<Left, Over> {
        let now = nanoseconds(self.epoch, now);
        let taken = self.table.at(key, now, |found| match found {
            Found::Own(bucket) | Found::Crowd(bucket) => bucket.take(rate, now),
            Found::New { entry, crowd } => {
                // As part of the crowd it may have taken all that the crowd owes.
                if !crowd.is_at_rest(now) {
                    *entry = crowd;
                }
                entry.take(rate, now)
            }
        });
        let left = |tokens, full_in| Left {
            name: self.name,
            rate: *rate,
            tokens,
            full_in: Duration::from_nanos(full_in),
        };
        taken
            .map(|taken| left(taken.tokens, taken.full_in))
            .map_err(|wait| Over {
                left: left(0, bucket::sizes(rate).1.saturating_add(wait)),
                retry_after: Duration::from_nanos(wait),
            })
    }
}

/// A moment as the tables count it.
fn nanoseconds(epoch: Instant, now: Instant) -> u64 {
    // In 584 years.
    u64::try_from(now.saturating_duration_since(epoch).as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
