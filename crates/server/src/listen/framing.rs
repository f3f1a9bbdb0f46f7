//! Where the heads and bodies of HTTP/1 requests begin and end, and what is not taken
//! although the parser behind would take it.
//!
//! Two readers that disagree on where a request ends let a request be hidden in the
//! body of another. The usual ways to make them disagree are refused here: a length
//! next to chunks, a second length, a coding other than `chunked`, a line that ends
//! without CR (RFC 9112 §2.2, §6.1, §6.3). Folded lines and a CR alone are refused by
//! the parser. The byte at which a head is refused becomes NUL, which no head may hold,
//! and the head ends there: the parser answers 400 and closes the connection.

use std::io;

/// Of a line only its beginning is kept: enough for the fields that frame a body.
const LINE: usize = 64;
/// The digits of the largest chunk that can be said.
const DIGITS: usize = 16;

/// Follows the bytes of a connection.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Framing {
    part: Part,
    /// The beginning of the line that is being read.
    line: Vec<u8>,
    /// The byte before.
    last: u8,
    /// Whether a line of this head was read.
    begun: bool,
    length: Option<u64>,
    chunked: bool,
}

/// What the next byte belongs to.
#[derive(Default, Clone, Copy, PartialEq, Eq, Debug)]
enum Part {
    #[default]
    Head,
    /// So many bytes of a body.
    Body(u64),
    /// The line that says how long a chunk is.
    Size,
    /// So many bytes of a chunk.
    Chunk(u64),
    /// The line end after a chunk.
    ChunkEnd,
    Trailers,
    /// Behind a head that was refused: nothing is read any more.
    Refused,
}

/// A body whose chunks are not chunks.
fn broken() -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        "the chunks of a body are malformed",
    )
}

impl Framing {
    /// Whether a head has begun and is not whole. One that is refused never is.
    #[must_use]
    pub fn in_head(&self) -> bool {
        match self.part {
            Part::Head => self.begun || !self.line.is_empty(),
            part => part == Part::Refused,
        }
    }

    /// Whether a head was refused: nothing more is to be read.
    #[must_use]
    pub fn refused(&self) -> bool {
        self.part == Part::Refused
    }

    /// Follows what was read, and spoils a head that is not taken.
    ///
    /// # Errors
    /// What is read of a body that is not framed as it should be.
    pub fn follow(&mut self, mut bytes: &mut [u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let used = match self.part {
                Part::Refused => return Ok(()),
                Part::Body(left) => self.skip(left, bytes, Part::Body),
                Part::Chunk(left) => self.skip(left, bytes, Part::Chunk),
                Part::Head | Part::Size | Part::ChunkEnd | Part::Trailers => self.line(bytes)?,
            };
            let Some(rest) = bytes.get_mut(used..) else {
                return Ok(());
            };
            bytes = rest;
        }
        Ok(())
    }

    /// Passes over what belongs to a body.
    fn skip(&mut self, left: u64, bytes: &[u8], part: fn(u64) -> Part) -> usize {
        let here = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
        let left = left.saturating_sub(u64::try_from(here).unwrap_or(left));
        self.part = match (left, part(left)) {
            (0, Part::Chunk(_)) => Part::ChunkEnd,
            (0, _) => Part::Head,
            (_, part) => part,
        };
        here
    }

    /// Reads up to the end of a line; how many bytes that were.
    fn line(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let end = bytes.iter().position(|byte| *byte == b'\n');
        let text = bytes.get(..end.unwrap_or(bytes.len())).unwrap_or_default();
        let room = LINE.saturating_sub(self.line.len());
        self.line.extend(text.iter().take(room));
        self.last = text.last().copied().unwrap_or(self.last);
        let Some(end) = end else {
            return Ok(bytes.len());
        };
        let whole = std::mem::replace(&mut self.last, 0) == b'\r';
        let taken = whole && self.ended()?;
        self.line.clear();
        if !taken {
            if self.part != Part::Head {
                return Err(broken());
            }
            if let Some(byte) = bytes.get_mut(end) {
                *byte = 0;
            }
            self.part = Part::Refused;
        }
        Ok(end + 1)
    }

    /// Understands a line that ended as it should; false if it is not taken.
    fn ended(&mut self) -> io::Result<bool> {
        // A line that was cut has no CR in the part that is kept.
        let line = self.line.strip_suffix(b"\r").unwrap_or(&self.line);
        match self.part {
            Part::Head if line.is_empty() => {
                // Empty lines before a request are passed over (RFC 9112 §2.2).
                if std::mem::take(&mut self.begun) {
                    self.part = match (self.length.take(), std::mem::take(&mut self.chunked)) {
                        (_, true) => Part::Size,
                        (Some(length @ 1..), false) => Part::Body(length),
                        (_, false) => Part::Head,
                    };
                }
                Ok(true)
            }
            Part::Head => {
                let first = !std::mem::replace(&mut self.begun, true);
                Ok(first || self.field())
            }
            Part::Size => {
                self.part = match size(line).ok_or_else(broken)? {
                    0 => Part::Trailers,
                    size => Part::Chunk(size),
                };
                Ok(true)
            }
            Part::ChunkEnd => {
                self.part = Part::Size;
                Ok(line.is_empty())
            }
            _ => {
                if line.is_empty() {
                    self.part = Part::Head;
                }
                Ok(true)
            }
        }
    }

    /// Reads a field that frames the body; false if it contradicts another or cannot be
    /// read in one way only.
    fn field(&mut self) -> bool {
        let line = self.line.as_slice();
        let Some(colon) = line.iter().position(|byte| *byte == b':') else {
            return true;
        };
        let (name, value) = line.split_at(colon);
        let value = value.get(1..).unwrap_or_default().trim_ascii();
        if name.eq_ignore_ascii_case(b"content-length") {
            let length = std::str::from_utf8(value)
                .ok()
                .filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()))
                .and_then(|text| text.parse::<u64>().ok());
            let alone = self.length.is_none() && !self.chunked;
            self.length = length;
            alone && length.is_some() && line.len() < LINE
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            let alone = self.length.is_none() && !self.chunked;
            self.chunked = true;
            alone && value.eq_ignore_ascii_case(b"chunked") && line.len() < LINE
        } else {
            true
        }
    }
}

/// The size of a chunk, with or without extensions (RFC 9112 §7.1).
fn size(line: &[u8]) -> Option<u64> {
    let digits = line
        .iter()
        .position(|byte| !byte.is_ascii_hexdigit())
        .unwrap_or(line.len());
    let (digits, rest) = line.split_at_checked(digits)?;
    // More digits could have been cut off.
    if digits.len() > DIGITS || !matches!(rest.trim_ascii_start().first(), None | Some(b';')) {
        return None;
    }
    let digits = std::str::from_utf8(digits).ok()?;
    u64::from_str_radix(digits, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Follows a text in pieces of each size; where it was refused, and whether a head
    /// is open at the end.
    fn follow(text: &str) -> Result<(Option<usize>, bool), io::ErrorKind> {
        let mut outcomes = Vec::new();
        for piece in [1, 2, 3, 7, 4096] {
            let mut bytes = text.as_bytes().to_vec();
            let mut framing = Framing::default();
            let followed = bytes
                .chunks_mut(piece)
                .try_for_each(|part| framing.follow(part));
            let spoilt = bytes.iter().position(|byte| *byte == 0);
            outcomes.push(
                followed
                    .map(|()| (spoilt, framing.in_head()))
                    .map_err(|error| error.kind()),
            );
        }
        assert!(
            outcomes.windows(2).all(|two| two[0] == two[1]),
            "{text:?}: {outcomes:?}"
        );
        outcomes[0]
    }

    #[test]
    fn requests_are_followed_to_their_ends() {
        let get = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
        let sized = "POST / HTTP/1.1\r\ncontent-LENGTH:\t5 \r\n\r\n\n\n\n\n\n";
        let empty = "POST / HTTP/1.1\r\nContent-Length: 0\r\n\r\n";
        let chunked = "POST / HTTP/1.1\r\nTransfer-Encoding: Chunked\r\n\r\n5;a=b\r\n\n\n\n\n\n\r\n00\r\nTrailer: 1\r\n\r\n";
        for one in [get, sized, empty, chunked] {
            for two in [get, sized, empty, chunked] {
                assert_eq!(follow(&format!("{one}\r\n{two}")), Ok((None, false)));
                let open = format!("{one}{two}GET / HTTP/1.1\r\n");
                assert_eq!(follow(&open), Ok((None, true)));
                // What is refused is found behind others too.
                let hidden = format!("{one}{two}GET / HTTP/1.1\n");
                assert_eq!(follow(&hidden), Ok((Some(hidden.len() - 1), true)));
            }
        }
    }

    #[test]
    fn ambiguous_heads_are_spoilt() {
        for (before, line) in [
            ("", "GET / HTTP/1.1\n"),
            ("", "\n"),
            ("GET / HTTP/1.1\r\n", "Host: a\n"),
            ("GET / HTTP/1.1\r\nHost: a\r\n", "\n"),
            (
                "P / HTTP/1.1\r\nContent-Length: 5\r\n",
                "Transfer-Encoding: chunked\r\n",
            ),
            (
                "P / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n",
                "Content-Length: 5\r\n",
            ),
            (
                "P / HTTP/1.1\r\nContent-Length: 5\r\n",
                "Content-Length: 5\r\n",
            ),
            (
                "P / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n",
                "Transfer-Encoding: chunked\r\n",
            ),
            ("P / HTTP/1.1\r\n", "Content-Length: 5, 5\r\n"),
            ("P / HTTP/1.1\r\n", "Content-Length: +5\r\n"),
            ("P / HTTP/1.1\r\n", "Content-Length:\r\n"),
            ("P / HTTP/1.1\r\n", "Content-Length: 0x5\r\n"),
            (
                "P / HTTP/1.1\r\n",
                "Content-Length: 99999999999999999999\r\n",
            ),
            ("P / HTTP/1.1\r\n", "Transfer-Encoding: gzip, chunked\r\n"),
            ("P / HTTP/1.1\r\n", "Transfer-Encoding: xchunked\r\n"),
            ("P / HTTP/1.1\r\n", "Transfer-Encoding:\r\n"),
            (
                "P / HTTP/1.1\r\n",
                "Content-Length:                                                                 5\r\n",
            ),
        ] {
            let text = format!("{before}{line}Host: a\r\n\r\nmore");
            let end = before.len() + line.len() - 1;
            assert_eq!(follow(&text), Ok((Some(end), true)), "{text:?}");
        }
    }

    #[test]
    fn malformed_chunks_end_the_connection() {
        let head = "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n";
        for body in [
            "5\nhello\r\n0\r\n\r\n",
            "\r\n",
            "-1\r\n",
            "0x5\r\n",
            "5 5\r\n",
            "10000000000000000\r\n",
            "00000000000000005\r\n",
            "5\r\nhello6\r\n",
            "5\r\nhello\n",
            "0\r\n\n",
            "0\r\nA: b\n\r\n",
        ] {
            assert_eq!(
                follow(&format!("{head}{body}")),
                Err(io::ErrorKind::InvalidData),
                "{body:?}"
            );
        }
    }
}
