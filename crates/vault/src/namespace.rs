//! The open vault, its namespaces and their keys.

use crate::error::{SealError, VaultError};
use crate::installation::{Installation, KEYRINGS};
use crate::keyring::{Keyring, SessionRoots, random_key};
use crate::namespace_end::KeysGo;
use crate::root::Root;
use crate::rotation_step::RotationStep;
use crate::servers::Beside;
use crate::unseal_source::{Brought, NewSource, SHARES, SLIP39};
use arc_swap::ArcSwap;
use procura_crypto::{Binding, Holder, MacKey, Purpose, SigningKey, XaesKey, seal};
use procura_directory::{NamespaceRecord, RolesRecord, Snapshot};
use procura_policy::{Action, Op, Permit, Resource};
use procura_record::{BundleKeys, LedgerKeys, RecordedBatch};
use procura_store::{Barrier, BarrierKeys, Blob, Expected, Kind, Row, Seq, Store, Table};
use procura_types::wire::{NamespaceInfo, NamespaceList, RoleAssignment};
use procura_types::{Clock, Entropy, Label, Namespace, Role, Secret, Timestamp};
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

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

/// What changes together when the root is rotated.
pub(crate) struct Keys {
    pub(crate) installation: Installation,
    pub(crate) origin: String,
    pub(crate) kek: XaesKey,
    session: ArcSwap<SessionRoots>,
    /// As far as they were asked for; none of a namespace that ended.
    pub(crate) namespaces: RwLock<HashMap<Namespace, Option<Arc<NamespaceKeys>>>>,
}

impl Keys {
    pub(crate) fn new(
        installation: Installation,
        root: &Root,
        keyring: &Keyring,
    ) -> Result<Self, SealError> {
        Ok(Self {
            origin: keyring.origin(&installation.id),
            installation,
            kek: root.namespace_kek()?,
            session: ArcSwap::from_pointee(keyring.session_roots()?),
            namespaces: RwLock::new(HashMap::new()),
        })
    }

    /// Forgets the keys of these namespaces. Who read their rows a moment ago does not
    /// bring them back.
    pub(crate) fn forget(&self, ended: impl Fn(&Namespace) -> bool) {
        let mut namespaces = self
            .namespaces
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        for (name, keys) in namespaces.iter_mut() {
            if ended(name) {
                *keys = None;
            }
        }
    }
}

/// The open vault. Dropping it forgets its keys; the store must be sealed as well.
pub struct Vault {
    pub(crate) home: PathBuf,
    pub(crate) store: Store,
    pub(crate) entropy: Arc<dyn Entropy>,
    pub(crate) keys: Arc<ArcSwap<Keys>>,
    server_key: SigningKey,
    pub(crate) ledger_keys: Arc<LedgerKeys>,
    pub(crate) bundle_keys: Arc<BundleKeys>,
    backup_key: MacKey,
    opened_by: Option<OpenedBy>,
    steps: OnceLock<Box<dyn Fn(RotationStep) + Send + Sync>>,
    /// How many rows the next batch of a rewrapping pass looks at.
    pub(crate) room: AtomicUsize,
    /// What this server is among others, where several use the store.
    pub(crate) beside: Option<Beside>,
}

/// Which unseal source opened a vault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenedBy {
    /// Its name.
    pub source: Label,
    /// The word for its kind.
    pub kind: &'static str,
}

impl OpenedBy {
    /// Whether several people did it with shares, of whichever scheme: a recovery.
    #[must_use]
    pub fn is_shares(&self) -> bool {
        [SHARES, SLIP39].contains(&self.kind)
    }
}

/// A vault that was made and is not yet on disk: `init` puts the keyring and the
/// owner into one commit, and only then [`Vault::establish`]es the home.
pub struct Founding {
    root: Root,
    keyring: Keyring,
}

pub(crate) fn barrier(
    installation: &Installation,
    keyring: &Keyring,
    entropy: Arc<dyn Entropy>,
) -> Result<Barrier, SealError> {
    let copy = |key: &Secret<[u8; 32]>| Secret::new(*key.expose());
    Ok(Barrier::new(
        BarrierKeys {
            installation: installation.id,
            epochs: keyring
                .barrier
                .iter()
                .map(|(epoch, key)| (*epoch, copy(key)))
                .collect(),
            set_key: copy(&keyring.set_key),
            chain_key: copy(&keyring.chain_key),
            index_key: copy(&keyring.index_key),
        },
        entropy,
    )?
    .turned(keyring.turned())?)
}

fn duplicate(key: &SigningKey) -> Result<SigningKey, SealError> {
    Ok(SigningKey::from_secret_bytes(
        key.to_secret_bytes().expose(),
    )?)
}

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
    /// Makes keys for a new installation and opens the store with them. Nothing
    /// is durable until [`Self::establish`].
    pub fn found(
        home: &Path,
        store: Store,
        id: procura_types::InstallationId,
        source: NewSource,
        clock: &dyn Clock,
        entropy: Arc<dyn Entropy>,
    ) -> Result<(Self, Founding), SealError> {
        let root = Root::generate(1, entropy.as_ref())?;
        let keyring = Keyring::generate(entropy.as_ref())?;
        let now = clock.now();
        let sources = vec![source.seal(&id, &root, now)?];
        let installation =
            Installation::describe(id, now, &root, sources, &keyring, entropy.as_ref())?;
        store.install_barrier(barrier(&installation, &keyring, Arc::clone(&entropy))?)?;
        let beside = Beside::new(home, &store, Seq::ZERO, now, entropy.as_ref())?;
        let vault = Self {
            beside,
            ..Self::with_keys(home, store, entropy, installation, &root, &keyring)?
        };
        Ok((vault, Founding { root, keyring }))
    }

    /// Puts the keyring of a new installation into its first commit.
    pub fn put_founding<O: Op>(
        &self,
        batch: &mut RecordedBatch<'_, O>,
        founding: &Founding,
    ) -> Result<(), SealError> {
        let keys = self.keys.load();
        let id = keys.installation.id;
        if self.beside.is_some() {
            keys.installation.put_first(batch.rows())?;
        }
        Installation::put_keyring(
            batch.rows(),
            &id,
            &founding.root,
            &founding.keyring,
            self.entropy.as_ref(),
        )
    }

    /// Writes `installation.json`, after the first commit: the home is
    /// initialised from here on.
    pub fn establish(&self) -> Result<(), SealError> {
        if self.beside.is_some()
            && let Some((_, version)) = Installation::stored(&self.store)?
        {
            self.fence(version)?;
        }
        self.keys.load().installation.write(&self.home)
    }

    /// Opens the vault with what somebody brings. Takes as long as Argon2id takes for
    /// each passphrase that is enrolled.
    ///
    /// # Errors
    /// [`SealError::WrongPassphrase`] or [`SealError::OtherShare`] when it opens no
    /// source; what is wrong with shares; what is damaged.
    pub fn unseal(
        home: &Path,
        store: Store,
        mut installation: Installation,
        brought: &Brought,
        entropy: Arc<dyn Entropy>,
    ) -> Result<Self, SealError> {
        let mut version = Seq::ZERO;
        if store.is_shared() {
            // Another server may have changed it since it was last looked at.
            (installation, version) =
                Installation::stored(&store)?.ok_or(SealError::NotInitialised)?;
        }
        let (root, opened) = installation.open_root(brought)?;
        let opened_by = OpenedBy {
            source: opened.name.clone(),
            kind: opened.keeper.kind(),
        };
        let keyring = installation.load_keyring(&store, &root)?;
        installation.check_keys(&keyring)?;
        if let Some(present) = installation.renewed(&root, brought, &keyring, entropy.as_ref())? {
            present.write(home)?;
            installation = present;
        }
        if !store.is_shared() && installation.follows_another(&store)? {
            // From here on rows may be sealed with keys that only this file leads
            // to; a change of passphrase that broke off may not have got it to disk.
            installation.confirm(home)?;
        }
        store.install_barrier(barrier(&installation, &keyring, Arc::clone(&entropy))?)?;
        let beside = Beside::new(
            home,
            &store,
            version,
            installation.created,
            entropy.as_ref(),
        )?;
        let vault = Self {
            opened_by: Some(opened_by),
            beside,
            ..Self::with_keys(home, store, entropy, installation, &root, &keyring)?
        };
        vault.fence(version)?;
        Ok(vault)
    }

    fn with_keys(
        home: &Path,
        store: Store,
        entropy: Arc<dyn Entropy>,
        installation: Installation,
        root: &Root,
        keyring: &Keyring,
    ) -> Result<Self, SealError> {
        let signers = keyring.signers(&installation.id)?;
        let keys = Arc::new(ArcSwap::from_pointee(Keys::new(
            installation,
            root,
            keyring,
        )?));
        store.observe(Arc::new(KeysGo(Arc::downgrade(&keys))));
        Ok(Self {
            home: home.to_owned(),
            store,
            entropy,
            keys,
            server_key: duplicate(&keyring.server_key)?,
            ledger_keys: Arc::new(LedgerKeys::new(signers)),
            bundle_keys: Arc::new(BundleKeys::new(keyring.bundle_keys()?)),
            backup_key: keyring.backup_key()?,
            opened_by: None,
            steps: OnceLock::new(),
            room: AtomicUsize::new(crate::rewrap::PAGE),
            beside: None,
        })
    }

    /// By which source it was opened; `None` when it was made just now.
    #[must_use]
    pub const fn opened_by(&self) -> Option<&OpenedBy> {
        self.opened_by.as_ref()
    }

    /// The store.
    #[must_use]
    pub const fn store(&self) -> &Store {
        &self.store
    }

    /// What stands on disk beside the database.
    #[must_use]
    pub fn installation(&self) -> Installation {
        self.keys.load().installation.clone()
    }

    /// The roots of sessions.
    #[must_use]
    pub fn session_roots(&self) -> Arc<SessionRoots> {
        self.keys.load().session.load_full()
    }

    /// Forgets the roots of sessions whose time is over.
    pub fn end_sessions(&self, now: Timestamp) {
        let keys = self.keys.load();
        let left = keys.session.load().without_ended(now);
        if let Some(left) = left {
            keys.session.store(Arc::new(left));
        }
    }

    /// Signs what clients pin: answers to joins and sessions.
    #[must_use]
    pub const fn server_key(&self) -> &SigningKey {
        &self.server_key
    }

    /// The keys that sign checkpoints; they follow the root when it turns.
    #[must_use]
    pub fn ledger_keys(&self) -> Arc<LedgerKeys> {
        Arc::clone(&self.ledger_keys)
    }

    /// Has `steps` called after each durable step of a rotation, on the thread that made
    /// it. Only the first call counts.
    pub fn watch_steps(&self, steps: impl Fn(RotationStep) + Send + Sync + 'static) {
        // There is one place that watches: where the vault is opened.
        let _ = self.steps.set(Box::new(steps));
    }

    /// Tells that a step of a rotation is durable.
    pub(crate) fn reached(&self, step: RotationStep) {
        if let Some(steps) = self.steps.get() {
            steps(step);
        }
    }

    /// Seal entry bundles on disk; they follow the root when it turns.
    #[must_use]
    pub fn bundle_keys(&self) -> Arc<BundleKeys> {
        Arc::clone(&self.bundle_keys)
    }

    /// Tags backups; it never turns, so that an old backup is known for one of ours.
    #[must_use]
    pub const fn backup_key(&self) -> &MacKey {
        &self.backup_key
    }

    pub(crate) fn entropy(&self) -> &dyn Entropy {
        self.entropy.as_ref()
    }

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
