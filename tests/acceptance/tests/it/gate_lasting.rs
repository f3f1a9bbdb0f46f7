//! What outlasts a request at a gate: tunnels and answers that stream, and what the gate
//! remembers of the server's record.

use crate::gate::{Call, Holder, Upstream, web};
use crate::gate_foreign::Legacy;
use crate::scene::{PATIENCE, agent, shop};
use procura_acceptance::{GateHost, Installation, promised, until};
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;
use std::time::{Duration, Instant};

/// A service that answers `GET /ws` with a tunnel and all else with a stream of events;
/// neither ever ends by itself. Its URL.
fn lasting() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            std::thread::spawn(move || last(stream.unwrap()));
        }
    });
    url
}

fn last(mut stream: TcpStream) {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        if stream.read(&mut byte).unwrap_or(0) == 0 {
            return;
        }
        head.push(byte[0]);
    }
    let answer = if head.starts_with(b"GET /ws ") {
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\nbegun\n"
    } else {
        "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n6\r\nbegun\n\r\n"
    };
    let _ = stream.write_all(answer.as_bytes());
    // It is there as long as somebody listens.
    while stream.read(&mut byte).unwrap_or(0) > 0 {}
}

/// A stream or a tunnel that has begun, by this proven request.
fn begun(call: &Call, at: &str) -> TcpStream {
    let path = call.path.as_str();
    let mut text = format!("GET {path} HTTP/1.1\r\nHost: {at}\r\n");
    if path == "/ws" {
        text.push_str("Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n");
    }
    for (name, value) in &call.headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    let mut stream = TcpStream::connect(at).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all((text + "\r\n").as_bytes()).unwrap();
    let mut received = Vec::new();
    let mut buffer = [0; 1024];
    while !received.windows(6).any(|six| six == b"begun\n") {
        let length = stream.read(&mut buffer).unwrap();
        let so_far = String::from_utf8_lossy(&received);
        assert!(length > 0, "it ended with {so_far:?}");
        received.extend_from_slice(&buffer[..length]);
    }
    stream
}

/// Waits for the end of a connection.
fn ends(mut stream: TcpStream) {
    let mut buffer = [0; 1024];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return,
            Ok(_) => {}
            // A reset is an end too; not to hear of one is none.
            Err(error) => {
                assert_ne!(error.kind(), std::io::ErrorKind::WouldBlock, "{error}");
                return;
            }
        }
    }
}

/// The installation with the service `web` before `upstream`, and its gate.
fn door(upstream: &str) -> (Installation, GateHost) {
    let server = shop();
    let code = agent(&server, "shop", "door");
    let add = ["-n", "shop", "service", "add", "web", "--mode", "enforce"];
    server.cli(&[&add[..], &["--gate", "door"]].concat()).ok();
    let words = ["--service", "web", "--upstream", upstream];
    let gate = GateHost::start(&server, "gate", &code, &words);
    (server, gate)
}

fn is_let_in(holder: &Holder, at: &str) {
    until("the agent is known", PATIENCE, || {
        probes(&holder.get(at, "/probe"), at).then_some(())
    });
}

/// Whether a request is let in; its answer never ends, so only its beginning is read.
fn probes(call: &Call, at: &str) -> bool {
    let mut stream = TcpStream::connect(at).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut text = format!("GET {} HTTP/1.1\r\nHost: {at}\r\n", call.path);
    for (name, value) in &call.headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    stream.write_all((text + "\r\n").as_bytes()).unwrap();
    let mut status = [0; 12];
    stream.read_exact(&mut status).unwrap();
    status.ends_with(b"200")
}

#[test]
fn streams_and_tunnels_end_within_a_second_of_a_revocation() {
    let (server, gate) = door(&lasting());
    let at = gate.address().to_owned();
    let scribe = Holder::join(&server, &agent(&server, "shop", "scribe"));
    let other = Holder::join(&server, &agent(&server, "shop", "other"));
    is_let_in(&scribe, &at);
    is_let_in(&other, &at);
    let going = ["/events", "/ws"].map(|path| begun(&scribe.get(&at, path), &at));
    let mut staying = begun(&other.get(&at, "/ws"), &at);
    // By an id of another system that stands for the agent: it has no device to lose.
    let legacy = Legacy::new("legacy-7").bind(&server, "scribe");
    until("the gate knows the id", PATIENCE, || {
        probes(&legacy.get("hmac-v2", &at, "/probe"), &at).then_some(())
    });
    let legacy = ["/events", "/ws"].map(|path| begun(&legacy.get("hmac-v2", &at, path), &at));

    let thumbprint = scribe.key.public().thumbprint().to_string();
    let revoke = ["-n", "shop", "device", "revoke", &thumbprint];
    server.cli(&revoke).ok();
    let revoked = Instant::now();
    for stream in going {
        ends(stream);
    }
    assert!(revoked.elapsed() < promised(1));
    // Others are where they were.
    staying
        .set_read_timeout(Some(Duration::from_millis(200)))
        .unwrap();
    let error = staying.read(&mut [0]).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock);
    staying.set_read_timeout(Some(PATIENCE)).unwrap();
    for (label, streams) in [("other", vec![staying]), ("scribe", legacy.into())] {
        server.cli(&["-n", "shop", "agent", "revoke", label]).ok();
        let revoked = Instant::now();
        for stream in streams {
            ends(stream);
        }
        assert!(revoked.elapsed() < promised(1), "{label}");
    }
}

#[test]
fn what_an_id_of_another_system_opened_ends_with_its_release_and_with_a_binding() {
    let (server, gate) = door(&lasting());
    let at = gate.address().to_owned();
    let _ = agent(&server, "shop", "scribe");
    let foreign = |words: &[&str]| {
        server
            .cli(&[&["-n", "shop", "agent", "foreign"][..], words].concat())
            .ok();
    };
    let known = |legacy: &Legacy, profile| {
        until("the gate knows the agent", PATIENCE, || {
            probes(&legacy.get(profile, &at, "/probe"), &at).then_some(())
        });
    };
    // Before it is bound, by its file alone, and while it is bound.
    let legacy = Legacy::new("legacy-7");
    legacy.enrol(&server);
    known(&legacy, "key-server-v1");
    let open = |legacy: &Legacy| {
        ["/events", "/ws"].map(|path| begun(&legacy.get("key-server-v1", &at, path), &at))
    };
    let end = |streams: [TcpStream; 2], what: &str| {
        let done = Instant::now();
        for stream in streams {
            ends(stream);
        }
        assert!(done.elapsed() < promised(1), "{what}");
    };
    let unbound = open(&legacy);
    foreign(&["bind", "legacy-7", "scribe"]);
    end(unbound, "bound");
    known(&legacy, "key-server-v1");
    let bound = open(&legacy);
    let other = Legacy::new("legacy-8").bind(&server, "scribe");
    known(&other, "hmac-v2");
    let mut staying = begun(&other.get("hmac-v2", &at, "/ws"), &at);
    foreign(&["release", "legacy-7", "--yes"]);
    end(bound, "released");
    // Another id of the same agent is where it was.
    staying
        .set_read_timeout(Some(Duration::from_millis(200)))
        .unwrap();
    let error = staying.read(&mut [0]).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock);
}

#[test]
fn what_nobodys_id_opened_ends_with_the_gate() {
    let (server, gate) = door(&lasting());
    let at = gate.address().to_owned();
    let legacy = Legacy::new("legacy-7");
    legacy.enrol(&server);
    until("the gate knows the agent", PATIENCE, || {
        probes(&legacy.get("key-server-v1", &at, "/probe"), &at).then_some(())
    });
    let streams =
        ["/events", "/ws"].map(|path| begun(&legacy.get("key-server-v1", &at, path), &at));
    server.cli(&["-n", "shop", "agent", "revoke", "door"]).ok();
    let revoked = Instant::now();
    for stream in streams {
        ends(stream);
    }
    assert!(revoked.elapsed() < promised(1));
}

#[test]
fn a_gate_refuses_a_server_whose_record_does_not_go_on() {
    let upstream = Upstream::start();
    let (mut server, mut gate) = web(&upstream, &[]);
    let scribe = Holder::join(&server, &agent(&server, "shop", "scribe"));
    let at = gate.address().to_owned();
    let answers = |status: u16| {
        until("the gate hears of it", PATIENCE, || {
            (scribe.get(&at, "/").send(&at).status == status).then_some(())
        });
    };
    answers(200);
    let copy = |from: &std::path::Path, to: &std::path::Path| {
        let copied = Command::new("cp").arg("-a").args([from, to]).status();
        assert!(copied.unwrap().success());
    };
    let seen = gate.home().join("gate/checkpoint-seen");
    let size = || {
        let note = std::fs::read_to_string(&seen).unwrap();
        note.lines().nth(1).unwrap().parse::<u64>().unwrap()
    };
    let shown = server.cli(&["--json", "status"]).ok().json();
    let note = shown["checkpoint"].as_str().unwrap();
    let before: u64 = note.lines().nth(1).unwrap().parse().unwrap();
    assert_eq!(server.stop(), Some(0));
    let backup = server.folder().join("backup");
    copy(&server.home(), &backup);

    // It goes on: what is there now begins with what was seen.
    server.start_again();
    server.unseal().ok();
    for label in ["one", "two", "three", "four"] {
        let _ = agent(&server, "shop", label);
    }
    // More than the copy will have when it is opened.
    until("the gate has seen that it grew", PATIENCE, || {
        (size() > before + 4).then_some(())
    });
    for kept in ["checkpoint-seen", "directory-seen"] {
        let found = std::fs::metadata(gate.home().join("gate").join(kept)).unwrap();
        assert_eq!(found.permissions().mode() & 0o777, 0o600, "{kept}");
    }
    assert_eq!(gate.stop(), Some(0));
    gate.start_again();
    answers(200);

    // It does not: the copy from before, with a history of its own since.
    assert_eq!(server.stop(), Some(0));
    // The key agent listens in the home, and would go on without it.
    server.cli(&["logout"]).ok();
    std::fs::remove_dir_all(server.home()).unwrap();
    copy(&backup, &server.home());
    server.start_again();
    server.unseal().ok();
    answers(503);
    let remembered = size();
    assert_eq!(gate.stop(), Some(0));
    let words = ["--service", "web", "--upstream", &upstream.url];
    let begun = GateHost::refused(&server, "gate", "", &words, None);
    begun.code(77).says("what the server says is not used");
    assert_eq!(size(), remembered);
    // Until an operator says that it is meant.
    gate.start_again_with(&["--danger-accept-rollback"]);
    answers(200);
    assert_eq!(gate.stop(), Some(0));
}
