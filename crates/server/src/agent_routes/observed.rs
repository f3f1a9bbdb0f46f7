//! What observing sees of `/agent/protected/`: the observe log (`protocol.md` §3.5), in
//! the home's folder of logs, as a gate writes its own.

use crate::config::Config;
use crate::key_server::{LOGS, log_limits};
use crate::metrics::Metrics;
use crate::serve::Input;
use procura_edge::jsonl::JsonlLog;
use procura_types::{Clock, Counted, Duration, ForeignId, Label, ObservedLine, WouldReject};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

/// The file, in the folder of logs.
const FILE: &str = "observe.jsonl";
/// How often requests are counted, while some come.
const EVERY: Duration = Duration::from_secs(5);
/// So many characters of a method and of a path are kept: they are a stranger's.
const LONGEST_METHOD: usize = 32;
const LONGEST_PATH: usize = 1024;
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
                FILE,
                log_limits(config),
                Arc::clone(clock),
                metrics.lines_lost(FILE),
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
        self.push(&ObservedLine::WouldReject(WouldReject {
            ts: self.clock.now(),
            service,
            method: method.chars().take(LONGEST_METHOD).collect(),
            path: path.chars().take(LONGEST_PATH).collect(),
            reason: reason.to_owned(),
            agent_id,
            profile: profile.map(str::to_owned),
            ip,
        }));
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
        if now.saturating_duration_since(last) >= EVERY {
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
        Some(format!("log {FILE}: {trouble}"))
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
