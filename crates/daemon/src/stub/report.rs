//! What people and programs are told when the command did not start.

use crate::DaemonError;
use crate::socket::Pending;
use procura_types::wire::UnmatchedReason;
use std::ffi::OsString;
use std::io::{self, Write};
use std::path::Path;

pub(super) struct Report<'a> {
    pub(super) json: bool,
    pub(super) out: &'a mut dyn Write,
    pub(super) err: &'a mut dyn Write,
}

impl Report<'_> {
    /// A person has to say yes first.
    pub(super) fn pending(&mut self, pending: &Pending) {
        let approve = format!(
            "procura request approve {} -n {}",
            pending.request, pending.namespace
        );
        if self.json {
            self.line(&serde_json::json!({
                "event": "pending",
                "request": pending.request,
                "namespace": pending.namespace,
                "agent": pending.agent,
                "asked": pending.asked,
                "unmatched": pending.unmatched,
                "approve": approve,
                "waiting": pending.waiting,
            }));
        } else {
            // Nobody may be reading.
            let _ = self.pending_prose(pending, &approve);
        }
    }

    fn pending_prose(&mut self, pending: &Pending, approve: &str) -> io::Result<()> {
        let err = &mut *self.err;
        writeln!(
            err,
            "procura: a person has to approve this first. Request {} of {} in {}:",
            pending.request, pending.agent, pending.namespace
        )?;
        for item in &pending.asked {
            writeln!(err, "  {} \u{2190} {}", item.name, item.path)?;
        }
        for name in &pending.unmatched {
            let why = match name.reason {
                UnmatchedReason::NoMatch => "neither the project nor any secret names it",
                UnmatchedReason::Ambiguous => {
                    "more than one secret declares it; map it in the project"
                }
                UnmatchedReason::InvalidName => {
                    "is no name of an environment variable, or one of the loader's, which are never delivered"
                }
            };
            // Names come from a file and may hold anything.
            writeln!(err, "  {} not asked for: {why}", name.name.escape_default())?;
        }
        writeln!(err, "An approver types:\n  {approve}")?;
        if pending.waiting {
            writeln!(err, "Waiting for the answer; Ctrl-C ends the waiting.")?;
        } else {
            writeln!(err, "Then run this again.")?;
        }
        err.flush()
    }

    /// The server is sealed, and is waited for.
    pub(super) fn sealed(&mut self) {
        if self.json {
            self.line(&serde_json::json!({ "event": "sealed", "waiting": true }));
        } else {
            let _ = writeln!(
                self.err,
                "procura: the vault is sealed: an operator types `procura unseal` on the server's machine.\nWaiting for it; Ctrl-C ends the waiting."
            );
        }
    }

    /// Something failed or was refused, and nothing was started.
    pub(super) fn failed(&mut self, error: &DaemonError) {
        let message = error.to_string();
        let next = next(error.code(), &message);
        if self.json {
            self.line(&serde_json::json!({
                "event": "refused",
                "code": error.code(),
                "message": message,
                "next": next,
                "exit": error.exit(),
            }));
        } else {
            let _ = writeln!(self.err, "procura: {message}");
            if let Some(next) = next {
                let _ = writeln!(self.err, "  next: {next}");
            }
        }
    }

    /// The command could not be executed; said as a shell would.
    pub(super) fn not_started(&mut self, program: Option<&OsString>, exit: u8, why: &io::Error) {
        let program = program.map_or(Path::new(""), Path::new).display();
        if self.json {
            self.line(&serde_json::json!({
                "event": "refused",
                "code": "not_started",
                "message": format!("{program}: {why}"),
                "exit": exit,
            }));
        } else {
            let _ = writeln!(self.err, "procura: {program}: {why}");
        }
    }

    fn line(&mut self, value: &serde_json::Value) {
        let _ = writeln!(self.out, "{value}");
        let _ = self.out.flush();
    }
}

/// What helps against a refusal, where something typed does and the message
/// does not say it already.
fn next(code: &str, message: &str) -> Option<&'static str> {
    match code {
        // A project that maps nothing is told so with the command.
        "nothing_to_deliver" if message.contains("procura project set") => None,
        "not_found" | "forbidden" => {
            Some("procura project set PROJECT --agent LABEL -n NS, typed by an admin")
        }
        "ambiguous_name" => {
            Some("procura project set PROJECT --env NAME=PATH -n NS, typed by an admin")
        }
        "value_missing" | "nothing_to_deliver" => Some(
            "procura secret put PATH --env NAME -n NS, or procura project set PROJECT --env NAME=PATH -n NS for a secret that is there, typed by an admin",
        ),
        "secret_expired" => Some(
            "procura secret put PATH --expires TIME -n NS, typed by an admin, which writes a new version",
        ),
        "delivery_not_allowed" => Some(
            "the command again with another --delivery, or procura secret set PATH --deliver env,… -n NS, typed by an admin",
        ),
        "device_quarantined" | "quarantined" => Some(
            "procura honey reinstate DEVICE, or procura restore release DEVICE if it is held since a restore, typed by a steward who knows what happened",
        ),
        "unknown_agent" => {
            Some("procura join CODE, with a link code from an admin: procura agent code LABEL")
        }
        "bad_checkpoint" => Some(
            "if an administrator says that they restored it with --new-origin: procura join CODE, with a link code from them: procura agent code LABEL",
        ),
        "timestamp_out_of_window" => Some("procura doctor, which compares the clocks"),
        "unreachable" => Some("procura server, on the server's machine; then this again"),
        "denied" | "expired" => Some("the same command again asks anew"),
        "rate_limited" | "verifier_unavailable" => Some("the same command again, in a moment"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_refused_says_what_to_type_once() {
        let put = "\n  next: procura secret put PATH --env NAME -n NS, or procura project set PROJECT --env NAME=PATH -n NS for a secret that is there, typed by an admin\n";
        let held = "\n  next: procura honey reinstate DEVICE, or procura restore release DEVICE if it is held since a restore, typed by a steward who knows what happened\n";
        let join = "\n  next: if an administrator says that they restored it with --new-origin: procura join CODE, with a link code from them: procura agent code LABEL\n";
        for (code, message, next) in [
            ("bad_checkpoint", "not signed by procura/x", join),
            ("value_missing", "there is no NOPE", put),
            ("nothing_to_deliver", "no secret matches NOPE", put),
            (
                "nothing_to_deliver",
                "shop maps no names; map them: procura project set shop",
                "\n",
            ),
            ("quarantined", "in quarantine", held),
            ("device_quarantined", "in quarantine", held),
        ] {
            let error = DaemonError::Reported {
                exit: 77,
                code: code.to_owned(),
                message: message.to_owned(),
            };
            let (mut out, mut err) = (Vec::new(), Vec::new());
            let mut report = Report {
                json: false,
                out: &mut out,
                err: &mut err,
            };
            report.failed(&error);
            assert!(out.is_empty());
            let expected = format!("procura: {message}{next}");
            assert_eq!(String::from_utf8(err).unwrap(), expected);
        }
    }
}
