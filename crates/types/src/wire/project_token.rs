use super::{GrantItem, RunValue};
use crate::{
    ActorId, Delivery, EnvName, GrantId, Namespace, ProjectName, RunId, Thumbprint, Timestamp,
    TokenId,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use zeroize::Zeroize as _;

/// What a project token is to those who see it.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ProjectTokenKind {
    /// 256 random bits, of which the server keeps a hash. It says nothing.
    Opaque,
    /// A JWT, which others can verify by the key set.
    Signed,
}

impl ProjectTokenKind {
    /// The word as in JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Opaque => "opaque",
            Self::Signed => "signed",
        }
    }
}

/// `POST …/projects/{name}/tokens`, signed by the device's own key.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProjectTokenIssue {
    /// What is wanted.
    pub kind: ProjectTokenKind,
    /// Names that it is to open, at most 256; empty for the whole mapping.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub names: Vec<String>,
    /// How values will be delivered: a grant for this delivery has to cover all names.
    #[serde(default)]
    pub delivery: Delivery,
    /// How long it counts, in seconds: 1 to 1,209,600 (14 days), which is also what it
    /// is without it. It never counts for longer than the grant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub life: Option<u64>,
}

/// `POST …/tokens/{id}/rotate`, signed by the device's own key.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProjectTokenRotate {
    /// How long the new one counts, in seconds; as long as the old one was made for
    /// when it is not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub life: Option<u64>,
}

/// Whether a project token opens anything now.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ProjectTokenState {
    /// It does, in the hands of its device.
    Live,
    /// It is over.
    Expired,
    /// It was revoked, by itself or with all of its project, or exchanged for another.
    Revoked,
    /// Its grant, its agent or its device is gone.
    Ended,
}

impl ProjectTokenState {
    /// The word as in JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
            Self::Ended => "ended",
        }
    }
}

/// A project token as it is listed: all but the token.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProjectToken {
    /// By this it is revoked; of a signed one the `jti`.
    pub id: TokenId,
    /// What it is.
    pub kind: ProjectTokenKind,
    /// Where it opens something.
    pub namespace: Namespace,
    /// For which project.
    pub project: ProjectName,
    /// The agent that it was issued to.
    pub agent: ActorId,
    /// The agent's way from its owner, for people.
    pub lineage: String,
    /// The only device that can use it.
    pub device: Thumbprint,
    /// How values are delivered.
    pub delivery: Delivery,
    /// What it opens, as it was when it was issued, sorted by name.
    pub items: Vec<GrantItem>,
    /// The grant that it rests on.
    pub grant: GrantId,
    /// When it was issued.
    pub issued: Timestamp,
    /// From when on it opens nothing; a whole second.
    pub expires: Timestamp,
    /// When it was revoked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked: Option<Timestamp>,
    /// Whether it opens anything now.
    pub state: ProjectTokenState,
}

/// A project token that was just made, shown once.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Serialize, Deserialize)]
pub struct ProjectTokenIssued {
    /// The token, for `Authorization: Bearer`.
    pub token: String,
    /// What it is.
    #[serde(flatten)]
    pub about: ProjectToken,
}

// It opens nothing without its device's key; it stays in no freed memory all the same.
impl Drop for ProjectTokenIssued {
    fn drop(&mut self) {
        self.token.zeroize();
    }
}

/// `GET …/tokens`.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ProjectTokenList {
    /// Sorted by id, that is by time.
    pub tokens: Vec<ProjectToken>,
    /// Give this as `after` for the next page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<TokenId>,
}

/// `DELETE …/projects/{name}/tokens`.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ProjectTokensRevoked {
    /// How many of them would have opened something.
    pub revoked: u64,
}

/// `POST …/projects/{name}/values`, with a project token.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ValuesRequest {
    /// Names of the token's; empty for all of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub names: Vec<EnvName>,
}

/// All values that were asked for, or none.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Serialize, Deserialize)]
pub struct ProjectValues {
    /// This hand-over, in the ledger.
    pub run: RunId,
    /// The token that opened them, by its id.
    pub token: TokenId,
    /// The grant that allowed it.
    pub grant: GrantId,
    /// Every name that was asked for.
    pub values: BTreeMap<EnvName, RunValue>,
}
