//! Proofs: accepted, refused, used before; and sessions that were given out.

use procura_proof::foreign::Foreign;
use procura_proof::{Profile, Reason};
use procura_types::Amr;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ProfileLabels {
    profile: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabels {
    reason: &'static str,
}

pub(super) struct Proofs {
    accepted: Family<ProfileLabels, Counter>,
    refused: Family<ReasonLabels, Counter>,
    replayed: Counter,
    sessions: Counter,
}

impl Proofs {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let proofs = Self {
            accepted: Family::default(),
            refused: Family::default(),
            replayed: Counter::default(),
            sessions: Counter::default(),
        };
        registry.register(
            "proofs_accepted",
            "Requests that proved themselves, by profile",
            proofs.accepted.clone(),
        );
        registry.register(
            "proofs_refused",
            "Requests that failed to prove themselves, by reason",
            proofs.refused.clone(),
        );
        registry.register(
            "replays",
            "Proofs that were refused because they had been used before",
            proofs.replayed.clone(),
        );
        registry.register(
            "sessions_started",
            "Sessions that were given out",
            proofs.sessions.clone(),
        );
        // From zero on, so that the first one of a kind is a rise.
        for profile in [Profile::Native, Profile::Session, Profile::Legacy] {
            proofs.begin(profile.as_str());
        }
        for profile in Foreign::ALL {
            proofs.begin(profile.as_str());
        }
        for amr in Amr::ALL {
            proofs.begin(Profile::WebLogin(amr).as_str());
        }
        for reason in Reason::ALL {
            let reason = reason.as_str();
            drop(proofs.refused.get_or_create(&ReasonLabels { reason }));
        }
        proofs
    }

    pub(super) fn accepted(&self, profile: &'static str) {
        let labels = ProfileLabels { profile };
        self.accepted.get_or_create(&labels).inc();
    }

    pub(super) fn refused(&self, reason: &'static str) {
        self.refused.get_or_create(&ReasonLabels { reason }).inc();
        if reason == Reason::NonceReplayed.as_str() {
            self.replayed.inc();
        }
    }

    pub(super) fn session_started(&self) {
        self.sessions.inc();
    }

    fn begin(&self, profile: &'static str) {
        drop(self.accepted.get_or_create(&ProfileLabels { profile }));
    }
}
