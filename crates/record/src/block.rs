//! What a block of entries holds: rows from which a query sees that it need not
//! read the block. Derived from the log and made anew where they are missing; a
//! row can only exclude, so an absent or unreadable one costs time, no answers.

use crate::forgetting::first_kept;
use crate::query::QueryError;
use crate::tables::{BLOCKS, LEDGER};
use procura_crypto::sha256;
use procura_ledger::Entry;
use procura_store::{CommitFuture, Damage, LogEntry, Store, StoreError};
use procura_types::wire::EntryQuery;
use procura_types::{ActorId, EntryId, GrantId, Namespace, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// Entries of a block. Rows are made of whole blocks only: these never change.
pub(crate) const BLOCK: u64 = 4096;
/// Entries that are read and held at once.
const PAGE: u64 = 512;
const FIELD_COUNT: usize = 5;
/// Marks of a field that a row holds; a row of 64 KiB has room for all fields of
/// so many.
const MARKS: usize = 512;
const VERSION: u8 = 1;

/// The values of one field in a block, each as 8 bytes of its SHA-256; nothing
/// when there are more than [`MARKS`]. Two values of one mark cost a look at the
/// entries.
///
/// A value is in it by itself, for questions about the whole record, and again
/// with the namespace of its entry: how far an answer about one namespace comes
/// must not tell what was done in another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Marks(Option<BTreeSet<u64>>);

impl Marks {
    fn add(&mut self, namespace: Option<&Namespace>, value: Option<&[u8]>) {
        if let (Some(marks), Some(value)) = (&mut self.0, value) {
            marks.insert(mark(None, value));
            if namespace.is_some() {
                marks.insert(mark(namespace, value));
            }
            if marks.len() > MARKS {
                self.0 = None;
            }
        }
    }

    fn may_hold(&self, namespace: Option<&Namespace>, wanted: Option<&[u8]>) -> bool {
        match (&self.0, wanted) {
            (Some(marks), Some(wanted)) => marks.contains(&mark(namespace, wanted)),
            _ => true,
        }
    }
}

fn mark(namespace: Option<&Namespace>, value: &[u8]) -> u64 {
    // A name is not empty and holds no 0.
    let namespace = namespace.map_or("", Namespace::as_str).as_bytes();
    first_eight(&sha256(&[namespace, &[0], value].concat()))
}

/// The fields that can be asked for by value: namespace, actor, owner, grant and
/// action, as bytes.
fn fields<'a>(
    namespace: Option<&'a Namespace>,
    actor: Option<&'a ActorId>,
    owner: Option<&'a ActorId>,
    grant: Option<&'a GrantId>,
    action: Option<&'a str>,
) -> [Option<&'a [u8]>; FIELD_COUNT] {
    [
        namespace.map(|name| name.as_str().as_bytes()),
        actor.map(|id| id.as_bytes().as_slice()),
        owner.map(|id| id.as_bytes().as_slice()),
        grant.map(|id| id.as_bytes().as_slice()),
        action.map(str::as_bytes),
    ]
}

fn first_eight(bytes: &[u8]) -> u64 {
    bytes
        .first_chunk()
        .map_or(0, |first| u64::from_be_bytes(*first))
}

/// What a block holds, in the fields that queries ask for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct BlockRow {
    v: u8,
    /// How many entries it was made of.
    entries: u64,
    /// The least and the greatest `time`; the log is not in their order.
    times: (Timestamp, Timestamp),
    /// The least and the greatest first eight bytes of the ids, which begin with
    /// the time.
    ids: (u64, u64),
    /// In the order of [`fields`].
    values: [Marks; FIELD_COUNT],
}

impl BlockRow {
    fn new() -> Self {
        Self {
            v: VERSION,
            entries: 0,
            times: (Timestamp::from_millis(u64::MAX), Timestamp::from_millis(0)),
            ids: (u64::MAX, 0),
            values: std::array::from_fn(|_| Marks(Some(BTreeSet::new()))),
        }
    }

    fn add(&mut self, entry: &Entry) {
        let id = first_eight(entry.id.as_bytes());
        self.entries += 1;
        self.times = (self.times.0.min(entry.time), self.times.1.max(entry.time));
        self.ids = (self.ids.0.min(id), self.ids.1.max(id));
        let within = entry.namespace.as_ref();
        let found = fields(
            within,
            entry.actor.as_ref(),
            entry.owner.as_ref(),
            entry.grant.as_ref(),
            Some(&entry.action),
        );
        for (marks, value) in self.values.iter_mut().zip(found) {
            marks.add(within, value);
        }
    }

    /// Whether an entry of the block may fit the query.
    pub(crate) fn may_fit(&self, query: &EntryQuery) -> bool {
        let (first, last) = self.times;
        let within = query.namespace.as_ref();
        let wanted = fields(
            within,
            query.actor.as_ref(),
            query.owner.as_ref(),
            query.grant.as_ref(),
            query.action.as_deref(),
        );
        query.since.is_none_or(|since| last >= since)
            && query.until.is_none_or(|until| first < until)
            && self
                .values
                .iter()
                .zip(wanted)
                .all(|(marks, wanted)| marks.may_hold(within, wanted))
    }

    /// Whether the entry of this id may be in the block.
    pub(crate) fn may_be(&self, id: &EntryId) -> bool {
        (self.ids.0..=self.ids.1).contains(&first_eight(id.as_bytes()))
    }
}

/// The blocks of a store's ledger.
#[derive(Clone)]
pub(crate) struct Blocks(Store);

impl Blocks {
    pub(crate) const fn new(store: Store) -> Self {
        Self(store)
    }

    /// How many entries there are.
    pub(crate) fn log_len(&self) -> Result<u64, StoreError> {
        self.0.log_len(LEDGER)
    }

    /// The first entry that is kept.
    pub(crate) fn first(&self) -> Result<u64, StoreError> {
        first_kept(&self.0)
    }

    /// The row of a block. What cannot be read, or was made of blocks of another
    /// size, counts as missing.
    pub(crate) fn row(&self, block: u64) -> Option<BlockRow> {
        match BLOCKS.get(&self.0, &block) {
            Ok(found) => found
                .map(|row| row.value)
                .filter(|row| row.v == VERSION && row.entries == BLOCK),
            // The store said so when it found it.
            Err(StoreError::Corrupt {
                what: Damage::Table(_),
            }) => None,
            Err(error) => {
                tracing::warn!(block, %error, "a row of the record's index cannot be read; the entries are");
                None
            }
        }
    }

    /// The row of a whole block, from its entries.
    pub(crate) fn make(&self, block: u64) -> Result<BlockRow, QueryError> {
        let mut row = BlockRow::new();
        let start = block.saturating_mul(BLOCK);
        self.pages(start, start.saturating_add(BLOCK), |page| {
            for entry in &page {
                row.add(&Entry::parse(entry.bytes.expose())?);
            }
            Ok(None::<()>)
        })?;
        if row.entries == BLOCK {
            Ok(row)
        } else {
            Err(QueryError::OutOfRange)
        }
    }

    /// Gives the entries from `start` to before `end` to `each`, newest page
    /// first, until it yields something.
    pub(crate) fn pages<T>(
        &self,
        start: u64,
        mut end: u64,
        mut each: impl FnMut(Vec<LogEntry>) -> Result<Option<T>, QueryError>,
    ) -> Result<Option<T>, QueryError> {
        while end > start {
            let from = end.saturating_sub(PAGE).max(start);
            let count = usize::try_from(end - from).unwrap_or(0);
            let found = each(self.0.log_read(LEDGER, from, count)?)?;
            if found.is_some() {
                return Ok(found);
            }
            end = from;
        }
        Ok(None)
    }

    /// Stores rows; nobody waits for them. Queued when this returns.
    pub(crate) fn keep(&self, rows: &[(u64, BlockRow)]) -> Result<CommitFuture, StoreError> {
        let mut batch = self.0.batch()?.bulk();
        for (block, row) in rows {
            BLOCKS.put(&mut batch, block, row);
        }
        Ok(self.0.commit(batch))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use procura_crypto::SystemEntropy;
    use procura_store::{MAX_VALUE, Value as _};
    use procura_types::TraceId;

    fn entry(time: u64) -> Entry {
        let time = Timestamp::from_millis(time);
        Entry::new(
            time,
            &SystemEntropy,
            "secret.read",
            TraceId::from_bytes([1; 16]),
        )
        .unwrap()
    }

    fn grant(number: u8) -> GrantId {
        GrantId::from_bytes([number; 16])
    }

    #[test]
    fn a_row_excludes_what_it_knows_to_be_absent_and_nothing_else() {
        let mut row = BlockRow::new();
        row.add(&Entry {
            actor: Some(ActorId::from_bytes([1; 32])),
            ..entry(2_000)
        });
        row.add(&entry(1_000));
        let fits = |change: &dyn Fn(&mut EntryQuery)| {
            let mut query = EntryQuery::default();
            change(&mut query);
            row.may_fit(&query)
        };
        let at = |time| Some(Timestamp::from_millis(time));
        assert!(fits(&|_| {}));
        assert!(fits(&|query| query.since = at(2_000)) && !fits(&|query| query.since = at(2_001)));
        assert!(fits(&|query| query.until = at(1_001)) && !fits(&|query| query.until = at(1_000)));
        assert!(fits(
            &|query| query.actor = Some(ActorId::from_bytes([1; 32]))
        ));
        assert!(!fits(
            &|query| query.actor = Some(ActorId::from_bytes([2; 32]))
        ));
        assert!(!fits(
            &|query| query.owner = Some(ActorId::from_bytes([1; 32]))
        ));
        assert!(!fits(&|query| query.grant = Some(grant(1))));
        assert!(!fits(
            &|query| query.namespace = Some("shop".parse().unwrap())
        ));
        assert!(fits(&|query| query.action = Some("secret.read".into())));
        assert!(!fits(&|query| query.action = Some("secret".into())));
        assert!(row.may_be(&entry(1_500).id) && !row.may_be(&entry(3_000).id));
        assert!(!row.may_be(&entry(900).id));
    }

    #[test]
    fn what_is_done_in_another_namespace_decides_nothing() {
        let mut row = BlockRow::new();
        let done = |namespace: &str, who: u8| Entry {
            namespace: Some(namespace.parse().unwrap()),
            actor: Some(ActorId::from_bytes([who; 32])),
            ..entry(1_000)
        };
        row.add(&done("shop", 1));
        row.add(&done("bank", 2));
        let fits = |namespace: Option<&str>, who: u8| {
            row.may_fit(&EntryQuery {
                namespace: namespace.map(|name| name.parse().unwrap()),
                actor: Some(ActorId::from_bytes([who; 32])),
                ..EntryQuery::default()
            })
        };
        assert!(fits(Some("shop"), 1) && !fits(Some("shop"), 2));
        assert!(fits(Some("bank"), 2) && !fits(Some("bank"), 1));
        assert!(fits(None, 1) && fits(None, 2) && !fits(None, 3));
    }

    #[test]
    fn the_fullest_row_fits_and_beyond_it_a_field_excludes_nothing() {
        let full = || {
            let marks = (u64::MAX - 511..=u64::MAX).collect::<BTreeSet<u64>>();
            assert_eq!(marks.len(), MARKS);
            Marks(Some(marks))
        };
        let mut row = BlockRow {
            values: std::array::from_fn(|_| full()),
            ..BlockRow::new()
        };
        let reads_back = |row: &BlockRow| {
            let bytes = row.encode().unwrap();
            assert!(bytes.expose().len() < MAX_VALUE, "{}", bytes.expose().len());
            BlockRow::decode(bytes).is_some_and(|read| read == *row)
        };
        assert!(reads_back(&row));
        let stranger = EntryQuery {
            grant: Some(grant(1)),
            ..EntryQuery::default()
        };
        assert!(!row.may_fit(&stranger));
        row.add(&Entry {
            grant: Some(grant(2)),
            ..entry(1_000)
        });
        assert!(reads_back(&row) && row.may_fit(&stranger));
    }
}
