//! How names are written where they are read, so that none of them is markup there, and
//! how long a message may be.

use procura_types::plain;
use procura_types::wire::ChannelKind;

/// Characters of one value that a message shows.
const LONGEST_VALUE: usize = 700;

/// A value as a message of this kind shows it: one line, nothing in it steers, and
/// nothing is markup.
pub(super) fn shown(kind: ChannelKind, value: &str) -> String {
    let line = plain(value).replace('\n', " ");
    let mut short: String = line.chars().take(LONGEST_VALUE).collect();
    if short.len() < line.len() {
        short.push('…');
    }
    match kind {
        ChannelKind::Slack => slack(&short),
        ChannelKind::Discord => discord(&short),
        // Plain text, and what a program reads: there is nothing that it could be.
        ChannelKind::Telegram | ChannelKind::Mail | ChannelKind::Webhook => short,
    }
}

/// Slack's three characters of control; its mrkdwn is switched off for the message.
fn slack(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

/// Everything that Discord's markdown and its mentions begin with.
fn discord(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        if "\\*_~`|<>#[]()@:-".contains(character) {
            out.push('\\');
        }
        out.push(character);
    }
    out
}

/// Most characters of a message.
pub(super) const fn longest(kind: ChannelKind) -> usize {
    match kind {
        ChannelKind::Discord => 2000,
        ChannelKind::Telegram => 4096,
        ChannelKind::Slack | ChannelKind::Mail | ChannelKind::Webhook => 20_000,
    }
}

/// How long a text is by those limits: some count UTF-16 units, so a character may be two.
pub(super) fn length(text: &str) -> usize {
    text.encode_utf16().count()
}

/// The text, cut at its limit by whole lines where it can be.
pub(super) fn cut(kind: ChannelKind, text: String) -> String {
    const CUT: &str = "\n… (shortened)";
    let most = longest(kind);
    if length(&text) <= most {
        return text;
    }
    let room = most.saturating_sub(length(CUT));
    let mut kept = String::new();
    for line in text.split_inclusive('\n') {
        if length(&kept) + length(line) > room {
            break;
        }
        kept.push_str(line);
    }
    if kept.is_empty() {
        kept = text.chars().take(room / 2).collect();
    }
    kept.truncate(kept.trim_end().len());
    kept.push_str(CUT);
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_a_name_is_markup() {
        let name = "<!channel> *b* [x](http://e) @everyone &amp; `c`\r\n\u{1b}[2J\u{202e}";
        for (kind, shown_as) in [
            (
                ChannelKind::Slack,
                "&lt;!channel&gt; *b* [x](http://e) @everyone &amp;amp; `c`\\u{d} \\u{1b}[2J\\u{202e}",
            ),
            (
                ChannelKind::Discord,
                "\\<!channel\\> \\*b\\* \\[x\\]\\(http\\://e\\) \\@everyone &amp; \\`c\\`\\\\u{d} \\\\u{1b}\\[2J\\\\u{202e}",
            ),
            (
                ChannelKind::Telegram,
                "<!channel> *b* [x](http://e) @everyone &amp; `c`\\u{d} \\u{1b}[2J\\u{202e}",
            ),
        ] {
            assert_eq!(shown(kind, name), shown_as, "{kind}");
        }
        assert_eq!(shown(ChannelKind::Mail, "a\r\nBcc: b"), "a\\u{d} Bcc: b");
    }

    #[test]
    fn long_messages_are_cut_by_lines() {
        let text = format!("first\n{}\nlast", "🦀".repeat(1500));
        let kept = cut(ChannelKind::Discord, text);
        assert_eq!(kept, "first\n… (shortened)");
        let kept = cut(ChannelKind::Discord, "🦀".repeat(1500));
        assert!(kept.encode_utf16().count() <= 2000 && kept.ends_with("(shortened)"));
        assert_eq!(cut(ChannelKind::Slack, "short".to_owned()), "short");
    }
}
