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

pub use by_passkey::{ProposalDraft, ProposalSignByPasskey};

use crate::error::IdentityError;
use crate::stewards;
use procura_directory::Snapshot;
use procura_policy::{Action, Op, Permit, Resource};
use procura_record::RecordedBatch;
use procura_store::{Batch, Expected, KeyPrefix, Kind, Row, Store, StoreError, Table};
use procura_types::wire::{
    GuardedAct, Proposal, ProposalList, ProposalSigner, ProposalState, ProposedAct,
    ReceiptAssertion, ShareSet,
};
use procura_types::{
    ActorId, Duration, Entropy, InstallationId, ProposalId, Thumbprint, Timestamp,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// How long the stewards have, wherever on Earth they are.
const LIFE: Duration = Duration::from_secs(24 * 3600);
/// How long the removal of a steward can be agreed to and carried out.
const REMOVAL_LIFE: Duration = Duration::from_secs(21 * 24 * 3600);
/// After so long without a no, one steward's yes removes another: of two, one who is lost
/// could not sign either.
const SILENCE: Duration = Duration::from_secs(14 * 24 * 3600);
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

/// By id, which ascends with time.
const PROPOSALS: Table<ProposalId, ProposalRow> = Table::new("proposal", Kind::Ordinary);

#[derive(Debug, Clone, Serialize, Deserialize)]
struct ProposalRow {
    act: ProposedAct,
    proposer: ActorId,
    created: Timestamp,
    expires: Timestamp,
    signed: Vec<Signed>,
    /// Whom it is about: another of the same name is not meant.
    #[serde(default, skip_serializing_if = "Option::is_none", alias = "removes")]
    about: Option<ActorId>,
    /// Stewards who said no.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    refused: Vec<ActorId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    done: Option<Timestamp>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Signed {
    steward: ActorId,
    /// The device, or the passkey.
    device: Thumbprint,
    time: Timestamp,
    #[serde(with = "procura_types::encoding::serde_b64url")]
    signature: Vec<u8>,
    /// What a passkey signed, of a yes by one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    assertion: Option<ReceiptAssertion>,
}

impl Signed {
    /// Whether it counts now: by somebody who is a steward, with a key that is good, over
    /// this.
    fn counts(&self, snapshot: &Snapshot, act: &ProposedAct, message: &[u8]) -> bool {
        match &self.assertion {
            Some(assertion) => {
                let signature = &self.signature;
                by_passkey::can_sign(snapshot, act, &self.steward, &self.device)
                    && by_passkey::is_by(snapshot, &self.device, message, assertion, signature)
            }
            None => {
                can_sign(snapshot, act, &self.steward, &self.device)
                    && snapshot
                        .device(&self.device)
                        .is_some_and(|device| device.key.verify(message, &self.signature))
            }
        }
    }
}

/// Whether somebody is a steward whose yes to this counts now, by this device. One that
/// another steward put on hold agrees to nothing but the removal of that steward: a
/// stolen key says no yes for its owner, and holding the others makes nobody safe from
/// them.
fn can_sign(snapshot: &Snapshot, act: &ProposedAct, steward: &ActorId, by: &Thumbprint) -> bool {
    let is_theirs = snapshot
        .devices_of(steward)
        .any(|found| found.revoked.is_none() && *by == found.thumbprint);
    stewards::is_one(snapshot, steward)
        && is_theirs
        && (!snapshot.is_quarantined(Some(by), None) || against_holder(snapshot, act, by))
}

/// That somebody's yes could count at all: a break-glass account is nobody's second voice,
/// nor is whoever is lent the role for the time of a web login.
fn has_a_yes(snapshot: &Snapshot, steward: &ActorId) -> Result<(), IdentityError> {
    if stewards::is_one(snapshot, steward) {
        return Ok(());
    }
    Err(IdentityError::CountsNot)
}

/// Whether it is the removal of whoever put the device on hold.
fn against_holder(snapshot: &Snapshot, act: &ProposedAct, device: &Thumbprint) -> bool {
    let ProposedAct::RemoveSteward { name } = act else {
        return false;
    };
    let holder = snapshot.on_hold(device);
    holder.is_some()
        && snapshot
            .owner_named(name)
            .is_some_and(|found| Some(found.id) == holder)
}

impl ProposalRow {
    /// Whether it is the use of an account that this steward made: its own key is one yes,
    /// and whoever made it may have that too, so theirs would be the second of one person.
    fn is_of_their_account(&self, snapshot: &Snapshot, steward: &ActorId) -> bool {
        let account = self.about.as_ref();
        matches!(self.act, ProposedAct::UseBreakGlass { .. })
            && account
                .and_then(|account| snapshot.break_glass(account))
                .is_some_and(|account| account.made_by == *steward)
    }

    /// That this steward's yes to this could count.
    fn takes_yes_of(&self, snapshot: &Snapshot, steward: &ActorId) -> Result<(), IdentityError> {
        if self.is_of_their_account(snapshot, steward) {
            return Err(IdentityError::CountsNot);
        }
        Ok(())
    }

    fn message(&self, installation: &InstallationId, id: &ProposalId) -> Vec<u8> {
        let about = self.about.as_ref();
        self.act.message(installation, id, self.expires, about)
    }

    /// Who signed and counts now: stewards of now, with devices that are good.
    fn counting(
        &self,
        snapshot: &Snapshot,
        installation: &InstallationId,
        id: &ProposalId,
    ) -> BTreeSet<ActorId> {
        let message = self.message(installation, id);
        let signed = self.signed.iter();
        signed
            .filter(|signed| signed.counts(snapshot, &self.act, &message))
            .filter(|signed| !self.is_of_their_account(snapshot, &signed.steward))
            .map(|signed| signed.steward)
            .collect()
    }

    /// How many have to sign it, of the stewards of now.
    fn needs(&self, snapshot: &Snapshot) -> usize {
        match &self.act {
            ProposedAct::SetApprovals { act, .. } => stewards::to_set(snapshot, *act),
            // The account's own key is one yes.
            ProposedAct::UseBreakGlass { .. } => {
                let needed = stewards::needed(snapshot, GuardedAct::UseBreakGlass);
                needed.saturating_sub(1).max(1)
            }
            other => match other.guarded() {
                Some(act) => stewards::needed(snapshot, act),
                None => stewards::quorum(snapshot),
            },
        }
    }

    /// Puts a yes, one for each steward: the newest, since the key of the one before may be
    /// gone.
    fn sign(&mut self, signed: Signed) {
        self.refused.retain(|refused| *refused != signed.steward);
        self.signed.retain(|other| other.steward != signed.steward);
        self.signed.push(signed);
    }

    /// When the yes of fewer is enough if nobody says no.
    fn unless_refused(&self) -> Option<Timestamp> {
        matches!(self.act, ProposedAct::RemoveSteward { .. }).then(|| self.created.plus(SILENCE))
    }

    /// Whether nobody said no for so long that one yes is enough. A no counts as long as
    /// whoever said it is a steward.
    fn was_let_pass(&self, snapshot: &Snapshot, now: Timestamp) -> bool {
        let mut refused = self.refused.iter();
        self.unless_refused().is_some_and(|then| then <= now)
            && !refused.any(|steward| stewards::is_one(snapshot, steward))
    }

    fn is_agreed(&self, have: usize, snapshot: &Snapshot, now: Timestamp) -> bool {
        have >= self.needs(snapshot) || (have > 0 && self.was_let_pass(snapshot, now))
    }

    fn render(
        &self,
        snapshot: &Snapshot,
        installation: &InstallationId,
        id: ProposalId,
        now: Timestamp,
    ) -> Proposal {
        let counting = self.counting(snapshot, installation, &id);
        let needs = self.needs(snapshot);
        let state = if self.done.is_some() {
            ProposalState::Done
        } else if now >= self.expires {
            ProposalState::Expired
        } else if self.is_agreed(counting.len(), snapshot, now) {
            ProposalState::Agreed
        } else {
            ProposalState::Open
        };
        Proposal {
            id,
            act: self.act.clone(),
            about: self.about,
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
                    by_passkey: signed.assertion.is_some(),
                })
                .collect(),
            unless_refused: self.unless_refused(),
            refused: self.refused.clone(),
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

/// A proposal that can still be signed and carried out.
fn open(store: &Store, id: &ProposalId, now: Timestamp) -> Result<Row<ProposalRow>, IdentityError> {
    let row = PROPOSALS.get(store, id)?.ok_or(IdentityError::NoProposal)?;
    if row.value.done.is_some() || now >= row.value.expires {
        return Err(IdentityError::ProposalOver);
    }
    Ok(row)
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
