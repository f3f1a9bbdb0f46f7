//! What the service says: the shapes and statuses of `protocol.md` §3.6, which are
//! other systems' and never problem+json.

use axum::body::Body;
use axum::response::Response;
use http::{HeaderValue, StatusCode, header};
use procura_types::{ForeignId, RequestId, Timestamp};
use serde::Serialize;
use utoipa::ToSchema;

/// A refusal in the shapes of others: `error` and, for most, a word or a sentence
/// beside it.
#[derive(Serialize, ToSchema)]
pub(crate) struct ForeignRefused<'a> {
    pub(crate) error: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) hint: Option<&'a str>,
    /// What waits for the answer of a person.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) request: Option<RequestId>,
}

impl<'a> ForeignRefused<'a> {
    pub(crate) const fn new(error: &'a str) -> Self {
        Self {
            error,
            reason: None,
            hint: None,
            request: None,
        }
    }

    pub(crate) const fn because(error: &'a str, reason: &'a str) -> Self {
        Self {
            reason: Some(reason),
            ..Self::new(error)
        }
    }
}

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

/// The request cannot be read: 400.
pub(crate) fn bad_request(reason: &str) -> Response {
    json(
        StatusCode::BAD_REQUEST,
        &ForeignRefused::because("bad_request", reason),
    )
}

/// Nobody can tell now: 503.
pub(crate) fn unavailable(reason: &str, retry_after: u64) -> Response {
    let mut response = json(
        StatusCode::SERVICE_UNAVAILABLE,
        &ForeignRefused::because("service_unavailable", reason),
    );
    let headers = response.headers_mut();
    headers.insert(header::RETRY_AFTER, HeaderValue::from(retry_after));
    response
}

/// The address is not on the list: 403.
pub(crate) fn forbidden() -> Response {
    json(
        StatusCode::FORBIDDEN,
        &ForeignRefused::because("Forbidden", "IP not whitelisted"),
    )
}

/// The `Host` field names another server: 421.
pub(crate) fn misdirected() -> Response {
    json(
        StatusCode::MISDIRECTED_REQUEST,
        &ForeignRefused::because("misdirected_request", "host"),
    )
}

/// There is no such path: 404.
pub(crate) fn not_found() -> Response {
    json(StatusCode::NOT_FOUND, &ForeignRefused::new("not_found"))
}

/// The path takes other methods: 405.
pub(crate) fn method_not_allowed(allowed: &'static str) -> Response {
    let mut response = json(
        StatusCode::METHOD_NOT_ALLOWED,
        &ForeignRefused::new("method_not_allowed"),
    );
    let headers = response.headers_mut();
    headers.insert(header::ALLOW, HeaderValue::from_static(allowed));
    response
}

/// The request took too long to arrive: 408.
pub(crate) fn timed_out() -> Response {
    json(StatusCode::REQUEST_TIMEOUT, &ForeignRefused::new("timeout"))
}

/// A body in JSON that nothing on the way keeps.
pub(crate) fn json(status: StatusCode, body: &impl Serialize) -> Response {
    // Words, numbers and ids always have a form in JSON.
    let body = serde_json::to_vec(body).unwrap_or_default();
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
