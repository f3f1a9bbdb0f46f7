//! Which trace calls are part of (W3C Trace Context level 1).

use http::{HeaderName, HeaderValue};

/// The field that says it. No proof covers it: whoever is on the way may replace it.
pub(crate) const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

tokio::task_local! {
    static CURRENT: HeaderValue;
}

/// Does `work`; every call to a server that it makes is part of this trace, of which
/// `traceparent` says the span that the call is made in.
pub async fn traced<W: Future>(traceparent: HeaderValue, work: W) -> W::Output {
    CURRENT.scope(traceparent, work).await
}

/// What the work at hand is part of.
pub(crate) fn current() -> Option<HeaderValue> {
    CURRENT.try_with(HeaderValue::clone).ok()
}
