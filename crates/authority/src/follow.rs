//! What the gate of a service has to know: its dial, and of the directory who can be
//! a caller of it. No grants, no other namespace, nothing about secrets.

use crate::error::AuthorityError;
use crate::service;
use procura_directory::{
    ActorKind, ActorRecord, Change, DeviceRecord, ForeignRecord, QuarantineRecord, Snapshot,
};
use procura_policy::{Action, Concerned, Op, Resource};
use procura_store::Store;
use procura_types::dial::{HmacV1Terms, Mode, Routes};
use procura_types::wire::{
    BodyRead, FeedActor, FeedActorKind, FeedDevice, FeedForeign, FeedQuarantine, VerifyQuestion,
};
use procura_types::{ActorId, Duration, GuardGeneration, InstanceId, Label, Namespace};
use std::collections::BTreeMap;

/// Whether there is such a service.
pub fn is_service(
    store: &Store,
    namespace: &Namespace,
    name: &Label,
) -> Result<bool, AuthorityError> {
    match service::find(store, namespace, name) {
        Ok(_) => Ok(true),
        Err(AuthorityError::NoService(_)) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Follows the directory as the gate of a service.
pub struct ServiceFollow {
    /// Where.
    pub namespace: Namespace,
    /// Which service.
    pub name: Label,
    /// The gate's home.
    pub instance: InstanceId,
    /// Random bytes that the answer is bound to.
    pub nonce: [u8; 16],
    /// The state of the directory that is known; none when nothing is.
    pub after: Option<u64>,
    /// Stands for the dial and the keys that are known.
    pub mark: Option<String>,
    /// How long to wait for news.
    pub wait: Duration,
    /// The memory of used proofs that the gate shares with others of the service.
    pub guard: Option<GuardGeneration>,
    /// The agents that may; none when there is no such service.
    pub gates: Vec<ActorId>,
}

impl Op for ServiceFollow {
    const ACTION: Action = Action::ServiceFollow;
    fn resource(&self) -> Resource {
        Resource::Service(self.namespace.clone(), self.name.clone())
    }
    fn concerned(&self) -> Concerned<'_> {
        Concerned {
            members: &self.gates,
            ..Concerned::default()
        }
    }
}

/// Asks, as the gate of a service, whether the proof of a request is good.
pub struct ServiceVerify {
    /// Where.
    pub namespace: Namespace,
    /// Which service.
    pub name: Label,
    /// The agents that may; none when there is no such service.
    pub gates: Vec<ActorId>,
    /// How the service lets `hmac-v1` in, if it does.
    pub hmac_v1: Option<HmacV1Terms>,
    /// The request.
    pub question: VerifyQuestion,
    /// Its body, decoded.
    pub body: BodyRead,
}

impl Op for ServiceVerify {
    const ACTION: Action = Action::ServiceVerify;
    fn resource(&self) -> Resource {
        Resource::Service(self.namespace.clone(), self.name.clone())
    }
    fn concerned(&self) -> Concerned<'_> {
        Concerned {
            members: &self.gates,
            ..Concerned::default()
        }
    }
}

/// A service as its gate sees it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Dialled {
    /// Changes with each change of the service; 0 when there is none.
    pub version: u64,
    /// For paths that no route speaks of.
    pub mode: Option<Mode>,
    /// For the paths of routes.
    pub routes: Routes,
    /// The agents that may run its gate.
    pub gates: Vec<ActorId>,
    /// How `hmac-v1` is let in, if it is.
    pub hmac_v1: Option<HmacV1Terms>,
}

impl Dialled {
    /// The service as it is now. One that does not exist has nobody who may follow
    /// it, so that it is refused like one that the caller may not follow.
    pub fn read(
        store: &Store,
        namespace: &Namespace,
        name: &Label,
    ) -> Result<Self, AuthorityError> {
        match service::find(store, namespace, name) {
            Ok(row) => Ok(Self {
                version: row.version,
                mode: row.mode,
                routes: row.routes,
                gates: row.gates,
                hmac_v1: row.hmac_v1,
            }),
            Err(AuthorityError::NoService(_)) => Ok(Self::default()),
            Err(error) => Err(error),
        }
    }
}

/// A part of the directory: those who can be callers of services of one namespace,
/// those above them, and of the former the devices and the ids in other systems.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Following {
    /// Whether this is all of it, or only what changed.
    pub full: bool,
    /// Agents of the namespace, owners of their trees, and operators with a role in
    /// the namespace.
    pub actors: Vec<FeedActor>,
    /// The devices of the agents and of the operators.
    pub devices: Vec<FeedDevice>,
    /// The ids of other systems that stand for the agents.
    pub foreign: Vec<FeedForeign>,
    /// Which of the devices and ids were put into quarantine.
    pub quarantined: Vec<FeedQuarantine>,
}

impl Following {
    /// The whole part.
    #[must_use]
    pub fn whole(directory: &Snapshot, namespace: &Namespace) -> Self {
        let mut part = Part::of(directory, namespace);
        for actor in directory.actors() {
            if part.calls(actor) {
                part.actor(actor);
                for device in directory.devices_of(&actor.id) {
                    part.device(device);
                }
                for bound in directory.foreign_of(&actor.id) {
                    part.foreign(bound);
                }
            }
        }
        for record in directory.all_quarantines() {
            let actor = directory.actor(&record.actor);
            if actor.is_some_and(|actor| part.calls(actor)) {
                part.quarantine(record);
            }
        }
        part.end(true)
    }

    /// What `changes` made of it, which lead to `directory`.
    #[must_use]
    pub fn changed(directory: &Snapshot, namespace: &Namespace, changes: &[Change]) -> Self {
        let mut part = Part::of(directory, namespace);
        for change in changes {
            match change {
                // A role that is gone takes its holder away, which no change can say.
                Change::Roles(_) => return Self::whole(directory, namespace),
                Change::Actor(actor) => {
                    if part.matters(actor) {
                        part.actor(actor);
                    }
                }
                Change::Device(device) => {
                    let actor = directory.actor(&device.actor);
                    if actor.is_some_and(|actor| part.calls(actor)) {
                        part.device(device);
                    }
                }
                Change::Foreign(bound) => {
                    let actor = directory.actor(&bound.actor);
                    if actor.is_some_and(|actor| part.calls(actor)) {
                        part.foreign(bound);
                    }
                }
                Change::Quarantine(record) => {
                    let actor = directory.actor(&record.actor);
                    if actor.is_some_and(|actor| part.calls(actor)) {
                        part.quarantine(record);
                    }
                }
                Change::Honey(_)
                | Change::Namespace(_)
                | Change::Grant(_)
                | Change::GrantsEnded(_)
                | Change::Policies(_)
                | Change::Token(_)
                | Change::TokenGone(_)
                | Change::TokensEnded(_)
                | Change::Attestation(_)
                | Change::AttestationGone(_)
                | Change::ReleaseKey(_)
                | Change::Release(_)
                | Change::Passkey(_)
                | Change::Baseline(_)
                | Change::ApiKey(_)
                | Change::BreakGlass(_)
                | Change::ApprovalRule(_) => {}
            }
        }
        part.end(false)
    }
}

/// A [`Following`] in the making.
struct Part<'a> {
    directory: &'a Snapshot,
    namespace: &'a Namespace,
    actors: BTreeMap<ActorId, FeedActor>,
    devices: Vec<FeedDevice>,
    foreign: Vec<FeedForeign>,
    quarantined: Vec<FeedQuarantine>,
}

impl<'a> Part<'a> {
    const fn of(directory: &'a Snapshot, namespace: &'a Namespace) -> Self {
        Self {
            directory,
            namespace,
            actors: BTreeMap::new(),
            devices: Vec::new(),
            foreign: Vec::new(),
            quarantined: Vec::new(),
        }
    }

    /// Whether the actor can be a caller: an agent of the namespace, or an operator
    /// with a role in it.
    fn calls(&self, actor: &ActorRecord) -> bool {
        match actor.namespace() {
            Some(namespace) => namespace == self.namespace,
            None => self.directory.roles(&actor.id).is_some_and(|held| {
                let mut roles = held.roles.iter();
                roles.any(|role| role.namespace.as_ref() == Some(self.namespace))
            }),
        }
    }

    /// Whether anybody's standing may depend on the actor. An owner without agents
    /// here comes with the first of them.
    fn matters(&self, actor: &ActorRecord) -> bool {
        self.calls(actor)
            || (actor.namespace().is_none()
                && self.directory.subtree(&actor.id).iter().any(|id| {
                    let below = self.directory.actor(id);
                    below.is_some_and(|below| below.namespace() == Some(self.namespace))
                }))
    }

    /// Adds an actor, and the owner at the root of its tree.
    fn actor(&mut self, actor: &ActorRecord) {
        self.actors.insert(actor.id, render(actor));
        if let Some(owner) = self.directory.actor(&actor.owner) {
            self.actors.entry(owner.id).or_insert_with(|| render(owner));
        }
    }

    fn device(&mut self, device: &DeviceRecord) {
        // What an API key or a break-glass account may do is decided by the server alone:
        // to a gate either would be a whole operator.
        let directory = self.directory;
        if directory.api_key(&device.thumbprint).is_some()
            || directory.break_glass(&device.actor).is_some()
        {
            return;
        }
        self.devices.push(FeedDevice {
            thumbprint: device.thumbprint,
            actor: device.actor,
            key: device.key.to_jwk(),
            created: device.created,
            revoked: device.revoked,
        });
    }

    fn foreign(&mut self, bound: &ForeignRecord) {
        self.foreign.push(FeedForeign {
            id: bound.id.clone(),
            actor: bound.actor,
            device: bound.device,
            created: bound.created,
            released: bound.released,
        });
    }

    fn quarantine(&mut self, record: &QuarantineRecord) {
        self.quarantined.push(FeedQuarantine {
            device: record.suspect.device(),
            id: record.suspect.foreign().cloned(),
            actor: record.actor,
            since: record.since,
            lifted: record.lifted,
        });
    }

    fn end(self, full: bool) -> Following {
        Following {
            full,
            actors: self.actors.into_values().collect(),
            devices: self.devices,
            foreign: self.foreign,
            quarantined: self.quarantined,
        }
    }
}

fn render(actor: &ActorRecord) -> FeedActor {
    let kind = match &actor.kind {
        ActorKind::Owner { alg, root_key, .. } => FeedActorKind::Owner {
            alg: *alg,
            root_key: root_key.to_jwk(),
        },
        ActorKind::Agent {
            parent,
            incarnation,
            ..
        } => FeedActorKind::Agent {
            parent: *parent,
            incarnation: *incarnation,
        },
    };
    FeedActor {
        id: actor.id,
        label: actor.label().clone(),
        owner: actor.owner,
        kind,
        created: actor.created,
        revoked: actor.revoked,
        sources: actor.sources.clone(),
    }
}
