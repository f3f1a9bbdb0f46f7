use crate::{ActorId, ForeignId, Label, Thumbprint, Timestamp};
use serde::{Deserialize, Serialize};
use zeroize::Zeroize as _;

/// `PUT …/foreign-ids/{id}`: binds an id of another system to an agent of the
/// namespace.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ForeignBind {
    /// The agent.
    pub agent: Label,
}

/// An id of another system and the agent that it stands for.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForeignIdentity {
    /// The id, unique in the installation.
    pub agent_id: ForeignId,
    /// The agent's label.
    pub agent: Label,
    /// The agent.
    pub actor_id: ActorId,
    /// The device of the agent that was enrolled under the id. Without one the key is
    /// the file of the id in the server's `keys/agents`, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<Thumbprint>,
    /// When it was bound, or enrolled with this key.
    pub created: Timestamp,
    /// Whether the agent is revoked, or one above it: the id is of no use then, and
    /// can be released.
    pub revoked: bool,
    /// Its secrets that are still good, the newest first.
    pub secrets: Vec<AgentSecretAge>,
}

/// `GET …/foreign-ids`.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ForeignIdList {
    /// Sorted by id.
    pub ids: Vec<ForeignIdentity>,
}

/// How old a secret is; the secret itself is shown once, when it is made.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentSecretAge {
    /// When it was made.
    pub created: Timestamp,
    /// From when on it should be another.
    pub due: Timestamp,
    /// From when on it is refused.
    pub ends: Timestamp,
}

/// `POST …/foreign-ids/{id}/secret`: makes a secret for the profiles with a MAC.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AgentSecretRotate {
    /// Whether the ones from before end at once, as for one that somebody else may
    /// have. They are good for some days beside the new one otherwise.
    #[serde(default)]
    pub invalidate: bool,
}

/// A secret that was just made, shown once.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Serialize, Deserialize)]
pub struct AgentSecretIssued {
    /// Whose.
    pub agent_id: ForeignId,
    /// 32 random bytes, base64url; the text is the key of `hmac-v1`, and what that of
    /// `hmac-v2` is derived from.
    pub secret: String,
    /// Its age, and those of the ones that are still good beside it.
    pub secrets: Vec<AgentSecretAge>,
}

// Whoever has the text can make proofs of the agent: it stays in no freed memory.
impl Drop for AgentSecretIssued {
    fn drop(&mut self) {
        self.secret.zeroize();
    }
}
