//! The device collects what was said.

use super::row::{Answer, Found, GRANTS};
use super::{DeviceCodeTag, DeviceGrantRefusal};
use crate::error::IdentityError;
use crate::join::{Joined, bound, is_caller};
use procura_crypto::PublicKey;
use procura_directory::Snapshot;
use procura_policy::{Action, Op, Resource};
use procura_proof::Collector;
use procura_record::RecordedBatch;
use procura_types::{ActorId, Namespace, Timestamp, TokenId};

/// What the entry says besides: that no link code was used.
const WITH: &str = "device_grant";

/// Binds the device that asked to the agent that was said. The action is that of a link
/// code, since it does the same.
pub struct DeviceGrantCollect {
    tag: DeviceCodeTag,
    agent: ActorId,
    token: TokenId,
    namespace: Option<Namespace>,
    key: PublicKey,
}

impl Op for DeviceGrantCollect {
    const ACTION: Action = Action::DeviceJoin;
    fn resource(&self) -> Resource {
        Resource::Device(self.namespace.clone(), self.key.thumbprint())
    }
}

impl DeviceGrantCollect {
    /// The operation for a device that has proven to hold the key, and for the agent that
    /// [`DeviceCodeTag::find`] named; both are checked again when it runs. The entry names
    /// the token that the device gets with it.
    #[must_use]
    pub fn new(
        tag: DeviceCodeTag,
        collector: &Collector,
        (agent, token): (ActorId, TokenId),
        snapshot: &Snapshot,
    ) -> Self {
        let record = snapshot.actor(&agent);
        Self {
            tag,
            agent,
            token,
            namespace: record.and_then(|record| record.namespace().cloned()),
            key: collector.key().clone(),
        }
    }

    /// Binds the device of the permit and uses the code up, in one commit.
    ///
    /// # Errors
    /// [`DeviceGrantRefusal`], the first that holds; [`crate::JoinRefusal`] of a key that
    /// is or was a device, and of an agent that was revoked.
    pub fn run(
        batch: &mut RecordedBatch<'_, Self>,
        now: Timestamp,
    ) -> Result<Joined, IdentityError> {
        let op = batch.op();
        is_caller(batch, &op.agent, &op.key)?;
        let tag = op.tag.0;
        let row = GRANTS
            .get(batch.store(), &tag)?
            .ok_or(DeviceGrantRefusal::Unknown)?;
        let found = Found { tag, row };
        let approved = found.row.value.approved(now)?;
        if approved.agent != op.agent || found.row.value.device(&tag) != op.key.thumbprint() {
            return Err(DeviceGrantRefusal::OtherDevice.into());
        }
        if !approved.stands(batch.directory(), op.namespace.as_ref()) {
            return Err(DeviceGrantRefusal::ApproverGone.into());
        }
        let joined = bound(batch, &op.agent, &op.key, now)?;
        found.put(batch, Answer::Joined);
        batch.details().with = Some(format!("{WITH} token:{}", op.token));
        Ok(joined)
    }
}
