//! Asking the person at the terminal, even when stdin is a pipe.

use crate::failure::Failure;
use procura_types::{Secret, SecretBytes};
use rustix::fs::{Mode, OFlags};
use rustix::termios::{LocalModes, OptionalActions, SpecialCodeIndex, Termios};
use std::io::{IsTerminal as _, Read as _, Write as _};
use std::os::fd::OwnedFd;
use tokio::signal::unix::{SignalKind, signal};

/// The longest line that is read without echo, in bytes.
const LONGEST: usize = 64 * 1024;

/// Whether a person sits at stdin.
pub(crate) fn is_stdin_terminal() -> bool {
    std::io::stdin().is_terminal()
}

/// Whether there is a terminal to ask at, wherever stdin comes from.
pub(crate) fn is_there() -> bool {
    std::fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/tty")
        .is_ok()
}

/// Asks for a line, which is shown as it is typed; at most 256 bytes of it are read.
pub(crate) fn line(question: &str) -> Result<String, Failure> {
    let answer = ask(&crate::output::plain(question), 256)?;
    Ok(String::from_utf8_lossy(&answer).trim().to_owned())
}

/// The same of a line that is pasted: at most as many bytes as a terminal gives at once.
pub(crate) fn long_line(question: &str) -> Result<String, Failure> {
    let answer = ask(&crate::output::plain(question), 4096)?;
    Ok(String::from_utf8_lossy(&answer).trim().to_owned())
}

/// Asks, and reads up to `most` bytes of the line that comes.
fn ask(question: &str, most: usize) -> Result<Vec<u8>, Failure> {
    let mut tty = std::fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/tty")
        .map_err(failed)?;
    write!(tty, "{question}").map_err(failed)?;
    let mut answer = Vec::new();
    let mut byte = [0u8; 1];
    while answer.len() < most && tty.read(&mut byte).map_err(failed)? == 1 && byte != *b"\n" {
        answer.extend_from_slice(&byte);
    }
    Ok(answer)
}

/// Asks for a yes; anything but `y` or `yes` is a no.
pub(crate) fn confirm(question: &str) -> Result<bool, Failure> {
    let answer = ask(&format!("{question} [y/N] "), 16)?;
    Ok(matches!(answer.as_slice(), b"y" | b"Y" | b"yes" | b"Yes"))
}

/// The terminal while it does not show what is typed; as it was, after.
struct Hidden {
    tty: OwnedFd,
    before: Termios,
}

impl Drop for Hidden {
    fn drop(&mut self) {
        // A terminal that is gone needs no restoring.
        let _ = rustix::termios::tcsetattr(&self.tty, OptionalActions::Flush, &self.before);
        let _ = rustix::io::write(&self.tty, b"\n");
    }
}

fn failed(error: impl Into<std::io::Error>) -> Failure {
    Failure::storage("cannot ask at the terminal", &error.into())
}

/// Reads one line that is not shown. Ctrl-C, a hang-up or a termination leave
/// the terminal as it was.
pub(crate) async fn hidden(question: &str) -> Result<SecretBytes, Failure> {
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
    let tty = rustix::fs::open("/dev/tty", flags, Mode::empty()).map_err(|_| {
        Failure::usage("there is no terminal to ask at")
            .next("a pipe for the value, or --passphrase-fd N for passphrases")
    })?;
    let before = rustix::termios::tcgetattr(&tty).map_err(failed)?;
    let mut quiet = before.clone();
    quiet.local_modes -= LocalModes::ECHO | LocalModes::ICANON | LocalModes::ISIG;
    quiet.special_codes[SpecialCodeIndex::VMIN] = 1;
    quiet.special_codes[SpecialCodeIndex::VTIME] = 0;
    let typing = tty.try_clone().map_err(failed)?;
    let mut terminated = signal(SignalKind::terminate()).map_err(failed)?;
    let mut hung_up = signal(SignalKind::hangup()).map_err(failed)?;
    let hidden = Hidden { tty, before };
    rustix::termios::tcsetattr(&hidden.tty, OptionalActions::Flush, &quiet).map_err(failed)?;
    // Only now: what is typed at the question is neither shown nor flushed away.
    rustix::io::write(&hidden.tty, question.as_bytes()).map_err(failed)?;

    // A thread of its own, which ends with the line, or with the process when a
    // signal comes first.
    let (done, line) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || done.send(read_line(&typing)));
    tokio::select! {
        line = line => line.map_err(|_| Failure::interrupted(1))?,
        _ = terminated.recv() => Err(Failure::interrupted(15)),
        _ = hung_up.recv() => Err(Failure::interrupted(1)),
    }
}

fn read_line(tty: &OwnedFd) -> Result<SecretBytes, Failure> {
    // Room for the longest line at once: nothing typed is left behind in memory
    // that was grown out of.
    let mut line = Line(Secret::new(Vec::with_capacity(LONGEST)));
    loop {
        let mut byte = [0u8; 1];
        match rustix::io::read(tty, &mut byte) {
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(failed(error)),
            Ok(0) => return Err(Failure::interrupted(1)),
            Ok(_) => {
                if line.take(byte[0])? {
                    return Ok(line.0);
                }
            }
        }
    }
}

/// A line as it is typed; the editing that the terminal would have done.
struct Line(SecretBytes);

impl Line {
    /// Takes one byte; true when the line is complete.
    fn take(&mut self, byte: u8) -> Result<bool, Failure> {
        let typed = self.0.expose_mut();
        match byte {
            b'\r' | b'\n' => return Ok(true),
            // Ctrl-C.
            0x03 => return Err(Failure::interrupted(2)),
            // Ctrl-D ends the line as it is.
            0x04 => return Ok(true),
            // Backspace takes a whole character.
            0x08 | 0x7f => while typed.pop().is_some_and(|last| last & 0xc0 == 0x80) {},
            // Ctrl-U.
            0x15 => typed.clear(),
            _ if typed.len() < LONGEST => typed.push(byte),
            _ => return Err(Failure::usage("the line is longer than 64 KiB").next("--file F")),
        }
        Ok(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn typed_lines_are_edited_like_the_terminal_would() {
        let mut line = Line(Secret::new(Vec::new()));
        for byte in "wrong\u{15}abü\u{7f}c\u{8}d".bytes() {
            assert!(!line.take(byte).unwrap());
        }
        assert!(line.take(b'\r').unwrap());
        assert!(line.0.expose() == b"abd");
        assert_eq!(
            line.take(3).unwrap_err().exit(),
            procura_types::exit::INTERRUPTED
        );
    }
}
