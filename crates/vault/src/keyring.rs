//! The keys that the root opens (`protocol.md` §5).

use crate::error::SealError;
use procura_crypto::{LockedKey, SigningKey, XaesKey};
use procura_types::{Entropy, Secret, SecretBytes, encoding};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;
use zeroize::Zeroize as _;

type Key = Secret<[u8; 32]>;

/// Everything but the namespace keys, which are rows of their own.
pub struct Keyring {
    /// Barrier keys by epoch; the newest seals.
    pub(crate) barrier: BTreeMap<u32, Key>,
    /// Roots of sessions by epoch.
    pub(crate) session: BTreeMap<u32, Key>,
    /// Of the set digests.
    pub(crate) set_key: Key,
    /// Of blind indexes.
    pub(crate) index_key: Key,
    /// Of the ledger's keyed chain.
    pub(crate) chain_key: Key,
    /// Of the entry bundles on disk, by epoch; the newest seals.
    pub(crate) bundle: BTreeMap<u32, Key>,
    /// Signs checkpoints (Ed25519).
    pub(crate) ledger_key: SigningKey,
    /// Signs answers to joins and sessions (Ed25519): what clients pin.
    pub(crate) server_key: SigningKey,
}

/// The stored form: JSON that exists only inside an envelope and in wiped memory.
#[derive(Serialize, Deserialize)]
struct Stored {
    barrier: BTreeMap<u32, String>,
    session: BTreeMap<u32, String>,
    bundle: BTreeMap<u32, String>,
    set_key: String,
    index_key: String,
    chain_key: String,
    ledger_key: String,
    server_key: String,
}

impl Drop for Stored {
    fn drop(&mut self) {
        for epochs in [&mut self.barrier, &mut self.session, &mut self.bundle] {
            epochs.values_mut().for_each(String::zeroize);
        }
        for text in [
            &mut self.set_key,
            &mut self.index_key,
            &mut self.chain_key,
            &mut self.ledger_key,
            &mut self.server_key,
        ] {
            text.zeroize();
        }
    }
}

pub(crate) fn random_key(entropy: &dyn Entropy) -> Result<Key, procura_types::EntropyError> {
    let mut key = Secret::new([0u8; 32]);
    entropy.fill_secret(key.expose_mut())?;
    Ok(key)
}

fn damaged() -> SealError {
    SealError::Damaged("the keyring has an unknown form".to_owned())
}

fn read_key(text: &str) -> Result<Key, SealError> {
    encoding::from_b64url_fixed("key", text)
        .map(Secret::new)
        .map_err(|_| damaged())
}

fn read_signing(text: &str) -> Result<SigningKey, SealError> {
    let bytes = SecretBytes::new(encoding::from_b64url("key", text).map_err(|_| damaged())?);
    Ok(SigningKey::from_secret_bytes(bytes.expose())?)
}

fn write_signing(key: &SigningKey) -> String {
    encoding::b64url(key.to_secret_bytes().expose())
}

impl Keyring {
    pub(crate) fn generate(entropy: &dyn Entropy) -> Result<Self, SealError> {
        Ok(Self {
            barrier: BTreeMap::from([(1, random_key(entropy)?)]),
            session: BTreeMap::from([(1, random_key(entropy)?)]),
            set_key: random_key(entropy)?,
            index_key: random_key(entropy)?,
            chain_key: random_key(entropy)?,
            bundle: BTreeMap::from([(1, random_key(entropy)?)]),
            ledger_key: SigningKey::generate_ed25519(entropy)?,
            server_key: SigningKey::generate_ed25519(entropy)?,
        })
    }

    /// Adds the next epoch of the keys that seal new data: what an older root
    /// opens then ends here. Older roots of sessions go, since whoever has one
    /// could make a session for anybody.
    pub(crate) fn turn(&mut self, epoch: u32, entropy: &dyn Entropy) -> Result<(), SealError> {
        self.barrier.insert(epoch, random_key(entropy)?);
        self.bundle.insert(epoch, random_key(entropy)?);
        self.session = BTreeMap::from([(epoch, random_key(entropy)?)]);
        Ok(())
    }

    /// The keys of entry bundles, as `record` takes them.
    pub(crate) fn bundle_keys(&self) -> Result<BTreeMap<u32, XaesKey>, SealError> {
        self.bundle
            .iter()
            .map(|(epoch, key)| Ok((*epoch, XaesKey::new(Secret::new(*key.expose()))?)))
            .collect()
    }

    pub(crate) fn to_bytes(&self) -> Result<SecretBytes, SealError> {
        let epochs = |keys: &BTreeMap<u32, Key>| {
            keys.iter()
                .map(|(epoch, key)| (*epoch, encoding::b64url(key.expose())))
                .collect()
        };
        let stored = Stored {
            barrier: epochs(&self.barrier),
            session: epochs(&self.session),
            bundle: epochs(&self.bundle),
            set_key: encoding::b64url(self.set_key.expose()),
            index_key: encoding::b64url(self.index_key.expose()),
            chain_key: encoding::b64url(self.chain_key.expose()),
            ledger_key: write_signing(&self.ledger_key),
            server_key: write_signing(&self.server_key),
        };
        serde_json::to_vec(&stored)
            .map(SecretBytes::new)
            .map_err(|_| damaged())
    }

    pub(crate) fn from_bytes(bytes: &SecretBytes) -> Result<Self, SealError> {
        let stored: Stored = serde_json::from_slice(bytes.expose()).map_err(|_| damaged())?;
        let epochs = |keys: &BTreeMap<u32, String>| -> Result<BTreeMap<u32, Key>, SealError> {
            keys.iter()
                .map(|(epoch, text)| Ok((*epoch, read_key(text)?)))
                .collect()
        };
        Ok(Self {
            barrier: epochs(&stored.barrier)?,
            session: epochs(&stored.session)?,
            bundle: epochs(&stored.bundle)?,
            set_key: read_key(&stored.set_key)?,
            index_key: read_key(&stored.index_key)?,
            chain_key: read_key(&stored.chain_key)?,
            ledger_key: read_signing(&stored.ledger_key)?,
            server_key: read_signing(&stored.server_key)?,
        })
    }
}

/// The session roots in locked memory, as `proof` asks for them.
pub struct SessionRoots {
    roots: BTreeMap<u32, Arc<LockedKey>>,
}

impl SessionRoots {
    pub(crate) fn new(keys: &BTreeMap<u32, Key>) -> Result<Self, SealError> {
        let mut roots = BTreeMap::new();
        for (epoch, key) in keys {
            roots.insert(
                *epoch,
                Arc::new(LockedKey::new(Secret::new(*key.expose()))?),
            );
        }
        Ok(Self { roots })
    }

    /// The root of an epoch.
    #[must_use]
    pub fn get(&self, epoch: u32) -> Option<&Arc<LockedKey>> {
        self.roots.get(&epoch)
    }

    /// All of them, ascending by epoch.
    pub fn iter(&self) -> impl Iterator<Item = (u32, &Arc<LockedKey>)> {
        self.roots.iter().map(|(epoch, root)| (*epoch, root))
    }

    /// The newest epoch and its root.
    #[must_use]
    pub fn newest(&self) -> Option<(u32, &Arc<LockedKey>)> {
        self.roots
            .last_key_value()
            .map(|(epoch, root)| (*epoch, root))
    }
}
