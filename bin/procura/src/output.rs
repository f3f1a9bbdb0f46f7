//! What is shown: data on stdout, words for people on stderr.

use crate::failure::Failure;
use serde::Serialize;
use std::fmt::Write as _;
use std::io::{self, Write};

/// Writes exact bytes to stdout.
pub(crate) fn bytes(data: &[u8]) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    match out.write_all(data).and_then(|()| out.flush()) {
        // A reader that has seen enough is no failure.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        Err(error) => Err(Failure::storage("cannot write the output", &error)),
        Ok(()) => Ok(()),
    }
}

/// Writes one line to stdout.
pub(crate) fn line(text: impl AsRef<str>) -> Result<(), Failure> {
    let mut text = text.as_ref().to_owned();
    text.push('\n');
    bytes(text.as_bytes())
}

/// Writes a value as one line of JSON to stdout.
pub(crate) fn json(value: &impl Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string(value)
        .map_err(|error| Failure::storage("cannot write the answer as JSON", &error))?;
    line(text)
}

/// Tells that something was done: words for a person, or with `--json` what was
/// done as an object, where the API answers nothing.
pub(crate) fn done(
    json: bool,
    what: &impl Serialize,
    words: impl AsRef<str>,
) -> Result<(), Failure> {
    if json {
        return self::json(what);
    }
    say(words);
    Ok(())
}

/// Tells a person something, on stderr.
pub(crate) fn say(text: impl AsRef<str>) {
    // Nothing better can be done when the terminal is gone.
    let _ = writeln!(io::stderr().lock(), "{}", text.as_ref());
}

/// Tells how a command failed, in words or as one line of JSON.
pub(crate) fn failure(failure: &Failure, json: bool) {
    match serde_json::to_string(failure) {
        Ok(text) if json => say(text),
        _ => say(plain(&failure.to_string())),
    }
}

/// Text from elsewhere as it may be shown: what would steer a terminal, or
/// reverse the writing, is spelled out.
pub(crate) fn plain(text: &str) -> String {
    procura_types::plain(text)
}

/// Rows under headings, in columns as wide as they need to be.
pub(crate) struct Table<const N: usize> {
    rows: Vec<[String; N]>,
}

impl<const N: usize> Table<N> {
    pub(crate) fn new(headings: [&str; N]) -> Self {
        Self {
            rows: vec![headings.map(str::to_owned)],
        }
    }

    pub(crate) fn row(&mut self, cells: [String; N]) {
        self.rows
            .push(cells.map(|cell| plain(&cell).replace('\n', " ")));
    }

    /// Writes the table to stdout; a table without rows says so on stderr.
    pub(crate) fn print(self, none: &str) -> Result<(), Failure> {
        if self.rows.len() == 1 {
            say(none);
            return Ok(());
        }
        let mut widths = [0usize; N];
        for row in &self.rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.chars().count());
            }
        }
        let mut text = String::new();
        for row in &self.rows {
            let mut written = String::new();
            for (width, cell) in widths.iter().zip(row) {
                let _ = write!(written, "{cell:<width$}  ");
            }
            text.push_str(written.trim_end());
            text.push('\n');
        }
        bytes(text.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::plain;

    #[test]
    fn what_steers_a_terminal_is_spelled_out() {
        assert_eq!(plain("a\u{1b}[2Jb\r"), "a\\u{1b}[2Jb\\u{d}");
        assert_eq!(plain("x\u{202e}y"), "x\\u{202e}y");
        assert_eq!(plain("grün\n"), "grün\n");
    }
}
