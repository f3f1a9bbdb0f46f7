//! Text as it may stand in a page.

use procura_types::plain;
use std::fmt;

/// Text of others: on one line, with all that steers, hides or reverses spelled out.
/// Templates get nothing else of what others wrote, and escape what is markup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Shown(String);

impl Shown {
    /// From whatever can be written.
    pub(crate) fn of(text: impl fmt::Display) -> Self {
        Self(plain(&text.to_string()).replace('\n', "\\n"))
    }
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::Shown;

    #[test]
    fn it_is_one_line_that_deceives_nobody() {
        let shown = Shown::of("a\nb\u{202e}c<b>");
        assert_eq!(shown.to_string(), "a\\nb\\u{202e}c<b>");
    }
}
