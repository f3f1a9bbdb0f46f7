//! Bringing deleted versions back. What was destroyed does not come back.

use crate::about::About;
use crate::as_of;
use crate::due;
use crate::error::VaultError;
use crate::quota::arrives;
use crate::secret_rows::{HEADS, HeadRow, VERSIONS, head_key, older_versions};
use crate::write::{declare, recorded_version};
use procura_policy::{Action, Basis, Op, Resource, Rule};
use procura_record::RecordedBatch;
use procura_store::Expected;
use procura_types::wire::{SecretUndeleted, VersionState};
use procura_types::{Namespace, SecretPath, Timestamp};

/// Makes one deleted version readable again, or all of them.
pub struct SecretUndelete {
    /// Where.
    pub namespace: Namespace,
    /// Where in it.
    pub path: SecretPath,
    /// Which; all that were deleted when there is none.
    pub version: Option<u64>,
}

impl Op for SecretUndelete {
    const ACTION: Action = Action::SecretUndelete;
    fn resource(&self) -> Resource {
        Resource::Secret(self.namespace.clone(), self.path.clone())
    }
}

impl SecretUndelete {
    /// Makes the versions of the permit readable again. With the newest one the
    /// environment name comes back that it was deleted with.
    ///
    /// # Errors
    /// [`VaultError::NotFound`] when there is no such secret or version,
    /// [`VaultError::Destroyed`], and [`VaultError::NotDeleted`].
    pub fn run(
        batch: &mut RecordedBatch<'_, Self>,
        now: Timestamp,
    ) -> Result<SecretUndeleted, VaultError> {
        let op = batch.op();
        batch.details().with = op.version.map(recorded_version);
        let key = head_key(&op.namespace, &op.path);
        let not_found = || VaultError::NotFound(op.path.clone());
        let row = HEADS.get(batch.store(), &key)?.ok_or_else(not_found)?;
        // As with deleting: whoever touches a version goes through the head.
        HEADS.expect(batch.rows(), &key, Expected::At(row.version));
        let mut head = row.value;
        let mut seen = Seen::default();
        let newest = head.latest.version;
        if op.version.is_none_or(|version| version == newest) && seen.revives(head.latest.state) {
            head.latest.state = VersionState::Live;
            as_of::returns(&mut head.latest, now);
            seen.versions.push(newest);
            if let Some(env) = head.deleted_env.take() {
                declare(batch, &op.namespace, &op.path, None, Some(&env));
                head.env = Some(env);
            }
            // While it was deleted nobody was reminded of its dates.
            due::index(batch, &key, &About::default(), &head.about);
        }
        for row in older_versions(batch.store(), &op.namespace, &op.path)?
            .into_iter()
            .rev()
        {
            let mut version = row.value;
            if op.version.is_some_and(|only| only != version.version)
                || !seen.revives(version.state)
            {
                continue;
            }
            version.state = VersionState::Live;
            as_of::returns(&mut version, now);
            seen.versions.push(version.version);
            let key = (key.0.clone(), key.1.clone(), version.version);
            VERSIONS.expect(batch.rows(), &key, Expected::At(row.version));
            VERSIONS.put(batch.rows(), &key, &version);
        }
        if seen.versions.is_empty() {
            return Err(if seen.live {
                VaultError::NotDeleted(op.path.clone())
            } else if seen.destroyed {
                VaultError::Destroyed {
                    path: op.path.clone(),
                    version: op.version,
                }
            } else {
                not_found()
            });
        }
        HEADS.put(batch.rows(), &key, &head);
        // What was deleted counted all the time, so no quota is asked.
        arrives(batch.rows(), &op.namespace);
        Ok(SecretUndeleted {
            path: op.path.clone(),
            versions: seen.versions,
        })
    }
}

/// What was met on the way.
#[derive(Default)]
struct Seen {
    live: bool,
    destroyed: bool,
    versions: Vec<u64>,
}

impl Seen {
    /// Whether a version in this state comes back.
    const fn revives(&mut self, state: VersionState) -> bool {
        match state {
            VersionState::Live => self.live = true,
            VersionState::Destroyed => self.destroyed = true,
            VersionState::Deleted => return true,
        }
        false
    }
}

/// Whether a secret is not there for whoever was let in by `basis`: its newest
/// version is deleted, and only those who may undelete it learn that.
pub(crate) fn is_hidden(head: &HeadRow, basis: Basis) -> bool {
    let may_undelete = match (basis, Action::SecretUndelete.rule()) {
        (Basis::Role(role), Rule::Roles(roles)) => roles.contains(&role),
        _ => false,
    };
    head.latest.state == VersionState::Deleted && !may_undelete
}
