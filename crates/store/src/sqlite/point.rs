//! Reading single rows: connections that stay in one read transaction for a while.
//!
//! A transaction of its own for each row would begin with an empty page cache after
//! every commit of the writer, and most commits only append to logs. One that began
//! after the last change of any row sees all rows as they are.

use super::file::connect_reader;
use super::reader;
use crate::engine::RawRow;
use crate::writer::Fault;
use crate::{RowKey, StoreError};
use rusqlite::Connection;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock, RwLockWriteGuard};
use std::time::Duration;

/// An open transaction keeps the WAL from being begun anew, so none is for long once
/// there are commits.
pub(super) const HELD: Duration = Duration::from_millis(250);
/// Idle connections beyond this are closed.
const IDLE: usize = 4;

/// A connection and the transaction that is open on it.
struct Held {
    connection: Connection,
    /// How often rows had changed when it began.
    open: Option<u64>,
}

impl Held {
    fn end(&mut self) -> Result<(), Fault> {
        if self.open.take().is_some() {
            self.connection.prepare_cached("COMMIT")?.execute([])?;
        }
        Ok(())
    }
}

/// Reads rows as of the last commit that changed any.
pub(super) struct PointReaders {
    path: PathBuf,
    idle: Mutex<Vec<Held>>,
    changes: AtomicU64,
    /// Whether a transaction may be open.
    used: AtomicBool,
    /// Read by whoever reads a row, written by [`Self::pause`].
    gate: RwLock<()>,
}

impl PointReaders {
    pub(super) const fn new(path: PathBuf) -> Self {
        Self {
            path,
            idle: Mutex::new(Vec::new()),
            changes: AtomicU64::new(0),
            used: AtomicBool::new(false),
            gate: RwLock::new(()),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Held>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn get(&self, key: &RowKey) -> Result<Option<RawRow>, StoreError> {
        let _passed = self.gate.read().unwrap_or_else(PoisonError::into_inner);
        self.used.store(true, Ordering::Release);
        let idle = self.lock().pop();
        let mut held = match idle {
            Some(held) => held,
            None => Held {
                connection: connect_reader(&self.path).map_err(Fault::from)?,
                open: None,
            },
        };
        // Before the transaction begins: a change that comes between only makes it
        // end sooner than it had to.
        let changes = self.changes.load(Ordering::Acquire);
        if held.open != Some(changes) {
            held.end()?;
            held.connection
                .prepare_cached("BEGIN")
                .and_then(|mut begin| begin.execute([]))
                .map_err(Fault::from)?;
            held.open = Some(changes);
        }
        // A connection that failed is not used again.
        let row = reader::get(&held.connection, key)?;
        let mut idle = self.lock();
        if idle.len() < IDLE {
            idle.push(held);
        }
        Ok(row)
    }

    /// The writer has made changes of rows durable and acknowledged none of them.
    pub(super) fn changed(&self) {
        self.changes.fetch_add(1, Ordering::AcqRel);
    }

    /// Whether anyone has read since this was last asked, so that transactions may be
    /// open. Whoever gets a yes lets [`Self::pause`] follow.
    pub(super) fn were_used(&self) -> bool {
        self.used.swap(false, Ordering::AcqRel)
    }

    /// Ends the transactions that nobody reads in now.
    pub(super) fn end(&self) {
        self.lock().retain_mut(|held| held.end().is_ok());
    }

    /// Ends all transactions, and lets none begin for as long as the answer is kept.
    pub(super) fn pause(&self) -> RwLockWriteGuard<'_, ()> {
        let paused = self.gate.write().unwrap_or_else(PoisonError::into_inner);
        self.end();
        paused
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{SqliteEngine, SqliteOptions};
    use procura_types::InstallationId;

    #[test]
    fn a_transaction_is_held_but_not_over_a_change_or_a_pause() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store.db");
        let id = InstallationId::from_bytes([1; 16]);
        let _engine = SqliteEngine::create(&path, &id, &SqliteOptions::default()).unwrap();
        let readers = PointReaders::new(path);
        let key = RowKey::new("t", b"k");
        let opened = || {
            let idle = readers.lock();
            assert_eq!(idle.len(), 1);
            idle[0].open
        };
        let read = || assert_eq!(readers.get(&key).unwrap(), None);
        assert!(!readers.were_used());
        read();
        assert_eq!(opened(), Some(0));
        read();
        assert_eq!(opened(), Some(0));
        readers.changed();
        assert_eq!(opened(), Some(0));
        read();
        assert_eq!(opened(), Some(1));
        assert!(readers.were_used());
        assert!(!readers.were_used());
        readers.end();
        assert_eq!(opened(), None);
        read();
        assert!(readers.were_used());
        drop(readers.pause());
        assert_eq!(opened(), None);
        read();
        assert_eq!(opened(), Some(1));
    }
}
