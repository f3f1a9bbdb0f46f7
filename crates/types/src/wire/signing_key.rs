use super::PublicJwk;
use crate::{Malformed, Thumbprint, Timestamp};
use serde::{Deserialize, Serialize};
use std::str::FromStr;

/// Where a key that signs tokens stands.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SigningKeyState {
    /// It is in the key set and signs after the next roll.
    Next,
    /// It is in the key set and signs.
    Active,
    /// It is in the key set, signs no more, and tokens of its may count still.
    Retiring,
    /// It is in no key set, and nothing that it signed counts.
    Retired,
}

impl SigningKeyState {
    /// The word as in JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Next => "next",
            Self::Active => "active",
            Self::Retiring => "retiring",
            Self::Retired => "retired",
        }
    }
}

/// A key that signs tokens.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SigningKey {
    /// RFC 7638 thumbprint of the key: the `kid` of its tokens.
    pub kid: Thumbprint,
    /// Where it stands.
    pub state: SigningKeyState,
    /// The public key.
    pub key: PublicJwk,
    /// When it was made.
    pub made: Timestamp,
    /// From when on it signed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// When it signed last, or was withdrawn.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<Timestamp>,
}

/// `GET /v1/signing-keys`, and the answer to every change of them.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SigningKeyList {
    /// The next, the active, then those before, the newest first.
    pub keys: Vec<SigningKey>,
}

/// Which tokens a key signs: each type has keys of its own.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TokenType {
    /// Those of agents (`agent_jwt`).
    #[default]
    Agent,
    /// Those of projects.
    Project,
    /// Those of devices that joined by a device grant.
    Daemon,
}

impl TokenType {
    /// Every type.
    pub const ALL: [Self; 3] = [Self::Agent, Self::Project, Self::Daemon];

    /// The word as in JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Agent => "agent",
            Self::Project => "project",
            Self::Daemon => "daemon",
        }
    }
}

impl FromStr for TokenType {
    type Err = Malformed;
    fn from_str(text: &str) -> Result<Self, Malformed> {
        Self::ALL
            .into_iter()
            .find(|tokens| tokens.as_str() == text)
            .ok_or(Malformed::new("tokens", "must be agent, project or daemon"))
    }
}
