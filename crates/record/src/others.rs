//! What other servers of the same database commit: their changes of the directory are
//! taken over here, and the ledger is read on in its order for those who follow it
//! ([ADR 32](../../../docs/adr/0032-several-servers.md)).
//!
//! A server decides by the directory in its memory. A change that it records applies
//! only to the newest directory, whoever changed it, and so does the intent of each
//! release; what is merely looked up is as old as [`Others::age`] says, and whoever
//! serves has to stop when that is too old.

use crate::directory::Directory;
use crate::running::{Running, Stopping};
use crate::tables::{DIRECTORY_GUARD, LEDGER, NAMESPACES};
use procura_store::{LogEntry, Seq, Store, StoreError, Value as _};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// How often it is looked whether something came, whatever was told.
const LOOK: Duration = Duration::from_millis(250);
/// How long is waited after a step, so that what comes at once is read at once.
const PACE: Duration = Duration::from_millis(20);
/// How long the first look may take.
const SETTLING: Duration = Duration::from_secs(5);
/// How long is waited after a step that failed.
const AGAIN: Duration = Duration::from_millis(100);
/// Changes that are read at once.
const CHANGES: usize = 4096;
/// Entries that are read at once.
const ENTRIES: usize = 1024;
/// Who is further behind than so many entries begins anew.
const BEHIND: u64 = 65_536;

/// Follows the ledger of a store that several servers write to, in its order.
pub(crate) trait EntryFollower: Send + Sync {
    /// The next entries.
    fn entries(&self, entries: &[LogEntry]);
    /// Entries were left out; the next one that will be told has this index.
    fn skipped(&self, next: u64);
    /// The directory has changed.
    fn moved(&self) {}
}

/// What is done, on a thread that may wait, when rows of a table have changed, before
/// anything is read that may depend on it: new keys are taken over. Where it fails it is
/// done again, and nothing is followed meanwhile.
pub type Turned = Box<dyn Fn() -> Result<(), StoreError> + Send + Sync>;

/// Follows the other servers for as long as it lives.
pub struct Others {
    state: Arc<State>,
    running: Running,
}

#[derive(Default)]
struct State {
    /// The time up to which it is certain that nothing was missed.
    fresh: Mutex<Option<Instant>>,
    followers: Mutex<Vec<Weak<dyn EntryFollower>>>,
}

impl State {
    fn followers(&self) -> Vec<Arc<dyn EntryFollower>> {
        let mut followers = self
            .followers
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        followers.retain(|follower| follower.strong_count() > 0);
        followers.iter().filter_map(Weak::upgrade).collect()
    }
}

impl Others {
    /// Follows from the directory as it was loaded; `None` where nobody else writes.
    /// `turned` is done when a row of the table `table` has changed. Must be called
    /// inside a Tokio runtime.
    ///
    /// # Errors
    /// The store's.
    pub fn start(
        store: &Store,
        directory: &Arc<Directory>,
        table: &'static str,
        turned: Turned,
    ) -> Result<Option<Self>, StoreError> {
        let Some(feed) = store.feed() else {
            return Ok(None);
        };
        let moves = feed.moves();
        let state = Arc::new(State::default());
        let work = Work {
            store: store.clone(),
            directory: Arc::clone(directory),
            state: Arc::clone(&state),
            table,
            turned,
            next: store.log_len(LEDGER)?,
        };
        Ok(Some(Self {
            state,
            running: Running::start(|stopping| run(work, moves, stopping)),
        }))
    }

    /// How long ago it was certain that no commit of another server was missed; `None`
    /// before it was for the first time.
    #[must_use]
    pub fn age(&self) -> Option<Duration> {
        let fresh = *self
            .state
            .fresh
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        fresh.map(|fresh| fresh.elapsed())
    }

    /// Waits until it is certain for the first time that nothing was missed; for a
    /// moment, after which whoever serves says that it is not.
    pub async fn settled(&self) {
        let begun = Instant::now();
        while self.age().is_none() && begun.elapsed() < SETTLING {
            tokio::time::sleep(PACE).await;
        }
    }

    /// Tells of the ledger's entries from now on, for as long as somebody holds the
    /// follower.
    pub(crate) fn tell(&self, follower: Weak<dyn EntryFollower>) {
        let mut followers = self
            .state
            .followers
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        followers.push(follower);
    }

    /// Stops; on return it holds the store no longer.
    pub async fn stop(&self) {
        self.running.stop().await;
    }
}

struct Work {
    store: Store,
    directory: Arc<Directory>,
    state: Arc<State>,
    table: &'static str,
    turned: Turned,
    /// The next entry of the ledger.
    next: u64,
}

async fn run(mut work: Work, mut moves: watch::Receiver<Seq>, mut stopping: Stopping) {
    let mut told = false;
    loop {
        moves.mark_unchanged();
        let step = tokio::task::spawn_blocking(move || {
            let outcome = work.step();
            (work, outcome)
        });
        let Ok((back, outcome)) = step.await else {
            // It panicked, and was reported when it did; nothing is fresh any more.
            return;
        };
        work = back;
        let pause = match outcome {
            Ok(()) => {
                told = false;
                PACE
            }
            Err(StoreError::Sealed) => return,
            Err(error) => {
                // While the database is away it says so itself.
                if !std::mem::replace(&mut told, true) {
                    tracing::warn!(%error, "what other servers do is not followed now");
                }
                AGAIN
            }
        };
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = stopping.told() => return,
        }
        tokio::select! {
            // The sender is in the store that is held here.
            _ = moves.changed() => {}
            () = tokio::time::sleep(LOOK) => {}
            () = stopping.told() => return,
        }
    }
}

impl Work {
    /// Takes over all that is known to be committed.
    fn step(&mut self) -> Result<(), StoreError> {
        let Some(feed) = self.store.feed() else {
            return Ok(());
        };
        // In this order: at that time the end was not later than the one that is read.
        let heard = feed.age().and_then(|age| Instant::now().checked_sub(age));
        let end = *feed.moves().borrow();
        let mut moved = false;
        while self.directory.followed() < end {
            moved |= self.take_over()?;
        }
        if let Some(heard) = heard {
            let mut fresh = self
                .state
                .fresh
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            *fresh = Some(fresh.map_or(heard, |before| before.max(heard)));
        }
        let followers = self.state.followers();
        if moved {
            followers.iter().for_each(|follower| follower.moved());
        }
        self.read_on(&followers)
    }

    /// Takes the next changes over; whether the directory is another.
    fn take_over(&self) -> Result<bool, StoreError> {
        let from = self.directory.followed();
        let changes = match self.changes(from) {
            Err(StoreError::Gap { .. }) => {
                (self.turned)()?;
                let seq = self.directory.reload(&self.store)?;
                self.tell_of_namespaces(seq)?;
                self.directory.follow_to(seq);
                return Ok(true);
            }
            changes => changes?,
        };
        let concerns =
            |change: &procura_store::Change| change.key.table() == DIRECTORY_GUARD.name();
        let moved = changes.changes.iter().any(concerns);
        if !self.directory.lacks(&changes.changes) {
            self.directory.follow_to(changes.upto);
            return Ok(moved);
        }
        // As of one moment, with all that was changed until then.
        let snapshot = self.store.snapshot()?;
        let (mut all, mut upto) = (changes.changes, changes.upto);
        while upto < snapshot.seq() {
            let more = self.changes(upto)?;
            upto = more.upto;
            all.extend(more.changes);
        }
        let (seq, rows) = self.directory.catch_up(&snapshot, &all)?;
        self.store.others_changed(seq, rows);
        self.directory.follow_to(snapshot.seq());
        Ok(true)
    }

    /// What was held of namespaces that ended meanwhile is to be forgotten.
    fn tell_of_namespaces(&self, seq: Seq) -> Result<(), StoreError> {
        let snapshot = self.store.snapshot()?;
        let rows = NAMESPACES.load(&snapshot)?;
        let rows = rows.into_iter().map(|(name, row)| {
            let key = NAMESPACES.row_key(&name);
            row.value.encode().map(|plain| (key, Some(plain)))
        });
        self.store.others_changed(seq, rows.flatten().collect());
        Ok(())
    }

    /// The next changes, once the keys are those that they were made with.
    fn changes(&self, from: Seq) -> Result<procura_store::Changes, StoreError> {
        let changes = self.store.changes(from, CHANGES)?;
        let turns = |change: &procura_store::Change| change.key.table() == self.table;
        if changes.changes.iter().any(turns) {
            (self.turned)()?;
        }
        Ok(changes)
    }

    /// Reads the ledger on, as far as the directory is known.
    fn read_on(&mut self, followers: &[Arc<dyn EntryFollower>]) -> Result<(), StoreError> {
        let known = self.directory.followed();
        let end = self.store.log_len(LEDGER)?;
        // Whoever slept for as long as entries are kept has missed them.
        if end.saturating_sub(self.next) > BEHIND || self.next < self.store.log_start(LEDGER)? {
            self.next = end;
            followers.iter().for_each(|follower| follower.skipped(end));
        }
        while self.next < end {
            let mut entries = self.store.log_read(LEDGER, self.next, ENTRIES)?;
            let behind = entries.partition_point(|entry| entry.seq <= known);
            let all = behind == entries.len();
            entries.truncate(behind);
            let Some(last) = entries.last() else {
                return Ok(());
            };
            self.next = last.index + 1;
            for follower in followers {
                follower.entries(&entries);
            }
            if !all {
                return Ok(());
            }
        }
        Ok(())
    }
}
