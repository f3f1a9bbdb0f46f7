//! `namespace delete`: the end of a namespace and of everything in it.

use crate::context::Context;
use crate::failure::Failure;
use crate::proposal::agree_first;
use crate::unseal_source::proposal_id;
use crate::{output, terminal};
use procura_types::wire::NamespaceHolds;
use procura_types::{Namespace, ProposalId};

/// Delete a namespace: its keys are destroyed, and nothing in it is ever read again
///
/// One that is in use ends only when its name is typed once more, at the terminal or with
/// --confirm; --yes is not enough. Backups of before still hold it. No other namespace
/// gets its name. Where it takes several stewards, they agree first: procura proposal
/// end-namespace NAME.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  procura namespace delete staging\n  procura namespace delete staging --confirm staging"
)]
pub(crate) struct Args {
    /// Which
    name: Namespace,
    /// The same name once more: it ends with all that is in it
    #[arg(long, value_name = "NAME")]
    confirm: Option<String>,
    /// What the stewards agreed to, where it takes several: procura proposal list
    #[arg(long, value_name = "ID", value_parser = proposal_id)]
    proposal: Option<ProposalId>,
}

impl Args {
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        let name = &self.name;
        if let Some(typed) = &self.confirm {
            same(name, typed)?;
        }
        let server = context.operator().await?;
        let holds = server.namespace(name).await?.holds;
        let confirm = match self.confirm {
            Some(_) => Some(name.clone()),
            None if holds == NamespaceHolds::default() => {
                context.confirm(&format!(
                    "Delete the namespace {name}, which is not in use? This cannot be undone, and no other gets its name."
                ))?;
                None
            }
            None => Some(self.typed(&holds)?),
        };
        let ended = server
            .delete_namespace(name, confirm, self.proposal)
            .await
            .map_err(|error| agree_first(error, &format!("end-namespace {name}")))?;
        if context.json {
            return output::json(&ended);
        }
        output::say(format!(
            "deleted the namespace {name} with {}; its keys are destroyed",
            words(&ended.held)
        ));
        Ok(())
    }

    /// Has a person type the name.
    fn typed(&self, holds: &NamespaceHolds) -> Result<Namespace, Failure> {
        let name = &self.name;
        let question = format!(
            "The namespace {name} has {}. All of it ends and can never be read again. Type its name to go on: ",
            words(holds)
        );
        if !terminal::is_there() {
            return Err(Failure::usage("not done without its name")
                .because(format_args!("there is no terminal to ask at: {question}"))
                .next(format!("procura namespace delete {name} --confirm {name}")));
        }
        same(name, &terminal::line(&question)?)?;
        Ok(name.clone())
    }
}

fn same(name: &Namespace, typed: &str) -> Result<(), Failure> {
    if typed == name.as_str() {
        return Ok(());
    }
    Err(Failure::refused("nothing was deleted")
        .because("what was typed is not the name of the namespace")
        .next(format!("procura namespace show {name}")))
}

fn words(holds: &NamespaceHolds) -> String {
    format!(
        "{} agents, {} secrets, {} projects, {} services, {} transit keys and {} grants that hold",
        holds.agents,
        holds.secrets,
        holds.projects,
        holds.services,
        holds.transit_keys,
        holds.grants
    )
}
