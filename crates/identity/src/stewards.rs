//! Who is a steward: how many are a quorum of them, and what takes one.
//!
//! With one steward everything is theirs to do. With several, who is a steward changes
//! only by a quorum, but that anybody may go; and each counts, with whatever devices
//! they have left, so that nobody becomes a quorum by taking devices away.

use crate::error::IdentityError;
use crate::proposal::{ByQuorum, carry_out_act, takes_a_quorum};
use crate::roles::{Loses, keeps_a_steward};
use procura_directory::{QuarantineRecord, Snapshot, Suspect};
use procura_policy::{Action, Op, Resource};
use procura_record::RecordedBatch;
use procura_types::wire::ProposedAct;
use procura_types::{ActorId, Label, Role, Thumbprint, Timestamp};
use std::sync::Arc;

/// The fewest that are a quorum.
const QUORUM: usize = 2;

/// Whether somebody is a steward now, with whatever devices.
pub(crate) fn is_one(snapshot: &Snapshot, actor: &ActorId) -> bool {
    snapshot
        .roles(actor)
        .is_some_and(|held| held.has(Role::Steward, None))
        && snapshot.is_active(actor)
}

/// How many there are.
pub(crate) fn count(snapshot: &Snapshot) -> usize {
    let actors = snapshot.actors();
    actors.filter(|actor| is_one(snapshot, &actor.id)).count()
}

/// How many stewards are a quorum: more than half of them, and two at the least.
pub(crate) fn quorum(snapshot: &Snapshot) -> usize {
    (count(snapshot) / 2 + 1).max(QUORUM)
}

/// Whether somebody else than the caller is a steward, and so has a say.
fn others<O: Op>(batch: &RecordedBatch<'_, O>) -> bool {
    let (snapshot, caller) = (batch.directory(), batch.permit().caller().actor());
    let mut actors = snapshot.actors();
    actors.any(|actor| actor.id != *caller && is_one(snapshot, &actor.id))
}

/// That somebody may be invited as a steward: by the only one. Who joins with a code is
/// whoever was shown it, and a quorum agrees to nobody whom it does not know.
pub(crate) fn may_invite<O: Op>(batch: &RecordedBatch<'_, O>) -> Result<(), IdentityError> {
    if others(batch) {
        return Err(IdentityError::JoinFirst);
    }
    Ok(())
}

/// That another key of an operator may join by what opens the vault: where there are
/// several stewards, as a quorum agreed, which is used up in this commit.
pub(crate) fn recovered<O: Op>(
    batch: &mut RecordedBatch<'_, O>,
    (name, actor): (&Label, &ActorId),
    by: Option<&ByQuorum>,
    now: Timestamp,
) -> Result<(), IdentityError> {
    if !takes_a_quorum(batch.directory()) {
        return Ok(());
    }
    let act = ProposedAct::RecoverOperator { name: name.clone() };
    agreed(batch, by, &act, *actor, now)
}

/// That an operator may be made a steward: by the only one, or as a quorum agreed, which is
/// used up in this commit.
pub(crate) fn made<O: Op>(
    batch: &mut RecordedBatch<'_, O>,
    (name, actor): (&Label, &ActorId),
    by: Option<&ByQuorum>,
    now: Timestamp,
) -> Result<(), IdentityError> {
    if !others(batch) {
        return Ok(());
    }
    let act = ProposedAct::MakeSteward { name: name.clone() };
    agreed(batch, by, &act, *actor, now)
}

/// That somebody may be made a steward no more: by themselves, or as a quorum agreed,
/// which is used up in this commit. What they put on hold goes on.
pub(crate) fn removed<O: Op>(
    batch: &mut RecordedBatch<'_, O>,
    (name, actor): (&Label, &ActorId),
    by: Option<&ByQuorum>,
    now: Timestamp,
) -> Result<(), IdentityError> {
    if !is_one(batch.directory(), actor) {
        return Ok(());
    }
    if actor != batch.permit().caller().actor() {
        let act = ProposedAct::RemoveSteward { name: name.clone() };
        agreed(batch, by, &act, *actor, now)?;
    }
    let held: Vec<Arc<QuarantineRecord>> = batch
        .directory()
        .all_quarantines()
        .filter(|record| record.lifted.is_none() && record.by == Some(*actor))
        .map(Arc::clone)
        .collect();
    let seq = batch.directory().seq();
    for record in held {
        batch.put_quarantine(&QuarantineRecord {
            lifted: Some(seq),
            lifted_at: Some(now),
            ..record.as_ref().clone()
        });
    }
    Ok(())
}

/// That the device that calls may revoke this operator at all: one on hold only carries
/// out what takes a quorum.
pub(crate) fn may_revoke<O: Op>(
    batch: &RecordedBatch<'_, O>,
    actor: &ActorId,
) -> Result<(), IdentityError> {
    let caller = batch.permit().caller();
    let takes_a_quorum = actor != caller.actor() && is_one(batch.directory(), actor);
    let is_held = is_on_hold(batch);
    if is_held && !takes_a_quorum {
        return Err(IdentityError::OnHold);
    }
    Ok(())
}

/// Whether the device that calls is on hold.
pub(crate) fn is_on_hold<O: Op>(batch: &RecordedBatch<'_, O>) -> bool {
    let device = batch.permit().caller().device();
    device.is_some_and(|device| batch.directory().on_hold(device).is_some())
}

/// That a device may be revoked by the caller: their own, or of whoever is no steward.
pub(crate) fn device_may_go<O: Op>(
    batch: &RecordedBatch<'_, O>,
    actor: &ActorId,
) -> Result<(), IdentityError> {
    if actor != batch.permit().caller().actor() && is_one(batch.directory(), actor) {
        return Err(IdentityError::HoldInstead);
    }
    Ok(())
}

fn agreed<O: Op>(
    batch: &mut RecordedBatch<'_, O>,
    by: Option<&ByQuorum>,
    act: &ProposedAct,
    about: ActorId,
    now: Timestamp,
) -> Result<(), IdentityError> {
    let by = by.ok_or(IdentityError::TakesQuorum)?;
    carry_out_act(batch, by, act, about, now)
}

/// Puts a device of an operator on hold. Made by [`OperatorDeviceHold::resolve`].
pub struct OperatorDeviceHold {
    thumbprint: Thumbprint,
    actor: ActorId,
}

impl Op for OperatorDeviceHold {
    const ACTION: Action = Action::OperatorDeviceHold;
    fn resource(&self) -> Resource {
        Resource::Device(None, self.thumbprint)
    }
}

impl OperatorDeviceHold {
    /// The operation for this device; none when there is none of an operator.
    #[must_use]
    pub fn resolve(snapshot: &Snapshot, thumbprint: &Thumbprint) -> Option<Self> {
        let device = snapshot.device(thumbprint)?;
        let actor = snapshot.actor(&device.actor)?;
        actor.namespace().is_none().then_some(Self {
            thumbprint: *thumbprint,
            actor: actor.id,
        })
    }

    /// Keeps the device of the permit from everything but a say in what is proposed, until
    /// a steward lets it out; doing it again changes nothing. One device of some steward
    /// stays.
    ///
    /// # Errors
    /// [`IdentityError::LastSteward`].
    pub fn run(batch: &mut RecordedBatch<'_, Self>, now: Timestamp) -> Result<(), IdentityError> {
        // A full disk must not keep anyone from taking authority away.
        batch.reserved();
        let op = batch.op();
        let suspect = Suspect::Device(op.thumbprint);
        if batch.directory().is_held(&suspect) {
            return Ok(());
        }
        keeps_a_steward(batch.directory(), Loses::Device(&op.thumbprint))?;
        let by = Some(*batch.permit().caller().actor());
        batch.put_quarantine(&QuarantineRecord {
            suspect,
            actor: op.actor,
            since: now,
            by,
            canary: None,
            lifted: None,
            lifted_at: None,
        });
        Ok(())
    }
}
