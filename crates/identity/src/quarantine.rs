//! What touched a decoy, or was put on hold, and may not act until a steward lets it:
//! listing it, and letting it out. What touched a decoy is put there by the server itself.

use crate::error::IdentityError;
use crate::stewards;
use procura_directory::{QuarantineRecord, Snapshot, Suspect};
use procura_policy::{Action, Op, Permit, Resource};
use procura_record::RecordedBatch;
use procura_types::wire::{QuarantineList, Quarantined};
use procura_types::{Thumbprint, Timestamp};

/// Lists what is in quarantine.
pub struct QuarantineListing;

impl Op for QuarantineListing {
    const ACTION: Action = Action::QuarantineList;
    fn resource(&self) -> Resource {
        Resource::Installation
    }
}

impl QuarantineListing {
    /// What is in quarantine now, the longest there first. A device that is revoked is not:
    /// it stays out of everything, and nothing lets it out.
    #[must_use]
    pub fn run(_: &Permit<Self>, snapshot: &Snapshot) -> QuarantineList {
        let mut quarantined: Vec<Quarantined> = snapshot
            .all_quarantines()
            .filter(|record| record.lifted.is_none())
            .filter(|record| {
                let device = record.suspect.device();
                device.is_none_or(|device| !is_revoked(snapshot, &device))
            })
            .map(|record| Quarantined {
                device: record.suspect.device(),
                agent_id: record.suspect.foreign().cloned(),
                actor: record.actor,
                name: snapshot.lineage(&record.actor),
                since: record.since,
                by: record.by,
                canary: record.canary,
            })
            .collect();
        quarantined.sort_by(|one, other| {
            (one.since, one.device, &one.agent_id).cmp(&(
                other.since,
                other.device,
                &other.agent_id,
            ))
        });
        QuarantineList { quarantined }
    }
}

/// Whether a device or passkey, or an actor whose it is, is revoked.
fn is_revoked(snapshot: &Snapshot, device: &Thumbprint) -> bool {
    let device_is = snapshot
        .device(device)
        .is_some_and(|found| found.revoked.is_some() || !snapshot.is_active(&found.actor));
    let passkey_is = snapshot
        .passkey(device)
        .is_some_and(|found| found.removed.is_some() || !snapshot.is_active(&found.actor));
    device_is || passkey_is
}

/// Lets something out of quarantine.
pub struct QuarantineLift {
    /// What.
    pub suspect: Suspect,
}

impl Op for QuarantineLift {
    const ACTION: Action = Action::QuarantineLift;
    fn resource(&self) -> Resource {
        Resource::Quarantine(self.suspect.clone())
    }
}

impl QuarantineLift {
    /// Lets out what the permit names. What was given to it until now, sessions and
    /// tokens, counts no more.
    ///
    /// # Errors
    /// [`IdentityError::NotQuarantined`], [`IdentityError::DeviceRevoked`],
    /// [`IdentityError::CountsNot`].
    pub fn run(batch: &mut RecordedBatch<'_, Self>, now: Timestamp) -> Result<(), IdentityError> {
        let suspect = &batch.op().suspect;
        let record = batch
            .directory()
            .quarantine(suspect)
            .filter(|record| record.lifted.is_none())
            .ok_or(IdentityError::NotQuarantined)?
            .as_ref()
            .clone();
        let device = suspect.device();
        if device.is_some_and(|device| is_revoked(batch.directory(), &device)) {
            return Err(IdentityError::DeviceRevoked);
        }
        stewards::may_hold(batch, &record.actor)?;
        let lifted = Some(batch.directory().seq());
        batch.put_quarantine(&QuarantineRecord {
            lifted,
            lifted_at: Some(now),
            ..record
        });
        Ok(())
    }
}
