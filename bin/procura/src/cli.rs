//! What can be typed: every command and every global flag.

use crate::context::Context;
use crate::failure::Failure;
use crate::{
    agent, audit, device, doctor, grant, init, join, key_agent, login, namespace, operator, output,
    project, reference, request, run, seal, secret, server, status,
};
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Args, Parser, Subcommand};
use procura_types::{Namespace, exit};
use std::path::PathBuf;
use std::process::ExitCode;

/// Lets AI agents act with your authority without holding your keys.
#[derive(Debug, Parser)]
#[command(
    name = "procura",
    version,
    disable_help_subcommand = true,
    after_help = "Example:\n  procura run --project shop -- python agent.py"
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    command: Command,
}

/// Flags that every command takes.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Global {
    /// Where the operator's key and, on the server's machine, its data are [default: ~/.procura]
    #[arg(long, global = true, env = "PROCURA_HOME", value_name = "DIR")]
    pub(crate) home: Option<PathBuf>,
    /// The server [default: the one that was joined, else http://127.0.0.1:7310]
    #[arg(long, global = true, env = "PROCURA_SERVER", value_name = "URL")]
    pub(crate) server: Option<String>,
    /// Certificate authorities to trust for https://, a PEM file [default: the one given when joining, else the machine's]
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) ca: Option<PathBuf>,
    /// The namespace
    #[arg(
        long,
        short,
        global = true,
        env = "PROCURA_NAMESPACE",
        value_name = "NS",
        default_value = "default"
    )]
    pub(crate) namespace: Namespace,
    /// Print what the API answers as JSON on stdout, and failures as JSON on stderr
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Read passphrases from this file descriptor, one a line, and ask for none
    #[arg(long, global = true, value_name = "N")]
    pub(crate) passphrase_fd: Option<u32>,
    /// Do not ask before what cannot be undone
    #[arg(long, global = true)]
    pub(crate) yes: bool,
    /// Accept a server whose record is older than the newest one seen here
    #[arg(long, global = true)]
    pub(crate) danger_accept_rollback: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    Init(init::Init),
    Server(server::Server),
    Unseal(seal::Unseal),
    Seal(seal::Seal),
    Passphrase(seal::Passphrase),
    Status(status::Status),
    Doctor(doctor::Doctor),
    #[command(subcommand)]
    Namespace(namespace::Command),
    #[command(subcommand)]
    Operator(operator::Command),
    #[command(subcommand)]
    Secret(secret::Command),
    #[command(subcommand)]
    Agent(agent::Command),
    #[command(subcommand)]
    Device(device::Command),
    Join(join::Join),
    #[command(subcommand)]
    Project(project::Command),
    #[command(subcommand)]
    Request(request::Command),
    #[command(subcommand)]
    Grant(grant::Command),
    Run(run::Run),
    #[command(subcommand)]
    Audit(audit::Command),
    Login(login::Login),
    Logout(login::Logout),
    #[command(name = "__key-agent", hide = true)]
    KeyAgent(key_agent::KeyAgent),
    #[command(name = "__reference", hide = true)]
    Reference(reference::Reference),
}

/// Reads the arguments, does what they say, and tells how it ended.
pub(crate) fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(mut error) => {
            tidy(&mut error);
            // Nothing better can be done when the terminal is gone.
            let _ = error.print();
            return match error.kind() {
                ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => ExitCode::SUCCESS,
                _ => ExitCode::from(exit::USAGE),
            };
        }
    };
    let json = cli.global.json;
    match dispatch(cli) {
        Ok(code) => code,
        Err(failure) => {
            output::failure(&failure, json);
            ExitCode::from(failure.exit())
        }
    }
}

/// Takes out of a usage error what the person can do nothing with: commands
/// that only the program itself types, and options that the environment set.
fn tidy(error: &mut clap::Error) {
    if let Some(ContextValue::Strings(commands)) = error.remove(ContextKind::ValidSubcommand) {
        let typed = |name: &String| !name.starts_with("__");
        let commands = commands.into_iter().filter(typed).collect();
        error.insert(
            ContextKind::ValidSubcommand,
            ContextValue::Strings(commands),
        );
    }
    if let Some(ContextValue::StyledStr(usage)) = error.remove(ContextKind::Usage) {
        let mut usage = usage.to_string();
        for set in [" --home <DIR>", " --server <URL>", " --namespace <NS>"] {
            usage = usage.replace(set, "");
        }
        error.insert(ContextKind::Usage, ContextValue::StyledStr(usage.into()));
    }
}

fn dispatch(cli: Cli) -> Result<ExitCode, Failure> {
    // These three run without the rest of the command line: the server has a
    // runtime of its own, the key agent none.
    match cli.command {
        Command::Server(command) => return command.run(&cli.global),
        Command::KeyAgent(command) => return command.run(),
        Command::Reference(command) => return command.run(),
        _ => {}
    }
    let context = Context::new(cli.global)?;
    // Replacing this process is the whole of `run`.
    if let Command::Run(command) = cli.command {
        return command.run(&context);
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::storage("cannot start", &error))?;
    runtime.block_on(perform(cli.command, &context))?;
    Ok(ExitCode::SUCCESS)
}

async fn perform(command: Command, context: &Context) -> Result<(), Failure> {
    match command {
        Command::Init(command) => command.run(context).await,
        Command::Unseal(command) => command.run(context).await,
        Command::Seal(command) => command.run(context).await,
        Command::Passphrase(command) => command.run(context).await,
        Command::Status(command) => command.run(context).await,
        Command::Doctor(command) => command.run(context).await,
        Command::Namespace(command) => command.run(context).await,
        Command::Operator(command) => command.run(context).await,
        Command::Secret(command) => command.run(context).await,
        Command::Agent(command) => command.run(context).await,
        Command::Device(command) => command.run(context).await,
        Command::Join(command) => command.run(context).await,
        Command::Project(command) => command.run(context).await,
        Command::Request(command) => command.run(context).await,
        Command::Grant(command) => command.run(context).await,
        Command::Audit(command) => command.run(context).await,
        Command::Login(command) => command.run(context).await,
        Command::Logout(command) => command.run(context).await,
        // Done by `dispatch`.
        Command::Server(_) | Command::Run(_) | Command::KeyAgent(_) | Command::Reference(_) => {
            Ok(())
        }
    }
}
