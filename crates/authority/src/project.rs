//! Projects: named consumers of secrets.

use crate::error::AuthorityError;
use crate::{MAX_AGENTS, MAX_NAMES, fits};
use procura_directory::Snapshot;
use procura_policy::{Action, Op, Permit, Resource};
use procura_record::RecordedBatch;
use procura_store::{Expected, KeyPrefix, Kind, Store, Table};
use procura_types::wire::{Project, ProjectList};
use procura_types::{ActorId, EnvName, Label, Namespace, ProjectName, SecretPath, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// (namespace, name) → project.
pub(crate) const PROJECTS: Table<(Namespace, ProjectName), ProjectRow> =
    Table::new("project", Kind::Ordinary);

/// Rows read at once.
const CHUNK: usize = 256;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ProjectRow {
    /// By id: an agent that takes over a revoked label is not a member.
    pub(crate) agents: Vec<ActorId>,
    pub(crate) env: BTreeMap<EnvName, SecretPath>,
    created: Timestamp,
    updated: Timestamp,
}

impl ProjectRow {
    /// The project, if the agent has a part in it: it is named, or has a grant for it
    /// that holds. To others there is none.
    pub(crate) fn of(
        store: &Store,
        snapshot: &Snapshot,
        namespace: &Namespace,
        project: &ProjectName,
        agent: &ActorId,
        now: Timestamp,
    ) -> Result<Option<Self>, AuthorityError> {
        let row = PROJECTS.get(store, &(namespace.clone(), project.clone()))?;
        Ok(row.map(|row| row.value).filter(|row| {
            row.agents.contains(agent)
                || snapshot.grants_of(agent).any(|grant| {
                    grant.namespace == *namespace && grant.project == *project && grant.holds(now)
                })
        }))
    }
}

/// Makes a project or replaces it.
pub struct ProjectWrite {
    /// Where.
    pub namespace: Namespace,
    /// Its name.
    pub name: ProjectName,
    /// Agents that may ask.
    pub agents: Vec<Label>,
    /// Environment name to secret path; the secrets need not exist yet.
    pub env: BTreeMap<EnvName, SecretPath>,
}

impl Op for ProjectWrite {
    const ACTION: Action = Action::ProjectWrite;
    fn resource(&self) -> Resource {
        Resource::Project(self.namespace.clone(), self.name.clone())
    }
}

impl ProjectWrite {
    /// Puts the project of the permit. Grants and requests stay as they are: what
    /// they cover is fixed.
    pub fn run(
        batch: &mut RecordedBatch<'_, Self>,
        now: Timestamp,
    ) -> Result<Project, AuthorityError> {
        let op = batch.op();
        if op.agents.len() > MAX_AGENTS {
            return Err(AuthorityError::TooManyAgents);
        }
        if op.env.len() > MAX_NAMES {
            return Err(AuthorityError::TooManyNames);
        }
        if !fits(op.env.iter()) {
            return Err(AuthorityError::TooLong);
        }
        for name in op.env.keys() {
            name.deliverable()?;
        }
        let directory = batch.directory();
        let mut agents = op
            .agents
            .iter()
            .map(|label| {
                directory
                    .agent_named(&op.namespace, label)
                    .map(|agent| agent.id)
                    .ok_or_else(|| AuthorityError::NoAgent(label.clone()))
            })
            .collect::<Result<Vec<ActorId>, _>>()?;
        agents.sort();
        agents.dedup();
        let key = (op.namespace.clone(), op.name.clone());
        let before = PROJECTS.get(batch.store(), &key)?;
        let expected = before
            .as_ref()
            .map_or(Expected::Absent, |row| Expected::At(row.version));
        let row = ProjectRow {
            agents,
            env: op.env.clone(),
            created: before.map_or(now, |row| row.value.created),
            updated: now,
        };
        let project = render(batch.directory(), op.name.clone(), &row);
        PROJECTS.expect(batch.rows(), &key, expected);
        PROJECTS.put(batch.rows(), &key, &row);
        Ok(project)
    }
}

/// Reads one project.
pub struct ProjectRead {
    /// Where.
    pub namespace: Namespace,
    /// Which.
    pub name: ProjectName,
}

impl Op for ProjectRead {
    const ACTION: Action = Action::ProjectRead;
    fn resource(&self) -> Resource {
        Resource::Project(self.namespace.clone(), self.name.clone())
    }
}

impl ProjectRead {
    /// The project of the permit.
    pub fn run(
        permit: &Permit<Self>,
        snapshot: &Snapshot,
        store: &Store,
    ) -> Result<Project, AuthorityError> {
        let op = permit.op();
        let row = PROJECTS
            .get(store, &(op.namespace.clone(), op.name.clone()))?
            .ok_or_else(|| AuthorityError::NoProject(op.name.clone()))?;
        Ok(render(snapshot, op.name.clone(), &row.value))
    }
}

/// Lists the projects of a namespace.
pub struct ProjectListing {
    /// Where.
    pub namespace: Namespace,
}

impl Op for ProjectListing {
    const ACTION: Action = Action::ProjectRead;
    fn resource(&self) -> Resource {
        Resource::Namespace(self.namespace.clone())
    }
}

impl ProjectListing {
    /// All projects by name.
    pub fn run(
        permit: &Permit<Self>,
        snapshot: &Snapshot,
        store: &Store,
    ) -> Result<ProjectList, AuthorityError> {
        let rows = store.snapshot()?;
        let prefix = KeyPrefix::all().part(&permit.op().namespace);
        let mut projects = Vec::new();
        let mut after = None;
        loop {
            let chunk = PROJECTS.scan(&rows, &prefix, after.as_ref(), CHUNK)?;
            let whole = chunk.len() < CHUNK;
            after = chunk.last().map(|(key, _)| key.clone());
            projects.extend(
                chunk
                    .into_iter()
                    .map(|((_, name), row)| render(snapshot, name, &row.value)),
            );
            if whole {
                return Ok(ProjectList { projects });
            }
        }
    }
}

fn render(snapshot: &Snapshot, name: ProjectName, row: &ProjectRow) -> Project {
    let mut agents: Vec<Label> = row
        .agents
        .iter()
        .filter_map(|id| snapshot.actor(id))
        .filter(|agent| agent.revoked.is_none())
        .map(|agent| agent.label().clone())
        .collect();
    agents.sort();
    Project {
        name,
        agents,
        env: row.env.clone(),
        created: row.created,
        updated: row.updated,
    }
}
