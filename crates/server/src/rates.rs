//! How often the API is asked, and by whom (`docs/adr/0019-rates.md`): addresses
//! before anything is looked at (`guard`), agents and calls once a request has proven
//! itself.

mod guard;

pub(crate) use guard::guard;

use crate::app::App;
use crate::config::Config;
use crate::problem::{Code, Failure};
use crate::serve::Input;
use http::Method;
use procura_directory::{ActorKind, Snapshot};
use procura_edge::rate::{Left, Limiter};
use procura_edge::source::{INFORMING, Proxies, Sources};
use procura_policy::Action;
use procura_types::{ActorId, Duration, Rate, RateLimit, whole_seconds_up};
use std::hash::Hash;
use std::time::Instant;

/// What an address may ask unless it is configured: verifying as many proofs takes
/// less than a tenth of a processor.
const ADDRESS: RateLimit = RateLimit::To(Rate::per_second(1000, 2000));

/// Agents that are remembered: 400 KB.
const AGENTS: usize = 16_384;

/// More than there are kinds of calls.
const CALLS: usize = 512;

/// What counts requests.
pub(crate) struct Rates {
    proxies: Proxies,
    sources: Sources,
    agents: Option<Counted>,
    calls: Option<Counted>,
    /// What each agent has for hearing what is so, beside the two.
    informing: Limiter,
}

/// Tokens of one kind, and how fast they come.
struct Counted {
    rate: Rate,
    limiter: Limiter,
    /// What somebody is told for whom there is none.
    detail: &'static str,
}

impl Rates {
    /// Counts from `now` on, as it is configured.
    pub(crate) fn new(config: &Config, now: Instant) -> Self {
        let counted = |limit: RateLimit, name, capacity, detail| {
            limit.rate().map(|rate| Counted {
                rate,
                limiter: Limiter::new(name, capacity, now),
                detail,
            })
        };
        Self {
            proxies: Proxies::new(config.trusted_proxies.clone()),
            sources: Sources::new(config.rate_address, ADDRESS, now),
            agents: counted(
                config.rate_agent,
                "agent",
                AGENTS,
                "This agent asks more often than it may; send it again later.",
            ),
            calls: counted(
                config.rate_route,
                "route",
                CALLS,
                "Agents make this call more often than they may together; send it again later.",
            ),
            informing: Limiter::new("informing", AGENTS, now),
        }
    }
}

/// Counts a request that an agent has proven against that agent.
pub(crate) fn count_agent(
    app: &App,
    snapshot: &Snapshot,
    agent: &ActorId,
    input: &Input,
) -> Result<(), Failure> {
    count(
        app,
        app.rates.agents.as_ref(),
        agent,
        (snapshot, agent),
        input,
    )
}

/// Counts a request by a weak proof of an agent. Whoever was shown one such proof can
/// repeat it in the agent's name, so it takes nothing from what the agent has for proofs
/// that only it can make.
pub(crate) fn count_weak(
    app: &App,
    snapshot: &Snapshot,
    agent: &ActorId,
    input: &Input,
) -> Result<(), Failure> {
    count(
        app,
        app.rates.agents.as_ref(),
        &(agent, "weak"),
        (snapshot, agent),
        input,
    )
}

/// Counts a call of an agent against all calls of its kind that agents make.
pub(crate) fn count_call(
    app: &App,
    snapshot: &Snapshot,
    agent: &ActorId,
    action: Action,
    input: &Input,
) -> Result<(), Failure> {
    let counted = app.rates.calls.as_ref();
    count(app, counted, &action, (snapshot, agent), input)
}

/// Takes a token, where they are counted, and notes how the bucket stands. Operators are
/// not counted: whoever takes power away from an agent must not have to wait for it. Nor
/// must a gate wait to hear of it, because others ask it much: what keeps it informed
/// has a bucket of its own when there is no token.
fn count(
    app: &App,
    counted: Option<&Counted>,
    of: &impl Hash,
    (snapshot, actor): (&Snapshot, &ActorId),
    input: &Input,
) -> Result<(), Failure> {
    let Some(counted) = counted.filter(|_| !is_operator(snapshot, actor)) else {
        return Ok(());
    };
    let Counted {
        rate,
        limiter,
        detail,
    } = counted;
    let now = app.clock.steady();
    let left = match limiter.take(limiter.key(of), rate, now) {
        Ok(left) => left,
        Err(over) => {
            let informing = &app.rates.informing;
            if keeps_informed(&input.parts.method, input.parts.uri.path())
                && informing
                    .take(informing.key(actor), &INFORMING, now)
                    .is_ok()
            {
                return Ok(());
            }
            app.metrics.limited(limiter.name());
            return Err(Failure::new(Code::RateLimited, *detail).over(&over));
        }
    };
    if left.is_low() {
        // Of two that are low the first is told of.
        let _: Result<(), Left> = input.progress.standing.set(left);
    }
    Ok(())
}

/// Whether a call is one by which a gate hears what is so: of the directory, of the
/// record, or that the server is still who it was. A path in another spelling is not.
fn keeps_informed(method: &Method, path: &str) -> bool {
    let is_feed = || {
        let Some(rest) = path.strip_prefix("/v1/namespaces/") else {
            return false;
        };
        let mut segments = rest.split('/').skip(1);
        segments.next() == Some("services")
            && segments.next().is_some()
            && segments.next() == Some("feed")
            && segments.next().is_none()
    };
    match *method {
        Method::GET => {
            matches!(
                path,
                "/v1/status" | "/v1/ledger/checkpoint" | "/v1/ledger/consistency"
            ) || is_feed()
        }
        Method::POST => path == "/v1/sessions",
        _ => false,
    }
}

fn is_operator(snapshot: &Snapshot, actor: &ActorId) -> bool {
    let actor = snapshot.actor(actor);
    actor.is_some_and(|actor| matches!(actor.kind, ActorKind::Owner { .. }))
}

/// When it is worth to try again, as answers say it: at least a second.
pub(crate) fn retry_after(time: Duration) -> u64 {
    whole_seconds_up(time).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_told_to_try_again_too_early() {
        for (millis, seconds) in [(0, 1), (1, 1), (1000, 1), (1900, 2)] {
            assert_eq!(retry_after(Duration::from_millis(millis)), seconds);
        }
    }

    #[test]
    fn what_a_gate_follows_by_keeps_it_informed() {
        let feed = "/v1/namespaces/shop/services/till/feed";
        for (method, path, informed) in [
            (Method::GET, feed, true),
            (Method::GET, "/v1/status", true),
            (Method::GET, "/v1/ledger/checkpoint", true),
            (Method::GET, "/v1/ledger/consistency", true),
            (Method::POST, "/v1/sessions", true),
            (
                Method::POST,
                "/v1/namespaces/shop/services/till/verify",
                false,
            ),
            (Method::POST, feed, false),
            (Method::GET, "/v1/sessions", false),
            (Method::GET, "/v1/ledger/entries", false),
            (Method::GET, "/v1/namespaces/shop/services/till", false),
            (Method::GET, "/v1/namespaces/shop/agents/till/feed", false),
            (
                Method::GET,
                "/v1/namespaces/shop/services/till/feed/x",
                false,
            ),
            (Method::GET, "/v1/namespaces/shop/services/a/b/feed", false),
            (
                Method::GET,
                "x/v1/namespaces/shop/services/till/feed",
                false,
            ),
        ] {
            assert_eq!(keeps_informed(&method, path), informed, "{method} {path}");
        }
    }
}
