//! Projects: named consumers of secrets.

use crate::error::AuthorityError;
use crate::project_end::end_requests;
use crate::{MAX_AGENTS, MAX_NAMES, fits};
use procura_directory::Snapshot;
use procura_policy::{Action, Op, Permit, Resource};
use procura_record::{RecordedBatch, in_parts};
use procura_store::{Expected, KeyPrefix, Kind, Store, Table};
use procura_types::wire::{Project, ProjectList};
use procura_types::{
    ActorId, DisplayName, EnvName, Grade, Label, Namespace, ProjectName, SecretPath, Thumbprint,
    Timestamp,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// (namespace, name) → project.
pub(crate) const PROJECTS: Table<(Namespace, ProjectName), ProjectRow> =
    Table::new("project", Kind::Ordinary);

/// Namespace → how many projects were ever made in it; never goes back.
pub(crate) const NUMBERS: Table<Namespace, u64> = Table::new("project-number", Kind::Ordinary);

/// Rows read at once.
const CHUNK: usize = 256;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ProjectRow {
    /// By id: an agent that takes over a revoked label is not a member.
    pub(crate) agents: Vec<ActorId>,
    pub(crate) env: BTreeMap<EnvName, SecretPath>,
    /// What people call it. Nothing is decided by it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) display_name: Option<DisplayName>,
    /// The how manieth project of the namespace it is, so that one of the same name that
    /// is made later is another. 0 in rows from before that was counted.
    #[serde(default)]
    pub(crate) number: u64,
    /// By which device which names were mapped, ascending: what a run without names asks
    /// for is asked for by whoever mapped it. Rows from before that was kept say nothing.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) mapped_by: BTreeMap<Thumbprint, Vec<EnvName>>,
    /// What a daemon has to have attested to be handed anything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) require_grade: Option<Grade>,
    pub(crate) created: Timestamp,
    pub(crate) updated: Timestamp,
}

impl ProjectRow {
    /// The device that mapped a name as it is, where that is known.
    pub(crate) fn mapper(&self, name: &EnvName) -> Option<Thumbprint> {
        let mut by = self.mapped_by.iter();
        by.find(|(_, names)| names.binary_search(name).is_ok())
            .map(|(device, _)| *device)
    }

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
    /// Puts the project of the permit. Grants stay as they are: what they cover is fixed.
    /// Requests that wait and do not fit it any more end.
    pub fn run(
        batch: &mut RecordedBatch<'_, Self>,
        now: Timestamp,
    ) -> Result<Project, AuthorityError> {
        let op = batch.op();
        let agents = checked(batch.directory(), &op.namespace, &op.agents, &op.env)?;
        let key = (op.namespace.clone(), op.name.clone());
        let Some(before) = PROJECTS.get(batch.store(), &key)? else {
            let row = ProjectRow {
                agents,
                env: op.env.clone(),
                display_name: None,
                number: number(batch, &op.namespace)?,
                mapped_by: mapped_by(batch, None, &op.env),
                require_grade: None,
                created: now,
                updated: now,
            };
            PROJECTS.expect(batch.rows(), &key, Expected::Absent);
            PROJECTS.put(batch.rows(), &key, &row);
            return Ok(render(batch.directory(), key.1, &row));
        };
        let row = ProjectRow {
            agents,
            env: op.env.clone(),
            mapped_by: mapped_by(batch, Some(&before.value), &op.env),
            updated: now,
            ..before.value.clone()
        };
        PROJECTS.expect(batch.rows(), &key, Expected::At(before.version));
        PROJECTS.put(batch.rows(), &key, &row);
        let ended = end_requests(batch, &key, &before.value.agents, Some(&row), now)?;
        batch.say_in_parts(in_parts(ended.iter().map(|id| format!("request/{id}"))));
        Ok(render(batch.directory(), key.1, &row))
    }
}

/// Most devices that one mapping remembers: beyond these the last who wrote it stands for
/// the others, so that the row has room.
const MAX_MAPPERS: usize = 64;

/// Who mapped the names of a mapping that the caller writes: what was mapped so before is
/// still whose it was.
pub(crate) fn mapped_by<O: Op>(
    batch: &RecordedBatch<'_, O>,
    before: Option<&ProjectRow>,
    env: &BTreeMap<EnvName, SecretPath>,
) -> BTreeMap<Thumbprint, Vec<EnvName>> {
    let caller = batch.permit().caller().device().copied();
    let mut by: BTreeMap<Thumbprint, Vec<EnvName>> = BTreeMap::new();
    for (name, path) in env {
        let kept = before.filter(|before| before.env.get(name) == Some(path));
        let device = match kept {
            Some(before) => before.mapper(name),
            None => caller,
        };
        let has_room = |device: &Thumbprint| by.len() < MAX_MAPPERS || by.contains_key(device);
        if let Some(device) = device.filter(has_room).or(caller) {
            by.entry(device).or_default().push(name.clone());
        }
    }
    by
}

/// The number of a project that is made.
fn number<O: Op>(
    batch: &mut RecordedBatch<'_, O>,
    namespace: &Namespace,
) -> Result<u64, AuthorityError> {
    let before = NUMBERS.get(batch.store(), namespace)?;
    let expected = before.map_or(Expected::Absent, |row| Expected::At(row.version));
    let number = before.map_or(0, |row| row.value) + 1;
    NUMBERS.expect(batch.rows(), namespace, expected);
    NUMBERS.put(batch.rows(), namespace, &number);
    Ok(number)
}

/// The agents of these labels, by id and sorted, if a project may have them and this
/// mapping.
pub(crate) fn checked(
    directory: &Snapshot,
    namespace: &Namespace,
    agents: &[Label],
    env: &BTreeMap<EnvName, SecretPath>,
) -> Result<Vec<ActorId>, AuthorityError> {
    if agents.len() > MAX_AGENTS {
        return Err(AuthorityError::TooManyAgents);
    }
    if env.len() > MAX_NAMES {
        return Err(AuthorityError::TooManyNames);
    }
    if !fits(env.iter()) {
        return Err(AuthorityError::TooLong);
    }
    for name in env.keys() {
        name.deliverable()?;
    }
    let mut agents = agents
        .iter()
        .map(|label| {
            directory
                .agent_named(namespace, label)
                .map(|agent| agent.id)
                .ok_or_else(|| AuthorityError::NoAgent(label.clone()))
        })
        .collect::<Result<Vec<ActorId>, _>>()?;
    agents.sort();
    agents.dedup();
    Ok(agents)
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

pub(crate) fn render(snapshot: &Snapshot, name: ProjectName, row: &ProjectRow) -> Project {
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
        display_name: row.display_name.clone(),
        agents,
        env: row.env.clone(),
        require_grade: row.require_grade,
        created: row.created,
        updated: row.updated,
    }
}
