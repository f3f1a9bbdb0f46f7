//! More of something cheap than anybody needs: each ends its own connection, by the
//! limit that `listen/connection.rs` names, and nobody else notices.

use crate::process::{Home, Server, get, start};
use crate::wire::frames::{
    Bare, CANCEL, CONTINUATION, DATA, END_HEADERS, END_STREAM, ENHANCE_YOUR_CALM, End, HEADERS, OK,
    PROTOCOL_ERROR, REFUSED_STREAM, RST_STREAM, field, frame, request,
};
use procura_server::Config;

fn goes_on(server: &Server) {
    assert_eq!(get(server.api(), "/v1/status").status(), 200);
}

/// Whether the client was told to be calm, or found the connection closed when it wrote
/// on.
fn is_calmed(end: &End) -> bool {
    matches!(end, End::GoAway(ENHANCE_YOUR_CALM) | End::Closed)
}

fn reset(stream: u32) -> Vec<u8> {
    frame(RST_STREAM, 0, stream, &CANCEL.to_be_bytes())
}

/// The head of a request whose body is still to come.
fn open(api: &str, stream: u32) -> Vec<u8> {
    let content = field("content-type", "application/json");
    let head = [request("POST", api, "/v1/join"), content].concat();
    frame(HEADERS, END_HEADERS, stream, &head)
}

/// Streams that a client opens, one after the other.
fn streams(count: u32) -> impl Iterator<Item = u32> {
    (0..count).map(|place| 2 * place + 1)
}

#[test]
fn requests_that_are_taken_back_at_once_end_the_connection() {
    let home = Home::new();
    let server = start(home.unsealed()).unwrap();
    let mut bare = Bare::connect(server.api());
    let head = request("GET", server.api(), "/v1/status");
    let bytes: Vec<u8> = streams(10_000)
        .flat_map(|stream| {
            let asked = frame(HEADERS, END_HEADERS | END_STREAM, stream, &head);
            [asked, reset(stream)].concat()
        })
        .collect();
    bare.send(&bytes);
    let end = bare.end();
    assert!(is_calmed(&end), "{end:?}");
    goes_on(&server);
}

#[test]
fn requests_that_are_taken_back_one_by_one_end_the_connection() {
    let home = Home::new();
    let server = start(home.unsealed()).unwrap();
    let mut bare = Bare::connect(server.api());
    let mut taken_back = 0;
    for stream in streams(500) {
        // The server has the request and waits for its body: this is no flood of the
        // library's counting.
        bare.send(&open(server.api(), stream));
        if bare.seen().is_none() {
            break;
        }
        bare.send(&reset(stream));
        taken_back += 1;
    }
    assert!((100..200).contains(&taken_back), "{taken_back}");
    // Who also waits for answers goes on for as long as he likes.
    let mut bare = Bare::connect(server.api());
    let head = request("GET", server.api(), "/v1/status");
    for stream in streams(600) {
        if stream % 4 == 1 {
            bare.send(&open(server.api(), stream));
            bare.seen().unwrap();
            bare.send(&reset(stream));
        } else {
            bare.send(&frame(HEADERS, END_HEADERS | END_STREAM, stream, &head));
            assert_eq!(bare.answer(stream).unwrap().0[0], OK);
        }
    }
    goes_on(&server);
}

#[test]
fn heads_without_end_end_the_connection() {
    let home = Home::new();
    let server = start(home.unsealed()).unwrap();
    let head = request("GET", server.api(), "/v1/status");
    let small = field("x", "y");
    let large = field("x", &"y".repeat(16_000));
    for part in [&small[..], &large, b""] {
        let mut bare = Bare::connect(server.api());
        bare.send(&frame(HEADERS, END_STREAM, 1, &head));
        let more = frame(CONTINUATION, 0, 1, part);
        for _ in 0..100_000 {
            if !bare.send(&more) {
                break;
            }
        }
        let end = bare.end();
        assert!(is_calmed(&end), "{end:?}");
        goes_on(&server);
    }
}

#[test]
fn large_heads_are_answered_431_or_end_the_connection() {
    let home = Home::new();
    let server = start(home.unsealed()).unwrap();
    let ask = |size: usize| {
        let mut bare = Bare::connect(server.api());
        let head = request("GET", server.api(), "/v1/status");
        let head = [head, field("x", &"y".repeat(size))].concat();
        let mut parts = head.chunks(16_384).peekable();
        let mut kind = HEADERS;
        while let Some(part) = parts.next() {
            let last = if parts.peek().is_none() {
                END_HEADERS
            } else {
                0
            };
            let first = if kind == HEADERS { END_STREAM } else { 0 };
            bare.send(&frame(kind, last | first, 1, part));
            kind = CONTINUATION;
        }
        bare.answer(1)
    };
    assert_eq!(ask(60_000).unwrap().0[0], OK);
    // 431 in the code of HPACK for strings (RFC 7541, appendix B).
    let (head, _) = ask(66_000).unwrap();
    let found = head.windows(3).any(|part| part == [0x69, 0x90, 0xff]);
    assert!(found, "{head:x?}");
    assert!(ask(1_000_000).is_err());
    goes_on(&server);
}

#[test]
fn malformed_requests_without_end_end_the_connection() {
    let home = Home::new();
    let server = start(home.unsealed()).unwrap();
    let mut bare = Bare::connect(server.api());
    let head = request("GET", server.api(), "/v1/status");
    let head = [head, field("connection", "close")].concat();
    let mut sent = 0;
    let end = loop {
        let stream = 2 * sent + 1;
        bare.send(&frame(HEADERS, END_HEADERS | END_STREAM, stream, &head));
        match bare.answer(stream) {
            Err(End::Reset(PROTOCOL_ERROR)) => sent += 1,
            other => break other,
        }
        assert!(sent <= 200);
    };
    assert!(sent >= 50, "{sent}");
    assert!(end.as_ref().is_err_and(is_calmed), "{end:?}");
    goes_on(&server);
}

#[test]
fn bodies_in_empty_frames_end_the_connection() {
    let home = Home::new();
    let server = start(home.unsealed()).unwrap();
    let mut bare = Bare::connect(server.api());
    bare.send(&open(server.api(), 1));
    let empty: Vec<u8> = frame(DATA, 0, 1, &[]).repeat(1_000);
    for _ in 0..1_000 {
        if !bare.send(&empty) {
            break;
        }
    }
    let end = bare.end();
    assert!(is_calmed(&end), "{end:?}");
    goes_on(&server);
}

#[test]
fn a_connection_has_so_many_requests_at_once() {
    let home = Home::new();
    let server = start(home.unsealed()).unwrap();
    let mut bare = Bare::connect(server.api());
    let mut all = streams(101);
    for stream in all.by_ref().take(100) {
        bare.send(&open(server.api(), stream));
    }
    bare.seen().unwrap();
    let beyond = all.next().unwrap();
    bare.send(&open(server.api(), beyond));
    assert_eq!(bare.answer(beyond), Err(End::Reset(REFUSED_STREAM)));
    // The others are not harmed.
    bare.send(&frame(DATA, END_STREAM, 1, b"{}"));
    let (_, body) = bare.answer(1).unwrap();
    assert!(String::from_utf8_lossy(&body).contains("invalid_json"));
    goes_on(&server);
}

#[test]
fn an_address_has_so_many_requests_at_once_on_all_its_connections() {
    let home = Home::new();
    let server = start(Config {
        max_connections_per_address: Some(4),
        ..home.unsealed()
    })
    .unwrap();
    let api = server.api().to_owned();
    let (mut one, mut two) = (Bare::connect(&api), Bare::connect(&api));
    for stream in streams(2) {
        for bare in [&mut one, &mut two] {
            bare.send(&open(&api, stream));
            bare.seen().unwrap();
        }
    }
    // HTTP/1 has a request for each connection, and is not counted here.
    goes_on(&server);
    let head = request("GET", &api, "/v1/status");
    one.send(&frame(HEADERS, END_HEADERS | END_STREAM, 5, &head));
    let (_, body) = one.answer(5).unwrap();
    let body = String::from_utf8_lossy(&body).into_owned();
    assert!(body.contains("\"rate_limited\""), "{body}");
    assert!(body.contains("\"status\":429"), "{body}");
    // One that is over makes room, as soon as the server has seen its end.
    two.send(&frame(DATA, END_STREAM, 1, b"{}"));
    two.answer(1).unwrap();
    let room = (3..1_000).any(|place| {
        let stream = 2 * place + 1;
        one.send(&frame(HEADERS, END_HEADERS | END_STREAM, stream, &head));
        one.answer(stream).unwrap().0[0] == OK
    });
    assert!(room);
}
