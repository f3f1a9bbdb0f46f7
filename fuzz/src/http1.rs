//! The bytes of one HTTP/1 connection, as every listener reads them before anybody else.

use crate::Verdict;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use procura_edge::framing::{Flaw, Heads, Reader, Step};
use std::convert::Infallible;
use std::sync::{Arc, Mutex};

/// Small, so that its limit is met too.
const HEADS: Heads = Heads {
    bytes: 2048,
    nameless: false,
};

/// A request as it stands on the wire.
#[derive(Debug, Default, PartialEq, Eq)]
struct Message {
    head: Vec<u8>,
    body: Vec<u8>,
}

/// All requests that the reader saw to their end, and why it stopped.
fn read(pieces: &[&[u8]], heads: Heads) -> (Vec<Message>, Option<Flaw>) {
    let mut reader = Reader::new(heads);
    let (mut here, mut messages, mut open) = (Vec::new(), Vec::new(), None);
    for piece in pieces {
        here.extend_from_slice(piece);
        loop {
            let taken = match reader.step(&here) {
                Err(flaw) => return (messages, Some(flaw)),
                Ok(Step::Wait) => break,
                Ok(Step::Skip(length)) => {
                    assert_eq!(here[..length], *b"\r\n", "only empty lines mean nothing");
                    length
                }
                Ok(Step::Head(length)) => {
                    assert!(open.is_none(), "a request begins within another");
                    open = Some(Message {
                        head: here[..length].to_vec(),
                        body: Vec::new(),
                    });
                    length
                }
                Ok(Step::Body(length)) => {
                    let open = open.as_mut().expect("a body follows a head");
                    open.body.extend_from_slice(&here[..length]);
                    length
                }
            };
            here.drain(..taken);
            if reader.in_head() {
                messages.extend(open.take());
            }
        }
    }
    (messages, None)
}

/// Method, target and body, by rules so simple that nothing can be hidden in them.
fn plainly(message: &Message, nameless: bool) -> (String, String, Vec<u8>) {
    let head = String::from_utf8_lossy(&message.head);
    let head = head.strip_suffix("\r\n\r\n").expect("a head ends");
    assert!(!head.replace("\r\n", "").contains(['\r', '\n', '\0']));
    let mut lines = head.split("\r\n");
    let mut start = lines.next().unwrap().split(' ');
    let (method, target) = (start.next().unwrap(), start.next().unwrap());
    let nameless = nameless && start.next() == Some("HTTP/1.0");
    let (mut lengths, mut codings, mut hosts) = (Vec::new(), Vec::new(), 0);
    for line in lines {
        let (name, value) = line.split_once(':').expect("a field has a colon");
        assert!(!name.contains(char::is_whitespace) && !name.is_empty());
        match name.to_ascii_lowercase().as_str() {
            "content-length" => lengths.push(value.trim().parse::<usize>().unwrap()),
            "transfer-encoding" => codings.push(value.trim().to_ascii_lowercase()),
            "host" => hosts += 1,
            _ => {}
        }
    }
    assert!(hosts == 1 || (hosts == 0 && nameless));
    let body = match (lengths.as_slice(), codings.as_slice()) {
        ([], []) | ([0], []) => {
            assert!(message.body.is_empty());
            Vec::new()
        }
        ([length], []) => {
            assert_eq!(message.body.len(), *length);
            message.body.clone()
        }
        ([], [coding]) => {
            assert_eq!(coding, "chunked");
            joined(&message.body)
        }
        _ => panic!("two ways to know where the body ends"),
    };
    (method.to_owned(), target.to_owned(), body)
}

/// What is in the chunks.
fn joined(mut rest: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    loop {
        let end = rest.windows(2).position(|two| two == b"\r\n").unwrap();
        let size = rest[..end].split(|byte| *byte == b';').next().unwrap();
        let size = usize::from_str_radix(std::str::from_utf8(size).unwrap(), 16).unwrap();
        rest = &rest[end + 2..];
        if size == 0 {
            assert!(rest == b"\r\n" || rest.ends_with(b"\r\n\r\n"));
            return out;
        }
        out.extend_from_slice(&rest[..size]);
        assert_eq!(rest[size..size + 2], *b"\r\n");
        rest = &rest[size + 2..];
    }
}

/// What the program behind the reader makes of the same bytes.
fn by_hyper(bytes: &[u8]) -> Vec<(String, String, Vec<u8>)> {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let service = {
        let seen = Arc::clone(&seen);
        service_fn(move |request: Request<Incoming>| {
            let seen = Arc::clone(&seen);
            async move {
                let (head, body) = request.into_parts();
                if let Ok(body) = body.collect().await {
                    let target = head.uri.to_string();
                    let seen_now = (head.method.to_string(), target, body.to_bytes().to_vec());
                    seen.lock().unwrap().push(seen_now);
                }
                Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new()))
            }
        })
    };
    let stream = tokio::io::join(bytes, tokio::io::sink());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    // How it ends does not matter, only what it saw.
    let _ = runtime.block_on(
        hyper::server::conn::http1::Builder::new()
            .half_close(true)
            .serve_connection(TokioIo::new(stream), service),
    );
    let seen = seen.lock().unwrap();
    seen.clone()
}

/// A connection: it does not matter in which pieces its bytes come, and whoever
/// reads what was let through sees the same requests, or fewer, and no other.
pub(crate) fn http1(data: &[u8]) -> Verdict {
    // Where names are asked for, and where they are not.
    let nameless = Heads {
        nameless: true,
        ..HEADS
    };
    let (strict, lax) = (followed(data, HEADS), followed(data, nameless));
    assert!(strict == lax || lax == Verdict::Accepted);
    strict
}

fn followed(data: &[u8], heads: Heads) -> Verdict {
    let (messages, flaw) = read(&[data], heads);
    let bytewise: Vec<&[u8]> = data.chunks(1).collect();
    let in_pieces = read(&bytewise, heads);
    assert_eq!(in_pieces.0, messages, "pieces matter");
    assert_eq!(in_pieces.1, flaw, "pieces matter");
    let mut through = Vec::new();
    let mut plain = Vec::new();
    for message in &messages {
        through.extend_from_slice(&message.head);
        through.extend_from_slice(&message.body);
        plain.push(plainly(message, heads.nameless));
    }
    let seen = by_hyper(&through);
    assert!(seen.len() <= plain.len(), "a request out of nothing");
    for (one, other) in seen.iter().zip(&plain) {
        assert_eq!((&one.0, &one.2), (&other.0, &other.2));
        assert!(
            one.1 == other.1 || other.1.starts_with(['h', 'H']),
            "the target {} became {}",
            other.1,
            one.1
        );
    }
    Verdict::of(flaw.is_none() && !messages.is_empty())
}
