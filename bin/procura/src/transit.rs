//! `transit`: keys that wrap small things for devices of agents.

use crate::context::Context;
use crate::failure::Failure;
use crate::output::{self, Table};
use clap::Subcommand;
use procura_types::Label;
use procura_types::wire::TransitPut;

/// Make, list and remove keys that wrap for others, such as another Procura's unseal source
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List them, and who may use them
    #[command(after_help = "Example:\n  procura transit list")]
    List,
    /// Make one, or say anew whose devices may use it
    #[command(after_help = "Example:\n  procura transit put unseal --agent east --agent west")]
    Put {
        /// Its name
        key: Label,
        /// An agent whose devices may wrap and unwrap with it; as often as there are
        #[arg(long, value_name = "LABEL")]
        agent: Vec<Label>,
    },
    /// Remove one: what it wrapped is never unwrapped again
    #[command(after_help = "Example:\n  procura transit remove unseal")]
    Remove {
        /// Its name
        key: Label,
    },
}

impl Command {
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        let namespace = &context.namespace;
        match self {
            Self::List => list(context).await,
            Self::Put { key, agent } => {
                let put = TransitPut { agents: agent };
                let server = context.operator().await?;
                let made = server.put_transit_key(namespace, &key, &put).await?;
                let words = match made.agents.len() {
                    0 => format!("{key} is used by nobody"),
                    _ => format!("{key} is used by devices of {}", words(&made.agents)),
                };
                output::done(context.json, &made, words)
            }
            Self::Remove { key } => {
                context.confirm(&format!(
                    "Remove the transit key {key}? What it wrapped is never unwrapped again: a vault that nothing else opens stays sealed for good."
                ))?;
                let server = context.operator().await?;
                server.remove_transit_key(namespace, &key).await?;
                output::done(
                    context.json,
                    &serde_json::json!({ "removed": key }),
                    format!("{key} is gone, and with it what it wrapped"),
                )
            }
        }
    }
}

fn words(agents: &[Label]) -> String {
    let agents: Vec<&str> = agents.iter().map(Label::as_str).collect();
    agents.join(", ")
}

async fn list(context: &Context) -> Result<(), Failure> {
    let server = context.operator().await?;
    let list = server.transit_keys(&context.namespace).await?;
    if context.json {
        return output::json(&list);
    }
    let mut table = Table::new(["NAME", "AGENTS", "SINCE"]);
    for key in list.keys {
        table.row([
            key.name.to_string(),
            words(&key.agents),
            key.created.to_string(),
        ]);
    }
    table.print("no transit keys")
}
