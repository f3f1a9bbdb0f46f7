//! One installation: a fresh home, its server, and the owner's command line.

use crate::Outcome;
use crate::process::{Background, program};
use serde_json::Value;
use std::io::Write as _;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use tempfile::TempDir;

/// The passphrase of every installation here; itself searched for as a canary.
pub const PASSPHRASE: &str = "passphrase-canary-a3f09be1c77d";

/// A home with a server. The owner is `alice`; namespaces are up to the test.
pub struct Installation {
    // Dropped before the folder that it works in.
    server: Option<Background>,
    folder: TempDir,
    url: String,
    health: String,
}

impl Installation {
    /// A server on an empty home, not initialised.
    #[must_use]
    pub fn empty() -> Self {
        let folder = tempfile::Builder::new()
            .prefix("procura-")
            .tempdir()
            .unwrap();
        let mut installation = Self {
            server: None,
            folder,
            url: String::new(),
            health: String::new(),
        };
        installation.start();
        installation
    }

    /// Initialised and unsealed, as `init` leaves it, and the owner logged in:
    /// unlocking the key anew takes most of the time of a command.
    #[must_use]
    pub fn ready() -> Self {
        let installation = Self::empty();
        installation.cli(&["init", "--owner", "alice"]).ok();
        installation.cli(&["login"]).ok();
        installation
    }

    /// As [`Self::ready`], with `text` as `procura.toml`.
    #[must_use]
    pub fn configured(text: &str) -> Self {
        let installation = Self::beside(text);
        installation.cli(&["init", "--owner", "alice"]).ok();
        installation.cli(&["login"]).ok();
        installation
    }

    /// A server on an empty home with `text` as `procura.toml`: not initialised, unless
    /// another server of the same database is.
    #[must_use]
    pub fn beside(text: &str) -> Self {
        let folder = tempfile::Builder::new()
            .prefix("procura-")
            .tempdir()
            .unwrap();
        let home = folder.path().join("home");
        std::fs::DirBuilder::new()
            .mode(0o700)
            .create(&home)
            .unwrap();
        std::fs::write(home.join("procura.toml"), text).unwrap();
        let mut installation = Self {
            server: None,
            folder,
            url: String::new(),
            health: String::new(),
        };
        installation.start();
        installation
    }

    /// Starts the server. It is sealed afterwards.
    fn start(&mut self) {
        self.start_under(&[], "127.0.0.1:0");
    }

    /// Starts the server again after [`Installation::kill`] or
    /// [`Installation::stop`], on the same port. It is sealed afterwards.
    pub fn start_again(&mut self) {
        self.start_again_under(&[]);
    }

    /// As [`Installation::start_again`], under another program, such as `strace`
    /// with its options.
    pub fn start_again_under(&mut self, wrapper: &[&str]) {
        let address = self.url.trim_start_matches("http://").to_owned();
        self.start_under(wrapper, &address);
    }

    fn start_under(&mut self, wrapper: &[&str], listen: &str) {
        let server = program("procura");
        let mut words: Vec<&str> = wrapper.to_vec();
        words.push(server.to_str().unwrap());
        let mut command = Command::new(words[0]);
        command.args(&words[1..]).args([
            "server",
            "--listen",
            listen,
            "--health-listen",
            "127.0.0.1:0",
        ]);
        command
            .env("PROCURA_HOME", self.home())
            .env_remove("PROCURA_SERVER");
        let server = Background::start(&mut command, self.folder.path().join("server.log"));
        let ready: Value =
            serde_json::from_str(&server.first_line).expect("the ready line is JSON");
        assert_eq!(ready["event"], "ready", "{ready}");
        assert_eq!(ready["sealed"], true, "{ready}");
        ready["api"].as_str().unwrap().clone_into(&mut self.url);
        ready["health"]
            .as_str()
            .unwrap()
            .clone_into(&mut self.health);
        self.server = Some(server);
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        self.server.take().expect("the server runs").kill();
    }

    /// SIGTERM; gives the exit code.
    pub fn stop(&mut self) -> Option<i32> {
        self.server.take().expect("the server runs").stop()
    }

    /// SIGABRT; how it ended.
    pub fn abort(&mut self) -> ExitStatus {
        self.server.take().expect("the server runs").abort()
    }

    /// The process id of the server (or of its wrapper).
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.server.as_ref().expect("the server runs").child.id()
    }

    /// The home of server and owner.
    #[must_use]
    pub fn home(&self) -> PathBuf {
        self.folder.path().join("home")
    }

    /// The database of the server.
    #[must_use]
    pub fn database(&self) -> PathBuf {
        let is_database = |path: &PathBuf| path.extension().is_some_and(|ending| ending == "db");
        let mut files = std::fs::read_dir(self.home())
            .unwrap()
            .map(|entry| entry.unwrap().path());
        files.find(is_database).expect("the home holds a database")
    }

    /// A folder of the test's own, which vanishes with the installation.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Where the API answers.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Where health and metrics answer.
    #[must_use]
    pub fn health(&self) -> &str {
        &self.health
    }

    /// Unseals with the right passphrase.
    #[must_use = "check how it ended"]
    pub fn unseal(&self) -> Outcome {
        self.cli(&["unseal"])
    }

    /// Runs `procura` as the owner and waits.
    #[must_use = "check how it ended"]
    pub fn cli(&self, arguments: &[&str]) -> Outcome {
        self.cli_in(&self.home(), PASSPHRASE, arguments, b"")
    }

    /// As [`Installation::cli`], with something on stdin.
    #[must_use = "check how it ended"]
    pub fn cli_with(&self, arguments: &[&str], input: &[u8]) -> Outcome {
        self.cli_in(&self.home(), PASSPHRASE, arguments, input)
    }

    /// Runs `procura` with another home or passphrase.
    #[must_use = "check how it ended"]
    pub fn cli_in(
        &self,
        home: &Path,
        passphrase: &str,
        arguments: &[&str],
        input: &[u8],
    ) -> Outcome {
        self.run(home, &[passphrase], arguments, input)
    }

    /// Runs `procura` with several passphrases, one a line.
    #[must_use = "check how it ended"]
    pub fn cli_lines(&self, home: &Path, passphrases: &[&str], arguments: &[&str]) -> Outcome {
        self.run(home, passphrases, arguments, b"")
    }

    fn run(&self, home: &Path, passphrases: &[&str], arguments: &[&str], input: &[u8]) -> Outcome {
        // A file of its own, outside of what is searched, opened by a shell: a
        // descriptor opened here would be inherited by what other tests start.
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all((passphrases.join("\n") + "\n").as_bytes())
            .unwrap();
        let mut child = Command::new("sh")
            .args(["-c", "exec 3<\"$0\"; exec \"$@\""])
            .arg(file.path())
            .arg(program("procura"))
            .args(["--passphrase-fd", "3", "--yes"])
            .args(arguments)
            .env("PROCURA_HOME", home)
            .env("PROCURA_SERVER", &self.url)
            .current_dir(self.folder())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // Written beside the reading, for a value may be larger than a pipe; a
        // command that reads no input may have ended already.
        let mut stdin = child.stdin.take().unwrap();
        let input = input.to_vec();
        let writer = std::thread::spawn(move || drop(stdin.write_all(&input)));
        let outcome = Outcome::from(child.wait_with_output().unwrap());
        writer.join().unwrap();
        outcome
    }

    /// Writes a secret.
    pub fn put(&self, namespace: &str, path: &str, value: &[u8]) {
        self.cli_with(&["-n", namespace, "secret", "put", path], value)
            .ok();
    }

    /// What the server said on stderr so far.
    #[must_use]
    pub fn server_said(&self) -> String {
        std::fs::read_to_string(self.folder().join("server.log")).unwrap()
    }
}

impl Drop for Installation {
    fn drop(&mut self) {
        // Ends the key agent, if there is one.
        let _ = self.cli(&["logout"]);
    }
}
