//! The daemon under a user of its own, as it is installed: the agent has its
//! values and cannot get at the device key.
//!
//! Becoming other users takes root, or `sudo` without a password.

use crate::scene::CANARY;
use procura_acceptance::{Installation, Outcome, program, until};
use std::fs::{Permissions, set_permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

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

struct Host {
    folder: tempfile::TempDir,
    daemon: Child,
}

impl Host {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
        // The programs may be where other users cannot go.
        for name in ["procura", "procurad"] {
            std::fs::copy(program(name), folder.path().join(name)).unwrap();
        }
        for (name, uid) in [
            ("daemon", DAEMON),
            ("run", DAEMON),
            ("agent", AGENT),
            ("stranger", STRANGER),
        ] {
            std::fs::create_dir(folder.path().join(name)).unwrap();
            set_permissions(folder.path().join(name), Permissions::from_mode(0o755)).unwrap();
            own(&folder.path().join(name), uid);
        }
        let mut command = as_user(DAEMON, Some(AGENTS));
        command.arg(folder.path().join("procurad"));
        command.arg("--home").arg(folder.path().join("daemon/home"));
        command
            .arg("--socket")
            .arg(folder.path().join("run/agent.sock"));
        command.args(["--group", &AGENTS.to_string()]);
        let log = std::fs::File::create(folder.path().join("daemon.log")).unwrap();
        let daemon = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        let host = Self { folder, daemon };
        until("the daemon's socket", Duration::from_secs(20), || {
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
    fn procura(
        &self,
        (uid, group): (u32, Option<u32>),
        arguments: &[&str],
        input: &str,
    ) -> Outcome {
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

impl Drop for Host {
    fn drop(&mut self) {
        // Through kill(1), for sudo is not ours to signal.
        let _ = by_root("kill").arg(self.daemon.id().to_string()).status();
        let _ = self.daemon.wait();
    }
}

#[test]
fn an_agent_under_another_uid_has_its_values_and_never_the_device_key() {
    let server = Installation::ready();
    server.cli(&["namespace", "create", "shop"]).ok();
    server.put("shop", "api/key", CANARY.as_bytes());
    let code = server
        .cli(&["-n", "shop", "agent", "add", "scribe"])
        .ok()
        .text();
    server
        .cli(&[
            "-n",
            "shop",
            "project",
            "set",
            "orders",
            "--agent",
            "scribe",
            "--env",
            "API_KEY=api/key",
        ])
        .ok();
    let host = Host::start();
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
    let list = server
        .cli(&["-n", "shop", "--json", "request", "list"])
        .ok()
        .json();
    let request = &list["requests"][0];
    assert!(request["caller"]["danger_same_uid"] != true, "{request}");
    assert!(!host.said().contains("danger_same_uid"), "{}", host.said());
    server
        .cli(&[
            "-n",
            "shop",
            "request",
            "approve",
            request["id"].as_str().unwrap(),
        ])
        .ok();
    assert_eq!(host.procura(agent, &run, "").ok().text(), CANARY);

    // A user who is not of the group does not get to the socket.
    let _ = host
        .procura(stranger, &run, "")
        .code(77)
        .says("it must be in the group");
    // One who is, but did not join, has no device.
    let other = host.procura((STRANGER, Some(AGENTS)), &run, "");
    assert_ne!(other.code, 0, "{other:?}");
    assert_eq!(other.text(), "");

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
        let memory = format!("/proc/{}/mem", host.daemon.id());
        let reads = as_user(uid, group)
            .args(["head", "-c", "1", &memory])
            .output()
            .unwrap();
        assert!(!reads.status.success(), "{uid} reads the daemon's memory");
    }
}
