//! Revoking an actor: it, all below it, and all their devices, in one commit.

use procura_policy::Op;
use procura_record::RecordedBatch;
use procura_types::wire::RevokedActors;
use procura_types::{ActorId, Timestamp};

/// Marks the actor and its subtree as revoked. What was revoked before keeps its
/// moment. New children cannot slip in: making one changes the directory, whose
/// guard this batch expects.
pub(crate) fn revoke<O: Op>(
    batch: &mut RecordedBatch<'_, O>,
    root: &ActorId,
    now: Timestamp,
) -> RevokedActors {
    // A full disk must not keep anyone from taking authority away.
    batch.reserved();
    let (mut actors, mut devices) = (Vec::new(), Vec::new());
    for id in batch.directory().subtree(root) {
        if let Some(record) = batch
            .directory()
            .actor(&id)
            .filter(|record| record.revoked.is_none())
        {
            let mut record = record.as_ref().clone();
            record.revoked = Some(now);
            actors.push(record);
        }
        for device in batch
            .directory()
            .devices_of(&id)
            .filter(|device| device.revoked.is_none())
        {
            let mut device = device.as_ref().clone();
            device.revoked = Some(now);
            devices.push(device);
        }
    }
    for record in &actors {
        batch.put_actor(record);
    }
    for device in &devices {
        batch.put_device(device);
    }
    RevokedActors {
        revoked: actors.into_iter().map(|record| record.id).collect(),
    }
}
