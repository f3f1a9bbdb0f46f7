//! `unseal-source`: what opens the vault.
//!
//! Those that a token, a chip or a service opens are in `unseal_wrapper.rs`.

use crate::context::Context;
use crate::failure::Failure;
use crate::output::{self, Table};
use crate::seal::{on_the_machine, turn_first};
use crate::shares::{self, HandOut};
use crate::unseal_wrapper::{self, bring};
use clap::{Args, Subcommand};
use procura_client::{ClientError, NewSource, Opening, SessionClient};
use procura_types::wire::{ShareScheme, ShareSet};
use procura_types::{Label, ProposalId, Secret};
use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// Kinds of sources that are a set of shares, of which there is one at a time.
const SETS: [&str; 2] = ["shares", "slip39"];

/// What shows the names.
const LISTED: &str = "procura unseal-source list";

/// List, add, try and remove what opens the vault; on the server's machine
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List what opens the vault
    #[command(after_help = "Example:\n  procura unseal-source list")]
    List,
    /// Add another passphrase, or shares of which some open the vault, as text or as words
    ///
    /// Asks for what opens the vault today first. The shares are shown once and kept
    /// nowhere: give each to somebody else, who writes it down. There is one set of shares,
    /// as text or as words: a new one takes the place of the one before, whose shares open
    /// nothing any more but older backups. It asks before that; --yes skips it, and so does
    /// --proposal, which says what is replaced.
    ///
    /// A token, the machine's TPM or a service can keep a source's key as well: then it
    /// takes no person, and auto_unseal of procura.toml opens the vault at start. Where a
    /// token or a service is, unseal_at of procura.toml has to say: the lines are shown.
    #[command(
        after_help = "Examples:\n  procura unseal-source add recovery --shares 3/5\n  procura unseal-source add recovery --shares 2/3 --qr\n  procura unseal-source add recovery --shares 2/3 --to age1… --to age1… --to ann.pub\n  procura unseal-source add recovery --slip39 3/5\n  procura unseal-source add second --passphrase\n  procura unseal-source add hsm --pkcs11 /usr/lib/softhsm/libsofthsm2.so --token vault\n  procura unseal-source add machine --tpm --pcrs 7\n  procura unseal-source add cloud --kms alias/procura --region eu-central-1 --credentials FILE\n  procura unseal-source add other --transit vault/unseal --credentials FILE"
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
    ///
    /// Asks for something that opens the vault when it is gone: what was never tried is
    /// not relied on.
    #[command(
        after_help = "Examples:\n  procura unseal-source remove recovery\n  procura unseal-source remove passphrase --with shares"
    )]
    Remove {
        /// Its name, as listed
        name: Label,
        /// Leave nothing but tokens, chips or services to open the vault: when these are lost, or the machine starts with another kernel or firmware, nothing opens it
        #[arg(long)]
        danger_wrappers_alone: bool,
        /// What the stewards agreed to, where it takes several: procura proposal list
        #[arg(long, value_name = "ID", value_parser = proposal_id)]
        proposal: Option<ProposalId>,
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
    #[arg(long, value_name = "M/N", groups = ["source", "set"])]
    shares: Option<Shares>,
    /// Shares as words of SLIP-0039, without a passphrase: so many of so many, 16 at the most; any program for SLIP-0039 combines them
    #[arg(long, value_name = "M/N", groups = ["source", "set"])]
    slip39: Option<Words>,
    /// A passphrase of its own
    #[arg(long, group = "source")]
    passphrase: bool,
    /// What the stewards agreed to, where there are several stewards: procura proposal list
    #[arg(long, requires = "set", value_name = "ID", value_parser = proposal_id)]
    proposal: Option<ProposalId>,
    /// Show each share as a QR code too
    #[arg(long, requires = "set", conflicts_with = "to")]
    qr: bool,
    /// Who is to have a share: an age recipient, a line of ssh-ed25519 or ssh-rsa, or a file with one; once for each share, which is then encrypted to them
    #[arg(long, requires = "set", value_name = "RECIPIENT")]
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
        numbers(text, ShareScheme::Shamir)
            .map(Self)
            .ok_or("is not M/N with 2 ≤ M ≤ N ≤ 255, such as 3/5")
    }
}

/// The same for words.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Words(ShareSet);

impl Words {
    /// How many of how many.
    pub(crate) const fn set(self) -> ShareSet {
        self.0
    }
}

impl FromStr for Words {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        numbers(text, ShareScheme::Slip39)
            .map(Self)
            .ok_or("is not M/N with 2 ≤ M ≤ N ≤ 16, such as 3/5")
    }
}

/// `M/N`, if a set can have these numbers.
fn numbers(text: &str, scheme: ShareScheme) -> Option<ShareSet> {
    let (threshold, count) = text.split_once('/')?;
    let set = ShareSet {
        threshold: threshold.parse().ok()?,
        count: count.parse().ok()?,
    };
    set.fits(scheme).then_some(set)
}

/// An id of a proposal, as typed.
pub(crate) fn proposal_id(text: &str) -> Result<ProposalId, &'static str> {
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
        .map(|share| procura_vault::Share::parse(share.expose()))
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
            Self::Remove {
                name,
                danger_wrappers_alone,
                proposal,
                with,
            } => {
                let staying = staying(context, &name).await?;
                context.confirm(&format!(
                    "Remove the unseal source {name}? It opens nothing any more but older backups, and a new root key is made. What opens the vault then: {staying}."
                ))?;
                let opening = with.ask(context).await?;
                context
                    .admin()
                    .remove_unseal_source(&opening, &name, danger_wrappers_alone, proposal)
                    .await
                    .map_err(|error| not_removed(context, error, &name))?;
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

/// What opens the vault when a source is gone, for people.
async fn staying(context: &Context, gone: &Label) -> Result<String, Failure> {
    let list = context.admin().unseal_sources().await;
    let list = list.map_err(|error| on_the_machine(context, error))?;
    let staying: Vec<String> = list
        .sources
        .iter()
        .filter(|source| source.name != *gone)
        .map(|source| format!("{} ({})", source.name, source.needs))
        .collect();
    if staying.is_empty() {
        return Ok("nothing".to_owned());
    }
    Ok(staying.join(", "))
}

/// There is no source of this name, or stewards agree first.
fn not_removed(context: &Context, error: ClientError, name: &Label) -> Failure {
    let is_unknown = error.is_refusal("not_found");
    let failure = turn_first(context, error, &format!("rotate-root --without {name}"));
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
    let mut missing = Vec::new();
    for source in list.sources {
        missing.extend(source.configure);
        table.row([
            source.name.to_string(),
            source.kind,
            source.added.to_string(),
            output::plain(&source.needs),
        ]);
    }
    table.print("no unseal sources")?;
    for lines in missing {
        tell_missing(&lines);
    }
    Ok(())
}

/// What the configuration lacks: without it the server does not find the source's wrapper
/// when it is started again.
fn tell_missing(lines: &str) {
    output::say("procura.toml needs these lines before the server starts again:");
    for line in lines.lines() {
        output::say(output::plain(&format!("  {line}")));
    }
}

async fn missing_lines(context: &Context, name: &Label) -> Result<Option<String>, Failure> {
    let list = context
        .admin()
        .unseal_sources()
        .await
        .map_err(|error| on_the_machine(context, error))?;
    let added = list.sources.into_iter().find(|source| source.name == *name);
    Ok(added.and_then(|source| source.configure))
}

/// What helps whoever adds a source: what was named for it, or the stewards' agreement.
fn not_added(
    context: &Context,
    error: ClientError,
    name: &Label,
    new: &NewSource,
    opened_by_source: bool,
) -> Failure {
    let numbers = |set: &ShareSet| format!("{}/{}", set.threshold, set.count);
    let shares = match new {
        NewSource::Shares(set) => Some(numbers(set)),
        NewSource::Slip39(set) => Some(format!("--slip39 {}", numbers(set))),
        _ => None,
    };
    let next = match shares {
        Some(shares) if error.is_refusal("quorum_needed") => Some(format!(
            "procura proposal shares {name} {shares}, with --replaces NAME if there are shares already; when more than half of the stewards have signed it, this again with --proposal ID"
        )),
        // Where the vault was opened with a source too, it may be that one.
        None if !opened_by_source && error.is_refusal("source_unavailable") => Some(
            "check what was named (--pkcs11 and --token, --tpm, --kms and --region, --transit); nothing was added"
                .to_owned(),
        ),
        _ => None,
    };
    let failure = on_the_machine(context, error);
    match next {
        Some(next) => failure.next(next),
        None => failure,
    }
}

impl Add {
    /// Asks before a set of shares goes because another comes.
    async fn agree_to_what_goes(&self, context: &Context) -> Result<(), Failure> {
        let list = context.admin().unseal_sources().await;
        let list = list.map_err(|error| on_the_machine(context, error))?;
        let sets = list.sources.into_iter();
        for old in sets.filter(|source| SETS.contains(&source.kind.as_str())) {
            context.confirm(&format!(
                "Put {} in the place of {} ({})? The shares of {} open nothing any more then but older backups.",
                self.name,
                old.name,
                output::plain(&old.needs),
                old.name
            ))?;
        }
        Ok(())
    }

    async fn run(self, context: &Context) -> Result<(), Failure> {
        let words = self.slip39.map(Words::set);
        let set = self.shares.map(Shares::set).or(words);
        let hand_out = HandOut::new(&self.to, self.qr, set)?;
        if set.is_some() && self.proposal.is_none() {
            self.agree_to_what_goes(context).await?;
        }
        let opened_by_source = matches!(self.with.what, What::Source(_));
        let opening = self.with.ask(context).await?;
        let wrapped = self.wrapper.source(context, &self.name).await?;
        let new = match (wrapped, words, set) {
            (Some(wrapped), _, _) => wrapped,
            (None, Some(set), _) => NewSource::Slip39(set),
            (None, None, Some(set)) => NewSource::Shares(set),
            (None, None, None) => NewSource::Passphrase(
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
            .map_err(|error| not_added(context, error, &self.name, &new, opened_by_source))?;
        let configure = match &new {
            NewSource::Wrapped { .. } => missing_lines(context, &self.name).await?,
            _ => None,
        };
        if context.json {
            let shares = hand_out.texts(&added.shares)?;
            return output::json(
                &serde_json::json!({ "name": self.name, "shares": shares, "retired": added.retired, "configure": configure }),
            );
        }
        output::say(format!("{} opens the vault from now on", self.name));
        if let Some(lines) = &configure {
            tell_missing(lines);
        }
        for retired in &added.retired {
            output::say(format!(
                "it takes the place of {retired}, whose shares open nothing any more but older backups: have them destroyed"
            ));
        }
        hand_out.give(&added.shares)
    }
}

/// Tells the operator of unseals with shares, of codes for lost keys and of break-glass
/// accounts that were used, as far as they were not told of it: others bring each about
/// without them.
pub(crate) async fn tell_recoveries(server: &SessionClient) -> Result<(), Failure> {
    let recoveries = server.recoveries().await?;
    let Some(last) = recoveries.last() else {
        return Ok(());
    };
    for recovery in &recoveries {
        let (source, time) = (&recovery.source, recovery.time);
        let what = match &recovery.operator {
            _ if recovery.break_glass => format!(
                "the break-glass account {source} was used at {time} and acts by the role of a steward for a while; what it did: procura audit list --everywhere; to end it at once: procura operator revoke {source}"
            ),
            Some(operator) => format!(
                "a code with which another key of {operator} joins was made with {source} at {time}; if nobody lost that key: procura operator list --json, and procura device revoke or hold DEVICE"
            ),
            None => format!(
                "the vault was opened with shares of {source} at {time}; who was refused before, and what came after: procura audit list --everywhere"
            ),
        };
        output::say(format!("notice: {what}"));
    }
    // A notice that nobody was there to read is given again.
    if std::io::stderr().is_terminal() {
        server.recoveries_seen(last.time).await?;
    }
    Ok(())
}
