//! Taking a backup beside writers: the rows are read in slices, each from a snapshot of
//! its own that lives for about a second, so that no reader keeps the write-ahead log from
//! being begun anew. What changed in the part that was read already is told once more
//! with the next slice; the last slice is the moment of the backup.

use super::{BackupEnd, FORMAT, FrameKind, MAGIC, frame_check, outer, tagged};
use crate::engine::{Anchor, Engine, RawEntry, RawRow, Snapshot};
use crate::key::KeyRange;
use crate::{LogId, RowKey, Seq, Store, StoreError, verify};
use procura_crypto::{MacKey, Sha256};
use procura_types::{Duration, InstallationId};
use std::collections::BTreeSet;
use std::time::Instant;

/// How long a snapshot can be read from, also by a reader who is slow.
const LIFE: Duration = Duration::from_secs(10);
/// After so long a slice ends.
const SLICE: Duration = Duration::from_secs(1);
/// Rows that are read at once; of at most 64 KiB each.
const ROWS: usize = 256;
/// Entries that are read at once.
const ENTRIES: usize = 512;
/// Changes that are asked for at once.
const CHANGES: usize = 65_536;
/// A frame that has so many bytes is handed on.
const FRAME: usize = 256 * 1024;

/// Whoever takes the bytes takes no more of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("nobody takes the backup any more")]
pub struct BackupStopped;

/// Why a backup came to no end.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// Nobody takes it any more.
    #[error(transparent)]
    Stopped(#[from] BackupStopped),
    /// More was changed than is kept, while nobody took what was read.
    #[error("it was taken so slowly that changes were forgotten meanwhile; take it again")]
    TooSlow,
    /// The log has been cut since, or never reached that far.
    #[error("the log has {found} entries, {expected} were asked for")]
    OtherLog {
        /// From which entry on it was asked for.
        expected: u64,
        /// How many there are.
        found: u64,
    },
    /// The log begins later by now.
    #[error("the entries before {first} have been forgotten; take it again, from there")]
    Forgotten {
        /// The first entry that is kept.
        first: u64,
    },
    /// The store.
    #[error(transparent)]
    Store(StoreError),
}

impl From<StoreError> for WriteError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Gap { .. } => Self::TooSlow,
            StoreError::Forgotten { first, .. } => Self::Forgotten { first },
            other => Self::Store(other),
        }
    }
}

/// A backup that was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Written {
    /// The moment of it: the last commit that is in it.
    pub seq: Seq,
    /// How it ends.
    pub end: BackupEnd,
}

/// Which stretch of a log to copy.
#[derive(Debug, Clone, Copy)]
pub struct LogCopy {
    /// Which log.
    pub log: LogId,
    /// The first entry.
    pub from: u64,
    /// The entry behind the last.
    pub until: u64,
}

type Sink<'a> = &'a mut dyn FnMut(Vec<u8>) -> Result<(), BackupStopped>;

/// Frames on their way out.
struct Encoder<'a> {
    sink: Sink<'a>,
    digest: Sha256,
    kind: FrameKind,
    body: Vec<u8>,
    rows: u64,
    entries: u64,
    bytes: u64,
}

impl<'a> Encoder<'a> {
    fn begin(sink: Sink<'a>, head: &[u8]) -> Result<Self, BackupStopped> {
        let mut begin = MAGIC.to_vec();
        begin.extend_from_slice(&FORMAT.to_be_bytes());
        let mut encoder = Self {
            sink,
            digest: Sha256::new(),
            kind: FrameKind::Head,
            body: head.to_vec(),
            rows: 0,
            entries: 0,
            bytes: 0,
        };
        encoder.hand(begin)?;
        Ok(encoder)
    }

    fn hand(&mut self, bytes: Vec<u8>) -> Result<(), BackupStopped> {
        self.digest.update(&bytes);
        self.bytes = self.bytes.saturating_add(long(bytes.len()));
        (self.sink)(bytes)
    }

    fn flush(&mut self) -> Result<(), BackupStopped> {
        if self.body.is_empty() {
            return Ok(());
        }
        let body = std::mem::take(&mut self.body);
        self.hand(framed(self.kind, &body))
    }

    /// The body of a frame of this kind, with room.
    fn room(&mut self, kind: FrameKind) -> Result<&mut Vec<u8>, BackupStopped> {
        if self.kind != kind || self.body.len() >= FRAME {
            self.flush()?;
            self.kind = kind;
            self.body.reserve(FRAME);
        }
        Ok(&mut self.body)
    }

    fn row(&mut self, key: &RowKey, row: Option<&RawRow>) -> Result<(), BackupStopped> {
        self.rows = self.rows.saturating_add(1);
        let body = self.room(FrameKind::Rows)?;
        body.push(u8::from(row.is_some()));
        put_bytes(body, key.as_bytes());
        if let Some(row) = row {
            body.extend_from_slice(&row.version.get().to_be_bytes());
            put_bytes(body, &row.value);
        }
        Ok(())
    }

    fn anchor(&mut self, anchor: &Anchor) -> Result<(), BackupStopped> {
        let body = self.room(FrameKind::Anchor)?;
        body.extend_from_slice(&anchor.seq.get().to_be_bytes());
        put_bytes(body, anchor.head.as_deref().unwrap_or_default());
        put_bytes(body, anchor.sentinel.as_deref().unwrap_or_default());
        for (log, length) in &anchor.logs {
            put_bytes(body, log.as_bytes());
            body.extend_from_slice(&length.to_be_bytes());
        }
        self.flush()
    }

    fn entry(&mut self, log: &str, entry: &RawEntry) -> Result<(), BackupStopped> {
        self.entries = self.entries.saturating_add(1);
        let body = self.room(FrameKind::Entries)?;
        put_bytes(body, log.as_bytes());
        body.extend_from_slice(&entry.index.to_be_bytes());
        body.extend_from_slice(&entry.version.get().to_be_bytes());
        put_bytes(body, &entry.value);
        Ok(())
    }

    fn end(
        mut self,
        key: &MacKey,
        installation: &InstallationId,
    ) -> Result<BackupEnd, BackupStopped> {
        self.flush()?;
        let mut body = Vec::with_capacity(80);
        body.extend_from_slice(&self.rows.to_be_bytes());
        body.extend_from_slice(&self.entries.to_be_bytes());
        let mut frame = frame_head(FrameKind::End, body.len() + 64);
        frame.extend_from_slice(&body);
        self.digest.update(&frame);
        let inner = std::mem::take(&mut self.digest).finish();
        let tag = key.sign(&[tagged(installation, &inner).as_bytes()]);
        frame.extend_from_slice(&tag);
        frame.extend_from_slice(&outer(&inner, &tag));
        let bytes = self.bytes.saturating_add(long(frame.len()));
        (self.sink)(frame)?;
        Ok(BackupEnd {
            rows: self.rows,
            entries: self.entries,
            bytes,
            inner,
            tag,
        })
    }
}

fn long(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

/// Rows, entries and names are far below 4 GiB.
fn put_bytes(body: &mut Vec<u8>, bytes: &[u8]) {
    let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    body.extend_from_slice(&length.to_be_bytes());
    body.extend_from_slice(bytes);
}

fn frame_head(kind: FrameKind, length: usize) -> Vec<u8> {
    let length = u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes();
    let [a, b, c, d] = length;
    let head = [kind.code(), a, b, c, d];
    let mut frame = head.to_vec();
    frame.extend_from_slice(&frame_check(&head));
    frame
}

fn framed(kind: FrameKind, body: &[u8]) -> Vec<u8> {
    let mut frame = frame_head(kind, body.len());
    frame.extend_from_slice(body);
    frame
}

/// How far the rows are.
#[derive(Default)]
struct Place {
    /// The last row that was told; rows behind it were not looked at.
    cursor: Option<RowKey>,
    /// All rows were looked at.
    through: bool,
    /// What is told is as of this commit.
    seq: Option<Seq>,
}

impl Store {
    /// Tells the whole store as it is at one moment, which is the end of the telling, to
    /// `sink`, piece by piece. Blocks the thread for as long as `sink` takes; writers go
    /// on meanwhile, and no snapshot lives for longer than ten seconds.
    ///
    /// `head` is what the backup says of itself first. The tag is made by `key`.
    ///
    /// # Errors
    /// [`WriteError::Stopped`] when `sink` stops it, [`WriteError::TooSlow`], errors of
    /// reading.
    pub fn back_up(
        &self,
        installation: &InstallationId,
        head: &[u8],
        key: &MacKey,
        sink: Sink<'_>,
    ) -> Result<Written, WriteError> {
        let mut out = Encoder::begin(sink, head)?;
        let engine = self.engine();
        let mut place = Place::default();
        let anchor = loop {
            let snapshot = engine.snapshot(LIFE)?;
            match slice(engine, &*snapshot, &mut place, &mut out) {
                Ok(Some(anchor)) => break anchor,
                Ok(None) | Err(WriteError::Store(StoreError::SnapshotExpired)) => {}
                Err(error) => return Err(error),
            }
        };
        out.anchor(&anchor)?;
        let head = verify::head_of(&self.unsealed()?.barrier(), &anchor)?;
        for (log, length) in &anchor.logs {
            // Entries are never written again, so they need no snapshot. Should the log lose
            // its beginning meanwhile, the backup comes to no end: its head says otherwise.
            stretch(self, log, head.log(log).start, *length, &mut out)?;
        }
        Ok(Written {
            seq: anchor.seq,
            end: out.end(key, installation)?,
        })
    }

    /// Tells a stretch of a log, as [`Self::back_up`] tells the store.
    ///
    /// # Errors
    /// [`WriteError::OtherLog`] when there are not as many entries,
    /// [`WriteError::Forgotten`] when they are not kept any more; as above.
    pub fn copy_log(
        &self,
        installation: &InstallationId,
        copy: LogCopy,
        head: &[u8],
        key: &MacKey,
        sink: Sink<'_>,
    ) -> Result<BackupEnd, WriteError> {
        let found = self.engine().log_len(copy.log.as_str())?;
        let first = self.log_start(copy.log)?;
        if copy.from < first {
            return Err(WriteError::Forgotten { first });
        }
        if copy.from > copy.until || copy.until > found {
            return Err(WriteError::OtherLog {
                expected: copy.from.max(copy.until),
                found,
            });
        }
        let mut out = Encoder::begin(sink, head)?;
        stretch(self, copy.log.as_str(), copy.from, copy.until, &mut out)?;
        Ok(out.end(key, installation)?)
    }
}

/// Tells as much as there is time for; what vouches for all of it once it is complete.
fn slice(
    engine: &dyn Engine,
    snapshot: &dyn Snapshot,
    place: &mut Place,
    out: &mut Encoder<'_>,
) -> Result<Option<Anchor>, WriteError> {
    if let Some(before) = place.seq {
        for key in changed(engine, before, snapshot.seq(), place)? {
            out.row(&key, snapshot.get(&key)?.as_ref())?;
        }
    }
    place.seq = Some(snapshot.seq());
    let began = Instant::now();
    while !place.through {
        if began.elapsed() >= SLICE {
            return Ok(None);
        }
        let range = KeyRange::everything();
        let range = match &place.cursor {
            Some(cursor) => range.after(cursor),
            None => range,
        };
        let page = snapshot.scan(&range, ROWS)?;
        for (key, row) in &page {
            out.row(key, Some(row))?;
        }
        place.through = page.len() < ROWS;
        if let Some((last, _)) = page.into_iter().next_back() {
            place.cursor = Some(last);
        }
    }
    Ok(Some(snapshot.anchor()?))
}

/// The rows that changed between two commits, among those that were told.
fn changed(
    engine: &dyn Engine,
    before: Seq,
    until: Seq,
    place: &Place,
) -> Result<BTreeSet<RowKey>, WriteError> {
    let told = |key: &RowKey| {
        let cursor = place.cursor.as_ref();
        place.through || cursor.is_some_and(|cursor| key <= cursor)
    };
    let mut keys = BTreeSet::new();
    let mut after = before;
    while after < until {
        let feed = engine.changes(after, CHANGES)?;
        let among = feed
            .changes
            .into_iter()
            .filter(|change| change.seq <= until);
        keys.extend(among.map(|change| change.key).filter(&told));
        if feed.upto <= after {
            // The snapshot has a commit that the feed does not know of yet.
            std::thread::sleep(Duration::from_millis(1));
        }
        after = feed.upto;
    }
    Ok(keys)
}

fn stretch(
    store: &Store,
    log: &str,
    from: u64,
    until: u64,
    out: &mut Encoder<'_>,
) -> Result<(), WriteError> {
    let mut next = from;
    while next < until {
        let left = usize::try_from(until - next)
            .unwrap_or(ENTRIES)
            .min(ENTRIES);
        let entries = store.engine().log_read(log, next, left)?;
        let Some(last) = entries.last().map(|entry| entry.index) else {
            return Err(WriteError::OtherLog {
                expected: until,
                found: next,
            });
        };
        for (index, entry) in (next..).zip(&entries) {
            if entry.index != index {
                return Err(store.why_not_there(log, index).into());
            }
            if index < until {
                out.entry(log, entry)?;
            }
        }
        next = last.saturating_add(1);
    }
    Ok(())
}
