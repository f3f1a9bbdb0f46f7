//! Clients that take their time: over a head, over a body, over an answer, between
//! requests. Each has some, and then its place is another's.

use crate::process::{Home, Raw, Server, connect, get, read, start};
use crate::wire::frames::{
    Bare, DATA, END_HEADERS, END_STREAM, End, GOAWAY, HEADERS, NO_ERROR, OK, PING, field, frame,
    request,
};
use procura_server::Config;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// More than any limit below.
const PATIENCE: Duration = Duration::from_secs(20);

/// A server that waits a second for everything but what is named.
fn impatient(home: &Home, change: impl FnOnce(&mut Config)) -> Server {
    let mut config = Config {
        head_seconds: 1,
        idle_seconds: 1,
        stall_seconds: 1,
        request_seconds: 1,
        ..home.unsealed()
    };
    change(&mut config);
    start(config).unwrap()
}

fn goes_on(server: &Server) {
    assert_eq!(get(server.api(), "/v1/status").status(), 200);
}

fn status(api: &str) -> String {
    format!("GET /v1/status HTTP/1.1\r\nHost: {api}\r\n\r\n")
}

/// Reads one answer, whose body is as long as it says, and leaves the connection open.
fn answer(stream: &mut TcpStream) -> Raw {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let whole = text.split_once("\r\n\r\n").is_some_and(|(head, body)| {
            let mut lines = head.lines();
            let length = lines.find_map(|line| line.strip_prefix("content-length: "));
            body.len() >= length.unwrap().parse().unwrap()
        });
        if whole {
            return Raw(text);
        }
        let mut part = [0; 4096];
        let count = stream.read(&mut part).unwrap();
        assert!(count > 0, "{text}");
        bytes.extend_from_slice(&part[..count]);
    }
}

/// How long it takes until the other side closes.
fn closes(mut stream: TcpStream) -> Duration {
    let began = Instant::now();
    let mut part = [0; 4096];
    while stream.read(&mut part).is_ok_and(|count| count > 0) {}
    began.elapsed()
}

#[test]
fn heads_that_come_byte_by_byte_are_cut() {
    let home = Home::new();
    let server = impatient(&home, |_| {});
    let api = server.api().to_owned();
    // The first request of a connection, and a later one.
    for before in [0, 1] {
        // From before the server can have begun to count: what this side takes longer
        // than that is not taken from the second.
        let began = Instant::now();
        let mut stream = connect(&api);
        for _ in 0..before {
            stream.write_all(status(&api).as_bytes()).unwrap();
            assert_eq!(answer(&mut stream).status(), 200);
        }
        let mut sent = 0;
        for byte in status(&api).bytes().chain(std::iter::repeat(b'x')) {
            // A closed connection is found out by the second write after it.
            if stream.write_all(&[byte]).is_err() {
                break;
            }
            sent += 1;
            assert!(began.elapsed() < PATIENCE, "{sent} bytes");
            std::thread::sleep(Duration::from_millis(100));
        }
        assert!(began.elapsed() > Duration::from_millis(900), "{sent} bytes");
        goes_on(&server);
    }
}

#[test]
fn who_says_nothing_is_closed() {
    let home = Home::new();
    let server = impatient(&home, |_| {});
    // On either listener, and with the beginning of what could be HTTP/2.
    let began = Instant::now();
    let quiet = [
        (server.api(), ""),
        (server.health(), ""),
        (server.api(), "PRI * HT"),
        (server.api(), "\r\n\r\n"),
    ]
    .map(|(address, first)| {
        let mut stream = connect(address);
        stream.write_all(first.as_bytes()).unwrap();
        stream
    });
    for stream in quiet {
        closes(stream);
        let took = began.elapsed();
        assert!(
            (Duration::from_millis(500)..PATIENCE).contains(&took),
            "{took:?}"
        );
    }
    goes_on(&server);
}

#[test]
fn connections_without_a_request_are_closed_in_time() {
    let home = Home::new();
    const IDLE: Duration = Duration::from_secs(4);
    let server = impatient(&home, |config| {
        config.head_seconds = 60;
        config.idle_seconds = 4;
    });
    let api = server.api().to_owned();
    let mut stream = connect(&api);
    // Each request begins the time anew.
    let mut asked = Instant::now();
    for _ in 0..4 {
        asked = Instant::now();
        stream.write_all(status(&api).as_bytes()).unwrap();
        assert_eq!(answer(&mut stream).status(), 200);
        std::thread::sleep(Duration::from_millis(1_200));
    }
    closes(stream);
    let took = asked.elapsed();
    assert!((IDLE..PATIENCE).contains(&took), "{took:?}");

    let mut bare = Bare::connect(&api);
    let head = request("GET", &api, "/v1/status");
    let began = Instant::now();
    bare.send(&frame(HEADERS, END_HEADERS | END_STREAM, 1, &head));
    assert_eq!(bare.answer(1).unwrap().0[0], OK);
    assert_eq!(bare.end(), End::GoAway(NO_ERROR));
    while bare.next().is_some() {}
    let took = began.elapsed();
    assert!(
        (Duration::from_secs(2)..PATIENCE).contains(&took),
        "{took:?}"
    );
}

#[test]
fn http_2_without_a_whole_request_is_closed() {
    let home = Home::new();
    let server = impatient(&home, |_| {});
    let api = server.api().to_owned();
    let half = frame(HEADERS, END_STREAM, 1, &request("GET", &api, "/v1/status"));
    let began = Instant::now();
    // Nothing, pings, a head without an end.
    let pings = frame(PING, 0, 0, b"anybody?").repeat(10);
    let idle = [Vec::new(), pings, half].map(|bytes| {
        let mut bare = Bare::connect(&api);
        bare.send(&bytes);
        bare
    });
    for mut bare in idle {
        // It does nothing that it is told, and is closed all the same.
        let mut told = None;
        while let Some(frame) = bare.any() {
            told = told.or((frame.kind == GOAWAY).then(|| frame.error()));
        }
        assert_eq!(told, Some(NO_ERROR));
        let took = began.elapsed();
        assert!(
            (Duration::from_millis(500)..PATIENCE).contains(&took),
            "{took:?}"
        );
    }
    goes_on(&server);
}

#[test]
fn bodies_that_do_not_come_are_answered() {
    let home = Home::new();
    // The connection stays for longer than this side may take between two requests.
    let server = impatient(&home, |config| config.idle_seconds = 60);
    let api = server.api().to_owned();
    let head = format!(
        "POST /v1/join HTTP/1.1\r\nHost: {api}\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{{"
    );
    let mut stream = connect(&api);
    stream.write_all(head.as_bytes()).unwrap();
    let late = read(&mut stream);
    assert_eq!((late.status(), late.problem().0), (408, "timeout".into()));

    let mut bare = Bare::connect(&api);
    let content = field("content-type", "application/json");
    let head = [request("POST", &api, "/v1/join"), content].concat();
    bare.send(&frame(HEADERS, END_HEADERS, 1, &head));
    bare.send(&frame(DATA, 0, 1, b"{"));
    let (_, body) = bare.answer(1).unwrap();
    let body = String::from_utf8_lossy(&body).into_owned();
    assert!(body.contains("\"timeout\""), "{body}");
    // The connection is still good for others.
    let head = request("GET", &api, "/v1/status");
    bare.send(&frame(HEADERS, END_HEADERS | END_STREAM, 3, &head));
    assert_eq!(bare.answer(3).unwrap().0[0], OK);
}

#[test]
fn who_does_not_read_is_cut() {
    let home = Home::new();
    let server = impatient(&home, |config| config.idle_seconds = 60);
    let api = server.api().to_owned();
    // More answers than all buffers hold, asked for in one go and not read.
    let mut stream = connect(&api);
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    let many = status(&api).repeat(100);
    let began = Instant::now();
    while stream.write_all(many.as_bytes()).is_ok() {
        assert!(began.elapsed() < PATIENCE);
    }
    let kind = stream.write_all(b"x").unwrap_err().kind();
    let closed = [
        std::io::ErrorKind::BrokenPipe,
        std::io::ErrorKind::ConnectionReset,
    ];
    assert!(closed.contains(&kind), "{kind:?}");

    // The same of what HTTP/2 answers by itself.
    let mut bare = Bare::connect(&api);
    bare.0.set_write_timeout(Some(PATIENCE)).unwrap();
    let many = frame(PING, 0, 0, b"answer!!").repeat(1_000);
    let began = Instant::now();
    while bare.send(&many) {
        assert!(began.elapsed() < PATIENCE);
    }
    let kind = bare.0.write_all(b"x").unwrap_err().kind();
    assert!(closed.contains(&kind), "{kind:?}");
    goes_on(&server);
}

#[test]
fn an_answer_that_is_given_no_window_ends_its_connection() {
    const INITIAL_WINDOW_SIZE: u16 = 4;
    let home = Home::new();
    let server = impatient(&home, |config| config.idle_seconds = 60);
    let api = server.api().to_owned();
    let mut bare = Bare::with_settings(&api, &[(INITIAL_WINDOW_SIZE, 0)]);
    let head = request("GET", &api, "/v1/status");
    let began = Instant::now();
    bare.send(&frame(HEADERS, END_HEADERS | END_STREAM, 1, &head));
    assert_eq!(bare.next().unwrap().kind, HEADERS);
    // First no more requests are taken; then, as the answer does not move, it is cut.
    let next = bare.next().unwrap();
    assert_eq!((next.kind, next.error()), (GOAWAY, NO_ERROR));
    assert!(began.elapsed() > Duration::from_millis(900));
    while let Some(frame) = bare.next() {
        assert_ne!(frame.kind, DATA);
    }
    let took = began.elapsed();
    assert!(
        (Duration::from_millis(1_900)..PATIENCE).contains(&took),
        "{took:?}"
    );
    goes_on(&server);
}
