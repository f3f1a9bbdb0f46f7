//! API keys: devices of an operator that do a fixed part of what the operator may do, and
//! nothing without the token that was made with them (ADR 45).
//!
//! A device is bound for good: as long as its record stands, and no record goes, it acts as
//! that key or not at all.

use crate::record::DeviceRecord;
use crate::snapshot::Snapshot;
use crate::token::TokenHash;
use procura_types::{ActorId, Label, Namespace, Scope, Thumbprint, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::sync::Arc;

/// An API key. Whether it was revoked, its device says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiKeyRecord {
    /// The device that it is, and the only one that it opens anything for.
    pub device: Thumbprint,
    /// The operator whose it is.
    pub actor: ActorId,
    /// The device of theirs that it was made with, and without which it does nothing: what
    /// whoever stole that let in must not outlive it.
    pub made_with: Thumbprint,
    /// What they call it.
    pub name: Label,
    /// What is kept of its token.
    pub hash: TokenHash,
    /// What it may do, in the words of the record; sorted, without duplicates.
    pub actions: Vec<String>,
    /// Where; sorted, without duplicates.
    pub namespaces: Vec<Namespace>,
    /// Whether it may do so also what is about the installation and no namespace.
    pub installation: bool,
    /// When it was made.
    pub created: Timestamp,
    /// From when on it does nothing.
    pub until: Timestamp,
}

/// Why an API key opens nothing, as the caller is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum ApiKeyRefusal {
    /// The device is bound to one, and does not show its token.
    #[error("api_key_missing")]
    Missing,
    /// There is no such token.
    #[error("api_key_unknown")]
    Unknown,
    /// Another device shows it than its own.
    #[error("api_key_device")]
    Device,
    /// The device that it was made with may not act: it is revoked, or on hold.
    #[error("api_key_maker")]
    Maker,
    /// It is over.
    #[error("api_key_expired")]
    Expired,
    /// It is not for this, or not there.
    #[error("api_key_scope")]
    Scope,
}

impl ApiKeyRefusal {
    /// The word in answers and in the record.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Missing => "api_key_missing",
            Self::Unknown => "api_key_unknown",
            Self::Device => "api_key_device",
            Self::Maker => "api_key_maker",
            Self::Expired => "api_key_expired",
            Self::Scope => "api_key_scope",
        }
    }
}

/// The records of a snapshot. Few, and changed seldom.
#[derive(Clone, Default)]
pub(crate) struct ApiKeys {
    records: HashMap<Thumbprint, Arc<ApiKeyRecord>>,
    of: HashMap<ActorId, Vec<Thumbprint>>,
    hashes: HashMap<TokenHash, Thumbprint>,
}

impl ApiKeys {
    pub(crate) fn put(&mut self, record: ApiKeyRecord) {
        let of = self.of.entry(record.actor).or_default();
        if !of.contains(&record.device) {
            of.push(record.device);
        }
        self.hashes.insert(record.hash, record.device);
        self.records.insert(record.device, Arc::new(record));
    }
}

impl Snapshot {
    /// The API key that a device is bound to, whatever became of it.
    #[must_use]
    pub fn api_key(&self, device: &Thumbprint) -> Option<&Arc<ApiKeyRecord>> {
        self.api_keys().records.get(device)
    }

    /// The API keys of an operator, in the order in which they came, those that are over too.
    pub fn api_keys_of(&self, actor: &ActorId) -> impl Iterator<Item = &Arc<ApiKeyRecord>> {
        self.api_keys()
            .of
            .get(actor)
            .into_iter()
            .flat_map(|devices| devices.iter())
            .filter_map(|device| self.api_key(device))
    }

    /// The devices of an operator that are theirs in person: not revoked, and not an API
    /// key's. What stops one of these stops what was signed in or said yes to by other means;
    /// the device of a key sets none of that, and has no say over its operator.
    pub fn devices_in_person(&self, actor: &ActorId) -> impl Iterator<Item = &Arc<DeviceRecord>> {
        self.devices_of(actor).filter(move |device| {
            device.revoked.is_none() && self.api_key(&device.thumbprint).is_none()
        })
    }

    /// Whether nothing that an API key hangs on took back what this device may do: its maker's
    /// device acts, and the key is not over. So it is of every device that is bound to none.
    #[must_use]
    pub fn api_key_stands(&self, device: &Thumbprint, now: Timestamp) -> bool {
        self.api_key(device)
            .is_none_or(|key| self.may_act(&key.made_with) && now < key.until)
    }

    /// Whether what a caller shows lets its device do this there: of one that is bound to no
    /// key, that it shows none. Device, actor and roles are looked at by whoever decides.
    ///
    /// # Errors
    /// The first thing that does not hold, in the order of [`ApiKeyRefusal`].
    pub fn api_key_lets(
        &self,
        device: Option<&Thumbprint>,
        shown: Option<&TokenHash>,
        action: &str,
        scope: &Scope,
        now: Timestamp,
    ) -> Result<(), ApiKeyRefusal> {
        let keys = self.api_keys();
        let of_other = |hash: &TokenHash| match keys.hashes.get(hash) {
            Some(_) => ApiKeyRefusal::Device,
            None => ApiKeyRefusal::Unknown,
        };
        let bound = device.and_then(|device| keys.records.get(device));
        let key = match (bound, shown) {
            (None, None) => return Ok(()),
            (None, Some(hash)) => return Err(of_other(hash)),
            (Some(_), None) => return Err(ApiKeyRefusal::Missing),
            (Some(key), Some(hash)) if key.hash == *hash => key,
            (Some(_), Some(hash)) => return Err(of_other(hash)),
        };
        if !self.may_act(&key.made_with) {
            return Err(ApiKeyRefusal::Maker);
        }
        if now >= key.until {
            return Err(ApiKeyRefusal::Expired);
        }
        let here = match scope {
            Scope::Installation => key.installation,
            Scope::Namespace(namespace) => key.namespaces.contains(namespace),
        };
        if here && key.actions.iter().any(|listed| listed == action) {
            Ok(())
        } else {
            Err(ApiKeyRefusal::Scope)
        }
    }
}
