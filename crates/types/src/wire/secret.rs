use crate::{
    DeliveryRules, EnvName, Malformed, Secret, SecretBytes, SecretKind, SecretOwner, SecretPath,
    Tags, Timestamp, Wipe as _, encoding,
};
use serde::{Deserialize, Serialize};

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
    /// What is base64url already.
    #[must_use]
    pub fn of_text(text: &Secret<String>) -> Self {
        Self(text.expose().clone())
    }
    /// The text itself.
    #[must_use]
    pub fn expose_text(&self) -> &str {
        &self.0
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
        self.0.wipe();
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
    /// What it is; of a path that has versions, what they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<SecretKind>,
    /// At most 16 words by which people find it again: `[a-z0-9][a-z0-9._-]{0,31}`.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<Vec<crate::Tag>>))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tags: Option<Tags>,
    /// Who it belongs to, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<SecretOwner>,
    /// From when on it is not handed over any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<Timestamp>,
    /// Until when it should be replaced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rotate_by: Option<Timestamp>,
    /// In which ways it may be handed over.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<Vec<crate::DeliveryWay>>))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delivery: Option<DeliveryRules>,
}

impl SecretPut {
    /// A value about which nothing else is said.
    #[must_use]
    pub const fn new(value_b64: ValueB64) -> Self {
        Self {
            value_b64,
            expect_version: None,
            env: None,
            description: None,
            kind: None,
            tags: None,
            owner: None,
            expires: None,
            rotate_by: None,
            delivery: None,
        }
    }
}

/// Something that is said of a secret and can be taken back.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SecretField {
    /// The description.
    Description,
    /// All tags.
    Tags,
    /// The owner.
    Owner,
    /// The end.
    Expires,
    /// The date until which it should be replaced.
    RotateBy,
    /// The rule of delivery: it is the default again.
    Delivery,
}

/// `POST …/metadata/{path}`: what is not named stays as it is.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SecretSet {
    /// At most 1,000 characters. Not secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// All of its tags from here on, at most 16: `[a-z0-9][a-z0-9._-]{0,31}`.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<Vec<crate::Tag>>))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tags: Option<Tags>,
    /// Who it belongs to, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<SecretOwner>,
    /// From when on it is not handed over any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<Timestamp>,
    /// Until when it should be replaced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rotate_by: Option<Timestamp>,
    /// In which ways it may be handed over.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<Vec<crate::DeliveryWay>>))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delivery: Option<DeliveryRules>,
    /// What is not said any more.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub clear: Vec<SecretField>,
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
    /// What it is.
    #[serde(default)]
    pub kind: SecretKind,
    /// Sorted.
    #[cfg_attr(feature = "openapi", schema(value_type = Vec<crate::Tag>))]
    #[serde(default, skip_serializing_if = "Tags::is_empty")]
    pub tags: Tags,
    /// Who it belongs to, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<SecretOwner>,
    /// From when on it is not handed over any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<Timestamp>,
    /// Until when it should be replaced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rotate_by: Option<Timestamp>,
    /// In which ways it may be handed over; all but `broker-only` when there is none.
    #[cfg_attr(feature = "openapi", schema(value_type = Vec<crate::DeliveryWay>))]
    #[serde(default, skip_serializing_if = "DeliveryRules::is_default")]
    pub delivery: DeliveryRules,
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
    /// Cannot be read until it is undeleted.
    Deleted,
    /// Its bytes and key are gone.
    Destroyed,
}

/// `POST …/undelete/{path}`: what can be read again.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SecretUndeleted {
    /// Where.
    pub path: SecretPath,
    /// The versions that were deleted and are not any more, newest first.
    pub versions: Vec<u64>,
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
    /// What its versions are.
    #[serde(default)]
    pub kind: SecretKind,
    /// Newest first.
    pub versions: Vec<SecretVersion>,
    /// Give this as `before` for the next page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<u64>,
}
