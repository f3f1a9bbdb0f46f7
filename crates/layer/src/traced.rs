//! What the layer refuses, for the log.

use procura_gate::{Observer, Report};

/// Tells of refusals by `tracing`, at the level `info` where the dial observes and
/// `debug` where it enforces.
#[derive(Debug, Clone, Copy, Default)]
pub struct Traced;

impl Observer for Traced {
    fn would_refuse(&self, report: &Report<'_>) {
        tracing::info!(
            method = report.method,
            path = report.path,
            reason = report.reason,
            agent_id = report.agent_id,
            profile = report.profile,
            ip = %report.source,
            "would_reject"
        );
    }

    fn would_pass(&self) {}

    fn refused(&self, report: &Report<'_>) {
        tracing::debug!(
            method = report.method,
            path = report.path,
            reason = report.reason,
            agent_id = report.agent_id,
            profile = report.profile,
            ip = %report.source,
            "rejected"
        );
    }
}
