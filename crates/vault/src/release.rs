//! The release of values: only against a durable intent.

use crate::error::VaultError;
use crate::namespace::Vault;
use crate::secret_rows::{BODIES, HEADS, VERSIONS, VersionRow, head_key, version_key};
use crate::write::binding;
use procura_crypto::{Dek, OpenError, Purpose, open, open_with_dek};
use procura_policy::{Action, Op, Resource};
use procura_record::Recorded;
use procura_types::wire::VersionState;
use procura_types::{Namespace, Secret, SecretBytes, SecretPath, Timestamp};

/// One value that an operation is to release.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// Where.
    pub namespace: &'a Namespace,
    /// Where in it.
    pub path: &'a SecretPath,
    /// Which version; the newest when there is none.
    pub version: Option<u64>,
}

/// An operation that releases values: its own data says which.
pub trait Releases: Op {
    /// All that it releases, in order.
    fn wanted(&self) -> Vec<Wanted<'_>>;
}

/// A value on its way out.
pub struct Released {
    /// Which version it is.
    pub version: u64,
    /// When that was written.
    pub created: Timestamp,
    /// The value.
    pub value: SecretBytes,
}

/// Reads a value as an operator.
pub struct SecretRead {
    /// Where.
    pub namespace: Namespace,
    /// Where in it.
    pub path: SecretPath,
    /// Which version; the newest when there is none.
    pub version: Option<u64>,
}

impl Op for SecretRead {
    const ACTION: Action = Action::SecretRead;
    fn resource(&self) -> Resource {
        Resource::Secret(self.namespace.clone(), self.path.clone())
    }
}

impl Releases for SecretRead {
    fn wanted(&self) -> Vec<Wanted<'_>> {
        vec![Wanted {
            namespace: &self.namespace,
            path: &self.path,
            version: self.version,
        }]
    }
}

impl Vault {
    /// Opens all values of a recorded operation, or none of them.
    pub fn release<O: Releases>(
        &self,
        recorded: &Recorded<O>,
    ) -> Result<Vec<Released>, VaultError> {
        recorded
            .op()
            .wanted()
            .into_iter()
            .map(|wanted| self.open(wanted))
            .collect()
    }

    /// Whether there is a version that can be read, before an intent is written
    /// for it.
    pub fn is_readable(&self, wanted: Wanted<'_>) -> Result<bool, VaultError> {
        Ok(self
            .version_row(wanted)?
            .is_some_and(|row| row.state == VersionState::Live))
    }

    fn version_row(&self, wanted: Wanted<'_>) -> Result<Option<VersionRow>, VaultError> {
        let Some(head) = HEADS.get(self.store(), &head_key(wanted.namespace, wanted.path))? else {
            return Ok(None);
        };
        match wanted.version {
            Some(version) if version != head.value.latest.version => {
                let key = version_key(wanted.namespace, wanted.path, version);
                Ok(VERSIONS.get(self.store(), &key)?.map(|row| row.value))
            }
            _ => Ok(Some(head.value.latest)),
        }
    }

    fn open(&self, wanted: Wanted<'_>) -> Result<Released, VaultError> {
        let not_found = || VaultError::NotFound(wanted.path.clone());
        let row = self
            .version_row(wanted)?
            .filter(|row| row.state == VersionState::Live)
            .ok_or_else(not_found)?;
        let damaged = |cause| VaultError::Damaged {
            path: wanted.path.clone(),
            cause,
        };
        let bind = |purpose| binding(wanted.namespace, wanted.path, row.version, purpose);
        let keys = self.namespace_keys(wanted.namespace)?;
        let dek = open(
            |epoch| keys.get(&epoch),
            &bind(Purpose::SecretDek),
            &row.dek,
        )
        .map_err(damaged)?;
        let dek: [u8; 32] = dek
            .expose()
            .as_slice()
            .try_into()
            .map_err(|_| damaged(OpenError::Malformed))?;
        let dek = Dek::from_bytes(Secret::new(dek))?;
        let body = BODIES
            .get(
                self.store(),
                &version_key(wanted.namespace, wanted.path, row.version),
            )?
            .ok_or_else(not_found)?;
        let value = open_with_dek(&dek, &bind(Purpose::SecretBody), body.value.as_bytes())
            .map_err(damaged)?;
        Ok(Released {
            version: row.version,
            created: row.created,
            value,
        })
    }
}
