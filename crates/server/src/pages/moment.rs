//! Moments as people read them.

use procura_types::{Duration, Timestamp};

/// A moment: as programs read it, in words, and how far from now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Moment {
    /// RFC 3339.
    pub(crate) exact: String,
    /// To the minute, in UTC.
    pub(crate) text: String,
    /// `5 minutes ago`, `in 3 days`.
    pub(crate) distance: String,
}

impl Moment {
    /// As seen from `now`.
    pub(crate) fn of(time: Timestamp, now: Timestamp) -> Self {
        let exact = time.to_string();
        let (day, clock) = exact.split_once('T').unwrap_or((&exact, ""));
        let text = format!("{day} {} UTC", clock.get(..5).unwrap_or(clock));
        let distance = if time > now {
            format!("in {}", span(time.since(now)))
        } else {
            format!("{} ago", span(now.since(time)))
        };
        Self {
            exact,
            text,
            distance,
        }
    }
}

/// A span in its largest unit, rounded down.
fn span(time: Duration) -> String {
    const UNITS: [(u64, &str); 4] = [
        (24 * 60 * 60, "day"),
        (60 * 60, "hour"),
        (60, "minute"),
        (1, "second"),
    ];
    let seconds = time.as_secs();
    let found = UNITS.iter().find(|(unit, _)| seconds >= *unit);
    let Some((unit, name)) = found else {
        return "less than a second".to_owned();
    };
    let count = seconds / unit;
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {name}{plural}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_says_how_far_it_is() {
        let now = Timestamp::from_secs(1_795_000_000);
        for (seconds, ahead, behind) in [
            (0, "less than a second ago", "less than a second ago"),
            (1, "in 1 second", "1 second ago"),
            (119, "in 1 minute", "1 minute ago"),
            (7_200, "in 2 hours", "2 hours ago"),
            (30 * 86_400, "in 30 days", "30 days ago"),
        ] {
            let by = Duration::from_secs(seconds);
            assert_eq!(Moment::of(now.plus(by), now).distance, ahead);
            assert_eq!(Moment::of(now.minus(by), now).distance, behind);
        }
        let moment = Moment::of(now, now);
        assert_eq!(moment.exact, "2026-11-18T11:06:40.000Z");
        assert_eq!(moment.text, "2026-11-18 11:06 UTC");
    }
}
