//! `proposal`: what takes a quorum of stewards.

use crate::context::Context;
use crate::failure::Failure;
use crate::output::{self, Table};
use crate::unseal_source::{Shares, Words};
use clap::Subcommand;
use procura_types::wire::{Proposal, ProposalState, ProposedAct, ShareScheme};
use procura_types::{Label, ProposalId};

/// What shows the ids.
const LISTED: &str = "procura proposal list";

/// Propose and sign what takes a quorum of stewards: shares, who is a steward, lost keys
///
/// More than half of the stewards, and two at the least, sign the very act with their own
/// keys within a day; then it is carried out with --proposal. One steward removes another
/// without a quorum when nobody says no for 14 days.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List what was proposed in the last day, and how many have signed
    #[command(after_help = "Example:\n  procura proposal list")]
    List,
    /// Propose that shares be made, of which some open the vault
    #[command(
        after_help = "Examples:\n  procura proposal shares recovery 3/5\n  procura proposal shares recovery-2027 3/5 --replaces recovery\n  procura proposal shares recovery --slip39 3/5"
    )]
    Shares {
        /// What the unseal source is to be called
        name: Label,
        /// So many of so many open the vault
        #[arg(value_name = "M/N", required_unless_present = "slip39")]
        shares: Option<Shares>,
        /// The same as words of SLIP-0039
        #[arg(long, value_name = "M/N", conflicts_with = "shares")]
        slip39: Option<Words>,
        /// The unseal source whose place it takes
        #[arg(long, value_name = "NAME")]
        replaces: Option<Label>,
    },
    /// Propose that an operator be made a steward; who is none yet joins first
    #[command(after_help = "Example:\n  procura proposal make-steward cleo")]
    MakeSteward {
        /// The operator
        name: Label,
    },
    /// Propose that a steward be one no more, or be revoked
    #[command(after_help = "Example:\n  procura proposal remove-steward bob")]
    RemoveSteward {
        /// The steward
        name: Label,
    },
    /// Propose that another key of an operator whose own is lost may join
    #[command(after_help = "Example:\n  procura proposal recover bob")]
    Recover {
        /// The operator
        name: Label,
    },
    /// Say no to a proposal: time alone carries it out no more, a quorum still does
    #[command(
        after_help = "Example:\n  procura proposal refuse 01997a3e-5a6c-7d21-9d0e-3f6f2f6f0a01"
    )]
    Refuse {
        /// Its id, as listed
        id: String,
    },
    /// Sign a proposal with this device's key
    #[command(
        after_help = "Example:\n  procura proposal sign 01997a3e-5a6c-7d21-9d0e-3f6f2f6f0a01"
    )]
    Sign {
        /// Its id, as listed
        id: String,
    },
}

impl Command {
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        match self {
            Self::List => list(context).await,
            Self::Shares {
                name,
                shares,
                slip39,
                replaces,
            } => {
                let (scheme, set) = match (shares, slip39) {
                    (Some(shares), _) => (ShareScheme::Shamir, shares.set()),
                    (None, Some(words)) => (ShareScheme::Slip39, words.set()),
                    (None, None) => {
                        return Err(Failure::usage("how many shares? M/N, such as 3/5"));
                    }
                };
                let act = ProposedAct::MakeShares {
                    name,
                    threshold: set.threshold,
                    count: set.count,
                    retires: replaces,
                    scheme,
                };
                propose(context, act).await
            }
            Self::MakeSteward { name } => propose(context, ProposedAct::MakeSteward { name }).await,
            Self::RemoveSteward { name } => {
                propose(context, ProposedAct::RemoveSteward { name }).await
            }
            Self::Recover { name } => propose(context, ProposedAct::RecoverOperator { name }).await,
            Self::Refuse { id } => {
                let id = parsed(&id)?;
                let proposal = context.operator().await?.refuse_proposal(&id).await?;
                let words = format!(
                    "refused: {}; it takes {} stewards now, however long it waits",
                    proposal.act.words(),
                    proposal.needs
                );
                output::done(context.json, &proposal, &words)
            }
            Self::Sign { id } => sign(context, &id).await,
        }
    }
}

async fn propose(context: &Context, act: ProposedAct) -> Result<(), Failure> {
    let proposal = context.operator().await?.propose(act).await?;
    let words = format!(
        "proposed: {}; {} stewards have to sign it, you too: procura proposal sign {}",
        proposal.act.words(),
        proposal.needs,
        proposal.id
    );
    output::done(context.json, &proposal, &words)
}

fn parsed(id: &str) -> Result<ProposalId, Failure> {
    id.parse()
        .map_err(|_| Failure::usage("the id of a proposal is as long as a UUID").next(LISTED))
}

/// What carries an act out that was agreed to.
fn how(act: &ProposedAct, id: &ProposalId) -> String {
    match act {
        ProposedAct::MakeShares {
            name,
            threshold,
            count,
            scheme,
            ..
        } => {
            let form = match scheme {
                ShareScheme::Shamir => "shares",
                ShareScheme::Slip39 => "slip39",
            };
            format!(
                "on the server's machine, procura unseal-source add {name} --{form} {threshold}/{count} --proposal {id}"
            )
        }
        ProposedAct::MakeSteward { name } => format!(
            "procura operator roles {name} --role steward --proposal {id}, with --role for each that they keep"
        ),
        ProposedAct::RecoverOperator { name } => {
            format!("on the server's machine, procura operator recover {name} --proposal {id}")
        }
        ProposedAct::RemoveSteward { name } => format!(
            "procura operator revoke {name} --proposal {id}, or procura operator roles {name} --proposal {id} with what they keep"
        ),
    }
}

/// Until when it is kept, and from when on nobody has to sign it any more.
fn until(proposal: &Proposal) -> String {
    match proposal.unless_refused {
        Some(then) if proposal.refused.is_empty() => {
            format!("{} (unless refused: {then})", proposal.expires)
        }
        _ => proposal.expires.to_string(),
    }
}

async fn list(context: &Context) -> Result<(), Failure> {
    let list = context.operator().await?.proposals().await?;
    if context.json {
        return output::json(&list);
    }
    let mut table = Table::new(["ID", "WHAT", "STATE", "SIGNED", "UNTIL"]);
    for proposal in list.proposals {
        table.row([
            proposal.id.to_string(),
            proposal.act.words(),
            word(proposal.state).to_owned(),
            format!("{} of {}", counting(&proposal), proposal.needs),
            until(&proposal),
        ]);
    }
    table.print("nothing was proposed in the last day")
}

async fn sign(context: &Context, id: &str) -> Result<(), Failure> {
    let id = parsed(id)?;
    let server = context.operator().await?;
    let proposal = server
        .proposals()
        .await?
        .proposals
        .into_iter()
        .find(|proposal| proposal.id == id)
        .ok_or_else(|| Failure::refused("there is no such proposal").next(LISTED))?;
    // What is shown is what is signed, whatever the server goes by.
    let about = proposal
        .about
        .map_or_else(String::new, |actor| format!(" (actor {actor})"));
    output::say(format!(
        "proposed by {} at {}: {}{about}",
        proposal.proposer,
        proposal.created,
        proposal.act.words()
    ));
    context.agree("Sign it?")?;
    let installation = context.known()?.installation;
    let signature = server
        .signer()
        .sign(&proposal.message(&installation))
        .map_err(|error| {
            Failure::refused("the proposal was not signed")
                .because(error)
                .next("procura login")
        })?;
    let proposal = server.sign_proposal(&id, signature).await?;
    let words = match proposal.state {
        ProposalState::Agreed => {
            format!("signed, and enough have: {}", how(&proposal.act, &id))
        }
        _ => format!(
            "signed; {} of {} stewards have",
            counting(&proposal),
            proposal.needs
        ),
    };
    output::done(context.json, &proposal, &words)
}

fn counting(proposal: &Proposal) -> usize {
    proposal
        .signed
        .iter()
        .filter(|signer| signer.counts)
        .count()
}

const fn word(state: ProposalState) -> &'static str {
    match state {
        ProposalState::Open => "open",
        ProposalState::Agreed => "agreed",
        ProposalState::Done => "done",
        ProposalState::Expired => "expired",
    }
}
