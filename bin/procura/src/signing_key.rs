//! `signing-key`: the keys that sign the tokens of agents, projects and daemons.

use crate::context::Context;
use crate::failure::Failure;
use crate::output::{self, Table};
use clap::{Args, Subcommand};
use procura_client::ClientError;
use procura_types::wire::{SigningKey, SigningKeyList, TokenType};
use procura_types::{Thumbprint, Timestamp};

/// What shows the kids.
const LISTED: &str = "procura signing-key list";

/// List, roll and retire the keys that sign the tokens of agents, projects and daemons; for stewards
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List the keys: next, active, and those that have signed
    #[command(
        after_help = "Examples:\n  procura signing-key list\n  procura signing-key list --tokens project"
    )]
    List(Which),
    /// Have the next key sign from now on
    ///
    /// The one that signed stays in the key set until its tokens are over, so no
    /// verifier fails.
    #[command(
        after_help = "Examples:\n  procura signing-key roll\n  procura signing-key roll --tokens project"
    )]
    Roll(Which),
    /// Take a key that may be in other hands out of the key set, at once and for good
    ///
    /// What it signed counts no more for whoever fetches the key set; who fetched it
    /// before goes by it for five minutes at most.
    #[command(
        after_help = "Example:\n  procura signing-key retire 4pKbMyPXWbNVqwj3d4ZUrB4KTaUYO0ArTVcsBPyCVH4"
    )]
    Retire {
        /// Its kid, as listed
        // One in 64 begins with a hyphen.
        #[arg(allow_hyphen_values = true)]
        kid: String,
    },
}

/// Which tokens' keys.
#[derive(Debug, Args)]
pub(crate) struct Which {
    /// Those of agent, project or daemon tokens
    #[arg(long, value_name = "TYPE", default_value = "agent")]
    tokens: TokenType,
}

impl Command {
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        let keys = match self {
            Self::List(Which { tokens }) => context.operator().await?.signing_keys(tokens).await?,
            Self::Roll(Which { tokens }) => {
                let server = context.operator().await?;
                server.roll_signing_keys(tokens).await.map_err(not_ready)?
            }
            Self::Retire { kid } => {
                let kid: Thumbprint = kid.parse().map_err(|_| {
                    Failure::usage("the kid of a signing key has 43 characters of base64url")
                        .next(LISTED)
                })?;
                context.confirm(&format!(
                    "Retire the signing key {kid}? Tokens that it signed end. This cannot be undone."
                ))?;
                let server = context.operator().await?;
                server.retire_signing_key(&kid).await.map_err(unknown)?
            }
        };
        show(context, keys)
    }
}

/// There is no key of this kid.
fn unknown(error: ClientError) -> Failure {
    let is_unknown = error.is_refusal("not_found");
    let failure = Failure::from(error);
    if is_unknown {
        failure.next(LISTED)
    } else {
        failure
    }
}

/// Not every verifier knows the next key yet.
fn not_ready(error: ClientError) -> Failure {
    let is_early = error.is_refusal("conflict");
    let failure = Failure::from(error);
    if is_early {
        failure.next(
            "the command again then; procura signing-key retire KID, if the active key may be in other hands",
        )
    } else {
        failure
    }
}

fn show(context: &Context, keys: SigningKeyList) -> Result<(), Failure> {
    if context.json {
        return output::json(&keys);
    }
    let mut table = Table::new(["STATE", "KID", "MADE", "SIGNED FROM", "SIGNED UNTIL"]);
    let time = |time: Option<Timestamp>| time.map_or_else(String::new, |time| time.to_string());
    for key in keys.keys {
        let SigningKey {
            kid,
            state,
            made,
            since,
            ended,
            key: _,
        } = key;
        table.row([
            state.as_str().to_owned(),
            kid.to_string(),
            made.to_string(),
            time(since),
            time(ended),
        ]);
    }
    table.print("no signing keys")
}
