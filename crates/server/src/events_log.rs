//! `<home>/logs/events.jsonl`: what agents of other systems do to be let in, and who
//! was refused. One line each, for other programs to follow; the record in the ledger
//! is apart from it.

use crate::app::App;
use crate::config::{Config, LOGS};
use crate::metrics::Metrics;
use crate::serve::Input;
use crate::traces;
use procura_edge::jsonl::{JsonlLog, Line};
use procura_edge::trace::TraceContext;
use procura_proof::Reason;
use procura_types::{Clock, Duration, Timestamp, TraceId, encoding};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

/// The file, in the folder of logs.
const FILE: &str = "events.jsonl";
/// Violations that have lines at once, and how soon one more may. Anybody can cause
/// them, and must not make the file turn over: at this pace it takes weeks.
const BURST: u32 = 60;
const REFILL: Duration = Duration::from_secs(1);
/// How often a line says how many had none.
const COUNT_EVERY: Duration = Duration::from_secs(10);
/// Characters that are written of an id that a stranger sent.
const LONGEST_AGENT: usize = 64;

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Happened {
    /// An agent asked to be enrolled.
    EnrollStarted,
    /// An agent was enrolled.
    EnrollCompleted,
    /// An agent was given a session.
    SessionStarted,
    /// A proof was refused.
    AuthViolation,
}

impl Happened {
    const fn as_str(self) -> &'static str {
        match self {
            Self::EnrollStarted => "agent_enroll_started",
            Self::EnrollCompleted => "agent_enroll_completed",
            Self::SessionStarted => "agent_session_started",
            Self::AuthViolation => "auth_violation",
        }
    }
}

/// One line to be.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AgentEvent<'a> {
    what: Happened,
    /// Whom it is about, as far as that is known; of a refused proof whom it names.
    agent_id: Option<&'a str>,
    /// A word of `spec/reasons.md` or `spec/errors.md`.
    reason: Option<&'static str>,
    /// Of the request.
    request: TraceId,
    /// The trace that it is part of.
    part_of: Option<TraceContext>,
    now: Timestamp,
    ip: Option<IpAddr>,
}

impl<'a> AgentEvent<'a> {
    /// What a request led to.
    pub(crate) fn new(what: Happened, input: &Input) -> Self {
        let part_of = traces::part_of(&input.parts.extensions, &input.parts.headers);
        Self::of(what, (input.trace, part_of), input.now, input.peer)
    }

    /// The same for a request that was not read into an [`Input`]: its id, and of which
    /// trace it is ([`traces::part_of`]).
    pub(crate) fn of(
        what: Happened,
        (request, part_of): (TraceId, Option<TraceContext>),
        now: Timestamp,
        ip: Option<IpAddr>,
    ) -> Self {
        Self {
            what,
            agent_id: None,
            reason: None,
            request,
            part_of,
            now,
            ip,
        }
    }

    /// About this agent. A stranger's text is cut and escaped.
    pub(crate) const fn agent(self, id: &'a str) -> Self {
        Self {
            agent_id: Some(id),
            ..self
        }
    }

    /// At this address, which is not that of who sent the request.
    pub(crate) const fn at(self, ip: IpAddr) -> Self {
        Self {
            ip: Some(ip),
            ..self
        }
    }

    /// Why.
    pub(crate) const fn because(self, reason: &'static str) -> Self {
        Self {
            reason: Some(reason),
            ..self
        }
    }

    /// The line, with its end. `trace_id` is the trace of W3C Trace Context, which a
    /// request may bring; without one it is the request's own id, without hyphens.
    fn line(&self) -> Vec<u8> {
        let trace = self.part_of.map_or_else(
            || encoding::hex(self.request.as_bytes()),
            |part_of| part_of.trace_id(),
        );
        let mut line =
            Line::new(self.now, self.what.as_str()).text("agent_id", self.agent_id, LONGEST_AGENT);
        if let Some(reason) = self.reason {
            line = line.field("reason", reason);
        }
        line = line
            .field("trace_id", trace)
            .field("request_id", self.request.to_string());
        if let Some(ip) = self.ip {
            line = line.field("ip", ip);
        }
        line.end()
    }
}

/// Writes a line about an agent. Never waits.
pub(crate) fn agent_event(app: &App, event: AgentEvent<'_>) {
    app.events.write(&event);
}

/// Writes a line about a refused proof, unless it could not be checked at all: that
/// is our trouble and nobody's violation.
pub(crate) fn violation(app: &App, event: AgentEvent<'_>, reason: Reason) {
    if reason != Reason::VerifierUnavailable {
        agent_event(app, event.because(reason.as_str()));
    }
}

/// The log of a home.
pub(crate) struct EventsLog(Arc<Shared>);

struct Shared {
    log: JsonlLog,
    clock: Arc<dyn Clock>,
    room: Mutex<Room>,
}

/// What violations may still write.
struct Room {
    lines: u32,
    since: Option<Instant>,
    /// Violations without a line that no line has told of yet.
    unlisted: u64,
}

impl Room {
    /// Whether one more may be written at this moment.
    fn take(&mut self, steady: Instant) -> bool {
        let since = *self.since.get_or_insert(steady);
        let passed = steady.saturating_duration_since(since).as_secs() / REFILL.as_secs();
        let more = u32::try_from(passed).unwrap_or(u32::MAX);
        if more > 0 {
            self.lines = self.lines.saturating_add(more).min(BURST);
            // Part of a second counts on.
            self.since = Some(since + REFILL * more);
        }
        match self.lines.checked_sub(1) {
            Some(left) => {
                self.lines = left;
                true
            }
            None => {
                self.unlisted = self.unlisted.saturating_add(1);
                false
            }
        }
    }
}

impl EventsLog {
    /// Nothing is written yet.
    pub(crate) fn new(config: &Config, clock: &Arc<dyn Clock>, metrics: &Metrics) -> Self {
        Self(Arc::new(Shared {
            log: JsonlLog::new(
                config.home.join(LOGS),
                FILE,
                config.log_limits(),
                Arc::clone(clock),
                metrics.lines_lost(FILE),
            ),
            clock: Arc::clone(clock),
            room: Mutex::new(Room {
                lines: BURST,
                since: None,
                unlisted: 0,
            }),
        }))
    }

    fn write(&self, event: &AgentEvent<'_>) {
        if event.what == Happened::AuthViolation && !self.has_room() {
            return;
        }
        self.0.log.push(event.line());
    }

    fn has_room(&self) -> bool {
        let steady = self.0.clock.steady();
        let mut room = self.0.room();
        let may = room.take(steady);
        if room.unlisted == 1 && !may {
            // The first of those that the next count tells of.
            let shared = Arc::downgrade(&self.0);
            tokio::spawn(async move {
                tokio::time::sleep(COUNT_EVERY).await;
                if let Some(shared) = shared.upgrade() {
                    shared.count();
                }
            });
        }
        may
    }

    /// Writes what waits to be written, and ends.
    pub(crate) async fn stop(&self) {
        self.0.count();
        self.0.log.stop().await;
    }

    /// Why the last lines could not be written, if they could not.
    pub(crate) fn degraded(&self) -> Option<String> {
        let trouble = self.0.log.trouble()?;
        Some(format!("log {FILE}: {trouble}"))
    }
}

impl Shared {
    fn room(&self) -> std::sync::MutexGuard<'_, Room> {
        // Numbers are whole between any two lines.
        self.room.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says how many violations had no line.
    fn count(&self) {
        let unlisted = std::mem::take(&mut self.room().unlisted);
        if unlisted > 0 {
            let line = Line::new(self.clock.now(), "auth_violations_unlisted");
            self.log.push(line.field("count", unlisted).end());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_has_a_burst_of_lines_and_then_one_a_second() {
        let begin = Instant::now();
        let mut room = Room {
            lines: BURST,
            since: None,
            unlisted: 0,
        };
        let mut listed = |millis: u64, times: u32| {
            let at = begin + Duration::from_millis(millis);
            (0..times).filter(|_| room.take(at)).count()
        };
        assert_eq!(listed(0, 1000), 60);
        assert_eq!(listed(999, 10), 0);
        assert_eq!(listed(1_500, 10), 1);
        // The half second that was left over counts on.
        assert_eq!(listed(2_000, 10), 1);
        assert_eq!(listed(3_600_000, 1000), 60);
        assert_eq!(room.unlisted, 940 + 10 + 9 + 9 + 940);
    }

    #[test]
    fn a_line_has_the_trace_that_the_request_is_part_of() {
        let request: TraceId = "01934f5c-0000-7000-8000-00000000abcd".parse().unwrap();
        let event = |part_of: Option<TraceContext>| {
            let now = Timestamp::from_millis(1_795_000_000_000);
            let event = AgentEvent::of(Happened::AuthViolation, (request, part_of), now, None);
            let line = event.agent("scribe\n").because("bad_signature").line();
            serde_json::from_slice::<serde_json::Value>(&line).unwrap()
        };
        let own = event(None);
        assert_eq!(own["event"], "auth_violation");
        assert_eq!(own["agent_id"], "scribe\n");
        assert_eq!(own["reason"], "bad_signature");
        assert_eq!(own["trace_id"], "01934f5c00007000800000000000abcd");
        assert_eq!(own["request_id"], "01934f5c-0000-7000-8000-00000000abcd");
        assert!(own.get("ip").is_none());
        let parent = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let linked = event(TraceContext::parse(parent));
        assert_eq!(linked["trace_id"], "4bf92f3577b34da6a3ce929d0e0e4736");
        assert_eq!(linked["request_id"], own["request_id"]);
    }
}
