//! What happens, for those who follow: notices made of the ledger's entries as they
//! commit, in the ledger's order (ADR 18).
//!
//! One ring in memory serves everybody who follows, so that a follower costs no more
//! than its place in it. A place is the index of the next entry to look at. Whoever is
//! further behind than the ring reaches is told so, and lists anew.

mod notice;

pub use notice::{Notice, RECOVERY};

use crate::directory::{Directory, Following};
use crate::others::{EntryFollower, Others};
use crate::running::{Running, Stopping};
use crate::tables::{DIRECTORY_GUARD, LEDGER};
use procura_directory::Snapshot;
use procura_store::{CommitObserver, CommitView, LogEntry, Store, StoreError};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;
use tokio::sync::{Notify, watch};

/// Notices that are kept for those who come back.
const KEPT: usize = 4096;
/// Entries of the ledger that are read again when the vault is opened.
const READ_BACK: u64 = 1024;
/// Entries that are read at once for whoever is further behind.
const READ_AGAIN: usize = 1024;
/// Notices that are handed out at once.
const AT_ONCE: usize = 256;

/// How soon after each other followers are woken: at once when it was quiet, and ten
/// times a second at most, however much happens. Thousands of them would otherwise take
/// the processor from those who make things happen, strangers among them.
const PACE: Duration = Duration::from_millis(100);

/// What there is after a place.
#[derive(Debug, Clone)]
pub enum Since {
    /// These notices; then go on from this place.
    Notices(Vec<Arc<Notice>>, u64),
    /// What was there is not kept any more, or the place is not one of this ledger:
    /// list anew, and go on from this place.
    Gone(u64),
}

struct Ring {
    /// The index of the first entry whose notice would be here.
    from: u64,
    /// The index of the next entry of the ledger.
    next: u64,
    kept: VecDeque<Arc<Notice>>,
}

impl Ring {
    fn push(&mut self, notice: Notice) {
        if self.kept.len() >= KEPT
            && let Some(dropped) = self.kept.pop_front()
        {
            self.from = dropped.index + 1;
        }
        self.kept.push_back(Arc::new(notice));
    }
}

/// The notices of an open store.
pub struct Events {
    directory: Arc<Directory>,
    ring: Mutex<Ring>,
    /// Told when there may be something to do.
    news: Arc<Notify>,
    /// Whether no more will come; sent anew for followers to look.
    over: Arc<watch::Sender<bool>>,
    _pacing: Running,
}

impl Events {
    /// Follows the store from here on, and reads back what happened last. The
    /// directory must follow the store already: a notice is made of what is so after
    /// the commit. Must be called inside a Tokio runtime.
    ///
    /// # Errors
    /// The store's. An entry that cannot be read is no error: then nothing from before
    /// is kept.
    pub fn start(store: &Store, directory: &Arc<Directory>) -> Result<Arc<Self>, StoreError> {
        // A commit between reading and observing cannot be: nothing is served yet.
        let next = store.log_len(LEDGER)?;
        let from = next.saturating_sub(READ_BACK).max(store.log_start(LEDGER)?);
        let mut ring = Ring {
            from,
            next,
            kept: VecDeque::new(),
        };
        let snapshot = directory.snapshot();
        match store.log_read(LEDGER, from, usize::try_from(next - from).unwrap_or(0)) {
            Ok(entries) => {
                for entry in entries {
                    if let Some(notice) = Notice::of(entry.index, entry.bytes.expose(), &snapshot) {
                        ring.push(notice);
                    }
                }
            }
            Err(error) => {
                // Whoever reads this entry of the record is told as well.
                tracing::warn!(%error, "what happened last cannot be read; followers begin anew");
                ring.from = next;
            }
        }
        let (news, over) = (Arc::new(Notify::new()), Arc::new(watch::Sender::new(false)));
        let pacing = (Arc::clone(&news), Arc::clone(&over));
        let events = Arc::new(Self {
            directory: Arc::clone(directory),
            ring: Mutex::new(ring),
            news,
            over,
            _pacing: Running::start(|stopping| pace(pacing.0, pacing.1, stopping)),
        });
        // Where others write too, entries come from the log itself, in its order.
        if !store.is_shared() {
            store.observe(Arc::new(Following(Arc::downgrade(&events))));
        }
        Ok(events)
    }

    /// Takes the ledger's entries from what follows the other servers, where there are
    /// any.
    pub fn beside(self: &Arc<Self>, others: &Others) {
        let follower: Weak<Self> = Arc::downgrade(self);
        others.tell(follower);
    }

    /// The place after everything so far.
    #[must_use]
    pub fn place(&self) -> u64 {
        self.ring().next
    }

    /// The first place that everything is known from.
    #[must_use]
    pub fn first(&self) -> u64 {
        self.ring().from
    }

    /// What there is from `place` on, at most 256 notices.
    #[must_use]
    pub fn since(&self, place: u64) -> Since {
        let ring = self.ring();
        if place < ring.from || place > ring.next {
            return Since::Gone(ring.next);
        }
        let begin = ring.kept.partition_point(|notice| notice.index < place);
        let notices: Vec<_> = ring.kept.range(begin..).take(AT_ONCE).cloned().collect();
        let next = match notices.last() {
            Some(last) if notices.len() == AT_ONCE => last.index + 1,
            _ => ring.next,
        };
        Since::Notices(notices, next)
    }

    /// What is told of the entries from `place` on that the ring does not reach back to,
    /// and the place to go on from: at most 1,024 entries are read, none of those that are
    /// forgotten. A place that this ledger does not have yet is its end.
    ///
    /// # Errors
    /// The store's.
    pub fn read_back(
        &self,
        store: &Store,
        place: u64,
    ) -> Result<(Vec<Arc<Notice>>, u64), StoreError> {
        let place = place
            .max(store.log_start(LEDGER)?)
            .min(store.log_len(LEDGER)?);
        let entries = store.log_read(LEDGER, place, READ_AGAIN)?;
        let snapshot = self.directory.snapshot();
        let next = entries.last().map_or(place, |last| last.index + 1);
        let notices = entries
            .iter()
            .filter_map(|entry| Notice::of(entry.index, entry.bytes.expose(), &snapshot))
            .map(Arc::new);
        Ok((notices.collect(), next))
    }

    /// Tells of everything that may matter to a follower: notices, changes of the
    /// directory, [`Self::wake`], and, by true, the end.
    #[must_use]
    pub fn changed(&self) -> watch::Receiver<bool> {
        self.over.subscribe()
    }

    /// Has every follower look again whether it may follow.
    pub fn wake(&self) {
        self.news.notify_one();
    }

    /// Ends it: no follower waits any longer, and those who come find it over.
    pub fn close(&self) {
        self.over.send_replace(true);
    }

    fn ring(&self) -> std::sync::MutexGuard<'_, Ring> {
        // Notices are pushed one by one, so that a panic leaves whole ones.
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Wakes followers when there is news, and not too often.
async fn pace(news: Arc<Notify>, over: Arc<watch::Sender<bool>>, mut stopping: Stopping) {
    loop {
        tokio::select! {
            () = news.notified() => {}
            () = stopping.told() => return,
        }
        // An end stays one.
        over.send_modify(|_| {});
        tokio::select! {
            () = tokio::time::sleep(PACE) => {}
            () = stopping.told() => return,
        }
    }
}

impl Events {
    /// Takes in an entry; whether it is told to anybody.
    fn push(&self, index: u64, bytes: &[u8], snapshot: &mut Option<Arc<Snapshot>>) -> bool {
        let notice = notice::may_be(bytes)
            .then(|| snapshot.get_or_insert_with(|| self.directory.snapshot()))
            .and_then(|snapshot| Notice::of(index, bytes, snapshot));
        let mut ring = self.ring();
        ring.next = index + 1;
        let is_news = notice.is_some();
        if let Some(notice) = notice {
            ring.push(notice);
        }
        is_news
    }
}

impl EntryFollower for Events {
    fn entries(&self, entries: &[LogEntry]) {
        let (mut is_news, mut snapshot) = (false, None);
        let next = self.place();
        if let Some(first) = entries.first().filter(|first| first.index > next) {
            // Something came before this was told of anything.
            self.skipped(first.index);
        }
        for entry in entries.iter().filter(|entry| entry.index >= next) {
            is_news |= self.push(entry.index, entry.bytes.expose(), &mut snapshot);
        }
        if is_news {
            self.wake();
        }
    }

    fn skipped(&self, next: u64) {
        let mut ring = self.ring();
        ring.kept.clear();
        (ring.from, ring.next) = (next, next);
        drop(ring);
        self.wake();
    }

    fn moved(&self) {
        self.wake();
    }
}

impl CommitObserver for Events {
    fn committed(&self, commits: &[CommitView<'_>]) {
        let mut is_news = false;
        let mut snapshot = None;
        for commit in commits {
            is_news |= commit
                .directory()
                .any(|row| row.key.table() == DIRECTORY_GUARD.name());
            for appended in commit.appended().filter(|entry| entry.log == LEDGER) {
                is_news |= self.push(appended.index, appended.bytes, &mut snapshot);
            }
        }
        if is_news {
            self.wake();
        }
    }
}
