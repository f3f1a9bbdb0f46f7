//! Who may speak on the socket, and what is refused.

use crate::client::{Raw, ask_exec, exec, ticket};
use crate::host::{Host, eventually, own_uid, usual};
use procura_daemon::socket::client::DaemonClient;
use procura_daemon::socket::{Op, Reply};
use procura_daemon::{Limits, ServiceOptions};
use procura_types::exit;
use std::io::Write as _;
use std::process::{Command, Stdio};

#[test]
fn one_connection_carries_one_question() {
    let host = Host::new();
    let raw = Raw::connect(&host.socket());
    raw.ask(Op::Status {});
    assert!(matches!(raw.hear().unwrap().0, Reply::Status(_)));
    assert!(raw.hear().is_none());
}

#[test]
fn what_is_no_question_is_refused() {
    let host = Host::new();
    for text in [
        &b"x"[..],
        b"{}",
        b"{\"challenge\":\"\"}",
        b"{\"challenge\":\"\",\"op\":{\"status\":{}},\"more\":1}",
        b"{\"challenge\":\"\",\"op\":{\"other\":{}}}",
        b"{\"challenge\":\"\",\"op\":{\"status\":{\"x\":1}}}",
        &[b' '; 200 * 1024],
    ] {
        let raw = Raw::connect(&host.socket());
        raw.say(text);
        let failure = raw.failure();
        let expected = if text.len() > 1024 { "io" } else { "usage" };
        assert_eq!(failure.code, expected, "{}", failure.message);
    }
}

#[test]
fn a_challenge_must_be_said_back() {
    let host = Host::new();
    let mut raw = Raw::connect(&host.socket());
    raw.challenge = Raw::connect(&host.socket()).challenge.clone();
    raw.ask(Op::Ticket {});
    let failure = raw.failure();
    assert_eq!(
        (failure.exit, failure.code.as_str()),
        (exit::REFUSED, "unknown_peer")
    );
    assert_eq!(
        failure.message,
        "the process that connected is not the one that answers"
    );
}

#[test]
fn another_process_cannot_speak_on_a_connection() {
    let host = Host::new();
    let raw = Raw::connect(&host.socket());
    // A child that inherits the connection says the right words.
    let mut child = Command::new("cat")
        .stdin(Stdio::piped())
        .stdout(Stdio::from(raw.socket.try_clone().unwrap()))
        .spawn()
        .unwrap();
    let text = raw.text(Op::Ticket {});
    child.stdin.take().unwrap().write_all(&text).unwrap();
    assert!(child.wait().unwrap().success());
    let failure = raw.failure();
    assert_eq!(failure.code, "unknown_peer");
    assert_eq!(
        failure.message,
        "the process that connected is not the one that answers"
    );
}

#[test]
fn users_that_are_not_served_are_refused_before_they_ask() {
    let mut host = Host::new();
    // The daemon believes to be somebody else, so this user is another; root
    // is always served.
    host.restart_with(ServiceOptions {
        own_uid: own_uid() + 1,
        ..usual()
    });
    let status = |host: &Host| {
        let raw = Raw::connect(&host.socket());
        raw.ask(Op::Status {});
        match raw.hear().unwrap().0 {
            Reply::Status(status) => status,
            _ => panic!("no status"),
        }
    };
    if own_uid() == 0 {
        assert!(!status(&host).danger_same_uid);
    } else {
        let error = DaemonClient::connect(&host.socket()).err().unwrap();
        assert_eq!(
            (error.exit(), error.code()),
            (exit::REFUSED, "user_not_allowed")
        );
    }
    host.restart_with(ServiceOptions {
        own_uid: own_uid() + 1,
        users: vec![own_uid()],
        ..usual()
    });
    assert!(!status(&host).danger_same_uid);
    // Of a group, those who are named and nobody else.
    host.restart_with(ServiceOptions {
        own_uid: own_uid() + 1,
        users: vec![own_uid() + 2],
        socket_group: true,
        ..usual()
    });
    if own_uid() != 0 {
        let error = DaemonClient::connect(&host.socket()).err().unwrap();
        assert_eq!(
            (error.exit(), error.code()),
            (exit::REFUSED, "user_not_allowed")
        );
    }
    host.restart();
    assert!(host.connect().status().unwrap().danger_same_uid);
}

#[test]
fn a_daemon_of_this_user_that_confines_nothing_is_refused() {
    let mut host = Host::new();
    assert!(host.connect().confine().is_some());
    // To it this user is another, so it says nothing of what is to be hidden.
    host.restart_with(ServiceOptions {
        own_uid: own_uid() + 1,
        users: vec![own_uid()],
        ..usual()
    });
    let error = DaemonClient::connect(&host.socket()).err().unwrap();
    assert_eq!(
        (error.exit(), error.code()),
        (exit::REFUSED, "false_daemon")
    );
    assert_eq!(
        error.to_string(),
        format!(
            "the daemon at {} runs as this user and does not say what commands are to be kept from: it is an older procurad, or none. End it (ss -xlp shows the process), and start the procurad of this release",
            host.socket().display()
        )
    );
}

#[test]
fn one_user_cannot_hold_all_connections() {
    let mut host = Host::new();
    host.restart_with(ServiceOptions {
        limits: Limits {
            connections: 12,
            watched: 1,
        },
        ..usual()
    });
    // Each holds its place for as long as it may think about what to ask.
    let mut held: Vec<Raw> = (0..3).map(|_| Raw::connect(&host.socket())).collect();
    let error = DaemonClient::connect(&host.socket()).err().unwrap();
    assert_eq!((error.exit(), error.code()), (exit::UNREACHABLE, "busy"));
    assert_eq!(
        error.to_string(),
        format!(
            "user {} holds all 3 connections to the daemon that one user may hold, as `procura run --wait` does while it waits; end some of them, and run it again",
            own_uid()
        )
    );
    // Whoever has a place is still served, and gives it back.
    let last = held.pop().unwrap();
    last.ask(Op::Status {});
    assert!(matches!(last.hear().unwrap().0, Reply::Status(_)));
    eventually("the place is free", || {
        DaemonClient::connect(&host.socket()).is_ok()
    });
}

#[test]
fn a_ticket_is_good_once_and_for_its_process() {
    let host = Host::new();
    host.join(1).unwrap();
    host.fake
        .script()
        .runs
        .push_back(crate::fake::Scripted::Pending);
    let refused = |ticket: &[u8], words: &str| {
        let raw = Raw::connect(&host.socket());
        raw.ask(Op::Exec(exec(ticket)));
        let failure = raw.failure();
        assert_eq!(
            (failure.exit, failure.code.as_str()),
            (exit::REFUSED, "ticket_refused")
        );
        assert_eq!(failure.message, words);
    };
    let unknown = "the ticket is unknown or was used before";
    refused(&[0; 32], unknown);
    refused(&[], unknown);

    let once = ticket(&host.socket());
    let raw = Raw::connect(&host.socket());
    raw.ask(Op::Exec(exec(&once)));
    assert!(matches!(raw.hear().unwrap().0, Reply::Pending(_)));
    refused(&once, unknown);
    assert_eq!(host.fake.script().asked.len(), 1);
}

#[test]
fn whoever_has_no_device_or_several_is_told_what_to_do() {
    let host = Host::new();
    let failure = ask_exec(&host.socket(), |_| {}).failure();
    assert_eq!(failure.exit, exit::CONFIG);
    assert!(failure.message.contains("run `procura join CODE`"));

    host.join(1).unwrap();
    host.join(2).unwrap();
    let failure = ask_exec(&host.socket(), |_| {}).failure();
    assert_eq!(failure.exit, exit::USAGE);
    assert_eq!(
        failure.message,
        "several agents have joined here; choose one with --agent: main/agent-1, main/agent-2"
    );
    let failure = ask_exec(&host.socket(), |ask| ask.agent = Some("agent-3".to_owned())).failure();
    assert!(failure.message.contains("no device of agent agent-3"));

    host.fake
        .script()
        .runs
        .push_back(crate::fake::Scripted::Pending);
    for agent in ["agent-2", "main/agent-2"] {
        let raw = ask_exec(&host.socket(), |ask| ask.agent = Some(agent.to_owned()));
        match raw.hear().unwrap().0 {
            Reply::Pending(pending) => assert_eq!(pending.agent, "alice//agent-2"),
            _ => panic!("not pending"),
        }
    }
}
