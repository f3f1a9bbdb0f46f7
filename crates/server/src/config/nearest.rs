//! What somebody meant who mistyped a key.

use super::Config;

/// Adds the nearest known key to a message about an unknown one.
pub(super) fn with_suggestion(message: &str) -> String {
    let unknown = message
        .split('`')
        .nth(1)
        .filter(|_| message.contains("unknown field"));
    match unknown.and_then(nearest) {
        // A key that there is, below the name of a section, which makes it the section's.
        Some(near) if unknown == Some(near) => {
            format!("{message}\n`{near}` belongs above the first section, such as [web]")
        }
        Some(near) => format!("{message}\ndid you mean `{near}`?"),
        None => message.to_owned(),
    }
}

/// The known key that is nearest by edits, if one is near at all.
pub(super) fn nearest(unknown: &str) -> Option<&'static str> {
    Config::KEYS
        .iter()
        .map(|(key, _, _)| (edits(unknown, key), *key))
        .min()
        .filter(|(distance, _)| *distance <= 3)
        .map(|(_, key)| key)
}

/// Levenshtein distance, on short ASCII words.
fn edits(one: &str, two: &str) -> usize {
    let mut row: Vec<usize> = (0..=two.len()).collect();
    for (line, left) in one.bytes().enumerate() {
        let mut before = line;
        let mut left_of = line + 1;
        for (cell, right) in row.iter_mut().skip(1).zip(two.bytes()) {
            let replaced = before + usize::from(left != right);
            before = *cell;
            left_of = replaced.min(before + 1).min(left_of + 1);
            *cell = left_of;
        }
        if let Some(first) = row.first_mut() {
            *first = line + 1;
        }
    }
    row.last().copied().unwrap_or(usize::MAX)
}
