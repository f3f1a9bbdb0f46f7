//! What the server counts and measures, as OpenMetrics text for `/metrics`. Labels are
//! words of ours from short lists: no id, no name and no path is ever one. Each metric
//! is explained in `docs/observability.md`.

mod limited;
mod live;
mod notifications;
mod proofs;
mod requests;
mod sign_ins;
mod sources;

pub(crate) use notifications::Notifications;

use crate::app::App;
use http::StatusCode;
use limited::Limited;
use live::Live;
use procura_edge::counted::Counted;
use procura_edge::process::Process;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;
use proofs::Proofs;
use requests::Requests;
use sign_ins::SignIns;
use sources::Sources;
use std::time::Duration;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct LogLabels {
    log: &'static str,
}

/// All that the server counts.
pub struct Metrics {
    registry: Registry,
    requests: Requests,
    proofs: Proofs,
    lines_lost: Family<LogLabels, Counter>,
    connections: Gauge,
    streams: Gauge,
    turned_away: Counter,
    limited: Limited,
    notifications: Notifications,
    spans_exported: Counter,
    spans_lost: Counter,
    sign_ins: SignIns,
    sources: Sources,
    live: Live,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(Process));
        let own = registry.sub_registry_with_prefix("procura");
        let version = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
        own.register("build", "The program", version);
        let requests = Requests::register(own);
        let proofs = Proofs::register(own);
        let lines_lost = Family::<LogLabels, Counter>::default();
        own.register(
            "log_lines_lost",
            "Lines of logs that could not be written",
            lines_lost.clone(),
        );
        let connections = Gauge::default();
        own.register(
            "connections",
            "Open connections of the API",
            connections.clone(),
        );
        let streams = Gauge::default();
        own.register("event_streams", "Open streams of events", streams.clone());
        let turned_away = Counter::default();
        own.register(
            "connections_turned_away",
            "Connections closed at once, as their address had its share",
            turned_away.clone(),
        );
        let spans_exported = Counter::default();
        own.register(
            "spans_exported",
            "Spans that the collector took",
            spans_exported.clone(),
        );
        let spans_lost = Counter::default();
        own.register(
            "spans_lost",
            "Spans that found no room, or that the collector did not take",
            spans_lost.clone(),
        );
        let limited = Limited::register(own);
        let notifications = Notifications::register(own);
        let sign_ins = SignIns::register(own);
        let sources = Sources::register(own);
        let live = Live::register(own);
        Self {
            requests,
            proofs,
            lines_lost,
            connections,
            streams,
            turned_away,
            limited,
            notifications,
            spans_exported,
            spans_lost,
            sign_ins,
            sources,
            live,
            registry,
        }
    }
}

impl Metrics {
    /// Counts a request that was answered.
    pub fn request(&self, action: &'static str, status: StatusCode, took: Duration) {
        self.requests.answered(action, status, took);
    }

    /// Counts a request that reached no call.
    pub(crate) fn unserved(&self, status: StatusCode) {
        self.requests.unserved(status);
    }

    /// Counts a request that proved itself.
    pub(crate) fn accepted(&self, profile: &'static str) {
        self.proofs.accepted(profile);
    }

    /// Counts a proof that was refused.
    pub fn refused(&self, reason: &'static str) {
        self.proofs.refused(reason);
    }

    /// Counts a session that was given to a device or an agent.
    pub(crate) fn session_started(&self) {
        self.proofs.session_started();
    }

    /// What counts the lines that a log lost.
    pub(crate) fn lines_lost(&self, log: &'static str) -> Counter {
        self.lines_lost.get_or_create(&LogLabels { log }).clone()
    }

    /// What counts the spans that were sent and those that were not.
    pub(crate) fn spans(&self) -> (Counter, Counter) {
        (self.spans_exported.clone(), self.spans_lost.clone())
    }

    /// A connection came.
    pub fn connected(&self) {
        self.connections.inc();
    }

    /// A connection went.
    pub fn disconnected(&self) {
        self.connections.dec();
    }

    /// A stream of events is open for as long as this is kept.
    pub(crate) fn stream(&self) -> Counted {
        Counted::by(&self.streams)
    }

    /// A connection came whose address has its share already.
    pub fn turned_away(&self) {
        self.turned_away.inc();
    }

    /// What counts notifications.
    pub(crate) fn notifications(&self) -> Notifications {
        self.notifications.clone()
    }

    /// Counts a request that was refused for how often they come.
    pub(crate) fn limited(&self, kind: &'static str) {
        self.limited.count(kind);
    }

    /// Counts what came of a sign-in by password.
    pub(crate) fn signed_in(&self, outcome: &'static str) {
        self.sign_ins.count(outcome);
    }

    /// Counts what came of a sign-in by an identity provider.
    pub(crate) fn signed_in_by_provider(&self, outcome: &'static str) {
        self.sign_ins.count_by_provider(outcome);
    }

    /// What counts the passwords that are hashed.
    pub(crate) fn password_hashes(&self) -> Counter {
        self.sign_ins.hashes()
    }

    /// What counts what wrappers of unseal sources refused, by reason.
    pub(crate) fn unseal_source_failures(&self) -> Vec<(&'static str, Counter)> {
        self.sources.counters()
    }

    /// The text of `/metrics`.
    #[must_use]
    pub fn render(&self, app: &App) -> String {
        self.live.look_at(app);
        let mut text = String::new();
        // Writing to a String cannot fail.
        let _ = prometheus_client::encoding::text::encode(&mut text, &self.registry);
        text
    }
}
