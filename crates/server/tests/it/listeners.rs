//! Whatever arrives on the listeners: a clear answer or a closed connection, and
//! a server that goes on.

use crate::process::{Home, Server, admin, connect, get, raw, read, start};
use crate::world::PASSPHRASE;
use serde_json::json;
use std::io::Write as _;
use std::net::Shutdown;
use std::os::unix::fs::PermissionsExt as _;
use std::time::{Duration, Instant};

fn goes_on(server: &Server) {
    assert_eq!(get(server.api(), "/v1/status").status(), 200);
}

fn post(address: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let mut bytes =
        format!("POST /v1/join HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\nConnection: close\r\n{headers}\r\n")
            .into_bytes();
    bytes.extend_from_slice(body);
    bytes
}

#[test]
fn a_server_says_where_it_is_and_how_it_stands() {
    let home = Home::new();
    let mut server = start(home.config()).unwrap();
    assert_eq!(
        (&server.ready["event"], &server.ready["sealed"]),
        (&json!("ready"), &json!(true))
    );
    let socket = home.path().join("admin.sock");
    let mode = std::fs::metadata(&socket).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);

    let health = get(server.health(), "/health");
    assert_eq!(health.status(), 503);
    assert_eq!(
        health.json(),
        json!({
            "status": "sealed",
            "initialized": true,
            "sealed": true,
            "degraded": [],
            "max_connections": health.json()["max_connections"],
        })
    );
    assert!(
        get(server.health(), "/metrics")
            .body()
            .contains("procura_sealed 1")
    );
    assert_eq!(get(server.api(), "/v1/namespaces").problem().0, "sealed");

    assert_eq!(
        admin(
            home.path(),
            "/admin/unseal",
            &json!({"passphrase": PASSPHRASE})
        )
        .status(),
        204
    );
    let health = get(server.health(), "/health");
    assert_eq!(
        (health.status(), &health.json()["status"]),
        (200, &json!("ok"))
    );
    assert_eq!(get(server.api(), "/v1/namespaces").status(), 401);
    let metrics = get(server.health(), "/metrics");
    assert!(metrics.0.contains("application/openmetrics-text"));
    for line in [
        "procura_sealed 0",
        "procura_requests_total{action=\"namespace.list\",status=\"503\"} 1",
        "procura_requests_total{action=\"namespace.list\",status=\"401\"} 1",
        "procura_proofs_refused_total{reason=\"missing_headers\"} 1",
        "# EOF",
    ] {
        assert!(metrics.body().contains(line), "{line}\n{}", metrics.body());
    }
    // Each listener has its own routes.
    assert_eq!(get(server.health(), "/v1/status").status(), 404);
    assert_eq!(get(server.api(), "/health").status(), 404);
    server.terminate();
    server.wait();
    assert!(!socket.exists());
}

#[test]
fn hosts_and_targets_of_others_are_refused() {
    let home = Home::new();
    let server = start(home.unsealed()).unwrap();
    let api = server.api().to_owned();
    let ask = |target: &str, headers: &str| {
        raw(
            &api,
            format!("GET {target} HTTP/1.1\r\nConnection: close\r\n{headers}\r\n").as_bytes(),
        )
    };
    let own = format!("Host: {api}\r\n");
    let twice = ask("/v1/namespaces", &format!("{own}{own}"));
    assert_eq!(twice.status(), 400);
    let other = ask("/v1/namespaces", "Host: vault.example\r\n");
    assert_eq!(other.problem(), ("malformed".into(), Some("host".into())));
    let none = ask("/v1/namespaces", "");
    assert_eq!(none.status(), 400);
    let absolute = ask("http://vault.example/v1/namespaces", &own);
    assert_eq!(absolute.problem().0, "malformed");
    let same = ask(&format!("http://{api}/v1/namespaces"), &own);
    assert_eq!(same.problem().0, "unauthorized");
    let port = api.rsplit(':').next().unwrap();
    assert_eq!(
        ask("/v1/namespaces", &format!("Host: LocalHost:{port}\r\n"))
            .problem()
            .0,
        "unauthorized"
    );
    assert_eq!(
        ask("/v1/namespaces", "Host: localhost\r\n")
            .problem()
            .1
            .as_deref(),
        Some("host")
    );
    let utf8 = ask("/v1/namespaces/%ff%fe/secrets", &own);
    assert_eq!(utf8.problem().0, "malformed");
    goes_on(&server);
}

#[test]
fn what_is_no_http_is_closed() {
    let home = Home::new();
    let server = start(home.unsealed()).unwrap();
    let api = server.api().to_owned();
    let long = format!(
        "GET / HTTP/1.1\r\nHost: {api}\r\nX-Long: {}\r\n\r\n",
        "x".repeat(400_000)
    );
    let many = format!(
        "GET /v1/status HTTP/1.1\r\nHost: {api}\r\n{}\r\n",
        "X-Many: 1\r\n".repeat(1_000)
    );
    let target = format!(
        "GET /{} HTTP/1.1\r\nHost: {api}\r\n\r\n",
        "a".repeat(400_000)
    );
    for (bytes, statuses) in [
        (long.as_bytes(), &[431u16][..]),
        (many.as_bytes(), &[431]),
        (target.as_bytes(), &[414, 431]),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", &[400]),
        (b"GET /v1/status\r\n\r\n", &[400]),
        (b"GET /v1/status HTTP/9.9\r\n\r\n", &[400, 505]),
        (b"GET /v1/\x00status HTTP/1.1\r\n\r\n", &[400]),
        (b"GET /v1/status HTTP/1.1\r\nHost: a\r\nBad Name: 1\r\n\r\n", &[400]),
        (b"POST /v1/join HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n", &[400]),
        (b"POST /v1/join HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", &[400]),
        (b"POST /v1/join HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked, nonsense\r\n\r\n", &[400, 501]),
    ] {
        let answer = raw(&api, bytes);
        // An empty answer is a connection that was closed at once.
        let fits = answer.0.is_empty() || statuses.contains(&answer.status());
        assert!(fits, "{:?}: {}", String::from_utf8_lossy(&bytes[..bytes.len().min(60)]), answer.0);
        goes_on(&server);
    }
    // Two hundred of them at once.
    let streams: Vec<_> = (0..200).map(|_| connect(&api)).collect();
    goes_on(&server);
    drop(streams);
    goes_on(&server);
}

#[test]
fn bodies_are_bounded_in_size() {
    let home = Home::new();
    let server = start(home.unsealed()).unwrap();
    let api = server.api().to_owned();
    let announced = raw(&api, &post(&api, "Content-Length: 999999999999\r\n", b""));
    assert_eq!(
        (announced.status(), announced.problem().0),
        (413, "too_large".into())
    );
    // A body that does not say how long it is, and does not end.
    let mut stream = connect(&api);
    stream
        .write_all(&post(&api, "Transfer-Encoding: chunked\r\n", b""))
        .unwrap();
    let chunk = format!("10000\r\n{}\r\n", "x".repeat(0x10000));
    for _ in 0..64 {
        if stream.write_all(chunk.as_bytes()).is_err() {
            break;
        }
    }
    let endless = read(&mut stream);
    if !endless.0.is_empty() {
        assert_eq!(endless.problem().0, "too_large");
    }
    goes_on(&server);
    // One that breaks off.
    let mut stream = connect(&api);
    stream
        .write_all(&post(&api, "Content-Length: 100\r\n", b"{\"code_sha256\":"))
        .unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let broken = read(&mut stream);
    if !broken.0.is_empty() {
        assert_eq!(broken.problem().0, "malformed");
    }
    goes_on(&server);
}

#[test]
fn slow_bodies_and_slow_heads_are_cut_off() {
    let home = Home::new();
    let server = start(procura_server::Config {
        request_seconds: 1,
        head_seconds: 3,
        ..home.unsealed()
    })
    .unwrap();
    let api = server.api().to_owned();
    // The head first, as its limit is the longer one.
    const LATE: Duration = Duration::from_secs(25);
    let began = Instant::now();
    let mut head = connect(&api);
    head.write_all(format!("GET /v1/status HTTP/1.1\r\nHost: {api}\r\nX-Slow: ").as_bytes())
        .unwrap();
    let mut body = connect(&api);
    body.write_all(&post(&api, "Content-Length: 100\r\n", b"{"))
        .unwrap();
    let answer = read(&mut body);
    assert_eq!(
        (answer.status(), answer.problem().0),
        (408, "timeout".into())
    );
    assert!(began.elapsed() < LATE);
    goes_on(&server);
    let cut = read(&mut head);
    let took = began.elapsed();
    assert!(
        took > Duration::from_millis(2_900) && took < LATE,
        "{took:?}"
    );
    assert!(cut.0.is_empty() || cut.status() == 408, "{}", cut.0);
}

#[test]
fn a_stop_finishes_what_is_running() {
    let home = Home::new();
    let mut server = start(home.unsealed()).unwrap();
    let api = server.api().to_owned();
    let body = b"{\"code_sha256\":\"\",\"actor_id\":1}";
    let (first, rest) = body.split_at(10);
    let mut stream = connect(&api);
    stream
        .write_all(&post(
            &api,
            &format!("Content-Length: {}\r\n", body.len()),
            first,
        ))
        .unwrap();
    // Until an answer to another shows that this one was accepted before.
    goes_on(&server);
    server.terminate();
    assert!(
        std::net::TcpStream::connect(&api).is_err(),
        "new connections are not taken"
    );
    stream.write_all(rest).unwrap();
    let answer = read(&mut stream);
    assert_eq!(
        (answer.status(), answer.problem().0),
        (400, "invalid_json".into())
    );
    server.wait();
    // The home is free again.
    drop(server);
    drop(start(home.config()).unwrap());
}

#[test]
fn a_request_that_does_not_end_does_not_keep_a_server_from_stopping() {
    let home = Home::new();
    let mut server = start(procura_server::Config {
        stop_seconds: 1,
        ..home.unsealed()
    })
    .unwrap();
    let mut stream = connect(server.api());
    stream
        .write_all(&post(server.api(), "Content-Length: 100\r\n", b"{"))
        .unwrap();
    goes_on(&server);
    let began = Instant::now();
    server.terminate();
    server.wait();
    // Far from what would be given where nobody said otherwise, and to spare.
    let took = began.elapsed();
    assert!(took < Duration::from_secs(10), "{took:?}");
}
