use super::PublicJwk;
use crate::{ActorId, InstallationId, Label, ProposalId, Secret};
use serde::{Deserialize, Serialize};

/// `GET /v1/status`.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Status {
    /// The installation, once there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub installation: Option<InstallationId>,
    /// `init` has been done.
    pub initialized: bool,
    /// Nothing can be read or changed until an unseal.
    pub sealed: bool,
    /// The program's version.
    pub version: String,
    /// Why the server does less than it should, empty when all is well.
    pub degraded: Vec<String>,
    /// After a change of passphrase: the keys of values are being wrapped anew, so
    /// that a backup from before it opens none that were written since the backup.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub rewrapping: bool,
    /// The newest signed checkpoint, when unsealed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checkpoint: Option<String>,
    /// Where the API answers; told on the admin socket alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api: Option<String>,
    /// `?deep=true`: every row was read and opened; what was found wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deep: Option<Vec<String>>,
}

/// `POST /admin/init` on the admin socket.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InitRequest {
    /// The vault's passphrase.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub passphrase: Secret<String>,
    /// The owner's name.
    pub owner: Label,
    /// The owner's root key (P-256), made by the client.
    pub root_key: PublicJwk,
    /// By that key, over `T("procura.init.v1", root key thumbprint)`.
    #[serde(with = "crate::encoding::serde_b64url")]
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub signature: Vec<u8>,
}

/// What `init` made.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct InitAnswer {
    /// The new installation.
    pub installation: InstallationId,
    /// The owner.
    pub owner: ActorId,
    /// The server's key, to pin.
    pub server_key: PublicJwk,
    /// The verification key of the ledger (C2SP vkey), to keep.
    pub ledger_vkey: String,
}

/// `POST /admin/passphrase` on the admin socket: rotates the root.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PassphraseChange {
    /// The passphrase of today.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub current: Secret<String>,
    /// The new one.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub new: Secret<String>,
    /// What the stewards agreed to, where it takes more than one.
    #[serde(default)]
    pub proposal: Option<ProposalId>,
}
