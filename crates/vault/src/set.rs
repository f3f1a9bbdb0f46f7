//! Changing what is said of a secret, without a new version.

use crate::about::{SecretAbout, said};
use crate::due;
use crate::error::VaultError;
use crate::secret::row;
use crate::secret_rows::{HEADS, head_key};
use procura_policy::{Action, Op, Resource};
use procura_record::RecordedBatch;
use procura_store::Expected;
use procura_types::wire::{SecretRow, VersionState};
use procura_types::{Namespace, SecretPath};

/// Changes what is said of a secret.
pub struct SecretSet {
    /// Where.
    pub namespace: Namespace,
    /// Where in it.
    pub path: SecretPath,
    /// What is said from now on.
    pub about: SecretAbout,
}

impl Op for SecretSet {
    const ACTION: Action = Action::SecretSet;
    fn resource(&self) -> Resource {
        Resource::Secret(self.namespace.clone(), self.path.clone())
    }
}

impl SecretSet {
    /// Changes the head of the secret of the permit.
    ///
    /// # Errors
    /// [`VaultError::NotFound`] when its newest version cannot be read, and
    /// [`VaultError::BadDescription`].
    pub fn run(batch: &mut RecordedBatch<'_, Self>) -> Result<SecretRow, VaultError> {
        let op = batch.op();
        op.about.check()?;
        let key = head_key(&op.namespace, &op.path);
        let before = HEADS
            .get(batch.store(), &key)?
            .filter(|row| row.value.latest.state == VersionState::Live)
            .ok_or_else(|| VaultError::NotFound(op.path.clone()))?;
        HEADS.expect(batch.rows(), &key, Expected::At(before.version));
        let mut head = before.value.clone();
        op.about.apply(&mut head);
        due::index(batch, &key, &before.value.about, &head.about);
        HEADS.put(batch.rows(), &key, &head);
        batch.details().with = said(&before.value, &head);
        Ok(row(op.path.clone(), head))
    }
}
