//! `operator oidc`: identities at identity providers, by which a person signs in in a
//! browser.

use crate::context::Context;
use crate::failure::Failure;
use crate::output::{self, Table};
use crate::terminal;
use clap::Subcommand;
use procura_types::wire::OperatorIdentity;
use procura_types::{IdentityId, Label, encoding};
use serde::Deserialize;
use serde_json::json;
use std::io::Read as _;

/// The longest link proof that is read.
const LONGEST: u64 = 4096;

/// Link, list and unlink identities at identity providers, with which you sign in in a browser
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Link an identity, so that it signs you in in a browser
    ///
    /// Sign in by the provider on the sign-in page first: it shows a link proof, which is
    /// good for ten minutes. What it is of is shown before it is linked, with your own key.
    /// Nobody links for somebody else.
    #[command(
        after_help = "Examples:\n  procura operator oidc link\n  procura operator oidc link < proof.txt"
    )]
    Link {
        /// The link proof; without it, it is asked for or read from a pipe
        proof: Option<String>,
    },
    /// List the identities that sign you in
    #[command(
        after_help = "Examples:\n  procura operator oidc list\n  procura operator oidc list --of bob"
    )]
    List {
        /// Those of another operator, for a steward
        #[arg(long, value_name = "NAME")]
        of: Option<Label>,
    },
    /// Unlink an identity; web logins made with it end at once
    #[command(
        after_help = "Example:\n  procura operator oidc unlink PCfMGuJiMVe6aCQMYtYGJGsHzlHJxaIYy7e2ZrnUfxo"
    )]
    Unlink {
        /// The identity's id: procura operator oidc list
        // One in 64 begins with a hyphen.
        #[arg(allow_hyphen_values = true)]
        id: IdentityId,
        /// Of another operator, for a steward
        #[arg(long, value_name = "NAME")]
        of: Option<Label>,
    },
}

impl Command {
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        match self {
            Self::Link { proof } => link(context, proof).await,
            Self::List { of } => list(context, of).await,
            Self::Unlink { id, of } => unlink(context, &id, of).await,
        }
    }
}

fn whose(context: &Context, of: Option<Label>) -> Result<Label, Failure> {
    match of {
        Some(name) => Ok(name),
        None => Ok(context.known()?.name),
    }
}

/// What a link proof says of itself; the server sees whether it is one.
#[derive(Deserialize)]
struct Said {
    provider: Label,
    issuer: String,
    subject: String,
    #[serde(default)]
    called: Option<String>,
}

impl Said {
    fn of(proof: &str) -> Option<Self> {
        let (body, _) = proof.split_once('.')?;
        let body = encoding::from_b64url("proof", body).ok()?;
        serde_json::from_slice(&body).ok()
    }
}

/// A link proof as typed, piped, or asked for.
fn read_proof(typed: Option<String>) -> Result<String, Failure> {
    let text = match typed {
        Some(text) => text,
        None if terminal::is_stdin_terminal() => terminal::long_line("Link proof: ")?,
        None => {
            let mut text = String::new();
            std::io::stdin()
                .take(LONGEST)
                .read_to_string(&mut text)
                .map_err(|error| Failure::storage("cannot read the link proof", &error))?;
            text
        }
    };
    Ok(text.trim().to_owned())
}

async fn link(context: &Context, proof: Option<String>) -> Result<(), Failure> {
    let proof = read_proof(proof)?;
    let said = Said::of(&proof).ok_or_else(|| {
        Failure::usage("this is no link proof")
            .next("sign in by the provider on the sign-in page, which shows one")
    })?;
    let name = context.known()?.name;
    let called = said.called.as_deref().map(output::plain);
    let called = called.map_or_else(String::new, |called| format!(", called {called} there,"));
    context.confirm(&format!(
        "Link this identity to {name}? Whoever is {} at {} ({}){called} then signs in in a browser as you.",
        output::plain(&said.subject),
        said.provider,
        output::plain(&said.issuer),
    ))?;
    let server = context.operator().await?;
    let linked = server.link_identity(&name, proof).await?;
    let words = format!(
        "linked {} at {} to {name}: sign in by it on the sign-in page",
        output::plain(&linked.subject),
        linked.provider
    );
    output::done(context.json, &linked, words)
}

async fn list(context: &Context, of: Option<Label>) -> Result<(), Failure> {
    let name = whose(context, of)?;
    let list = context.operator().await?.identities(&name).await?;
    if context.json {
        return output::json(&list);
    }
    let mut table = Table::new([
        "ID",
        "PROVIDER",
        "SUBJECT",
        "CALLED",
        "LINKED",
        "WITH DEVICE",
    ]);
    for identity in &list.identities {
        table.row(row(identity));
    }
    table.print("no identities")
}

fn row(identity: &OperatorIdentity) -> [String; 6] {
    [
        identity.id.to_string(),
        identity.provider.to_string(),
        identity.subject.clone(),
        identity.called.clone().unwrap_or_else(|| "-".to_owned()),
        identity.linked.to_string(),
        identity.device.to_string(),
    ]
}

async fn unlink(context: &Context, id: &IdentityId, of: Option<Label>) -> Result<(), Failure> {
    let name = whose(context, of)?;
    context.confirm(&format!(
        "Unlink identity {id} of {name}? Web logins made with it end."
    ))?;
    let server = context.operator().await?;
    server.unlink_identity(&name, id).await?;
    let words = format!("unlinked identity {id} of {name}");
    output::done(context.json, &json!({ "name": name, "id": id }), words)
}
