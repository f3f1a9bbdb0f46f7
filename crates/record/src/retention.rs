//! How long entries of the ledger are kept: the rule, which an entry says (`protocol.md` §6,
//! [ADR 34](../../../docs/adr/0034-ledger-retention.md)). What it has forgotten is in
//! `forgetting.rs`.

use crate::batch::RecordedBatch;
use crate::tables::{PUBLISHED_KEY, RETENTION, RetentionRow};
use procura_policy::Op;
use procura_store::{Batch, Expected, Row, Store, StoreError};
use procura_types::{Duration, Timestamp};

/// How long a rule waits that keeps entries for less than the one before: whoever is told
/// of it has so long to say otherwise.
pub const WAIT: Duration = Duration::from_secs(24 * 60 * 60);
/// Rules are in whole days.
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

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

/// The key of rows that there is one of.
pub(crate) fn key() -> String {
    PUBLISHED_KEY.to_owned()
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
