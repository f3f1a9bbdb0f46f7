//! The one way in which HTTP/1 may be written here (RFC 9112).
//!
//! Tolerance is what request smuggling lives on: where two programs forgive
//! different mistakes, one sees two requests where the other sees one. So a head
//! and the chunks of a body are checked before anything understands them, and
//! what is not in the plain form of the standard is refused: bare CR or LF, folded
//! lines, white space before a colon, `Content-Length` twice or beside
//! `Transfer-Encoding`, other codings than `chunked`, no `Host` or two.

use crate::target::is_authority;
use http::StatusCode;

/// The most fields that one head may have.
const MOST_FIELDS: usize = 100;
/// The most bytes of the extensions of one chunk.
const MOST_EXTENSION: u16 = 256;
/// The most bytes of trailers.
const MOST_TRAILERS: u16 = 8 * 1024;
/// Hexadecimal digits of a chunk's size: enough for 2^60 bytes.
const MOST_DIGITS: u8 = 15;

/// What is wrong with a message; its word stands in the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flaw {
    /// Not a method, a target and `HTTP/1.1` or `HTTP/1.0` with one space between.
    RequestLine,
    /// `CONNECT` or `TRACE`.
    Method,
    /// Neither a path nor an absolute URL of the same host; a fragment; other than
    /// visible ASCII characters.
    Target,
    /// None, two, or not a host with or without a port.
    Host,
    /// A field without a colon, or with a name that is no token.
    FieldName,
    /// A control character in a value.
    FieldValue,
    /// A line that continues the one before.
    FoldedLine,
    /// CR or LF alone.
    LineEnd,
    /// `Content-Length` twice, or not a number.
    TwoLengths,
    /// `Content-Length` and `Transfer-Encoding`.
    LengthAndCoding,
    /// `Transfer-Encoding` twice, other than `chunked`, or in HTTP/1.0.
    Coding,
    /// A chunk, or trailers, of another form.
    Chunk,
    /// Too many bytes or fields.
    HeadTooLarge,
    /// Not whole in time.
    HeadTooSlow,
}

impl Flaw {
    /// The word for it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::RequestLine => "request_line",
            Self::Method => "method",
            Self::Target => "target",
            Self::Host => "host",
            Self::FieldName => "field_name",
            Self::FieldValue => "field_value",
            Self::FoldedLine => "folded_line",
            Self::LineEnd => "line_end",
            Self::TwoLengths => "two_lengths",
            Self::LengthAndCoding => "length_and_transfer_encoding",
            Self::Coding => "transfer_encoding",
            Self::Chunk => "chunk",
            Self::HeadTooLarge => "head_too_large",
            Self::HeadTooSlow => "head_too_slow",
        }
    }

    /// The status of the answer.
    #[must_use]
    pub const fn status(self) -> StatusCode {
        match self {
            Self::HeadTooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::HeadTooSlow => StatusCode::REQUEST_TIMEOUT,
            _ => StatusCode::BAD_REQUEST,
        }
    }
}

/// What may be done with bytes that have arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Nothing before there are more.
    Wait,
    /// So many at their beginning mean nothing: an empty line before a request
    /// (RFC 9112 §2.2).
    Skip(usize),
    /// So many at their beginning are a whole head.
    Head(usize),
    /// So many at their beginning belong to the body after the last head.
    Body(usize),
}

#[derive(Debug)]
enum At {
    Head(Scan),
    Length(u64),
    Chunks(Chunks),
}

/// Follows the requests of one connection, one after the other.
#[derive(Debug)]
pub struct Reader {
    at: At,
    head_bytes: usize,
}

impl Reader {
    /// At the beginning of a connection whose heads may have so many bytes.
    #[must_use]
    pub fn new(head_bytes: usize) -> Self {
        Self {
            at: At::Head(Scan::default()),
            head_bytes,
        }
    }

    /// Looks at all bytes that have arrived and that no step was about yet.
    ///
    /// # Errors
    /// What is wrong. Nothing can be said of any byte after it.
    pub fn step(&mut self, bytes: &[u8]) -> Result<Step, Flaw> {
        if bytes.is_empty() {
            return Ok(Step::Wait);
        }
        match &mut self.at {
            At::Head(scan) => {
                let Some(length) = scan.advance(bytes, self.head_bytes)? else {
                    return Ok(Step::Wait);
                };
                if length == 2 {
                    self.at = At::Head(Scan::default());
                    return Ok(Step::Skip(length));
                }
                self.at = match read_head(bytes.get(..length).unwrap_or_default())? {
                    BodyForm::None => At::Head(Scan::default()),
                    BodyForm::Length(length) => At::Length(length),
                    BodyForm::Chunked => At::Chunks(Chunks::START),
                };
                Ok(Step::Head(length))
            }
            At::Length(left) => {
                let here = usize::try_from(*left).map_or(bytes.len(), |left| left.min(bytes.len()));
                self.body_passed(here);
                Ok(Step::Body(here))
            }
            At::Chunks(chunks) => {
                let (length, ended) = chunks.advance(bytes)?;
                if ended {
                    self.at = At::Head(Scan::default());
                }
                Ok(Step::Body(length))
            }
        }
    }

    /// Whether the next byte belongs to a head.
    #[must_use]
    pub const fn in_head(&self) -> bool {
        matches!(self.at, At::Head(_))
    }

    /// How many bytes belong to a body for certain, whatever they are.
    #[must_use]
    pub const fn body_left(&self) -> Option<u64> {
        match self.at {
            At::Length(left) => Some(left),
            At::Head(_) | At::Chunks(_) => None,
        }
    }

    /// So many of them were passed on unseen.
    pub fn body_passed(&mut self, bytes: usize) {
        if let At::Length(left) = &mut self.at {
            *left = left.saturating_sub(u64::try_from(bytes).unwrap_or(u64::MAX));
            if *left == 0 {
                self.at = At::Head(Scan::default());
            }
        }
    }
}

/// Looks for the end of a head in bytes that arrive in pieces, and sees to it
/// that lines end with CR LF and contain neither.
#[derive(Debug, Clone, Copy, Default)]
struct Scan {
    seen: usize,
    after_cr: bool,
    in_line: bool,
}

impl Scan {
    /// The length of the head when all of it is in `bytes`, which begin with it.
    /// An empty line alone is one of two bytes (RFC 9112 §2.2).
    fn advance(&mut self, bytes: &[u8], most: usize) -> Result<Option<usize>, Flaw> {
        for byte in bytes.get(self.seen..).unwrap_or_default() {
            self.seen += 1;
            match (self.after_cr, *byte) {
                (true, b'\n') if !self.in_line => return Ok(Some(self.seen)),
                (true, b'\n') => self.in_line = false,
                (true, _) | (false, b'\n') => return Err(Flaw::LineEnd),
                (false, b'\r') => {}
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
enum BodyForm {
    None,
    Length(u64),
    Chunked,
}

/// Checks a head that [`Scan`] found whole.
fn read_head(head: &[u8]) -> Result<BodyForm, Flaw> {
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
    let host = host.filter(|host| is_authority(host)).ok_or(Flaw::Host)?;
    if start
        .authority
        .is_some_and(|named| !named.eq_ignore_ascii_case(host))
    {
        return Err(Flaw::Target);
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
    // One opens a tunnel past every check, the other shows fields that this gate
    // added to whoever asks.
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

const fn is_white(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

/// A character of a field value (RFC 9110 §5.5).
const fn is_field_byte(byte: u8) -> bool {
    matches!(byte, b'\t' | b' '..=b'~' | 0x80..)
}

/// Where in a chunked body we are (RFC 9112 §7.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Chunks {
    Size { size: u64, digits: u8 },
    Extension { size: u64, length: u16 },
    SizeLf(u64),
    Data(u64),
    DataCr,
    DataLf,
    Trailer { length: u16, in_line: bool },
    TrailerLf(u16),
    LastLf,
}

impl Chunks {
    const START: Self = Self::Size { size: 0, digits: 0 };

    /// How many of `bytes` belong to the body, and whether it ends with them.
    fn advance(&mut self, bytes: &[u8]) -> Result<(usize, bool), Flaw> {
        let mut at = 0;
        while let Some(byte) = bytes.get(at).copied() {
            if let Self::Data(left) = *self {
                let here = bytes.len().saturating_sub(at);
                let taken = usize::try_from(left).map_or(here, |left| left.min(here));
                at += taken;
                let left = left.saturating_sub(u64::try_from(taken).unwrap_or(u64::MAX));
                *self = if left == 0 {
                    Self::DataCr
                } else {
                    Self::Data(left)
                };
                continue;
            }
            at += 1;
            *self = match self.step(byte)? {
                Some(next) => next,
                None => return Ok((at, true)),
            };
        }
        Ok((at, false))
    }

    /// The next state; none at the end of the body.
    fn step(self, byte: u8) -> Result<Option<Self>, Flaw> {
        let next = match (self, byte) {
            (Self::Size { size, digits }, _) if byte.is_ascii_hexdigit() => {
                if digits >= MOST_DIGITS {
                    return Err(Flaw::Chunk);
                }
                let digit = char::from(byte).to_digit(16).map_or(0, u64::from);
                Self::Size {
                    size: size << 4 | digit,
                    digits: digits + 1,
                }
            }
            (Self::Size { size, digits: 1.. }, b'\r') | (Self::Extension { size, .. }, b'\r') => {
                Self::SizeLf(size)
            }
            (Self::Size { size, digits: 1.. }, b';') => Self::Extension { size, length: 0 },
            (Self::Extension { size, length }, b'\t' | b' '..=b'~') if length < MOST_EXTENSION => {
                Self::Extension {
                    size,
                    length: length + 1,
                }
            }
            (Self::SizeLf(0), b'\n') => Self::Trailer {
                length: 0,
                in_line: false,
            },
            (Self::SizeLf(size), b'\n') => Self::Data(size),
            (Self::DataCr, b'\r') => Self::DataLf,
            (Self::DataLf, b'\n') => Self::START,
            (Self::Trailer { in_line: false, .. }, b'\r') => Self::LastLf,
            (
                Self::Trailer {
                    length,
                    in_line: true,
                },
                b'\r',
            ) => Self::TrailerLf(length),
            (Self::Trailer { length, in_line }, _)
                if length < MOST_TRAILERS
                    && is_field_byte(byte)
                    && (in_line || !is_white(byte)) =>
            {
                Self::Trailer {
                    length: length + 1,
                    in_line: true,
                }
            }
            (Self::TrailerLf(length), b'\n') => Self::Trailer {
                length,
                in_line: false,
            },
            (Self::LastLf, b'\n') => return Ok(None),
            _ => return Err(Flaw::Chunk),
        };
        Ok(Some(next))
    }
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
        read_head(&bytes[..length])
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
        let many = "X: y\r\n".repeat(101);
        assert_eq!(whole(&with(many.trim_end())), Err(Flaw::HeadTooLarge));
        assert_eq!(
            Scan::default().advance(b"GET / HTTP/1.1", 8),
            Err(Flaw::HeadTooLarge)
        );
    }

    #[test]
    fn chunks_have_one_form() {
        let read = |text: &str| Chunks::START.clone().advance(text.as_bytes());
        for (text, taken) in [
            ("0\r\n\r\n", 5),
            ("3\r\nabc\r\n0\r\n\r\nGET", 13),
            ("A;name=\"x y\"\r\n0123456789\r\n00\r\n\r\n", 32),
            ("0\r\nX: y\r\nZ: \r\n\r\n", 16),
        ] {
            assert_eq!(read(text), Ok((taken, true)), "{text:?}");
        }
        for text in [
            "\r\n",
            "g\r\n",
            "-1\r\n",
            "0x3\r\nabc\r\n",
            " 3\r\nabc\r\n",
            "3 \r\nabc\r\n",
            "3\nabc\r\n",
            "3\r\nabcd",
            "3\r\nabc\n",
            "3\r\nabc\r\r",
            "3;a\nb\r\nabc",
            "3;a\rb",
            "1000000000000000\r\n",
            "0\r\n X: folded\r\n\r\n",
            "0\r\nX: y\n\r\n",
            "0\r\n\n",
            ";a\r\n",
        ] {
            assert_eq!(read(text), Err(Flaw::Chunk), "{text:?}");
        }
        let long = format!("1;{}\r\n", "a".repeat(300));
        assert_eq!(read(&long), Err(Flaw::Chunk));
        // One byte at a time is the same.
        let mut chunks = Chunks::START;
        let text = "3\r\nabc\r\n0\r\n\r\n";
        let ends: Vec<bool> = text
            .bytes()
            .map(|byte| chunks.advance(&[byte]).unwrap().1)
            .collect();
        assert_eq!(ends.iter().filter(|end| **end).count(), 1);
        assert_eq!(ends.last(), Some(&true));
    }
}
