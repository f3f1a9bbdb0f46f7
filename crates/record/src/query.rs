//! Questions about the record: lists with filters, one entry, proofs. They read
//! much, so each runs on a thread for blocking work, and only a few at a time.

use crate::block::{BLOCK, BlockRow, Blocks};
use crate::forgetting::{self, first_kept};
use crate::publisher::PublisherError;
use crate::tables::LEDGER;
use crate::tiles::{Tiles, TilesError};
use crate::whole::WholeTiles;
use procura_ledger::{Entry, LedgerError, TilePath, consistency_proof, inclusion_proof};
use procura_store::{LogEntry, Store, StoreError};
use procura_types::EntryId;
use procura_types::wire::{ConsistencyAnswer, EntryList, EntryQuery, EntryRow};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::Semaphore;

/// Entries read for one answer before it ends; a filter that matches little gives
/// a short page and says where to go on.
const READ: u64 = 24 * BLOCK;
/// Blocks looked at for one answer before it ends.
const LOOKED_AT: u64 = 4096;
/// Rows that a question made and stores together.
const LEARNT: usize = 16;
/// Questions that are answered at the same time; others wait for their turn.
const AT_ONCE: usize = 2;

/// A question that cannot be answered.
#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    /// No entry of this id.
    #[error("there is no such entry")]
    NotFound,
    /// Sizes that the log does not have.
    #[error("the log has no such size")]
    OutOfRange,
    /// Who asked is gone, or the server stops.
    #[error("the question was abandoned")]
    Abandoned,
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The files.
    #[error(transparent)]
    Tiles(TilesError),
    /// Formats.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// Publishing.
    #[error(transparent)]
    Publisher(#[from] PublisherError),
}

impl From<TilesError> for QueryError {
    fn from(error: TilesError) -> Self {
        match error {
            TilesError::Store(error) => Self::Store(error),
            other => Self::Tiles(other),
        }
    }
}

/// Reads the record.
pub struct RecordReader {
    store: Store,
    tiles: Arc<WholeTiles>,
    turns: Arc<Semaphore>,
}

impl RecordReader {
    /// A reader over a store and its files.
    #[must_use]
    pub fn new(store: Store, tiles: Tiles) -> Self {
        Self {
            tiles: Arc::new(WholeTiles {
                store: store.clone(),
                tiles,
            }),
            store,
            turns: Arc::new(Semaphore::new(AT_ONCE)),
        }
    }

    /// How many entries there are, published or not.
    pub fn size(&self) -> Result<u64, StoreError> {
        Blocks::new(self.store.clone()).log_len()
    }

    /// The first entry that is kept.
    pub fn first(&self) -> Result<u64, StoreError> {
        first_kept(&self.store)
    }

    /// What the entries before that leave behind, as an export has it.
    pub fn carried(&self) -> Result<Option<Vec<u8>>, StoreError> {
        forgetting::carried(&self.store)
    }

    /// Entries that fit the query, newest first.
    pub async fn list(&self, query: &EntryQuery) -> Result<EntryList, QueryError> {
        let (store, query) = (self.store.clone(), query.clone());
        self.ask(move |asked| Search::new(store, asked)?.list(&query))
            .await
    }

    /// The entry of an id and its index.
    pub async fn find(&self, id: EntryId) -> Result<(u64, String), QueryError> {
        let store = self.store.clone();
        self.ask(move |asked| Search::new(store, asked)?.find(id))
            .await
    }

    /// A tile or an entry bundle, plain; nothing when the published log has none
    /// of this name.
    pub async fn tile(&self, path: TilePath) -> Result<Option<Vec<u8>>, QueryError> {
        let tiles = Arc::clone(&self.tiles);
        self.ask(move |_| Ok(tiles.serve(&path)?)).await
    }

    /// The inclusion path of an entry in the published tree of `size`.
    pub async fn inclusion(&self, index: u64, size: u64) -> Result<Vec<String>, QueryError> {
        let tiles = Arc::clone(&self.tiles);
        self.ask(move |_| {
            if index >= size || size > tiles.tiles.size() {
                return Err(QueryError::OutOfRange);
            }
            let path = inclusion_proof(tiles.as_ref(), index, size)?;
            Ok(path.iter().map(ToString::to_string).collect())
        })
        .await
    }

    /// That the published tree of `to` entries goes on from that of `from`.
    pub async fn consistency(&self, from: u64, to: u64) -> Result<ConsistencyAnswer, QueryError> {
        let tiles = Arc::clone(&self.tiles);
        self.ask(move |_| {
            if from > to || to > tiles.tiles.size() {
                return Err(QueryError::OutOfRange);
            }
            let path = consistency_proof(tiles.as_ref(), from, to)?;
            Ok(ConsistencyAnswer {
                from,
                to,
                path: path.iter().map(ToString::to_string).collect(),
            })
        })
        .await
    }

    /// Answers when it is its turn, on a thread that may block. The turn ends
    /// with the work, not with the interest of who asked.
    async fn ask<T: Send + 'static>(
        &self,
        work: impl FnOnce(Asked) -> Result<T, QueryError> + Send + 'static,
    ) -> Result<T, QueryError> {
        let turn = Arc::clone(&self.turns)
            .acquire_owned()
            .await
            .map_err(|_| QueryError::Abandoned)?;
        let gone = Gone::default();
        let asked = Asked(Arc::clone(&gone.0));
        tokio::task::spawn_blocking(move || {
            let _turn = turn;
            work(asked)
        })
        .await
        .map_err(|_| QueryError::Abandoned)?
    }
}

/// Tells the work, when dropped, that nobody waits for it any longer.
#[derive(Default)]
struct Gone(Arc<AtomicBool>);

impl Drop for Gone {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// The other end of [`Gone`].
struct Asked(Arc<AtomicBool>);

impl Asked {
    fn still(&self) -> Result<(), QueryError> {
        if self.0.load(Ordering::Relaxed) {
            return Err(QueryError::Abandoned);
        }
        Ok(())
    }
}

/// A walk over the log from its end, block by block.
struct Search {
    blocks: Blocks,
    /// Entries when it began.
    size: u64,
    /// The first of them that is kept.
    first: u64,
    asked: Asked,
    /// Rows that were missing and have been made.
    learnt: Vec<(u64, BlockRow)>,
    /// Entries read so far.
    read: u64,
}

impl Search {
    fn new(store: Store, asked: Asked) -> Result<Self, QueryError> {
        let first = first_kept(&store)?;
        let blocks = Blocks::new(store);
        Ok(Self {
            size: blocks.log_len()?,
            first,
            blocks,
            asked,
            learnt: Vec::new(),
            read: 0,
        })
    }

    fn list(mut self, query: &EntryQuery) -> Result<EntryList, QueryError> {
        let limit = usize::try_from(query.limit.unwrap_or(100).clamp(1, 1000)).unwrap_or(1000);
        let mut end = query.before.unwrap_or(u64::MAX).min(self.size);
        if end <= self.first && self.first > 0 {
            return Err(self.forgotten());
        }
        let needles = needles(query);
        let mut entries = Vec::new();
        let mut looked_at = 0;
        while end > self.first && self.read < READ && looked_at < LOOKED_AT {
            let block = (end - 1) / BLOCK;
            let start = self.first.max(block * BLOCK);
            if !has_filter(query) || self.may(block, |row| row.may_fit(query))? {
                let full = self.newest_first(start, end, |entry| {
                    if !matches(query, &needles, entry.bytes.expose())? {
                        return Ok(None);
                    }
                    entries.push(EntryRow {
                        index: entry.index,
                        entry: text(entry.bytes.expose())?,
                    });
                    Ok((entries.len() == limit).then_some(entry.index))
                })?;
                if let Some(last) = full {
                    end = last;
                    break;
                }
            }
            end = start;
            looked_at += 1;
        }
        Ok(EntryList {
            entries,
            next: (end > self.first).then_some(end),
            first: (self.first > 0).then_some(self.first),
        })
    }

    fn find(mut self, id: EntryId) -> Result<(u64, String), QueryError> {
        let needle = format!("\"id\":\"{id}\"");
        let mut end = self.size;
        let mut first = None;
        while end > self.first {
            let block = (end - 1) / BLOCK;
            let start = self.first.max(block * BLOCK);
            if self.may(block, |row| row.may_be(&id))? {
                let found = self.newest_first(start, end, |entry| {
                    let bytes = entry.bytes.expose();
                    let is_it = contains(bytes, needle.as_bytes()) && Entry::parse(bytes)?.id == id;
                    is_it.then(|| Ok((entry.index, text(bytes)?))).transpose()
                })?;
                if let Some(found) = found {
                    return Ok(found);
                }
            }
            end = start;
        }
        if self.first > 0 {
            self.newest_first(self.first, self.first + 1, |entry| {
                first = Some(Entry::parse(entry.bytes.expose())?.id);
                Ok(first.map(|_| ()))
            })?;
        }
        // Ids begin with six bytes of time: this one is from before what is kept.
        let time = |id: EntryId| id.as_bytes().first_chunk::<6>().copied();
        match first {
            Some(first) if time(id) <= time(first) => Err(self.forgotten()),
            _ => Err(QueryError::NotFound),
        }
    }

    fn forgotten(&self) -> QueryError {
        let (log, first) = (LEDGER.as_str().into(), self.first);
        StoreError::Forgotten { log, first }.into()
    }

    /// Whether a block need be read: unless its row excludes it. A row that is
    /// missing is made, and stored for the next question.
    fn may(
        &mut self,
        block: u64,
        test: impl FnOnce(&BlockRow) -> bool,
    ) -> Result<bool, QueryError> {
        self.asked.still()?;
        if (block + 1) * BLOCK > self.size {
            return Ok(true);
        }
        if let Some(row) = self.blocks.row(block) {
            return Ok(test(&row));
        }
        self.read += BLOCK;
        // Where no row can be made the entries themselves are asked, and what is
        // wrong with them is met there.
        let Ok(row) = self.blocks.make(block) else {
            return Ok(true);
        };
        let may = test(&row);
        self.learnt.push((block, row));
        if self.learnt.len() >= LEARNT {
            self.keep();
        }
        Ok(may)
    }

    fn newest_first<T>(
        &mut self,
        start: u64,
        end: u64,
        mut each: impl FnMut(&LogEntry) -> Result<Option<T>, QueryError>,
    ) -> Result<Option<T>, QueryError> {
        let (asked, read) = (&self.asked, &mut self.read);
        self.blocks.pages(start, end, |page| {
            asked.still()?;
            for entry in page.iter().rev() {
                *read += 1;
                let found = each(entry)?;
                if found.is_some() {
                    return Ok(found);
                }
            }
            Ok(None)
        })
    }

    /// Has what was learnt stored. The answer does not wait for it, and rows that
    /// are refused are made again.
    fn keep(&mut self) {
        if !self.learnt.is_empty() {
            drop(self.blocks.keep(&std::mem::take(&mut self.learnt)));
        }
    }
}

impl Drop for Search {
    fn drop(&mut self) {
        self.keep();
    }
}

fn text(bytes: &[u8]) -> Result<String, QueryError> {
    String::from_utf8(bytes.to_vec())
        .map_err(|_| LedgerError::Entry("it is not UTF-8".to_owned()).into())
}

/// Whether there may be entries that do not fit.
const fn has_filter(query: &EntryQuery) -> bool {
    query.namespace.is_some()
        || query.actor.is_some()
        || query.owner.is_some()
        || query.grant.is_some()
        || query.action.is_some()
        || query.since.is_some()
        || query.until.is_some()
}

/// Texts that a matching entry must contain: most entries are passed over
/// without being parsed.
fn needles(query: &EntryQuery) -> Vec<String> {
    let quoted = |text: &dyn ToString| format!("\"{}\"", text.to_string());
    [
        query.namespace.as_ref().map(|id| quoted(id)),
        query.actor.as_ref().map(|id| quoted(id)),
        query.owner.as_ref().map(|id| quoted(id)),
        query.grant.as_ref().map(|id| quoted(id)),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn contains(text: &[u8], needle: &[u8]) -> bool {
    text.windows(needle.len()).any(|window| window == needle)
}

fn matches(query: &EntryQuery, needles: &[String], bytes: &[u8]) -> Result<bool, QueryError> {
    if !needles
        .iter()
        .all(|needle| contains(bytes, needle.as_bytes()))
    {
        return Ok(false);
    }
    let entry = Entry::parse(bytes)?;
    fn fits<T: PartialEq>(wanted: Option<&T>, found: Option<&T>) -> bool {
        wanted.is_none() || wanted == found
    }
    Ok(fits(query.namespace.as_ref(), entry.namespace.as_ref())
        && fits(query.actor.as_ref(), entry.actor.as_ref())
        && fits(query.owner.as_ref(), entry.owner.as_ref())
        && fits(query.grant.as_ref(), entry.grant.as_ref())
        && query
            .action
            .as_ref()
            .is_none_or(|action| *action == entry.action)
        && query.since.is_none_or(|since| entry.time >= since)
        && query.until.is_none_or(|until| entry.time < until))
}
