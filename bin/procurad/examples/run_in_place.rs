//! How a program becomes a command with a project's values in its environment:
//! what `procura run` does, and no more.
//!
//! ```text
//! run_in_place SOCKET PROCURAD PROJECT [--name NAME] [--env-file FILE] [--wait] [--delivery WAY] [--hide PATH] [--json] -- COMMAND…
//! ```

use procura_daemon::socket::client::{RunOptions, run};
use procura_types::{Delivery, exit};
use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    let (Some(socket), Some(procurad), Some(project)) =
        (arguments.next(), arguments.next(), arguments.next())
    else {
        return ExitCode::from(exit::USAGE);
    };
    let Some(Ok(project)) = project.to_str().map(str::parse) else {
        return ExitCode::from(exit::USAGE);
    };
    let mut options = RunOptions {
        socket: PathBuf::from(socket),
        procurad: Some(PathBuf::from(procurad)),
        project,
        agent: None,
        namespace: None,
        names: Vec::new(),
        env_files: Vec::new(),
        wait: false,
        delivery: Delivery::Env,
        hidden: Vec::new(),
        json: false,
        command: Vec::new(),
    };
    while let Some(argument) = arguments.next() {
        match argument.to_str() {
            Some("--name") => match arguments
                .next()
                .as_deref()
                .and_then(std::ffi::OsStr::to_str)
                .map(str::parse)
            {
                Some(Ok(name)) => options.names.push(name),
                _ => return ExitCode::from(exit::USAGE),
            },
            Some("--env-file") => options
                .env_files
                .extend(arguments.next().map(PathBuf::from)),
            Some("--hide") => options.hidden.extend(arguments.next().map(PathBuf::from)),
            Some("--wait") => options.wait = true,
            Some("--delivery") => match arguments
                .next()
                .as_deref()
                .and_then(std::ffi::OsStr::to_str)
                .map(str::parse)
            {
                Some(Ok(delivery)) => options.delivery = delivery,
                _ => return ExitCode::from(exit::USAGE),
            },
            Some("--json") => options.json = true,
            Some("--") => options.command = arguments.by_ref().collect(),
            _ => return ExitCode::from(exit::USAGE),
        }
    }
    // Comes back only if this process did not become the command.
    let error = run(&options);
    let _ = writeln!(std::io::stderr(), "run_in_place: {error}");
    ExitCode::from(error.exit())
}
