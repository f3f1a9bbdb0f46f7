//! The writer's side of the database: one transaction per group.

use super::fault::out_of_range;
use super::point::{HELD, PointReaders};
use super::reader::{self, first_id, to_sql};
use super::reserve::Reserve;
use super::snapshot::Snapshots;
use crate::cache::RowCache;
use crate::engine::RawRow;
use crate::key::KeyRange;
use crate::queue::GROUP_BATCHES;
use crate::writer::{Backend, Fault, GroupEnd};
use crate::{LogId, RowKey, Seq, journal};
use rusqlite::{Connection, OptionalExtension as _, Statement, params};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

/// So many bytes of values make the WAL worth beginning anew before its time.
const WAL_BYTES: usize = 8 * 1024 * 1024;

/// What reads beside the writer and has to be told of its commits.
pub(super) struct Beside {
    pub(super) cache: Arc<RowCache>,
    pub(super) points: Arc<PointReaders>,
    pub(super) snapshots: Arc<Snapshots>,
}

pub(super) struct SqliteBackend<'c> {
    connection: &'c Connection,
    statements: Statements<'c>,
    beside: Beside,
    /// When the WAL was last begun anew, and how many bytes of values are in it since.
    begun: Instant,
    written: usize,
    reserve: Reserve,
    seq: Seq,
    has_sentinel: bool,
    pruned: u64,
    kept: u64,
    logs: HashMap<LogId, i64>,
    /// The rows that the transaction changed, as they will be in the cache.
    changed: HashMap<RowKey, Option<RawRow>>,
    /// Where the transaction will end.
    ending: Option<Seq>,
}

struct Statements<'c> {
    begin: Statement<'c>,
    commit: Statement<'c>,
    version: Statement<'c>,
    put: Statement<'c>,
    delete: Statement<'c>,
    append: Statement<'c>,
    trim: Statement<'c>,
    head: Statement<'c>,
    journal: Statement<'c>,
}

impl<'c> SqliteBackend<'c> {
    pub(super) fn new(
        connection: &'c Connection,
        beside: Beside,
        reserve: Reserve,
        kept: u64,
    ) -> Result<Self, Fault> {
        let anchor = reader::anchor(connection)?;
        let oldest: Option<i64> = connection
            .query_row("SELECT min(last) FROM journal", [], |row| row.get(0))
            .optional()?
            .flatten();
        Ok(Self {
            connection,
            statements: Statements {
                begin: connection.prepare("BEGIN IMMEDIATE")?,
                commit: connection.prepare("COMMIT")?,
                version: connection.prepare("SELECT version FROM row WHERE key = ?1")?,
                put: connection.prepare(
                    "INSERT INTO row(key, version, value) VALUES (?1, ?2, ?3)
                     ON CONFLICT(key) DO UPDATE SET version = ?2, value = ?3",
                )?,
                delete: connection.prepare("DELETE FROM row WHERE key = ?1")?,
                append: connection
                    .prepare("INSERT INTO entry(id, version, value) VALUES (?1, ?2, ?3)")?,
                trim: connection.prepare("DELETE FROM entry WHERE id >= ?1 AND id < ?2")?,
                head: connection.prepare("UPDATE head SET seq = ?1, sealed = ?2")?,
                journal: connection
                    .prepare("INSERT INTO journal(last, first, batches) VALUES (?1, ?2, ?3)")?,
            },
            beside,
            begun: Instant::now(),
            written: 0,
            reserve,
            seq: anchor.seq,
            has_sentinel: anchor.sentinel.is_some(),
            pruned: oldest.map_or(Ok(0), reader::from_sql)?,
            kept,
            logs: HashMap::new(),
            changed: HashMap::new(),
            ending: None,
        })
    }

    fn log_number(&mut self, log: LogId) -> Result<i64, Fault> {
        if let Some(number) = self.logs.get(&log) {
            return Ok(*number);
        }
        self.connection.execute(
            "INSERT INTO log(name) VALUES (?1) ON CONFLICT(name) DO NOTHING",
            [log.as_str()],
        )?;
        let number = reader::log_number(self.connection, log.as_str())?
            .ok_or_else(|| out_of_range("the number of a log"))?;
        self.logs.insert(log, number);
        Ok(number)
    }

    fn prune(&mut self, last: Seq) -> Result<(), Fault> {
        let bound = last.get().saturating_sub(self.kept);
        if bound >= self.pruned.saturating_add(journal::prune_every(self.kept)) {
            self.connection
                .execute("DELETE FROM journal WHERE last < ?1", [to_sql(bound)])?;
            self.pruned = bound;
        }
        Ok(())
    }

    fn forget(&mut self) {
        self.changed.clear();
        self.ending = None;
        // The row that numbers a log may have been rolled back.
        self.logs.clear();
    }
}

impl Backend for SqliteBackend<'_> {
    fn seq(&self) -> Seq {
        self.seq
    }

    fn has_sentinel(&self) -> bool {
        self.has_sentinel
    }

    fn log_len(&mut self, log: LogId) -> Result<u64, Fault> {
        reader::log_len(self.connection, log.as_str())
    }

    fn group_limit(&self) -> usize {
        GROUP_BATCHES
    }

    fn has_reserve(&mut self) -> bool {
        self.reserve.is_there(self.connection)
    }

    fn free_reserve(&mut self) -> bool {
        self.reserve.free(self.connection)
    }

    fn begin(&mut self) -> Result<(), Fault> {
        self.forget_changes();
        // Here, where nobody waits yet for the group.
        self.begin_wal_anew();
        self.statements.begin.execute([])?;
        Ok(())
    }

    fn version(&mut self, key: &RowKey) -> Result<Option<Seq>, Fault> {
        if let Some(row) = self.changed.get(key) {
            return Ok(row.as_ref().map(|row| row.version));
        }
        // A row that many batches expect costs no query for each of them.
        if let Ok(row) = self.beside.cache.get(key) {
            return Ok(Some(row.version));
        }
        let version: Option<i64> = self
            .statements
            .version
            .query_row([key.as_bytes()], |row| row.get(0))
            .optional()?;
        version
            .map(|version| reader::from_sql(version).map(Seq::new))
            .transpose()
    }

    fn versions(&mut self, prefix: &[u8]) -> Result<Vec<(RowKey, Seq)>, Fault> {
        reader::versions(self.connection, &KeyRange::prefix(prefix), usize::MAX)
    }

    fn put(&mut self, key: &RowKey, version: Seq, value: Vec<u8>) -> Result<(), Fault> {
        self.written = self.written.saturating_add(value.len());
        self.statements
            .put
            .execute(params![key.as_bytes(), to_sql(version.get()), value])?;
        let value = value.into();
        self.changed
            .insert(key.clone(), Some(RawRow { version, value }));
        Ok(())
    }

    fn delete(&mut self, key: &RowKey) -> Result<(), Fault> {
        self.statements.delete.execute([key.as_bytes()])?;
        self.changed.insert(key.clone(), None);
        Ok(())
    }

    fn append(&mut self, log: LogId, index: u64, version: Seq, value: &[u8]) -> Result<(), Fault> {
        let id = first_id(self.log_number(log)?).saturating_add(to_sql(index));
        self.written = self.written.saturating_add(value.len());
        self.statements
            .append
            .execute(params![id, to_sql(version.get()), value])?;
        Ok(())
    }

    fn trim(&mut self, log: LogId, before: u64) -> Result<(), Fault> {
        let first = first_id(self.log_number(log)?);
        let end = first.saturating_add(to_sql(before));
        self.statements.trim.execute([first, end])?;
        Ok(())
    }

    fn end_group(&mut self, end: &GroupEnd<'_>) -> Result<(), Fault> {
        let last = to_sql(end.last.get());
        self.statements.head.execute(params![last, end.head])?;
        self.statements
            .journal
            .execute(params![last, to_sql(end.first.get()), end.journal])?;
        if let Some(sentinel) = end.sentinel {
            self.connection
                .execute("UPDATE meta SET sentinel = ?1", [sentinel])?;
        }
        self.prune(end.last)?;
        self.ending = Some(end.last);
        Ok(())
    }

    fn commit(&mut self) -> Result<(), Fault> {
        self.statements.commit.execute([])?;
        if !self.changed.is_empty() {
            self.beside.points.changed();
            for (key, row) in self.changed.drain() {
                self.beside.cache.written(&key, row);
            }
            // Last: who sees that nothing has settled since has read rows as they are.
            self.beside.cache.settle();
        }
        if let Some(seq) = self.ending.take() {
            self.seq = seq;
            self.has_sentinel = true;
        }
        self.beside.snapshots.expire();
        Ok(())
    }

    fn rollback(&mut self) -> Result<(), Fault> {
        self.forget();
        // Some failures have rolled back already.
        if !self.connection.is_autocommit() {
            self.connection.execute_batch("ROLLBACK")?;
        }
        Ok(())
    }
}

impl SqliteBackend<'_> {
    /// Where rows are being read all the time, some reader is always in the WAL, and
    /// it would grow for ever. Most of it is copied while they read; then they wait
    /// for the rest, so that the next commit finds nobody in it and begins it anew.
    fn begin_wal_anew(&mut self) {
        if self.begun.elapsed() < HELD && self.written < WAL_BYTES {
            return;
        }
        self.begun = Instant::now();
        self.written = 0;
        if self.beside.points.were_used() {
            self.beside.points.end();
            self.copy_wal();
            let _paused = self.beside.points.pause();
            self.copy_wal();
        }
    }

    fn copy_wal(&self) {
        let copied = self
            .connection
            .prepare_cached("PRAGMA wal_checkpoint(PASSIVE)")
            .and_then(|mut checkpoint| checkpoint.query_row([], |_| Ok(())));
        // What was committed is durable where it is; the copy is tried again.
        if let Err(error) = copied {
            tracing::debug!(%error, "the write-ahead log could not be copied");
        }
    }

    fn forget_changes(&mut self) {
        self.changed.clear();
        self.ending = None;
    }
}
