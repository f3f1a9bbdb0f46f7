//! More connections than there is room for, and a server that does less than it
//! should.

use crate::process::{Home, Raw, connect, get, raw, start};
use procura_crypto::SystemEntropy;
use procura_proof::sign::{Signer, sign_request};
use procura_server::Config;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

/// Asks on a connection that stays open, and reads the head of the answer.
fn ask(stream: &mut TcpStream, address: &str) -> std::io::Result<String> {
    stream.write_all(format!("GET /v1/status HTTP/1.1\r\nHost: {address}\r\n\r\n").as_bytes())?;
    let mut part = [0; 4096];
    let count = stream.read(&mut part)?;
    Ok(String::from_utf8_lossy(&part[..count]).into_owned())
}

#[test]
fn beyond_the_limit_connections_wait_for_a_place() {
    let home = Home::new();
    let server = start(Config {
        max_connections: 2,
        ..home.config()
    })
    .unwrap();
    let api = server.api().to_owned();
    let mut held: Vec<TcpStream> = (0..2).map(|_| connect(&api)).collect();
    for stream in &mut held {
        assert!(ask(stream, &api).unwrap().starts_with("HTTP/1.1 200"));
    }
    // The kernel takes the third; the server does not.
    let mut third = connect(&api);
    third
        .set_read_timeout(Some(Duration::from_millis(500)))
        .unwrap();
    let waits = ask(&mut third, &api).unwrap_err();
    assert!(
        matches!(
            waits.kind(),
            std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut
        ),
        "{waits}"
    );
    // Who looks at health and metrics has places of their own.
    let health = get(server.health(), "/health");
    assert_eq!(health.json()["max_connections"], 2);
    // What was asked meanwhile is answered once there is a place.
    held.pop();
    third
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    let mut part = [0; 12];
    third.read_exact(&mut part).unwrap();
    assert_eq!(&part, b"HTTP/1.1 200");
}

/// Makes a namespace, as the steward.
fn make_namespace(home: &Home, api: &str) -> Raw {
    let body = b"{\"name\":\"dock\"}";
    let headers = vec![
        ("host".to_owned(), api.to_owned()),
        ("content-type".to_owned(), "application/json".to_owned()),
    ];
    let view = procura_proof::RequestView {
        method: "POST",
        authority: api,
        scheme: None,
        path: "/v1/namespaces",
        query: None,
        headers: &headers,
        body,
    };
    let signer = Signer::Device(&home.root);
    let signed = sign_request(&view, signer, crate::process::NOW, &SystemEntropy).unwrap();
    let mut text = format!(
        "POST /v1/namespaces HTTP/1.1\r\nConnection: close\r\nContent-Length: {}\r\n",
        body.len()
    );
    let more = signed.headers.into_iter();
    let headers = headers
        .into_iter()
        .chain(more.map(|(name, value)| (name.to_owned(), value)));
    for (name, value) in headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    text.push_str("\r\n");
    raw(api, &[text.as_bytes(), body].concat())
}

#[test]
fn what_cannot_be_published_degrades_the_health() {
    let home = Home::new();
    let server = start(home.unsealed()).unwrap();
    assert_eq!(get(server.health(), "/health").json()["status"], "ok");
    // Where the record goes there is a file: modes would not keep root out.
    let ledger = home.path().join("ledger");
    std::fs::rename(&ledger, home.path().join("elsewhere")).unwrap();
    std::fs::write(&ledger, "").unwrap();
    let made = make_namespace(&home, server.api());
    assert_eq!(made.status(), 201, "{}", made.0);
    let mut health = get(server.health(), "/health");
    for _ in 0..2_000 {
        if health.status() != 200 {
            break;
        }
        std::thread::sleep(Duration::from_millis(5));
        health = get(server.health(), "/health");
    }
    assert_eq!(health.status(), 503);
    let found = health.json();
    assert_eq!(found["status"], "degraded");
    assert_eq!(
        (&found["initialized"], &found["sealed"]),
        (&true.into(), &false.into())
    );
    let why = found["degraded"][0].as_str().unwrap();
    assert!(why.starts_with("checkpoints: "), "{why}");
    assert_eq!(found["degraded"].as_array().unwrap().len(), 1);
    // Put back, it is well again without a restart.
    std::fs::remove_file(&ledger).unwrap();
    std::fs::rename(home.path().join("elsewhere"), &ledger).unwrap();
    for _ in 0..2_000 {
        if get(server.health(), "/health").status() == 200 {
            return;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    panic!("it stays degraded");
}
