use crate::{Namespace, Role};
use serde::{Deserialize, Serialize};

/// `application/problem+json` (RFC 9457, `protocol.md` §8).
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// `urn:procura:error:<code>`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The code in words.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What happened here, and what to do next.
    pub detail: String,
    /// The code, a row of `spec/errors.md`.
    pub code: String,
    /// For proofs that failed: a row of `spec/reasons.md`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// For malformed input: the field.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// For what policy does not allow: the action, as in the ledger.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action: Option<String>,
    /// Where the action was attempted, unless it is about the installation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<Namespace>,
    /// Any of these roles would have allowed the action.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub roles: Vec<Role>,
    /// By which the server's log can be searched.
    pub request_id: String,
    /// The trace that the request is part of, as 32 hexadecimal digits (W3C Trace
    /// Context), if it said so or is traced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace_id: Option<String>,
}
