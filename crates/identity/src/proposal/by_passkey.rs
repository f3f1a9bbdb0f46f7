//! A yes to a proposal by a passkey: the challenge is the SHA-256 of what a device would
//! sign, so that the assertion is the signature (ADR 36). It is checked each time that it is
//! counted.

use super::row::{PROPOSALS, Signed, against_holder, has_a_yes, open};
use crate::error::IdentityError;
use crate::passkey::{PasskeyAnswer, PasskeyRefusal, accept};
use crate::stewards;
use procura_crypto::sha256;
use procura_crypto::webauthn::{Assertion, Flaw, RelyingParty, verify_assertion};
use procura_directory::Snapshot;
use procura_policy::{Action, Op, Permit, Resource};
use procura_record::RecordedBatch;
use procura_store::{Expected, Store};
use procura_types::wire::{Proposal, ProposedAct, ReceiptAssertion};
use procura_types::{ActorId, InstallationId, ProposalId, Thumbprint, Timestamp};

/// Most bytes of each part of an assertion that is kept. Real ones have a few hundred.
const LONGEST: usize = 1024;

/// Whether somebody is a steward whose yes by this passkey counts now. While a device of
/// theirs is on hold it does not, since whoever stole that one may have enrolled the passkey;
/// but to the removal of who put it there.
pub(super) fn can_sign(
    snapshot: &Snapshot,
    act: &ProposedAct,
    steward: &ActorId,
    passkey: &Thumbprint,
) -> bool {
    let is_theirs = snapshot
        .passkey(passkey)
        .is_some_and(|found| found.actor == *steward && snapshot.passkey_may_act(passkey));
    let stops = |device: &Thumbprint| {
        snapshot.is_quarantined(Some(device), None) && !against_holder(snapshot, act, device)
    };
    let mut devices = snapshot.devices_in_person(steward);
    stewards::is_one(snapshot, steward)
        && is_theirs
        && !devices.any(|device| stops(&device.thumbprint))
}

/// Whether the passkey signed this.
pub(super) fn is_by(
    snapshot: &Snapshot,
    passkey: &Thumbprint,
    message: &[u8],
    assertion: &ReceiptAssertion,
    signature: &[u8],
) -> bool {
    snapshot.passkey(passkey).is_some_and(|found| {
        let party = RelyingParty::of_id(&found.relying_party);
        let signed = Assertion {
            authenticator_data: &assertion.authenticator_data,
            client_data: &assertion.client_data,
            signature,
        };
        verify_assertion(&party, &sha256(message), &found.key, &signed).is_ok()
    })
}

/// Says what a yes by a passkey would be to, before it is signed.
pub struct ProposalDraft {
    /// Which.
    pub id: ProposalId,
}

impl Op for ProposalDraft {
    /// Who may not say yes is not asked for one.
    const ACTION: Action = Action::ProposalSign;
    fn resource(&self) -> Resource {
        Resource::Proposal(self.id)
    }
}

impl ProposalDraft {
    /// What a passkey is asked with, and the proposal of the permit.
    ///
    /// # Errors
    /// [`IdentityError::NoProposal`], [`IdentityError::ProposalOver`],
    /// [`IdentityError::CountsNot`].
    pub fn run(
        permit: &Permit<Self>,
        directory: &Snapshot,
        store: &Store,
        installation: &InstallationId,
        now: Timestamp,
    ) -> Result<([u8; 32], Proposal), IdentityError> {
        let id = permit.op().id;
        let steward = permit.caller().actor();
        has_a_yes(directory, steward)?;
        let row = open(store, &id, now)?;
        row.value.takes_yes_of(directory, steward)?;
        let challenge = sha256(&row.value.message(installation, &id));
        let proposal = row.value.render(directory, installation, id, now);
        Ok((challenge, proposal))
    }
}

/// Signs a proposal in a browser.
pub struct ProposalSignByPasskey {
    /// Which.
    pub id: ProposalId,
    /// The site that asked the passkey.
    pub party: RelyingParty,
    /// What it answered.
    pub answer: PasskeyAnswer,
}

impl Op for ProposalSignByPasskey {
    const ACTION: Action = Action::ProposalSign;
    fn resource(&self) -> Resource {
        Resource::Proposal(self.id)
    }
}

impl ProposalSignByPasskey {
    /// Adds the yes of the caller's passkey; signing again changes nothing.
    ///
    /// # Errors
    /// [`IdentityError::NoProposal`], [`IdentityError::ProposalOver`],
    /// [`IdentityError::Passkey`], [`IdentityError::OnHold`], [`IdentityError::CountsNot`].
    pub fn run(
        batch: &mut RecordedBatch<'_, Self>,
        installation: &InstallationId,
        now: Timestamp,
    ) -> Result<Proposal, IdentityError> {
        let op = batch.op();
        let (id, answer) = (op.id, &op.answer);
        let steward = *batch.permit().caller().actor();
        has_a_yes(batch.directory(), &steward)?;
        let row = open(batch.store(), &id, now)?;
        let mut proposal = row.value;
        proposal.takes_yes_of(batch.directory(), &steward)?;
        if answer.authenticator_data().len() > LONGEST || answer.client_data().len() > LONGEST {
            return Err(PasskeyRefusal::Flaw(Flaw::Malformed).into());
        }
        let challenge = sha256(&proposal.message(installation, &id));
        let passkey = accept(batch, &op.party, &challenge, answer, now)?.id;
        if !can_sign(batch.directory(), &proposal.act, &steward, &passkey) {
            return Err(IdentityError::OnHold);
        }
        batch.details().with = Some(proposal.act.words());
        proposal.sign(Signed {
            steward,
            device: passkey,
            time: now,
            signature: answer.signature().to_vec(),
            assertion: Some(ReceiptAssertion {
                authenticator_data: answer.authenticator_data().to_vec(),
                client_data: answer.client_data().to_vec(),
            }),
        });
        PROPOSALS.expect(batch.rows(), &id, Expected::At(row.version));
        PROPOSALS.put(batch.rows(), &id, &proposal);
        Ok(proposal.render(batch.directory(), installation, id, now))
    }
}
