//! What daemons attest of their processes (ADR 39): asked for, made, listed and revoked,
//! and what vouches for it.

mod baseline;
mod making;
mod quote;
mod refusal;
mod release;

pub use baseline::{BaselineRemove, BaselineSet};
pub use making::{ATTESTATION_LIFE, AttestChallenge, AttestMake, CHALLENGE_LIFE};
pub use refusal::AttestationRefusal;
pub use release::{
    ReleaseAdd, ReleaseKeyAdd, ReleaseKeyListing, ReleaseKeyRemove, ReleaseListing, ReleaseWithdraw,
};

use crate::error::IdentityError;
use procura_directory::{ActorKind, AttestationOver, AttestationRecord, BaselineRecord, Snapshot};
use procura_policy::{Action, Concerned, Op, Permit, Resource};
use procura_proof::session::Attested;
use procura_record::RecordedBatch;
use procura_types::wire::{Attestation, AttestationList, AttestationState, Baseline};
use procura_types::{ActorId, AttestationId, Namespace, Thumbprint, Timestamp};
use std::sync::Arc;

/// Lists what the daemons of a namespace attested.
pub struct AttestationListing {
    /// Where.
    pub namespace: Namespace,
}

impl Op for AttestationListing {
    const ACTION: Action = Action::AttestationList;
    fn resource(&self) -> Resource {
        Resource::Namespace(self.namespace.clone())
    }
}

impl AttestationListing {
    /// Those that are remembered, the newest first, and the baselines that hold.
    #[must_use]
    pub fn run(permit: &Permit<Self>, snapshot: &Snapshot, now: Timestamp) -> AttestationList {
        let namespace = &permit.op().namespace;
        let is_here = |actor: &ActorId| namespace_of(snapshot, actor) == Some(namespace);
        let mut attestations: Vec<Attestation> = snapshot
            .all_attestations()
            .filter(|record| is_here(&record.actor))
            .filter_map(|record| render(snapshot, record, now))
            .collect();
        attestations.sort_by(|one, other| {
            (other.renewed, one.device, one.id).cmp(&(one.renewed, other.device, other.id))
        });
        let mut baselines: Vec<Baseline> = snapshot
            .actors()
            .filter(|actor| actor.namespace() == Some(namespace))
            .flat_map(|actor| snapshot.devices_of(&actor.id))
            .filter_map(|device| snapshot.baseline(&device.thumbprint))
            .filter(|baseline| baseline.removed.is_none())
            .map(|baseline| render_baseline(baseline))
            .collect();
        baselines.sort_by_key(|baseline| baseline.device);
        AttestationList {
            attestations,
            baselines,
        }
    }
}

fn namespace_of<'a>(snapshot: &'a Snapshot, actor: &ActorId) -> Option<&'a Namespace> {
    snapshot.actor(actor)?.namespace()
}

fn render(snapshot: &Snapshot, record: &AttestationRecord, now: Timestamp) -> Option<Attestation> {
    let ActorKind::Agent { label, .. } = &snapshot.actor(&record.actor)?.kind else {
        return None;
    };
    Some(Attestation {
        id: record.id,
        state: state(snapshot, record, now),
        grade: record.grade,
        agent: label.clone(),
        device: record.device,
        exe_sha256: record.exe_sha256,
        version: record.version.clone(),
        target: record.target.clone(),
        pid: record.pid,
        boot_id: record.boot_id.clone(),
        made: record.made,
        renewed: record.renewed,
        until: record.until,
        revoked: record.revoked,
        quote: record.quote.clone(),
    })
}

fn state(snapshot: &Snapshot, record: &AttestationRecord, now: Timestamp) -> AttestationState {
    let is_active = snapshot
        .device(&record.device)
        .is_some_and(|device| device.revoked.is_none() && snapshot.is_active(&device.actor));
    match snapshot.stands(record, now) {
        _ if !is_active => AttestationState::Revoked,
        Ok(_) => AttestationState::Live,
        Err(AttestationOver::Expired) => AttestationState::Over,
        Err(AttestationOver::Revoked | AttestationOver::Unknown) => AttestationState::Revoked,
        Err(AttestationOver::Withdrawn | AttestationOver::Baseline) => AttestationState::Withdrawn,
    }
}

fn render_baseline(record: &BaselineRecord) -> Baseline {
    Baseline {
        device: record.device,
        ek_sha256: record.ek_sha256,
        ak_sha256: record.ak_sha256,
        pcrs: record.pcrs.clone(),
        pcr_digest: record.pcr_digest,
        since: record.since,
        by: record.by,
    }
}

/// Revokes one attestation. Made by [`AttestationRevoke::resolve`], so that namespace and
/// actor are those of its device.
pub struct AttestationRevoke {
    record: Arc<AttestationRecord>,
    namespace: Namespace,
}

impl Op for AttestationRevoke {
    const ACTION: Action = Action::AttestationRevoke;
    fn resource(&self) -> Resource {
        Resource::Device(Some(self.namespace.clone()), self.record.device)
    }
    fn concerned(&self) -> Concerned<'_> {
        Concerned::own(&self.record.actor)
    }
}

impl AttestationRevoke {
    /// The operation; none when there is no such attestation in the namespace.
    #[must_use]
    pub fn resolve(snapshot: &Snapshot, namespace: &Namespace, id: &AttestationId) -> Option<Self> {
        let record = snapshot.attestation(id)?;
        (namespace_of(snapshot, &record.actor) == Some(namespace)).then(|| Self {
            record: Arc::clone(record),
            namespace: namespace.clone(),
        })
    }

    /// Revokes the attestation of the permit; doing it again changes nothing. The sessions
    /// that were started under it are over, and its process attests no more: another one,
    /// with another key, may.
    ///
    /// # Errors
    /// [`IdentityError::NoAttestation`] when it was forgotten meanwhile.
    pub fn run(batch: &mut RecordedBatch<'_, Self>, now: Timestamp) -> Result<(), IdentityError> {
        // A full disk must not keep anyone from taking authority away.
        batch.reserved();
        let id = batch.op().record.id;
        let record = batch
            .directory()
            .attestation(&id)
            .ok_or(IdentityError::NoAttestation)?
            .as_ref()
            .clone();
        batch.details().attested = Some(Attested {
            id,
            grade: record.grade,
        });
        if record.revoked.is_none() {
            batch.put_attestation(&AttestationRecord {
                revoked: Some(now),
                ..record
            });
        }
        Ok(())
    }
}

/// A device of an agent of a namespace; none of another one, or of an operator.
fn agent_device(
    snapshot: &Snapshot,
    namespace: &Namespace,
    device: &Thumbprint,
) -> Option<ActorId> {
    let actor = snapshot.device(device)?.actor;
    (namespace_of(snapshot, &actor) == Some(namespace)).then_some(actor)
}
