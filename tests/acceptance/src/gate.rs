//! A gate in a home of its own.

use crate::Outcome;
use crate::installation::Installation;
use crate::process::{Background, program};
use serde_json::Value;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// A `procura gate` that runs, or did.
pub struct GateHost {
    process: Option<Background>,
    folder: PathBuf,
    server: String,
    words: Vec<String>,
    address: String,
    health: String,
}

impl GateHost {
    /// Joins by `code` and starts, on a free port. `words` are more of its flags.
    ///
    /// # Panics
    /// When it does not begin to listen.
    #[must_use]
    pub fn start(server: &Installation, name: &str, code: &str, words: &[&str]) -> Self {
        Self::start_by(server, name, code, words, server.url())
    }

    /// As [`Self::start`], with the server at another address of it.
    ///
    /// # Panics
    /// When it does not begin to listen.
    #[must_use]
    pub fn start_by(
        server: &Installation,
        name: &str,
        code: &str,
        words: &[&str],
        url: &str,
    ) -> Self {
        let folder = server.folder().join(name);
        std::fs::create_dir(&folder).unwrap();
        let mut gate = Self {
            process: None,
            folder,
            server: url.to_owned(),
            words: words.iter().map(|&word| word.to_owned()).collect(),
            address: "127.0.0.1:0".to_owned(),
            health: String::new(),
        };
        let mut command = gate.command();
        command.args(["--join", code]);
        gate.run(command);
        gate
    }

    /// Starts it again on the same port.
    pub fn start_again(&mut self) {
        self.run(self.command());
    }

    /// Starts it again on the same port, with these flags more.
    pub fn start_again_with(&mut self, more: &[&str]) {
        let mut command = self.command();
        command.args(more);
        self.run(command);
    }

    /// Starts it again on the same port, with `mode` as `AUTH_MODE`.
    pub fn start_again_as(&mut self, mode: &str) {
        let mut command = self.command();
        command.env("AUTH_MODE", mode);
        self.run(command);
    }

    fn run(&mut self, mut command: Command) {
        let process = Background::start(&mut command, self.folder.join("gate.log"));
        let ready: Value =
            serde_json::from_str(&process.first_line).expect("the ready line is JSON");
        assert_eq!(ready["event"], "ready", "{ready}");
        let url = ready["listen"].as_str().unwrap();
        self.address = url.strip_prefix("http://").unwrap().to_owned();
        if let Some(url) = ready["health"].as_str() {
            self.health = url.strip_prefix("http://").unwrap().to_owned();
        }
        self.process = Some(process);
    }

    fn command(&self) -> Command {
        let mut command = Command::new(program("procura"));
        command
            .args(["gate", "--listen", &self.address])
            .args(&self.words)
            .env("PROCURA_HOME", self.home())
            .env("PROCURA_SERVER", &self.server)
            .env_remove("PROCURA_NAMESPACE")
            .env_remove("AUTH_MODE");
        command
    }

    /// Runs a gate that is not to begin, with `mode` as `AUTH_MODE`, and waits for its
    /// end.
    #[must_use = "check how it ended"]
    pub fn refused(
        server: &Installation,
        name: &str,
        input: &str,
        words: &[&str],
        mode: Option<&str>,
    ) -> Outcome {
        let gate = Self {
            process: None,
            folder: server.folder().join(name),
            server: server.url().to_owned(),
            words: words.iter().map(|&word| word.to_owned()).collect(),
            address: "127.0.0.1:0".to_owned(),
            health: String::new(),
        };
        let mut command = gate.command();
        if let Some(mode) = mode {
            command.env("AUTH_MODE", mode);
        }
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // It may have ended without reading.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        Outcome::from(child.wait_with_output().unwrap())
    }

    /// `host:port`.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// `host:port` of its health, if it was told to show it.
    #[must_use]
    pub fn health(&self) -> &str {
        &self.health
    }

    /// Its home.
    #[must_use]
    pub fn home(&self) -> PathBuf {
        self.folder.join("home")
    }

    /// What it said on stderr so far.
    #[must_use]
    pub fn said(&self) -> String {
        std::fs::read_to_string(self.folder.join("gate.log")).unwrap()
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        self.process.take().expect("the gate runs").kill();
    }

    /// SIGTERM; the exit code.
    pub fn stop(&mut self) -> Option<i32> {
        self.process.take().expect("the gate runs").stop()
    }
}
