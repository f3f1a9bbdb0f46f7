//! One span: what happened between two moments, as a part of a trace.

use super::exporter::Exporter;
use super::{TRACEPARENT, TraceContext};
use http::HeaderMap;
use procura_types::{Duration, Entropy};
use std::sync::Arc;
use std::time::Instant;

/// On which side of a request a span is (OpenTelemetry `SpanKind`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// It answers the request.
    Server,
    /// It makes the request.
    Client,
}

/// The value of an attribute. What a stranger sent is no attribute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// A word of ours.
    Word(&'static str),
    /// An id of ours.
    Text(String),
    /// A number.
    Number(u16),
}

/// A span that runs. It ends when it is dropped, and goes to the collector then if it
/// is sampled.
#[derive(Debug)]
pub struct Span {
    running: Option<Running>,
    begun: Instant,
    exporter: Arc<Exporter>,
}

/// What is told of a span.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) context: TraceContext,
    pub(super) parent: Option<[u8; 8]>,
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    /// Since 1970.
    pub(super) begun: Duration,
    pub(super) took: Duration,
    pub(super) attributes: Vec<(&'static str, Value)>,
    pub(super) failed: bool,
}

impl Span {
    pub(super) fn new(
        exporter: Arc<Exporter>,
        (context, parent): (TraceContext, Option<[u8; 8]>),
        (kind, name): (Kind, &'static str),
        begun: Duration,
    ) -> Self {
        let running = Running {
            context,
            parent,
            name,
            kind,
            begun,
            took: Duration::ZERO,
            attributes: Vec::new(),
            failed: false,
        };
        Self {
            running: Some(running),
            begun: Instant::now(),
            exporter,
        }
    }

    /// A span within this one, that begins now. None if there are no random bytes.
    #[must_use]
    pub fn child(&self, kind: Kind, name: &'static str, entropy: &dyn Entropy) -> Option<Self> {
        let running = self.running.as_ref()?;
        let of = running.context;
        let mut id = [0; 8];
        entropy.fill(&mut id).ok()?;
        let context = TraceContext::new(of.trace, id, of.sampled)?;
        // By the parent's clock, so that no child begins before its parent.
        let begun = running.begun + self.begun.elapsed();
        let ids = (context, Some(of.span));
        Some(Self::new(
            Arc::clone(&self.exporter),
            ids,
            (kind, name),
            begun,
        ))
    }

    /// Where it is in its trace.
    #[must_use]
    pub fn context(&self) -> Option<TraceContext> {
        self.running.as_ref().map(|running| running.context)
    }

    /// Tells whoever gets this request that it is a part of this span. What it said of
    /// its trace before is replaced; the `tracestate` of another trace goes.
    pub fn inject(&self, headers: &mut HeaderMap) {
        let Some(context) = self.context() else {
            return;
        };
        let continues = TraceContext::of(headers).is_some_and(|of| of.trace == context.trace);
        if !continues {
            headers.remove(super::TRACESTATE);
        }
        headers.insert(TRACEPARENT, context.to_field());
    }

    /// Adds an attribute, if anybody will read it.
    pub fn set(&mut self, key: &'static str, value: Value) {
        if let Some(running) = &mut self.running
            && running.context.sampled
        {
            running.attributes.push((key, value));
        }
    }

    /// Adds the status of the answer; what is `failed` is an error of whom the span is
    /// of (OpenTelemetry's conventions for HTTP: 5xx of a server, 4xx too of a client).
    pub fn answered(&mut self, status: u16) {
        self.set("http.response.status_code", Value::Number(status));
        if let Some(running) = &mut self.running {
            let least = match running.kind {
                Kind::Server => 500,
                Kind::Client => 400,
            };
            running.failed = status >= least;
        }
    }

    /// Says that there was no answer, and why.
    pub fn failed(&mut self, why: &'static str) {
        self.set("error.type", Value::Word(why));
        if let Some(running) = &mut self.running {
            running.failed = true;
        }
    }
}

impl Drop for Span {
    fn drop(&mut self) {
        if let Some(mut running) = self.running.take()
            && running.context.sampled
        {
            running.took = self.begun.elapsed();
            self.exporter.queue(running);
        }
    }
}
