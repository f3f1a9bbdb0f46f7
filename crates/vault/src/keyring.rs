//! The keys that the root opens (`protocol.md` §5).

use crate::error::SealError;
use procura_crypto::{LockedKey, MacKey, SigningKey, XaesKey, hkdf_sha256};
use procura_ledger::{CheckpointSigners, NoteSigner};
use procura_store::TurnedKeys;
use procura_types::{Duration, Entropy, InstallationId, Secret, SecretBytes, Timestamp, encoding};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;
use zeroize::Zeroize as _;

type Key = Secret<[u8; 32]>;

/// For how long sessions of an older root go on at most, where they may: as long as a
/// session lives from its first issue (`protocol.md` §3.4).
const SESSIONS_GO_ON: Duration = Duration::from_secs(12 * 60 * 60);

/// For how long the key that signed checkpoints before signs beside the one that does
/// now (`spec/ledger.md`, "When the key turns").
const LEDGER_KEY_RETIRES: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// The most keys of before that sign checkpoints at once.
const LEDGER_KEYS: usize = 8;

/// What anchors the rows and logs of an epoch.
pub(crate) struct Anchor {
    set_key: Key,
    chain_key: Key,
}

/// A key that signed checkpoints before.
pub(crate) struct FormerLedgerKey {
    key: SigningKey,
    /// It signs beside the active one until then.
    until: Timestamp,
}

/// Everything but the namespace keys, which are rows of their own.
pub struct Keyring {
    /// Barrier keys by epoch; the newest seals.
    pub(crate) barrier: BTreeMap<u32, Key>,
    /// Roots of sessions by epoch.
    pub(crate) session: BTreeMap<u32, Key>,
    /// Until when sessions of an older root go on; of the newest there is no end.
    session_until: BTreeMap<u32, Timestamp>,
    /// Of the set digests, before the root was turned for the first time.
    pub(crate) set_key: Key,
    /// Of blind indexes.
    pub(crate) index_key: Key,
    /// Of the ledger's keyed chain, before the root was turned for the first time.
    pub(crate) chain_key: Key,
    /// Those that followed both, by epoch.
    anchors: BTreeMap<u32, Anchor>,
    /// Of the entry bundles on disk, by epoch; the newest seals.
    pub(crate) bundle: BTreeMap<u32, Key>,
    /// What checkpoints are of, where it is not the first that the installation had.
    pub(crate) origin: Option<String>,
    /// Signs checkpoints (Ed25519).
    pub(crate) ledger_key: SigningKey,
    /// Those that signed before it, oldest first.
    ledger_former: Vec<FormerLedgerKey>,
    /// Signs answers to joins and sessions (Ed25519): what clients pin.
    pub(crate) server_key: SigningKey,
}

/// The stored form: JSON that exists only inside an envelope and in wiped memory.
#[derive(Serialize, Deserialize)]
struct Stored {
    barrier: BTreeMap<u32, String>,
    session: BTreeMap<u32, String>,
    bundle: BTreeMap<u32, String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    origin: Option<String>,
    set_key: String,
    index_key: String,
    chain_key: String,
    ledger_key: String,
    server_key: String,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    session_until: BTreeMap<u32, Timestamp>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    set: BTreeMap<u32, String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    chain: BTreeMap<u32, String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    ledger_former: Vec<(String, Timestamp)>,
}

impl Drop for Stored {
    fn drop(&mut self) {
        for epochs in [
            &mut self.barrier,
            &mut self.session,
            &mut self.bundle,
            &mut self.set,
            &mut self.chain,
        ] {
            epochs.values_mut().for_each(String::zeroize);
        }
        for (key, _) in &mut self.ledger_former {
            key.zeroize();
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
            session_until: BTreeMap::new(),
            set_key: random_key(entropy)?,
            index_key: random_key(entropy)?,
            chain_key: random_key(entropy)?,
            anchors: BTreeMap::new(),
            bundle: BTreeMap::from([(1, random_key(entropy)?)]),
            origin: None,
            ledger_key: SigningKey::generate_ed25519(entropy)?,
            ledger_former: Vec::new(),
            server_key: SigningKey::generate_ed25519(entropy)?,
        })
    }

    /// Adds the next epoch of the keys that seal, anchor and sign what is new: what an
    /// older root opens then ends here. Older roots of sessions go, since whoever has one
    /// could make a session for anybody; unless `sessions_go_on`, and then until no
    /// session of theirs can be left.
    pub(crate) fn turn(
        &mut self,
        epoch: u32,
        sessions_go_on: bool,
        now: Timestamp,
        entropy: &dyn Entropy,
    ) -> Result<(), SealError> {
        self.barrier.insert(epoch, random_key(entropy)?);
        self.bundle.insert(epoch, random_key(entropy)?);
        let anchor = Anchor {
            set_key: random_key(entropy)?,
            chain_key: random_key(entropy)?,
        };
        self.anchors.insert(epoch, anchor);
        self.session_until.retain(|_, until| now < *until);
        if sessions_go_on {
            let newest = self.session.keys().next_back().copied();
            let goes_on = |epoch: &u32| Some(*epoch) == newest;
            let until = &self.session_until;
            self.session
                .retain(|epoch, _| goes_on(epoch) || until.contains_key(epoch));
            if let Some(newest) = newest {
                self.session_until.insert(newest, now.plus(SESSIONS_GO_ON));
            }
        } else {
            self.session.clear();
            self.session_until.clear();
        }
        self.session.insert(epoch, random_key(entropy)?);
        let next = SigningKey::generate_ed25519(entropy)?;
        let former = FormerLedgerKey {
            key: std::mem::replace(&mut self.ledger_key, next),
            until: now.plus(LEDGER_KEY_RETIRES),
        };
        self.ledger_former.retain(|former| now < former.until);
        self.ledger_former.push(former);
        let beyond = self.ledger_former.len().saturating_sub(LEDGER_KEYS);
        self.ledger_former.drain(..beyond);
        Ok(())
    }

    /// Goes on under another origin, with a key that signs nothing else and is signed for
    /// by none of before: what a log of that name says nobody could have said earlier.
    pub(crate) fn rename_log(
        &mut self,
        origin: &str,
        entropy: &dyn Entropy,
    ) -> Result<(), SealError> {
        self.origin = Some(origin.to_owned());
        self.ledger_key = SigningKey::generate_ed25519(entropy)?;
        self.ledger_former.clear();
        Ok(())
    }

    /// The keys that sign checkpoints.
    pub(crate) fn signers(&self, id: &InstallationId) -> Result<CheckpointSigners, SealError> {
        let damaged = |error: procura_ledger::LedgerError| SealError::Damaged(error.to_string());
        let signer = |key: &SigningKey| -> Result<NoteSigner, SealError> {
            let key = SigningKey::from_secret_bytes(key.to_secret_bytes().expose())?;
            NoteSigner::new(&self.origin(id), key).map_err(damaged)
        };
        let former = self.ledger_former.iter();
        let former: Result<_, SealError> = former
            .map(|former| Ok((signer(&former.key)?, former.until)))
            .collect();
        Ok(CheckpointSigners::new(signer(&self.ledger_key)?, former?))
    }

    /// The keys of set digests and chains that followed the first.
    pub(crate) fn turned(&self) -> Vec<TurnedKeys> {
        let copy = |key: &Key| Secret::new(*key.expose());
        self.anchors
            .iter()
            .map(|(epoch, anchor)| TurnedKeys {
                epoch: *epoch,
                set_key: copy(&anchor.set_key),
                chain_key: copy(&anchor.chain_key),
            })
            .collect()
    }

    /// The roots of sessions, in locked memory.
    pub(crate) fn session_roots(&self) -> Result<SessionRoots, SealError> {
        SessionRoots::new(&self.session, self.session_until.clone())
    }

    /// What checkpoints are of (`protocol.md` §6).
    pub(crate) fn origin(&self, id: &InstallationId) -> String {
        let first = || procura_ledger::origin(id);
        self.origin.clone().unwrap_or_else(first)
    }

    /// The key that tags backups (`spec/backup.md`).
    pub(crate) fn backup_key(&self) -> Result<MacKey, SealError> {
        let key = hkdf_sha256::<32>(self.set_key.expose(), b"procura.backup.v1", b"tag");
        Ok(MacKey::from_locked(LockedKey::new(key)?))
    }

    /// The key under which the codes of device grants are kept, as that of blind indexes
    /// one that never turns: codes that are out outlive a rotation.
    pub(crate) fn device_grant_key(&self) -> Result<MacKey, SealError> {
        let key = hkdf_sha256::<32>(
            self.index_key.expose(),
            b"procura.device-grant.v1",
            b"codes",
        );
        Ok(MacKey::from_locked(LockedKey::new(key)?))
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
        let anchors = |part: fn(&Anchor) -> &Key| {
            self.anchors
                .iter()
                .map(|(epoch, anchor)| (*epoch, encoding::b64url(part(anchor).expose())))
                .collect()
        };
        let stored = Stored {
            barrier: epochs(&self.barrier),
            session: epochs(&self.session),
            bundle: epochs(&self.bundle),
            origin: self.origin.clone(),
            set_key: encoding::b64url(self.set_key.expose()),
            index_key: encoding::b64url(self.index_key.expose()),
            chain_key: encoding::b64url(self.chain_key.expose()),
            ledger_key: write_signing(&self.ledger_key),
            server_key: write_signing(&self.server_key),
            session_until: self.session_until.clone(),
            set: anchors(|anchor| &anchor.set_key),
            chain: anchors(|anchor| &anchor.chain_key),
            ledger_former: self
                .ledger_former
                .iter()
                .map(|former| (write_signing(&former.key), former.until))
                .collect(),
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
        let mut anchors = BTreeMap::new();
        for (epoch, set_key) in &stored.set {
            let chain_key = stored.chain.get(epoch).ok_or_else(damaged)?;
            let anchor = Anchor {
                set_key: read_key(set_key)?,
                chain_key: read_key(chain_key)?,
            };
            anchors.insert(*epoch, anchor);
        }
        let former = stored.ledger_former.iter();
        let ledger_former: Result<_, SealError> = former
            .map(|(key, until)| {
                Ok(FormerLedgerKey {
                    key: read_signing(key)?,
                    until: *until,
                })
            })
            .collect();
        Ok(Self {
            barrier: epochs(&stored.barrier)?,
            session: epochs(&stored.session)?,
            session_until: stored.session_until.clone(),
            anchors,
            ledger_former: ledger_former?,
            bundle: epochs(&stored.bundle)?,
            origin: stored.origin.clone(),
            set_key: read_key(&stored.set_key)?,
            index_key: read_key(&stored.index_key)?,
            chain_key: read_key(&stored.chain_key)?,
            ledger_key: read_signing(&stored.ledger_key)?,
            server_key: read_signing(&stored.server_key)?,
        })
    }
}

/// The session roots in locked memory, as `proof` asks for them.
#[derive(Clone)]
pub struct SessionRoots {
    roots: BTreeMap<u32, Arc<LockedKey>>,
    until: BTreeMap<u32, Timestamp>,
}

impl SessionRoots {
    fn new(keys: &BTreeMap<u32, Key>, until: BTreeMap<u32, Timestamp>) -> Result<Self, SealError> {
        let mut roots = BTreeMap::new();
        for (epoch, key) in keys {
            roots.insert(
                *epoch,
                Arc::new(LockedKey::new(Secret::new(*key.expose()))?),
            );
        }
        Ok(Self { roots, until })
    }

    /// These without those whose time is over; `None` when there are none such.
    pub(crate) fn without_ended(&self, now: Timestamp) -> Option<Self> {
        let ended = |epoch: &u32| self.until.get(epoch).is_some_and(|until| *until <= now);
        if !self.roots.keys().any(ended) {
            return None;
        }
        let mut left = self.clone();
        left.roots.retain(|epoch, _| !ended(epoch));
        Some(left)
    }

    /// Until when sessions of an epoch go on; of the newest there is no end.
    #[must_use]
    pub fn until(&self, epoch: u32) -> Option<Timestamp> {
        self.until.get(&epoch).copied()
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
