//! Requests that two programs could understand in two ways, in front of a service that
//! counts.

use super::Door;
use crate::gate::Upstream;

/// What hides behind a request, to be taken for the next one, or for a body.
const HIDDEN: &str = "GET /hidden HTTP/1.1\r\nHost: a\r\nX: y\r\n\r\n";

#[test]
fn what_can_be_understood_in_two_ways_goes_nowhere() {
    let upstream = Upstream::start();
    let door = Door::before(&upstream.url);
    let plain = door.proven("/orders", "Connection: close\r\n");
    door.knock(&plain).passes();
    assert_eq!(upstream.served(), 1);
    let chunked = "Transfer-Encoding: chunked\r\n";
    let (length, empty) = (HIDDEN.len(), "0\r\n\r\n");
    for (lines, body, word) in [
        (
            format!("Content-Length: 5\r\n{chunked}"),
            empty,
            "length_and_transfer_encoding",
        ),
        (
            format!("{chunked}Content-Length: 5\r\n"),
            empty,
            "length_and_transfer_encoding",
        ),
        (
            format!("Content-Length: 0, {length}\r\n"),
            "",
            "two_lengths",
        ),
        (
            format!("Content-Length: 0\r\nContent-Length: {length}\r\n"),
            "",
            "two_lengths",
        ),
        (
            format!("X: y\r\n Content-Length: {length}\r\n"),
            "",
            "folded_line",
        ),
        (
            format!("X: y\r\n\tContent-Length: {length}\r\n"),
            "",
            "folded_line",
        ),
        (
            format!("X: y\rContent-Length: {length}\r\n"),
            "",
            "line_end",
        ),
        (
            format!("X: y\nContent-Length: {length}\r\n"),
            "",
            "line_end",
        ),
        (format!("Content-Length : {length}\r\n"), "", "field_name"),
        (
            "Transfer-Encoding: xchunked\r\n".to_owned(),
            empty,
            "transfer_encoding",
        ),
        ("Host: other.example\r\n".to_owned(), "", "host"),
    ] {
        let head = door.proven("/orders", &lines);
        let answer = door.knock(&format!("{head}{body}{HIDDEN}"));
        // Its body is the one refusal: nothing behind it was answered.
        answer.refuses(400, word);
        let head = answer.head.to_ascii_lowercase();
        assert!(head.contains("connection: close\r\n"), "{lines:?}: {head}");
    }
    assert_eq!(upstream.served(), 1);
}
