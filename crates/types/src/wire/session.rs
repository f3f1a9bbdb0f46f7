use super::{Recovery, SessionAttestation, ValueB64};
use crate::Timestamp;
use serde::{Deserialize, Serialize};

/// `POST /v1/sessions`, with an asymmetric proof (`protocol.md` §3.4).
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SessionRequest {
    /// Who will verify: `procura` for the server itself.
    pub audience: String,
    /// A session of the same device to go on from: its first issue counts
    /// towards the 12 hours.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub renew: Option<String>,
    /// The attestation of the daemon that asks, for a session whose requests count as its.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attestation: Option<SessionAttestation>,
}

/// A session.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Serialize, Deserialize)]
pub struct SessionAnswer {
    /// The `keyid` of later requests.
    pub session_id: String,
    /// The key of their `hmac-sha256`, 32 bytes.
    pub mac_key: ValueB64,
    /// 600 s from now.
    pub expires_at: Timestamp,
    /// By the server's key, over `T("procura.session.answer.v1", nonce of the
    /// request, session_id, mac_key, u64 expiry in ms)`: another process on the
    /// server's port cannot make it.
    #[serde(with = "crate::encoding::serde_b64url")]
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub server_signature: Vec<u8>,
    /// For operators: unseals with shares that they do not know of yet.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub recoveries: Vec<Recovery>,
}
