//! One message as it is sent: plain text, UTF-8 in base64 (RFC 5322, RFC 2045, RFC 2047).

use procura_types::{Malformed, Timestamp, encoding};
use std::fmt::{self, Write as _};
use std::str::FromStr;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc2822;

/// Bytes of text in one encoded word: 60 characters of base64, so that the word has at
/// most 75 (RFC 2047 §2).
const WORD: usize = 45;
/// Characters of base64 in a line (RFC 2045 §6.8).
const LINE: usize = 76;

/// An address that mail goes to or comes from: ASCII, without a name before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MailAddress(lettre::Address);

impl MailAddress {
    pub(crate) fn envelope(&self) -> lettre::Address {
        self.0.clone()
    }
}

impl FromStr for MailAddress {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        let rule = Malformed::new(
            "mail",
            "addresses are ASCII, such as ops@example.com, without a name before them",
        );
        // Quoted local parts may hold anything; nobody has one.
        let plain = |byte: u8| byte.is_ascii_graphic() && !b"\"<>()[]\\,:;".contains(&byte);
        if text.len() > 254 || !text.bytes().all(plain) {
            return Err(rule);
        }
        text.parse().map(Self).map_err(|_| rule)
    }
}

impl fmt::Display for MailAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A message.
pub struct Message<'a> {
    /// Whom it is from.
    pub from: &'a MailAddress,
    /// Whom it goes to.
    pub to: &'a [MailAddress],
    /// What it is about; its line breaks become spaces.
    pub subject: &'a str,
    /// The text.
    pub text: &'a str,
    /// By which those who get it twice know it again: `[A-Za-z0-9._-]`.
    pub id: &'a str,
    /// When it was written.
    pub time: Timestamp,
}

impl Message<'_> {
    /// The bytes that go over the wire.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut out = String::new();
        let recipients: Vec<String> = self.to.iter().map(ToString::to_string).collect();
        let id: String = self
            .id
            .chars()
            .filter(|character| character.is_ascii_alphanumeric() || "._-".contains(*character))
            .collect();
        // Writing to a String cannot fail.
        let _ = write!(out, "From: <{}>\r\n", self.from);
        let _ = write!(out, "To: <{}>\r\n", recipients.join(">,\r\n <"));
        let _ = write!(out, "Subject: {}\r\n", encoded(self.subject));
        let _ = write!(out, "Date: {}\r\n", date(self.time));
        let _ = write!(out, "Message-ID: <{id}@{}>\r\n", self.from.0.domain());
        out.push_str(
            "Auto-Submitted: auto-generated\r\n\
             MIME-Version: 1.0\r\n\
             Content-Type: text/plain; charset=utf-8\r\n\
             Content-Transfer-Encoding: base64\r\n\r\n",
        );
        let text = self.text.replace("\r\n", "\n").replace('\n', "\r\n");
        let mut body = encoding::b64_standard(text.as_bytes());
        while !body.is_empty() {
            let rest = body.split_off(body.len().min(LINE));
            out.push_str(&body);
            out.push_str("\r\n");
            body = rest;
        }
        out.into_bytes()
    }
}

/// A text in encoded words, each whole characters, so that nothing in it ends the header.
fn encoded(text: &str) -> String {
    let mut words: Vec<String> = Vec::new();
    let mut word = String::new();
    for character in text.chars() {
        let character = if character.is_control() {
            ' '
        } else {
            character
        };
        if word.len() + character.len_utf8() > WORD {
            words.push(std::mem::take(&mut word));
        }
        word.push(character);
    }
    words.push(word);
    let words = words
        .iter()
        .map(|word| format!("=?UTF-8?B?{}?=", encoding::b64_standard(word.as_bytes())));
    words.collect::<Vec<_>>().join("\r\n ")
}

fn date(time: Timestamp) -> String {
    let seconds = i64::try_from(time.as_secs()).unwrap_or_default();
    let time = OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    time.format(&Rfc2822).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(subject: &str, text: &str) -> String {
        let from = "procura@example.com".parse().unwrap();
        let to = [
            "a@example.com".parse().unwrap(),
            "b@example.com".parse().unwrap(),
        ];
        let message = Message {
            from: &from,
            to: &to,
            subject,
            text,
            id: "01.ops\r\nX: y",
            time: Timestamp::from_millis(1_795_000_000_000),
        };
        String::from_utf8(message.to_bytes()).unwrap()
    }

    #[test]
    fn nothing_in_a_subject_or_a_text_is_a_header() {
        let text = made(
            "x\r\nBcc: evil@example.com\r\n\r\nbody\u{0}",
            "one\r\n.\r\nBcc: evil@example.com\ntwo",
        );
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        let names: Vec<&str> = head
            .split("\r\n")
            .filter(|line| !line.starts_with(' '))
            .map(|line| line.split_once(": ").unwrap().0)
            .collect();
        let expected = [
            "From",
            "To",
            "Subject",
            "Date",
            "Message-ID",
            "Auto-Submitted",
            "MIME-Version",
            "Content-Type",
            "Content-Transfer-Encoding",
        ];
        assert_eq!(names, expected);
        assert!(
            head.contains("Message-ID: <01.opsXy@example.com>"),
            "{head}"
        );
        assert!(
            head.contains("Date: Wed, 18 Nov 2026 11:06:40 +0000"),
            "{head}"
        );
        for line in body.trim_end().split("\r\n") {
            assert!(line.len() <= LINE);
            assert!(
                line.bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || b"+/=".contains(&byte))
            );
        }
    }

    #[test]
    fn long_subjects_are_words_of_whole_characters() {
        let words = encoded(&"ü🦀".repeat(40));
        for word in words.split("\r\n ") {
            assert!(word.len() <= 75, "{word}");
            let inner = word.strip_prefix("=?UTF-8?B?").unwrap();
            let bytes = encoding::from_b64_any(inner.strip_suffix("?=").unwrap()).unwrap();
            assert!(String::from_utf8(bytes).is_ok());
        }
    }

    #[test]
    fn addresses_are_plain() {
        assert!("ops@example.com".parse::<MailAddress>().is_ok());
        for bad in [
            "",
            "ops",
            "@example.com",
            "ops@",
            "Ops <ops@example.com>",
            "a@example.com,b@example.com",
            "a@example.com\r\nBcc: b@example.com",
            "\"a b\"@example.com",
            "grün@example.com",
            "a@b@example.com",
        ] {
            assert!(bad.parse::<MailAddress>().is_err(), "{bad}");
        }
    }
}
