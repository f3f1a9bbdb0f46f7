//! What a refusal of these routes says.

use crate::foreign_answer::{ForeignRefused, bad_request, json, not_found, timed_out, unavailable};
use crate::problem::{Blame, Code, Failure, Told};
use axum::response::Response;
use http::{HeaderValue, StatusCode, header};
use procura_authority::KeyKind;
use procura_types::{RequestId, TraceId};

/// Why a caller does not get what it asked for.
pub(super) enum Refused {
    /// There is no such key, or it is not for the caller to know.
    NoKey(KeyKind),
    /// A person has to say yes first.
    Waits(RequestId),
    /// No role opens it.
    NoRole,
    /// The caller audits more than one namespace and does not say which.
    WhichNamespace,
    /// All that can happen to any request.
    Failed(Failure),
}

impl<E: Into<Failure>> From<E> for Refused {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

impl Refused {
    /// The answer.
    pub(super) fn response(self, trace: TraceId) -> Response {
        match self {
            Self::NoKey(kind) => {
                let error = match kind {
                    KeyKind::Ssh => "Key not found",
                    KeyKind::Api => "API key not found",
                };
                json(StatusCode::NOT_FOUND, &ForeignRefused::new(error))
            }
            Self::Waits(request) => json(
                StatusCode::FORBIDDEN,
                &ForeignRefused {
                    request: Some(request),
                    ..ForeignRefused::because("Forbidden", "approval_required")
                },
            ),
            Self::NoRole => json(
                StatusCode::FORBIDDEN,
                &ForeignRefused::because("Forbidden", "no_role"),
            ),
            Self::WhichNamespace => bad_request("namespace"),
            Self::Failed(failure) => {
                failure.log(trace);
                let mut response = failed(&failure);
                if let Some(standing) = &failure.standing {
                    standing.tell(response.headers_mut());
                }
                let (code, reason) = (failure.code, failure.reason);
                response.extensions_mut().insert(Told { code, reason });
                response
            }
        }
    }
}

fn failed(failure: &Failure) -> Response {
    let code = failure.code;
    let reason = failure.reason.or(failure.field).unwrap_or(code.as_str());
    let response = match (code, code.blame()) {
        (Code::NotFound, _) => return not_found(),
        (Code::Timeout, _) => return timed_out(),
        (Code::Unauthorized, _) => json(
            code.status(),
            &ForeignRefused::because("unauthorized", reason),
        ),
        (Code::RateLimited, _) => json(code.status(), &ForeignRefused::new(code.as_str())),
        // Others changed the same rows five times in a row; there is nothing wrong
        // with the request.
        (Code::Contended, _) | (_, Blame::Dependency) => {
            return unavailable(reason, failure.retry_after.unwrap_or(1));
        }
        (_, Blame::Policy) => json(code.status(), &ForeignRefused::because("Forbidden", reason)),
        (_, Blame::Caller) => json(
            code.status(),
            &ForeignRefused::because("bad_request", reason),
        ),
        (_, Blame::Us) => json(code.status(), &ForeignRefused::new(code.as_str())),
    };
    let wait = (code == Code::RateLimited).then_some(1);
    with_retry_after(response, failure.retry_after.or(wait))
}

fn with_retry_after(mut response: Response, seconds: Option<u64>) -> Response {
    if let Some(seconds) = seconds {
        let headers = response.headers_mut();
        headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}
