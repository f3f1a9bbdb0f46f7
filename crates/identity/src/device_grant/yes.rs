//! What a yes to a device is to, and by which key of a person it is said.

use super::DeviceGrantRefusal;
use super::answer::pending;
use super::legacy::legacy_id;
use super::row::{Found, by_user_code, holds};
use crate::agent;
use crate::error::{IdentityError, JoinRefusal};
use crate::passkey::{PasskeyAnswer, PasskeyRefusal, accept};
use procura_crypto::webauthn::RelyingParty;
use procura_crypto::{MacKey, sha256};
use procura_directory::Snapshot;
use procura_policy::{Action, Op, Permit, Resource};
use procura_proof::Profile;
use procura_record::RecordedBatch;
use procura_store::Store;
use procura_types::{
    ActorId, FieldTuple, ForeignId, Label, Namespace, Thumbprint, Timestamp, UserCode,
};

/// What a yes to a device that asks is to. By itself it says what a passkey would sign.
pub struct DeviceGrantDraft {
    /// The agent's namespace.
    pub namespace: Namespace,
    /// The agent.
    pub agent: Label,
    /// What the host shows.
    pub code: UserCode,
    /// The device that the caller looked at, or what stands in its place for a client of
    /// CortexAuth.
    pub device: Thumbprint,
}

/// What is said yes to, as it is found.
pub(super) struct YesTo {
    /// The device grant that nobody answered yet.
    pub(super) found: Found,
    /// The agent whose device or login it would be.
    pub(super) agent: ActorId,
    /// Of a login of a client of CortexAuth, the id that it would be of.
    pub(super) foreign: Option<ForeignId>,
}

impl Op for DeviceGrantDraft {
    /// Who may not say yes is not asked for one.
    const ACTION: Action = Action::DeviceGrantApprove;
    fn resource(&self) -> Resource {
        Resource::Agent(self.namespace.clone(), self.agent.clone())
    }
}

impl DeviceGrantDraft {
    /// The challenge by which a passkey says yes to just this.
    ///
    /// # Errors
    /// Why it could not be said yes to, as of [`super::DeviceGrantApprove::run`].
    pub fn run(
        permit: &Permit<Self>,
        (store, directory): (&Store, &Snapshot),
        key: &MacKey,
        server: &Thumbprint,
        now: Timestamp,
    ) -> Result<[u8; 32], IdentityError> {
        let draft = permit.op();
        let by = permit.caller().actor();
        let to = draft.find(by, (store, directory), key, now)?;
        Ok(draft.challenge(server, &to))
    }

    /// What a yes of this operator would be to now.
    pub(super) fn find(
        &self,
        by: &ActorId,
        (store, directory): (&Store, &Snapshot),
        key: &MacKey,
        now: Timestamp,
    ) -> Result<YesTo, IdentityError> {
        let found = pending(by_user_code(store, key, &self.code, now)?)?;
        let device = found.row.value.device(&found.tag);
        if device != self.device {
            return Err(DeviceGrantRefusal::OtherDevice.into());
        }
        if directory.device(&device).is_some() {
            return Err(JoinRefusal::DeviceBound.into());
        }
        let agent = agent::find(directory, &self.namespace, &self.agent)?.id;
        if !holds(directory, by, Some(&self.namespace)) {
            return Err(DeviceGrantRefusal::LentRole.into());
        }
        let foreign = match found.row.value.key {
            Some(_) => None,
            None => Some(legacy_id(directory, &agent)?),
        };
        Ok(YesTo {
            found,
            agent,
            foreign,
        })
    }

    /// `SHA-256(T("procura.device-grant.yes.v1", server_id, device_thumbprint, user_code,
    /// device_host, namespace, agent id))`: all that the fingerprint is of, and whose device
    /// it becomes. A code is drawn for one device that asks, so an answer to this is for that
    /// one alone; the device grant is answered once, and with it this.
    ///
    /// Of a login of a client of CortexAuth the tuple is of a name of its own
    /// (`procura.device-grant.yes.legacy.v1`), with what stands in the place of a device, and
    /// the id that it becomes a login of comes last: a yes to the one is none to the other.
    pub(super) fn challenge(&self, server: &Thumbprint, to: &YesTo) -> [u8; 32] {
        let YesTo {
            found,
            agent,
            foreign,
        } = to;
        let row = &found.row.value;
        let name = match foreign {
            None => "procura.device-grant.yes.v1",
            Some(_) => "procura.device-grant.yes.legacy.v1",
        };
        let of = FieldTuple::new(name)
            .bytes(server.as_bytes())
            .bytes(row.device(&found.tag).as_bytes())
            .bytes(self.code.letters())
            .text(row.host.as_str())
            .text(self.namespace.as_str())
            .bytes(agent.as_bytes());
        let of = match foreign {
            None => of,
            Some(id) => of.text(id.as_str()),
        };
        sha256(of.as_bytes())
    }
}

/// By which key of a person a yes is said.
pub enum DeviceGrantYes {
    /// The device that calls.
    Device,
    /// A passkey of the person who calls in a browser, whose challenge is that of the draft.
    Passkey {
        /// The site that asked it.
        party: RelyingParty,
        /// What it answered.
        answer: Box<PasskeyAnswer>,
    },
}

impl DeviceGrantYes {
    /// The key that says this yes: a browser's cookie alone says none, and who has a device
    /// at hand says it with that.
    pub(super) fn signed<O: Op>(
        &self,
        batch: &mut RecordedBatch<'_, O>,
        challenge: &[u8; 32],
        now: Timestamp,
    ) -> Result<Thumbprint, IdentityError> {
        let caller = batch.permit().caller();
        let is_browser = matches!(caller.profile(), Profile::WebLogin(_));
        match self {
            Self::Device if is_browser => Err(PasskeyRefusal::NotShown.into()),
            Self::Device => caller.device().copied().ok_or(IdentityError::OtherCaller),
            Self::Passkey { .. } if !is_browser => Err(IdentityError::OtherCaller),
            Self::Passkey { party, answer } => Ok(accept(batch, party, challenge, answer, now)?.id),
        }
    }
}
