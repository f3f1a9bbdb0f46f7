//! The key agent as a process: it signs, keeps to its user, and ends.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// A P-256 private key as the program keeps them: `u8 1 ‖ scalar`.
fn key() -> Vec<u8> {
    let mut key = vec![7u8; 33];
    key[0] = 1;
    key
}

fn start(socket: &Path, seconds: u64) -> (Child, String) {
    start_as(Command::new(env!("CARGO_BIN_EXE_procura")), socket, seconds)
}

fn start_as(mut command: Command, socket: &Path, seconds: u64) -> (Child, String) {
    let mut child = command
        .arg("__key-agent")
        .arg(socket)
        .arg(seconds.to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(&key()).unwrap();
    let mut said = String::new();
    BufReader::new(child.stdout.take().unwrap())
        .read_line(&mut said)
        .unwrap();
    (child, said)
}

fn ask(socket: &Path, line: &str) -> String {
    let mut stream = UnixStream::connect(socket).unwrap();
    stream.write_all(line.as_bytes()).unwrap();
    stream.write_all(b"\n").unwrap();
    let mut answer = String::new();
    // The agent hangs up on what it does not understand.
    let _ = BufReader::new(stream).read_line(&mut answer);
    answer
}

#[test]
fn it_signs_survives_nonsense_leaves_the_terminal_and_stops_when_told() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("agent.sock");
    let (mut child, said) = start(&socket, 600);
    assert_eq!(said, "ready\n");
    assert_eq!(
        socket.metadata().unwrap().permissions().mode() & 0o777,
        0o600
    );

    assert!(ask(&socket, "\"public\"").starts_with("{\"public\":{\"key\":{\"kty\":\"EC\""));
    assert_eq!(ask(&socket, "nonsense"), "");
    assert_eq!(ask(&socket, "{\"sign\":\"not base64!\"}"), "");
    assert!(ask(&socket, "{\"sign\":\"aGVsbG8\"}").starts_with("{\"signature\":\""));

    // It has left the terminal: a session of its own, without one.
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", child.id())).unwrap();
    let after_name = stat.rsplit_once(") ").unwrap().1;
    let fields: Vec<&str> = after_name.split(' ').collect();
    assert_eq!(
        fields[3],
        child.id().to_string(),
        "it leads its own session"
    );
    assert_eq!(fields[4], "0", "it has no terminal");

    assert_eq!(ask(&socket, "\"stop\""), "\"stopped\"\n");
    assert!(child.wait().unwrap().success());
    assert!(!socket.exists());
}

#[test]
fn it_is_not_dumpable() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("agent.sock");
    let mut command = Command::new(env!("CARGO_BIN_EXE_procura"));
    // What a process that is not dumpable shows of itself in /proc belongs to
    // root (proc(5)): told apart only from a process that is not root's.
    if rustix::process::geteuid().is_root() {
        std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o777)).unwrap();
        command.uid(65_534).gid(65_534);
    }
    let (mut child, said) = start_as(command, &socket, 600);
    assert_eq!(said, "ready\n");
    let owner = |pid: u32| {
        std::fs::metadata(format!("/proc/{pid}/environ"))
            .unwrap()
            .uid()
    };
    assert_eq!(owner(child.id()), 0);
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn it_ends_when_its_time_is_over() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("agent.sock");
    let (mut child, said) = start(&socket, 1);
    assert_eq!(said, "ready\n");
    assert!(child.wait().unwrap().success());
    assert!(!socket.exists());
}

#[test]
fn a_key_that_is_none_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_procura"))
        .arg("__key-agent")
        .arg(dir.path().join("agent.sock"))
        .arg("10")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(b"nonsense").unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(78));
    assert_eq!(
        output.stdout,
        b"not an Ed25519 or P-256 key in its one accepted form\n"
    );
    assert!(!dir.path().join("agent.sock").exists());
}
