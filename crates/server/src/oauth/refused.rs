//! What the OAuth endpoints say that they do not do: RFC 6749 §5.2 and RFC 8628 §3.5.

use crate::foreign_answer::json;
use crate::problem::{Code, Failure, Told};
use axum::response::Response;
use http::{HeaderValue, StatusCode, header};
use procura_types::TraceId;
use procura_types::wire::OauthError;

/// Every word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Word {
    /// Nobody answered yet.
    AuthorizationPending,
    /// The same, and the device asks too often.
    SlowDown,
    /// Somebody said no.
    AccessDenied,
    /// The ten minutes are over.
    ExpiredToken,
    /// The code is unknown, used up, or another device's.
    InvalidGrant,
    /// The client is not the one that this is for, or does not hold its key.
    InvalidClient,
    /// The request is malformed.
    InvalidRequest,
    /// Another grant than that of devices.
    UnsupportedGrantType,
    /// It cannot be had now.
    TemporarilyUnavailable,
    /// The server failed.
    ServerError,
}

impl Word {
    const fn as_str(self) -> &'static str {
        match self {
            Self::AuthorizationPending => "authorization_pending",
            Self::SlowDown => "slow_down",
            Self::AccessDenied => "access_denied",
            Self::ExpiredToken => "expired_token",
            Self::InvalidGrant => "invalid_grant",
            Self::InvalidClient => "invalid_client",
            Self::InvalidRequest => "invalid_request",
            Self::UnsupportedGrantType => "unsupported_grant_type",
            Self::TemporarilyUnavailable => "temporarily_unavailable",
            Self::ServerError => "server_error",
        }
    }

    const fn status(self) -> StatusCode {
        match self {
            Self::InvalidClient => StatusCode::UNAUTHORIZED,
            Self::TemporarilyUnavailable => StatusCode::SERVICE_UNAVAILABLE,
            Self::ServerError => StatusCode::INTERNAL_SERVER_ERROR,
            _ => StatusCode::BAD_REQUEST,
        }
    }
}

/// A refusal in these words.
#[derive(Debug)]
pub(super) struct Refused {
    word: Word,
    status: StatusCode,
    detail: String,
    retry_after: Option<u64>,
    /// What it is counted as, where it is held against the address that it came from.
    told: Option<Told>,
    /// What the log is told.
    failure: Option<Box<Failure>>,
}

impl Refused {
    pub(super) fn new(word: Word, detail: impl Into<String>) -> Self {
        Self {
            word,
            status: word.status(),
            detail: detail.into(),
            retry_after: None,
            told: None,
            failure: None,
        }
    }

    /// Too many, of one address or of all.
    pub(super) fn later(detail: &str, seconds: u64) -> Self {
        Self {
            status: StatusCode::TOO_MANY_REQUESTS,
            retry_after: Some(seconds),
            ..Self::new(Word::TemporarilyUnavailable, detail)
        }
    }

    /// It is what whoever tries codes, or keys, gets: held against the address.
    pub(super) const fn held_against(mut self, code: Code, reason: Option<&'static str>) -> Self {
        self.told = Some(Told { code, reason });
        self
    }

    pub(super) fn into_response(self, trace: TraceId) -> Response {
        if let Some(failure) = &self.failure {
            failure.log(trace);
        }
        let body = OauthError {
            error: self.word.as_str().to_owned(),
            error_description: Some(self.detail.chars().map(plain).collect()),
        };
        let mut response = json(self.status, &body);
        let headers = response.headers_mut();
        headers.insert(header::PRAGMA, HeaderValue::from_static("no-cache"));
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        // RFC 6749 §5.2: whoever came with an Authorization field is told of a scheme.
        if self.status == StatusCode::UNAUTHORIZED {
            let scheme = HeaderValue::from_static("Basic realm=\"procura\"");
            headers.insert(header::WWW_AUTHENTICATE, scheme);
        }
        if let Some(told) = self.told {
            response.extensions_mut().insert(told);
        }
        response
    }
}

/// The characters that RFC 6749 §5.2 lets a description have; others become an apostrophe.
const fn plain(character: char) -> char {
    match character {
        '\x20'..='\x21' | '\x23'..='\x5b' | '\x5d'..='\x7e' => character,
        _ => '\'',
    }
}

/// What goes wrong on all surfaces, in these words; the cause stays in the log.
impl From<Failure> for Refused {
    fn from(failure: Failure) -> Self {
        let code = failure.code;
        let status = code.status();
        let word = match status.as_u16() {
            401 => Word::InvalidClient,
            429 | 503 | 507 => Word::TemporarilyUnavailable,
            400..=499 => Word::InvalidRequest,
            _ => Word::ServerError,
        };
        let wait = matches!(status.as_u16(), 429 | 503).then_some(1);
        Self {
            status,
            retry_after: failure.retry_after.or(wait),
            told: Some(Told {
                code,
                reason: failure.reason,
            }),
            ..Self::new(word, failure.detail.clone())
        }
        .logging(failure)
    }
}

impl Refused {
    fn logging(mut self, failure: Failure) -> Self {
        self.failure = Some(Box::new(failure));
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_description_has_the_characters_of_the_standard_and_no_others() {
        let said: String = "a \"b\" \\ é\n~!#[]".chars().map(plain).collect();
        assert_eq!(said, "a 'b' ' ''~!#[]");
        assert!(said.chars().all(|character| plain(character) == character));
    }
}
