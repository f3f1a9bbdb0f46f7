//! The directory snapshot, kept in step with the store: a commit swaps it before
//! anyone hears that the commit succeeded, so a withdrawal stops the very next
//! read. Gates follow it too: the latest changes are kept for them.

use crate::tables::{
    ACTORS, API_KEYS, APPROVAL_RULES, ATTESTATIONS, BASELINES, BREAK_GLASS, DEVICES,
    DIRECTORY_GUARD, FOREIGN, GRANTS, GRANTS_ENDED, GUARD, HONEY, NAMESPACES, PASSKEYS, POLICIES,
    QUARANTINES, RELEASE_KEYS, RELEASES, ROLES, TOKENS, TOKENS_ENDED,
};
use arc_swap::ArcSwap;
use procura_directory::{Change, Snapshot};
use procura_store::{
    CommitObserver, CommitView, DirectoryChange, Key, RowKey, Seq, Store, StoreError,
    StoreSnapshot, Table, Value,
};
use procura_types::{AttestationId, SecretBytes, TokenId};
use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;
use tokio::sync::watch;

/// How many changes are kept for those who follow. One that is further behind reads
/// the whole directory.
const RECENT: usize = 1024;

/// How long a decision waits for what another server has just changed.
const SETTLING: Duration = Duration::from_secs(2);

/// The tables of which the directory is made.
const TABLES: &[&str] = &[
    ACTORS.name(),
    DEVICES.name(),
    ROLES.name(),
    NAMESPACES.name(),
    GRANTS.name(),
    GRANTS_ENDED.name(),
    FOREIGN.name(),
    HONEY.name(),
    QUARANTINES.name(),
    POLICIES.name(),
    PASSKEYS.name(),
    TOKENS.name(),
    TOKENS_ENDED.name(),
    ATTESTATIONS.name(),
    RELEASE_KEYS.name(),
    RELEASES.name(),
    BASELINES.name(),
    API_KEYS.name(),
    BREAK_GLASS.name(),
    APPROVAL_RULES.name(),
];

/// The current [`Snapshot`].
pub struct Directory {
    current: ArcSwap<Snapshot>,
    recent: Mutex<Recent>,
    /// The sequence of `current`, for those who wait for the next.
    moved: watch::Sender<u64>,
    /// Held while `current` is replaced: commits of this server and of others do.
    writing: Mutex<()>,
    /// Up to which commit those of other servers are in `current`.
    followed: watch::Sender<Seq>,
}

/// The rows that are other as of a commit, and what they are.
pub(crate) type Changed = (Seq, Vec<(RowKey, Option<SecretBytes>)>);

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
    ///
    /// A commit of this server between reading and observing cannot be, as nothing is
    /// served yet; those of other servers are followed from here on by
    /// [`Others`](crate::Others).
    pub fn load(store: &Store) -> Result<Arc<Self>, StoreError> {
        let (followed, current) = Self::read(store)?;
        let seq = current.seq();
        let directory = Arc::new(Self {
            current: ArcSwap::from_pointee(current),
            recent: Mutex::new(Recent {
                after: seq,
                changes: VecDeque::new(),
            }),
            moved: watch::Sender::new(seq),
            writing: Mutex::default(),
            followed: watch::Sender::new(followed),
        });
        store.observe(Arc::new(Following(Arc::downgrade(&directory))));
        Ok(directory)
    }

    /// The whole directory, and the commit as of which it was read.
    fn read(store: &Store) -> Result<(Seq, Snapshot), StoreError> {
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
            GRANTS_ENDED
                .load(&snapshot)?
                .into_iter()
                .map(|(_, row)| Change::GrantsEnded(row.value)),
        );
        changes.extend(
            FOREIGN
                .load(&snapshot)?
                .into_iter()
                .map(|(_, row)| Change::Foreign(row.value)),
        );
        changes.extend(
            TOKENS
                .load(&snapshot)?
                .into_iter()
                .map(|(_, row)| Change::Token(row.value)),
        );
        changes.extend(
            TOKENS_ENDED
                .load(&snapshot)?
                .into_iter()
                .map(|(_, row)| Change::TokensEnded(row.value)),
        );
        changes.extend(
            HONEY
                .load(&snapshot)?
                .into_iter()
                .map(|(_, row)| Change::Honey(row.value)),
        );
        changes.extend(
            QUARANTINES
                .load(&snapshot)?
                .into_iter()
                .map(|(_, row)| Change::Quarantine(row.value)),
        );
        changes.extend(
            POLICIES
                .load(&snapshot)?
                .into_iter()
                .map(|(_, row)| Change::Policies(row.value)),
        );
        changes.extend(
            PASSKEYS
                .load(&snapshot)?
                .into_iter()
                .map(|(_, row)| Change::Passkey(row.value)),
        );
        changes.extend(
            ATTESTATIONS
                .load(&snapshot)?
                .into_iter()
                .map(|(_, row)| Change::Attestation(row.value)),
        );
        changes.extend(
            RELEASE_KEYS
                .load(&snapshot)?
                .into_iter()
                .map(|(_, row)| Change::ReleaseKey(row.value)),
        );
        changes.extend(
            RELEASES
                .load(&snapshot)?
                .into_iter()
                .map(|(_, row)| Change::Release(row.value)),
        );
        changes.extend(
            BASELINES
                .load(&snapshot)?
                .into_iter()
                .map(|(_, row)| Change::Baseline(row.value)),
        );
        changes.extend(
            API_KEYS
                .load(&snapshot)?
                .into_iter()
                .map(|(_, row)| Change::ApiKey(row.value)),
        );
        changes.extend(
            BREAK_GLASS
                .load(&snapshot)?
                .into_iter()
                .map(|(_, row)| Change::BreakGlass(row.value)),
        );
        changes.extend(
            APPROVAL_RULES
                .load(&snapshot)?
                .into_iter()
                .map(|(_, row)| Change::ApprovalRule(row.value)),
        );
        let guard = DIRECTORY_GUARD.load(&snapshot)?;
        let seq = guard.first().map_or(0, |(_, row)| row.version.get());
        Ok((snapshot.seq(), Snapshot::default().apply(seq, changes)))
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

    /// Up to which commit those of other servers are known.
    pub(crate) fn followed(&self) -> Seq {
        *self.followed.borrow()
    }

    /// Those of other servers are known up to here.
    pub(crate) fn follow_to(&self, seq: Seq) {
        self.followed.send_modify(|known| *known = seq.max(*known));
    }

    /// Waits until all that is known to be committed is in the directory, after a
    /// commit failed because another server had changed it; a moment at most.
    pub async fn settle(&self, store: &Store) {
        let Some(feed) = store.feed() else { return };
        let end = *feed.moves().borrow();
        let mut followed = self.followed.subscribe();
        let reached = followed.wait_for(|seq| *seq >= end);
        // Too late: the caller tries all the same, and says that others were faster.
        let _ = tokio::time::timeout(SETTLING, reached).await;
    }

    /// Whether these changes of other servers concern the directory, and are not in it.
    pub(crate) fn lacks(&self, changes: &[procura_store::Change]) -> bool {
        let known = self.current.load().seq();
        let guard = DIRECTORY_GUARD.name();
        let mut newer = changes.iter().filter(|change| change.seq.get() > known);
        newer.any(|change| change.key.table() == guard)
    }

    /// Takes over what other servers changed: all changes between what is known and
    /// the snapshot, as the rows are in the snapshot.
    pub(crate) fn catch_up(
        &self,
        snapshot: &StoreSnapshot,
        changes: &[procura_store::Change],
    ) -> Result<Changed, StoreError> {
        let guard = DIRECTORY_GUARD.row_key(&GUARD.to_owned());
        let seq = snapshot
            .plain(&guard)?
            .map_or(0, |(version, _)| version.get());
        let keys: BTreeSet<&RowKey> = changes
            .iter()
            .filter(|change| TABLES.contains(&change.key.table()))
            .map(|change| &change.key)
            .collect();
        let mut found = Vec::with_capacity(keys.len());
        let mut rows = Vec::with_capacity(keys.len());
        for key in keys {
            let row = snapshot.plain(key)?;
            let change = DirectoryChange {
                key,
                seq: row.as_ref().map_or(snapshot.seq(), |(version, _)| *version),
                value: row.as_ref().map(|(_, plain)| plain.expose().as_slice()),
            };
            found.extend(record(&change));
            rows.push((key.clone(), row.map(|(_, plain)| plain)));
        }
        let _one = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let current = self.current.load_full();
        // A change of this server applies only to the newest directory, so one that came
        // meanwhile has all of these in it.
        if current.seq() < seq {
            self.remember(seq, &found);
            self.replace(current.apply(seq, found));
        }
        Ok((Seq::new(seq), rows))
    }

    /// Reads all of it again, as what was changed is not kept that long. Gives the
    /// commit as of which it was read.
    pub(crate) fn reload(&self, store: &Store) -> Result<Seq, StoreError> {
        let (read, next) = Self::read(store)?;
        let _one = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        if self.current.load().seq() < next.seq() {
            *self.recent.lock().unwrap_or_else(PoisonError::into_inner) = Recent {
                after: next.seq(),
                changes: VecDeque::new(),
            };
            self.replace(next);
        }
        Ok(read)
    }

    fn replace(&self, next: Snapshot) {
        let seq = next.seq();
        self.current.store(Arc::new(next));
        self.moved.send_replace(seq);
    }

    /// Keeps the changes of a commit for those who follow.
    fn remember(&self, seq: u64, changes: &[Change]) {
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        for change in changes {
            if matches!(change, Change::Namespace(namespace) if namespace.ended.is_some()) {
                // Its one record ends whatever was in it: who follows reads all anew.
                recent.after = seq;
                recent.changes.clear();
                continue;
            }
            if matches!(
                change,
                Change::Actor(_)
                    | Change::Device(_)
                    | Change::Roles(_)
                    | Change::Foreign(_)
                    | Change::Quarantine(_)
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
        .or_else(|| value(&GRANTS_ENDED, row).map(Change::GrantsEnded))
        .or_else(|| value(&FOREIGN, row).map(Change::Foreign))
        .or_else(|| value(&HONEY, row).map(Change::Honey))
        .or_else(|| value(&QUARANTINES, row).map(Change::Quarantine))
        .or_else(|| value(&POLICIES, row).map(Change::Policies))
        .or_else(|| value(&PASSKEYS, row).map(Change::Passkey))
        .or_else(|| value(&TOKENS, row).map(Change::Token))
        .or_else(|| value(&TOKENS_ENDED, row).map(Change::TokensEnded))
        .or_else(|| value(&ATTESTATIONS, row).map(Change::Attestation))
        .or_else(|| value(&RELEASE_KEYS, row).map(Change::ReleaseKey))
        .or_else(|| value(&RELEASES, row).map(Change::Release))
        .or_else(|| value(&BASELINES, row).map(Change::Baseline))
        .or_else(|| value(&API_KEYS, row).map(Change::ApiKey))
        .or_else(|| value(&BREAK_GLASS, row).map(Change::BreakGlass))
        .or_else(|| value(&APPROVAL_RULES, row).map(Change::ApprovalRule))
        .or_else(|| gone(row).map(Change::TokenGone))
        .or_else(|| attestation_gone(row).map(Change::AttestationGone))
}

/// The project token that a change takes away.
fn gone(row: &DirectoryChange<'_>) -> Option<TokenId> {
    match TOKENS.change(row)?.ok()? {
        (key, None) => key.parse().ok(),
        _ => None,
    }
}

/// The attestation that a change takes away.
fn attestation_gone(row: &DirectoryChange<'_>) -> Option<AttestationId> {
    match ATTESTATIONS.change(row)?.ok()? {
        (key, None) => key.parse().ok(),
        _ => None,
    }
}

impl CommitObserver for Directory {
    fn committed(&self, commits: &[CommitView<'_>]) {
        let _one = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut next: Option<Snapshot> = None;
        let known = self.current.load().seq();
        for commit in commits {
            // It was read back already, as one of the shared database.
            if commit.seq().get() <= known {
                continue;
            }
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
            self.replace(next);
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

#[cfg(test)]
mod tests {
    use super::TABLES;

    /// What another server changes in a table that is not listed would not be seen here.
    #[test]
    fn every_table_of_the_directory_is_listed() {
        let declared = include_str!("tables.rs")
            .matches("Kind::Directory)")
            .count();
        // The guard is a row that says only that something changed.
        assert_eq!(declared, TABLES.len() + 1);
    }
}
