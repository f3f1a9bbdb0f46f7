//! `import keys`: a tree of keys of another system is brought in: public keys of
//! agents, private keys of SSH, keys of APIs and the list of addresses that may ask.

mod cortexauth;
mod names;
mod plan;
mod project;
mod server_home;
mod tree;

use crate::context::Context;
use crate::failure::Failure;
use crate::home::Known;
use crate::output::{self, Table};
use clap::{Args, Subcommand};
use plan::{Plan, State, Step};
use server_home::ServerHome;
use std::path::PathBuf;
use tree::Tree;

/// Bring in what another system kept
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Keys(ImportKeys),
    #[command(name = "cortexauth")]
    CortexAuth(cortexauth::ImportCortexAuth),
}

impl Command {
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        match self {
            Self::Keys(import) => import.run(context).await,
            Self::CortexAuth(import) => import.run(context).await,
        }
    }
}

/// Bring in a tree of keys
///
/// agents/ID.pub (OpenSSH, Ed25519) becomes an agent with the id ID bound to it; its
/// label is the id in lower case with - for other characters than letters and digits.
/// ssh/NAME becomes the secret ssh/NAME, SERVICE/api-key.txt the secret api/SERVICE
/// without the end of its line, and the project keys maps them and names the agents.
/// Public keys and allowed-clients.json are copied into the home of a server here, else
/// it says where to copy them. To bind an id whose public key is in the server's home
/// already takes the role steward, beside admin. All of the tree must be in order, or nothing is written.
/// What is there already and the same is left; to compare, secrets that exist are read.
/// Values are never shown.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  procura -n shop import keys /srv/keys --dry-run\n  procura -n shop import keys /srv/keys"
)]
pub(crate) struct ImportKeys {
    /// The tree
    dir: PathBuf,
    /// Replace what is there and differs
    #[arg(long)]
    replace: bool,
    /// Only show what would be written
    #[arg(long)]
    dry_run: bool,
}

impl ImportKeys {
    async fn run(self, context: &Context) -> Result<(), Failure> {
        // All of the tree is judged before anybody is asked for anything.
        let tree = tree::read(&self.dir)?;
        for left in &tree.left {
            output::say(format!("left where it is: {left}"));
        }
        if self.dry_run && Known::find(&context.home)?.is_none() {
            return alone(context, &tree);
        }
        let server = context.operator().await?;
        let home = ServerHome::find(context)?;
        let mut plan = Plan::make(context, &server, tree, home).await?;
        if self.dry_run {
            return self.try_out(context, &plan);
        }
        self.refuse_differences(&plan)?;
        if !context.json {
            preview(&plan.steps, |state| state.shown(true))?;
        }
        let left_to_do = plan.steps.iter().filter(|step| !step.state.is_same());
        let count = left_to_do.count();
        if count > 0 {
            context.agree(&format!("Write these {count} in {}?", context.namespace))?;
            plan.write(context, &server).await?;
        }
        if context.json {
            output::json(&plan.steps)?;
        } else {
            output::say(format!(
                "wrote {count} of {} in {}",
                plan.steps.len(),
                context.namespace
            ));
        }
        for line in &plan.by_hand {
            output::say(line);
        }
        Ok(())
    }

    /// Shows what would be written, and what is in the way.
    fn try_out(&self, context: &Context, plan: &Plan) -> Result<(), Failure> {
        if context.json {
            return output::json(&plan.steps);
        }
        preview(&plan.steps, |state| state.shown(self.replace))?;
        if let Err(refused) = self.refuse_differences(plan) {
            output::say(output::plain(&refused.to_string()));
        }
        for line in &plan.by_hand {
            output::say(line);
        }
        Ok(())
    }

    fn refuse_differences(&self, plan: &Plan) -> Result<(), Failure> {
        let of = |stops: fn(&State) -> bool| -> Vec<String> {
            let steps = plan.steps.iter().filter(|step| stops(&step.state));
            steps
                .map(|step| format!("{} {}: {}", step.what, step.name, step.state.shown(false)))
                .collect()
        };
        let refused = |what: &str, steps: &[String]| {
            Failure::refused(format!("nothing is written, for {what}"))
                .because(format_args!("\n    {}", steps.join("\n    ")))
        };
        let blocked = of(State::is_blocked);
        if !blocked.is_empty() {
            return Err(refused("these belong to others", &blocked));
        }
        let different = of(State::is_different);
        if !different.is_empty() && !self.replace {
            return Err(refused("these are there already and differ", &different)
                .next("--replace puts what is in the tree in their place"));
        }
        Ok(())
    }
}

/// Shows what is in the tree, without a server to ask what is there.
fn alone(context: &Context, tree: &Tree) -> Result<(), Failure> {
    let steps = plan::of_tree(tree);
    if context.json {
        return output::json(&steps);
    }
    preview(&steps, |_| String::new())?;
    output::say("no server is known here: what is there already was not looked at");
    Ok(())
}

fn preview(steps: &[Step], state: impl Fn(&State) -> String) -> Result<(), Failure> {
    let mut table = Table::new(["WHAT", "NAME", ""]);
    for step in steps {
        table.row([step.what.to_owned(), step.name.clone(), state(&step.state)]);
    }
    table.print("nothing to write")
}
