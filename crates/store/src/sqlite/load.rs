//! Filling an empty database with rows and entries as they were stored elsewhere, and
//! moving the sequence of a closed one ahead: what a restore does. No keys are needed;
//! whether all of it is whole shows when it is unsealed.

use super::file::{self, Opened};
use super::reader::{first_id, log_number, to_sql};
use crate::engine::{Anchor, RawEntry, RawRow};
use crate::writer::Fault;
use crate::{OpenError, RowKey, Seq, StoreError};
use procura_types::InstallationId;
use rusqlite::{Connection, params};
use std::fs::File;
use std::path::{Path, PathBuf};

/// So many bytes of values are written in one transaction.
const TRANSACTION: usize = 16 * 1024 * 1024;

/// A database that is being filled. Until [`SqliteLoader::finish`] no store opens in it.
pub struct SqliteLoader {
    path: PathBuf,
    connection: Connection,
    written: usize,
    _lock: File,
}

fn failed(error: rusqlite::Error) -> StoreError {
    Fault::from(error).into()
}

impl SqliteLoader {
    /// Makes a new database for an installation.
    ///
    /// # Errors
    /// `AlreadyExists`, `InUse`, `NotAStore`, `Io`.
    pub fn create(path: &Path, installation: &InstallationId) -> Result<Self, OpenError> {
        let Opened { connection, lock } = file::create(path, installation)?;
        let begun = connection
            // What a kill leaves is thrown away, so it need not be durable until the end.
            .pragma_update(None, "synchronous", "NORMAL")
            .and_then(|()| connection.execute_batch("BEGIN IMMEDIATE"));
        begun.map_err(|error| file::refuse(path, error.into()))?;
        Ok(Self {
            path: path.to_owned(),
            connection,
            written: 0,
            _lock: lock,
        })
    }

    fn run(&self, sql: &str, parameters: impl rusqlite::Params) -> Result<(), StoreError> {
        let mut statement = self.connection.prepare_cached(sql).map_err(failed)?;
        statement.execute(parameters).map(drop).map_err(failed)
    }

    fn wrote(&mut self, bytes: usize) -> Result<(), StoreError> {
        self.written = self.written.saturating_add(bytes);
        if self.written >= TRANSACTION {
            self.written = 0;
            let next = "COMMIT; BEGIN IMMEDIATE";
            self.connection.execute_batch(next).map_err(failed)?;
        }
        Ok(())
    }

    /// Puts a row in place, or takes it away.
    ///
    /// # Errors
    /// `Io`, `Corrupt`.
    pub fn row(&mut self, key: &RowKey, row: Option<&RawRow>) -> Result<(), StoreError> {
        let Some(row) = row else {
            return self.run("DELETE FROM row WHERE key = ?1", [key.as_bytes()]);
        };
        self.run(
            "INSERT INTO row(key, version, value) VALUES (?1, ?2, ?3)
             ON CONFLICT(key) DO UPDATE SET version = ?2, value = ?3",
            params![key.as_bytes(), to_sql(row.version.get()), &*row.value],
        )?;
        self.wrote(row.value.len())
    }

    /// Puts an entry of a log in place.
    ///
    /// # Errors
    /// `Io`, `Corrupt`.
    pub fn entry(&mut self, log: &str, entry: &RawEntry) -> Result<(), StoreError> {
        let number = match log_number(&self.connection, log)? {
            Some(number) => number,
            None => {
                self.run("INSERT INTO log(name) VALUES (?1)", [log])?;
                self.connection.last_insert_rowid()
            }
        };
        let id = first_id(number).saturating_add(to_sql(entry.index));
        self.run(
            "INSERT INTO entry(id, version, value) VALUES (?1, ?2, ?3)",
            params![id, to_sql(entry.version.get()), &*entry.value],
        )?;
        self.wrote(entry.value.len())
    }

    /// Puts in place what vouches for all of it, and brings it to disk.
    ///
    /// # Errors
    /// `Io`, `Corrupt`.
    pub fn finish(self, anchor: &Anchor) -> Result<(), StoreError> {
        let sentinel = anchor.sentinel.as_deref();
        self.run("UPDATE meta SET sentinel = ?1", [sentinel])?;
        stand(&self.connection, anchor.seq, anchor.head.as_deref())?;
        self.connection.execute_batch("COMMIT").map_err(failed)?;
        settle(self.connection, &self.path)
    }
}

/// Moves the sequence of a closed store ahead to `seq`, at which `head` was sealed. What
/// the change feed knew is forgotten.
///
/// # Errors
/// Why it cannot be opened, `Io`; nothing was changed then.
pub(crate) fn advance(
    path: &Path,
    installation: &InstallationId,
    seq: Seq,
    head: &[u8],
) -> Result<(), OpenError> {
    let Opened { connection, lock } = file::open(path, installation)?;
    let stood = connection
        .execute_batch("BEGIN IMMEDIATE")
        .map_err(failed)
        .and_then(|()| stand(&connection, seq, Some(head)))
        .and_then(|()| connection.execute_batch("COMMIT").map_err(failed))
        .and_then(|()| settle(connection, path));
    drop(lock);
    stood.map_err(|error| OpenError::Io(crate::IoCause::new(&error)))
}

/// The head row, and the journal that begins with it.
fn stand(connection: &Connection, seq: Seq, head: Option<&[u8]>) -> Result<(), StoreError> {
    let stood = |sql: &str, parameters: &[&dyn rusqlite::ToSql]| {
        connection
            .execute(sql, parameters)
            .map(drop)
            .map_err(failed)
    };
    let number = to_sql(seq.get());
    let empty: &[u8] = &[];
    stood("UPDATE head SET seq = ?1, sealed = ?2", &[&number, &head])?;
    stood("DELETE FROM journal", &[])?;
    stood(
        "INSERT INTO journal(last, first, batches) VALUES (?1, ?1, ?2)",
        &[&number, &empty],
    )
}

/// Everything into the database file itself, and that to disk.
fn settle(connection: Connection, path: &Path) -> Result<(), StoreError> {
    let io = |error: &dyn std::fmt::Display| StoreError::Io(crate::IoCause::new(error));
    connection
        .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
        .map_err(failed)?;
    connection.close().map_err(|(_, error)| failed(error))?;
    let folder = path.parent().filter(|parent| *parent != Path::new(""));
    File::open(path)
        .and_then(|file| file.sync_all())
        .and_then(|()| File::open(folder.unwrap_or(Path::new("."))))
        .and_then(|folder| folder.sync_all())
        .map_err(|error| io(&error))
}
