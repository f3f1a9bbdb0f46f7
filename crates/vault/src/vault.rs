//! The open vault: made, opened, and what everything else is done with.

use crate::error::SealError;
use crate::installation::Installation;
use crate::keyring::{Keyring, SessionRoots};
use crate::namespace::NamespaceKeys;
use crate::namespace_end::KeysGo;
use crate::root::Root;
use crate::rotation_step::RotationStep;
use crate::servers::Beside;
use crate::unseal_source::{Brought, NewSource, SHARES, SLIP39};
use arc_swap::ArcSwap;
use procura_crypto::{MacKey, SigningKey, XaesKey};
use procura_policy::Op;
use procura_record::{BundleKeys, LedgerKeys, RecordedBatch};
use procura_store::{Barrier, BarrierKeys, Seq, Store};
use procura_types::{Clock, Entropy, Label, Namespace, Secret, Timestamp};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};

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
    device_grant_key: MacKey,
    opened_by: Option<OpenedBy>,
    steps: OnceLock<Box<dyn Fn(RotationStep) + Send + Sync>>,
    /// How many rows the next batch of a rewrapping pass looks at.
    pub(crate) room: AtomicUsize,
    /// That batch, where it is made already.
    pub(crate) ahead: Mutex<Option<crate::rewrap::Page>>,
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
            device_grant_key: keyring.device_grant_key()?,
            opened_by: None,
            steps: OnceLock::new(),
            room: AtomicUsize::new(crate::rewrap::PAGE),
            ahead: Mutex::default(),
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

    /// Tags the codes of device grants, which are stored as tags only. It never turns.
    #[must_use]
    pub const fn device_grant_key(&self) -> &MacKey {
        &self.device_grant_key
    }

    pub(crate) fn entropy(&self) -> &dyn Entropy {
        self.entropy.as_ref()
    }
}
