//! Many secrets at once: brought in, and taken out encrypted.

use super::ValueB64;
use crate::{DeliveryRules, EnvName, SecretKind, SecretOwner, SecretPath, Tags, Timestamp};
use serde::{Deserialize, Serialize};

/// A secret with all that is said of it, on its way in or out.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PortableSecret {
    /// Where.
    pub path: SecretPath,
    /// The value: 0 bytes to 1 MiB, any bytes.
    pub value_b64: ValueB64,
    /// The environment name that discovery finds it by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub env: Option<EnvName>,
    /// What it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<SecretKind>,
    /// At most 1,000 characters. Not secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// At most 16 words by which people find it again.
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

impl PortableSecret {
    /// A value about which nothing else is said.
    #[must_use]
    pub const fn new(path: SecretPath, value_b64: ValueB64) -> Self {
        Self {
            path,
            value_b64,
            env: None,
            kind: None,
            description: None,
            tags: None,
            owner: None,
            expires: None,
            rotate_by: None,
            delivery: None,
        }
    }
}

/// A secret that is to be written among others.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImportItem {
    /// What is to be written.
    pub secret: PortableSecret,
    /// The version that must be the latest; 0 says that there must be none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expect_version: Option<u64>,
}

/// `POST …/import`: many secrets, all of them or none.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SecretImport {
    /// 1 to 10,000 of them, each path once.
    pub secrets: Vec<ImportItem>,
    /// Only say what would become of each.
    #[serde(default)]
    pub dry_run: bool,
}

/// What becomes of a secret that is brought in.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ImportState {
    /// There is nothing readable at the path.
    New,
    /// There is something: a new version follows it.
    Changed,
    /// It is there, value and all that is said of it. Only a dry run tells.
    Same,
    /// It cannot be written, and so none of them can. Only a dry run tells.
    Refused,
}

impl ImportState {
    /// The word in JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Changed => "changed",
            Self::Same => "same",
            Self::Refused => "refused",
        }
    }
}

/// What becomes of one secret.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ImportedSecret {
    /// Where.
    pub path: SecretPath,
    /// What becomes of it.
    pub state: ImportState,
    /// Its newest version before, deleted or not; 0 for none.
    pub latest: u64,
    /// Why it is refused, in words; never any of the value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// What became, or of a dry run would become, of all of them.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SecretImported {
    /// Sorted by path.
    pub secrets: Vec<ImportedSecret>,
    /// How many versions were written; of a dry run 0.
    pub written: usize,
}

/// `POST …/export`: the newest versions below a prefix, encrypted.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SecretExport {
    /// Beginning of the paths, possibly empty; need not be a whole segment.
    #[serde(default)]
    pub prefix: String,
    /// Who can read it: 1 to 16 of `age1…`, `ssh-ed25519 …` and `ssh-rsa …`.
    pub recipients: Vec<String>,
}

/// An export: only its recipients can open it.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SecretExported {
    /// An age file (`age-encryption.org/v1`), in base64url.
    pub age_b64: String,
    /// How many secrets are in it.
    pub count: usize,
    /// Those that have expired, and are not in it.
    pub expired: Vec<SecretPath>,
}

/// The document that is inside an export.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExportDocument {
    /// `procura-export-1`.
    pub format: String,
    /// Where they are from.
    pub namespace: String,
    /// When they were taken out.
    pub exported: Timestamp,
    /// All of them, sorted by path.
    pub secrets: Vec<PortableSecret>,
}

impl ExportDocument {
    /// What `format` says.
    pub const FORMAT: &'static str = "procura-export-1";
}

/// `POST …/rollback` and `POST …/rollback/{path}`: back to what was there at a time.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SecretRollback {
    /// The time, not after now.
    pub at: Timestamp,
    /// Beginning of the paths, possibly empty; not of one path.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub prefix: String,
    /// Only say what would be done.
    #[serde(default)]
    pub dry_run: bool,
    /// Leave secrets as they are whose version of then was destroyed, instead of doing
    /// nothing at all.
    #[serde(default)]
    pub leave_destroyed: bool,
    /// The `state` of the dry run: nothing is done when it would come out otherwise by now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expect_state: Option<String>,
}

/// What a rollback does with a secret.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RollbackChange {
    /// The value of then becomes a new version.
    Restore,
    /// It was not there then: it is deleted, and can be undeleted.
    Delete,
    /// What was there then was destroyed, and does not come back.
    Destroyed,
}

impl RollbackChange {
    /// The word in JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Restore => "restore",
            Self::Delete => "delete",
            Self::Destroyed => "destroyed",
        }
    }
}

/// What a rollback does with one secret.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RolledBack {
    /// Which.
    pub path: SecretPath,
    /// What is done.
    pub change: RollbackChange,
    /// Its newest version before.
    pub latest: u64,
    /// The version that was there then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<u64>,
    /// The version that it becomes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u64>,
}

/// What a rollback did, or would do.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SecretRolledBack {
    /// The time.
    pub at: Timestamp,
    /// Each secret that is not as it was then, sorted by path.
    pub changes: Vec<RolledBack>,
    /// How many are as they were then.
    pub unchanged: usize,
    /// Whether it was done.
    pub done: bool,
    /// Stands for all of it: a dry run's is what a rollback can be held to.
    pub state: String,
}
