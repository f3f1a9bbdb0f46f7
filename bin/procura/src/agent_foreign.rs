//! `agent foreign`: ids of other systems that stand for agents.

use crate::actor;
use crate::context::Context;
use crate::failure::Failure;
use crate::output::{self, Table};
use clap::Subcommand;
use procura_client::ClientError;
use procura_types::wire::{ForeignBind, ForeignIdentity};
use procura_types::{ForeignId, Label};
use serde::Serialize;

/// Say which agent an id of another system stands for
///
/// Agents that sign by the rules of another system name themselves by an id of that
/// system. Bound to an agent of ours, such an id can fetch the keys that the agent has
/// grants for, and get tokens and secrets.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Let an id stand for an agent
    ///
    /// The key of the id is its file in keys/agents of the server's home. An id that is
    /// enrolled (POST /agent/enroll/start) has a key of its own and needs no file. Where
    /// the file is there already, this takes the role steward, beside admin.
    #[command(after_help = "Example:\n  procura agent foreign bind scribe-7 scribe")]
    Bind {
        /// The id, unique in the installation
        id: ForeignId,
        /// The agent
        label: Label,
    },
    /// List the ids of the namespace
    #[command(after_help = "Example:\n  procura agent foreign list")]
    List,
    /// Let an id stand for nobody
    ///
    /// Its secrets end, and so does the key that it was enrolled with, also for native
    /// proofs.
    #[command(after_help = "Example:\n  procura agent foreign release scribe-7")]
    Release {
        /// The id
        id: ForeignId,
    },
}

/// What `--json` prints of a release.
#[derive(Serialize)]
struct Released {
    released: ForeignId,
}

impl Command {
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        let namespace = &context.namespace;
        match self {
            Self::Bind { id, label } => {
                let server = context.operator().await?;
                let bind = ForeignBind { agent: label };
                let bound = server.bind_foreign_id(namespace, &id, &bind).await;
                let bound = bound.map_err(|error| taken(&id, error))?;
                output::done(
                    context.json,
                    &bound,
                    format!("{id} stands for the agent {} in {namespace}", bound.agent),
                )
            }
            Self::List => {
                let list = context.operator().await?.foreign_ids(namespace).await?;
                if context.json {
                    return output::json(&list);
                }
                let mut table = Table::new(["ID", "AGENT", "KEY", "SECRETS", "BOUND", "STATE"]);
                for id in &list.ids {
                    table.row([
                        id.agent_id.to_string(),
                        id.agent.to_string(),
                        key(id),
                        id.secrets.len().to_string(),
                        id.created.to_string(),
                        if id.revoked { "revoked" } else { "active" }.to_owned(),
                    ]);
                }
                table.print("no ids of other systems")
            }
            Self::Release { id } => {
                context.confirm(&format!(
                    "Release {id}? Its secrets end, and so does the key that it was enrolled with."
                ))?;
                let server = context.operator().await?;
                server
                    .release_foreign_id(namespace, &id)
                    .await
                    .map_err(unbound)?;
                let words = format!("{id} stands for nobody");
                output::done(context.json, &Released { released: id }, words)
            }
        }
    }
}

/// The id stands for nobody in the namespace.
pub(crate) fn unbound(error: ClientError) -> Failure {
    let is_absent = error.is_refusal("not_found");
    let failure = Failure::from(error);
    if is_absent {
        failure.next("procura agent foreign list, with -n NS for another namespace")
    } else {
        failure
    }
}

/// The id stands for another agent.
fn taken(id: &ForeignId, error: ClientError) -> Failure {
    let is_taken = error.is_refusal("already_exists");
    let failure = Failure::from(error);
    if is_taken {
        failure.next(format!(
            "procura agent foreign release {id}, with -n NS if it is bound in another namespace"
        ))
    } else {
        failure
    }
}

fn key(id: &ForeignIdentity) -> String {
    id.device.map_or_else(
        || "its file, if there is one".to_owned(),
        |device| actor::short(&device.to_string()),
    )
}
