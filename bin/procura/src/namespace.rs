//! `namespace`: units of isolation.

use crate::context::Context;
use crate::failure::Failure;
use crate::output::{self, Table};
use clap::Subcommand;
use procura_types::Namespace;

/// Make and list namespaces, the units of isolation
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make a namespace
    #[command(after_help = "Example:\n  procura namespace create staging")]
    Create {
        /// Its name
        name: Namespace,
    },
    /// List the namespaces that you have a part in
    #[command(after_help = "Example:\n  procura namespace list --json")]
    List,
}

impl Command {
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        let server = context.operator().await?;
        match self {
            Self::Create { name } => {
                let made = server.create_namespace(&name).await?;
                if context.json {
                    return output::json(&made);
                }
                output::say(format!("made the namespace {}", made.name));
                Ok(())
            }
            Self::List => {
                let list = server.namespaces().await?;
                if context.json {
                    return output::json(&list);
                }
                let mut table = Table::new(["NAMESPACE", "CREATED"]);
                for namespace in list.namespaces {
                    table.row([namespace.name.to_string(), namespace.created.to_string()]);
                }
                table.print("no namespaces")
            }
        }
    }
}
