//! One line: an object whose keys are ours and whose texts may be a stranger's.

use procura_types::Timestamp;
use serde::Serialize;
use std::fmt::Write as _;

/// A line while its fields are added. The moment comes first in every line: from
/// it a later process learns how old a file is.
pub struct Line(String);

impl Line {
    /// `{"ts":…,"event":…`.
    #[must_use]
    pub fn new(now: Timestamp, event: &'static str) -> Self {
        // Long enough for most, so that it grows once at most.
        let mut text = String::with_capacity(320);
        // Writing to a String cannot fail, here and below.
        let _ = write!(text, r#"{{"ts":"{now}","event":"{event}""#);
        Self(text)
    }

    /// A field with text of a stranger, or `null`: at most `longest` characters of
    /// it, all but printable ASCII escaped, so that it is what it was and changes
    /// nothing in the terminal that shows it. What was cut ends with U+2026.
    #[must_use]
    pub fn text(mut self, key: &'static str, text: Option<&str>, longest: usize) -> Self {
        let _ = write!(self.0, r#","{key}":"#);
        match text {
            None => self.0.push_str("null"),
            Some(text) => self.quoted(text, longest),
        }
        self
    }

    /// A field of ours.
    #[must_use]
    pub fn field(mut self, key: &'static str, value: impl Serialize) -> Self {
        // Words and numbers always have a form in JSON.
        let value = serde_json::to_string(&value).unwrap_or_default();
        let _ = write!(self.0, r#","{key}":{value}"#);
        self
    }

    /// The whole line.
    #[must_use]
    pub fn end(mut self) -> Vec<u8> {
        self.0.push_str("}\n");
        self.0.into_bytes()
    }

    fn quoted(&mut self, text: &str, longest: usize) {
        self.0.push('"');
        let mut letters = text.chars();
        for letter in letters.by_ref().take(longest) {
            match letter {
                '"' | '\\' => {
                    self.0.push('\\');
                    self.0.push(letter);
                }
                ' '..='~' => self.0.push(letter),
                _ => self.escaped(letter),
            }
        }
        if letters.next().is_some() {
            self.escaped('\u{2026}');
        }
        self.0.push('"');
    }

    /// RFC 8259 section 7: beyond the basic plane as a pair of surrogates.
    fn escaped(&mut self, letter: char) {
        for unit in letter.encode_utf16(&mut [0; 2]) {
            let _ = write!(self.0, "\\u{unit:04x}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn text_of_strangers_is_what_it_was_in_printable_ascii() {
        let nasty = "a\"b\\c\n\r\0\u{1b}[2J\u{7f}é\u{202e}\u{2028}😀</script>";
        let line = Line::new(Timestamp::from_millis(0), "verify")
            .text("path", Some(nasty), 100)
            .text("method", None, 100)
            .field("count", 7)
            .end();
        let (end, text) = line.split_last().unwrap();
        assert_eq!(*end, b'\n');
        assert!(text.iter().all(|byte| matches!(byte, b' '..=b'~')));
        let read: Value = serde_json::from_slice(text).unwrap();
        assert_eq!(
            read,
            json!({"ts": "1970-01-01T00:00:00.000Z", "event": "verify", "path": nasty, "method": null, "count": 7})
        );
        assert!(text.starts_with(br#"{"ts":"1970-01-01T00:00:00.000Z","event":"verify","#));
    }

    #[test]
    fn text_is_cut_between_characters_and_says_so() {
        for (text, longest, shown) in [
            ("abc", 3, "abc"),
            ("abcd", 3, "abc\u{2026}"),
            ("😀😀", 1, "😀\u{2026}"),
            ("", 0, ""),
        ] {
            let line = Line::new(Timestamp::from_millis(0), "verify")
                .text("path", Some(text), longest)
                .end();
            let read: Value = serde_json::from_slice(&line).unwrap();
            assert_eq!(read["path"], shown);
        }
    }
}
