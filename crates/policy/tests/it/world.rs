//! A directory with one actor of every kind, in two namespaces.

use procura_crypto::{SigningKey, SystemEntropy};
use procura_directory::{
    ActorKind, ActorRecord, Change, DeviceRecord, ForeignRecord, GrantRecord, NamespaceRecord,
    RolesRecord, Snapshot, TokenRecord,
};
use procura_policy::{
    Action, Basis, Concerned, Decider as _, Denied, GrantNeed, Question, Resource, RoleDecider,
    TokenNeed,
};
use procura_proof::foreign::Foreign;
use procura_proof::{Caller, Profile};
use procura_types::wire::{GrantItem, ProjectTokenKind, Receipt, RoleAssignment};
use procura_types::{
    ActorId, Alg, Delivery, GrantId, Namespace, ProjectName, Role, Thumbprint, Timestamp, TokenId,
};
use std::collections::BTreeMap;

pub(crate) const NOW: Timestamp = Timestamp::from_millis(1_795_000_000_000);
const HOUR: u64 = 3_600_000;
/// The one project token of the world.
const TOKEN: TokenId = TokenId::from_bytes([7; 16]);

pub(crate) fn right() -> Namespace {
    "right".parse().unwrap()
}
pub(crate) fn other() -> Namespace {
    "other".parse().unwrap()
}
pub(crate) fn project() -> ProjectName {
    "web".parse().unwrap()
}
pub(crate) fn item(name: &str, path: &str) -> GrantItem {
    GrantItem {
        name: name.parse().unwrap(),
        path: path.parse().unwrap(),
    }
}

pub(crate) struct World {
    pub(crate) snapshot: Snapshot,
    key: SigningKey,
    actors: BTreeMap<&'static str, (ActorId, Thumbprint)>,
}

impl World {
    /// Owners `steward`, `admin`, `approver`, `auditor` (of `right`) and `nobody`;
    /// agents `agent`, `granted` and `sibling` in `right`, `stranger` in `other`.
    pub(crate) fn new() -> Self {
        let namespace = |name| {
            Change::Namespace(NamespaceRecord {
                name,
                created: NOW,
                display_name: None,
                ended: None,
            })
        };
        let mut world = Self {
            snapshot: Snapshot::default().apply(1, [namespace(right()), namespace(other())]),
            key: SigningKey::generate_ed25519(&SystemEntropy).unwrap(),
            actors: BTreeMap::new(),
        };
        for (name, roles) in [
            ("steward", vec![(Role::Steward, None)]),
            ("admin", vec![(Role::Admin, Some(right()))]),
            ("approver", vec![(Role::Approver, Some(right()))]),
            ("auditor", vec![(Role::Auditor, Some(right()))]),
            ("nobody", vec![]),
        ] {
            world.owner(name, roles);
        }
        for (name, home) in [
            ("agent", right()),
            ("granted", right()),
            ("sibling", right()),
            ("stranger", other()),
        ] {
            world.agent(name, "admin", home);
        }
        let grant = world.grant("granted", [1; 16]);
        world.put(Change::Grant(grant));
        let token = world.token("granted");
        world.put(Change::Token(token));
        world
    }

    /// A token for `KEY` by the grant of the world, for half an hour.
    pub(crate) fn token(&self, agent: &str) -> TokenRecord {
        let (agent, device) = self.actors[agent];
        TokenRecord {
            id: TOKEN,
            kind: ProjectTokenKind::Signed,
            namespace: right(),
            project: project(),
            agent,
            device,
            foreign: None,
            delivery: Delivery::Env,
            items: vec![item("KEY", "a/key")],
            grant: GrantId::from_bytes([1; 16]),
            generation: 0,
            seq: 1,
            hash: None,
            issued: NOW,
            until: Timestamp::from_millis(NOW.as_millis() + HOUR / 2),
            revoked: None,
        }
    }

    fn number(&self) -> u8 {
        u8::try_from(self.actors.len() + 1).unwrap()
    }

    pub(crate) fn put(&mut self, change: Change) {
        self.snapshot = self.snapshot.apply(self.snapshot.seq() + 1, [change]);
    }

    fn join(&mut self, name: &'static str, actor: ActorId) {
        let thumbprint = Thumbprint::from_bytes([100 + self.number(); 32]);
        self.put(Change::Device(DeviceRecord {
            thumbprint,
            actor,
            key: self.key.public().clone(),
            created: NOW,
            revoked: None,
        }));
        self.actors.insert(name, (actor, thumbprint));
    }

    fn owner(&mut self, name: &'static str, roles: Vec<(Role, Option<Namespace>)>) {
        let id = ActorId::from_bytes([self.number(); 32]);
        self.put(Change::Actor(ActorRecord {
            id,
            kind: ActorKind::Owner {
                name: name.parse().unwrap(),
                alg: Alg::P256,
                root_key: self.key.public().clone(),
            },
            owner: id,
            created: NOW,
            revoked: None,
            sources: Vec::new(),
            display_name: None,
        }));
        self.put(Change::Roles(RolesRecord {
            actor: id,
            roles: roles
                .into_iter()
                .map(|(role, namespace)| RoleAssignment { role, namespace })
                .collect(),
        }));
        self.join(name, id);
    }

    pub(crate) fn agent(&mut self, name: &'static str, parent: &str, namespace: Namespace) {
        let id = ActorId::from_bytes([self.number(); 32]);
        let parent = self.actors[parent].0;
        let owner = self.snapshot.actor(&parent).unwrap().owner;
        self.put(Change::Actor(ActorRecord {
            id,
            kind: ActorKind::Agent {
                parent,
                namespace,
                label: name.parse().unwrap(),
                incarnation: 1,
            },
            owner,
            created: NOW,
            revoked: None,
            sources: Vec::new(),
            display_name: None,
        }));
        self.join(name, id);
    }

    /// A grant of `KEY` for the project, one hour from now in both directions.
    pub(crate) fn grant(&self, agent: &str, id: [u8; 16]) -> GrantRecord {
        let (agent, device) = self.actors[agent];
        GrantRecord {
            id: GrantId::from_bytes(id),
            namespace: right(),
            agent,
            project: project(),
            delivery: Delivery::Env,
            items: vec![item("KEY", "a/key"), item("SALT", "a/salt")],
            from: Timestamp::from_millis(NOW.as_millis() - HOUR),
            until: Timestamp::from_millis(NOW.as_millis() + HOUR),
            withdrawn: None,
            receipt: Receipt {
                grant: Vec::new(),
                approver: agent,
                device,
                key: self.key.public().to_jwk(),
                time: NOW,
                signature: Vec::new(),
                assertion: None,
            },
        }
    }

    pub(crate) fn id(&self, name: &str) -> ActorId {
        self.actors[name].0
    }

    pub(crate) fn device(&self, name: &str) -> Thumbprint {
        self.actors[name].1
    }

    pub(crate) fn caller(&self, name: &str, profile: Profile) -> Caller {
        let (actor, device) = self.actors[name];
        let owner = self.snapshot.actor(&actor).unwrap().owner;
        Caller::fake(profile, actor, owner, Some(device), self.snapshot.seq())
    }

    /// Binds the actor's name as an id of another system, with the actor's device.
    pub(crate) fn bind(&mut self, name: &str) {
        let (actor, device) = self.actors[name];
        self.put(Change::Foreign(ForeignRecord {
            id: name.parse().unwrap(),
            actor,
            device: Some(device),
            created: NOW,
            released: None,
        }));
    }

    /// Changes what the id stands for.
    pub(crate) fn rebind(&mut self, name: &str, change: impl Fn(&mut ForeignRecord)) {
        self.bind(name);
        let id = name.parse().unwrap();
        let mut record = self.snapshot.foreign(&id).unwrap().as_ref().clone();
        change(&mut record);
        self.put(Change::Foreign(record));
    }

    /// Who was proven under that id.
    pub(crate) fn foreign(&self, name: &str, profile: Foreign) -> Caller {
        self.caller(name, Profile::Native)
            .under(profile, name.parse().unwrap())
    }

    /// What the decider says to a caller of that profile.
    pub(crate) fn ask(
        &self,
        caller: &Caller,
        action: Action,
        resource: &Resource,
        concerned: Concerned<'_>,
    ) -> Result<Basis, Denied> {
        let decided = RoleDecider.decide(
            &self.snapshot,
            &Question {
                caller,
                action,
                resource,
                concerned,
                now: NOW,
            },
        );
        decided.map(|allowed| allowed.basis)
    }

    /// As [`Self::ask`], natively and about nobody in particular.
    pub(crate) fn plain(
        &self,
        name: &str,
        action: Action,
        resource: &Resource,
    ) -> Result<Basis, Denied> {
        let caller = self.caller(name, Profile::Native);
        self.ask(&caller, action, resource, Concerned::default())
    }
}

/// What the one grant of the world covers, and what it does not.
pub(crate) fn need<'a>(
    namespace: &'a Namespace,
    project: &'a ProjectName,
    items: &'a [GrantItem],
) -> Concerned<'a> {
    Concerned {
        need: Some(GrantNeed {
            namespace,
            project,
            delivery: Delivery::Env,
            items,
        }),
        ..Concerned::default()
    }
}

/// The one token of the world, shown for these.
pub(crate) fn shows(items: &[GrantItem]) -> Concerned<'_> {
    Concerned {
        token: Some(TokenNeed {
            token: &TOKEN,
            items,
        }),
        ..Concerned::default()
    }
}
