//! What takes several stewards: each signs the very act with the key of a device of theirs
//! or a passkey, so that no session, and nobody who holds one steward's device alone, brings
//! it about.
//!
//! Most of it takes a quorum; the acts of a rule take as many as that says
//! ([decision 45](../../../docs/adr/0045-second-persons.md)).
//!
//! Who is a steward is among it, or one of them could make the others fewer, or more of
//! their own, until they are a quorum ([decision 33](../../../docs/adr/0033-stewards.md)).

mod by_passkey;
mod row;

pub use by_passkey::{ProposalDraft, ProposalSignByPasskey};

use crate::error::IdentityError;
use crate::stewards;
use procura_directory::Snapshot;
use procura_policy::{Action, Op, Permit, Resource};
use procura_record::RecordedBatch;
use procura_store::{Batch, Expected, Row, Store, StoreError};
use procura_types::wire::{GuardedAct, Proposal, ProposalList, ProposedAct, ShareSet};
use procura_types::{ActorId, Duration, Entropy, InstallationId, ProposalId, Timestamp};
use row::{PROPOSALS, ProposalRow, Signed, all, can_sign, has_a_yes, open};

/// How long the stewards have, wherever on Earth they are.
const LIFE: Duration = Duration::from_secs(24 * 3600);
/// How long the removal of a steward can be agreed to and carried out.
const REMOVAL_LIFE: Duration = Duration::from_secs(21 * 24 * 3600);
/// Proposals of one steward that may wait at once.
const OPEN_LIMIT: usize = 16;

/// What a quorum agreed to, as it is brought by whoever carries it out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ByQuorum {
    /// Where it was signed.
    pub installation: InstallationId,
    /// Which.
    pub proposal: ProposalId,
}

/// Proposes something that takes a quorum.
pub struct ProposalCreate {
    /// What.
    pub act: ProposedAct,
}

impl Op for ProposalCreate {
    const ACTION: Action = Action::ProposalCreate;
    fn resource(&self) -> Resource {
        Resource::Installation
    }
}

impl ProposalCreate {
    /// Puts the proposal of the permit. Nobody has signed it yet, its proposer neither.
    ///
    /// # Errors
    /// [`IdentityError::BadShares`]; [`IdentityError::NoOperator`], whom it is about;
    /// [`IdentityError::NoNamespace`], [`IdentityError::NoBreakGlass`],
    /// [`IdentityError::BadApprovals`]; [`IdentityError::OnHold`];
    /// [`IdentityError::TooManyProposals`].
    pub fn run(
        batch: &mut RecordedBatch<'_, Self>,
        installation: &InstallationId,
        now: Timestamp,
        entropy: &dyn Entropy,
    ) -> Result<Proposal, IdentityError> {
        let act = batch.op().act.clone();
        let proposer = *batch.permit().caller().actor();
        let is_held = stewards::is_on_hold(batch);
        let mut life = LIFE;
        let about = match &act {
            ProposedAct::MakeShares {
                threshold,
                count,
                scheme,
                ..
            } => {
                let (threshold, count) = (*threshold, *count);
                if !(ShareSet { threshold, count }).fits(*scheme) {
                    return Err(IdentityError::BadShares);
                }
                None
            }
            ProposedAct::MakeSteward { name }
            | ProposedAct::RemoveSteward { name }
            | ProposedAct::RecoverOperator { name } => {
                let found = batch.directory().owner_named(name);
                let found = found.ok_or_else(|| IdentityError::NoOperator(name.clone()))?;
                stewards::may_have_roles(batch.directory(), &found.id)?;
                Some(found.id)
            }
            ProposedAct::RotateRoot { .. } => None,
            ProposedAct::EndNamespace { name } => {
                let found = batch.directory().namespace(name);
                found.ok_or_else(|| IdentityError::NoNamespace(name.clone()))?;
                None
            }
            ProposedAct::UseBreakGlass { name } => {
                let snapshot = batch.directory();
                let found = snapshot
                    .owner_named(name)
                    .filter(|found| snapshot.break_glass(&found.id).is_some());
                let found = found.ok_or_else(|| IdentityError::NoBreakGlass(name.clone()))?;
                Some(found.id)
            }
            ProposedAct::SetApprovals { needs, .. } => {
                stewards::may_be_needed(batch.directory(), *needs)?;
                None
            }
        };
        if matches!(act, ProposedAct::RemoveSteward { .. }) {
            life = REMOVAL_LIFE;
        } else if is_held {
            return Err(IdentityError::OnHold);
        }
        let rows = all(batch.store())?;
        let day_ago = now.minus(LIFE);
        let mut open = 0;
        for (id, row) in &rows {
            if row.value.expires < day_ago {
                PROPOSALS.delete(batch.rows(), id);
            } else if row.value.proposer == proposer
                && row.value.done.is_none()
                && now < row.value.expires
            {
                open += 1;
            }
        }
        if open >= OPEN_LIMIT {
            return Err(IdentityError::TooManyProposals);
        }
        let id = ProposalId::generate(now, entropy)?;
        let row = ProposalRow {
            act,
            proposer,
            created: now,
            expires: now.plus(life),
            signed: Vec::new(),
            about,
            refused: Vec::new(),
            done: None,
        };
        PROPOSALS.expect(batch.rows(), &id, Expected::Absent);
        PROPOSALS.put(batch.rows(), &id, &row);
        batch.details().with = Some(format!("{id}: {}", row.act.words()));
        Ok(row.render(batch.directory(), installation, id, now))
    }
}

/// Signs a proposal.
pub struct ProposalSign {
    /// Which.
    pub id: ProposalId,
    /// Over its message, by the key of the device that calls.
    pub signature: Vec<u8>,
}

impl Op for ProposalSign {
    const ACTION: Action = Action::ProposalSign;
    fn resource(&self) -> Resource {
        Resource::Proposal(self.id)
    }
}

impl ProposalSign {
    /// Adds the caller's signature; signing again changes nothing.
    ///
    /// # Errors
    /// [`IdentityError::NoProposal`], [`IdentityError::ProposalOver`],
    /// [`IdentityError::BadProposalSignature`], [`IdentityError::OnHold`],
    /// [`IdentityError::CountsNot`].
    pub fn run(
        batch: &mut RecordedBatch<'_, Self>,
        installation: &InstallationId,
        now: Timestamp,
    ) -> Result<Proposal, IdentityError> {
        let (id, signature) = (batch.op().id, batch.op().signature.clone());
        let row = open(batch.store(), &id, now)?;
        let mut proposal = row.value;
        let message = proposal.message(installation, &id);
        let caller = batch.permit().caller();
        let steward = *caller.actor();
        let device = caller
            .device()
            .and_then(|device| batch.directory().device(device))
            .filter(|device| device.actor == steward && device.revoked.is_none())
            .filter(|device| device.key.verify(&message, &signature))
            .map(|device| device.thumbprint)
            .ok_or(IdentityError::BadProposalSignature)?;
        has_a_yes(batch.directory(), &steward)?;
        proposal.takes_yes_of(batch.directory(), &steward)?;
        if !can_sign(batch.directory(), &proposal.act, &steward, &device) {
            return Err(IdentityError::OnHold);
        }
        batch.details().with = Some(proposal.act.words());
        proposal.sign(Signed {
            steward,
            device,
            time: now,
            signature,
            assertion: None,
        });
        PROPOSALS.expect(batch.rows(), &id, Expected::At(row.version));
        PROPOSALS.put(batch.rows(), &id, &proposal);
        Ok(proposal.render(batch.directory(), installation, id, now))
    }
}

/// Says no to a proposal.
pub struct ProposalRefuse {
    /// Which.
    pub id: ProposalId,
}

impl Op for ProposalRefuse {
    const ACTION: Action = Action::ProposalRefuse;
    fn resource(&self) -> Resource {
        Resource::Proposal(self.id)
    }
}

impl ProposalRefuse {
    /// Takes the caller's yes back, if there was one, and keeps time alone from carrying
    /// it out. A quorum still does: one steward keeps nothing from the others.
    ///
    /// # Errors
    /// [`IdentityError::NoProposal`], [`IdentityError::ProposalOver`].
    pub fn run(
        batch: &mut RecordedBatch<'_, Self>,
        installation: &InstallationId,
        now: Timestamp,
    ) -> Result<Proposal, IdentityError> {
        let id = batch.op().id;
        let row = open(batch.store(), &id, now)?;
        let mut proposal = row.value;
        let steward = *batch.permit().caller().actor();
        batch.details().with = Some(proposal.act.words());
        proposal.signed.retain(|signed| signed.steward != steward);
        if !proposal.refused.contains(&steward) {
            proposal.refused.push(steward);
        }
        PROPOSALS.expect(batch.rows(), &id, Expected::At(row.version));
        PROPOSALS.put(batch.rows(), &id, &proposal);
        Ok(proposal.render(batch.directory(), installation, id, now))
    }
}

/// Lists proposals.
pub struct ProposalListing;

impl Op for ProposalListing {
    const ACTION: Action = Action::ProposalList;
    fn resource(&self) -> Resource {
        Resource::Installation
    }
}

impl ProposalListing {
    /// Those that are kept, the newest first.
    ///
    /// # Errors
    /// The store's.
    pub fn run(
        _permit: &Permit<Self>,
        store: &Store,
        snapshot: &Snapshot,
        installation: &InstallationId,
        now: Timestamp,
    ) -> Result<ProposalList, IdentityError> {
        let rows = all(store)?;
        let proposals = rows
            .into_iter()
            .rev()
            .map(|(id, row)| row.value.render(snapshot, installation, id, now))
            .collect();
        Ok(ProposalList { proposals })
    }
}

/// Takes away every proposal that nobody has carried out, and says how many those are. For
/// an older state of the store: who said no since, or took a yes back, and what was
/// carried out since, is not in it.
///
/// # Errors
/// The store's.
pub fn end_all(batch: &mut Batch, store: &Store) -> Result<usize, StoreError> {
    let mut ended = 0usize;
    for (id, row) in all(store)? {
        if row.value.done.is_none() {
            PROPOSALS.expect(batch, &id, Expected::At(row.version));
            PROPOSALS.delete(batch, &id);
            ended = ended.saturating_add(1);
        }
    }
    Ok(ended)
}

/// Whether what takes a quorum takes one here: there is more than one steward. Other
/// operators can sign nothing that would count.
#[must_use]
pub fn takes_a_quorum(snapshot: &Snapshot) -> bool {
    stewards::count(snapshot) > 1
}

/// How many stewards an act takes now; one needs no proposal.
#[must_use]
pub fn stewards_needed(snapshot: &Snapshot, act: GuardedAct) -> usize {
    stewards::needed(snapshot, act)
}

/// What a proposal is about, if enough stewards have signed it; nothing is used up.
///
/// # Errors
/// [`IdentityError::NoProposal`], [`IdentityError::ProposalOver`],
/// [`IdentityError::NotAgreed`].
pub fn agreed(
    store: &Store,
    snapshot: &Snapshot,
    installation: &InstallationId,
    id: &ProposalId,
    now: Timestamp,
) -> Result<ProposedAct, IdentityError> {
    agreed_row(store, snapshot, installation, id, now).map(|row| row.value.act)
}

fn agreed_row(
    store: &Store,
    snapshot: &Snapshot,
    installation: &InstallationId,
    id: &ProposalId,
    now: Timestamp,
) -> Result<Row<ProposalRow>, IdentityError> {
    let row = open(store, id, now)?;
    let have = row.value.counting(snapshot, installation, id).len();
    if !row.value.is_agreed(have, snapshot, now) {
        let needs = row.value.needs(snapshot);
        return Err(IdentityError::NotAgreed { have, needs });
    }
    Ok(row)
}

/// As [`carry_out`], of this act, about this actor and no other where it is about one.
pub(crate) fn carry_out_act<O: Op>(
    batch: &mut RecordedBatch<'_, O>,
    by: &ByQuorum,
    act: &ProposedAct,
    about: Option<ActorId>,
    now: Timestamp,
) -> Result<(), IdentityError> {
    let ByQuorum {
        installation,
        proposal,
    } = by;
    let (store, snapshot) = (batch.store(), batch.directory());
    let row = agreed_row(store, snapshot, installation, proposal, now)?;
    if row.value.act != *act || row.value.about != about {
        return Err(IdentityError::OtherProposal);
    }
    use_up(batch.rows(), proposal, row, now);
    Ok(())
}

fn use_up(batch: &mut Batch, id: &ProposalId, row: Row<ProposalRow>, now: Timestamp) {
    PROPOSALS.expect(batch, id, Expected::At(row.version));
    PROPOSALS.put(
        batch,
        id,
        &ProposalRow {
            done: Some(now),
            ..row.value
        },
    );
}

/// Uses a proposal up, in the commit of what it is about; looks once more whether it is
/// agreed.
///
/// # Errors
/// As [`agreed`].
pub fn carry_out(
    batch: &mut Batch,
    store: &Store,
    snapshot: &Snapshot,
    installation: &InstallationId,
    id: &ProposalId,
    now: Timestamp,
) -> Result<(), IdentityError> {
    let row = agreed_row(store, snapshot, installation, id, now)?;
    use_up(batch, id, row, now);
    Ok(())
}
