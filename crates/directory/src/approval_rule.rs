//! How many stewards the most dangerous acts take, where somebody said so (ADR 45).

use crate::snapshot::Snapshot;
use procura_types::wire::GuardedAct;
use procura_types::{ActorId, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A rule that was set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApprovalRuleRecord {
    /// For which act.
    pub act: GuardedAct,
    /// So many stewards.
    pub needs: u8,
    /// Since when.
    pub since: Timestamp,
    /// Who set it.
    pub by: ActorId,
}

/// The records of a snapshot.
#[derive(Clone, Default)]
pub(crate) struct ApprovalRules(BTreeMap<GuardedAct, Arc<ApprovalRuleRecord>>);

impl ApprovalRules {
    pub(crate) fn put(&mut self, record: ApprovalRuleRecord) {
        self.0.insert(record.act, Arc::new(record));
    }
}

impl Snapshot {
    /// The rule that was set for an act, if one was.
    #[must_use]
    pub fn approval_rule(&self, act: GuardedAct) -> Option<&Arc<ApprovalRuleRecord>> {
        self.approval_rules().0.get(&act)
    }
}
