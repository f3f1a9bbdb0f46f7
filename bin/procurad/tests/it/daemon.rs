//! The daemon as a process.

use crate::host::own_uid;
use procura_types::exit;
use rustix::process::{Pid, Signal, kill_process};
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// The user that root's tests run daemons as; another user's tests run their
/// own.
const NOBODY: u32 = 65534;

struct Daemon {
    home: tempfile::TempDir,
    child: Child,
    ready: serde_json::Value,
}

fn command(home: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_procurad"));
    command
        .arg("--home")
        .arg(home)
        .arg("--socket")
        .arg(socket(home))
        .env_remove("XDG_RUNTIME_DIR")
        .env_remove("PROCURA_LOG")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

fn socket(home: &Path) -> PathBuf {
    home.join("run/agent.sock")
}

fn start(change: impl FnOnce(&mut Command, &Path)) -> Daemon {
    let home = tempfile::tempdir().unwrap();
    let mut command = command(home.path());
    change(&mut command, home.path());
    let mut child = command.spawn().unwrap();
    let mut line = String::new();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    out.read_line(&mut line).unwrap();
    let Ok(ready) = serde_json::from_str(&line) else {
        let mut said = String::new();
        child
            .stderr
            .take()
            .unwrap()
            .read_to_string(&mut said)
            .unwrap();
        panic!("it did not start: {said}");
    };
    Daemon { home, child, ready }
}

impl Daemon {
    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    fn end(&mut self) -> String {
        self.signal(Signal::TERM);
        assert!(self.child.wait().unwrap().success());
        let mut said = String::new();
        self.child
            .stderr
            .take()
            .unwrap()
            .read_to_string(&mut said)
            .unwrap();
        said
    }
}

#[test]
fn it_says_when_it_listens_and_leaves_nothing_behind() {
    let mut daemon = start(|_, _| {});
    let home = daemon.home.path().to_owned();
    let socket = socket(&home);
    assert_eq!(daemon.ready["event"], "ready");
    assert_eq!(daemon.ready["socket"], socket.to_str().unwrap());
    assert_eq!(daemon.ready["devices"], 0);
    let mode = |path: &Path| fs::symlink_metadata(path).unwrap().mode() & 0o777;
    assert_eq!(mode(&socket), 0o600);
    assert_eq!(mode(socket.parent().unwrap()), 0o700);
    assert_eq!(mode(&home.join("daemon")), 0o700);

    let second = command(&home).output().unwrap();
    assert_eq!(second.status.code(), Some(i32::from(exit::CONFIG)));
    let said = String::from_utf8(second.stderr).unwrap();
    assert!(said.contains("another process uses"), "{said}");

    let said = daemon.end();
    assert!(said.contains("danger_same_uid"), "{said}");
    assert!(!socket.exists());
}

#[test]
fn a_kill_needs_no_repair() {
    let mut daemon = start(|_, _| {});
    daemon.signal(Signal::KILL);
    daemon.child.wait().unwrap();
    let left = socket(daemon.home.path());
    assert!(left.exists());
    let mut again = command(daemon.home.path()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(again.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    assert!(line.contains("\"ready\""));
    kill_process(Pid::from_child(&again), Signal::TERM).unwrap();
    assert!(again.wait().unwrap().success());
}

#[test]
fn a_group_may_be_let_in() {
    let gid = rustix::process::getegid().as_raw().to_string();
    let mut daemon = start(|command, _| {
        command.args(["--group", &gid]);
    });
    let socket = socket(daemon.home.path());
    let mode = |path: &Path| fs::symlink_metadata(path).unwrap().mode() & 0o777;
    assert_eq!(mode(&socket), 0o660);
    assert_eq!(mode(socket.parent().unwrap()), 0o750);
    assert!(!daemon.end().contains("danger_same_uid"));
}

#[test]
fn others_of_its_user_cannot_look_into_it() {
    let as_other = own_uid() == 0;
    let mut daemon = start(|command, home| {
        if as_other {
            std::os::unix::fs::chown(home, Some(NOBODY), Some(NOBODY)).unwrap();
            let copy = home.join("procurad");
            fs::copy(env!("CARGO_BIN_EXE_procurad"), &copy).unwrap();
            fs::set_permissions(&copy, PermissionsExt::from_mode(0o755)).unwrap();
            fs::set_permissions(home, PermissionsExt::from_mode(0o755)).unwrap();
            let mut other = Command::new(copy);
            other.args(command.get_args()).uid(NOBODY).gid(NOBODY);
            other.stdout(Stdio::piped()).stderr(Stdio::piped());
            *command = other;
        }
    });
    let pid = daemon.child.id();
    let looks = |pid: u32, file: &str| {
        let mut look = Command::new("head");
        look.args(["-c", "1", &format!("/proc/{pid}/{file}")])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        if as_other {
            look.uid(NOBODY).gid(NOBODY);
        }
        let output = look.output().unwrap();
        (
            output.status.success(),
            String::from_utf8(output.stderr).unwrap(),
        )
    };
    // It can be seen of an ordinary process of the same user.
    let mut ordinary = Command::new("sleep");
    ordinary.arg("60");
    if as_other {
        ordinary.uid(NOBODY).gid(NOBODY);
    }
    let mut ordinary = ordinary.spawn().unwrap();
    assert!(looks(ordinary.id(), "environ").0);
    ordinary.kill().unwrap();
    ordinary.wait().unwrap();
    for file in ["environ", "mem", "maps"] {
        let (seen, said) = looks(pid, file);
        assert!(!seen, "{file}");
        assert!(said.contains("Permission denied"), "{file}: {said}");
    }
    let limits = fs::read_to_string(format!("/proc/{pid}/limits")).unwrap();
    let core = limits
        .lines()
        .find(|line| line.starts_with("Max core file size"))
        .unwrap();
    let words: Vec<&str> = core.split_ascii_whitespace().collect();
    assert_eq!(words[4..6], ["0", "0"]);
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let locked = status
        .lines()
        .find(|line| line.starts_with("VmLck:"))
        .unwrap();
    assert_ne!(locked.split_ascii_whitespace().nth(1), Some("0"));
    daemon.end();
}

#[test]
fn without_locked_memory_it_does_not_start() {
    if own_uid() == 0 {
        // Root may lock without limit; as another user the limit counts.
        let home = tempfile::tempdir().unwrap();
        let copy = home.path().join("procurad");
        fs::copy(env!("CARGO_BIN_EXE_procurad"), &copy).unwrap();
        fs::set_permissions(&copy, PermissionsExt::from_mode(0o755)).unwrap();
        fs::set_permissions(home.path(), PermissionsExt::from_mode(0o755)).unwrap();
        std::os::unix::fs::chown(home.path(), Some(NOBODY), Some(NOBODY)).unwrap();
        limited(&copy, home.path(), |command| {
            command.uid(NOBODY).gid(NOBODY);
        });
    } else {
        let home = tempfile::tempdir().unwrap();
        limited(
            Path::new(env!("CARGO_BIN_EXE_procurad")),
            home.path(),
            |_| {},
        );
    }
}

fn limited(procurad: &Path, home: &Path, change: impl Fn(&mut Command)) {
    let with = |more: &str| {
        let mut shell = Command::new("sh");
        shell
            .arg("-c")
            .arg(format!(
                "ulimit -l 0; exec \"$0\" --home \"$1\" --socket \"$1/run/s\" {more}"
            ))
            .arg(procurad)
            .arg(home)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        change(&mut shell);
        shell.spawn().unwrap()
    };
    let refused = with("").wait_with_output().unwrap();
    assert_eq!(refused.status.code(), Some(i32::from(exit::CONFIG)));
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(said.contains("--danger-unlocked-memory"), "{said}");

    let mut accepted = with("--danger-unlocked-memory");
    let mut line = String::new();
    BufReader::new(accepted.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    assert!(line.contains("\"ready\""));
    kill_process(Pid::from_child(&accepted), Signal::TERM).unwrap();
    accepted.wait().unwrap();
}

#[test]
fn what_it_is_told_wrongly_is_said() {
    for (arguments, code, part) in [
        (&["--colour"][..], exit::USAGE, "--colour"),
        (
            &["--group", "no-such-group"],
            exit::CONFIG,
            "no group no-such-group",
        ),
        (
            &["--user", "0"],
            exit::USAGE,
            "--user lets nobody in by itself: without a group the socket is the daemon's user's alone. Add --group NAME,",
        ),
        (&["exec"], exit::USAGE, "--ticket-fd"),
        (
            &[
                "exec",
                "--ticket-fd",
                "3",
                "--socket",
                "/s",
                "--project",
                "No",
                "--",
                "x",
            ],
            exit::USAGE,
            "project",
        ),
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_procurad"))
            .args(arguments)
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(i32::from(code)), "{arguments:?}");
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains(part), "{said}");
    }
    let help = Command::new(env!("CARGO_BIN_EXE_procurad"))
        .arg("--help")
        .output()
        .unwrap();
    assert!(help.status.success());
    assert!(
        String::from_utf8(help.stdout)
            .unwrap()
            .contains("Examples:")
    );
}

#[test]
fn too_few_open_files_are_a_matter_of_configuration() {
    let home = tempfile::tempdir().unwrap();
    let output = Command::new("sh")
        .args(["-c", "ulimit -n 100 && exec \"$0\" \"$@\""])
        .arg(env!("CARGO_BIN_EXE_procurad"))
        .arg("--home")
        .arg(home.path())
        .arg("--socket")
        .arg(socket(home.path()))
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(i32::from(exit::CONFIG)));
    assert_eq!(
        String::from_utf8_lossy(&output.stderr),
        "procurad: only 100 files may be open at once and at least 192 are needed; raise the limit (`ulimit -n`, LimitNOFILE=)\n"
    );
    assert!(!socket(home.path()).exists());
}

#[test]
fn the_limit_of_open_files_is_raised() {
    let mut daemon = start(|command, _| {
        let program = command.get_program().to_owned();
        let args: Vec<_> = command.get_args().map(ToOwned::to_owned).collect();
        let mut limited = Command::new("sh");
        limited
            .args(["-c", "ulimit -S -n 100 && exec \"$0\" \"$@\""])
            .arg(program)
            .args(args)
            .env_remove("XDG_RUNTIME_DIR")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        *command = limited;
    });
    let limits = fs::read_to_string(format!("/proc/{}/limits", daemon.child.id())).unwrap();
    let line = limits
        .lines()
        .find(|line| line.starts_with("Max open files"))
        .unwrap();
    let words: Vec<_> = line.split_whitespace().collect();
    assert_eq!(words[3], words[4], "{line}");
    assert_ne!(words[3], "100", "{line}");
    daemon.child.kill().unwrap();
    daemon.child.wait().unwrap();
}
