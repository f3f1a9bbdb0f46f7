//! `doctor`: the hardening checklist, and what commonly goes wrong around Procura on a
//! machine.

mod access;
mod ages;
mod attested;
mod dials;
mod home;
mod host;
mod reach;
mod unit;

use crate::context::Context;
use crate::failure::Failure;
use crate::key_agent::AgentSigner;
use crate::output::{self, Table};
use crate::run::Socket;
use clap::Args;
use procura_daemon::socket::client::DaemonClient;
use procura_server::Config;
use serde::Serialize;
use std::path::{Path, PathBuf};

/// What mends most of a host of agents.
const SETUP: &str = "sudo procura setup agent-host";

/// Check what guards this installation: listeners, clocks, files, keys, dials, the record, the host
///
/// Looks at the server that this home belongs to, at the files of a server whose home
/// this is, at the daemon of this machine, and at the machine itself: how the daemon is
/// installed, and what the kernel does for processes that have values. Each finding says what it means. After
/// procura login the dials of services are looked at too. A request without a proof is
/// sent, and the record must show that it was refused.
/// Ends with code 78 when there are problems; notes are none.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  procura doctor\n  procura doctor --json")]
pub(crate) struct Doctor {
    #[command(flatten)]
    socket: Socket,
    /// The server's configuration [default: procura.toml of the home]
    #[arg(long, env = "PROCURA_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Verdict {
    Ok,
    Note,
    Problem,
}

/// One thing looked at.
#[derive(Debug, Serialize)]
struct Check {
    what: &'static str,
    verdict: Verdict,
    found: String,
    /// What it means, where that is not plain.
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

struct Checks(Vec<Check>);

impl Checks {
    fn ok(&mut self, what: &'static str, found: impl Into<String>) {
        self.add(what, Verdict::Ok, found, None, None);
    }
    fn note(&mut self, what: &'static str, found: impl Into<String>) {
        self.add(what, Verdict::Note, found, None, None);
    }
    fn notice(&mut self, what: &'static str, found: impl Into<String>, why: &'static str) {
        self.add(what, Verdict::Note, found, Some(why), None);
    }
    /// Something that could be better, and how.
    fn advise(
        &mut self,
        what: &'static str,
        found: impl Into<String>,
        why: &'static str,
        next: impl Into<String>,
    ) {
        self.add(what, Verdict::Note, found, Some(why), Some(next.into()));
    }
    fn problem(
        &mut self,
        what: &'static str,
        found: impl Into<String>,
        why: &'static str,
        next: impl Into<String>,
    ) {
        self.add(what, Verdict::Problem, found, Some(why), Some(next.into()));
    }
    fn add(
        &mut self,
        what: &'static str,
        verdict: Verdict,
        found: impl Into<String>,
        why: Option<&'static str>,
        next: Option<String>,
    ) {
        self.0.push(Check {
            what,
            verdict,
            found: found.into(),
            why,
            next,
        });
    }
}

impl Doctor {
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        let mut checks = Checks(Vec::new());
        let home = context.home.dir();
        home::modes(&mut checks, home);
        match Config::load(home.to_owned(), self.config.as_deref(), std::env::vars()) {
            Ok(config) => {
                home::secrets(&mut checks, &config);
                reach::exposure(&mut checks, &config);
                reach::cortexauth(&mut checks, &config);
                dials::configuration(&mut checks, &config);
            }
            Err(error) => checks.problem(
                "configuration",
                error.to_string(),
                "the server does not start with it",
                "correct procura.toml, or the variable",
            ),
        }
        access::allow_list(&mut checks, home);
        access::agent_keys(&mut checks, home, context.now());
        home::operator_key(&mut checks, context);
        if let Some(status) = reach::server(&mut checks, context).await {
            reach::record(&mut checks, &status).await;
        }
        home::admin_socket(&mut checks, context);
        dials::environment(&mut checks);
        signed_in(&mut checks, context).await;
        let same_uid = self.daemon(&mut checks, context);
        unit::installed(&mut checks, Path::new("/"), unit::shown().as_deref());
        host::group(&mut checks, Path::new("/"));
        host::landlock(&mut checks, same_uid);
        host::terminal(&mut checks, Path::new("/"), same_uid);
        host::kernel(&mut checks, Path::new("/"));
        host::clock(&mut checks);
        let problems = checks
            .0
            .iter()
            .filter(|check| check.verdict == Verdict::Problem)
            .count();
        if context.json {
            output::json(&checks.0)?;
        } else {
            print(&checks.0)?;
        }
        match problems {
            0 => Ok(()),
            1 => Err(Failure::config("1 problem was found")),
            many => Err(Failure::config(format!("{many} problems were found"))),
        }
    }

    /// The daemon of this machine, and whether it runs as this user.
    fn daemon(&self, checks: &mut Checks, context: &Context) -> bool {
        let path = match self.socket.path(context) {
            Ok(path) => path,
            Err(error) => {
                checks.problem(
                    "daemon",
                    error.to_string(),
                    "procura run cannot find the daemon",
                    "--socket PATH",
                );
                return false;
            }
        };
        host::socket(checks, &path);
        let status = match DaemonClient::connect(&path).and_then(DaemonClient::status) {
            Ok(status) => status,
            Err(error) if error.code() == "false_daemon" => {
                checks.problem(
                    "daemon",
                    error.to_string(),
                    "nothing is asked of it: it could have commands run unconfined, or keep a link code",
                    "ss -xlp, and see whose process it is",
                );
                return false;
            }
            Err(error) => {
                checks.note("daemon", error.to_string());
                return false;
            }
        };
        let devices = match status.devices.len() {
            1 => "1 device".to_owned(),
            many => format!("{many} devices"),
        };
        checks.ok(
            "daemon",
            format!("procurad at {}, {devices}", path.display()),
        );
        attested::look(checks, &status.devices);
        if status.danger_same_uid {
            checks.advise(
                "daemon",
                "it runs as this user",
                "what this user starts beside procura run can read the keys of its devices",
                SETUP,
            );
        }
        status.danger_same_uid
    }
}

/// What only an operator is told.
async fn signed_in(checks: &mut Checks, context: &Context) {
    // Without a key that is unlocked somebody would have to type a passphrase.
    if AgentSigner::find(&context.home).is_none() {
        return checks.note("dials", "not looked at; procura login, and again");
    }
    match context.operator().await {
        Ok(server) => {
            dials::services(checks, &server, context.now()).await;
            ages::look(checks, &server, context.now()).await;
        }
        Err(_) => {
            for what in ["dials", "agent secrets", "signing key"] {
                checks.note(what, "not looked at");
            }
        }
    }
}

fn print(checks: &[Check]) -> Result<(), Failure> {
    let mut table = Table::new(["CHECK", "RESULT", "FOUND"]);
    for check in checks {
        let verdict = match check.verdict {
            Verdict::Ok => "ok",
            Verdict::Note => "note",
            Verdict::Problem => "PROBLEM",
        };
        table.row([
            check.what.to_owned(),
            verdict.to_owned(),
            check.found.clone(),
        ]);
    }
    table.print("nothing to check")?;
    for check in checks {
        let said = [
            check.why.map(str::to_owned),
            check.next.as_ref().map(|next| format!("next: {next}")),
        ];
        let said: Vec<String> = said.into_iter().flatten().collect();
        if !said.is_empty() {
            output::say(output::plain(&format!(
                "{}: {}",
                check.what,
                said.join("; ")
            )));
        }
    }
    Ok(())
}
