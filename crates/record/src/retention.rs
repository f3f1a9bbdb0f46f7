//! How long entries of the ledger are kept, and forgetting those that are older
//! (`protocol.md` §6, [ADR 34](../../../docs/adr/0034-ledger-retention.md)).
//!
//! First an entry says what is forgotten; in its commit the row stands that everybody reads
//! from then on. Only then the entries go, a few bundles at a time, each batch in one commit
//! with their leaf hashes and with the head that vouches for the rest. What breaks off
//! anywhere is gone on with.

use crate::batch::RecordedBatch;
use crate::block::BLOCK;
use crate::handover::LedgerKeys;
use crate::lease::Lease;
use crate::recorder::RecordError;
use crate::tables::{
    BLOCKS, CARRIED, FORGOTTEN, ForgottenRow, LEAVES, LEDGER, PUBLISHED, PUBLISHED_KEY, REACHED,
    RETENTION, RetentionRow,
};
use crate::tiles::{Tiles, TilesError};
use crate::whole::WholeTiles;
use procura_ledger::{
    Carried, Entry, FORGET, FULL_TILE, Finding, Forgetter, Forgetting, Frontier, Hash, LEAST_KEPT,
    LedgerError, TILE_WIDTH, consistency_proof, leaf_hash, verify_consistency,
};
use procura_policy::Op;
use procura_store::{
    Batch, Blob, CommitError, Expected, LogBeginning, LogEntry, Row, Seq, Store, StoreError,
};
use procura_types::{BatchId, Clock, Duration, Entropy, EntropyError, Timestamp, TraceId};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// How long a rule waits that keeps entries for less than the one before: whoever is told
/// of it has so long to say otherwise.
pub const WAIT: Duration = Duration::from_secs(24 * 60 * 60);
/// How often an entry says that others are forgotten, unless there is much to forget.
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// The most entries that one entry says are forgotten.
const AT_ONCE: u64 = 256 * 1024;
/// By how much faster than time goes by what was not lived through is caught up with.
const CATCH_UP: u32 = 2;
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

impl RetentionRow {
    /// For how long entries are kept at a time, in seconds; for ever without. A rule that
    /// keeps them for less than the one before waits for a day.
    #[must_use]
    pub fn in_force(&self, now: Timestamp) -> Option<u64> {
        match self.waits_until(now) {
            Some(_) => self.before,
            None => self.keep,
        }
    }

    /// Until when the rule of before holds still.
    #[must_use]
    pub fn waits_until(&self, now: Timestamp) -> Option<Timestamp> {
        let shorter = match (self.keep, self.before) {
            (Some(keep), Some(before)) => keep < before,
            (Some(_), None) => true,
            (None, _) => false,
        };
        let until = self.since.plus(WAIT);
        (shorter && now < until).then_some(until)
    }
}

/// The rule of now, if somebody ever made one.
///
/// # Errors
/// The store's.
pub fn retention(store: &Store) -> Result<Option<Row<RetentionRow>>, StoreError> {
    RETENTION.get(store, &key())
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

/// Puts another rule in force, and says so in the entry of the change: entries are kept for
/// so many seconds, for ever without.
///
/// # Errors
/// The store's.
pub fn keep<O: Op>(
    batch: &mut RecordedBatch<'_, O>,
    keep: Option<u64>,
    now: Timestamp,
) -> Result<RetentionRow, StoreError> {
    let before = retention(batch.store())?;
    let expected = before
        .as_ref()
        .map_or(Expected::Absent, |row| Expected::At(row.version));
    let row = RetentionRow {
        keep,
        since: now,
        by: *batch.permit().caller().actor(),
        before: before.and_then(|row| row.value.in_force(now)),
    };
    RETENTION.expect(batch.rows(), &key(), expected);
    RETENTION.put(batch.rows(), &key(), &row);
    let days = |seconds: Option<u64>| match seconds {
        Some(seconds) => format!("{}d", seconds / DAY.as_secs()),
        None => "forever".to_owned(),
    };
    let from = row.waits_until(now).unwrap_or(now);
    let (kept, was) = (days(row.keep), days(row.before));
    batch.details().with = Some(format!("keep:{kept} was:{was} from:{from}"));
    Ok(row)
}

/// Has entries kept for ever from here on, until a steward says otherwise.
pub fn keep_for_ever(batch: &mut Batch) {
    RETENTION.delete(batch, &key());
}

fn key() -> String {
    PUBLISHED_KEY.to_owned()
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

/// What is to be said.
struct Due {
    said: Forgetting,
    frontier: Frontier,
    carried: Vec<u8>,
    rule: Seq,
    before: Option<Seq>,
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

    /// As of when entries may be too old, where the clock says `agreed` and the server was
    /// open for `lived`, by what nobody sets, since this was asked before; none where
    /// nothing is forgotten, or another server keeps this. It begins with when the rule was
    /// made, which a device signed, and goes on by twice the time that was lived through at
    /// most: a clock that is wrong for an hour, also over restarts, has an hour too much
    /// forgotten at most, and not the record.
    ///
    /// # Errors
    /// [`RetentionError`]; then nothing may be said to be too old.
    pub async fn reached(
        &self,
        agreed: Timestamp,
        lived: Duration,
    ) -> Result<Option<Timestamp>, RetentionError> {
        let store = &self.parts.store;
        let Some(rule) = retention(store)? else {
            return Ok(None);
        };
        let row = REACHED.get(store, &key())?;
        let since = rule.value.since;
        let before = row.as_ref().map_or(since, |row| row.value.max(since));
        let bound = before.plus(lived.saturating_mul(CATCH_UP));
        let reached = agreed.min(bound).max(before);
        if row.as_ref().is_none_or(|row| row.value != reached) {
            let id = BatchId::generate(self.parts.clock.now(), self.parts.entropy.as_ref())?;
            let mut batch = Batch::new(id).bulk();
            let expected = row.map_or(Expected::Absent, |row| Expected::At(row.version));
            REACHED.expect(&mut batch, &key(), expected);
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
            time: now,
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

/// Looks which entries are too old.
struct Look {
    store: Store,
    tiles: Tiles,
    origin: String,
    row: Option<Row<ForgottenRow>>,
    kept: u64,
    rule: Row<RetentionRow>,
    due: Timestamp,
}

impl Look {
    fn run(self) -> Result<Option<Due>, RetentionError> {
        let Some(published) = PUBLISHED.get(&self.store, &key())? else {
            return Ok(None);
        };
        let tree = Frontier::from_bytes(&published.value.frontier)?;
        if self.tiles.size() < tree.size() {
            return Ok(None);
        }
        let begun = self.row.as_ref().map_or(0, |row| row.value.until);
        // Whole bundles that are signed; the log keeps its last entry.
        let most = tree.size().saturating_sub(1) / TILE_WIDTH * TILE_WIDTH;
        let limit = self.due.minus(Duration::from_secs(self.kept));
        if !self.is_worth_it(begun, most, limit)? {
            return Ok(None);
        }
        let frontier = match &self.row {
            Some(row) => Frontier::from_bytes(&row.value.frontier)?,
            None => Frontier::new(),
        };
        let carried_before = match carried(&self.store)? {
            Some(bytes) => Carried::from_bytes(&bytes)?,
            None => Carried::new(),
        };
        let mut forgetter = Forgetter::new(&self.origin, &carried_before, frontier);
        let end = most.min(begun.saturating_add(AT_ONCE));
        while forgetter.frontier().size() < end {
            let bundle = self.bundle(forgetter.frontier().size())?;
            if !is_older(&bundle, limit)? {
                break;
            }
            for entry in &bundle {
                forgetter
                    .read(entry.bytes.expose())
                    .map_err(|finding| RetentionError::Entries(Box::new(finding)))?;
            }
        }
        let frontier = forgetter.frontier().clone();
        let until = frontier.size();
        if until == begun {
            return Ok(None);
        }
        self.leads_to(&frontier, &tree)?;
        let carried = forgetter.carried().to_bytes()?;
        Ok(Some(Due {
            said: Forgetting {
                until,
                root: frontier.root(),
                state: Carried::digest(&carried),
                kept: self.kept,
                by: self.rule.value.by,
            },
            frontier,
            carried,
            rule: self.rule.version,
            before: self.row.map(|row| row.version),
        }))
    }

    /// Whether a day has gone by since the last time, or there is as much to forget as one
    /// entry may say.
    fn is_worth_it(&self, begun: u64, most: u64, limit: Timestamp) -> Result<bool, RetentionError> {
        let lately = self
            .row
            .as_ref()
            .is_some_and(|row| row.value.time.plus(DAY) > self.due);
        let last = begun.saturating_add(AT_ONCE);
        if !lately {
            return Ok(begun < most);
        }
        Ok(last <= most && is_older(&self.bundle(last.saturating_sub(TILE_WIDTH))?, limit)?)
    }

    fn bundle(&self, from: u64) -> Result<Vec<LogEntry>, StoreError> {
        self.store.log_read(LEDGER, from, usize::from(FULL_TILE))
    }

    /// What is forgotten has to be what was signed: otherwise whoever changed it would have
    /// the change forgotten as well.
    fn leads_to(&self, begun: &Frontier, tree: &Frontier) -> Result<(), RetentionError> {
        let until = begun.size();
        let tiles = WholeTiles {
            store: self.store.clone(),
            tiles: self.tiles.clone(),
        };
        let proof = consistency_proof(&tiles, until, tree.size())?;
        verify_consistency(until, &begun.root(), tree.size(), &tree.root(), &proof)
            .map_err(|_| RetentionError::OtherTree { until })
    }
}

/// Whether every entry of a bundle is from before this time.
fn is_older(bundle: &[LogEntry], limit: Timestamp) -> Result<bool, LedgerError> {
    for entry in bundle {
        if Entry::parse(entry.bytes.expose())?.time >= limit {
            return Ok(false);
        }
    }
    Ok(!bundle.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use procura_types::ActorId;

    #[test]
    fn a_shorter_rule_waits_for_a_day_and_a_longer_one_does_not() {
        let now = Timestamp::from_millis(1_795_000_000_000);
        let rule = |keep, before| RetentionRow {
            keep,
            since: now,
            by: ActorId::from_bytes([1; 32]),
            before,
        };
        let days = |days: u64| Some(days * 86_400);
        // What is kept at once, and what after a day.
        let cases = [
            (None, None, None, None),
            (days(9), None, None, days(9)),
            (days(9), days(30), days(30), days(9)),
            (days(30), days(9), days(30), days(30)),
            (None, days(9), None, None),
            (days(9), days(9), days(9), days(9)),
        ];
        for (keep, before, at_once, later) in cases {
            let rule = rule(keep, before);
            let almost = now.plus(WAIT).minus(Duration::from_millis(1));
            assert_eq!(rule.in_force(now), at_once, "{rule:?}");
            assert_eq!(rule.in_force(almost), at_once, "{rule:?}");
            assert_eq!(rule.in_force(now.plus(WAIT)), later, "{rule:?}");
            let waits = (at_once != later).then(|| now.plus(WAIT));
            assert_eq!(rule.waits_until(now), waits, "{rule:?}");
        }
    }
}
