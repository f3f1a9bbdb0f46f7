//! The directory snapshot, kept in step with the store: a commit swaps it before
//! anyone hears that the commit succeeded, so a withdrawal stops the very next
//! read.

use crate::tables::{ACTORS, DEVICES, DIRECTORY_GUARD, GRANTS, NAMESPACES, ROLES};
use arc_swap::ArcSwap;
use procura_directory::{Change, Snapshot};
use procura_store::{
    CommitObserver, CommitView, DirectoryChange, Key, Store, StoreError, Table, Value,
};
use std::sync::{Arc, Weak};

/// The current [`Snapshot`].
pub struct Directory {
    current: ArcSwap<Snapshot>,
}

impl Directory {
    /// Reads the whole directory, checks its set digests, and follows the store
    /// from then on. A directory that is not whole is refused.
    pub fn load(store: &Store) -> Result<Arc<Self>, StoreError> {
        // A commit between reading and observing cannot be: nothing is served yet.
        let snapshot = store.snapshot()?;
        let mut changes = Vec::new();
        changes.extend(
            ACTORS
                .load(&snapshot)?
                .into_iter()
                .map(|(_, row)| Change::Actor(row.value)),
        );
        changes.extend(
            DEVICES
                .load(&snapshot)?
                .into_iter()
                .map(|(_, row)| Change::Device(row.value)),
        );
        changes.extend(
            ROLES
                .load(&snapshot)?
                .into_iter()
                .map(|(_, row)| Change::Roles(row.value)),
        );
        changes.extend(
            NAMESPACES
                .load(&snapshot)?
                .into_iter()
                .map(|(_, row)| Change::Namespace(row.value)),
        );
        changes.extend(
            GRANTS
                .load(&snapshot)?
                .into_iter()
                .map(|(_, row)| Change::Grant(row.value)),
        );
        let guard = DIRECTORY_GUARD.load(&snapshot)?;
        let seq = guard.first().map_or(0, |(_, row)| row.version.get());
        let directory = Arc::new(Self {
            current: ArcSwap::from_pointee(Snapshot::default().apply(seq, changes)),
        });
        store.observe(Arc::new(Following(Arc::downgrade(&directory))));
        Ok(directory)
    }

    /// The directory as it is now.
    #[must_use]
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.current.load_full()
    }
}

/// The change of a record that a row of the directory makes. What this program
/// sealed a moment ago always reads back; if it did not, the next start would
/// refuse the directory.
fn record(row: &DirectoryChange<'_>) -> Option<Change> {
    fn value<K: Key, V: Value>(table: &Table<K, V>, row: &DirectoryChange<'_>) -> Option<V> {
        table.change(row)?.ok()?.1.map(|row| row.value)
    }
    value(&ACTORS, row)
        .map(Change::Actor)
        .or_else(|| value(&DEVICES, row).map(Change::Device))
        .or_else(|| value(&ROLES, row).map(Change::Roles))
        .or_else(|| value(&NAMESPACES, row).map(Change::Namespace))
        .or_else(|| value(&GRANTS, row).map(Change::Grant))
}

impl CommitObserver for Directory {
    fn committed(&self, commits: &[CommitView<'_>]) {
        let mut next: Option<Snapshot> = None;
        for commit in commits {
            let rows: Vec<_> = commit.directory().collect();
            if rows
                .iter()
                .any(|row| row.key.table() == DIRECTORY_GUARD.name())
            {
                let base = next
                    .take()
                    .unwrap_or_else(|| self.current.load().as_ref().clone());
                next = Some(base.apply(commit.seq().get(), rows.iter().filter_map(record)));
            }
        }
        if let Some(next) = next {
            self.current.store(Arc::new(next));
        }
    }
}

/// Observes for as long as somebody else holds the observer: a store outlives
/// what follows it from one unseal to the next.
pub(crate) struct Following<T>(pub(crate) Weak<T>);

impl<T: CommitObserver> CommitObserver for Following<T> {
    fn committed(&self, commits: &[CommitView<'_>]) {
        if let Some(observer) = self.0.upgrade() {
            observer.committed(commits);
        }
    }
}
