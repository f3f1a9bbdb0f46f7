//! Heads: where one ends, and what is in it (RFC 9112 §2 to §6).

use super::{Flaw, is_authority};

/// The most fields that one head may have.
const MOST_FIELDS: usize = 100;

/// Looks for the end of a head in bytes that arrive in pieces, and sees to it
/// that lines end with CR LF and contain neither.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Scan {
    seen: usize,
    after_cr: bool,
    in_line: bool,
    /// Whether the first line has ended.
    begun: bool,
}

impl Scan {
    /// The length of the head when all of it is in `bytes`, which begin with it.
    /// An empty line alone is one of two bytes (RFC 9112 §2.2).
    pub(super) fn advance(&mut self, bytes: &[u8], most: usize) -> Result<Option<usize>, Flaw> {
        for byte in bytes.get(self.seen..).unwrap_or_default() {
            self.seen += 1;
            match (self.after_cr, *byte) {
                (true, b'\n') if !self.in_line => return Ok(Some(self.seen)),
                (true, b'\n') => (self.in_line, self.begun) = (false, true),
                (true, _) | (false, b'\n') => return Err(Flaw::LineEnd),
                (false, b'\r') => {}
                // Somebody speaks another protocol, TLS for example: there is no line
                // to wait for.
                (false, ..b' ' | 0x7f) if !self.begun => return Err(Flaw::RequestLine),
                (false, _) => self.in_line = true,
            }
            self.after_cr = *byte == b'\r';
            if self.seen >= most {
                return Err(Flaw::HeadTooLarge);
            }
        }
        Ok(None)
    }
}

/// How the body after a head is delimited (RFC 9112 §6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BodyForm {
    None,
    Length(u64),
    Chunked,
}

/// Checks a head that [`Scan`] found whole. In HTTP/1.0 it may be `nameless`.
pub(super) fn read_head(head: &[u8], nameless: bool) -> Result<BodyForm, Flaw> {
    let mut lines = head
        .split(|byte| *byte == b'\n')
        .map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    let start = read_start(lines.next().unwrap_or_default())?;
    let (mut length, mut chunked, mut host) = (None, false, None);
    for (count, line) in lines.take_while(|line| !line.is_empty()).enumerate() {
        if count >= MOST_FIELDS {
            return Err(Flaw::HeadTooLarge);
        }
        let (name, value) = read_field(line)?;
        if name.eq_ignore_ascii_case(b"content-length") {
            if length.is_some() {
                return Err(Flaw::TwoLengths);
            }
            length = Some(read_length(value)?);
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            if chunked || !start.one_one || !value.eq_ignore_ascii_case(b"chunked") {
                return Err(Flaw::Coding);
            }
            chunked = true;
        } else if name.eq_ignore_ascii_case(b"host") && host.replace(value).is_some() {
            return Err(Flaw::Host);
        }
    }
    match (host, start.authority) {
        (Some(host), _) if !is_authority(host) => return Err(Flaw::Host),
        (Some(host), Some(named)) if !named.eq_ignore_ascii_case(host) => {
            return Err(Flaw::Target);
        }
        (Some(_), _) => {}
        (None, None) if nameless && !start.one_one => {}
        (None, _) => return Err(Flaw::Host),
    }
    match (length, chunked) {
        (Some(_), true) => Err(Flaw::LengthAndCoding),
        (None | Some(0), false) => Ok(BodyForm::None),
        (Some(length), false) => Ok(BodyForm::Length(length)),
        (None, true) => Ok(BodyForm::Chunked),
    }
}

struct Start<'a> {
    /// The authority of a target in absolute form.
    authority: Option<&'a [u8]>,
    one_one: bool,
}

fn read_start(line: &[u8]) -> Result<Start<'_>, Flaw> {
    let mut parts = line.split(|byte| *byte == b' ');
    let (Some(method), Some(target), Some(version), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(Flaw::RequestLine);
    };
    let one_one = match version {
        b"HTTP/1.1" => true,
        b"HTTP/1.0" => false,
        _ => return Err(Flaw::RequestLine),
    };
    if method.is_empty() || !method.iter().copied().all(is_token) {
        return Err(Flaw::RequestLine);
    }
    // One opens a tunnel past every check, the other shows fields that a gate added
    // to whoever asks.
    if matches!(method, b"CONNECT" | b"TRACE") {
        return Err(Flaw::Method);
    }
    if !target
        .iter()
        .all(|byte| byte.is_ascii_graphic() && *byte != b'#')
    {
        return Err(Flaw::Target);
    }
    if target.starts_with(b"/") {
        return Ok(Start {
            authority: None,
            one_one,
        });
    }
    let rest = [&b"http://"[..], b"https://"]
        .iter()
        .find_map(|scheme| {
            let (head, rest) = target.split_at_checked(scheme.len())?;
            head.eq_ignore_ascii_case(scheme).then_some(rest)
        })
        .ok_or(Flaw::Target)?;
    let end = rest
        .iter()
        .position(|byte| matches!(byte, b'/' | b'?'))
        .unwrap_or(rest.len());
    let (authority, path) = rest.split_at_checked(end).ok_or(Flaw::Target)?;
    if !path.is_empty() && !path.starts_with(b"/") {
        return Err(Flaw::Target);
    }
    Ok(Start {
        authority: Some(authority),
        one_one,
    })
}

/// Name and value, without the white space around the value.
fn read_field(line: &[u8]) -> Result<(&[u8], &[u8]), Flaw> {
    if line.first().is_some_and(|byte| is_white(*byte)) {
        return Err(Flaw::FoldedLine);
    }
    let colon = line
        .iter()
        .position(|byte| *byte == b':')
        .ok_or(Flaw::FieldName)?;
    let (name, value) = line.split_at_checked(colon).ok_or(Flaw::FieldName)?;
    if name.is_empty() || !name.iter().copied().all(is_token) {
        return Err(Flaw::FieldName);
    }
    let value = value.get(1..).unwrap_or_default();
    if !value.iter().copied().all(is_field_byte) {
        return Err(Flaw::FieldValue);
    }
    Ok((name, value.trim_ascii()))
}

fn read_length(value: &[u8]) -> Result<u64, Flaw> {
    let digits = !value.is_empty() && value.len() <= 18 && value.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(value)
        .ok()
        .filter(|_| digits)
        .and_then(|text| text.parse().ok())
        // A list of two, a sign, a space: somebody else may read another number.
        .ok_or(Flaw::TwoLengths)
}

/// A character of a token (RFC 9110 §5.6.2).
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

pub(super) const fn is_white(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

/// A character of a field value (RFC 9110 §5.5).
pub(super) const fn is_field_byte(byte: u8) -> bool {
    matches!(byte, b'\t' | b' '..=b'~' | 0x80..)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(head: &str) -> Result<BodyForm, Flaw> {
        let mut scan = Scan::default();
        // In two pieces, wherever they are cut, as in one.
        let bytes = head.as_bytes();
        let mut in_pieces = Scan::default();
        let half = bytes.len() / 2;
        let found = scan.advance(bytes, 1 << 20);
        if in_pieces.advance(&bytes[..half], 1 << 20) == Ok(None) {
            assert_eq!(in_pieces.advance(bytes, 1 << 20), found);
        }
        let length = found?.expect("a whole head");
        read_head(&bytes[..length], false)
    }

    #[test]
    fn plain_heads_are_understood() {
        for (head, form) in [
            ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", BodyForm::None),
            ("GET / HTTP/1.0\r\nhost:a:80\r\n\r\n", BodyForm::None),
            (
                "GET http://A:1/x?y HTTP/1.1\r\nHost: a:1\r\n\r\n",
                BodyForm::None,
            ),
            ("GET HTTPS://a HTTP/1.1\r\nHost: a\r\n\r\n", BodyForm::None),
            (
                "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
                BodyForm::None,
            ),
            (
                "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length:\t7 \r\n\r\n",
                BodyForm::Length(7),
            ),
            (
                "POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\n\r\n",
                BodyForm::Chunked,
            ),
            (
                "GET / HTTP/1.1\r\nHost: a\r\nX: \u{e9}\tb\r\n\r\n",
                BodyForm::None,
            ),
        ] {
            assert_eq!(whole(head), Ok(form), "{head}");
        }
    }

    #[test]
    fn what_can_be_read_in_two_ways_is_refused() {
        let with = |fields: &str| format!("POST / HTTP/1.1\r\nHost: a\r\n{fields}\r\n\r\n");
        for (fields, flaw) in [
            (
                "Content-Length: 1\r\nTransfer-Encoding: chunked",
                Flaw::LengthAndCoding,
            ),
            (
                "Transfer-Encoding: chunked\r\nContent-Length: 0",
                Flaw::LengthAndCoding,
            ),
            ("Content-Length: 1\r\ncontent-length: 1", Flaw::TwoLengths),
            ("Content-Length: 1, 1", Flaw::TwoLengths),
            ("Content-Length: +1", Flaw::TwoLengths),
            ("Content-Length: 0x1", Flaw::TwoLengths),
            ("Content-Length: ", Flaw::TwoLengths),
            ("Content-Length: 9999999999999999999", Flaw::TwoLengths),
            ("Transfer-Encoding: gzip, chunked", Flaw::Coding),
            ("Transfer-Encoding: identity", Flaw::Coding),
            ("Transfer-Encoding: \"chunked\"", Flaw::Coding),
            (
                "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
                Flaw::Coding,
            ),
            ("Transfer-Encoding : chunked", Flaw::FieldName),
            ("X-A\t: b", Flaw::FieldName),
            ("X-A", Flaw::FieldName),
            (": b", Flaw::FieldName),
            ("X-\u{e9}: b", Flaw::FieldName),
            ("X-A: b\r\n c", Flaw::FoldedLine),
            ("X-A: b\r\n\tContent-Length: 3", Flaw::FoldedLine),
            ("X-A: b\nX-B: c", Flaw::LineEnd),
            ("X-A: b\rX-B: c", Flaw::LineEnd),
            ("X-A: b\0c", Flaw::FieldValue),
            ("X-A: b\u{7f}", Flaw::FieldValue),
            ("Host: b", Flaw::Host),
        ] {
            assert_eq!(whole(&with(fields)), Err(flaw), "{fields:?}");
        }
        for (head, flaw) in [
            ("GET / HTTP/1.1\r\nX: a\r\n\r\n", Flaw::Host),
            ("GET / HTTP/1.1\r\nHost:\r\n\r\n", Flaw::Host),
            ("GET / HTTP/1.1\r\nHost: a b\r\n\r\n", Flaw::Host),
            ("GET / HTTP/1.1\r\nHost: u@a\r\n\r\n", Flaw::Host),
            ("GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", Flaw::Host),
            ("GET  / HTTP/1.1\r\nHost: a\r\n\r\n", Flaw::RequestLine),
            ("GET / HTTP/1.1 \r\nHost: a\r\n\r\n", Flaw::RequestLine),
            ("GET / HTTP/2.0\r\nHost: a\r\n\r\n", Flaw::RequestLine),
            ("GET /\r\nHost: a\r\n\r\n", Flaw::RequestLine),
            ("G@T / HTTP/1.1\r\nHost: a\r\n\r\n", Flaw::RequestLine),
            (" / HTTP/1.1\r\nHost: a\r\n\r\n", Flaw::RequestLine),
            ("CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n", Flaw::Method),
            ("TRACE / HTTP/1.1\r\nHost: a\r\n\r\n", Flaw::Method),
            ("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", Flaw::Target),
            ("GET a/b HTTP/1.1\r\nHost: a\r\n\r\n", Flaw::Target),
            ("GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n", Flaw::Target),
            ("GET /\u{e9} HTTP/1.1\r\nHost: a\r\n\r\n", Flaw::Target),
            ("GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n", Flaw::Target),
            ("GET http://a@b/ HTTP/1.1\r\nHost: b\r\n\r\n", Flaw::Target),
            ("GET http://a?b HTTP/1.1\r\nHost: a\r\n\r\n", Flaw::Target),
            ("GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n", Flaw::Target),
            (
                "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
                Flaw::Coding,
            ),
        ] {
            assert_eq!(whole(head), Err(flaw), "{head:?}");
        }
        // What is no HTTP is told by its first bytes.
        for begin in [&b"\x16\x03\x01\x02"[..], b"\0", b"GET /\t", b"GET \x7f"] {
            let found = Scan::default().advance(begin, 1 << 20);
            assert_eq!(found, Err(Flaw::RequestLine), "{begin:?}");
        }
        let many = "X: y\r\n".repeat(101);
        assert_eq!(whole(&with(many.trim_end())), Err(Flaw::HeadTooLarge));
        assert_eq!(
            Scan::default().advance(b"GET / HTTP/1.1", 8),
            Err(Flaw::HeadTooLarge)
        );
    }

    #[test]
    fn a_head_without_a_name_is_taken_where_that_is_said() {
        for (head, taken) in [
            ("GET / HTTP/1.0\r\n\r\n", Ok(BodyForm::None)),
            ("GET / HTTP/1.0\r\nHost: a b\r\n\r\n", Err(Flaw::Host)),
            ("GET http://a/ HTTP/1.0\r\n\r\n", Err(Flaw::Host)),
            ("GET / HTTP/1.1\r\n\r\n", Err(Flaw::Host)),
        ] {
            assert_eq!(read_head(head.as_bytes(), true), taken, "{head:?}");
            assert_eq!(read_head(head.as_bytes(), false), Err(Flaw::Host));
        }
    }
}
