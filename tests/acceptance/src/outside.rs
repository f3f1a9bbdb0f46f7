//! A program in another language that runs beside a test: each line that it prints is
//! JSON, and it may go on with a line on stdin.

use serde_json::Value;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;
use tempfile::NamedTempFile;

/// How long one may take on a machine that has much else to do.
const PATIENCE: Duration = Duration::from_secs(60);

/// The Python that the packages of the system are for; another one may come first in
/// the path.
const PYTHON: &str = "/usr/bin/python3";

/// One that runs. It is ended when it is dropped.
pub struct Program {
    child: Child,
    stdin: Option<ChildStdin>,
    lines: Receiver<Value>,
    stderr: NamedTempFile,
}

impl Program {
    /// In Python, which is not to leave anything beside the sources.
    ///
    /// # Panics
    /// When nothing runs it, with what to type.
    #[must_use]
    pub fn python(file: &str, words: &[&str]) -> Self {
        Self::start(Command::new(PYTHON).arg("-B"), file, words)
    }

    /// In JavaScript.
    ///
    /// # Panics
    /// When nothing runs it, with what to type.
    #[must_use]
    pub fn node(file: &str, words: &[&str]) -> Self {
        Self::start(&mut Command::new("node"), file, words)
    }

    fn start(command: &mut Command, file: &str, words: &[&str]) -> Self {
        let clients = Path::new(env!("CARGO_MANIFEST_DIR")).join("clients");
        let stderr = NamedTempFile::new().unwrap();
        let mut child = command
            .arg(clients.join(file))
            .args(words)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(stderr.reopen().unwrap())
            .spawn()
            .unwrap_or_else(|error| panic!("{file}: {error}; ./x setup installs what runs it"));
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = channel();
        let name = file.to_owned();
        std::thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                let line = serde_json::from_str(&line)
                    .unwrap_or_else(|error| panic!("{name} printed {line:?}: {error}"));
                // Nobody listens any more when the test is over.
                let _ = sender.send(line);
            }
        });
        Self {
            stdin: child.stdin.take(),
            child,
            lines,
            stderr,
        }
    }

    /// Gives it a line.
    ///
    /// # Panics
    /// When it has ended.
    pub fn tell(&mut self, line: &str) {
        let stdin = self.stdin.as_mut().unwrap();
        writeln!(stdin, "{line}").unwrap();
    }

    /// Its next line.
    ///
    /// # Panics
    /// When it says no more.
    #[track_caller]
    #[must_use]
    pub fn hear(&self) -> Value {
        match self.lines.recv_timeout(PATIENCE) {
            Ok(line) => line,
            Err(error) => panic!("it says no more: {error}"),
        }
    }

    /// The URL that it says first, of a service.
    ///
    /// # Panics
    /// When it says none.
    #[must_use]
    pub fn url(&self) -> String {
        let line = self.hear();
        line["url"].as_str().unwrap().to_owned()
    }

    /// What it has said and nobody heard.
    #[must_use]
    pub fn unheard(&self) -> Vec<Value> {
        self.lines.try_iter().collect()
    }

    /// All that it says from here to its end, which has to be a good one.
    ///
    /// # Panics
    /// When it does not end, or not well.
    #[track_caller]
    pub fn rest(mut self) -> Vec<Value> {
        drop(self.stdin.take());
        let mut all = Vec::new();
        loop {
            match self.lines.recv_timeout(PATIENCE) {
                Ok(line) => all.push(line),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => panic!("it does not end: {all:?}"),
            }
        }
        let status = self.child.wait().unwrap();
        assert!(status.success(), "{status} after {all:?}");
        all
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // Fails only when it has ended already, which is what is wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking()
            && let Ok(said) = std::fs::read_to_string(self.stderr.path())
        {
            // It is for whoever reads why the test failed.
            eprintln!("{said}");
        }
    }
}
