//! Two namespaces with an admin and an agent each, a steward, and the decider of a server
//! over a fake disk.

use procura_cedar::{CedarDecider, PolicyError, PolicyPut, PolicyRollback, PolicyStateSet};
use procura_crypto::{SigningKey, SystemEntropy};
use procura_directory::{
    ActorKind, ActorRecord, DeviceRecord, GrantRecord, NamespaceRecord, RolesRecord, Snapshot,
};
use procura_ledger::Entry;
use procura_policy::{
    Action, Allowed, Concerned, Decider, Denied, DenyReason, GrantNeed, Op, Permit, PolicyRefusal,
    Question, Resource, authorize,
};
use procura_proof::{Caller, Profile};
use procura_record::tables::LEDGER;
use procura_record::{
    ChangeError, Details, Directory, Origin, RecordError, RecordedBatch, Recorder,
};
use procura_store::{Barrier, BarrierKeys, FakeDisk, FakeEngine, Store};
use procura_types::wire::{GrantItem, PolicyState, PolicyVersion, Receipt, RoleAssignment};
use procura_types::{
    ActorId, Alg, Clock, Delivery, GrantId, InstallationId, Namespace, ProjectName, Role, Secret,
    Thumbprint, Timestamp, TraceId,
};
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Sunday, 2026-11-22, 10:30 UTC.
pub(crate) const NOW: u64 = 1_795_343_400_000;
const DAY: u64 = 86_400_000;

/// A clock that a test sets.
#[derive(Default)]
pub(crate) struct Set(AtomicU64);

impl Clock for Set {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(NOW + self.0.load(Ordering::Relaxed))
    }
}

pub(crate) fn namespace(name: &str) -> Namespace {
    name.parse().unwrap()
}

pub(crate) fn web() -> ProjectName {
    "web".parse().unwrap()
}

pub(crate) fn item(name: &str, path: &str) -> GrantItem {
    GrantItem {
        name: name.parse().unwrap(),
        path: path.parse().unwrap(),
    }
}

/// An agent asks for values of the project `web`.
pub(crate) struct Deliver {
    pub(crate) namespace: Namespace,
    project: ProjectName,
    items: Vec<GrantItem>,
}

impl Deliver {
    pub(crate) fn of(name: &str, items: &[(&str, &str)]) -> Self {
        Self {
            namespace: namespace(name),
            project: web(),
            items: items.iter().map(|(name, path)| item(name, path)).collect(),
        }
    }
}

impl Op for Deliver {
    const ACTION: Action = Action::RunDeliver;
    fn resource(&self) -> Resource {
        Resource::Project(self.namespace.clone(), self.project.clone())
    }
    fn concerned(&self) -> Concerned<'_> {
        Concerned {
            need: Some(GrantNeed {
                namespace: &self.namespace,
                project: &self.project,
                delivery: Delivery::Env,
                items: &self.items,
            }),
            ..Concerned::default()
        }
    }
}

/// An operator reads a value.
pub(crate) struct Read(pub(crate) Namespace);

impl Op for Read {
    const ACTION: Action = Action::SecretRead;
    fn resource(&self) -> Resource {
        Resource::Secret(self.0.clone(), "a/key".parse().unwrap())
    }
}

struct Init;

impl Op for Init {
    const ACTION: Action = Action::InstallationInit;
    fn resource(&self) -> Resource {
        Resource::Installation
    }
}

/// What comes of a request, in one word.
pub(crate) fn word<T>(result: Result<T, Denied>) -> String {
    match result {
        Ok(_) => "allowed".to_owned(),
        Err(denied) => denied.to_string(),
    }
}

pub(crate) struct World {
    disk: FakeDisk,
    pub(crate) clock: Arc<Set>,
    pub(crate) decider: Arc<CedarDecider>,
    pub(crate) recorder: Recorder,
    actors: BTreeMap<&'static str, (ActorId, Thumbprint)>,
}

fn store(disk: &FakeDisk, clock: &Arc<Set>) -> Store {
    let engine = Arc::new(FakeEngine::open(disk).unwrap());
    let store = Store::over(engine, clock.clone(), Arc::new(SystemEntropy));
    let key = |byte| Secret::new([byte; 32]);
    let keys = BarrierKeys {
        installation: InstallationId::from_bytes([7; 16]),
        epochs: vec![(1, key(1))],
        set_key: key(2),
        chain_key: key(3),
        index_key: key(4),
    };
    store
        .install_barrier(Barrier::new(keys, Arc::new(SystemEntropy)).unwrap())
        .unwrap();
    store
}

impl World {
    pub(crate) async fn new() -> Self {
        let mut world = Self::open(&FakeDisk::default(), Arc::default(), BTreeMap::new());
        let key = SigningKey::generate_ed25519(&SystemEntropy).unwrap();
        let owners = [
            ("alice", Role::Steward, None),
            ("adam", Role::Admin, Some("shop")),
            ("bert", Role::Admin, Some("bank")),
        ];
        let agents = [
            ("ci", "adam", "shop"),
            ("dev", "adam", "shop"),
            ("robber", "bert", "bank"),
        ];
        let names = owners
            .iter()
            .map(|owner| owner.0)
            .chain(agents.map(|agent| agent.0));
        for (number, name) in (1..).zip(names) {
            let ids = (
                ActorId::from_bytes([number; 32]),
                Thumbprint::from_bytes([100 + number; 32]),
            );
            world.actors.insert(name, ids);
        }
        let ids = world.actors.clone();
        world
            .by_socket(|batch| {
                for name in ["shop", "bank"] {
                    batch.put_namespace(&NamespaceRecord {
                        name: namespace(name),
                        created: Timestamp::from_millis(NOW),
                        display_name: None,
                        ended: None,
                    });
                }
                for (name, role, of) in owners {
                    let (id, device) = ids[name];
                    batch.put_actor(&ActorRecord {
                        id,
                        kind: ActorKind::Owner {
                            name: name.parse().unwrap(),
                            alg: Alg::P256,
                            root_key: key.public().clone(),
                        },
                        owner: id,
                        created: Timestamp::from_millis(NOW),
                        revoked: None,
                        sources: Vec::new(),
                        display_name: None,
                    });
                    let role = RoleAssignment {
                        role,
                        namespace: of.map(namespace),
                    };
                    batch.put_roles(&RolesRecord {
                        actor: id,
                        roles: vec![role],
                    });
                    join(batch, id, device, &key);
                }
                for (name, parent, home) in agents {
                    let (id, device) = ids[name];
                    let owner = ids[parent].0;
                    batch.put_actor(&ActorRecord {
                        id,
                        kind: ActorKind::Agent {
                            parent: owner,
                            namespace: namespace(home),
                            label: name.parse().unwrap(),
                            incarnation: 1,
                        },
                        owner,
                        created: Timestamp::from_millis(NOW),
                        revoked: None,
                        sources: Vec::new(),
                        display_name: None,
                    });
                    join(batch, id, device, &key);
                    batch.put_grant(&GrantRecord {
                        id: GrantId::from_bytes([id.as_bytes()[0]; 16]),
                        namespace: namespace(home),
                        agent: id,
                        project: web(),
                        delivery: Delivery::Env,
                        items: vec![item("KEY", "a/key"), item("SALT", "b/salt")],
                        from: Timestamp::from_millis(NOW - DAY),
                        until: Timestamp::from_millis(NOW + 30 * DAY),
                        withdrawn: None,
                        receipt: Receipt {
                            grant: Vec::new(),
                            approver: owner,
                            device,
                            key: key.public().to_jwk(),
                            time: Timestamp::from_millis(NOW),
                            signature: Vec::new(),
                            assertion: None,
                        },
                    });
                }
            })
            .await;
        world
    }

    fn open(
        disk: &FakeDisk,
        clock: Arc<Set>,
        actors: BTreeMap<&'static str, (ActorId, Thumbprint)>,
    ) -> Self {
        let store = store(disk, &clock);
        let directory = Directory::load(&store).unwrap();
        let decider = Arc::new(CedarDecider::new(store.clone()));
        let entropy = Arc::new(SystemEntropy);
        let recorder = Recorder::new(store, directory, decider.clone(), clock.clone(), entropy);
        Self {
            disk: disk.clone(),
            clock,
            decider,
            recorder,
            actors,
        }
    }

    /// The same disk, after the process ended.
    pub(crate) fn reopen(self) -> Self {
        let (disk, clock, actors) = (self.disk.clone(), self.clock.clone(), self.actors.clone());
        drop(self);
        Self::open(&disk, clock, actors)
    }

    /// Sets the clock to so many milliseconds after the beginning.
    pub(crate) fn at(&self, millis: u64) {
        self.clock.0.store(millis, Ordering::Relaxed);
    }

    async fn by_socket(&self, build: impl Fn(&mut RecordedBatch<'_, Init>)) {
        let snapshot = self.snapshot();
        let caller = Caller::admin_socket(1000, 1000, self.clock.now()).unwrap();
        let permit = authorize(
            self.decider.as_ref(),
            &snapshot,
            caller,
            Init,
            self.clock.now(),
        )
        .map_err(|(denied, ..)| denied)
        .unwrap();
        self.recorder
            .change(permit, &origin(), |batch| {
                build(batch);
                Ok::<_, Infallible>(())
            })
            .await
            .unwrap();
    }

    pub(crate) fn snapshot(&self) -> Arc<Snapshot> {
        self.recorder.directory().snapshot()
    }

    pub(crate) fn id(&self, name: &str) -> ActorId {
        self.actors[name].0
    }

    pub(crate) fn caller(&self, name: &str) -> Caller {
        let snapshot = self.snapshot();
        let (actor, device) = self.actors[name];
        let owner = snapshot.actor(&actor).unwrap().owner;
        Caller::fake(Profile::Native, actor, owner, Some(device), snapshot.seq())
    }

    pub(crate) fn permit<O: Op>(&self, name: &str, op: O) -> Result<Permit<O>, Denied> {
        let (snapshot, now) = (self.snapshot(), self.clock.now());
        authorize(self.decider.as_ref(), &snapshot, self.caller(name), op, now)
            .map_err(|(denied, ..)| denied)
    }

    /// What the decider says, without an operation.
    pub(crate) fn ask(
        &self,
        name: &str,
        action: Action,
        resource: &Resource,
        concerned: Concerned<'_>,
    ) -> Result<Allowed, Denied> {
        let caller = self.caller(name);
        let question = Question {
            caller: &caller,
            action,
            resource,
            concerned,
            now: self.clock.now(),
        };
        self.decider.decide(&self.snapshot(), &question)
    }

    /// An agent asks for `KEY` of its own namespace.
    pub(crate) fn key(&self, name: &str) -> Result<Permit<Deliver>, Denied> {
        let home = if name == "robber" { "bank" } else { "shop" };
        self.permit(name, Deliver::of(home, &[("KEY", "a/key")]))
    }

    /// The same, and has it recorded.
    pub(crate) async fn delivered(&self, name: &str) -> Result<(), Denied> {
        self.record(self.key(name)?).await
    }

    pub(crate) async fn record<O: Op>(&self, permit: Permit<O>) -> Result<(), Denied> {
        let recorded = self
            .recorder
            .record(permit, origin(), Details::default())
            .await;
        match recorded {
            Ok(_) => Ok(()),
            Err(RecordError::Denied(denied)) => Err(denied),
            Err(other) => panic!("another failure: {other}"),
        }
    }

    /// Stores a version, by whoever may.
    pub(crate) async fn put(
        &self,
        by: &str,
        of: Option<&str>,
        text: &str,
    ) -> Result<PolicyVersion, PolicyError> {
        let op = PolicyPut {
            namespace: of.map(namespace),
            text: text.into(),
        };
        let set = PolicyPut::check(op.namespace.as_ref(), text)?;
        let permit = self.permit(by, op).unwrap();
        let now = self.clock.now();
        let made = self
            .recorder
            .change(permit, &origin(), |batch| PolicyPut::run(batch, &set, now))
            .await;
        Ok(done(made))
    }

    pub(crate) async fn set(
        &self,
        by: &str,
        of: Option<&str>,
        version: u32,
        state: PolicyState,
    ) -> Result<PolicyVersion, PolicyError> {
        let op = PolicyStateSet {
            namespace: of.map(namespace),
            version,
            state,
        };
        op.check(self.recorder.store())?;
        let permit = self.permit(by, op).unwrap();
        let now = self.clock.now();
        let set = self
            .recorder
            .change(permit, &origin(), |batch| PolicyStateSet::run(batch, now))
            .await;
        Ok(done(set))
    }

    pub(crate) async fn roll_back(
        &self,
        by: &str,
        of: Option<&str>,
        version: u32,
    ) -> Result<PolicyVersion, PolicyError> {
        let op = PolicyRollback {
            namespace: of.map(namespace),
            version,
        };
        let (text, set) = op.check(self.recorder.store())?;
        let permit = self.permit(by, op).unwrap();
        let now = self.clock.now();
        let made = self
            .recorder
            .change(permit, &origin(), |batch| {
                PolicyRollback::run(batch, (&text, &set), now)
            })
            .await;
        Ok(done(made))
    }

    /// Stores a text and has it decide.
    pub(crate) async fn enforce(&self, of: Option<&str>, text: &str) -> u32 {
        let version = self.put("alice", of, text).await.unwrap().version;
        let state = PolicyState::Enforce;
        self.set("alice", of, version, state).await.unwrap();
        version
    }

    pub(crate) fn entries(&self) -> Vec<Entry> {
        let store = self.recorder.store();
        let length = usize::try_from(store.log_len(LEDGER).unwrap()).unwrap();
        let entries = store.log_read(LEDGER, 0, length).unwrap();
        entries
            .iter()
            .map(|entry| Entry::parse(entry.bytes.expose()).unwrap())
            .collect()
    }
}

fn origin() -> Origin {
    Origin::new(TraceId::from_bytes([9; 16]))
}

fn done<T>(changed: Result<T, ChangeError<PolicyError>>) -> T {
    changed.map_err(|error| error.to_string()).unwrap()
}

fn join(batch: &mut RecordedBatch<'_, Init>, actor: ActorId, device: Thumbprint, key: &SigningKey) {
    batch.put_device(&DeviceRecord {
        thumbprint: device,
        actor,
        key: key.public().clone(),
        created: Timestamp::from_millis(NOW),
        revoked: None,
    });
}

/// A no of policies.
pub(crate) const fn policy(refusal: PolicyRefusal) -> DenyReason {
    DenyReason::Policy(refusal)
}
