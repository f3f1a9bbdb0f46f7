//! From `procura run` to the command, in one process.

use crate::fake::{RUN, Scripted};
use crate::host::{Host, eventually};
use procura_types::exit;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// The example program beside this test's own.
pub(crate) fn run_in_place() -> PathBuf {
    let own = std::env::current_exe().unwrap();
    own.ancestors()
        .nth(2)
        .unwrap()
        .join("examples/run_in_place")
}

pub(crate) fn host(runs: impl IntoIterator<Item = Scripted>) -> Host {
    let host = Host::new();
    host.join(1).unwrap();
    host.fake.script().runs.extend(runs);
    host
}

pub(crate) fn values(pairs: &[(&'static str, &[u8])]) -> Scripted {
    Scripted::Values(
        pairs
            .iter()
            .map(|(name, value)| (*name, value.to_vec()))
            .collect(),
    )
}

/// `procura run` with these options and this command.
pub(crate) fn run(host: &Host, options: &[&str], command: &[&str]) -> Command {
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

pub(crate) fn code(output: &Output) -> u8 {
    u8::try_from(output.status.code().unwrap()).unwrap()
}

pub(crate) fn text(bytes: &[u8]) -> &str {
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
    let shown = "ulimit -n; pwd -P; cut -d' ' -f5,6 /proc/self/stat; grep -E '^Sig(Blk|Ign)' /proc/self/status";
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
fn the_command_gains_nothing_by_exec_and_leaves_no_core() {
    let host = host([values(&[("A", b"1")])]);
    let shown = "ulimit -S -c; ulimit -H -c; grep NoNewPrivs /proc/self/status";
    let ran = run(&host, &[], &["sh", "-c", shown]).output().unwrap();
    assert_eq!(text(&ran.stdout), "0\n0\nNoNewPrivs:\t1\n");
}

#[test]
fn what_the_command_line_hides_is_hidden_whatever_the_daemon_names() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("places/file");
    fs::create_dir(folder.path().join("places")).unwrap();
    fs::write(&file, "x").unwrap();
    let reads = |options: &[&str]| {
        let host = host([values(&[("A", b"one")])]);
        let output = run(&host, options, &["cat", file.to_str().unwrap()]).output();
        let output = output.unwrap();
        (code(&output), text(&output.stdout).to_owned())
    };
    assert_eq!(reads(&[]), (0, "x".to_owned()));
    for hidden in ["places", "places/not-there"] {
        let hidden = folder.path().join(hidden);
        let options = ["--hide", hidden.to_str().unwrap()];
        let open = hidden.ends_with("not-there");
        let expected = if open { (0, "x") } else { (1, "") };
        assert_eq!(reads(&options), (expected.0, expected.1.to_owned()));
    }
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
