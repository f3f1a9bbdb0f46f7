//! Makes the rows of blocks behind the write path. While entries come it makes
//! one every few seconds, which no request notices; in a quiet moment it catches
//! up. Queries do not depend on it: they read what it has not come to.

use crate::block::{BLOCK, BlockRow, Blocks};
use crate::query::QueryError;
use crate::running::{Running, Stopping};
use procura_store::{CommitError, Store, StoreError};
use std::time::Duration;

/// A log that did not grow for so long is quiet.
const LOOK: Duration = Duration::from_millis(500);
/// In how many looks at a growing log one block is made: every four seconds, so a
/// thousand entries a second are read again beside whatever else is done.
const BUSY: u32 = 8;
/// Rows of one commit.
const BATCH: usize = 8;
/// Rows that are looked at before the log is again.
const ROWS: u64 = 1024;
/// After a commit that failed.
const AGAIN: Duration = Duration::from_secs(60);

/// Keeps the index of a store's ledger for as long as it lives, or until the
/// store is sealed.
pub struct Indexer(Running);

impl Indexer {
    /// Starts on the blocks that have no row yet. Must be called inside a Tokio
    /// runtime.
    #[must_use]
    pub fn start(store: Store) -> Self {
        let blocks = Blocks::new(store);
        Self(Running::start(|stopping| Work { blocks, stopping }.run()))
    }

    /// Stops; on return it holds the store no longer.
    pub async fn stop(&self) {
        self.0.stop().await;
    }
}

/// What became of a step.
enum Step {
    /// All is made up to this block.
    To(u64),
    /// The rows could not be stored now.
    Later,
    /// Nothing more can be done until the next unseal.
    Over,
}

#[derive(Clone)]
struct Work {
    blocks: Blocks,
    stopping: Stopping,
}

impl Work {
    async fn run(mut self) {
        let (mut next, mut length, mut looks) = (0, 0, 0u32);
        let mut pause = LOOK;
        loop {
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.stopping.told() => return,
            }
            pause = LOOK;
            let Ok(now) = self.blocks.log_len() else {
                return;
            };
            let quiet = std::mem::replace(&mut length, now) == now;
            looks = if quiet { 0 } else { looks.wrapping_add(1) };
            if !looks.is_multiple_of(BUSY) {
                continue;
            }
            while next < length / BLOCK {
                match self.step(next, length, quiet).await {
                    Step::To(reached) => next = reached,
                    Step::Later => pause = AGAIN,
                    Step::Over => return,
                }
                if !quiet || pause == AGAIN || self.is_wanted_elsewhere(length) {
                    break;
                }
            }
        }
    }

    /// The log grew, so somebody else needs the processor, or this is to stop.
    fn is_wanted_elsewhere(&self, length: u64) -> bool {
        self.blocks.log_len().ok() != Some(length) || self.stopping.is_told()
    }

    /// Makes the next rows that are missing and stores them.
    async fn step(&self, from: u64, length: u64, quiet: bool) -> Step {
        let many = if quiet { BATCH } else { 1 };
        let work = self.clone();
        let made = tokio::task::spawn_blocking(move || {
            let (rows, reached) = work.missing(from, length, many)?;
            let commit = match rows.as_slice() {
                [] => None,
                rows => Some(work.blocks.keep(rows)?),
            };
            Ok::<_, StoreError>((commit, reached))
        });
        let (commit, reached) = match made.await {
            Ok(Ok(made)) => made,
            Ok(Err(error)) => {
                tracing::debug!(%error, "the record's index is not kept any longer");
                return Step::Over;
            }
            // It panicked, and was reported when it did, or the runtime stops.
            Err(_) => return Step::Over,
        };
        let Some(commit) = commit else {
            return Step::To(reached);
        };
        match commit.await {
            Ok(_) => Step::To(reached),
            Err(CommitError::Sealed) => Step::Over,
            Err(error @ (CommitError::Corrupt { .. } | CommitError::Poisoned)) => {
                tracing::warn!(%error, "the record's index cannot be stored; queries read the entries");
                Step::Over
            }
            Err(error) => {
                tracing::warn!(%error, "the record's index could not be stored and will be later");
                Step::Later
            }
        }
    }

    /// Rows of up to `many` blocks that have none, from `from` on, and the block
    /// to go on with.
    fn missing(
        &self,
        from: u64,
        length: u64,
        many: usize,
    ) -> Result<(Vec<(u64, BlockRow)>, u64), StoreError> {
        let mut rows = Vec::new();
        // Of a block that has lost entries there is no row.
        let mut at = from.max(self.blocks.first()?.div_ceil(BLOCK));
        let end = (length / BLOCK).min(from.saturating_add(ROWS));
        while at < end {
            if self.blocks.row(at).is_none() {
                match self.blocks.make(at) {
                    Ok(row) => rows.push((at, row)),
                    Err(QueryError::Store(error @ (StoreError::Sealed | StoreError::Poisoned))) => {
                        return Err(error);
                    }
                    // A query that reads this block says so as well.
                    Err(error) => tracing::error!(block = at, %error, "entries cannot be read"),
                }
            }
            at += 1;
            if rows.len() >= many || self.is_wanted_elsewhere(length) {
                break;
            }
        }
        Ok((rows, at))
    }
}
