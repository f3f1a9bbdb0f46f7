//! The directory snapshot, kept in step with the store: a commit swaps it before
//! anyone hears that the commit succeeded, so a withdrawal stops the very next
//! read. Gates follow it too: the latest changes are kept for them.

use crate::tables::{ACTORS, DEVICES, DIRECTORY_GUARD, FOREIGN, GRANTS, NAMESPACES, ROLES};
use arc_swap::ArcSwap;
use procura_directory::{Change, Snapshot};
use procura_store::{
    CommitObserver, CommitView, DirectoryChange, Key, Store, StoreError, Table, Value,
};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use tokio::sync::watch;

/// How many changes are kept for those who follow. One that is further behind reads
/// the whole directory.
const RECENT: usize = 1024;

/// The current [`Snapshot`].
pub struct Directory {
    current: ArcSwap<Snapshot>,
    recent: Mutex<Recent>,
    /// The sequence of `current`, for those who wait for the next.
    moved: watch::Sender<u64>,
}

/// The latest changes of actors, devices, roles and ids of other systems, oldest first.
struct Recent {
    /// All changes after this sequence are here.
    after: u64,
    changes: VecDeque<(u64, Change)>,
}

impl Recent {
    fn push(&mut self, seq: u64, change: Change) {
        if self.changes.len() >= RECENT
            && let Some((dropped, _)) = self.changes.pop_front()
        {
            self.after = dropped;
        }
        self.changes.push_back((seq, change));
    }
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
        changes.extend(
            FOREIGN
                .load(&snapshot)?
                .into_iter()
                .map(|(_, row)| Change::Foreign(row.value)),
        );
        let guard = DIRECTORY_GUARD.load(&snapshot)?;
        let seq = guard.first().map_or(0, |(_, row)| row.version.get());
        let directory = Arc::new(Self {
            current: ArcSwap::from_pointee(Snapshot::default().apply(seq, changes)),
            recent: Mutex::new(Recent {
                after: seq,
                changes: VecDeque::new(),
            }),
            moved: watch::Sender::new(seq),
        });
        store.observe(Arc::new(Following(Arc::downgrade(&directory))));
        Ok(directory)
    }

    /// The directory as it is now.
    #[must_use]
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.current.load_full()
    }

    /// What became of actors, devices, roles and ids of other systems after the sequence `after`, up to
    /// that of `snapshot`, oldest first; nothing when that is too long ago.
    #[must_use]
    pub fn changes(&self, after: u64, snapshot: &Snapshot) -> Option<Vec<Change>> {
        // Changes are pushed one by one, so that a panic leaves whole ones.
        let recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        // A sequence that never was is one of another history.
        if after < recent.after || after > snapshot.seq() {
            return None;
        }
        let later = recent.changes.iter().skip_while(|(seq, _)| *seq <= after);
        let known = later.take_while(|(seq, _)| *seq <= snapshot.seq());
        Some(known.map(|(_, change)| change.clone()).collect())
    }

    /// Waits until the directory is at another sequence than `seq`.
    pub async fn moved(&self, seq: u64) {
        let mut moved = self.moved.subscribe();
        // The sender is in `self`.
        let _ = moved.wait_for(|now| *now != seq).await;
    }

    /// Keeps the changes of a commit for those who follow.
    fn remember(&self, seq: u64, changes: &[Change]) {
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        for change in changes {
            if matches!(
                change,
                Change::Actor(_) | Change::Device(_) | Change::Roles(_) | Change::Foreign(_)
            ) {
                recent.push(seq, change.clone());
            }
        }
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
        .or_else(|| value(&FOREIGN, row).map(Change::Foreign))
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
                let changes: Vec<Change> = rows.iter().filter_map(record).collect();
                // Before the snapshot: who sees that finds its changes.
                self.remember(commit.seq().get(), &changes);
                next = Some(base.apply(commit.seq().get(), changes));
            }
        }
        if let Some(next) = next {
            let seq = next.seq();
            self.current.store(Arc::new(next));
            self.moved.send_replace(seq);
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
