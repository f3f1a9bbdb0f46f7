//! What is left of a namespace that ended: rows that nobody reaches and of which no
//! value opens. They are taken away afterwards, some hundred at a time (ADR 10).
//!
//! One row says how far that is. The end of the namespace commits it, each batch moves
//! it on, and the last one removes it, so a process that ends anywhere goes on there.

use crate::error::AuthorityError;
use crate::project::{NUMBERS, PROJECTS};
use crate::request::{PENDING, REQUESTS};
use crate::run::{RUNNING, RUNS};
use crate::service::{COUNTS, SERVICES};
use procura_ledger::{Entry, SUMMARY, Summary};
use procura_policy::Resource;
use procura_record::RecordError;
use procura_record::tables::LEDGER;
use procura_store::{Batch, CommitError, Expected, KeyPrefix, Kind, Store, StoreError, Table};
use procura_types::{BatchId, Clock, Entropy, Namespace, Timestamp, TraceId};
use procura_vault::sweep_namespace;
use serde::{Deserialize, Serialize};

/// The entry's action.
const ACTION: &str = "namespace.sweep";

/// Most rows of one batch.
const PAGE: usize = 256;

/// Namespaces that ended and of which something may be left.
const ENDS: Table<Namespace, EndRow> = Table::new("namespace-end", Kind::Ordinary);

#[derive(Debug, Clone, Serialize, Deserialize)]
struct EndRow {
    ended: Timestamp,
    /// Rows taken away so far.
    swept: u64,
}

/// Says that there is something to take away.
pub(crate) fn begin(batch: &mut Batch, namespace: &Namespace, ended: Timestamp) {
    ENDS.put(batch, namespace, &EndRow { ended, swept: 0 });
}

/// Takes up to 256 rows of a namespace that ended away, in the queue for bulk work;
/// false when there is nothing left of any. The last step of each records how many rows
/// it had, if it had any.
///
/// # Errors
/// The store's; nothing of the batch was done then.
pub async fn sweep_namespaces(
    store: &Store,
    clock: &dyn Clock,
    entropy: &dyn Entropy,
) -> Result<bool, AuthorityError> {
    let first = ENDS.scan(&store.snapshot()?, &KeyPrefix::all(), None, 1)?;
    let Some((namespace, row)) = first.into_iter().next() else {
        return Ok(false);
    };
    let now = clock.now();
    let mut batch = Batch::new(BatchId::generate(now, entropy)?).bulk();
    ENDS.expect(&mut batch, &namespace, Expected::At(row.version));
    let EndRow { ended, swept } = row.value;
    let mut taken = sweep_namespace(&mut batch, store, &namespace, PAGE)?;
    taken += sweep(&mut batch, store, &namespace, PAGE.saturating_sub(taken))?;
    if taken > 0 {
        let swept = swept + u64::try_from(taken).unwrap_or(0);
        ENDS.put(&mut batch, &namespace, &EndRow { ended, swept });
    } else {
        ENDS.delete(&mut batch, &namespace);
        if swept > 0 {
            let trace = TraceId::generate(now, entropy)?;
            let entry = Entry {
                reason: Some(SUMMARY.into()),
                resource: Some(Resource::Namespace(namespace.clone()).to_string()),
                namespace: Some(namespace),
                summary: Some(Summary {
                    count: swept,
                    from: ended.min(now),
                    until: now,
                }),
                ..Entry::new(now, entropy, ACTION, trace)?
            };
            batch.append(LEDGER, entry.to_bytes().map_err(RecordError::from)?);
        }
    }
    match store.commit(batch).await {
        // Another server did it.
        Ok(_) | Err(CommitError::Conflict { .. }) => Ok(true),
        Err(error) => Err(RecordError::from(error).into()),
    }
}

/// What this crate keeps by namespace.
fn sweep(
    batch: &mut Batch,
    store: &Store,
    namespace: &Namespace,
    limit: usize,
) -> Result<usize, StoreError> {
    let snapshot = store.snapshot()?;
    let of = KeyPrefix::all().part(namespace);
    let mut swept = 0;
    // A table whose keys begin with a namespace has its line here.
    swept += PROJECTS.sweep(batch, &snapshot, &of, limit.saturating_sub(swept))?;
    swept += NUMBERS.sweep(batch, &snapshot, &of, limit.saturating_sub(swept))?;
    swept += REQUESTS.sweep(batch, &snapshot, &of, limit.saturating_sub(swept))?;
    swept += PENDING.sweep(batch, &snapshot, &of, limit.saturating_sub(swept))?;
    swept += RUNS.sweep(batch, &snapshot, &of, limit.saturating_sub(swept))?;
    swept += RUNNING.sweep(batch, &snapshot, &of, limit.saturating_sub(swept))?;
    swept += SERVICES.sweep(batch, &snapshot, &of, limit.saturating_sub(swept))?;
    swept += COUNTS.sweep(batch, &snapshot, &of, limit.saturating_sub(swept))?;
    Ok(swept)
}
