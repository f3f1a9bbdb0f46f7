//! An installation with one owner and the namespaces `shop` and `bank`.

use procura_crypto::{SigningKey, SystemEntropy};
use procura_identity::InstallationInit;
use procura_ledger::Entry;
use procura_policy::{Op, Permit, RoleDecider, authorize};
use procura_proof::{Caller, Profile};
use procura_record::tables::LEDGER;
use procura_record::{ChangeError, Directory, Origin, RecordedBatch, Recorder};
use procura_store::{FakeDisk, FakeEngine, OpenError, SqliteOptions, Store};
use procura_types::wire::{SecretHistory, SecretList, SecretUndeleted, SecretWritten};
use procura_types::{
    ActorId, Clock, Entropy, InstallationId, Label, Namespace, Secret, SecretPath, Thumbprint,
    Timestamp, TraceId,
};
use procura_vault::{
    Brought, Installation, NamespaceCreate, NewSource, NextRoot, PassphraseChange, SealError,
    SecretAbout, SecretDelete, SecretDestroy, SecretHistoryQuery, SecretListing, SecretRead,
    SecretUndelete, SecretWrite, SourceChange, Vault, VaultError,
};
use std::fmt::Debug;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

pub(crate) const PASSPHRASE: &str = "correct horse battery";
pub(crate) const NOW: Timestamp = Timestamp::from_millis(1_795_000_000_000);

struct Still;

impl Clock for Still {
    fn now(&self) -> Timestamp {
        NOW
    }
}

pub(crate) fn secret(text: &str) -> Secret<String> {
    Secret::new(text.to_owned())
}
pub(crate) fn shop() -> Namespace {
    "shop".parse().unwrap()
}
pub(crate) fn bank() -> Namespace {
    "bank".parse().unwrap()
}
pub(crate) fn path(text: &str) -> SecretPath {
    text.parse().unwrap()
}
pub(crate) fn origin() -> Origin {
    Origin::new(TraceId::from_bytes([9; 16]))
}

/// A file holds `needle` somewhere below `home`.
pub(crate) fn holds(home: &Path, needle: &[u8]) -> bool {
    std::fs::read_dir(home).unwrap().any(|entry| {
        let path = entry.unwrap().path();
        if path.is_dir() {
            return holds(&path, needle);
        }
        let bytes = std::fs::read(path).unwrap();
        bytes.windows(needle.len()).any(|window| window == needle)
    })
}

/// A home without a process.
pub(crate) struct Closed {
    pub(crate) home: tempfile::TempDir,
    pub(crate) id: InstallationId,
    /// What the store is on, when it is a fake.
    pub(crate) disk: Option<FakeDisk>,
    owner: ActorId,
    device: Thumbprint,
}

pub(crate) struct World {
    pub(crate) vault: Vault,
    pub(crate) recorder: Recorder,
    pub(crate) place: Closed,
    /// Milliseconds after [`NOW`].
    later: AtomicU64,
}

fn clock() -> Arc<dyn Clock> {
    Arc::new(Still)
}
fn entropy() -> Arc<dyn Entropy> {
    Arc::new(SystemEntropy)
}

pub(crate) fn create_store(home: &Path, id: &InstallationId) -> Store {
    let options = SqliteOptions::default();
    Store::create(&home.join("db"), id, &options, clock(), entropy()).unwrap()
}

pub(crate) fn open_store(home: &Path, id: &InstallationId) -> Result<Store, OpenError> {
    let options = SqliteOptions::default();
    Store::open(&home.join("db"), id, &options, clock(), entropy())
}

fn fake_store(disk: &FakeDisk) -> Store {
    let engine = FakeEngine::open(disk).unwrap();
    Store::over(Arc::new(engine), clock(), entropy())
}

pub(crate) fn found(
    home: &Path,
    store: Store,
    id: InstallationId,
    passphrase: &str,
) -> Result<(Vault, procura_vault::Founding), SealError> {
    let source = NewSource::passphrase(first_source(), &secret(passphrase), &SystemEntropy)?;
    Vault::found(home, store, id, source, &Still, entropy())
}

/// The name of the source that a home begins with.
pub(crate) fn first_source() -> Label {
    "passphrase".parse().unwrap()
}

/// A passphrase as it is brought.
pub(crate) fn typed(passphrase: &str) -> Brought {
    Brought::Passphrase(secret(passphrase))
}

impl Closed {
    /// The store, sealed. What the last world left behind ends meanwhile.
    pub(crate) async fn store(&self) -> Store {
        if let Some(disk) = &self.disk {
            return fake_store(disk);
        }
        for _ in 0..100_000 {
            match open_store(self.home.path(), &self.id) {
                Err(OpenError::InUse(_)) => tokio::task::yield_now().await,
                other => return other.unwrap(),
            }
        }
        panic!("the store is still in use");
    }

    pub(crate) fn unseal(&self, store: Store, passphrase: &str) -> Result<Vault, SealError> {
        self.unseal_with(store, &typed(passphrase))
    }

    pub(crate) fn unseal_with(&self, store: Store, brought: &Brought) -> Result<Vault, SealError> {
        let home = self.home.path();
        let installation = Installation::read(home)?;
        Vault::unseal(home, store, installation, brought, entropy())
    }

    pub(crate) async fn open(self, passphrase: &str) -> Result<World, SealError> {
        self.open_with(&typed(passphrase)).await
    }

    pub(crate) async fn open_with(self, brought: &Brought) -> Result<World, SealError> {
        let store = self.store().await;
        let vault = self.unseal_with(store.clone(), brought)?;
        let directory = Directory::load(&store).unwrap();
        let recorder = Recorder::new(store, directory, Arc::new(RoleDecider), clock(), entropy());
        Ok(World {
            vault,
            recorder,
            place: self,
            later: AtomicU64::new(0),
        })
    }
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::on(None).await
    }

    /// On a disk that fails when asked to, or else on a real one.
    pub(crate) async fn on(disk: Option<FakeDisk>) -> Self {
        let home = tempfile::tempdir().unwrap();
        let id = InstallationId::from_bytes([7; 16]);
        let store = match &disk {
            Some(disk) => fake_store(disk),
            None => create_store(home.path(), &id),
        };
        let (vault, founding) = found(home.path(), store.clone(), id, PASSPHRASE).unwrap();
        let directory = Directory::load(&store).unwrap();
        let recorder = Recorder::new(store, directory, Arc::new(RoleDecider), clock(), entropy());
        let key = SigningKey::generate_p256(&SystemEntropy).unwrap();
        let device = key.public().thumbprint();
        let owner = procura_crypto::owner_id(procura_types::Alg::P256, key.public().as_bytes());
        let world = Self {
            vault,
            recorder,
            place: Closed {
                home,
                id,
                disk,
                owner,
                device,
            },
            later: AtomicU64::new(0),
        };
        let init = InstallationInit {
            owner: "alice".parse().unwrap(),
            root_key: key.public().clone(),
        };
        world
            .socket(init, |batch| {
                world.vault.put_founding(batch, &founding).unwrap();
                InstallationInit::run(batch, NOW)
            })
            .await
            .unwrap();
        world.vault.establish().unwrap();
        for name in [shop(), bank()] {
            world.namespace(name).await.unwrap();
        }
        world
    }

    /// What time it is for secrets.
    pub(crate) fn now(&self) -> Timestamp {
        let later = self.later.load(Ordering::Relaxed);
        Timestamp::from_millis(NOW.as_millis() + later)
    }

    /// Lets time go by, and says what time it is then.
    pub(crate) fn pass(&self, millis: u64) -> Timestamp {
        self.later.fetch_add(millis, Ordering::Relaxed);
        self.now()
    }

    /// All entries of the ledger.
    pub(crate) fn entries(&self) -> Vec<Entry> {
        let store = self.vault.store();
        let length = usize::try_from(store.log_len(LEDGER).unwrap()).unwrap();
        store
            .log_read(LEDGER, 0, length)
            .unwrap()
            .iter()
            .map(|entry| Entry::parse(entry.bytes.expose()).unwrap())
            .collect()
    }

    /// Ends the process, so to say.
    pub(crate) fn close(self) -> Closed {
        self.vault.store().seal();
        self.place
    }

    async fn socket<O: Op, T, E: Debug>(
        &self,
        op: O,
        build: impl Fn(&mut RecordedBatch<'_, O>) -> Result<T, E>,
    ) -> Result<T, E> {
        let caller = Caller::admin_socket(1000, 1000, NOW).unwrap();
        change(&self.recorder, self.permit_of(caller, op), build).await
    }

    pub(crate) fn permit_of<O: Op>(&self, caller: Caller, op: O) -> Permit<O> {
        let snapshot = self.recorder.directory().snapshot();
        authorize(&RoleDecider, &snapshot, caller, op, NOW)
            .map_err(|(denied, _, _)| denied)
            .unwrap()
    }

    pub(crate) fn permit<O: Op>(&self, op: O) -> Permit<O> {
        let (owner, device) = (self.place.owner, self.place.device);
        let seq = self.recorder.directory().snapshot().seq();
        self.permit_of(
            Caller::fake(Profile::Native, owner, owner, Some(device), seq),
            op,
        )
    }

    pub(crate) async fn act<O: Op, T, E: Debug>(
        &self,
        op: O,
        build: impl Fn(&mut RecordedBatch<'_, O>) -> Result<T, E>,
    ) -> Result<T, E> {
        change(&self.recorder, self.permit(op), build).await
    }

    pub(crate) async fn namespace(&self, name: Namespace) -> Result<(), VaultError> {
        self.act(NamespaceCreate { name }, |batch| {
            NamespaceCreate::run(&self.vault, batch, NOW)
        })
        .await
        .map(|_| ())
    }

    pub(crate) async fn write(&self, op: SecretWrite) -> Result<SecretWritten, VaultError> {
        self.act(op, |batch| SecretWrite::run(&self.vault, batch, self.now()))
            .await
    }

    pub(crate) async fn put(&self, namespace: &Namespace, at: &str, value: &[u8]) -> u64 {
        self.write(writing(namespace, at, value))
            .await
            .unwrap()
            .version
    }

    pub(crate) async fn read(
        &self,
        namespace: &Namespace,
        at: &str,
        version: Option<u64>,
    ) -> Result<Vec<u8>, VaultError> {
        let op = SecretRead {
            namespace: namespace.clone(),
            path: path(at),
            version,
            at: None,
        };
        self.read_op(op).await
    }

    /// Reads the value that was at a path then.
    pub(crate) async fn read_at(&self, at: &str, time: Timestamp) -> Result<Vec<u8>, VaultError> {
        let op = SecretRead {
            namespace: shop(),
            path: path(at),
            version: None,
            at: Some(time),
        };
        self.read_op(op).await
    }

    async fn read_op(&self, op: SecretRead) -> Result<Vec<u8>, VaultError> {
        let Some(readable) = self.vault.readable_of(&op, self.now())? else {
            return Err(VaultError::NotFound(op.path));
        };
        let recorded = self
            .recorder
            .record(self.permit(op), origin(), readable.details())
            .await
            .unwrap();
        let released = self.vault.release_one(&recorded, readable, self.now())?;
        Ok(released.value.expose().clone())
    }

    pub(crate) async fn delete(&self, at: &str, version: Option<u64>) -> Result<(), VaultError> {
        let op = SecretDelete {
            namespace: shop(),
            path: path(at),
            version,
        };
        self.act(op, |batch| SecretDelete::run(batch, self.now()))
            .await
    }

    pub(crate) async fn destroy(&self, at: &str, version: Option<u64>) -> Result<(), VaultError> {
        let op = SecretDestroy {
            namespace: shop(),
            path: path(at),
            version,
        };
        self.act(op, |batch| SecretDestroy::run(batch, self.now()))
            .await
    }

    pub(crate) async fn undelete(
        &self,
        at: &str,
        version: Option<u64>,
    ) -> Result<SecretUndeleted, VaultError> {
        let op = SecretUndelete {
            namespace: shop(),
            path: path(at),
            version,
        };
        self.act(op, |batch| SecretUndelete::run(batch, self.now()))
            .await
    }

    pub(crate) fn history(
        &self,
        at: &str,
        before: Option<u64>,
        limit: Option<usize>,
    ) -> Result<SecretHistory, VaultError> {
        let op = SecretHistoryQuery {
            namespace: shop(),
            path: path(at),
            before,
            limit,
        };
        SecretHistoryQuery::run(&self.permit(op), self.vault.store())
    }

    pub(crate) fn list(
        &self,
        namespace: &Namespace,
        prefix: &str,
        after: Option<&str>,
        limit: Option<usize>,
    ) -> SecretList {
        let op = SecretListing {
            namespace: namespace.clone(),
            prefix: prefix.to_owned(),
            after: after.map(path),
            limit,
            due: None,
        };
        SecretListing::run(
            &self.permit(op),
            &self.recorder.directory().snapshot(),
            self.vault.store(),
        )
        .unwrap()
    }

    /// Changes the passphrase; `lose` makes the process end after the commit.
    pub(crate) async fn change_passphrase(
        &self,
        current: &str,
        new: &str,
        lose: bool,
    ) -> Result<(), SealError> {
        let next = self.next_root(current, new)?;
        self.commit_root(&next).await.unwrap();
        if lose {
            return Err(SealError::NotInitialised);
        }
        self.vault.turn_root(next)
    }

    /// The root for another passphrase.
    pub(crate) fn next_root(&self, current: &str, new: &str) -> Result<NextRoot, SealError> {
        let change = SourceChange::Passphrase(secret(new));
        self.vault.next_root(&typed(current), change, &Still)
    }

    /// Adds a source.
    pub(crate) fn add(&self, brought: &Brought, source: NewSource) -> Result<(), SealError> {
        let next = self.vault.next_sources(brought, source, &Still)?;
        self.vault.put_sources(next)
    }

    /// Removes a source, which turns the root.
    pub(crate) async fn remove(&self, brought: &Brought, name: Label) -> Result<(), SealError> {
        let change = SourceChange::Remove {
            name,
            wrappers_alone: false,
        };
        let next = self.vault.next_root(brought, change, &Still)?;
        self.commit_root(&next).await.unwrap();
        self.vault.turn_root(next)?;
        self.vault.settle_root(&Still).await
    }

    /// Makes the rows of a root durable.
    pub(crate) async fn commit_root(&self, next: &NextRoot) -> Result<(), VaultError> {
        let caller = Caller::admin_socket(1000, 1000, NOW).unwrap();
        let permit = self.permit_of(caller, PassphraseChange);
        change(&self.recorder, permit, |batch| next.put(batch)).await
    }
}

pub(crate) fn writing(namespace: &Namespace, at: &str, value: &[u8]) -> SecretWrite {
    SecretWrite {
        namespace: namespace.clone(),
        path: path(at),
        value: Secret::new(value.to_vec()),
        expect_version: None,
        env: None,
        kind: None,
        about: SecretAbout::default(),
    }
}

async fn change<O: Op, T, E: Debug>(
    recorder: &Recorder,
    permit: Permit<O>,
    build: impl Fn(&mut RecordedBatch<'_, O>) -> Result<T, E>,
) -> Result<T, E> {
    match recorder.change(permit, &origin(), build).await {
        Ok(value) => Ok(value),
        Err(ChangeError::Domain(error)) => Err(error),
        Err(ChangeError::Record(error)) => panic!("not recorded: {error}"),
    }
}
