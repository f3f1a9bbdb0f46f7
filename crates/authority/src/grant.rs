//! Grants: what was said yes to, and its end.

use crate::error::AuthorityError;
use crate::page;
use crate::run::running;
use procura_directory::{GrantRecord, Snapshot};
use procura_policy::{Action, Op, Permit, Resource};
use procura_record::RecordedBatch;
use procura_store::Store;
use procura_types::wire::{Grant, GrantList, RunningChild};
use procura_types::{GrantId, Namespace, Timestamp};
use std::sync::Arc;

/// Reads one grant.
pub struct GrantRead {
    /// Where.
    pub namespace: Namespace,
    /// Which.
    pub id: GrantId,
}

impl Op for GrantRead {
    const ACTION: Action = Action::GrantRead;
    fn resource(&self) -> Resource {
        Resource::Grant(self.namespace.clone(), self.id)
    }
}

impl GrantRead {
    /// The grant of the permit.
    pub fn run(permit: &Permit<Self>, snapshot: &Snapshot) -> Result<Grant, AuthorityError> {
        let op = permit.op();
        find(snapshot, &op.namespace, &op.id).map(|grant| render(snapshot, &grant))
    }
}

/// Lists the grants of a namespace.
pub struct GrantListing {
    /// Where.
    pub namespace: Namespace,
    /// Only grants after this one.
    pub after: Option<GrantId>,
    /// At most so many, 1 to 1000; 100 by default.
    pub limit: Option<usize>,
}

impl Op for GrantListing {
    const ACTION: Action = Action::GrantRead;
    fn resource(&self) -> Resource {
        Resource::Namespace(self.namespace.clone())
    }
}

impl GrantListing {
    /// The grants by id, that is by the time they were asked for; those that have
    /// ended too.
    #[must_use]
    pub fn run(permit: &Permit<Self>, snapshot: &Snapshot) -> GrantList {
        let op = permit.op();
        let limit = page(op.limit);
        let mut found: Vec<&Arc<GrantRecord>> = snapshot
            .grants()
            .filter(|grant| {
                grant.namespace == op.namespace && op.after.is_none_or(|after| grant.id > after)
            })
            .collect();
        found.sort_by_key(|grant| grant.id);
        let more = found.len() > limit;
        found.truncate(limit);
        let next = if more {
            found.last().map(|grant| grant.id)
        } else {
            None
        };
        GrantList {
            grants: found
                .into_iter()
                .map(|grant| render(snapshot, grant))
                .collect(),
            next,
        }
    }
}

impl GrantListing {
    /// Of the grants, those that hold now or will, the last that was asked for first:
    /// `after` is then the last of the page before.
    #[must_use]
    pub fn holding(permit: &Permit<Self>, snapshot: &Snapshot, now: Timestamp) -> GrantList {
        let op = permit.op();
        let limit = page(op.limit);
        let mut found: Vec<&Arc<GrantRecord>> = snapshot
            .grants()
            .filter(|grant| {
                grant.namespace == op.namespace
                    && op.after.is_none_or(|after| grant.id < after)
                    && grant.withdrawn.is_none()
                    && now < grant.until
                    && snapshot.is_active(&grant.agent)
            })
            .collect();
        found.sort_by_key(|grant| std::cmp::Reverse(grant.id));
        let more = found.len() > limit;
        found.truncate(limit);
        let last = found.last().filter(|_| more);
        GrantList {
            next: last.map(|grant| grant.id),
            grants: found
                .into_iter()
                .map(|grant| render(snapshot, grant))
                .collect(),
        }
    }
}

/// Ends a grant.
pub struct GrantWithdraw {
    /// Where.
    pub namespace: Namespace,
    /// Which.
    pub id: GrantId,
}

impl Op for GrantWithdraw {
    const ACTION: Action = Action::GrantWithdraw;
    fn resource(&self) -> Resource {
        Resource::Grant(self.namespace.clone(), self.id)
    }
}

impl GrantWithdraw {
    /// Withdraws the grant of the permit: the next read is denied. Doing it again
    /// changes nothing. What runs is listed by [`running_children`], after the
    /// commit, so that no run slips between.
    pub fn run(
        batch: &mut RecordedBatch<'_, Self>,
        now: Timestamp,
    ) -> Result<Grant, AuthorityError> {
        let op = batch.op();
        // A full disk must not keep anyone from taking authority away.
        batch.reserved();
        let mut grant = find(batch.directory(), &op.namespace, &op.id)?
            .as_ref()
            .clone();
        batch.details().grant = Some(grant.id);
        if grant.withdrawn.is_none() {
            grant.withdrawn = Some(now);
            batch.put_grant(&grant);
        }
        Ok(render(batch.directory(), &grant))
    }
}

/// The processes that got values under a grant and have not been seen to end.
/// Withdrawal cannot take those values back.
pub fn running_children(
    store: &Store,
    namespace: &Namespace,
    grant: &GrantId,
) -> Result<Vec<RunningChild>, AuthorityError> {
    running(store, namespace, grant)
}

fn find(
    snapshot: &Snapshot,
    namespace: &Namespace,
    id: &GrantId,
) -> Result<Arc<GrantRecord>, AuthorityError> {
    snapshot
        .grant(id)
        .filter(|grant| grant.namespace == *namespace)
        .cloned()
        .ok_or(AuthorityError::NoGrant)
}

/// A grant as the API shows it.
pub(crate) fn render(snapshot: &Snapshot, grant: &GrantRecord) -> Grant {
    Grant {
        id: grant.id,
        namespace: grant.namespace.clone(),
        agent: grant.agent,
        lineage: snapshot.lineage(&grant.agent),
        project: grant.project.clone(),
        delivery: grant.delivery,
        items: grant.items.clone(),
        from: grant.from,
        until: grant.until,
        withdrawn: grant.withdrawn,
        agent_revoked: !snapshot.is_active(&grant.agent),
        receipt: grant.receipt.clone(),
    }
}
