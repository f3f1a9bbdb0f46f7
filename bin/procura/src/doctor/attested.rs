//! What this machine's daemon attested (ADR 39).

use super::Checks;
use procura_daemon::{AttestedSummary, DeviceSummary};

/// One line for each device.
pub(super) fn look(checks: &mut Checks, devices: &[DeviceSummary]) {
    for device in devices.iter().filter(|device| device.revoked.is_none()) {
        let Some(attested) = &device.attested else {
            continue;
        };
        let whose = match attested.tpm {
            Some(tpm) => format!("{}, with the TPM {tpm}", device.lineage),
            None => device.lineage.clone(),
        };
        line(checks, &whose, attested);
    }
}

fn line(checks: &mut Checks, agent: &str, attested: &AttestedSummary) {
    const WHAT: &str = "attestation";
    match (attested.grade, &attested.problem, &attested.lacks) {
        (Some(grade), None, None) => checks.ok(WHAT, format!("{agent}: {grade}")),
        (Some(grade), None, Some(lacks)) => checks.note(WHAT, format!("{agent}: {grade}; {lacks}")),
        (Some(grade), Some(problem), _) => checks.notice(
            WHAT,
            format!("{agent}: {grade}, not renewed: {problem}"),
            "projects that require an attestation hand nothing to this daemon once it is over",
        ),
        (None, problem, _) => checks.notice(
            WHAT,
            format!(
                "{agent}: none; {}",
                problem.as_deref().unwrap_or("it has not been tried yet")
            ),
            "projects that require an attestation hand nothing to this daemon",
        ),
    }
}
