//! What the service says: the shapes and statuses of `protocol.md` §3.6, which are
//! other systems' and never problem+json.

use axum::body::Body;
use axum::response::Response;
use http::{HeaderValue, StatusCode, header};
use procura_types::{ForeignId, Timestamp};
use serde::Serialize;

/// A body: `error` and, for most, a word or a sentence beside it.
#[derive(Serialize)]
struct Refused<'a> {
    error: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<&'a str>,
}

impl<'a> Refused<'a> {
    const fn new(error: &'a str) -> Self {
        Self {
            error,
            reason: None,
            hint: None,
        }
    }

    const fn because(error: &'a str, reason: &'a str) -> Self {
        Self {
            error,
            reason: Some(reason),
            hint: None,
        }
    }
}

/// The proof is good: 200.
pub(super) fn valid(agent: &ForeignId) -> Response {
    #[derive(Serialize)]
    struct Valid<'a> {
        valid: bool,
        agent_id: &'a str,
    }
    json(
        StatusCode::OK,
        &Valid {
            valid: true,
            agent_id: agent.as_str(),
        },
    )
}

/// The proof is not good: 401.
pub(super) fn invalid(reason: &str) -> Response {
    #[derive(Serialize)]
    struct Invalid<'a> {
        valid: bool,
        reason: &'a str,
    }
    json(
        StatusCode::UNAUTHORIZED,
        &Invalid {
            valid: false,
            reason,
        },
    )
}

/// The ids of all agents with a key: 200.
pub(super) fn identities(agents: &[ForeignId]) -> Response {
    #[derive(Serialize)]
    struct Identities<'a> {
        agents: &'a [ForeignId],
        count: usize,
    }
    json(
        StatusCode::OK,
        &Identities {
            agents,
            count: agents.len(),
        },
    )
}

/// One agent's key: 200.
#[derive(Serialize)]
pub(super) struct Identity<'a> {
    pub(super) agent_id: &'a ForeignId,
    pub(super) pub_key: &'a str,
    pub(super) fingerprint: &'a str,
    pub(super) registered_at: Timestamp,
}

impl Identity<'_> {
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
        &Refused {
            hint: Some(&hint),
            ..Refused::new("Agent identity not registered")
        },
    )
}

/// The request cannot be read: 400.
pub(super) fn bad_request(reason: &str) -> Response {
    json(
        StatusCode::BAD_REQUEST,
        &Refused::because("bad_request", reason),
    )
}

/// Nobody can tell now: 503.
pub(super) fn unavailable(reason: &str, retry_after: u64) -> Response {
    let mut response = json(
        StatusCode::SERVICE_UNAVAILABLE,
        &Refused::because("service_unavailable", reason),
    );
    let headers = response.headers_mut();
    headers.insert(header::RETRY_AFTER, HeaderValue::from(retry_after));
    response
}

/// The address is not on the list: 403.
pub(super) fn forbidden() -> Response {
    json(
        StatusCode::FORBIDDEN,
        &Refused::because("Forbidden", "IP not whitelisted"),
    )
}

/// The `Host` field names another server: 421.
pub(super) fn misdirected() -> Response {
    json(
        StatusCode::MISDIRECTED_REQUEST,
        &Refused::because("misdirected_request", "host"),
    )
}

/// There is no such path: 404.
pub(super) fn not_found() -> Response {
    json(StatusCode::NOT_FOUND, &Refused::new("not_found"))
}

/// The path takes other methods: 405.
pub(super) fn method_not_allowed(allowed: &'static str) -> Response {
    let mut response = json(
        StatusCode::METHOD_NOT_ALLOWED,
        &Refused::new("method_not_allowed"),
    );
    let headers = response.headers_mut();
    headers.insert(header::ALLOW, HeaderValue::from_static(allowed));
    response
}

/// The request took too long to arrive: 408.
pub(super) fn timed_out() -> Response {
    json(StatusCode::REQUEST_TIMEOUT, &Refused::new("timeout"))
}

fn json(status: StatusCode, body: &impl Serialize) -> Response {
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
