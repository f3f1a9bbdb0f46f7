//! Messages that somebody sends to see whether a channel works: each is a connection that
//! the server makes at once, to an address of their choice, while they wait for it. So
//! few are on their way at a time, fewer of one namespace, and each operator has so many
//! a minute. What is over is refused before anything is sent or recorded, as whatever
//! is refused for how often it comes (`docs/adr/0019-rates.md`).

use crate::problem::{Code, Failure};
use procura_edge::rate::Limiter;
use procura_types::{ActorId, Rate};
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// What they are counted as.
pub(crate) const NOTIFY_TESTS: &str = "notify_tests";
/// On their way at the same time.
const AT_ONCE: usize = 4;
/// Of those, as many as channels of one namespace may have, or of the installation.
const AT_ONCE_OF_ONE: usize = 2;
/// What an operator has.
const PACE: Rate = Rate::per_minute(20, 20);
/// Operators that are remembered.
const OPERATORS: usize = 1024;
/// Seconds after which it is worth to try again when too many are on their way: about as
/// long as a receiver may take that does not answer.
const SOON: u64 = 10;

/// Who tries channels now, and how often they did.
pub(crate) struct Trying {
    limiter: Limiter,
    /// How many are on their way, by whose channels they are.
    under_way: Mutex<BTreeMap<String, usize>>,
}

/// One that is on its way, until this is dropped.
#[must_use]
pub(crate) struct Try<'a> {
    trying: &'a Trying,
    scope: String,
}

impl Trying {
    /// Counts from `now` on.
    pub(super) fn new(now: Instant) -> Self {
        Self {
            limiter: Limiter::new(NOTIFY_TESTS, OPERATORS, now),
            under_way: Mutex::default(),
        }
    }

    /// Begins one by this operator, through a channel of this scope.
    ///
    /// # Errors
    /// [`Code::RateLimited`], with the reason `tests_at_once` where too many are on their
    /// way, and `rate_limited` where the operator has none left for now.
    pub(crate) fn begin(
        &self,
        operator: &ActorId,
        scope: &str,
        now: Instant,
    ) -> Result<Try<'_>, Failure> {
        let begun = self.place(scope).ok_or_else(|| {
            let detail = "Too many messages to see whether channels work are on their way; receivers that do not answer hold them up.";
            let mut failure = Failure::new(Code::RateLimited, detail).with_reason("tests_at_once");
            failure.retry_after = Some(SOON);
            failure
        })?;
        let key = self.limiter.key(operator);
        self.limiter.take(key, &PACE, now).map_err(|over| {
            let detail = "You try channels more often than operators may; try it again later.";
            Failure::new(Code::RateLimited, detail).over(&over)
        })?;
        Ok(begun)
    }

    /// A place, if there is one.
    fn place(&self, scope: &str) -> Option<Try<'_>> {
        let under_way = self.under_way.lock();
        let mut under_way = under_way.unwrap_or_else(PoisonError::into_inner);
        let all: usize = under_way.values().sum();
        let own = under_way.get(scope).copied().unwrap_or(0);
        if all >= AT_ONCE || own >= AT_ONCE_OF_ONE {
            return None;
        }
        under_way.insert(scope.to_owned(), own + 1);
        Some(Try {
            trying: self,
            scope: scope.to_owned(),
        })
    }
}

impl Drop for Try<'_> {
    fn drop(&mut self) {
        let under_way = self.trying.under_way.lock();
        let mut under_way = under_way.unwrap_or_else(PoisonError::into_inner);
        let own = under_way.get(&self.scope).copied().unwrap_or(0);
        if own > 1 {
            under_way.insert(self.scope.clone(), own - 1);
        } else {
            under_way.remove(&self.scope);
        }
    }
}
