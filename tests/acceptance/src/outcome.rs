//! What a finished command left behind.

use serde_json::Value;
use std::os::unix::process::ExitStatusExt as _;
use std::process::Output;

/// Exit code, stdout and stderr of a command.
#[derive(Debug)]
pub struct Outcome {
    /// The exit code; 128 + signal when a signal ended it, as a shell says.
    pub code: i32,
    /// Data.
    pub stdout: Vec<u8>,
    /// Words for people.
    pub stderr: String,
}

impl From<Output> for Outcome {
    fn from(output: Output) -> Self {
        let by_signal = || 128 + output.status.signal().unwrap_or_default();
        Self {
            code: output.status.code().unwrap_or_else(by_signal),
            stdout: output.stdout,
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

impl Outcome {
    /// Asserts the exit code.
    #[track_caller]
    #[must_use = "or call ok()"]
    pub fn code(self, code: i32) -> Self {
        assert_eq!(
            self.code,
            code,
            "stdout: {}\nstderr: {}",
            self.text(),
            self.stderr
        );
        self
    }

    /// Asserts success.
    #[track_caller]
    pub fn ok(self) -> Self {
        self.code(0)
    }

    /// Asserts that the words for people contain `part`.
    #[track_caller]
    pub fn says(self, part: &str) -> Self {
        assert!(
            self.stderr.contains(part),
            "`{part}` is not in: {}",
            self.stderr
        );
        self
    }

    /// Stdout as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).trim_end().to_owned()
    }

    /// Stdout as JSON.
    #[track_caller]
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.stdout)
            .unwrap_or_else(|error| panic!("no JSON ({error}): {}\n{}", self.text(), self.stderr))
    }
}
