//! Forgetting entries of the ledger that are older than the rule of `retention.rs` keeps them
//! (`protocol.md` §6, [ADR 34](../../../docs/adr/0034-ledger-retention.md)).
//!
//! First an entry says what is forgotten; in its commit the row stands that everybody reads
//! from then on. Only then the entries go, a few bundles at a time, each batch in one commit
//! with their leaf hashes and with the head that vouches for the rest. What breaks off
//! anywhere is gone on with.

mod due;

use crate::block::BLOCK;
use crate::handover::LedgerKeys;
use crate::lease::Lease;
use crate::recorder::RecordError;
use crate::retention::{key, retention};
use crate::tables::{BLOCKS, CARRIED, FORGOTTEN, ForgottenRow, LEAVES, LEDGER, REACHED, RETENTION};
use crate::tiles::{Tiles, TilesError};
use due::{Due, Look};
use procura_ledger::{
    Entry, FORGET, FULL_TILE, Finding, Hash, LEAST_KEPT, LedgerError, TILE_WIDTH, leaf_hash,
};
use procura_store::{Batch, Blob, CommitError, Expected, LogBeginning, Row, Store, StoreError};
use procura_types::{BatchId, Clock, Duration, Entropy, EntropyError, Timestamp, TraceId};
use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// By how much faster than time goes by what was not lived through is caught up with.
const CATCH_UP: u32 = 2;
/// A rule that was gone on from for longer than this is believed more than a clock that is
/// behind it.
const SETTLED: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// Bundles that go in one commit.
const BUNDLES: u64 = 16;

/// Why the ledger was not shortened; it is as it was before.
#[derive(Debug, thiserror::Error)]
pub enum RetentionError {
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A commit, an entry, random bytes.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// Files of hashes.
    #[error(transparent)]
    Tiles(TilesError),
    /// Formats.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// What the entries say does not fit together, so they are not given up.
    #[error("the entries that are due do not verify, so none is forgotten: {0}")]
    Entries(Box<Finding>),
    /// The entries are not those that the newest checkpoint signs.
    #[error(
        "the first {until} entries do not lead to the root that was signed, so none is forgotten"
    )]
    OtherTree {
        /// How many.
        until: u64,
    },
    /// A thread died, or the runtime stops.
    #[error("it broke off; it is tried again")]
    Broken,
}

impl RetentionError {
    /// Whether it may be gone in a moment: the store was away, or another server took away
    /// what was read. Anything else is found anew
    /// by reading all that is due, and stays until a person does something.
    #[must_use]
    pub const fn may_pass(&self) -> bool {
        match self {
            Self::Broken => true,
            Self::Store(error) | Self::Record(RecordError::Store(error)) => {
                matches!(
                    error,
                    StoreError::Unavailable(_) | StoreError::Io(_) | StoreError::Forgotten { .. }
                )
            }
            Self::Record(RecordError::Commit(error)) => matches!(
                error,
                CommitError::Unavailable(_) | CommitError::Io(_) | CommitError::Unknown
            ),
            _ => false,
        }
    }
}

impl From<TilesError> for RetentionError {
    fn from(error: TilesError) -> Self {
        match error {
            TilesError::Store(error) => Self::Store(error),
            other => Self::Tiles(other),
        }
    }
}

impl From<CommitError> for RetentionError {
    fn from(error: CommitError) -> Self {
        Self::Record(error.into())
    }
}

impl From<EntropyError> for RetentionError {
    fn from(error: EntropyError) -> Self {
        Self::Record(error.into())
    }
}

/// The first entry of the ledger that is kept.
///
/// # Errors
/// The store's.
pub fn first_kept(store: &Store) -> Result<u64, StoreError> {
    Ok(forgotten(store)?.map_or(0, |row| row.value.until))
}

/// What is forgotten, if anything is.
///
/// # Errors
/// The store's.
pub fn forgotten(store: &Store) -> Result<Option<Row<ForgottenRow>>, StoreError> {
    FORGOTTEN.get(store, &key())
}

/// What the forgotten entries leave behind, as an export has it.
///
/// # Errors
/// The store's.
pub fn carried(store: &Store) -> Result<Option<Vec<u8>>, StoreError> {
    let row = CARRIED.get(store, &key())?;
    Ok(row.map(|row| row.value.as_bytes().to_vec()))
}

/// The leaf hashes of a bundle that is gone.
///
/// # Errors
/// The store's; `Corrupt` when they are not there.
pub(crate) fn leaves(store: &Store, bundle: u64) -> Result<Vec<Hash>, StoreError> {
    let row = LEAVES.get(store, &bundle)?;
    let hashes = row.and_then(|row| Hash::from_tile(row.value.as_bytes()).ok());
    match hashes {
        Some(hashes) if hashes.len() == usize::from(FULL_TILE) => Ok(hashes),
        _ => Err(StoreError::Shape {
            table: LEAVES.name().into(),
        }),
    }
}

/// The leaf hashes of all entries that are gone, in their order.
///
/// # Errors
/// The store's.
pub fn gone_leaves(store: &Store, mut each: impl FnMut(Hash)) -> Result<u64, StoreError> {
    let start = store.log_start(LEDGER)?;
    for bundle in 0..start / TILE_WIDTH {
        leaves(store, bundle)?.into_iter().for_each(&mut each);
    }
    Ok(start)
}

/// What forgetting works on.
pub struct RetentionParts {
    /// The store that holds the log.
    pub store: Store,
    /// The files of this server.
    pub tiles: Tiles,
    /// Their name is the log's origin.
    pub keys: Arc<LedgerKeys>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub entropy: Arc<dyn Entropy>,
    /// What lets this server do it, where there are several.
    pub lease: Option<Arc<Lease>>,
}

/// What forgets: on the server that does what is done once.
pub struct Retention {
    parts: RetentionParts,
    /// Up to which bundle this server's files were removed.
    tidied: AtomicU64,
}

impl Retention {
    /// Of this store and these files.
    #[must_use]
    pub const fn new(parts: RetentionParts) -> Self {
        Self {
            parts,
            tidied: AtomicU64::new(0),
        }
    }

    /// As of when entries may be too old, where the clock said the ends of `read` at two
    /// readings, and the server was open for `lived`, by what nobody sets, since this was
    /// asked before; none where nothing is forgotten, or another server keeps this. It begins
    /// with when the rule was made, which a device signed, and goes on by twice the time that
    /// was lived through at most: a clock that is wrong for an hour, also over restarts, has
    /// an hour too much forgotten at most, and not the record. Where both readings are before
    /// the rule, the clock was ahead when it was made, and it begins with the later of them.
    ///
    /// # Errors
    /// [`RetentionError`]; then nothing may be said to be too old.
    pub async fn reached(
        &self,
        read: RangeInclusive<Timestamp>,
        lived: Duration,
    ) -> Result<Option<Timestamp>, RetentionError> {
        let store = &self.parts.store;
        let Some(rule) = retention(store)? else {
            return Ok(None);
        };
        let (agreed, latest) = read.into_inner();
        let row = REACHED.get(store, &key())?;
        let since = rule.value.since;
        // A row from before the rule is none of this rule's.
        let own = row.as_ref().filter(|row| row.version > rule.version);
        let mut before = own.map_or(since, |row| row.value);
        if latest < since && before <= since.plus(SETTLED) {
            before = before.min(latest);
        }
        let bound = before.plus(lived.saturating_mul(CATCH_UP));
        let reached = agreed.min(bound).max(before);
        if own.is_none_or(|row| row.value != reached) {
            let id = BatchId::generate(self.parts.clock.now(), self.parts.entropy.as_ref())?;
            let mut batch = Batch::new(id).bulk();
            let expected = row.map_or(Expected::Absent, |row| Expected::At(row.version));
            REACHED.expect(&mut batch, &key(), expected);
            RETENTION.expect(&mut batch, &key(), Expected::At(rule.version));
            REACHED.put(&mut batch, &key(), &reached);
            if !self.fence(&mut batch) || !self.commit(batch).await? {
                return Ok(None);
            }
        }
        Ok(Some(agreed.min(reached)))
    }

    /// Does the next thing that is to be done, and tells whether there may be more: goes on
    /// with what an entry says is forgotten, or says of entries that are too old at `due`
    /// that they are. Without a time only the first.
    ///
    /// # Errors
    /// [`RetentionError`]; then nothing was done.
    pub async fn step(&self, due: Option<Timestamp>) -> Result<bool, RetentionError> {
        let store = &self.parts.store;
        let row = forgotten(store)?;
        let start = store.log_start(LEDGER)?;
        if let Some(row) = &row
            && start < row.value.until
        {
            return self.trim(row, start).await;
        }
        let Some(due) = due.filter(|due| *due <= self.parts.clock.now()) else {
            return Ok(false);
        };
        let work = self.look(row, due)?;
        match work {
            Some(look) => {
                let found = tokio::task::spawn_blocking(move || look.run())
                    .await
                    .map_err(|_| RetentionError::Broken)??;
                match found {
                    Some(found) => self.say(found).await,
                    None => Ok(false),
                }
            }
            None => Ok(false),
        }
    }

    /// Removes this server's files of bundles that are gone.
    ///
    /// # Errors
    /// The store's, and those of the file system.
    pub fn tidy(&self) -> Result<(), RetentionError> {
        let gone = self.parts.store.log_start(LEDGER)? / TILE_WIDTH;
        if gone > self.tidied.load(Ordering::Relaxed) {
            self.parts.tiles.remove_bundles(gone)?;
            self.tidied.store(gone, Ordering::Relaxed);
        }
        Ok(())
    }

    fn look(
        &self,
        row: Option<Row<ForgottenRow>>,
        due: Timestamp,
    ) -> Result<Option<Look>, RetentionError> {
        let parts = &self.parts;
        let Some(rule) = retention(&parts.store)? else {
            return Ok(None);
        };
        let Some(kept) = rule.value.in_force(due) else {
            return Ok(None);
        };
        // Whatever a row says, what is of now stays.
        let kept = kept.max(LEAST_KEPT.as_secs());
        Ok(Some(Look {
            store: parts.store.clone(),
            tiles: parts.tiles.clone(),
            origin: parts.keys.current().vkey().name().to_owned(),
            row,
            kept,
            rule,
            due,
        }))
    }

    /// Says in the record what is forgotten from here on.
    async fn say(&self, due: Due) -> Result<bool, RetentionError> {
        let now = self.parts.clock.now();
        let entropy = self.parts.entropy.as_ref();
        let trace = TraceId::generate(now, entropy)?;
        let entry = Entry {
            resource: Some(format!("installation {}", due.said)),
            ..Entry::new(now, entropy, FORGET, trace)?
        };
        let mut batch = Batch::new(BatchId::generate(now, entropy)?).bulk();
        let before = due.before.map_or(Expected::Absent, Expected::At);
        FORGOTTEN.expect(&mut batch, &key(), before);
        RETENTION.expect(&mut batch, &key(), Expected::At(due.rule));
        if !self.fence(&mut batch) {
            return Ok(false);
        }
        let row = ForgottenRow {
            until: due.said.until,
            frontier: due.frontier.to_bytes(),
            entry: entry.id,
            // Not the time of now: a clock that is ahead in this moment would put off the
            // next time, for as long as it is ahead.
            time: due.as_of,
        };
        FORGOTTEN.put(&mut batch, &key(), &row);
        CARRIED.put(&mut batch, &key(), &Blob::new(due.carried));
        batch.append(LEDGER, entry.to_bytes()?);
        let done = self.commit(batch).await?;
        if done {
            tracing::info!(until = row.until, entry = %row.entry, "entries of the record are forgotten");
        }
        Ok(done)
    }

    /// Takes the next bundles away that are said to be forgotten.
    async fn trim(&self, row: &Row<ForgottenRow>, start: u64) -> Result<bool, RetentionError> {
        let until = row.value.until;
        let to = start.saturating_add(BUNDLES * TILE_WIDTH).min(until);
        let store = self.parts.store.clone();
        let read = tokio::task::spawn_blocking(move || read_beginning(&store, to));
        let (beginning, leaves) = read.await.map_err(|_| RetentionError::Broken)??;
        let now = self.parts.clock.now();
        let id = BatchId::generate(now, self.parts.entropy.as_ref())?;
        let mut batch = Batch::new(id).bulk();
        FORGOTTEN.expect(&mut batch, &key(), Expected::At(row.version));
        if !self.fence(&mut batch) {
            return Ok(false);
        }
        for (bundle, bytes) in leaves {
            // Hashes that are there are those of entries that are gone.
            LEAVES.expect(&mut batch, &bundle, Expected::Absent);
            LEAVES.put(&mut batch, &bundle, &Blob::new(bytes));
        }
        for block in start / BLOCK..to / BLOCK {
            BLOCKS.delete(&mut batch, &block);
        }
        batch.trim(&beginning);
        let done = self.commit(batch).await?;
        if done {
            self.tidy()?;
        }
        Ok(done)
    }

    fn fence(&self, batch: &mut Batch) -> bool {
        let lease = self.parts.lease.as_ref();
        lease.is_none_or(|lease| lease.fence(batch))
    }

    /// Whether it was done: another server, or a steward, may have been faster.
    async fn commit(&self, batch: Batch) -> Result<bool, RetentionError> {
        match self.parts.store.commit(batch).await {
            Ok(_) => Ok(true),
            Err(CommitError::Conflict { .. }) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}

/// The leaf hashes of bundles, by the bundles' numbers.
type Leaves = BTreeMap<u64, Vec<u8>>;

/// Reads the bundles that are kept before an entry. Another server may have taken some of
/// them away meanwhile, so each entry says itself to which one it belongs.
fn read_beginning(store: &Store, to: u64) -> Result<(LogBeginning, Leaves), RetentionError> {
    let mut leaves = Leaves::new();
    let beginning = store.log_beginning(LEDGER, to, |entry| {
        let bundle = leaves.entry(entry.index / TILE_WIDTH).or_default();
        bundle.extend_from_slice(leaf_hash(entry.bytes.expose()).as_bytes());
        Ok::<(), RetentionError>(())
    })?;
    Ok((beginning, leaves))
}
