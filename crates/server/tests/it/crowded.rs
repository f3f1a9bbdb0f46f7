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
    // The third is not served.
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

/// Connects from an address of this machine; Linux has all of 127.0.0.0/8.
fn connect_from(source: [u8; 4], address: &str) -> TcpStream {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let stream = runtime.block_on(async {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind((source, 0).into()).unwrap();
        socket.connect(address.parse().unwrap()).await.unwrap()
    });
    let stream = stream.into_std().unwrap();
    stream.set_nonblocking(false).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    stream
}

#[test]
fn an_address_that_has_its_share_is_closed_and_others_are_served() {
    let home = Home::new();
    let server = start(Config {
        max_connections: 16,
        max_connections_per_address: Some(2),
        ..home.unsealed()
    })
    .unwrap();
    let api = server.api().to_owned();
    let mut held: Vec<TcpStream> = (0..2).map(|_| connect(&api)).collect();
    for stream in &mut held {
        assert!(ask(stream, &api).unwrap().starts_with("HTTP/1.1 200"));
    }
    // Each further one is closed at once, and takes nobody's place.
    for _ in 0..100 {
        let mut part = [0; 1];
        let closed = connect(&api).read(&mut part);
        assert!(matches!(closed, Ok(0) | Err(_)), "{closed:?}");
    }
    let mut other = connect_from([127, 0, 0, 2], &api);
    assert!(ask(&mut other, &api).unwrap().starts_with("HTTP/1.1 200"));
    for stream in &mut held {
        assert!(ask(stream, &api).unwrap().starts_with("HTTP/1.1 200"));
    }
    let metrics = get(server.health(), "/metrics");
    let line = "procura_connections_turned_away_total 100";
    assert!(metrics.body().contains(line), "{}", metrics.body());
    // A place that is given back can be had again, as soon as the server has seen it.
    held.pop();
    for _ in 0..10_000 {
        if ask(&mut connect(&api), &api).is_ok_and(|answer| answer.starts_with("HTTP/1.1 200")) {
            return;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    panic!("the place is not given back");
}

#[test]
fn strangers_keep_nobody_from_health_and_administration() {
    let home = Home::new();
    let server = start(Config {
        max_connections: 4,
        ..home.config()
    })
    .unwrap();
    let api = server.api().to_owned();
    // All places of the API are taken, and more wait; none of them says a word.
    let crowd: Vec<TcpStream> = (0..50).map(|_| connect(&api)).collect();
    for _ in 0..3 {
        assert_eq!(get(server.health(), "/health").status(), 503);
    }
    let passphrase = serde_json::json!({"passphrase": crate::world::PASSPHRASE});
    let unsealed = crate::process::admin(home.path(), "/admin/unseal", &passphrase);
    assert_eq!(unsealed.status(), 204);
    assert_eq!(get(server.health(), "/health").status(), 200);
    drop(crowd);
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
    for _ in 0..10_000 {
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
    for _ in 0..10_000 {
        if get(server.health(), "/health").status() == 200 {
            return;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    panic!("it stays degraded");
}
