use super::Device;
use crate::{ActorId, Cidr, DisplayName, Label, Namespace, Timestamp};
use serde::{Deserialize, Serialize};
use zeroize::Zeroize as _;

/// `POST …/agents`: makes an agent below the caller's owner or below `parent`.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AgentCreate {
    /// The name, unique in the namespace among agents that are not revoked.
    pub label: Label,
    /// The agent that it becomes a child of; without it, the caller's owner.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<Label>,
}

/// An agent as listed.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Agent {
    /// Derived from parent, namespace, label and incarnation.
    pub actor_id: ActorId,
    /// The name below its parent.
    pub label: Label,
    /// What people call it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub display_name: Option<DisplayName>,
    /// The namespace that it belongs to.
    pub namespace: Namespace,
    /// Its parent in the tree: an owner or an agent.
    pub parent: ActorId,
    /// The owner at the root of its tree.
    pub owner: ActorId,
    /// The whole way from the owner: `alice//scribe//task-1`.
    pub lineage: String,
    /// 1 for the first actor of this label, one more after each revocation.
    pub incarnation: u32,
    /// Its devices, revoked ones too.
    pub devices: Vec<Device>,
    /// When it was made.
    pub created: Timestamp,
    /// When it was revoked; never undone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked: Option<Timestamp>,
    /// The addresses that its requests may come from; any when there are none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "openapi", schema(value_type = Vec<String>))]
    pub sources: Vec<Cidr>,
}

/// `PUT …/agents/{label}/sources`: where an agent's requests may come from.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AgentSources {
    /// At most 32 addresses or blocks of them; none at all lets it be anywhere.
    #[cfg_attr(feature = "openapi", schema(value_type = Vec<String>))]
    pub sources: Vec<Cidr>,
}

/// `GET …/agents`.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AgentList {
    /// Sorted by label, then incarnation.
    pub agents: Vec<Agent>,
}

/// A link code, shown once (`protocol.md` §2).
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Serialize, Deserialize)]
pub struct LinkCode {
    /// What the joining host types: [`super::LinkCodeText`], which carries the server's key hash.
    pub code: String,
    /// Ten minutes from now.
    pub expires: Timestamp,
}

// Whoever has the text can join with it: it stays in no freed memory.
impl Drop for LinkCode {
    fn drop(&mut self) {
        self.code.zeroize();
    }
}

/// Everything that a revocation ended.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RevokedActors {
    /// The actor and all below it.
    pub revoked: Vec<ActorId>,
}
