//! What surrounds a request: its id, its span, the limit of time, how its agent stands
//! with the rates, and the count. All surfaces have it from here; each says in words of
//! its own what came of the request.

use crate::app::App;
use crate::input::{Arrived, Peer, Progress};
use crate::problem::{Code, Failure};
use crate::serve::BoxFuture;
use crate::traces;
use axum::extract::Request;
use axum::response::Response;
use http::HeaderValue;
use procura_edge::trace::{Span, TraceContext};
use procura_types::TraceId;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

/// The field that tells the id of a request.
const REQUEST_ID: &str = "x-request-id";

/// What an answer is worded by.
pub(crate) struct Frame<'a> {
    /// The id of the request.
    pub(crate) trace: TraceId,
    /// Which trace it is part of, if any.
    pub(crate) part_of: Option<TraceContext>,
    /// How far it came.
    pub(crate) progress: &'a Progress,
}

/// Serves a request by `work`, and answers in the words of `word`, which is also asked
/// for those of a request that came to no end. On the heap, since everything above
/// would move the whole of it.
pub(crate) fn framed<A, E, F>(
    app: Arc<App>,
    label: &'static str,
    mut request: Request,
    work: fn(Arc<App>, Arrived) -> F,
    word: fn(Result<A, E>, &Frame<'_>) -> Response,
) -> BoxFuture<Response>
where
    A: 'static,
    E: From<Failure> + 'static,
    F: Future<Output = Result<A, E>> + Send + 'static,
{
    Box::pin(async move {
        let now = app.clock.now();
        let Ok(trace) = TraceId::generate(now, app.entropy.as_ref()) else {
            let nobodys = Frame {
                trace: TraceId::from_bytes([0; 16]),
                part_of: None,
                progress: &Progress::default(),
            };
            return word(Err(Failure::internal("no random bytes").into()), &nobodys);
        };
        let watched = Watched::begin(&app, label, Some(trace), &mut request);
        let part_of = traces::part_of(request.extensions(), request.headers());
        let progress = Arc::new(Progress::default());
        let arrived = Arrived {
            peer: request.extensions().get::<Peer>().and_then(|peer| peer.0),
            request,
            trace,
            now,
            progress: Arc::clone(&progress),
        };
        let work = pin!(work(Arc::clone(&app), arrived));
        let result = tokio::time::timeout(app.config.request_time(), work)
            .await
            .unwrap_or_else(|_| Err(timed_out(progress.begun.load(Ordering::Relaxed)).into()));
        let frame = Frame {
            trace,
            part_of,
            progress: &progress,
        };
        let mut response = word(result, &frame);
        let headers = response.headers_mut();
        // Whoever is refused for something else is as near to the end of the rate.
        if let Some(standing) = progress.standing.get() {
            standing.tell(headers);
        }
        // An id is the value of a field; most words have it already.
        if !headers.contains_key(REQUEST_ID)
            && let Ok(id) = HeaderValue::from_str(&trace.to_string())
        {
            headers.insert(REQUEST_ID, id);
        }
        watched.end(&app, &response);
        response
    })
}

/// What a request is told that took too long. A commit that is queued is not taken
/// back when nobody waits for it any more, so one that had `begun` may have had its
/// effect.
fn timed_out(begun: bool) -> Failure {
    if begun {
        Failure::new(
            Code::Unknown,
            "The request took longer than the server waits, and had begun: it may have had its effect.",
        )
    } else {
        Failure::new(
            Code::Timeout,
            "The request took longer than the server waits; nothing was changed.",
        )
    }
}

/// The span and the count of a request, from its beginning to its answer. Requests to
/// the verification service have this much of a frame and no more: its answers have no
/// id.
pub(crate) struct Watched {
    label: &'static str,
    trace: Option<TraceId>,
    span: Option<Span>,
    started: Instant,
}

impl Watched {
    /// Begins with the request, under the name that it is counted as. From here on it
    /// is part of its span.
    pub(crate) fn begin(
        app: &App,
        label: &'static str,
        trace: Option<TraceId>,
        request: &mut Request,
    ) -> Self {
        let started = Instant::now();
        Self {
            label,
            trace,
            span: traces::begin(app, label, trace, request),
            started,
        }
    }

    /// Ends with the answer.
    pub(crate) fn end(self, app: &App, response: &Response) {
        traces::end(self.span, self.trace, response);
        app.metrics
            .request(self.label, response.status(), self.started.elapsed());
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::config::Config;
    use crate::serve::natively;
    use axum::body::Body;
    use http_body_util::BodyExt as _;
    use procura_crypto::SystemEntropy;
    use procura_record::Spool;
    use procura_types::{Clock, Timestamp};
    use serde_json::Value;

    struct Noon;

    impl Clock for Noon {
        fn now(&self) -> Timestamp {
            Timestamp::from_secs(1_795_000_000)
        }

        fn steady(&self) -> Instant {
            Instant::now()
        }
    }

    /// Never comes to an end; one that is to change something has begun.
    async fn never<A, E>(_: Arc<App>, arrived: Arrived) -> Result<A, E> {
        let changes = arrived.request.method() == http::Method::POST;
        arrived.progress.begun.store(changes, Ordering::Relaxed);
        std::future::pending().await
    }

    /// What a request is told that took too long.
    pub(crate) async fn late<A, E>(
        word: fn(Result<A, E>, &Frame<'_>) -> Response,
        method: &str,
    ) -> (u16, Value)
    where
        A: Send + 'static,
        E: From<Failure> + Send + 'static,
    {
        let home = tempfile::tempdir().unwrap();
        let config = Config {
            request_seconds: 0,
            ..Config::defaults(home.path().to_owned())
        };
        let spool = Spool::open(&home.path().join("spool.jsonl")).unwrap();
        let held = tempfile::tempfile().unwrap();
        let app = App::new(config, Arc::new(Noon), Arc::new(SystemEntropy), spool, held);
        let request = Request::builder().method(method).body(Body::empty());
        let response = framed(Arc::new(app), "late", request.unwrap(), never, word).await;
        let id = response.headers().get(REQUEST_ID).unwrap().clone();
        assert_ne!(id, TraceId::from_bytes([0; 16]).to_string());
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, serde_json::from_slice(&body).unwrap())
    }

    #[tokio::test]
    async fn one_that_had_begun_may_have_had_its_effect() {
        for (method, status, code) in [("GET", 408, "timeout"), ("POST", 500, "outcome_unknown")] {
            let (found, problem) = late(natively, method).await;
            assert_eq!((found, problem["code"].as_str()), (status, Some(code)));
        }
    }
}
