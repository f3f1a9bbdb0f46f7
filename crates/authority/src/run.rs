//! Runs: one hand-over of values to one process.

use crate::error::AuthorityError;
use crate::rendering::{Handed, Rendering};
use procura_policy::{Action, Basis, Concerned, GrantNeed, Op, Resource};
use procura_record::{Details, RecordedBatch};
use procura_store::{Batch, Expected, KeyPrefix, Kind, Store, Table};
use procura_types::wire::{CallerReport, GrantItem, RunningChild};
use procura_types::{
    ActorId, Delivery, Grade, GrantId, Namespace, ProjectName, RunId, Thumbprint, Timestamp,
};
use procura_vault::{Released, Releases, Wanted};
use serde::{Deserialize, Serialize};

/// (namespace, id) → run.
pub(crate) const RUNS: Table<(Namespace, RunId), RunRow> = Table::new("run", Kind::Ordinary);
/// (namespace, grant, run) → nothing: which runs have not been seen to end.
pub(crate) const RUNNING: Table<(Namespace, GrantId, RunId), ()> =
    Table::new("run-open", Kind::Ordinary);

/// Most running children that are listed.
const MAX_LISTED: usize = 1000;

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct RunRow {
    project: ProjectName,
    grant: GrantId,
    agent: ActorId,
    device: Thumbprint,
    pub(crate) started: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    caller: Option<CallerReport>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) ended: Option<Timestamp>,
}

/// Hands values to a process of an agent. Made by [`crate::Matched::deliver`].
pub struct RunDeliver {
    pub(crate) namespace: Namespace,
    pub(crate) project: ProjectName,
    pub(crate) delivery: Delivery,
    pub(crate) items: Vec<GrantItem>,
    /// Of each item, in the same order: what is delivered is what is recorded.
    pub(crate) versions: Vec<u64>,
    pub(crate) rendering: Rendering,
    pub(crate) run: RunId,
    pub(crate) agent: ActorId,
    /// What the project requires of daemons.
    pub(crate) grade: Option<Grade>,
    pub(crate) report: Option<CallerReport>,
}

impl Op for RunDeliver {
    const ACTION: Action = Action::RunDeliver;
    fn resource(&self) -> Resource {
        Resource::Project(self.namespace.clone(), self.project.clone())
    }
    fn concerned(&self) -> Concerned<'_> {
        let need = GrantNeed {
            namespace: &self.namespace,
            project: &self.project,
            delivery: self.delivery,
            items: &self.items,
        };
        Concerned {
            need: Some(need),
            grade: self.grade,
            ..Concerned::default()
        }
    }
}

impl Releases for RunDeliver {
    fn wanted(&self) -> Vec<Wanted<'_>> {
        self.items
            .iter()
            .zip(&self.versions)
            .map(|(item, version)| Wanted {
                namespace: &self.namespace,
                path: &item.path,
                version: Some(*version),
                delivery: Some(self.delivery),
            })
            .collect()
    }
}

impl RunDeliver {
    /// The hand-over.
    #[must_use]
    pub const fn run(&self) -> RunId {
        self.run
    }

    /// What is released, sorted by name, in the order of [`Releases::wanted`]: what is
    /// handed over, and what goes into the templates among it.
    #[must_use]
    pub fn items(&self) -> &[GrantItem] {
        &self.items
    }

    /// What the process gets of the released values: templates with theirs put in.
    ///
    /// # Errors
    /// [`AuthorityError::NotRendered`], and nothing is handed over.
    pub fn hand(&self, released: Vec<Released>) -> Result<Vec<Handed<'_>>, AuthorityError> {
        self.rendering.hand(&self.items, released)
    }

    /// What its entry says: which values exactly, by name, path and version. All
    /// of them fit, since [`crate::MAX_TERMS`] bounds them.
    #[must_use]
    pub fn details(&self) -> Details {
        let values: Vec<String> = self
            .items
            .iter()
            .zip(&self.versions)
            .map(|(item, version)| format!("{}={}@{version}", item.name, item.path))
            .collect();
        Details {
            run: Some(self.run),
            with: Some(values.join(" ")),
            ..Details::default()
        }
    }

    /// The grant that a permit rests on.
    pub const fn grant(basis: Basis) -> Result<GrantId, AuthorityError> {
        match basis {
            Basis::Grant(grant) => Ok(grant),
            _ => Err(AuthorityError::NotByGrant),
        }
    }

    /// Puts the row by which the run is listed as long as it has not ended. It
    /// must be durable before the values leave.
    pub fn put(
        &self,
        basis: Basis,
        device: Option<&Thumbprint>,
        rows: &mut Batch,
        now: Timestamp,
    ) -> Result<(), AuthorityError> {
        let grant = Self::grant(basis)?;
        let row = RunRow {
            project: self.project.clone(),
            grant,
            agent: self.agent,
            device: *device.ok_or(AuthorityError::NotByGrant)?,
            started: now,
            caller: self.report.clone(),
            ended: None,
        };
        let key = (self.namespace.clone(), self.run);
        RUNS.expect(rows, &key, Expected::Absent);
        RUNS.put(rows, &key, &row);
        RUNNING.put(rows, &(self.namespace.clone(), grant, self.run), &());
        Ok(())
    }
}

/// Reports that the process of a run ended. Made by [`RunEnd::resolve`].
pub struct RunEnd {
    namespace: Namespace,
    run: RunId,
    agent: ActorId,
}

impl Op for RunEnd {
    const ACTION: Action = Action::RunEnd;
    fn resource(&self) -> Resource {
        Resource::Run(self.namespace.clone(), self.run)
    }
    fn concerned(&self) -> Concerned<'_> {
        Concerned::own(&self.agent)
    }
}

impl RunEnd {
    /// The operation for this run; none when there is no such run of the project.
    pub fn resolve(
        store: &Store,
        namespace: &Namespace,
        project: &ProjectName,
        run: RunId,
    ) -> Result<Option<Self>, AuthorityError> {
        let row = RUNS.get(store, &(namespace.clone(), run))?;
        Ok(row
            .filter(|row| row.value.project == *project)
            .map(|row| Self {
                namespace: namespace.clone(),
                run,
                agent: row.value.agent,
            }))
    }

    /// Marks the run of the permit as ended; doing it again changes nothing.
    pub fn run(batch: &mut RecordedBatch<'_, Self>, now: Timestamp) -> Result<(), AuthorityError> {
        let op = batch.op();
        let key = (op.namespace.clone(), op.run);
        let row = RUNS
            .get(batch.store(), &key)?
            .ok_or(AuthorityError::NoRun)?;
        batch.details().run = Some(op.run);
        batch.details().grant = Some(row.value.grant);
        if row.value.ended.is_none() {
            RUNS.expect(batch.rows(), &key, Expected::At(row.version));
            RUNNING.delete(
                batch.rows(),
                &(op.namespace.clone(), row.value.grant, op.run),
            );
            RUNS.put(
                batch.rows(),
                &key,
                &RunRow {
                    ended: Some(now),
                    ..row.value
                },
            );
        }
        Ok(())
    }
}

/// Runs under a grant that have not been seen to end, oldest first.
pub(crate) fn running(
    store: &Store,
    namespace: &Namespace,
    grant: &GrantId,
) -> Result<Vec<RunningChild>, AuthorityError> {
    let snapshot = store.snapshot()?;
    let prefix = KeyPrefix::all().part(namespace).part(grant);
    let mut children = Vec::new();
    for ((_, _, run), _) in RUNNING.scan(&snapshot, &prefix, None, MAX_LISTED)? {
        if let Some(row) = RUNS.get_at(&snapshot, &(namespace.clone(), run))? {
            children.push(RunningChild {
                run,
                device: row.value.device,
                started: row.value.started,
                caller: row.value.caller,
            });
        }
    }
    Ok(children)
}
