//! `project rebind` and `project delete`: what ends with a project, and with its move.

use crate::context::Context;
use crate::failure::Failure;
use crate::output;
use crate::project::{self, Mapping};
use clap::Args;
use procura_types::wire::{ProjectEnded, ProjectRebind};
use procura_types::{Label, ProjectName};

/// Whom a project goes to.
#[derive(Debug, Args)]
pub(crate) struct Rebind {
    /// The project
    name: ProjectName,
    /// An agent that may ask from now on; all others may not, and their grants end
    #[arg(
        long = "agent",
        value_name = "LABEL",
        required_unless_present = "nobody"
    )]
    agents: Vec<Label>,
    /// No agent may ask from now on
    #[arg(long, conflicts_with = "agents")]
    nobody: bool,
    /// A name in the environment, and the secret behind it; all others go
    #[arg(long = "env", value_name = "NAME=PATH")]
    env: Vec<Mapping>,
}

impl Rebind {
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        context.confirm(&format!(
            "Give the project {} to {}? The grants of all other agents end.",
            self.name,
            match self.agents.as_slice() {
                [] => "nobody".to_owned(),
                agents => {
                    let labels: Vec<_> = agents.iter().map(Label::as_str).collect();
                    labels.join(", ")
                }
            }
        ))?;
        let env = self
            .env
            .into_iter()
            .map(|mapped| (mapped.name, mapped.path));
        let env: std::collections::BTreeMap<_, _> = env.collect();
        let rebind = ProjectRebind {
            agents: self.agents,
            env: (!env.is_empty()).then_some(env),
        };
        let server = context.operator().await?;
        let rebound = server
            .rebind_project(&context.namespace, &self.name, &rebind)
            .await?;
        if context.json {
            return output::json(&rebound);
        }
        tell(&rebound.ended);
        project::show(context, &rebound.project)
    }
}

/// Deletes a project.
pub(crate) async fn delete(context: &Context, name: &ProjectName) -> Result<(), Failure> {
    context.confirm(&format!(
        "Delete the project {name} in {}? Its grants and requests end.",
        context.namespace
    ))?;
    let server = context.operator().await?;
    let deleted = server.delete_project(&context.namespace, name).await?;
    if context.json {
        return output::json(&deleted);
    }
    output::say(format!("deleted the project {name}"));
    tell(&deleted.ended);
    Ok(())
}

/// What ended, and what goes on with values that nothing takes back.
fn tell(ended: &ProjectEnded) {
    output::say(format!(
        "{} grants and {} requests ended",
        ended.withdrawn.len(),
        ended.ended.len()
    ));
    if ended.running.is_empty() {
        return;
    }
    output::say("still running with values that they got, and seen to end by nobody:");
    for child in &ended.running {
        output::say(format!(
            "  run {} on device {}, since {}",
            child.run, child.device, child.started
        ));
    }
}
