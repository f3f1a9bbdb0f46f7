//! An installation in a directory of its own, with time that stands still.

use procura_authority::{AuthorityError, ProjectWrite};
use procura_crypto::{SigningKey, SystemEntropy};
use procura_directory::Snapshot;
use procura_identity::{
    AgentCreate, AgentLink, DeviceJoin, InstallationInit, Join, OperatorInvite, OperatorJoin,
};
use procura_policy::{DenyReason, Op, Permit, RoleDecider, authorize};
use procura_proof::{Caller, Profile, join_message, verify_join};
use procura_record::{ChangeError, Directory, Origin, RecordError, RecordedBatch, Recorder};
use procura_store::{SqliteOptions, Store};
use procura_types::wire::{GrantItem, JoinRequest, Joins, RoleAssignment};
use procura_types::{
    ActorId, Clock, Duration, Entropy, InstallationId, Label, Namespace, ProjectName, Role, Secret,
    Thumbprint, Timestamp, TraceId,
};
use procura_vault::{
    NamespaceCreate, NewSource, SecretAbout, SecretDelete, SecretSet, SecretWrite, Vault,
};
use std::fmt::Debug;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

struct TestClock(AtomicU64);

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0.load(Ordering::SeqCst))
    }
}

/// Why something did not happen.
#[derive(Debug)]
pub(crate) enum Failure<E = AuthorityError> {
    Denied(DenyReason),
    Domain(E),
}

impl<E: Debug> Failure<E> {
    pub(crate) fn domain(self) -> E {
        match self {
            Self::Domain(error) => error,
            Self::Denied(reason) => panic!("denied: {reason}"),
        }
    }
    pub(crate) fn denied(self) -> DenyReason {
        match self {
            Self::Denied(reason) => reason,
            Self::Domain(error) => panic!("another failure: {error:?}"),
        }
    }
}

/// Who acts: an actor with one device.
pub(crate) struct Actor {
    pub(crate) id: ActorId,
    pub(crate) key: SigningKey,
}

impl Actor {
    pub(crate) fn device(&self) -> Thumbprint {
        self.key.public().thumbprint()
    }
}

pub(crate) struct World {
    pub(crate) recorder: Recorder,
    pub(crate) vault: Vault,
    pub(crate) installation: InstallationId,
    /// Steward, with every role in the namespaces `shop` and `bank`.
    pub(crate) alice: Actor,
    clock: Arc<TestClock>,
    _home: tempfile::TempDir,
}

pub(crate) fn label(text: &str) -> Label {
    text.parse().unwrap()
}
pub(crate) fn shop() -> Namespace {
    "shop".parse().unwrap()
}
pub(crate) fn bank() -> Namespace {
    "bank".parse().unwrap()
}
pub(crate) fn project(text: &str) -> ProjectName {
    text.parse().unwrap()
}
pub(crate) fn item(name: &str, path: &str) -> GrantItem {
    GrantItem {
        name: name.parse().unwrap(),
        path: path.parse().unwrap(),
    }
}

pub(crate) fn origin() -> Origin {
    Origin::new(TraceId::from_bytes([9; 16]))
}

impl World {
    /// Secrets `db/password`, `api/key` and `mail/key` in `shop`, project `web` that
    /// maps the first two and names the agent `scribe`.
    pub(crate) async fn new() -> (Self, Actor) {
        let world = Self::empty().await;
        let scribe = world.agent("scribe", None).await;
        for path in ["db/password", "api/key", "mail/key"] {
            world
                .put(&shop(), path, &format!("value of {path}"), None)
                .await;
        }
        world
            .project(
                "web",
                &["scribe"],
                &[("DB_PASSWORD", "db/password"), ("API_KEY", "api/key")],
            )
            .await
            .unwrap();
        (world, scribe)
    }

    async fn empty() -> Self {
        let home = tempfile::tempdir().unwrap();
        let test_clock = Arc::new(TestClock(AtomicU64::new(1_795_000_000_000)));
        let clock: Arc<dyn Clock> = Arc::<TestClock>::clone(&test_clock);
        let entropy: Arc<dyn Entropy> = Arc::new(SystemEntropy);
        let installation = InstallationId::from_bytes([7; 16]);
        let store = Store::create(
            &home.path().join("db"),
            &installation,
            &SqliteOptions::default(),
            Arc::clone(&clock),
            Arc::clone(&entropy),
        )
        .unwrap();
        let passphrase = Secret::new("correct horse battery".to_owned());
        let source =
            NewSource::passphrase(label("passphrase"), &passphrase, entropy.as_ref()).unwrap();
        let (vault, founding) = Vault::found(
            home.path(),
            store.clone(),
            installation,
            source,
            clock.as_ref(),
            Arc::clone(&entropy),
        )
        .unwrap();
        let directory = Directory::load(&store).unwrap();
        let recorder = Recorder::new(store, directory, Arc::new(RoleDecider), clock, entropy);
        let key = SigningKey::generate_p256(&SystemEntropy).unwrap();
        let init = InstallationInit {
            owner: label("alice"),
            root_key: key.public().clone(),
        };
        let caller = Caller::admin_socket(1000, 1000, test_clock.now()).unwrap();
        let owner = perform(&recorder, caller, init, |batch| {
            vault.put_founding(batch, &founding).unwrap();
            InstallationInit::run(batch, test_clock.now())
        })
        .await
        .unwrap();
        let alice = Actor {
            id: owner.actor_id,
            key,
        };
        let world = Self {
            recorder,
            vault,
            installation,
            alice,
            clock: test_clock,
            _home: home,
        };
        for name in [shop(), bank()] {
            world
                .act(&world.alice, NamespaceCreate { name }, |batch| {
                    NamespaceCreate::run(&world.vault, batch, world.now())
                })
                .await
                .unwrap();
        }
        world
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub(crate) fn pass(&self, time: Duration) {
        self.clock
            .0
            .fetch_add(u64::try_from(time.as_millis()).unwrap(), Ordering::SeqCst);
    }

    /// Sets the clock back.
    pub(crate) fn turn_back(&self, time: Duration) {
        self.clock
            .0
            .fetch_sub(u64::try_from(time.as_millis()).unwrap(), Ordering::SeqCst);
    }

    pub(crate) fn snapshot(&self) -> Arc<Snapshot> {
        self.recorder.directory().snapshot()
    }

    pub(crate) fn store(&self) -> &Store {
        self.recorder.store()
    }

    pub(crate) fn caller(&self, actor: &Actor) -> Caller {
        let snapshot = self.snapshot();
        let owner = snapshot.actor(&actor.id).unwrap().owner;
        Caller::fake(
            Profile::Native,
            actor.id,
            owner,
            Some(actor.device()),
            snapshot.seq(),
        )
    }

    pub(crate) async fn act<O: Op, T, E: Debug>(
        &self,
        actor: &Actor,
        op: O,
        build: impl Fn(&mut RecordedBatch<'_, O>) -> Result<T, E>,
    ) -> Result<T, Failure<E>> {
        perform(&self.recorder, self.caller(actor), op, build).await
    }

    pub(crate) fn permit<O: Op>(&self, actor: &Actor, op: O) -> Result<Permit<O>, DenyReason> {
        let snapshot = self.snapshot();
        authorize(
            self.recorder.decider(),
            &snapshot,
            self.caller(actor),
            op,
            self.now(),
        )
        .map_err(|refused| refused.0.reason)
    }

    pub(crate) async fn agent(&self, name: &str, parent: Option<&str>) -> Actor {
        self.agent_in(&shop(), name, parent).await
    }

    pub(crate) async fn agent_in(
        &self,
        namespace: &Namespace,
        name: &str,
        parent: Option<&str>,
    ) -> Actor {
        let op = AgentCreate {
            namespace: namespace.clone(),
            label: label(name),
            parent: parent.map(label),
        };
        let agent = self
            .act(&self.alice, op, |batch| AgentCreate::run(batch, self.now()))
            .await
            .unwrap();
        let link = AgentLink {
            namespace: namespace.clone(),
            label: label(name),
        };
        let code = self
            .act(&self.alice, link, |batch| {
                AgentLink::run(batch, self.now(), &SystemEntropy)
            })
            .await
            .unwrap();
        let key = SigningKey::generate_ed25519(&SystemEntropy).unwrap();
        self.join(code.code.expose(), agent.actor_id, &key).await;
        Actor {
            id: agent.actor_id,
            key,
        }
    }

    pub(crate) async fn operator(&self, name: &str, roles: &[(Role, &Namespace)]) -> Actor {
        let roles = roles
            .iter()
            .map(|(role, namespace)| RoleAssignment {
                role: *role,
                namespace: Some((*namespace).clone()),
            })
            .collect();
        let op = OperatorInvite {
            name: label(name),
            roles,
        };
        let code = self
            .act(&self.alice, op, |batch| {
                OperatorInvite::run(batch, self.now(), &SystemEntropy)
            })
            .await
            .unwrap();
        assert_eq!(code.joins, Joins::NewOperator);
        let key = SigningKey::generate_p256(&SystemEntropy).unwrap();
        let id = procura_crypto::owner_id(procura_types::Alg::P256, key.public().as_bytes());
        self.join(code.code.expose(), id, &key).await;
        Actor { id, key }
    }

    async fn join(&self, code: &[u8; 16], actor: ActorId, key: &SigningKey) {
        let snapshot = self.snapshot();
        let server = Thumbprint::from_bytes([3; 32]);
        let code_sha256 = procura_crypto::sha256(code);
        let message = join_message(&server, &code_sha256, &actor, &key.public().thumbprint());
        let request = JoinRequest {
            code_sha256: code_sha256.to_vec(),
            actor_id: actor,
            device_key: key.public().to_jwk(),
            signature: key.sign(&message).unwrap(),
        };
        let peer = [127, 0, 0, 1].into();
        let (joining, caller) =
            verify_join(&request, &server, &snapshot, self.now(), peer).unwrap();
        match Join::resolve(self.store(), &snapshot, &joining, self.now()).unwrap() {
            Join::Device(op) => {
                perform(&self.recorder, caller, op, |batch| {
                    DeviceJoin::run(batch, self.now())
                })
                .await
                .unwrap();
            }
            Join::Operator(op) => {
                perform(&self.recorder, caller, op, |batch| {
                    OperatorJoin::run(batch, self.now())
                })
                .await
                .unwrap();
            }
        }
    }

    pub(crate) async fn put(
        &self,
        namespace: &Namespace,
        path: &str,
        value: &str,
        env: Option<&str>,
    ) {
        let op = SecretWrite {
            namespace: namespace.clone(),
            path: path.parse().unwrap(),
            value: Secret::new(value.as_bytes().to_vec()),
            expect_version: None,
            env: env.map(|name| name.parse().unwrap()),
            kind: None,
            about: SecretAbout::default(),
        };
        self.act(&self.alice, op, |batch| {
            SecretWrite::run(&self.vault, batch, self.now())
        })
        .await
        .unwrap();
    }

    pub(crate) async fn set(&self, path: &str, about: SecretAbout) {
        let op = SecretSet {
            namespace: shop(),
            path: path.parse().unwrap(),
            about,
        };
        self.act(&self.alice, op, SecretSet::run).await.unwrap();
    }

    pub(crate) async fn delete(&self, path: &str) {
        let op = SecretDelete {
            namespace: shop(),
            path: path.parse().unwrap(),
            version: None,
        };
        self.act(&self.alice, op, |batch| {
            SecretDelete::run(batch, self.now())
        })
        .await
        .unwrap();
    }

    pub(crate) async fn project(
        &self,
        name: &str,
        agents: &[&str],
        env: &[(&str, &str)],
    ) -> Result<procura_types::wire::Project, Failure> {
        let op = ProjectWrite {
            namespace: shop(),
            name: project(name),
            agents: agents.iter().map(|name| label(name)).collect(),
            env: env
                .iter()
                .map(|(name, path)| (name.parse().unwrap(), path.parse().unwrap()))
                .collect(),
        };
        self.act(&self.alice, op, |batch| {
            ProjectWrite::run(batch, self.now())
        })
        .await
    }
}

pub(crate) async fn perform<O: Op, T, E: Debug>(
    recorder: &Recorder,
    caller: Caller,
    op: O,
    build: impl Fn(&mut RecordedBatch<'_, O>) -> Result<T, E>,
) -> Result<T, Failure<E>> {
    let snapshot = recorder.directory().snapshot();
    let now = recorder.clock().now();
    let permit = authorize(recorder.decider(), &snapshot, caller, op, now)
        .map_err(|refused| Failure::Denied(refused.0.reason))?;
    change(recorder, permit, build).await
}

pub(crate) async fn change<O: Op, T, E>(
    recorder: &Recorder,
    permit: Permit<O>,
    build: impl Fn(&mut RecordedBatch<'_, O>) -> Result<T, E>,
) -> Result<T, Failure<E>> {
    recorder
        .change(permit, &origin(), build)
        .await
        .map_err(|error| match error {
            ChangeError::Domain(error) => Failure::Domain(error),
            ChangeError::Record(RecordError::Denied(denied)) => Failure::Denied(denied.reason),
            ChangeError::Record(error) => panic!("not recorded: {error}"),
        })
}
