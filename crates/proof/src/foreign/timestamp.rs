//! The three ways to write a moment.

use procura_types::Timestamp;

/// Whether it is of digits alone, and some.
pub(super) fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// `YYYY-MM-DDTHH:MM:SS[.f…]Z` with up to nine digits of a fraction; `None` when
/// it has another shape or is no moment from 1970 to 9999.
pub(super) fn iso(text: &str) -> Option<Timestamp> {
    const SHAPE: &[u8] = b"0000-00-00T00:00:00";
    let (whole, rest) = text.as_bytes().split_at_checked(SHAPE.len())?;
    let in_shape = whole.iter().zip(SHAPE).all(|(byte, place)| match place {
        b'0' => byte.is_ascii_digit(),
        mark => byte == mark,
    });
    let fraction = rest.strip_suffix(b"Z")?;
    let fraction_is_sound = match fraction.split_first() {
        None => true,
        Some((point, digits)) => {
            *point == b'.'
                && (1..=9).contains(&digits.len())
                && digits.iter().all(u8::is_ascii_digit)
        }
    };
    if in_shape && fraction_is_sound {
        text.parse().ok()
    } else {
        None
    }
}

/// Whole seconds since 1970. What lies beyond the year 9999 is cut there.
pub(super) fn seconds(text: &str) -> Option<Timestamp> {
    number(text).map(Timestamp::from_secs)
}

/// Milliseconds since 1970. What lies beyond the year 9999 is cut there.
pub(super) fn milliseconds(text: &str) -> Option<Timestamp> {
    number(text).map(Timestamp::from_millis)
}

/// Digits only, so neither a sign nor a space; at most 64 bits.
fn number(text: &str) -> Option<u64> {
    if is_digits(text) {
        text.parse().ok()
    } else {
        None
    }
}

/// The moment in whole seconds, as [`iso`] reads it.
pub(super) fn to_iso(moment: Timestamp) -> String {
    let mut text = moment.to_string();
    if let Some(point) = text.find('.') {
        text.truncate(point);
    }
    text.push('Z');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn iso_8601_in_one_shape() {
        for (text, millis) in [
            ("1970-01-01T00:00:00Z", 0),
            ("2026-04-19T22:00:00Z", 1_776_636_000_000),
            ("2026-04-19T22:00:00.5Z", 1_776_636_000_500),
            ("2026-04-19T22:00:00.123Z", 1_776_636_000_123),
            ("2026-04-19T22:00:00.123456Z", 1_776_636_000_123),
            ("2026-04-19T22:00:00.123456789Z", 1_776_636_000_123),
        ] {
            assert_eq!(iso(text), Some(Timestamp::from_millis(millis)), "{text}");
        }
        for bad in [
            "",
            "Z",
            "2026-04-19",
            "2026-04-19T22:00:00",
            "2026-04-19T22:00:00z",
            "2026-04-19t22:00:00Z",
            "2026-04-19 22:00:00Z",
            "2026-04-19T22:00:00+00:00",
            "2026-04-19T22:00:00.Z",
            "2026-04-19T22:00:00.1234567890Z",
            "2026-04-19T22:00:00.12a4Z",
            "2026-04-19T22:00:00,5Z",
            "2026-04-19T22:00:00ZZ",
            "2026-04-19T22:00:00Z ",
            "2026-02-30T22:00:00Z",
            "2026-13-01T22:00:00Z",
            "2026-04-19T24:00:00Z",
            "2026-04-19T22:61:00Z",
            "1969-12-31T23:59:59Z",
            "+026-04-19T22:00:00Z",
            "２026-04-19T22:00:00Z",
        ] {
            assert_eq!(iso(bad), None, "{bad}");
        }
    }

    #[test]
    fn numbers_are_of_digits_alone() {
        let moment = Some(Timestamp::from_secs(1_776_636_000));
        assert_eq!(seconds("1776636000"), moment);
        assert_eq!(milliseconds("1776636000000"), moment);
        assert_eq!(seconds("0"), Some(Timestamp::from_secs(0)));
        for bad in [
            "",
            "-1",
            "+1",
            " 1",
            "1 ",
            "1.5",
            "1e9",
            "0x1",
            "abc",
            "18446744073709551616",
            "١٢",
        ] {
            assert_eq!(seconds(bad), None, "{bad}");
            assert_eq!(milliseconds(bad), None, "{bad}");
        }
        // Too far ahead for any window, and nothing overflows.
        assert_eq!(
            seconds("18446744073709551615"),
            Some(Timestamp::from_millis(u64::MAX))
        );
    }

    #[test]
    fn what_is_written_is_read() {
        let moment = Timestamp::from_millis(1_776_636_000_999);
        assert_eq!(to_iso(moment), "2026-04-19T22:00:00Z");
        assert_eq!(
            iso(&to_iso(moment)),
            Some(Timestamp::from_secs(1_776_636_000))
        );
    }
}
