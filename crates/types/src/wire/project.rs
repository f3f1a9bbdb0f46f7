use crate::{EnvName, Label, ProjectName, SecretPath, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// `PUT …/projects/{name}`: makes the project or replaces it.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProjectPut {
    /// Agents that may ask for the project's secrets. Asking is not having.
    #[serde(default)]
    pub agents: Vec<Label>,
    /// Environment name to secret path.
    #[serde(default)]
    pub env: BTreeMap<EnvName, SecretPath>,
}

/// A project as stored.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Project {
    /// Its name.
    pub name: ProjectName,
    /// Agents that may ask.
    pub agents: Vec<Label>,
    /// Environment name to secret path.
    pub env: BTreeMap<EnvName, SecretPath>,
    /// When it was made.
    pub created: Timestamp,
    /// When it last changed.
    pub updated: Timestamp,
}

/// `GET …/projects`.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ProjectList {
    /// Sorted by name.
    pub projects: Vec<Project>,
}
