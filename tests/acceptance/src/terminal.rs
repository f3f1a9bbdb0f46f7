//! A real terminal: a tmux server of its own.

use crate::until;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

/// How long a terminal may take to show something.
const PATIENCE: Duration = Duration::from_secs(60);

/// A tmux session with one window that runs a shell.
pub struct Terminal {
    socket: PathBuf,
}

impl Terminal {
    /// Opens a terminal of 80×24 in `folder`, which must be a fresh one.
    #[must_use]
    pub fn open(folder: &std::path::Path) -> Self {
        let terminal = Self {
            socket: folder.join("tmux.sock"),
        };
        terminal.tmux(&[
            "-f",
            "/dev/null",
            "new-session",
            "-d",
            "-x",
            "80",
            "-y",
            "24",
            "-s",
            "t",
            "env PS1='prompt ' sh -i",
        ]);
        // What is typed before the shell is there is echoed twice.
        terminal.shows("prompt");
        terminal
    }

    fn try_tmux(&self, arguments: &[&str]) -> std::io::Result<std::process::Output> {
        Command::new("tmux")
            .arg("-S")
            .arg(&self.socket)
            .args(arguments)
            .output()
    }

    fn tmux(&self, arguments: &[&str]) -> String {
        let output = self
            .try_tmux(arguments)
            .expect("tmux runs; ./x setup installs it");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "tmux {arguments:?}: {said}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Types a line and presses Enter.
    pub fn line(&self, text: &str) {
        self.tmux(&["send-keys", "-t", "t", "-l", text]);
        self.key("Enter");
    }

    /// Presses a key as tmux names it: `C-c`, `C-z`, `Enter`.
    pub fn key(&self, name: &str) {
        self.tmux(&["send-keys", "-t", "t", name]);
    }

    /// Makes the window another size, in columns and rows.
    pub fn resize(&self, columns: u16, rows: u16) {
        self.tmux(&[
            "resize-window",
            "-t",
            "t",
            "-x",
            &columns.to_string(),
            "-y",
            &rows.to_string(),
        ]);
    }

    /// What the screen shows now.
    #[must_use]
    pub fn screen(&self) -> String {
        self.tmux(&["capture-pane", "-p", "-J", "-t", "t", "-S", "-200"])
    }

    /// Waits until the screen shows a line that is `text`.
    ///
    /// # Panics
    /// When it does not in time; shows the screen.
    #[track_caller]
    pub fn shows(&self, text: &str) {
        let mut screen = String::new();
        let seen = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            until("a line on the screen", PATIENCE, || {
                screen = self.screen();
                screen
                    .lines()
                    .any(|line| line.trim_end() == text)
                    .then_some(())
            });
        }));
        assert!(
            seen.is_ok(),
            "the terminal never showed `{text}`:\n{screen}"
        );
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // Fails only when the server of this terminal is gone already.
        let _ = self.try_tmux(&["kill-server"]);
    }
}
