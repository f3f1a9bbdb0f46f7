//! A directory with one admin over a fake disk.

use procura_crypto::{SigningKey, SystemEntropy, XaesKey};
use procura_directory::{ActorKind, ActorRecord, DeviceRecord, NamespaceRecord, RolesRecord};
use procura_ledger::{CheckpointSigners, Entry, NoteSigner};
use procura_policy::{Action, DenyReason, Op, Permit, Resource, RoleDecider, authorize};
use procura_proof::{Caller, Profile};
use procura_record::tables::LEDGER;
use procura_record::{
    ChangeError, Details, Directory, LedgerKeys, Origin, Publisher, PublisherError, PublisherParts,
    RecordError, RecordedBatch, Recorder, Tiles,
};
use procura_store::{
    Barrier, BarrierKeys, CommitError, Engine, FakeDisk, FakeEngine, Kind, Store, Table,
};
use procura_types::wire::RoleAssignment;
use procura_types::{
    ActorId, Alg, Clock, Entropy, InstallationId, Namespace, Role, Secret, Thumbprint, Timestamp,
    TraceId,
};
use std::convert::Infallible;
use std::path::Path;
use std::sync::Arc;

pub(crate) const NOW: Timestamp = Timestamp::from_millis(1_795_000_000_000);
pub(crate) const ID: InstallationId = InstallationId::from_bytes([7; 16]);
pub(crate) const ADMIN: ActorId = ActorId::from_bytes([1; 32]);
const DEVICE: Thumbprint = Thumbprint::from_bytes([2; 32]);
/// A table of the tests.
pub(crate) const ROWS: Table<String, u64> = Table::new("test", Kind::Ordinary);

pub(crate) struct Still;

impl Clock for Still {
    fn now(&self) -> Timestamp {
        NOW
    }
}

pub(crate) fn clock() -> Arc<dyn Clock> {
    Arc::new(Still)
}
pub(crate) fn entropy() -> Arc<dyn Entropy> {
    Arc::new(SystemEntropy)
}
pub(crate) fn shop() -> Namespace {
    "shop".parse().unwrap()
}
pub(crate) fn trace() -> TraceId {
    TraceId::from_bytes([9; 16])
}
pub(crate) fn origin() -> Origin {
    Origin::new(trace())
}

/// A change of the admin, of one row.
pub(crate) struct Put(pub(crate) &'static str);

impl Op for Put {
    const ACTION: Action = Action::SecretWrite;
    fn resource(&self) -> Resource {
        Resource::Secret(shop(), self.0.parse().unwrap())
    }
}

/// What the admin socket does.
pub(crate) struct Init;

impl Op for Init {
    const ACTION: Action = Action::InstallationInit;
    fn resource(&self) -> Resource {
        Resource::Installation
    }
}

pub(crate) fn admin_roles(roles: &[Role]) -> RolesRecord {
    RolesRecord {
        actor: ADMIN,
        roles: roles
            .iter()
            .map(|role| RoleAssignment {
                role: *role,
                namespace: Some(shop()),
            })
            .collect(),
    }
}

/// The store on a disk, open.
pub(crate) fn store(disk: &FakeDisk) -> Store {
    store_over(Arc::new(FakeEngine::open(disk).unwrap()))
}

/// The store over an engine, open.
pub(crate) fn store_over(engine: Arc<dyn Engine>) -> Store {
    let store = Store::over(engine, clock(), entropy());
    let key = |byte| Secret::new([byte; 32]);
    let keys = BarrierKeys {
        installation: ID,
        epochs: vec![(1, key(1))],
        set_key: key(2),
        chain_key: key(3),
        index_key: key(4),
    };
    store
        .install_barrier(Barrier::new(keys, entropy()).unwrap())
        .unwrap();
    store
}

pub(crate) fn entries(store: &Store) -> Vec<Entry> {
    let length = usize::try_from(store.log_len(LEDGER).unwrap()).unwrap();
    let entries = store.log_read(LEDGER, 0, length).unwrap();
    assert_eq!(entries.len(), length);
    entries
        .iter()
        .map(|entry| Entry::parse(entry.bytes.expose()).unwrap())
        .collect()
}

pub(crate) fn entry(action: &'static str) -> Entry {
    Entry::new(NOW, &SystemEntropy, action, trace()).unwrap()
}

pub(crate) struct World {
    pub(crate) disk: FakeDisk,
    pub(crate) recorder: Recorder,
}

impl World {
    /// A new installation whose directory took one commit.
    pub(crate) async fn new() -> Self {
        Self::on(&FakeDisk::default()).await
    }

    /// The same on an empty disk of the test.
    pub(crate) async fn on(disk: &FakeDisk) -> Self {
        let world = Self::open(disk);
        let key = SigningKey::generate_p256(&SystemEntropy).unwrap();
        world
            .socket(|batch| {
                batch.put_actor(&ActorRecord {
                    id: ADMIN,
                    kind: ActorKind::Owner {
                        name: "alice".parse().unwrap(),
                        alg: Alg::P256,
                        root_key: key.public().clone(),
                    },
                    owner: ADMIN,
                    created: NOW,
                    revoked: None,
                    sources: Vec::new(),
                    display_name: None,
                });
                batch.put_device(&DeviceRecord {
                    thumbprint: DEVICE,
                    actor: ADMIN,
                    key: key.public().clone(),
                    created: NOW,
                    revoked: None,
                });
                batch.put_roles(&admin_roles(&[Role::Admin]));
                batch.put_namespace(&NamespaceRecord {
                    name: shop(),
                    created: NOW,
                    display_name: None,
                    ended: None,
                });
            })
            .await;
        world
    }

    /// What is on a disk.
    pub(crate) fn open(disk: &FakeDisk) -> Self {
        let store = store(disk);
        let directory = Directory::load(&store).unwrap();
        Self {
            disk: disk.clone(),
            recorder: Recorder::new(store, directory, Arc::new(RoleDecider), clock(), entropy()),
        }
    }

    /// The same disk, after the process ended.
    pub(crate) fn reopen(self) -> Self {
        let disk = self.disk.clone();
        drop(self);
        Self::open(&disk)
    }

    pub(crate) fn store(&self) -> &Store {
        self.recorder.store()
    }

    pub(crate) fn permit<O: Op>(&self, op: O) -> Result<Permit<O>, DenyReason> {
        let snapshot = self.recorder.directory().snapshot();
        let caller = Caller::fake(Profile::Session, ADMIN, ADMIN, Some(DEVICE), snapshot.seq());
        authorize(&RoleDecider, &snapshot, caller, op, NOW).map_err(|(denied, _, _)| denied.reason)
    }

    pub(crate) fn socket_permit(&self) -> Permit<Init> {
        let snapshot = self.recorder.directory().snapshot();
        let caller = Caller::admin_socket(1000, 1000, NOW).unwrap();
        authorize(&RoleDecider, &snapshot, caller, Init, NOW)
            .map_err(|(denied, _, _)| denied)
            .unwrap()
    }

    pub(crate) async fn socket(&self, build: impl Fn(&mut RecordedBatch<'_, Init>)) {
        let permit = self.socket_permit();
        self.recorder
            .change(permit, &origin(), |batch| {
                build(batch);
                Ok::<_, Infallible>(())
            })
            .await
            .unwrap();
    }

    pub(crate) async fn put(
        &self,
        key: &'static str,
        value: u64,
    ) -> Result<(), ChangeError<Infallible>> {
        let permit = self.permit(Put(key)).unwrap();
        self.recorder
            .change(permit, &origin(), |batch| {
                ROWS.put(batch.rows(), &key.to_owned(), &value);
                Ok(())
            })
            .await
    }

    /// Why the use of a row cannot be recorded.
    pub(crate) async fn unrecorded(&self, key: &'static str) -> CommitError {
        let permit = self.permit(Put(key)).unwrap();
        let refused = self
            .recorder
            .record(permit, origin(), Details::default())
            .await;
        match refused.err().unwrap() {
            RecordError::Commit(error) => error,
            other => panic!("another failure: {other}"),
        }
    }

    pub(crate) fn row(&self, key: &str) -> Option<u64> {
        ROWS.get(self.store(), &key.to_owned())
            .unwrap()
            .map(|row| row.value)
    }

    pub(crate) fn entries(&self) -> Vec<Entry> {
        entries(self.store())
    }

    /// The entries, once all that was refused so far is among them.
    pub(crate) async fn refused(&self) -> Vec<Entry> {
        self.recorder.drain_refusals().await;
        self.entries()
    }

    /// The publisher over this store, with its files below `home`.
    pub(crate) async fn publisher(&self, home: &Path) -> Result<Publisher, PublisherError> {
        Publisher::start(parts(self.store(), home)).await
    }
}

pub(crate) fn tiles(home: &Path) -> Tiles {
    let key = XaesKey::new(Secret::new([5; 32])).unwrap();
    let keys = procura_record::BundleKeys::new([(1, key)].into());
    Tiles::new(home, ID, Arc::new(keys), entropy())
}

pub(crate) fn parts(store: &Store, home: &Path) -> PublisherParts {
    // The same of every process of a test.
    let key = [&[Alg::Ed25519.byte()][..], &[6; 32]].concat();
    let key = SigningKey::from_secret_bytes(&key).unwrap();
    let signer = NoteSigner::new(&procura_ledger::origin(&ID), key).unwrap();
    PublisherParts {
        store: store.clone(),
        tiles: tiles(home),
        keys: Arc::new(LedgerKeys::new(CheckpointSigners::new(signer, Vec::new()))),
        clock: clock(),
        entropy: entropy(),
    }
}

pub(crate) async fn until(reached: impl Fn() -> bool) {
    let waiting = async {
        while !reached() {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(60), waiting)
        .await
        .unwrap();
}
