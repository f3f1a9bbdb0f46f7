//! Devices: one machine's key, bound to one actor.

use crate::error::IdentityError;
use crate::roles::{Loses, keeps_a_steward};
use crate::{account, passkey, stewards, web_login};
use procura_directory::{DeviceRecord, Snapshot};
use procura_policy::{Action, Concerned, Op, Resource};
use procura_record::RecordedBatch;
use procura_types::wire::Device;
use procura_types::{ActorId, Namespace, Thumbprint, Timestamp};

/// Revokes a device of an agent. Made by [`DeviceRevocation::resolve`], so that
/// namespace and actor are those of the device.
pub struct DeviceRevoke {
    thumbprint: Thumbprint,
    namespace: Namespace,
    actor: ActorId,
}

impl Op for DeviceRevoke {
    const ACTION: Action = Action::DeviceRevoke;
    fn resource(&self) -> Resource {
        Resource::Device(Some(self.namespace.clone()), self.thumbprint)
    }
    fn concerned(&self) -> Concerned<'_> {
        Concerned::own(&self.actor)
    }
}

/// Revokes a device of an operator. Made by [`DeviceRevocation::resolve`].
pub struct OperatorDeviceRevoke {
    thumbprint: Thumbprint,
    actor: ActorId,
}

impl Op for OperatorDeviceRevoke {
    const ACTION: Action = Action::OperatorDeviceRevoke;
    fn resource(&self) -> Resource {
        Resource::Device(None, self.thumbprint)
    }
    fn concerned(&self) -> Concerned<'_> {
        Concerned::own(&self.actor)
    }
}

/// The operation that revokes a device: whose it is decides which.
pub enum DeviceRevocation {
    /// Of an agent.
    Agent(DeviceRevoke),
    /// Of an operator.
    Operator(OperatorDeviceRevoke),
}

impl DeviceRevocation {
    /// The operation for this device; none when there is no such device.
    #[must_use]
    pub fn resolve(snapshot: &Snapshot, thumbprint: &Thumbprint) -> Option<Self> {
        let device = snapshot.device(thumbprint)?;
        let actor = snapshot.actor(&device.actor)?;
        let thumbprint = *thumbprint;
        Some(match actor.namespace() {
            Some(namespace) => Self::Agent(DeviceRevoke {
                thumbprint,
                namespace: namespace.clone(),
                actor: actor.id,
            }),
            None => Self::Operator(OperatorDeviceRevoke {
                thumbprint,
                actor: actor.id,
            }),
        })
    }
}

impl DeviceRevoke {
    /// Revokes the device of the permit; doing it again changes nothing.
    pub fn run(batch: &mut RecordedBatch<'_, Self>, now: Timestamp) -> Result<(), IdentityError> {
        let thumbprint = batch.op().thumbprint;
        revoke(batch, &thumbprint, now);
        Ok(())
    }
}

impl OperatorDeviceRevoke {
    /// Revokes the device of the permit; doing it again changes nothing. The last
    /// device of the last steward stays, and a steward's goes by that steward alone. What
    /// its operator signs in with goes along, if any of it was set with this device, and so
    /// do the passkeys that it vouches for, which the entry names.
    pub fn run(batch: &mut RecordedBatch<'_, Self>, now: Timestamp) -> Result<(), IdentityError> {
        let OperatorDeviceRevoke { thumbprint, actor } = *batch.op();
        stewards::device_may_go(batch, &actor)?;
        keeps_a_steward(batch.directory(), Loses::Device(&thumbprint))?;
        let passkeys = passkey::remove_vouched(batch, &actor, &thumbprint, now);
        let all_ended = account::forget_set_with(batch, &actor, &thumbprint);
        if !passkeys.is_empty() {
            let words: Vec<String> = passkeys.iter().map(|id| format!("passkey/{id}")).collect();
            batch.details().with = Some(words.join(" "));
            if !all_ended {
                // The directory ends them too: a damaged row keeps nobody from revoking.
                web_login::end_made_with(batch, &actor, &passkeys).ok();
            }
        }
        revoke(batch, &thumbprint, now);
        Ok(())
    }
}

pub(crate) fn revoke<O: Op>(
    batch: &mut RecordedBatch<'_, O>,
    thumbprint: &Thumbprint,
    now: Timestamp,
) {
    // A full disk must not keep anyone from taking authority away.
    batch.reserved();
    let device = batch
        .directory()
        .device(thumbprint)
        .filter(|device| device.revoked.is_none())
        .cloned();
    if let Some(device) = device {
        batch.put_device(&DeviceRecord {
            revoked: Some(now),
            ..device.as_ref().clone()
        });
    }
}

/// All devices of an actor as the API shows them, in the order in which they joined.
pub(crate) fn rendered(snapshot: &Snapshot, actor: &ActorId) -> Vec<Device> {
    let mut devices: Vec<Device> = snapshot
        .devices_of(actor)
        .map(|device| render(device))
        .collect();
    devices.sort_by_key(|device| (device.created, device.thumbprint));
    devices
}

pub(crate) fn render(device: &DeviceRecord) -> Device {
    Device {
        thumbprint: device.thumbprint,
        actor: device.actor,
        key: device.key.to_jwk(),
        created: device.created,
        revoked: device.revoked,
    }
}
