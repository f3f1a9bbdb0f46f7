//! Who is a steward: how many are a quorum of them, and what takes one.
//!
//! With one steward everything is theirs to do. With several, who is a steward changes
//! only by a quorum, but that anybody may go; and each counts, with whatever devices
//! they have left, so that nobody becomes a quorum by taking devices away.

use crate::error::IdentityError;
use crate::proposal::{ByQuorum, carry_out_act, takes_a_quorum};
use crate::roles::{Loses, keeps_a_steward};
use procura_directory::{ApprovalRuleRecord, QuarantineRecord, Snapshot, Suspect};
use procura_policy::{Action, Op, Resource};
use procura_record::RecordedBatch;
use procura_types::wire::{GuardedAct, ProposedAct};
use procura_types::{ActorId, Label, ProposalId, Role, Thumbprint, Timestamp};
use std::sync::Arc;

/// The fewest that are a quorum.
const QUORUM: usize = 2;

/// Whether somebody is a steward now, with whatever devices. A break-glass account has the
/// role and is none: whoever made it would be two.
pub(crate) fn is_one(snapshot: &Snapshot, actor: &ActorId) -> bool {
    snapshot
        .roles(actor)
        .is_some_and(|held| held.has(Role::Steward, None))
        && snapshot.is_active(actor)
        && snapshot.break_glass(actor).is_none()
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

/// How many stewards an act takes: what was set for it, or one where there is one and two
/// where there are more. Shares take a quorum at the least, since enough of them open the
/// vault without anybody else.
pub(crate) fn needed(snapshot: &Snapshot, act: GuardedAct) -> usize {
    let rule = snapshot.approval_rule(act);
    needed_by(snapshot, act, rule.map(AsRef::as_ref))
}

/// The same by this rule.
pub(crate) fn needed_by(
    snapshot: &Snapshot,
    act: GuardedAct,
    rule: Option<&ApprovalRuleRecord>,
) -> usize {
    let stewards = count(snapshot);
    let usual = stewards.clamp(1, QUORUM);
    let needs = rule.map_or(usual, |rule| usize::from(rule.needs).max(1));
    match act {
        GuardedAct::MakeShares if stewards > 1 => needs.max(quorum(snapshot)),
        _ => needs,
    }
}

/// That a rule may ask for so many: one at the least, and no more than there are.
pub(crate) fn may_be_needed(snapshot: &Snapshot, needs: u8) -> Result<(), IdentityError> {
    if needs == 0 || usize::from(needs) > count(snapshot) {
        return Err(IdentityError::BadApprovals);
    }
    Ok(())
}

/// How many stewards it takes to change that: more than half, and as many as the act took
/// until then, as far as there are so many.
pub(crate) fn to_set(snapshot: &Snapshot, act: GuardedAct) -> usize {
    let so_far = needed(snapshot, act).min(count(snapshot));
    quorum(snapshot).max(so_far)
}

/// Whether somebody else than the caller is a steward, and so has a say. A break-glass
/// account stands for the only one there is.
fn others<O: Op>(batch: &RecordedBatch<'_, O>) -> bool {
    let (snapshot, caller) = (batch.directory(), batch.permit().caller().actor());
    if snapshot.break_glass(caller).is_some() {
        return takes_a_quorum(snapshot);
    }
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

/// That the caller may do this act, which takes so many stewards: alone where one is enough,
/// else as they agreed. The proposal is used up in this commit, whose entry names it.
///
/// # Errors
/// [`IdentityError::TakesApprovals`], and why what was brought is not what they agreed to.
pub fn approved<O: Op>(
    batch: &mut RecordedBatch<'_, O>,
    act: &ProposedAct,
    about: Option<ActorId>,
    by: Option<&ByQuorum>,
    now: Timestamp,
) -> Result<Option<ProposalId>, IdentityError> {
    let needs = match act.guarded() {
        Some(guarded) => needed(batch.directory(), guarded),
        None => quorum(batch.directory()),
    };
    match by {
        _ if needs < 2 => Ok(None),
        Some(by) => {
            carry_out_act(batch, by, act, about, now)?;
            Ok(Some(by.proposal))
        }
        None => Err(IdentityError::TakesApprovals(needs)),
    }
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

/// That these may be the roles of an operator: those of a break-glass account are what they
/// were when it was made.
pub(crate) fn may_have_roles(snapshot: &Snapshot, actor: &ActorId) -> Result<(), IdentityError> {
    if snapshot.break_glass(actor).is_some() {
        return Err(IdentityError::BreakGlassFixed);
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

/// That the caller may put a device of this operator on hold, or let it out: a steward's,
/// where there are others to do it, as one of the stewards alone. Who is on hold votes against
/// their holder and nobody else, so each holder is somebody who can be voted away, and there
/// are no more of them than stewards: one person with some envelopes would be a holder by each,
/// and no two of the held could agree about any.
pub(crate) fn may_hold<O: Op>(
    batch: &RecordedBatch<'_, O>,
    actor: &ActorId,
) -> Result<(), IdentityError> {
    let (snapshot, caller) = (batch.directory(), batch.permit().caller().actor());
    if is_one(snapshot, actor) && !is_one(snapshot, caller) && others(batch) {
        return Err(IdentityError::CountsNot);
    }
    Ok(())
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
    agreed_by(batch, by, act, Some(about), now)
}

/// That stewards agreed to this act, which is used up in this commit.
pub(crate) fn agreed_by<O: Op>(
    batch: &mut RecordedBatch<'_, O>,
    by: Option<&ByQuorum>,
    act: &ProposedAct,
    about: Option<ActorId>,
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
    /// [`IdentityError::CountsNot`], [`IdentityError::LastSteward`].
    pub fn run(batch: &mut RecordedBatch<'_, Self>, now: Timestamp) -> Result<(), IdentityError> {
        // A full disk must not keep anyone from taking authority away.
        batch.reserved();
        let op = batch.op();
        let suspect = Suspect::Device(op.thumbprint);
        may_hold(batch, &op.actor)?;
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
