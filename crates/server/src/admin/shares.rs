//! Who may have shares made and which sources they take the place of, and who may have the
//! root turned: where there are several stewards, as they agreed.

use crate::app::{App, Open};
use crate::problem::{Code, Failure};
use procura_directory::Snapshot;
use procura_identity::{agreed, carry_out, stewards_needed};
use procura_store::Batch;
use procura_types::wire::{GuardedAct, ProposedAct, RootTurn, ShareScheme, ShareSet};
use procura_types::{Label, ProposalId};

/// What has to happen beside a change of what opens the vault.
#[derive(Default)]
pub(super) struct Terms {
    /// What takes several stewards of it, if anything does.
    guarded: Option<GuardedAct>,
    /// The proposal that is used up.
    proposal: Option<ProposalId>,
    /// Sources that go: of two sets of shares that are about, people keep the wrong ones.
    pub(super) retired: Vec<Label>,
}

/// Shares that are to be.
pub(super) struct Shares {
    pub(super) name: Label,
    pub(super) scheme: ShareScheme,
    pub(super) set: ShareSet,
    proposal: Option<ProposalId>,
}

impl Shares {
    pub(super) const fn new(
        name: Label,
        scheme: ShareScheme,
        set: ShareSet,
        proposal: Option<ProposalId>,
    ) -> Self {
        Self {
            name,
            scheme,
            set,
            proposal,
        }
    }

    /// Shares let a few people open the vault without the others. With one steward they are
    /// made with what opens the vault; of several stewards a quorum agrees besides to the
    /// very set.
    ///
    /// Decided by what there is at this moment: whoever goes by it has the turn of a change.
    pub(super) fn terms(&self, app: &App, open: &Open) -> Result<Terms, Failure> {
        let retired: Vec<Label> = open
            .vault
            .installation()
            .sources
            .iter()
            .filter(|source| source.keeper.shares().is_some())
            .map(|source| source.name.clone())
            .collect();
        let snapshot = open.directory.snapshot();
        let Some(proposal) = self.proposal else {
            taken_alone(&snapshot, GuardedAct::MakeShares)?;
            return Ok(Terms {
                guarded: Some(GuardedAct::MakeShares),
                proposal: None,
                retired,
            });
        };
        let vault = &open.vault;
        let id = vault.installation().id;
        let act = agreed(vault.store(), &snapshot, &id, &proposal, app.clock.now())?;
        // Sets are one at a time, so one at the most is retired.
        let wanted = ProposedAct::MakeShares {
            name: self.name.clone(),
            threshold: self.set.threshold,
            count: self.set.count,
            retires: retired.first().cloned(),
            scheme: self.scheme,
        };
        if act != wanted || retired.len() > 1 {
            return Err(Failure::new(
                Code::Conflict,
                "The proposal that was signed is about something else: another name, other shares or another number of them, or in place of another set than there is now.",
            )
            .with_reason("other_proposal"));
        }
        Ok(Terms {
            guarded: Some(GuardedAct::MakeShares),
            proposal: Some(proposal),
            retired,
        })
    }
}

/// That one steward is enough for this act, or why not.
fn taken_alone(snapshot: &Snapshot, act: GuardedAct) -> Result<(), Failure> {
    let needs = stewards_needed(snapshot, act);
    if needs < 2 {
        return Ok(());
    }
    Err(match act {
        GuardedAct::MakeShares => Failure::new(
            Code::Forbidden,
            "There is more than one steward, so making shares takes a quorum of the stewards: one proposes them, and more than half sign.",
        )
        .with_reason("quorum_needed"),
        _ => Failure::new(
            Code::Forbidden,
            format!("This takes {needs} stewards: it is proposed, and so many sign it."),
        )
        .with_reason("approvals_needed"),
    })
}

impl Terms {
    /// What it takes to turn the root so. One proposal that nobody needs is not looked at.
    pub(super) fn of_turn(
        app: &App,
        open: &Open,
        turn: RootTurn,
        proposal: Option<ProposalId>,
    ) -> Result<Self, Failure> {
        let (act, snapshot) = (GuardedAct::RotateRoot, open.directory.snapshot());
        let alone = taken_alone(&snapshot, act);
        let proposal = match (alone, proposal) {
            (Ok(()), _) => None,
            (Err(why), None) => return Err(why),
            (Err(_), Some(proposal)) => Some(proposal),
        };
        if let Some(proposal) = &proposal {
            let vault = &open.vault;
            let id = vault.installation().id;
            let agreed = agreed(vault.store(), &snapshot, &id, proposal, app.clock.now())?;
            if agreed != (ProposedAct::RotateRoot { turn }) {
                return Err(Failure::new(
                    Code::Conflict,
                    "The proposal that was signed is about something else, or about turning the root in another way.",
                )
                .with_reason("other_proposal"));
            }
        }
        Ok(Self {
            guarded: Some(act),
            proposal,
            retired: Vec::new(),
        })
    }

    /// What the record says.
    pub(super) fn words(&self) -> Option<String> {
        let retired = self
            .retired
            .iter()
            .map(|name| format!("in place of {name}"));
        let agreed = self.proposal.iter().map(|id| format!("proposal {id}"));
        let words: Vec<String> = retired.chain(agreed).collect();
        (!words.is_empty()).then(|| words.join(", "))
    }

    /// Uses the proposal up in the commit that it lets happen.
    pub(super) fn put(&self, app: &App, open: &Open, batch: &mut Batch) -> Result<(), Failure> {
        let snapshot = open.directory.snapshot();
        let Some(proposal) = &self.proposal else {
            // There may be a steward more by now.
            return self
                .guarded
                .map_or(Ok(()), |act| taken_alone(&snapshot, act));
        };
        let (store, id) = (open.vault.store(), open.vault.installation().id);
        let now = app.clock.now();
        Ok(carry_out(batch, store, &snapshot, &id, proposal, now)?)
    }
}
