//! `GET /agent/metrics`: numbers, and nothing of anyone.

use crate::app::{App, Open};
use crate::foreign_answer::json;
use crate::problem::Failure;
use axum::response::Response;
use http::StatusCode;
use procura_identity::count_agent_secrets;
use procura_proof::session::SESSION_LIFE;
use procura_types::Timestamp;
use serde::Serialize;
use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;
use utoipa::ToSchema;

/// How many there are of what.
#[derive(Serialize, ToSchema)]
#[schema(as = AgentCounts)]
pub(super) struct Counts {
    /// Sessions that were started or gone on with in the last ten minutes, since the
    /// server started: as many can be alive. Nobody keeps them, so it is not known
    /// which of them ended before their time.
    sessions: u64,
    /// Secrets of agents that are good.
    secrets: u64,
    /// Nonces of agents that are remembered as used.
    nonces: u64,
    /// The time of the server, in milliseconds since 1970, as these agents count it.
    now: u64,
}

/// Answers with the numbers.
pub(super) fn counts(app: &App) -> Result<Response, Failure> {
    let open = app.open()?;
    let now = app.clock.now();
    let counts = Counts {
        sessions: app.agents.started.alive(app.clock.steady()),
        secrets: secrets(app, &open, now)?,
        nonces: nonces(app),
        now: now.as_millis(),
    };
    Ok(json(StatusCode::OK, &counts))
}

fn secrets(app: &App, open: &Open, now: Timestamp) -> Result<u64, Failure> {
    let terms = app.config.agent_secret_terms();
    Ok(count_agent_secrets(open.vault.store(), &terms, now)?)
}

fn nonces(app: &App) -> u64 {
    let held = app.nonces_held().find(|(guard, _)| *guard == "foreign");
    held.map_or(0, |(_, nonces)| u64::try_from(nonces).unwrap_or(u64::MAX))
}

/// Seconds that are counted together.
const STEP: u64 = 10;

/// Counts sessions for as long as each lives.
#[derive(Default)]
pub(super) struct Started(Mutex<VecDeque<(Instant, u64)>>);

impl Started {
    /// One more.
    pub(super) fn add(&self, now: Instant) {
        // Whole between any two lines.
        let mut started = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        forget(&mut started, now);
        match started.back_mut() {
            Some((since, count)) if now.saturating_duration_since(*since).as_secs() < STEP => {
                *count = count.saturating_add(1);
            }
            _ => started.push_back((now, 1)),
        }
    }

    fn alive(&self, now: Instant) -> u64 {
        let mut started = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        forget(&mut started, now);
        started
            .iter()
            .fold(0, |sum, (_, count)| sum.saturating_add(*count))
    }
}

/// At most a step late, so that none is forgotten before its time.
fn forget(started: &mut VecDeque<(Instant, u64)>, now: Instant) {
    let life = SESSION_LIFE.as_secs().saturating_add(STEP);
    while let Some((since, _)) = started.front()
        && now.saturating_duration_since(*since).as_secs() >= life
    {
        started.pop_front();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use procura_types::Duration;

    #[test]
    fn sessions_are_counted_for_as_long_as_they_live() {
        let (started, begin) = (Started::default(), Instant::now());
        let at = |seconds| begin + Duration::from_secs(seconds);
        assert_eq!(started.alive(begin), 0);
        for second in 0..100 {
            started.add(at(second));
        }
        assert_eq!(started.alive(at(100)), 100);
        assert!(started.0.lock().unwrap().len() <= 10);
        assert_eq!(started.alive(at(599)), 100);
        assert_eq!(started.alive(at(660)), 40);
        assert_eq!(started.alive(at(720)), 0);
    }
}
