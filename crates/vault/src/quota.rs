//! How much a namespace may hold, and how much it does.
//!
//! A namespace with a quota has one row with its bounds and what it uses of them.
//! Whatever writes or destroys a version rewrites that row in the same commit and
//! expects the one that it read, so two of them never pass a bound together, and after
//! any end of the process the numbers are those of the versions that are there. What is
//! used is counted when the first of them comes by; from then on it is kept up.
//!
//! Decoys count as the secrets that they seem to be: who compares the numbers with the
//! list, or sees which bound a write would pass, does not learn which of them are none.
//! The row has the secrets alone, and the decoys are added where it is looked at.
//!
//! A namespace without a quota has no such row: its writers do not wait for each other.
//! They expect that there is none, so that a bound that is set meanwhile counts.

use crate::error::VaultError;
use crate::honey;
use crate::namespace::SealingKey;
use crate::secret_rows::{HEADS, HeadRow, VERSIONS, VersionRow, older_versions};
use crate::vault::Vault;
use procura_directory::Snapshot;
use procura_policy::{Action, Op, Resource};
use procura_record::RecordedBatch;
use procura_store::{Batch, Expected, KeyPrefix, Kind, Row, Store, StoreError, Table};
use procura_types::wire::{Quota, Used, VersionState};
use procura_types::{Namespace, SecretPath};
use serde::{Deserialize, Serialize};

/// Namespace → its bounds, and what it uses of them.
pub(crate) const QUOTAS: Table<Namespace, QuotaRow> = Table::new("namespace-quota", Kind::Ordinary);

/// Namespace → nothing: rewritten by whatever puts something into the namespace. Who
/// looks whether there is anything in it expects this row, since a look protects nothing.
pub(crate) const ARRIVALS: Table<Namespace, ()> = Table::new("namespace-arrival", Kind::Ordinary);

/// Rows read at once.
const PAGE: usize = 1000;

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct QuotaRow {
    quota: Quota,
    /// None until somebody counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    used: Option<Used>,
}

/// Which bound of a quota.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bound {
    /// Secrets of which a version is left.
    Secrets,
    /// Versions of one secret.
    VersionsPerSecret,
    /// Versions of all secrets.
    Versions,
    /// Bytes of all values.
    Bytes,
}

impl Bound {
    /// The word in the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Secrets => "secrets",
            Self::VersionsPerSecret => "versions_per_secret",
            Self::Versions => "versions",
            Self::Bytes => "bytes",
        }
    }

    /// What is counted, in words.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Secrets => "secrets",
            Self::VersionsPerSecret => "versions of one secret",
            Self::Versions => "versions of all secrets together",
            Self::Bytes => "bytes of all values together",
        }
    }
}

const fn left(row: &VersionRow) -> bool {
    !matches!(row.state, VersionState::Destroyed)
}

/// Says that something new is in the namespace: a secret, a project.
pub fn arrives(batch: &mut Batch, namespace: &Namespace) {
    ARRIVALS.put(batch, namespace, &());
}

/// Has the batch apply only if nothing arrives in the namespace from now until then.
/// Whoever calls this looks afterwards.
///
/// # Errors
/// The store's.
pub fn nothing_arrives<O: Op>(
    batch: &mut RecordedBatch<'_, O>,
    namespace: &Namespace,
) -> Result<(), VaultError> {
    let row = ARRIVALS.get(batch.store(), namespace)?;
    ARRIVALS.expect(batch.rows(), namespace, expected(row.as_ref()));
    Ok(())
}

fn expected<V>(row: Option<&Row<V>>) -> Expected {
    row.map_or(Expected::Absent, |row| Expected::At(row.version))
}

/// What a change of secrets adds and frees. Opened before, settled once behind all of it.
#[must_use = "what is not settled is not counted"]
pub(crate) struct Charge {
    namespace: Namespace,
    /// Of a namespace that the same batch makes.
    key: Option<SealingKey>,
    /// None where there is no quota.
    counted: Option<Counted>,
}

struct Counted {
    quota: Quota,
    before: Used,
    now: Used,
    /// What of `now` are decoys, which the row does not say.
    decoys: Used,
    /// How many of the decoys gave way to secrets.
    gone: u64,
}

impl Charge {
    /// Begins to count for a batch.
    pub(crate) fn open<O: Op>(
        batch: &mut RecordedBatch<'_, O>,
        namespace: &Namespace,
    ) -> Result<Self, VaultError> {
        let row = QUOTAS.get(batch.store(), namespace)?;
        QUOTAS.expect(batch.rows(), namespace, expected(row.as_ref()));
        let counted = match row {
            None => None,
            Some(row) => {
                // The row was there before this look, so whoever writes meanwhile
                // rewrites it, and this batch does not apply.
                let secrets = used(batch.store(), namespace, &row.value)?;
                let decoys = honey::counted(batch.directory(), namespace);
                let used = together(secrets, decoys);
                Some(Counted {
                    quota: row.value.quota,
                    before: used,
                    now: used,
                    decoys,
                    gone: 0,
                })
            }
        };
        Ok(Self {
            namespace: namespace.clone(),
            key: None,
            counted,
        })
    }

    /// Has what is written be sealed by this key: its namespace is made by the batch.
    pub(crate) fn with_key(self, key: Option<SealingKey>) -> Self {
        Self { key, ..self }
    }

    /// The key by which this batch is to wrap what it writes.
    pub(crate) fn sealing_key(
        &self,
        vault: &Vault,
        batch: &mut Batch,
    ) -> Result<SealingKey, VaultError> {
        match &self.key {
            Some(key) => Ok(key.clone()),
            None => vault.sealing_key(batch, &self.namespace),
        }
    }

    /// A decoy of so many bytes is planted where nothing is.
    pub(crate) const fn adds_decoy(&mut self, size: u64) {
        if let Some(counted) = &mut self.counted {
            let one = Used {
                secrets: 1,
                versions: 1,
                bytes: size,
            };
            counted.now = together(counted.now, one);
            counted.decoys = together(counted.decoys, one);
        }
    }

    /// The decoy that was at the path of what was added last is none any more.
    pub(crate) const fn replaces_decoy(&mut self) {
        if let Some(counted) = &mut self.counted {
            counted.gone += 1;
        }
    }

    /// A version of so many bytes is written behind those in `head`, which may be what
    /// stands for a decoy.
    pub(crate) fn adds(
        &mut self,
        store: &Store,
        path: &SecretPath,
        head: Option<&HeadRow>,
        size: u64,
    ) -> Result<(), VaultError> {
        let Some(counted) = &mut self.counted else {
            return Ok(());
        };
        let older = match head {
            Some(head) => {
                let older = older_versions(store, &self.namespace, path)?;
                let older = older.iter().filter(|row| left(&row.value)).count();
                u64::try_from(older).unwrap_or(u64::MAX) + u64::from(left(&head.latest))
            }
            None => 0,
        };
        let limit = counted.quota.versions_per_secret;
        check(
            &self.namespace,
            Bound::VersionsPerSecret,
            limit,
            older,
            older + 1,
        )?;
        counted.now.secrets += u64::from(older == 0);
        counted.now.versions += 1;
        counted.now.bytes = counted.now.bytes.saturating_add(size);
        Ok(())
    }

    /// These versions of a path are destroyed; `last` when none of it is left.
    pub(crate) fn frees(&mut self, versions: &[u64], last: bool) {
        let Some(counted) = &mut self.counted else {
            return;
        };
        let now = &mut counted.now;
        let count = u64::try_from(versions.len()).unwrap_or(u64::MAX);
        now.versions = now.versions.saturating_sub(count);
        now.bytes = now.bytes.saturating_sub(versions.iter().sum());
        now.secrets = now.secrets.saturating_sub(u64::from(last && count > 0));
    }

    /// Who is charged.
    pub(crate) const fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    /// Whether anything is counted: what only the numbers need is not read else.
    pub(crate) const fn counts(&self) -> bool {
        self.counted.is_some()
    }

    /// Puts the numbers of after into the batch.
    ///
    /// # Errors
    /// [`VaultError::QuotaExceeded`] where something grew over its bound. What shrinks
    /// is never refused, nor what was over it before and does not grow.
    pub(crate) fn settle<O: Op>(self, batch: &mut RecordedBatch<'_, O>) -> Result<(), VaultError> {
        arrives(batch.rows(), &self.namespace);
        let Some(Counted {
            quota,
            before,
            now,
            decoys,
            gone,
        }) = self.counted
        else {
            return Ok(());
        };
        for (bound, limit, before, now) in [
            (Bound::Secrets, quota.secrets, before.secrets, now.secrets),
            (
                Bound::Versions,
                quota.versions,
                before.versions,
                now.versions,
            ),
            (Bound::Bytes, quota.bytes, before.bytes, now.bytes),
        ] {
            check(&self.namespace, bound, limit, before, now)?;
        }
        let row = QuotaRow {
            quota,
            used: Some(Used {
                secrets: now.secrets.saturating_sub(decoys.secrets) + gone,
                versions: now.versions.saturating_sub(decoys.versions),
                bytes: now.bytes.saturating_sub(decoys.bytes),
            }),
        };
        QUOTAS.put(batch.rows(), &self.namespace, &row);
        Ok(())
    }
}

/// Has what a namespace uses counted anew, by whoever asks next.
pub(crate) fn recount<O: Op>(
    batch: &mut RecordedBatch<'_, O>,
    namespace: &Namespace,
) -> Result<(), VaultError> {
    let row = QUOTAS.get(batch.store(), namespace)?;
    QUOTAS.expect(batch.rows(), namespace, expected(row.as_ref()));
    if let Some(row) = row {
        let quota = row.value.quota;
        QUOTAS.put(batch.rows(), namespace, &QuotaRow { quota, used: None });
    }
    Ok(())
}

fn check(
    namespace: &Namespace,
    bound: Bound,
    limit: Option<u64>,
    before: u64,
    now: u64,
) -> Result<(), VaultError> {
    match limit {
        Some(limit) if now > limit && now > before => Err(VaultError::QuotaExceeded {
            namespace: namespace.clone(),
            bound,
            limit,
            used: before,
        }),
        _ => Ok(()),
    }
}

const fn together(one: Used, other: Used) -> Used {
    Used {
        secrets: one.secrets.saturating_add(other.secrets),
        versions: one.versions.saturating_add(other.versions),
        bytes: one.bytes.saturating_add(other.bytes),
    }
}

fn used(store: &Store, namespace: &Namespace, row: &QuotaRow) -> Result<Used, StoreError> {
    row.used.map_or_else(|| walk(store, namespace), Ok)
}

/// Counts everything that is left in a namespace, at one moment.
fn walk(store: &Store, namespace: &Namespace) -> Result<Used, StoreError> {
    let snapshot = store.snapshot()?;
    let prefix = KeyPrefix::all().part(namespace);
    let mut used = Used::default();
    // Whose newest version is destroyed has older ones, or does not count.
    let mut older: Option<String> = None;
    let mut ended = std::collections::BTreeSet::new();
    let mut after = None;
    loop {
        let page = HEADS.scan(&snapshot, &prefix, after.as_ref(), PAGE)?;
        let more = page.len() == PAGE;
        after = page.last().map(|(key, _)| key.clone());
        for (key, row) in page {
            let latest = row.value.latest;
            if left(&latest) {
                used.secrets += 1;
                used.versions += 1;
                used.bytes = used.bytes.saturating_add(latest.size);
            } else if latest.version > 1 {
                ended.insert(key.1);
            }
        }
        if !more {
            break;
        }
    }
    let mut after = None;
    loop {
        let page = VERSIONS.scan(&snapshot, &prefix, after.as_ref(), PAGE)?;
        let more = page.len() == PAGE;
        after = page.last().map(|(key, _)| key.clone());
        for ((_, path, _), row) in page {
            if !left(&row.value) {
                continue;
            }
            used.versions += 1;
            used.bytes = used.bytes.saturating_add(row.value.size);
            if ended.contains(&path) && older.as_ref() != Some(&path) {
                used.secrets += 1;
                older = Some(path);
            }
        }
        if !more {
            return Ok(used);
        }
    }
}

/// Says how much a namespace may hold.
pub struct NamespaceQuota {
    /// Which.
    pub namespace: Namespace,
    /// All of its bounds; where there is none, nothing is counted any more.
    pub quota: Quota,
}

impl Op for NamespaceQuota {
    const ACTION: Action = Action::NamespaceQuota;
    fn resource(&self) -> Resource {
        Resource::Namespace(self.namespace.clone())
    }
}

impl NamespaceQuota {
    /// Gives the namespace of the permit this quota. One that is below what is there
    /// takes nothing away: nothing is added until there is room.
    ///
    /// # Errors
    /// The store's.
    pub fn run(batch: &mut RecordedBatch<'_, Self>) -> Result<(), VaultError> {
        let op = batch.op();
        let before = QUOTAS.get(batch.store(), &op.namespace)?;
        QUOTAS.expect(batch.rows(), &op.namespace, expected(before.as_ref()));
        batch.details().with = Some(recorded(&op.quota));
        if op.quota == Quota::default() {
            QUOTAS.delete(batch.rows(), &op.namespace);
            return Ok(());
        }
        let row = QuotaRow {
            quota: op.quota,
            used: before.and_then(|row| row.value.used),
        };
        QUOTAS.put(batch.rows(), &op.namespace, &row);
        Ok(())
    }
}

/// The quota as an entry of the ledger names it: `secrets:10 bytes:1000`, or `none`.
fn recorded(quota: &Quota) -> String {
    let words: Vec<String> = [
        (Bound::Secrets, quota.secrets),
        (Bound::VersionsPerSecret, quota.versions_per_secret),
        (Bound::Versions, quota.versions),
        (Bound::Bytes, quota.bytes),
    ]
    .into_iter()
    .filter_map(|(bound, limit)| Some(format!("{}:{}", bound.as_str(), limit?)))
    .collect();
    if words.is_empty() {
        return "none".to_owned();
    }
    words.join(" ")
}

impl Vault {
    /// Whether a namespace has a quota, so that its writers should wait for each other:
    /// each of them rewrites the same row.
    ///
    /// # Errors
    /// The store's.
    pub fn has_quota(&self, namespace: &Namespace) -> Result<bool, StoreError> {
        Ok(QUOTAS.get(self.store(), namespace)?.is_some())
    }

    /// The quota of a namespace, and what it holds of it, decoys among it. Without a quota,
    /// or before the first write under one, this counts every version.
    ///
    /// # Errors
    /// The store's.
    pub fn quota(
        &self,
        directory: &Snapshot,
        namespace: &Namespace,
    ) -> Result<(Quota, Used), StoreError> {
        let row = QUOTAS.get(self.store(), namespace)?;
        let row = row.map(|row| row.value).unwrap_or_default();
        let used = used(self.store(), namespace, &row)?;
        let decoys = honey::counted(directory, namespace);
        Ok((row.quota, together(used, decoys)))
    }
}
