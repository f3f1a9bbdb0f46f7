//! Namespaces: made with a key of their own, and listed.

use crate::error::VaultError;
use crate::installation::KEYRINGS;
use crate::keyring::random_key;
use crate::vault::Vault;
use procura_crypto::{Binding, Holder, Purpose, XaesKey, seal};
use procura_directory::{NamespaceRecord, RolesRecord, Snapshot};
use procura_policy::{Action, Op, Permit, Resource};
use procura_record::RecordedBatch;
use procura_store::{Blob, Expected, Kind, Row, Table};
use procura_types::wire::{NamespaceInfo, NamespaceList, RoleAssignment};
use procura_types::{Namespace, Role, Timestamp};
use std::collections::BTreeMap;
use std::sync::Arc;

/// (root epoch, namespace, key epoch) → the key, sealed under the root's
/// key-encryption key.
pub(crate) const NAMESPACE_KEYS: Table<(u64, String, u64), Blob> =
    Table::new("namespace-key", Kind::Clear);

/// A stored key of a namespace.
pub(crate) type NamespaceRow = ((u64, String, u64), Row<Blob>);

/// The keys of one namespace by epoch.
pub(crate) type NamespaceKeys = BTreeMap<u32, XaesKey>;

/// The keys of a namespace, and the epoch of the one that wraps what is new.
pub(crate) type SealingKey = (u32, Arc<NamespaceKeys>);

pub(crate) fn key_binding<'a>(namespace: &'a Namespace, epoch: u32) -> Binding<'a> {
    Binding {
        holder: Holder::Namespace(namespace),
        class: "credentials",
        path: b"namespace-key",
        version: u64::from(epoch),
        purpose: Purpose::NamespaceKey,
    }
}

impl Vault {
    /// Makes a namespace, its key, and its maker's roles in it.
    pub fn create_namespace<O: Op>(
        &self,
        batch: &mut RecordedBatch<'_, O>,
        name: &Namespace,
        maker: &procura_types::ActorId,
        maker_roles: &[RoleAssignment],
        now: Timestamp,
    ) -> Result<NamespaceInfo, VaultError> {
        self.make_namespace(batch, name, now)?;
        put_maker(batch, maker, maker_roles, std::slice::from_ref(name));
        Ok(NamespaceInfo {
            name: name.clone(),
            display_name: None,
            created: now,
        })
    }

    /// Makes several namespaces, their keys, and the caller's roles in them, and gives the
    /// keys by which the same batch can write into them.
    ///
    /// # Errors
    /// [`VaultError::NamespaceExists`], [`VaultError::NamespaceEnded`].
    pub fn create_namespaces<O: Op>(
        &self,
        batch: &mut RecordedBatch<'_, O>,
        names: &[Namespace],
        now: Timestamp,
    ) -> Result<NewNamespaces, VaultError> {
        let mut made = BTreeMap::new();
        for name in names {
            made.insert(name.clone(), self.make_namespace(batch, name, now)?);
        }
        if !made.is_empty() {
            let maker = *batch.permit().caller().actor();
            let held = batch.directory().roles(&maker);
            let roles = held.map_or_else(Vec::new, |held| held.roles.clone());
            put_maker(batch, &maker, &roles, names);
        }
        Ok(NewNamespaces(made))
    }

    /// Makes a namespace and its key, by its epoch.
    fn make_namespace<O: Op>(
        &self,
        batch: &mut RecordedBatch<'_, O>,
        name: &Namespace,
        now: Timestamp,
    ) -> Result<SealingKey, VaultError> {
        if batch.directory().namespace(name).is_some() {
            return Err(VaultError::NamespaceExists);
        }
        // Entries of the record, backups and receipts name it: one name stays one thing.
        if batch.directory().namespace_ended(name).is_some() {
            return Err(VaultError::NamespaceEnded(name.clone()));
        }
        let keys = self.keys.load();
        let epoch = keys.installation.root_epoch;
        let key = random_key(self.entropy.as_ref())?;
        let wrapped = seal(
            &keys.kek,
            epoch,
            &key_binding(name, epoch),
            self.entropy.as_ref(),
            key.expose(),
        )?;
        let row = (u64::from(epoch), name.to_string(), u64::from(epoch));
        NAMESPACE_KEYS.expect(batch.rows(), &row, Expected::Absent);
        // A root that is rotated meanwhile would leave this key behind.
        KEYRINGS.expect(batch.rows(), &(u64::from(epoch) + 1), Expected::Absent);
        NAMESPACE_KEYS.put(batch.rows(), &row, &Blob::new(wrapped));
        batch.put_namespace(&NamespaceRecord {
            name: name.clone(),
            created: now,
            display_name: None,
            ended: None,
        });
        let key = NamespaceKeys::from([(epoch, XaesKey::new(key)?)]);
        Ok((epoch, Arc::new(key)))
    }
}

/// Gives the maker of namespaces every role in them.
fn put_maker<O: Op>(
    batch: &mut RecordedBatch<'_, O>,
    maker: &procura_types::ActorId,
    before: &[RoleAssignment],
    names: &[Namespace],
) {
    let mut roles: Vec<RoleAssignment> = before.to_vec();
    for name in names {
        for role in [Role::Admin, Role::Approver, Role::Auditor] {
            roles.push(RoleAssignment {
                role,
                namespace: Some(name.clone()),
            });
        }
    }
    roles.sort();
    roles.dedup();
    batch.put_roles(&RolesRecord {
        actor: *maker,
        roles,
    });
}

/// Namespaces that a batch makes, with the keys by which it can write into them.
pub struct NewNamespaces(pub(crate) BTreeMap<Namespace, SealingKey>);

/// Makes a namespace.
pub struct NamespaceCreate {
    /// Its name.
    pub name: Namespace,
}

impl Op for NamespaceCreate {
    const ACTION: Action = Action::NamespaceCreate;
    fn resource(&self) -> Resource {
        // A namespace that does not exist yet has no roles: stewards make them.
        Resource::Installation
    }
}

impl NamespaceCreate {
    /// Makes the namespace of the permit.
    pub fn run(
        vault: &Vault,
        batch: &mut RecordedBatch<'_, Self>,
        now: Timestamp,
    ) -> Result<NamespaceInfo, VaultError> {
        let maker = *batch.permit().caller().actor();
        let roles = batch
            .directory()
            .roles(&maker)
            .map_or_else(Vec::new, |held| held.roles.clone());
        let name = batch.op().name.clone();
        vault.create_namespace(batch, &name, &maker, &roles, now)
    }
}

/// Lists the namespaces that the caller has a part in.
pub struct NamespaceListing;

impl Op for NamespaceListing {
    const ACTION: Action = Action::NamespaceList;
    fn resource(&self) -> Resource {
        Resource::Installation
    }
}

impl NamespaceListing {
    /// Stewards see all, operators those of their roles, agents their own.
    #[must_use]
    pub fn run(permit: &Permit<Self>, snapshot: &Snapshot) -> NamespaceList {
        let actor = permit.caller().actor();
        let roles = snapshot.roles(actor);
        let steward = roles.is_some_and(|held| held.has(Role::Steward, None));
        let own = snapshot
            .actor(actor)
            .and_then(|record| record.namespace().cloned());
        let mut namespaces: Vec<_> = snapshot
            .namespaces()
            .filter(|namespace| {
                steward
                    || own.as_ref() == Some(&namespace.name)
                    || roles.is_some_and(|held| {
                        held.roles
                            .iter()
                            .any(|role| role.namespace.as_ref() == Some(&namespace.name))
                    })
            })
            .map(|namespace| NamespaceInfo {
                name: namespace.name.clone(),
                display_name: namespace.display_name.clone(),
                created: namespace.created,
            })
            .collect();
        namespaces.sort_by(|one, two| one.name.cmp(&two.name));
        NamespaceList { namespaces }
    }
}
