//! Operators answer devices that ask (`protocol.md` §2.1): by the native API
//! (`api/device_grant.rs`) and in pages. Whoever tries codes is slowed down here, whichever
//! way they come.

mod wrong_codes;

pub(crate) use wrong_codes::WrongCodes;

use crate::problem::{Code, Failure};
use crate::rates::retry_after;
use crate::serve::Context;
use crate::server_id;
use procura_identity::{
    DeviceGrantApprove, DeviceGrantDeny, DeviceGrantDraft, DeviceGrantRefusal, DeviceGrantShow,
    IdentityError,
};
use procura_policy::{Op, Permit, Resource};
use procura_record::{ChangeError, Refusal};
use procura_types::wire::DeviceGrant;

/// The device of a code.
///
/// # Errors
/// [`Code::NotFound`] for a code that there is not or that is over;
/// [`Code::RateLimited`] after wrong ones.
pub(crate) fn show_permitted(
    context: &Context<'_>,
    permit: &Permit<DeviceGrantShow>,
) -> Result<DeviceGrant, Failure> {
    let try_of = Try::of(context, permit)?;
    let vault = &context.open.vault;
    let shown = DeviceGrantShow::run(
        permit,
        vault.store(),
        vault.device_grant_key(),
        &server_id(vault),
        context.input.now,
    );
    try_of.ended(context, shown.map_err(ChangeError::Domain))
}

/// Says no to the device of a code.
///
/// # Errors
/// As [`show_permitted`]; [`Code::Conflict`] for one that was answered already.
pub(crate) async fn deny_permitted(
    context: &Context<'_>,
    permit: Permit<DeviceGrantDeny>,
) -> Result<DeviceGrant, Failure> {
    let try_of = Try::of(context, &permit)?;
    let (key, now) = (context.open.vault.device_grant_key(), context.input.now);
    let denied = context
        .change(permit, |batch| DeviceGrantDeny::run(batch, key, now))
        .await;
    try_of.ended(context, denied)
}

/// The challenge by which a passkey says yes to the device of a code.
///
/// # Errors
/// As [`deny_permitted`]; [`Code::Conflict`] for another device than was looked at;
/// [`Code::CodeRefused`] for a key that is or was a device; [`Code::NotFound`] for an agent
/// that there is not.
pub(crate) fn draft_permitted(
    context: &Context<'_>,
    permit: &Permit<DeviceGrantDraft>,
) -> Result<[u8; 32], Failure> {
    let try_of = Try::of(context, permit)?;
    let vault = &context.open.vault;
    let snapshot = context.open.directory.snapshot();
    let challenge = DeviceGrantDraft::run(
        permit,
        (vault.store(), &snapshot),
        vault.device_grant_key(),
        &server_id(vault),
        context.input.now,
    );
    try_of.ended(context, challenge.map_err(ChangeError::Domain))
}

/// Says yes to the device of a code.
///
/// # Errors
/// As [`draft_permitted`]; [`Code::PasskeyRefused`] for a person in a browser whose passkey
/// did not answer for just this.
pub(crate) async fn approve_permitted(
    context: &Context<'_>,
    permit: Permit<DeviceGrantApprove>,
) -> Result<DeviceGrant, Failure> {
    let try_of = Try::of(context, &permit)?;
    let (key, now) = (context.open.vault.device_grant_key(), context.input.now);
    let server = server_id(&context.open.vault);
    let approved = context
        .change(permit, |batch| {
            DeviceGrantApprove::run(batch, key, &server, now)
        })
        .await;
    try_of.ended(context, approved)
}

/// One code that was typed: who did, and as what it stands in the record.
struct Try {
    refusal: Refusal,
}

impl Try {
    /// Begins one, unless too many were wrong before.
    fn of<O: Op>(context: &Context<'_>, permit: &Permit<O>) -> Result<Self, Failure> {
        let caller = permit.caller();
        let (input, app) = (context.input, context.app);
        let refusal = Refusal {
            actor: Some(*caller.actor()),
            owner: Some(*caller.owner()),
            device: caller.device().copied(),
            namespace: permit.resource().namespace().cloned(),
            resource: Some(permit.resource().to_string()),
            ip: input.peer,
            ..Refusal::of_nobody(
                O::ACTION.as_str(),
                DeviceGrantRefusal::Unknown.as_str(),
                input.now,
                caller.profile().as_str(),
                input.trace,
            )
        };
        let steady = app.clock.steady();
        let begun = app.wrong_codes.begin(caller.actor(), input.peer, steady);
        begun.map_err(|wait| {
            app.metrics.limited("user_codes");
            let mut failure = Failure::new(
                Code::RateLimited,
                "Too many codes were wrong; look at the host again, and wait.",
            );
            failure.retry_after = Some(retry_after(wait));
            failure
        })?;
        Ok(Self { refusal })
    }

    /// The code was one that there is.
    fn was_right(&self, context: &Context<'_>) {
        if let Some(actor) = &self.refusal.actor {
            let ip = self.refusal.ip;
            context.app.wrong_codes.was_right(actor, ip);
        }
    }

    fn ended<T>(
        self,
        context: &Context<'_>,
        ended: Result<T, ChangeError<IdentityError>>,
    ) -> Result<T, Failure> {
        match ended {
            Ok(found) => {
                self.was_right(context);
                Ok(found)
            }
            Err(error) => Err(self.not_changed(context, error)),
        }
    }

    fn not_changed(self, context: &Context<'_>, error: ChangeError<IdentityError>) -> Failure {
        match error {
            ChangeError::Domain(error) => self.failed(context, error),
            ChangeError::Record(error) => {
                self.was_right(context);
                error.into()
            }
        }
    }

    /// Records why not.
    fn failed(self, context: &Context<'_>, error: IdentityError) -> Failure {
        if !matches!(
            error,
            IdentityError::DeviceGrant(DeviceGrantRefusal::Unknown)
        ) {
            self.was_right(context);
        }
        let (reason, passkey) = match &error {
            IdentityError::DeviceGrant(refusal) => (refusal.as_str(), None),
            IdentityError::Join(refusal) => (refusal.as_str(), None),
            IdentityError::Passkey(refused) => (refused.refusal.as_str(), refused.of),
            _ => return error.into(),
        };
        let passkey = passkey.map(|(passkey, _)| Resource::Passkey(passkey).to_string());
        let words: Vec<String> = self.refusal.resource.into_iter().chain(passkey).collect();
        context.open.recorder.refuse(Refusal {
            reason: reason.to_owned(),
            resource: Some(words.join(" ")),
            ..self.refusal
        });
        error.into()
    }
}
