//! `unseal-source`: what opens the vault.
//!
//! Those that a token, a chip or a service opens are in `unseal_wrapper.rs`.

use crate::context::Context;
use crate::failure::Failure;
use crate::output::{self, Table};
use crate::seal::on_the_machine;
use crate::shares::{self, HandOut};
use crate::unseal_wrapper::{self, bring};
use clap::{Args, Subcommand};
use procura_client::{ClientError, NewSource, Opening, SessionClient};
use procura_types::wire::ShareSet;
use procura_types::{Label, ProposalId, Secret};
use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::str::FromStr;

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
    ///
    /// A token, the machine's TPM or a service can keep a source's key as well: then it
    /// takes no person, and auto_unseal of procura.toml opens the vault at start.
    #[command(
        after_help = "Examples:\n  procura unseal-source add recovery --shares 3/5\n  procura unseal-source add recovery --shares 2/3 --qr\n  procura unseal-source add recovery --shares 2/3 --to age1… --to age1… --to ann.pub\n  procura unseal-source add second --passphrase\n  procura unseal-source add hsm --pkcs11 /usr/lib/softhsm/libsofthsm2.so --token vault\n  procura unseal-source add machine --tpm --pcrs 7\n  procura unseal-source add cloud --kms alias/procura --region eu-central-1 --credentials FILE\n  procura unseal-source add other --transit vault/unseal --credentials FILE"
    )]
    Add(Box<Add>),
    /// Try whether something opens the vault; nothing is changed
    #[command(
        after_help = "Examples:\n  procura unseal-source test\n  procura unseal-source test --with shares\n  procura unseal-source test --with source:hsm"
    )]
    Test {
        #[command(flatten)]
        with: With,
    },
    /// Say whether a share is genuine, without using it; also while the vault is sealed
    #[command(after_help = "Example:\n  procura unseal-source verify")]
    Verify,
    /// Join another Procura as a device, for a source that a transit key there wraps
    ///
    /// Somebody there makes the key (procura transit put) and a link code of the agent
    /// that may use it (procura agent code).
    #[command(
        after_help = "Example:\n  procura unseal-source join pcj1_… --out /etc/procura/transit.json"
    )]
    Join(unseal_wrapper::Join),
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
    /// What the stewards agreed to, where there are several operators: procura proposal list
    #[arg(long, requires = "shares", value_name = "ID", value_parser = proposal_id)]
    proposal: Option<ProposalId>,
    /// Show each share as a QR code too
    #[arg(long, requires = "shares", conflicts_with = "to")]
    qr: bool,
    /// Who is to have a share: an age recipient, a line of ssh-ed25519, or a file with either; once for each share, which is then encrypted to them
    #[arg(long, requires = "shares", value_name = "RECIPIENT")]
    to: Vec<String>,
    #[command(flatten)]
    wrapper: unseal_wrapper::New,
    #[command(flatten)]
    with: With,
}

/// With what the vault is opened today.
#[derive(Debug, Clone, Args)]
pub(crate) struct With {
    /// What you bring: passphrase, shares, or source:NAME for one that a token, a chip or a service opens
    #[arg(long = "with", value_name = "WHAT", default_value = "passphrase")]
    what: What,
    /// With --with source:NAME: a file with what the source asks for; nobody else may read it [default: what unseal_credentials of procura.toml names; the PIN of a token is asked for]
    #[arg(long, value_name = "FILE")]
    with_credentials: Option<PathBuf>,
    /// With --with source:NAME: do not ask for a PIN, take what unseal_credentials names
    #[arg(long, conflicts_with = "with_credentials")]
    with_configured: bool,
}

#[derive(Debug, Clone)]
enum What {
    Passphrase,
    Shares,
    Source(Label),
}

impl FromStr for What {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = "is passphrase, shares, or source:NAME with the name of a source";
        match text {
            "passphrase" => Ok(Self::Passphrase),
            "shares" => Ok(Self::Shares),
            _ => {
                let name = text.strip_prefix("source:").ok_or(wrong)?;
                name.parse().map(Self::Source).map_err(|_| wrong)
            }
        }
    }
}

/// `3/5`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shares(ShareSet);

impl Shares {
    /// How many of how many.
    pub(crate) const fn set(self) -> ShareSet {
        self.0
    }
}

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

fn proposal_id(text: &str) -> Result<ProposalId, &'static str> {
    let wrong = "is no id of a proposal; procura proposal list shows them";
    text.parse().map_err(|_| wrong)
}

impl With {
    /// Asks for it.
    pub(crate) async fn ask(self, context: &Context) -> Result<Opening, Failure> {
        match self.what {
            What::Passphrase => {
                let question = "The vault's passphrase of today";
                Ok(Opening::Passphrase(
                    context.passphrases.ask(question).await?,
                ))
            }
            What::Shares => shares(context).await.map(Opening::Shares),
            What::Source(name) => {
                let file = self.with_credentials.as_deref();
                source(context, name, file, self.with_configured).await
            }
        }
    }
}

/// Asks for what a source with a wrapper takes, if it takes something.
pub(crate) async fn source(
    context: &Context,
    name: Label,
    file: Option<&Path>,
    configured: bool,
) -> Result<Opening, Failure> {
    let list = context.admin().unseal_sources().await;
    let list = list.map_err(|error| on_the_machine(context, error))?;
    let found = list.sources.iter().find(|source| source.name == name);
    let source = found
        .ok_or_else(|| Failure::usage(format!("there is no unseal source {name}")).next(LISTED))?;
    if source.wrapper.is_none() {
        return Err(
            Failure::usage(format!("{name} takes {}", output::plain(&source.needs)))
                .next("without source: and its name"),
        );
    }
    let credentials = bring(context, &source.kind, &name, file, configured).await?;
    Ok(Opening::Source { name, credentials })
}

/// Asks for as many shares as the first says that it takes.
pub(crate) async fn shares(context: &Context) -> Result<Vec<Secret<String>>, Failure> {
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
            Self::Verify => shares::verify(context).await,
            Self::List => list(context).await,
            Self::Join(join) => join.run(context).await,
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
    let mut table = Table::new(["NAME", "KIND", "SINCE", "NEEDS"]);
    for source in list.sources {
        table.row([
            source.name.to_string(),
            source.kind,
            source.added.to_string(),
            output::plain(&source.needs),
        ]);
    }
    table.print("no unseal sources")
}

impl Add {
    async fn run(self, context: &Context) -> Result<(), Failure> {
        let set = self.shares.map(Shares::set);
        let hand_out = HandOut::new(&self.to, self.qr, set)?;
        let opening = self.with.ask(context).await?;
        let wrapped = self.wrapper.source(context, &self.name).await?;
        let new = match (wrapped, self.shares) {
            (Some(wrapped), _) => wrapped,
            (None, Some(Shares(set))) => NewSource::Shares(set),
            (None, None) => NewSource::Passphrase(
                context
                    .passphrases
                    .ask_new(&format!("The passphrase of {}", self.name))
                    .await?,
            ),
        };
        let added = context
            .admin()
            .add_unseal_source(&opening, &self.name, &new, self.proposal)
            .await
            .map_err(|error| on_the_machine(context, error))?;
        if context.json {
            let shares = hand_out.texts(&added.shares)?;
            return output::json(
                &serde_json::json!({ "name": self.name, "shares": shares, "retired": added.retired }),
            );
        }
        output::say(format!("{} opens the vault from now on", self.name));
        for retired in &added.retired {
            output::say(format!(
                "it takes the place of {retired}, whose shares open nothing any more but older backups: have them destroyed"
            ));
        }
        hand_out.give(&added.shares)
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
