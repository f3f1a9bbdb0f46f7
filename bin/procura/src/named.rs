//! Names for people, as they are shown: always beside the label, never in its place, so
//! that nobody takes one thing for another because of what it is called.

use crate::output::plain;
use procura_types::DisplayName;

/// In a column of its own.
pub(crate) fn cell(name: Option<&DisplayName>) -> String {
    name.map_or_else(|| "-".to_owned(), |name| plain(name.as_str()))
}

/// Behind the label: `scribe (The Scribe)`.
pub(crate) fn beside(label: &str, name: Option<&DisplayName>) -> String {
    match name {
        Some(name) => format!("{label} ({})", plain(name.as_str())),
        None => label.to_owned(),
    }
}

/// What was done.
pub(crate) fn words(what: &str, label: &str, name: Option<&DisplayName>) -> String {
    match name {
        Some(name) => format!("the {what} {label} is called {}", plain(name.as_str())),
        None => format!("the {what} {label} is called by its name alone"),
    }
}
