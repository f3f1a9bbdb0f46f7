//! What a project requires of the daemons that are handed anything for it (ADR 39).

use crate::error::AuthorityError;
use crate::key::KEYS_PROJECT;
use crate::project::{PROJECTS, ProjectRow, render};
use procura_policy::{Action, Op, Resource};
use procura_record::RecordedBatch;
use procura_store::Expected;
use procura_types::wire::Project;
use procura_types::{Grade, Namespace, ProjectName, Timestamp};

/// What a daemon attested that asks for something of a project.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attesting {
    /// It shows this, or nothing.
    With(Option<Grade>),
    /// Nothing is handed over now: it is looked at when something is.
    Later,
}

impl ProjectRow {
    /// Whether a daemon with this attestation is handed anything. Asked before anything is
    /// looked up, so that a refusal tells nothing of what there is.
    ///
    /// # Errors
    /// [`AuthorityError::AttestationRequired`].
    pub(crate) fn admits(&self, shown: Attesting) -> Result<(), AuthorityError> {
        let (Some(needs), Attesting::With(has)) = (self.require_grade, shown) else {
            return Ok(());
        };
        if has >= Some(needs) {
            return Ok(());
        }
        Err(AuthorityError::AttestationRequired { needs, has })
    }
}

/// Says what a daemon has to have attested for a project.
pub struct ProjectRequireGrade {
    /// Where.
    pub namespace: Namespace,
    /// Which.
    pub name: ProjectName,
    /// The weakest grade that is handed anything; none asks for nothing.
    pub grade: Option<Grade>,
}

impl Op for ProjectRequireGrade {
    const ACTION: Action = Action::ProjectRequireGrade;
    fn resource(&self) -> Resource {
        Resource::Project(self.namespace.clone(), self.name.clone())
    }
}

impl ProjectRequireGrade {
    /// Requires this of the project of the permit from now on; what was handed over stays.
    ///
    /// # Errors
    /// [`AuthorityError::NoProject`]; [`AuthorityError::KeysTakeNoGrade`] for the project
    /// whose keys clients of other systems fetch, which attest nothing.
    pub fn run(
        batch: &mut RecordedBatch<'_, Self>,
        now: Timestamp,
    ) -> Result<Project, AuthorityError> {
        let op = batch.op();
        if op.name.as_str() == KEYS_PROJECT && op.grade.is_some() {
            return Err(AuthorityError::KeysTakeNoGrade);
        }
        let key = (op.namespace.clone(), op.name.clone());
        let grade = op.grade;
        let before = PROJECTS
            .get(batch.store(), &key)?
            .ok_or_else(|| AuthorityError::NoProject(key.1.clone()))?;
        let row = ProjectRow {
            require_grade: grade,
            updated: now,
            ..before.value
        };
        batch.details().with = Some(grade.map_or("none", Grade::as_str).to_owned());
        PROJECTS.expect(batch.rows(), &key, Expected::At(before.version));
        PROJECTS.put(batch.rows(), &key, &row);
        Ok(render(batch.directory(), key.1, &row))
    }
}
