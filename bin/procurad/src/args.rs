//! The command line.

use clap::{Parser, Subcommand};
use procura_types::{Delivery, EnvName, Namespace, ProjectName};
use std::ffi::OsString;
use std::path::PathBuf;

/// Holds the device keys of this host's agents and hands them, process by
/// process, the secrets that they were granted.
///
/// It prints {"event":"ready",…} when it listens. An agent of this host joins by
/// `procura join`.
#[derive(Debug, Parser)]
#[command(
    name = "procurad",
    version,
    args_conflicts_with_subcommands = true,
    after_help = "Examples:\n  procurad\n  procurad --home /var/lib/procurad --group procura-agents"
)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
    #[command(flatten)]
    pub(crate) daemon: DaemonArgs,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Become a command with the values of a project. Started by `procura run`.
    #[command(
        after_help = "Example:\n  procura run --project shop -- python agent.py\n\nwhich gets a ticket from the daemon and becomes `procurad exec` itself."
    )]
    Exec(ExecArgs),
}

#[derive(Debug, clap::Args)]
pub(crate) struct DaemonArgs {
    /// Where Procura keeps its files; the daemon's are in DIR/daemon
    /// [default: ~/.procura].
    #[arg(long, value_name = "DIR", env = "PROCURA_HOME")]
    pub(crate) home: Option<PathBuf>,
    /// The socket to listen on [default: $XDG_RUNTIME_DIR/procura/agent.sock,
    /// else /run/procura/agent.sock if that can be made, else
    /// <home>/daemon/agent.sock].
    #[arg(long, value_name = "PATH", env = "PROCURA_SOCKET")]
    pub(crate) socket: Option<PathBuf>,
    /// A group whose members may connect, when the daemon runs as a user of its
    /// own: its name or number.
    #[arg(long, value_name = "NAME")]
    pub(crate) group: Option<String>,
    /// A member of the group who may connect, beside the daemon's own user and
    /// root: a name or number. May be given again; without it, every member
    /// may. Needs --group.
    #[arg(long, value_name = "NAME")]
    pub(crate) user: Vec<String>,
    /// What to log on stderr, such as `info` or `procura_daemon=debug`.
    #[arg(
        long,
        value_name = "FILTER",
        env = "PROCURA_LOG",
        default_value = "warn"
    )]
    pub(crate) log: String,
    /// Have the TPM of this host sign, for each attestation, what the host started with:
    /// its device, such as /dev/tpmrm0.
    #[arg(long, value_name = "PATH", env = "PROCURA_TPM")]
    pub(crate) tpm: Option<PathBuf>,
    /// Go on when memory cannot be locked: keys may then reach swap.
    #[arg(long)]
    pub(crate) danger_unlocked_memory: bool,
    /// Go on when the daemon shares its user with the agents and the kernel has no
    /// Landlock: commands can then read the device keys.
    #[arg(long)]
    pub(crate) danger_no_landlock: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct ExecArgs {
    /// The descriptor of the ticket, inherited from `procura run`.
    #[arg(long, value_name = "N")]
    pub(crate) ticket_fd: i32,
    /// The daemon's socket.
    #[arg(long, value_name = "PATH")]
    pub(crate) socket: PathBuf,
    /// The project whose secrets are wanted.
    #[arg(long, value_name = "NAME")]
    pub(crate) project: ProjectName,
    /// Which agent, when several have joined here: its label, or
    /// namespace/label.
    #[arg(long, value_name = "LABEL")]
    pub(crate) agent: Option<String>,
    /// The agent's namespace, when that is to choose.
    #[arg(long, value_name = "NS")]
    pub(crate) namespace: Option<Namespace>,
    /// A name that is wanted. May be given again.
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Vec<EnvName>,
    /// A .env file that names what is wanted; its values are not used.
    #[arg(long, value_name = "FILE")]
    pub(crate) env_file: Vec<PathBuf>,
    /// Wait until a person has answered.
    #[arg(long)]
    pub(crate) wait: bool,
    /// How the command takes the values: env, file or stdin.
    #[arg(long, value_name = "WAY", default_value = "env")]
    pub(crate) delivery: Delivery,
    /// A place that the command gets no access to when it shares the daemon's user,
    /// beside those that the daemon names. May be given again.
    #[arg(long, value_name = "PATH")]
    pub(crate) hide: Vec<PathBuf>,
    /// Print one JSON line when it is pending or refused.
    #[arg(long)]
    pub(crate) json: bool,
    /// The command and its arguments.
    #[arg(last = true, required = true, value_name = "COMMAND")]
    pub(crate) command: Vec<OsString>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_consistent() {
        Args::command().debug_assert();
    }

    #[test]
    fn what_follows_the_dashes_is_the_command() {
        let args = Args::try_parse_from([
            "procurad",
            "exec",
            "--ticket-fd",
            "3",
            "--socket",
            "/s",
            "--project",
            "shop",
            "--",
            "env",
            "--wait",
            "-x",
        ])
        .unwrap();
        let Some(Command::Exec(exec)) = args.command else {
            panic!("not exec");
        };
        assert!(!exec.wait);
        assert_eq!(exec.command, ["env", "--wait", "-x"]);
    }
}
