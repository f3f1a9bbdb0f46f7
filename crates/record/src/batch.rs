//! A change of state together with its entry.

use crate::entry::Details;
use crate::tables::{ACTORS, DEVICES, DIRECTORY_GUARD, FOREIGN, GRANTS, GUARD, NAMESPACES, ROLES};
use procura_directory::{
    ActorRecord, DeviceRecord, ForeignRecord, GrantRecord, NamespaceRecord, RolesRecord, Snapshot,
};
use procura_policy::{Op, Permit};
use procura_store::{Batch, Store};
use std::sync::Arc;

/// A change of state that cannot commit without its ledger entry, nor on a state
/// of the directory other than the one it was decided on.
pub struct RecordedBatch<'a, O: Op> {
    permit: &'a Permit<O>,
    snapshot: Arc<Snapshot>,
    store: &'a Store,
    batch: Batch,
    details: Details,
    changes_directory: bool,
}

impl<'a, O: Op> RecordedBatch<'a, O> {
    pub(crate) fn new(
        permit: &'a Permit<O>,
        snapshot: Arc<Snapshot>,
        store: &'a Store,
        batch: Batch,
    ) -> Self {
        Self {
            permit,
            snapshot,
            store,
            batch,
            details: Details::default(),
            changes_directory: false,
        }
    }

    pub(crate) fn into_parts(mut self) -> (Batch, Details) {
        if self.changes_directory {
            DIRECTORY_GUARD.put(&mut self.batch, &GUARD.to_owned(), &());
        }
        (self.batch, self.details)
    }

    /// The operation; the only source of targets.
    #[must_use]
    pub const fn op(&self) -> &'a O {
        self.permit.op()
    }

    /// The permit.
    #[must_use]
    pub const fn permit(&self) -> &'a Permit<O> {
        self.permit
    }

    /// The directory as it stands for this change.
    #[must_use]
    pub fn directory(&self) -> &Snapshot {
        &self.snapshot
    }

    /// The store, to read what the change depends on.
    #[must_use]
    pub const fn store(&self) -> &'a Store {
        self.store
    }

    /// The rows of the change.
    pub const fn rows(&mut self) -> &mut Batch {
        &mut self.batch
    }

    /// What the entry says beyond who, what and where.
    pub const fn details(&mut self) -> &mut Details {
        &mut self.details
    }

    /// Lets the change use the space that is kept for a full disk. For what takes
    /// authority away: revoke, withdraw, seal, delete.
    pub const fn reserved(&mut self) {
        self.batch.set_reserved();
    }

    /// Makes an actor or marks it revoked.
    pub fn put_actor(&mut self, record: &ActorRecord) {
        self.changes_directory = true;
        ACTORS.put(&mut self.batch, &record.id.to_string(), record);
    }

    /// Binds a device or marks it revoked.
    pub fn put_device(&mut self, record: &DeviceRecord) {
        self.changes_directory = true;
        DEVICES.put(&mut self.batch, &record.thumbprint.to_string(), record);
    }

    /// Replaces the roles of an owner.
    pub fn put_roles(&mut self, record: &RolesRecord) {
        self.changes_directory = true;
        ROLES.put(&mut self.batch, &record.actor.to_string(), record);
    }

    /// Makes a namespace.
    pub fn put_namespace(&mut self, record: &NamespaceRecord) {
        self.changes_directory = true;
        NAMESPACES.put(&mut self.batch, &record.name.to_string(), record);
    }

    /// Makes a grant or marks it withdrawn.
    pub fn put_grant(&mut self, record: &GrantRecord) {
        self.changes_directory = true;
        GRANTS.put(&mut self.batch, &record.id.to_string(), record);
    }

    /// Binds an id of another system, or marks it released.
    pub fn put_foreign(&mut self, record: &ForeignRecord) {
        self.changes_directory = true;
        FOREIGN.put(&mut self.batch, &record.id.to_string(), record);
    }
}
