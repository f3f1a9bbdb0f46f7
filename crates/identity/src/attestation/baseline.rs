//! Baselines: how the host of a device has to have started for the quotes of its TPM to
//! count. A person accepts what a TPM said once, by the digest that they looked at.

use super::agent_device;
use crate::error::IdentityError;
use procura_directory::{BaselineRecord, Snapshot};
use procura_policy::{Action, Op, Resource};
use procura_record::RecordedBatch;
use procura_types::wire::Baseline;
use procura_types::{AttestationId, ExeDigest, Namespace, Thumbprint, Timestamp};

/// Accepts how the host of a device has started. Made by [`BaselineSet::resolve`].
pub struct BaselineSet {
    namespace: Namespace,
    device: Thumbprint,
    attestation: AttestationId,
    pcr_digest: ExeDigest,
}

impl Op for BaselineSet {
    const ACTION: Action = Action::BaselineSet;
    fn resource(&self) -> Resource {
        Resource::Device(Some(self.namespace.clone()), self.device)
    }
}

impl BaselineSet {
    /// The operation; none when there is no such device of an agent of the namespace.
    #[must_use]
    pub fn resolve(
        snapshot: &Snapshot,
        namespace: &Namespace,
        device: &Thumbprint,
        attestation: AttestationId,
        pcr_digest: ExeDigest,
    ) -> Option<Self> {
        agent_device(snapshot, namespace, device).map(|_| Self {
            namespace: namespace.clone(),
            device: *device,
            attestation,
            pcr_digest,
        })
    }

    /// Accepts what the TPM said in the attestation of the permit.
    ///
    /// # Errors
    /// [`IdentityError::NoAttestation`] when there is none, of this device and with a quote;
    /// [`IdentityError::OtherQuote`] when its digest is another than the one that was
    /// looked at.
    pub fn run(
        batch: &mut RecordedBatch<'_, Self>,
        now: Timestamp,
    ) -> Result<Baseline, IdentityError> {
        let op = batch.op();
        let seen = batch
            .directory()
            .attestation(&op.attestation)
            // What a chip said yesterday is not what is looked at today.
            .filter(|record| record.device == op.device && now < record.until)
            .filter(|record| record.revoked.is_none())
            .and_then(|record| record.quote.clone())
            .ok_or(IdentityError::NoAttestation)?;
        if seen.pcr_digest != op.pcr_digest {
            return Err(IdentityError::OtherQuote);
        }
        let record = BaselineRecord {
            device: op.device,
            ek_sha256: seen.ek_sha256,
            ak_sha256: seen.ak_sha256,
            pcrs: seen.pcrs,
            pcr_digest: seen.pcr_digest,
            since: now,
            by: *batch.permit().caller().actor(),
            removed: None,
        };
        batch.details().with = Some(format!(
            "ek:{} ak:{} pcrs:{}={}",
            record.ek_sha256,
            record.ak_sha256,
            listed(&record.pcrs),
            record.pcr_digest
        ));
        batch.put_baseline(&record);
        Ok(super::render_baseline(&record))
    }
}

fn listed(pcrs: &[u8]) -> String {
    let pcrs: Vec<String> = pcrs.iter().map(u8::to_string).collect();
    pcrs.join(",")
}

/// Accepts no more how the host of a device has started. Made by
/// [`BaselineRemove::resolve`].
pub struct BaselineRemove {
    namespace: Namespace,
    device: Thumbprint,
}

impl Op for BaselineRemove {
    const ACTION: Action = Action::BaselineRemove;
    fn resource(&self) -> Resource {
        Resource::Device(Some(self.namespace.clone()), self.device)
    }
}

impl BaselineRemove {
    /// The operation; none when there is no such device of an agent of the namespace.
    #[must_use]
    pub fn resolve(
        snapshot: &Snapshot,
        namespace: &Namespace,
        device: &Thumbprint,
    ) -> Option<Self> {
        agent_device(snapshot, namespace, device).map(|_| Self {
            namespace: namespace.clone(),
            device: *device,
        })
    }

    /// Removes the baseline of the permit: what was quoted by it counts no more, at once.
    ///
    /// # Errors
    /// [`IdentityError::NoBaseline`].
    pub fn run(batch: &mut RecordedBatch<'_, Self>, now: Timestamp) -> Result<(), IdentityError> {
        // A full disk must not keep anyone from taking authority away.
        batch.reserved();
        let device = batch.op().device;
        let record = batch
            .directory()
            .baseline(&device)
            .filter(|record| record.removed.is_none())
            .ok_or(IdentityError::NoBaseline)?
            .as_ref()
            .clone();
        batch.put_baseline(&BaselineRecord {
            removed: Some(now),
            ..record
        });
        Ok(())
    }
}
