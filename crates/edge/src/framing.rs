//! The one way in which HTTP/1 may be written here (RFC 9112).
//!
//! Tolerance is what request smuggling lives on: where two programs forgive
//! different mistakes, one sees two requests where the other sees one. So a head
//! and the chunks of a body are checked before anything understands them, and
//! what is not in the plain form of the standard is refused: bare CR or LF, folded
//! lines, white space before a colon, `Content-Length` twice or beside
//! `Transfer-Encoding`, other codings than `chunked`, no `Host` or two.

mod chunks;
mod flaw;
mod head;

use chunks::Chunks;
pub use flaw::Flaw;
use head::{BodyForm, Scan, read_head};

/// What one listener takes and another does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Heads {
    /// The most bytes of one.
    pub bytes: usize,
    /// Whether one of HTTP/1.0 may be without `Host`, as programs send it that only
    /// look whether somebody answers. Whoever passes requests on needs the name.
    pub nameless: bool,
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
    heads: Heads,
}

impl Reader {
    /// At the beginning of a connection.
    #[must_use]
    pub fn new(heads: Heads) -> Self {
        Self {
            at: At::Head(Scan::default()),
            heads,
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
                let Some(length) = scan.advance(bytes, self.heads.bytes)? else {
                    return Ok(Step::Wait);
                };
                if length == 2 {
                    self.at = At::Head(Scan::default());
                    return Ok(Step::Skip(length));
                }
                let head = bytes.get(..length).unwrap_or_default();
                self.at = match read_head(head, self.heads.nameless)? {
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

/// Whether this is `host` or `host:port` and nothing else (RFC 3986 §3.2.2).
#[must_use]
pub fn is_authority(text: &[u8]) -> bool {
    !text.is_empty()
        && text
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-._~:[]%!$&'()*+,;=".contains(byte))
}
