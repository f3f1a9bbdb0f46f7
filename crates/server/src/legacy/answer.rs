//! What a refusal says to clients of CortexAuth: `{error, error_code, details}`. They act on
//! a few codes, which are kept; all others are our own words, and the reason is in `details`
//! in any case.

use crate::foreign_answer::json;
use crate::problem::{Code, Failure, Told};
use axum::response::Response;
use http::{HeaderValue, StatusCode, header};
use procura_directory::TokenRefusal;
use procura_proof::Reason;
use procura_types::{EnvName, RequestId, TraceId};
use serde::Serialize;
use utoipa::ToSchema;

/// A refusal.
#[derive(Serialize, ToSchema)]
pub(super) struct LegacyRefused<'a> {
    /// What happened, for people.
    error: &'a str,
    /// `authorization_pending`, `pending_approval`, `token_expired`, `token_revoked`; or else
    /// the reason, or the code of `spec/errors.md`.
    error_code: &'a str,
    details: LegacyDetails<'a>,
}

/// What there is beside.
#[derive(Default, Serialize, ToSchema)]
struct LegacyDetails<'a> {
    /// The id of the request, by which the record and the log have it.
    request_id: String,
    /// The reason as the record has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    /// What is malformed.
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<&'a str>,
    /// What waits for the answer of a person.
    #[serde(skip_serializing_if = "Option::is_none")]
    grant_id: Option<RequestId>,
    /// For which names it does.
    #[serde(skip_serializing_if = "Option::is_none")]
    requested_keys: Option<Vec<EnvName>>,
}

/// Why a client does not get what it asks for.
pub(super) enum Refused {
    /// Nobody has answered the login yet.
    Pending,
    /// A person has to say yes first, to these names.
    Waits(RequestId, Vec<EnvName>),
    /// The path takes this method alone.
    Method(&'static str),
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
    pub(super) fn into_response(self, trace: TraceId) -> Response {
        match self {
            // The status is theirs. It is no proof that failed, and is not held against the
            // address as one.
            Self::Pending => {
                let detail = "Nobody has answered yet; ask again after `interval` seconds.";
                let details = LegacyDetails::of(trace);
                let status = StatusCode::UNAUTHORIZED;
                let response = refusal(status, detail, "authorization_pending", details);
                told(response, Code::Conflict, None)
            }
            Self::Waits(request, names) => {
                let details = LegacyDetails {
                    grant_id: Some(request),
                    requested_keys: Some(names),
                    ..LegacyDetails::of(trace)
                };
                let detail = "A person has to say yes first; the same goes on by itself then.";
                refusal(StatusCode::FORBIDDEN, detail, "pending_approval", details)
            }
            Self::Method(allowed) => {
                let code = Code::MethodNotAllowed;
                let detail = "This path does not take that method.";
                let mut response = failed(&Failure::new(code, detail), trace);
                let allowed = HeaderValue::from_static(allowed);
                response.headers_mut().insert(header::ALLOW, allowed);
                response
            }
            Self::Failed(failure) => {
                failure.log(trace);
                failed(&failure, trace)
            }
        }
    }
}

impl LegacyDetails<'_> {
    fn of(trace: TraceId) -> Self {
        Self {
            request_id: trace.to_string(),
            ..Self::default()
        }
    }
}

fn refusal(
    status: StatusCode,
    error: &str,
    error_code: &str,
    details: LegacyDetails<'_>,
) -> Response {
    let refused = LegacyRefused {
        error,
        error_code,
        details,
    };
    json(status, &refused)
}

fn told(mut response: Response, code: Code, reason: Option<&'static str>) -> Response {
    response.extensions_mut().insert(Told { code, reason });
    response
}

fn failed(failure: &Failure, trace: TraceId) -> Response {
    let (code, reason) = (failure.code, failure.reason);
    let details = LegacyDetails {
        reason,
        field: failure.field,
        ..LegacyDetails::of(trace)
    };
    let word = error_code(failure);
    let mut response = refusal(code.status(), &failure.detail, word, details);
    let wait = match code {
        Code::RateLimited
        | Code::Sealed
        | Code::VerifierUnavailable
        | Code::StoreUnavailable
        | Code::Contended => Some(1),
        _ => None,
    };
    let headers = response.headers_mut();
    if let Some(seconds) = failure.retry_after.or(wait) {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    if let Some(standing) = &failure.standing {
        standing.tell(headers);
    }
    told(response, code, reason)
}

/// The word of these clients for a failure. A token whose grant ended they give up as they do
/// one that was revoked, and ask anew, which is what is left to do.
fn error_code(failure: &Failure) -> &'static str {
    const REVOKED: &str = TokenRefusal::Revoked.as_str();
    const GRANT: &str = TokenRefusal::Grant.as_str();
    match failure.reason {
        Some(reason) if reason == GRANT => REVOKED,
        Some(reason) => reason,
        None => failure.code.as_str(),
    }
}

/// The answer to an address that asks more often than it may.
pub(crate) fn turned_away(seconds: u64, trace: TraceId) -> Response {
    let detail = "Requests come more often from this address than they may; ask again later.";
    let mut failure = Failure::new(Code::RateLimited, detail);
    failure.retry_after = Some(seconds);
    failed(&failure.with_reason(Reason::RateLimited.as_str()), trace)
}

/// The answer to a proxy that does not say whom it stands for.
pub(crate) fn unclear(trace: TraceId) -> Response {
    let detail = "The proxy's fields Forwarded and X-Forwarded-For name no address, or two.";
    let mut failure = Failure::new(Code::Malformed, detail);
    failure.field = Some("forwarded");
    failed(&failure, trace)
}
