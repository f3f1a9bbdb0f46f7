//! Finding, starting and awaiting programs.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A program of ours, built in the same profile as the running test.
///
/// # Panics
/// When it has not been built, with the command that builds it.
#[must_use]
pub fn program(name: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let profile = test.ancestors().find(|folder| folder.ends_with("deps")).unwrap().parent().unwrap();
    let path = profile.join(name);
    assert!(path.is_file(), "{} is not there: run ./x build first", path.display());
    path
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

/// A pipe that holds `text`, for options that take a descriptor.
pub(crate) fn pipe_with(text: &str) -> OwnedFd {
    let (reader, mut writer) = std::io::pipe().unwrap();
    writer.write_all(text.as_bytes()).unwrap();
    let reader = OwnedFd::from(reader);
    // The child must inherit it; Rust opens everything close-on-exec.
    rustix::io::fcntl_setfd(&reader, rustix::io::FdFlags::empty()).unwrap();
    reader
}

/// The number to give for a descriptor on the command line.
pub(crate) fn number(fd: &OwnedFd) -> String {
    fd.as_raw_fd().to_string()
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
        let stderr = std::fs::OpenOptions::new().create(true).append(true).open(&log).unwrap();
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
        Self { child, first_line, log }
    }

    /// What it wrote on stderr so far.
    pub(crate) fn said(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }

    /// `kill -9`.
    pub(crate) fn kill(&mut self) {
        // Fails only when it has ended already, which is what is wanted.
        let _ = self.child.kill();
        self.child.wait().unwrap();
    }

    /// SIGTERM, and its exit code.
    pub(crate) fn stop(&mut self) -> Option<i32> {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        self.child.wait().unwrap().code()
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            eprintln!("--- {} ---\n{}", self.log.display(), self.said());
        }
    }
}
