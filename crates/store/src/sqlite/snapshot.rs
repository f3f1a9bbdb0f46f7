//! Snapshots: a read transaction of its own, ended when its life is over.

use super::reader::{self, Readers};
use crate::engine::{Anchor, RawRow, Snapshot};
use crate::key::KeyRange;
use crate::writer::Fault;
use crate::{RowKey, Seq, StoreError};
use rusqlite::Connection;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

struct Cell {
    readers: Arc<Readers>,
    ends: Instant,
    /// Taken out when the snapshot has expired.
    connection: Mutex<Option<Connection>>,
}

impl Cell {
    fn lock(&self) -> MutexGuard<'_, Option<Connection>> {
        self.connection
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn end(&self, mut slot: MutexGuard<'_, Option<Connection>>) {
        if let Some(connection) = slot.take() {
            // One whose transaction cannot be ended is closed instead.
            if connection.execute_batch("ROLLBACK").is_ok() {
                self.readers.give_back(connection);
            }
        }
    }
}

impl Drop for Cell {
    fn drop(&mut self) {
        self.end(self.lock());
    }
}

/// The store at one moment.
pub(super) struct SqliteSnapshot {
    cell: Arc<Cell>,
    seq: Seq,
}

impl SqliteSnapshot {
    pub(super) fn take(readers: &Arc<Readers>, life: Duration) -> Result<Self, StoreError> {
        let connection = readers.take()?;
        connection.execute_batch("BEGIN").map_err(Fault::from)?;
        // The first read fixes the moment.
        let seq = reader::head_seq(&connection)?;
        let now = Instant::now();
        Ok(Self {
            cell: Arc::new(Cell {
                readers: Arc::clone(readers),
                ends: now.checked_add(life).unwrap_or(now),
                connection: Mutex::new(Some(connection)),
            }),
            seq,
        })
    }

    fn with<T>(
        &self,
        query: impl FnOnce(&Connection) -> Result<T, Fault>,
    ) -> Result<T, StoreError> {
        let slot = self.cell.lock();
        if Instant::now() >= self.cell.ends {
            self.cell.end(slot);
            return Err(StoreError::SnapshotExpired);
        }
        match &*slot {
            Some(connection) => Ok(query(connection)?),
            None => Err(StoreError::SnapshotExpired),
        }
    }
}

impl Snapshot for SqliteSnapshot {
    fn seq(&self) -> Seq {
        self.seq
    }

    fn get(&self, key: &RowKey) -> Result<Option<RawRow>, StoreError> {
        self.with(|connection| reader::get(connection, key))
    }

    fn scan(&self, range: &KeyRange, limit: usize) -> Result<Vec<(RowKey, RawRow)>, StoreError> {
        self.with(|connection| reader::scan(connection, range, limit))
    }

    fn versions(&self, range: &KeyRange, limit: usize) -> Result<Vec<(RowKey, Seq)>, StoreError> {
        self.with(|connection| reader::versions(connection, range, limit))
    }

    fn anchor(&self) -> Result<Anchor, StoreError> {
        self.with(reader::anchor)
    }
}

const MANY: usize = 64;

/// The snapshots that are alive, so that the writer can end forgotten ones: an
/// open read transaction keeps the WAL from being reset.
#[derive(Default)]
pub(super) struct Snapshots(Mutex<Vec<Weak<Cell>>>);

impl Snapshots {
    pub(super) fn watch(&self, snapshot: &SqliteSnapshot) {
        let mut watched = self.lock();
        // Without commits nobody else clears out those that are gone.
        if watched.len() >= MANY {
            watched.retain(|cell| cell.strong_count() > 0);
        }
        watched.push(Arc::downgrade(&snapshot.cell));
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Weak<Cell>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends those whose life is over and that nobody is reading from.
    pub(super) fn expire(&self) {
        let mut watched = self.lock();
        if watched.is_empty() {
            return;
        }
        let now = Instant::now();
        watched.retain(|cell| {
            let Some(cell) = cell.upgrade() else {
                return false;
            };
            if now < cell.ends {
                return true;
            }
            match cell.connection.try_lock() {
                Ok(slot) => {
                    cell.end(slot);
                    false
                }
                Err(_) => true,
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SqliteOptions;
    use procura_types::InstallationId;

    #[test]
    fn a_forgotten_snapshot_lets_its_transaction_go() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store.db");
        let id = InstallationId::from_bytes([1; 16]);
        let _engine = crate::SqliteEngine::create(&path, &id, &SqliteOptions::default()).unwrap();
        let readers = Arc::new(Readers::new(path));
        let snapshots = Snapshots::default();
        let over = SqliteSnapshot::take(&readers, Duration::ZERO).unwrap();
        let alive = SqliteSnapshot::take(&readers, Duration::from_secs(60)).unwrap();
        snapshots.watch(&over);
        snapshots.watch(&alive);
        snapshots.expire();
        assert!(over.cell.lock().is_none());
        assert!(alive.cell.lock().is_some());
        assert_eq!(snapshots.lock().len(), 1);
        drop(alive);
        for _ in 0..2 * MANY {
            snapshots.watch(&over);
            drop(SqliteSnapshot::take(&readers, Duration::ZERO).map(|gone| snapshots.watch(&gone)));
        }
        drop(over);
        snapshots.expire();
        assert!(snapshots.lock().is_empty());
    }
}
