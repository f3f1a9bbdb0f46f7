//! Decoys, as they are decided on. Where they lie is in memory, so that nobody who asks
//! for one waits for longer than for what is not there.

use crate::shard::ShardMap;
use crate::snapshot::{Snapshot, index};
use procura_types::{
    ActorId, CanaryId, EnvName, HoneyMode, HoneyShape, Namespace, SecretKind, SecretPath, Tags,
    Timestamp,
};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// A decoy. Its value lies elsewhere; here is what it takes to know it again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HoneyRecord {
    /// By what it is named in the record.
    pub canary: CanaryId,
    /// Where it lies.
    pub namespace: Namespace,
    /// Where in it.
    pub path: SecretPath,
    /// What whoever asks for it is answered.
    pub mode: HoneyMode,
    /// What it looks like, if it was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shape: Option<HoneyShape>,
    /// As of other secrets.
    #[serde(default, skip_serializing_if = "SecretKind::is_default")]
    pub kind: SecretKind,
    /// As of other secrets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub env: Option<EnvName>,
    /// As of other secrets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// As of other secrets.
    #[serde(default, skip_serializing_if = "Tags::is_empty")]
    pub tags: Tags,
    /// When it was planted.
    pub planted: Timestamp,
    /// By whom.
    pub by: ActorId,
    /// 32 random bytes, the key of `marks`.
    #[serde(with = "procura_types::encoding::serde_b64url")]
    pub salt: Vec<u8>,
    /// Keyed hashes of the value and of its parts, by which it is known again.
    pub marks: Vec<Mark>,
    /// Bytes of the value: a quota counts them as of a secret.
    #[serde(default)]
    pub size: u64,
    /// When it was removed. It can still be known again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub removed: Option<Timestamp>,
}

impl HoneyRecord {
    /// The version that it seems to have.
    pub const VERSION: u64 = 1;
}

/// A keyed hash of a value or a part of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Mark([u8; 32]);

impl Mark {
    /// The hash.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl TryFrom<String> for Mark {
    type Error = procura_types::Malformed;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        procura_types::encoding::from_b64url_fixed("mark", &text).map(Self)
    }
}

impl From<Mark> for String {
    fn from(mark: Mark) -> Self {
        procura_types::encoding::b64url(&mark.0)
    }
}

/// The records of a snapshot.
#[derive(Clone)]
pub(crate) struct HoneyRecords {
    records: ShardMap<CanaryId, HoneyRecord>,
    of_namespace: ShardMap<Namespace, Vec<CanaryId>>,
    at: ShardMap<(Namespace, SecretPath), Vec<CanaryId>>,
    /// As `at`, of those that are handed out. Looked at by requests that found
    /// nothing, which must not meet those that are not.
    baits_at: ShardMap<(Namespace, SecretPath), Vec<CanaryId>>,
    declaring: ShardMap<(Namespace, EnvName), Vec<CanaryId>>,
    /// As `declaring`, of those that are handed out, for the reason of `baits_at`.
    baits_declaring: ShardMap<(Namespace, EnvName), Vec<CanaryId>>,
    /// Whether there is or was any, and any that is handed out.
    any: bool,
    any_bait: bool,
}

impl Default for HoneyRecords {
    fn default() -> Self {
        Self {
            records: ShardMap::new(),
            of_namespace: ShardMap::new(),
            at: ShardMap::new(),
            baits_at: ShardMap::new(),
            declaring: ShardMap::new(),
            baits_declaring: ShardMap::new(),
            any: false,
            any_bait: false,
        }
    }
}

impl HoneyRecords {
    pub(crate) fn put(&mut self, honey: HoneyRecord) {
        let (canary, namespace) = (honey.canary, &honey.namespace);
        let place = (namespace.clone(), honey.path.clone());
        self.any = true;
        self.any_bait |= honey.mode == HoneyMode::Bait;
        index(&mut self.of_namespace, namespace.clone(), canary);
        if honey.mode == HoneyMode::Bait {
            index(&mut self.baits_at, place.clone(), canary);
        }
        index(&mut self.at, place, canary);
        if let Some(env) = &honey.env {
            let name = (namespace.clone(), env.clone());
            if honey.mode == HoneyMode::Bait {
                index(&mut self.baits_declaring, name.clone(), canary);
            }
            index(&mut self.declaring, name, canary);
        }
        self.records.insert(canary, honey);
    }

    /// Of those that are or were somewhere, those that are not removed.
    fn live<'a>(
        &'a self,
        found: Option<&'a Arc<Vec<CanaryId>>>,
    ) -> impl Iterator<Item = &'a Arc<HoneyRecord>> {
        found
            .into_iter()
            .flat_map(|list| list.iter())
            .filter_map(|canary| self.records.get(canary))
            .filter(|honey| honey.removed.is_none())
    }
}

impl Snapshot {
    /// A decoy, removed or not.
    #[must_use]
    pub fn honey(&self, canary: &CanaryId) -> Option<&Arc<HoneyRecord>> {
        self.honey_records().records.get(canary)
    }

    /// All decoys, removed or not, in no order.
    pub fn all_honey(&self) -> impl Iterator<Item = &Arc<HoneyRecord>> {
        self.honey_records().records.values()
    }

    /// The decoys of a namespace, in no order.
    pub fn honey_of(&self, namespace: &Namespace) -> impl Iterator<Item = &Arc<HoneyRecord>> {
        let all = self.honey_records();
        all.live(all.of_namespace.get(namespace))
    }

    /// The decoy at a path.
    #[must_use]
    pub fn honey_at(&self, namespace: &Namespace, path: &SecretPath) -> Option<&Arc<HoneyRecord>> {
        let all = self.honey_records();
        let place = (namespace.clone(), path.clone());
        all.live(all.at.get(&place)).next()
    }

    /// The decoy at a path that is handed to whoever asks. To look for one takes the
    /// same where there is none and where there is one that is denied.
    #[must_use]
    pub fn bait_at(&self, namespace: &Namespace, path: &SecretPath) -> Option<&Arc<HoneyRecord>> {
        let all = self.honey_records();
        if !all.any_bait {
            return None;
        }
        let place = (namespace.clone(), path.clone());
        all.live(all.baits_at.get(&place)).next()
    }

    /// The decoys of a namespace that declare an environment name.
    pub fn honey_declaring(
        &self,
        namespace: &Namespace,
        env: &EnvName,
    ) -> impl Iterator<Item = &Arc<HoneyRecord>> {
        let all = self.honey_records();
        all.live(all.declaring.get(&(namespace.clone(), env.clone())))
    }

    /// Those of them that are handed to whoever asks. To look for one takes the same
    /// where there is none and where there is one that is denied.
    pub fn baits_declaring(
        &self,
        namespace: &Namespace,
        env: &EnvName,
    ) -> impl Iterator<Item = &Arc<HoneyRecord>> {
        let all = self.honey_records();
        all.live(all.baits_declaring.get(&(namespace.clone(), env.clone())))
    }

    /// Whether there is or was any decoy that is handed out, anywhere.
    #[must_use]
    pub const fn has_bait(&self) -> bool {
        self.honey_records().any_bait
    }

    /// Whether there is or was any decoy anywhere.
    #[must_use]
    pub const fn has_honey(&self) -> bool {
        self.honey_records().any
    }
}
