//! What waits, and what was given up, as it is read.

use super::lane::Waits;
use super::rows::{CHUNK, DEAD, Place, WAITING};
use procura_store::{KeyPrefix, Row, Store, StoreError, StoreSnapshot};
use procura_types::Timestamp;
use std::collections::BTreeMap;

/// All rows of a scan, chunk by chunk.
pub(super) fn all<K: Clone, V>(
    scan: impl Fn(Option<&K>) -> Result<Vec<(K, Row<V>)>, StoreError>,
) -> Result<Vec<(K, Row<V>)>, StoreError> {
    let mut rows: Vec<(K, Row<V>)> = Vec::new();
    loop {
        let chunk = scan(rows.last().map(|(key, _)| key))?;
        let whole = chunk.len() < CHUNK;
        rows.extend(chunk);
        if whole {
            return Ok(rows);
        }
    }
}

/// What waits in a channel.
pub(super) fn waiting(
    rows: &StoreSnapshot,
    place: &Place,
) -> Result<BTreeMap<u64, Waits>, StoreError> {
    let prefix = KeyPrefix::all().part(&place.0).part(&place.1);
    let mut found = BTreeMap::new();
    let mut after = None;
    loop {
        let chunk = WAITING.scan(rows, &prefix, after.as_ref(), CHUNK)?;
        let whole = chunk.len() < CHUNK;
        after = chunk.last().map(|(key, _)| key.clone());
        for ((_, _, index), row) in chunk {
            found.insert(index, row.value.waits());
        }
        if whole {
            return Ok(found);
        }
    }
}

/// How many messages of a channel were given up.
pub(super) fn count_dead(rows: &StoreSnapshot, place: &Place) -> Result<u64, StoreError> {
    let prefix = KeyPrefix::all().part(&place.0).part(&place.1);
    let dead = all(|after| DEAD.scan(rows, &prefix, after, CHUNK))?;
    Ok(u64::try_from(dead.len()).unwrap_or(u64::MAX))
}

/// What waits in a channel: how many, the oldest, and why the newest failure was one.
pub(super) fn queue_of(
    store: &Store,
    place: &Place,
) -> Result<(u64, Option<Timestamp>, Option<String>), StoreError> {
    let rows = store.snapshot()?;
    let prefix = KeyPrefix::all().part(&place.0).part(&place.1);
    let (mut count, mut oldest, mut failed) = (0u64, None, None);
    let mut after = None;
    loop {
        let chunk = WAITING.scan(&rows, &prefix, after.as_ref(), CHUNK)?;
        let whole = chunk.len() < CHUNK;
        after = chunk.last().map(|(key, _)| key.clone());
        for (_, row) in chunk {
            count = count.saturating_add(1);
            let time = row.value.facts.time;
            oldest = Some(oldest.map_or(time, |oldest: Timestamp| oldest.min(time)));
            let newer = failed
                .as_ref()
                .is_none_or(|(version, _)| *version < row.version);
            if let Some(why) = row.value.failure.filter(|_| newer) {
                failed = Some((row.version, why));
            }
        }
        if whole {
            return Ok((count, oldest, failed.map(|(_, why)| why)));
        }
    }
}
