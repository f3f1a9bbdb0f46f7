use super::PublicJwk;
use crate::{ActorId, FieldTuple, InstallationId, Label, Namespace, Thumbprint, Timestamp};
use serde::{Deserialize, Serialize};
use zeroize::Zeroize as _;

/// `POST /v1/operators/{name}/api-keys`, signed by the operator's own device key: a key of
/// their automation, which does a part of what they may do.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApiKeyCreate {
    /// What it is called; unique among those of the operator that count.
    pub name: Label,
    /// The automation's public key, which is nobody's yet.
    pub key: PublicJwk,
    /// By that key, over [`ApiKeyCreate::message`].
    #[serde(with = "crate::encoding::serde_b64url")]
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub signature: Vec<u8>,
    /// What it may do, as the record names it: `secret.list` …
    pub actions: Vec<String>,
    /// Where.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub namespaces: Vec<Namespace>,
    /// Whether it may do so also what is about the installation and no namespace.
    #[serde(default)]
    pub installation: bool,
    /// For how long it counts, in seconds: 60 to 31,536,000 (365 days).
    pub life: u64,
}

impl ApiKeyCreate {
    /// What the automation's key signs: `T("procura.api-key.v1", installation id, actor id
    /// of the operator, name, thumbprint of the key)`.
    #[must_use]
    pub fn message(
        installation: &InstallationId,
        operator: &ActorId,
        name: &Label,
        key: &Thumbprint,
    ) -> Vec<u8> {
        FieldTuple::new("procura.api-key.v1")
            .bytes(installation.as_bytes())
            .bytes(operator.as_bytes())
            .text(name.as_str())
            .bytes(key.as_bytes())
            .into_bytes()
    }
}

/// Whether an API key counts now.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ApiKeyState {
    /// It does, with a proof by its device.
    Live,
    /// It is over.
    Expired,
    /// It was revoked, or its operator was, or the device that it was made with.
    Revoked,
}

impl ApiKeyState {
    /// The word as in JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
        }
    }
}

/// An API key as listed: all but the token.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ApiKey {
    /// The device that it is bound to, by which it is revoked.
    pub device: Thumbprint,
    /// What it is called.
    pub name: Label,
    /// Whose it is.
    pub operator: ActorId,
    /// The device of theirs that it was made with, and with which it goes.
    pub made_with: Thumbprint,
    /// Whether it counts.
    pub state: ApiKeyState,
    /// What it may do, sorted.
    pub actions: Vec<String>,
    /// Where, sorted.
    pub namespaces: Vec<Namespace>,
    /// Whether it may do so also what is about the installation.
    pub installation: bool,
    /// When it was made.
    pub created: Timestamp,
    /// From when on it does nothing.
    pub expires: Timestamp,
}

/// `GET /v1/operators/{name}/api-keys`.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ApiKeyList {
    /// By name, then by when they were made; those that are over too.
    pub keys: Vec<ApiKey>,
}

/// An API key that was just made.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Serialize, Deserialize)]
pub struct ApiKeyCreated {
    /// What is shown with each request, beside the proof: here, and nowhere else.
    pub token: String,
    /// The key.
    #[serde(flatten)]
    pub about: ApiKey,
}

// It opens nothing without its device's key; it stays in no freed memory all the same.
impl Drop for ApiKeyCreated {
    fn drop(&mut self) {
        self.token.zeroize();
    }
}
