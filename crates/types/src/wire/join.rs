use super::PublicJwk;
use crate::{ActorId, Label, Namespace, Thumbprint};
use serde::{Deserialize, Serialize};

/// `POST /v1/join`: the way in for a device with a link code (`protocol.md` §2).
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JoinRequest {
    /// SHA-256 of the 16 code bytes; the code itself is never sent.
    #[serde(with = "crate::encoding::serde_b64url")]
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub code_sha256: Vec<u8>,
    /// The actor that the code names, or the id derived from an operator's own key.
    pub actor_id: ActorId,
    /// The new device's public key.
    pub device_key: PublicJwk,
    /// By that key, over `T("procura.join.v1", server_id, SHA-256(code), actor_id, device_thumbprint)`.
    #[serde(with = "crate::encoding::serde_b64url")]
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub signature: Vec<u8>,
}

/// What a device knows after it joined.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct JoinAnswer {
    /// The actor that the device is bound to.
    pub actor: ActorId,
    /// The actor's name: an agent's lineage or an operator's name.
    pub name: String,
    /// The label alone.
    pub label: Label,
    /// The device.
    pub device: Thumbprint,
    /// The owner at the root of the actor's tree.
    pub owner: ActorId,
    /// The server's key; its SHA-256 must equal the hash in the code.
    pub server_key: PublicJwk,
    /// The agent's namespace; operators have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<Namespace>,
    /// The verification key of the ledger (C2SP vkey), to check checkpoints with.
    pub ledger_vkey: String,
    /// By the server's key, over `T("procura.join.answer.v1", server_id, SHA-256(code), actor, device, ledger_vkey)`.
    #[serde(with = "crate::encoding::serde_b64url")]
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub server_signature: Vec<u8>,
}
