//! `proposal`: what takes several stewards.

use crate::cli::whole;
use crate::context::Context;
use crate::failure::Failure;
use crate::output::{self, Table};
use crate::unseal_source::{Shares, Words, proposal_id};
use clap::Subcommand;
use procura_client::ClientError;
use procura_types::wire::{
    GuardedAct, Proposal, ProposalState, ProposedAct, RootTurn, ShareScheme,
};
use procura_types::{Label, Namespace, ProposalId};

/// What shows the ids.
const LISTED: &str = "procura proposal list";

/// Propose and sign what takes several stewards: shares, who is one, lost keys, the root, namespaces
///
/// More than half of the stewards, and two at the least, sign the very act with their own
/// keys within a day; then it is carried out with --proposal. To turn the root, end a
/// namespace and open a break-glass account takes as many as a rule says (procura proposal
/// rules): without one, two where there are several. One steward removes another without a
/// quorum when nobody says no for 14 days.
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
    /// Propose that the root turn: by itself, with another passphrase, or without an unseal source
    #[command(
        after_help = "Examples:\n  procura proposal rotate-root\n  procura proposal rotate-root --passphrase\n  procura proposal rotate-root --without old-hsm"
    )]
    RotateRoot {
        /// Let sessions of before go on, as `rotate sessions` and `rotate ledger` do
        #[arg(long, conflicts_with_all = ["passphrase", "without"])]
        sessions_go_on: bool,
        /// Put another passphrase in the place of one
        #[arg(long, conflicts_with = "without")]
        passphrase: bool,
        /// Remove this unseal source
        #[arg(long, value_name = "NAME")]
        without: Option<Label>,
    },
    /// Propose that a namespace end with all that is in it
    #[command(after_help = "Example:\n  procura proposal end-namespace staging")]
    EndNamespace {
        /// Which
        name: Namespace,
    },
    /// Propose that a break-glass account may open; its own key is one yes
    #[command(after_help = "Example:\n  procura proposal break-glass night")]
    BreakGlass {
        /// Which
        name: Label,
    },
    /// Propose how many stewards an act takes
    #[command(after_help = "Example:\n  procura proposal approvals rotate_root 3")]
    Approvals {
        /// make_shares, rotate_root, end_namespace or use_break_glass
        act: GuardedAct,
        /// So many
        #[arg(value_parser = whole::<u8>)]
        needs: u8,
    },
    /// List how many stewards the most dangerous acts take
    #[command(after_help = "Example:\n  procura proposal rules")]
    Rules,
    /// Set how many stewards an act takes; where there are several, as they agreed
    #[command(
        after_help = "Example:\n  procura proposal set-rule rotate_root 3 --proposal 01997a3e-5a6c-7d21-9d0e-3f6f2f6f0a01"
    )]
    SetRule {
        /// make_shares, rotate_root, end_namespace or use_break_glass
        act: GuardedAct,
        /// So many
        #[arg(value_parser = whole::<u8>)]
        needs: u8,
        /// What the stewards agreed to, where there are several
        #[arg(long, value_name = "ID", value_parser = proposal_id)]
        proposal: Option<ProposalId>,
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
            Self::RotateRoot {
                sessions_go_on,
                passphrase,
                without,
            } => {
                let turn = match (without, passphrase) {
                    (Some(source), _) => RootTurn::Remove { source },
                    (None, true) => RootTurn::Passphrase,
                    (None, false) => RootTurn::Keys { sessions_go_on },
                };
                propose(context, ProposedAct::RotateRoot { turn }).await
            }
            Self::EndNamespace { name } => {
                propose(context, ProposedAct::EndNamespace { name }).await
            }
            Self::BreakGlass { name } => {
                propose(context, ProposedAct::UseBreakGlass { name }).await
            }
            Self::Approvals { act, needs } => {
                propose(context, ProposedAct::SetApprovals { act, needs }).await
            }
            Self::Rules => rules(context).await,
            Self::SetRule {
                act,
                needs,
                proposal,
            } => {
                let server = context.operator().await?;
                let rule = server.set_approval_rule(act, needs, proposal).await?;
                let words = format!("{act} takes {} stewards", rule.needs);
                output::done(context.json, &rule, &words)
            }
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
        "proposed: {}; {}: procura proposal sign {}",
        proposal.act.words(),
        signers(&proposal.act, proposal.needs),
        proposal.id
    );
    output::done(context.json, &proposal, &words)
}

/// How many have to sign, and whether whoever proposes it may be one of them: whoever made
/// a break-glass account may have its key too.
fn signers(act: &ProposedAct, needs: u32) -> String {
    let many = if needs == 1 {
        "1 steward has".to_owned()
    } else {
        format!("{needs} stewards have")
    };
    let who = if matches!(act, ProposedAct::UseBreakGlass { .. }) {
        "and not whoever made the account"
    } else {
        "you too"
    };
    format!("{many} to sign it, {who}")
}

/// What helps whoever is told that several stewards agree first: the proposal of it.
pub(crate) fn agree_first(error: ClientError, what: &str) -> Failure {
    let needed = error.is_refusal("approvals_needed");
    let failure = Failure::from(error);
    if !needed {
        return failure;
    }
    failure.next(format!(
        "procura proposal {what}; when as many stewards as it takes have signed it, this again with --proposal ID"
    ))
}

async fn rules(context: &Context) -> Result<(), Failure> {
    let list = context.operator().await?.approval_rules().await?;
    if context.json {
        return output::json(&list);
    }
    let mut table = Table::new(["ACT", "STEWARDS", "SET", "SINCE"]);
    for rule in list.rules {
        table.row([
            rule.act.to_string(),
            rule.needs.to_string(),
            rule.set
                .map_or_else(|| "no rule".to_owned(), |needs| needs.to_string()),
            rule.since
                .map_or_else(String::new, |since| since.to_string()),
        ]);
    }
    table.print("no acts")?;
    output::say(format!("stewards: {}", list.stewards));
    Ok(())
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
        ProposedAct::RotateRoot { turn } => {
            let command = match turn {
                RootTurn::Keys {
                    sessions_go_on: false,
                } => "procura rotate root".to_owned(),
                RootTurn::Keys {
                    sessions_go_on: true,
                } => "procura rotate sessions".to_owned(),
                RootTurn::Passphrase => "procura passphrase".to_owned(),
                RootTurn::Remove { source } => format!("procura unseal-source remove {source}"),
            };
            format!("on the server's machine, {command} --proposal {id}")
        }
        ProposedAct::EndNamespace { name } => {
            format!("procura namespace delete {name} --proposal {id}")
        }
        ProposedAct::UseBreakGlass { name } => {
            format!("procura break-glass use --proposal {id}, with --home of where {name} was made")
        }
        ProposedAct::SetApprovals { act, needs } => {
            format!("procura proposal set-rule {act} {needs} --proposal {id}")
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_to_sign_is_not_whoever_made_the_account() {
        let fire = ProposedAct::UseBreakGlass {
            name: "fire".parse().unwrap(),
        };
        assert_eq!(
            signers(&fire, 1),
            "1 steward has to sign it, and not whoever made the account"
        );
        let shop = ProposedAct::EndNamespace {
            name: "shop".parse().unwrap(),
        };
        assert_eq!(signers(&shop, 2), "2 stewards have to sign it, you too");
    }
}
