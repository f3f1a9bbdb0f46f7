//! A host of agents: how far the units are closed, and what keeps a command from the
//! daemon whose user it shares.

use crate::scene::Scene;
use procura_acceptance::{Outcome, program};
use serde_json::{Value, json};
use std::io::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .join(path)
}

/// What an agent may try, in a language that it has.
const ATTEMPTS: &str = r#"
import ctypes, fcntl, json, os, pty, sys, termios

folder, pid = sys.argv[1], int(sys.argv[2])
key = next(os.path.join(folder, name) for name in os.listdir(folder) if name.endswith(".json"))
libc = ctypes.CDLL(None, use_errno=True)

def attempt(call):
    try:
        call()
        return 0
    except OSError as error:
        return error.errno

def checked(result):
    if result < 0:
        raise OSError(ctypes.get_errno(), "refused")
    return result

class Vector(ctypes.Structure):
    _fields_ = [("base", ctypes.c_void_p), ("length", ctypes.c_size_t)]

def memory():
    here = ctypes.create_string_buffer(8)
    ours, theirs = Vector(ctypes.addressof(here), 8), Vector(4096, 8)
    checked(libc.process_vm_readv(pid, ctypes.byref(ours), 1, ctypes.byref(theirs), 1, 0))

def in_terminal(call):
    child, terminal = pty.fork()
    if child == 0:
        os._exit(attempt(call))
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

def ioctl(request):
    checked(libc.ioctl(0, ctypes.c_ulong(request), b"x"))

TIOCLINUX, UPPER = 0x541C, 1 << 32
SEIZE, PIDFD_OPEN, PIDFD_GETFD = 0x4206, 434, 438
status = dict(line.split(":\t", 1) for line in open("/proc/self/status").read().splitlines())
print(json.dumps({
    "read the key": attempt(lambda: open(key, "rb").close()),
    "read an operator's": attempt(lambda: open(folder + "/../operator/key.json").close()),
    "write it": attempt(lambda: open(key, "r+b").close()),
    "remove it": attempt(lambda: os.unlink(key)),
    "move its folder": attempt(lambda: os.rename(folder, folder + "-moved")),
    "name it elsewhere": attempt(lambda: os.link(key, sys.argv[3] + "/key")),
    "plant another": attempt(lambda: open(folder + "/x.json", "wb").close()),
    "its memory": attempt(lambda: open(f"/proc/{pid}/mem", "rb").close()),
    "its descriptors": attempt(lambda: os.readlink(f"/proc/{pid}/fd/0")),
    "trace it": attempt(lambda: checked(libc.ptrace(SEIZE, pid, None, None))),
    "read its memory": attempt(memory),
    "take a descriptor": attempt(
        lambda: checked(libc.syscall(PIDFD_GETFD, checked(libc.syscall(PIDFD_OPEN, pid, 0)), 0, 0))
    ),
    "type": in_terminal(lambda: ioctl(termios.TIOCSTI)),
    "type, said with more bits": in_terminal(lambda: ioctl(UPPER | termios.TIOCSTI)),
    "paste": in_terminal(lambda: ioctl(TIOCLINUX)),
    "see how large the terminal is": in_terminal(
        lambda: fcntl.ioctl(0, termios.TIOCGWINSZ, b"\0" * 8)
    ),
    "new privileges": status["NoNewPrivs"].strip(),
    "core files": open("/proc/self/limits").read().split("Max core file size")[1].split()[:2],
}))
"#;

const EPERM: i32 = 1;
const EACCES: i32 = 13;
const EXDEV: i32 = 18;

#[test]
fn a_command_gets_neither_the_key_nor_the_memory_of_a_daemon_of_its_own_user() {
    let scene = Scene::set();
    scene.approved(&["API_KEY"]);
    let folder = scene.daemon.home().join("daemon");
    let work = scene.server.folder().join("work");
    std::fs::create_dir(&work).unwrap();
    // On a laptop an operator's key is in the same home.
    let operator = scene.daemon.home().join("operator");
    std::fs::create_dir(&operator).unwrap();
    std::fs::write(operator.join("key.json"), "{}").unwrap();
    let pid = scene.daemon.pid().to_string();
    let (folder, work) = (folder.to_str().unwrap(), work.to_str().unwrap());
    let command = ["python3", "-c", ATTEMPTS, folder, &pid, work];

    let confined = scene.run(&["API_KEY"], &command).ok().json();
    assert_eq!(
        confined,
        json!({
            "read the key": EACCES,
            "read an operator's": EACCES,
            "write it": EACCES,
            "remove it": EACCES,
            "move its folder": EACCES,
            "name it elsewhere": EXDEV,
            "plant another": EACCES,
            "its memory": EACCES,
            "its descriptors": EACCES,
            "trace it": EPERM,
            "read its memory": EPERM,
            "take a descriptor": EPERM,
            "type": EPERM,
            "type, said with more bits": EPERM,
            "paste": EPERM,
            "see how large the terminal is": 0,
            "new privileges": "1",
            "core files": ["0", "0"],
        })
    );
    // What is refused is there, for who is not confined, and the daemon goes on.
    let reads = "import os, sys; f = sys.argv[1]; print(sum(len(open(os.path.join(f, n)).read()) for n in os.listdir(f) if n.endswith('.json')) > 100)";
    let outside: Outcome = Command::new("python3")
        .args(["-c", reads, folder])
        .output()
        .unwrap()
        .into();
    assert_eq!(outside.ok().text(), "True");
    // So is typing: what the kernel itself says of it, where it refuses it, is EIO.
    let types = "import fcntl, os, pty, termios\nchild, terminal = pty.fork()\nif child == 0:\n  try:\n    fcntl.ioctl(0, termios.TIOCSTI, b'x')\n    os._exit(0)\n  except OSError as error:\n    os._exit(error.errno)\nprint(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))";
    let outside: Outcome = Command::new("python3")
        .args(["-c", types])
        .output()
        .unwrap()
        .into();
    let outside = outside.ok().text();
    assert!(["0", "5"].contains(&outside.as_str()), "{outside}");
    scene.run(&["API_KEY"], &["true"]).ok();
}

#[test]
fn what_a_command_needs_it_still_has() {
    let scene = Scene::set();
    scene.approved(&["API_KEY"]);
    let work = scene.server.folder().join("work");
    std::fs::create_dir(&work).unwrap();
    // Below a directory it makes, moves and removes; it starts programs, and commands
    // of its own by the same daemon.
    let words = scene.daemon.run_arguments(
        "orders",
        &["API_KEY"],
        &["sh", "-c", "test -n \"$API_KEY\""],
    );
    let nested: Vec<String> = words
        .iter()
        .map(|word| format!("'{}'", word.replace('\'', "'\\''")))
        .collect();
    let script = format!(
        "cd {} && mkdir a && echo x > a/b && mv a/b a/c && ln a/c d && rm -r a && cat d && ls / > /dev/null && {} {}",
        work.display(),
        program("procura").display(),
        nested.join(" ")
    );
    let outcome = scene.run(&["API_KEY"], &["sh", "-c", &script]).ok();
    assert_eq!(outcome.text(), "x");
}

/// A command with another before it, which becomes it.
fn under(wrapper: &[&str], command: &Command) -> Command {
    let mut wrapped = Command::new(wrapper[0]);
    wrapped
        .args(&wrapper[1..])
        .arg(command.get_program())
        .args(command.get_args())
        .stdin(Stdio::null());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => wrapped.env(name, value),
            None => wrapped.env_remove(name),
        };
    }
    wrapped
}

/// A kernel without a call, for one program and what it becomes.
const fn without(call: &str) -> [&str; 7] {
    ["strace", "-f", "-qq", "-o", "/dev/null", "-e", call]
}

const WITHOUT: [&str; 7] = without("inject=landlock_create_ruleset:error=ENOSYS");

#[test]
fn without_seccomp_nothing_runs() {
    let scene = Scene::set();
    scene.approved(&["API_KEY"]);
    let words = scene
        .daemon
        .run_arguments("orders", &["API_KEY"], &["sh", "-c", "printf ran"]);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let before = deliveries(&scene);
    let procura = scene.daemon.procura(&words);
    let refused: Outcome = under(&without("inject=seccomp:error=ENOSYS"), &procura)
        .output()
        .unwrap()
        .into();
    let refused = refused.code(78);
    assert_eq!(refused.text(), "");
    let _ = refused
        .says("cannot keep the command from typing into its terminal")
        .says("CONFIG_SECCOMP_FILTER");
    // It was found out before anything was asked for.
    assert_eq!(deliveries(&scene), before);
}

/// The entries of runs that values were delivered to.
fn delivered(scene: &Scene) -> Vec<Value> {
    let words = [
        "-n",
        "shop",
        "--json",
        "audit",
        "list",
        "--action",
        "run.deliver",
    ];
    let listed = scene.server.cli(&words).ok().json();
    listed["entries"].as_array().unwrap().clone()
}

/// How many runs the record says that values were delivered to.
fn deliveries(scene: &Scene) -> usize {
    delivered(scene).len()
}

#[test]
fn without_landlock_nothing_runs_unless_the_daemon_was_told_to() {
    let mut scene = Scene::set();
    scene.approved(&["API_KEY"]);
    let run = |scene: &Scene| -> Outcome {
        let words = scene
            .daemon
            .run_arguments("orders", &["API_KEY"], &["sh", "-c", "printf ran"]);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let procura = scene.daemon.procura(&words);
        under(&WITHOUT, &procura).output().unwrap().into()
    };
    let before = deliveries(&scene);
    let refused = run(&scene).code(78);
    assert_eq!(refused.text(), "");
    let _ = refused
        .says("cannot keep them from its keys")
        .says("sudo procura setup agent-host");
    // It was found out before anything was asked for.
    assert_eq!(deliveries(&scene), before);

    scene.daemon.kill();
    let home = scene.daemon.home();
    let procurad = |words: &[&str]| {
        let mut command = Command::new(program("procurad"));
        command.arg("--home").arg(&home).args(words);
        command.arg("--socket").arg(scene.daemon.socket());
        under(&WITHOUT, &command)
    };
    let refused: Outcome = procurad(&[]).output().unwrap().into();
    let _ = refused.code(78).says("--danger-no-landlock");

    scene
        .daemon
        .start_again_with(&["--danger-no-landlock"], &WITHOUT);
    let said = scene.daemon.said();
    assert!(said.contains("danger_no_landlock"), "{said}");
    assert_eq!(run(&scene).ok().text(), "ran");
    // Where there is Landlock, it is used all the same.
    let folder = home.join("daemon");
    let list = format!("cat {}/*.json", folder.display());
    let outcome = scene.run(&["API_KEY"], &["sh", "-c", &list]);
    assert_eq!(outcome.text(), "");
    let _ = outcome.code(1).says("Permission denied");
}

#[test]
fn a_second_way_to_the_directory_is_closed_too() {
    let scene = Scene::set();
    scene.approved(&["API_KEY"]);
    let alias = scene.server.folder().join("alias");
    std::fs::create_dir(&alias).unwrap();
    let me = std::fs::metadata("/proc/self").unwrap();
    let look = format!("cat {}/daemon/*.json", alias.display());
    let words = scene
        .daemon
        .run_arguments("orders", &["API_KEY"], &["sh", "-c", &look]);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let run = scene.daemon.procura(&words);
    // Mounting takes root; the command is the user's again.
    let mount = format!(
        "mount --bind \"$0\" \"$1\" && shift && exec setpriv --reuid={} --regid={} --clear-groups \"$@\"",
        me.uid(),
        me.gid()
    );
    let home = scene.daemon.home();
    let mut wrapper = vec!["unshare", "--mount", "--propagation", "private", "sh", "-c"];
    wrapper.extend([
        mount.as_str(),
        home.to_str().unwrap(),
        alias.to_str().unwrap(),
    ]);
    if me.uid() != 0 {
        wrapper = [&["sudo", "-n", "--preserve-env"], &wrapper[..]].concat();
    }
    let reads =
        |command: &Command| -> Outcome { under(&wrapper, command).output().unwrap().into() };
    let confined = reads(&run);
    assert_eq!(confined.text(), "");
    let _ = confined.code(1).says("Permission denied");
    // It is there.
    let mut plain = Command::new("sh");
    plain.args(["-c", &look]);
    let there = reads(&plain).ok();
    assert!(there.text().contains("\"key\""), "{}", there.text());
}

/// The figure that the page says of a unit.
fn documented(unit: &str) -> f64 {
    let page = std::fs::read_to_string(repository("docs/runbooks/install.md")).unwrap();
    let row = page
        .lines()
        .find(|line| line.starts_with(&format!("| `{unit}` |")))
        .unwrap_or_else(|| panic!("no figure of {unit} in the page"));
    row.split('|').nth(2).unwrap().trim().parse().unwrap()
}

#[test]
fn the_units_are_closed_as_far_as_the_page_says() {
    for unit in ["procura.service", "procurad.service"] {
        let output: Outcome = Command::new("systemd-analyze")
            .args(["security", "--offline=true", "--no-pager"])
            .arg(repository("deploy/systemd").join(unit))
            .env("LC_ALL", "C")
            .output()
            .unwrap()
            .into();
        let said = output.ok().text();
        let overall = said
            .lines()
            .find(|line| line.contains("Overall exposure level"));
        let overall = overall.unwrap_or_else(|| panic!("{said}"));
        let figure = overall.rsplit(": ").next().unwrap();
        let figure: f64 = figure.split(' ').next().unwrap().parse().unwrap();
        let most = documented(unit);
        assert!(figure <= most, "{unit}: {figure} > {most}\n{said}");
    }
}

#[test]
fn the_units_have_each_setting_and_systemd_takes_them() {
    for unit in ["procura.service", "procurad.service"] {
        let text = std::fs::read_to_string(repository("deploy/systemd").join(unit)).unwrap();
        for setting in [
            "NoNewPrivileges=yes",
            "CapabilityBoundingSet=",
            "AmbientCapabilities=",
            "ProtectSystem=strict",
            "ProtectHome=yes",
            "PrivateTmp=yes",
            "PrivateDevices=yes",
            "PrivateMounts=yes",
            "ProtectKernelTunables=yes",
            "ProtectKernelModules=yes",
            "ProtectKernelLogs=yes",
            "ProtectControlGroups=yes",
            "ProtectClock=yes",
            "ProtectHostname=yes",
            "RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX",
            "RestrictNamespaces=yes",
            "RestrictRealtime=yes",
            "RestrictSUIDSGID=yes",
            "LockPersonality=yes",
            "MemoryDenyWriteExecute=yes",
            "SystemCallArchitectures=native",
            "SystemCallFilter=@system-service",
            "SystemCallFilter=~@privileged @resources",
            "LimitCORE=0",
            "MemorySwapMax=0",
            "UMask=0077",
            "StateDirectoryMode=0700",
        ] {
            assert!(
                text.lines().any(|line| line == setting),
                "{unit}: {setting}"
            );
        }
        // With programs that are there, systemd has nothing to say about it.
        let folder = tempfile::tempdir().unwrap();
        let copy = folder.path().join(unit);
        std::fs::write(&copy, text.replace("=/usr/bin/procura", "=/bin/sh -c :")).unwrap();
        let verified: Outcome = Command::new("systemd-analyze")
            .args(["verify", "--man=no"])
            .arg(&copy)
            .output()
            .unwrap()
            .into();
        let verified = verified.ok();
        assert_eq!(
            (verified.text().as_str(), verified.stderr.as_str()),
            ("", "")
        );
    }
}

/// SHA-256 in hexadecimal, by another program.
fn sha256sum(bytes: &[u8]) -> String {
    let mut child = Command::new("sha256sum")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(bytes).unwrap();
    let said: Outcome = child.wait_with_output().unwrap().into();
    said.ok().text()[..64].to_owned()
}

/// The digest of arguments, by its description: what it is of, after its length in one
/// byte, and each argument after its length in four.
fn digest_of(arguments: &[&str]) -> String {
    let mut tuple = b"\x0fprocura.argv.v1".to_vec();
    for word in arguments {
        tuple.extend(u32::try_from(word.len()).unwrap().to_be_bytes());
        tuple.extend(word.as_bytes());
    }
    sha256sum(&tuple)
}

fn kernel(file: &str) -> String {
    let text = std::fs::read_to_string(Path::new("/proc/sys/kernel").join(file)).unwrap();
    text.trim().to_owned()
}

#[test]
fn the_record_has_the_commands_program_and_where_it_stands() {
    let scene = Scene::set();
    let work = scene.server.folder().join("work");
    std::fs::create_dir_all(work.join(".git/refs/heads")).unwrap();
    std::fs::write(work.join(".git/HEAD"), "ref: refs/heads/main\n").unwrap();
    let commit = "0123456789abcdef0123456789abcdef01234567";
    std::fs::write(work.join(".git/refs/heads/main"), format!("{commit}\n")).unwrap();
    let command = ["sh", "-c", "printf %s $$"];
    let run = || {
        scene
            .daemon
            .run_for(&work, "orders", &["API_KEY"], &command)
    };
    let _ = run().code(75);
    // What the command is, not the stub that becomes it, which gives it its own id.
    let mut expected = json!({
        "exe_sha256": sha256sum(&std::fs::read("/bin/sh").unwrap()),
        "argv_sha256": digest_of(&command),
        "cwd": work,
        "git": commit,
        "host": kernel("hostname"),
        "os": format!("{} {}", kernel("ostype"), kernel("osrelease")),
        "traced": false,
        "danger_same_uid": true,
    });
    let requests = crate::scene::requests(&scene.server, "shop");
    let mut asked = requests[0]["caller"].clone();
    let pid = asked.as_object_mut().unwrap().remove("pid").unwrap();
    assert!(pid.as_u64().unwrap() > 1, "{pid}");
    assert_eq!(asked, expected);
    // A person is told that nobody checked it.
    let id = requests[0]["id"].as_str().unwrap();
    let shown = scene
        .server
        .cli(&["-n", "shop", "request", "show", id])
        .ok();
    assert!(
        shown
            .text()
            .contains("the agent's machine says (not checked)"),
        "{}",
        shown.text()
    );

    // All of it stands in the entry of the hand-over as well, of the process that had it.
    let approve = ["-n", "shop", "request", "approve", id];
    scene.server.cli(&approve).ok();
    let pid: u32 = run().ok().text().parse().unwrap();
    let delivered = delivered(&scene);
    assert_eq!(delivered.len(), 1, "{delivered:?}");
    let entry: Value = serde_json::from_str(delivered[0]["entry"].as_str().unwrap()).unwrap();
    expected["pid"] = pid.into();
    assert_eq!(entry["caller"], expected, "{entry}");
    // The record's description says of what worth that is.
    let page = std::fs::read_to_string(repository("spec/ledger.md")).unwrap();
    let mut rows = page.lines().filter(|line| line.starts_with("| `caller` |"));
    assert!(rows.next().unwrap().contains("; advisory |"));
}
