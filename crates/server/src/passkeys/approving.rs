//! The yes in a browser: a passkey signs the exact grant.

use super::{Attempt, no_passkey, relying_party, request_options, standing};
use crate::problem::Failure;
use crate::serve::{Context, permitted};
use procura_authority::{AuthorityError, RequestApprove, RequestDraft, Yes};
use procura_policy::{Action, Resource};
use procura_proof::Caller;
use procura_record::ChangeError;
use procura_types::wire::{ApprovalAsk, ApprovalOptions, ApprovalTerms, Grant, PasskeyApproval};
use procura_types::{Duration, Namespace, RequestId, encoding};

/// For how long a grant holds unless the approver says otherwise.
const GRANT: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// What a passkey of the caller's is asked with to say yes, and to what.
pub(crate) fn approval_options(
    context: &Context<'_>,
    caller: Caller,
    namespace: Namespace,
    id: RequestId,
    ask: ApprovalAsk,
) -> Result<ApprovalOptions, Failure> {
    let Context { app, open, input } = *context;
    let party = relying_party(app)?;
    let own = standing(context, &party, caller.actor());
    let snapshot = open.directory.snapshot();
    let op = RequestDraft {
        namespace,
        id,
        names: ask.names,
        from: input.now,
        until: ask.until.unwrap_or_else(|| input.now.plus(GRANT)),
    };
    let permit = permitted(context, &snapshot, caller, op)?;
    if own.is_empty() {
        return Err(no_passkey());
    }
    let (store, installation) = (open.vault.store(), open.vault.installation().id);
    let draft = RequestDraft::run(&permit, &snapshot, store, &installation, input.now)?;
    let op = permit.op();
    Ok(ApprovalOptions {
        public_key: request_options(&party, &draft.challenge, own),
        terms: ApprovalTerms {
            from: op.from,
            until: op.until,
            names: draft.names,
        },
        digest: encoding::b64url(&draft.challenge),
        summary: draft.summary,
    })
}

/// Says yes, as the passkey signed it.
pub(crate) async fn approve(
    context: &Context<'_>,
    caller: Caller,
    namespace: Namespace,
    id: RequestId,
    answer: PasskeyApproval,
) -> Result<Grant, Failure> {
    let Context { app, open, input } = *context;
    let party = relying_party(app)?;
    let snapshot = open.directory.snapshot();
    let by = Attempt {
        action: Action::RequestApprove,
        profile: caller.profile(),
        of: Some(*caller.actor()),
        about: Some(Resource::Request(namespace.clone(), id)),
    };
    let PasskeyApproval { terms, credential } = answer;
    let op = RequestApprove {
        namespace,
        id,
        names: Some(terms.names),
        from: terms.from,
        until: terms.until,
        yes: Yes::Passkey {
            party,
            answer: Box::new(credential.into()),
        },
    };
    let permit = permitted(context, &snapshot, caller, op)?;
    let installation = open.vault.installation().id;
    let approved = context
        .change(permit, |batch| {
            RequestApprove::run(batch, &installation, input.now)
        })
        .await;
    approved.map_err(|error| match error {
        ChangeError::Domain(AuthorityError::Identity(error)) => by.refused(context, error),
        other => other.into(),
    })
}
