//! Requests that two readers could read in two ways. Whatever stood before this server
//! may have read them the other way, so none of them is served, and nothing that stands
//! behind them on the connection.

use crate::process::{Home, Server, get, raw, start};
use crate::wire::frames::{
    Bare, CONTINUATION, DATA, END_HEADERS, END_STREAM, End, HEADERS, OK, PROTOCOL_ERROR, field,
    fields, frame, request,
};

fn goes_on(server: &Server) {
    assert_eq!(get(server.api(), "/v1/status").status(), 200);
}

/// What would be answered if the request before were read to another end.
fn behind(api: &str) -> String {
    format!("GET /v1/status HTTP/1.1\r\nHost: {api}\r\nConnection: close\r\n\r\n")
}

#[test]
fn http_1_requests_that_are_ambiguous_are_refused() {
    let home = Home::new();
    let server = start(home.unsealed()).unwrap();
    let api = server.api().to_owned();
    let post = "POST /v1/join HTTP/1.1\r\nContent-Type: application/json\r\n";
    let get = "GET /v1/status HTTP/1.1\r\n";
    let own = format!("Host: {api}\r\n");
    let chunked = "Transfer-Encoding: chunked\r\n";
    let (empty, two) = ("0\r\n\r\n", "{}");
    let long = "a".repeat(100);
    for text in [
        // Both lengths, in either order.
        format!("{post}{own}Content-Length: 2\r\n{chunked}\r\n{empty}"),
        format!("{post}{own}{chunked}Content-Length: 2\r\n\r\n{empty}"),
        format!("{post}{own}Content-Length: 0\r\nX-A: {long}\r\n{chunked}\r\n{empty}"),
        // Two lengths, different or the same, in two fields or in one.
        format!("{post}{own}Content-Length: 2\r\nContent-Length: 3\r\n\r\n{two}"),
        format!("{post}{own}Content-Length: 2\r\nContent-Length: 2\r\n\r\n{two}"),
        format!("{post}{own}Content-Length: 2, 2\r\n\r\n{two}"),
        // Lengths that are none.
        format!("{post}{own}Content-Length: +2\r\n\r\n{two}"),
        format!("{post}{own}Content-Length: -2\r\n\r\n{two}"),
        format!("{post}{own}Content-Length: 0x2\r\n\r\n{two}"),
        format!("{post}{own}Content-Length: 2 2\r\n\r\n{two}"),
        format!("{post}{own}Content-Length:\r\n\r\n{two}"),
        format!("{post}{own}Content-Length: 18446744073709551618\r\n\r\n{two}"),
        // Codings that are not `chunked` alone, and names that nearly are the field's.
        format!("{post}{own}{chunked}{chunked}\r\n{empty}"),
        format!("{post}{own}Transfer-Encoding: gzip, chunked\r\n\r\n{empty}"),
        format!("{post}{own}Transfer-Encoding: chunked, identity\r\n\r\n{empty}"),
        format!("{post}{own}Transfer-Encoding: identity\r\n\r\n{two}"),
        format!("{post}{own}Transfer-Encoding: xchunked\r\n\r\n{empty}"),
        format!("{post}{own}Transfer-Encoding: \u{b}chunked\r\n\r\n{empty}"),
        format!("{post}{own}Transfer-Encoding:\r\n\r\n{empty}"),
        format!("{post}{own}Transfer-Encoding : chunked\r\n\r\n{empty}"),
        format!("{post}{own}Content-Length : 2\r\n\r\n{two}"),
        format!("POST /v1/join HTTP/1.0\r\n{own}{chunked}\r\n{empty}"),
        // Folded lines (RFC 9112 §5.2).
        format!("{get}{own}X-Folded: one\r\n two\r\n\r\n"),
        format!("{get}{own}X-Folded: one\r\n\ttwo\r\n\r\n"),
        format!("{get} X-First: one\r\n{own}\r\n"),
        format!("{post}{own}Transfer-Encoding:\r\n chunked\r\n\r\n{empty}"),
        // CR alone.
        format!("{get}{own}X-Bare: one\rtwo\r\n\r\n"),
        format!("{get}{own}X-Bare: one\r\rtwo: 2\r\n\r\n"),
        format!("{get}{own}X-Bare: one\r\n\r\r\n\r\n"),
        format!("GET /v1/status\rHTTP/1.1\r\n{own}\r\n"),
        format!("GET /v1/status HTTP/1.1\r{own}\r\n"),
        // LF alone, in each place where a line ends.
        format!("GET /v1/status HTTP/1.1\n{own}\r\n"),
        format!("{get}Host: {api}\n\r\n"),
        format!("{get}{own}X-Bare: one\nX-Other: two\r\n\r\n"),
        format!("{get}{own}\n"),
        format!("\n{get}{own}\r\n"),
        format!("{post}{own}Content-Length: 2\n\r\n{two}"),
        format!("{post}{own}Transfer-Encoding: chunked\n\r\n{empty}"),
        // Other bytes that no head holds.
        format!("{get}{own}X-Nul: a\0b\r\n\r\n"),
        format!("{get}{own}: empty\r\n\r\n"),
        format!("{get}{own}No colon\r\n\r\n"),
        format!("GET  /v1/status HTTP/1.1\r\n{own}\r\n"),
        // No name, two, one that is none, or another than the target's.
        format!("{get}\r\n"),
        format!("{get}{own}{own}\r\n"),
        format!("{get}Host: a b\r\n\r\n"),
        format!("GET http://other/v1/status HTTP/1.1\r\n{own}\r\n"),
        // Targets and methods that nothing here has.
        format!("GET /v1/status#x HTTP/1.1\r\n{own}\r\n"),
        format!("OPTIONS * HTTP/1.1\r\n{own}\r\n"),
        format!("TRACE /v1/status HTTP/1.1\r\n{own}\r\n"),
        format!("CONNECT {api} HTTP/1.1\r\n{own}\r\n"),
    ] {
        // Alone, where it need not be whole, and with another behind it.
        let alone = raw(&api, text.as_bytes());
        assert_eq!(alone.status(), 400, "{text:?}: {}", alone.0);
        let answer = raw(&api, format!("{text}{}", behind(&api)).as_bytes());
        let answers = answer.0.matches("HTTP/1.1 ").count();
        assert_eq!(
            (answers, answer.status()),
            (1, 400),
            "{text:?}: {}",
            answer.0
        );
    }
    // Behind requests that are served, they are found too.
    for before in [
        format!("{get}{own}\r\n"),
        format!("{post}{own}Content-Length: 3\r\n\r\n{{\n}}"),
        format!("{post}{own}{chunked}\r\n3;a=\"b\"\r\n{{\n}}\r\n0\r\nX-Trailer: 1\r\n\r\n"),
    ] {
        let ambiguous = format!("{get}{own}X-Bare: one\nX-Other: two\r\n\r\n");
        let answer = raw(
            &api,
            format!("{before}\r\n{ambiguous}{}", behind(&api)).as_bytes(),
        );
        let statuses: Vec<&str> = answer
            .0
            .match_indices("HTTP/1.1 ")
            .map(|(at, name)| &answer.0[at + name.len()..][..3])
            .collect();
        assert_eq!(statuses.len(), 2, "{before:?}: {}", answer.0);
        assert_eq!(statuses[1], "400", "{before:?}: {}", answer.0);
        // What is clear is served to its end, whatever is in the body.
        let answer = raw(&api, format!("{before}{}", behind(&api)).as_bytes());
        assert!(
            answer.0.contains("HTTP/1.1 200"),
            "{before:?}: {}",
            answer.0
        );
        assert_eq!(answer.0.matches("HTTP/1.1 ").count(), 2);
    }
    goes_on(&server);
}

#[test]
fn a_refused_head_is_told_why_and_who_only_looks_needs_no_name() {
    let home = Home::new();
    let server = start(home.unsealed()).unwrap();
    let api = server.api().to_owned();
    for (head, word) in [
        ("GET /v1/status HTTP/1.1\r\n\r\n", "host"),
        ("GET /v1/status HTTP/1.1\r\nHost: a\n\r\n", "line_end"),
        ("TRACE / HTTP/1.1\r\nHost: a\r\n\r\n", "method"),
    ] {
        let answer = raw(&api, head.as_bytes());
        assert_eq!(
            (answer.status(), answer.problem().0),
            (400, "malformed".into())
        );
        assert!(
            answer.0.contains(&format!("is taken: {word}.")),
            "{}",
            answer.0
        );
        assert!(answer.0.contains("connection: close\r\n"), "{}", answer.0);
    }
    let health = raw(server.health(), b"GET /health HTTP/1.0\r\n\r\n");
    assert_eq!(health.status(), 200, "{}", health.0);
    goes_on(&server);
}

#[test]
fn chunks_that_are_ambiguous_end_the_connection() {
    let home = Home::new();
    let server = start(home.unsealed()).unwrap();
    let api = server.api().to_owned();
    let head = format!(
        "POST /v1/join HTTP/1.1\r\nHost: {api}\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    );
    for body in [
        "2\n{}\r\n0\r\n\r\n",
        "2\r{}\r\n0\r\n\r\n",
        "0x2\r\n{}\r\n0\r\n\r\n",
        "-2\r\n{}\r\n0\r\n\r\n",
        "2 2\r\n{}\r\n0\r\n\r\n",
        "2;a\nb\r\n{}\r\n0\r\n\r\n",
        "2\r\n{}0\r\n\r\n",
        "2\r\n{}\n0\r\n\r\n",
        "2\r\n{}\r\n0\r\nX: 1\n\r\n",
        "2\r\n{}\r\n0\r\n\n",
        "10000000000000002\r\n{}\r\n0\r\n\r\n",
    ] {
        let answer = raw(&api, format!("{head}{body}{}", behind(&api)).as_bytes());
        let answers = answer.0.matches("HTTP/1.1 ").count();
        assert!(answers <= 1, "{body:?}: {}", answer.0);
        if answers == 1 {
            assert_eq!(answer.status(), 400, "{body:?}: {}", answer.0);
        }
    }
    goes_on(&server);
}

/// Sends one request as it is and says how it ended.
fn shaped(api: &str, head: &[u8], body: Option<&[u8]>) -> Result<(Vec<u8>, Vec<u8>), End> {
    let mut bare = Bare::connect(api);
    let end = if body.is_some() { 0 } else { END_STREAM };
    bare.send(&frame(HEADERS, END_HEADERS | end, 1, head));
    if let Some(body) = body {
        bare.send(&frame(DATA, END_STREAM, 1, body));
    }
    bare.answer(1)
}

#[test]
fn http_2_requests_that_are_malformed_are_reset() {
    let home = Home::new();
    let server = start(home.unsealed()).unwrap();
    let api = server.api().to_owned();
    let get = request("GET", &api, "/v1/status");
    let (head, _) = shaped(&api, &get, None).unwrap();
    assert_eq!(head[0], OK);
    let with = |name: &str, value: &str| [get.clone(), field(name, value)].concat();
    for (what, head) in [
        // What belongs to a connection of HTTP/1 (RFC 9113 §8.2.2).
        ("connection", with("connection", "close")),
        ("keep-alive", with("keep-alive", "timeout=5")),
        ("proxy-connection", with("proxy-connection", "close")),
        ("transfer-encoding", with("transfer-encoding", "chunked")),
        ("upgrade", with("upgrade", "h2c")),
        ("te", with("te", "gzip")),
        // Names and values that no field has (§8.2.1).
        ("uppercase", with("X-Upper", "1")),
        ("uppercase length", with("Content-Length", "0")),
        ("colon", with("x:y", "1")),
        ("space", with("x y", "1")),
        ("line end in a name", with("x\r\ny", "1")),
        ("line end in a value", with("x", "1\r\nHost: other")),
        ("LF in a value", with("x", "1\nHost: other")),
        ("NUL in a value", with("x", "1\0")),
        // Names of the request line (§8.3).
        ("unknown", with(":unknown", "1")),
        ("status", with(":status", "200")),
        ("method twice", with(":method", "POST")),
        ("path twice", with(":path", "/v1/namespaces")),
        ("authority twice", with(":authority", "other")),
        ("protocol", with(":protocol", "websocket")),
        ("after a field", [field("x", "1"), get.clone()].concat()),
        (
            "no method",
            fields(&[
                (":scheme", "http"),
                (":authority", &api),
                (":path", "/v1/status"),
            ]),
        ),
        (
            "no scheme",
            fields(&[
                (":method", "GET"),
                (":authority", &api),
                (":path", "/v1/status"),
            ]),
        ),
        (
            "no path",
            fields(&[
                (":method", "GET"),
                (":scheme", "http"),
                (":authority", &api),
            ]),
        ),
        ("empty path", request("GET", &api, "")),
        (
            "a whole URL as the path",
            request("GET", &api, "http://vault.example/v1/status"),
        ),
        (
            "a line end in the path",
            request("GET", &api, "/v1/status HTTP/1.1\r\nX: 1"),
        ),
        (
            "a space in the method",
            request("GET /", &api, "/v1/status"),
        ),
        (
            "an authority with a line end",
            request("GET", "a\r\nb", "/v1/status"),
        ),
        (
            "a path to connect to",
            request("CONNECT", &api, "/v1/status"),
        ),
        // A length that is not the body's (§8.1.1).
        ("a length without a body", with("content-length", "5")),
        ("a length that is none", with("content-length", "five")),
    ] {
        let refused = shaped(&api, &head, None).unwrap_err();
        let fits = matches!(
            refused,
            End::Reset(PROTOCOL_ERROR) | End::GoAway(PROTOCOL_ERROR)
        );
        assert!(fits, "{what}: {refused:?}");
        goes_on(&server);
    }
    let post = |length: &str| {
        let content = field("content-type", "application/json");
        [
            request("POST", &api, "/v1/join"),
            content,
            field("content-length", length),
        ]
        .concat()
    };
    for length in ["1", "3"] {
        let refused = shaped(&api, &post(length), Some(b"{}"));
        // The request may have been refused for its content before its end was seen.
        let fits = match &refused {
            Err(end) => *end == End::Reset(PROTOCOL_ERROR),
            Ok((_, body)) => String::from_utf8_lossy(body).contains("\"malformed\""),
        };
        assert!(fits, "{length}: {refused:?}");
    }
    let (_, body) = shaped(&api, &post("2"), Some(b"{}")).unwrap();
    assert!(String::from_utf8_lossy(&body).contains("invalid_json"));
    goes_on(&server);
}

#[test]
fn frames_out_of_order_end_the_connection() {
    let home = Home::new();
    let server = start(home.unsealed()).unwrap();
    let api = server.api().to_owned();
    let head = request("GET", &api, "/v1/status");
    let whole = END_HEADERS | END_STREAM;
    let (begin, rest) = head.split_at(10);
    for (what, bytes) in [
        ("a body first", frame(DATA, END_STREAM, 1, b"{}")),
        ("an even stream", frame(HEADERS, whole, 2, &head)),
        ("no stream", frame(HEADERS, whole, 0, &head)),
        (
            "an end of nothing",
            frame(CONTINUATION, END_HEADERS, 1, &head),
        ),
        (
            "another stream inside a head",
            [
                frame(HEADERS, END_STREAM, 1, begin),
                frame(HEADERS, whole, 3, &head),
                frame(CONTINUATION, END_HEADERS, 1, rest),
            ]
            .concat(),
        ),
        (
            "a stream behind its successor",
            [
                frame(HEADERS, whole, 3, &head),
                frame(HEADERS, whole, 1, &head),
            ]
            .concat(),
        ),
    ] {
        let mut bare = Bare::connect(&api);
        bare.send(&bytes);
        assert_eq!(bare.end(), End::GoAway(PROTOCOL_ERROR), "{what}");
        goes_on(&server);
    }
}
