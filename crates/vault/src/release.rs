//! The release of values: only against a durable intent.

use crate::as_of::{self, AsOf};
use crate::error::VaultError;
use crate::secret_rows::{BODIES, HEADS, VERSIONS, VersionRow, head_key, version_key};
use crate::vault::Vault;
use crate::write::binding;
use procura_crypto::{Dek, OpenError, Purpose, open, open_with_dek};
use procura_policy::{Action, Op, Resource};
use procura_record::{Details, Recorded};
use procura_store::{Moment, Seq};
use procura_types::wire::VersionState;
use procura_types::{
    Delivery, DeliveryRules, Namespace, Secret, SecretBytes, SecretPath, Timestamp,
};

/// One value that an operation is to release.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// Where.
    pub namespace: &'a Namespace,
    /// Where in it.
    pub path: &'a SecretPath,
    /// Which version; the newest when there is none.
    pub version: Option<u64>,
    /// How it reaches an agent; none for an operator who reads it.
    pub delivery: Option<Delivery>,
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
    /// Instead of a version: the one that was there then, deleted since or not.
    pub at: Option<Timestamp>,
}

impl Op for SecretRead {
    const ACTION: Action = Action::SecretRead;
    fn resource(&self) -> Resource {
        Resource::Secret(self.namespace.clone(), self.path.clone())
    }
}

impl SecretRead {
    /// The one value that it releases.
    #[must_use]
    pub const fn wanted_one(&self) -> Wanted<'_> {
        Wanted {
            namespace: &self.namespace,
            path: &self.path,
            version: self.version,
            delivery: None,
        }
    }
}

/// A version that could be read when it was looked up.
pub struct Readable {
    row: VersionRow,
    /// From when on it is not released.
    expires: Option<Timestamp>,
    /// The commit of the head row that it stood in, if it did.
    head: Option<Seq>,
    /// From before it was looked up.
    moment: Moment,
}

impl Readable {
    /// What the entry of the read says: the version.
    #[must_use]
    pub fn details(&self) -> Details {
        Details {
            with: Some(format!("@{}", self.row.version)),
            ..Details::default()
        }
    }
}

impl Vault {
    /// Opens all values of a recorded operation, or none of them.
    ///
    /// # Errors
    /// [`VaultError::NotFound`], [`VaultError::Expired`] and
    /// [`VaultError::DeliveryNotAllowed`] for the first that cannot be had.
    pub fn release<O: Releases>(
        &self,
        recorded: &Recorded<O>,
        now: Timestamp,
    ) -> Result<Vec<Released>, VaultError> {
        recorded
            .op()
            .wanted()
            .into_iter()
            .map(|wanted| self.open(wanted, self.readable(wanted, now)?))
            .collect()
    }

    /// Opens the value of a recorded read. `readable` is what [`Self::readable`]
    /// said before the intent, which names its version: that one is released, also
    /// when a newer one was written since. What has changed is looked up anew.
    ///
    /// # Errors
    /// As [`Self::release`].
    pub fn release_one(
        &self,
        recorded: &Recorded<SecretRead>,
        readable: Readable,
        now: Timestamp,
    ) -> Result<Released, VaultError> {
        let wanted = recorded.op().wanted_one();
        let key = head_key(wanted.namespace, wanted.path);
        if let Some(at) = recorded.op().at {
            // What was there then stays the same, unless it was destroyed since.
            return self.open(wanted, self.readable_at(wanted, at, now)?);
        }
        let readable = match readable.head {
            Some(head) if HEADS.is_still_since(self.store(), &key, head, readable.moment)? => {
                in_time(wanted.path, readable.expires, now)?;
                Some(readable)
            }
            _ => {
                let wanted = Wanted {
                    version: Some(readable.row.version),
                    ..wanted
                };
                self.readable(wanted, now)?
            }
        };
        self.open(wanted, readable)
    }

    /// The version that is wanted, when there is one that can be read.
    ///
    /// # Errors
    /// [`VaultError::Expired`], [`VaultError::DeliveryNotAllowed`] when there is one
    /// that is not to be had, or not in this way.
    pub fn readable(
        &self,
        wanted: Wanted<'_>,
        now: Timestamp,
    ) -> Result<Option<Readable>, VaultError> {
        let moment = self.store().moment();
        let Some(head) = HEADS.get(self.store(), &head_key(wanted.namespace, wanted.path))? else {
            return Ok(None);
        };
        let expires = head.value.about.expires();
        let rules = head.value.about.delivery;
        let readable = match wanted.version {
            Some(version) if version != head.value.latest.version => {
                let key = version_key(wanted.namespace, wanted.path, version);
                VERSIONS.get(self.store(), &key)?.map(|row| Readable {
                    row: row.value,
                    expires,
                    head: None,
                    moment,
                })
            }
            _ => Some(Readable {
                row: head.value.latest,
                expires,
                head: Some(head.version),
                moment,
            }),
        };
        let readable = readable.filter(|readable| readable.row.state == VersionState::Live);
        if readable.is_some() {
            in_time(wanted.path, expires, now)?;
            allowed(wanted, rules)?;
        }
        Ok(readable)
    }

    /// The version that a read is of, when there is one that it can have.
    ///
    /// # Errors
    /// As [`Self::readable`].
    pub fn readable_of(
        &self,
        read: &SecretRead,
        now: Timestamp,
    ) -> Result<Option<Readable>, VaultError> {
        match read.at {
            Some(at) => self.readable_at(read.wanted_one(), at, now),
            None => self.readable(read.wanted_one(), now),
        }
    }

    /// The version that was there at a time, when there is one that was not destroyed
    /// since. For whoever may undelete: it may be deleted by now.
    ///
    /// # Errors
    /// As [`Self::readable`].
    fn readable_at(
        &self,
        wanted: Wanted<'_>,
        at: Timestamp,
        now: Timestamp,
    ) -> Result<Option<Readable>, VaultError> {
        let moment = self.store().moment();
        let Some(head) = HEADS.get(self.store(), &head_key(wanted.namespace, wanted.path))? else {
            return Ok(None);
        };
        let expires = head.value.about.expires();
        let rules = head.value.about.delivery;
        let found = as_of::version(self.store(), wanted.namespace, wanted.path, head.value, at)?;
        let Some(AsOf::There(row)) = found else {
            return Ok(None);
        };
        in_time(wanted.path, expires, now)?;
        allowed(wanted, rules)?;
        Ok(Some(Readable {
            row,
            expires,
            head: None,
            moment,
        }))
    }

    fn open(&self, wanted: Wanted<'_>, readable: Option<Readable>) -> Result<Released, VaultError> {
        let not_found = || VaultError::NotFound(wanted.path.clone());
        let row = readable.ok_or_else(not_found)?.row;
        let value = self.open_version(wanted.namespace, wanted.path, &row)?;
        Ok(Released {
            version: row.version,
            created: row.created,
            value,
        })
    }

    /// Opens the value of a version. Whoever calls this has a record of it, or keeps the
    /// value inside the vault.
    pub(crate) fn open_version(
        &self,
        namespace: &Namespace,
        path: &SecretPath,
        row: &VersionRow,
    ) -> Result<SecretBytes, VaultError> {
        match self.open_row(namespace, path, row) {
            // Its key may have been wrapped anew since the row was read, and the one that
            // wrapped it before be gone.
            Err(VaultError::Damaged {
                cause: OpenError::UnknownEpoch(_),
                ..
            }) => {
                let row = self.row_again(namespace, path, row)?;
                self.open_row(namespace, path, &row)
            }
            other => other,
        }
    }

    /// A version as it is stored now.
    fn row_again(
        &self,
        namespace: &Namespace,
        path: &SecretPath,
        before: &VersionRow,
    ) -> Result<VersionRow, VaultError> {
        let version = before.version;
        let head = HEADS.get(self.store(), &head_key(namespace, path))?;
        let row = match head.map(|head| head.value.latest) {
            Some(latest) if latest.version == version => Some(latest),
            _ => VERSIONS
                .get(self.store(), &version_key(namespace, path, version))?
                .map(|row| row.value),
        };
        // It may have been deleted in the same moment.
        row.filter(|row| row.state == before.state)
            .ok_or_else(|| VaultError::NotFound(path.clone()))
    }

    fn open_row(
        &self,
        namespace: &Namespace,
        path: &SecretPath,
        row: &VersionRow,
    ) -> Result<SecretBytes, VaultError> {
        let damaged = |cause| VaultError::Damaged {
            path: path.clone(),
            cause,
        };
        let bind = |purpose| binding(namespace, path, row.version, purpose);
        let keys = self.namespace_keys_of(namespace, &row.dek)?;
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
            .get(self.store(), &version_key(namespace, path, row.version))?
            .ok_or_else(|| VaultError::NotFound(path.clone()))?;
        open_with_dek(&dek, &bind(Purpose::SecretBody), body.value.as_bytes()).map_err(damaged)
    }
}

/// Refuses what has expired.
fn in_time(
    path: &SecretPath,
    expires: Option<Timestamp>,
    now: Timestamp,
) -> Result<(), VaultError> {
    if expires.is_some_and(|expires| expires <= now) {
        return Err(VaultError::Expired(path.clone()));
    }
    Ok(())
}

/// Refuses a way of delivery that the rule does not name.
fn allowed(wanted: Wanted<'_>, rules: DeliveryRules) -> Result<(), VaultError> {
    match wanted.delivery {
        Some(delivery) if !rules.allow(delivery) => Err(VaultError::DeliveryNotAllowed {
            path: wanted.path.clone(),
            delivery,
        }),
        _ => Ok(()),
    }
}
