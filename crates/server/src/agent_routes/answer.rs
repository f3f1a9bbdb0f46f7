//! What these routes say: JSON, and of a refusal one word, `{"error": "<reason>"}`.

use crate::foreign_answer::{ForeignRefused, json};
use crate::problem::{Code, Failure, Told};
use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;
use serde::de::IgnoredAny;
use utoipa::ToSchema;

pub(super) use crate::foreign_answer::{method_not_allowed, not_found};

/// The server answers.
#[derive(Serialize, ToSchema)]
#[schema(as = AgentRoutesWell)]
pub(super) struct Well {
    ok: bool,
}

pub(super) fn well() -> Response {
    json(StatusCode::OK, &Well { ok: true })
}

/// A refusal: the reason of a proof, or else the code of the error.
pub(super) fn failed(failure: &Failure) -> Response {
    let code = failure.code;
    let word = failure.reason.unwrap_or(code.as_str());
    let mut response = json(code.status(), &ForeignRefused::new(word));
    let wait = match code {
        Code::RateLimited | Code::Sealed | Code::VerifierUnavailable => Some(1),
        _ => None,
    };
    let headers = response.headers_mut();
    if let Some(seconds) = failure.retry_after.or(wait) {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    if let Some(standing) = &failure.standing {
        standing.tell(headers);
    }
    let reason = failure.reason;
    response.extensions_mut().insert(Told { code, reason });
    response
}

/// The body as it was sent: JSON byte for byte, other text as a string, none as `null`.
pub(super) fn echo(body: &Bytes) -> Response {
    const BEGIN: &[u8] = br#"{"ok":true,"echo":"#;
    let text = String::from_utf8_lossy(body);
    let is_json =
        std::str::from_utf8(body).is_ok() && serde_json::from_slice::<IgnoredAny>(body).is_ok();
    let echoed = match body.is_empty() {
        true => b"null".to_vec(),
        false if is_json => body.to_vec(),
        // Text always has a form in JSON.
        false => serde_json::to_vec(&text).unwrap_or_default(),
    };
    let mut response = json(StatusCode::OK, &());
    *response.body_mut() = Body::from([BEGIN, &echoed, b"}"].concat());
    response
}
