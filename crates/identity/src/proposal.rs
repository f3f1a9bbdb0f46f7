//! What takes a quorum of stewards: each signs the very act with the key of a device of
//! theirs, so that no session, and nobody who holds one steward's device alone, brings
//! it about.

use crate::error::IdentityError;
use procura_directory::Snapshot;
use procura_policy::{Action, Op, Permit, Resource};
use procura_record::RecordedBatch;
use procura_store::{Batch, Expected, KeyPrefix, Kind, Row, Store, StoreError, Table};
use procura_types::wire::{Proposal, ProposalList, ProposalSigner, ProposalState, ProposedAct};
use procura_types::{
    ActorId, Duration, Entropy, InstallationId, ProposalId, Role, Thumbprint, Timestamp,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// How long the stewards have, wherever on Earth they are.
const LIFE: Duration = Duration::from_secs(24 * 3600);
/// Proposals that may wait at once.
const OPEN_LIMIT: usize = 16;
/// The fewest that are a quorum.
const QUORUM: usize = 2;

/// By id, which ascends with time.
const PROPOSALS: Table<ProposalId, ProposalRow> = Table::new("proposal", Kind::Ordinary);

#[derive(Debug, Clone, Serialize, Deserialize)]
struct ProposalRow {
    act: ProposedAct,
    proposer: ActorId,
    created: Timestamp,
    expires: Timestamp,
    signed: Vec<Signed>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    done: Option<Timestamp>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Signed {
    steward: ActorId,
    device: Thumbprint,
    time: Timestamp,
    #[serde(with = "procura_types::encoding::serde_b64url")]
    signature: Vec<u8>,
}

/// Whether somebody is a steward who could sign now, with this device if one is named.
fn can_sign(snapshot: &Snapshot, steward: &ActorId, device: Option<&Thumbprint>) -> bool {
    let is_steward = snapshot
        .roles(steward)
        .is_some_and(|held| held.has(Role::Steward, None));
    is_steward
        && snapshot.is_active(steward)
        && snapshot.devices_of(steward).any(|found| {
            found.revoked.is_none() && device.is_none_or(|device| *device == found.thumbprint)
        })
}

/// How many stewards are a quorum: more than half of those who can sign, and two at the
/// least.
fn quorum(snapshot: &Snapshot) -> usize {
    let stewards = snapshot
        .actors()
        .filter(|actor| can_sign(snapshot, &actor.id, None))
        .count();
    (stewards / 2 + 1).max(QUORUM)
}

impl ProposalRow {
    /// Who signed and counts now: stewards of now, with devices that are good.
    fn counting(
        &self,
        snapshot: &Snapshot,
        installation: &InstallationId,
        id: &ProposalId,
    ) -> BTreeSet<ActorId> {
        let message = self.act.message(installation, id, self.expires);
        let counts = |signed: &&Signed| {
            can_sign(snapshot, &signed.steward, Some(&signed.device))
                && snapshot
                    .device(&signed.device)
                    .is_some_and(|device| device.key.verify(&message, &signed.signature))
        };
        let signed = self.signed.iter().filter(counts);
        signed.map(|signed| signed.steward).collect()
    }

    fn render(
        &self,
        snapshot: &Snapshot,
        installation: &InstallationId,
        id: ProposalId,
        now: Timestamp,
    ) -> Proposal {
        let (counting, needs) = (self.counting(snapshot, installation, &id), quorum(snapshot));
        let state = if self.done.is_some() {
            ProposalState::Done
        } else if now >= self.expires {
            ProposalState::Expired
        } else if counting.len() >= needs {
            ProposalState::Agreed
        } else {
            ProposalState::Open
        };
        Proposal {
            id,
            act: self.act.clone(),
            proposer: self.proposer,
            created: self.created,
            expires: self.expires,
            state,
            needs: u32::try_from(needs).unwrap_or(u32::MAX),
            signed: self
                .signed
                .iter()
                .map(|signed| ProposalSigner {
                    steward: signed.steward,
                    device: signed.device,
                    time: signed.time,
                    counts: counting.contains(&signed.steward),
                })
                .collect(),
        }
    }
}

/// All rows, the oldest first. There are few: those that are over go when another is made.
fn all(store: &Store) -> Result<Vec<(ProposalId, Row<ProposalRow>)>, StoreError> {
    let snapshot = store.snapshot()?;
    PROPOSALS.scan(&snapshot, &KeyPrefix::all(), None, usize::MAX)
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
    /// [`IdentityError::BadShares`]; [`IdentityError::TooManyProposals`].
    pub fn run(
        batch: &mut RecordedBatch<'_, Self>,
        installation: &InstallationId,
        now: Timestamp,
        entropy: &dyn Entropy,
    ) -> Result<Proposal, IdentityError> {
        let act = batch.op().act.clone();
        let ProposedAct::MakeShares {
            threshold, count, ..
        } = &act;
        if *threshold < 2 || count < threshold {
            return Err(IdentityError::BadShares);
        }
        let rows = all(batch.store())?;
        let day_ago = now.minus(LIFE);
        let mut open = 0;
        for (id, row) in &rows {
            if row.value.expires < day_ago {
                PROPOSALS.delete(batch.rows(), id);
            } else if row.value.done.is_none() && now < row.value.expires {
                open += 1;
            }
        }
        if open >= OPEN_LIMIT {
            return Err(IdentityError::TooManyProposals);
        }
        let id = ProposalId::generate(now, entropy)?;
        let row = ProposalRow {
            act,
            proposer: *batch.permit().caller().actor(),
            created: now,
            expires: now.plus(LIFE),
            signed: Vec::new(),
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
    /// [`IdentityError::BadProposalSignature`].
    pub fn run(
        batch: &mut RecordedBatch<'_, Self>,
        installation: &InstallationId,
        now: Timestamp,
    ) -> Result<Proposal, IdentityError> {
        let (id, signature) = (batch.op().id, batch.op().signature.clone());
        let row = open(batch.store(), &id, now)?;
        let mut proposal = row.value;
        let message = proposal.act.message(installation, &id, proposal.expires);
        let caller = batch.permit().caller();
        let steward = *caller.actor();
        let device = caller
            .device()
            .and_then(|device| batch.directory().device(device))
            .filter(|device| device.actor == steward && device.revoked.is_none())
            .filter(|device| device.key.verify(&message, &signature))
            .map(|device| device.thumbprint)
            .ok_or(IdentityError::BadProposalSignature)?;
        batch.details().with = Some(proposal.act.words());
        // One for each steward: the newest, since the device of the one before may be gone.
        proposal.signed.retain(|signed| signed.steward != steward);
        proposal.signed.push(Signed {
            steward,
            device,
            time: now,
            signature,
        });
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

/// A proposal that can still be signed and carried out.
fn open(store: &Store, id: &ProposalId, now: Timestamp) -> Result<Row<ProposalRow>, IdentityError> {
    let row = PROPOSALS.get(store, id)?.ok_or(IdentityError::NoProposal)?;
    if row.value.done.is_some() || now >= row.value.expires {
        return Err(IdentityError::ProposalOver);
    }
    Ok(row)
}

/// Whether shares take a quorum here: there is more than one operator.
#[must_use]
pub fn takes_a_quorum(snapshot: &Snapshot) -> bool {
    let operators = snapshot
        .actors()
        .filter(|actor| matches!(actor.kind, procura_directory::ActorKind::Owner { .. }))
        .filter(|actor| snapshot.is_active(&actor.id));
    operators.take(2).count() > 1
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
    let needs = quorum(snapshot);
    if have < needs {
        return Err(IdentityError::NotAgreed { have, needs });
    }
    Ok(row)
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
    PROPOSALS.expect(batch, id, Expected::At(row.version));
    PROPOSALS.put(
        batch,
        id,
        &ProposalRow {
            done: Some(now),
            ..row.value
        },
    );
    Ok(())
}
