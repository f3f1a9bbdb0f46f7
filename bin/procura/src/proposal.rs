//! `proposal`: what takes a quorum of stewards.

use crate::context::Context;
use crate::failure::Failure;
use crate::output::{self, Table};
use crate::unseal_source::Shares;
use clap::Subcommand;
use procura_types::wire::{Proposal, ProposalState, ProposedAct};
use procura_types::{Label, ProposalId};

/// What shows the ids.
const LISTED: &str = "procura proposal list";

/// Propose and sign what takes a quorum of stewards, such as making shares
///
/// More than half of the stewards, and two at the least, sign the very act with their own
/// keys within a day; then it is carried out on the server's machine.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List what was proposed in the last day, and how many have signed
    #[command(after_help = "Example:\n  procura proposal list")]
    List,
    /// Propose that shares be made, of which some open the vault
    #[command(
        after_help = "Examples:\n  procura proposal shares recovery 3/5\n  procura proposal shares recovery-2027 3/5 --replaces recovery"
    )]
    Shares {
        /// What the unseal source is to be called
        name: Label,
        /// So many of so many open the vault
        #[arg(value_name = "M/N")]
        shares: Shares,
        /// The unseal source whose place it takes
        #[arg(long, value_name = "NAME")]
        replaces: Option<Label>,
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
                replaces,
            } => {
                let set = shares.set();
                let act = ProposedAct::MakeShares {
                    name,
                    threshold: set.threshold,
                    count: set.count,
                    retires: replaces,
                };
                let proposal = context.operator().await?.propose(act).await?;
                let words = format!(
                    "proposed: {}; {} stewards have to sign it, you too: procura proposal sign {}",
                    proposal.act.words(),
                    proposal.needs,
                    proposal.id
                );
                output::done(context.json, &proposal, &words)
            }
            Self::Sign { id } => sign(context, &id).await,
        }
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
            proposal.expires.to_string(),
        ]);
    }
    table.print("nothing was proposed in the last day")
}

async fn sign(context: &Context, id: &str) -> Result<(), Failure> {
    let id: ProposalId = id
        .parse()
        .map_err(|_| Failure::usage("the id of a proposal is as long as a UUID").next(LISTED))?;
    let server = context.operator().await?;
    let proposal = server
        .proposals()
        .await?
        .proposals
        .into_iter()
        .find(|proposal| proposal.id == id)
        .ok_or_else(|| Failure::refused("there is no such proposal").next(LISTED))?;
    // What is shown is what is signed, whatever the server goes by.
    output::say(format!(
        "proposed by {} at {}: {}",
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
            let ProposedAct::MakeShares { name, .. } = &proposal.act;
            format!(
                "signed, and enough have: on the server's machine, procura unseal-source add {name} --proposal {id}"
            )
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
