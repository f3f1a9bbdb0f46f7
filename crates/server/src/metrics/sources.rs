//! What wrappers of unseal sources refused, or could not do.

use procura_vault::WrapError;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabels {
    reason: &'static str,
}

pub(super) struct Sources(Family<ReasonLabels, Counter>);

impl Sources {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let sources = Self(Family::default());
        registry.register(
            "unseal_source_failures",
            "Tries to open the vault that the wrapper of an unseal source refused, or could not serve",
            sources.0.clone(),
        );
        sources
    }

    /// What counts each reason, from zero on, so that the first one is a rise.
    pub(super) fn counters(&self) -> Vec<(&'static str, Counter)> {
        WrapError::WORDS
            .iter()
            .map(|reason| {
                (
                    *reason,
                    self.0.get_or_create(&ReasonLabels { reason }).clone(),
                )
            })
            .collect()
    }
}
