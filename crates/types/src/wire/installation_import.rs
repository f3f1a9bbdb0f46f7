//! What goes into several namespaces at once: all of it or nothing.

use super::{HoneyPlant, ImportItem, ImportedSecret};
use crate::{CanaryId, EnvName, Namespace, ProjectName, SecretPath};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// `POST /v1/import`: secrets, decoys and mappings of several namespaces, all of them or
/// none.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InstallationImport {
    /// Each namespace once; together at most 10,000 secrets.
    pub namespaces: Vec<NamespaceImport>,
}

/// What goes into one namespace.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NamespaceImport {
    /// Which.
    pub namespace: Namespace,
    /// Whether it is made by this; else it has to be there.
    #[serde(default)]
    pub create: bool,
    /// As of an import into one namespace.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<ImportItem>,
    /// Decoys, each at a path where there is nothing and was nothing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub honey: Vec<HoneyItem>,
    /// Names that projects map from here on, beside those that they map already. A
    /// project that is not there is made, without agents.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub projects: BTreeMap<ProjectName, BTreeMap<EnvName, SecretPath>>,
}

/// A decoy that is to be planted among others.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HoneyItem {
    /// Where.
    pub path: SecretPath,
    /// What.
    pub plant: HoneyPlant,
}

/// The answer: what was written, in the order of names.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct InstallationImported {
    /// Each of them.
    pub namespaces: Vec<NamespaceImported>,
}

/// What was written into one namespace.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct NamespaceImported {
    /// Which.
    pub namespace: Namespace,
    /// Whether it was made.
    pub created: bool,
    /// Sorted by path.
    pub secrets: Vec<ImportedSecret>,
    /// How many secrets were written.
    pub written: usize,
    /// The decoys, by the canaries that the record names them by.
    pub honey: Vec<HoneyPlace>,
    /// The projects that were made, or map more than before.
    pub projects: Vec<ProjectName>,
}

/// Where a decoy was planted.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct HoneyPlace {
    /// Where.
    pub path: SecretPath,
    /// Which.
    pub canary: CanaryId,
}
