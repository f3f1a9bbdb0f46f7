//! What a project is asked for by these clients: names in a `.env` file.

use procura_types::{Dotenv, EnvName};
use std::collections::BTreeSet;

/// What a file asks for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// It has nothing but comments: all that the project maps.
    All,
    /// These, sorted; none of them, where nothing in it is a name.
    Names(Vec<EnvName>),
}

impl Asked {
    /// Of a `.env` file. One that says something asks for no more than it names, though that
    /// be nothing: what is not understood is not taken for all.
    pub(super) fn of(file: &str) -> Self {
        let says_nothing = |line: &str| line.trim().is_empty() || line.trim().starts_with('#');
        match file.lines().all(says_nothing) {
            true => Self::All,
            false => Self::Names(names(file)),
        }
    }
}

/// The names that a `.env` file assigns, sorted. Its values are not looked at, but for where
/// they end. A file that is none by our rules is read line by line, as its client was used
/// to; what is no name of a variable there is let be, since it may be part of a value.
fn names(file: &str) -> Vec<EnvName> {
    let parsed = Dotenv::parse(file.as_bytes());
    let names: BTreeSet<EnvName> = match &parsed {
        Ok(file) => file
            .names()
            .into_iter()
            .filter_map(|name| name.parse().ok())
            .collect(),
        Err(_) => file.lines().filter_map(name).collect(),
    };
    names.into_iter().collect()
}

fn name(line: &str) -> Option<EnvName> {
    let (name, _) = line.split_once('=')?;
    name.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::Asked;

    #[test]
    fn names_are_found_and_no_part_of_a_value_is_one() {
        for (file, found) in [
            ("B=1\nA=\nB=2\n", "A B"),
            ("export A=1\r\nB = x=y\n", "A B"),
            // Within quotes lines are text.
            ("KEY=\"first\nMIIB=\nlast\"\nA=1\n", "A KEY"),
            // No file of ours: by lines.
            ("A=1\nwhat is this\n  B =2\n1C=3\n", "A B"),
            // Nothing that is a name is not everything.
            ("1C=3\n", ""),
            ("what is this\n", ""),
        ] {
            let Asked::Names(names) = Asked::of(file) else {
                panic!("{file}");
            };
            let names: Vec<&str> = names.iter().map(|name| name.as_str()).collect();
            assert_eq!(names.join(" "), found, "{file}");
        }
    }

    #[test]
    fn a_file_that_says_nothing_asks_for_all() {
        for file in ["", "\n \r\n", "# DATABASE_URL=no\n\n  # B=1"] {
            assert_eq!(Asked::of(file), Asked::All, "{file}");
        }
    }
}
