//! The end of a project, and its move to other agents. What rested on the project of
//! before ends in the same commit: grants, with the tokens that rest on them, and
//! requests that wait.

use crate::error::AuthorityError;
use crate::grant::running_children;
use crate::project::{self, PROJECTS, ProjectRow};
use crate::request::{Answer, Answered, PENDING, REQUESTS, RequestRow, Waiting};
use procura_directory::Snapshot;
use procura_policy::{Action, Op, Resource};
use procura_record::{RecordedBatch, in_parts};
use procura_store::{Expected, KeyPrefix, Row, Store};
use procura_types::wire::{Project, ProjectEnded};
use procura_types::{
    ActorId, DisplayName, EnvName, GrantId, Label, Namespace, ProjectName, RequestId, SecretPath,
    Timestamp,
};
use std::collections::{BTreeMap, BTreeSet};

/// Rows read at once.
const CHUNK: usize = 256;

/// Most requests that are marked as ended in one commit, by their names and paths. Those
/// beyond are ended all the same, since they fit no project.
const MARKED_TERMS: usize = 500_000;

/// Most running children that are listed.
const MAX_RUNNING: usize = 1000;

/// What ended with a change of a project.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ended {
    /// Grants, by id.
    pub withdrawn: Vec<GrantId>,
    /// Requests, by id.
    pub requests: Vec<RequestId>,
}

impl Ended {
    /// The same for the API, with the processes that got values under the grants. To be
    /// asked after the commit, so that no run slips between.
    ///
    /// # Errors
    /// The store's.
    pub fn with_running(
        self,
        store: &Store,
        namespace: &Namespace,
    ) -> Result<ProjectEnded, AuthorityError> {
        let mut running = Vec::new();
        for grant in &self.withdrawn {
            running.extend(running_children(store, namespace, grant)?);
            if running.len() >= MAX_RUNNING {
                running.truncate(MAX_RUNNING);
                break;
            }
        }
        Ok(ProjectEnded {
            withdrawn: self.withdrawn,
            ended: self.requests,
            running,
        })
    }

    fn words(&self) -> impl Iterator<Item = String> {
        let grants = self.withdrawn.iter().map(|id| format!("grant/{id}"));
        grants.chain(self.requests.iter().map(|id| format!("request/{id}")))
    }
}

/// Deletes a project.
pub struct ProjectDelete {
    /// Where.
    pub namespace: Namespace,
    /// Which.
    pub name: ProjectName,
}

impl Op for ProjectDelete {
    const ACTION: Action = Action::ProjectDelete;
    fn resource(&self) -> Resource {
        Resource::Project(self.namespace.clone(), self.name.clone())
    }
}

impl ProjectDelete {
    /// Deletes the project of the permit, withdraws its grants and ends its requests.
    /// A project of this name that is made later has nothing of it.
    ///
    /// # Errors
    /// [`AuthorityError::NoProject`], and the store's.
    pub fn run(
        batch: &mut RecordedBatch<'_, Self>,
        now: Timestamp,
    ) -> Result<Ended, AuthorityError> {
        // A full disk must not keep anyone from taking authority away.
        batch.reserved();
        let op = batch.op();
        let key = (op.namespace.clone(), op.name.clone());
        let row = find(batch.store(), &key)?;
        PROJECTS.expect(batch.rows(), &key, Expected::At(row.version));
        PROJECTS.delete(batch.rows(), &key);
        let withdrawn = end_grants(batch, &key, |_| false, now);
        let requests = end_requests(batch, &key, &row.value.agents, None, now)?;
        let ended = Ended {
            withdrawn,
            requests,
        };
        batch.say_in_parts(in_parts(ended.words()));
        Ok(ended)
    }
}

/// Gives a project to other agents.
pub struct ProjectRebind {
    /// Where.
    pub namespace: Namespace,
    /// Which.
    pub name: ProjectName,
    /// The agents that may ask from now on.
    pub agents: Vec<Label>,
    /// The mapping from now on; none when it stays.
    pub env: Option<BTreeMap<EnvName, SecretPath>>,
}

impl Op for ProjectRebind {
    const ACTION: Action = Action::ProjectRebind;
    fn resource(&self) -> Resource {
        Resource::Project(self.namespace.clone(), self.name.clone())
    }
}

impl ProjectRebind {
    /// Gives the project of the permit to these agents and no others: the grants of
    /// those who leave end, and so do requests that do not fit any more. Who comes
    /// begins without a grant, and a grant of who stays covers no name that leads
    /// elsewhere now.
    ///
    /// # Errors
    /// [`AuthorityError::NoProject`], what [`crate::ProjectWrite::run`] refuses, and the
    /// store's.
    pub fn run(
        batch: &mut RecordedBatch<'_, Self>,
        now: Timestamp,
    ) -> Result<(Project, Ended), AuthorityError> {
        let op = batch.op();
        let key = (op.namespace.clone(), op.name.clone());
        let before = find(batch.store(), &key)?;
        let env = op.env.as_ref().unwrap_or(&before.value.env).clone();
        let agents = project::checked(batch.directory(), &op.namespace, &op.agents, &env)?;
        let words: Vec<String> = op.agents.iter().map(|to| format!("agent/{to}")).collect();
        let row = ProjectRow {
            agents,
            mapped_by: project::mapped_by(batch, Some(&before.value), &env),
            env,
            updated: now,
            ..before.value.clone()
        };
        PROJECTS.expect(batch.rows(), &key, Expected::At(before.version));
        PROJECTS.put(batch.rows(), &key, &row);
        let withdrawn = end_grants(batch, &key, |agent| row.agents.contains(agent), now);
        let requests = end_requests(batch, &key, &before.value.agents, Some(&row), now)?;
        let ended = Ended {
            withdrawn,
            requests,
        };
        batch.say_in_parts(in_parts(words.into_iter().chain(ended.words())));
        let project = project::render(batch.directory(), key.1, &row);
        Ok((project, ended))
    }
}

/// Says what people call a project.
pub struct ProjectDisplayName {
    /// Where.
    pub namespace: Namespace,
    /// Which.
    pub name: ProjectName,
    /// What; none takes it away.
    pub display_name: Option<DisplayName>,
}

impl Op for ProjectDisplayName {
    const ACTION: Action = Action::ProjectDisplayName;
    fn resource(&self) -> Resource {
        Resource::Project(self.namespace.clone(), self.name.clone())
    }
}

impl ProjectDisplayName {
    /// Gives the project of the permit this name; nothing else of it changes.
    ///
    /// # Errors
    /// [`AuthorityError::NoProject`], and the store's.
    pub fn run(batch: &mut RecordedBatch<'_, Self>) -> Result<Project, AuthorityError> {
        let op = batch.op();
        let key = (op.namespace.clone(), op.name.clone());
        let before = find(batch.store(), &key)?;
        let row = ProjectRow {
            display_name: op.display_name.clone(),
            ..before.value
        };
        PROJECTS.expect(batch.rows(), &key, Expected::At(before.version));
        PROJECTS.put(batch.rows(), &key, &row);
        Ok(project::render(batch.directory(), key.1, &row))
    }
}

type ProjectKey = (Namespace, ProjectName);

fn find(store: &Store, key: &ProjectKey) -> Result<Row<ProjectRow>, AuthorityError> {
    PROJECTS
        .get(store, key)?
        .ok_or_else(|| AuthorityError::NoProject(key.1.clone()))
}

/// Ends the grants of a project that nobody withdrew, but for the agents that keep
/// theirs, and gives those that held until now. One whose time is over is ended as well:
/// a clock that goes back must not bring it back.
fn end_grants<O: Op>(
    batch: &mut RecordedBatch<'_, O>,
    (namespace, name): &ProjectKey,
    keeps: impl Fn(&ActorId) -> bool,
    now: Timestamp,
) -> Vec<GrantId> {
    let mut ended = of_project(batch.directory(), namespace, name, keeps);
    ended.sort();
    let ids: Vec<GrantId> = ended.iter().map(|(id, _)| *id).collect();
    batch.end_grants(&ids, now);
    let held = ended.into_iter().filter(|(_, until)| now < *until);
    held.map(|(id, _)| id).collect()
}

/// Grants of a project that nobody withdrew, and until when they are.
fn of_project(
    directory: &Snapshot,
    namespace: &Namespace,
    name: &ProjectName,
    keeps: impl Fn(&ActorId) -> bool,
) -> Vec<(GrantId, Timestamp)> {
    directory
        .grants()
        .filter(|grant| grant.namespace == *namespace && grant.project == *name)
        .filter(|grant| grant.withdrawn.is_none() && !keeps(&grant.agent))
        .map(|grant| (grant.id, grant.until))
        .collect()
}

/// Ends the requests for a project that wait and do not fit it as it is `after`.
/// `members` are the agents that could have asked until now.
pub(crate) fn end_requests<O: Op>(
    batch: &mut RecordedBatch<'_, O>,
    (namespace, name): &ProjectKey,
    members: &[ActorId],
    after: Option<&ProjectRow>,
    now: Timestamp,
) -> Result<Vec<RequestId>, AuthorityError> {
    let by = *batch.permit().caller().actor();
    let mut ended = Vec::new();
    let mut left = MARKED_TERMS;
    let mut asked = BTreeSet::new();
    for (key, row) in pending(batch.store(), namespace)? {
        asked.insert(key.1);
        let (mut waiting, mut gone) = (Vec::new(), false);
        for request in row.value {
            let request_key = (namespace.clone(), request.id);
            let found = REQUESTS.get(batch.store(), &request_key)?;
            let ends = found.filter(|found| {
                let is_open = found.value.answer.is_none() && now < found.value.expires;
                is_open && found.value.project == *name && !found.value.fits(after)
            });
            let Some(found) = ends else {
                waiting.push(request);
                continue;
            };
            ended.push(request.id);
            let size = found.value.terms();
            if left < size {
                waiting.push(request);
                continue;
            }
            left -= size;
            gone = true;
            let answered = Answered {
                answer: Answer::Ended,
                by,
                time: now,
            };
            REQUESTS.expect(batch.rows(), &request_key, Expected::At(found.version));
            REQUESTS.put(
                batch.rows(),
                &request_key,
                &RequestRow {
                    answer: Some(answered),
                    ..found.value
                },
            );
        }
        // Whoever asks meanwhile rewrites this row, and this change is built anew.
        if gone || members.contains(&key.1) {
            PENDING.expect(batch.rows(), &key, Expected::At(row.version));
        }
        if gone {
            put_waiting(batch, &key, &waiting);
        }
    }
    for member in members.iter().filter(|member| !asked.contains(*member)) {
        let key = (namespace.clone(), *member);
        PENDING.expect(batch.rows(), &key, Expected::Absent);
    }
    ended.sort();
    Ok(ended)
}

fn put_waiting<O: Op>(
    batch: &mut RecordedBatch<'_, O>,
    key: &(Namespace, ActorId),
    waiting: &[Waiting],
) {
    if waiting.is_empty() {
        PENDING.delete(batch.rows(), key);
    } else {
        PENDING.put(batch.rows(), key, &waiting.to_vec());
    }
}

type PendingRow = ((Namespace, ActorId), Row<Vec<Waiting>>);

/// What waits in a namespace, by agent.
fn pending(store: &Store, namespace: &Namespace) -> Result<Vec<PendingRow>, AuthorityError> {
    let snapshot = store.snapshot()?;
    let prefix = KeyPrefix::all().part(namespace);
    let mut rows: Vec<PendingRow> = Vec::new();
    loop {
        let page = PENDING.scan(&snapshot, &prefix, rows.last().map(|(key, _)| key), CHUNK)?;
        let more = page.len() == CHUNK;
        rows.extend(page);
        if !more {
            return Ok(rows);
        }
    }
}
