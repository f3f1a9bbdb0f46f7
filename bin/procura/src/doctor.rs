//! `doctor`: what commonly goes wrong around Procura on a machine.

use crate::context::Context;
use crate::failure::Failure;
use crate::home::Known;
use crate::key_agent::AgentSigner;
use crate::listeners::{self, Listening};
use crate::output::{self, Table};
use crate::run::Socket;
use clap::Args;
use procura_daemon::socket::client::DaemonClient;
use procura_server::{Config, check_private_file};
use procura_types::{Duration, Timestamp};
use rustix::process::geteuid;
use serde::Serialize;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

/// Check the clock, the modes of files, and who listens where
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  procura doctor")]
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
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

/// Proofs are accepted from 60 s behind to 15 s ahead of the server's clock
/// (`protocol.md` §3.1); some of that is for the way.
const AHEAD: Duration = Duration::from_secs(10);
const BEHIND: Duration = Duration::from_secs(45);

struct Checks(Vec<Check>);

impl Checks {
    fn ok(&mut self, what: &'static str, found: impl Into<String>) {
        self.add(what, Verdict::Ok, found, None);
    }
    fn note(&mut self, what: &'static str, found: impl Into<String>) {
        self.add(what, Verdict::Note, found, None);
    }
    fn problem(&mut self, what: &'static str, found: impl Into<String>, next: impl Into<String>) {
        self.add(what, Verdict::Problem, found, Some(next.into()));
    }
    fn add(
        &mut self,
        what: &'static str,
        verdict: Verdict,
        found: impl Into<String>,
        next: Option<String>,
    ) {
        self.0.push(Check {
            what,
            verdict,
            found: found.into(),
            next,
        });
    }
}

impl Doctor {
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        let mut checks = Checks(Vec::new());
        modes(&mut checks, context.home.dir());
        secrets(&mut checks, context.home.dir(), self.config.as_deref());
        key(&mut checks, context);
        server(&mut checks, context).await;
        admin(&mut checks, context);
        self.daemon(&mut checks, context);
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

    fn daemon(&self, checks: &mut Checks, context: &Context) {
        match self.socket.path(context) {
            Err(error) => checks.problem("daemon", error.to_string(), "--socket PATH"),
            Ok(path) => match DaemonClient::connect(&path).and_then(DaemonClient::status) {
                Ok(status) => {
                    let devices = status.devices.len();
                    checks.ok(
                        "daemon",
                        format!("procurad at {}, {devices} devices", path.display()),
                    );
                    if status.danger_same_uid {
                        checks.note(
                            "daemon",
                            "danger: it runs as this user, who can read its keys",
                        );
                    }
                }
                Err(error) => checks.note("daemon", error.to_string()),
            },
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
        if let Some(next) = &check.next {
            output::say(format!("next, for {}: {}", check.what, output::plain(next)));
        }
    }
    Ok(())
}

/// Everything in the home belongs to this user and is for them alone.
fn modes(checks: &mut Checks, home: &Path) {
    if !home.exists() {
        checks.note("home", format!("{} does not exist yet", home.display()));
        return;
    }
    let mut wrong = Vec::new();
    let mut left = vec![home.to_owned()];
    // Bounded: a home is small, but the record below it may not be.
    let mut seen = 0;
    while let Some(path) = left.pop() {
        seen += 1;
        if seen > 10_000 {
            break;
        }
        let Ok(metadata) = path.symlink_metadata() else {
            continue;
        };
        if metadata.is_symlink() {
            continue;
        }
        if metadata.uid() != geteuid().as_raw() {
            wrong.push(format!(
                "{} belongs to uid {}",
                path.display(),
                metadata.uid()
            ));
        } else if metadata.permissions().mode() & 0o077 != 0 {
            wrong.push(format!("{} is open to others", path.display()));
        }
        if metadata.is_dir() {
            match std::fs::read_dir(&path) {
                Ok(entries) => {
                    left.extend(entries.filter_map(Result::ok).map(|entry| entry.path()))
                }
                Err(error) => wrong.push(format!("{}: {error}", path.display())),
            }
        }
    }
    match wrong.as_slice() {
        [] => checks.ok(
            "modes",
            format!("all of {} is this user's alone", home.display()),
        ),
        [first, rest @ ..] => {
            let more = if rest.is_empty() {
                String::new()
            } else {
                format!(", and {} more", rest.len())
            };
            checks.problem(
                "modes",
                format!("{first}{more}"),
                format!("chmod -R go= {}", home.display()),
            );
        }
    }
}

/// The files with secrets that the configuration of a server in this home names. They
/// may lie outside of it; the server does not start when others can read them.
fn secrets(checks: &mut Checks, home: &Path, file: Option<&Path>) {
    let config = match Config::load(home.to_owned(), file, std::env::vars()) {
        Ok(config) => config,
        Err(error) => {
            return checks.problem(
                "configuration",
                error.to_string(),
                "correct procura.toml, or the variable",
            );
        }
    };
    // Whoever owns the home is the user of its server.
    let own = home
        .metadata()
        .map_or_else(|_| geteuid().as_raw(), |home| home.uid());
    for (key, path) in [
        ("passphrase_file", &config.passphrase_file),
        ("tls_key", &config.tls_key),
    ] {
        let Some(path) = path else { continue };
        match check_private_file(path, own) {
            Ok(()) => checks.ok(key, format!("{} is the server's alone", path.display())),
            Err(error) => {
                let next = error
                    .remedy()
                    .unwrap_or_else(|| format!("correct {key} in procura.toml"));
                checks.problem(key, error.to_string(), next);
            }
        }
    }
}

fn key(checks: &mut Checks, context: &Context) {
    match crate::operator_key::public(&context.home) {
        Ok(Some(key)) => checks.ok("key", format!("the operator's key {}", key.thumbprint())),
        Ok(None) => checks.note("key", "no operator's key in this home"),
        Err(error) => checks.problem(
            "key",
            error.to_string(),
            "restore operator/key.json from a backup",
        ),
    }
    match AgentSigner::find(&context.home) {
        Some(agent) => checks.ok("login", format!("unlocked until {}", agent.until())),
        None => checks.note(
            "login",
            "the key is locked; procura login unlocks it for a while",
        ),
    }
}

fn admin(checks: &mut Checks, context: &Context) {
    let socket = context.home.admin_socket();
    if !socket.exists() {
        checks.note("admin socket", format!("none at {}", socket.display()));
        return;
    }
    match UnixStream::connect(&socket) {
        Ok(_) => checks.ok(
            "admin socket",
            format!("a server listens at {}", socket.display()),
        ),
        Err(error) => checks.note("admin socket", format!("{}: {error}", socket.display())),
    }
}

async fn server(checks: &mut Checks, context: &Context) {
    let known = match Known::find(&context.home) {
        Ok(known) => known,
        Err(error) => {
            checks.problem(
                "server",
                error.to_string(),
                "restore operator/server.json from a backup",
            );
            return;
        }
    };
    let url = context.url(known.as_ref());
    let client = match context.client(&url, known.as_ref()) {
        Ok(client) => client,
        Err(error) => return checks.problem("server", error.to_string(), "--server URL"),
    };
    let status = match client.status().await {
        Ok(status) => status,
        Err(error) => return checks.problem("server", error.to_string(), "procura server"),
    };
    let here = env!("CARGO_PKG_VERSION");
    if status.version == here {
        checks.ok("server", format!("{url} answers, version {here}"));
    } else {
        checks.note(
            "server",
            format!("{url} answers, version {}; this is {here}", status.version),
        );
    }
    match (status.initialized, status.sealed) {
        (false, _) => checks.note("vault", "no installation yet; procura init makes one"),
        (true, true) => checks.note("vault", "sealed; procura unseal opens it"),
        (true, false) => checks.ok("vault", "unsealed"),
    }
    for why in status.degraded {
        checks.problem("vault", why, "procura status, and the server's log");
    }
    if let (Some(known), Some(installation)) = (&known, status.installation)
        && known.installation != installation
    {
        checks.problem(
            "server",
            format!(
                "it is installation {installation}; this home belongs to {}",
                known.installation
            ),
            "--server URL, or another --home",
        );
    }
    match client.server_time().await {
        Ok(Some(theirs)) => clock(checks, context.now(), theirs),
        Ok(None) => checks.note("clock", "the server's answers carry no date"),
        Err(error) => checks.note("clock", error.to_string()),
    }
    listening(checks, &url);
}

fn clock(checks: &mut Checks, ours: Timestamp, theirs: Timestamp) {
    let (ahead, behind) = (ours.since(theirs), theirs.since(ours));
    let next = "set this machine's clock, by NTP for instance";
    if ahead > AHEAD {
        checks.problem(
            "clock",
            format!("{} s ahead of the server's", ahead.as_secs()),
            next,
        );
    } else if behind > BEHIND {
        checks.problem(
            "clock",
            format!("{} s behind the server's", behind.as_secs()),
            next,
        );
    } else {
        checks.ok("clock", "agrees with the server's");
    }
}

/// Who listens on the port, when the server is on this machine.
fn listening(checks: &mut Checks, url: &str) {
    let Some(port) = listeners::loopback_port(url) else {
        return;
    };
    match listeners::on_port(port).as_slice() {
        [] => checks.note("listener", format!("nothing seen on port {port}")),
        all => {
            for Listening { address, uid } in all {
                if address.is_loopback() {
                    checks.ok("listener", format!("{address} port {port}, of uid {uid}"));
                } else {
                    checks.problem(
                        "listener",
                        format!("{address} port {port}, of uid {uid}, is open to other machines"),
                        "listen on 127.0.0.1, or use TLS and https://",
                    );
                }
            }
        }
    }
}
