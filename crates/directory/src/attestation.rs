//! What daemons attested of their processes, what vouches for it, and whether it still
//! counts (ADR 39).

use crate::shard::ShardMap;
use crate::snapshot::{Snapshot, index};
use procura_crypto::PublicKey;
use procura_types::wire::QuoteSeen;
use procura_types::{ActorId, AttestationId, BuildWord, ExeDigest, Grade, Thumbprint, Timestamp};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// What one process of a daemon attested of itself. Renewing it is another record of the
/// same id; revoked it never counts again, nor does its key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttestationRecord {
    /// Follows from device and key.
    pub id: AttestationId,
    /// The device that sent it.
    pub device: Thumbprint,
    /// Whose device that is.
    pub actor: ActorId,
    /// The key of the process.
    pub key: PublicKey,
    /// The program, in the words of the process.
    pub exe_sha256: ExeDigest,
    /// Its version, in the words of the process.
    pub version: BuildWord,
    /// What it is built for, in the words of the process.
    pub target: BuildWord,
    /// The process.
    pub pid: u32,
    /// The boot of its machine.
    pub boot_id: BuildWord,
    /// How good it was when it was made or renewed last.
    pub grade: Grade,
    /// What a TPM said of the host then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quote: Option<QuoteSeen>,
    /// When it was made.
    pub made: Timestamp,
    /// When it was renewed last.
    pub renewed: Timestamp,
    /// Until when it counts unless it is renewed.
    pub until: Timestamp,
    /// When it was revoked; never undone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked: Option<Timestamp>,
}

/// A key that signs releases.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReleaseKeyRecord {
    /// Its name, under which it signs notes.
    pub name: String,
    /// The key.
    pub key: PublicKey,
    /// When it was enrolled.
    pub added: Timestamp,
    /// Who enrolled it.
    pub by: ActorId,
    /// When it was removed: from then on it vouches for nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub removed: Option<Timestamp>,
}

/// A program that a release key vouches for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReleaseRecord {
    /// The SHA-256 of the program.
    pub sha256: ExeDigest,
    /// Its version.
    pub version: BuildWord,
    /// What it is built for.
    pub target: BuildWord,
    /// The key that signed it.
    pub key: Thumbprint,
    /// When it was added.
    pub added: Timestamp,
    /// When it was withdrawn; never undone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub withdrawn: Option<Timestamp>,
}

/// How the host of a device has to have started for the quotes of its TPM to count.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BaselineRecord {
    /// The device.
    pub device: Thumbprint,
    /// The chip, by its endorsement key.
    pub ek_sha256: ExeDigest,
    /// The key that signs its quotes.
    pub ak_sha256: ExeDigest,
    /// The registers.
    pub pcrs: Vec<u8>,
    /// What has to be in them.
    pub pcr_digest: ExeDigest,
    /// Since when.
    pub since: Timestamp,
    /// Who accepted it.
    pub by: ActorId,
    /// When it was removed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub removed: Option<Timestamp>,
}

impl BaselineRecord {
    /// Whether a quote is of this chip, by this key, and of a host that started so.
    #[must_use]
    pub fn is_met(&self, seen: &QuoteSeen) -> bool {
        self.removed.is_none()
            && self.ek_sha256 == seen.ek_sha256
            && self.ak_sha256 == seen.ak_sha256
            && self.pcrs == seen.pcrs
            && self.pcr_digest == seen.pcr_digest
    }
}

/// Why an attestation does not count, as the caller is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum AttestationOver {
    /// There is no such attestation, or it is of another device.
    #[error("attestation_unknown")]
    Unknown,
    /// It was revoked.
    #[error("attestation_revoked")]
    Revoked,
    /// It was not renewed in time.
    #[error("attestation_expired")]
    Expired,
    /// The digest of its program was withdrawn, or the key that signed it was removed.
    #[error("digest_withdrawn")]
    Withdrawn,
    /// The baseline that its quote met is another now.
    #[error("baseline_changed")]
    Baseline,
}

impl AttestationOver {
    /// The word in answers and in the record.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "attestation_unknown",
            Self::Revoked => "attestation_revoked",
            Self::Expired => "attestation_expired",
            Self::Withdrawn => "digest_withdrawn",
            Self::Baseline => "baseline_changed",
        }
    }
}

/// The records of a snapshot.
#[derive(Clone)]
pub(crate) struct Attestations {
    records: ShardMap<AttestationId, AttestationRecord>,
    of_device: ShardMap<Thumbprint, Vec<AttestationId>>,
    keys: ShardMap<Thumbprint, ReleaseKeyRecord>,
    releases: ShardMap<ExeDigest, ReleaseRecord>,
    baselines: ShardMap<Thumbprint, BaselineRecord>,
}

impl Default for Attestations {
    fn default() -> Self {
        Self {
            records: ShardMap::new(),
            of_device: ShardMap::new(),
            keys: ShardMap::new(),
            releases: ShardMap::new(),
            baselines: ShardMap::new(),
        }
    }
}

impl Attestations {
    pub(crate) fn put(&mut self, record: AttestationRecord) {
        index(&mut self.of_device, record.device, record.id);
        self.records.insert(record.id, record);
    }

    pub(crate) fn forget(&mut self, id: &AttestationId) {
        let Some(record) = self.records.remove(id) else {
            return;
        };
        let mut left = self
            .of_device
            .remove(&record.device)
            .map_or_else(Vec::new, |list| list.as_ref().clone());
        left.retain(|other| other != id);
        if !left.is_empty() {
            self.of_device.insert(record.device, left);
        }
    }

    pub(crate) fn put_key(&mut self, record: ReleaseKeyRecord) {
        self.keys.insert(record.key.thumbprint(), record);
    }

    pub(crate) fn put_release(&mut self, record: ReleaseRecord) {
        self.releases.insert(record.sha256, record);
    }

    pub(crate) fn put_baseline(&mut self, record: BaselineRecord) {
        self.baselines.insert(record.device, record);
    }
}

impl Snapshot {
    /// An attestation, whether it counts or not.
    #[must_use]
    pub fn attestation(&self, id: &AttestationId) -> Option<&Arc<AttestationRecord>> {
        self.attestations().records.get(id)
    }

    /// All attestations that are remembered, in no order.
    pub fn all_attestations(&self) -> impl Iterator<Item = &Arc<AttestationRecord>> {
        self.attestations().records.values()
    }

    /// Those of a device, in the order in which they were made.
    pub fn attestations_of(
        &self,
        device: &Thumbprint,
    ) -> impl Iterator<Item = &Arc<AttestationRecord>> {
        self.attestations()
            .of_device
            .get(device)
            .into_iter()
            .flat_map(|list| list.iter())
            .filter_map(|id| self.attestations().records.get(id))
    }

    /// A key that signs releases, removed or not.
    #[must_use]
    pub fn release_key(&self, key: &Thumbprint) -> Option<&Arc<ReleaseKeyRecord>> {
        self.attestations().keys.get(key)
    }

    /// All keys that sign releases, removed ones too, in no order.
    pub fn release_keys(&self) -> impl Iterator<Item = &Arc<ReleaseKeyRecord>> {
        self.attestations().keys.values()
    }

    /// What is known of a program, withdrawn or not.
    #[must_use]
    pub fn release(&self, sha256: &ExeDigest) -> Option<&Arc<ReleaseRecord>> {
        self.attestations().releases.get(sha256)
    }

    /// All programs that were ever vouched for, in no order.
    pub fn releases(&self) -> impl Iterator<Item = &Arc<ReleaseRecord>> {
        self.attestations().releases.values()
    }

    /// Whether somebody vouches for a program now: it was not withdrawn, and the key that
    /// signed it was not removed.
    #[must_use]
    pub fn is_vouched_for(&self, release: &ReleaseRecord) -> bool {
        release.withdrawn.is_none()
            && self
                .release_key(&release.key)
                .is_some_and(|key| key.removed.is_none())
    }

    /// The baseline of the host of a device, removed or not.
    #[must_use]
    pub fn baseline(&self, device: &Thumbprint) -> Option<&Arc<BaselineRecord>> {
        self.attestations().baselines.get(device)
    }

    /// What an attestation counts as at `now`: what it rests on is looked at each time, so
    /// that taking it away stops what was attested by it at once. Whether its device may
    /// act is looked at by whoever decides.
    ///
    /// # Errors
    /// The first thing that does not hold, in the order of [`AttestationOver`].
    pub fn attested(&self, id: &AttestationId, now: Timestamp) -> Result<Grade, AttestationOver> {
        let record = self.attestation(id).ok_or(AttestationOver::Unknown)?;
        self.stands(record, now)
    }

    /// The same of a record.
    ///
    /// # Errors
    /// As [`Self::attested`].
    pub fn stands(
        &self,
        record: &AttestationRecord,
        now: Timestamp,
    ) -> Result<Grade, AttestationOver> {
        if record.revoked.is_some() {
            return Err(AttestationOver::Revoked);
        }
        if now >= record.until {
            return Err(AttestationOver::Expired);
        }
        let release = self.release(&record.exe_sha256);
        let is_withdrawn = release.is_some_and(|release| release.withdrawn.is_some());
        let is_vouched = release.is_some_and(|release| self.is_vouched_for(release));
        if is_withdrawn || (record.grade >= Grade::SignedRelease && !is_vouched) {
            return Err(AttestationOver::Withdrawn);
        }
        let is_met = || {
            let baseline = self.baseline(&record.device);
            baseline
                .zip(record.quote.as_ref())
                .is_some_and(|(baseline, seen)| baseline.is_met(seen))
        };
        if record.grade >= Grade::Quoted && !is_met() {
            return Err(AttestationOver::Baseline);
        }
        Ok(record.grade)
    }
}
