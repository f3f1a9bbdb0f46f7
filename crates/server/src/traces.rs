//! The span of each request, where a collector is configured (`otlp_endpoint`), and
//! which trace a request is part of (`docs/adr/0021-traces.md`).

use crate::app::App;
use crate::config::Config;
use crate::metrics::Metrics;
use axum::extract::Request;
use axum::response::Response;
use http::{Extensions, HeaderMap, Method};
use procura_edge::trace::{Span, TraceContext, Tracer, Tracing, Value};
use procura_types::{Clock, Entropy, TraceId};
use std::sync::Arc;

/// What traces the requests of a server.
pub(crate) fn tracer(
    config: &Config,
    clock: &Arc<dyn Clock>,
    entropy: &Arc<dyn Entropy>,
    metrics: &Metrics,
) -> Tracer {
    let Some(endpoint) = config.otlp_endpoint.clone() else {
        return Tracer::default();
    };
    let (exported, lost) = metrics.spans();
    let tracing = Tracing {
        endpoint,
        ratio: config.otlp_ratio,
        resource: vec![
            ("service.name", "procura-server".to_owned()),
            ("service.version", env!("CARGO_PKG_VERSION").to_owned()),
        ],
        exported,
        lost,
    };
    Tracer::new(tracing, Arc::clone(clock), Arc::clone(entropy))
}

/// Begins the span of a request, if requests are traced, under the name that it is
/// counted as. From here on the request is part of that span. A trace that begins here
/// has the id of the request, where it has one already.
pub(crate) fn begin(
    app: &App,
    name: &'static str,
    id: Option<TraceId>,
    request: &mut Request,
) -> Option<Span> {
    let id = id.as_ref().map(TraceId::as_bytes);
    let mut span = app.tracer.begin(name, request.headers(), id)?;
    span.set("http.request.method", Value::Word(method(request.method())));
    request.extensions_mut().insert(span.context()?);
    Some(span)
}

/// Ends it with the answer, which has the id of the request unless it is known here.
pub(crate) fn end(span: Option<Span>, request: Option<TraceId>, response: &Response) {
    let Some(mut span) = span else { return };
    let told = response.headers().get("x-request-id");
    let id = request.map(|request| request.to_string());
    if let Some(id) = id.or_else(|| Some(told?.to_str().ok()?.to_owned())) {
        span.set("procura.request_id", Value::Text(id));
    }
    span.answered(response.status().as_u16());
}

/// Which trace a request is part of, by its span here or else by what it says.
pub(crate) fn part_of(extensions: &Extensions, headers: &HeaderMap) -> Option<TraceContext> {
    extensions
        .get::<TraceContext>()
        .copied()
        .or_else(|| TraceContext::of(headers))
}

/// A method as an attribute: any other word is a stranger's (OpenTelemetry's
/// conventions for HTTP, `http.request.method`).
fn method(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "PUT" => "PUT",
        "DELETE" => "DELETE",
        _ => "_OTHER",
    }
}
