//! Secrets whose date is over: the record says so of each, once (ADR 10). Whoever
//! is to be reminded follows the record.

use crate::about::About;
use crate::error::SealError;
use crate::secret_rows::HEADS;
use crate::vault::Vault;
use procura_ledger::Entry;
use procura_policy::{Op, Resource};
use procura_record::tables::LEDGER;
use procura_record::{RecordError, RecordedBatch};
use procura_store::{Batch, CommitError, Expected, KeyPrefix, Kind, Table};
use procura_types::wire::VersionState;
use procura_types::{BatchId, Clock, Namespace, SecretPath, Timestamp, TraceId};
use std::collections::BTreeSet;

/// The entry's action.
pub const ACTION: &str = "secret.due";

/// Rows that one batch looks at.
const PAGE: usize = 64;

/// (when, namespace, path) → nothing: dates that the record does not say yet.
const DUE: Table<(u64, String, String), ()> = Table::new("secret-due", Kind::Ordinary);

/// Keeps the index of dates in step with a head.
pub(crate) fn index<O: Op>(
    batch: &mut RecordedBatch<'_, O>,
    (namespace, path): &(String, String),
    before: &About,
    after: &About,
) {
    let dates = |about: &About| -> BTreeSet<u64> {
        let open = about.deadlines().filter(|date| !date.told);
        open.map(|date| date.at.as_millis()).collect()
    };
    let (before, after) = (dates(before), dates(after));
    let row = |at: &u64| (*at, namespace.clone(), path.clone());
    for at in before.difference(&after) {
        DUE.delete(batch.rows(), &row(at));
    }
    for at in after.difference(&before) {
        DUE.put(batch.rows(), &row(at), &());
    }
}

/// Takes a head that goes out of the index of dates.
pub(crate) fn unindex(batch: &mut Batch, (namespace, path): &(String, String), about: &About) {
    for date in about.deadlines() {
        let at = date.at.as_millis();
        DUE.delete(batch, &(at, namespace.clone(), path.clone()));
    }
}

impl Vault {
    /// Records up to 64 secrets whose date is over, each once for each date, in the
    /// queue for bulk work; false when no more are.
    ///
    /// # Errors
    /// The store's; nothing of the batch was done then.
    pub async fn remind_step(&self, clock: &dyn Clock) -> Result<bool, SealError> {
        let now = clock.now();
        let rows = DUE.scan(&self.store().snapshot()?, &KeyPrefix::all(), None, PAGE)?;
        let full = rows.len() == PAGE;
        let over: Vec<_> = rows
            .into_iter()
            .map(|(key, _)| key)
            .take_while(|(at, _, _)| Timestamp::from_millis(*at) <= now)
            .collect();
        if over.is_empty() {
            return Ok(false);
        }
        let more = full && over.len() == PAGE;
        let mut batch = Batch::new(BatchId::generate(now, self.entropy())?).bulk();
        let mut seen = BTreeSet::new();
        for due in over {
            DUE.delete(&mut batch, &due);
            let key = (due.1, due.2);
            if seen.insert(key.clone()) {
                self.remind(&mut batch, &key, now)?;
            }
        }
        match self.store().commit(batch).await {
            // A secret was changed meanwhile: the same page once more.
            Err(CommitError::Conflict { .. }) => Ok(true),
            Ok(_) => Ok(more),
            Err(error) => Err(RecordError::from(error).into()),
        }
    }

    /// Puts the entry of one secret, and the mark that there is one.
    fn remind(
        &self,
        batch: &mut Batch,
        key: &(String, String),
        now: Timestamp,
    ) -> Result<(), SealError> {
        let Some(row) = HEADS.get(self.store(), key)? else {
            return Ok(());
        };
        // Of what is deleted nobody is reminded; its dates count again when it is back.
        if row.value.latest.state != VersionState::Live {
            HEADS.expect(batch, key, Expected::At(row.version));
            return Ok(());
        }
        let (Ok(namespace), Ok(path)) = (key.0.parse::<Namespace>(), key.1.parse::<SecretPath>())
        else {
            return Ok(());
        };
        let mut head = row.value;
        let mut words = Vec::new();
        for (what, date) in head.about.deadlines_mut() {
            if !date.told && date.at <= now {
                date.told = true;
                words.push(format!("{what}:{}", date.at));
            }
        }
        if words.is_empty() {
            return Ok(());
        }
        HEADS.expect(batch, key, Expected::At(row.version));
        HEADS.put(batch, key, &head);
        let resource = Resource::Secret(namespace.clone(), path);
        let trace = TraceId::generate(now, self.entropy())?;
        let entry = Entry {
            resource: Some(format!("{resource} {}", words.join(" "))),
            namespace: Some(namespace),
            ..Entry::new(now, self.entropy(), ACTION, trace)?
        };
        batch.append(LEDGER, entry.to_bytes().map_err(RecordError::from)?);
        Ok(())
    }
}
