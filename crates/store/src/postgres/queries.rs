//! What is read, on whatever connection.

use super::fault::out_of_range;
use super::session::Session;
use crate::engine::{Anchor, Change, RawEntry, RawRow};
use crate::journal::{self, Recorded};
use crate::key::KeyRange;
use crate::writer::Fault;
use crate::{Damage, RowKey, Seq};
use bytes::Bytes;
use procura_types::BatchId;
use std::sync::Arc;
use tokio_postgres::Row;

pub(super) const GET: &str = "SELECT version, value FROM procura.rows WHERE key = $1";
const SCAN: &str = "SELECT key, version, value FROM procura.rows \
                    WHERE key >= $1 AND key < $2 ORDER BY key LIMIT $3";
const VERSIONS: &str = "SELECT key, version FROM procura.rows \
                        WHERE key >= $1 AND key < $2 ORDER BY key LIMIT $3";
const ENTRIES: &str = "SELECT index, version, value FROM procura.entries \
                       WHERE log = (SELECT number FROM procura.logs WHERE name = $1) \
                         AND index >= $2 ORDER BY index LIMIT $3";
/// Each log with its number and length.
pub(super) const LOGS: &str = "
    SELECT number, name, coalesce(
        (SELECT index + 1 FROM procura.entries WHERE log = number ORDER BY index DESC LIMIT 1), 0)
    FROM procura.logs ORDER BY number";
const HEAD: &str = "SELECT seq FROM procura.head";
const ANCHOR: &str = "
    SELECT h.seq, s.sealed, m.sentinel, (SELECT max(seq) FROM procura.journal)
    FROM procura.head h, procura.seal s, procura.meta m";
/// In no order: it would be found by walking the journal in that order.
const FATE: &str = "SELECT seq FROM procura.journal WHERE batch = $1";
/// One statement, so that the end, the beginning and what is between are of one moment.
/// The beginning is looked for from where it was last: until the next vacuum the index has
/// all that was pruned before it, and each group would walk over that.
pub(super) const FEED: &str = "
    SELECT h.seq, (SELECT min(seq) FROM procura.journal WHERE seq > $3), j.seq, j.changes
    FROM procura.head h LEFT JOIN LATERAL
        (SELECT seq, changes FROM procura.journal WHERE seq > $1 ORDER BY seq LIMIT $2) j ON true
    ORDER BY j.seq";
const SEAL: &str = "
    SELECT h.seq, s.sealed FROM procura.head h, procura.seal s WHERE s.sealed IS NOT NULL";

/// The bound above all keys, for a range without an end: no key of ours begins with this
/// byte, as tables are named in ASCII.
const BEYOND: &[u8] = &[0xff];

/// A number as the database stores it. 2^63 commits are out of reach.
pub(super) fn to_sql(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

pub(super) fn from_sql(number: i64) -> Result<u64, Fault> {
    u64::try_from(number).map_err(|_| out_of_range("a stored number"))
}

fn sql_limit(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

pub(super) fn number(row: &Row, column: usize) -> Result<u64, Fault> {
    from_sql(row.try_get(column)?)
}

pub(super) fn seq(row: &Row, column: usize) -> Result<Seq, Fault> {
    number(row, column).map(Seq::new)
}

fn blob(row: &Row, column: usize) -> Result<Bytes, Fault> {
    Ok(Bytes::copy_from_slice(row.try_get(column)?))
}

pub(super) fn stored_key(row: &Row, column: usize) -> Result<RowKey, Fault> {
    RowKey::from_stored(blob(row, column)?).ok_or_else(|| out_of_range("the key of a row"))
}

pub(super) async fn get(session: &Session, key: &RowKey) -> Result<Option<RawRow>, Fault> {
    let rows = session.rows(GET, &[&key.as_bytes()]).await?;
    let Some(row) = rows.first() else {
        return Ok(None);
    };
    Ok(Some(RawRow {
        version: seq(row, 0)?,
        value: blob(row, 1)?,
    }))
}

pub(super) async fn scan(
    session: &Session,
    range: &KeyRange,
    limit: usize,
) -> Result<Vec<(RowKey, RawRow)>, Fault> {
    let end = range.end().unwrap_or(BEYOND);
    let rows = session
        .rows(SCAN, &[&range.start(), &end, &sql_limit(limit)])
        .await?;
    let read = |row: &Row| -> Result<_, Fault> {
        let value = RawRow {
            version: seq(row, 1)?,
            value: blob(row, 2)?,
        };
        Ok((stored_key(row, 0)?, value))
    };
    rows.iter().map(read).collect()
}

pub(super) async fn versions(
    session: &Session,
    range: &KeyRange,
    limit: usize,
) -> Result<Vec<(RowKey, Seq)>, Fault> {
    let end = range.end().unwrap_or(BEYOND);
    let rows = session
        .rows(VERSIONS, &[&range.start(), &end, &sql_limit(limit)])
        .await?;
    let read = |row: &Row| -> Result<_, Fault> { Ok((stored_key(row, 0)?, seq(row, 1)?)) };
    rows.iter().map(read).collect()
}

pub(super) async fn entries(
    session: &Session,
    log: &str,
    from: u64,
    limit: usize,
) -> Result<Vec<RawEntry>, Fault> {
    // Past all entries that can be, where 2^63 would be the last one that is.
    if i64::try_from(from).is_err() {
        return Ok(Vec::new());
    }
    let rows = session
        .rows(ENTRIES, &[&log, &to_sql(from), &sql_limit(limit)])
        .await?;
    let read = |row: &Row| -> Result<_, Fault> {
        Ok(RawEntry {
            index: number(row, 0)?,
            version: seq(row, 1)?,
            value: blob(row, 2)?,
        })
    };
    rows.iter().map(read).collect()
}

/// A log: its number, its name, its length.
pub(super) fn log(row: &Row) -> Result<(i32, String, u64), Fault> {
    Ok((row.try_get(0)?, row.try_get(1)?, number(row, 2)?))
}

pub(super) async fn log_len(session: &Session, name: &str) -> Result<u64, Fault> {
    for row in session.rows(LOGS, &[]).await? {
        let (_, found, length) = log(&row)?;
        if found == name {
            return Ok(length);
        }
    }
    Ok(0)
}

/// The last commit; zero when the head was removed, which is found when its content is
/// asked for.
pub(super) async fn head_seq(session: &Session) -> Result<Seq, Fault> {
    let rows = session.rows(HEAD, &[]).await?;
    rows.first().map_or(Ok(Seq::ZERO), |row| seq(row, 0))
}

pub(super) async fn anchor(session: &Session) -> Result<Anchor, Fault> {
    let rows = session.rows(ANCHOR, &[]).await?;
    let mut anchor = Anchor::default();
    if let Some(row) = rows.first() {
        let bytes = |column| -> Result<Option<Bytes>, Fault> {
            let bytes: Option<&[u8]> = row.try_get(column)?;
            Ok(bytes.map(Bytes::copy_from_slice))
        };
        let newest: Option<i64> = row.try_get(3)?;
        anchor.seq = seq(row, 0)?;
        anchor.head = bytes(1)?;
        anchor.sentinel = bytes(2)?;
        anchor.newest = newest.map(from_sql).transpose()?.map(Seq::new);
    }
    for row in session.rows(LOGS, &[]).await? {
        let (_, name, length) = log(&row)?;
        anchor.logs.push((Arc::from(name), length));
    }
    Ok(anchor)
}

/// The last commit and the head that was sealed with it, once there is one.
pub(super) async fn sealed(session: &Session) -> Result<Option<(Seq, Bytes)>, Fault> {
    let rows = session.rows(SEAL, &[]).await?;
    let Some(row) = rows.first() else {
        return Ok(None);
    };
    Ok(Some((seq(row, 0)?, blob(row, 1)?)))
}

pub(super) async fn fate(session: &Session, id: BatchId) -> Result<Option<Seq>, Fault> {
    let rows = session.rows(FATE, &[&id.as_bytes().as_slice()]).await?;
    let found: Result<Vec<Seq>, Fault> = rows.iter().map(|row| seq(row, 0)).collect();
    Ok(found?.into_iter().max())
}

/// A piece of the journal.
pub(super) struct Page {
    /// The last commit that there is.
    pub(super) last: Seq,
    /// From where the journal can be followed.
    pub(super) oldest: Seq,
    /// Commits after the one that was asked for.
    pub(super) commits: Vec<Recorded>,
}

impl Page {
    pub(super) fn read(rows: &[Row]) -> Result<Self, Fault> {
        let first = rows.first().ok_or(Fault::Corrupt(Damage::Head))?;
        let last = seq(first, 0)?;
        let oldest: Option<i64> = first.try_get(1)?;
        let oldest = match oldest {
            Some(first) => Seq::new(from_sql(first)?.saturating_sub(1)),
            None => last,
        };
        let mut commits = Vec::with_capacity(rows.len());
        for row in rows {
            let found: Option<i64> = row.try_get(2)?;
            if let Some(found) = found {
                let found = Seq::new(from_sql(found)?);
                commits.extend(recorded(found, row.try_get(3)?)?);
            }
        }
        Ok(Self {
            last,
            oldest,
            commits,
        })
    }

    /// Whether the journal goes on from `after`.
    pub(super) fn reaches(&self, after: Seq) -> bool {
        self.oldest <= after && after <= self.last
    }
}

/// Up to `limit` commits after `after`, of a journal that does not begin before `oldest`.
pub(super) async fn page(
    session: &Session,
    after: Seq,
    limit: usize,
    oldest: Seq,
) -> Result<Page, Fault> {
    let parameters: [super::session::Parameter<'_>; 3] = [
        &to_sql(after.get()),
        &sql_limit(limit),
        &to_sql(oldest.get()),
    ];
    Page::read(&session.rows(FEED, &parameters).await?)
}

/// What one row of the journal says: a group of one commit.
fn recorded(seq: Seq, bytes: &[u8]) -> Result<Vec<Recorded>, Fault> {
    journal::read(seq, bytes)
        .filter(|commits| commits.len() == 1)
        .ok_or_else(|| Fault::Corrupt(Damage::File("the record of a commit is malformed".into())))
}

/// The row of the journal for one commit.
pub(super) fn record(id: BatchId, changes: &[Change]) -> Vec<u8> {
    let mut group = journal::Group::default();
    group.begin_batch(id);
    for change in changes {
        group.change(&change.key, change.deleted);
    }
    group.as_bytes().to_vec()
}

/// Gaps, and rows and entries that no commit can have written. Reading every value has
/// the server look at all pages, and at their checksums if it keeps any.
const FINDINGS: &[&str] = &[
    "SELECT 'log ' || l.name || ' has ' || count(e.index) || ' entries from '
         || min(e.index) || ' to ' || max(e.index)
     FROM procura.logs l JOIN procura.entries e ON e.log = l.number
     GROUP BY l.name HAVING count(e.index) <> max(e.index) - min(e.index) + 1",
    "SELECT 'an entry of log ' || e.log || ' is in no log' FROM procura.entries e
     WHERE NOT EXISTS (SELECT FROM procura.logs l WHERE l.number = e.log) LIMIT 1",
    "SELECT 'the journal has ' || count(seq) || ' commits from ' || min(seq) || ' to '
         || max(seq)
     FROM procura.journal HAVING count(seq) <> max(seq) - min(seq) + 1",
    "SELECT 'the journal ends at ' || max(j.seq) || ' and the head at ' || h.seq
     FROM procura.journal j, procura.head h GROUP BY h.seq HAVING max(j.seq) <> h.seq",
    "SELECT 'a row has version ' || max(r.version) || ' and the head ' || h.seq
     FROM procura.rows r, procura.head h GROUP BY h.seq HAVING max(r.version) > h.seq",
    "SELECT 'index ' || c.relname || ' is invalid'
     FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
     WHERE c.relnamespace = 'procura'::regnamespace AND NOT i.indisvalid",
    "SELECT 'a value is empty' FROM procura.rows WHERE sha256(value) IS NULL LIMIT 1",
    "SELECT 'a value is empty' FROM procura.entries WHERE sha256(value) IS NULL LIMIT 1",
];

pub(super) async fn integrity(session: &Session) -> Result<Vec<String>, Fault> {
    let mut findings = Vec::new();
    for question in FINDINGS {
        match session.rows(question, &[]).await {
            Ok(rows) => {
                for row in rows {
                    findings.push(row.try_get(0)?);
                }
            }
            // So damaged that it cannot be read: that is the finding.
            Err(Fault::Corrupt(what)) => findings.push(what.to_string()),
            Err(fault) => return Err(fault),
        }
    }
    Ok(findings)
}
