//! Files of age, and texts with variables: what comes into the vault by many at once, and
//! what goes out of it into a run.

use crate::Verdict;
use crate::world::{Counting, key};
use procura_crypto::age::{AgeError, Identity, Recipient, decrypt, encrypt};
use procura_types::template::{Template, escaped};
use procura_types::{Alg, EnvName};

/// The private key that the files of the corpus are for.
fn identity() -> Vec<Identity> {
    Identity::read(crate::ssh::file(4).as_bytes(), None).unwrap()
}

fn recipient() -> Recipient {
    let public = key(Alg::Ed25519, 4).public().clone();
    Recipient::parse(&crate::ssh::line(&public, "")).unwrap()
}

/// A file for that key.
pub(crate) fn file(text: &[u8]) -> Vec<u8> {
    encrypt(&[recipient()], text, &Counting::new()).unwrap()
}

/// What opens is what was sealed: written anew it opens to the same.
pub(crate) fn age_file(data: &[u8]) -> Verdict {
    let mine = identity();
    let text = match decrypt(&mine, data) {
        Ok(text) => text,
        Err(AgeError::NotAFile(_) | AgeError::NotForThis) => return Verdict::Refused,
        Err(other) => panic!("{other}"),
    };
    let again = decrypt(&mine, &file(text.expose())).unwrap();
    assert!(again == text);
    Verdict::Accepted
}

/// A template with values that hold nothing is what is between its variables, and a text
/// that is escaped comes out as it was.
pub(crate) fn template(data: &[u8]) -> Verdict {
    if let Ok(text) = std::str::from_utf8(data) {
        let said = escaped(text);
        let parsed = Template::parse(said.as_bytes()).unwrap();
        let rendered = parsed.render(usize::MAX, |_| None).unwrap();
        assert_eq!(rendered.expose(), data);
    }
    let Ok(parsed) = Template::parse(data) else {
        return Verdict::Refused;
    };
    let names = parsed.variables();
    let empty = parsed.render(data.len(), |_| Some(b"")).unwrap();
    let marks = parsed
        .render(usize::MAX, |name: &EnvName| {
            assert!(names.contains(name));
            Some(b"\0mark\0")
        })
        .unwrap();
    assert!(marks.expose().len() >= empty.expose().len());
    assert_eq!(marks == empty, names.is_empty());
    for name in &names {
        let missing = |other: &EnvName| (other != name).then_some(&b""[..]);
        assert!(parsed.render(usize::MAX, missing).is_err());
    }
    Verdict::Accepted
}
