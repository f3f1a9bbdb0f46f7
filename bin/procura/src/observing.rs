//! What a gate sees while it observes: the observe log (`protocol.md` §3.5).

use procura_edge::jsonl::{Counter, JsonlLog, Limits};
use procura_gate::{Observer, Report};
use procura_types::{
    Clock, Counted, Duration, ForeignId, Label, OBSERVE_LOG, OBSERVED_EVERY, ObservedLine,
    Timestamp, WouldReject,
};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::watch;

/// A month of it, unless more would be refused than a disk should hold.
const LIMITS: Limits = Limits {
    bytes: 64 * 1024 * 1024,
    age: Duration::from_secs(4 * 24 * 60 * 60),
    older: 8,
};

/// Writes behind the requests what would become of them.
pub(crate) struct ObserveLog {
    service: Label,
    clock: Arc<dyn Clock>,
    log: JsonlLog,
    /// Since they were last counted.
    passed: AtomicU64,
    refused: AtomicU64,
}

impl ObserveLog {
    /// The log of a gate's home. Nothing is written yet.
    pub(crate) fn new(home: &Path, service: Label, clock: Arc<dyn Clock>) -> Self {
        Self {
            service,
            log: JsonlLog::new(
                home.join("logs"),
                OBSERVE_LOG,
                LIMITS,
                Arc::clone(&clock),
                Counter::default(),
            ),
            clock,
            passed: AtomicU64::new(0),
            refused: AtomicU64::new(0),
        }
    }

    /// Counts again and again, until `stopping` says so.
    pub(crate) async fn run(&self, mut stopping: watch::Receiver<bool>) {
        let mut ticks = tokio::time::interval(OBSERVED_EVERY);
        loop {
            tokio::select! {
                _ = ticks.tick() => self.count(),
                // Whoever would say so is gone as well.
                _ = stopping.wait_for(|stop| *stop) => return,
            }
        }
    }

    /// Counts the last requests, and writes all that waits.
    pub(crate) async fn end(&self) {
        self.count();
        self.log.stop().await;
    }

    fn count(&self) {
        // Each refusal is counted after its line was queued, so the line that counts
        // it stands behind it.
        let would_reject = self.refused.swap(0, Ordering::AcqRel);
        let passed = self.passed.swap(0, Ordering::AcqRel);
        if would_reject == 0 && passed == 0 {
            return;
        }
        self.push(&ObservedLine::Observed(Counted {
            ts: self.clock.now(),
            service: self.service.clone(),
            passed,
            would_reject,
        }));
    }

    fn push(&self, line: &ObservedLine) {
        // Words, numbers and texts always have a form in JSON.
        let mut text = serde_json::to_vec(line).unwrap_or_default();
        text.push(b'\n');
        self.log.push(text);
    }
}

impl Observer for ObserveLog {
    fn would_refuse(&self, report: &Report<'_>) {
        let line = refusal(self.service.clone(), self.clock.now(), report);
        self.push(&ObservedLine::WouldReject(line));
        self.refused.fetch_add(1, Ordering::AcqRel);
    }

    fn would_pass(&self) {
        self.passed.fetch_add(1, Ordering::AcqRel);
    }

    fn refused(&self, report: &Report<'_>) {
        // Cut short, and only for who asks for it: strangers choose how much there is.
        let line = refusal(self.service.clone(), self.clock.now(), report);
        tracing::debug!(?line, "refused");
    }
}

fn refusal(service: Label, ts: Timestamp, report: &Report<'_>) -> WouldReject {
    // What is no id of an agent is none.
    let agent_id = report.agent_id.and_then(|id| id.parse::<ForeignId>().ok());
    WouldReject::cut(
        ts,
        service,
        (report.method, report.path),
        report.reason,
        (agent_id, report.profile),
        report.source,
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use procura_client::SystemClock;

    fn report<'a>(path: &'a str, agent_id: Option<&'a str>) -> Report<'a> {
        Report {
            method: "GET",
            path,
            reason: "missing_headers",
            agent_id,
            profile: None,
            source: [127, 0, 0, 1].into(),
        }
    }

    #[tokio::test]
    async fn refusals_have_lines_and_all_requests_are_counted() {
        let home = tempfile::tempdir().unwrap();
        let service: Label = "web".parse().unwrap();
        let log = ObserveLog::new(home.path(), service.clone(), Arc::new(SystemClock));
        log.would_pass();
        log.would_refuse(&report("/a", Some("scribe")));
        log.would_refuse(&report("/b", Some("alice//scribe")));
        log.would_pass();
        log.count();
        // Nothing new is nothing to tell.
        log.count();
        log.would_pass();
        log.end().await;
        let text = std::fs::read_to_string(home.path().join("logs").join(OBSERVE_LOG)).unwrap();
        let lines: Vec<ObservedLine> = text
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert!(lines.iter().all(|line| line.service() == Some(&service)));
        let told: Vec<String> = lines
            .iter()
            .map(|line| match line {
                ObservedLine::WouldReject(line) => {
                    let agent = line.agent_id.as_ref().map_or("-", ForeignId::as_str);
                    format!("{} {} {agent}", line.path, line.reason)
                }
                ObservedLine::Observed(line) => format!("{} {}", line.passed, line.would_reject),
                ObservedLine::LinesLost(_) => "lost".to_owned(),
            })
            .collect();
        assert_eq!(
            told,
            [
                "/a missing_headers scribe",
                "/b missing_headers -",
                "2 2",
                "1 0"
            ]
        );
    }
}
