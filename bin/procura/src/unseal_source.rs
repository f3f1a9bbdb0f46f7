//! `unseal-source`: what opens the vault.

use crate::context::Context;
use crate::failure::Failure;
use crate::output::{self, Table};
use crate::seal::on_the_machine;
use clap::{Args, Subcommand, ValueEnum};
use procura_client::{ClientError, NewSource, Opening, SessionClient};
use procura_types::wire::ShareSet;
use procura_types::{Label, Secret};
use qrcode::QrCode;
use qrcode::render::unicode::Dense1x2;
use std::io::IsTerminal as _;
use std::str::FromStr;

/// Colours of a terminal (ECMA-48 §8.3.117).
const BLACK_ON_WHITE: &str = "\x1b[30;107m";
const RESET: &str = "\x1b[0m";

/// What shows the names.
const LISTED: &str = "procura unseal-source list";

/// List, add, try and remove what opens the vault; on the server's machine
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List what opens the vault
    #[command(after_help = "Example:\n  procura unseal-source list")]
    List,
    /// Add another passphrase, or shares of which some open the vault
    ///
    /// Asks for what opens the vault today first. The shares are shown once and kept
    /// nowhere: give each to somebody else, who writes it down.
    #[command(
        after_help = "Examples:\n  procura unseal-source add recovery --shares 3/5\n  procura unseal-source add recovery --shares 2/3 --qr\n  procura unseal-source add second --passphrase"
    )]
    Add(Add),
    /// Try whether a passphrase or shares open the vault; nothing is changed
    #[command(
        after_help = "Examples:\n  procura unseal-source test\n  procura unseal-source test --with shares"
    )]
    Test {
        #[command(flatten)]
        with: With,
    },
    /// Remove what opens the vault, which makes a new root key
    #[command(after_help = "Example:\n  procura unseal-source remove recovery")]
    Remove {
        /// Its name, as listed
        name: Label,
        #[command(flatten)]
        with: With,
    },
}

/// Adds one.
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("source").required(true))]
pub(crate) struct Add {
    /// What it is to be called
    name: Label,
    /// Shares: so many of so many open the vault
    #[arg(long, value_name = "M/N", group = "source")]
    shares: Option<Shares>,
    /// A passphrase of its own
    #[arg(long, group = "source")]
    passphrase: bool,
    /// Show each share as a QR code too
    #[arg(long, requires = "shares")]
    qr: bool,
    #[command(flatten)]
    with: With,
}

/// With what the vault is opened today.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct With {
    /// What you bring
    #[arg(long = "with", value_name = "WHAT", default_value = "passphrase")]
    what: What,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum What {
    Passphrase,
    Shares,
}

/// `3/5`.
#[derive(Debug, Clone, Copy)]
struct Shares(ShareSet);

impl FromStr for Shares {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = "is not M/N with 2 ≤ M ≤ N ≤ 255, such as 3/5";
        let (threshold, count) = text.split_once('/').ok_or(wrong)?;
        let set = ShareSet {
            threshold: threshold.parse().map_err(|_| wrong)?,
            count: count.parse().map_err(|_| wrong)?,
        };
        if set.threshold < 2 || set.count < set.threshold {
            return Err(wrong);
        }
        Ok(Self(set))
    }
}

impl With {
    /// Asks for it.
    async fn ask(self, context: &Context) -> Result<Opening, Failure> {
        match self.what {
            What::Passphrase => {
                let question = "The vault's passphrase of today";
                Ok(Opening::Passphrase(
                    context.passphrases.ask(question).await?,
                ))
            }
            What::Shares => shares(context).await.map(Opening::Shares),
        }
    }
}

/// Asks for as many shares as the first says that it takes.
async fn shares(context: &Context) -> Result<Vec<Secret<String>>, Failure> {
    let mut shares = vec![context.passphrases.ask("The first share").await?];
    let need = shares
        .first()
        .map(|share| procura_crypto::shamir::Share::parse(share.expose()))
        .transpose()
        .map_err(|error| {
            Failure::usage(error.to_string()).next("the share as it was written down")
        })?
        .map_or(0, |share| usize::from(share.threshold()));
    while shares.len() < need {
        let question = format!("Share {} of {need}", shares.len() + 1);
        shares.push(context.passphrases.ask(&question).await?);
    }
    Ok(shares)
}

impl Command {
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        match self {
            Self::List => list(context).await,
            Self::Add(add) => add.run(context).await,
            Self::Test { with } => {
                let opening = with.ask(context).await?;
                let source = context
                    .admin()
                    .test_unseal_source(&opening)
                    .await
                    .map_err(|error| on_the_machine(context, error))?;
                let words = format!("it opens the vault: {} ({})", source.name, source.kind);
                output::done(context.json, &source, &words)
            }
            Self::Remove { name, with } => {
                context.confirm(&format!(
                    "Remove the unseal source {name}? It opens nothing any more but older backups, and a new root key is made."
                ))?;
                let opening = with.ask(context).await?;
                context
                    .admin()
                    .remove_unseal_source(&opening, &name)
                    .await
                    .map_err(|error| unknown(context, error))?;
                let words = format!(
                    "{name} opens the vault no more, which has a new root key; backups from before still open with it"
                );
                output::done(
                    context.json,
                    &serde_json::json!({ "removed": name }),
                    &words,
                )
            }
        }
    }
}

/// There is no source of this name.
fn unknown(context: &Context, error: ClientError) -> Failure {
    let is_unknown = error.is_refusal("not_found");
    let failure = on_the_machine(context, error);
    if is_unknown {
        failure.next(LISTED)
    } else {
        failure
    }
}

async fn list(context: &Context) -> Result<(), Failure> {
    let list = context
        .admin()
        .unseal_sources()
        .await
        .map_err(|error| on_the_machine(context, error))?;
    if context.json {
        return output::json(&list);
    }
    let mut table = Table::new(["NAME", "KIND", "SINCE", "SHARES"]);
    for source in list.sources {
        let shares = match (source.threshold, source.count) {
            (Some(threshold), Some(count)) => format!("{threshold} of {count}"),
            _ => String::new(),
        };
        table.row([
            source.name.to_string(),
            source.kind,
            source.added.to_string(),
            shares,
        ]);
    }
    table.print("no unseal sources")
}

impl Add {
    async fn run(self, context: &Context) -> Result<(), Failure> {
        let opening = self.with.ask(context).await?;
        let new = match self.shares {
            Some(Shares(set)) => NewSource::Shares(set),
            None => NewSource::Passphrase(
                context
                    .passphrases
                    .ask_new(&format!("The passphrase of {}", self.name))
                    .await?,
            ),
        };
        let added = context
            .admin()
            .add_unseal_source(&opening, &self.name, &new)
            .await
            .map_err(|error| on_the_machine(context, error))?;
        let shares: Vec<&str> = added
            .shares
            .iter()
            .map(|share| share.expose().as_str())
            .collect();
        if context.json {
            return output::json(&serde_json::json!({ "name": self.name, "shares": shares }));
        }
        output::say(format!("{} opens the vault from now on", self.name));
        if !shares.is_empty() {
            output::say(
                "each share goes to somebody else, who writes it down; they are shown this once",
            );
        }
        for share in shares {
            if self.qr {
                output::line(qr(share)?)?;
            }
            output::line(share)?;
        }
        Ok(())
    }
}

/// Tells the operator of unseals with shares that they were not told of: whoever has
/// enough shares opens the vault without them.
pub(crate) async fn tell_recoveries(server: &SessionClient) -> Result<(), Failure> {
    let recoveries = server.recoveries().await?;
    let Some(last) = recoveries.last() else {
        return Ok(());
    };
    for recovery in &recoveries {
        output::say(format!(
            "notice: the vault was opened with shares of {} at {}; who was refused before, and what came after: procura audit list --everywhere",
            recovery.source, recovery.time
        ));
    }
    // A notice that nobody was there to read is given again.
    if std::io::stderr().is_terminal() {
        server.recoveries_seen(last.time).await?;
    }
    Ok(())
}

/// The QR code of a share. A terminal is told its colours: read the wrong way round, few
/// cameras know it.
fn qr(share: &str) -> Result<String, Failure> {
    let code = QrCode::new(share)
        .map_err(|error| Failure::usage("the share fits no QR code").because(error.to_string()))?;
    let drawn = code.render::<Dense1x2>().build();
    if !std::io::stdout().is_terminal() {
        return Ok(drawn);
    }
    let rows = drawn
        .lines()
        .map(|row| format!("{BLACK_ON_WHITE}{row}{RESET}"));
    Ok(rows.collect::<Vec<_>>().join("\n"))
}
