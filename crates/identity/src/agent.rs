//! Agents: the non-human actors below an owner.

use crate::error::IdentityError;
use crate::{MAX_DEPTH, device, tree};
use procura_crypto::agent_id;
use procura_directory::{ActorKind, ActorRecord, Snapshot};
use procura_policy::{Action, Op, Permit, Resource};
use procura_record::RecordedBatch;
use procura_types::wire::{Agent, AgentList, RevokedActors};
use procura_types::{Cidr, DisplayName, Label, Namespace, Timestamp};
use std::sync::Arc;

/// Makes an agent.
pub struct AgentCreate {
    /// Where it belongs.
    pub namespace: Namespace,
    /// Its name.
    pub label: Label,
    /// The agent above it; the caller when there is none.
    pub parent: Option<Label>,
}

impl Op for AgentCreate {
    const ACTION: Action = Action::AgentCreate;
    fn resource(&self) -> Resource {
        Resource::Agent(self.namespace.clone(), self.label.clone())
    }
}

pub(crate) fn find(
    snapshot: &Snapshot,
    namespace: &Namespace,
    label: &Label,
) -> Result<Arc<ActorRecord>, IdentityError> {
    snapshot
        .agent_named(namespace, label)
        .filter(|agent| snapshot.is_active(&agent.id))
        .cloned()
        .ok_or_else(|| IdentityError::NoAgent(label.clone()))
}

impl AgentCreate {
    /// Makes the agent of the permit. A label that was revoked comes back as its
    /// next incarnation: another actor, which inherits nothing.
    pub fn run(
        batch: &mut RecordedBatch<'_, Self>,
        now: Timestamp,
    ) -> Result<Agent, IdentityError> {
        let op = batch.op();
        make(batch, &op.namespace, &op.label, op.parent.as_ref(), now)
    }
}

/// Makes an agent below another one, or below the caller, who is an owner: only owners
/// hold the roles that open this.
pub(crate) fn make<O: Op>(
    batch: &mut RecordedBatch<'_, O>,
    namespace: &Namespace,
    label: &Label,
    parent: Option<&Label>,
    now: Timestamp,
) -> Result<Agent, IdentityError> {
    let directory = batch.directory();
    if directory.agent_named(namespace, label).is_some() {
        return Err(IdentityError::LabelTaken(label.clone()));
    }
    let (parent, owner) = match parent {
        Some(label) => {
            let parent = find(directory, namespace, label)?;
            (parent.id, parent.owner)
        }
        None => (
            *batch.permit().caller().actor(),
            *batch.permit().caller().owner(),
        ),
    };
    if directory.depth(&parent) >= MAX_DEPTH {
        return Err(IdentityError::TooDeep);
    }
    let incarnation = directory
        .last_incarnation(namespace, label)
        .saturating_add(1);
    let id = agent_id(&parent, namespace, label, incarnation);
    let agent = Agent {
        actor_id: id,
        label: label.clone(),
        display_name: None,
        namespace: namespace.clone(),
        parent,
        owner,
        lineage: format!("{}//{label}", directory.lineage(&parent)),
        incarnation,
        devices: Vec::new(),
        created: now,
        revoked: None,
        sources: Vec::new(),
    };
    let kind = ActorKind::Agent {
        parent,
        namespace: namespace.clone(),
        label: label.clone(),
        incarnation,
    };
    batch.put_actor(&ActorRecord {
        id,
        kind,
        owner,
        created: now,
        revoked: None,
        sources: Vec::new(),
        display_name: None,
    });
    Ok(agent)
}

/// Lists the agents of a namespace.
pub struct AgentListing {
    /// Where.
    pub namespace: Namespace,
}

impl Op for AgentListing {
    const ACTION: Action = Action::AgentList;
    fn resource(&self) -> Resource {
        Resource::Namespace(self.namespace.clone())
    }
}

impl AgentListing {
    /// All agents by label and incarnation, revoked ones too.
    #[must_use]
    pub fn run(permit: &Permit<Self>, snapshot: &Snapshot) -> AgentList {
        let mut agents: Vec<Agent> = snapshot
            .actors()
            .filter(|actor| actor.namespace() == Some(&permit.op().namespace))
            .filter_map(|actor| render(snapshot, actor))
            .collect();
        agents.sort_by(|a, b| {
            (&a.label, a.incarnation, a.actor_id).cmp(&(&b.label, b.incarnation, b.actor_id))
        });
        AgentList { agents }
    }
}

fn render(snapshot: &Snapshot, actor: &ActorRecord) -> Option<Agent> {
    let ActorKind::Agent {
        parent,
        namespace,
        label,
        incarnation,
    } = &actor.kind
    else {
        return None;
    };
    Some(Agent {
        actor_id: actor.id,
        label: label.clone(),
        display_name: actor.display_name.clone(),
        namespace: namespace.clone(),
        parent: *parent,
        owner: actor.owner,
        lineage: snapshot.lineage(&actor.id),
        incarnation: *incarnation,
        devices: device::rendered(snapshot, &actor.id),
        created: actor.created,
        revoked: actor.revoked,
        sources: actor.sources.clone(),
    })
}

/// Most blocks of addresses of one agent.
pub const MAX_SOURCES: usize = 32;

/// Says where an agent's requests may come from.
pub struct AgentSources {
    /// Where it belongs.
    pub namespace: Namespace,
    /// Which.
    pub label: Label,
    /// All blocks of addresses; none lets it be anywhere.
    pub sources: Vec<Cidr>,
}

impl Op for AgentSources {
    const ACTION: Action = Action::AgentSources;
    fn resource(&self) -> Resource {
        Resource::Agent(self.namespace.clone(), self.label.clone())
    }
}

impl AgentSources {
    /// Gives the agent of the permit these sources and no others.
    pub fn run(batch: &mut RecordedBatch<'_, Self>) -> Result<Agent, IdentityError> {
        let op = batch.op();
        let mut sources = op.sources.clone();
        sources.sort();
        sources.dedup();
        if sources.len() > MAX_SOURCES {
            return Err(IdentityError::TooManySources);
        }
        let agent = find(batch.directory(), &op.namespace, &op.label)?;
        batch.details().with = Some(recorded(&sources));
        let agent = ActorRecord {
            sources,
            ..agent.as_ref().clone()
        };
        let rendered = render(batch.directory(), &agent);
        batch.put_actor(&agent);
        rendered.ok_or_else(|| IdentityError::NoAgent(batch.op().label.clone()))
    }
}

/// The sources as an entry of the ledger names them: `10.0.0.0/8 192.0.2.5/32`, or
/// `any`.
fn recorded(sources: &[Cidr]) -> String {
    if sources.is_empty() {
        return "any".to_owned();
    }
    let sources: Vec<String> = sources.iter().map(Cidr::to_string).collect();
    sources.join(" ")
}

/// Says what people call an agent.
pub struct AgentDisplayName {
    /// Where it belongs.
    pub namespace: Namespace,
    /// Which.
    pub label: Label,
    /// What; none takes it away.
    pub display_name: Option<DisplayName>,
}

impl Op for AgentDisplayName {
    const ACTION: Action = Action::AgentDisplayName;
    fn resource(&self) -> Resource {
        Resource::Agent(self.namespace.clone(), self.label.clone())
    }
}

impl AgentDisplayName {
    /// Gives the agent of the permit this name. Its label stays what it is named by.
    ///
    /// # Errors
    /// [`IdentityError::NoAgent`].
    pub fn run(batch: &mut RecordedBatch<'_, Self>) -> Result<Agent, IdentityError> {
        let op = batch.op();
        let agent = find(batch.directory(), &op.namespace, &op.label)?;
        let agent = ActorRecord {
            display_name: op.display_name.clone(),
            ..agent.as_ref().clone()
        };
        let rendered = render(batch.directory(), &agent);
        batch.put_actor(&agent);
        rendered.ok_or_else(|| IdentityError::NoAgent(batch.op().label.clone()))
    }
}

/// Revokes an agent and everything below.
pub struct AgentRevoke {
    /// Where.
    pub namespace: Namespace,
    /// Which.
    pub label: Label,
}

impl Op for AgentRevoke {
    const ACTION: Action = Action::AgentRevoke;
    fn resource(&self) -> Resource {
        Resource::Agent(self.namespace.clone(), self.label.clone())
    }
}

impl AgentRevoke {
    /// Revokes the agent of the permit, all agents below it, and all their devices.
    pub fn run(
        batch: &mut RecordedBatch<'_, Self>,
        now: Timestamp,
    ) -> Result<RevokedActors, IdentityError> {
        let op = batch.op();
        let agent = find(batch.directory(), &op.namespace, &op.label)?;
        Ok(tree::revoke(batch, &agent.id, now))
    }
}
