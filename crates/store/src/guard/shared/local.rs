//! A real Valkey or Redis server for tests: on loopback, on a port of its own, with a
//! directory of its own, ended with the test.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "what tests stand on fails by panicking; it is compiled for tests only"
)]

use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// How long it may take to answer after it was started.
const PATIENCE: Duration = Duration::from_secs(60);

/// A server that stores nothing on disk. Its command line tool has to be there too;
/// both are in the package redis-server.
pub struct LocalRedis {
    dir: PathBuf,
    more: Vec<String>,
    port: u16,
    process: Option<Child>,
}

impl LocalRedis {
    /// Starts one in `dir`, with `more` on its command line.
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn start(dir: &Path, more: &[&str]) -> Self {
        let mut server = Self {
            dir: dir.to_owned(),
            more: more.iter().map(|&word| word.to_owned()).collect(),
            port: 0,
            process: None,
        };
        // Another process may take the port before the server does.
        for _ in 0..20 {
            let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
            server.port = free.local_addr().unwrap().port();
            drop(free);
            if server.run() {
                return server;
            }
        }
        panic!("no redis-server starts here");
    }

    /// Starts it again after [`Self::stop`], at the same address.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start_again(&mut self) {
        assert!(self.process.is_none(), "it runs");
        let until = Instant::now() + PATIENCE;
        // Its port may be somebody else's for a moment.
        while !self.run() {
            assert!(Instant::now() < until, "it does not start again");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Whether it is started and answers now.
    fn run(&mut self) -> bool {
        let mut process = Command::new("redis-server")
            .args(["--bind", "127.0.0.1", "--port"])
            .arg(self.port.to_string())
            .args(["--save", "", "--appendonly", "no", "--daemonize", "no"])
            .args(["--enable-debug-command", "yes", "--dir"])
            .arg(&self.dir)
            .args(&self.more)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let until = Instant::now() + PATIENCE;
        while process.try_wait().unwrap().is_none() {
            // The port may be somebody else's, who answers as well.
            if TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).is_ok()
                && self.pid_of_answer() == Some(process.id())
            {
                self.process = Some(process);
                return true;
            }
            assert!(Instant::now() < until, "redis-server does not answer");
            std::thread::sleep(Duration::from_millis(10));
        }
        false
    }

    fn pid_of_answer(&self) -> Option<u32> {
        let said = self.command(&["INFO", "server"]);
        let said = String::from_utf8_lossy(&said.stdout).into_owned();
        let line = said
            .lines()
            .find_map(|line| line.strip_prefix("process_id:"));
        line?.trim().parse().ok()
    }

    /// Ends it, at once and without a word.
    ///
    /// # Panics
    /// When it does not run.
    pub fn stop(&mut self) {
        let mut process = self.process.take().unwrap();
        process.kill().unwrap();
        process.wait().unwrap();
    }

    /// Its address, for `guard_url`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Its port.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Has it carry out a command; what it says.
    ///
    /// # Panics
    /// When it cannot be asked.
    pub fn tell(&self, words: &[&str]) -> String {
        let output = self.command(words);
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    fn command(&self, words: &[&str]) -> Output {
        let mut command = Command::new("redis-cli");
        command
            .args(["-e", "-h", "127.0.0.1", "-p"])
            .arg(self.port.to_string());
        if let Some(at) = self.more.iter().position(|word| word == "--requirepass") {
            let password = self.more.get(at + 1).unwrap();
            command.args(["--no-auth-warning", "-a"]).arg(password);
        }
        command.args(words).output().unwrap()
    }
}

impl Drop for LocalRedis {
    fn drop(&mut self) {
        if self.process.is_some() {
            self.stop();
        }
    }
}
