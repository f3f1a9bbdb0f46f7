//! A service of the tests: takes requests as bytes, and keeps them to be looked at.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

/// A request as it arrived.
#[derive(Debug)]
pub(crate) struct Seen {
    /// The request line.
    pub(crate) line: String,
    /// Names as they arrived.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Seen {
    /// The one field of this name.
    pub(crate) fn header(&self, name: &str) -> &str {
        let mut found = self.headers.iter().filter(|(known, _)| known == name);
        let (_, value) = found
            .next()
            .unwrap_or_else(|| panic!("no {name}: {self:?}"));
        assert!(found.next().is_none(), "{name} twice: {self:?}");
        value
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.headers.iter().any(|(known, _)| known == name)
    }
}

/// A service that gives one answer to all.
pub(crate) struct Service {
    /// `127.0.0.1:port`.
    pub(crate) authority: String,
    seen: Receiver<Seen>,
}

impl Service {
    pub(crate) fn answering(answer: impl Into<Vec<u8>>) -> Self {
        let (listener, answer) = (TcpListener::bind("127.0.0.1:0").unwrap(), answer.into());
        let authority = listener.local_addr().unwrap().to_string();
        let (tell, seen) = channel();
        // It ends with the process of the tests.
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let request = read(&stream);
                // Who asked may have gone without waiting for the answer.
                let _ = stream.write_all(&answer);
                if tell.send(request).is_err() {
                    return;
                }
            }
        });
        Self { authority, seen }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.authority)
    }

    /// The next request that arrived.
    pub(crate) fn next(&self) -> Seen {
        self.seen.recv_timeout(Duration::from_secs(120)).unwrap()
    }

    /// Whether nothing arrived.
    pub(crate) fn saw_nothing(&self) -> bool {
        self.seen.try_recv().is_err()
    }
}

fn read(stream: &TcpStream) -> Seen {
    let mut reader = BufReader::new(stream);
    let mut line = || {
        let mut text = String::new();
        reader.read_line(&mut text).unwrap();
        text.strip_suffix("\r\n").unwrap().to_owned()
    };
    let first = line();
    let mut headers = Vec::new();
    loop {
        let text = line();
        if text.is_empty() {
            break;
        }
        let (name, value) = text.split_once(": ").unwrap_or((&text, ""));
        headers.push((name.to_owned(), value.to_owned()));
    }
    let length = headers
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    let length = length.map_or(0, |(_, length)| length.parse().unwrap());
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    Seen {
        line: first,
        headers,
        body,
    }
}
