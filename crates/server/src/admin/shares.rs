//! Who may have shares made, and which sources they take the place of.

use crate::app::{App, Open};
use crate::problem::{Code, Failure};
use procura_identity::{agreed, carry_out, takes_a_quorum};
use procura_store::Batch;
use procura_types::wire::{NewUnsealSource, ProposedAct, ShareSet, UnsealSourceAdd};
use procura_types::{Label, ProposalId};
use procura_vault::Keeper;

/// What has to happen beside a new source.
#[derive(Default)]
pub(super) struct Terms {
    /// The proposal that is used up.
    proposal: Option<ProposalId>,
    /// Sources that go: of two sets of shares that are about, people keep the wrong ones.
    pub(super) retired: Vec<Label>,
}

/// Shares let a few people open the vault without the others. Who is the only operator
/// makes them with what opens the vault; of several operators a quorum of the stewards
/// agrees besides to the very set.
pub(super) fn terms(app: &App, open: &Open, request: &UnsealSourceAdd) -> Result<Terms, Failure> {
    let NewUnsealSource::Shares(ShareSet { threshold, count }) = request.source else {
        return Ok(Terms::default());
    };
    let retired: Vec<Label> = open
        .vault
        .installation()
        .sources
        .iter()
        .filter(|source| matches!(source.keeper, Keeper::Shares { .. }))
        .map(|source| source.name.clone())
        .collect();
    let snapshot = open.directory.snapshot();
    let Some(proposal) = request.proposal else {
        if takes_a_quorum(&snapshot) {
            return Err(Failure::new(
                Code::Forbidden,
                "There is more than one operator, so making shares takes a quorum of the stewards: one proposes them, and more than half sign.",
            )
            .with_reason("quorum_needed"));
        }
        return Ok(Terms {
            proposal: None,
            retired,
        });
    };
    let vault = &open.vault;
    let id = vault.installation().id;
    let act = agreed(vault.store(), &snapshot, &id, &proposal, app.clock.now())?;
    let ProposedAct::MakeShares {
        name,
        threshold: of,
        count: among,
        retires,
    } = act;
    let same = (name, of, among) == (request.name.clone(), threshold, count)
        && retires.as_slice() == retired;
    if !same {
        return Err(Failure::new(
            Code::Conflict,
            "The proposal that was signed is about other shares: another name, another number of them, or in place of another set than there is now.",
        )
        .with_reason("other_proposal"));
    }
    Ok(Terms {
        proposal: Some(proposal),
        retired,
    })
}

impl Terms {
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
        let Some(proposal) = &self.proposal else {
            return Ok(());
        };
        let (store, id) = (open.vault.store(), open.vault.installation().id);
        let (snapshot, now) = (open.directory.snapshot(), app.clock.now());
        Ok(carry_out(batch, store, &snapshot, &id, proposal, now)?)
    }
}
