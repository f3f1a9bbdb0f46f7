//! Identities of operators at identity providers.

use crate::{IdentityId, Label, Thumbprint, Timestamp};
use serde::{Deserialize, Serialize};

/// `POST /v1/operators/{name}/identities`: links whoever proved in a browser who they are
/// at a provider.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IdentityLink {
    /// The link proof that the page gave, for ten minutes.
    pub proof: String,
}

/// A subject of an identity provider that signs an operator in.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OperatorIdentity {
    /// SHA-256 of `T("procura.identity.oidc.v1", issuer, subject)`; stands in the record.
    pub id: IdentityId,
    /// The provider, by its name in the configuration.
    pub provider: Label,
    /// The provider, by its own.
    pub issuer: String,
    /// Who, at that provider.
    pub subject: String,
    /// What the provider called them when they were linked, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub called: Option<String>,
    /// When they were linked.
    pub linked: Timestamp,
    /// With which device: it goes with that.
    pub device: Thumbprint,
}

/// `GET /v1/operators/{name}/identities`.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OperatorIdentityList {
    /// By the time at which they were linked.
    pub identities: Vec<OperatorIdentity>,
}
