//! Writing, deleting and destroying versions.

use crate::MAX_VALUE;
use crate::about::{About, SecretAbout, said};
use crate::as_of;
use crate::due;
use crate::error::VaultError;
use crate::honey;
use crate::kind;
use crate::quota::{Charge, recount};
use crate::secret_rows::{
    BODIES, BY_ENV, HEADS, HeadRow, VERSIONS, VersionRow, head_key, older_versions, version_key,
};
use crate::vault::Vault;
use procura_crypto::{Binding, Dek, Holder, Purpose, seal, seal_with_dek};
use procura_policy::{Action, Op, Resource};
use procura_record::RecordedBatch;
use procura_store::{Blob, Expected, Row, Store};
use procura_types::wire::{SecretWritten, VersionState};
use procura_types::{EnvName, Namespace, SecretBytes, SecretKind, SecretPath, Timestamp};
use std::collections::BTreeMap;

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
        let before = HEADS.get(batch.store(), &head_key(&op.namespace, &op.path))?;
        let new = NewVersion {
            path: &op.path,
            value: op.value.expose(),
            expect_version: op.expect_version,
            env: op.env.as_ref(),
            kind: op.kind,
            about: &op.about,
        };
        let mut charge = Charge::open(batch, &op.namespace)?;
        let put = put_version(vault, batch, &mut charge, before, &new, now)?;
        charge.settle(batch)?;
        batch.details().with = put.said;
        Ok(SecretWritten {
            path: op.path.clone(),
            version: put.version,
            created: now,
        })
    }
}

/// A version that is to be written.
pub(crate) struct NewVersion<'a> {
    pub(crate) path: &'a SecretPath,
    pub(crate) value: &'a [u8],
    /// The version that must be the newest; 0 for none at all.
    pub(crate) expect_version: Option<u64>,
    pub(crate) env: Option<&'a EnvName>,
    pub(crate) kind: Option<SecretKind>,
    pub(crate) about: &'a SecretAbout,
}

impl NewVersion<'_> {
    /// What it will be, and which variables it has.
    ///
    /// # Errors
    /// All that [`put_version`] refuses for what it is.
    pub(crate) fn check(
        &self,
        store: &Store,
        namespace: &Namespace,
        before: Option<&HeadRow>,
    ) -> Result<(SecretKind, Vec<EnvName>), VaultError> {
        if self.value.len() > MAX_VALUE {
            return Err(VaultError::TooLarge);
        }
        self.about.check()?;
        let latest = before.map_or(0, |head| head.latest.version);
        if let Some(expected) = self.expect_version.filter(|expected| *expected != latest) {
            return Err(VaultError::VersionMismatch { expected, latest });
        }
        let kind = self.kind_after(store, namespace, before)?;
        kind::check(kind, self.value)?;
        let variables = match kind {
            SecretKind::Template => kind::variables(self.value)
                .map_err(|problem| VaultError::NotOfKind { kind, problem })?,
            _ => Vec::new(),
        };
        Ok((kind, variables))
    }

    /// What the new version is. It is the same for all versions of a path, as long as
    /// one of them can be read or brought back.
    fn kind_after(
        &self,
        store: &Store,
        namespace: &Namespace,
        before: Option<&HeadRow>,
    ) -> Result<SecretKind, VaultError> {
        let Some(before) = before else {
            return Ok(self.kind.unwrap_or_default());
        };
        let Some(kind) = self.kind.filter(|kind| *kind != before.kind) else {
            return Ok(before.kind);
        };
        let is_left = |row: &VersionRow| row.state != VersionState::Destroyed;
        let older = older_versions(store, namespace, self.path)?;
        if is_left(&before.latest) || older.iter().any(|row| is_left(&row.value)) {
            return Err(VaultError::OtherKind {
                path: self.path.clone(),
                kind: before.kind,
            });
        }
        Ok(kind)
    }
}

/// A version that was put.
pub(crate) struct Put {
    /// Its number.
    pub(crate) version: u64,
    /// What is said otherwise of the secret, for its entry.
    pub(crate) said: Option<String>,
}

/// Puts a version behind the newest, which is in `before`; that one moves to a row of
/// its own. It is in the namespace that is charged for it; the charge is to be settled
/// behind all versions of the batch.
pub(crate) fn put_version<O: Op>(
    vault: &Vault,
    batch: &mut RecordedBatch<'_, O>,
    charge: &mut Charge,
    before: Option<Row<HeadRow>>,
    new: &NewVersion<'_>,
    now: Timestamp,
) -> Result<Put, VaultError> {
    let namespace = &charge.namespace().clone();
    let key = head_key(namespace, new.path);
    // To who may not know of decoys one is a secret like others until it is overwritten.
    let decoy = match &before {
        None => honey::stands_for(batch.directory(), namespace, new.path),
        Some(_) => None,
    };
    let (kind, variables) = new.check(
        batch.store(),
        namespace,
        before.as_ref().map(|row| &row.value).or(decoy.as_ref()),
    )?;
    HEADS.expect(
        batch.rows(),
        &key,
        before
            .as_ref()
            .map_or(Expected::Absent, |row| Expected::At(row.version)),
    );
    let before = before.map(|row| row.value);
    let size = u64::try_from(new.value.len()).unwrap_or(u64::MAX);
    let shown = before.as_ref().or(decoy.as_ref());
    charge.adds(batch.store(), new.path, shown, size)?;
    let before = match decoy {
        Some(_) => {
            charge.replaces_decoy();
            honey::give_way(batch, namespace, new.path, now)?
        }
        None => before,
    };
    let latest = before.as_ref().map_or(0, |head| head.latest.version);
    let version = latest + 1;
    let dek = Dek::generate(vault.entropy())?;
    let body = seal_with_dek(
        &dek,
        &binding(namespace, new.path, version, Purpose::SecretBody),
        vault.entropy(),
        new.value,
    )?;
    let (epoch, keys) = charge.sealing_key(vault, batch.rows())?;
    let wrapped = seal(
        keys.get(&epoch).ok_or(VaultError::NoNamespace)?,
        epoch,
        &binding(namespace, new.path, version, Purpose::SecretDek),
        vault.entropy(),
        dek.expose(),
    )?;
    let latest_row = VersionRow {
        version,
        created: now,
        size,
        state: VersionState::Live,
        dek: wrapped,
        variables,
        away: Vec::new(),
    };
    if let Some(old) = &before {
        VERSIONS.put(
            batch.rows(),
            &version_key(namespace, new.path, latest),
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
    if let Some(env) = new.env {
        head.env = Some(env.clone());
    }
    new.about.apply(&mut head);
    declare(
        batch,
        namespace,
        new.path,
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
    HEADS.put(batch.rows(), &key, &head);
    BODIES.put(
        batch.rows(),
        &version_key(namespace, new.path, version),
        &Blob::new(body),
    );
    Ok(Put {
        version,
        said: said(&before, &head),
    })
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
    pub fn run(batch: &mut RecordedBatch<'_, Self>, now: Timestamp) -> Result<(), VaultError> {
        let op = batch.op();
        // A full disk must not keep anyone from taking a value away.
        batch.reserved();
        batch.details().with = op.version.map(recorded_version);
        let secret = (&op.namespace, &op.path);
        end_versions(batch, None, secret, op.version, VersionState::Deleted, now)
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
    pub fn run(batch: &mut RecordedBatch<'_, Self>, now: Timestamp) -> Result<(), VaultError> {
        let op = batch.op();
        // A full disk must not keep anyone from taking a value away.
        batch.reserved();
        batch.details().with = op.version.map(recorded_version);
        let secret = (&op.namespace, &op.path);
        let mut charge = Charge::open(batch, &op.namespace)?;
        let to = VersionState::Destroyed;
        end_versions(batch, Some(&mut charge), secret, op.version, to, now)?;
        charge.settle(batch)
    }
}

/// One version of a secret as an entry of the ledger names it; of all it names none.
pub(crate) fn recorded_version(version: u64) -> String {
    format!("@{version}")
}

/// Takes versions to `to`. What is destroyed is counted in `charge`, which is to be
/// settled behind all of the batch; without one the namespace is counted anew when
/// somebody asks.
pub(crate) fn end_versions<O: Op>(
    batch: &mut RecordedBatch<'_, O>,
    charge: Option<&mut Charge>,
    (namespace, path): (&Namespace, &SecretPath),
    only: Option<u64>,
    to: VersionState,
    now: Timestamp,
) -> Result<(), VaultError> {
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
    // Of what is ended here, by version.
    let mut sizes = BTreeMap::new();
    if only.is_none_or(|version| version == head.latest.version)
        && end(batch, namespace, path, &mut head.latest, to, now)
    {
        touched = true;
        sizes.insert(head.latest.version, head.latest.size);
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
        if end(batch, namespace, path, &mut version, to, now) {
            touched = true;
            sizes.insert(version.version, version.size);
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
    match charge {
        _ if to != VersionState::Destroyed => Ok(()),
        Some(charge) => free(charge, batch.store(), path, &head, &sizes),
        None => recount(batch, namespace),
    }
}

/// Counts destroyed versions, of these sizes, out of the quota.
fn free(
    charge: &mut Charge,
    store: &Store,
    path: &SecretPath,
    head: &HeadRow,
    sizes: &BTreeMap<u64, u64>,
) -> Result<(), VaultError> {
    if charge.counts() {
        let is_left = |row: &VersionRow| {
            row.state != VersionState::Destroyed && !sizes.contains_key(&row.version)
        };
        let older = older_versions(store, charge.namespace(), path)?;
        let last = !is_left(&head.latest) && !older.iter().any(|row| is_left(&row.value));
        let sizes: Vec<u64> = sizes.values().copied().collect();
        charge.frees(&sizes, last);
    }
    Ok(())
}

/// Takes one version to `to`; whether that changed anything.
fn end<O: Op>(
    batch: &mut RecordedBatch<'_, O>,
    namespace: &Namespace,
    path: &SecretPath,
    row: &mut VersionRow,
    to: VersionState,
    now: Timestamp,
) -> bool {
    match (row.state, to) {
        (VersionState::Live, VersionState::Deleted) => as_of::leaves(row, now),
        (VersionState::Live | VersionState::Deleted, VersionState::Destroyed) => {
            row.dek.clear();
            BODIES.delete(batch.rows(), &version_key(namespace, path, row.version));
        }
        _ => return false,
    }
    row.state = to;
    true
}
