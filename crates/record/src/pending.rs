//! Entries that are committed and wait for their checkpoint.

use crate::others::EntryFollower;
use crate::tables::LEDGER;
use procura_store::{CommitObserver, CommitView, LogEntry};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use tokio::sync::Notify;

/// Bytes of entries that wait in memory to be published.
const FRESH_BYTES: usize = 16 * 1024 * 1024;

/// Entries that were committed and are not published.
#[derive(Default)]
pub(crate) struct Pending {
    /// How long the log is.
    length: AtomicU64,
    wake: Notify,
    fresh: Mutex<Fresh>,
}

/// The newest entries as they were committed, so that they need not be read back
/// and opened. Beyond [`FRESH_BYTES`] they are dropped, and read back after all.
#[derive(Default)]
pub(crate) struct Fresh {
    /// The index of the first of them.
    pub(crate) from: u64,
    bytes: usize,
    pub(crate) entries: Vec<Vec<u8>>,
}

impl Fresh {
    fn push(&mut self, index: u64, entry: &[u8]) {
        let next = self
            .from
            .saturating_add(u64::try_from(self.entries.len()).unwrap_or(u64::MAX));
        if index != next || self.bytes > FRESH_BYTES {
            *self = Self {
                from: index,
                ..Self::default()
            };
        }
        self.bytes += entry.len();
        self.entries.push(entry.to_vec());
    }
}

impl Pending {
    /// How long the log is, in entries.
    pub(crate) fn length(&self) -> u64 {
        self.length.load(Ordering::Acquire)
    }

    /// Learns how long the log was before anything was observed.
    pub(crate) fn reach(&self, length: u64) {
        self.length.fetch_max(length, Ordering::AcqRel);
    }

    /// Waits until something is committed.
    pub(crate) async fn more(&self) {
        self.wake.notified().await;
    }

    pub(crate) fn take(&self) -> Fresh {
        std::mem::take(&mut *self.fresh.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl EntryFollower for Pending {
    fn entries(&self, entries: &[LogEntry]) {
        let Some(last) = entries.last() else { return };
        let mut fresh = self.fresh.lock().unwrap_or_else(PoisonError::into_inner);
        for entry in entries {
            fresh.push(entry.index, entry.bytes.expose());
        }
        drop(fresh);
        self.reach(last.index + 1);
        self.wake.notify_one();
    }

    fn skipped(&self, next: u64) {
        // What is not in memory is read.
        self.reach(next);
        self.wake.notify_one();
    }
}

impl CommitObserver for Pending {
    fn committed(&self, commits: &[CommitView<'_>]) {
        let mut length = None;
        let mut fresh = self.fresh.lock().unwrap_or_else(PoisonError::into_inner);
        for appended in commits.iter().flat_map(CommitView::appended) {
            if appended.log == LEDGER {
                fresh.push(appended.index, appended.bytes);
                length = Some(appended.index + 1);
            }
        }
        drop(fresh);
        if let Some(length) = length {
            self.reach(length);
            self.wake.notify_one();
        }
    }
}
