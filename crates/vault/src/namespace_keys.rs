//! The keys of namespaces, as they are read and held, and which of them wraps what is new.

use crate::error::VaultError;
use crate::namespace::{NAMESPACE_KEYS, NamespaceKeys, NamespaceRow, key_binding};
use crate::secret_rows::all_rows;
use crate::vault::{Keys, Vault};
use procura_crypto::{XaesKey, envelope_epoch, open};
use procura_store::{Batch, Expected, KeyPrefix, StoreError};
use procura_types::{Namespace, Secret};
use std::sync::{Arc, PoisonError};

impl Vault {
    pub(crate) fn namespace_rows(
        &self,
        prefix: &KeyPrefix,
    ) -> Result<Vec<NamespaceRow>, StoreError> {
        all_rows(&NAMESPACE_KEYS, &self.store, prefix)
    }

    /// The keys of a namespace; read once, then held.
    pub(crate) fn namespace_keys(
        &self,
        namespace: &Namespace,
    ) -> Result<Arc<NamespaceKeys>, VaultError> {
        self.namespace_keys_in(&self.keys.load(), namespace)
    }

    /// The keys of a namespace, of which one wraps what `envelope` is. Another server,
    /// or a moment, may have made it since they were read.
    pub(crate) fn namespace_keys_of(
        &self,
        namespace: &Namespace,
        envelope: &[u8],
    ) -> Result<Arc<NamespaceKeys>, VaultError> {
        let found = self.namespace_keys(namespace)?;
        match envelope_epoch(envelope) {
            Ok(epoch) if !found.contains_key(&epoch) => {
                self.forget_namespace(namespace);
                self.namespace_keys(namespace)
            }
            _ => Ok(found),
        }
    }

    /// Reads the keys of a namespace anew when they are next needed; those of one that
    /// ended stay gone.
    pub(crate) fn forget_namespace(&self, namespace: &Namespace) {
        let keys = self.keys.load();
        let mut known = keys
            .namespaces
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        if known.get(namespace).is_some_and(Option::is_some) {
            known.remove(namespace);
        }
    }

    /// The newest key of a namespace, for what this batch is to wrap by it. The batch
    /// then commits only while it is the newest: a key of before is gone as soon as
    /// nothing is wrapped by it, and what came later by it would never open.
    pub(crate) fn sealing_key(
        &self,
        batch: &mut Batch,
        namespace: &Namespace,
    ) -> Result<(u32, Arc<NamespaceKeys>), VaultError> {
        // Once as known, then as stored, by the root that is in force then.
        for known in [true, false, false] {
            let keys = self.keys.load();
            let root = u64::from(keys.installation.root_epoch);
            let found = match known {
                true => self.namespace_keys_in(&keys, namespace),
                false => self.stored_keys(&keys, namespace).map(Arc::new),
            };
            let found = match found {
                Ok(found) => found,
                Err(VaultError::NoNamespace) if known => continue,
                // Its keys are under a root that came since, here or at another server.
                Err(VaultError::NoNamespace)
                    if self.is_turned()?
                        || u64::from(self.keys.load().installation.root_epoch) != root =>
                {
                    continue;
                }
                Err(error) => return Err(error),
            };
            let (epoch, _) = found.last_key_value().ok_or(VaultError::NoNamespace)?;
            let of = |epoch: u64| (root, namespace.to_string(), epoch);
            let (newest, later) = (of(u64::from(*epoch)), of(u64::from(*epoch) + 1));
            let row = NAMESPACE_KEYS.get(&self.store, &newest)?;
            if let Some(row) = row
                && NAMESPACE_KEYS.get(&self.store, &later)?.is_none()
            {
                NAMESPACE_KEYS.expect(batch, &newest, Expected::At(row.version));
                NAMESPACE_KEYS.expect(batch, &later, Expected::Absent);
                return Ok((*epoch, found));
            }
            self.forget_namespace(namespace);
        }
        // A key, or the root, turns just now.
        Err(VaultError::NamespacesChanged)
    }

    fn namespace_keys_in(
        &self,
        keys: &Keys,
        namespace: &Namespace,
    ) -> Result<Arc<NamespaceKeys>, VaultError> {
        if let Some(found) = keys
            .namespaces
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(namespace)
        {
            return found.clone().ok_or(VaultError::NoNamespace);
        }
        let found = match self.stored_keys(keys, namespace) {
            Ok(found) => found,
            // The root may have turned since, here or at another server: then they are
            // under the new one.
            Err(VaultError::NoNamespace)
                if self.is_turned()?
                    || self.keys.load().installation.root_epoch != keys.installation.root_epoch =>
            {
                return self.namespace_keys(namespace);
            }
            Err(error) => return Err(error),
        };
        let found = Arc::new(found);
        keys.namespaces
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .entry(namespace.clone())
            .or_insert(Some(found))
            .clone()
            .ok_or(VaultError::NoNamespace)
    }

    /// The keys as they are stored under the root of `keys`.
    fn stored_keys(&self, keys: &Keys, namespace: &Namespace) -> Result<NamespaceKeys, VaultError> {
        let epoch = keys.installation.root_epoch;
        let mut found = NamespaceKeys::new();
        let prefix = KeyPrefix::all()
            .part(&u64::from(epoch))
            .part(&namespace.to_string());
        for ((_, _, key_epoch), row) in self.namespace_rows(&prefix)? {
            let damaged = || VaultError::DamagedKey(namespace.clone());
            let key_epoch = u32::try_from(key_epoch).map_err(|_| damaged())?;
            let binding = key_binding(namespace, key_epoch);
            let key = open(
                |other| (other == epoch).then_some(&keys.kek),
                &binding,
                row.value.as_bytes(),
            )
            .map_err(|_| damaged())?;
            let key: [u8; 32] = key.expose().as_slice().try_into().map_err(|_| damaged())?;
            found.insert(key_epoch, XaesKey::new(Secret::new(key))?);
        }
        if found.is_empty() {
            return Err(VaultError::NoNamespace);
        }
        Ok(found)
    }
}
