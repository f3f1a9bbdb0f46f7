//! Moments: milliseconds since 1970-01-01T00:00:00Z; RFC 3339 in JSON.

use crate::Malformed;
use ::time::format_description::well_known::Rfc3339;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;
pub use std::time::Duration;

/// A moment in UTC, to the millisecond.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Timestamp(u64);

/// Whole seconds of a span of time, rounded up: whoever waits so long has waited long
/// enough. HTTP counts waits in them (RFC 9110 §10.2.3).
#[must_use]
pub const fn whole_seconds_up(time: Duration) -> u64 {
    let seconds = time.as_secs();
    if time.subsec_nanos() > 0 {
        seconds.saturating_add(1)
    } else {
        seconds
    }
}

/// 9999-12-31T23:59:59.999Z, the last moment that RFC 3339 can write.
const LAST_MILLIS: u64 = 253_402_300_799_999;

impl Timestamp {
    /// A moment from milliseconds since 1970; later than the year 9999 is cut there.
    #[must_use]
    pub const fn from_millis(millis: u64) -> Self {
        Self(if millis > LAST_MILLIS {
            LAST_MILLIS
        } else {
            millis
        })
    }

    /// A moment from whole seconds since 1970.
    #[must_use]
    pub const fn from_secs(secs: u64) -> Self {
        Self::from_millis(secs.saturating_mul(1000))
    }

    /// Milliseconds since 1970.
    #[must_use]
    pub const fn as_millis(self) -> u64 {
        self.0
    }

    /// Whole seconds since 1970, rounded down.
    #[must_use]
    pub const fn as_secs(self) -> u64 {
        self.0 / 1000
    }

    /// The moment `later` after this one.
    #[must_use]
    pub fn plus(self, later: Duration) -> Self {
        Self::from_millis(self.0.saturating_add(millis(later)))
    }

    /// The moment `earlier` before this one, 1970 at the least.
    #[must_use]
    pub fn minus(self, earlier: Duration) -> Self {
        Self(self.0.saturating_sub(millis(earlier)))
    }

    /// How long after `earlier` this is; zero when it is not after.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Days to civil date after Hinnant, "chrono-compatible low-level date
        // algorithms"; the hot path writes one of these in every ledger entry.
        let (days, in_day) = (self.0 / 86_400_000, self.0 % 86_400_000);
        let shifted = days + 719_468;
        let era = shifted / 146_097;
        let of_era = shifted % 146_097;
        let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let shifted_month = (5 * of_year + 2) / 153;
        let day = of_year - (153 * shifted_month + 2) / 5 + 1;
        let month = if shifted_month < 10 {
            shifted_month + 3
        } else {
            shifted_month - 9
        };
        let year = year_of_era + era * 400 + u64::from(month <= 2);
        let (hour, minute) = (in_day / 3_600_000, in_day / 60_000 % 60);
        let (second, milli) = (in_day / 1000 % 60, in_day % 1000);
        write!(
            f,
            "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{milli:03}Z"
        )
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(feature = "openapi")]
impl utoipa::PartialSchema for Timestamp {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
        crate::openapi::text("RFC 3339, UTC, with milliseconds")
    }
}
#[cfg(feature = "openapi")]
impl utoipa::ToSchema for Timestamp {
    fn name() -> std::borrow::Cow<'static, str> {
        "Timestamp".into()
    }
}

impl FromStr for Timestamp {
    type Err = Malformed;
    fn from_str(text: &str) -> Result<Self, Malformed> {
        let wrong = Malformed::new("time", "is not an RFC 3339 time between 1970 and 9999");
        let moment = ::time::OffsetDateTime::parse(text, &Rfc3339).map_err(|_| wrong.clone())?;
        u64::try_from(moment.unix_timestamp_nanos() / 1_000_000)
            .ok()
            .filter(|millis| *millis <= LAST_MILLIS)
            .map(Self)
            .ok_or(wrong)
    }
}

impl TryFrom<String> for Timestamp {
    type Error = Malformed;
    fn try_from(text: String) -> Result<Self, Malformed> {
        text.parse()
    }
}

impl From<Timestamp> for String {
    fn from(moment: Timestamp) -> Self {
        moment.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_seconds_are_never_less_than_the_time() {
        for (millis, seconds) in [(0, 0), (1, 1), (1000, 1), (1001, 2), (1900, 2)] {
            assert_eq!(whole_seconds_up(Duration::from_millis(millis)), seconds);
        }
        assert_eq!(whole_seconds_up(Duration::MAX), u64::MAX);
    }

    #[test]
    fn rfc_3339_both_ways() {
        for (millis, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (1_795_252_357_123, "2026-11-21T09:12:37.123Z"),
            (LAST_MILLIS, "9999-12-31T23:59:59.999Z"),
        ] {
            let moment = Timestamp::from_millis(millis);
            assert_eq!(moment.to_string(), text);
            assert_eq!(text.parse::<Timestamp>().unwrap(), moment);
        }
        let offset: Timestamp = "2026-11-21T10:12:37+01:00".parse().unwrap();
        assert_eq!(offset.to_string(), "2026-11-21T09:12:37.000Z");
        for bad in [
            "",
            "2026-11-21",
            "1969-12-31T23:59:59Z",
            "2026-13-01T00:00:00Z",
        ] {
            assert_eq!(bad.parse::<Timestamp>().unwrap_err().field, "time", "{bad}");
        }
    }
}
