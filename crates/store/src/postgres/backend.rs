//! The writer's side of the database: one transaction per group, which has the head
//! before it looks at anything.
//!
//! Groups of several servers follow each other as those of one do: who has locked the
//! row of the store sees all that was committed before, and nobody commits meanwhile. So
//! a plain transaction is enough, and none ever fails because of another.

use super::fault::out_of_range;
use super::link::{CHANNEL, LOCK, Link};
use super::queries::{self, FEED, LOGS, Page, number, seq, stored_key, to_sql};
use super::session::{Parameter, Session};
use super::staged::{Asked, Staged};
use super::wait::within;
use crate::engine::{RawBatch, RawRow};
use crate::key::KeyRange;
use crate::queue::GROUP_BATCHES;
use crate::writer::{Backend, Fault, GroupEnd};
use crate::{Damage, IoCause, LogId, RowKey, Seq, journal};
use bytes::Bytes;
use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio_postgres::Row;

/// How long it may take to have the head: longer than the server lets anybody wait.
const BEGINNING: Duration = Duration::from_secs(10);
/// How long any other step may take.
const STEP: Duration = Duration::from_secs(10);
/// Commits of others that are read at once; behind more the cache begins anew.
const NEWS: i64 = 4096;
/// The bytes held back for batches that may use them, where there is a bound.
const RESERVE: u64 = 8 * 1024 * 1024;

const HEAD: &str = "SELECT h.seq, h.bytes, m.sentinel IS NOT NULL \
                    FROM procura.head h, procura.meta m";
/// The sealed head, if it is not the one of that commit.
const SEAL: &str = "SELECT sealed FROM procura.seal \
                    WHERE (SELECT seq FROM procura.head) <> $1 AND sealed IS NOT NULL";
const ROWS: &str = "SELECT key, version, octet_length(value) FROM procura.rows \
                    WHERE key = ANY($1)";
const RANGES: &str = "
    SELECT r.key, r.version, octet_length(r.value)
    FROM unnest($1::bytea[], $2::bytea[]) AS range(low, high)
    JOIN procura.rows r ON r.key >= range.low AND r.key < range.high";
const PUT: &str = "
    INSERT INTO procura.rows(key, version, value)
    SELECT * FROM unnest($1::bytea[], $2::bigint[], $3::bytea[])
    ON CONFLICT (key) DO UPDATE SET version = excluded.version, value = excluded.value";
const DELETE: &str = "DELETE FROM procura.rows WHERE key = ANY($1)";
const NEW_LOGS: &str = "INSERT INTO procura.logs(number, name) \
                        SELECT * FROM unnest($1::integer[], $2::text[])";
const APPEND: &str = "
    INSERT INTO procura.entries(log, index, version, value)
    SELECT * FROM unnest($1::integer[], $2::bigint[], $3::bigint[], $4::bytea[])";
const TRIM: &str = "DELETE FROM procura.entries WHERE log = $1 AND index < $2";
const TRIMMED: &str = "SELECT coalesce(sum(octet_length(value)), 0)::bigint \
                       FROM procura.entries WHERE log = $1 AND index < $2";
const NEW_HEAD: &str = "UPDATE procura.head SET seq = $1, bytes = $2 WHERE seq = $3";
const NEW_SEAL: &str = "UPDATE procura.seal SET sealed = $1";
const SENTINEL: &str = "UPDATE procura.meta SET sentinel = $1";
const JOURNAL: &str = "INSERT INTO procura.journal(seq, batch, changes) \
                       SELECT * FROM unnest($1::bigint[], $2::bytea[], $3::bytea[])";
const PRUNE: &str = "DELETE FROM procura.journal WHERE seq < $1 AND seq > $2";
const TELL: &str = "SELECT pg_notify($1, '')";

const STATEMENTS: &[&str] = &[
    LOCK, HEAD, SEAL, FEED, LOGS, ROWS, RANGES, PUT, DELETE, NEW_LOGS, APPEND, TRIM, TRIMMED,
    NEW_HEAD, NEW_SEAL, SENTINEL, JOURNAL, PRUNE, TELL,
];

pub(super) struct PostgresBackend {
    link: Arc<Link>,
    max_bytes: Option<u64>,
    kept: u64,
    /// What the next group names.
    asked: Asked,
    /// The connection with the open transaction.
    open: Option<Arc<Session>>,
    staged: Staged,
    seq: Seq,
    has_sentinel: bool,
    bytes: u64,
    /// From where the journal can be followed.
    oldest: Seq,
    /// The head that the sealer has for certain: that of our own last commit.
    own: Option<Seq>,
    /// The head as others left it.
    others: Option<Bytes>,
    /// Whether ordinary batches leave the bytes alone that are held back.
    reserve: bool,
    /// Where the transaction will end, and how many bytes there will be.
    ending: Option<(Seq, u64)>,
}

/// The answers to what is asked when a group begins.
struct Begun {
    head: Vec<Row>,
    seal: Vec<Row>,
    news: Vec<Row>,
    logs: Vec<Row>,
    rows: Vec<Row>,
    ranges: Vec<Row>,
}

impl PostgresBackend {
    pub(super) fn new(link: Arc<Link>, max_bytes: Option<u64>, kept: u64) -> Self {
        Self {
            link,
            max_bytes,
            kept,
            asked: Asked::default(),
            open: None,
            staged: Staged::default(),
            seq: Seq::ZERO,
            has_sentinel: false,
            bytes: 0,
            oldest: Seq::ZERO,
            own: None,
            others: None,
            reserve: true,
            ending: None,
        }
    }

    fn away(&self) -> Fault {
        Fault::Away(self.link.cause())
    }

    /// One step of the open transaction. A connection on which it does not end in time is
    /// given up, and the server takes the transaction back.
    fn step<T>(
        &self,
        session: &Session,
        limit: Duration,
        step: impl Future<Output = Result<T, Fault>>,
    ) -> Result<T, Fault> {
        within(limit, step).unwrap_or_else(|| {
            session.close();
            let cause = format!("it does not answer within {} s", limit.as_secs());
            Err(Fault::Away(IoCause::new(&cause)))
        })
    }

    fn session(&self) -> Result<Arc<Session>, Fault> {
        self.open.clone().ok_or_else(|| self.away())
    }

    /// How many bytes rows and entries may have.
    fn limit(&self) -> u64 {
        match self.max_bytes {
            None => u64::MAX,
            Some(most) if self.reserve => most.saturating_sub(RESERVE),
            Some(most) => most,
        }
    }

    /// Asks for all that the group needs, on one way there and back.
    async fn ask(&self, session: &Session, known: Seq) -> Result<Begun, Fault> {
        session.prepare(STATEMENTS).await?;
        let begin = session.begin();
        let keys: Vec<&[u8]> = self.asked.keys.iter().map(RowKey::as_bytes).collect();
        let lows: Vec<&[u8]> = self.asked.prefixes.iter().map(KeyRange::start).collect();
        let highs: Vec<&[u8]> = self
            .asked
            .prefixes
            .iter()
            .map(|range| range.end().unwrap_or(&[0xff]))
            .collect();
        // No commit has this number, so every head is another.
        let own = self.own.map_or(-1, |own| to_sql(own.get()));
        let known = to_sql(known.get());
        let oldest = to_sql(self.link.feed().oldest().get());
        let (begun, locked, head, seal, news, logs, rows, ranges) = tokio::join!(
            biased;
            session.run(&begin),
            session.rows(LOCK, &[]),
            session.rows(HEAD, &[]),
            async { session.rows(SEAL, &[&own]).await },
            async { session.rows(FEED, &[&known, &NEWS, &oldest]).await },
            session.rows(LOGS, &[]),
            unless(keys.is_empty(), async {
                session.rows(ROWS, &[&keys]).await
            }),
            unless(lows.is_empty(), async {
                session.rows(RANGES, &[&lows, &highs]).await
            }),
        );
        // After one that failed all others do, and say less.
        begun?;
        locked?;
        Ok(Begun {
            head: head?,
            seal: seal?,
            news: news?,
            logs: logs?,
            rows: rows?,
            ranges: ranges?,
        })
    }

    fn take_in(&mut self, begun: &Begun, known: Seq, asked: Instant) -> Result<(), Fault> {
        let head = begun.head.first().ok_or(Fault::Corrupt(Damage::Head))?;
        self.seq = seq(head, 0)?;
        self.bytes = number(head, 1)?;
        self.has_sentinel = head.try_get(2)?;
        // Acknowledged commits are gone: nothing may be built on what is left.
        if self.seq < known {
            return Err(Fault::Corrupt(Damage::Head));
        }
        let page = Page::read(&begun.news)?;
        self.oldest = page.oldest;
        self.link.feed().begins(page.oldest);
        let upto = page.commits.last().map_or(known, |commit| commit.seq);
        if page.reaches(known) && upto == self.seq {
            self.link.feed().follow(&page.commits, Some(asked));
        } else {
            self.link.feed().restart(self.seq, Some(asked));
        }
        self.others = match begun.seal.first() {
            Some(row) => Some(Bytes::copy_from_slice(row.try_get(0)?)),
            None => None,
        };
        for row in &begun.logs {
            let (number, name, length) = queries::log(row)?;
            self.staged.found_log(number, name, length);
        }
        for row in begun.rows.iter().chain(&begun.ranges) {
            let length: i32 = row.try_get(2)?;
            let length = usize::try_from(length).map_err(|_| out_of_range("a length"))?;
            self.staged.found(stored_key(row, 0)?, seq(row, 1)?, length);
        }
        Ok(())
    }

    /// Writes all that the group changes, on one way there and back.
    async fn write(&self, session: &Session, end: &GroupEnd<'_>, bytes: u64) -> Result<(), Fault> {
        let commits = journal::read(end.first, end.journal)
            .ok_or_else(|| out_of_range("the record of the group"))?;
        let numbers: Vec<i64> = commits.iter().map(|it| to_sql(it.seq.get())).collect();
        let ids: Vec<&[u8]> = commits
            .iter()
            .map(|it| it.id.as_bytes().as_slice())
            .collect();
        let records: Vec<Vec<u8>> = commits
            .iter()
            .map(|it| queries::record(it.id, &it.changes))
            .collect();

        let (mut keys, mut versions, mut values) = (Vec::new(), Vec::new(), Vec::new());
        for (key, version, value) in self.staged.puts() {
            keys.push(key.as_bytes());
            versions.push(to_sql(version.get()));
            values.push(&value[..]);
        }
        let gone: Vec<&[u8]> = self.staged.deletes().map(RowKey::as_bytes).collect();

        let new_logs = &self.staged.new_logs;
        let log_numbers: Vec<i32> = new_logs.iter().map(|(number, _)| *number).collect();
        let log_names: Vec<&str> = new_logs.iter().map(|(_, log)| log.as_str()).collect();

        let entries = &self.staged.entries;
        let of_logs: Vec<i32> = entries.iter().map(|entry| entry.log).collect();
        let indexes: Vec<i64> = entries.iter().map(|entry| to_sql(entry.index)).collect();
        let entry_versions: Vec<i64> = entries
            .iter()
            .map(|entry| to_sql(entry.version.get()))
            .collect();
        let appended: Vec<&[u8]> = entries.iter().map(|entry| &entry.value[..]).collect();

        let last = to_sql(end.last.get());
        let before = to_sql(self.seq.get());
        let bytes = i64::try_from(bytes).map_err(|_| Fault::Full)?;
        let bound = end.last.get().saturating_sub(self.kept);
        let due = self
            .oldest
            .get()
            .saturating_add(journal::prune_every(self.kept));
        let oldest = to_sql(self.oldest.get());
        let sentinel = end.sentinel.unwrap_or_default();

        let (head, seal, marked, put, deleted, logs, append, recorded, pruned, told) = tokio::join!(
            biased;
            async { session.change(NEW_HEAD, &[&last, &bytes, &before]).await },
            async { session.change(NEW_SEAL, &[&end.head]).await },
            unless(end.sentinel.is_none(), async {
                session.change(SENTINEL, &[&sentinel]).await
            }),
            unless(keys.is_empty(), async {
                session.change(PUT, &[&keys, &versions, &values]).await
            }),
            unless(gone.is_empty(), async { session.change(DELETE, &[&gone]).await }),
            unless(new_logs.is_empty(), async {
                session.change(NEW_LOGS, &[&log_numbers, &log_names]).await
            }),
            unless(entries.is_empty(), async {
                let entries: [Parameter<'_>; 4] =
                    [&of_logs, &indexes, &entry_versions, &appended];
                session.change(APPEND, &entries).await
            }),
            async { session.change(JOURNAL, &[&numbers, &ids, &records]).await },
            unless(bound < due, async {
                session.change(PRUNE, &[&to_sql(bound), &oldest]).await
            }),
            async { session.rows(TELL, &[&CHANNEL]).await },
        );
        if head? != 1 || seal? != 1 {
            return Err(Fault::Corrupt(Damage::Head));
        }
        marked?;
        put?;
        deleted?;
        logs?;
        append?;
        recorded?;
        pruned?;
        told?;
        for (log, before) in &self.staged.trims {
            session.change(TRIM, &[log, &to_sql(*before)]).await?;
        }
        Ok(())
    }
}

/// Does without the step when there is nothing to do.
async fn unless<T: Default>(
    nothing: bool,
    step: impl Future<Output = Result<T, Fault>>,
) -> Result<T, Fault> {
    match nothing {
        true => Ok(T::default()),
        false => step.await,
    }
}

impl Backend for PostgresBackend {
    const WAITS: bool = true;

    fn seq(&self) -> Seq {
        self.seq
    }

    fn has_sentinel(&self) -> bool {
        self.has_sentinel
    }

    fn log_len(&mut self, log: LogId) -> Result<u64, Fault> {
        Ok(self.staged.log_len(log))
    }

    fn group_limit(&self) -> usize {
        GROUP_BATCHES
    }

    fn has_reserve(&mut self) -> bool {
        if !self.reserve {
            self.reserve = true;
            self.reserve = self.bytes < self.limit();
        }
        self.reserve
    }

    fn free_reserve(&mut self) -> bool {
        std::mem::take(&mut self.reserve)
    }

    fn expects(&mut self, batches: &[&RawBatch], fence: Option<&RowKey>) {
        self.asked = Asked::by(batches);
        self.asked.keys.extend(fence.cloned());
    }

    fn others_head(&mut self) -> Option<Bytes> {
        self.others.take()
    }

    fn begin(&mut self) -> Result<(), Fault> {
        self.staged = Staged::default();
        self.ending = None;
        let session = self.link.writer().ok_or_else(|| self.away())?;
        self.open = Some(Arc::clone(&session));
        let (asked, known) = (Instant::now(), self.link.feed().position());
        let begun = self
            .step(&session, BEGINNING, self.ask(&session, known))
            .and_then(|begun| self.take_in(&begun, known, asked));
        if begun.is_err() {
            self.rollback()?;
        }
        begun
    }

    fn admits(&self, batch: &RawBatch) -> bool {
        self.asked.covers_all(batch)
    }

    fn version(&mut self, key: &RowKey) -> Result<Option<Seq>, Fault> {
        let found = self.staged.version(key);
        if found.is_none() && !self.asked.covers(key) {
            return Err(out_of_range("a row that the group did not name"));
        }
        Ok(found)
    }

    fn versions(&mut self, prefix: &[u8]) -> Result<Vec<(RowKey, Seq)>, Fault> {
        let prefix = RowKey::from_stored(prefix.to_vec())
            .ok_or_else(|| out_of_range("the beginning of keys"))?;
        Ok(self.staged.versions(&prefix))
    }

    fn put(&mut self, key: &RowKey, version: Seq, value: Vec<u8>) -> Result<(), Fault> {
        self.staged.put(key, version, value.into());
        Ok(())
    }

    fn delete(&mut self, key: &RowKey) -> Result<(), Fault> {
        self.staged.delete(key);
        Ok(())
    }

    fn append(&mut self, log: LogId, index: u64, version: Seq, value: &[u8]) -> Result<(), Fault> {
        let value = Bytes::copy_from_slice(value);
        self.staged.append(log, index, version, value);
        Ok(())
    }

    fn trim(&mut self, log: LogId, before: u64) -> Result<(), Fault> {
        let number = self
            .staged
            .log_number(log)
            .ok_or_else(|| out_of_range("the number of a log"))?;
        let session = self.session()?;
        let until = to_sql(before);
        let rows = self.step(&session, STEP, session.rows(TRIMMED, &[&number, &until]))?;
        let bytes = match rows.first() {
            Some(row) => queries::number(row, 0)?,
            None => 0,
        };
        self.staged.trim(number, before, bytes);
        Ok(())
    }

    fn end_group(&mut self, end: &GroupEnd<'_>) -> Result<(), Fault> {
        let bytes = self.staged.bytes_after(self.bytes);
        if bytes > self.bytes && bytes > self.limit() {
            return Err(Fault::Full);
        }
        let session = self.session()?;
        self.step(&session, STEP, self.write(&session, end, bytes))?;
        self.ending = Some((end.last, bytes));
        Ok(())
    }

    fn commit(&mut self) -> Result<(), Fault> {
        let session = self.session()?;
        let warned = session.warnings();
        let committed = self.step(&session, STEP, session.run("COMMIT"));
        self.open = None;
        // A server that is told to stop waiting for its standbys says that it has
        // committed, and warns: the commit may yet be lost.
        let fault = match committed {
            Ok(()) if session.warnings() == warned => None,
            Ok(()) => Some(IoCause::new(&"it did not wait for its standbys")),
            Err(Fault::Away(cause) | Fault::Io(cause)) => Some(cause),
            Err(Fault::Full) => Some(IoCause::new(&"no space is left")),
            Err(Fault::Corrupt(what)) => Some(IoCause::new(&what)),
        };
        if let Some(cause) = fault {
            self.link.lose_writer();
            session.close();
            return Err(Fault::Io(cause));
        }
        if let Some((last, bytes)) = self.ending.take() {
            let staged = std::mem::take(&mut self.staged);
            let changed: Vec<(RowKey, Option<RawRow>)> = staged.into_changed().collect();
            self.link.feed().own(self.seq, last, changed.into_iter());
            self.seq = last;
            self.bytes = bytes;
            self.own = Some(last);
            self.has_sentinel = true;
        }
        Ok(())
    }

    fn rollback(&mut self) -> Result<(), Fault> {
        self.staged = Staged::default();
        self.ending = None;
        if let Some(session) = self.open.take() {
            // What cannot be taken back is given up with its connection: without its
            // COMMIT nothing of it stays.
            if self.step(&session, STEP, session.run("ROLLBACK")).is_err() {
                session.close();
            }
        }
        Ok(())
    }
}
