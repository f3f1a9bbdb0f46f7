//! What is stored of a device grant, and where it stands.

use super::{DeviceCodeTag, DeviceGrantRefusal, user_tag};
use crate::error::IdentityError;
use procura_crypto::{MacKey, PublicKey};
use procura_directory::Snapshot;
use procura_policy::Op;
use procura_record::RecordedBatch;
use procura_store::{Expected, Kind, Row, Seq, Store, StoreError, Table};
use procura_types::wire::{DeviceGrant, DeviceGrantState};
use procura_types::{
    ActorId, DisplayName, ForeignId, Namespace, Role, Thumbprint, Timestamp, UserCode,
};
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// The tag of the device code → the device grant.
pub(super) const GRANTS: Table<[u8; 32], GrantRow> = Table::new("device-grant", Kind::Ordinary);
/// The tag of the user code → that of the device code.
pub(super) const USER_CODES: Table<[u8; 32], [u8; 32]> =
    Table::new("device-grant-user", Kind::Ordinary);
/// (When it expires, in milliseconds; the tag of the device code) → that of the user code.
/// By it what is over is found without looking at what is not.
pub(super) const DUE: Table<(u64, [u8; 32]), [u8; 32]> =
    Table::new("device-grant-due", Kind::Ordinary);

/// A device that asked.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct GrantRow {
    /// None of a client of CortexAuth that logs in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) key: Option<PublicKey>,
    pub(super) host: DisplayName,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) from: Option<IpAddr>,
    pub(super) asked: Timestamp,
    pub(super) expires: Timestamp,
    pub(super) answer: Answer,
}

/// What was said to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub(super) enum Answer {
    Pending,
    Denied,
    Approved(Approved),
    Joined,
}

/// A yes, which dies with whoever said it, with the device or passkey that they said it with,
/// and with the role that let them: as a link code does that they made. One by a passkey
/// counts for nothing while a device of theirs is on hold or in quarantine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Approved {
    pub(super) agent: ActorId,
    /// The id by which a client of CortexAuth knows the agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) foreign: Option<ForeignId>,
    pub(super) by: ActorId,
    pub(super) with: Thumbprint,
}

impl Approved {
    /// Whether whoever said yes could say it now.
    pub(super) fn stands(&self, snapshot: &Snapshot, namespace: Option<&Namespace>) -> bool {
        let key_stands = snapshot.may_act(&self.with) || snapshot.passkey_lets_in(&self.with);
        holds(snapshot, &self.by, namespace) && key_stands && snapshot.is_active(&self.by)
    }
}

/// Whether the role that a yes takes is this operator's own: what it lets in outlives a web
/// login, so a role that a group lends to one is none.
pub(super) fn holds(snapshot: &Snapshot, by: &ActorId, namespace: Option<&Namespace>) -> bool {
    let held = snapshot.roles(by);
    held.is_some_and(|held| held.has(Role::Admin, namespace))
}

impl GrantRow {
    pub(super) fn is_over(&self, now: Timestamp) -> bool {
        self.expires <= now
    }

    /// Where it stands for whoever asked.
    pub(super) fn standing(&self, now: Timestamp) -> DeviceGrantStanding {
        match &self.answer {
            // What was collected before its end was collected.
            Answer::Joined => DeviceGrantStanding::Collected,
            Answer::Denied => DeviceGrantStanding::Denied,
            _ if self.is_over(now) => DeviceGrantStanding::Expired,
            Answer::Pending => DeviceGrantStanding::Pending,
            Answer::Approved(approved) => DeviceGrantStanding::Approved(approved.agent),
        }
    }

    /// The yes to it, for whoever collects it.
    ///
    /// # Errors
    /// Why there is none, the first that holds.
    pub(super) fn approved(&self, now: Timestamp) -> Result<&Approved, DeviceGrantRefusal> {
        match &self.answer {
            Answer::Joined => Err(DeviceGrantRefusal::Collected),
            Answer::Denied => Err(DeviceGrantRefusal::Denied),
            _ if self.is_over(now) => Err(DeviceGrantRefusal::Expired),
            Answer::Pending => Err(DeviceGrantRefusal::Pending),
            Answer::Approved(approved) => Ok(approved),
        }
    }

    /// Whose somebody said it is, though its time be over by now.
    pub(super) fn said(&self) -> Option<ActorId> {
        match &self.answer {
            Answer::Approved(approved) => Some(approved.agent),
            Answer::Pending | Answer::Denied | Answer::Joined => None,
        }
    }

    /// The device that asks, or what stands for a client that shows no key.
    pub(super) fn device(&self, tag: &[u8; 32]) -> Thumbprint {
        let key = self.key.as_ref();
        key.map_or_else(|| DeviceCodeTag(*tag).keyless(), PublicKey::thumbprint)
    }

    /// As operators see it.
    pub(super) fn shown(&self, tag: &[u8; 32], fingerprint: Option<String>) -> DeviceGrant {
        DeviceGrant {
            device: self.device(tag),
            legacy: self.key.is_none(),
            fingerprint,
            host: self.host.clone(),
            from: self.from,
            asked: self.asked,
            expires: self.expires,
            state: match self.answer {
                Answer::Pending => DeviceGrantState::Pending,
                Answer::Denied => DeviceGrantState::Denied,
                Answer::Approved(_) => DeviceGrantState::Approved,
                Answer::Joined => DeviceGrantState::Joined,
            },
        }
    }
}

/// A row that is to be changed.
pub(super) struct Found {
    pub(super) tag: [u8; 32],
    pub(super) row: Row<GrantRow>,
}

impl Found {
    /// Puts the answer into the batch; of two at once the second is built anew. Gives the row
    /// as it is then.
    pub(super) fn put<O: Op>(self, batch: &mut RecordedBatch<'_, O>, answer: Answer) -> GrantRow {
        let answered = GrantRow {
            answer,
            ..self.row.value
        };
        GRANTS.expect(batch.rows(), &self.tag, Expected::At(self.row.version));
        GRANTS.put(batch.rows(), &self.tag, &answered);
        answered
    }
}

/// The device grant of a user code that is not over.
pub(super) fn by_user_code(
    store: &Store,
    key: &MacKey,
    code: &UserCode,
    now: Timestamp,
) -> Result<Found, IdentityError> {
    let tag = USER_CODES
        .get(store, &user_tag(key, code))?
        .ok_or(DeviceGrantRefusal::Unknown)?
        .value;
    let row = GRANTS
        .get(store, &tag)?
        .ok_or(DeviceGrantRefusal::Unknown)?;
    if row.value.is_over(now) {
        return Err(DeviceGrantRefusal::Expired.into());
    }
    Ok(Found { tag, row })
}

/// Where a device grant stands for the device that asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeviceGrantStanding {
    /// Nobody answered yet.
    Pending,
    /// Its time is over.
    Expired,
    /// Somebody said no.
    Denied,
    /// It waits to be collected, as a device of this agent.
    Approved(ActorId),
    /// It was collected.
    Collected,
}

/// A device grant as its device finds it.
#[derive(Debug, Clone)]
pub struct FoundDeviceGrant {
    /// The commit that wrote it last.
    pub version: Seq,
    /// The key that asked, and that alone can collect.
    pub key: PublicKey,
    /// From where it asked.
    pub from: Option<IpAddr>,
    /// Until when.
    pub expires: Timestamp,
    /// Where it stands.
    pub standing: DeviceGrantStanding,
    /// Whose device somebody said it is, though its time be over by now.
    pub said: Option<ActorId>,
}

impl DeviceCodeTag {
    /// The device grant of this code, if there is one.
    ///
    /// # Errors
    /// The store's.
    pub fn find(
        &self,
        store: &Store,
        now: Timestamp,
    ) -> Result<Option<FoundDeviceGrant>, StoreError> {
        let found = GRANTS.get(store, &self.0)?;
        Ok(found.and_then(|Row { version, value }| {
            Some(FoundDeviceGrant {
                version,
                standing: value.standing(now),
                said: value.said(),
                from: value.from,
                expires: value.expires,
                // A login of a client of CortexAuth is not to be had here.
                key: value.key?,
            })
        }))
    }

    /// Whether its row is still the one of this version. It is not opened for that.
    ///
    /// # Errors
    /// The store's.
    pub fn is_still(&self, store: &Store, version: Seq) -> Result<bool, StoreError> {
        GRANTS.is_still(store, &self.0, version)
    }
}
