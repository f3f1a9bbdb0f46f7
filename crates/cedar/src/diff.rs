//! What is different between two texts, policy by policy.

use crate::set::PolicySet;
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// The policies that are only in `before`, only in `after`, or other in both, as text with
/// `-` and `+` before each line. Empty when the policies are the same, in whichever order.
#[must_use]
pub fn diff(before: &PolicySet, after: &PolicySet) -> String {
    let old: BTreeMap<&str, String> = before.policies().collect();
    let new: BTreeMap<&str, String> = after.policies().collect();
    let mut names: Vec<&str> = old.keys().chain(new.keys()).copied().collect();
    names.sort_unstable();
    names.dedup();
    let mut out = String::new();
    for name in names {
        let (was, is) = (old.get(name), new.get(name));
        let what = match (was, is) {
            (Some(was), Some(is)) if was == is => continue,
            (Some(_), Some(_)) => "changed",
            (None, _) => "added",
            (_, None) => "removed",
        };
        // Writing to a String cannot fail.
        let _ = writeln!(out, "{name}: {what}");
        for (sign, text) in [('-', was), ('+', is)] {
            for line in text.into_iter().flat_map(|text| text.lines()) {
                let _ = writeln!(out, "{sign} {line}");
            }
        }
    }
    out
}
