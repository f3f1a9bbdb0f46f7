//! Kinds of secrets.

use crate::Malformed;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// What a secret is, which says what its values have to look like. The value stays
/// byte for byte what was written, whatever the kind.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SecretKind {
    /// Any bytes.
    #[default]
    KeyValue,
    /// A JSON text (RFC 8259).
    Json,
    /// A certificate, those that vouch for it, and its private key: PEM (RFC 7468).
    Certificate,
    /// A private key file of OpenSSH.
    SshKey,
    /// One word, as services hand it out.
    ApiKey,
    /// A text with variables, into which other secrets of a project are put when it is
    /// handed over.
    Template,
}

impl SecretKind {
    /// Every kind.
    pub const ALL: [Self; 6] = [
        Self::KeyValue,
        Self::Json,
        Self::Certificate,
        Self::SshKey,
        Self::ApiKey,
        Self::Template,
    ];

    /// The kind as in JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::KeyValue => "key-value",
            Self::Json => "json",
            Self::Certificate => "certificate",
            Self::SshKey => "ssh-key",
            Self::ApiKey => "api-key",
            Self::Template => "template",
        }
    }

    /// Whether it is the one that secrets have unless something else is said.
    #[must_use]
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

impl fmt::Display for SecretKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for SecretKind {
    type Err = Malformed;
    fn from_str(text: &str) -> Result<Self, Malformed> {
        let found = Self::ALL.into_iter().find(|kind| kind.as_str() == text);
        found.ok_or(Malformed::new(
            "kind",
            "must be key-value, json, certificate, ssh-key, api-key or template",
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::SecretKind;

    #[test]
    fn a_kind_has_one_spelling() {
        for kind in SecretKind::ALL {
            assert_eq!(kind.as_str().parse(), Ok(kind));
            let json = serde_json::to_string(&kind).unwrap();
            assert_eq!(json, format!("\"{kind}\""));
            assert_eq!(serde_json::from_str::<SecretKind>(&json).unwrap(), kind);
        }
        for bad in ["", "JSON", "keyvalue", "ssh_key", "Template"] {
            assert_eq!(bad.parse::<SecretKind>().unwrap_err().field, "kind");
        }
        assert!(SecretKind::KeyValue.is_default() && !SecretKind::Json.is_default());
    }
}
