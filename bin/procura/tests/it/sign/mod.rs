//! `procura sign`: what it prints proves the request to programs that share no code
//! with it, and what cannot be proven is refused.

mod fields;
mod keys;
mod native;
mod profiles;
mod refused;

use crate::Ran;
use procura_client::SystemClock;
use procura_types::Clock as _;
use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

const URL: &str = "https://Svc.Example:443/items/%2e?page=2&q=a%20b";

fn headers(ran: &Ran) -> BTreeMap<String, String> {
    assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{}", ran.err);
    ran.out
        .lines()
        .map(|line| line.split_once(": ").unwrap())
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

fn names(headers: &BTreeMap<String, String>) -> Vec<&str> {
    headers.keys().map(String::as_str).collect()
}

/// The message that RFC 9421 §2.5 makes of a request and its `Signature-Input`,
/// written down from the standard once more.
fn signature_base(input: &str, values: &[(&str, &str)]) -> String {
    let parameters = input.strip_prefix("procura=").unwrap();
    let (covered, _) = parameters
        .strip_prefix('(')
        .unwrap()
        .split_once(')')
        .unwrap();
    let mut base = String::new();
    for name in covered.split(' ') {
        let bare = name.trim_matches('"');
        let (_, value) = values
            .iter()
            .find(|(known, _)| *known == bare)
            .unwrap_or_else(|| panic!("{name} is covered"));
        base.push_str(&format!("{name}: {value}\n"));
    }
    base.push_str(&format!("\"@signature-params\": {parameters}"));
    base
}

fn parameter<'a>(input: &'a str, name: &str) -> &'a str {
    let (_, rest) = input.split_once(&format!(";{name}=")).unwrap();
    rest.split(';').next().unwrap()
}

fn seconds() -> u64 {
    SystemClock.now().as_secs()
}

/// A file with a secret in it, for its owner alone.
fn secret_file(dir: &Path, name: &str, text: &[u8]) -> PathBuf {
    let path = dir.join(name);
    std::fs::write(&path, text).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    path
}
