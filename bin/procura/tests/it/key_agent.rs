//! The key agent as a process: it signs, keeps to its user, and ends.

use crate::installed::{Installed, PASSPHRASE};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
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

#[test]
fn it_inherits_no_descriptor_of_whoever_logs_in() {
    let installed = Installed::new();
    let cli = &installed.cli;
    let file = installed.dir().join("passphrase");
    std::fs::write(&file, PASSPHRASE).unwrap();
    // 5 is the passphrase; 7 is a pipe whose end is seen only when nobody holds
    // it any more.
    let mut child = Command::new("sh")
        .args([
            "-c",
            "exec 5<\"$1\" 7>&1 >/dev/null; exec \"$2\" login --passphrase-fd 5",
            "sh",
        ])
        .arg(&file)
        .arg(env!("CARGO_BIN_EXE_procura"))
        .env_clear()
        .env("PROCURA_HOME", &cli.home)
        .env("PROCURA_SERVER", cli.url.as_deref().unwrap())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    assert!(child.wait().unwrap().success());
    let pipe = child.stdout.take().unwrap();
    let mut waiting = [PollFd::new(&pipe, PollFlags::IN)];
    let limit = Timespec {
        tv_sec: 20,
        tv_nsec: 0,
    };
    assert_eq!(
        poll(&mut waiting, Some(&limit)).unwrap(),
        1,
        "somebody holds the pipe"
    );
    assert!(waiting[0].revents().contains(PollFlags::HUP));

    let agent = of_home(&cli.home).expect("a key agent");
    // Readable for root only, since it is not dumpable.
    if let Ok(open) = std::fs::read_dir(format!("/proc/{agent}/fd")) {
        for entry in open {
            let target = std::fs::read_link(entry.unwrap().path()).unwrap();
            assert_ne!(target, file);
        }
    }
}

#[test]
fn one_that_takes_the_place_of_another_is_found_and_ended() {
    let installed = Installed::new();
    let cli = &installed.cli;
    // Each of them stops the one before, which must not take the socket of the next
    // one along.
    for _ in 0..10 {
        cli.ok(&["login", "--passphrase-fd", "0"], PASSPHRASE);
        assert!(cli.home.join("operator/agent.sock").exists());
    }
    cli.ok(&["logout"], b"");
    for _ in 0..6000 {
        if of_home(&cli.home).is_none() {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    panic!("a key agent goes on");
}

/// A process that holds the key of a home.
fn of_home(home: &Path) -> Option<u32> {
    let socket = home.join("operator/agent.sock");
    let words = format!("__key-agent\0{}\0", socket.display());
    let is_it = |pid: &u32| {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&line).contains(&words)
    };
    std::fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok())
        .find(is_it)
}
