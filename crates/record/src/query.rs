//! Questions about the record: lists with filters, one entry, proofs.

use crate::publisher::PublisherError;
use crate::tables::LEDGER;
use crate::tiles::{Tiles, TilesError};
use procura_ledger::{Entry, LedgerError, consistency_proof, inclusion_proof};
use procura_store::{Store, StoreError};
use procura_types::EntryId;
use procura_types::wire::{ConsistencyAnswer, EntryList, EntryQuery, EntryRow};

/// Entries looked at in one answer; a filter that matches little gives a short
/// page and says where to go on.
const SCAN: u64 = 100_000;
const PAGE: u64 = 1024;

/// A question that cannot be answered.
#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    /// No entry of this id.
    #[error("there is no such entry")]
    NotFound,
    /// Sizes that the log does not have.
    #[error("the log has no such size")]
    OutOfRange,
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The files.
    #[error(transparent)]
    Tiles(#[from] TilesError),
    /// Formats.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// Publishing.
    #[error(transparent)]
    Publisher(#[from] PublisherError),
}

/// Reads the record.
pub struct RecordReader {
    store: Store,
    tiles: Tiles,
}

impl RecordReader {
    /// A reader over a store and its files.
    #[must_use]
    pub const fn new(store: Store, tiles: Tiles) -> Self {
        Self { store, tiles }
    }

    /// How many entries there are, published or not.
    pub fn size(&self) -> Result<u64, StoreError> {
        self.store.log_len(LEDGER)
    }

    /// Entries that fit the query, newest first.
    pub fn list(&self, query: &EntryQuery) -> Result<EntryList, QueryError> {
        let limit = usize::try_from(query.limit.unwrap_or(100).clamp(1, 1000)).unwrap_or(1000);
        let mut end = query.before.unwrap_or(u64::MAX).min(self.size()?);
        let floor = end.saturating_sub(SCAN);
        let needles = needles(query);
        let mut entries = Vec::new();
        while end > floor {
            let start = end.saturating_sub(PAGE).max(floor);
            let count = usize::try_from(end - start).unwrap_or(0);
            let page = self.store.log_read(LEDGER, start, count)?;
            for entry in page.into_iter().rev() {
                if !matches(query, &needles, entry.bytes.expose())? {
                    continue;
                }
                entries.push(EntryRow {
                    index: entry.index,
                    entry: text(entry.bytes.expose())?,
                });
                if entries.len() == limit {
                    return Ok(EntryList {
                        entries,
                        next: (entry.index > 0).then_some(entry.index),
                    });
                }
            }
            end = start;
        }
        Ok(EntryList {
            entries,
            next: (floor > 0).then_some(floor),
        })
    }

    /// The entry of an id and its index.
    pub fn find(&self, id: EntryId) -> Result<(u64, String), QueryError> {
        let needle = format!("\"id\":\"{id}\"");
        let mut end = self.size()?;
        while end > 0 {
            let start = end.saturating_sub(PAGE);
            let count = usize::try_from(end - start).unwrap_or(0);
            let page = self.store.log_read(LEDGER, start, count)?;
            for entry in page.into_iter().rev() {
                if contains(entry.bytes.expose(), needle.as_bytes())
                    && Entry::parse(entry.bytes.expose())?.id == id
                {
                    return Ok((entry.index, text(entry.bytes.expose())?));
                }
            }
            end = start;
        }
        Err(QueryError::NotFound)
    }

    /// The inclusion path of an entry in the published tree of `size`.
    pub fn inclusion(&self, index: u64, size: u64) -> Result<Vec<String>, QueryError> {
        if index >= size || size > self.tiles.size() {
            return Err(QueryError::OutOfRange);
        }
        let path = inclusion_proof(&self.tiles, index, size)?;
        Ok(path.iter().map(ToString::to_string).collect())
    }

    /// That the published tree of `to` entries goes on from that of `from`.
    pub fn consistency(&self, from: u64, to: u64) -> Result<ConsistencyAnswer, QueryError> {
        if from > to || to > self.tiles.size() {
            return Err(QueryError::OutOfRange);
        }
        let path = consistency_proof(&self.tiles, from, to)?;
        Ok(ConsistencyAnswer {
            from,
            to,
            path: path.iter().map(ToString::to_string).collect(),
        })
    }
}

fn text(bytes: &[u8]) -> Result<String, QueryError> {
    String::from_utf8(bytes.to_vec())
        .map_err(|_| LedgerError::Entry("it is not UTF-8".to_owned()).into())
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
