//! An installation in a directory of its own, with time that stands still.

use procura_crypto::{PublicKey, SigningKey, SystemEntropy};
use procura_directory::{NamespaceRecord, Snapshot};
use procura_identity::{
    AgentCreate, AgentLink, AgentRevoke, DeviceRevocation, IdentityError, InstallationInit,
    IssuedCode, Join, Joined, OperatorDeviceHold, OperatorInvite, OperatorRevoke, OperatorRoles,
};
use procura_policy::{Action, DenyReason, Op, Permit, Resource, RoleDecider, authorize};
use procura_proof::{Caller, Joining, Profile, join_message, verify_join};
use procura_record::{ChangeError, Directory, Origin, RecordError, RecordedBatch, Recorder};
use procura_store::{Barrier, BarrierKeys, SqliteOptions, Store};
use procura_types::wire::{Agent, JoinRequest, Joins, Operator, RevokedActors, RoleAssignment};
use procura_types::{
    ActorId, Clock, Duration, InstallationId, Label, Namespace, Role, Secret, Thumbprint,
    Timestamp, TraceId,
};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The id of the installation.
pub(crate) const INSTALLATION: InstallationId = InstallationId::from_bytes([7; 16]);

pub(crate) struct TestClock(AtomicU64);

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0.load(Ordering::SeqCst))
    }
}

/// Why something did not happen.
#[derive(Debug)]
pub(crate) enum Failure {
    Denied(DenyReason),
    Domain(IdentityError),
}

impl Failure {
    pub(crate) fn domain(self) -> IdentityError {
        match self {
            Self::Domain(error) => error,
            other => panic!("another failure: {other:?}"),
        }
    }
    pub(crate) fn denied(self) -> DenyReason {
        match self {
            Self::Denied(reason) => reason,
            other => panic!("another failure: {other:?}"),
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
    pub(crate) clock: Arc<TestClock>,
    pub(crate) server: Thumbprint,
    /// Steward, with every role in the namespace `shop`.
    pub(crate) alice: Actor,
    _home: tempfile::TempDir,
}

pub(crate) fn label(text: &str) -> Label {
    text.parse().unwrap()
}

pub(crate) fn namespace(text: &str) -> Namespace {
    text.parse().unwrap()
}

pub(crate) fn role(role: Role, place: Option<&str>) -> RoleAssignment {
    RoleAssignment {
        role,
        namespace: place.map(namespace),
    }
}

pub(crate) fn p256() -> SigningKey {
    SigningKey::generate_p256(&SystemEntropy).unwrap()
}

pub(crate) fn ed25519() -> SigningKey {
    SigningKey::generate_ed25519(&SystemEntropy).unwrap()
}

/// What the vault does when it makes a namespace, as far as the directory sees it.
struct MakeNamespace(Namespace);

impl Op for MakeNamespace {
    const ACTION: Action = Action::NamespaceCreate;
    fn resource(&self) -> Resource {
        Resource::Installation
    }
}

/// A store that was never written to.
pub(crate) fn empty_store(home: &tempfile::TempDir, clock: &Arc<TestClock>) -> Recorder {
    let id = INSTALLATION;
    let clock: Arc<dyn Clock> = Arc::<TestClock>::clone(clock);
    let entropy = Arc::new(SystemEntropy);
    let options = SqliteOptions::default();
    let path = home.path().join("db");
    let store = Store::create(&path, &id, &options, Arc::clone(&clock), entropy.clone()).unwrap();
    let key = || Secret::new([1u8; 32]);
    let keys = BarrierKeys {
        installation: id,
        epochs: vec![(1, key())],
        set_key: key(),
        chain_key: key(),
        index_key: key(),
    };
    store
        .install_barrier(Barrier::new(keys, entropy.clone()).unwrap())
        .unwrap();
    let directory = Directory::load(&store).unwrap();
    Recorder::new(store, directory, Arc::new(RoleDecider), clock, entropy)
}

pub(crate) fn clock() -> Arc<TestClock> {
    Arc::new(TestClock(AtomicU64::new(1_795_000_000_000)))
}

pub(crate) fn origin() -> Origin {
    Origin::new(TraceId::from_bytes([9; 16]))
}

pub(crate) fn admin(clock: &TestClock) -> Caller {
    Caller::admin_socket(1000, 1000, clock.now()).unwrap()
}

/// Decides, and on a yes runs and commits.
pub(crate) async fn perform<O: Op, T>(
    recorder: &Recorder,
    caller: Caller,
    op: O,
    build: impl Fn(&mut RecordedBatch<'_, O>) -> Result<T, IdentityError>,
) -> Result<T, Failure> {
    let snapshot = recorder.directory().snapshot();
    let now = recorder.clock().now();
    let permit = authorize(recorder.decider(), &snapshot, caller, op, now)
        .map_err(|(denied, ..)| Failure::Denied(denied.reason))?;
    recorder
        .change(permit, &origin(), build)
        .await
        .map_err(|error| match error {
            ChangeError::Domain(error) => Failure::Domain(error),
            ChangeError::Record(RecordError::Denied(denied)) => Failure::Denied(denied.reason),
            ChangeError::Record(error) => panic!("not recorded: {error}"),
        })
}

impl World {
    pub(crate) async fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        let clock = clock();
        let recorder = empty_store(&home, &clock);
        let key = p256();
        let init = InstallationInit {
            owner: label("alice"),
            root_key: key.public().clone(),
        };
        let owner = perform(&recorder, admin(&clock), init, |batch| {
            let now = Timestamp::from_millis(1);
            InstallationInit::run(batch, now)
        })
        .await
        .unwrap();
        let alice = Actor {
            id: owner.actor_id,
            key,
        };
        let server = ed25519().public().thumbprint();
        let world = Self {
            recorder,
            clock,
            server,
            alice,
            _home: home,
        };
        world.make_namespace("shop").await;
        world
    }

    pub(crate) async fn make_namespace(&self, name: &str) {
        let op = MakeNamespace(namespace(name));
        let maker = self.alice.id;
        self.act(&self.alice, op, |batch| {
            let name = batch.op().0.clone();
            let mut roles = batch.directory().roles(&maker).unwrap().as_ref().clone();
            for given in [Role::Admin, Role::Approver, Role::Auditor] {
                roles.roles.push(RoleAssignment {
                    role: given,
                    namespace: Some(name.clone()),
                });
            }
            roles.roles.sort();
            batch.put_namespace(&NamespaceRecord {
                name,
                created: Timestamp::from_millis(1),
                display_name: None,
                ended: None,
            });
            batch.put_roles(&roles);
            Ok(())
        })
        .await
        .unwrap();
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub(crate) fn pass(&self, time: Duration) {
        self.clock
            .0
            .fetch_add(u64::try_from(time.as_millis()).unwrap(), Ordering::SeqCst);
    }

    pub(crate) fn snapshot(&self) -> Arc<Snapshot> {
        self.recorder.directory().snapshot()
    }

    pub(crate) fn caller(&self, actor: &Actor) -> Caller {
        let snapshot = self.snapshot();
        let owner = snapshot
            .actor(&actor.id)
            .map_or(actor.id, |record| record.owner);
        Caller::fake(
            Profile::Native,
            actor.id,
            owner,
            Some(actor.device()),
            snapshot.seq(),
        )
    }

    /// Runs an operation as this actor.
    pub(crate) async fn act<O: Op, T>(
        &self,
        actor: &Actor,
        op: O,
        build: impl Fn(&mut RecordedBatch<'_, O>) -> Result<T, IdentityError>,
    ) -> Result<T, Failure> {
        perform(&self.recorder, self.caller(actor), op, build).await
    }

    /// The permit of a read.
    pub(crate) fn permit<O: Op>(&self, actor: &Actor, op: O) -> Result<Permit<O>, DenyReason> {
        let snapshot = self.snapshot();
        authorize(
            self.recorder.decider(),
            &snapshot,
            self.caller(actor),
            op,
            self.now(),
        )
        .map_err(|(denied, ..)| denied.reason)
    }

    pub(crate) async fn agent(&self, name: &str, parent: Option<&str>) -> Result<Agent, Failure> {
        let op = AgentCreate {
            namespace: namespace("shop"),
            label: label(name),
            parent: parent.map(label),
        };
        self.act(&self.alice, op, |batch| AgentCreate::run(batch, self.now()))
            .await
    }

    pub(crate) async fn agent_code(&self, name: &str) -> Result<IssuedCode, Failure> {
        let op = AgentLink {
            namespace: namespace("shop"),
            label: label(name),
        };
        self.act(&self.alice, op, |batch| {
            AgentLink::run(batch, self.now(), &SystemEntropy)
        })
        .await
    }

    pub(crate) async fn invite(
        &self,
        name: &str,
        roles: &[RoleAssignment],
    ) -> Result<IssuedCode, Failure> {
        let op = OperatorInvite {
            name: label(name),
            roles: roles.to_vec(),
        };
        self.act(&self.alice, op, |batch| {
            OperatorInvite::run(batch, self.now(), &SystemEntropy)
        })
        .await
    }

    /// Stewards besides alice, invited while she is the only one.
    pub(crate) async fn stewards<const N: usize>(&self, names: [&str; N]) -> [Actor; N] {
        let roles = [role(Role::Steward, None)];
        let mut codes = Vec::new();
        for name in names {
            codes.push(self.invite(name, &roles).await.unwrap());
        }
        let mut stewards = Vec::new();
        for code in &codes {
            let key = p256();
            let id = self.join(code, &key).await.unwrap().actor;
            stewards.push(Actor { id, key });
        }
        stewards.try_into().ok().unwrap()
    }

    /// Joins for the actor that the code names.
    pub(crate) async fn join(
        &self,
        code: &IssuedCode,
        key: &SigningKey,
    ) -> Result<Joined, Failure> {
        let actor = match code.joins {
            Joins::NewOperator => owner_id(key.public()),
            Joins::Operator(actor) | Joins::Agent(actor) => actor,
        };
        self.join_as(code.code.expose(), actor, key).await
    }

    /// A signed and verified request to join.
    pub(crate) fn joining(
        &self,
        code: &[u8; 16],
        actor: ActorId,
        key: &SigningKey,
    ) -> (Joining, Caller) {
        let snapshot = self.snapshot();
        let code_sha256 = procura_crypto::sha256(code);
        let device = key.public().thumbprint();
        let message = join_message(&self.server, &code_sha256, &actor, &device);
        let request = JoinRequest {
            code_sha256: code_sha256.to_vec(),
            actor_id: actor,
            device_key: key.public().to_jwk(),
            signature: key.sign(&message).unwrap(),
        };
        let peer = [127, 0, 0, 1].into();
        verify_join(&request, &self.server, &snapshot, self.now(), peer).unwrap()
    }

    pub(crate) async fn join_as(
        &self,
        code: &[u8; 16],
        actor: ActorId,
        key: &SigningKey,
    ) -> Result<Joined, Failure> {
        let (joining, caller) = self.joining(code, actor, key);
        self.join_by(&joining, caller).await
    }

    pub(crate) async fn join_by(
        &self,
        joining: &Joining,
        caller: Caller,
    ) -> Result<Joined, Failure> {
        let snapshot = self.snapshot();
        let store = self.recorder.store();
        match Join::resolve(store, &snapshot, joining, self.now()).map_err(Failure::Domain)? {
            Join::Device(op) => {
                perform(&self.recorder, caller, op, |batch| {
                    procura_identity::DeviceJoin::run(batch, self.now())
                })
                .await
            }
            Join::Operator(op) => {
                perform(&self.recorder, caller, op, |batch| {
                    procura_identity::OperatorJoin::run(batch, self.now())
                })
                .await
            }
        }
    }

    /// An agent with one device.
    pub(crate) async fn agent_with_device(&self, name: &str, parent: Option<&str>) -> Actor {
        let agent = self.agent(name, parent).await.unwrap();
        let code = self.agent_code(name).await.unwrap();
        let key = ed25519();
        self.join(&code, &key).await.unwrap();
        Actor {
            id: agent.actor_id,
            key,
        }
    }

    /// An operator who joined.
    pub(crate) async fn operator(&self, name: &str, roles: &[RoleAssignment]) -> Actor {
        let code = self.invite(name, roles).await.unwrap();
        let key = p256();
        let joined = self.join(&code, &key).await.unwrap();
        Actor {
            id: joined.actor,
            key,
        }
    }

    /// The agent of `shop` that most tests have.
    pub(crate) fn scribe(&self) -> ActorId {
        let snapshot = self.snapshot();
        let scribe = snapshot.agent_named(&namespace("shop"), &label("scribe"));
        scribe.unwrap().id
    }

    /// Gives an operator these roles and no others, as far as nobody has to agree.
    pub(crate) async fn set_roles(
        &self,
        by: &Actor,
        name: &str,
        roles: &[RoleAssignment],
    ) -> Result<Operator, Failure> {
        let op = OperatorRoles {
            name: label(name),
            roles: roles.to_vec(),
            by: None,
        };
        self.act(by, op, |batch| OperatorRoles::run(batch, self.now()))
            .await
    }

    /// Revokes an operator, as far as nobody has to agree.
    pub(crate) async fn revoke_operator(
        &self,
        by: &Actor,
        name: &str,
    ) -> Result<RevokedActors, Failure> {
        let op = OperatorRevoke {
            name: label(name),
            by: None,
        };
        self.act(by, op, |batch| OperatorRevoke::run(batch, self.now()))
            .await
    }

    /// Alice revokes an agent of `shop`, with all below it.
    pub(crate) async fn revoke(&self, name: &str) -> Result<RevokedActors, Failure> {
        let op = AgentRevoke {
            namespace: namespace("shop"),
            label: label(name),
        };
        self.act(&self.alice, op, |batch| AgentRevoke::run(batch, self.now()))
            .await
    }

    pub(crate) async fn hold(&self, by: &Actor, device: &Thumbprint) -> Result<(), Failure> {
        let op = OperatorDeviceHold::resolve(&self.snapshot(), device).unwrap();
        self.act(by, op, |batch| OperatorDeviceHold::run(batch, self.now()))
            .await
    }

    pub(crate) async fn revoke_device(
        &self,
        actor: &Actor,
        device: &Thumbprint,
    ) -> Result<(), Failure> {
        match DeviceRevocation::resolve(&self.snapshot(), device).unwrap() {
            DeviceRevocation::Agent(op) => {
                self.act(actor, op, |batch| {
                    procura_identity::DeviceRevoke::run(batch, self.now())
                })
                .await
            }
            DeviceRevocation::Operator(op) => {
                self.act(actor, op, |batch| {
                    procura_identity::OperatorDeviceRevoke::run(batch, self.now())
                })
                .await
            }
        }
    }
}

pub(crate) fn owner_id(key: &PublicKey) -> ActorId {
    let alg = match key.algorithm() {
        procura_crypto::SignatureAlgorithm::Ed25519 => procura_types::Alg::Ed25519,
        procura_crypto::SignatureAlgorithm::EcdsaP256Sha256 => procura_types::Alg::P256,
    };
    procura_crypto::owner_id(alg, key.as_bytes())
}
