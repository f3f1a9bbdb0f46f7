//! From `procura run` to the command, in one process.

use crate::fake::{Fake, RUN, Scripted};
use crate::host::{Host, eventually, own_uid};
use procura_daemon::socket::client::JoinOptions;
use procura_daemon::{Limits, ServiceOptions};
use procura_types::exit;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// The example program beside this test's own.
fn run_in_place() -> PathBuf {
    let own = std::env::current_exe().unwrap();
    own.ancestors()
        .nth(2)
        .unwrap()
        .join("examples/run_in_place")
}

fn host(runs: impl IntoIterator<Item = Scripted>) -> Host {
    let host = Host::new();
    host.join(1).unwrap();
    host.fake.script().runs.extend(runs);
    host
}

fn values(pairs: &[(&'static str, &[u8])]) -> Scripted {
    Scripted::Values(
        pairs
            .iter()
            .map(|(name, value)| (*name, value.to_vec()))
            .collect(),
    )
}

/// `procura run` with these options and this command.
fn run(host: &Host, options: &[&str], command: &[&str]) -> Command {
    // What runs in the background of a script ignores SIGINT, and its children do.
    let mut run = Command::new("/usr/bin/env");
    run.arg("--default-signal=INT")
        .arg(run_in_place())
        .arg(host.socket())
        .arg(env!("CARGO_BIN_EXE_procurad"))
        .arg("shop")
        .args(options)
        .arg("--")
        .args(command)
        .stdin(Stdio::null());
    run
}

fn code(output: &Output) -> u8 {
    u8::try_from(output.status.code().unwrap()).unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

#[test]
fn the_command_gets_the_values_and_is_the_same_process() {
    let host = host([values(&[("A", b"one"), ("B", &[0xff, b'\n', b'='])])]);
    let mut child = run(
        &host,
        &[],
        &["sh", "-c", "echo $$; cat /proc/self/environ >&2; exit 7"],
    )
    .env("A", "before")
    .env("KEPT", "yes")
    .env("LD_PRELOAD", "")
    .env("LD_LIBRARY_PATH", "/nowhere")
    .env("GLIBC_TUNABLES", "glibc.malloc.check=0")
    .stdout(Stdio::piped())
    .stderr(Stdio::piped())
    .spawn()
    .unwrap();
    let (mut out, mut environ) = (String::new(), Vec::new());
    child
        .stdout
        .take()
        .unwrap()
        .read_to_string(&mut out)
        .unwrap();
    child
        .stderr
        .take()
        .unwrap()
        .read_to_end(&mut environ)
        .unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(7));
    assert_eq!(out.trim(), child.id().to_string());
    let has = |variable: &[u8]| {
        environ
            .split(|byte| *byte == 0)
            .any(|found| found == variable)
    };
    assert!(has(b"A=one"));
    assert!(has(b"B=\xff\n="));
    assert!(has(b"KEPT=yes"));
    for loader in [&b"LD_"[..], b"GLIBC_TUNABLES"] {
        assert!(
            !environ
                .split(|byte| *byte == 0)
                .any(|found| found.starts_with(loader))
        );
    }
    // The daemon saw this very process.
    let script = host.fake.script();
    let caller = script.asked[0].caller.as_ref().unwrap();
    assert_eq!(caller.pid, Some(child.id()));
    assert!(script.asked[0].names.is_empty());
}

#[test]
fn nothing_is_left_open_for_the_command() {
    let host = host([values(&[("A", b"1")])]);
    let output = run(&host, &[], &["sh", "-c", "ls -l /proc/$$/fd"])
        .output()
        .unwrap();
    let listed = text(&output.stdout);
    for ours in ["memfd", "socket"] {
        assert!(!listed.contains(ours), "{listed}");
    }
}

#[test]
fn names_typed_and_names_of_files_are_asked_for_together() {
    let host = host([values(&[("A", b"1")])]);
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join(".env");
    fs::write(&file, "B=2\nC=3\n").unwrap();
    let file = file.to_str().unwrap();
    for (options, names) in [
        (
            &["--name", "A", "--name", "B", "--name", "A"][..],
            &["A", "B"][..],
        ),
        (
            &["--env-file", file, "--name", "C", "--name", "A"],
            &["C", "A", "B"],
        ),
        (&[], &[]),
    ] {
        let status = run(&host, options, &["true"]).status().unwrap();
        assert!(status.success());
        assert_eq!(host.fake.script().asked.pop().unwrap().names, names);
    }
    let wrong = run(&host, &["--name", "1A"], &["true"]).status().unwrap();
    assert_eq!(wrong.code(), Some(i32::from(exit::USAGE)));
    assert!(host.fake.script().asked.is_empty());
}

#[test]
fn limits_directory_and_session_are_the_commands_own() {
    let host = host([values(&[("A", b"1")])]);
    let place = tempfile::tempdir().unwrap();
    let shown = "ulimit -Sc; pwd -P; cut -d' ' -f5,6 /proc/self/stat; grep -E '^Sig(Blk|Ign)' /proc/self/status";
    let mine = Command::new("/usr/bin/env")
        .args(["--default-signal=INT", "sh", "-c", shown])
        .current_dir(place.path())
        .output()
        .unwrap();
    let ran = run(&host, &[], &["sh", "-c", shown])
        .current_dir(place.path())
        .output()
        .unwrap();
    assert_eq!(text(&ran.stdout), text(&mine.stdout));
    assert_eq!(
        host.fake.script().asked[0]
            .caller
            .as_ref()
            .unwrap()
            .cwd
            .as_deref(),
        place.path().to_str()
    );
}

#[test]
fn the_end_of_the_command_is_reported() {
    let host = host([values(&[("A", b"1")])]);
    let mut child = run(&host, &[], &["sh", "-c", "echo up; read line"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    assert_eq!(line, "up\n");
    assert!(host.fake.script().ended.is_empty());
    child.stdin.take().unwrap().write_all(b"\n").unwrap();
    child.wait().unwrap();
    eventually("the end is reported", || host.fake.script().ended == [RUN]);
}

#[test]
fn a_signal_ends_the_command_as_a_signal() {
    let host = host([values(&[("A", b"1")])]);
    let status = run(&host, &[], &["sh", "-c", "kill -TERM $$"])
        .status()
        .unwrap();
    assert_eq!(status.signal(), Some(15));
}

#[test]
fn a_command_that_cannot_be_had_is_told_as_by_a_shell() {
    let place = tempfile::tempdir().unwrap();
    let plain = place.path().join("plain");
    fs::write(&plain, "x").unwrap();
    for (command, expected) in [
        ("no-such-command-anywhere", exit::NOT_FOUND),
        (plain.to_str().unwrap(), exit::CANNOT_EXECUTE),
    ] {
        let host = host([values(&[("A", b"planted-value")])]);
        let output = run(&host, &[], &[command]).output().unwrap();
        assert_eq!(code(&output), expected);
        let said = text(&output.stderr);
        assert!(said.starts_with(&format!("procura: {command}: ")), "{said}");
        assert!(!said.contains("planted-value"));
        eventually("its end is reported", || host.fake.script().ended == [RUN]);
    }
}

#[test]
fn the_path_that_the_command_gets_finds_it() {
    let place = tempfile::tempdir().unwrap();
    let tool = place.path().join("tool");
    fs::write(&tool, "#!/bin/sh\necho found\n").unwrap();
    fs::set_permissions(&tool, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let host = host([values(&[("A", b"1")])]);
    let output = run(&host, &[], &["tool"])
        .env("PATH", place.path())
        .output()
        .unwrap();
    assert_eq!(text(&output.stdout), "found\n");
}

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

#[test]
fn waiting_is_ended_by_approval_or_by_a_signal() {
    let host = host([Scripted::Pending, values(&[("A", b"1")])]);
    let mut child = run(&host, &["--wait"], &["sh", "-c", "echo $A"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    while !line.starts_with("Waiting") {
        line.clear();
        assert_ne!(said.read_line(&mut line).unwrap(), 0);
    }
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
    let mut said = BufReader::new(child.stderr.take().unwrap());
    line.clear();
    while !line.starts_with("Waiting") {
        line.clear();
        assert_ne!(said.read_line(&mut line).unwrap(), 0);
    }
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    assert_eq!(child.wait().unwrap().signal(), Some(2));
}

/// Who runs agents in tests about users: another user when root tests, for root
/// may look at everything; else whoever tests.
fn agent_uid() -> u32 {
    if own_uid() == 0 { 65534 } else { own_uid() }
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
    host.stop();
    // The daemon is another user's, and serves nobody else.
    host.start(ServiceOptions {
        own_uid: agent_uid() + 1,
        users: Vec::new(),
        socket_group: false,
        limits: Limits::default(),
    });
    let output = run_as_agent(&host, &[], &["true"]).output().unwrap();
    assert_eq!(code(&output), exit::REFUSED);
    assert!(text(&output.stderr).contains("may not use this daemon"));
    assert!(host.fake.script().asked.is_empty());
}

#[test]
fn a_user_who_holds_all_its_connections_keeps_nobody_else_out() {
    let mut host = Host::new();
    host.stop();
    host.start(ServiceOptions {
        own_uid: own_uid(),
        users: vec![agent_uid()],
        socket_group: false,
        limits: Limits {
            connections: 8,
            watched: 8,
        },
    });
    let options = JoinOptions {
        uid: Some(agent_uid()),
        ..JoinOptions::default()
    };
    host.connect().join(&Fake::code(1), options).unwrap();
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
    let mut host = Host::new();
    host.stop();
    host.start(ServiceOptions {
        own_uid: own_uid(),
        users: vec![agent_uid()],
        socket_group: false,
        limits: Limits::default(),
    });
    let options = JoinOptions {
        uid: Some(agent_uid()),
        ..JoinOptions::default()
    };
    host.connect().join(&Fake::code(1), options).unwrap();
    host.fake.script().runs.push_back(Scripted::Pending);
    let mut child = run_as_agent(&host, &["--wait"], &["true"])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    let mut said = BufReader::new(child.stderr.take().unwrap());
    while !line.starts_with("Waiting") {
        line.clear();
        assert_ne!(said.read_line(&mut line).unwrap(), 0);
    }
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

#[test]
fn only_names_of_env_files_are_asked_for() {
    let host = host([values(&[("A", b"1")])]);
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join(".env");
    fs::write(
        &file,
        "export A='planted-value'\nB=2 # note\nA=3\nC-D=\"x\ny\"\n",
    )
    .unwrap();
    let file = file.to_str().unwrap();
    let output = run(&host, &["--env-file", file], &["sh", "-c", "echo $A $B"])
        .output()
        .unwrap();
    assert_eq!(text(&output.stdout), "1\n");
    assert_eq!(host.fake.script().asked[0].names, ["A", "B", "C-D"]);

    for (content, part) in [
        ("# nothing\n", "names no variable"),
        ("A='x", "line 1 begins a quote that is never closed"),
    ] {
        fs::write(file, content).unwrap();
        let output = run(&host, &["--env-file", file], &["true"])
            .output()
            .unwrap();
        assert_eq!(code(&output), exit::USAGE);
        assert!(text(&output.stderr).contains(part));
    }
    fs::remove_file(file).unwrap();
    let folder = place.path().to_str().unwrap();
    for (path, why) in [(file, "there is no such file"), (folder, "is a directory")] {
        let output = run(&host, &["--env-file", path], &["true"])
            .output()
            .unwrap();
        assert_eq!(code(&output), exit::USAGE);
        assert_eq!(text(&output.stderr), format!("procura: {path}: {why}\n"));
    }
    assert_eq!(host.fake.script().asked.len(), 1);
}

#[test]
fn the_stub_without_a_ticket_is_refused() {
    let host = host([values(&[("A", b"1")])]);
    let file = tempfile::NamedTempFile::new().unwrap();
    let stub = |number: &str| {
        Command::new(env!("CARGO_BIN_EXE_procurad"))
            .args([
                "exec",
                "--ticket-fd",
                number,
                "--project",
                "shop",
                "--socket",
            ])
            .arg(host.socket())
            .args(["--", "true"])
            .stdin(Stdio::from(fs::File::open(file.path()).unwrap()))
            .output()
            .unwrap()
    };
    for number in ["0", "1", "2", "3", "999", "-1"] {
        let output = stub(number);
        assert_eq!(code(&output), exit::USAGE, "{number}");
    }
    assert!(text(&stub("3").stderr).contains("no ticket was handed over"));
    assert!(host.fake.script().asked.is_empty());
}

#[test]
fn the_ticket_travels_neither_in_arguments_nor_in_the_environment() {
    let host = host([values(&[("A", b"1")])]);
    let place = tempfile::tempdir().unwrap();
    let fake_stub = place.path().join("stub");
    // Stands in for procurad: shows how it was started and what it was handed.
    fs::write(
        &fake_stub,
        "#!/bin/sh\nprintf '%s\\n' \"$@\"; env >&2; cat /proc/self/fd/$3 | wc -c\n",
    )
    .unwrap();
    fs::set_permissions(
        &fake_stub,
        std::os::unix::fs::PermissionsExt::from_mode(0o755),
    )
    .unwrap();
    let output = Command::new(run_in_place())
        .arg(host.socket())
        .arg(&fake_stub)
        .args([
            "shop",
            "--json",
            "--wait",
            "--env-file",
            "f",
            "--",
            "cmd",
            "-x",
        ])
        .env("LD_DEBUG_OUTPUT", "/nowhere")
        .output()
        .unwrap();
    let said: Vec<&str> = text(&output.stdout).lines().collect();
    let socket = host.socket();
    let number = said[2];
    assert_eq!(
        said,
        [
            "exec",
            "--ticket-fd",
            number,
            "--socket",
            socket.to_str().unwrap(),
            "--project",
            "shop",
            "--env-file",
            "f",
            "--wait",
            "--json",
            "--",
            "cmd",
            "-x",
            "32",
        ]
    );
    assert!(!text(&output.stderr).contains("LD_DEBUG_OUTPUT"));
    assert!(Path::new(&socket).exists());
}
