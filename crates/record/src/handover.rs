//! The keys that sign checkpoints, and what is kept of one that follows another
//! (`spec/ledger.md`, "When the key turns").

use crate::publisher::PublisherError;
use crate::recorder::RecordError;
use crate::tables::{HANDOVERS, HandoverRow};
use arc_swap::{ArcSwap, Guard};
use procura_ledger::{Checkpoint, CheckpointSigners, LedgerError, Vkey};
use procura_store::{Batch, Expected, Store, StoreError};
use procura_types::{BatchId, Clock, Entropy};
use std::sync::Arc;

/// The keys that sign checkpoints. They turn with the root, while they are in use.
pub struct LedgerKeys(ArcSwap<CheckpointSigners>);

impl LedgerKeys {
    /// These.
    #[must_use]
    pub fn new(signers: CheckpointSigners) -> Self {
        Self(ArcSwap::from_pointee(signers))
    }

    /// Puts others in their place: the next checkpoint is signed by them.
    pub fn replace(&self, signers: CheckpointSigners) {
        self.0.store(Arc::new(signers));
    }

    /// Those of now.
    #[must_use]
    pub fn current(&self) -> Guard<Arc<CheckpointSigners>> {
        self.0.load()
    }
}

/// The checkpoints that the keys turned with, oldest first.
///
/// # Errors
/// The store's.
pub fn handovers(store: &Store) -> Result<Vec<String>, StoreError> {
    Ok(rows(store)?.into_iter().map(|row| row.note).collect())
}

fn rows(store: &Store) -> Result<Vec<HandoverRow>, StoreError> {
    let snapshot = store.snapshot()?;
    let rows = HANDOVERS.load(&snapshot)?;
    Ok(rows.into_iter().map(|(_, row)| row.value).collect())
}

/// Opens a checkpoint of this store with whichever key signed it: the key may have turned
/// since, or while nothing could be signed.
pub(crate) fn open(
    store: &Store,
    signers: &CheckpointSigners,
    note: &str,
) -> Result<Checkpoint, PublisherError> {
    let active = Checkpoint::open(note, signers.vkey());
    if !matches!(active, Err(LedgerError::Unsigned { .. })) {
        return Ok(active?);
    }
    let mut keys: Vec<Vkey> = signers.former().map(|(vkey, _)| vkey.clone()).collect();
    for row in rows(store)? {
        keys.push(row.key.parse()?);
        keys.push(row.before.parse()?);
    }
    for key in keys {
        match Checkpoint::open(note, &key) {
            Err(LedgerError::Unsigned { .. }) => {}
            other => return Ok(other?),
        }
    }
    Ok(active?)
}

/// Whether the checkpoint that the active key began with has still to be kept: the keys
/// of before sign until it is, also when their time is over.
pub(crate) fn is_due(store: &Store, signers: &CheckpointSigners) -> Result<bool, StoreError> {
    if signers.former().next().is_none() {
        return Ok(false);
    }
    let active = signers.vkey().to_string();
    Ok(!rows(store)?.iter().any(|row| row.key == active))
}

/// Keeps the first checkpoint of the active key.
pub(crate) async fn keep(
    store: &Store,
    signers: &CheckpointSigners,
    note: &str,
    clock: &dyn Clock,
    entropy: &dyn Entropy,
) -> Result<(), PublisherError> {
    let Some((before, _)) = signers.former().last() else {
        return Ok(());
    };
    let row = HandoverRow {
        before: before.to_string(),
        key: signers.vkey().to_string(),
        note: note.to_owned(),
    };
    let count = u64::try_from(rows(store)?.len()).unwrap_or(u64::MAX);
    let id = BatchId::generate(clock.now(), entropy).map_err(RecordError::from)?;
    // Without it nobody who sleeps now follows later, so a full disk must not stop it.
    let mut batch = Batch::new(id).reserved();
    HANDOVERS.expect(&mut batch, &count, Expected::Absent);
    HANDOVERS.put(&mut batch, &count, &row);
    store.commit(batch).await.map_err(RecordError::from)?;
    Ok(())
}
