//! A client of CortexAuth logs in (`protocol.md` §3.8, ADR 43). It shows no key, so whoever
//! has its device code collects, and what is collected makes nobody a device: it is a token
//! that names one id of the agent.

use super::row::{Answer, Found, GRANTS, GrantRow};
use super::{
    DEVICE_GRANT_LIFE, DeviceCodeTag, DeviceGrantRefusal, DeviceGrantStanding, NewDeviceGrant, ask,
};
use crate::error::IdentityError;
use procura_crypto::MacKey;
use procura_directory::Snapshot;
use procura_policy::{Action, Op, Resource};
use procura_record::RecordedBatch;
use procura_store::{Store, StoreError};
use procura_types::{ActorId, DisplayName, Entropy, ForeignId, Namespace, Timestamp, TokenId};
use std::net::IpAddr;

/// Asks for a client to be let in.
pub struct LegacyLoginAsk {
    /// What it says that it is.
    pub host: DisplayName,
    /// Where it asks from.
    pub from: Option<IpAddr>,
}

impl Op for LegacyLoginAsk {
    const ACTION: Action = Action::DeviceGrantAsk;
    fn resource(&self) -> Resource {
        Resource::Installation
    }
}

impl LegacyLoginAsk {
    /// Makes both codes and keeps their tags.
    ///
    /// # Errors
    /// No random bytes; the store's.
    pub fn run(
        batch: &mut RecordedBatch<'_, Self>,
        key: &MacKey,
        now: Timestamp,
        entropy: &dyn Entropy,
    ) -> Result<NewDeviceGrant, IdentityError> {
        let op = batch.op();
        let asking = GrantRow {
            key: None,
            host: op.host.clone(),
            from: op.from,
            asked: now,
            expires: now.plus(DEVICE_GRANT_LIFE),
            answer: Answer::Pending,
        };
        let new = ask::put(batch, key, asking, entropy)?;
        batch.details().with = Some(format!("device/{} legacy", new.tag.keyless()));
        Ok(new)
    }
}

/// The one id by which a client of CortexAuth can know an agent.
///
/// # Errors
/// [`DeviceGrantRefusal::NoOneId`].
pub fn legacy_id(snapshot: &Snapshot, agent: &ActorId) -> Result<ForeignId, IdentityError> {
    let mut its = snapshot.foreign_of(agent);
    match (its.next(), its.next()) {
        (Some(bound), None) => Ok(bound.id.clone()),
        _ => Err(DeviceGrantRefusal::NoOneId.into()),
    }
}

/// A login as its client finds it.
#[derive(Debug, Clone)]
pub struct FoundLegacyLogin {
    /// Where it stands.
    pub standing: DeviceGrantStanding,
    /// Which agent's somebody said it is, though its time be over by now.
    pub said: Option<ActorId>,
    /// Of an approved one, the id of the agent.
    pub id: Option<ForeignId>,
    /// Until when.
    pub expires: Timestamp,
}

impl DeviceCodeTag {
    /// The login of this code, if it is one of a client of CortexAuth.
    ///
    /// # Errors
    /// The store's.
    pub fn find_login(
        &self,
        store: &Store,
        now: Timestamp,
    ) -> Result<Option<FoundLegacyLogin>, StoreError> {
        let row = GRANTS.get(store, &self.0)?.map(|row| row.value);
        let login = row.filter(|row| row.key.is_none());
        Ok(login.map(|row| FoundLegacyLogin {
            standing: row.standing(now),
            said: row.said(),
            id: match &row.answer {
                Answer::Approved(approved) => approved.foreign.clone(),
                _ => None,
            },
            expires: row.expires,
        }))
    }
}

/// Gives the token of an approved login out, once.
pub struct LegacyLogin {
    tag: DeviceCodeTag,
    agent: ActorId,
    id: ForeignId,
    namespace: Namespace,
    token: TokenId,
}

impl Op for LegacyLogin {
    const ACTION: Action = Action::LegacyLogin;
    fn resource(&self) -> Resource {
        Resource::Foreign(self.namespace.clone(), self.id.clone())
    }
}

impl LegacyLogin {
    /// The operation for whoever shows the code, as the agent and the id that
    /// [`DeviceCodeTag::find_login`] named, and for the token that they get; checked again
    /// when it runs. None when there is no such agent.
    #[must_use]
    pub fn new(
        tag: DeviceCodeTag,
        (agent, id): (ActorId, ForeignId),
        token: TokenId,
        snapshot: &Snapshot,
    ) -> Option<Self> {
        let namespace = snapshot.actor(&agent)?.namespace()?.clone();
        Some(Self {
            tag,
            agent,
            id,
            namespace,
            token,
        })
    }

    /// Uses the code up.
    ///
    /// # Errors
    /// [`DeviceGrantRefusal`], the first that holds; [`IdentityError::OtherCaller`].
    pub fn run(batch: &mut RecordedBatch<'_, Self>, now: Timestamp) -> Result<(), IdentityError> {
        let op = batch.op();
        let caller = batch.permit().caller();
        if caller.actor() != &op.agent || caller.foreign_id() != Some(&op.id) {
            return Err(IdentityError::OtherCaller);
        }
        let tag = op.tag.0;
        let row = GRANTS
            .get(batch.store(), &tag)?
            .filter(|row| row.value.key.is_none())
            .ok_or(DeviceGrantRefusal::Unknown)?;
        let found = Found { tag, row };
        let approved = found.row.value.approved(now)?;
        if approved.agent != op.agent || approved.foreign.as_ref() != Some(&op.id) {
            return Err(DeviceGrantRefusal::OtherDevice.into());
        }
        let directory = batch.directory();
        if !approved.stands(directory, Some(&op.namespace)) {
            return Err(DeviceGrantRefusal::ApproverGone.into());
        }
        let bound = directory.foreign(&op.id);
        if !directory.is_active(&op.agent) || bound.is_none_or(|bound| bound.actor != op.agent) {
            return Err(DeviceGrantRefusal::NoOneId.into());
        }
        found.put(batch, Answer::Joined);
        batch.details().with = Some(format!("token:{}", op.token));
        Ok(())
    }
}
