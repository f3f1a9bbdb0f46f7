//! Chunked bodies (RFC 9112 §7.1).

use super::Flaw;
use super::head::{is_field_byte, is_white};

/// The most bytes of the extensions of one chunk.
const MOST_EXTENSION: u16 = 256;
/// The most bytes of trailers.
const MOST_TRAILERS: u16 = 8 * 1024;
/// Hexadecimal digits of a chunk's size: enough for 2^60 bytes.
const MOST_DIGITS: u8 = 15;

/// Where in a chunked body we are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Chunks {
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
    pub(super) const START: Self = Self::Size { size: 0, digits: 0 };

    /// How many of `bytes` belong to the body, and whether it ends with them.
    pub(super) fn advance(&mut self, bytes: &[u8]) -> Result<(usize, bool), Flaw> {
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
