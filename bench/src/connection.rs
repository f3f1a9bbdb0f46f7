//! A connection that speaks just enough HTTP/1.1 (RFC 9112) to be cheap: one
//! request at a time, answers with a Content-Length, kept alive.

use crate::Outcome;
use std::net::{Ipv4Addr, SocketAddr};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};

/// No answer here is longer.
const LONGEST: usize = 64 * 1024;

/// A connection.
pub(crate) struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
    /// So much of the buffer is filled.
    filled: usize,
}

/// An answer.
pub(crate) struct Answer<'a> {
    pub(crate) status: u16,
    /// The status line and the fields.
    pub(crate) head: &'a [u8],
    pub(crate) body: &'a [u8],
}

impl Connection {
    /// Connects to `host:port`.
    pub(crate) async fn open(authority: &str) -> Outcome<Self> {
        Self::over(TcpStream::connect(authority).await?)
    }

    /// Connects from another address of this machine to `address:port`.
    pub(crate) async fn open_from(authority: &str, from: Ipv4Addr) -> Outcome<Self> {
        let socket = TcpSocket::new_v4()?;
        socket.bind(SocketAddr::from((from, 0)))?;
        Self::over(socket.connect(authority.parse()?).await?)
    }

    fn over(stream: TcpStream) -> Outcome<Self> {
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            buffer: vec![0; LONGEST],
            filled: 0,
        })
    }

    /// Sends a whole request and waits for its whole answer.
    pub(crate) async fn exchange(&mut self, request: &[u8]) -> Outcome<Answer<'_>> {
        self.stream.write_all(request).await?;
        self.filled = 0;
        let (status, begin, end) = loop {
            let room = self.buffer.get_mut(self.filled..).unwrap_or_default();
            let read = self.stream.read(room).await?;
            if read == 0 {
                return Err("the server closed a connection, or its answer was too long".into());
            }
            self.filled += read;
            let so_far = self.buffer.get(..self.filled).unwrap_or_default();
            if let Some(head) = Head::read(so_far)? {
                let end = head.length + head.content;
                if self.filled > end {
                    return Err("the server sent more than one answer".into());
                }
                if self.filled == end {
                    break (head.status, head.length, end);
                }
            }
        };
        Ok(Answer {
            status,
            head: self.buffer.get(..begin).unwrap_or_default(),
            body: self.buffer.get(begin..end).unwrap_or_default(),
        })
    }
}

/// The head of an answer.
#[derive(Debug, PartialEq, Eq)]
struct Head {
    status: u16,
    /// Its own length, the empty line included.
    length: usize,
    /// The length of the content.
    content: usize,
}

impl Head {
    /// Reads a head; none as long as it is not whole.
    fn read(bytes: &[u8]) -> Outcome<Option<Self>> {
        let Some(end) = find(bytes, b"\r\n\r\n") else {
            return Ok(None);
        };
        let head = bytes.get(..end).unwrap_or_default();
        let number = |text: &[u8]| {
            std::str::from_utf8(text)
                .ok()
                .and_then(|text| text.trim().parse().ok())
        };
        let status = head
            .get(9..12)
            .and_then(number)
            .ok_or("the server sent no status")?;
        // 204 has neither field nor content.
        let content = match find(head, b"\r\ncontent-length:") {
            Some(at) => {
                let rest = head.get(at + 17..).unwrap_or_default();
                let line = find(rest, b"\r\n")
                    .and_then(|end| rest.get(..end))
                    .unwrap_or(rest);
                number(line).ok_or("the server sent no length")?
            }
            None => 0,
        };
        Ok(Some(Self {
            status: u16::try_from(status)?,
            length: end + 4,
            content,
        }))
    }
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    let first = *wanted.first()?;
    let mut from = 0;
    loop {
        let rest = bytes.get(from..)?;
        let at = from + rest.iter().position(|byte| *byte == first)?;
        if bytes.get(at..)?.starts_with(wanted) {
            return Some(at);
        }
        from = at + 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_are_read_when_they_are_whole() {
        let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 12\r\nx: y\r\n\r\nbody";
        assert_eq!(
            Head::read(answer).unwrap(),
            Some(Head {
                status: 200,
                length: 45,
                content: 12
            })
        );
        assert_eq!(Head::read(answer.get(..40).unwrap()).unwrap(), None);
        let nothing = b"HTTP/1.1 204 No Content\r\n\r\n";
        assert_eq!(
            Head::read(nothing).unwrap(),
            Some(Head {
                status: 204,
                length: 27,
                content: 0
            })
        );
    }
}
