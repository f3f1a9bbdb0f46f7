//! Rates: so many in so much time, and so many at once.

use crate::{Duration, Malformed};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// The greatest number that a rate or its burst has.
const MOST: u32 = 1_000_000;

/// How often something may happen: so many times in a second, a minute or an hour,
/// and so many at once by whoever has been quiet.
///
/// As text `100/s burst 200`, `30/m` or `5/h burst 2`, each number from 1 to
/// 1,000,000; without a burst, as many at once as in the whole time.
///
/// ```
/// use procura_types::Rate;
///
/// let rate: Rate = "100/s burst 200".parse()?;
/// assert_eq!(rate.burst(), 200);
/// assert_eq!(rate.interval().as_millis(), 10);
/// # Ok::<(), procura_types::Malformed>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Rate {
    count: u32,
    per: Per,
    burst: u32,
}

/// The time that a rate counts in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Per {
    Second,
    Minute,
    Hour,
}

impl Per {
    const ALL: [Self; 3] = [Self::Second, Self::Minute, Self::Hour];

    const fn letter(self) -> &'static str {
        match self {
            Self::Second => "s",
            Self::Minute => "m",
            Self::Hour => "h",
        }
    }

    const fn nanoseconds(self) -> u64 {
        match self {
            Self::Second => 1_000_000_000,
            Self::Minute => 60_000_000_000,
            Self::Hour => 3_600_000_000_000,
        }
    }
}

const RULE: Malformed = Malformed::new(
    "rate",
    "must be like 100/s, 100/s burst 200, 30/m or 5/h burst 2, each number from 1 to 1000000",
);

impl Rate {
    /// So many in a second, and so many at once. Numbers beyond 1 to 1,000,000 are
    /// moved to the nearer end.
    #[must_use]
    pub const fn per_second(count: u32, burst: u32) -> Self {
        const fn clamped(number: u32) -> u32 {
            match number {
                0 => 1,
                1..=MOST => number,
                _ => MOST,
            }
        }
        Self {
            count: clamped(count),
            per: Per::Second,
            burst: clamped(burst),
        }
    }

    /// So many in a minute, and so many at once, as [`Self::per_second`].
    #[must_use]
    pub const fn per_minute(count: u32, burst: u32) -> Self {
        Self {
            per: Per::Minute,
            ..Self::per_second(count, burst)
        }
    }

    /// How many at once.
    #[must_use]
    pub const fn burst(&self) -> u32 {
        self.burst
    }

    /// The time from one to the next when they come evenly, rounded up to whole
    /// nanoseconds, so that it never lets more through than it says.
    #[must_use]
    pub fn interval(&self) -> Duration {
        Duration::from_nanos(self.per.nanoseconds().div_ceil(u64::from(self.count)))
    }
}

impl FromStr for Rate {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        let (pace, burst) = match text.split_once(" burst ") {
            Some((pace, burst)) => (pace, Some(burst)),
            None => (text, None),
        };
        let (count, letter) = pace.split_once('/').ok_or(RULE)?;
        let count = number(count)?;
        let per = Per::ALL.into_iter().find(|per| per.letter() == letter);
        Ok(Self {
            count,
            per: per.ok_or(RULE)?,
            burst: burst.map_or(Ok(count), number)?,
        })
    }
}

/// Digits that make a number from 1 to [`MOST`], without zeros in front.
fn number(text: &str) -> Result<u32, Malformed> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit()) && !text.starts_with('0');
    let number = text.parse().ok().filter(|number| *number <= MOST);
    number.filter(|_| digits).ok_or(RULE)
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.count, self.per.letter())?;
        if self.burst == self.count {
            Ok(())
        } else {
            write!(f, " burst {}", self.burst)
        }
    }
}

/// A rate, or that there is none: `off`, or 0.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "String")]
pub enum RateLimit {
    /// However often.
    #[default]
    Off,
    /// So often.
    To(Rate),
}

impl RateLimit {
    /// The rate, if there is one.
    #[must_use]
    pub const fn rate(&self) -> Option<Rate> {
        match self {
            Self::Off => None,
            Self::To(rate) => Some(*rate),
        }
    }
}

/// How a limit may be written: 0 is a number in some files.
#[derive(Deserialize)]
#[serde(
    untagged,
    expecting = "rate: must be a text like 100/s burst 200, or off"
)]
enum Written {
    Text(String),
    Number(u64),
}

impl TryFrom<Written> for RateLimit {
    type Error = Malformed;

    fn try_from(written: Written) -> Result<Self, Malformed> {
        match written {
            Written::Text(text) => text.parse(),
            Written::Number(0) => Ok(Self::Off),
            Written::Number(_) => Err(RULE),
        }
    }
}

impl From<RateLimit> for String {
    fn from(limit: RateLimit) -> Self {
        limit.to_string()
    }
}

impl FromStr for RateLimit {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        match text {
            "off" | "0" => Ok(Self::Off),
            _ => text.parse().map(Self::To),
        }
    }
}

impl fmt::Display for RateLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Off => f.write_str("off"),
            Self::To(rate) => rate.fmt(f),
        }
    }
}

#[cfg(feature = "openapi")]
impl utoipa::PartialSchema for RateLimit {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
        crate::openapi::text("`off`, or a rate like `100/s`, `100/s burst 200`, `30/m` or `5/h`")
    }
}

#[cfg(feature = "openapi")]
impl utoipa::ToSchema for RateLimit {}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn rates_are_read_in_one_spelling_each() {
        for (text, nanoseconds, burst) in [
            ("100/s", 10_000_000, 100),
            ("100/s burst 200", 10_000_000, 200),
            ("3/s burst 1", 333_333_334, 1),
            ("30/m", 2_000_000_000, 30),
            ("5/h burst 2", 720_000_000_000, 2),
            ("1000000/s", 1_000, 1_000_000),
        ] {
            let rate: Rate = text.parse().unwrap();
            assert_eq!(rate.interval(), Duration::from_nanos(nanoseconds), "{text}");
            assert_eq!(rate.burst(), burst, "{text}");
            assert_eq!(rate.to_string(), text);
        }
        for text in [
            "",
            "off",
            "100",
            "/s",
            "0/s",
            "01/s",
            "+1/s",
            "-1/s",
            "1.5/s",
            "1000001/s",
            "99999999999/s",
            "1/d",
            "1/S",
            "1/s burst 0",
            "1/s burst",
            "1/s  burst 2",
            " 1/s",
            "1/s burst 2 ",
            "1/s burst 2 burst 3",
        ] {
            assert_eq!(text.parse::<Rate>(), Err(RULE), "{text:?}");
        }
    }

    #[test]
    fn no_limit_is_off_or_naught() {
        for text in ["\"off\"", "\"0\"", "0"] {
            let limit: RateLimit = serde_json::from_str(text).unwrap();
            assert_eq!(limit, RateLimit::Off, "{text}");
        }
        let limit: RateLimit = serde_json::from_str("\"5/s burst 7\"").unwrap();
        assert_eq!(limit, RateLimit::To(Rate::per_second(5, 7)));
        assert_eq!(serde_json::to_string(&limit).unwrap(), "\"5/s burst 7\"");
        assert_eq!(serde_json::to_string(&RateLimit::Off).unwrap(), "\"off\"");
        for text in ["5", "true", "null", "\"\"", "\"none\"", "[]"] {
            let error = serde_json::from_str::<RateLimit>(text).unwrap_err();
            assert!(error.to_string().starts_with("rate: must be"), "{error}");
        }
    }

    #[test]
    fn numbers_out_of_range_are_moved() {
        assert_eq!(Rate::per_second(0, 0).to_string(), "1/s");
        assert_eq!(
            Rate::per_second(u32::MAX, 5).to_string(),
            "1000000/s burst 5"
        );
    }

    proptest! {
        #[test]
        fn any_text_is_a_rate_in_its_own_spelling_or_is_refused(
            text: String, short in "[0-9/smh burst]{0,14}",
        ) {
            for text in [text, short] {
                if let Ok(rate) = text.parse::<Rate>() {
                    prop_assert_eq!(rate.to_string().parse::<Rate>(), Ok(rate));
                }
            }
        }
    }
}
