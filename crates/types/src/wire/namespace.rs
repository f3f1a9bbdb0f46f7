use crate::{Namespace, Timestamp};
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
