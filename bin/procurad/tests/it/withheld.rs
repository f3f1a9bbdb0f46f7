//! What stands between a command and its values: an approval that is not there
//! yet, a refusal, another user of the host.

use crate::fake::{Fake, Scripted};
use crate::host::{Host, own_uid, usual};
use crate::run::{code, host, run, run_in_place, text, values};
use procura_daemon::socket::client::JoinOptions;
use procura_daemon::{Limits, ServiceOptions};
use procura_types::exit;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Stdio};

#[test]
fn pending_is_told_to_people_and_to_programs() {
    let host = host([Scripted::Pending]);
    let output = run(&host, &[], &["touch", "/nonexistent"])
        .output()
        .unwrap();
    assert_eq!(code(&output), exit::PENDING);
    assert!(output.stdout.is_empty());
    let request = "08080808-0808-0808-0808-080808080808";
    let said = text(&output.stderr);
    for part in [
        request,
        "alice//agent-1",
        "A \u{2190} db/a",
        "X-Y not asked for: is no name of an environment variable",
        &format!("procura request approve {request} -n main"),
    ] {
        assert!(said.contains(part), "{part} in {said}");
    }
    let output = run(&host, &["--json"], &["true"]).output().unwrap();
    assert_eq!(code(&output), exit::PENDING);
    assert!(output.stderr.is_empty());
    let line: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(line["event"], "pending");
    assert_eq!(line["request"], request);
    assert_eq!(line["asked"][0]["path"], "db/a");
    assert_eq!(line["unmatched"][0]["reason"], "invalid_name");
    assert_eq!(
        line["approve"],
        format!("procura request approve {request} -n main")
    );
}

#[test]
fn refusals_start_nothing_and_have_their_exit_codes() {
    let place = tempfile::tempdir().unwrap();
    let witness = place.path().join("witness");
    let command = ["touch", witness.to_str().unwrap()];
    for (scripted, expected, event) in [
        (
            Scripted::Refused(403, "forbidden"),
            exit::REFUSED,
            "forbidden",
        ),
        (Scripted::Refused(500, "storage"), exit::STORAGE, "storage"),
        (Scripted::Unreachable, exit::UNREACHABLE, "unreachable"),
        (
            values(&[("A", b"1"), ("B", b"\0")]),
            exit::REFUSED,
            "undeliverable",
        ),
    ] {
        let host = host([scripted]);
        let output = run(&host, &["--json"], &command).output().unwrap();
        assert_eq!(code(&output), expected);
        let line: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(
            (&line["event"], &line["code"]),
            (&"refused".into(), &event.into())
        );
        assert_eq!(line["exit"], expected);
    }
    let refusing = host([Scripted::Refused(403, "forbidden")]);
    let output = run(&refusing, &[], &command).output().unwrap();
    assert_eq!(
        text(&output.stderr),
        "procura: the server says forbidden\n  next: procura project set PROJECT --agent LABEL -n NS, typed by an admin\n"
    );
    let mut host = host([values(&[("A", b"1")])]);
    host.stop();
    let output = run(&host, &[], &command).output().unwrap();
    assert_eq!(code(&output), exit::UNREACHABLE);
    assert!(!witness.exists());
    host.restart();
    assert!(run(&host, &[], &command).status().unwrap().success());
    assert!(witness.exists());
}

/// Reads what `procura run --wait` says until it waits. Its standard error is open
/// for as long as what is returned is kept.
fn until_it_waits(child: &mut Child) -> BufReader<ChildStderr> {
    let mut said = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    while !line.starts_with("Waiting") {
        line.clear();
        assert_ne!(said.read_line(&mut line).unwrap(), 0);
    }
    said
}

#[test]
fn waiting_is_ended_by_approval_or_by_a_signal() {
    let host = host([Scripted::Pending, values(&[("A", b"1")])]);
    let mut child = run(&host, &["--wait"], &["sh", "-c", "echo $A"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let _said = until_it_waits(&mut child);
    host.fake
        .script()
        .states
        .push_back(procura_types::wire::RequestState::Approved);
    let mut out = String::new();
    child
        .stdout
        .take()
        .unwrap()
        .read_to_string(&mut out)
        .unwrap();
    assert_eq!(out, "1\n");
    assert!(child.wait().unwrap().success());

    host.fake.script().runs.push_front(Scripted::Pending);
    let mut child = run(&host, &["--wait"], &["true"])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let _said = until_it_waits(&mut child);
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    assert_eq!(child.wait().unwrap().signal(), Some(2));
}

/// Who runs agents in tests about users: another user when root tests, for root
/// may look at everything; else whoever tests.
fn agent_uid() -> u32 {
    if own_uid() == 0 { 65534 } else { own_uid() }
}

/// A host whose daemon serves that user, with a device that is theirs.
fn host_of_agent(limits: Limits) -> Host {
    let mut host = Host::new();
    host.restart_with(ServiceOptions {
        users: vec![agent_uid()],
        limits,
        ..usual()
    });
    let options = JoinOptions {
        uid: Some(agent_uid()),
        ..JoinOptions::default()
    };
    host.connect().join(&Fake::code(1), options).unwrap();
    host
}

/// `procura run` as that user, who is let through to the socket and the
/// programs.
fn run_as_agent(host: &Host, options: &[&str], command: &[&str]) -> Command {
    let home = host.home.path();
    let open = |path: &Path, mode: u32| {
        fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
    };
    open(home, 0o755);
    open(&host.socket(), 0o666);
    let (program, procurad) = (home.join("run_in_place"), home.join("procurad"));
    fs::copy(run_in_place(), &program).unwrap();
    fs::copy(env!("CARGO_BIN_EXE_procurad"), &procurad).unwrap();
    let mut run = Command::new(program);
    run.arg(host.socket())
        .arg(procurad)
        .arg("shop")
        .args(options)
        .arg("--")
        .args(command)
        .current_dir("/")
        .stdin(Stdio::null());
    if own_uid() == 0 {
        run.uid(agent_uid()).gid(agent_uid());
    }
    run
}

#[test]
fn a_user_who_is_not_served_gets_nothing_even_through_an_open_socket() {
    let mut host = host([values(&[("A", b"1")])]);
    // The daemon is another user's, and serves nobody else.
    host.restart_with(ServiceOptions {
        own_uid: agent_uid() + 1,
        ..usual()
    });
    let output = run_as_agent(&host, &[], &["true"]).output().unwrap();
    assert_eq!(code(&output), exit::REFUSED);
    assert!(text(&output.stderr).contains("may not use this daemon"));
    assert!(host.fake.script().asked.is_empty());
}

#[test]
fn a_user_who_holds_all_its_connections_keeps_nobody_else_out() {
    let host = host_of_agent(Limits {
        connections: 8,
        watched: 8,
    });
    // What this user holds until the test is over.
    let _held: Vec<_> = (0..2).map(|_| host.connect()).collect();
    let mut run = run_as_agent(&host, &[], &["true"]);
    if own_uid() == agent_uid() {
        let output = run.output().unwrap();
        assert_eq!(code(&output), exit::UNREACHABLE);
        assert!(text(&output.stderr).contains("holds all 2 connections"));
    } else {
        host.fake.script().runs.push_back(values(&[("A", b"1")]));
        let output = run.output().unwrap();
        assert_eq!(code(&output), 0, "{}", text(&output.stderr));
    }
}

#[test]
fn while_it_waits_others_of_its_user_cannot_look_into_it() {
    let host = host_of_agent(Limits::default());
    host.fake.script().runs.push_back(Scripted::Pending);
    let mut child = run_as_agent(&host, &["--wait"], &["true"])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let _said = until_it_waits(&mut child);
    for file in ["environ", "mem", "maps", "fd"] {
        let mut look = Command::new("cat");
        look.arg(format!("/proc/{}/{file}", child.id()));
        if file == "fd" {
            look = Command::new("ls");
            look.arg(format!("/proc/{}/fd", child.id()));
        }
        if own_uid() == 0 {
            look.uid(agent_uid()).gid(agent_uid());
        }
        let seen = look.stdin(Stdio::null()).output().unwrap();
        assert!(!seen.status.success(), "{file}");
        assert!(text(&seen.stderr).contains("Permission denied"), "{file}");
    }
    let limits = fs::read_to_string(format!("/proc/{}/limits", child.id())).unwrap();
    let core = limits
        .lines()
        .find(|line| line.starts_with("Max core file size"))
        .unwrap();
    assert_eq!(core.split_ascii_whitespace().nth(4), Some("0"));
    child.kill().unwrap();
    child.wait().unwrap();
}
