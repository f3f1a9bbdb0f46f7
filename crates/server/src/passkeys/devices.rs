//! The yes to a device that asks to join (ADR 38): a passkey signs whose device becomes whose.

use super::{no_passkey, relying_party, request_options, standing};
use crate::device_grants::{approve_permitted, draft_permitted};
use crate::problem::Failure;
use crate::serve::{Context, permitted};
use procura_identity::{DeviceGrantApprove, DeviceGrantDraft, DeviceGrantYes};
use procura_proof::Caller;
use procura_types::wire::{AssertedCredential, DeviceGrant, RequestOptions};
use serde::Serialize;

/// What a browser asks a passkey by that lets a device in.
#[derive(Serialize)]
pub(crate) struct DeviceOptions {
    /// For `navigator.credentials.get`. Its challenge is made of what is said yes to, and of
    /// nothing else: there is no state to bring back.
    #[serde(rename = "publicKey")]
    public_key: RequestOptions,
}

/// What a passkey of the caller's is asked with to let this device in.
pub(crate) fn device_options(
    context: &Context<'_>,
    caller: Caller,
    draft: DeviceGrantDraft,
) -> Result<DeviceOptions, Failure> {
    let party = relying_party(context.app)?;
    let own = standing(context, &party, caller.actor());
    let snapshot = context.open.directory.snapshot();
    let permit = permitted(context, &snapshot, caller, draft)?;
    if own.is_empty() {
        return Err(no_passkey());
    }
    let challenge = draft_permitted(context, &permit)?;
    Ok(DeviceOptions {
        public_key: request_options(&party, &challenge, own),
    })
}

/// Lets this device in, as the passkey signed it; without what one signed it is refused in
/// the commit.
pub(crate) async fn approve_device(
    context: &Context<'_>,
    caller: Caller,
    draft: DeviceGrantDraft,
    credential: Option<AssertedCredential>,
) -> Result<DeviceGrant, Failure> {
    let yes = match credential {
        Some(credential) => DeviceGrantYes::Passkey {
            party: relying_party(context.app)?,
            answer: Box::new(credential.into()),
        },
        None => DeviceGrantYes::Device,
    };
    let snapshot = context.open.directory.snapshot();
    let op = DeviceGrantApprove { draft, yes };
    let permit = permitted(context, &snapshot, caller, op)?;
    approve_permitted(context, permit).await
}
