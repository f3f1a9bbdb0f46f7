//! Whether a value is what its kind says. Nothing that is said here of a value
//! repeats any of it.

use crate::error::VaultError;
use procura_crypto::certificate::certificate_with_key;
use procura_crypto::ssh::check_private;
use procura_types::template::Template;
use procura_types::{EnvName, SecretKind};
use serde::de::IgnoredAny;

/// Longest key of an API, in bytes.
const LONGEST_KEY: usize = 4096;

/// Refuses a value that its kind does not have.
///
/// # Errors
/// [`VaultError::NotOfKind`], with what is wrong.
pub(crate) fn check(kind: SecretKind, value: &[u8]) -> Result<(), VaultError> {
    let checked = match kind {
        SecretKind::KeyValue => Ok(()),
        SecretKind::Json => json(value),
        SecretKind::Certificate => certificate_with_key(value).map_err(|error| error.to_string()),
        SecretKind::SshKey => check_private(value).map_err(|error| error.to_string()),
        SecretKind::ApiKey => api_key(value),
        SecretKind::Template => variables(value).map(|_| ()),
    };
    checked.map_err(|problem| VaultError::NotOfKind { kind, problem })
}

/// It is read without being kept, however deep it is.
fn json(value: &[u8]) -> Result<(), String> {
    // The reader looks at the bytes of strings that it keeps, and keeps none.
    let text = std::str::from_utf8(value).map_err(|_| "it is not UTF-8".to_owned())?;
    match serde_json::from_str::<IgnoredAny>(text) {
        Ok(_) => Ok(()),
        Err(error) => Err(format!(
            "it is no JSON at line {}, column {}",
            error.line(),
            error.column()
        )),
    }
}

/// The names of the variables of a template.
pub(crate) fn variables(value: &[u8]) -> Result<Vec<EnvName>, String> {
    let template = Template::parse(value).map_err(|error| error.to_string())?;
    Ok(template.variables().into_iter().collect())
}

fn api_key(value: &[u8]) -> Result<(), String> {
    if value.is_empty() || value.len() > LONGEST_KEY {
        return Err(format!("it is not 1 to {LONGEST_KEY} bytes long"));
    }
    if value.iter().all(u8::is_ascii_graphic) {
        Ok(())
    } else {
        Err("it is not one word of visible ASCII; a line break at its end is one too many".into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(kind: SecretKind, value: &[u8]) -> Option<String> {
        match check(kind, value) {
            Ok(()) => None,
            Err(VaultError::NotOfKind { problem, .. }) => Some(problem),
            Err(other) => panic!("another failure: {other}"),
        }
    }

    #[test]
    fn any_bytes_are_a_value() {
        assert_eq!(problem(SecretKind::KeyValue, b"\0\xff"), None);
        assert_eq!(problem(SecretKind::KeyValue, b""), None);
    }

    #[test]
    fn json_is_json_and_nothing_behind_it() {
        let deep = "[".repeat(100_000) + &"]".repeat(100_000);
        for good in [
            "{}",
            " [1, 2.5e3, \"\\u00fc\", null]\n",
            "7",
            "\"x\"",
            &deep,
        ] {
            assert_eq!(problem(SecretKind::Json, good.as_bytes()), None);
        }
        for (bad, what) in [
            (&b""[..], "it is no JSON at line 1, column 0"),
            (b"{\"a\":1,}", "it is no JSON at line 1, column 8"),
            (b"{}\n{}", "it is no JSON at line 2, column 1"),
            (b"\"\xff\"", "it is not UTF-8"),
            (b"\xef\xbb\xbf{}", "it is no JSON at line 1, column 1"),
        ] {
            assert_eq!(problem(SecretKind::Json, bad).as_deref(), Some(what));
        }
    }

    #[test]
    fn a_key_of_an_api_is_one_word() {
        for good in ["k", "sk-live_0/+=.~", &"x".repeat(LONGEST_KEY)] {
            assert_eq!(problem(SecretKind::ApiKey, good.as_bytes()), None);
        }
        let long = "x".repeat(LONGEST_KEY + 1);
        for bad in ["", "a b", "key\n", "ü", &long] {
            assert!(problem(SecretKind::ApiKey, bad.as_bytes()).is_some());
        }
    }

    #[test]
    fn an_ssh_key_is_a_private_key_file() {
        let bad = problem(SecretKind::SshKey, b"ssh-ed25519 AAAA");
        assert_eq!(bad.as_deref(), Some("not an OpenSSH key"));
    }
}
