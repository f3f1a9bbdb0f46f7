//! From a feed (`protocol.md` §3.4) to what is known: records of the directory, and
//! keys in locked memory.

use procura_crypto::{LockError, LockedKey, PublicKey};
use procura_directory::{
    ActorKind, ActorRecord, Change, DeviceRecord, ForeignRecord, QuarantineRecord, Suspect,
};
use procura_types::wire::{
    Feed, FeedActor, FeedActorKind, FeedDevice, FeedForeign, FeedKey, FeedQuarantine,
};
use procura_types::{Namespace, Secret};
use std::collections::BTreeMap;

/// A feed that is not taken in.
#[derive(Debug, thiserror::Error)]
pub enum FeedFault {
    /// It leads to an older state than one that was known.
    #[error(
        "the server's directory is at {offered} and was at {known}: it was put back to an older state"
    )]
    RolledBack {
        /// The highest that was known.
        known: u64,
        /// Of this feed.
        offered: u64,
    },
    /// It says what changed, and nothing is known that could have changed.
    #[error("it only says what changed")]
    NoBase,
    /// A key in it is none, or not the one that it is named by.
    #[error("the key of {0} cannot be used")]
    Key(String),
    /// No locked memory for the keys of sessions.
    #[error(transparent)]
    Memory(#[from] LockError),
}

/// The records of a feed, about a namespace.
pub(crate) fn changes(feed: &Feed, namespace: &Namespace) -> Result<Vec<Change>, FeedFault> {
    let actors = feed.actors.iter().map(|one| actor(namespace, one));
    let devices = feed.devices.iter().map(device);
    let foreign = feed.foreign.iter().map(|bound| Ok(foreign(bound)));
    let quarantined = feed.quarantined.iter().map(quarantine);
    actors
        .chain(devices)
        .chain(foreign)
        .chain(quarantined.flatten().map(Ok))
        .collect()
}

/// The keys of sessions in a feed, by epoch.
pub(crate) fn keys(feed: &Feed) -> Result<BTreeMap<u32, LockedKey>, FeedFault> {
    feed.keys.iter().map(key).collect()
}

fn actor(namespace: &Namespace, actor: &FeedActor) -> Result<Change, FeedFault> {
    let kind = match &actor.kind {
        FeedActorKind::Owner { alg, root_key } => ActorKind::Owner {
            name: actor.label.clone(),
            alg: *alg,
            root_key: PublicKey::from_jwk(root_key)
                .map_err(|_| FeedFault::Key(actor.label.to_string()))?,
        },
        FeedActorKind::Agent {
            parent,
            incarnation,
        } => ActorKind::Agent {
            parent: *parent,
            namespace: namespace.clone(),
            label: actor.label.clone(),
            incarnation: *incarnation,
        },
    };
    Ok(Change::Actor(ActorRecord {
        id: actor.id,
        kind,
        owner: actor.owner,
        created: actor.created,
        revoked: actor.revoked,
        sources: actor.sources.clone(),
        display_name: None,
    }))
}

fn device(device: &FeedDevice) -> Result<Change, FeedFault> {
    let wrong = || FeedFault::Key(device.thumbprint.to_string());
    let key = PublicKey::from_jwk(&device.key).map_err(|_| wrong())?;
    if key.thumbprint() != device.thumbprint {
        return Err(wrong());
    }
    Ok(Change::Device(DeviceRecord {
        thumbprint: device.thumbprint,
        actor: device.actor,
        key,
        created: device.created,
        revoked: device.revoked,
    }))
}

fn foreign(bound: &FeedForeign) -> Change {
    Change::Foreign(ForeignRecord {
        id: bound.id.clone(),
        actor: bound.actor,
        device: bound.device,
        created: bound.created,
        released: bound.released,
    })
}

/// None for one that names nothing.
fn quarantine(record: &FeedQuarantine) -> Option<Change> {
    Some(Change::Quarantine(QuarantineRecord {
        suspect: Suspect::of(record.device.as_ref(), record.id.as_ref())?,
        actor: record.actor,
        since: record.since,
        by: None,
        canary: None,
        lifted: record.lifted,
        lifted_at: None,
    }))
}

fn key(key: &FeedKey) -> Result<(u32, LockedKey), FeedFault> {
    let wrong = || FeedFault::Key(format!("epoch {}", key.epoch));
    let bytes = key.key.decode().map_err(|_| wrong())?;
    let mut held = Secret::new([0; 32]);
    if bytes.expose().len() != held.expose().len() {
        return Err(wrong());
    }
    held.expose_mut().copy_from_slice(bytes.expose());
    Ok((key.epoch, LockedKey::new(held)?))
}
