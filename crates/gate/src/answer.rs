//! What a gate answers by itself, and the body of every answer.

use crate::authenticate::Refusal;
use crate::link::Busy;
use crate::rates::Limited;
use crate::standing::{Ending, Standing};
use crate::upstream::Lease;
use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use procura_edge::framing::Flaw;
use procura_proof::Reason;
use procura_types::{Duration, whole_seconds_up};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

/// Why a request gets its answer from the gate and not from the upstream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It is not well-formed.
    Malformed(Flaw),
    /// It is for a name that is not this gate's.
    Misdirected,
    /// Its body ended before its end.
    BodyBroken,
    /// Its body is too large to be read whole.
    BodyTooLarge,
    /// Its body took too long.
    BodyTooSlow,
    /// Too many bodies are held already.
    Crowded,
    /// It is not let through.
    Refused(Refusal),
    /// Somebody asks too often, or has to wait.
    Limited(Limited),
    /// A trusted proxy does not say whom it stands for.
    ForwardedUnclear,
    /// Nobody accepts a connection there.
    UpstreamUnreachable,
    /// It broke off before it answered, or gave an answer that is none.
    UpstreamFailed,
    /// It took too long.
    UpstreamTooSlow,
}

impl Fault {
    /// Status, `error` and `reason`.
    fn words(&self) -> (StatusCode, &'static str, &'static str) {
        match self {
            Self::Malformed(flaw) => {
                let error = match flaw.status() {
                    StatusCode::REQUEST_TIMEOUT => "request_timeout",
                    StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE => "header_fields_too_large",
                    _ => "bad_request",
                };
                (flaw.status(), error, flaw.word())
            }
            Self::BodyBroken => (StatusCode::BAD_REQUEST, "bad_request", "body_broken"),
            Self::Misdirected => (
                StatusCode::MISDIRECTED_REQUEST,
                "misdirected_request",
                "host_unknown",
            ),
            Self::BodyTooLarge => (
                StatusCode::PAYLOAD_TOO_LARGE,
                "content_too_large",
                "body_too_large",
            ),
            Self::BodyTooSlow => (
                StatusCode::REQUEST_TIMEOUT,
                "request_timeout",
                "body_too_slow",
            ),
            Self::Crowded => (
                StatusCode::SERVICE_UNAVAILABLE,
                "service_unavailable",
                "too_many_bodies",
            ),
            Self::Refused(refusal) => {
                let status = StatusCode::from_u16(refusal.reason.status())
                    .unwrap_or(StatusCode::UNAUTHORIZED);
                let error = match refusal.reason {
                    Reason::SourceNotAllowed | Reason::Quarantined => "forbidden",
                    Reason::RateLimited => "too_many_requests",
                    Reason::VerifierUnavailable => "service_unavailable",
                    _ => "unauthorized",
                };
                (status, error, refusal.reason.as_str())
            }
            Self::Limited(_) => (
                StatusCode::TOO_MANY_REQUESTS,
                "too_many_requests",
                Reason::RateLimited.as_str(),
            ),
            Self::ForwardedUnclear => (StatusCode::BAD_REQUEST, "bad_request", "forwarded_unclear"),
            Self::UpstreamUnreachable => (
                StatusCode::BAD_GATEWAY,
                "bad_gateway",
                "upstream_unreachable",
            ),
            Self::UpstreamFailed => (StatusCode::BAD_GATEWAY, "bad_gateway", "upstream_failed"),
            Self::UpstreamTooSlow => (
                StatusCode::GATEWAY_TIMEOUT,
                "gateway_timeout",
                "upstream_too_slow",
            ),
        }
    }

    /// The word that tells it from the others.
    pub(crate) fn reason(&self) -> &'static str {
        self.words().2
    }

    /// Whether the upstream has to do with it, and not the client.
    pub(crate) const fn is_upstreams(&self) -> bool {
        matches!(
            self,
            Self::UpstreamUnreachable | Self::UpstreamFailed | Self::UpstreamTooSlow
        )
    }

    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Refused(refusal) => refusal.retry_after,
            Self::Limited(limited) => Some(limited.retry_after),
            Self::Crowded => Some(Duration::from_secs(1)),
            _ => None,
        }
    }

    /// Whether what follows on an HTTP/1 connection cannot be understood.
    pub(crate) const fn ends_connection(&self) -> bool {
        matches!(self, Self::Malformed(_))
    }

    /// As an answer, after which an HTTP/1 connection `closes`.
    pub(crate) fn answer(&self, closes: bool) -> Response<Outgoing> {
        self.response(closes)
            .map(|text| Outgoing::Fixed(Some(text)))
    }

    /// The same as it is.
    pub(crate) fn response(&self, closes: bool) -> Response<Bytes> {
        let (status, error, reason) = self.words();
        let text = format!("{{\"error\":\"{error}\",\"reason\":\"{reason}\"}}\n");
        let mut response = Response::new(Bytes::from(text));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/json"),
        );
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(wait) = self.retry_after() {
            let seconds = whole_seconds_up(wait).max(1);
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if let Self::Limited(Limited {
            left: Some(left), ..
        }) = self
        {
            left.tell(headers);
        }
        if closes {
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}

impl From<Flaw> for Fault {
    fn from(flaw: Flaw) -> Self {
        Self::Malformed(flaw)
    }
}

/// The body of an answer.
pub(crate) enum Outgoing {
    /// The gate's own.
    Fixed(Option<Bytes>),
    /// The upstream's, passed on as it comes.
    Flowing(Box<Flowing>),
}

/// Why an answer broke off.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BrokenAnswer {
    /// The upstream did.
    #[error(transparent)]
    Upstream(#[from] hyper::Error),
    /// Whoever asked for it would not be let in any more.
    #[error("whoever asked for the answer may not have the rest of it")]
    Ended,
}

/// What is held while an answer goes through.
pub(crate) struct Flowing {
    body: Incoming,
    ending: Option<Ending>,
    /// The way to the upstream, free again when the body has ended.
    lease: Option<Lease>,
    busy: Busy,
}

impl Outgoing {
    pub(crate) fn flowing(body: Incoming, lease: Lease, busy: Busy, standing: &Standing) -> Self {
        let mut flowing = Flowing {
            ending: standing.ending_of(&body),
            body,
            lease: Some(lease),
            busy,
        };
        flowing.free_at_end();
        Self::Flowing(Box::new(flowing))
    }
}

impl Flowing {
    fn free_at_end(&mut self) {
        if self.body.is_end_stream() {
            self.end();
        }
    }

    fn end(&mut self) {
        self.busy.answered();
        if let Some(lease) = self.lease.take() {
            lease.free();
        }
    }
}

impl Body for Outgoing {
    type Data = Bytes;
    type Error = BrokenAnswer;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BrokenAnswer>>> {
        let body = self.get_mut();
        match body {
            Self::Fixed(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Self::Flowing(flowing) => {
                flowing.busy.taken();
                if let Some(ending) = &mut flowing.ending
                    && ending.as_mut().poll(cx).is_ready()
                {
                    // No client took it back.
                    flowing.busy.answered();
                    // The connection to the upstream ends with it.
                    *body = Self::Fixed(None);
                    return Poll::Ready(Some(Err(BrokenAnswer::Ended)));
                }
                let frame = ready!(Pin::new(&mut flowing.body).poll_frame(cx));
                match &frame {
                    Some(Ok(_)) => {
                        flowing.busy.handed();
                        flowing.free_at_end();
                    }
                    None => flowing.end(),
                    Some(Err(error)) => {
                        tracing::debug!(%error, "the upstream broke off in its answer");
                    }
                }
                Poll::Ready(frame.map(|frame| frame.map_err(BrokenAnswer::from)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Fixed(bytes) => bytes.is_none(),
            Self::Flowing(flowing) => flowing.body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Fixed(bytes) => {
                let length = bytes.as_ref().map_or(0, Bytes::len);
                SizeHint::with_exact(u64::try_from(length).unwrap_or(u64::MAX))
            }
            Self::Flowing(flowing) => flowing.body.size_hint(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_have_the_status_of_their_reason() {
        for (reason, status, error) in [
            (Reason::MissingHeaders, 401, "unauthorized"),
            (Reason::DigestMismatch, 401, "unauthorized"),
            (Reason::SourceNotAllowed, 403, "forbidden"),
            (Reason::RateLimited, 429, "too_many_requests"),
            (Reason::VerifierUnavailable, 503, "service_unavailable"),
        ] {
            let fault = Fault::Refused(Refusal::new(reason));
            let answer = fault.answer(false);
            assert_eq!(answer.status(), status);
            assert_eq!(fault.words(), (answer.status(), error, reason.as_str()));
            let waits = matches!(status, 429 | 503);
            assert_eq!(answer.headers().contains_key("retry-after"), waits);
            assert!(!answer.headers().contains_key("connection"));
        }
    }

    #[test]
    fn waits_are_whole_seconds() {
        for (millis, told) in [(0, "1"), (1000, "1"), (1900, "2")] {
            let refusal = Refusal {
                retry_after: Some(Duration::from_millis(millis)),
                ..Refusal::new(Reason::RateLimited)
            };
            let answer = Fault::Refused(refusal).answer(false);
            assert_eq!(answer.headers()["retry-after"], told);
        }
    }
}
