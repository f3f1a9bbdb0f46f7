//! Bad input on the wire: a clear refusal, and a server that goes on.

use procura_acceptance::Installation;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

fn authority(server: &Installation) -> &str {
    server.url().trim_start_matches("http://")
}

/// Sends bytes to the API as they are and gives what comes back.
fn send(server: &Installation, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(authority(server)).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    // The server may refuse and hang up before all is sent or read.
    let _ = stream.write_all(bytes);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

fn get(server: &Installation, path: &str, headers: &str) -> String {
    let host = authority(server);
    send(
        server,
        format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{headers}\r\n")
            .as_bytes(),
    )
}

fn assert_problem(answer: &str, status: u16, code: &str) {
    assert!(
        answer.starts_with(&format!("HTTP/1.1 {status}")),
        "{answer}"
    );
    assert!(answer.contains("application/problem+json"), "{answer}");
    assert!(
        answer.contains(&format!("\"urn:procura:error:{code}\"")),
        "{answer}"
    );
    assert!(answer.contains("\"request_id\""), "{answer}");
}

/// The next request of a connection: its line and fields as they came, and its body.
/// None when the connection ends before there is all of one.
pub(crate) fn read_request(reader: &mut BufReader<TcpStream>) -> Option<(String, Vec<u8>)> {
    let (mut head, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).unwrap_or(0) == 0 {
            return None;
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        if line == "\r\n" {
            break;
        }
        head.push_str(&line);
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some((head, body))
}

#[test]
fn without_a_proof_there_is_a_reason_and_nothing_else() {
    let server = Installation::ready();
    for path in [
        "/v1/namespaces",
        "/v1/namespaces/none/secrets/a",
        "/v1/operators",
        "/v1/ledger/entries",
    ] {
        let answer = get(&server, path, "");
        assert_problem(&answer, 401, "unauthorized");
        assert!(
            answer.contains("\"reason\":\"missing_headers\""),
            "{answer}"
        );
    }
    let half = get(&server, "/v1/namespaces", "Signature-Input: sig=()\r\n");
    assert!(half.starts_with("HTTP/1.1 401"), "{half}");
    let elsewhere =
        b"GET /v1/namespaces HTTP/1.1\r\nHost: elsewhere.example\r\nConnection: close\r\n\r\n";
    assert_problem(&send(&server, elsewhere), 400, "malformed");
    let junk = get(
        &server,
        "/v1/namespaces",
        "Signature-Input: ((((\r\nSignature: sig=:AAAA:\r\n",
    );
    assert_problem(&junk, 401, "unauthorized");
    assert!(junk.contains("\"reason\":\"malformed\""), "{junk}");
}

#[test]
fn bytes_that_are_no_request_do_no_harm() {
    let server = Installation::ready();
    for bytes in [
        &b"\0\0\0\0\0\0\0\0\r\n\r\n"[..],
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"POST /v1/join HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"POST /v1/join HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        b"POST /v1/join HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n{}",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    ] {
        let answer = send(&server, bytes);
        assert!(!answer.starts_with("HTTP/1.1 2") && !answer.starts_with("HTTP/1.1 5"), "{answer}");
    }
    let long = format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "a".repeat(1 << 20));
    assert!(!send(&server, long.as_bytes()).starts_with("HTTP/1.1 2"));
    server.cli(&["namespace", "create", "still"]).ok();
}

#[test]
fn a_body_that_is_no_json_too_large_or_of_other_fields_is_refused() {
    let server = Installation::ready();
    let post = |body: &str| {
        let head =
            "POST /v1/join HTTP/1.1\r\nContent-Type: application/json\r\nConnection: close\r\n";
        let (host, length) = (authority(&server), body.len());
        send(
            &server,
            format!("{head}Host: {host}\r\nContent-Length: {length}\r\n\r\n{body}").as_bytes(),
        )
    };
    for body in [
        "",
        "{",
        "[]",
        "null",
        "{\"code_sha256\":1}",
        "{\"surprise\":true}",
    ] {
        let answer = post(body);
        assert!(answer.starts_with("HTTP/1.1 400"), "{body}: {answer}");
    }
    let large = post(&format!("{{\"code_sha256\":\"{}\"}}", "A".repeat(4 << 20)));
    assert!(
        large.starts_with("HTTP/1.1 413") || large.is_empty(),
        "{large}"
    );
    server.cli(&["namespace", "create", "still"]).ok();
}

#[test]
fn unknown_paths_and_methods_are_problems_too() {
    let server = Installation::ready();
    assert_problem(&get(&server, "/", ""), 404, "not_found");
    assert_problem(&get(&server, "/v2/namespaces", ""), 404, "not_found");
    assert_problem(&get(&server, "/v1/join", ""), 405, "method_not_allowed");
    // What belongs to the admin socket is not on the network.
    for path in ["/admin/unseal", "/admin/init", "/admin/passphrase"] {
        assert!(get(&server, path, "").starts_with("HTTP/1.1 404"));
    }
}

#[test]
fn health_and_metrics_are_on_a_listener_of_their_own() {
    let server = Installation::ready();
    let ask = |base: &str, path: &str| {
        let address = base.trim_start_matches("http://");
        let mut stream = TcpStream::connect(address).unwrap();
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    };
    let health = ask(server.health(), "/health");
    assert!(
        health.starts_with("HTTP/1.1 200") && health.contains("\"sealed\":false"),
        "{health}"
    );
    assert!(ask(server.health(), "/metrics").starts_with("HTTP/1.1 200"));
    assert!(ask(server.url(), "/metrics").starts_with("HTTP/1.1 404"));
    server.cli(&["seal"]).ok();
    let health = ask(server.health(), "/health");
    assert!(
        health.starts_with("HTTP/1.1 503") && health.contains("\"sealed\":true"),
        "{health}"
    );
}

#[test]
fn the_server_refuses_to_start_in_ways_that_are_not_safe() {
    let server = Installation::empty();
    let start = |home: &std::path::Path, arguments: &[&str], config: &str| {
        std::fs::create_dir_all(home).unwrap();
        std::fs::set_permissions(home, std::fs::Permissions::from_mode(0o700)).unwrap();
        std::fs::write(home.join("procura.toml"), config).unwrap();
        let mut command = std::process::Command::new(procura_acceptance::program("procura"));
        command
            .arg("server")
            .args(arguments)
            .env("PROCURA_HOME", home)
            .env_remove("PROCURA_SERVER");
        procura_acceptance::Outcome::from(command.output().unwrap())
    };
    let fresh = server.folder().join("fresh");
    let open = start(
        &fresh,
        &["--listen", "0.0.0.0:0", "--health-listen", "127.0.0.1:0"],
        "",
    )
    .code(78);
    let _ = open.says("plain HTTP is served on loopback only");
    let typo = start(&fresh, &[], "lissten = \"127.0.0.1:0\"\n").code(78);
    let _ = typo.says("did you mean `listen`?");
    server.cli(&["init", "--owner", "alice"]).ok();
    let local = ["--listen", "127.0.0.1:0", "--health-listen", "127.0.0.1:0"];
    let _ = start(&server.home(), &local, "")
        .code(81)
        .says("another process uses this home");
    std::fs::write(fresh.join("procura.toml"), "").unwrap();
    std::fs::set_permissions(&fresh, std::fs::Permissions::from_mode(0o755)).unwrap();
    let mut command = std::process::Command::new(procura_acceptance::program("procura"));
    command
        .args(["server", "--home", fresh.to_str().unwrap()])
        .env_remove("PROCURA_SERVER");
    let _ = procura_acceptance::Outcome::from(command.output().unwrap())
        .code(80)
        .says("chmod 700");
    let taken = [
        "--listen",
        server.url().trim_start_matches("http://"),
        "--health-listen",
        "127.0.0.1:0",
    ];
    let _ = start(&fresh, &taken, "").code(86);
}
