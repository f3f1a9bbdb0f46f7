//! `operator passkey`: with which a person signs in in a browser, and approves there.

use crate::context::Context;
use crate::failure::Failure;
use crate::output::{self, Table};
use clap::Subcommand;
use procura_types::wire::Passkey;
use procura_types::{DisplayName, Label, Thumbprint};
use serde_json::json;

/// Enrol, list, rename and remove passkeys, with which you sign in and approve in a browser
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Print a code with which a browser enrols one more passkey of yours
    ///
    /// Open the page that is named in the browser, and give it the code. It is good once,
    /// for ten minutes. Nobody makes one for somebody else: whoever has your passkey can
    /// approve as you.
    #[command(after_help = "Example:\n  procura operator passkey invite")]
    Invite,
    /// List your passkeys
    #[command(
        after_help = "Examples:\n  procura operator passkey list\n  procura operator passkey list --of bob"
    )]
    List {
        /// Those of another operator, for a steward
        #[arg(long, value_name = "NAME")]
        of: Option<Label>,
    },
    /// Call a passkey of yours something else
    #[command(
        after_help = "Example:\n  procura operator passkey rename PCfMGuJiMVe6aCQMYtYGJGsHzlHJxaIYy7e2ZrnUfxo 'Blue key'"
    )]
    Rename {
        /// The passkey's id: procura operator passkey list
        // One in 64 begins with a hyphen.
        #[arg(allow_hyphen_values = true)]
        id: Thumbprint,
        /// What you call it
        name: DisplayName,
    },
    /// Remove a passkey, for good; web logins made with it end at once
    #[command(
        after_help = "Example:\n  procura operator passkey remove PCfMGuJiMVe6aCQMYtYGJGsHzlHJxaIYy7e2ZrnUfxo"
    )]
    Remove {
        /// The passkey's id: procura operator passkey list
        // One in 64 begins with a hyphen.
        #[arg(allow_hyphen_values = true)]
        id: Thumbprint,
    },
}

impl Command {
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        match self {
            Self::Invite => invite(context).await,
            Self::List { of } => list(context, of).await,
            Self::Rename { id, name } => {
                let server = context.operator().await?;
                let passkey = server.rename_passkey(&id, name).await?;
                let words = format!("passkey {id} is called {}", passkey.name);
                output::done(context.json, &passkey, words)
            }
            Self::Remove { id } => remove(context, &id).await,
        }
    }
}

async fn invite(context: &Context) -> Result<(), Failure> {
    let server = context.operator().await?;
    let name = context.known()?.name;
    let code = server.passkey_code(&name).await?;
    if context.json {
        return output::json(&code);
    }
    output::say(format!(
        "one use, until {}; in the browser that is to have the passkey, open\n  {}\nand give it the code",
        code.expires,
        output::plain(&code.page)
    ));
    output::line(&code.code)
}

async fn list(context: &Context, of: Option<Label>) -> Result<(), Failure> {
    let server = context.operator().await?;
    let name = match of {
        Some(name) => name,
        None => context.known()?.name,
    };
    let list = server.passkeys(&name).await?;
    if context.json {
        return output::json(&list);
    }
    let mut table = Table::new(["ID", "NAME", "SITE", "ENROLLED", "USED", "STATE"]);
    for passkey in &list.passkeys {
        table.row(row(passkey));
    }
    table.print("no passkeys")
}

fn row(passkey: &Passkey) -> [String; 6] {
    let used = passkey.used;
    let removed = passkey.removed;
    [
        passkey.id.to_string(),
        passkey.name.to_string(),
        passkey.relying_party.clone(),
        passkey.created.to_string(),
        used.map_or_else(|| "never".to_owned(), |when| when.to_string()),
        removed.map_or_else(|| "active".to_owned(), |when| format!("removed {when}")),
    ]
}

async fn remove(context: &Context, id: &Thumbprint) -> Result<(), Failure> {
    context.confirm(&format!(
        "Remove passkey {id}? Web logins made with it end, and it cannot be enrolled again."
    ))?;
    let server = context.operator().await?;
    server.remove_passkey(id).await?;
    let words = format!("removed passkey {id}");
    output::done(context.json, &json!({ "id": id }), words)
}
