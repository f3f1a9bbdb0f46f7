//! `run`: a command with a project's secrets in its environment.

use crate::context::Context;
use crate::failure::Failure;
use clap::Args;
use procura_daemon::Places;
use procura_daemon::socket::client::{self, RunOptions};
use procura_types::{Delivery, EnvName, ProjectName};
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

/// Run a command with a project's secrets in its environment, in files, or as its input
///
/// The daemon asks the server; the first time, a person has to say yes. This
/// process then becomes the command: values never pass through it otherwise,
/// are never written to disk, and are never printed. Exit code 75 says that a
/// request waits for an approver.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  procura run --project shop -- python agent.py\n  procura run --project shop --name API_KEY --name DB_URL -- python agent.py\n  procura run --project shop --env-file .env --wait -- ./deploy.sh --all\n  procura run --project shop --delivery file --name TLS_KEY -- sh -c 'openssl pkey -in \"$TLS_KEY\" -noout'\n  procura run --project shop --delivery stdin --name DB_PASSWORD -- restic init --password-file /dev/stdin"
)]
pub(crate) struct Run {
    /// The project
    #[arg(long, short, value_name = "P")]
    project: ProjectName,
    /// Which agent, when this machine is several: label, or namespace/label; -n chooses by namespace too
    #[arg(long, value_name = "LABEL")]
    agent: Option<String>,
    /// Ask for this name alone; may be given again [default: all that the project maps]
    #[arg(long = "name", value_name = "NAME")]
    names: Vec<EnvName>,
    /// Ask for the names in this .env file; only names are taken from it
    #[arg(long = "env-file", value_name = "F")]
    env_files: Vec<PathBuf>,
    /// Wait until a person has answered
    #[arg(long)]
    wait: bool,
    /// How the command takes the values: in variables (env), in files in memory whose paths are in the variables (file), or one of them as its standard input (stdin, with one --name)
    #[arg(long, value_name = "WAY", default_value = "env", value_parser = way_of_a_run)]
    delivery: Delivery,
    #[command(flatten)]
    socket: Socket,
    /// The command and its arguments
    #[arg(last = true, required = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

fn way_of_a_run(text: &str) -> Result<Delivery, String> {
    text.parse()
        .ok()
        .filter(|delivery: &Delivery| delivery.is_of_a_run())
        .ok_or_else(|| "must be env, file or stdin".to_owned())
}

/// Where the daemon is.
#[derive(Debug, Clone, Args)]
pub(crate) struct Socket {
    /// The daemon's socket [default: the first one found of $XDG_RUNTIME_DIR/procura/agent.sock, /run/procura/agent.sock and <home>/daemon/agent.sock]
    #[arg(long, env = "PROCURA_SOCKET", value_name = "PATH")]
    socket: Option<PathBuf>,
    #[arg(long, hide = true, env = "XDG_RUNTIME_DIR", hide_env = true)]
    runtime_dir: Option<PathBuf>,
}

impl Socket {
    /// The path of the daemon's socket.
    pub(crate) fn path(&self, context: &Context) -> Result<PathBuf, Failure> {
        Ok(self.places(context).connect_socket()?)
    }

    fn places(&self, context: &Context) -> Places {
        Places {
            home: Some(context.home.dir().to_owned()),
            socket: self.socket.clone(),
            user_home: None,
            runtime_dir: self.runtime_dir.clone(),
        }
    }
}

impl Run {
    /// Returns only when this process did not become the command.
    pub(crate) fn run(self, context: &Context) -> Result<ExitCode, Failure> {
        let socket = self.socket.path(context)?;
        let options = RunOptions {
            hidden: self.socket.places(context).hidden(&socket)?,
            socket,
            procurad: None,
            project: self.project,
            agent: self.agent,
            namespace: context.typed_namespace().cloned(),
            names: self.names,
            env_files: self.env_files,
            wait: self.wait,
            delivery: self.delivery,
            json: context.json,
            command: self.command,
        };
        Err(client::run(&options).into())
    }
}
