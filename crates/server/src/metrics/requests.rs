//! Requests: how many, with what outcome, and how long they took.

use http::StatusCode;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;
use std::time::Duration;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ActionLabels {
    action: &'static str,
    status: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ClassLabels {
    class: &'static str,
}

/// What a request is counted as that reached no call.
const NONE: &str = "none";

pub(super) struct Requests {
    count: Family<ActionLabels, Counter>,
    seconds: Family<ClassLabels, Histogram>,
}

/// From 50 µs, which is less than any proof takes, to 13 s, which is more than a gate's
/// question waits, each twice the one before: a quantile is known to a factor of two
/// at the most, and to much less between two full buckets.
fn seconds() -> Histogram {
    Histogram::new(exponential_buckets(0.000_05, 2.0, 19))
}

/// `secret` of `secret.read`: so many histograms as there are kinds of things. What is
/// answered when there is news is a class of its own, or it would hide others.
fn class(action: &'static str) -> &'static str {
    match action {
        "service.follow" => "news",
        _ => action.split_once('.').map_or(action, |(class, _)| class),
    }
}

impl Requests {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let count = Family::default();
        registry.register(
            "requests",
            "Requests by action and status",
            Family::clone(&count),
        );
        let made: fn() -> Histogram = seconds;
        let seconds = Family::new_with_constructor(made);
        registry.register(
            "request_seconds",
            "Time from a request's head to its answer, by class of action",
            Family::clone(&seconds),
        );
        Self { count, seconds }
    }

    pub(super) fn answered(&self, action: &'static str, status: StatusCode, took: Duration) {
        self.count(action, status);
        let class = class(action);
        self.seconds
            .get_or_create(&ClassLabels { class })
            .observe(took.as_secs_f64());
    }

    pub(super) fn unserved(&self, status: StatusCode) {
        self.count(NONE, status);
    }

    fn count(&self, action: &'static str, status: StatusCode) {
        let status = status.as_u16();
        self.count
            .get_or_create(&ActionLabels { action, status })
            .inc();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_action_has_a_class() {
        assert_eq!(class("secret.read"), "secret");
        assert_eq!(class("installation.passphrase.change"), "installation");
        assert_eq!(class("verify"), "verify");
        assert_eq!(
            class(procura_policy::Action::ServiceFollow.as_str()),
            "news"
        );
    }
}
