//! Reading: a small pool of connections, and the queries.

use super::fault::out_of_range;
use super::file::connect_reader;
use crate::engine::{Anchor, Changes, RawEntry, RawRow};
use crate::key::KeyRange;
use crate::writer::Fault;
use crate::{Damage, RowKey, Seq, StoreError, journal};
use bytes::Bytes;
use procura_types::BatchId;
use rusqlite::{Connection, OptionalExtension as _, Row, ToSql};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

/// Idle connections beyond this are closed.
const IDLE: usize = 4;
/// Entries of a log share the table of entries: the low bits are the index.
const INDEX_BITS: u32 = 48;

/// Connections that read beside the writer.
pub(super) struct Readers {
    path: PathBuf,
    idle: Mutex<Vec<Connection>>,
}

impl Readers {
    pub(super) const fn new(path: PathBuf) -> Self {
        Self {
            path,
            idle: Mutex::new(Vec::new()),
        }
    }

    /// Takes a connection out; the lock is held for the push or pop only.
    pub(super) fn take(&self) -> Result<Connection, Fault> {
        let idle = self
            .idle
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop();
        match idle {
            Some(connection) => Ok(connection),
            None => Ok(connect_reader(&self.path)?),
        }
    }

    pub(super) fn give_back(&self, connection: Connection) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < IDLE {
            idle.push(connection);
        }
    }

    /// Runs one query; a connection that failed is not used again.
    pub(super) fn with<T>(
        &self,
        query: impl FnOnce(&Connection) -> Result<T, Fault>,
    ) -> Result<T, StoreError> {
        let connection = self.take()?;
        let answer = query(&connection)?;
        self.give_back(connection);
        Ok(answer)
    }
}

/// A sequence number as the database stores it. 2^63 commits are out of reach.
pub(super) fn to_sql(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

pub(super) fn from_sql(number: i64) -> Result<u64, Fault> {
    u64::try_from(number).map_err(|_| out_of_range("a stored number"))
}

fn seq(row: &Row<'_>, column: usize) -> Result<Seq, Fault> {
    from_sql(row.get(column)?).map(Seq::new)
}

fn blob(row: &Row<'_>, column: usize) -> Result<Bytes, Fault> {
    let value = row.get_ref(column)?;
    let bytes = value
        .as_blob()
        .map_err(|_| out_of_range("the type of a column"))?;
    Ok(Bytes::copy_from_slice(bytes))
}

fn stored_key(row: &Row<'_>, column: usize) -> Result<RowKey, Fault> {
    RowKey::from_stored(blob(row, column)?).ok_or_else(|| out_of_range("the key of a row"))
}

fn all<T>(
    connection: &Connection,
    sql: &str,
    parameters: &[&dyn ToSql],
    read: impl Fn(&Row<'_>) -> Result<T, Fault>,
) -> Result<Vec<T>, Fault> {
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query(parameters)?;
    let mut out = Vec::new();
    while let Some(row) = rows.next()? {
        out.push(read(row)?);
    }
    Ok(out)
}

fn sql_limit(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

pub(super) fn get(connection: &Connection, key: &RowKey) -> Result<Option<RawRow>, Fault> {
    let mut statement =
        connection.prepare_cached("SELECT version, value FROM row WHERE key = ?1")?;
    let mut rows = statement.query([key.as_bytes()])?;
    let Some(row) = rows.next()? else {
        return Ok(None);
    };
    Ok(Some(RawRow {
        version: seq(row, 0)?,
        value: blob(row, 1)?,
    }))
}

/// The bound above all keys, for a range without an end: no key of ours begins
/// with this byte, as tables are named in ASCII.
const BEYOND: &[u8] = &[0xff];

pub(super) fn scan(
    connection: &Connection,
    range: &KeyRange,
    limit: usize,
) -> Result<Vec<(RowKey, RawRow)>, Fault> {
    all(
        connection,
        "SELECT key, version, value FROM row WHERE key >= ?1 AND key < ?2 ORDER BY key LIMIT ?3",
        &[
            &range.start(),
            &range.end().unwrap_or(BEYOND),
            &sql_limit(limit),
        ],
        |row| {
            let value = RawRow {
                version: seq(row, 1)?,
                value: blob(row, 2)?,
            };
            Ok((stored_key(row, 0)?, value))
        },
    )
}

pub(super) fn versions(
    connection: &Connection,
    range: &KeyRange,
    limit: usize,
) -> Result<Vec<(RowKey, Seq)>, Fault> {
    all(
        connection,
        "SELECT key, version FROM row WHERE key >= ?1 AND key < ?2 ORDER BY key LIMIT ?3",
        &[
            &range.start(),
            &range.end().unwrap_or(BEYOND),
            &sql_limit(limit),
        ],
        |row| Ok((stored_key(row, 0)?, seq(row, 1)?)),
    )
}

/// The id of the first entry that a log could have.
pub(super) fn first_id(log: i64) -> i64 {
    log << INDEX_BITS
}

/// The number of a log; `None` when nothing was ever appended.
pub(super) fn log_number(connection: &Connection, log: &str) -> Result<Option<i64>, Fault> {
    let mut statement = connection.prepare_cached("SELECT number FROM log WHERE name = ?1")?;
    Ok(statement.query_row([log], |row| row.get(0)).optional()?)
}

/// One more than the last index of the log with this number.
pub(super) fn length(connection: &Connection, log: i64) -> Result<u64, Fault> {
    let mut statement = connection.prepare_cached(
        "SELECT id FROM entry WHERE id >= ?1 AND id < ?2 ORDER BY id DESC LIMIT 1",
    )?;
    let last: Option<i64> = statement
        .query_row([first_id(log), first_id(log + 1)], |row| row.get(0))
        .optional()?;
    last.map_or(Ok(0), |id| from_sql(id - first_id(log) + 1))
}

pub(super) fn log_len(connection: &Connection, log: &str) -> Result<u64, Fault> {
    match log_number(connection, log)? {
        Some(number) => length(connection, number),
        None => Ok(0),
    }
}

pub(super) fn entries(
    connection: &Connection,
    log: &str,
    from: u64,
    limit: usize,
) -> Result<Vec<RawEntry>, Fault> {
    let Some(number) = log_number(connection, log)? else {
        return Ok(Vec::new());
    };
    let base = first_id(number);
    let start = base.saturating_add(to_sql(from));
    all(
        connection,
        "SELECT id, version, value FROM entry WHERE id >= ?1 AND id < ?2 ORDER BY id LIMIT ?3",
        &[&start, &first_id(number + 1), &sql_limit(limit)],
        |row| {
            Ok(RawEntry {
                index: from_sql(row.get::<_, i64>(0)? - base)?,
                version: seq(row, 1)?,
                value: blob(row, 2)?,
            })
        },
    )
}

pub(super) fn head_seq(connection: &Connection) -> Result<Seq, Fault> {
    let number: Option<i64> = connection
        .prepare_cached("SELECT seq FROM head")?
        .query_row([], |row| row.get(0))
        .optional()?;
    // A head that was removed is found missing when its content is asked for.
    number.map_or(Ok(Seq::ZERO), |number| from_sql(number).map(Seq::new))
}

pub(super) fn anchor(connection: &Connection) -> Result<Anchor, Fault> {
    let bytes = |bytes: Option<Vec<u8>>| bytes.map(Bytes::from);
    let head: Option<Option<Vec<u8>>> = connection
        .query_row("SELECT sealed FROM head", [], |row| row.get(0))
        .optional()?;
    let sentinel: Option<Option<Vec<u8>>> = connection
        .query_row("SELECT sentinel FROM meta", [], |row| row.get(0))
        .optional()?;
    let newest: Option<i64> =
        connection.query_row("SELECT max(last) FROM journal", [], |row| row.get(0))?;
    let logs = all(
        connection,
        "SELECT number, name FROM log ORDER BY number",
        &[],
        |row| {
            let (number, name): (i64, String) = (row.get(0)?, row.get(1)?);
            Ok((Arc::from(name), length(connection, number)?))
        },
    )?;
    Ok(Anchor {
        seq: head_seq(connection)?,
        head: bytes(head.flatten()),
        sentinel: bytes(sentinel.flatten()),
        newest: newest.map(from_sql).transpose()?.map(Seq::new),
        logs,
    })
}

fn read_group(row: &Row<'_>) -> Result<Vec<journal::Recorded>, Fault> {
    journal::read(seq(row, 0)?, &blob(row, 1)?)
        .ok_or_else(|| Fault::Corrupt(Damage::File("the record of a group is malformed".into())))
}

pub(super) fn changes(
    connection: &Connection,
    after: Seq,
    limit: usize,
) -> Result<Result<Changes, StoreError>, Fault> {
    let transaction = connection.unchecked_transaction()?;
    let last = head_seq(&transaction)?;
    let oldest: Option<i64> = transaction
        .query_row(
            "SELECT first FROM journal ORDER BY last LIMIT 1",
            [],
            |row| row.get(0),
        )
        .optional()?;
    let oldest = match oldest {
        Some(first) => Seq::new(from_sql(first)?.saturating_sub(1)),
        None => last,
    };
    if after < oldest || after > last {
        return Ok(Err(StoreError::Gap { oldest }));
    }
    let mut feed = Changes {
        changes: Vec::new(),
        upto: after,
    };
    let mut statement = transaction
        .prepare_cached("SELECT first, batches FROM journal WHERE last > ?1 ORDER BY last")?;
    let mut rows = statement.query([to_sql(after.get())])?;
    while let Some(row) = rows.next()? {
        for batch in read_group(row)? {
            if batch.seq <= after {
                continue;
            }
            if feed.changes.len() >= limit {
                return Ok(Ok(feed));
            }
            feed.upto = batch.seq;
            feed.changes.extend(batch.changes);
        }
    }
    Ok(Ok(feed))
}

pub(super) fn fate(connection: &Connection, id: BatchId) -> Result<Option<Seq>, Fault> {
    // Asked after a failure only, and most often about the newest group.
    let mut statement =
        connection.prepare_cached("SELECT first, batches FROM journal ORDER BY last DESC")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        if let Some(batch) = read_group(row)?.iter().find(|batch| batch.id == id) {
            return Ok(Some(batch.seq));
        }
    }
    Ok(None)
}

pub(super) fn integrity(connection: &Connection) -> Result<Vec<String>, Fault> {
    let lines = all(connection, "PRAGMA integrity_check(100)", &[], |row| {
        Ok(row.get::<_, String>(0)?)
    });
    match lines {
        Ok(lines) => Ok(lines.into_iter().filter(|line| line != "ok").collect()),
        // So damaged that the check itself cannot go on: that is its finding.
        Err(Fault::Corrupt(what)) => Ok(vec![what.to_string()]),
        Err(fault) => Err(fault),
    }
}
