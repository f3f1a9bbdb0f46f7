use super::PublicJwk;
use crate::{ActorId, FieldTuple, InstallationId, Label, ProposalId, Thumbprint, Timestamp};
use serde::{Deserialize, Serialize};

/// `POST /v1/break-glass`: an account for emergencies, whose key is made where it is asked
/// for and never sent.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BreakGlassCreate {
    /// Its name, unique among operators.
    pub name: Label,
    /// Its root key, of P-256.
    pub key: PublicJwk,
    /// By that key, over [`BreakGlassCreate::message`].
    #[serde(with = "crate::encoding::serde_b64url")]
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub signature: Vec<u8>,
    /// For how many minutes it opens: 5 to 1440.
    pub minutes: u32,
    /// Whether it takes the place of the account of this name, which is revoked.
    #[serde(default)]
    pub renews: bool,
}

impl BreakGlassCreate {
    /// What the new key signs: `T("procura.break-glass.v1", installation id, name,
    /// thumbprint of the key, u32 minutes)`.
    #[must_use]
    pub fn message(
        installation: &InstallationId,
        name: &Label,
        key: &Thumbprint,
        minutes: u32,
    ) -> Vec<u8> {
        FieldTuple::new("procura.break-glass.v1")
            .bytes(installation.as_bytes())
            .text(name.as_str())
            .bytes(key.as_bytes())
            .u32(minutes)
            .into_bytes()
    }
}

/// `POST /v1/break-glass/{name}/use`, signed by the account's own key.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BreakGlassUse {
    /// What stewards agreed to, where it takes more than the account's own key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proposal: Option<ProposalId>,
}

/// Where a break-glass account stands.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BreakGlassState {
    /// Nobody has used it: it does nothing but open.
    Sealed,
    /// It acts.
    Open,
    /// It was used, and is over.
    Used,
    /// It was revoked, or whoever made it is no steward any more.
    Ended,
}

impl BreakGlassState {
    /// The word as in JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sealed => "sealed",
            Self::Open => "open",
            Self::Used => "used",
            Self::Ended => "ended",
        }
    }
}

/// A break-glass account as listed.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct BreakGlass {
    /// Its name.
    pub name: Label,
    /// The owner that it is.
    pub actor: ActorId,
    /// Its key.
    pub device: Thumbprint,
    /// Where it stands.
    pub state: BreakGlassState,
    /// For how many minutes it opens.
    pub minutes: u32,
    /// The steward who made it.
    pub made_by: ActorId,
    /// When.
    pub created: Timestamp,
    /// When it was used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub used: Option<Timestamp>,
    /// Until when it acts, or acted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
}

/// `GET /v1/break-glass`.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct BreakGlassList {
    /// By name, then by when they were made.
    pub accounts: Vec<BreakGlass>,
}
