//! Writing, deleting and destroying versions.

use crate::MAX_VALUE;
use crate::about::{About, SecretAbout, said};
use crate::due;
use crate::error::VaultError;
use crate::kind;
use crate::namespace::Vault;
use crate::secret_rows::{
    BODIES, BY_ENV, HEADS, HeadRow, VERSIONS, VersionRow, head_key, older_versions, version_key,
};
use procura_crypto::{Binding, Dek, Holder, Purpose, seal, seal_with_dek};
use procura_policy::{Action, Op, Resource};
use procura_record::RecordedBatch;
use procura_store::{Blob, Expected, Row};
use procura_types::wire::{SecretWritten, VersionState};
use procura_types::{EnvName, Namespace, SecretBytes, SecretKind, SecretPath, Timestamp};

/// Writes a version of a secret.
pub struct SecretWrite {
    /// Where.
    pub namespace: Namespace,
    /// Where in it.
    pub path: SecretPath,
    /// What, at most [`MAX_VALUE`] bytes.
    pub value: SecretBytes,
    /// The version that must be the newest; 0 for none at all.
    pub expect_version: Option<u64>,
    /// The environment name to declare; `None` keeps what is there.
    pub env: Option<EnvName>,
    /// What it is; `None` keeps what is there.
    pub kind: Option<SecretKind>,
    /// What is said of it.
    pub about: SecretAbout,
}

impl Op for SecretWrite {
    const ACTION: Action = Action::SecretWrite;
    fn resource(&self) -> Resource {
        Resource::Secret(self.namespace.clone(), self.path.clone())
    }
}

pub(crate) fn binding<'a>(
    namespace: &'a Namespace,
    path: &'a SecretPath,
    version: u64,
    purpose: Purpose,
) -> Binding<'a> {
    Binding {
        holder: Holder::Namespace(namespace),
        class: "credentials",
        path: path.as_str().as_bytes(),
        version,
        purpose,
    }
}

impl SecretWrite {
    /// Puts the new version; the one before moves to a row of its own.
    pub fn run(
        vault: &Vault,
        batch: &mut RecordedBatch<'_, Self>,
        now: Timestamp,
    ) -> Result<SecretWritten, VaultError> {
        let op = batch.op();
        if op.value.expose().len() > MAX_VALUE {
            return Err(VaultError::TooLarge);
        }
        op.about.check()?;
        let key = head_key(&op.namespace, &op.path);
        let before = HEADS.get(batch.store(), &key)?;
        let latest = before.as_ref().map_or(0, |row| row.value.latest.version);
        if let Some(expected) = op.expect_version.filter(|expected| *expected != latest) {
            return Err(VaultError::VersionMismatch { expected, latest });
        }
        HEADS.expect(
            batch.rows(),
            &key,
            before
                .as_ref()
                .map_or(Expected::Absent, |row| Expected::At(row.version)),
        );
        let before = before.map(|row| row.value);
        let kind = kind_of(batch, before.as_ref())?;
        kind::check(kind, op.value.expose())?;

        let version = latest + 1;
        let dek = Dek::generate(vault.entropy())?;
        let body = seal_with_dek(
            &dek,
            &binding(&op.namespace, &op.path, version, Purpose::SecretBody),
            vault.entropy(),
            op.value.expose(),
        )?;
        let keys = vault.namespace_keys(&op.namespace)?;
        let (epoch, key_of_namespace) = keys.last_key_value().ok_or(VaultError::NoNamespace)?;
        let wrapped = seal(
            key_of_namespace,
            *epoch,
            &binding(&op.namespace, &op.path, version, Purpose::SecretDek),
            vault.entropy(),
            dek.expose(),
        )?;

        let latest_row = VersionRow {
            version,
            created: now,
            size: u64::try_from(op.value.expose().len()).unwrap_or(u64::MAX),
            state: VersionState::Live,
            dek: wrapped,
        };
        if let Some(old) = &before {
            VERSIONS.put(
                batch.rows(),
                &version_key(&op.namespace, &op.path, latest),
                &old.latest,
            );
        }
        let before = before.unwrap_or_else(|| HeadRow::new(latest_row.clone()));
        let mut head = HeadRow {
            latest: latest_row,
            ..before.clone()
        };
        head.kind = kind;
        head.deleted_env = None;
        if let Some(env) = &op.env {
            head.env = Some(env.clone());
        }
        op.about.apply(&mut head);
        declare(
            batch,
            &op.namespace,
            &op.path,
            before.env.as_ref(),
            head.env.as_ref(),
        );
        // Of what was not there its dates may have been forgotten meanwhile.
        let was_there = before.latest.state == VersionState::Live;
        let indexed = if was_there {
            before.about.clone()
        } else {
            About::default()
        };
        due::index(batch, &key, &indexed, &head.about);
        batch.details().with = said(&before, &head);
        HEADS.put(batch.rows(), &key, &head);
        BODIES.put(
            batch.rows(),
            &version_key(&op.namespace, &op.path, version),
            &Blob::new(body),
        );
        Ok(SecretWritten {
            path: op.path.clone(),
            version,
            created: now,
        })
    }
}

/// What the new version is. It is the same for all versions of a path, as long as
/// one of them can be read or brought back.
fn kind_of(
    batch: &RecordedBatch<'_, SecretWrite>,
    before: Option<&HeadRow>,
) -> Result<SecretKind, VaultError> {
    let op = batch.op();
    let Some(before) = before else {
        return Ok(op.kind.unwrap_or_default());
    };
    let Some(kind) = op.kind.filter(|kind| *kind != before.kind) else {
        return Ok(before.kind);
    };
    let is_left = |row: &VersionRow| row.state != VersionState::Destroyed;
    let older = older_versions(batch.store(), &op.namespace, &op.path)?;
    if is_left(&before.latest) || older.iter().any(|row| is_left(&row.value)) {
        return Err(VaultError::OtherKind {
            path: op.path.clone(),
            kind: before.kind,
        });
    }
    Ok(kind)
}

/// Keeps the index of declared names in step with the head.
pub(crate) fn declare<O: Op>(
    batch: &mut RecordedBatch<'_, O>,
    namespace: &Namespace,
    path: &SecretPath,
    old: Option<&EnvName>,
    new: Option<&EnvName>,
) {
    let row = |name: &EnvName| (namespace.to_string(), name.to_string(), path.to_string());
    if let Some(old) = old.filter(|old| Some(*old) != new) {
        BY_ENV.delete(batch.rows(), &row(old));
    }
    if let Some(new) = new {
        BY_ENV.put(batch.rows(), &row(new), &());
    }
}

/// Makes one version unreadable, or all of them.
pub struct SecretDelete {
    /// Where.
    pub namespace: Namespace,
    /// Where in it.
    pub path: SecretPath,
    /// Which; all when there is none.
    pub version: Option<u64>,
}

impl Op for SecretDelete {
    const ACTION: Action = Action::SecretDelete;
    fn resource(&self) -> Resource {
        Resource::Secret(self.namespace.clone(), self.path.clone())
    }
}

impl SecretDelete {
    /// Marks the versions of the permit as deleted.
    pub fn run(batch: &mut RecordedBatch<'_, Self>) -> Result<(), VaultError> {
        let op = batch.op();
        end_versions(
            batch,
            &op.namespace,
            &op.path,
            op.version,
            VersionState::Deleted,
        )
    }
}

/// Removes the bytes and keys of one version, or of all.
pub struct SecretDestroy {
    /// Where.
    pub namespace: Namespace,
    /// Where in it.
    pub path: SecretPath,
    /// Which; all when there is none.
    pub version: Option<u64>,
}

impl Op for SecretDestroy {
    const ACTION: Action = Action::SecretDestroy;
    fn resource(&self) -> Resource {
        Resource::Secret(self.namespace.clone(), self.path.clone())
    }
}

impl SecretDestroy {
    /// Removes bodies and keys of the versions of the permit; their numbers stay
    /// taken.
    pub fn run(batch: &mut RecordedBatch<'_, Self>) -> Result<(), VaultError> {
        let op = batch.op();
        end_versions(
            batch,
            &op.namespace,
            &op.path,
            op.version,
            VersionState::Destroyed,
        )
    }
}

fn end_versions<O: Op>(
    batch: &mut RecordedBatch<'_, O>,
    namespace: &Namespace,
    path: &SecretPath,
    only: Option<u64>,
    to: VersionState,
) -> Result<(), VaultError> {
    // A full disk must not keep anyone from taking a value away.
    batch.reserved();
    let key = head_key(namespace, path);
    let Some(head) = HEADS.get(batch.store(), &key)? else {
        return Err(VaultError::NotFound(path.clone()));
    };
    // Whoever writes or ends a version goes through the head, so expecting it keeps
    // the set of versions. Their keys are wrapped anew without it, so each row that
    // is rewritten here is expected as well.
    HEADS.expect(batch.rows(), &key, Expected::At(head.version));
    let mut head = head.value;
    let mut touched = false;
    if only.is_none_or(|version| version == head.latest.version) {
        touched |= end(batch, namespace, path, &mut head.latest, to);
    }
    let older: Vec<Row<VersionRow>> = match only {
        Some(version) if version != head.latest.version => VERSIONS
            .get(batch.store(), &version_key(namespace, path, version))?
            .into_iter()
            .collect(),
        Some(_) => Vec::new(),
        None => older_versions(batch.store(), namespace, path)?,
    };
    for row in older {
        let mut version = row.value;
        if end(batch, namespace, path, &mut version, to) {
            touched = true;
            let key = version_key(namespace, path, version.version);
            VERSIONS.expect(batch.rows(), &key, Expected::At(row.version));
            VERSIONS.put(batch.rows(), &key, &version);
        }
    }
    if !touched {
        return Err(VaultError::NotFound(path.clone()));
    }
    if head.latest.state != VersionState::Live
        && let Some(env) = head.env.take()
    {
        // Discovery must not find what cannot be read.
        declare(batch, namespace, path, Some(&env), None);
        head.deleted_env = Some(env);
    }
    if head.latest.state == VersionState::Destroyed {
        head.deleted_env = None;
    }
    HEADS.put(batch.rows(), &key, &head);
    Ok(())
}

/// Takes one version to `to`; whether that changed anything.
fn end<O: Op>(
    batch: &mut RecordedBatch<'_, O>,
    namespace: &Namespace,
    path: &SecretPath,
    row: &mut VersionRow,
    to: VersionState,
) -> bool {
    match (row.state, to) {
        (VersionState::Live, VersionState::Deleted) => {}
        (VersionState::Live | VersionState::Deleted, VersionState::Destroyed) => {
            row.dek.clear();
            BODIES.delete(batch.rows(), &version_key(namespace, path, row.version));
        }
        _ => return false,
    }
    row.state = to;
    true
}
