//! What a gate counts and measures, as OpenMetrics text for `/metrics` beside its
//! `/health`. Labels are words of ours from short lists; each metric is explained in
//! `docs/observability.md`.

use crate::answer::Fault;
use crate::authenticate::{Observer, Report};
use crate::verifying::Verifying;
use procura_edge::counted::Counted;
use procura_edge::process::Process;
use procura_proof::Reason;
use procura_types::Duration;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Instant;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabels {
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabels {
    reason: &'static str,
}

type ByReason = Family<ReasonLabels, Counter>;

/// What came of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome<'a> {
    /// The upstream answers.
    Passed,
    /// Both sides left HTTP.
    Tunnelled,
    /// The gate answers.
    Answered(&'a Fault),
}

/// All that a gate counts.
pub struct GateMetrics {
    registry: Registry,
    requests: Family<OutcomeLabels, Counter>,
    answered: ByReason,
    would_refuse: ByReason,
    would_pass: Counter,
    seconds: Histogram,
    upstream_seconds: Histogram,
    upstream_failures: ByReason,
    connections: Gauge,
    tunnels: Gauge,
    held: Gauge,
    fresh: Gauge,
    age: Gauge<f64, AtomicU64>,
    begun: Instant,
    spans_exported: Counter,
    spans_lost: Counter,
}

/// From 50 µs to 13 s, each twice the one before, as the server's.
fn seconds() -> Histogram {
    Histogram::new(exponential_buckets(0.000_05, 2.0, 19))
}

impl Default for GateMetrics {
    fn default() -> Self {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(Process));
        let mut metrics = Self {
            registry,
            requests: Family::default(),
            answered: Family::default(),
            would_refuse: Family::default(),
            would_pass: Counter::default(),
            seconds: seconds(),
            upstream_seconds: seconds(),
            upstream_failures: Family::default(),
            connections: Gauge::default(),
            tunnels: Gauge::default(),
            held: Gauge::default(),
            fresh: Gauge::default(),
            age: Gauge::default(),
            begun: Instant::now(),
            spans_exported: Counter::default(),
            spans_lost: Counter::default(),
        };
        metrics.register();
        // From zero on, so that the first one of a kind is a rise.
        for outcome in ["passed", "tunnelled", "refused", "failed"] {
            drop(metrics.requests.get_or_create(&OutcomeLabels { outcome }));
        }
        for fault in [
            Fault::UpstreamUnreachable,
            Fault::UpstreamFailed,
            Fault::UpstreamTooSlow,
        ] {
            by(&metrics.upstream_failures, fault.reason());
        }
        for reason in Reason::ALL {
            by(&metrics.answered, reason.as_str());
            by(&metrics.would_refuse, reason.as_str());
        }
        metrics
    }
}

fn by(family: &ByReason, reason: &'static str) -> Counter {
    family.get_or_create(&ReasonLabels { reason }).clone()
}

impl GateMetrics {
    fn register(&mut self) {
        let own = self.registry.sub_registry_with_prefix("procura_gate");
        let version = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
        own.register("build", "The program", version);
        own.register(
            "requests",
            "Requests by what came of them",
            self.requests.clone(),
        );
        own.register(
            "answers",
            "Requests that the gate answered itself, by reason",
            self.answered.clone(),
        );
        own.register(
            "would_refuse",
            "Requests that went through and would be refused where enforced, by reason",
            self.would_refuse.clone(),
        );
        own.register(
            "would_pass",
            "Requests that went through where nothing is enforced, and would where it is",
            self.would_pass.clone(),
        );
        own.register(
            "request_seconds",
            "Time from a request's head to the head of its answer",
            self.seconds.clone(),
        );
        own.register(
            "upstream_seconds",
            "Of that, time from when the request went on to the head of the upstream's answer",
            self.upstream_seconds.clone(),
        );
        own.register(
            "upstream_failures",
            "Requests that the upstream did not answer, by reason",
            self.upstream_failures.clone(),
        );
        own.register(
            "connections",
            "Open connections of clients",
            self.connections.clone(),
        );
        own.register(
            "tunnels",
            "Connections that left HTTP for WebSocket",
            self.tunnels.clone(),
        );
        own.register(
            "held_bytes",
            "Bytes of bodies that are held until they are proven and sent",
            self.held.clone(),
        );
        own.register(
            "fresh",
            "1 while what is known of the directory is not too old to let anybody in",
            self.fresh.clone(),
        );
        own.register(
            "known_age_seconds",
            "How old what is known of the directory is; from the start on while nothing is",
            self.age.clone(),
        );
        own.register(
            "spans_exported",
            "Spans that the collector took",
            self.spans_exported.clone(),
        );
        own.register(
            "spans_lost",
            "Spans that found no room, or that the collector did not take",
            self.spans_lost.clone(),
        );
    }

    /// What counts the spans that were sent and those that were not.
    #[must_use]
    pub fn spans(&self) -> (Counter, Counter) {
        (self.spans_exported.clone(), self.spans_lost.clone())
    }

    /// Counts a request, when the head of its answer is known.
    pub(crate) fn request(&self, outcome: Outcome<'_>, took: Duration) {
        let word = match outcome {
            Outcome::Passed => "passed",
            Outcome::Tunnelled => "tunnelled",
            Outcome::Answered(fault) if fault.is_upstreams() => "failed",
            Outcome::Answered(_) => "refused",
        };
        self.requests
            .get_or_create(&OutcomeLabels { outcome: word })
            .inc();
        if let Outcome::Answered(fault) = outcome {
            by(&self.answered, fault.reason()).inc();
        }
        self.seconds.observe(took.as_secs_f64());
    }

    /// Counts what the upstream did with a request.
    pub(crate) fn upstream(&self, fault: Option<&Fault>, took: Duration) {
        match fault {
            None => self.upstream_seconds.observe(took.as_secs_f64()),
            Some(fault) if fault.is_upstreams() => {
                by(&self.upstream_failures, fault.reason()).inc();
            }
            // The client's own body broke off.
            Some(_) => {}
        }
    }

    /// A connection is open for as long as this is kept.
    pub(crate) fn connection(&self) -> Counted {
        Counted::by(&self.connections)
    }

    /// A tunnel is open for as long as this is kept.
    pub(crate) fn tunnel(&self) -> Counted {
        Counted::by(&self.tunnels)
    }

    /// The text of `/metrics`. So many bytes of bodies are held.
    pub(crate) fn render(&self, verifying: &Verifying, held: usize) -> String {
        self.held.set(i64::try_from(held).unwrap_or(i64::MAX));
        self.fresh.set(i64::from(verifying.is_fresh()));
        let age = verifying.age().unwrap_or_else(|| self.begun.elapsed());
        self.age.set(age.as_secs_f64());
        let mut text = String::new();
        // Writing to a String cannot fail.
        let _ = prometheus_client::encoding::text::encode(&mut text, &self.registry);
        text
    }
}

/// Counts what would become of requests, and tells another.
pub(crate) struct Counting {
    pub(crate) metrics: Arc<GateMetrics>,
    pub(crate) observer: Arc<dyn Observer>,
}

impl Observer for Counting {
    fn would_refuse(&self, report: &Report<'_>) {
        by(&self.metrics.would_refuse, report.reason).inc();
        self.observer.would_refuse(report);
    }

    fn would_pass(&self) {
        self.metrics.would_pass.inc();
        self.observer.would_pass();
    }

    fn refused(&self, report: &Report<'_>) {
        self.observer.refused(report);
    }
}
