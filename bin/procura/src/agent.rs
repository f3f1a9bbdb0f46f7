//! `agent`: non-human actors.

use crate::context::Context;
use crate::failure::Failure;
use crate::operator::{count, show_code};
use crate::output::{self, Table};
use crate::{actor, agent_foreign, agent_secret, named};
use clap::Subcommand;
use procura_client::{ClientError, SessionClient};
use procura_types::wire::{Agent, AgentCreate, AgentList, AgentSources, RevokedActors};
use procura_types::{ActorId, Cidr, DisplayName, Label};
use std::collections::HashSet;

/// Make, list and revoke agents
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make an agent, and print a code with which its machine joins
    ///
    /// With --json the agent is printed and no code: `procura agent code` makes
    /// one.
    #[command(
        after_help = "Examples:\n  procura agent add scribe\n  procura agent add task-1 --parent scribe"
    )]
    Add {
        /// Its name, unique in the namespace
        label: Label,
        /// The agent that it belongs to [default: you]
        #[arg(long, value_name = "LABEL")]
        parent: Option<Label>,
        /// Print no code; `procura agent code` makes one later
        #[arg(long)]
        no_code: bool,
    },
    /// Print a code with which a machine joins as an agent
    #[command(after_help = "Example:\n  procura agent code scribe")]
    Code {
        /// The agent
        label: Label,
    },
    /// List the agents of the namespace
    #[command(after_help = "Example:\n  procura agent list --revoked")]
    List {
        /// Those that were revoked too
        #[arg(long)]
        revoked: bool,
    },
    /// Show who belongs to whom
    #[command(after_help = "Example:\n  procura agent tree")]
    Tree,
    /// Say from which addresses an agent's requests may come, or show it
    ///
    /// Elsewhere its key proves nothing, also not to gates, and neither do the keys of
    /// agents below it. Behind a proxy the server has to know it (trusted_proxies).
    #[command(
        after_help = "Examples:\n  procura agent sources scribe --allow 10.0.0.0/8 --allow 2001:db8::/48\n  procura agent sources scribe --any\n  procura agent sources scribe"
    )]
    Sources {
        /// The agent
        label: Label,
        /// An address or a block of them; all others are refused
        #[arg(long, value_name = "CIDR")]
        allow: Vec<Cidr>,
        /// It may be anywhere
        #[arg(long, conflicts_with = "allow")]
        any: bool,
    },
    #[command(subcommand)]
    Foreign(agent_foreign::Command),
    #[command(subcommand)]
    Secret(agent_secret::Command),
    /// Say what people call an agent
    ///
    /// Its label never changes, and nothing is decided by this name.
    #[command(
        after_help = "Examples:\n  procura agent display-name scribe \"The scribe of the shop\"\n  procura agent display-name scribe --clear"
    )]
    DisplayName {
        /// The agent
        label: Label,
        /// What people call it: a line of at most 64 characters
        #[arg(required_unless_present = "clear", conflicts_with = "clear")]
        display_name: Option<DisplayName>,
        /// It is called by its label alone
        #[arg(long)]
        clear: bool,
    },
    /// Revoke an agent and all below it, for good
    // Whoever types what they type for namespaces and projects means this.
    #[command(
        alias = "delete",
        after_help = "Example:\n  procura agent revoke scribe"
    )]
    Revoke {
        /// The agent
        label: Label,
    },
}

impl Command {
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        let namespace = &context.namespace;
        match self {
            Self::Foreign(command) => command.run(context).await,
            Self::Secret(command) => command.run(context).await,
            Self::Add {
                label,
                parent,
                no_code,
            } => {
                let server = context.operator().await?;
                let create = AgentCreate { label, parent };
                let agent = server.create_agent(namespace, &create).await?;
                if context.json {
                    return output::json(&agent);
                }
                output::say(format!("made the agent {} in {namespace}", agent.lineage));
                if no_code {
                    return Ok(());
                }
                let code = server.agent_code(namespace, &agent.label).await?;
                show_code(context, &code, "procura join CODE")
            }
            Self::Code { label } => {
                let code = context
                    .operator()
                    .await?
                    .agent_code(namespace, &label)
                    .await?;
                show_code(context, &code, "procura join CODE")
            }
            Self::List { revoked } => {
                let list = context.operator().await?.agents(namespace).await?;
                if context.json {
                    return output::json(&list);
                }
                print_list(&list, revoked)
            }
            Self::Tree => {
                let list = context.operator().await?.agents(namespace).await?;
                if context.json {
                    return output::json(&list);
                }
                print_tree(&list)
            }
            Self::Sources { label, allow, any } => sources(context, label, allow, any).await,
            Self::DisplayName {
                label,
                display_name,
                ..
            } => {
                let server = context.operator().await?;
                let agent = server.name_agent(namespace, &label, display_name).await?;
                let words = named::words("agent", label.as_str(), agent.display_name.as_ref());
                output::done(context.json, &agent, words)
            }
            Self::Revoke { label } => {
                context.confirm(&format!(
                    "Revoke the agent {label} in {namespace} and all below it? This cannot be undone."
                ))?;
                let server = context.operator().await?;
                let revoked = match server.revoke_agent(namespace, &label).await {
                    Err(error) if error.is_refusal("not_found") => {
                        return already(context, &server, &label, error).await;
                    }
                    revoked => revoked?,
                };
                if context.json {
                    return output::json(&revoked);
                }
                output::say(format!(
                    "revoked {label}, {} in all",
                    count(revoked.revoked.len())
                ));
                Ok(())
            }
        }
    }
}

/// Replaces the sources of an agent, or shows them when nothing is said.
async fn sources(
    context: &Context,
    label: Label,
    allow: Vec<Cidr>,
    any: bool,
) -> Result<(), Failure> {
    let (namespace, server) = (&context.namespace, context.operator().await?);
    let agent = if any || !allow.is_empty() {
        let sources = AgentSources { sources: allow };
        server
            .set_agent_sources(namespace, &label, &sources)
            .await?
    } else {
        let list = server.agents(namespace).await?;
        let mut found = list.agents.into_iter();
        found
            .find(|agent| agent.label == label && agent.revoked.is_none())
            .ok_or_else(|| {
                Failure::usage(format!("there is no agent {label} in {namespace}"))
                    .next("procura agent list, or procura agent list -n NS for another namespace")
            })?
    };
    if context.json {
        return output::json(&agent);
    }
    if agent.sources.is_empty() {
        output::say(format!("requests of {label} may come from any address"));
        return Ok(());
    }
    output::say(format!("requests of {label} may come from"));
    for source in &agent.sources {
        output::line(source.to_string())?;
    }
    Ok(())
}

/// There is no such agent: one of before that was revoked is none to revoke,
/// and whoever wants it revoked has what they want.
async fn already(
    context: &Context,
    server: &SessionClient,
    label: &Label,
    error: ClientError,
) -> Result<(), Failure> {
    let Ok(list) = server.agents(&context.namespace).await else {
        return Err(error.into());
    };
    // The newest incarnation comes last.
    let before = list.agents.iter().rev().find(|agent| agent.label == *label);
    let Some(when) = before.and_then(|agent| agent.revoked) else {
        return Err(error.into());
    };
    output::done(
        context.json,
        &RevokedActors {
            revoked: Vec::new(),
        },
        format!("{label} was revoked already, {when}"),
    )
}

fn live_devices(agent: &Agent) -> usize {
    agent
        .devices
        .iter()
        .filter(|device| device.revoked.is_none())
        .count()
}

fn state(agent: &Agent) -> String {
    match agent.revoked {
        Some(when) => format!("revoked {when}"),
        None if live_devices(agent) == 0 => "waits for a machine to join".to_owned(),
        None => "active".to_owned(),
    }
}

fn print_list(list: &AgentList, revoked: bool) -> Result<(), Failure> {
    let mut table = Table::new(["AGENT", "CALLED", "LINEAGE", "DEVICES", "ACTOR", "STATE"]);
    for agent in &list.agents {
        if revoked || agent.revoked.is_none() {
            table.row([
                agent.label.to_string(),
                named::cell(agent.display_name.as_ref()),
                agent.lineage.clone(),
                live_devices(agent).to_string(),
                actor::short(&agent.actor_id.to_string()),
                state(agent),
            ]);
        }
    }
    table.print("no agents")
}

fn print_tree(list: &AgentList) -> Result<(), Failure> {
    let live: Vec<&Agent> = list
        .agents
        .iter()
        .filter(|agent| agent.revoked.is_none())
        .collect();
    let ids: HashSet<ActorId> = live.iter().map(|agent| agent.actor_id).collect();
    let mut roots: Vec<(String, Vec<&Agent>)> = Vec::new();
    for agent in live.iter().filter(|agent| !ids.contains(&agent.parent)) {
        // The way up to an agent's parent is the lineage without its own label.
        let above = agent
            .lineage
            .rsplit_once("//")
            .map_or("?", |(above, _)| above)
            .to_owned();
        match roots.iter_mut().find(|(name, _)| *name == above) {
            Some((_, children)) => children.push(agent),
            None => roots.push((above, vec![agent])),
        }
    }
    if roots.is_empty() {
        output::say("no agents");
    }
    for (name, children) in roots {
        output::line(output::plain(&name))?;
        for child in children {
            branch(child, &live, 1)?;
        }
    }
    Ok(())
}

/// Depth is bounded by the tree itself (`protocol.md` §2: eight), and here too,
/// since the list comes from elsewhere.
const DEEPEST: usize = 16;

fn branch(agent: &Agent, all: &[&Agent], depth: usize) -> Result<(), Failure> {
    if depth > DEEPEST {
        return Ok(());
    }
    output::line(format!(
        "{}{}  {}",
        "  ".repeat(depth),
        agent.label,
        actor::short(&agent.actor_id.to_string())
    ))?;
    for child in all.iter().filter(|child| child.parent == agent.actor_id) {
        branch(child, all, depth + 1)?;
    }
    Ok(())
}
