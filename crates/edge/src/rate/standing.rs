//! What somebody is told of a bucket: the fields of draft-ietf-httpapi-ratelimit-headers
//! (revision 10), which are lists of RFC 9651.

use http::{HeaderMap, HeaderName, HeaderValue};
use procura_types::{Duration, Rate};

/// Which limits there are (§3 of the draft).
pub const POLICY_FIELD: HeaderName = HeaderName::from_static("ratelimit-policy");

/// How much of them is left (§4).
pub const STANDING_FIELD: HeaderName = HeaderName::from_static("ratelimit");

/// How a bucket stands after a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    pub(super) name: &'static str,
    pub(super) rate: Rate,
    pub(super) left: u64,
    pub(super) full_in: Duration,
}

/// A bucket that was empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Over {
    /// How it stands.
    pub standing: Standing,
    /// When there is a token again, if nobody else takes it.
    pub retry_after: Duration,
}

impl Standing {
    /// Whether less than half is left: who is told then can still go slower, and with
    /// all others no time is spent on telling.
    #[must_use]
    pub fn is_low(&self) -> bool {
        self.left.saturating_mul(2) < u64::from(self.rate.burst())
    }

    /// `"agent";q=200;w=2`: as many as at once, in the time in which they flow back.
    #[must_use]
    pub fn policy(&self) -> String {
        let burst = self.rate.burst();
        let window = self.rate.interval().saturating_mul(burst);
        format!("\"{}\";q={burst};w={}", self.name, whole_seconds(window))
    }

    /// `"agent";r=150;t=1`: so many are left, and all again after so many seconds.
    #[must_use]
    pub fn left(&self) -> String {
        let (left, full) = (self.left, whole_seconds(self.full_in));
        format!("\"{}\";r={left};t={full}", self.name)
    }

    /// Adds both fields, beside those that are there: they are lists.
    pub fn tell(&self, headers: &mut HeaderMap) {
        for (field, text) in [(POLICY_FIELD, self.policy()), (STANDING_FIELD, self.left())] {
            // A word and digits are the value of a field.
            if let Ok(value) = HeaderValue::try_from(text) {
                headers.append(field, value);
            }
        }
    }
}

/// Whole seconds, rounded up, as HTTP counts them (RFC 9110 §10.2.3).
fn whole_seconds(time: Duration) -> u64 {
    time.as_secs()
        .saturating_add(u64::from(time.subsec_nanos() > 0))
}
