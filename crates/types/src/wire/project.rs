use super::RunningChild;
use crate::{
    DisplayName, EnvName, Grade, GrantId, Label, ProjectName, RequestId, SecretPath, Timestamp,
};
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
    /// What people call it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub display_name: Option<DisplayName>,
    /// Agents that may ask.
    pub agents: Vec<Label>,
    /// Environment name to secret path.
    pub env: BTreeMap<EnvName, SecretPath>,
    /// What a daemon has to have attested to be handed anything; without it, nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub require_grade: Option<Grade>,
    /// When it was made.
    pub created: Timestamp,
    /// When it last changed.
    pub updated: Timestamp,
}

/// `PUT …/projects/{name}/require-grade`: what a daemon has to have attested.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProjectRequireGrade {
    /// The weakest grade that is handed anything; null asks for nothing. It has to be there,
    /// so that nothing is opened by a body that forgot it.
    #[serde(deserialize_with = "Option::deserialize")]
    pub grade: Option<Grade>,
}

/// `GET …/projects`.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ProjectList {
    /// Sorted by name.
    pub projects: Vec<Project>,
}

/// `POST …/projects/{name}/rebind`: gives the project to these agents and no others.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProjectRebind {
    /// The agents that may ask from now on. The grants of all others end.
    pub agents: Vec<Label>,
    /// Environment name to secret path; without it the mapping stays.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub env: Option<BTreeMap<EnvName, SecretPath>>,
}

/// What a change of a project took away.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct ProjectEnded {
    /// The grants that were withdrawn, by id.
    pub withdrawn: Vec<GrantId>,
    /// The requests that wait for no answer any more, by id.
    pub ended: Vec<RequestId>,
    /// Processes that got values under these grants and have not been seen to end:
    /// nothing takes the values back. At most 1,000.
    pub running: Vec<RunningChild>,
}

/// The answer to a rebind.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ProjectRebound {
    /// The project as it is now.
    pub project: Project,
    /// What ended with it.
    #[serde(flatten)]
    pub ended: ProjectEnded,
}

/// The answer to `DELETE …/projects/{name}`.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ProjectDeleted {
    /// Which project it was.
    pub name: ProjectName,
    /// What ended with it.
    #[serde(flatten)]
    pub ended: ProjectEnded,
}
