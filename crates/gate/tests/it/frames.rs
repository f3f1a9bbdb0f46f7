//! HTTP/2 (RFC 9113) as bytes, for what no client would send.

use crate::world::within;
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;

const ACK: u8 = 1;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// An error code (RFC 9113 §7).
const PROTOCOL_ERROR: u32 = 1;

/// What became of the one request of a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It was answered; the body of the answer.
    Answered(String),
    /// It was taken for malformed, and its stream reset or its connection given up: which
    /// of the two depends on where in a head the flaw is.
    Malformed,
    /// The stream or the connection ended with another code.
    Ended(u32),
    /// The connection was closed without a word.
    Closed,
}

impl Outcome {
    const fn ended(code: u32) -> Self {
        match code {
            PROTOCOL_ERROR => Self::Malformed,
            other => Self::Ended(other),
        }
    }
}

/// The block of a head, each field literally and never indexed (RFC 7541 §6.2.3).
pub(crate) fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (name, value) in fields {
        bytes.push(0x10);
        for text in [name, value] {
            length(&mut bytes, text.len());
            bytes.extend_from_slice(text.as_bytes());
        }
    }
    bytes
}

/// A length of text that is not compressed: seven bits, and from 127 on more bytes of
/// seven bits each (RFC 7541 §5.1).
fn length(bytes: &mut Vec<u8>, length: usize) {
    let Some(mut rest) = length.checked_sub(127) else {
        bytes.push(u8::try_from(length).unwrap());
        return;
    };
    bytes.push(127);
    while rest >= 128 {
        bytes.push(u8::try_from(rest % 128).unwrap() | 128);
        rest /= 128;
    }
    bytes.push(u8::try_from(rest).unwrap());
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let stream = stream.to_be_bytes();
    [&length[1..], &[kind, flags], &stream, payload].concat()
}

/// Sends one request on a connection of its own, with this body if it has one.
pub(crate) async fn ask(address: SocketAddr, head: &[u8], body: Option<&[u8]>) -> Outcome {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let mut bytes = [PREFACE, &frame(SETTINGS, 0, 0, &[])].concat();
    let end = if body.is_some() { 0 } else { END_STREAM };
    bytes.extend(frame(HEADERS, END_HEADERS | end, 1, head));
    if let Some(body) = body {
        bytes.extend(frame(DATA, END_STREAM, 1, body));
    }
    stream.write_all(&bytes).await.unwrap();
    within(outcome(&mut stream)).await
}

async fn outcome(stream: &mut TcpStream) -> Outcome {
    let mut body = Vec::new();
    loop {
        let mut head = [0; 9];
        if stream.read_exact(&mut head).await.is_err() {
            return Outcome::Closed;
        }
        let [a, b, c, kind, flags, id @ ..] = head;
        let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
        if stream.read_exact(&mut payload).await.is_err() {
            return Outcome::Closed;
        }
        let of_request = u32::from_be_bytes(id) == 1;
        let code = |at: usize| u32::from_be_bytes(payload[at..at + 4].try_into().unwrap());
        match kind {
            SETTINGS if flags & ACK == 0 => {
                let acknowledged = frame(SETTINGS, ACK, 0, &[]);
                // It may have gone away already; what it said is still to be read.
                let _ = stream.write_all(&acknowledged).await;
                continue;
            }
            // A reset comes before a connection goes away in peace.
            GOAWAY if code(4) != 0 => return Outcome::ended(code(4)),
            RST_STREAM if of_request => return Outcome::ended(code(0)),
            DATA if of_request => body.extend_from_slice(&payload),
            HEADERS if of_request => {}
            _ => continue,
        }
        if flags & END_STREAM != 0 {
            return Outcome::Answered(String::from_utf8_lossy(&body).into_owned());
        }
    }
}
