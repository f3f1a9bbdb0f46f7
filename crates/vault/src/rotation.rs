//! A change of the unseal sources, which makes a new root (`protocol.md` §5).
//!
//! | step ([`RotationStep`]) | if it fails, or the process ends after it |
//! |---|---|
//! | 1. `root-prepared`: the next root's keyring and namespace keys are committed beside the old ones | the file names the old root: the old sources open |
//! | 2. `file-replaced`: `installation.json` is replaced: from here on the new sources open, and only they | which of the two files the disk has is decided by what can be read there; both lead to all data, since nothing was sealed with new keys |
//! | 3. `keys-in-use`: the new keys seal and sign | all that the new root leads to is on disk |
//! | 4. `old-root-gone`: the old root's rows go | they stay, and lead to nothing new |
//!
//! After a failure [`Vault::settle_root`] brings the home back to the root that is
//! in force: at once, again whenever it is called, and at the next unseal. Its
//! callers, and those of the change, take turns.

use crate::error::{SealError, VaultError};
use crate::installation::{Installation, KEYRINGS};
use crate::keyring::random_key;
use crate::namespace::{NAMESPACE_KEYS, key_binding};
use crate::rewrap::{ASKED, REWRAPS};
use crate::root::Root;
use crate::rotation_step::RotationStep;
use crate::secret_rows::all_rows;
use crate::unseal_source::{Brought, NewSource, Source};
use crate::vault::{Keys, Vault, barrier};
use procura_crypto::{XaesKey, open, seal};
use procura_ledger::{CheckpointSigners, Decision, Entry};
use procura_policy::{Action, Op, Resource};
use procura_record::tables::LEDGER;
use procura_record::{RecordError, RecordedBatch};
use procura_store::{Barrier, Batch, Blob, Expected, KeyPrefix, Row, Seq};
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

/// Turns the root, with the unseal sources as they are.
pub struct RootRotate;

impl Op for RootRotate {
    const ACTION: Action = Action::InstallationRotate;
    fn resource(&self) -> Resource {
        Resource::Installation
    }
}

/// What the ledger says when the root of before is gone.
const ROTATED: &str = "installation.rotated";

/// How the unseal sources change when the root turns.
pub enum SourceChange {
    /// The source that was brought gets another passphrase, and so does every other one that
    /// had the same: whoever knows it opens nothing any more.
    Passphrase(Secret<String>),
    /// The source of the same name becomes this one.
    Put(NewSource),
    /// It opens nothing any more. What is brought opens one that stays: that anything
    /// else opens the vault is nobody's experience otherwise.
    Remove {
        /// Its name.
        name: Label,
        /// Whether what stays may all be sources with wrappers, so that nobody opens the
        /// vault when a token, chip or service is lost.
        wrappers_alone: bool,
    },
    /// These open nothing any more, and another does in their place.
    Replace(Vec<Label>, NewSource),
    /// All of them stay, and get the new root.
    None {
        /// Whether sessions of before go on until their end. Whoever has their root can
        /// make sessions until the last of them is over.
        sessions_go_on: bool,
    },
}

enum Resolved {
    Put(Vec<NewSource>),
    Remove(Label),
    Replace(Vec<Label>, NewSource),
    None { sessions_go_on: bool },
}

impl SourceChange {
    fn resolve(
        self,
        installation: &Installation,
        opened: &Source,
        brought: &Brought,
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
                let (id, epoch) = (&installation.id, installation.root_epoch);
                let mut changed = Vec::new();
                for source in &installation.sources {
                    if source.name == opened.name || source.open(id, epoch, brought)?.is_some() {
                        let name = source.name.clone();
                        changed.push(NewSource::passphrase(name, &new, entropy)?);
                    }
                }
                Ok(Resolved::Put(changed))
            }
            Self::None { sessions_go_on } => Ok(Resolved::None { sessions_go_on }),
            Self::Put(new) if exists(&new.name) => Ok(Resolved::Put(vec![new])),
            Self::Remove { name, .. } if exists(&name) => Ok(Resolved::Remove(name)),
            Self::Replace(leaving, new) => match leaving.iter().find(|name| !exists(name)) {
                Some(name) => Err(SealError::NoSource(name.clone())),
                None if exists(&new.name) && !leaving.contains(&new.name) => {
                    Err(SealError::SourceExists(new.name))
                }
                None => Ok(Resolved::Replace(leaving, new)),
            },
            Self::Put(NewSource { name, .. }) | Self::Remove { name, .. } => {
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
    pub(crate) keys: Keys,
    pub(crate) barrier: Barrier,
    pub(crate) bundle_keys: BTreeMap<u32, XaesKey>,
    pub(crate) signers: CheckpointSigners,
    rows: Vec<RootRow>,
    namespaces: BTreeSet<Namespace>,
    /// The namespace keys that this root was made from, by namespace and epoch.
    made_from: BTreeSet<(String, u64)>,
    /// The root's epoch before.
    before: u64,
    /// For the other servers of the store, and this one.
    pub(crate) handovers: Vec<(String, Vec<u8>)>,
}

impl NextRoot {
    /// Puts its rows into the batch that records the change.
    ///
    /// # Errors
    /// [`VaultError::NamespacesChanged`] when a namespace, or a key of one, was made
    /// after this root was: it would be left behind under the old one.
    pub fn put<O: Op>(&self, batch: &mut RecordedBatch<'_, O>) -> Result<(), VaultError> {
        let all_are_here = batch
            .directory()
            .namespaces()
            .all(|namespace| self.namespaces.contains(&namespace.name));
        if !all_are_here {
            return Err(VaultError::NamespacesChanged);
        }
        let left = self.left(batch)?;
        let key = format!("ledger_key:{}", self.signers.vkey());
        let said = batch.details().with.take();
        batch.details().with = Some(said.map_or(key.clone(), |said| format!("{said} {key}")));
        for row in &self.rows {
            match row {
                RootRow::Keyring(epoch, envelope) => {
                    KEYRINGS.expect(batch.rows(), epoch, Expected::Absent);
                    KEYRINGS.put(batch.rows(), epoch, &Blob::new(envelope.clone()));
                    REWRAPS.put(batch.rows(), epoch, &crate::rewrap::Progress::default());
                }
                RootRow::Namespace((_, name, _), _) if !left.contains(name) => {}
                RootRow::Namespace(key, envelope) => {
                    NAMESPACE_KEYS.put(batch.rows(), key, &Blob::new(envelope.clone()));
                }
            }
        }
        Ok(())
    }

    /// The namespaces that are there still, whose keys stay as they are until the batch
    /// is committed. A key that went meanwhile goes with the old root, and is of no use
    /// to anybody under the new one.
    fn left<O: Op>(
        &self,
        batch: &mut RecordedBatch<'_, O>,
    ) -> Result<BTreeSet<String>, VaultError> {
        let prefix = KeyPrefix::all().part(&self.before);
        let rows: Vec<((u64, String, u64), Row<Blob>)> =
            all_rows(&NAMESPACE_KEYS, batch.store(), &prefix)?;
        let mut newest: BTreeMap<String, u64> = BTreeMap::new();
        for (key, row) in rows {
            if !self.made_from.contains(&(key.1.clone(), key.2)) {
                return Err(VaultError::NamespacesChanged);
            }
            let epoch = newest.entry(key.1.clone()).or_default();
            *epoch = key.2.max(*epoch);
            NAMESPACE_KEYS.expect(batch.rows(), &key, Expected::At(row.version));
        }
        for (name, epoch) in &newest {
            let later = (self.before, name.clone(), epoch.saturating_add(1));
            NAMESPACE_KEYS.expect(batch.rows(), &later, Expected::Absent);
        }
        Ok(newest.into_keys().collect())
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
    /// [`SealError::LastSource`], [`SealError::WrappersAlone`] and
    /// [`SealError::BroughtLeaves`] of a source that is to go.
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
        if let SourceChange::Remove {
            name,
            wrappers_alone,
        } = &change
        {
            before.check_leaving(name, *wrappers_alone, opened, brought)?;
        }
        let change = change.resolve(before, opened, brought, entropy)?;
        let mut keyring = before.load_keyring(&self.store, &old)?;
        let epoch = old.epoch.checked_add(1).ok_or(SealError::KeyringMismatch)?;
        let (leaving, new, sessions_go_on) = match change {
            Resolved::Put(new) => {
                let leaving = new.iter().map(|new| new.name.clone()).collect();
                (leaving, new, false)
            }
            Resolved::Remove(name) => (vec![name], Vec::new(), false),
            Resolved::Replace(leaving, new) => (leaving, vec![new], false),
            Resolved::None { sessions_go_on } => (Vec::new(), Vec::new(), sessions_go_on),
        };
        keyring.turn(epoch, sessions_go_on, now, entropy)?;
        let root = Root::generate(epoch, entropy)?;
        let mut sources = Vec::with_capacity(before.sources.len());
        for source in before
            .sources
            .iter()
            .filter(|source| !leaving.contains(&source.name))
        {
            sources.push(Source {
                root: root.seal_to(&before.id, &source.name, &source.key)?,
                ..source.clone()
            });
        }
        for new in new {
            sources.push(new.seal(&before.id, &root, now)?);
        }
        let installation =
            Installation::describe(before.id, before.created, &root, sources, &keyring, entropy)?;
        let kek = root.namespace_kek()?;
        let mut rows = vec![RootRow::Keyring(
            u64::from(epoch),
            root.seal_keyring(&installation.id, &keyring, entropy)?,
        )];
        let mut newest: BTreeMap<Namespace, u32> = BTreeMap::new();
        let mut made_from = BTreeSet::new();
        let prefix = KeyPrefix::all().part(&u64::from(old.epoch));
        for ((_, name, key_epoch), row) in self.namespace_rows(&prefix)? {
            let namespace: Namespace = name.parse().map_err(|_| SealError::KeyringMismatch)?;
            made_from.insert((name.clone(), key_epoch));
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
            let known = newest.entry(namespace).or_default();
            *known = key_epoch.max(*known);
        }
        for (namespace, key_epoch) in &newest {
            let fresh = random_key(entropy)?;
            let next = key_epoch.checked_add(1).ok_or(SealError::KeyringMismatch)?;
            rows.push(RootRow::Namespace(
                (u64::from(epoch), namespace.to_string(), u64::from(next)),
                seal(
                    &kek,
                    epoch,
                    &key_binding(namespace, next),
                    entropy,
                    fresh.expose(),
                )?,
            ));
        }
        Ok(NextRoot {
            barrier: barrier(&installation, &keyring, Arc::clone(&self.entropy))?,
            bundle_keys: keyring.bundle_keys()?,
            signers: keyring.signers(&installation.id)?,
            keys: Keys::new(installation, &root, &keyring)?,
            handovers: self.handovers(&root)?,
            rows,
            namespaces: newest.into_keys().collect(),
            made_from,
            before: u64::from(old.epoch),
        })
    }

    /// Puts a root in force whose rows are durable ([`NextRoot::put`]). Sessions of
    /// before end, since their root is one that an old backup holds, unless
    /// [`SourceChange::None`] says that they go on.
    ///
    /// # Errors
    /// `installation.json` could not be replaced, or the store did not take the new
    /// keys. The old root is still in force, though the file may name the new one;
    /// [`Self::settle_root`] puts that right and makes the old root the only one.
    pub fn turn_root(&self, next: NextRoot) -> Result<(), SealError> {
        self.reached(RotationStep::RootPrepared);
        next.keys.installation.write(&self.home)?;
        self.reached(RotationStep::FileReplaced);
        // Rows are sealed under the new epoch only from here on: before the file
        // names the new root, a crash would leave rows that nothing opens.
        self.store.install_barrier(next.barrier)?;
        self.bundle_keys.replace(next.bundle_keys);
        self.ledger_keys.replace(next.signers);
        self.keys.store(Arc::new(next.keys));
        self.reached(RotationStep::KeysInUse);
        Ok(())
    }

    /// Whether the keyring of a root that is not in force may go: a later one may be
    /// another server's, which is in the middle of putting it in force.
    fn is_of_no_use(&self, in_force: u64, other: u64, row: Seq) -> bool {
        other < in_force
            || self
                .beside
                .as_ref()
                .is_none_or(|beside| beside.is_given_up(other, row))
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
            .filter(|(key, row)| *key != epoch && self.is_of_no_use(epoch, *key, row.version))
            .collect();
        if others.is_empty() {
            return Ok(());
        }
        if self.beside.is_none() {
            // Whichever file a crash would have left, it must not name rows that go.
            installation.confirm(&self.home)?;
        }
        let now = clock.now();
        // A full disk is one reason for a change to break off; the keys go still.
        let mut batch = Batch::new(BatchId::generate(now, self.entropy.as_ref())?).reserved();
        for (key, row) in &others {
            KEYRINGS.expect(&mut batch, key, Expected::At(row.version));
            KEYRINGS.delete(&mut batch, key);
            REWRAPS.delete(&mut batch, key);
            ASKED.delete_all(&mut batch, &KeyPrefix::all().part(key));
        }
        for (key, _) in self.namespace_rows(&KeyPrefix::all())? {
            if key.0 < epoch || others.iter().any(|(other, _)| *other == key.0) {
                NAMESPACE_KEYS.delete(&mut batch, &key);
            }
        }
        let entry = |action, failed: bool| -> Result<Vec<u8>, SealError> {
            let trace = TraceId::generate(now, self.entropy.as_ref())?;
            let mut entry = Entry {
                resource: Some(Resource::Installation.to_string()),
                ..Entry::new(now, self.entropy.as_ref(), action, trace)?
            };
            if failed {
                entry.decision = Decision::Failed;
                entry.reason = Some("interrupted".into());
            }
            Ok(entry.to_bytes().map_err(RecordError::from)?)
        };
        if others.iter().any(|(key, _)| *key > epoch) {
            let action = PassphraseChange::ACTION.as_str();
            batch.append(LEDGER, entry(action, true)?);
        }
        if others.iter().any(|(key, _)| *key < epoch) {
            // It is also what has the record signed with the key of from now on.
            batch.append(LEDGER, entry(ROTATED, false)?);
        }
        self.store.commit(batch).await.map_err(RecordError::from)?;
        self.reached(RotationStep::OldRootGone);
        Ok(())
    }
}
