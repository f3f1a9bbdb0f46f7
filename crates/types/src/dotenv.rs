//! `.env` files: which names a project uses, and, for an import, their values.
//!
//! There is no standard. This reads what shells and the common loaders agree
//! on: `NAME=value` lines, `export` before them, `#` comments, single, double
//! and back quotes whose text may span lines. `$` is an ordinary character:
//! nothing is expanded. Where loaders differ, the shell decides.

use crate::Secret;

/// A `.env` file as read, in its order.
pub struct Dotenv {
    entries: Vec<DotenvEntry>,
}

/// One assignment.
pub struct DotenvEntry {
    /// The name as written; whether it is one of an environment variable is
    /// for [`crate::EnvName`] to say.
    pub name: String,
    /// The value; none when the line only names the variable.
    pub value: Option<Secret<String>>,
    /// The line it begins on, from 1.
    pub line: usize,
}

/// A file that is no `.env` file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line} {problem}")]
pub struct DotenvError {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong with it; never any of its text.
    pub problem: &'static str,
}

impl Dotenv {
    /// Reads a file's bytes: UTF-8, a byte order mark is skipped, lines end
    /// with LF or CRLF (and count as LF inside quotes).
    ///
    /// # Errors
    /// Names the first line that cannot be understood; nothing is skipped
    /// silently.
    pub fn parse(bytes: &[u8]) -> Result<Self, DotenvError> {
        let text = std::str::from_utf8(bytes).map_err(|error| {
            let before = bytes.get(..error.valid_up_to()).unwrap_or_default();
            DotenvError {
                line: 1 + before.iter().filter(|byte| **byte == b'\n').count(),
                problem: "is not UTF-8",
            }
        })?;
        let mut reader = Reader {
            rest: text.strip_prefix('\u{feff}').unwrap_or(text),
            line: 1,
        };
        let mut entries = Vec::new();
        while !reader.rest.is_empty() {
            if let Some(entry) = reader.entry()? {
                entries.push(entry);
            }
        }
        Ok(Self { entries })
    }

    /// The names, each once, in the order in which they first appear.
    #[must_use]
    pub fn names(&self) -> Vec<&str> {
        let mut seen = std::collections::HashSet::new();
        self.entries
            .iter()
            .map(|entry| entry.name.as_str())
            .filter(|name| seen.insert(*name))
            .collect()
    }

    /// One entry for each name, in the order in which the names first appear.
    /// Of several assignments the last one counts, as in a shell.
    #[must_use]
    pub fn into_entries(self) -> Vec<DotenvEntry> {
        let mut places = std::collections::HashMap::new();
        let mut kept: Vec<DotenvEntry> = Vec::new();
        for entry in self.entries {
            let place = *places.entry(entry.name.clone()).or_insert(kept.len());
            match kept.get_mut(place) {
                // `export NAME` after an assignment does not unset it.
                Some(before) if entry.value.is_some() => *before = entry,
                Some(_) => {}
                None => kept.push(entry),
            }
        }
        kept
    }
}

struct Reader<'a> {
    rest: &'a str,
    line: usize,
}

impl Reader<'_> {
    fn wrong(&self, problem: &'static str) -> DotenvError {
        DotenvError {
            line: self.line,
            problem,
        }
    }

    fn bump(&mut self) -> Option<char> {
        let mut chars = self.rest.chars();
        let first = chars.next()?;
        self.rest = chars.as_str();
        if first == '\n' {
            self.line += 1;
        }
        Some(first)
    }

    fn skip_blanks(&mut self) {
        self.rest = self.rest.trim_start_matches([' ', '\t']);
    }

    /// What is left of the line, which is then behind us.
    fn finish_line(&mut self) -> String {
        let (line, rest) = self
            .rest
            .split_once('\n')
            .map_or((self.rest, None), |(line, rest)| (line, Some(rest)));
        let line = line.strip_suffix('\r').unwrap_or(line).to_owned();
        self.rest = rest.unwrap_or("");
        if rest.is_some() {
            self.line += 1;
        }
        line
    }

    /// Whether the line has ended, but for a comment.
    fn at_end_of_line(&self) -> bool {
        self.rest.is_empty() || self.rest.starts_with(['#', '\n']) || self.rest.starts_with("\r\n")
    }

    fn entry(&mut self) -> Result<Option<DotenvEntry>, DotenvError> {
        self.skip_blanks();
        if self.at_end_of_line() {
            self.finish_line();
            return Ok(None);
        }
        if let Some(after) = self.rest.strip_prefix("export")
            && after.starts_with([' ', '\t'])
        {
            self.rest = after;
            self.skip_blanks();
        }
        let line = self.line;
        let end = self.rest.find(['=', '\n', '#']).unwrap_or(self.rest.len());
        let (name, rest) = self.rest.split_at_checked(end).unwrap_or((self.rest, ""));
        let name = name.trim_ascii_end();
        if name.is_empty() {
            return Err(self.wrong("has no name before its ="));
        }
        if name.contains(char::is_whitespace) {
            return Err(self.wrong("is not NAME=value"));
        }
        if name.contains(char::is_control) {
            return Err(self.wrong("has a control character in its name"));
        }
        let name = name.to_owned();
        let value = if let Some(rest) = rest.strip_prefix('=') {
            self.rest = rest;
            Some(self.value()?)
        } else {
            self.rest = rest;
            self.finish_line();
            None
        };
        Ok(Some(DotenvEntry { name, value, line }))
    }

    fn value(&mut self) -> Result<Secret<String>, DotenvError> {
        // White space between = and the value, so that `A= # note` is empty as
        // it is in a shell.
        let spaced = self.rest.starts_with([' ', '\t']);
        self.skip_blanks();
        match self.rest.chars().next() {
            Some(quote @ ('"' | '\'' | '`')) => self.quoted(quote),
            _ => self.bare(spaced),
        }
    }

    fn bare(&mut self, spaced: bool) -> Result<Secret<String>, DotenvError> {
        let here = self.wrong("contains a NUL byte");
        let line = Secret::new(self.finish_line());
        let line = line.expose().as_str();
        let mut before_is_blank = spaced;
        let mut end = line.len();
        for (position, character) in line.char_indices() {
            if character == '#' && before_is_blank {
                end = position;
                break;
            }
            before_is_blank = matches!(character, ' ' | '\t');
        }
        let value = line.get(..end).unwrap_or(line).trim_ascii_end();
        if value.contains('\0') {
            return Err(here);
        }
        Ok(Secret::new(value.to_owned()))
    }

    fn quoted(&mut self, quote: char) -> Result<Secret<String>, DotenvError> {
        let began = self.wrong("begins a quote that is never closed");
        self.bump();
        // Never longer than the rest of the file: it does not grow and leave
        // parts of the value behind.
        let mut value = Secret::new(String::with_capacity(self.rest.len()));
        loop {
            let Some(next) = self.bump() else {
                return Err(began);
            };
            match next {
                _ if next == quote => break,
                '\0' => return Err(self.wrong("contains a NUL byte")),
                '\r' if self.rest.starts_with('\n') => {}
                '\\' if quote == '"' => self.escape(value.expose_mut(), &began)?,
                other => value.expose_mut().push(other),
            }
        }
        self.skip_blanks();
        if !self.at_end_of_line() {
            return Err(self.wrong("has text after its closing quote"));
        }
        self.finish_line();
        Ok(value)
    }

    fn escape(&mut self, value: &mut String, began: &DotenvError) -> Result<(), DotenvError> {
        let Some(next) = self.bump() else {
            return Err(began.clone());
        };
        match next {
            'n' => value.push('\n'),
            'r' => value.push('\r'),
            't' => value.push('\t'),
            '"' | '\\' | '$' | '`' => value.push(next),
            // A line continued, as in a shell.
            '\n' => {}
            '\r' if self.rest.starts_with('\n') => {
                self.bump();
            }
            '\0' => return Err(self.wrong("contains a NUL byte")),
            other => {
                value.push('\\');
                value.push(other);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Vec<(String, Option<String>)> {
        Dotenv::parse(text.as_bytes())
            .ok()
            .unwrap()
            .into_entries()
            .into_iter()
            .map(|entry| (entry.name, entry.value.map(|value| value.expose().clone())))
            .collect()
    }

    #[test]
    fn values() {
        for (line, value) in [
            ("A=b", "b"),
            ("A=", ""),
            ("A = b", "b"),
            ("  A=b  ", "b"),
            ("export A=b", "b"),
            ("export\tA=b", "b"),
            ("A=b # note", "b"),
            ("A=b#c", "b#c"),
            ("A=#c", "#c"),
            ("A= # note", ""),
            ("A=b c", "b c"),
            ("A=b=c==", "b=c=="),
            ("A=it's", "it's"),
            ("A='b # c'", "b # c"),
            ("A='b' # note", "b"),
            ("A='b\\n'", "b\\n"),
            ("A=`b \"c\" 'd'`", "b \"c\" 'd'"),
            ("A=\"b\\n\\t\\\"\\\\\\$c\\d\"", "b\n\t\"\\$c\\d"),
            ("A=\"$HOME\"", "$HOME"),
            ("A=$HOME", "$HOME"),
            ("A=\"b\\\nc\"", "bc"),
            ("A=\"b\nc\"", "b\nc"),
            ("A='b\r\nc'\r\n", "b\nc"),
            ("A=b\r\n", "b"),
            ("\u{feff}A=b", "b"),
            ("A=\"\"", ""),
            ("A=äöü", "äöü"),
            ("A=\"ä\"", "ä"),
        ] {
            assert_eq!(
                read(line),
                [("A".to_owned(), Some(value.to_owned()))],
                "{line:?}"
            );
        }
    }

    #[test]
    fn lines_without_an_assignment() {
        for text in ["", "\n\n", "# A=b", "  # A=b\r\n\r\n", "\u{feff}# A=b\n"] {
            assert!(read(text).is_empty(), "{text:?}");
        }
        for text in ["A", "export A", "A # note", "A\r\n"] {
            assert_eq!(read(text), [("A".to_owned(), None)], "{text:?}");
        }
        // A variable may be called so.
        assert_eq!(
            read("export=1"),
            [("export".to_owned(), Some("1".to_owned()))]
        );
        assert_eq!(
            read("exported=1"),
            [("exported".to_owned(), Some("1".to_owned()))]
        );
    }

    #[test]
    fn names_come_once_in_order_and_the_last_value_counts() {
        let text = "B=1\nA='x\ny'\nB=2\nC-D=3\n1E=4\nexport B\n";
        let file = Dotenv::parse(text.as_bytes()).ok().unwrap();
        assert_eq!(file.names(), ["B", "A", "C-D", "1E"]);
        let lines: Vec<_> = file.into_entries().iter().map(|entry| entry.line).collect();
        assert_eq!(lines, [4, 2, 5, 6]);
        assert_eq!(read(text).first().unwrap().1.as_deref(), Some("2"));
    }

    #[test]
    fn other_files_are_refused_with_the_line() {
        for (text, line, problem) in [
            (&b"A=1\nB=\xff"[..], 2, "is not UTF-8"),
            (b"=b", 1, "has no name before its ="),
            (b"A=1\nexport =b", 2, "has no name before its ="),
            (b"A=1\n\nsome words", 3, "is not NAME=value"),
            (b"A B=1", 1, "is not NAME=value"),
            (b"A=1\nB='x\ny", 2, "begins a quote that is never closed"),
            (b"A=\"x\\\"", 1, "begins a quote that is never closed"),
            (b"A=\"x\\", 1, "begins a quote that is never closed"),
            (b"A=\"x\" y", 1, "has text after its closing quote"),
            (b"A='x\ny'z", 2, "has text after its closing quote"),
            (b"A=x\0y", 1, "contains a NUL byte"),
            (b"A='x\0y'", 1, "contains a NUL byte"),
            (b"A=\"\\\0\"", 1, "contains a NUL byte"),
            (b"A\x01=x", 1, "has a control character in its name"),
        ] {
            let error = Dotenv::parse(text).err().unwrap();
            assert_eq!(error, DotenvError { line, problem }, "{text:?}");
        }
    }
}
