//! Ids of other systems that stand for agents of ours.

use crate::agent::find;
use crate::agent_secret::{self, SecretTerms};
use crate::device;
use crate::error::IdentityError;
use procura_directory::{ForeignRecord, Snapshot};
use procura_policy::{Action, Op, Permit, Resource};
use procura_record::RecordedBatch;
use procura_store::Store;
use procura_types::wire::{ForeignIdList, ForeignIdentity};
use procura_types::{ForeignId, Label, Namespace, Timestamp};
use std::sync::Arc;

/// Binds an id to an agent.
pub struct ForeignBind {
    /// Where the agent is.
    pub namespace: Namespace,
    /// The id.
    pub id: ForeignId,
    /// The agent.
    pub agent: Label,
}

impl Op for ForeignBind {
    const ACTION: Action = Action::ForeignBind;
    fn resource(&self) -> Resource {
        Resource::Foreign(self.namespace.clone(), self.id.clone())
    }
}

/// What the id stands for, unless that is another agent than this one. The name of an
/// operator is no id: whoever is told by a gate who asks, in one word, takes it for them.
pub(crate) fn free_for(
    snapshot: &Snapshot,
    id: &ForeignId,
    agent: &procura_types::ActorId,
) -> Result<Option<Arc<ForeignRecord>>, IdentityError> {
    let name = id.as_str().parse::<Label>();
    if name.is_ok_and(|name| snapshot.owner_named(&name).is_some()) {
        return Err(IdentityError::IdOfOperator(id.clone()));
    }
    match snapshot.foreign(id) {
        Some(bound) if bound.actor != *agent => Err(IdentityError::ForeignBound(id.clone())),
        bound => Ok(bound.cloned()),
    }
}

impl ForeignBind {
    /// Binds the id of the permit. Binding it to the same agent again changes nothing.
    pub fn run(
        batch: &mut RecordedBatch<'_, Self>,
        terms: &SecretTerms,
        now: Timestamp,
    ) -> Result<ForeignIdentity, IdentityError> {
        let op = batch.op();
        let agent = find(batch.directory(), &op.namespace, &op.agent)?;
        batch.details().with = Some(format!("agent/{}", op.agent));
        if let Some(bound) = free_for(batch.directory(), &op.id, &agent.id)? {
            return render(batch.directory(), batch.store(), &bound, terms, now);
        }
        let record = ForeignRecord {
            id: op.id.clone(),
            actor: agent.id,
            device: None,
            created: now,
            released: None,
        };
        // Secrets of whoever had the id before, in a namespace that ended, are none of
        // this agent's.
        agent_secret::end_all(batch, &op.id)?;
        batch.put_foreign(&record);
        render(batch.directory(), batch.store(), &record, terms, now)
    }
}

/// Makes an id stand for nobody.
pub struct ForeignRelease {
    /// Where its agent is.
    pub namespace: Namespace,
    /// The id.
    pub id: ForeignId,
}

impl Op for ForeignRelease {
    const ACTION: Action = Action::ForeignRelease;
    fn resource(&self) -> Resource {
        Resource::Foreign(self.namespace.clone(), self.id.clone())
    }
}

/// The id in a namespace; its agent may be revoked.
pub(crate) fn find_id(
    snapshot: &Snapshot,
    namespace: &Namespace,
    id: &ForeignId,
) -> Result<Arc<ForeignRecord>, IdentityError> {
    snapshot
        .foreign(id)
        .filter(|bound| is_of(snapshot, bound, namespace))
        .cloned()
        .ok_or_else(|| IdentityError::NoForeign(id.clone()))
}

fn is_of(snapshot: &Snapshot, bound: &ForeignRecord, namespace: &Namespace) -> bool {
    snapshot
        .actor(&bound.actor)
        .is_some_and(|actor| actor.namespace() == Some(namespace))
}

impl ForeignRelease {
    /// Releases the id of the permit, with all that came with it: its secrets, and the
    /// device that was enrolled under it, which could prove itself natively too.
    pub fn run(batch: &mut RecordedBatch<'_, Self>, now: Timestamp) -> Result<(), IdentityError> {
        // A full disk must not keep anyone from taking authority away.
        batch.reserved();
        let op = batch.op();
        let bound = find_id(batch.directory(), &op.namespace, &op.id)?;
        if let Some(device) = &bound.device {
            device::revoke(batch, device, now);
        }
        agent_secret::end_all(batch, &op.id)?;
        batch.put_foreign(&ForeignRecord {
            released: Some(now),
            ..bound.as_ref().clone()
        });
        Ok(())
    }
}

/// Lists the ids of a namespace, or shows one of them.
pub struct ForeignListing {
    /// Where.
    pub namespace: Namespace,
    /// The one to show.
    pub id: Option<ForeignId>,
}

impl Op for ForeignListing {
    const ACTION: Action = Action::ForeignList;
    fn resource(&self) -> Resource {
        match &self.id {
            Some(id) => Resource::Foreign(self.namespace.clone(), id.clone()),
            None => Resource::Namespace(self.namespace.clone()),
        }
    }
}

impl ForeignListing {
    /// All ids that stand for agents of the namespace, or the one that was asked for.
    pub fn run(
        permit: &Permit<Self>,
        snapshot: &Snapshot,
        store: &Store,
        terms: &SecretTerms,
        now: Timestamp,
    ) -> Result<ForeignIdList, IdentityError> {
        let op = permit.op();
        let mut found: Vec<Arc<ForeignRecord>> = match &op.id {
            Some(id) => vec![find_id(snapshot, &op.namespace, id)?],
            None => snapshot
                .foreign_ids()
                .filter(|bound| is_of(snapshot, bound, &op.namespace))
                .cloned()
                .collect(),
        };
        found.sort_by(|one, other| one.id.cmp(&other.id));
        let ids = found
            .iter()
            .map(|bound| render(snapshot, store, bound, terms, now))
            .collect::<Result<_, _>>()?;
        Ok(ForeignIdList { ids })
    }
}

fn render(
    snapshot: &Snapshot,
    store: &Store,
    bound: &ForeignRecord,
    terms: &SecretTerms,
    now: Timestamp,
) -> Result<ForeignIdentity, IdentityError> {
    let agent = snapshot
        .actor(&bound.actor)
        .ok_or_else(|| IdentityError::NoForeign(bound.id.clone()))?;
    Ok(ForeignIdentity {
        agent_id: bound.id.clone(),
        agent: agent.label().clone(),
        actor_id: agent.id,
        device: bound.device,
        created: bound.created,
        revoked: !snapshot.is_active(&agent.id),
        secrets: agent_secret::ages(store, &bound.id, terms, now)?,
    })
}
