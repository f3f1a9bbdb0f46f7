//! `join`: this machine becomes one of an agent's.

use crate::cli::whole;
use crate::context::Context;
use crate::failure::Failure;
use crate::join_device;
use crate::operator::read_code;
use crate::output;
use crate::run::Socket;
use clap::Args;
use procura_daemon::socket::client::{DaemonClient, JoinOptions};
use procura_types::{DisplayName, Joins};

/// Join this machine to an agent, by a link code or an operator's yes
///
/// The daemon makes the device's key and keeps it. With --device the server is asked, an
/// operator says whose machine this is, and both see the same fingerprint. Operators join
/// with `procura operator join`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  procura join pcj1_…\n  procura join < code.txt\n  procura join --device --server https://procura.example"
)]
pub(crate) struct Join {
    /// The link code; without it, it is asked for or read from a pipe
    #[arg(conflicts_with = "device")]
    code: Option<String>,
    /// Ask the server, show a code for an operator, and wait for their answer
    #[arg(long)]
    device: bool,
    /// What the operator is told that this machine is called [default: its host name]
    #[arg(long, value_name = "NAME", requires = "device")]
    host: Option<DisplayName>,
    /// The user who may use the device, by number; for root
    #[arg(long, value_name = "UID", value_parser = whole::<u32>)]
    uid: Option<u32>,
    #[command(flatten)]
    socket: Socket,
}

impl Join {
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        if self.device {
            let socket = self.socket.path(context)?;
            return join_device::join(context, &socket, self.uid, self.host);
        }
        let code = read_code(self.code).await?;
        if !matches!(code.joins, Joins::Agent(_)) {
            return Err(
                Failure::usage("this code is for a person, not for an agent's machine")
                    .next("procura operator join CODE"),
            );
        }
        let ca_pem = context
            .ca_pem()?
            .map(String::from_utf8)
            .transpose()
            .map_err(|error| Failure::usage("--ca is not PEM").because(error))?;
        let options = JoinOptions {
            // The daemon has no environment of its own to speak of another.
            url: Some(context.server_of(&code)?),
            ca_pem,
            uid: self.uid,
        };
        let daemon = DaemonClient::connect(&self.socket.path(context)?)?;
        let device = daemon.join(&code.encode(), options)?;
        if context.json {
            return output::json(&device);
        }
        output::say(output::plain(&format!(
            "this machine is {} now",
            device.lineage
        )));
        Ok(())
    }
}
