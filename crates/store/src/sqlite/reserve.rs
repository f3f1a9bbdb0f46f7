//! Space held back, so that revoke, seal and delete work on a full disk: a file
//! of 8 MiB beside the database, truncated when such a batch needs the room.

use rusqlite::Connection;
use rustix::fs::{FallocateFlags, fallocate};
use rustix::io::Errno;
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::time::{Duration, Instant};

/// The bytes held back.
const BYTES: u64 = 8 * 1024 * 1024;
/// How often making the reserve again is tried.
const PAUSE: Duration = Duration::from_millis(200);

pub(super) struct Reserve {
    file: File,
    there: bool,
    tried: Instant,
    /// Pages that the database may have with and without the reserve.
    limit: Option<Limit>,
}

struct Limit {
    ordinary: i64,
    reserved: i64,
}

impl Reserve {
    /// Makes the reserve if there is room; without room the store still opens,
    /// for the sake of those very batches.
    pub(super) fn open(
        database: &Path,
        connection: &Connection,
        max_bytes: Option<u64>,
    ) -> io::Result<Self> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(database.with_added_extension("reserve"))?;
        let limit = max_bytes
            .map(|bytes| Limit::of(connection, bytes))
            .transpose()
            .map_err(io::Error::other)?;
        let mut reserve = Self {
            file,
            there: false,
            tried: Instant::now(),
            limit,
        };
        reserve.make(connection);
        Ok(reserve)
    }

    /// Whether the space is held back, after trying to hold it back again.
    pub(super) fn is_there(&mut self, connection: &Connection) -> bool {
        if !self.there && self.tried.elapsed() >= PAUSE {
            self.make(connection);
        }
        self.there
    }

    /// Gives the space free; false when there is none to give.
    pub(super) fn free(&mut self, connection: &Connection) -> bool {
        if !self.there {
            return false;
        }
        self.there = false;
        self.tried = Instant::now();
        let freed = self.file.set_len(0);
        let raised = self
            .limit
            .as_ref()
            .map_or(Ok(()), |limit| set_limit(connection, limit.reserved));
        tracing::warn!("no space is left: the reserve was given to a reserved change");
        freed.is_ok() && raised.is_ok()
    }

    fn make(&mut self, connection: &Connection) {
        self.tried = Instant::now();
        let made = self.allocate().is_ok();
        if !made {
            // A part of the reserve would only keep others from making room.
            let _ = self.file.set_len(0);
        }
        self.there = made
            && self
                .limit
                .as_ref()
                .is_none_or(|limit| limit.lower(connection));
    }

    fn allocate(&mut self) -> io::Result<()> {
        // `blocks` counts 512 bytes whatever the file system's block is (stat(2)).
        if self.file.metadata()?.blocks().saturating_mul(512) >= BYTES {
            return Ok(());
        }
        match fallocate(&self.file, FallocateFlags::empty(), 0, BYTES) {
            Ok(()) => Ok(()),
            // File systems without preallocation: written out.
            Err(Errno::OPNOTSUPP) => {
                self.file.set_len(0)?;
                io::Seek::rewind(&mut self.file)?;
                let zeros = [0u8; 64 * 1024];
                for _ in 0..BYTES / (64 * 1024) {
                    self.file.write_all(&zeros)?;
                }
                self.file.sync_all()
            }
            Err(error) => Err(error.into()),
        }
    }
}

/// Gives the reserve of a closed database free, so that it can be opened on a
/// full disk; false when there is none. It is made again when there is room.
pub(super) fn give_up(database: &Path) -> bool {
    let file = OpenOptions::new()
        .write(true)
        .open(database.with_added_extension("reserve"));
    file.is_ok_and(|file| {
        let held = file.metadata().is_ok_and(|meta| meta.blocks() > 0);
        held && file.set_len(0).is_ok()
    })
}

fn set_limit(connection: &Connection, pages: i64) -> rusqlite::Result<()> {
    connection.pragma_update(None, "max_page_count", pages)
}

impl Limit {
    fn of(connection: &Connection, bytes: u64) -> rusqlite::Result<Self> {
        let page: i64 = connection.pragma_query_value(None, "page_size", |row| row.get(0))?;
        let pages = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX) / page.max(1);
        Ok(Self {
            ordinary: pages(bytes.saturating_sub(BYTES)).max(1),
            reserved: pages(bytes).max(1),
        })
    }

    /// Lowers the bound to that of ordinary batches; false while the database
    /// is larger, and then reserved batches keep theirs.
    fn lower(&self, connection: &Connection) -> bool {
        let count = |name: &str| -> rusqlite::Result<i64> {
            connection.pragma_query_value(None, name, |row| row.get(0))
        };
        let used = count("page_count").and_then(|all| Ok(all - count("freelist_count")?));
        if used.is_ok_and(|used| used < self.ordinary) {
            set_limit(connection, self.ordinary).is_ok()
        } else {
            let _ = set_limit(connection, self.reserved);
            false
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reserve_is_held_given_and_held_again() {
        let folder = tempfile::tempdir().unwrap();
        let database = folder.path().join("store.db");
        let connection = Connection::open(&database).unwrap();
        let size = || {
            let path = database.with_added_extension("reserve");
            std::fs::metadata(path).unwrap().blocks() * 512
        };
        let mut reserve = Reserve::open(&database, &connection, None).unwrap();
        assert!(reserve.is_there(&connection) && size() >= BYTES);
        assert!(reserve.free(&connection) && size() == 0);
        assert!(!reserve.free(&connection));
        drop(reserve);
        let mut reserve = Reserve::open(&database, &connection, None).unwrap();
        assert!(reserve.is_there(&connection) && size() >= BYTES);
        // Before opening on a full disk.
        assert!(give_up(&database) && size() == 0);
        assert!(!give_up(&database));
    }
}
