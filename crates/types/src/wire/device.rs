use crate::{ActorId, Thumbprint, Timestamp};
use serde::{Deserialize, Serialize};

/// A public key as JWK (RFC 7517, RFC 8037): Ed25519 (`OKP`) or P-256 (`EC`).
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PublicJwk {
    /// `OKP` or `EC`.
    pub kty: String,
    /// `Ed25519` or `P-256`.
    pub crv: String,
    /// The key, or its x coordinate: 32 bytes, base64url.
    pub x: String,
    /// The y coordinate of a P-256 key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub y: Option<String>,
}

/// One machine's key.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Device {
    /// RFC 7638 thumbprint of its key.
    pub thumbprint: Thumbprint,
    /// The one actor that it is bound to.
    pub actor: ActorId,
    /// The public key.
    pub key: PublicJwk,
    /// When it joined.
    pub created: Timestamp,
    /// When it was revoked; never undone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked: Option<Timestamp>,
}
