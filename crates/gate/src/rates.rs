//! How often requests come, and from where (`docs/adr/0019-rates.md`): addresses before
//! anything else, agents and routes for what would go on to the service.

use crate::answer::Fault;
use crate::authenticate::Identity;
use crate::config::Limits;
use http::HeaderMap;
use procura_edge::rate::{Key, Left, Limiter, Over};
use procura_edge::source::{Proxies, Sources, Turned};
use procura_proof::Reason;
use procura_proof::foreign::Foreign;
use procura_types::dial::Setting;
use procura_types::{Duration, Rate, RateLimit};
use std::net::IpAddr;
use std::time::Instant;

/// Agents that are remembered: 400 KB.
const AGENTS: usize = 16_384;

/// Far more than a service has routes.
const ROUTES: usize = 1024;

/// Why a request has to wait.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Limited {
    pub(crate) retry_after: Duration,
    /// What is left in the bucket, where it is one.
    pub(crate) left: Option<Left>,
}

impl From<Over> for Limited {
    fn from(over: Over) -> Self {
        Self {
            retry_after: over.retry_after,
            left: Some(over.left),
        }
    }
}

impl From<Turned> for Limited {
    fn from(turned: Turned) -> Self {
        Self {
            retry_after: turned.retry_after(),
            left: turned.over().map(|over| over.left),
        }
    }
}

/// What counts requests.
pub(crate) struct Rates {
    proxies: Proxies,
    sources: Sources,
    agents: Option<(Rate, Limiter)>,
    routes: Limiter,
}

impl Rates {
    pub(crate) fn new(limits: &Limits, now: Instant) -> Self {
        let agents = limits.agent_rate.rate();
        Self {
            proxies: Proxies::new(limits.trusted_proxies.clone()),
            sources: Sources::new(limits.address_rate, RateLimit::Off, now),
            agents: agents.map(|rate| (rate, Limiter::new("agent", AGENTS, now))),
            routes: Limiter::new("route", ROUTES, now),
        }
    }

    /// Where a request comes from: its peer, or what a trusted proxy says.
    pub(crate) fn source(&self, peer: IpAddr, headers: &HeaderMap) -> Result<IpAddr, Fault> {
        let source = self.proxies.source(peer, headers);
        source.map_err(|_| Fault::ForwardedUnclear)
    }

    /// Lets a request in if so many may come from there.
    pub(crate) fn admit(&self, source: IpAddr, now: Instant) -> Result<(), Fault> {
        // Nothing that a gate does takes power away from anybody.
        let admitted = self.sources.admit(source, &[], now);
        admitted.map_err(|turned| Fault::Limited(turned.into()))
    }

    /// Holds a refusal against the address, and never against whom the request names:
    /// strangers could keep somebody out by it.
    pub(crate) fn refused(&self, source: IpAddr, reason: Reason, now: Instant) {
        if reason.counts_against_source()
            && let Some(wait) = self.sources.violated(source, now)
        {
            tracing::info!(%source, ?wait, "an address has to wait: its requests prove nothing");
        }
    }

    /// What a request of this setting is counted by, once it would go on.
    pub(crate) fn route(&self, setting: &Setting<'_>) -> Option<(Key, Rate)> {
        setting
            .rate
            .map(|(prefix, rate)| (self.routes.key(prefix), rate))
    }

    /// Counts a request that would go on, and gives what is left where that is worth
    /// telling.
    pub(crate) fn count(
        &self,
        identity: Option<&Identity>,
        route: Option<(Key, Rate)>,
        now: Instant,
    ) -> Result<Option<Left>, Fault> {
        let over = |over: Over| Fault::Limited(over.into());
        let mut told = None;
        if let (Some((rate, limiter)), Some(identity)) = (&self.agents, identity) {
            // Whoever was shown one weak proof can repeat it in the agent's name: what
            // they use up is not what the agent has for proofs that only it can make.
            let weak = identity
                .profile()
                .parse::<Foreign>()
                .is_ok_and(Foreign::is_weak);
            let key = match identity.actor() {
                Some(actor) => limiter.key(&(actor.as_bytes(), weak)),
                None => limiter.key(&(identity.agent(), weak)),
            };
            told = Some(limiter.take(key, rate, now).map_err(over)?).filter(Left::is_low);
        }
        if let Some((key, rate)) = route {
            let left = self.routes.take(key, &rate, now).map_err(over)?;
            told = told.or(Some(left).filter(Left::is_low));
        }
        Ok(told)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use procura_types::ActorId;

    #[test]
    fn weak_proofs_take_nothing_from_the_agent_that_they_name() {
        let now = Instant::now();
        let limits = Limits {
            agent_rate: "1/h burst 3".parse().unwrap(),
            ..Limits::default()
        };
        let rates = Rates::new(&limits, now);
        let (actor, owner) = (ActorId::from_bytes([1; 32]), ActorId::from_bytes([2; 32]));
        let bound = |profile: Foreign| {
            let identity = Identity::new("legacy", profile.as_str()).unwrap();
            identity.in_tree(&actor, &owner).unwrap()
        };
        let unbound = |profile: Foreign| Identity::new("legacy", profile.as_str()).unwrap();
        let passed = |identity: &Identity| {
            let counts = (0..10).map(|_| rates.count(Some(identity), None, now));
            counts.filter(Result::is_ok).count()
        };
        let cases = [bound(Foreign::HmacV1), unbound(Foreign::HmacV1)];
        assert_eq!(cases.map(|weak| passed(&weak)), [3, 3]);
        let Err(Fault::Limited(limited)) = rates.count(Some(&bound(Foreign::HmacV1)), None, now)
        else {
            panic!("it is over its rate");
        };
        assert_eq!(limited.retry_after, Duration::from_secs(3600));
        // By all that only the agent can make it is counted together.
        assert_eq!(passed(&bound(Foreign::HmacV2)), 3);
        assert_eq!(passed(&bound(Foreign::KeyServerV1)), 0);
        assert_eq!(passed(&unbound(Foreign::GuideV1)), 3);
    }
}
