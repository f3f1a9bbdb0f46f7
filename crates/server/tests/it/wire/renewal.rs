//! A certificate that is replaced while the server runs.

use crate::process::{Home, Server, get, private_file, start};
use crate::wire::http2::{Pair, handshake};
use procura_client::{Client, ClientOptions, SystemClock};
use procura_crypto::SystemEntropy;
use procura_server::Config;
use rustix::process::{Signal, getpid, kill_process};
use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

const PATIENCE: Duration = Duration::from_secs(20);

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Runtime::new().unwrap()
}

/// Whether new connections meet this certificate.
fn serves(server: &Server, pair: &Pair) -> bool {
    runtime()
        .block_on(handshake(server.api(), &pair.pem, &[]))
        .is_ok()
}

fn until(what: &str, mut happens: impl FnMut() -> bool) {
    let began = Instant::now();
    while !happens() {
        assert!(began.elapsed() < PATIENCE, "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Why the server is degraded; empty if it is not.
fn degraded(server: &Server) -> String {
    let health = get(server.health(), "/health");
    let why = health.json()["degraded"].to_string();
    assert_eq!(health.status(), if why == "[]" { 200 } else { 503 });
    why
}

/// Puts a pair where the server looks, as renewals do: each file by renaming.
fn replace(at: &Pair, with: &Pair) {
    for (file, text) in [(&at.cert, &with.pem), (&at.key, &with.key_pem)] {
        let beside = file.with_extension("new");
        private_file(&beside, text);
        std::fs::rename(&beside, file).unwrap();
    }
}

#[test]
fn new_connections_meet_the_new_certificate_and_old_ones_go_on() {
    let home = Home::new();
    let [at, next] = ["one", "two"].map(|name| Pair::new(home.path(), name));
    let server = start(at.serves(home.unsealed())).unwrap();
    let ask = format!("GET /v1/status HTTP/1.1\r\nHost: {}\r\n\r\n", server.api());
    let runtime = runtime();
    let mut old = runtime
        .block_on(handshake(server.api(), &at.pem, &[]))
        .unwrap();
    let mut once = || {
        runtime.block_on(async {
            old.write_all(ask.as_bytes()).await.unwrap();
            let mut part = [0; 4096];
            let count = old.read(&mut part).await.unwrap();
            String::from_utf8_lossy(&part[..count]).into_owned()
        })
    };
    assert!(once().starts_with("HTTP/1.1 200"));
    replace(&at, &next);
    until("the new certificate", || serves(&server, &next));
    assert!(!serves(&server, &at));
    assert_eq!(degraded(&server), "[]");
    assert!(once().starts_with("HTTP/1.1 200"));
}

#[test]
fn what_cannot_be_used_changes_nothing_and_is_told() {
    let home = Home::new();
    let [at, next] = ["one", "two"].map(|name| Pair::new(home.path(), name));
    let server = start(at.serves(home.unsealed())).unwrap();
    let trouble = |word: &str| {
        until(word, || degraded(&server).contains(word));
        let why = degraded(&server);
        assert!(why.starts_with("[\"TLS: "), "{why}");
        assert!(
            why.contains("the certificate from before is in use"),
            "{why}"
        );
        assert!(serves(&server, &at) && !serves(&server, &next));
    };
    // Half of it, none of it, the certificate without its key.
    std::fs::write(&at.cert, &next.pem[..next.pem.len() / 2]).unwrap();
    trouble("cert.pem");
    std::fs::remove_file(&at.cert).unwrap();
    trouble("No such file");
    std::fs::write(&at.cert, &next.pem).unwrap();
    trouble("cannot be used together");
    // Its key, but for everybody to read.
    std::fs::write(&at.key, &next.key_pem).unwrap();
    std::fs::set_permissions(&at.key, std::fs::Permissions::from_mode(0o644)).unwrap();
    trouble("chmod 600");
    // Nothing but a mode has to change.
    std::fs::set_permissions(&at.key, std::fs::Permissions::from_mode(0o600)).unwrap();
    until("the new certificate", || serves(&server, &next));
    until("well again", || degraded(&server) == "[]");
    assert!(!serves(&server, &at));
}

#[test]
fn a_hangup_reads_the_files_and_stops_nothing() {
    let home = Home::new();
    let [at, next] = ["one", "two"].map(|name| Pair::new(home.path(), name));
    let server = start(at.serves(home.unsealed())).unwrap();
    replace(&at, &next);
    kill_process(getpid(), Signal::HUP).unwrap();
    until("the new certificate", || serves(&server, &next));
    drop(server);
    // Without TLS there is nothing to read, and the server goes on as well.
    let server = start(home.unsealed()).unwrap();
    kill_process(getpid(), Signal::HUP).unwrap();
    for _ in 0..10 {
        assert_eq!(get(server.api(), "/v1/status").status(), 200);
    }
}

#[test]
fn a_renewal_under_load_fails_no_request() {
    let home = Home::new();
    let [at, next, last] = ["one", "two", "three"].map(|name| Pair::new(home.path(), name));
    let server = start(Config {
        // The crowd below is of one address, as others are.
        max_connections_per_address: Some(1_000),
        ..at.serves(home.unsealed())
    })
    .unwrap();
    let url = server.ready["api"].as_str().unwrap();
    let trusted = [&at, &next, &last].map(|pair| pair.pem.as_str()).concat();
    let client = || {
        let options = ClientOptions {
            ca_pem: Some(trusted.clone().into_bytes()),
            ..ClientOptions::default()
        };
        Client::new(url, options, Arc::new(SystemClock), Arc::new(SystemEntropy)).unwrap()
    };
    let (over, asked) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for place in 0..4 {
            let (client, over, asked) = (&client, &over, &asked);
            scope.spawn(move || {
                let runtime = runtime();
                let kept = client();
                while !over.load(Ordering::Relaxed) {
                    // Half of them keep their connection, half make a new one each time.
                    let status = match place % 2 {
                        0 => runtime.block_on(kept.status()),
                        _ => runtime.block_on(client().status()),
                    };
                    status.unwrap();
                    asked.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        for pair in [&next, &last] {
            let before = asked.load(Ordering::Relaxed);
            replace(&at, pair);
            until("the new certificate", || serves(&server, pair));
            until("requests", || asked.load(Ordering::Relaxed) > before + 20);
        }
        over.store(true, Ordering::Relaxed);
    });
    assert_eq!(degraded(&server), "[]");
}
