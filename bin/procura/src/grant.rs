//! `grant`: what agents may have, and taking it back.

use crate::context::Context;
use crate::failure::Failure;
use crate::output::{self, Table};
use crate::request::describe_caller;
use clap::Subcommand;
use procura_client::Page;
use procura_types::wire::{Grant, GrantList, Withdrawn};
use procura_types::{GrantId, Timestamp};

/// See what agents may have, and take it back
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List grants; those that hold, unless told otherwise
    #[command(after_help = "Example:\n  procura grant list --all")]
    List {
        /// Those that were withdrawn or have ended too
        #[arg(long)]
        all: bool,
    },
    /// Show a grant
    #[command(after_help = "Example:\n  procura grant show 01997a3e-5a6c-7d21-9d0e-3f6f2f6f0a11")]
    Show {
        /// The grant
        id: GrantId,
    },
    /// Withdraw a grant: the next read is refused
    #[command(
        after_help = "Example:\n  procura grant withdraw 01997a3e-5a6c-7d21-9d0e-3f6f2f6f0a11"
    )]
    Withdraw {
        /// The grant
        id: GrantId,
    },
}

impl Command {
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        let server = context.operator().await?;
        let namespace = &context.namespace;
        match self {
            Self::List { all } => {
                let mut found = GrantList {
                    grants: Vec::new(),
                    next: None,
                };
                let mut page = Page::first();
                loop {
                    let part = server.grants(namespace, &page).await?;
                    found.grants.extend(part.grants);
                    match part.next {
                        Some(next) => page = Page::after(next),
                        None => break,
                    }
                }
                let now = context.now();
                if !all {
                    found
                        .grants
                        .retain(|grant| grant.withdrawn.is_none() && now < grant.until);
                }
                if context.json {
                    return output::json(&found);
                }
                print(found.grants, now)
            }
            Self::Show { id } => {
                let grant = server.grant(namespace, id).await?;
                if context.json {
                    return output::json(&grant);
                }
                output::line(output::plain(&describe(&grant, context.now())))
            }
            Self::Withdraw { id } => {
                let withdrawn = server.withdraw(namespace, id).await?;
                if context.json {
                    return output::json(&withdrawn);
                }
                tell(&withdrawn);
                Ok(())
            }
        }
    }
}

fn state(grant: &Grant, now: Timestamp) -> String {
    match grant.withdrawn {
        Some(when) => format!("withdrawn {when}"),
        None if grant.until <= now => format!("ended {}", grant.until),
        None => format!("until {}", grant.until),
    }
}

fn print(grants: Vec<Grant>, now: Timestamp) -> Result<(), Failure> {
    let mut table = Table::new(["GRANT", "AGENT", "PROJECT", "NAMES", "STATE"]);
    for grant in grants {
        let names: Vec<_> = grant.items.iter().map(|item| item.name.as_str()).collect();
        table.row([
            grant.id.to_string(),
            grant.lineage.clone(),
            grant.project.to_string(),
            names.join(","),
            state(&grant, now),
        ]);
    }
    table.print("no grants")
}

fn describe(grant: &Grant, now: Timestamp) -> String {
    let mut lines = vec![
        format!("grant      {} ({})", grant.id, state(grant, now)),
        format!("agent      {} ({})", grant.lineage, grant.agent),
        format!("project    {} in {}", grant.project, grant.namespace),
        format!("delivery   {}", grant.delivery.as_str()),
        format!("from       {}", grant.from),
        format!(
            "approved   {} by {}, device {}",
            grant.receipt.time, grant.receipt.approver, grant.receipt.device
        ),
        "covers".to_owned(),
    ];
    lines.extend(
        grant
            .items
            .iter()
            .map(|item| format!("  {} = {}", item.name, item.path)),
    );
    lines.join("\n")
}

fn tell(withdrawn: &Withdrawn) {
    output::say(format!(
        "withdrawn {}: no read passes from now on",
        withdrawn.grant.id
    ));
    if withdrawn.running.is_empty() {
        return;
    }
    output::say("these processes have the values from before, which cannot be taken back:");
    for child in &withdrawn.running {
        let mut lines = vec![format!(
            "run {} since {} on device {}",
            child.run, child.started, child.device
        )];
        lines.extend(child.caller.iter().flat_map(describe_caller));
        output::say(output::plain(&lines.join("\n")));
    }
}
