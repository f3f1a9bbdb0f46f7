//! Finding, starting and awaiting programs.

use rustix::process::{Pid, Signal, kill_process};
use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// A program of ours, built in the same profile as the running test.
///
/// # Panics
/// When it has not been built, with the command that builds it.
#[must_use]
pub fn program(name: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let profile = test
        .ancestors()
        .find(|folder| folder.ends_with("deps"))
        .unwrap()
        .parent()
        .unwrap();
    let path = profile.join(name);
    assert!(
        path.is_file(),
        "{} is not there: run ./x build first",
        path.display()
    );
    path
}

/// How long something may take that is promised within so many seconds, of the program as
/// it is released. As it is built for other tests, on a machine that does other things too,
/// it may take ten times that; what does not come at all does not come then either.
#[must_use]
pub const fn promised(seconds: u64) -> Duration {
    Duration::from_secs(if cfg!(debug_assertions) {
        seconds * 10
    } else {
        seconds
    })
}

/// Asks `question` until it has an answer, at most for `limit`.
///
/// # Panics
/// When there is none in time; `what` says what was awaited.
pub fn until<T>(what: &str, limit: Duration, mut question: impl FnMut() -> Option<T>) -> T {
    let begin = Instant::now();
    loop {
        if let Some(answer) = question() {
            return answer;
        }
        assert!(begin.elapsed() < limit, "in {limit:?} not seen: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A program that runs in the background until it is dropped.
pub(crate) struct Background {
    pub(crate) child: Child,
    /// Its first line on stdout.
    pub(crate) first_line: String,
    log: PathBuf,
}

impl Background {
    /// Starts `command` and waits for its first line; stderr goes to `log`.
    pub(crate) fn start(command: &mut Command, log: PathBuf) -> Self {
        let stderr = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(&log)
            .unwrap();
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(stderr)
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let mut first_line = String::new();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        // Ends when the line is there or the program ends, whichever is first.
        stdout.read_line(&mut first_line).unwrap();
        if first_line.is_empty() {
            let status = child.wait().unwrap();
            let said = std::fs::read_to_string(&log).unwrap();
            panic!("{command:?} ended with {status} before it was ready:\n{said}");
        }
        // Whatever follows is read away, so that the program never blocks on it.
        std::thread::spawn(move || std::io::copy(&mut stdout, &mut std::io::sink()));
        Self {
            child,
            first_line,
            log,
        }
    }

    /// `kill -9`.
    pub(crate) fn kill(&mut self) {
        // Under a wrapper that does not become the program, such as strace, the
        // program is its child and would outlive it.
        let pid = self.child.id();
        let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
        for child in children.unwrap_or_default().split_whitespace() {
            if let Some(child) = child.parse().ok().and_then(Pid::from_raw) {
                let _ = kill_process(child, Signal::KILL);
            }
        }
        // Fails only when it has ended already, which is what is wanted.
        let _ = self.child.kill();
        self.child.wait().unwrap();
    }

    /// SIGTERM, and its exit code.
    pub(crate) fn stop(&mut self) -> Option<i32> {
        self.end_with(Signal::TERM).code()
    }

    /// SIGABRT, as a failed assertion in a library would send, and how it ended.
    pub(crate) fn abort(&mut self) -> ExitStatus {
        self.end_with(Signal::ABORT)
    }

    fn end_with(&mut self, signal: Signal) -> ExitStatus {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
        self.child.wait().unwrap()
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        self.kill();
        // The end of the log helps whoever reads why the test failed.
        if std::thread::panicking()
            && let Ok(said) = std::fs::read_to_string(&self.log)
        {
            let from = said.len().saturating_sub(4000);
            eprintln!(
                "--- {} ---\n{}",
                self.log.display(),
                said.get(from..).unwrap_or(&said)
            );
        }
    }
}
