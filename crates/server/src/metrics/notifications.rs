//! What became of notifications.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabels {
    outcome: &'static str,
}

/// What counts them.
#[derive(Clone)]
pub(crate) struct Notifications {
    told: Family<OutcomeLabels, Counter>,
    waiting: Gauge,
}

impl Notifications {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let notifications = Self {
            told: Family::default(),
            waiting: Gauge::default(),
        };
        registry.register(
            "notifications",
            "Things that people were to be told of, each time that it was tried",
            notifications.told.clone(),
        );
        registry.register(
            "notifications_waiting",
            "Things that people are to be told of still",
            notifications.waiting.clone(),
        );
        // From zero on, so that the first one is a rise.
        for outcome in ["arrived", "failed", "given_up"] {
            notifications.count(outcome, 0);
        }
        notifications
    }

    /// Counts things that were told of together.
    pub(crate) fn count(&self, outcome: &'static str, count: usize) {
        let count = u64::try_from(count).unwrap_or(u64::MAX);
        let outcome = OutcomeLabels { outcome };
        self.told.get_or_create(&outcome).inc_by(count);
    }

    /// Says how many wait.
    pub(crate) fn waiting(&self, count: usize) {
        self.waiting.set(i64::try_from(count).unwrap_or(i64::MAX));
    }
}
