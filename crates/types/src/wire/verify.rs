use crate::{ActorId, ForeignId, Malformed, Thumbprint, encoding};
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// `POST …/services/{name}/verify`: a request that the gate of the service was sent,
/// with a proof by a profile of another system (`protocol.md` §3.2).
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VerifyQuestion {
    /// In its own case.
    pub method: String,
    /// `Host` or `:authority`, as sent. That it is one of the gate's own names is the
    /// gate's to check.
    pub authority: String,
    /// Encoded, as sent, without the query.
    pub path: String,
    /// As sent, without its `?`; absent when there is no `?`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub query: Option<String>,
    /// Every line of the fields by which proofs are told and read, in their order.
    pub fields: Vec<ProofField>,
    /// The body.
    pub body: SentBody,
    /// Where it came from.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub peer: IpAddr,
}

/// A line of a header field.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProofField {
    /// In lower case.
    pub name: String,
    /// As sent.
    pub value: String,
}

/// The body of a request, in base64url.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum SentBody {
    /// All of it, for profiles that sign the body itself; at most 1 MiB.
    Bytes(String),
    /// Its SHA-256, for profiles that sign no more of it.
    Sha256(String),
}

/// A body does not belong into a log.
impl std::fmt::Debug for SentBody {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Bytes(text) => write!(f, "Bytes({} characters)", text.len()),
            Self::Sha256(text) => write!(f, "Sha256({text})"),
        }
    }
}

impl SentBody {
    /// All of a body.
    #[must_use]
    pub fn bytes(body: &[u8]) -> Self {
        Self::Bytes(encoding::b64url(body))
    }

    /// The SHA-256 of a body.
    #[must_use]
    pub fn sha256(hash: &[u8; 32]) -> Self {
        Self::Sha256(encoding::b64url(hash))
    }

    /// What it is, decoded.
    ///
    /// # Errors
    /// [`Malformed`], naming `body`.
    pub fn decode(&self) -> Result<BodyRead, Malformed> {
        match self {
            Self::Bytes(text) => encoding::from_b64url("body", text).map(BodyRead::Bytes),
            Self::Sha256(text) => encoding::from_b64url_fixed("body", text).map(BodyRead::Sha256),
        }
    }
}

/// A [`SentBody`], decoded.
#[derive(Clone, PartialEq, Eq)]
pub enum BodyRead {
    /// All of it.
    Bytes(Vec<u8>),
    /// Its SHA-256.
    Sha256([u8; 32]),
}

/// Whether the proof is good. It is used up then.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum VerifyAnswer {
    /// It is.
    Proven(ProvenAgent),
    /// It is not, or nobody can tell.
    Refused(RefusedProof),
}

/// Who made a request.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProvenAgent {
    /// The id that the request names.
    pub agent_id: ForeignId,
    /// The profile of the proof.
    pub profile: String,
    /// The agent that the id is bound to, of the service's namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actor: Option<ActorId>,
    /// The owner at the root of that agent's tree.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<ActorId>,
    /// The device of that agent that was enrolled under the id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<Thumbprint>,
}

/// Why a proof is not taken.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RefusedProof {
    /// A word of `spec/reasons.md`, which has the status of each.
    pub reason: String,
    /// In how many seconds it is worth to try again, if ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after: Option<u64>,
}
