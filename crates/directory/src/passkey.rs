//! Passkeys of operators, as they are decided on: with one a person signs in to the pages
//! and says yes there. How often one was used lies elsewhere, as it changes with each use.

use crate::shard::ShardMap;
use crate::snapshot::{Snapshot, index};
use procura_crypto::PublicKey;
use procura_types::{ActorId, DisplayName, Thumbprint, Timestamp};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// A passkey of an operator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PasskeyRecord {
    /// RFC 7638 thumbprint of the key: by what it is named.
    pub id: Thumbprint,
    /// The owner who has it.
    pub actor: ActorId,
    /// What its owner calls it. Nothing is decided by it.
    pub name: DisplayName,
    /// The public key, of P-256.
    pub key: PublicKey,
    /// By what browsers name it.
    #[serde(with = "procura_types::encoding::serde_b64url")]
    pub credential_id: Vec<u8>,
    /// The id of the relying party that it answers for.
    pub relying_party: String,
    /// How a browser reaches it, by its own words. Nothing is decided by them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub transports: Vec<String>,
    /// Whether it may be copied; never changes.
    pub backup_eligible: bool,
    /// The device of its owner that vouches for it: whose code let it in, or the one that
    /// vouches for the passkey whose code did. It does not outlive that device.
    pub vouched_by: Thumbprint,
    /// When it was enrolled.
    pub created: Timestamp,
    /// When it was removed; never undone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub removed: Option<Timestamp>,
}

/// The records of a snapshot.
#[derive(Clone)]
pub(crate) struct Passkeys {
    records: ShardMap<Thumbprint, PasskeyRecord>,
    of: ShardMap<ActorId, Vec<Thumbprint>>,
    by_credential: ShardMap<Vec<u8>, Thumbprint>,
}

impl Default for Passkeys {
    fn default() -> Self {
        Self {
            records: ShardMap::new(),
            of: ShardMap::new(),
            by_credential: ShardMap::new(),
        }
    }
}

impl Passkeys {
    pub(crate) fn put(&mut self, record: PasskeyRecord) {
        index(&mut self.of, record.actor, record.id);
        self.by_credential
            .insert(record.credential_id.clone(), record.id);
        self.records.insert(record.id, record);
    }
}

impl Snapshot {
    /// A passkey, removed or not.
    #[must_use]
    pub fn passkey(&self, id: &Thumbprint) -> Option<&Arc<PasskeyRecord>> {
        self.passkeys().records.get(id)
    }

    /// The passkey that browsers name so, removed or not.
    #[must_use]
    pub fn passkey_named(&self, credential_id: &[u8]) -> Option<&Arc<PasskeyRecord>> {
        self.passkey(self.passkeys().by_credential.get(credential_id)?.as_ref())
    }

    /// The passkeys of an owner, in the order in which they were enrolled, removed ones
    /// too.
    pub fn passkeys_of(&self, actor: &ActorId) -> impl Iterator<Item = &Arc<PasskeyRecord>> {
        self.passkeys()
            .of
            .get(actor)
            .into_iter()
            .flat_map(|list| list.iter())
            .filter_map(|id| self.passkey(id))
    }

    /// Whether this passkey may act: it is known and not removed, neither its owner nor the
    /// device that vouches for it is revoked, and nothing holds it.
    #[must_use]
    pub fn passkey_may_act(&self, id: &Thumbprint) -> bool {
        let stands = |device: &Thumbprint| {
            self.device(device)
                .is_some_and(|device| device.revoked.is_none())
        };
        self.passkey(id).is_some_and(|found| {
            found.removed.is_none() && self.is_active(&found.actor) && stands(&found.vouched_by)
        }) && !self.is_quarantined(Some(id), None)
    }

    /// Whether what was said yes to by this passkey may come in now: it may act, and nothing
    /// stops a device of its owner's, since whoever stole that one may have enrolled it.
    #[must_use]
    pub fn passkey_lets_in(&self, id: &Thumbprint) -> bool {
        let stops = |actor: &ActorId| {
            self.devices_in_person(actor)
                .any(|device| self.is_quarantined(Some(&device.thumbprint), None))
        };
        self.passkey_may_act(id) && self.passkey(id).is_some_and(|found| !stops(&found.actor))
    }
}
