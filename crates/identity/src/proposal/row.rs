//! What is kept of a proposal, whose yes to it counts now, and whether that is enough.

use super::by_passkey;
use crate::error::IdentityError;
use crate::stewards;
use procura_directory::Snapshot;
use procura_store::{KeyPrefix, Kind, Row, Store, StoreError, Table};
use procura_types::wire::{
    GuardedAct, Proposal, ProposalSigner, ProposalState, ProposedAct, ReceiptAssertion,
};
use procura_types::{ActorId, Duration, InstallationId, ProposalId, Thumbprint, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// After so long without a no, one steward's yes removes another: of two, one who is lost
/// could not sign either.
const SILENCE: Duration = Duration::from_secs(14 * 24 * 3600);

/// By id, which ascends with time.
pub(super) const PROPOSALS: Table<ProposalId, ProposalRow> = Table::new("proposal", Kind::Ordinary);

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct ProposalRow {
    pub(super) act: ProposedAct,
    pub(super) proposer: ActorId,
    pub(super) created: Timestamp,
    pub(super) expires: Timestamp,
    pub(super) signed: Vec<Signed>,
    /// Whom it is about: another of the same name is not meant.
    #[serde(default, skip_serializing_if = "Option::is_none", alias = "removes")]
    pub(super) about: Option<ActorId>,
    /// Stewards who said no.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) refused: Vec<ActorId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) done: Option<Timestamp>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Signed {
    pub(super) steward: ActorId,
    /// The device, or the passkey.
    pub(super) device: Thumbprint,
    pub(super) time: Timestamp,
    #[serde(with = "procura_types::encoding::serde_b64url")]
    pub(super) signature: Vec<u8>,
    /// What a passkey signed, of a yes by one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) assertion: Option<ReceiptAssertion>,
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
pub(super) fn can_sign(
    snapshot: &Snapshot,
    act: &ProposedAct,
    steward: &ActorId,
    by: &Thumbprint,
) -> bool {
    let is_theirs = snapshot
        .devices_of(steward)
        .any(|found| found.revoked.is_none() && *by == found.thumbprint);
    stewards::is_one(snapshot, steward)
        && is_theirs
        && (!snapshot.is_quarantined(Some(by), None) || against_holder(snapshot, act, by))
}

/// That somebody's yes could count at all: a break-glass account is nobody's second voice,
/// nor is whoever is lent the role for the time of a web login.
pub(super) fn has_a_yes(snapshot: &Snapshot, steward: &ActorId) -> Result<(), IdentityError> {
    if stewards::is_one(snapshot, steward) {
        return Ok(());
    }
    Err(IdentityError::CountsNot)
}

/// Whether it is the removal of whoever put the device on hold.
pub(super) fn against_holder(snapshot: &Snapshot, act: &ProposedAct, device: &Thumbprint) -> bool {
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
    pub(super) fn takes_yes_of(
        &self,
        snapshot: &Snapshot,
        steward: &ActorId,
    ) -> Result<(), IdentityError> {
        if self.is_of_their_account(snapshot, steward) {
            return Err(IdentityError::CountsNot);
        }
        Ok(())
    }

    pub(super) fn message(&self, installation: &InstallationId, id: &ProposalId) -> Vec<u8> {
        let about = self.about.as_ref();
        self.act.message(installation, id, self.expires, about)
    }

    /// Who signed and counts now: stewards of now, with devices that are good.
    pub(super) fn counting(
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
    pub(super) fn needs(&self, snapshot: &Snapshot) -> usize {
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
    pub(super) fn sign(&mut self, signed: Signed) {
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

    pub(super) fn is_agreed(&self, have: usize, snapshot: &Snapshot, now: Timestamp) -> bool {
        have >= self.needs(snapshot) || (have > 0 && self.was_let_pass(snapshot, now))
    }

    pub(super) fn render(
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
pub(super) fn all(store: &Store) -> Result<Vec<(ProposalId, Row<ProposalRow>)>, StoreError> {
    let snapshot = store.snapshot()?;
    PROPOSALS.scan(&snapshot, &KeyPrefix::all(), None, usize::MAX)
}

/// A proposal that can still be signed and carried out.
pub(super) fn open(
    store: &Store,
    id: &ProposalId,
    now: Timestamp,
) -> Result<Row<ProposalRow>, IdentityError> {
    let row = PROPOSALS.get(store, id)?.ok_or(IdentityError::NoProposal)?;
    if row.value.done.is_some() || now >= row.value.expires {
        return Err(IdentityError::ProposalOver);
    }
    Ok(row)
}
