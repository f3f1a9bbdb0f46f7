//! The yes of a steward in a browser: a passkey signs the exact proposal (ADR 45).

use super::{Attempt, no_passkey, relying_party, request_options, standing};
use crate::problem::Failure;
use crate::serve::{Context, permitted};
use procura_identity::{IdentityError, ProposalDraft, ProposalSignByPasskey};
use procura_policy::{Action, Resource};
use procura_proof::Caller;
use procura_record::ChangeError;
use procura_types::ProposalId;
use procura_types::wire::{PasskeyProposalSign, Proposal, ProposalOptions};

/// What a passkey of the caller's is asked with to say yes, and to what.
pub(crate) fn proposal_options(
    context: &Context<'_>,
    caller: Caller,
    id: ProposalId,
) -> Result<ProposalOptions, Failure> {
    let Context { app, open, input } = *context;
    let party = relying_party(app)?;
    let own = standing(context, &party, caller.actor());
    let snapshot = open.directory.snapshot();
    let permit = permitted(context, &snapshot, caller, ProposalDraft { id })?;
    if own.is_empty() {
        return Err(no_passkey());
    }
    let (store, installation) = (open.vault.store(), open.vault.installation().id);
    let (challenge, proposal) =
        ProposalDraft::run(&permit, &snapshot, store, &installation, input.now)?;
    Ok(ProposalOptions {
        public_key: request_options(&party, &challenge, own),
        proposal,
    })
}

/// Says yes, as the passkey signed it.
pub(crate) async fn sign_proposal(
    context: &Context<'_>,
    caller: Caller,
    id: ProposalId,
    answer: PasskeyProposalSign,
) -> Result<Proposal, Failure> {
    let Context { app, open, input } = *context;
    let party = relying_party(app)?;
    let snapshot = open.directory.snapshot();
    let by = Attempt {
        action: Action::ProposalSign,
        profile: caller.profile(),
        of: Some(*caller.actor()),
        about: Some(Resource::Proposal(id)),
    };
    let op = ProposalSignByPasskey {
        id,
        party,
        answer: answer.credential.into(),
    };
    let permit = permitted(context, &snapshot, caller, op)?;
    let installation = open.vault.installation().id;
    let signed = context
        .change(permit, |batch| {
            ProposalSignByPasskey::run(batch, &installation, input.now)
        })
        .await;
    signed.map_err(|error| match error {
        ChangeError::Domain(error @ IdentityError::Passkey(_)) => by.refused(context, error),
        other => other.into(),
    })
}
