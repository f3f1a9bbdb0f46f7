//! Text from elsewhere, as people may be shown it: on a terminal, in a page, in a message.

use crate::display_name::is_shown;
use std::fmt::Write as _;

/// The text with all that steers, hides or reverses spelled out (`\u{202e}`), by the rule
/// that names for people have to keep. Lines stay lines. What is markup somewhere stays as
/// it is: whoever writes a page escapes it there.
#[must_use]
pub fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        if character == '\n' || is_shown(character) {
            out.push(character);
        } else {
            // Writing to a String cannot fail.
            let _ = write!(out, "{}", character.escape_unicode());
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::plain;

    #[test]
    fn what_deceives_is_spelled_out() {
        for (text, shown) in [
            ("a\u{1b}[2Jb\r", "a\\u{1b}[2Jb\\u{d}"),
            ("x\u{202e}y", "x\\u{202e}y"),
            ("a\u{200b}\u{2066}b", "a\\u{200b}\\u{2066}b"),
            ("a\u{ad}\u{feff}\u{3164}", "a\\u{ad}\\u{feff}\\u{3164}"),
            ("two\u{a0}words\ttab", "two\\u{a0}words\\u{9}tab"),
            ("grün\n🦀 <b>", "grün\n🦀 <b>"),
            ("", ""),
        ] {
            assert_eq!(plain(text), shown, "{text:?}");
        }
    }
}
