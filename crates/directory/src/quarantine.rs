//! What is kept from acting until a person lets it: devices, and ids of other systems
//! that have no device, which touched a decoy.

use crate::shard::ShardMap;
use crate::snapshot::Snapshot;
use procura_types::{ActorId, CanaryId, ForeignId, Thumbprint, Timestamp};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::Arc;

/// What can be put into quarantine: what a proof proves.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Suspect {
    /// A device.
    Device(Thumbprint),
    /// An id of another system whose key is no device of ours.
    Foreign(ForeignId),
}

impl Suspect {
    /// What a caller proved, who has a device or else an id of another system.
    #[must_use]
    pub fn of(device: Option<&Thumbprint>, id: Option<&ForeignId>) -> Option<Self> {
        device
            .map(|device| Self::Device(*device))
            .or_else(|| id.map(|id| Self::Foreign(id.clone())))
    }

    /// The device, if it is one.
    #[must_use]
    pub const fn device(&self) -> Option<Thumbprint> {
        match self {
            Self::Device(device) => Some(*device),
            Self::Foreign(_) => None,
        }
    }

    /// The id, if it is one.
    #[must_use]
    pub const fn foreign(&self) -> Option<&ForeignId> {
        match self {
            Self::Device(_) => None,
            Self::Foreign(id) => Some(id),
        }
    }
}

impl fmt::Display for Suspect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Device(device) => write!(f, "device/{device}"),
            Self::Foreign(id) => write!(f, "foreign/{id}"),
        }
    }
}

/// That something was put into quarantine, and whether it still is. The record stays
/// when it is let out, and says what does not count any more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuarantineRecord {
    /// What.
    pub suspect: Suspect,
    /// Whose it is.
    pub actor: ActorId,
    /// Since when; of the last time.
    pub since: Timestamp,
    /// The steward who put it on hold. Without one it touched a decoy. Gates are not told:
    /// they let neither in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<ActorId>,
    /// The decoy that was touched. Gates are not told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub canary: Option<CanaryId>,
    /// The sequence of the directory at which it was let out: sessions and tokens that
    /// were given to it at that state or before count no more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lifted: Option<u64>,
    /// When that was, by the server's clock. Gates are not told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lifted_at: Option<Timestamp>,
}

/// The records of a snapshot.
#[derive(Clone)]
pub(crate) struct Quarantines {
    records: ShardMap<Suspect, QuarantineRecord>,
    /// Whether there is any: there is none in almost every installation, and then no
    /// request looks further.
    any: bool,
}

impl Default for Quarantines {
    fn default() -> Self {
        Self {
            records: ShardMap::new(),
            any: false,
        }
    }
}

impl Quarantines {
    pub(crate) fn put(&mut self, record: QuarantineRecord) {
        self.any = true;
        self.records.insert(record.suspect.clone(), record);
    }
}

impl Snapshot {
    /// What is known of the quarantine of something, over or not.
    #[must_use]
    pub fn quarantine(&self, suspect: &Suspect) -> Option<&Arc<QuarantineRecord>> {
        self.quarantines().records.get(suspect)
    }

    /// All that were ever put into quarantine, in no order.
    pub fn all_quarantines(&self) -> impl Iterator<Item = &Arc<QuarantineRecord>> {
        self.quarantines().records.values()
    }

    /// Whether this is in quarantine now.
    #[must_use]
    pub fn is_held(&self, suspect: &Suspect) -> bool {
        self.quarantine(suspect)
            .is_some_and(|record| record.lifted.is_none())
    }

    /// Whether what a caller proved is in quarantine now: a device, or without one the
    /// id of another system.
    #[must_use]
    pub fn is_quarantined(&self, device: Option<&Thumbprint>, id: Option<&ForeignId>) -> bool {
        self.quarantines().any
            && Suspect::of(device, id).is_some_and(|suspect| self.is_held(&suspect))
    }

    /// Whether a person has let this out since the directory was at the sequence `seq`: what
    /// it did at that state or before keeps it from nothing any more.
    #[must_use]
    pub fn was_let_out_since(&self, suspect: &Suspect, seq: u64) -> bool {
        self.quarantine(suspect)
            .and_then(|record| record.lifted)
            .is_some_and(|lifted| seq <= lifted)
    }

    /// Who put this device on hold, if it is on hold now: it may do nothing but say yes or
    /// no to what is proposed to stewards.
    #[must_use]
    pub fn on_hold(&self, device: &Thumbprint) -> Option<ActorId> {
        self.quarantine(&Suspect::Device(*device))
            .filter(|record| record.lifted.is_none())
            .and_then(|record| record.by)
    }

    /// Whether this device may act: it is known, neither it nor any actor above it is
    /// revoked, and it is not in quarantine.
    #[must_use]
    pub fn may_act(&self, device: &Thumbprint) -> bool {
        self.device(device)
            .is_some_and(|found| found.revoked.is_none() && self.is_active(&found.actor))
            && !self.is_quarantined(Some(device), None)
    }

    /// Whether what was given to this device at the state `seq` of the directory (a
    /// session, a token) is from before it was let out of quarantine: then it counts no
    /// more, also now that the device may act again.
    #[must_use]
    pub fn is_outlived(&self, device: &Thumbprint, seq: u64) -> bool {
        self.quarantines().any
            && self
                .quarantine(&Suspect::Device(*device))
                .is_some_and(|record| record.lifted.is_none_or(|lifted| seq <= lifted))
    }
}
