//! Names for people, beside labels: what an agent, a project or a namespace is called.
//!
//! Nothing is decided by such a name. It is shown on terminals and in lists beside the
//! label, so it is one line that steers nothing, reverses nothing and hides nothing.

/// Most characters of a display name.
pub(crate) const LONGEST: usize = 64;

/// Whether a text can be shown as a name.
pub(crate) fn is_display_name(text: &str) -> bool {
    (1..=LONGEST).contains(&text.chars().count())
        && text.chars().all(is_shown)
        && text.chars().any(char::is_alphanumeric)
        && !text.starts_with(' ')
        && !text.ends_with(' ')
        && !text.contains("  ")
}

/// Whether a character stands for itself wherever it is written: no control, no
/// format, no separator but the one space, nothing that is invisible, and nothing that
/// is not assigned for everybody.
pub(crate) fn is_shown(character: char) -> bool {
    if character.is_control() || (character.is_whitespace() && character != ' ') {
        return false;
    }
    !matches!(
        u32::from(character),
        // Format characters (Cf): soft hyphen, directions, joiners, tags and others.
        0x00ad
            | 0x0600..=0x0605
            | 0x061c
            | 0x06dd
            | 0x070f
            | 0x0890..=0x0891
            | 0x08e2
            | 0x180b..=0x180f
            | 0x200b..=0x200f
            | 0x2028..=0x202e
            | 0x2060..=0x206f
            | 0xfeff
            | 0xfff0..=0xfffb
            | 0x110bd
            | 0x110cd
            | 0x13430..=0x1345f
            | 0x1bca0..=0x1bca3
            | 0x1d173..=0x1d17a
            | 0xe0000..=0xe0fff
            // Letters and marks that are not seen: fillers, the grapheme joiner, blank
            // Braille, selectors of variants.
            | 0x034f
            | 0x115f..=0x1160
            | 0x17b4..=0x17b5
            | 0x2800
            | 0x3164
            | 0xffa0
            | 0xfe00..=0xfe0f
            // Private use, and what is never a character.
            | 0xe000..=0xf8ff
            | 0xfdd0..=0xfdef
            | 0xf0000..=0x10ffff
    ) && u32::from(character) & 0xfffe != 0xfffe
}

#[cfg(test)]
mod tests {
    use crate::DisplayName;

    #[test]
    fn a_line_that_people_read_is_a_name() {
        let longest = "x".repeat(64);
        let wide = "ü".repeat(64);
        for good in [
            "Scribe",
            "The scribe of the shop",
            "Zoë's agent (2)",
            "ショップ",
            "متجر",
            "🦀 crab",
            "<b>bold</b> & \"quoted\"",
            "$(reboot); `id` %s {{x}}",
            "2026-11-21T09:12:37Z ERROR is only a name",
            &longest,
            &wide,
        ] {
            assert_eq!(good.parse::<DisplayName>().unwrap().as_str(), good);
        }
    }

    #[test]
    fn what_steers_hides_or_reverses_is_none() {
        let longer = "x".repeat(65);
        for bad in [
            "",
            " ",
            "-",
            "...",
            " a",
            "a ",
            "a  b",
            "a\tb",
            "a\nb",
            "a\r\nb",
            "a\0b",
            "a\u{7f}",
            "a\u{85}b",
            "\u{1b}[2Jscribe",
            "\u{1b}]0;title\u{7}a",
            "\u{9b}31ma",
            "a\u{a0}b",
            "a\u{2003}b",
            "a\u{3000}b",
            "a\u{ad}b",
            "a\u{61c}b",
            "a\u{200b}b",
            "a\u{200d}b",
            "a\u{200e}b",
            "a\u{2028}b",
            "a\u{2029}b",
            "a\u{202e}b",
            "a\u{2060}b",
            "a\u{2066}b",
            "a\u{2069}b",
            "a\u{feff}",
            "a\u{fff9}b",
            "a\u{e0041}",
            "a\u{3164}",
            "a\u{115f}",
            "a\u{fe0f}",
            "a\u{e000}",
            "a\u{fffe}",
            "a\u{10ffff}",
            &longer,
        ] {
            let error = bad.parse::<DisplayName>().unwrap_err();
            assert_eq!(error.field, "display_name", "{bad:?}");
            let json = serde_json::to_string(bad).unwrap();
            let error = serde_json::from_str::<DisplayName>(&json).unwrap_err();
            assert!(error.to_string().starts_with("display_name: "), "{error}");
        }
    }
}
