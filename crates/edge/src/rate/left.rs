//! What somebody is told of a bucket: the fields of draft-ietf-httpapi-ratelimit-headers
//! (revision 10), which are lists of RFC 9651.

use http::{HeaderMap, HeaderName, HeaderValue};
use procura_types::{Duration, Rate, whole_seconds_up};

/// Which limits there are (§3 of the draft).
pub const POLICY_FIELD: HeaderName = HeaderName::from_static("ratelimit-policy");

/// How much of them is left (§4).
pub const LIMIT_FIELD: HeaderName = HeaderName::from_static("ratelimit");

/// What is left in a bucket after a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Left {
    pub(super) name: &'static str,
    pub(super) rate: Rate,
    pub(super) tokens: u64,
    pub(super) full_in: Duration,
}

/// A bucket that was empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Over {
    /// That nothing is left in it, and how soon all is again.
    pub left: Left,
    /// When there is a token again, if nobody else takes it.
    pub retry_after: Duration,
}

impl Left {
    /// Whether less than half is left: who is told then can still go slower, and with
    /// all others no time is spent on telling.
    #[must_use]
    pub fn is_low(&self) -> bool {
        self.tokens.saturating_mul(2) < u64::from(self.rate.burst())
    }

    /// `"agent";q=200;w=2`: as many as at once, in the time in which they flow back.
    #[must_use]
    pub fn policy(&self) -> String {
        let burst = self.rate.burst();
        let window = self.rate.interval().saturating_mul(burst);
        format!("\"{}\";q={burst};w={}", self.name, whole_seconds_up(window))
    }

    /// `"agent";r=150;t=1`: so many are left, and all again after so many seconds.
    #[must_use]
    pub fn limit(&self) -> String {
        let (left, full) = (self.tokens, whole_seconds_up(self.full_in));
        format!("\"{}\";r={left};t={full}", self.name)
    }

    /// Adds both fields, beside those that are there: they are lists.
    pub fn tell(&self, headers: &mut HeaderMap) {
        for (field, text) in [(POLICY_FIELD, self.policy()), (LIMIT_FIELD, self.limit())] {
            // A word and digits are the value of a field.
            if let Ok(value) = HeaderValue::try_from(text) {
                headers.append(field, value);
            }
        }
    }
}
