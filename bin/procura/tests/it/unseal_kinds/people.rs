//! What people bring: passphrases and shares.

use super::place::{Bring, Kind, owned};
use serde_json::Value;
use std::collections::HashMap;
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

/// There is one set of shares at a time, so the first source is shares and the others
/// are passphrases.
pub(super) struct Shares(HashMap<String, Vec<String>>);

impl Kind for Shares {
    const REFUSED: &'static str = "share_other_set";
    const GONE: &'static str = "wrong_passphrase";
    const CHANGE: &'static str = "/set";

    fn new(_: &Path) -> Self {
        Self(HashMap::new())
    }

    fn word(&self, name: &str) -> &'static str {
        if name == "one" {
            "shares"
        } else {
            "passphrase"
        }
    }

    fn add(&self, tag: &str, name: &str) -> (Vec<String>, Vec<String>) {
        if name == "one" && tag != "again" {
            (owned(&["--shares", "2/3"]), Vec::new())
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
        // Mistyped: the checksum says so, before anything is tried.
        let last = wrong.lines.last_mut().unwrap();
        let at = last.len() - 8..last.len() - 7;
        let other = if &last[at.clone()] == "A" { "B" } else { "A" };
        last.replace_range(at, other);
        Some((wrong, "share_malformed"))
    }

    fn credentials(&self) -> Option<PathBuf> {
        None
    }
}
