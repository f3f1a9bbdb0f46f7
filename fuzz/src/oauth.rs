//! What devices send that ask without a link code, and what people type to answer them.

use crate::Verdict;
use procura_server::oauth_form as read;
use procura_types::UserCode;
use std::collections::HashSet;

/// A form has the reading that browsers' libraries have, no parameter twice, and written
/// anew it says the same.
pub(crate) fn oauth_form(input: &[u8]) -> Verdict {
    let Some(found) = read(input) else {
        return Verdict::Refused;
    };
    let names: HashSet<&String> = found.iter().map(|(name, _)| name).collect();
    assert_eq!(names.len(), found.len(), "{found:?}");
    let theirs: Vec<(String, String)> = form_urlencoded::parse(input).into_owned().collect();
    assert_eq!(found, theirs);
    let written = form_urlencoded::Serializer::new(String::new())
        .extend_pairs(&found)
        .finish();
    assert_eq!(read(written.as_bytes()), Some(found));
    Verdict::Accepted
}

/// A code is its letters, however they are typed, and has one spelling when it is shown.
pub(crate) fn user_code(input: &[u8]) -> Verdict {
    let Ok(text) = std::str::from_utf8(input) else {
        return Verdict::Refused;
    };
    let Ok(code) = text.parse::<UserCode>() else {
        return Verdict::Refused;
    };
    let letters: Vec<u8> = text
        .bytes()
        .filter(u8::is_ascii_alphabetic)
        .map(|letter| letter.to_ascii_uppercase())
        .collect();
    assert_eq!(letters, code.letters());
    let shown = code.to_string();
    assert_eq!(shown.len(), 9);
    assert_eq!(shown.parse::<UserCode>().unwrap().letters(), code.letters());
    Verdict::Accepted
}
