//! The yes of a person, signed by a key of their own: a device's, or a passkey's in a
//! browser. The server has none of these.

use crate::answer::Approving;
use crate::error::AuthorityError;
use crate::request::{Pending, render};
use procura_crypto::webauthn::{Flaw, RelyingParty};
use procura_directory::Snapshot;
use procura_identity::IdentityError;
use procura_identity::passkey::{PasskeyAnswer, PasskeyRefusal, accept};
use procura_ledger::{GrantTerms, grant_bytes, receipt_challenge, receipt_message};
use procura_policy::{Action, Op, Permit, Resource};
use procura_proof::Profile;
use procura_record::RecordedBatch;
use procura_store::Store;
use procura_types::wire::{AccessRequest, Receipt, ReceiptAssertion};
use procura_types::{EnvName, InstallationId, Namespace, RequestId, Timestamp};

/// Most bytes of each part of an assertion in a receipt, which has to fit into one row and
/// one entry beside the largest grant. Real ones have a few hundred.
const LONGEST: usize = 1024;

/// How a yes is signed.
pub enum Yes {
    /// By the device that calls, over `T("procura.receipt.v1", grant bytes)`.
    Device(Vec<u8>),
    /// By a passkey of the person who calls in a browser, for whose assertion the SHA-256
    /// of that is the challenge.
    Passkey {
        /// The site that asked it.
        party: RelyingParty,
        /// What it answered.
        answer: Box<PasskeyAnswer>,
    },
}

impl Yes {
    /// The approver's receipt, if it is theirs over these terms.
    pub(crate) fn receipt<O: Op>(
        &self,
        batch: &mut RecordedBatch<'_, O>,
        terms: &GrantTerms,
        now: Timestamp,
    ) -> Result<Receipt, AuthorityError> {
        let caller = batch.permit().caller();
        let approver = *caller.actor();
        let is_browser = matches!(caller.profile(), Profile::WebLogin(_));
        let grant = grant_bytes(terms);
        match self {
            Self::Device(signature) => {
                let device = caller
                    .device()
                    .and_then(|thumbprint| batch.directory().device(thumbprint))
                    .filter(|device| device.actor == approver && device.revoked.is_none())
                    .ok_or(AuthorityError::BadSignature)?;
                if !device.key.verify(&receipt_message(&grant), signature) {
                    return Err(AuthorityError::BadSignature);
                }
                Ok(Receipt {
                    grant,
                    approver,
                    device: device.thumbprint,
                    key: device.key.to_jwk(),
                    time: now,
                    signature: signature.clone(),
                    assertion: None,
                })
            }
            // Who has a device at hand signs with that.
            Self::Passkey { .. } if !is_browser => Err(AuthorityError::BadSignature),
            Self::Passkey { party, answer } => {
                if answer.authenticator_data().len() > LONGEST
                    || answer.client_data().len() > LONGEST
                {
                    let flaw = PasskeyRefusal::Flaw(Flaw::Malformed);
                    return Err(IdentityError::from(flaw).into());
                }
                let challenge = receipt_challenge(&grant);
                let passkey = accept(batch, party, &challenge, answer, now)?;
                Ok(Receipt {
                    grant,
                    approver,
                    device: passkey.id,
                    key: passkey.key.to_jwk(),
                    time: now,
                    signature: answer.signature().to_vec(),
                    assertion: Some(ReceiptAssertion {
                        authenticator_data: answer.authenticator_data().to_vec(),
                        client_data: answer.client_data().to_vec(),
                    }),
                })
            }
        }
    }
}

/// Says what a yes would be to, before it is signed.
pub struct RequestDraft {
    /// Where.
    pub namespace: Namespace,
    /// Which request.
    pub id: RequestId,
    /// The names; all that were asked for when there is nothing here.
    pub names: Option<Vec<EnvName>>,
    /// From when.
    pub from: Timestamp,
    /// Until when.
    pub until: Timestamp,
}

impl Op for RequestDraft {
    /// Who may not say yes is not asked for one.
    const ACTION: Action = Action::RequestApprove;
    fn resource(&self) -> Resource {
        Resource::Request(self.namespace.clone(), self.id)
    }
}

/// What a yes would be to.
pub struct Draft {
    /// What a passkey is asked with: `SHA-256(T("procura.receipt.v1", grant bytes))`.
    pub challenge: [u8; 32],
    /// The names of the grant.
    pub names: Vec<EnvName>,
    /// All that the approver has to know.
    pub summary: AccessRequest,
}

impl RequestDraft {
    /// The grant that the request of the permit would become.
    ///
    /// # Errors
    /// Why it could not be said yes to.
    pub fn run(
        permit: &Permit<Self>,
        directory: &Snapshot,
        store: &Store,
        installation: &InstallationId,
        now: Timestamp,
    ) -> Result<Draft, AuthorityError> {
        let op = permit.op();
        let pending = Pending::load(store, &op.namespace, op.id, now)?;
        let approving = Approving {
            namespace: &op.namespace,
            id: op.id,
            names: op.names.as_deref(),
            from: op.from,
            until: op.until,
        };
        let terms = approving.terms((store, directory), &pending, installation, now)?;
        let summary = render(directory, store, &op.namespace, op.id, pending.row, now)?;
        Ok(Draft {
            challenge: receipt_challenge(&grant_bytes(&terms)),
            names: terms.items.into_iter().map(|item| item.name).collect(),
            summary,
        })
    }
}
