//! Who exists and what was granted: immutable records, and snapshots of all of
//! them with a sequence number. No I/O: `record` feeds it from the store.
//!
//! Authenticating and authorizing read a [`Snapshot`] and nothing else, so a
//! decision touches no database. A revoked record stays: it is its own
//! tombstone, and nothing brings it back.

mod record;
mod shard;
mod snapshot;

pub use record::{
    ActorKind, ActorRecord, Change, DeviceRecord, ForeignRecord, GrantRecord, NamespaceRecord,
    RolesRecord,
};
pub use snapshot::Snapshot;
