use super::{Opening, SigningKeyState};
use crate::{Namespace, ProposalId, Timestamp};
use serde::{Deserialize, Serialize};

/// `POST /admin/rotate` on the admin socket: another root, and with it other keys for
/// everything that is new, with the unseal sources as they are.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RootRotate {
    /// What opens the vault.
    pub open: Opening,
    /// Whether sessions of before go on until their end; else they end now.
    #[serde(default)]
    pub sessions_go_on: bool,
    /// What the stewards agreed to, where it takes more than one.
    #[serde(default)]
    pub proposal: Option<ProposalId>,
}

/// `POST /v1/namespaces/{ns}/rotate`: the namespace has another key.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct NamespaceRotated {
    /// Its name.
    pub name: Namespace,
    /// The epoch of its newest key.
    pub key_epoch: u32,
}

/// `GET /v1/rotation`: where the keys stand that the root leads to.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Rotation {
    /// Epoch of the root that is in force.
    pub root_epoch: u32,
    /// No other root's rows are there.
    pub root_settled: bool,
    /// The roots that sessions are made from.
    pub sessions: Vec<SessionRootState>,
    /// The keys that sign checkpoints, the active one last.
    pub ledger_keys: Vec<LedgerKeyState>,
    /// The keys of namespaces, by name.
    pub namespaces: Vec<NamespaceKeyState>,
    /// What is left to be wrapped by the newest keys, while something is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rewrapping: Option<RewrapState>,
}

/// A root that sessions are made from.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SessionRootState {
    /// Its epoch.
    pub epoch: u32,
    /// When its sessions end, of one that none are made from any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
}

/// A key that signs checkpoints.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct LedgerKeyState {
    /// The key (C2SP vkey).
    pub vkey: String,
    /// Where it stands: `active`, `retiring` (it signs beside the active one) or
    /// `retired`.
    pub state: SigningKeyState,
    /// Until when it signs beside the active one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
}

/// The keys of a namespace.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct NamespaceKeyState {
    /// Its name.
    pub name: Namespace,
    /// The epochs of the keys that it has; the last wraps what is new.
    pub key_epochs: Vec<u64>,
}

/// How far the pass is that wraps DEKs by the newest keys.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RewrapState {
    /// DEKs that were wrapped anew.
    pub wrapped: u64,
    /// The namespaces that are left; the first is under way.
    pub namespaces: Vec<Namespace>,
}

/// `GET /v1/ledger/handovers`: the checkpoints that the key which signs them turned with,
/// oldest first. With them somebody who knows an earlier key comes to the one of today.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct HandoverList {
    /// Signed notes, each by the key before and the key after.
    pub handovers: Vec<String>,
}
