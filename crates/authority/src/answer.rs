//! The answer of a person: a signed yes, or a no.

use crate::error::AuthorityError;
use crate::grant;
use crate::request::{Answer, Answered, Pending, grant_id};
use crate::yes::Yes;
use crate::{CLOCK_TOLERANCE, MAX_GRANT};
use procura_directory::{GrantRecord, Snapshot};
use procura_ledger::GrantTerms;
use procura_policy::{Action, Op, Resource};
use procura_record::RecordedBatch;
use procura_store::Store;
use procura_types::wire::{Grant, GrantItem};
use procura_types::{EnvName, InstallationId, Namespace, RequestId, Timestamp};
use procura_vault::newest_version;

/// Says yes, signed.
pub struct RequestApprove {
    /// Where.
    pub namespace: Namespace,
    /// Which request.
    pub id: RequestId,
    /// The names granted; all that were asked for when there is nothing here.
    pub names: Option<Vec<EnvName>>,
    /// From when.
    pub from: Timestamp,
    /// Until when.
    pub until: Timestamp,
    /// By a key of the approver's own over the exact grant.
    pub yes: Yes,
}

impl Op for RequestApprove {
    const ACTION: Action = Action::RequestApprove;
    fn resource(&self) -> Resource {
        Resource::Request(self.namespace.clone(), self.id)
    }
}

impl RequestApprove {
    /// Turns the request of the permit into a grant. The server builds the grant
    /// from what it stored and from the approver's terms; the yes has to be signed over
    /// exactly that, by the device that calls or by a passkey of whoever calls in a browser.
    pub fn run(
        batch: &mut RecordedBatch<'_, Self>,
        installation: &InstallationId,
        now: Timestamp,
    ) -> Result<Grant, AuthorityError> {
        let op = batch.op();
        let pending = Pending::load(batch.store(), &op.namespace, op.id, now)?;
        let approving = Approving {
            namespace: &op.namespace,
            id: op.id,
            names: op.names.as_deref(),
            from: op.from,
            until: op.until,
        };
        let (store, directory) = (batch.store(), batch.directory());
        let terms = approving.terms((store, directory), &pending, installation, now)?;
        let receipt = op.yes.receipt(batch, &terms, now)?;
        let answered = Answered {
            answer: Answer::Approved,
            by: receipt.approver,
            time: now,
        };
        let store = batch.store();
        pending.answer(store, batch.rows(), answered)?;
        let record = GrantRecord {
            id: terms.grant,
            namespace: terms.namespace,
            agent: terms.agent,
            project: terms.project,
            delivery: terms.delivery,
            items: terms.items,
            from: terms.from,
            until: terms.until,
            withdrawn: None,
            receipt,
        };
        batch.put_grant(&record);
        batch.details().grant = Some(record.id);
        batch.details().approval = Some(record.receipt.clone());
        Ok(grant::render(batch.directory(), &record))
    }
}

/// What an approver says yes to, of a request.
pub(crate) struct Approving<'a> {
    pub(crate) namespace: &'a Namespace,
    pub(crate) id: RequestId,
    /// All names that were asked for when there are none here.
    pub(crate) names: Option<&'a [EnvName]>,
    pub(crate) from: Timestamp,
    pub(crate) until: Timestamp,
}

impl Approving<'_> {
    /// The grant that it would be, if it can be one.
    pub(crate) fn terms(
        &self,
        (store, directory): (&Store, &Snapshot),
        pending: &Pending,
        installation: &InstallationId,
        now: Timestamp,
    ) -> Result<GrantTerms, AuthorityError> {
        let agent = pending.row.agent;
        if !directory.is_active(&agent) {
            return Err(AuthorityError::AgentRevoked);
        }
        let items = approved_items(&pending.row.items, self.names)?;
        for item in &items {
            item.name.deliverable()?;
            // A grant that could never be used is none.
            let newest = newest_version(store, self.namespace, &item.path)?;
            if newest.is_some_and(|newest| !newest.allows(pending.row.delivery)) {
                return Err(AuthorityError::DeliveryNotAllowed {
                    name: item.name.clone(),
                    delivery: pending.row.delivery,
                });
            }
        }
        check_term(self.from, self.until, now)?;
        Ok(GrantTerms {
            installation: *installation,
            grant: grant_id(self.id),
            namespace: self.namespace.clone(),
            agent,
            project: pending.row.project.clone(),
            delivery: pending.row.delivery,
            from: self.from,
            until: self.until,
            items,
        })
    }
}

/// The items of the names, sorted; all of `asked` when no names are given.
fn approved_items(
    asked: &[GrantItem],
    names: Option<&[EnvName]>,
) -> Result<Vec<GrantItem>, AuthorityError> {
    let Some(names) = names else {
        return Ok(asked.to_vec());
    };
    if names.is_empty() {
        return Err(AuthorityError::NothingApproved);
    }
    let mut items = names
        .iter()
        .map(|name| {
            asked
                .iter()
                .find(|item| item.name == *name)
                .cloned()
                .ok_or_else(|| AuthorityError::NotAsked(name.clone()))
        })
        .collect::<Result<Vec<_>, _>>()?;
    items.sort();
    items.dedup();
    Ok(items)
}

fn check_term(from: Timestamp, until: Timestamp, now: Timestamp) -> Result<(), AuthorityError> {
    if from.since(now).max(now.since(from)) > CLOCK_TOLERANCE {
        return Err(AuthorityError::BadStart);
    }
    if until <= from || until <= now || until.since(from) > MAX_GRANT {
        return Err(AuthorityError::BadEnd);
    }
    Ok(())
}

/// Says no.
pub struct RequestDeny {
    /// Where.
    pub namespace: Namespace,
    /// Which request.
    pub id: RequestId,
}

impl Op for RequestDeny {
    const ACTION: Action = Action::RequestDeny;
    fn resource(&self) -> Resource {
        Resource::Request(self.namespace.clone(), self.id)
    }
}

impl RequestDeny {
    /// Denies the request of the permit; the agent may ask again.
    pub fn run(batch: &mut RecordedBatch<'_, Self>, now: Timestamp) -> Result<(), AuthorityError> {
        let op = batch.op();
        let pending = Pending::load(batch.store(), &op.namespace, op.id, now)?;
        let by = *batch.permit().caller().actor();
        let agent = pending.row.agent;
        let store = batch.store();
        pending.answer(
            store,
            batch.rows(),
            Answered {
                answer: Answer::Denied,
                by,
                time: now,
            },
        )?;
        batch.details().grant = Some(grant_id(op.id));
        batch.details().with = Some(format!("agent:{agent}"));
        Ok(())
    }
}
