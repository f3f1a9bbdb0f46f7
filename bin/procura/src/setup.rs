//! `setup`: makes a machine ready for a part of Procura.

mod agent_host;
mod source;
mod step;

use crate::context::Context;
use crate::failure::Failure;
use clap::Subcommand;

pub(crate) use agent_host::{GROUP, UNIT};

/// Make this machine ready for a part of Procura
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    AgentHost(agent_host::AgentHost),
}

impl Command {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        match self {
            Self::AgentHost(command) => command.run(context),
        }
    }
}
