//! Answers in the shapes of other systems (`protocol.md` §3.6), which are never
//! problem+json: what all surfaces that speak them say alike.

use axum::body::Body;
use axum::response::Response;
use http::{HeaderValue, StatusCode, header};
use procura_types::RequestId;
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
