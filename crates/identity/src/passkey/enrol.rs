//! How a passkey comes in. It is made in a strong moment alone: by a code that the operator
//! made with a device key, or in a web login by another passkey that answers for just that.
//! A password opens no way to it, since it would turn into the right to say yes.

use super::challenge::Answering;
use super::{Ceremony, PasskeyRefusal, PasskeyRefused, ShownPasskey, USES, UseRow, signed_by};
use crate::code::{self, IssuedCode, Purpose};
use crate::error::{IdentityError, JoinRefusal};
use procura_crypto::sha256;
use procura_crypto::webauthn::{Registered, RelyingParty, verify_registration};
use procura_directory::{ActorRecord, PasskeyRecord, Snapshot};
use procura_ledger::PasskeyEnrolment;
use procura_policy::{Action, Concerned, Op, Resource};
use procura_proof::{Authenticated, Caller, SessionKeys};
use procura_record::RecordedBatch;
use procura_store::{Expected, Store};
use procura_types::wire::{Joins, NewCredential, Passkey};
use procura_types::{
    ActorId, DisplayName, Entropy, Label, Secret, Thumbprint, Timestamp, encoding,
};
use std::net::IpAddr;
use std::sync::Arc;

/// Most passkeys of one operator at a time.
pub const MAX_PASSKEYS: usize = 16;

/// How a browser may reach an authenticator (WebAuthn §5.8.4).
const TRANSPORTS: [&str; 6] = ["ble", "hybrid", "internal", "nfc", "smart-card", "usb"];

/// Makes a code for one more passkey of an operator. Made by [`PasskeyInvite::resolve`].
pub struct PasskeyInvite {
    name: Label,
    actor: ActorId,
    shown: Option<ShownPasskey>,
}

impl Op for PasskeyInvite {
    const ACTION: Action = Action::OperatorPasskeyInvite;
    fn resource(&self) -> Resource {
        Resource::Operator(self.name.clone())
    }
    fn concerned(&self) -> Concerned<'_> {
        Concerned::own(&self.actor)
    }
}

impl PasskeyInvite {
    /// The operation for this operator; none when there is nobody of that name who is not
    /// revoked.
    #[must_use]
    pub fn resolve(directory: &Snapshot, name: &Label) -> Option<Self> {
        let actor = directory.owner_named(name)?;
        Some(Self {
            name: name.clone(),
            actor: actor.id,
            shown: None,
        })
    }

    /// The same with the passkey that was shown for it, without which a browser makes no
    /// code: its cookie alone must not turn into the right to say yes.
    #[must_use]
    pub fn showing(self, shown: ShownPasskey) -> Self {
        Self {
            shown: Some(shown),
            ..self
        }
    }

    /// Makes the code for the operator of the permit.
    ///
    /// # Errors
    /// [`IdentityError::NoOperator`], [`PasskeyRefusal::TooMany`]; in a web login
    /// [`PasskeyRefusal::NotShown`] and what else a passkey is refused for.
    pub fn run(
        batch: &mut RecordedBatch<'_, Self>,
        now: Timestamp,
        entropy: &dyn Entropy,
    ) -> Result<IssuedCode, IdentityError> {
        let actor = batch.op().actor;
        if !batch.directory().is_active(&actor) {
            return Err(IdentityError::NoOperator(batch.op().name.clone()));
        }
        has_room(batch.directory(), &actor)?;
        let shown = batch.op().shown.as_ref();
        // What answered for the code vouches for what comes in by it.
        let made_with = signed_by(batch, shown, Ceremony::Invite, now)?;
        if batch.permit().caller().device().is_none() {
            batch.details().with = Some(Resource::Passkey(made_with).to_string());
        }
        let what = (Purpose::Passkey(actor), Joins::Operator(actor));
        code::issue_with(batch, what, made_with, now, entropy)
    }
}

fn has_room(directory: &Snapshot, actor: &ActorId) -> Result<(), PasskeyRefusal> {
    let passkeys = directory.passkeys_of(actor);
    if passkeys.filter(|found| found.removed.is_none()).count() >= MAX_PASSKEYS {
        return Err(PasskeyRefusal::TooMany);
    }
    Ok(())
}

/// The code as it is typed or pasted: base64url.
#[must_use]
pub fn written_code(code: &Secret<[u8; 16]>) -> Secret<String> {
    Secret::new(encoding::b64url(code.expose()))
}

/// The SHA-256 of a code as it was typed.
///
/// # Errors
/// [`JoinRefusal::UnknownCode`] for what is none.
pub fn parse_code(text: &Secret<String>) -> Result<[u8; 32], IdentityError> {
    let bytes = encoding::from_b64url_fixed::<16>("code", text.expose().trim());
    let code = Secret::new(bytes.map_err(|_| JoinRefusal::UnknownCode)?);
    Ok(sha256(code.expose()))
}

/// The operator whom a code, by its SHA-256, is for, if it can still be used.
///
/// # Errors
/// [`IdentityError::Join`].
pub fn enrolling(
    store: &Store,
    directory: &Snapshot,
    code_sha256: &[u8; 32],
    now: Timestamp,
) -> Result<Arc<ActorRecord>, IdentityError> {
    let (actor, _) = code::look_up_passkey(store, directory, code_sha256, now)?;
    let found = directory.actor(&actor).cloned();
    Ok(found.ok_or(JoinRefusal::ActorRevoked)?)
}

/// What a browser brought of a new passkey.
#[derive(Debug, Clone)]
pub struct NewPasskey {
    /// What its owner calls it.
    pub name: DisplayName,
    /// What the authenticator answered.
    pub credential: NewCredential,
}

/// Enrols a passkey. Made by [`PasskeyEnrol::check`].
#[derive(Debug)]
pub struct PasskeyEnrol {
    code_sha256: [u8; 32],
    actor: ActorId,
    name: DisplayName,
    transports: Vec<String>,
    relying_party: String,
    registered: Registered,
    answering: Answering,
}

impl Op for PasskeyEnrol {
    const ACTION: Action = Action::OperatorPasskeyEnrol;
    fn resource(&self) -> Resource {
        Resource::Passkey(self.id())
    }
}

impl PasskeyEnrol {
    /// Checks a new passkey that was made by this code. What depends on others is checked
    /// when it runs.
    ///
    /// # Errors
    /// [`IdentityError::Join`] for the code, [`IdentityError::Passkey`].
    pub fn check(
        (store, directory, keys): (&Store, &Snapshot, &dyn SessionKeys),
        party: &RelyingParty,
        code_sha256: &[u8; 32],
        (state, new): (&str, NewPasskey),
        now: Timestamp,
    ) -> Result<Self, IdentityError> {
        let (actor, _) = code::look_up_passkey(store, directory, code_sha256, now)?;
        let NewPasskey { name, credential } = new;
        let response = &credential.response;
        let ceremony = Ceremony::Enrol(*code_sha256);
        let answering = Answering::check(keys, &ceremony, &response.client_data, state, now)?;
        if credential.kind != "public-key" {
            return Err(PasskeyRefusal::Kind.into());
        }
        let registered = verify_registration(
            party,
            answering.challenge(),
            &response.client_data,
            &response.attestation_object,
        )
        .map_err(PasskeyRefusal::from)?;
        // What the browser says beside what the authenticator does.
        if registered.credential_id != credential.id {
            return Err(PasskeyRefusal::Flaw(procura_crypto::webauthn::Flaw::CredentialId).into());
        }
        let mut transports = credential.response.transports;
        transports.retain(|word| TRANSPORTS.contains(&word.as_str()));
        transports.sort();
        transports.dedup();
        Ok(Self {
            code_sha256: *code_sha256,
            actor,
            name,
            transports,
            relying_party: party.id().to_owned(),
            registered,
            answering,
        })
    }

    fn id(&self) -> Thumbprint {
        self.registered.key.thumbprint()
    }

    /// Whoever has the code, as the caller of this and of nothing else.
    #[must_use]
    pub fn caller(&self, directory: &Snapshot, now: Timestamp, peer: Option<IpAddr>) -> Caller {
        let person = Authenticated::by_passkey(self.actor, self.id());
        Caller::enrolling(&person, directory, now, peer)
    }

    /// Binds the passkey of the permit to its operator, and uses code and challenge up, in
    /// one commit.
    ///
    /// # Errors
    /// [`IdentityError::Join`] for the code, [`IdentityError::Passkey`].
    pub fn run(
        batch: &mut RecordedBatch<'_, Self>,
        now: Timestamp,
    ) -> Result<Passkey, IdentityError> {
        let op = batch.op();
        let (store, directory) = (batch.store(), batch.directory());
        let (actor, row) = code::look_up_passkey(store, directory, &op.code_sha256, now)?;
        if actor != op.actor || *batch.permit().caller().actor() != actor {
            return Err(IdentityError::OtherCaller);
        }
        if !directory.is_active(&actor) {
            return Err(JoinRefusal::ActorRevoked.into());
        }
        let (id, credential_id) = (op.id(), &op.registered.credential_id);
        // A registration does not show that whoever sent it has the key, so nobody
        // gets one that is somebody's, or was.
        let taken = directory.passkey(&id).is_some()
            || directory.passkey_named(credential_id).is_some()
            || directory.device(&id).is_some();
        if taken {
            return Err(PasskeyRefused {
                refusal: PasskeyRefusal::EnrolledAlready,
                of: Some((id, actor)),
            }
            .into());
        }
        has_room(directory, &actor)?;
        let vouched_by = row.value.vouched_by(directory);
        let vouched_by = vouched_by.ok_or(JoinRefusal::UnknownCode)?;
        let record = PasskeyRecord {
            id,
            actor,
            name: op.name.clone(),
            key: op.registered.key.clone(),
            credential_id: credential_id.clone(),
            relying_party: op.relying_party.clone(),
            transports: op.transports.clone(),
            backup_eligible: op.registered.asserted.backup_eligible,
            vouched_by,
            created: now,
            removed: None,
        };
        op.answering.consume(batch, now)?;
        code::consume(batch, &op.code_sha256, &row);
        let said = PasskeyEnrolment {
            key: record.key.clone(),
            relying_party: record.relying_party.clone(),
        };
        batch.details().with = Some(said.words());
        let counted = UseRow {
            counter: op.registered.asserted.counter,
            backed_up: op.registered.asserted.backed_up,
            used: None,
        };
        USES.expect(batch.rows(), id.as_bytes(), Expected::Absent);
        USES.put(batch.rows(), id.as_bytes(), &counted);
        batch.put_passkey(&record);
        Ok(super::listing::render(&record, None))
    }
}
