//! HTTP/2 (RFC 9113) as bytes, for what no client would send.

use crate::process::connect;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
pub(crate) const CONTINUATION: u8 = 9;

pub(crate) const ACK: u8 = 1;
pub(crate) const END_STREAM: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;

/// Error codes (RFC 9113 §7).
pub(crate) const NO_ERROR: u32 = 0;
pub(crate) const PROTOCOL_ERROR: u32 = 1;
pub(crate) const REFUSED_STREAM: u32 = 7;
pub(crate) const CANCEL: u32 = 8;
pub(crate) const ENHANCE_YOUR_CALM: u32 = 11;

pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// `:status: 200` as HPACK has it in its static table (RFC 7541, appendix A).
pub(crate) const OK: u8 = 0x88;

pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut bytes = length[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// One field, literally and never indexed (RFC 7541 §6.2.3).
pub(crate) fn field(name: &str, value: &str) -> Vec<u8> {
    let mut bytes = vec![0x10];
    for text in [name, value] {
        // A length from 127 on goes on in groups of seven bits (§5.1).
        match text.len().checked_sub(127) {
            None => bytes.push(text.len() as u8),
            Some(mut rest) => {
                bytes.push(127);
                while rest >= 128 {
                    bytes.push((rest % 128) as u8 | 128);
                    rest /= 128;
                }
                bytes.push(rest as u8);
            }
        }
        bytes.extend(text.as_bytes());
    }
    bytes
}

pub(crate) fn fields(all: &[(&str, &str)]) -> Vec<u8> {
    all.iter()
        .flat_map(|(name, value)| field(name, value))
        .collect()
}

/// The head of a request to a server's own authority.
pub(crate) fn request(method: &str, authority: &str, path: &str) -> Vec<u8> {
    fields(&[
        (":method", method),
        (":scheme", "http"),
        (":authority", authority),
        (":path", path),
    ])
}

/// A frame that came.
#[derive(Debug)]
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
    pub(crate) payload: Vec<u8>,
}

impl Frame {
    /// The code of an error, whether of a stream or of the connection.
    pub(crate) fn error(&self) -> u32 {
        let at = if self.kind == GOAWAY { 4 } else { 0 };
        u32::from_be_bytes(self.payload[at..at + 4].try_into().unwrap())
    }
}

/// How a connection or a stream came to its end.
#[derive(Debug, PartialEq, Eq, Clone, Copy)]
pub(crate) enum End {
    GoAway(u32),
    Reset(u32),
    Closed,
}

/// A connection that says what it likes.
pub(crate) struct Bare(pub(crate) TcpStream);

impl Bare {
    /// Connects and sends what every connection begins with, with these settings.
    pub(crate) fn with_settings(address: &str, settings: &[(u16, u32)]) -> Self {
        let mut bare = Self(connect(address));
        // Small frames one after the other would wait for acknowledgements.
        bare.0.set_nodelay(true).unwrap();
        let settings: Vec<u8> = settings
            .iter()
            .flat_map(|(id, value)| [&id.to_be_bytes()[..], &value.to_be_bytes()].concat())
            .collect();
        // All answers together may be as long as they like.
        let window = frame(WINDOW_UPDATE, 0, 0, &(1_u32 << 30).to_be_bytes());
        assert!(bare.send(&[PREFACE, &frame(SETTINGS, 0, 0, &settings), &window].concat()));
        bare
    }

    pub(crate) fn connect(address: &str) -> Self {
        Self::with_settings(address, &[])
    }

    /// Sends bytes; false if the connection is closed already.
    pub(crate) fn send(&mut self, bytes: &[u8]) -> bool {
        self.0.write_all(bytes).is_ok()
    }

    /// The next frame but for windows and acknowledgements of settings; none at the
    /// end. What has to be acknowledged is.
    pub(crate) fn next(&mut self) -> Option<Frame> {
        loop {
            let frame = self.any()?;
            match (frame.kind, frame.flags & ACK) {
                (SETTINGS, 0) => {
                    self.send(&crate::wire::frames::frame(SETTINGS, ACK, 0, &[]));
                }
                (PING, 0) => {
                    self.send(&crate::wire::frames::frame(PING, ACK, 0, &frame.payload));
                }
                (SETTINGS | WINDOW_UPDATE, _) => {}
                _ => return Some(frame),
            }
        }
    }

    /// The next frame of any kind, which nothing is answered to.
    pub(crate) fn any(&mut self) -> Option<Frame> {
        let mut head = [0; 9];
        self.0.read_exact(&mut head).ok()?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; length as usize];
        self.0.read_exact(&mut payload).ok()?;
        Some(Frame {
            kind: head[3],
            flags: head[4],
            stream: u32::from_be_bytes(head[5..9].try_into().unwrap()),
            payload,
        })
    }

    /// Waits until the server has seen all that was sent so far.
    pub(crate) fn seen(&mut self) -> Option<()> {
        self.send(&frame(PING, 0, 0, b"in-order"));
        loop {
            let frame = self.next()?;
            if frame.kind == PING && frame.payload == b"in-order" {
                return Some(());
            }
        }
    }

    /// Reads until the connection goes away or is closed.
    pub(crate) fn end(&mut self) -> End {
        loop {
            match self.next() {
                None => return End::Closed,
                Some(frame) if frame.kind == GOAWAY => return End::GoAway(frame.error()),
                Some(_) => {}
            }
        }
    }

    /// Reads until a stream is answered, reset, or gone with its connection; its head
    /// and its body, or how it ended without one.
    pub(crate) fn answer(&mut self, stream: u32) -> Result<(Vec<u8>, Vec<u8>), End> {
        let (mut head, mut body) = (Vec::new(), Vec::new());
        loop {
            let frame = self.next().ok_or(End::Closed)?;
            match frame.kind {
                GOAWAY if frame.error() != NO_ERROR => return Err(End::GoAway(frame.error())),
                RST_STREAM if frame.stream == stream => return Err(End::Reset(frame.error())),
                HEADERS if frame.stream == stream => head = frame.payload,
                DATA if frame.stream == stream => body.extend(frame.payload),
                _ => continue,
            }
            if frame.flags & END_STREAM != 0 {
                return Ok((head, body));
            }
        }
    }
}
