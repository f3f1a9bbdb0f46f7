//! Requests over HTTP/2 that would be others once they are written as HTTP/1, in front of
//! an upstream that counts. All of them are proven: only their shape is wrong.

use crate::frames::{Outcome, ask, block};
use crate::upstream::Counter;
use crate::world::{PROOF, World, proof_of};

const MALFORMED: Outcome = Outcome::Malformed;

/// What stands in a request of HTTP/2 before its fields.
const METHOD: (&str, &str) = (":method", "GET");
const SCHEME: (&str, &str) = (":scheme", "http");
const AUTHORITY: (&str, &str) = (":authority", "app.example");
const PATH: (&str, &str) = (":path", "/x");

/// That the gate refuses it by itself, with this word.
fn refused(reason: &str) -> Outcome {
    Outcome::Answered(format!(
        "{{\"error\":\"bad_request\",\"reason\":\"{reason}\"}}\n"
    ))
}

/// A whole head but for what is put in place of its own.
fn instead(of: &str, other: &[(&str, &str)]) -> Vec<u8> {
    let proof = proof_of(b"");
    let mut fields = Vec::new();
    for own in [METHOD, SCHEME, AUTHORITY, PATH, (PROOF, &proof)] {
        if own.0 == of {
            fields.extend_from_slice(other);
        } else {
            fields.push(own);
        }
    }
    block(&fields)
}

/// A whole head with these fields at its end.
fn with(more: &[(&str, &str)]) -> Vec<u8> {
    [instead("", &[]), block(more)].concat()
}

async fn counting() -> (Counter, World) {
    let answer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    let counter = Counter::answering(answer, false).await;
    let world = World::enforcing(counter.address).await;
    (counter, world)
}

#[tokio::test]
async fn what_would_be_another_request_in_http_1_goes_nowhere() {
    let (counter, world) = counting().await;
    for (what, head, outcome) in [
        // What belongs to a connection of HTTP/1 (RFC 9113 §8.2.2).
        (
            "a coding",
            with(&[("transfer-encoding", "chunked")]),
            MALFORMED,
        ),
        ("a connection", with(&[("connection", "close")]), MALFORMED),
        (
            "keep-alive",
            with(&[("keep-alive", "timeout=5")]),
            MALFORMED,
        ),
        (
            "proxy-connection",
            with(&[("proxy-connection", "close")]),
            MALFORMED,
        ),
        ("an upgrade", with(&[("upgrade", "websocket")]), MALFORMED),
        ("te", with(&[("te", "gzip")]), MALFORMED),
        // Names and values that no field has (§8.2.1).
        (
            "CRLF in a value",
            with(&[("x", "1\r\nTransfer-Encoding: chunked")]),
            MALFORMED,
        ),
        (
            "two CRLF in a value",
            with(&[("x", "1\r\n\r\nGET /hidden HTTP/1.1\r\nHost: a\r\n\r\n")]),
            MALFORMED,
        ),
        ("LF in a value", with(&[("x", "1\nHost: other")]), MALFORMED),
        ("CR in a value", with(&[("x", "1\rHost: other")]), MALFORMED),
        ("NUL in a value", with(&[("x", "1\0")]), MALFORMED),
        ("CRLF in a name", with(&[("x\r\nhost", "other")]), MALFORMED),
        (
            "a colon in a name",
            with(&[("host: other\r\nx", "1")]),
            MALFORMED,
        ),
        (
            "a space in a name",
            with(&[("content-length ", "0")]),
            MALFORMED,
        ),
        ("a capital", with(&[("Content-Length", "0")]), MALFORMED),
        // What becomes the request line (§8.3).
        (
            "CRLF in the path",
            instead(":path", &[(":path", "/x HTTP/1.1\r\nHost: other\r\nX: y")]),
            MALFORMED,
        ),
        (
            "LF in the path",
            instead(":path", &[(":path", "/x\nX: y")]),
            MALFORMED,
        ),
        (
            "NUL in the path",
            instead(":path", &[(":path", "/x\0")]),
            MALFORMED,
        ),
        (
            "a space in the path",
            instead(":path", &[(":path", "/x HTTP/1.1")]),
            MALFORMED,
        ),
        (
            "a URL as the path",
            instead(":path", &[(":path", "http://other.example/x")]),
            MALFORMED,
        ),
        (
            "a path without its slash",
            instead(":path", &[(":path", "x")]),
            MALFORMED,
        ),
        (
            "an empty path",
            instead(":path", &[(":path", "")]),
            MALFORMED,
        ),
        ("no path", instead(":path", &[]), MALFORMED),
        (
            "two paths",
            instead(":path", &[PATH, (":path", "/y")]),
            MALFORMED,
        ),
        (
            "a line in the method",
            instead(
                ":method",
                &[(":method", "GET / HTTP/1.1\r\nX: y\r\n\r\nGET")],
            ),
            MALFORMED,
        ),
        (
            "a space in the method",
            instead(":method", &[(":method", "GET /")]),
            MALFORMED,
        ),
        ("no method", instead(":method", &[]), MALFORMED),
        ("two methods", with(&[(":method", "POST")]), MALFORMED),
        ("no scheme", instead(":scheme", &[]), MALFORMED),
        (
            "CRLF in the authority",
            instead(":authority", &[(":authority", "a\r\nX: y")]),
            MALFORMED,
        ),
        (
            "two authorities",
            instead(":authority", &[AUTHORITY, (":authority", "other.example")]),
            MALFORMED,
        ),
        (
            "another protocol",
            instead(":path", &[PATH, (":protocol", "websocket")]),
            MALFORMED,
        ),
        (
            "an unknown name",
            instead(":path", &[PATH, (":x", "1")]),
            MALFORMED,
        ),
        // What only HTTP/1 has a rule for.
        (
            "a star as the path",
            instead(":path", &[(":path", "*")]),
            refused("target"),
        ),
        (
            "another host",
            with(&[("host", "other.example")]),
            refused("host"),
        ),
        (
            "two hosts",
            with(&[("host", "app.example"), ("host", "app.example")]),
            refused("host"),
        ),
        ("no authority", instead(":authority", &[]), refused("host")),
        (
            "another one than an authority",
            instead(":authority", &[(":authority", "user@app.example")]),
            refused("host"),
        ),
        (
            "a method that asks for the request",
            instead(":method", &[(":method", "TRACE")]),
            refused("method"),
        ),
        // Lengths (§8.1.1).
        (
            "a length of nothing",
            with(&[("content-length", "5")]),
            MALFORMED,
        ),
        (
            "a length that is none",
            with(&[("content-length", "five")]),
            MALFORMED,
        ),
        (
            "two lengths in one",
            with(&[("content-length", "0, 5")]),
            MALFORMED,
        ),
        (
            "two lengths",
            with(&[("content-length", "0"), ("content-length", "5")]),
            MALFORMED,
        ),
    ] {
        assert_eq!(ask(world.address, &head, None).await, outcome, "{what}");
    }
    assert_eq!(counter.connections(), 0);
    assert!(world.asked().is_empty());
    // What all of them have in common is let in.
    let good = Outcome::Answered("ok".to_owned());
    assert_eq!(ask(world.address, &with(&[]), None).await, good);
    assert_eq!(counter.connections(), 1);
}

#[tokio::test]
async fn what_stands_behind_a_number_sign_is_nowhere() {
    // Neither in what is judged nor in what goes on, and the two are the same.
    let good = Outcome::Answered("ok".to_owned());
    for path in ["/x?y#/../admin", "/x?y#\r\nX: admin\r\n\r\n"] {
        let (counter, world) = counting().await;
        let head = instead(":path", &[(":path", path)]);
        assert_eq!(ask(world.address, &head, None).await, good, "{path:?}");
        assert_eq!(world.asked()[0].line, "GET app.example /x?y");
        let seen = counter.text();
        assert!(seen.starts_with("GET /x?y HTTP/1.1\r\n"), "{seen}");
        assert!(!seen.contains("admin"), "{seen}");
    }
}

#[tokio::test]
async fn a_body_is_as_long_as_its_length_says() {
    let (counter, world) = counting().await;
    let body = b"{}";
    let proof = proof_of(body);
    let head = |length| {
        block(&[
            (":method", "POST"),
            SCHEME,
            AUTHORITY,
            PATH,
            (PROOF, &proof),
            ("content-length", length),
        ])
    };
    for length in ["0", "1", "3", "49"] {
        let outcome = ask(world.address, &head(length), Some(body)).await;
        assert_eq!(outcome, MALFORMED, "{length}");
    }
    assert_eq!(counter.connections(), 0);
}
