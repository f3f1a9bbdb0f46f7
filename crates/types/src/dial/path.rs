//! Paths as requests spell them, and the one spelling that prefixes have.
//!
//! Whoever is behind a gate reads the path once more, by its own rules. A path that
//! two programs may read differently must not get the mode of one reading and the
//! effect of the other, so only those are compared with prefixes that all read alike;
//! [`Dial::at`](super::Dial::at) gives the others the strictest mode.

use crate::RoutePrefix;
use std::borrow::Cow;

/// The longest prefix, in bytes.
const LONGEST: usize = 255;

/// A path that is read by everybody as the same: from `/` on, no segment empty (but
/// the last), `.` or `..`, none that ends with a dot or a space, each byte spelled in
/// the one way that [`spelling`] says.
pub(super) struct Spelled<'a>(Cow<'a, str>);

/// Whether a byte stands for itself in a path: `pchar` of RFC 3986 section 3.3,
/// without `;`, before which some programs end a segment.
const fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'-' | b'.'
                | b'_'
                | b'~'
                | b'!'
                | b'$'
                | b'&'
                | b'\''
                | b'('
                | b')'
                | b'*'
                | b'+'
                | b','
                | b'='
                | b':'
                | b'@'
        )
}

/// How a byte of a segment is spelled: as it is, or as `%` and two capital digits.
enum Spelling {
    Plain,
    Escaped,
    /// Some programs give it a meaning, read it twice, or take it for another: outside
    /// ASCII one character has several forms, and bytes that are none are read all the
    /// same.
    Unclear,
}

const fn spelling(byte: u8) -> Spelling {
    match byte {
        b'/' | b'\\' | b';' | b'%' | b'?' | b'#' | 0..=0x1f | 0x7f.. => Spelling::Unclear,
        _ if is_plain(byte) => Spelling::Plain,
        _ => Spelling::Escaped,
    }
}

const fn digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}

impl<'a> Spelled<'a> {
    /// Reads a path; `None` when it is not clear what it means.
    pub(super) fn read(path: &'a str) -> Option<Self> {
        let segments = path.strip_prefix('/')?;
        let spelled = if segments.bytes().all(|byte| byte == b'/' || is_plain(byte)) {
            Self(Cow::Borrowed(path))
        } else {
            Self(Cow::Owned(respell(path)?))
        };
        spelled.has_clear_segments().then_some(spelled)
    }

    /// The path in its one spelling.
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    fn has_clear_segments(&self) -> bool {
        let mut segments = self.0.split('/').skip(1).peekable();
        while let Some(segment) = segments.next() {
            let last = segments.peek().is_none();
            // File systems there are that drop dots and spaces at the end of a name.
            let dropped = segment.ends_with('.') || segment.ends_with("%20");
            if dropped || (segment.is_empty() && !last) {
                return false;
            }
        }
        true
    }

    /// Whether the path is the prefix, or goes on behind it with a segment.
    pub(super) fn is_below(&self, prefix: &RoutePrefix) -> bool {
        // The prefix of all paths ends with the slash that all others end before.
        let prefix = prefix.as_str().trim_end_matches('/');
        self.0
            .strip_prefix(prefix)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }

    /// The same for those who take capital and small letters for the same, and for
    /// those to whom what follows a dot says only in which form they are to answer.
    pub(super) fn may_be_below(&self, prefix: &RoutePrefix) -> bool {
        let mut segments = self.0.split('/');
        let prefix = prefix.as_str().trim_end_matches('/');
        prefix.split('/').all(|wanted| {
            segments
                .next()
                .and_then(|segment| segment.split_at_checked(wanted.len()))
                .is_some_and(|(head, rest)| {
                    head.eq_ignore_ascii_case(wanted) && (rest.is_empty() || rest.starts_with('.'))
                })
        })
    }
}

/// The path with each byte in its one spelling; `None` when one is unclear.
fn respell(path: &str) -> Option<String> {
    const DIGITS: [char; 16] = [
        '0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'A', 'B', 'C', 'D', 'E', 'F',
    ];
    let mut out = String::with_capacity(path.len());
    let mut bytes = path.bytes();
    while let Some(sent) = bytes.next() {
        if sent == b'/' {
            out.push('/');
            continue;
        }
        let byte = if sent == b'%' {
            digit(bytes.next()?)? << 4 | digit(bytes.next()?)?
        } else {
            sent
        };
        match spelling(byte) {
            Spelling::Plain => out.push(char::from(byte)),
            Spelling::Escaped => {
                let digit = |half: u8| DIGITS.get(usize::from(half)).copied();
                out.extend(['%', digit(byte >> 4)?, digit(byte & 15)?]);
            }
            Spelling::Unclear => return None,
        }
    }
    Some(out)
}

/// Whether a text is a prefix: a path that is clear, in its one spelling, and does
/// not end with `/` unless it is all there is.
pub(crate) fn is_route_prefix(text: &str) -> bool {
    text.len() <= LONGEST
        && (text == "/" || !text.ends_with('/'))
        && Spelled::read(text).is_some_and(|spelled| spelled.as_str() == text)
}
