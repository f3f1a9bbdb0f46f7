//! Another key for one namespace, while everything goes on (`protocol.md` §5). What is
//! written from then on is wrapped by it; what is there is wrapped anew behind it
//! (`rewrap.rs`), and then the keys of before go.

use crate::error::VaultError;
use crate::installation::KEYRINGS;
use crate::keyring::random_key;
use crate::namespace::{NAMESPACE_KEYS, key_binding};
use crate::rewrap::ASKED;
use crate::rotation_step::RotationStep;
use crate::vault::Vault;
use procura_crypto::seal;
use procura_policy::{Action, Op, Resource};
use procura_record::RecordedBatch;
use procura_store::{Blob, Expected, KeyPrefix};
use procura_types::Namespace;
use procura_types::wire::NamespaceRotated;

/// Gives a namespace another key.
pub struct NamespaceRotate {
    /// Which.
    pub name: Namespace,
}

impl Op for NamespaceRotate {
    const ACTION: Action = Action::NamespaceRotate;
    fn resource(&self) -> Resource {
        Resource::Namespace(self.name.clone())
    }
}

impl NamespaceRotate {
    /// Puts another key beside those of the namespace of the permit, and has the upkeep
    /// wrap by it what they wrap. Once the batch is durable, call
    /// [`Vault::namespace_rotated`].
    ///
    /// # Errors
    /// [`VaultError::NoNamespace`]; the store's.
    pub fn run(
        vault: &Vault,
        batch: &mut RecordedBatch<'_, Self>,
    ) -> Result<NamespaceRotated, VaultError> {
        let name = batch.op().name.clone();
        let keys = vault.keys.load();
        let root = keys.installation.root_epoch;
        let prefix = KeyPrefix::all()
            .part(&u64::from(root))
            .part(&name.to_string());
        let rows = vault.namespace_rows(&prefix)?;
        let (newest, row) = rows.last().ok_or(VaultError::NoNamespace)?;
        let damaged = || VaultError::DamagedKey(name.clone());
        let next = u32::try_from(newest.2)
            .ok()
            .and_then(|epoch| epoch.checked_add(1));
        let next = next.ok_or_else(damaged)?;
        let key = random_key(vault.entropy())?;
        let place = key_binding(&name, next);
        let wrapped = seal(&keys.kek, root, &place, vault.entropy(), key.expose())?;
        let made = (u64::from(root), name.to_string(), u64::from(next));
        NAMESPACE_KEYS.expect(batch.rows(), newest, Expected::At(row.version));
        NAMESPACE_KEYS.expect(batch.rows(), &made, Expected::Absent);
        // A root that is rotated meanwhile would leave this key behind.
        KEYRINGS.expect(batch.rows(), &(u64::from(root) + 1), Expected::Absent);
        NAMESPACE_KEYS.put(batch.rows(), &made, &Blob::new(wrapped));
        ASKED.put(batch.rows(), &(u64::from(root), name.to_string()), &());
        batch.details().with = Some(format!("key:{next}"));
        Ok(NamespaceRotated {
            name,
            key_epoch: next,
        })
    }
}

impl Vault {
    /// A namespace has another key since a moment ago.
    pub fn namespace_rotated(&self, namespace: &Namespace) {
        self.forget_namespace(namespace);
        self.reached(RotationStep::NamespaceKeyMade);
    }
}
