//! How many stewards the most dangerous acts take
//! ([decision 45](../../../docs/adr/0045-second-persons.md)).

use crate::error::IdentityError;
use crate::proposal::{ByQuorum, takes_a_quorum};
use crate::stewards;
use procura_directory::{ApprovalRuleRecord, Snapshot};
use procura_policy::{Action, Op, Permit, Resource};
use procura_record::RecordedBatch;
use procura_types::Timestamp;
use procura_types::wire::{ApprovalRule, ApprovalRuleList, GuardedAct, ProposedAct};

/// Lists how many stewards each act takes.
pub struct ApprovalRuleListing;

impl Op for ApprovalRuleListing {
    const ACTION: Action = Action::ApprovalRuleList;
    fn resource(&self) -> Resource {
        Resource::Installation
    }
}

impl ApprovalRuleListing {
    /// One rule for each act, with the stewards of now.
    #[must_use]
    pub fn run(_permit: &Permit<Self>, snapshot: &Snapshot) -> ApprovalRuleList {
        ApprovalRuleList {
            stewards: u32::try_from(stewards::count(snapshot)).unwrap_or(u32::MAX),
            rules: GuardedAct::ALL
                .into_iter()
                .map(|act| {
                    render(
                        snapshot,
                        act,
                        snapshot.approval_rule(act).map(AsRef::as_ref),
                    )
                })
                .collect(),
        }
    }
}

fn render(
    snapshot: &Snapshot,
    act: GuardedAct,
    record: Option<&ApprovalRuleRecord>,
) -> ApprovalRule {
    let needs = stewards::needed_by(snapshot, act, record);
    ApprovalRule {
        act,
        needs: u32::try_from(needs).unwrap_or(u32::MAX),
        set: record.map(|record| record.needs),
        since: record.map(|record| record.since),
        by: record.map(|record| record.by),
    }
}

/// Says how many stewards an act takes.
pub struct ApprovalRuleSet {
    /// Which.
    pub act: GuardedAct,
    /// So many.
    pub needs: u8,
    /// What the stewards agreed to, where there are several.
    pub by: Option<ByQuorum>,
}

impl Op for ApprovalRuleSet {
    const ACTION: Action = Action::ApprovalRuleSet;
    fn resource(&self) -> Resource {
        Resource::ApprovalRule(self.act)
    }
}

impl ApprovalRuleSet {
    /// Puts the rule of the permit: by the only steward, or as the stewards agreed, which is
    /// used up in this commit.
    ///
    /// # Errors
    /// [`IdentityError::BadApprovals`], [`IdentityError::CountsNot`],
    /// [`IdentityError::TakesQuorum`], and why what was brought is not what they agreed to.
    pub fn run(
        batch: &mut RecordedBatch<'_, Self>,
        now: Timestamp,
    ) -> Result<ApprovalRule, IdentityError> {
        let ApprovalRuleSet { act, needs, by } = batch.op();
        let (act, needs, by) = (*act, *needs, by.as_ref());
        let caller = *batch.permit().caller().actor();
        // It stands in for a steward where something has to be done, and not for good.
        if batch.directory().break_glass(&caller).is_some() {
            return Err(IdentityError::CountsNot);
        }
        stewards::may_be_needed(batch.directory(), needs)?;
        if takes_a_quorum(batch.directory()) {
            let proposed = ProposedAct::SetApprovals { act, needs };
            stewards::agreed_by(batch, by, &proposed, None, now)?;
        }
        let record = ApprovalRuleRecord {
            act,
            needs,
            since: now,
            by: caller,
        };
        batch.put_approval_rule(&record);
        batch.details().with = Some(format!("needs:{needs}"));
        Ok(render(batch.directory(), act, Some(&record)))
    }
}
