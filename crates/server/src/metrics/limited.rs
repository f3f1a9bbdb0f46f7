//! Requests that were refused because somebody asks too often, or has to wait.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

/// By what they were counted; `violations` is the wait of an address whose requests
/// proved nothing, `forwarded` a trusted proxy that does not say whom it stands for,
/// `notify_tests` messages that operators send to see whether a channel works, `oidc`
/// sign-ins by an identity provider of one address that came to nothing.
const KINDS: [&str; 9] = [
    "address",
    "violations",
    "agent",
    "route",
    "forwarded",
    "device_grants",
    "user_codes",
    "notify_tests",
    "oidc",
];

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KindLabels {
    kind: &'static str,
}

pub(super) struct Limited(Family<KindLabels, Counter>);

impl Limited {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let limited = Self(Family::default());
        registry.register(
            "limited",
            "Requests that were refused for how often they come, by what they were counted",
            limited.0.clone(),
        );
        // From zero on, so that the first one of a kind is a rise.
        for kind in KINDS {
            drop(limited.0.get_or_create(&KindLabels { kind }));
        }
        limited
    }

    pub(super) fn count(&self, kind: &'static str) {
        self.0.get_or_create(&KindLabels { kind }).inc();
    }
}
