use crate::{EnvName, Malformed, SecretBytes, SecretPath, Timestamp, encoding};
use serde::{Deserialize, Serialize};
use zeroize::Zeroize;

/// A secret value as base64url text on its way through JSON. Not printed, not
/// cloned, wiped on drop.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Serialize, Deserialize)]
#[serde(transparent)]
pub struct ValueB64(String);

impl ValueB64 {
    /// Encodes a value.
    #[must_use]
    pub fn encode(value: &[u8]) -> Self {
        Self(encoding::b64url(value))
    }
    /// Characters of the text.
    #[must_use]
    #[expect(
        clippy::len_without_is_empty,
        reason = "nobody asks whether a value is empty"
    )]
    pub const fn len(&self) -> usize {
        self.0.len()
    }
    /// Reads the value.
    pub fn decode(&self) -> Result<SecretBytes, Malformed> {
        encoding::from_b64url("value_b64", &self.0).map(SecretBytes::new)
    }
}

impl Drop for ValueB64 {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

/// `PUT …/secrets/{path}`.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SecretPut {
    /// The value: 0 bytes to 1 MiB, any bytes.
    pub value_b64: ValueB64,
    /// The version that must be the latest; 0 says that there must be none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expect_version: Option<u64>,
    /// The environment name that discovery finds it by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub env: Option<EnvName>,
    /// At most 1,000 characters. Not secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
}

/// What a write made.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SecretWritten {
    /// Where.
    pub path: SecretPath,
    /// The new version, from 1.
    pub version: u64,
    /// When.
    pub created: Timestamp,
}

/// `GET …/secrets/{path}`.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Serialize, Deserialize)]
pub struct SecretValue {
    /// Where.
    pub path: SecretPath,
    /// Which version.
    pub version: u64,
    /// The value.
    pub value_b64: ValueB64,
    /// When that version was written.
    pub created: Timestamp,
}

/// One row of a list: no value.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SecretRow {
    /// Where.
    pub path: SecretPath,
    /// The latest version.
    pub version: u64,
    /// The environment name that it declares.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub env: Option<EnvName>,
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
}

/// `GET …/secrets?prefix=`.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SecretList {
    /// Sorted by path.
    pub secrets: Vec<SecretRow>,
    /// Give this as `after` for the next page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<SecretPath>,
}

/// What is left of a version.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum VersionState {
    /// Can be read.
    Live,
    /// Cannot be read any more; its bytes are still there.
    Deleted,
    /// Its bytes and key are gone.
    Destroyed,
}

/// One version of a secret.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SecretVersion {
    /// From 1, dense.
    pub version: u64,
    /// When it was written.
    pub created: Timestamp,
    /// Length of the value in bytes.
    pub size: u64,
    /// What is left of it.
    pub state: VersionState,
}

/// `GET …/history/{path}`.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SecretHistory {
    /// Where.
    pub path: SecretPath,
    /// Newest first.
    pub versions: Vec<SecretVersion>,
    /// Give this as `before` for the next page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<u64>,
}
