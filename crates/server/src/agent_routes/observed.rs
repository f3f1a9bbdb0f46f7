//! What observing sees of `/agent/protected/`: the observe log (`protocol.md` §3.5), in
//! the home's folder of logs, as a gate writes its own.

use crate::config::{Config, LOGS};
use crate::metrics::Metrics;
use crate::serve::Input;
use procura_edge::jsonl::JsonlLog;
use procura_types::{
    Clock, Counted, ForeignId, Label, OBSERVE_LOG, OBSERVED_EVERY, ObservedLine, WouldReject,
};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

/// What the routes are called where no service is configured.
const UNNAMED: &str = "agent";

/// Writes behind the requests what would become of them.
pub(super) struct ObserveLog {
    service: Option<Label>,
    clock: Arc<dyn Clock>,
    log: JsonlLog,
    counted: Mutex<Since>,
}

/// Requests since they were last counted.
#[derive(Default)]
struct Since {
    passed: u64,
    refused: u64,
    last: Option<Instant>,
}

impl ObserveLog {
    pub(super) fn new(config: &Config, clock: &Arc<dyn Clock>, metrics: &Metrics) -> Self {
        let service = config.agent_service.as_ref();
        Self {
            service: service
                .map(|service| service.name.clone())
                .or_else(|| UNNAMED.parse().ok()),
            log: JsonlLog::new(
                config.home.join(LOGS),
                OBSERVE_LOG,
                config.log_limits(),
                Arc::clone(clock),
                metrics.lines_lost(OBSERVE_LOG),
            ),
            clock: Arc::clone(clock),
            counted: Mutex::default(),
        }
    }

    /// A request that enforcement would let through.
    pub(super) fn would_pass(&self) {
        self.count(|since| since.passed = since.passed.saturating_add(1));
    }

    /// A request that it would refuse.
    pub(super) fn would_refuse(
        &self,
        input: &Input,
        (reason, profile): (&str, Option<&str>),
        agent_id: Option<ForeignId>,
    ) {
        let (Some(service), Some(ip)) = (self.service.clone(), input.peer) else {
            return;
        };
        let (method, path) = (input.parts.method.as_str(), input.parts.uri.path());
        self.push(&ObservedLine::WouldReject(WouldReject::cut(
            self.clock.now(),
            service,
            (method, path),
            reason,
            (agent_id, profile),
            ip,
        )));
        self.count(|since| since.refused = since.refused.saturating_add(1));
    }

    /// Counts a request, and from time to time tells how many there were. The last few
    /// are told when the server stops.
    fn count(&self, add: impl FnOnce(&mut Since)) {
        let now = self.clock.steady();
        // Whole between any two lines.
        let mut since = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        add(&mut since);
        let last = *since.last.get_or_insert(now);
        if now.saturating_duration_since(last) >= OBSERVED_EVERY {
            self.tell(&mut since);
            since.last = Some(now);
        }
    }

    fn tell(&self, since: &mut Since) {
        let Since {
            passed, refused, ..
        } = std::mem::take(since);
        if let Some(service) = self.service.clone()
            && (passed > 0 || refused > 0)
        {
            self.push(&ObservedLine::Observed(Counted {
                ts: self.clock.now(),
                service,
                passed,
                would_reject: refused,
            }));
        }
    }

    fn push(&self, line: &ObservedLine) {
        // Words, numbers and texts always have a form in JSON.
        let mut text = serde_json::to_vec(line).unwrap_or_default();
        text.push(b'\n');
        self.log.push(text);
    }

    /// Why lines are lost, if they are.
    pub(super) fn trouble(&self) -> Option<String> {
        let trouble = self.log.trouble()?;
        Some(format!("log {OBSERVE_LOG}: {trouble}"))
    }

    /// Counts the last requests, and writes all that waits.
    pub(super) async fn stop(&self) {
        {
            let mut since = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
            self.tell(&mut since);
        }
        self.log.stop().await;
    }
}
