//! `./x bench`: how fast the released server is, beside what the machine can do.
//!
//! The server is a process of its own, on a fresh home, set up through its own
//! command line. This process generates the load and checks every answer. See
//! `docs/benchmarks.md` for what each figure means.

mod at_once;
mod backups;
mod bare;
mod browser;
mod connection;
mod device_codes;
mod floors;
mod forward;
mod gated;
mod histogram;
mod honey_reads;
mod installation;
mod load;
mod notifications;
mod pages;
mod plan;
mod policies;
mod presigned;
mod process;
mod prover;
mod report;
mod rotations;
mod servers;
mod shared;
mod sign_ins;
mod streams;
mod token_use;
mod turns;
mod values;

use clap::Parser;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

/// What a measurement gives, or why all of it is worth nothing.
type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

/// Longer than the 76 s for which the server remembers a proof, so that it
/// forgets as much as it learns while it is measured.
const HEADLINE_SECONDS: u64 = 80;

/// Measures the released server of Procura
#[derive(Debug, Parser)]
#[command(name = "procura-bench", version)]
struct Cli {
    /// Write the figures there, as JSON Lines
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Seconds of each of the three runs of the two headline figures
    #[arg(long, value_name = "N", default_value_t = HEADLINE_SECONDS, value_parser = clap::value_parser!(u64).range(1..))]
    seconds: u64,
    /// Ten seconds where it would be eighty, and shorter elsewhere: for a look, not for figures to keep
    #[arg(long)]
    quick: bool,
    /// Measure only these: floors, read_session, read_session_8, read_ed25519, flat, ready, streams, verify_api, verify_shared, servers, backup, rotate, at_once, honey_reads, policies, token_use, device_codes, sign_ins, notifications, pages, gate_session, gate_key_server
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    only: Vec<plan::Part>,
    /// Where the fresh home is made; needs some 20 GB for a full run [default: beside this program]
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Answers plain HTTP on a free port until it is killed; the floor that is measured against
    #[arg(long, hide = true)]
    bare_http: bool,
    /// Follows events as this file says, and tells when it heard of them
    #[arg(long, hide = true, value_name = "FILE")]
    follow_events: Option<PathBuf>,
    /// Passes plain HTTP on to that port of this machine until it is killed; the proxy that a gate is measured against
    #[arg(long, hide = true, value_name = "PORT")]
    forward: Option<u16>,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let done = match (cli.forward, &cli.follow_events) {
        (Some(port), _) => forward::serve(port),
        (None, Some(orders)) => streams::follow(orders),
        (None, None) if cli.bare_http => bare::serve(),
        (None, None) => measure(cli),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            report::say(&format!("procura-bench: {error}"));
            ExitCode::FAILURE
        }
    }
}

fn measure(cli: Cli) -> Outcome<()> {
    // Opened before an hour's work is done for it.
    let json = cli.json.as_deref().map(std::fs::File::create).transpose()?;
    let (headline, other) = if cli.quick {
        (10.min(cli.seconds), 4)
    } else {
        (cli.seconds, 20)
    };
    let plan = plan::Plan {
        only: cli.only,
        headline: Duration::from_secs(headline),
        other: Duration::from_secs(other),
        dir: cli.dir,
    };
    let figures = plan.run()?;
    report::table(&figures)?;
    if let Some(mut json) = json {
        for figure in &figures {
            serde_json::to_writer(&mut json, figure)?;
            json.write_all(b"\n")?;
        }
    }
    Ok(())
}
