//! The end of a namespace: its keys are destroyed, so that nothing of it opens again,
//! whatever rows are still there.
//!
//! | step | if the process ends after it |
//! |---|---|
//! | 1. one commit: the tombstone, no key of any root, the entry | it has ended: nobody reads or writes in it, and no key is left that could |
//! | 2. before anybody hears of it, the keys in memory go | they went with the process |
//! | 3. the rows go, some hundred at a time (ADR 10) | the rest goes when the vault is open again |

use crate::due;
use crate::error::VaultError;
use crate::honey::VALUES as HONEY_VALUES;
use crate::installation::KEYRINGS;
use crate::namespace::NAMESPACE_KEYS;
use crate::quota::{ARRIVALS, QUOTAS};
use crate::secret_rows::{BODIES, BY_ENV, HEADS, VERSIONS, all_rows};
use crate::transit::KEYS as TRANSIT_KEYS;
use crate::vault::{Keys, Vault};
use arc_swap::ArcSwap;
use procura_directory::NamespaceRecord;
use procura_policy::{Action, Op, Resource};
use procura_record::RecordedBatch;
use procura_record::tables::NAMESPACES;
use procura_store::{
    Batch, CommitObserver, CommitView, Expected, KeyPrefix, Store, StoreError, StoreSnapshot,
};
use procura_types::wire::{NamespaceInfo, VersionState};
use procura_types::{DisplayName, Namespace, Timestamp};
use std::sync::Weak;

/// Rows read at once.
const PAGE: usize = 1000;

impl Vault {
    /// Puts the end of a namespace into the batch: its tombstone, and that no key of it
    /// is left. A root that is being changed meanwhile has its keys too, and they go as
    /// well: the rows go by their beginning, and a root that is not known yet is none.
    ///
    /// # Errors
    /// [`VaultError::NoNamespace`] when there is none.
    pub fn end_namespace<O: Op>(
        &self,
        batch: &mut RecordedBatch<'_, O>,
        name: &Namespace,
        now: Timestamp,
    ) -> Result<(), VaultError> {
        let record = batch
            .directory()
            .namespace(name)
            .ok_or(VaultError::NoNamespace)?
            .as_ref()
            .clone();
        let roots = all_rows(&KEYRINGS, self.store(), &KeyPrefix::all())?;
        let newest = roots.iter().map(|(epoch, _)| *epoch).max().unwrap_or(0);
        // What a change of the root commits, it commits with its keyring.
        KEYRINGS.expect(batch.rows(), &(newest + 1), Expected::Absent);
        for (epoch, row) in &roots {
            KEYRINGS.expect(batch.rows(), epoch, Expected::At(row.version));
            let keys = KeyPrefix::all().part(epoch).part(&name.to_string());
            NAMESPACE_KEYS.delete_all(batch.rows(), &keys);
        }
        // They are no more than rows, and few.
        TRANSIT_KEYS.delete_all(batch.rows(), &KeyPrefix::all().part(name));
        batch.put_namespace(&NamespaceRecord {
            ended: Some(now),
            ..record
        });
        Ok(())
    }

    /// Whether a namespace of this name ended.
    pub(crate) fn has_ended(&self, name: &Namespace) -> Result<bool, StoreError> {
        let row = NAMESPACES.get(self.store(), &name.to_string())?;
        Ok(row.is_some_and(|row| row.value.ended.is_some()))
    }

    /// How many transit keys a namespace has.
    ///
    /// # Errors
    /// The store's.
    pub fn transit_keys(&self, namespace: &Namespace) -> Result<u64, StoreError> {
        let of = KeyPrefix::all().part(namespace);
        let rows = all_rows(&TRANSIT_KEYS, self.store(), &of)?;
        Ok(u64::try_from(rows.len()).unwrap_or(u64::MAX))
    }

    /// How many secrets of a namespace are not deleted.
    ///
    /// # Errors
    /// The store's.
    pub fn live_secrets(&self, namespace: &Namespace) -> Result<u64, StoreError> {
        let snapshot = self.store().snapshot()?;
        let prefix = KeyPrefix::all().part(namespace);
        let (mut count, mut after) = (0, None);
        loop {
            let page = HEADS.scan(&snapshot, &prefix, after.as_ref(), PAGE)?;
            let more = page.len() == PAGE;
            after = page.last().map(|(key, _)| key.clone());
            let live = |state| matches!(state, VersionState::Live);
            let live = page.iter().filter(|(_, row)| live(row.value.latest.state));
            count += u64::try_from(live.count()).unwrap_or(u64::MAX);
            if !more {
                return Ok(count);
            }
        }
    }

    /// Forgets the keys of namespaces that are not `there`, in memory. With several
    /// servers the end of one may have been committed elsewhere.
    pub fn keep_keys(&self, there: impl Fn(&Namespace) -> bool) {
        self.keys.load().forget(|name| !there(name));
    }
}

/// Puts the removal of up to `limit` rows of a namespace that ended into a batch: what
/// this crate keeps by namespace. Gives how many; 0 when nothing is left.
///
/// # Errors
/// The store's.
pub fn sweep_namespace(
    batch: &mut Batch,
    store: &Store,
    namespace: &Namespace,
    limit: usize,
) -> Result<usize, StoreError> {
    let snapshot = store.snapshot()?;
    let of = KeyPrefix::all().part(namespace);
    let mut swept = sweep_heads(batch, &snapshot, &of, limit)?;
    // A table whose keys begin with a namespace has its line here.
    swept += VERSIONS.sweep(batch, &snapshot, &of, limit.saturating_sub(swept))?;
    swept += BODIES.sweep(batch, &snapshot, &of, limit.saturating_sub(swept))?;
    swept += BY_ENV.sweep(batch, &snapshot, &of, limit.saturating_sub(swept))?;
    swept += HONEY_VALUES.sweep(batch, &snapshot, &of, limit.saturating_sub(swept))?;
    swept += QUOTAS.sweep(batch, &snapshot, &of, limit.saturating_sub(swept))?;
    swept += TRANSIT_KEYS.sweep(batch, &snapshot, &of, limit.saturating_sub(swept))?;
    swept += ARRIVALS.sweep(batch, &snapshot, &of, limit.saturating_sub(swept))?;
    Ok(swept)
}

/// The heads, and with them the dates that are looked up by time.
fn sweep_heads(
    batch: &mut Batch,
    snapshot: &StoreSnapshot,
    of: &KeyPrefix,
    limit: usize,
) -> Result<usize, StoreError> {
    // A head that does not open goes as well; what it said of dates goes when they are
    // over.
    if let Ok(rows) = HEADS.scan(snapshot, of, None, limit) {
        for (key, row) in &rows {
            due::unindex(batch, key, &row.value.about);
        }
    }
    HEADS.sweep(batch, snapshot, of, limit)
}

/// Forgets keys as soon as it is durable that their namespace ended.
pub(crate) struct KeysGo(pub(crate) Weak<ArcSwap<Keys>>);

impl CommitObserver for KeysGo {
    fn committed(&self, commits: &[CommitView<'_>]) {
        let Some(keys) = self.0.upgrade() else {
            return;
        };
        for change in commits.iter().flat_map(CommitView::directory) {
            if let Some(Ok((_, Some(row)))) = NAMESPACES.change(&change)
                && row.value.ended.is_some()
            {
                keys.load().forget(|name| *name == row.value.name);
            }
        }
    }
}

/// Says what people call a namespace.
pub struct NamespaceDisplayName {
    /// Which.
    pub namespace: Namespace,
    /// What; none takes it away.
    pub display_name: Option<DisplayName>,
}

impl Op for NamespaceDisplayName {
    const ACTION: Action = Action::NamespaceDisplayName;
    fn resource(&self) -> Resource {
        Resource::Namespace(self.namespace.clone())
    }
}

impl NamespaceDisplayName {
    /// Gives the namespace of the permit this name.
    ///
    /// # Errors
    /// [`VaultError::NoNamespace`] when it ended meanwhile.
    pub fn run(batch: &mut RecordedBatch<'_, Self>) -> Result<NamespaceInfo, VaultError> {
        let op = batch.op();
        let record = NamespaceRecord {
            display_name: op.display_name.clone(),
            ..batch
                .directory()
                .namespace(&op.namespace)
                .ok_or(VaultError::NoNamespace)?
                .as_ref()
                .clone()
        };
        batch.put_namespace(&record);
        Ok(NamespaceInfo {
            name: record.name,
            display_name: record.display_name,
            created: record.created,
        })
    }
}
