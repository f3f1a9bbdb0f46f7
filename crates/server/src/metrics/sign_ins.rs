//! Who signs in in a browser, and the passwords that were hashed for it.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

/// What came of it.
const OUTCOMES: [&str; 4] = ["accepted", "refused", "slowed_down", "busy"];
/// The same of those by identity providers.
const BY_PROVIDER: [&str; 4] = ["accepted", "refused", "unlinked", "unavailable"];

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabels {
    outcome: &'static str,
}

pub(super) struct SignIns {
    sign_ins: Family<OutcomeLabels, Counter>,
    by_provider: Family<OutcomeLabels, Counter>,
    hashes: Counter,
}

impl SignIns {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let sign_ins = Self {
            sign_ins: Family::default(),
            by_provider: Family::default(),
            hashes: Counter::default(),
        };
        registry.register(
            "password_sign_ins",
            "Sign-ins by password, by what came of them",
            sign_ins.sign_ins.clone(),
        );
        registry.register(
            "oidc_sign_ins",
            "Sign-ins by an identity provider, by what came of them",
            sign_ins.by_provider.clone(),
        );
        registry.register(
            "password_hashes",
            "Passwords that were hashed, right or wrong",
            sign_ins.hashes.clone(),
        );
        // From zero on, so that the first one of a kind is a rise.
        for outcome in OUTCOMES {
            drop(sign_ins.sign_ins.get_or_create(&OutcomeLabels { outcome }));
        }
        for outcome in BY_PROVIDER {
            drop(
                sign_ins
                    .by_provider
                    .get_or_create(&OutcomeLabels { outcome }),
            );
        }
        sign_ins
    }

    pub(super) fn count(&self, outcome: &'static str) {
        self.sign_ins
            .get_or_create(&OutcomeLabels { outcome })
            .inc();
    }

    pub(super) fn count_by_provider(&self, outcome: &'static str) {
        self.by_provider
            .get_or_create(&OutcomeLabels { outcome })
            .inc();
    }

    pub(super) fn hashes(&self) -> Counter {
        self.hashes.clone()
    }
}
