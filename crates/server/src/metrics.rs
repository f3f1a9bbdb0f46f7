//! Counters and times for `/metrics` (OpenMetrics text).

use http::StatusCode;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;
use std::time::Duration;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    action: &'static str,
    status: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabels {
    reason: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct LogLabels {
    log: &'static str,
}

/// All that the server counts.
pub struct Metrics {
    registry: Registry,
    requests: Family<RequestLabels, Counter>,
    seconds: Histogram,
    refused: Family<ReasonLabels, Counter>,
    lines_lost: Family<LogLabels, Counter>,
    connections: Gauge,
    turned_away: Counter,
    sealed: Gauge,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("procura");
        let requests = Family::<RequestLabels, Counter>::default();
        registry.register(
            "requests",
            "Requests by action and status",
            requests.clone(),
        );
        let seconds = Histogram::new(exponential_buckets(0.000_05, 2.0, 16));
        registry.register(
            "request_seconds",
            "Time from a request's head to its answer",
            seconds.clone(),
        );
        let refused = Family::<ReasonLabels, Counter>::default();
        registry.register(
            "proofs_refused",
            "Requests that failed to prove themselves, by reason",
            refused.clone(),
        );
        let lines_lost = Family::<LogLabels, Counter>::default();
        registry.register(
            "log_lines_lost",
            "Lines of logs that could not be written",
            lines_lost.clone(),
        );
        let connections = Gauge::default();
        registry.register(
            "connections",
            "Open connections of the API",
            connections.clone(),
        );
        let turned_away = Counter::default();
        registry.register(
            "connections_turned_away",
            "Connections closed at once, as their address had its share",
            turned_away.clone(),
        );
        let sealed = Gauge::default();
        registry.register(
            "sealed",
            "1 while the vault is sealed or not initialised",
            sealed.clone(),
        );
        Self {
            registry,
            requests,
            seconds,
            refused,
            lines_lost,
            connections,
            turned_away,
            sealed,
        }
    }
}

impl Metrics {
    /// Counts a request that was answered.
    pub fn request(&self, action: &'static str, status: StatusCode, took: Duration) {
        self.requests
            .get_or_create(&RequestLabels {
                action,
                status: status.as_u16(),
            })
            .inc();
        self.seconds.observe(took.as_secs_f64());
    }

    /// Counts a proof that was refused.
    pub fn refused(&self, reason: &'static str) {
        self.refused.get_or_create(&ReasonLabels { reason }).inc();
    }

    /// What counts the lines that a log lost.
    pub(crate) fn lines_lost(&self, log: &'static str) -> Counter {
        self.lines_lost.get_or_create(&LogLabels { log }).clone()
    }

    /// A connection came.
    pub fn connected(&self) {
        self.connections.inc();
    }

    /// A connection went.
    pub fn disconnected(&self) {
        self.connections.dec();
    }

    /// A connection came whose address has its share already.
    pub fn turned_away(&self) {
        self.turned_away.inc();
    }

    /// The text of `/metrics`.
    #[must_use]
    pub fn render(&self, sealed: bool) -> String {
        self.sealed.set(i64::from(sealed));
        let mut text = String::new();
        // Writing to a String cannot fail.
        let _ = prometheus_client::encoding::text::encode(&mut text, &self.registry);
        text
    }
}
