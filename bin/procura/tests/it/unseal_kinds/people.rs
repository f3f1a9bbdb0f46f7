//! What people bring: passphrases and shares.

use super::place::{Bring, Kind, owned};
use serde_json::Value;
use std::collections::HashMap;
use std::marker::PhantomData;
use std::path::{Path, PathBuf};

pub(super) struct Passphrases;

fn passphrase(tag: &str, name: &str) -> String {
    format!("canary passphrase of {tag} {name}")
}

impl Kind for Passphrases {
    const REFUSED: &'static str = "wrong_passphrase";
    const GONE: &'static str = "wrong_passphrase";
    const CHANGE: &'static str = "/argon2/salt";

    fn new(_: &Path) -> Self {
        Self
    }

    fn word(&self, _: &str) -> &'static str {
        "passphrase"
    }

    fn add(&self, tag: &str, name: &str) -> (Vec<String>, Vec<String>) {
        (owned(&["--passphrase"]), vec![passphrase(tag, name)])
    }

    fn bring(&self, tag: &str, name: &str) -> Bring {
        Bring {
            lines: vec![passphrase(tag, name)],
            ..Bring::default()
        }
    }

    fn wrong(&self, _: &str) -> Option<(Bring, &'static str)> {
        let wrong = Bring {
            lines: owned(&["not the passphrase"]),
            ..Bring::default()
        };
        Some((wrong, "wrong_passphrase"))
    }

    fn credentials(&self) -> Option<PathBuf> {
        None
    }
}

/// How shares are typed, and mistyped.
pub(super) trait Scheme {
    /// The word in the list, and the argument of `unseal-source add`.
    const WORD: &'static str;
    /// What tells sets apart, as a JSON pointer into the keeper.
    const CHANGE: &'static str;

    /// The share with a mistake that its checksum finds.
    fn mistyped(share: &str) -> String;
}

pub(super) struct Text;

impl Scheme for Text {
    const WORD: &'static str = "shares";
    const CHANGE: &'static str = "/set";

    fn mistyped(share: &str) -> String {
        let mut wrong = share.to_owned();
        let at = wrong.len() - 8..wrong.len() - 7;
        let other = if &wrong[at.clone()] == "A" { "B" } else { "A" };
        wrong.replace_range(at, other);
        wrong
    }
}

pub(super) struct Words;

impl Scheme for Words {
    const WORD: &'static str = "slip39";
    const CHANGE: &'static str = "/identifier";

    fn mistyped(share: &str) -> String {
        let mut words: Vec<&str> = share.split(' ').collect();
        words[12] = if words[12] == "academic" {
            "acid"
        } else {
            "academic"
        };
        words.join(" ")
    }
}

/// There is one set of shares at a time, so the first source is shares and the others
/// are passphrases.
pub(super) struct Shares<S>(HashMap<String, Vec<String>>, PhantomData<S>);

impl<S: Scheme> Kind for Shares<S> {
    const REFUSED: &'static str = "share_other_set";
    const GONE: &'static str = "wrong_passphrase";
    const CHANGE: &'static str = S::CHANGE;

    fn new(_: &Path) -> Self {
        Self(HashMap::new(), PhantomData)
    }

    fn word(&self, name: &str) -> &'static str {
        if name == "one" { S::WORD } else { "passphrase" }
    }

    fn add(&self, tag: &str, name: &str) -> (Vec<String>, Vec<String>) {
        if name == "one" && tag != "again" {
            (owned(&[&format!("--{}", S::WORD), "2/3"]), Vec::new())
        } else {
            Passphrases.add(tag, name)
        }
    }

    fn added(&mut self, tag: &str, _: &str, printed: &Value) {
        let shares = printed["shares"].as_array().unwrap().iter();
        let shares: Vec<String> = shares
            .map(|share| share.as_str().unwrap().to_owned())
            .collect();
        if !shares.is_empty() {
            self.0.insert(tag.to_owned(), shares);
        }
    }

    fn bring(&self, tag: &str, name: &str) -> Bring {
        if name != "one" {
            return Passphrases.bring(tag, name);
        }
        Bring {
            unseal: owned(&["--shares"]),
            with: owned(&["--with", "shares"]),
            lines: self.0[tag][1..].to_vec(),
        }
    }

    fn wrong(&self, name: &str) -> Option<(Bring, &'static str)> {
        let mut wrong = self.bring("home", name);
        // The checksum says so, before anything is tried.
        let last = wrong.lines.last_mut().unwrap();
        *last = S::mistyped(last);
        Some((wrong, "share_malformed"))
    }

    fn credentials(&self) -> Option<PathBuf> {
        None
    }
}
