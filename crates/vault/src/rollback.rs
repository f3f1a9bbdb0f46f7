//! Back to what was there at a time: new versions, never another past.

use crate::about::SecretAbout;
use crate::as_of::{self, AsOf};
use crate::error::VaultError;
use crate::honey::{self, knows_honey, seeming};
use crate::import::MAX_AT_ONCE;
use crate::quota::Charge;
use crate::secret::stored_path;
use crate::secret_rows::{HEADS, HeadRow, VersionRow, head_key};
use crate::undelete::is_hidden;
use crate::vault::Vault;
use crate::write::{NewVersion, end_versions, put_version};
use procura_crypto::sha256;
use procura_directory::{HoneyRecord, Snapshot};
use procura_policy::{Action, Basis, Op, Permit, Resource};
use procura_record::{RecordedBatch, in_parts};
use procura_store::{Expected, KeyPrefix, Row};
use procura_types::wire::{RollbackChange, RolledBack, SecretRolledBack, VersionState};
use procura_types::{ActorId, FieldTuple, Namespace, SecretPath, Timestamp, encoding};

/// Rows that are looked at together.
const PAGE: usize = 1000;

/// What is rolled back.
pub enum RollbackScope {
    /// One secret.
    Path(SecretPath),
    /// All whose paths begin so; need not be a whole segment.
    Prefix(String),
}

/// Rolls secrets back to a time.
pub struct SecretRollback {
    /// Where.
    pub namespace: Namespace,
    /// Which.
    pub scope: RollbackScope,
    /// When it was as it shall be again; not after now.
    pub at: Timestamp,
    /// Whether only to say what would be done.
    pub dry_run: bool,
    /// Whether those stay as they are whose version of then was destroyed.
    pub leave_destroyed: bool,
    /// What a preview said; `None` does whatever comes out.
    pub expect_state: Option<String>,
}

impl Op for SecretRollback {
    const ACTION: Action = Action::SecretRollback;
    fn resource(&self) -> Resource {
        match &self.scope {
            RollbackScope::Path(path) => Resource::Secret(self.namespace.clone(), path.clone()),
            RollbackScope::Prefix(_) => Resource::Namespace(self.namespace.clone()),
        }
    }
}

/// What is done with one secret.
enum Change {
    Restore(VersionRow),
    Delete,
    Destroyed(u64),
}

/// What is there now.
enum There {
    Secret(Row<HeadRow>),
    /// A decoy, as what it seems to be.
    Decoy(HeadRow),
}

impl There {
    const fn head(&self) -> &HeadRow {
        match self {
            Self::Secret(row) => &row.value,
            Self::Decoy(head) => head,
        }
    }
}

struct Step {
    path: SecretPath,
    there: There,
    change: Change,
}

impl Step {
    fn shown(&self) -> RolledBack {
        let latest = self.there.head().latest.version;
        let (change, from, version) = match &self.change {
            Change::Restore(row) => (RollbackChange::Restore, Some(row.version), Some(latest + 1)),
            Change::Delete => (RollbackChange::Delete, None, None),
            Change::Destroyed(version) => (RollbackChange::Destroyed, Some(*version), None),
        };
        RolledBack {
            path: self.path.clone(),
            change,
            latest,
            from,
            version,
        }
    }

    /// What its entry says.
    fn word(&self) -> Option<String> {
        let path = &self.path;
        match &self.change {
            Change::Restore(row) => {
                let version = self.there.head().latest.version + 1;
                Some(format!("{path}@{version}=@{}", row.version))
            }
            Change::Delete => Some(format!("{path}=deleted")),
            Change::Destroyed(_) => None,
        }
    }
}

struct Plan {
    steps: Vec<Step>,
    unchanged: usize,
}

/// Whether two versions are one, or have the same value. One that does not open is not
/// the same as any other, so that it can be rolled back.
fn is_same(
    vault: &Vault,
    op: &SecretRollback,
    path: &SecretPath,
    now: &VersionRow,
    was: &VersionRow,
) -> bool {
    let open = |row| vault.open_version(&op.namespace, path, row).ok();
    now.version == was.version
        || match (open(now), open(was)) {
            (Some(now), Some(was)) => now.expose() == was.expose(),
            _ => false,
        }
}

impl Plan {
    /// Adds what has to be done with a secret so that it is again as it was. A newest
    /// version with the same value as the one of then is as it was, so that a rollback
    /// that is done once more adds nothing. A decoy has one version, and is never compared.
    fn add(
        &mut self,
        vault: &Vault,
        op: &SecretRollback,
        path: SecretPath,
        there: There,
    ) -> Result<(), VaultError> {
        let head = there.head();
        let now = &head.latest;
        let was = as_of::version(vault.store(), &op.namespace, &path, head.clone(), op.at)?;
        let is_there = now.state == VersionState::Live;
        let change = match was {
            Some(AsOf::There(row)) if is_there && is_same(vault, op, &path, now, &row) => None,
            Some(AsOf::There(row)) => Some(Change::Restore(row)),
            Some(AsOf::Destroyed(version)) if version == now.version => None,
            Some(AsOf::Destroyed(version)) => Some(Change::Destroyed(version)),
            None => is_there.then_some(Change::Delete),
        };
        match change {
            None => self.unchanged += 1,
            Some(_) if self.steps.len() == MAX_AT_ONCE => return Err(VaultError::TooMany),
            Some(change) => self.steps.push(Step {
                path,
                there,
                change,
            }),
        }
        Ok(())
    }

    /// Stands for all that is to be done: the same only where the same would be done to
    /// the same versions.
    fn state(&self, op: &SecretRollback) -> String {
        let namespace = op.namespace.to_string();
        let mut tuple = FieldTuple::new("procura.rollback.v1")
            .text(&namespace)
            .u64(op.at.as_millis());
        for step in &self.steps {
            let shown = step.shown();
            tuple = tuple
                .text(shown.path.as_str())
                .text(shown.change.as_str())
                .u64(shown.latest)
                .u64(shown.from.unwrap_or(0));
        }
        encoding::b64url(&sha256(tuple.as_bytes()))
    }

    fn shown(&self, op: &SecretRollback, done: bool) -> SecretRolledBack {
        SecretRolledBack {
            at: op.at,
            changes: self.steps.iter().map(Step::shown).collect(),
            unchanged: self.unchanged,
            done,
            state: self.state(op),
        }
    }
}

impl SecretRollback {
    /// What the entry of a dry run says.
    #[must_use]
    pub fn words(&self) -> Vec<String> {
        in_parts(["dry_run".to_owned(), format!("at:{}", self.at)])
    }

    /// Whether it takes this decoy away, as it would a secret that was not there then.
    #[must_use]
    pub fn ends(&self, honey: &HoneyRecord) -> bool {
        match &self.scope {
            RollbackScope::Path(_) => false,
            RollbackScope::Prefix(begin) => {
                honey.namespace == self.namespace
                    && honey.path.as_str().starts_with(begin)
                    && honey.planted > self.at
            }
        }
    }

    /// What is to be done. To who may not know of decoys they are secrets with one
    /// version, here as in a list.
    fn plan(
        &self,
        vault: &Vault,
        directory: &Snapshot,
        caller: &ActorId,
        basis: Basis,
    ) -> Result<Plan, VaultError> {
        let mut plan = Plan {
            steps: Vec::new(),
            unchanged: 0,
        };
        match &self.scope {
            RollbackScope::Path(path) => {
                let head = HEADS
                    .get(vault.store(), &head_key(&self.namespace, path))?
                    .filter(|row| !is_hidden(&row.value, basis))
                    .ok_or_else(|| VaultError::NotFound(path.clone()))?;
                plan.add(vault, self, path.clone(), There::Secret(head))?;
            }
            RollbackScope::Prefix(begin) => {
                let snapshot = vault.store().snapshot()?;
                let prefix = KeyPrefix::all()
                    .part(&self.namespace.to_string())
                    .text_start(begin);
                let mut after = None;
                loop {
                    let rows = HEADS.scan(&snapshot, &prefix, after.as_ref(), PAGE)?;
                    let whole = rows.len() < PAGE;
                    after = rows.last().map(|(key, _)| key.clone());
                    for (key, head) in rows {
                        plan.add(vault, self, stored_path(&key.1)?, There::Secret(head))?;
                    }
                    if whole {
                        break;
                    }
                }
                if !knows_honey(directory, caller) {
                    let decoys = directory.honey_of(&self.namespace);
                    for decoy in decoys.filter(|decoy| decoy.path.as_str().starts_with(begin)) {
                        let there = There::Decoy(seeming(decoy));
                        plan.add(vault, self, decoy.path.clone(), there)?;
                    }
                    plan.steps.sort_by(|one, other| one.path.cmp(&other.path));
                }
            }
        }
        Ok(plan)
    }

    /// What would be done now. Values are compared: whoever asks has a record of it.
    ///
    /// # Errors
    /// [`VaultError::NotFound`] of a path, [`VaultError::TooMany`], the store's.
    pub fn preview(
        permit: &Permit<Self>,
        directory: &Snapshot,
        vault: &Vault,
    ) -> Result<SecretRolledBack, VaultError> {
        let op = permit.op();
        let caller = permit.caller().actor();
        let plan = op.plan(vault, directory, caller, permit.basis())?;
        Ok(plan.shown(op, false))
    }

    /// Does all of it.
    ///
    /// # Errors
    /// As [`Self::preview`]; [`VaultError::ChangedMeanwhile`] when it is not what was
    /// expected any more, [`VaultError::Destroyed`] for what cannot come back.
    pub fn run(
        vault: &Vault,
        batch: &mut RecordedBatch<'_, Self>,
        now: Timestamp,
    ) -> Result<SecretRolledBack, VaultError> {
        let op = batch.op();
        let permit = batch.permit();
        let caller = permit.caller().actor();
        let plan = op.plan(vault, batch.directory(), caller, permit.basis())?;
        let shown = plan.shown(op, true);
        if op
            .expect_state
            .as_ref()
            .is_some_and(|state| *state != shown.state)
        {
            return Err(VaultError::ChangedMeanwhile);
        }
        let mut words = vec![format!("at:{}", op.at)];
        let mut charge = Charge::open(batch, &op.namespace)?;
        for step in plan.steps {
            words.extend(step.word());
            let head = match step.there {
                There::Secret(head) => head,
                // Of its one version there is nothing to restore: it goes, or it stays.
                There::Decoy(_) => {
                    honey::ends(batch, &op.namespace, &step.path, now);
                    continue;
                }
            };
            // What is done was planned on this very row.
            let key = head_key(&op.namespace, &step.path);
            HEADS.expect(batch.rows(), &key, Expected::At(head.version));
            match step.change {
                Change::Restore(row) => {
                    let value = vault.open_version(&op.namespace, &step.path, &row)?;
                    // With the newest version the name comes back that it was deleted with.
                    let env = head.value.deleted_env.clone();
                    let new = NewVersion {
                        path: &step.path,
                        value: value.expose(),
                        expect_version: None,
                        env: env.as_ref(),
                        kind: None,
                        about: &SecretAbout::default(),
                    };
                    put_version(vault, batch, &mut charge, Some(head), &new, now)?;
                }
                Change::Delete => end_versions(
                    batch,
                    None,
                    (&op.namespace, &step.path),
                    None,
                    VersionState::Deleted,
                    now,
                )?,
                Change::Destroyed(_) if op.leave_destroyed => {}
                Change::Destroyed(version) => {
                    return Err(VaultError::Destroyed {
                        path: step.path,
                        version: Some(version),
                    });
                }
            }
        }
        charge.settle(batch)?;
        batch.say_in_parts(in_parts(words));
        Ok(shown)
    }
}
