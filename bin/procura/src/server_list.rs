//! `server list` and `server remove`: the servers of one installation.

use crate::context::Context;
use crate::failure::Failure;
use crate::output::{self, Table};
use clap::Subcommand;
use procura_types::InstanceId;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List the servers that use the same database, and when each was last heard of
    ///
    /// The id of a server is in server.id of its home. An absent one was not heard of for
    /// server_absent_seconds and did not say that it goes: no later root is handed over to
    /// it, and it is sealed and unsealed to count again, or removed.
    #[command(after_help = "Example:\n  procura server list")]
    List,
    /// Remove a server for good, such as one that was stolen
    ///
    /// Nothing that it writes applies from then on, it seals itself if it still runs, and
    /// its home is let in no more. What it had in its memory it may have told somebody:
    /// afterwards turn the root (procura rotate root), take out the unseal sources that
    /// its machine can open, and give the database's user another password.
    #[command(
        after_help = "Example:\n  procura server remove 01a1fda1-e687-7176-8bc9-a6fc96e98633"
    )]
    Remove {
        /// Its id, as procura server list shows it
        id: InstanceId,
    },
}

impl Command {
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        match self {
            Self::List => list(context).await,
            Self::Remove { id } => {
                context.confirm(&format!(
                    "Remove the server {id}? Its home is never let in again; a server on its machine takes a new home."
                ))?;
                let server = context.operator().await?;
                server.remove_server(&id).await?;
                output::done(
                    context.json,
                    &serde_json::json!({ "removed": id }),
                    format!(
                        "{id} is removed; if others may have it, type procura rotate root, and give the database's user another password"
                    ),
                )
            }
        }
    }
}

async fn list(context: &Context) -> Result<(), Failure> {
    let server = context.operator().await?;
    let list = server.servers().await?;
    if context.json {
        return output::json(&list);
    }
    let mut table = Table::new(["ID", "HOST", "STATE", "SINCE", "HEARD OF", "ANSWERS"]);
    for server in list.servers {
        let answers = if server.answers { "yes" } else { "" };
        table.row([
            server.id.to_string(),
            server.host,
            server.state.as_str().to_owned(),
            server.since.to_string(),
            server.seen.to_string(),
            answers.to_owned(),
        ]);
    }
    table.print("no servers beside each other: the store is in the home of one")
}
