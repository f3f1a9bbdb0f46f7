//! Transit keys: they wrap small things for others who keep them, such as the key of an
//! unseal source of another installation, and never leave the vault.
//!
//! A key is a row behind the barrier; what it wraps is bound to installation, namespace,
//! name and the context that whoever asks says. A key belongs to the namespace as it was
//! when the key was made: one of the same name that is made later inherits nothing.

use crate::error::VaultError;
use crate::keyring::random_key;
use crate::quota::arrives;
use crate::secret_rows::all_rows;
use crate::vault::Vault;
use procura_crypto::{Binding, Holder, OpenError, Purpose, XaesKey, open, seal};
use procura_directory::Snapshot;
use procura_policy::{Action, Concerned, Op, Permit, Resource};
use procura_record::{Recorded, RecordedBatch};
use procura_store::{Expected, KeyPrefix, Kind, Row, Store, Table};
use procura_types::wire::{TransitKey, TransitKeyList};
use procura_types::{
    ActorId, FieldTuple, Label, Namespace, Secret, SecretBytes, Timestamp, encoding,
};
use serde::{Deserialize, Serialize};
use zeroize::Zeroize as _;

/// The most bytes that are wrapped at once, and the longest context.
pub const MAX_TRANSIT: usize = 256;

/// The most agents that may use one key.
const MAX_AGENTS: usize = 16;

/// The most keys of one namespace.
const MAX_KEYS: usize = 256;

/// Of what is wrapped; there is one key of each name.
const EPOCH: u32 = 1;

/// (namespace, name) → key.
pub(crate) const KEYS: Table<(Namespace, Label), KeyRow> =
    Table::new("transit-key", Kind::Ordinary);

#[derive(Serialize, Deserialize)]
pub(crate) struct KeyRow {
    key: KeyBytes,
    /// By id: an agent that takes over a revoked label may not use it.
    agents: Vec<ActorId>,
    created: Timestamp,
    /// When the namespace was made that it belongs to.
    namespace_created: Timestamp,
}

/// Wiped when it goes.
#[derive(Serialize, Deserialize)]
struct KeyBytes(#[serde(with = "encoding::serde_b64url")] Vec<u8>);

impl Drop for KeyBytes {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

/// Makes a transit key, or says anew who may use it.
pub struct TransitWrite {
    /// Where.
    pub namespace: Namespace,
    /// Its name.
    pub name: Label,
    /// Whose devices may use it.
    pub agents: Vec<Label>,
}

/// Removes one: nothing that it wrapped is ever unwrapped again.
pub struct TransitRemove {
    /// Where.
    pub namespace: Namespace,
    /// Which.
    pub name: Label,
}

/// Lists them.
pub struct TransitListing {
    /// Where.
    pub namespace: Namespace,
}

/// Wraps with one.
pub struct TransitWrapping {
    /// The key, and who may use it.
    pub with: TransitUse,
    /// What is wrapped.
    pub value: SecretBytes,
    /// What it is for.
    pub context: Vec<u8>,
}

/// Unwraps with one.
pub struct TransitUnwrapping {
    /// The key, and who may use it.
    pub with: TransitUse,
    /// What was wrapped.
    pub wrapped: Vec<u8>,
    /// What it was wrapped for.
    pub context: Vec<u8>,
}

/// A key that is to be used, and by whom it may be.
pub struct TransitUse {
    namespace: Namespace,
    name: Label,
    agents: Vec<ActorId>,
}

impl TransitUse {
    fn resource(&self) -> Resource {
        Resource::Transit(self.namespace.clone(), self.name.clone())
    }

    fn concerned(&self) -> Concerned<'_> {
        Concerned {
            members: &self.agents,
            ..Concerned::default()
        }
    }
}

macro_rules! op {
    ($name:ident, $action:ident) => {
        impl Op for $name {
            const ACTION: Action = Action::$action;
            fn resource(&self) -> Resource {
                Resource::Transit(self.namespace.clone(), self.name.clone())
            }
        }
    };
}

op!(TransitWrite, TransitWrite);
op!(TransitRemove, TransitWrite);

impl Op for TransitListing {
    const ACTION: Action = Action::TransitList;
    fn resource(&self) -> Resource {
        Resource::Namespace(self.namespace.clone())
    }
}

impl Op for TransitWrapping {
    const ACTION: Action = Action::TransitWrap;
    fn resource(&self) -> Resource {
        self.with.resource()
    }
    fn concerned(&self) -> Concerned<'_> {
        self.with.concerned()
    }
}

impl Op for TransitUnwrapping {
    const ACTION: Action = Action::TransitUnwrap;
    fn resource(&self) -> Resource {
        self.with.resource()
    }
    fn concerned(&self) -> Concerned<'_> {
        self.with.concerned()
    }
}

/// When the namespace was made, which its keys are of.
fn made(directory: &Snapshot, namespace: &Namespace) -> Result<Timestamp, VaultError> {
    directory
        .namespace(namespace)
        .map(|record| record.created)
        .ok_or(VaultError::NoNamespace)
}

/// The row of a key; nothing of one that a namespace of before had.
fn find(
    store: &Store,
    directory: &Snapshot,
    namespace: &Namespace,
    name: &Label,
) -> Result<Option<Row<KeyRow>>, VaultError> {
    let made = made(directory, namespace)?;
    let row = KEYS.get(store, &(namespace.clone(), name.clone()))?;
    Ok(row.filter(|row| row.value.namespace_created == made))
}

fn none(name: &Label) -> VaultError {
    VaultError::NoTransitKey(name.clone())
}

impl TransitWrite {
    /// Puts the key of the permit.
    ///
    /// # Errors
    /// [`VaultError::NoAgent`], [`VaultError::TooManyTransit`], the store.
    pub fn run(
        vault: &Vault,
        batch: &mut RecordedBatch<'_, Self>,
        now: Timestamp,
    ) -> Result<TransitKey, VaultError> {
        let op = batch.op();
        let (namespace, name) = (op.namespace.clone(), op.name.clone());
        if op.agents.len() > MAX_AGENTS {
            return Err(VaultError::TooManyTransit);
        }
        let mut agents = op
            .agents
            .iter()
            .map(|label| {
                batch
                    .directory()
                    .agent_named(&namespace, label)
                    .map(|agent| agent.id)
                    .ok_or_else(|| VaultError::NoAgent(label.clone()))
            })
            .collect::<Result<Vec<_>, _>>()?;
        agents.sort();
        agents.dedup();
        let key = (namespace.clone(), name.clone());
        let stored = KEYS.get(&vault.store, &key)?;
        let expected = stored
            .as_ref()
            .map_or(Expected::Absent, |row| Expected::At(row.version));
        let namespace_created = made(batch.directory(), &namespace)?;
        let row = match stored.filter(|row| row.value.namespace_created == namespace_created) {
            Some(row) => KeyRow {
                agents,
                ..row.value
            },
            None => {
                let prefix = KeyPrefix::all().part(&namespace);
                if all_rows(&KEYS, &vault.store, &prefix)?.len() >= MAX_KEYS {
                    return Err(VaultError::TooManyTransit);
                }
                KeyRow {
                    key: KeyBytes(random_key(vault.entropy.as_ref())?.expose().to_vec()),
                    agents,
                    created: now,
                    namespace_created,
                }
            }
        };
        let made = render(batch.directory(), name, &row);
        KEYS.expect(batch.rows(), &key, expected);
        KEYS.put(batch.rows(), &key, &row);
        arrives(batch.rows(), &namespace);
        Ok(made)
    }
}

impl TransitRemove {
    /// Removes the key of the permit.
    ///
    /// # Errors
    /// [`VaultError::NoTransitKey`], the store.
    pub fn run(vault: &Vault, batch: &mut RecordedBatch<'_, Self>) -> Result<(), VaultError> {
        let op = batch.op();
        let key = (op.namespace.clone(), op.name.clone());
        let row = find(&vault.store, batch.directory(), &op.namespace, &op.name)?
            .ok_or_else(|| none(&op.name))?;
        KEYS.expect(batch.rows(), &key, Expected::At(row.version));
        KEYS.delete(batch.rows(), &key);
        Ok(())
    }
}

impl TransitListing {
    /// All keys of the namespace, by name.
    ///
    /// # Errors
    /// The store.
    pub fn run(
        permit: &Permit<Self>,
        directory: &Snapshot,
        store: &Store,
    ) -> Result<TransitKeyList, VaultError> {
        let namespace = &permit.op().namespace;
        let made = made(directory, namespace)?;
        let prefix = KeyPrefix::all().part(namespace);
        let rows = all_rows(&KEYS, store, &prefix)?.into_iter();
        let keys = rows
            .filter(|(_, row)| row.value.namespace_created == made)
            .map(|((_, name), row)| render(directory, name, &row.value))
            .collect();
        Ok(TransitKeyList { keys })
    }
}

fn render(directory: &Snapshot, name: Label, row: &KeyRow) -> TransitKey {
    let mut agents: Vec<Label> = row
        .agents
        .iter()
        .filter(|id| directory.is_active(id))
        .filter_map(|id| directory.actor(id))
        .map(|agent| agent.label().clone())
        .collect();
    agents.sort();
    TransitKey {
        name,
        agents,
        created: row.created,
    }
}

impl Vault {
    /// A key that is to be used, so that it can be decided by whom. One that is not there
    /// is nobody's to use.
    ///
    /// # Errors
    /// The store.
    pub fn transit_use(
        &self,
        directory: &Snapshot,
        namespace: Namespace,
        name: Label,
    ) -> Result<TransitUse, VaultError> {
        let row = match find(&self.store, directory, &namespace, &name) {
            Err(VaultError::NoNamespace) => None,
            found => found?,
        };
        Ok(TransitUse {
            agents: row.map_or_else(Vec::new, |row| row.value.agents.clone()),
            namespace,
            name,
        })
    }

    /// The key, for whoever an act was permitted to. The decision went by who was named
    /// when the request was read; the key is used for those who are named, and may act,
    /// in the very row and directory that it is used by.
    fn transit_key<O: Op>(
        &self,
        directory: &Snapshot,
        with: &TransitUse,
        permit: &Permit<O>,
    ) -> Result<XaesKey, VaultError> {
        let caller = permit.caller();
        let actor = caller.actor();
        let may_act = directory.is_active(actor)
            && caller
                .device()
                .is_none_or(|device| directory.may_act(device))
            && !directory.is_quarantined(caller.device(), caller.foreign_id());
        let row = find(&self.store, directory, &with.namespace, &with.name)?
            .filter(|row| may_act && row.value.agents.contains(actor))
            .ok_or_else(|| none(&with.name))?;
        let bytes = row.value.key.0.as_slice().try_into();
        let bytes: Secret<[u8; 32]> = bytes
            .map(Secret::new)
            .map_err(|_| VaultError::DamagedKey(with.namespace.clone()))?;
        Ok(XaesKey::new(bytes)?)
    }

    /// Wraps what was permitted and recorded.
    ///
    /// # Errors
    /// [`VaultError::NoTransitKey`], also for whoever may not use it any more; the store.
    pub fn transit_wrap(
        &self,
        directory: &Snapshot,
        recorded: &Recorded<TransitWrapping>,
    ) -> Result<Vec<u8>, VaultError> {
        let op = recorded.op();
        let key = self.transit_key(directory, &op.with, recorded.permit())?;
        let path = path(&op.with, &op.context);
        let installation = self.installation().id;
        let place = place(&installation, &path);
        let entropy = self.entropy.as_ref();
        Ok(seal(&key, EPOCH, &place, entropy, op.value.expose())?)
    }

    /// Unwraps what was permitted and recorded.
    ///
    /// # Errors
    /// [`VaultError::NotWrapped`] for what this key did not wrap, or not for this
    /// context; [`VaultError::NoTransitKey`], also for whoever may not use it any more; the
    /// store.
    pub fn transit_unwrap(
        &self,
        directory: &Snapshot,
        recorded: &Recorded<TransitUnwrapping>,
    ) -> Result<SecretBytes, VaultError> {
        let op = recorded.op();
        let key = self.transit_key(directory, &op.with, recorded.permit())?;
        let path = path(&op.with, &op.context);
        let installation = self.installation().id;
        let place = place(&installation, &path);
        open(
            |epoch| (epoch == EPOCH).then_some(&key),
            &place,
            &op.wrapped,
        )
        .map_err(|_: OpenError| VaultError::NotWrapped)
    }
}

fn path(with: &TransitUse, context: &[u8]) -> Vec<u8> {
    FieldTuple::new("procura.transit.v1")
        .text(with.namespace.as_str())
        .text(with.name.as_str())
        .bytes(context)
        .into_bytes()
}

const fn place<'a>(installation: &'a procura_types::InstallationId, path: &'a [u8]) -> Binding<'a> {
    Binding {
        holder: Holder::Installation(installation),
        class: "credentials",
        path,
        version: 1,
        purpose: Purpose::Transit,
    }
}
