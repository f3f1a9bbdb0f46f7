use super::{PublicJwk, ValueB64};
use crate::{Label, Timestamp};
use serde::{Deserialize, Serialize};

/// `PUT /v1/namespaces/{ns}/transit/{key}`: makes a transit key, or says anew who may use
/// it. Its bytes are made here and never leave.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TransitPut {
    /// The agents whose devices may wrap and unwrap with it, 16 at the most.
    pub agents: Vec<Label>,
}

/// A key that wraps for others: what it is, not its bytes.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TransitKey {
    /// Its name.
    pub name: Label,
    /// The agents whose devices may use it; those that were revoked are not told.
    pub agents: Vec<Label>,
    /// When it was made.
    pub created: Timestamp,
}

/// `GET /v1/namespaces/{ns}/transit`.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TransitKeyList {
    /// All of them, by name.
    pub keys: Vec<TransitKey>,
}

/// `POST …/transit/{key}/wrap`.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TransitWrap {
    /// What is to be wrapped: 1 to 256 bytes.
    pub value_b64: ValueB64,
    /// What it is for, at most 256 bytes: it is unwrapped for nothing else.
    #[serde(with = "crate::encoding::serde_b64url")]
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub context: Vec<u8>,
}

/// What was wrapped.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TransitWrapped {
    /// Nothing secret, for whoever asked to keep.
    #[serde(with = "crate::encoding::serde_b64url")]
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub wrapped: Vec<u8>,
}

/// `POST …/transit/{key}/unwrap`.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TransitUnwrap {
    /// As it was wrapped.
    #[serde(with = "crate::encoding::serde_b64url")]
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub wrapped: Vec<u8>,
    /// As it was wrapped for.
    #[serde(with = "crate::encoding::serde_b64url")]
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub context: Vec<u8>,
}

/// What was unwrapped.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Serialize, Deserialize)]
pub struct TransitUnwrapped {
    /// What had been wrapped.
    pub value_b64: ValueB64,
}

/// What a device needs to use a transit key of a server that it has joined, in a file for
/// one user alone.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TransitCredentials {
    /// Where the server answers.
    pub url: String,
    /// The key that it has to prove to hold.
    pub server_key: PublicJwk,
    /// The authorities to trust, PEM; without them, the machine's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_pem: Option<String>,
    /// The private key of the device, which is in no other place.
    pub device_key_b64: ValueB64,
}
