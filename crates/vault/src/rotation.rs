//! A change of the unseal sources, which makes a new root (`protocol.md` §5).
//!
//! | step | if it fails, or the process ends after it |
//! |---|---|
//! | 1. the next root's keyring and namespace keys are committed beside the old ones | the file names the old root: the old sources open |
//! | 2. `installation.json` is replaced: from here on the new sources open, and only they | which of the two files the disk has is decided by what can be read there; both lead to all data, since nothing was sealed with new keys |
//! | 3. the new keys seal | all that the new root leads to is on disk |
//! | 4. the old root's rows go | they stay, and lead to nothing new |
//!
//! After a failure [`Vault::settle_root`] brings the home back to the root that is
//! in force: at once, again whenever it is called, and at the next unseal. Its
//! callers, and those of the change, take turns.

use crate::error::{SealError, VaultError};
use crate::installation::{Installation, KEYRINGS};
use crate::keyring::random_key;
use crate::namespace::{Keys, NAMESPACE_KEYS, Vault, barrier, key_binding};
use crate::rewrap::REWRAPS;
use crate::root::Root;
use crate::secret_rows::all_rows;
use crate::unseal_source::{Brought, NewSource, Source};
use procura_crypto::{XaesKey, open, seal};
use procura_ledger::{Decision, Entry};
use procura_policy::{Action, Op, Resource};
use procura_record::tables::LEDGER;
use procura_record::{RecordError, RecordedBatch};
use procura_store::{Barrier, Batch, Blob, Expected, KeyPrefix};
use procura_types::{BatchId, Clock, Entropy, Label, Namespace, Secret, TraceId};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Changes the passphrase of the installation.
pub struct PassphraseChange;

impl Op for PassphraseChange {
    const ACTION: Action = Action::InstallationPassphrase;
    fn resource(&self) -> Resource {
        Resource::Installation
    }
}

/// How the unseal sources change when the root turns.
pub enum SourceChange {
    /// The source that was brought gets another passphrase.
    Passphrase(Secret<String>),
    /// The source of the same name becomes this one.
    Put(NewSource),
    /// It opens nothing any more.
    Remove(Label),
}

enum Resolved {
    Put(NewSource),
    Remove(Label),
}

impl SourceChange {
    fn resolve(
        self,
        installation: &Installation,
        opened: &Source,
        entropy: &dyn Entropy,
    ) -> Result<Resolved, SealError> {
        let exists = |name: &Label| {
            installation
                .sources
                .iter()
                .any(|source| source.name == *name)
        };
        match self {
            Self::Passphrase(new) => {
                let name = opened.name.clone();
                NewSource::passphrase(name, &new, entropy).map(Resolved::Put)
            }
            Self::Put(new) if exists(&new.name) => Ok(Resolved::Put(new)),
            Self::Remove(name) if exists(&name) => Ok(Resolved::Remove(name)),
            Self::Put(NewSource { name, .. }) | Self::Remove(name) => {
                Err(SealError::NoSource(name))
            }
        }
    }
}

/// A row of a new root.
enum RootRow {
    /// The keyring, by root epoch.
    Keyring(u64, Vec<u8>),
    /// A namespace key, by root epoch, namespace and key epoch.
    Namespace((u64, String, u64), Vec<u8>),
}

/// The root for other sources, made and not yet in force. Whatever can fail
/// for want of memory or random bytes has been done.
pub struct NextRoot {
    keys: Keys,
    barrier: Barrier,
    bundle_keys: BTreeMap<u32, XaesKey>,
    rows: Vec<RootRow>,
    namespaces: BTreeSet<Namespace>,
}

impl NextRoot {
    /// Puts its rows into the batch that records the change.
    ///
    /// # Errors
    /// [`VaultError::NamespacesChanged`] when a namespace was made after this root
    /// was: its key would be left behind under the old one.
    pub fn put<O: Op>(&self, batch: &mut RecordedBatch<'_, O>) -> Result<(), VaultError> {
        let all_are_here = batch
            .directory()
            .namespaces()
            .all(|namespace| self.namespaces.contains(&namespace.name));
        if !all_are_here {
            return Err(VaultError::NamespacesChanged);
        }
        for row in &self.rows {
            match row {
                RootRow::Keyring(epoch, envelope) => {
                    KEYRINGS.expect(batch.rows(), epoch, Expected::Absent);
                    KEYRINGS.put(batch.rows(), epoch, &Blob::new(envelope.clone()));
                    REWRAPS.put(batch.rows(), epoch, &crate::rewrap::Progress::default());
                }
                RootRow::Namespace(key, envelope) => {
                    NAMESPACE_KEYS.put(batch.rows(), key, &Blob::new(envelope.clone()));
                }
            }
        }
        Ok(())
    }

    /// What `installation.json` will hold.
    #[must_use]
    pub const fn installation(&self) -> &Installation {
        &self.keys.installation
    }
}

impl Vault {
    /// Makes the root for changed unseal sources. The root is rotated with them, since
    /// an old backup with what was changed or removed would otherwise open what is
    /// written from now on. Sources that stay get the new root without their keepers.
    /// Takes as long as Argon2id takes, several times: call it on a thread that may
    /// block.
    ///
    /// # Errors
    /// What [`Vault::unseal`] says of what was brought; [`SealError::NoSource`];
    /// [`SealError::LastSource`].
    pub fn next_root(
        &self,
        brought: &Brought,
        change: SourceChange,
        clock: &dyn Clock,
    ) -> Result<NextRoot, SealError> {
        let keys = self.keys.load();
        let entropy = self.entropy.as_ref();
        let now = clock.now();
        let before = &keys.installation;
        let (old, opened) = before.open_root(brought)?;
        let change = change.resolve(before, opened, entropy)?;
        let mut keyring = before.load_keyring(&self.store, &old)?;
        let epoch = old.epoch.checked_add(1).ok_or(SealError::KeyringMismatch)?;
        keyring.turn(epoch, entropy)?;
        let root = Root::generate(epoch, entropy)?;
        let (leaving, new) = match change {
            Resolved::Put(new) => (new.name.clone(), Some(new)),
            Resolved::Remove(name) => (name, None),
        };
        let mut sources = Vec::with_capacity(before.sources.len());
        for source in before
            .sources
            .iter()
            .filter(|source| source.name != leaving)
        {
            sources.push(Source {
                root: root.seal_to(&before.id, &source.name, &source.key)?,
                ..source.clone()
            });
        }
        if let Some(new) = new {
            sources.push(new.seal(&before.id, &root, now)?);
        }
        let installation =
            Installation::describe(before.id, before.created, &root, sources, &keyring, entropy)?;
        let kek = root.namespace_kek()?;
        let mut rows = vec![RootRow::Keyring(
            u64::from(epoch),
            root.seal_keyring(&installation.id, &keyring, entropy)?,
        )];
        let mut namespaces = BTreeSet::new();
        let prefix = KeyPrefix::all().part(&u64::from(old.epoch));
        for ((_, name, key_epoch), row) in self.namespace_rows(&prefix)? {
            let namespace: Namespace = name.parse().map_err(|_| SealError::KeyringMismatch)?;
            let key_epoch = u32::try_from(key_epoch).map_err(|_| SealError::KeyringMismatch)?;
            let binding = key_binding(&namespace, key_epoch);
            let key = open(
                |epoch| (epoch == old.epoch).then_some(&keys.kek),
                &binding,
                row.value.as_bytes(),
            )
            .map_err(|_| SealError::KeyringMismatch)?;
            rows.push(RootRow::Namespace(
                (u64::from(epoch), name, u64::from(key_epoch)),
                seal(&kek, epoch, &binding, entropy, key.expose())?,
            ));
            namespaces.insert(namespace);
        }
        for namespace in &namespaces {
            let fresh = random_key(entropy)?;
            rows.push(RootRow::Namespace(
                (u64::from(epoch), namespace.to_string(), u64::from(epoch)),
                seal(
                    &kek,
                    epoch,
                    &key_binding(namespace, epoch),
                    entropy,
                    fresh.expose(),
                )?,
            ));
        }
        Ok(NextRoot {
            barrier: barrier(&installation, &keyring, Arc::clone(&self.entropy))?,
            bundle_keys: keyring.bundle_keys()?,
            keys: Keys::new(installation, &root, &keyring)?,
            rows,
            namespaces,
        })
    }

    /// Puts a root in force whose rows are durable ([`NextRoot::put`]). Sessions of
    /// before end, since their root is one that an old backup holds.
    ///
    /// # Errors
    /// `installation.json` could not be replaced, or the store did not take the new
    /// keys. The old root is still in force, though the file may name the new one;
    /// [`Self::settle_root`] puts that right and makes the old root the only one.
    pub fn turn_root(&self, next: NextRoot) -> Result<(), SealError> {
        next.keys.installation.write(&self.home)?;
        // Rows are sealed under the new epoch only from here on: before the file
        // names the new root, a crash would leave rows that nothing opens.
        self.store.install_barrier(next.barrier)?;
        self.bundle_keys.replace(next.bundle_keys);
        self.keys.store(Arc::new(next.keys));
        Ok(())
    }

    /// Makes the root that is in force the only one: `installation.json` is put
    /// right and on disk, then the rows of other roots go. Does nothing when there
    /// are none. No change of passphrase may be under way meanwhile.
    ///
    /// When a change of passphrase did not come to its end, that is recorded with
    /// the removal of its keys: the ledger says already that it began.
    ///
    /// # Errors
    /// Files or the commit; what was not done can be done by calling it again.
    pub async fn settle_root(&self, clock: &dyn Clock) -> Result<(), SealError> {
        let installation = self.installation();
        let epoch = u64::from(installation.root_epoch);
        let others: Vec<_> = all_rows(&KEYRINGS, &self.store, &KeyPrefix::all())?
            .into_iter()
            .filter(|(key, _)| *key != epoch)
            .collect();
        if others.is_empty() {
            return Ok(());
        }
        // Whichever file a crash would have left, it must not name rows that go.
        installation.confirm(&self.home)?;
        let now = clock.now();
        // A full disk is one reason for a change to break off; the keys go still.
        let mut batch = Batch::new(BatchId::generate(now, self.entropy.as_ref())?).reserved();
        for (key, row) in &others {
            KEYRINGS.expect(&mut batch, key, Expected::At(row.version));
            KEYRINGS.delete(&mut batch, key);
            REWRAPS.delete(&mut batch, key);
        }
        for (key, _) in self.namespace_rows(&KeyPrefix::all())? {
            if key.0 != epoch {
                NAMESPACE_KEYS.delete(&mut batch, &key);
            }
        }
        if others.iter().any(|(key, _)| *key > epoch) {
            let trace = TraceId::generate(now, self.entropy.as_ref())?;
            let action = PassphraseChange::ACTION.as_str();
            let entry = Entry {
                decision: Decision::Failed,
                reason: Some("interrupted".into()),
                resource: Some(Resource::Installation.to_string()),
                ..Entry::new(now, self.entropy.as_ref(), action, trace)?
            };
            batch.append(LEDGER, entry.to_bytes().map_err(RecordError::from)?);
        }
        self.store.commit(batch).await.map_err(RecordError::from)?;
        Ok(())
    }
}
