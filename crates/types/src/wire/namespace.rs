use crate::{DisplayName, Namespace, ProposalId, Timestamp};
use serde::{Deserialize, Serialize};

/// `POST /v1/namespaces`.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NamespaceCreate {
    /// The new namespace.
    pub name: Namespace,
}

/// A namespace as listed.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct NamespaceInfo {
    /// Its name.
    pub name: Namespace,
    /// What people call it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub display_name: Option<DisplayName>,
    /// When it was made.
    pub created: Timestamp,
}

/// `GET /v1/namespaces`: those that the caller has a part in.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct NamespaceList {
    /// Sorted by name.
    pub namespaces: Vec<NamespaceInfo>,
}

/// `PUT …/quota`: how much a namespace may hold. What is not named has no bound. What
/// was deleted counts until it is destroyed.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Quota {
    /// Secrets of which a version is left.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secrets: Option<u64>,
    /// Versions of one secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub versions_per_secret: Option<u64>,
    /// Versions of all secrets together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub versions: Option<u64>,
    /// Bytes of all values together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
}

/// What a namespace uses of its quota: everything that was written and not destroyed.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Used {
    /// Secrets of which a version is left.
    pub secrets: u64,
    /// Versions that are left, of all of them.
    pub versions: u64,
    /// Bytes of their values.
    pub bytes: u64,
}

/// How much of what is in a namespace.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NamespaceHolds {
    /// Agents that are not revoked.
    pub agents: u64,
    /// Secrets that are not deleted.
    pub secrets: u64,
    /// Projects.
    pub projects: u64,
    /// Services, whose gates follow them here.
    pub services: u64,
    /// Grants that hold.
    pub grants: u64,
    /// Transit keys: what they wrapped is never unwrapped without them.
    pub transit_keys: u64,
}

/// `GET /v1/namespaces/{ns}`: a namespace with what is in it.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct NamespaceDetail {
    /// Its name.
    pub name: Namespace,
    /// What people call it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub display_name: Option<DisplayName>,
    /// When it was made.
    pub created: Timestamp,
    /// How much it may hold.
    pub quota: Quota,
    /// How much of that it holds.
    pub used: Used,
    /// What is in it.
    pub holds: NamespaceHolds,
}

/// `DELETE /v1/namespaces/{ns}`.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NamespaceDelete {
    /// Its name once more: then it ends with all that is in it. Without it only a
    /// namespace ends that nothing is in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confirm: Option<Namespace>,
    /// What the stewards agreed to, where it takes more than one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proposal: Option<ProposalId>,
}

/// A namespace that ended.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct NamespaceDeleted {
    /// Its name, which never comes back.
    pub name: Namespace,
    /// When it ended.
    pub ended: Timestamp,
    /// What ended with it.
    pub held: NamespaceHolds,
}
