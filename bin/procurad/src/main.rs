//! `procurad`: the daemon on the host of an agent, and, as `procurad exec`, the
//! stub that becomes an agent's command.

mod args;

use args::{Args, Command, DaemonArgs, ExecArgs};
use clap::Parser as _;
use procura_client::SystemClock;
use procura_crypto::SystemEntropy;
use procura_daemon::stub::{Stub, StubOptions};
use procura_daemon::{DaemonError, DaemonOptions, HttpConnect, Places};
use procura_types::{Clock, Entropy, exit};
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

fn main() -> ExitCode {
    let is_stub = std::env::args_os()
        .nth(1)
        .is_some_and(|first| first == "exec");
    if is_stub {
        // Before anything else: from here on others of this user cannot look.
        return match Stub::protect() {
            Ok(stub) => with_args(|args| match args.command {
                Some(Command::Exec(exec)) => run_stub(stub, exec),
                None => exit::USAGE,
            }),
            Err(error) => failed(&error),
        };
    }
    with_args(|args| match start(args.daemon) {
        Ok(()) => exit::OK,
        Err(error) => {
            say(&error);
            error.exit()
        }
    })
}

fn with_args(then: impl FnOnce(Args) -> u8) -> ExitCode {
    match Args::try_parse() {
        Ok(args) => ExitCode::from(then(args)),
        Err(error) => {
            let code = if error.use_stderr() {
                exit::USAGE
            } else {
                exit::OK
            };
            // Nobody may be reading.
            let _ = error.print();
            ExitCode::from(code)
        }
    }
}

fn run_stub(stub: Stub, exec: ExecArgs) -> u8 {
    let options = StubOptions {
        ticket_fd: exec.ticket_fd,
        socket: exec.socket,
        project: exec.project,
        agent: exec.agent,
        namespace: exec.namespace,
        names: exec.name,
        env_files: exec.env_file,
        wait: exec.wait,
        delivery: exec.delivery,
        hidden: exec.hide,
        json: exec.json,
        command: exec.command,
    };
    stub.exec(&options, &mut io::stdout(), &mut io::stderr())
}

fn start(args: DaemonArgs) -> Result<(), DaemonError> {
    procura_daemon::protect_daemon(args.danger_unlocked_memory)?;
    log(&args.log)?;
    let options = DaemonOptions {
        places: places(args.home, args.socket),
        group: args
            .group
            .as_deref()
            .map(procura_daemon::group_id)
            .transpose()?,
        users: args
            .user
            .iter()
            .map(|user| procura_daemon::user_id(user))
            .collect::<Result<_, _>>()?,
        danger_no_landlock: args.danger_no_landlock,
        tpm: args.tpm,
    };
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let entropy: Arc<dyn Entropy> = Arc::new(SystemEntropy);
    let connect = HttpConnect::new(Arc::clone(&clock), Arc::clone(&entropy));
    procura_daemon::run(
        &options,
        Arc::new(connect),
        clock,
        entropy,
        &mut io::stdout(),
        &mut io::stderr(),
    )
}

#[expect(
    clippy::disallowed_methods,
    reason = "the programs read the environment once and pass it down"
)]
fn places(home: Option<PathBuf>, socket: Option<PathBuf>) -> Places {
    let of = |name| {
        std::env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    Places {
        home,
        socket,
        user_home: of("HOME"),
        runtime_dir: of("XDG_RUNTIME_DIR"),
    }
}

fn log(filter: &str) -> Result<(), DaemonError> {
    let filter = tracing_subscriber::EnvFilter::try_new(filter)
        .map_err(|error| DaemonError::Usage(format!("--log: {error}")))?;
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .init();
    Ok(())
}

fn say(error: &DaemonError) {
    let _ = writeln!(io::stderr(), "procurad: {error}");
}

fn failed(error: &DaemonError) -> ExitCode {
    say(error);
    ExitCode::from(error.exit())
}
