//! How a passkey goes in a browser: by what one of the same person's answers for just that.
//! Whoever has none at hand removes it with a device key.

use super::{Attempt, own_options, shown};
use crate::problem::{Code, Failure};
use crate::serve::{Context, permitted, refuse_unfound};
use procura_identity::passkey::{Ceremony, PasskeyRemove};
use procura_policy::{Action, Resource};
use procura_proof::Caller;
use procura_types::Thumbprint;
use procura_types::wire::{PasskeyAnswer, PasskeyRequest};

const ACTION: Action = Action::OperatorPasskeyRemove;

/// What a passkey of the caller's is asked with before this one is removed.
pub(crate) fn remove_options(
    context: &Context<'_>,
    caller: &Caller,
    id: Thumbprint,
) -> Result<PasskeyRequest, Failure> {
    own(context, caller, id)?;
    own_options(context, caller, |login| Ceremony::Remove(login, id))
}

/// Removes a passkey of the caller, by what one of theirs answered.
pub(crate) async fn remove(
    context: &Context<'_>,
    caller: Caller,
    id: Thumbprint,
    answer: Option<PasskeyAnswer>,
) -> Result<(), Failure> {
    let Context { open, input, .. } = *context;
    let op = own(context, &caller, id)?;
    let by = Attempt {
        action: ACTION,
        profile: caller.profile(),
        of: Some(*caller.actor()),
        about: Some(Resource::Passkey(id)),
    };
    let ceremony = |login| Ceremony::Remove(login, id);
    let op = match shown(context, (&caller, &by), ceremony, answer)? {
        Some(shown) => op.showing(shown),
        None => op,
    };
    let snapshot = open.directory.snapshot();
    let permit = permitted(context, &snapshot, caller, op)?;
    context
        .change(permit, |batch| PasskeyRemove::run(batch, input.now))
        .await
        .map_err(|error| by.failed(context, error))
}

/// The removal of this passkey, as far as it is the caller's. As of calls: looking for what is
/// not there is in the record.
fn own(context: &Context<'_>, caller: &Caller, id: Thumbprint) -> Result<PasskeyRemove, Failure> {
    let Context { open, input, .. } = *context;
    let snapshot = open.directory.snapshot();
    snapshot
        .passkey(&id)
        .filter(|passkey| passkey.actor == *caller.actor())
        .and_then(|passkey| PasskeyRemove::resolve(&snapshot, &passkey.id))
        .ok_or_else(|| {
            refuse_unfound(open, input, caller, ACTION.as_str());
            Failure::new(Code::NotFound, "You have no such passkey.")
        })
}
