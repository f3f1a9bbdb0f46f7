//! The daemon under a user of its own, as it is installed: the agent has its
//! values and cannot get at the device key.
//!
//! Becoming other users takes root, or `sudo` without a password.

use crate::scene::{CANARY, PATIENCE, agent, orders, requests, shop};
use procura_acceptance::{Outcome, PASSPHRASE, program, until};
use std::fs::{Permissions, set_permissions};
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// Numbers that need no entry in `/etc/passwd`.
const DAEMON: u32 = 64_101;
const AGENT: u32 = 64_102;
const STRANGER: u32 = 64_103;
const AGENTS: u32 = 64_104;

/// A command run by root: by us if we are, else through sudo.
fn by_root(name: &str) -> Command {
    if std::fs::metadata("/proc/self").unwrap().uid() == 0 {
        return Command::new(name);
    }
    let mut command = Command::new("sudo");
    command.args(["-n", "--preserve-env", name]);
    command
}

/// A command that becomes `uid`, with `group` as its one further group.
fn as_user(uid: u32, group: Option<u32>) -> Command {
    let mut command = by_root("setpriv");
    command.args([
        format!("--reuid={uid}"),
        format!("--regid={uid}"),
        "--inh-caps=-all".to_owned(),
    ]);
    match group {
        Some(group) => command.arg(format!("--groups={group}")),
        None => command.arg("--clear-groups"),
    };
    command
}

fn own(path: &Path, uid: u32) {
    let status = by_root("chown")
        .arg(format!("{uid}:{uid}"))
        .arg(path)
        .status()
        .unwrap();
    assert!(
        status.success(),
        "this test needs root, or sudo without a password (sudo -v)"
    );
}

/// A process under another user, ended with the test.
struct Foreign(Child);

impl Drop for Foreign {
    fn drop(&mut self) {
        // Through a shell's kill: sudo is not ours to signal, and not everybody
        // has kill(1).
        let pid = self.0.id().to_string();
        let _ = by_root("sh").args(["-c", "kill \"$0\"", &pid]).status();
        let _ = self.0.wait();
    }
}

/// A folder that all may look into, with the programs: they may be built where
/// other users cannot go.
fn with_programs() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    open(folder.path(), 0o755);
    for name in ["procura", "procurad"] {
        std::fs::copy(program(name), folder.path().join(name)).unwrap();
    }
    folder
}

fn open(path: &Path, mode: u32) {
    set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

/// A user with a further group.
type User = (u32, Option<u32>);

/// Asserts that `user` cannot look into a process as a debugger, or whoever
/// dumps its core, has to.
fn assert_hidden(pid: u32, user: User) {
    for file in ["mem", "environ", "maps", "auxv"] {
        let path = format!("/proc/{pid}/{file}");
        let opens = |mut command: Command| {
            command
                .env("LC_ALL", "C")
                .args(["sh", "-c", "exec 3<\"$0\"", &path])
                .output()
                .unwrap()
        };
        let opened = opens(as_user(user.0, user.1));
        let said = String::from_utf8_lossy(&opened.stderr);
        assert!(
            !opened.status.success() && said.contains("Permission denied"),
            "{user:?} opens {path}: {said}"
        );
        // What is refused is there: root is let in.
        assert!(opens(by_root("env")).status.success(), "{path}");
    }
}

struct Host {
    // Ends before its folder goes.
    daemon: Foreign,
    folder: tempfile::TempDir,
}

impl Host {
    /// A daemon that serves whom `words` name.
    fn start(words: &[String]) -> Self {
        let folder = with_programs();
        for (name, uid) in [
            ("daemon", DAEMON),
            ("run", DAEMON),
            ("agent", AGENT),
            ("stranger", STRANGER),
        ] {
            std::fs::create_dir(folder.path().join(name)).unwrap();
            open(&folder.path().join(name), 0o755);
            own(&folder.path().join(name), uid);
        }
        let mut command = as_user(DAEMON, Some(AGENTS));
        command.arg(folder.path().join("procurad"));
        command.arg("--home").arg(folder.path().join("daemon/home"));
        command
            .arg("--socket")
            .arg(folder.path().join("run/agent.sock"));
        command.args(words);
        let log = std::fs::File::create(folder.path().join("daemon.log")).unwrap();
        let daemon = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        let host = Self {
            daemon: Foreign(daemon),
            folder,
        };
        until("the daemon's socket", PATIENCE, || {
            host.socket().exists().then_some(())
        });
        host
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("run/agent.sock")
    }

    fn said(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("daemon.log")).unwrap()
    }

    /// `procura …` as a user of the host.
    fn procura(&self, (uid, group): User, arguments: &[&str], input: &str) -> Outcome {
        let home = self
            .folder
            .path()
            .join(if uid == AGENT { "agent" } else { "stranger" });
        let file = self.folder.path().join("input");
        std::fs::write(&file, input).unwrap();
        let mut command = as_user(uid, group);
        command
            .arg(self.folder.path().join("procura"))
            .args(arguments)
            .current_dir(&home);
        command
            .env("PROCURA_HOME", &home)
            .env("PROCURA_SOCKET", self.socket())
            .env_remove("PROCURA_SERVER");
        command.stdin(std::fs::File::open(file).unwrap());
        command.output().unwrap().into()
    }
}

#[test]
fn an_agent_under_another_uid_has_its_values_and_never_the_device_key() {
    let server = shop();
    server.put("shop", "api/key", CANARY.as_bytes());
    let code = agent(&server, "shop", "scribe");
    orders(&server, "shop", "scribe");
    let host = Host::start(&["--group".to_owned(), AGENTS.to_string()]);
    let (agent, stranger) = ((AGENT, Some(AGENTS)), (STRANGER, None));

    host.procura(agent, &["join"], &code).ok();
    let run = [
        "run",
        "--project",
        "orders",
        "--",
        "sh",
        "-c",
        "printf %s \"$API_KEY\"",
    ];
    let _ = host.procura(agent, &run, "").code(75);
    let waiting = requests(&server, "shop");
    let request = &waiting[0];
    assert!(request["caller"]["danger_same_uid"] != true, "{request}");
    assert!(!host.said().contains("danger_same_uid"), "{}", host.said());
    let id = request["id"].as_str().unwrap();
    server.cli(&["-n", "shop", "request", "approve", id]).ok();
    assert_eq!(host.procura(agent, &run, "").ok().text(), CANARY);

    // A user who is not of the group does not get to the socket.
    let _ = host
        .procura(stranger, &run, "")
        .code(77)
        .says("it must be in the group");
    // One who is, but did not join, has no device.
    let other = host.procura((STRANGER, Some(AGENTS)), &run, "");
    assert_eq!(other.text(), "");
    let _ = other
        .code(78)
        .says(&format!("no device has joined here for user {STRANGER}"));

    for (uid, group) in [agent, (STRANGER, Some(AGENTS))] {
        let home = host.folder.path().join("daemon/home");
        let reads = as_user(uid, group)
            .args(["find"])
            .arg(&home)
            .args(["-type", "f"])
            .output()
            .unwrap();
        assert!(
            reads.stdout.is_empty(),
            "{uid} sees {}",
            String::from_utf8_lossy(&reads.stdout)
        );
        assert_hidden(host.daemon.0.id(), (uid, group));
    }
    // Nor does another process of the daemon's own user.
    assert_hidden(host.daemon.0.id(), (DAEMON, None));
}

#[test]
fn the_daemon_itself_refuses_a_user_whom_the_socket_lets_through() {
    let (group, agent) = (AGENTS.to_string(), AGENT.to_string());
    let host = Host::start(&["--group", &group, "--user", &agent].map(str::to_owned));
    // As if somebody had opened the socket to all.
    for (name, mode) in [("run", 0o755), ("run/agent.sock", 0o666)] {
        let changed = by_root("chmod")
            .arg(format!("{mode:o}"))
            .arg(host.folder.path().join(name))
            .status()
            .unwrap();
        assert!(changed.success());
    }
    let list = ["--json", "device", "list", "--here"];
    let served = host.procura((AGENT, None), &list, "").ok().json();
    assert_eq!(served["devices"], serde_json::json!([]), "{served}");

    let refused = host.procura((STRANGER, None), &list, "").code(77);
    assert_eq!(refused.text(), "");
    let failure: serde_json::Value = serde_json::from_str(&refused.stderr).unwrap();
    assert_eq!(
        failure,
        serde_json::json!({
            "exit": 77,
            "what": format!(
                "user {STRANGER} may not use this daemon; it serves others with --group or --user"
            ),
        })
    );
}

#[test]
fn the_server_and_the_key_agent_are_hidden_from_their_own_user() {
    let folder = with_programs();
    let home = folder.path().join("home");
    std::fs::create_dir(&home).unwrap();
    open(&home, 0o700);
    own(&home, DAEMON);
    // Read by whoever opened it, before it became the user.
    let passphrase = folder.path().join("passphrase");
    std::fs::write(&passphrase, format!("{PASSPHRASE}\n")).unwrap();
    open(&passphrase, 0o644);
    let procura = |words: &[&str]| {
        let mut command = as_user(DAEMON, None);
        command
            .arg(folder.path().join("procura"))
            .args(words)
            .current_dir(folder.path())
            .env("PROCURA_HOME", &home)
            .env_remove("PROCURA_SERVER");
        command
    };
    let with_passphrase = |words: &[&str]| {
        let outcome: Outcome = procura(&[&["--passphrase-fd", "0"], words].concat())
            .stdin(std::fs::File::open(&passphrase).unwrap())
            .output()
            .unwrap()
            .into();
        outcome.ok();
    };
    with_passphrase(&["init", "--owner", "alice"]);
    let listen = ["--listen", "127.0.0.1:0", "--health-listen", "127.0.0.1:0"];
    let mut server = procura(&[&["server"], &listen[..]].concat())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let stdout = server.stdout.take().unwrap();
    let server = Foreign(server);
    let mut ready = String::new();
    BufReader::new(stdout).read_line(&mut ready).unwrap();
    assert!(ready.contains("\"ready\""), "{ready}");
    with_passphrase(&["unseal"]);
    assert_hidden(server.0.id(), (DAEMON, None));
    assert_hidden(server.0.id(), (STRANGER, None));

    // It ends by itself soon, however this ends.
    with_passphrase(&["login", "--for", "90s"]);
    let words = format!(
        "__key-agent\0{}\0",
        home.join("operator/agent.sock").display()
    );
    let key_agent = std::fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| entry.unwrap().file_name().to_str()?.parse::<u32>().ok())
        .find(|pid| {
            let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            String::from_utf8_lossy(&line).contains(&words)
        })
        .expect("a key agent");
    assert_hidden(key_agent, (DAEMON, None));
    assert_hidden(key_agent, (STRANGER, None));
    assert!(procura(&["logout"]).status().unwrap().success());
}
