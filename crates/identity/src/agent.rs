//! Agents: the non-human actors below an owner.

use crate::error::IdentityError;
use crate::{MAX_DEPTH, device, tree};
use procura_crypto::agent_id;
use procura_directory::{ActorKind, ActorRecord, Snapshot};
use procura_policy::{Action, Op, Permit, Resource};
use procura_record::RecordedBatch;
use procura_types::wire::{Agent, AgentList, RevokedActors};
use procura_types::{Label, Namespace, Timestamp};
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
        let directory = batch.directory();
        if directory.agent_named(&op.namespace, &op.label).is_some() {
            return Err(IdentityError::LabelTaken(op.label.clone()));
        }
        let (parent, owner) = match &op.parent {
            Some(label) => {
                let parent = find(directory, &op.namespace, label)?;
                (parent.id, parent.owner)
            }
            // Only owners hold the role that opens this.
            None => (
                *batch.permit().caller().actor(),
                *batch.permit().caller().owner(),
            ),
        };
        if directory.depth(&parent) >= MAX_DEPTH {
            return Err(IdentityError::TooDeep);
        }
        let incarnation = directory
            .last_incarnation(&op.namespace, &op.label)
            .saturating_add(1);
        let id = agent_id(&parent, &op.namespace, &op.label, incarnation);
        let agent = Agent {
            actor_id: id,
            label: op.label.clone(),
            namespace: op.namespace.clone(),
            parent,
            owner,
            lineage: format!("{}//{}", directory.lineage(&parent), op.label),
            incarnation,
            devices: Vec::new(),
            created: now,
            revoked: None,
        };
        let kind = ActorKind::Agent {
            parent,
            namespace: op.namespace.clone(),
            label: op.label.clone(),
            incarnation,
        };
        batch.put_actor(&ActorRecord {
            id,
            kind,
            owner,
            created: now,
            revoked: None,
        });
        Ok(agent)
    }
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
        namespace: namespace.clone(),
        parent: *parent,
        owner: actor.owner,
        lineage: snapshot.lineage(&actor.id),
        incarnation: *incarnation,
        devices: device::rendered(snapshot, &actor.id),
        created: actor.created,
        revoked: actor.revoked,
    })
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
