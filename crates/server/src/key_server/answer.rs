//! What the service says of proofs and identities (`protocol.md` §3.6).

use crate::foreign_answer::{ForeignRefused, json};
use axum::response::Response;
use http::StatusCode;
use procura_types::{ForeignId, Timestamp};
use serde::Serialize;
use utoipa::ToSchema;

/// A proof that is good, and whose.
#[derive(Serialize, ToSchema)]
pub(super) struct ProofValid<'a> {
    valid: bool,
    agent_id: &'a ForeignId,
}

/// The proof is good: 200.
pub(super) fn valid(agent_id: &ForeignId) -> Response {
    let valid = true;
    json(StatusCode::OK, &ProofValid { valid, agent_id })
}

/// A proof that is not good, and why.
#[derive(Serialize, ToSchema)]
pub(super) struct ProofInvalid<'a> {
    valid: bool,
    reason: &'a str,
}

/// The proof is not good: 401.
pub(super) fn invalid(reason: &str) -> Response {
    let valid = false;
    json(StatusCode::UNAUTHORIZED, &ProofInvalid { valid, reason })
}

/// The ids of all agents with a key, sorted.
#[derive(Serialize, ToSchema)]
pub(super) struct AgentIdentities<'a> {
    agents: &'a [ForeignId],
    count: usize,
}

/// The ids of all agents with a key: 200.
pub(super) fn identities(agents: &[ForeignId]) -> Response {
    let count = agents.len();
    json(StatusCode::OK, &AgentIdentities { agents, count })
}

/// One agent's key: 200.
#[derive(Serialize, ToSchema)]
pub(super) struct AgentIdentity<'a> {
    pub(super) agent_id: &'a ForeignId,
    pub(super) pub_key: &'a str,
    pub(super) fingerprint: &'a str,
    pub(super) registered_at: Timestamp,
}

impl AgentIdentity<'_> {
    pub(super) fn response(&self) -> Response {
        json(StatusCode::OK, self)
    }
}

/// No such agent: 404.
pub(super) fn not_registered(agent: &ForeignId) -> Response {
    let hint = format!(
        "Put the agent's OpenSSH public key (Ed25519) into keys/agents/{agent}.pub in the home of the server."
    );
    json(
        StatusCode::NOT_FOUND,
        &ForeignRefused {
            hint: Some(&hint),
            ..ForeignRefused::new("Agent identity not registered")
        },
    )
}
