//! The set-up of tests that need more than the program: a home with a server
//! of its own, unsealed, and the owner logged in.

use crate::{Ran, fed, procura};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

pub(crate) const PASSPHRASE: &[u8] = b"correct horse battery\n";

/// A server on a home, killed when the test ends.
pub(crate) struct Running {
    child: Child,
    pub(crate) url: String,
    health: String,
}

impl Running {
    /// Starts a server on `home` and waits until it is ready.
    pub(crate) fn start(home: &Path) -> Self {
        Self::start_with(home, &[])
    }

    /// The same, with variables in its environment.
    pub(crate) fn start_with(home: &Path, environment: &[(String, String)]) -> Self {
        Self::start_at(home, environment, "127.0.0.1:0")
    }

    /// The same, at an address.
    pub(crate) fn start_at(home: &Path, environment: &[(String, String)], address: &str) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_procura"))
            .args([
                "server",
                "--listen",
                address,
                "--health-listen",
                "127.0.0.1:0",
            ])
            .env_clear()
            .env("PROCURA_HOME", home)
            .envs(environment.iter().cloned())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let ready: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(ready["event"], "ready");
        let url = ready["api"].as_str().unwrap().to_owned();
        let health = ready["health"].as_str().unwrap().to_owned();
        Self { child, url, health }
    }

    /// What `/health` answers.
    pub(crate) fn health(&self) -> serde_json::Value {
        let body = self.told("/health");
        serde_json::from_str(&body).unwrap_or_else(|_| panic!("{body}"))
    }

    /// What `/metrics` answers.
    pub(crate) fn metrics(&self) -> String {
        self.told("/metrics")
    }

    fn told(&self, path: &str) -> String {
        told(self.health.trim_start_matches("http://"), path)
    }

    /// SIGUSR1.
    pub(crate) fn signal_user_defined(&self) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::USR1).unwrap();
    }

    /// SIGTERM; it must end in order.
    pub(crate) fn stop(mut self) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        assert!(self.child.wait().unwrap().success());
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What is answered to a request for this path without any proof.
pub(crate) fn told(address: &str, path: &str) -> String {
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (_, body) = answer.split_once("\r\n\r\n").unwrap();
    body.to_owned()
}

/// The command line of one home, told where its server is or not.
pub(crate) struct Cli {
    pub(crate) home: PathBuf,
    pub(crate) url: Option<String>,
}

impl Cli {
    /// The program with `args`, not yet started.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = procura(&self.home);
        if let Some(url) = &self.url {
            command.env("PROCURA_SERVER", url);
        }
        command.args(args);
        command
    }

    pub(crate) fn run(&self, args: &[&str], input: &[u8]) -> Ran {
        fed(&mut self.command(args), input)
    }

    pub(crate) fn ok(&self, args: &[&str], input: &[u8]) -> String {
        let ran = self.run(args, input);
        assert_eq!(ran.code, 0, "{args:?}: {}", ran.err);
        ran.out
    }

    pub(crate) fn json(&self, args: &[&str]) -> serde_json::Value {
        serde_json::from_str(&self.ok(&[&["--json"], args].concat(), b"")).unwrap()
    }
}

impl Drop for Cli {
    fn drop(&mut self) {
        // Ends the key agent, if there is one.
        let _ = self.run(&["logout"], b"");
    }
}

/// An installation with a server that is unsealed and its owner logged in.
pub(crate) struct Installed {
    // The server and the key agent end before the folder that they work in goes.
    pub(crate) server: Option<Running>,
    pub(crate) cli: Cli,
    dir: TempDir,
}

impl Installed {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let cli = Cli {
            home: dir.path().join("home"),
            url: None,
        };
        cli.ok(
            &["init", "--owner", "alice", "--passphrase-fd", "0"],
            PASSPHRASE,
        );
        let mut installed = Self {
            server: None,
            cli,
            dir,
        };
        installed.serve();
        let login = ["login", "--passphrase-fd", "0"];
        installed.cli.ok(&login, PASSPHRASE);
        installed
    }

    /// Starts the server, which does not run, and unseals it.
    pub(crate) fn serve(&mut self) {
        let server = Running::start(&self.cli.home);
        self.cli.url = Some(server.url.clone());
        self.server = Some(server);
        self.cli.ok(&["unseal", "--passphrase-fd", "0"], PASSPHRASE);
    }

    /// Kills the server while a command is under way, this long after its start at the
    /// latest, and starts it again. Whether the command was told that it was done.
    fn killed_during(&mut self, args: &[&str], input: &[u8], wait: Duration) -> bool {
        let mut command = self
            .cli
            .command(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        command.stdin.take().unwrap().write_all(input).unwrap();
        let begun = Instant::now();
        while begun.elapsed() < wait && command.try_wait().unwrap().is_none() {
            std::thread::sleep(Duration::from_millis(1));
        }
        // SIGKILL.
        self.server = None;
        let acknowledged = command.wait().unwrap().success();
        self.serve();
        acknowledged
    }

    /// Kills the server in commands that do all of it or nothing: first after `wait`, then
    /// earlier behind all and later behind nothing, so that both come about. `command` gives
    /// what is typed in the folder of the test in a turn, and `is_done` whether all of that
    /// was done, where less than all fails the test.
    pub(crate) fn all_or_nothing(
        &mut self,
        mut wait: Duration,
        command: impl Fn(&Path, usize) -> (Vec<String>, Vec<u8>),
        is_done: impl Fn(&Cli, usize) -> bool,
    ) {
        let (mut none, mut all) = (0, 0);
        for turn in 0..24 {
            // Eight are many where both come about; a slow machine takes some more to it.
            if turn >= 8 && none > 0 && all > 0 {
                break;
            }
            let (args, input) = command(self.dir(), turn);
            let args: Vec<&str> = args.iter().map(String::as_str).collect();
            let acknowledged = self.killed_during(&args, &input, wait);
            let done = is_done(&self.cli, turn);
            assert!(!acknowledged || done, "turn {turn}");
            if done {
                all += 1;
                wait = wait * 2 / 3;
            } else {
                none += 1;
                wait = wait * 3 / 2;
            }
        }
        assert!(none > 0 && all > 0, "{none} had none, {all} had all");
    }

    /// A folder of the test's own, beside the home.
    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The command line of another home, `name`, told where this server is.
    pub(crate) fn other(&self, name: &str) -> Cli {
        Cli {
            home: self.dir.path().join(name),
            url: self.cli.url.clone(),
        }
    }
}
