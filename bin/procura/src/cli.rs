//! What can be typed: every command and every global flag.

use crate::context::Context;
use crate::failure::Failure;
use crate::{
    agent, api_key, audit, auth, backup, break_glass, device, doctor, events, gate, grant, honey,
    import_keys, init, join, key_agent, login, namespace, notify, operator, output, policy,
    project, proposal, reference, release, restore, rotate, run, seal, secret, send, server,
    service, setup, sign, signing_key, status, transit, unseal_source,
};
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::parser::ValueSource;
use clap::{Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand};
use procura_types::{Namespace, exit};
use std::path::PathBuf;
use std::process::ExitCode;
use std::str::FromStr;

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
    /// Whether it was typed, and not taken from the environment.
    #[arg(skip)]
    pub(crate) server_typed: bool,
    /// Certificate authorities to trust for https://, a PEM file [default: the one given when joining, else the machine's]
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) ca: Option<PathBuf>,
    /// The namespace [default: default; for run, the agent's own]
    #[arg(
        long,
        short,
        global = true,
        env = "PROCURA_NAMESPACE",
        value_name = "NS"
    )]
    pub(crate) namespace: Option<Namespace>,
    /// Print what the API answers as JSON on stdout, and failures as JSON on stderr
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Read passphrases from this file descriptor, one a line, and ask for none
    #[arg(long, global = true, value_name = "N", value_parser = whole::<u32>)]
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
    #[command(subcommand)]
    Rotate(rotate::Command),
    #[command(subcommand)]
    UnsealSource(unseal_source::Command),
    Backup(backup::Backup),
    Restore(Box<restore::Restore>),
    Status(status::Status),
    Doctor(doctor::Doctor),
    #[command(subcommand)]
    Setup(setup::Command),
    #[command(subcommand)]
    Namespace(namespace::Command),
    #[command(subcommand)]
    Operator(operator::Command),
    #[command(subcommand)]
    Secret(secret::Command),
    #[command(subcommand)]
    Honey(honey::Command),
    #[command(subcommand)]
    Agent(agent::Command),
    #[command(subcommand)]
    Device(device::Command),
    Join(join::Join),
    #[command(subcommand)]
    Project(project::Command),
    #[command(subcommand)]
    Service(service::Command),
    #[command(subcommand)]
    Auth(auth::Command),
    Gate(Box<gate::RunGate>),
    Request(send::Request),
    #[command(subcommand)]
    Import(import_keys::Command),
    #[command(subcommand)]
    Grant(grant::Command),
    Run(run::Run),
    Sign(sign::Sign),
    #[command(subcommand)]
    Audit(audit::Command),
    Events(events::Events),
    #[command(subcommand)]
    Proposal(proposal::Command),
    #[command(subcommand)]
    BreakGlass(break_glass::Command),
    #[command(subcommand)]
    ApiKey(api_key::Command),
    #[command(subcommand)]
    Notify(notify::Command),
    #[command(subcommand)]
    Policy(policy::Command),
    #[command(subcommand)]
    Transit(transit::Command),
    #[command(subcommand)]
    Release(release::Command),
    #[command(subcommand)]
    ReleaseKey(release::KeyCommand),
    #[command(subcommand)]
    SigningKey(signing_key::Command),
    Login(login::Login),
    Logout(login::Logout),
    #[command(name = "__key-agent", hide = true)]
    KeyAgent(key_agent::KeyAgent),
    #[command(name = "__reference", hide = true)]
    Reference(reference::Reference),
}

/// Reads the arguments, does what they say, and tells how it ended.
pub(crate) fn main() -> ExitCode {
    let cli = match parsed() {
        Ok(cli) => cli,
        Err(mut error) => {
            tidy(&mut error);
            return not_parsed(&error);
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

/// What was typed, and what the environment adds.
fn parsed() -> Result<Cli, clap::Error> {
    let matches = Cli::command().try_get_matches()?;
    let mut cli = Cli::from_arg_matches(&matches)?;
    cli.global.server_typed = matches.value_source("server") == Some(ValueSource::CommandLine);
    Ok(cli)
}

/// Shows the help that was asked for, or says what was typed wrongly.
fn not_parsed(error: &clap::Error) -> ExitCode {
    if matches!(
        error.kind(),
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion
    ) {
        // Nothing better can be done when the terminal is gone, here and below.
        let _ = error.print();
        return ExitCode::SUCCESS;
    }
    // What follows `--` belongs to the command that is to be run.
    let json = std::env::args_os()
        .take_while(|word| word != "--")
        .any(|word| word == "--json");
    if json {
        output::failure(&misuse(error), true);
    } else {
        let _ = error.print();
    }
    ExitCode::from(exit::USAGE)
}

/// A usage error as a failure: its first paragraph says what is wrong, and its
/// usage what to type.
fn misuse(error: &clap::Error) -> Failure {
    let text = error.render().to_string();
    let what = match error.kind() {
        // Its first paragraph is what the command is for.
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => "the command is not complete".into(),
        _ => {
            let first = text.split("\n\n").next().unwrap_or_default();
            let words: Vec<&str> = first.split_whitespace().collect();
            words.join(" ").trim_start_matches("error: ").to_owned()
        }
    };
    let usage = text.lines().find_map(|line| line.strip_prefix("Usage: "));
    Failure::usage(what).next(usage.unwrap_or("the same command with --help"))
}

/// Takes out of a usage error what the person can do nothing with: commands
/// that only the program itself types, and options that the environment set.
/// What was typed where it cannot be is not repeated, for it may be a secret
/// that was meant for somewhere else, and what is said here ends up in logs.
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
    let typed = |error: &clap::Error, kind| match error.get(kind) {
        Some(ContextValue::String(text)) => !text.is_empty() && !text.starts_with('-'),
        _ => false,
    };
    let hidden = || ContextValue::String("…".to_owned());
    if typed(error, ContextKind::InvalidValue) {
        error.insert(ContextKind::InvalidValue, hidden());
    }
    if error.kind() == ErrorKind::UnknownArgument && typed(error, ContextKind::InvalidArg) {
        error.insert(ContextKind::InvalidArg, hidden());
    }
}

/// A whole number as typed. The words of the standard library's parser are
/// about digits, not about what is accepted.
pub(crate) fn whole<T: FromStr>(text: &str) -> Result<T, &'static str> {
    text.parse().map_err(|_| "is not a whole number, such as 3")
}

fn dispatch(cli: Cli) -> Result<ExitCode, Failure> {
    // These run without the rest of the command line: server and gate have runtimes
    // of their own, the key agent none.
    match cli.command {
        Command::Server(command) if command.serves() => return command.run(&cli.global),
        Command::Gate(command) => return command.run(cli.global),
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
        Command::Rotate(command) => command.run(context).await,
        Command::UnsealSource(command) => command.run(context).await,
        Command::Backup(command) => command.run(context).await,
        Command::Restore(command) => command.run(context).await,
        Command::Status(command) => command.run(context).await,
        Command::Doctor(command) => command.run(context).await,
        Command::Setup(command) => command.run(context),
        Command::Namespace(command) => command.run(context).await,
        Command::Operator(command) => command.run(context).await,
        Command::Secret(command) => command.run(context).await,
        Command::Honey(command) => command.run(context).await,
        Command::Agent(command) => command.run(context).await,
        Command::Device(command) => command.run(context).await,
        Command::Join(command) => command.run(context).await,
        Command::Project(command) => command.run(context).await,
        Command::Service(command) => command.run(context).await,
        Command::Auth(command) => command.run(context).await,
        Command::Request(command) => command.run(context).await,
        Command::Sign(command) => command.run(context).await,
        Command::Import(command) => command.run(context).await,
        Command::Grant(command) => command.run(context).await,
        Command::Audit(command) => command.run(context).await,
        Command::Events(command) => command.run(context).await,
        Command::Proposal(command) => command.run(context).await,
        Command::BreakGlass(command) => command.run(context).await,
        Command::ApiKey(command) => command.run(context).await,
        Command::Notify(command) => command.run(context).await,
        Command::Policy(command) => command.run(context).await,
        Command::Transit(command) => command.run(context).await,
        Command::Release(command) => command.run(context).await,
        Command::ReleaseKey(command) => command.run(context).await,
        Command::SigningKey(command) => command.run(context).await,
        Command::Login(command) => command.run(context).await,
        Command::Logout(command) => command.run(context).await,
        Command::Server(command) => command.manage(context).await,
        // Done by `dispatch`.
        Command::Gate(_) | Command::Run(_) | Command::KeyAgent(_) | Command::Reference(_) => Ok(()),
    }
}
