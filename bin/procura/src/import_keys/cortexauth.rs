//! `import cortexauth`: the database of a CortexAuth vault is brought in: secrets with
//! their kinds and namespaces, agents, decoys, and what projects have which names.

mod opened;
mod writing;

use super::tree::{AgentFile, Tree};
use crate::context::Context;
use crate::failure::Failure;
use crate::home::Known;
use crate::output::{self, Table};
use clap::Args;
use opened::{Map, Opened};
use procura_store::cortexauth::CortexAuth;
use procura_types::{Namespace, SecretPath};
use std::path::PathBuf;
use writing::Writing;

/// Bring in a CortexAuth database
///
/// It is opened for reading only, with its password. KEY_VALUE, JSON_CONFIG and
/// TEMPLATE_CONFIG become secrets of the kinds key-value, json and template, at their paths;
/// {{ NAME }} in a template becomes {{procura:NAME}}. A namespace goes into the one of its
/// own name in lower case, which is made if there is none, or where --map says. Agents are
/// made in the namespace of -n with their ids and public keys, as import keys does it. What
/// projects were granted becomes what they map; no agent is named in a project by this. Honey
/// tokens are planted as honey secrets, which takes the role steward.
/// All of it is checked and shown first. Then namespaces, secrets, decoys and mappings are
/// written together, all of them or nothing; agents and their keys follow, and the same
/// command goes on from there should it break off. Values are never shown.
///
/// One import takes 10,000 secrets and 12 MiB: of a larger database --only brings in one
/// namespace at a time. What a project maps already to another secret is not changed by it.
///
/// The password is asked for, or is the first line of --passphrase-fd.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  procura import cortexauth cortex.db --dry-run\n  procura -n ops import cortexauth cortex.db --map default=shop --without-honey"
)]
pub(crate) struct ImportCortexAuth {
    /// The database
    file: PathBuf,
    /// Put a namespace of it into this one, such as default=shop
    #[arg(long, value_name = "THERE=HERE", value_parser = mapped)]
    map: Vec<(String, Namespace)>,
    /// Put a secret of it at this path, such as 'Schlüssel=main/key'
    #[arg(long, value_name = "THERE=HERE", value_parser = placed)]
    path: Vec<(String, SecretPath)>,
    /// Bring in what is in this namespace of it, and leave the rest
    #[arg(long, value_name = "THERE")]
    only: Vec<String>,
    /// Leave honey tokens where they are
    #[arg(long)]
    without_honey: bool,
    /// Replace what is there and differs
    #[arg(long)]
    replace: bool,
    /// Only show what would be written
    #[arg(long)]
    dry_run: bool,
}

fn mapped(text: &str) -> Result<(String, Namespace), String> {
    let (there, here) = text.split_once('=').ok_or("is THERE=HERE")?;
    let here = here.parse().map_err(|error| format!("{error}"))?;
    Ok((there.to_owned(), here))
}

fn placed(text: &str) -> Result<(String, SecretPath), String> {
    let (there, here) = text.rsplit_once('=').ok_or("is THERE=HERE")?;
    let here = here.parse().map_err(|error| format!("{error}"))?;
    Ok((there.to_owned(), here))
}

impl ImportCortexAuth {
    pub(super) async fn run(self, context: &Context) -> Result<(), Failure> {
        let name = self.file.display().to_string();
        let failed = |what: &str| Failure::usage(format!("nothing was brought in: {name} {what}"));
        let mut file = CortexAuth::read(&self.file)
            .map_err(|error| failed("cannot be used").because(error))?;
        let map = Map {
            namespaces: self.map,
            paths: self.path,
        };
        let unmapped = opened::unmapped(&file, &map);
        if !unmapped.is_empty() {
            return Err(failed("has nothing of what these put elsewhere")
                .because(output::plain(&unmapped.join(", "))));
        }
        opened::only(&mut file, &self.only)
            .map_err(|missing| failed("has not all that --only names").because(missing))?;
        let question = format!("Password of {name}");
        let password = context.passphrases.ask(&question).await?;
        let opened = Opened::open(file, &password, &map).map_err(|wrong| wrong.told(&name))?;
        drop(password);
        for note in &opened.notes {
            output::say(note);
        }
        if self.dry_run && Known::find(&context.home)?.is_none() {
            return alone(context, &opened);
        }
        let server = context.operator().await?;
        let mut writing = Writing::prepare(context, &server, opened, self.without_honey).await?;
        if self.dry_run {
            writing.show(context, self.replace)?;
            if let Err(refused) = writing.refuse(self.replace) {
                output::say(output::plain(&refused.to_string()));
            }
            return Ok(());
        }
        writing.refuse(self.replace)?;
        if !context.json {
            writing.show(context, self.replace)?;
        }
        let count = writing.count();
        if count > 0 {
            context.agree(&format!("Write these {count}?"))?;
            writing.write(context, &server).await?;
        }
        if context.json {
            writing.show(context, self.replace)?;
        } else {
            output::say(format!("wrote {count} of what is in {name}"));
        }
        for line in writing.by_hand() {
            output::say(line);
        }
        Ok(())
    }
}

/// Shows what is in it, without a server to ask what is there.
fn alone(context: &Context, opened: &Opened) -> Result<(), Failure> {
    if context.json {
        return output::json(&opened.shown());
    }
    let mut table = Table::new(["WHAT", "NAMESPACE", "NAME"]);
    for row in opened.shown() {
        table.row([row.what.to_owned(), row.namespace, row.name]);
    }
    table.print("nothing to write")?;
    output::say("no server is known here: what is there already was not looked at");
    Ok(())
}

/// Agents as a tree of keys has them.
fn tree(agents: Vec<AgentFile>) -> Tree {
    Tree {
        agents,
        ..Tree::default()
    }
}
