//! How often the API is asked, and by whom (`docs/adr/0019-rates.md`): addresses
//! before anything is looked at (`guard`), agents and calls once a request has proven
//! itself.

mod guard;

pub(crate) use guard::guard;

use crate::app::App;
use crate::config::Config;
use crate::problem::{Code, Failure};
use crate::serve::Input;
use procura_directory::{ActorKind, Snapshot};
use procura_edge::rate::{Limiter, Standing};
use procura_edge::source::{Proxies, Sources};
use procura_policy::Action;
use procura_types::{ActorId, Duration, Rate, RateLimit};
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
/// not counted: whoever takes power away from an agent must not have to wait for it.
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
    let taken = limiter.take(limiter.key(of), rate, app.clock.steady());
    let standing = taken.map_err(|over| {
        app.metrics.limited(limiter.name());
        Failure::new(Code::RateLimited, *detail).over(&over)
    })?;
    if standing.is_low() {
        // Of two that are low the first is told of.
        let _: Result<(), Standing> = input.progress.standing.set(standing);
    }
    Ok(())
}

fn is_operator(snapshot: &Snapshot, actor: &ActorId) -> bool {
    let actor = snapshot.actor(actor);
    actor.is_some_and(|actor| matches!(actor.kind, ActorKind::Owner { .. }))
}

/// Whole seconds, rounded up, at least one (RFC 9110 §10.2.3).
pub(crate) fn whole_seconds(time: Duration) -> u64 {
    let seconds = time.as_secs();
    seconds
        .saturating_add(u64::from(time.subsec_nanos() > 0))
        .max(1)
}
