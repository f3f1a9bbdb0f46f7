//! What a browser gets: a page, another address to look at, JSON for the script, or why
//! not. All of it leaves with the head that pages have.

use super::headers::protect;
use super::layout::Frame;
use super::shown::Shown;
use crate::framed::Frame as Around;
use crate::problem::{Blame, Code, Failure, Told};
use askama::Template;
use axum::body::Body;
use axum::response::Response;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use procura_types::TraceId;
use serde::Serialize;

/// The type of a page.
const HTML: &str = "text/html; charset=utf-8";

/// An answer.
pub(crate) struct Answer {
    status: StatusCode,
    kind: &'static str,
    body: String,
    headers: HeaderMap,
    /// What it says went wrong, for those whom it passes on its way out.
    told: Option<Told>,
}

impl Answer {
    fn new(kind: &'static str, body: String) -> Self {
        Self {
            status: StatusCode::OK,
            kind,
            body,
            headers: HeaderMap::new(),
            told: None,
        }
    }

    /// 200 with a page.
    pub(crate) fn page(page: &impl Template) -> Result<Self, Failure> {
        let text = page.render().map_err(Failure::internal)?;
        Ok(Self::new(HTML, text))
    }

    /// 200 with JSON, for the script.
    pub(crate) fn json(value: &impl Serialize) -> Result<Self, Failure> {
        let text = serde_json::to_string(value).map_err(Failure::internal)?;
        Ok(Self::new("application/json", text))
    }

    /// 303: what was sent was done, and this is where to look now. A page that is loaded
    /// anew then sends nothing twice.
    pub(crate) fn to(path: &str) -> Result<Self, Failure> {
        let mut answer = Self::new(HTML, String::new());
        answer.status = StatusCode::SEE_OTHER;
        let place = HeaderValue::from_str(path).map_err(Failure::internal)?;
        answer.headers.insert(header::LOCATION, place);
        Ok(answer)
    }

    /// With a cookie that is given or taken away.
    pub(crate) fn with_cookie(mut self, cookie: HeaderValue) -> Self {
        self.headers.append(header::SET_COOKIE, cookie);
        self
    }

    /// With a field more in its head.
    pub(super) fn with_field(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }

    /// A page that says in its own words what went wrong.
    pub(crate) fn refusing(mut self, failure: &Failure) -> Self {
        self.status = failure.code.status();
        if let Some(seconds) = failure.retry_after {
            self.headers
                .insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        self.told = Some(Told {
            code: failure.code,
            reason: failure.reason,
        });
        self
    }

    /// As it leaves.
    fn into_response(self) -> Response {
        let mut response = Response::new(Body::from(self.body));
        *response.status_mut() = self.status;
        if let Some(told) = self.told {
            response.extensions_mut().insert(told);
        }
        let headers = response.headers_mut();
        *headers = self.headers;
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(self.kind));
        protect(headers);
        response
    }
}

/// What the first page is: nobody needs another way to it.
pub(super) fn home() -> Response {
    let mut answer = Answer::new(HTML, String::new());
    answer.status = StatusCode::SEE_OTHER;
    let place = HeaderValue::from_static("/requests");
    answer.headers.insert(header::LOCATION, place);
    answer.into_response()
}

/// What came of a request for a page, in words for people.
pub(super) fn worded(result: Result<Answer, Failure>, around: &Around<'_>) -> Response {
    match result {
        Ok(answer) => answer.into_response(),
        Err(failure) => failed(failure, around.trace),
    }
}

/// What came of a call of the script, which reads problems as other programs do.
pub(super) fn told(result: Result<Answer, Failure>, around: &Around<'_>) -> Response {
    match result {
        Ok(answer) => answer.into_response(),
        Err(failure) => {
            let mut response = failure.into_response_in(around.part_of, around.trace);
            protect(response.headers_mut());
            response
        }
    }
}

/// The page of a refusal.
#[derive(Template)]
#[template(path = "failed.html")]
struct Failed {
    frame: Frame,
    title: &'static str,
    detail: Shown,
    what_to_do: &'static str,
    /// Whether to sign in once more helps.
    again: bool,
    code: &'static str,
    reason: Option<&'static str>,
    field: Option<&'static str>,
    request_id: String,
}

/// The answer to what was refused.
pub(crate) fn failed(mut failure: Failure, trace: TraceId) -> Response {
    failure.log(trace);
    let waits = matches!(
        failure.code,
        Code::RateLimited | Code::Sealed | Code::VerifierUnavailable | Code::StoreUnavailable
    );
    if waits && failure.retry_after.is_none() {
        failure.retry_after = Some(1);
    }
    let page = Failed {
        frame: Frame::of_nobody(),
        title: failure.code.title(),
        detail: Shown::of(&failure.detail),
        what_to_do: what_to_do(failure.code),
        again: matches!(failure.code, Code::Reauthenticate | Code::Unauthorized),
        code: failure.code.as_str(),
        reason: failure.reason,
        field: failure.field,
        request_id: trace.to_string(),
    };
    // A template without a loop of others' data always has a text.
    let answer = Answer::page(&page).unwrap_or_else(|_| Answer::new(HTML, String::new()));
    let standing = failure.standing.take();
    let mut response = answer.refusing(&failure).into_response();
    let headers = response.headers_mut();
    if let Some(standing) = standing {
        standing.tell(headers);
    }
    if let Ok(id) = HeaderValue::from_str(&trace.to_string()) {
        headers.insert("x-request-id", id);
    }
    response
}

/// What to do, where the words of the API speak of bodies and documents.
pub(super) const fn what_to_do(code: Code) -> &'static str {
    match code {
        Code::Malformed => "Go back, load the page anew, and try again.",
        Code::MethodNotAllowed => "Open the page by its link.",
        Code::TooLarge => "Go back and type less.",
        Code::Forbidden => "Ask somebody to do it who may, or a steward for the role.",
        Code::Reauthenticate => "Sign in again in this browser; for five minutes it is enough.",
        Code::PasskeyRefused => "Begin again, or use another passkey.",
        Code::OidcRefused => "Begin again on the sign-in page.",
        Code::NotFound => "Check the address. What you have no role for is not shown either.",
        Code::Conflict | Code::Contended => "Look at it again: somebody may have answered.",
        _ => match code.blame() {
            Blame::Us => {
                "Whoever runs the server finds the cause in its log, under the number below."
            }
            _ => code.what_to_do(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_sends_nobody_to_fields_and_documents() {
        for code in [
            Code::Forbidden,
            Code::Reauthenticate,
            Code::PasskeyRefused,
            Code::OidcRefused,
            Code::Malformed,
            Code::FormRefused,
        ] {
            let said = what_to_do(code);
            assert!(!said.contains('`') && !said.contains("spec/"), "{said}");
        }
    }
}
