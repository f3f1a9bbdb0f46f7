//! A passkey proves who is there.

use super::challenge::Answering;
use super::{Ceremony, PasskeyRefusal, PasskeyRefused, USES, UseRow};
use crate::error::IdentityError;
use procura_crypto::webauthn::{Asserted, Assertion, Flaw, RelyingParty, verify_assertion};
use procura_directory::{PasskeyRecord, Snapshot};
use procura_policy::{Action, Op, Resource};
use procura_proof::{Authenticated, Caller, Profile, SessionKeys};
use procura_record::RecordedBatch;
use procura_store::{Expected, StoreError};
use procura_types::wire::AssertedCredential;
use procura_types::{ActorId, Thumbprint, Timestamp, encoding};
use std::net::IpAddr;
use std::sync::Arc;

/// What a browser brought from an authenticator.
#[derive(Debug, Clone)]
pub struct PasskeyAnswer(AssertedCredential);

impl From<AssertedCredential> for PasskeyAnswer {
    fn from(credential: AssertedCredential) -> Self {
        Self(credential)
    }
}

impl PasskeyAnswer {
    /// The client data, as signed.
    #[must_use]
    pub fn client_data(&self) -> &[u8] {
        &self.0.response.client_data
    }

    /// The authenticator data, as signed.
    #[must_use]
    pub fn authenticator_data(&self) -> &[u8] {
        &self.0.response.authenticator_data
    }

    /// The signature over both, in DER.
    #[must_use]
    pub fn signature(&self) -> &[u8] {
        &self.0.response.signature
    }

    /// The passkey that it says it is of, if that may act.
    fn passkey(&self, directory: &Snapshot) -> Result<Arc<PasskeyRecord>, PasskeyRefused> {
        if self.0.kind != "public-key" {
            return Err(PasskeyRefusal::Kind.into());
        }
        let found = directory
            .passkey_named(&self.0.id)
            .ok_or(PasskeyRefusal::Unknown)?;
        let refuse = |refusal| PasskeyRefused {
            refusal,
            of: Some((found.id, found.actor)),
        };
        if !directory.passkey_may_act(&found.id) {
            return Err(refuse(PasskeyRefusal::Removed));
        }
        // WebAuthn §7.2: the handle, where one comes along, is of whom the passkey is.
        let own = encoding::b64url(found.actor.as_bytes());
        let handle = self.0.response.user_handle.as_deref();
        if handle.is_some_and(|handle| !handle.is_empty() && handle != own) {
            return Err(refuse(PasskeyRefusal::OtherUser));
        }
        Ok(Arc::clone(found))
    }

    /// Whether the passkey signed this, for the challenge.
    fn check(
        &self,
        party: &RelyingParty,
        challenge: &[u8; 32],
        passkey: &PasskeyRecord,
    ) -> Result<Asserted, PasskeyRefusal> {
        let assertion = Assertion {
            authenticator_data: self.authenticator_data(),
            client_data: self.client_data(),
            signature: self.signature(),
        };
        let asserted = verify_assertion(party, challenge, &passkey.key, &assertion)?;
        // WebAuthn §6.1.3: whether it may be copied is settled when it is made.
        if asserted.backup_eligible != passkey.backup_eligible {
            return Err(Flaw::BackupFlags.into());
        }
        Ok(asserted)
    }
}

/// Counts a use of a passkey, in the commit of what it is used for.
fn count<O: Op>(
    batch: &mut RecordedBatch<'_, O>,
    passkey: &Thumbprint,
    asserted: &Asserted,
    now: Timestamp,
) -> Result<(), IdentityError> {
    let key = *passkey.as_bytes();
    let row = USES
        .get(batch.store(), &key)?
        // It is made when the passkey is: without it nobody knows what it counted.
        .ok_or_else(|| StoreError::Shape {
            table: USES.name().into(),
        })?;
    let before = row.value.counter;
    // WebAuthn §6.1.1: those that do not count say 0 for ever.
    if (before, asserted.counter) != (0, 0) && asserted.counter <= before {
        return Err(PasskeyRefusal::CounterBack.into());
    }
    USES.expect(batch.rows(), &key, Expected::At(row.version));
    let next = UseRow {
        counter: asserted.counter,
        backed_up: asserted.backed_up,
        used: Some(now),
    };
    USES.put(batch.rows(), &key, &next);
    Ok(())
}

/// Accepts the answer of a passkey of the caller's to this challenge, and counts it, in
/// the commit of what it is given for.
///
/// # Errors
/// [`IdentityError::Passkey`].
pub fn accept<O: Op>(
    batch: &mut RecordedBatch<'_, O>,
    party: &RelyingParty,
    challenge: &[u8; 32],
    answer: &PasskeyAnswer,
    now: Timestamp,
) -> Result<Arc<PasskeyRecord>, IdentityError> {
    let passkey = answer.passkey(batch.directory())?;
    let refuse = |refusal| PasskeyRefused {
        refusal,
        of: Some((passkey.id, passkey.actor)),
    };
    if passkey.actor != *batch.permit().caller().actor() {
        return Err(refuse(PasskeyRefusal::OtherUser).into());
    }
    let asserted = answer.check(party, challenge, &passkey).map_err(refuse)?;
    count(batch, &passkey.id, &asserted, now).map_err(|error| of(error, &passkey))?;
    Ok(passkey)
}

/// What a passkey answered for one thing that a web login is about to do, whose cookie alone
/// must not do it. Made by [`ShownPasskey::check`]; the answer is verified, and used up, in
/// the commit of what it is given for.
#[derive(Debug)]
pub struct ShownPasskey {
    ceremony: Ceremony,
    party: RelyingParty,
    answer: PasskeyAnswer,
    answering: Answering,
}

impl ShownPasskey {
    /// Takes the answer to a challenge of ours for this.
    ///
    /// # Errors
    /// [`IdentityError::Passkey`], when the challenge is none of ours for this, or is over.
    pub fn check(
        keys: &dyn SessionKeys,
        party: RelyingParty,
        ceremony: Ceremony,
        (state, answer): (&str, PasskeyAnswer),
        now: Timestamp,
    ) -> Result<Self, IdentityError> {
        let answering = Answering::check(keys, &ceremony, answer.client_data(), state, now)?;
        Ok(Self {
            ceremony,
            party,
            answer,
            answering,
        })
    }
}

/// The key that the caller of the permit does this with: the device that signed the call, or,
/// in a web login, the passkey of theirs that was shown for just this, whose challenge is
/// used up in this commit.
///
/// # Errors
/// [`PasskeyRefusal::NotShown`] without a device and without an answer for just this;
/// [`IdentityError::Passkey`] for one that is not right.
pub(super) fn signed_by<O: Op>(
    batch: &mut RecordedBatch<'_, O>,
    shown: Option<&ShownPasskey>,
    ceremony: impl FnOnce([u8; 16]) -> Ceremony,
    now: Timestamp,
) -> Result<Thumbprint, IdentityError> {
    let caller = batch.permit().caller();
    if let Some(device) = caller.device() {
        return Ok(*device);
    }
    let wanted = match (caller.profile(), caller.session()) {
        (Profile::WebLogin(_), Some(login)) => Some(ceremony(*login)),
        _ => None,
    };
    let shown = shown
        .filter(|shown| wanted == Some(shown.ceremony))
        .ok_or(PasskeyRefusal::NotShown)?;
    shown.answering.consume(batch, now)?;
    let challenge = shown.answering.challenge();
    Ok(accept(batch, &shown.party, challenge, &shown.answer, now)?.id)
}

/// An error about this passkey.
fn of(error: IdentityError, passkey: &PasskeyRecord) -> IdentityError {
    match error {
        IdentityError::Passkey(refused) => IdentityError::Passkey(PasskeyRefused {
            of: Some((passkey.id, passkey.actor)),
            ..refused
        }),
        other => other,
    }
}

/// Proves with a passkey who is there. Made by [`PasskeyUse::check`].
#[derive(Debug)]
pub struct PasskeyUse {
    passkey: Arc<PasskeyRecord>,
    asserted: Asserted,
    answering: Answering,
}

impl Op for PasskeyUse {
    const ACTION: Action = Action::OperatorPasskeyUse;
    fn resource(&self) -> Resource {
        Resource::Passkey(self.passkey.id)
    }
}

impl PasskeyUse {
    /// Checks the answer to a challenge of ours. What depends on other answers, whether
    /// the challenge was answered before and what the passkey counted, is checked when it
    /// runs.
    ///
    /// # Errors
    /// [`IdentityError::Passkey`].
    pub fn check(
        (directory, keys): (&Snapshot, &dyn SessionKeys),
        party: &RelyingParty,
        ceremony: &Ceremony,
        (state, answer): (&str, &PasskeyAnswer),
        now: Timestamp,
    ) -> Result<Self, IdentityError> {
        let answering = Answering::check(keys, ceremony, answer.client_data(), state, now)?;
        let passkey = answer.passkey(directory)?;
        let refuse = |refusal| PasskeyRefused {
            refusal,
            of: Some((passkey.id, passkey.actor)),
        };
        let challenge = answering.challenge();
        let asserted = answer.check(party, challenge, &passkey).map_err(refuse)?;
        Ok(Self {
            passkey,
            asserted,
            answering,
        })
    }

    /// The same, if it is a passkey of this person's.
    ///
    /// # Errors
    /// [`PasskeyRefusal::OtherUser`].
    pub fn only_of(self, actor: &ActorId) -> Result<Self, IdentityError> {
        if self.passkey.actor == *actor {
            return Ok(self);
        }
        Err(of(PasskeyRefusal::OtherUser.into(), &self.passkey))
    }

    /// The person, as the caller of this and of nothing else.
    #[must_use]
    pub fn caller(&self, directory: &Snapshot, now: Timestamp, peer: Option<IpAddr>) -> Caller {
        Caller::signing_in(&self.authenticated(), directory, now, peer)
    }

    /// Uses the challenge up, counts the use, and gives the person who is there.
    ///
    /// # Errors
    /// [`IdentityError::Passkey`].
    pub fn run(
        batch: &mut RecordedBatch<'_, Self>,
        now: Timestamp,
    ) -> Result<Authenticated, IdentityError> {
        let op = batch.op();
        let id = op.passkey.id;
        // It may have been removed since it was checked.
        if !batch.directory().passkey_may_act(&id) {
            return Err(of(PasskeyRefusal::Removed.into(), &op.passkey));
        }
        op.answering
            .consume(batch, now)
            .map_err(|error| of(error, &op.passkey))?;
        count(batch, &id, &op.asserted, now).map_err(|error| of(error, &op.passkey))?;
        Ok(op.authenticated())
    }

    fn authenticated(&self) -> Authenticated {
        Authenticated::by_passkey(self.passkey.actor, self.passkey.id)
    }
}
