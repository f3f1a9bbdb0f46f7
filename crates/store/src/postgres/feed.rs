//! What this process knows of the commits of all others, and how lately.
//!
//! The cache of rows is right up to a *position*: what was committed after it by others
//! is not taken out yet. A group moves the position before it commits, as it holds the
//! head and sees all that came before; between groups the news that the server sends do,
//! and a look at the sequence behind them.

use crate::cache::RowCache;
use crate::engine::RawRow;
use crate::journal::Recorded;
use crate::{RowKey, Seq};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// The cache is used while it is certain that it was right so long ago at most.
const CURRENT: Duration = Duration::from_secs(1);

#[derive(Default)]
struct State {
    position: Seq,
    /// When the position was last known to be the end.
    heard: Option<Instant>,
    /// The same, but forgotten when a connection was lost.
    trusted: Option<Instant>,
    /// The journal has no commit up to this one any more.
    oldest: Seq,
}

/// The end of the feed as this process knows it.
pub(super) struct Feed {
    cache: Arc<RowCache>,
    state: Mutex<State>,
    told: watch::Sender<Seq>,
}

impl Feed {
    pub(super) fn new(cache: Arc<RowCache>) -> Self {
        Self {
            cache,
            state: Mutex::default(),
            told: watch::Sender::new(Seq::ZERO),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The last commit whose changes are known.
    pub(super) fn position(&self) -> Seq {
        self.lock().position
    }

    /// Up to which commit the journal is known to be gone.
    pub(super) fn oldest(&self) -> Seq {
        self.lock().oldest
    }

    /// The journal begins behind this commit.
    pub(super) fn begins(&self, oldest: Seq) {
        let mut state = self.lock();
        state.oldest = state.oldest.max(oldest);
    }

    /// Told whenever the position moves.
    pub(super) fn moves(&self) -> watch::Receiver<Seq> {
        self.told.subscribe()
    }

    /// Whether what is in the cache can be given out.
    pub(super) fn is_current(&self) -> bool {
        let trusted = self.lock().trusted;
        trusted.is_some_and(|at| at.elapsed() < CURRENT)
    }

    /// How long ago it was certain that nothing was missed.
    pub(super) fn age(&self) -> Option<Duration> {
        self.lock().heard.map(|at| at.elapsed())
    }

    /// Nothing of the cache is given out until the end is known again.
    pub(super) fn doubt(&self) {
        self.lock().trusted = None;
    }

    /// These commits follow the position. `end` is the time at which they were all that
    /// there were, if they were.
    pub(super) fn follow(&self, news: &[Recorded], end: Option<Instant>) {
        let mut state = self.lock();
        for commit in news {
            // The writer and the follower may bring the same.
            if commit.seq <= state.position {
                continue;
            }
            for change in &commit.changes {
                self.cache.written(&change.key, None);
            }
            state.position = commit.seq;
        }
        self.ended(state, end);
    }

    /// Somebody has read these commits, perhaps before the position came to them: what
    /// they changed is out of the cache for whoever acts on them.
    pub(super) fn read(&self, commits: &[Recorded]) {
        let state = self.lock();
        for commit in commits {
            if commit.seq > state.position {
                for change in &commit.changes {
                    self.cache.written(&change.key, None);
                }
            }
        }
    }

    /// The feed does not reach back to the position: nothing of the cache is certain.
    pub(super) fn restart(&self, position: Seq, end: Option<Instant>) {
        let mut state = self.lock();
        if position > state.position {
            self.cache.clear();
            state.position = position;
        }
        self.ended(state, end);
    }

    fn ended(&self, mut state: MutexGuard<'_, State>, end: Option<Instant>) {
        state.heard = state.heard.max(end);
        state.trusted = state.trusted.max(end);
        let position = state.position;
        drop(state);
        self.tell(position);
    }

    /// A group of this process is durable, which went from after `before` to `last`.
    pub(super) fn own(
        &self,
        before: Seq,
        last: Seq,
        rows: impl Iterator<Item = (RowKey, Option<RawRow>)>,
    ) {
        let mut state = self.lock();
        // Else the follower has seen the group already, and perhaps what came after it:
        // these rows may be old by now, and are out of the cache.
        if state.position == before {
            for (key, row) in rows {
                self.cache.written(&key, row);
            }
            state.position = last;
        }
        drop(state);
        self.tell(last);
    }

    fn tell(&self, position: Seq) {
        self.told.send_if_modified(|told| {
            let moved = *told < position;
            *told = (*told).max(position);
            moved
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Change;
    use procura_types::BatchId;

    fn key(name: &str) -> RowKey {
        RowKey::new("t", name.as_bytes())
    }

    fn row(version: u64) -> Option<RawRow> {
        Some(RawRow {
            version: Seq::new(version),
            value: vec![0].into(),
        })
    }

    fn commit(number: u64, name: &str) -> Recorded {
        let (seq, key) = (Seq::new(number), key(name));
        Recorded {
            id: BatchId::from_bytes([0; 16]),
            seq,
            changes: vec![Change {
                seq,
                key,
                deleted: false,
            }],
        }
    }

    #[test]
    fn news_take_rows_out_and_own_rows_go_in_unless_newer_ones_were_seen() {
        let cache = Arc::new(RowCache::new(1 << 20));
        let feed = Feed::new(Arc::clone(&cache));
        let seen = |name: &str| cache.get(&key(name)).ok().map(|row| row.version.get());
        let own = |before, last, rows: Vec<_>| {
            feed.own(Seq::new(before), Seq::new(last), rows.into_iter());
        };
        own(0, 2, vec![(key("a"), row(2)), (key("b"), row(1))]);
        assert_eq!((seen("a"), seen("b")), (Some(2), Some(1)));
        // Another's third commit, and one of ours that the follower brings again.
        feed.follow(&[commit(2, "b"), commit(3, "a")], None);
        assert_eq!((seen("a"), seen("b")), (None, Some(1)));
        // Somebody reads a later commit, and an earlier one, and the position stays.
        own(3, 4, vec![(key("a"), row(4)), (key("c"), row(4))]);
        feed.read(&[commit(2, "a"), commit(5, "c")]);
        assert_eq!((seen("a"), seen("c")), (Some(4), None));
        assert_eq!(feed.position(), Seq::new(4));
        // Our fifth and another's sixth were seen before ours came back.
        feed.follow(&[commit(5, "b"), commit(6, "b")], None);
        own(4, 5, vec![(key("b"), row(5))]);
        assert_eq!((seen("b"), feed.position()), (None, Seq::new(6)));
        own(6, 7, vec![(key("b"), row(7)), (key("a"), None)]);
        assert_eq!(seen("b"), Some(7));
        feed.restart(Seq::new(9), None);
        assert_eq!((seen("b"), feed.position()), (None, Seq::new(9)));
        assert_eq!(*feed.moves().borrow(), Seq::new(9));
    }

    #[test]
    fn the_cache_is_trusted_for_a_while_and_not_after_a_doubt() {
        let feed = Feed::new(Arc::new(RowCache::new(0)));
        assert!(!feed.is_current() && feed.age().is_none());
        feed.follow(&[], Some(Instant::now()));
        assert!(feed.is_current());
        feed.doubt();
        assert!(!feed.is_current() && feed.age().is_some());
        let old = Instant::now().checked_sub(2 * CURRENT);
        feed.follow(&[], old);
        assert!(!feed.is_current());
    }
}
