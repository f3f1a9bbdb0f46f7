//! The log of what runs until it is stopped, on stderr.

use crate::failure::Failure;
use clap::Args;
use std::io::IsTerminal as _;
use tracing_subscriber::EnvFilter;

/// What goes into the log.
#[derive(Debug, Args)]
pub(crate) struct Logging {
    /// What to log, such as info or procura_server=debug
    #[arg(
        long,
        env = "PROCURA_LOG",
        value_name = "FILTER",
        default_value = "info"
    )]
    log: String,
}

impl Logging {
    /// Begins the log.
    pub(crate) fn begin(&self) -> Result<(), Failure> {
        let filter = EnvFilter::try_new(&self.log)
            .map_err(|error| Failure::usage("--log").because(error))?;
        let log = tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_writer(std::io::stderr);
        // People read lines, collectors read JSON.
        if std::io::stderr().is_terminal() {
            log.init();
        } else {
            log.json().init();
        }
        Ok(())
    }
}
