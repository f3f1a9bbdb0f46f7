//! Which entries are too old, and what is said of them.

use super::{RetentionError, carried};
use crate::retention::key;
use crate::tables::{ForgottenRow, LEDGER, PUBLISHED, RetentionRow};
use crate::tiles::Tiles;
use crate::whole::WholeTiles;
use procura_ledger::{
    Carried, Entry, FULL_TILE, Forgetter, Forgetting, Frontier, LedgerError, TILE_WIDTH,
    consistency_proof, verify_consistency,
};
use procura_store::{LogEntry, Row, Seq, Store, StoreError};
use procura_types::{Duration, Timestamp};

/// How often an entry says that others are forgotten, unless there is much to forget.
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// The most entries that one entry says are forgotten.
const AT_ONCE: u64 = 256 * 1024;

/// What is to be said.
pub(super) struct Due {
    pub(super) said: Forgetting,
    pub(super) frontier: Frontier,
    pub(super) carried: Vec<u8>,
    pub(super) rule: Seq,
    pub(super) before: Option<Seq>,
    pub(super) as_of: Timestamp,
}

/// Looks which entries are too old.
pub(super) struct Look {
    pub(super) store: Store,
    pub(super) tiles: Tiles,
    pub(super) origin: String,
    pub(super) row: Option<Row<ForgottenRow>>,
    pub(super) kept: u64,
    pub(super) rule: Row<RetentionRow>,
    pub(super) due: Timestamp,
}

impl Look {
    pub(super) fn run(self) -> Result<Option<Due>, RetentionError> {
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
            as_of: self.due,
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
