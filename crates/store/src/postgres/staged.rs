//! What a group will change, in memory until all of it is known.
//!
//! The rows that the batches of a group name are asked for at once when it begins, and
//! what they change is written at once when it ends: the way to the database and back is
//! gone three times for a group, however many batches it has.

use crate::engine::{RawBatch, RawRow, RawWrite};
use crate::key::KeyRange;
use crate::{LogId, RowKey, Seq};
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// What the batches of a group name.
#[derive(Default)]
pub(super) struct Asked {
    pub(super) keys: BTreeSet<RowKey>,
    pub(super) prefixes: Vec<KeyRange>,
}

impl Asked {
    pub(super) fn by(batches: &[&RawBatch]) -> Self {
        let mut asked = Self::default();
        for batch in batches {
            asked
                .keys
                .extend(batch.expect.iter().map(|(key, _)| key.clone()));
            for write in &batch.writes {
                match write {
                    RawWrite::Put { key, .. } | RawWrite::Delete { key, .. } => {
                        asked.keys.insert(key.clone());
                    }
                    RawWrite::DeletePrefix { prefix } => {
                        asked.prefixes.push(KeyRange::prefix(prefix.as_bytes()));
                    }
                }
            }
        }
        asked
    }

    /// Whether all that a batch names was asked for.
    pub(super) fn covers_all(&self, batch: &RawBatch) -> bool {
        let other = Self::by(&[batch]);
        // The beginning of a log is looked at by itself.
        batch.trims.is_empty()
            && other.keys.is_subset(&self.keys)
            && other
                .prefixes
                .iter()
                .all(|range| self.prefixes.contains(range))
    }

    /// Whether what is stored under the key is known once the answers are there.
    pub(super) fn covers(&self, key: &RowKey) -> bool {
        self.keys.contains(key)
    }
}

/// A row as the transaction found it and as it will be.
#[derive(Default)]
struct Row {
    /// The bytes of key and value before; `None` when there was no row.
    before: Option<u64>,
    version: Option<Seq>,
    /// `None` as long as nothing was changed.
    change: Option<Option<Bytes>>,
}

/// An entry for the end of a log.
pub(super) struct Entry {
    pub(super) log: i32,
    pub(super) index: u64,
    pub(super) version: Seq,
    pub(super) value: Bytes,
}

/// The state that a transaction will leave.
#[derive(Default)]
pub(super) struct Staged {
    rows: BTreeMap<RowKey, Row>,
    pub(super) entries: Vec<Entry>,
    /// The logs that there are, with number and length.
    logs: HashMap<String, (i32, u64)>,
    pub(super) new_logs: Vec<(i32, LogId)>,
    /// The beginnings of logs that go: before which entry, by the log's number.
    pub(super) trims: Vec<(i32, u64)>,
    /// The bytes of the entries in them.
    trimmed: u64,
}

fn size(key: &RowKey, value: usize) -> u64 {
    u64::try_from(key.as_bytes().len().saturating_add(value)).unwrap_or(u64::MAX)
}

impl Staged {
    /// A row that is there, with the length of its value.
    pub(super) fn found(&mut self, key: RowKey, version: Seq, value: usize) {
        let row = Row {
            before: Some(size(&key, value)),
            version: Some(version),
            change: None,
        };
        self.rows.insert(key, row);
    }

    /// A log that is there.
    pub(super) fn found_log(&mut self, number: i32, name: String, length: u64) {
        self.logs.insert(name, (number, length));
    }

    pub(super) fn log_len(&self, log: LogId) -> u64 {
        self.logs.get(log.as_str()).map_or(0, |(_, length)| *length)
    }

    pub(super) fn version(&self, key: &RowKey) -> Option<Seq> {
        self.rows.get(key).and_then(|row| row.version)
    }

    /// Those of the rows that were asked for, or changed, whose keys begin so.
    pub(super) fn versions(&self, prefix: &RowKey) -> Vec<(RowKey, Seq)> {
        self.rows
            .range(prefix..)
            .take_while(|(key, _)| key.as_bytes().starts_with(prefix.as_bytes()))
            .filter_map(|(key, row)| Some((key.clone(), row.version?)))
            .collect()
    }

    pub(super) fn put(&mut self, key: &RowKey, version: Seq, value: Bytes) {
        let row = self.rows.entry(key.clone()).or_default();
        row.version = Some(version);
        row.change = Some(Some(value));
    }

    pub(super) fn delete(&mut self, key: &RowKey) {
        let row = self.rows.entry(key.clone()).or_default();
        row.version = None;
        row.change = Some(None);
    }

    pub(super) fn append(&mut self, log: LogId, index: u64, version: Seq, value: Bytes) {
        let next = self.logs.values().map(|(number, _)| *number).max();
        let number = match self.logs.get_mut(log.as_str()) {
            Some((number, length)) => {
                *length = index.saturating_add(1);
                *number
            }
            None => {
                let number = next.map_or(1, |last| last.saturating_add(1));
                let name = log.as_str().to_owned();
                self.logs.insert(name, (number, index.saturating_add(1)));
                self.new_logs.push((number, log));
                number
            }
        };
        self.entries.push(Entry {
            log: number,
            index,
            version,
            value,
        });
    }

    /// The number of a log that is there.
    pub(super) fn log_number(&self, log: LogId) -> Option<i32> {
        self.logs.get(log.as_str()).map(|(number, _)| *number)
    }

    /// The entries of a log before this one go, which have so many bytes.
    pub(super) fn trim(&mut self, log: i32, before: u64, bytes: u64) {
        self.trims.push((log, before));
        self.trimmed = self.trimmed.saturating_add(bytes);
    }

    /// The rows to write.
    pub(super) fn puts(&self) -> impl Iterator<Item = (&RowKey, Seq, &Bytes)> {
        self.rows.iter().filter_map(|(key, row)| {
            let value = row.change.as_ref()?.as_ref()?;
            Some((key, row.version?, value))
        })
    }

    /// The rows to remove: those that were there.
    pub(super) fn deletes(&self) -> impl Iterator<Item = &RowKey> {
        self.rows.iter().filter_map(|(key, row)| {
            (row.before.is_some() && matches!(row.change, Some(None))).then_some(key)
        })
    }

    /// How many bytes of rows and entries there will be, when there are so many.
    pub(super) fn bytes_after(&self, bytes: u64) -> u64 {
        let changed = self.rows.iter().filter(|(_, row)| row.change.is_some());
        let rows = changed.fold(bytes, |bytes, (key, row)| {
            let after = match &row.change {
                Some(Some(value)) => size(key, value.len()),
                _ => 0,
            };
            bytes
                .saturating_sub(row.before.unwrap_or(0))
                .saturating_add(after)
        });
        let rows = rows.saturating_sub(self.trimmed);
        self.entries.iter().fold(rows, |bytes, entry| {
            bytes.saturating_add(u64::try_from(entry.value.len()).unwrap_or(u64::MAX))
        })
    }

    /// The rows that were changed, as they are now.
    pub(super) fn into_changed(self) -> impl Iterator<Item = (RowKey, Option<RawRow>)> {
        self.rows.into_iter().filter_map(|(key, row)| {
            let change = row.change?;
            let version = row.version.unwrap_or_default();
            Some((key, change.map(|value| RawRow { version, value })))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> RowKey {
        RowKey::new("t", name.as_bytes())
    }

    fn bytes(len: usize) -> Bytes {
        vec![0; len].into()
    }

    #[test]
    fn what_is_found_is_seen_through_what_was_changed() {
        let mut staged = Staged::default();
        staged.found(key("a/1"), Seq::new(1), 10);
        staged.found(key("a/2"), Seq::new(2), 10);
        staged.found(key("b"), Seq::new(3), 10);
        staged.delete(&key("a/1"));
        staged.put(&key("a/3"), Seq::new(4), bytes(5));
        staged.put(&key("b"), Seq::new(4), bytes(7));
        staged.delete(&key("none"));
        let under = [(key("a/2"), Seq::new(2)), (key("a/3"), Seq::new(4))];
        assert_eq!(staged.versions(&key("a/")), under);
        assert_eq!(staged.version(&key("a/1")), None);
        // Three bytes of a key and ten of a value went, eight came, three of "b" went.
        assert_eq!(staged.bytes_after(100), 100 - 15 + 10 - 3);
        assert_eq!(staged.deletes().collect::<Vec<_>>(), [&key("a/1")]);
        let puts: Vec<_> = staged
            .puts()
            .map(|(key, version, _)| (key, version))
            .collect();
        assert_eq!(puts, [(&key("a/3"), Seq::new(4)), (&key("b"), Seq::new(4))]);
        let changed: Vec<_> = staged
            .into_changed()
            .map(|(key, row)| (key, row.is_some()))
            .collect();
        let expected = [("a/1", false), ("a/3", true), ("b", true), ("none", false)];
        assert_eq!(changed, expected.map(|(name, there)| (key(name), there)));
    }

    #[test]
    fn new_logs_get_the_next_numbers() {
        let mut staged = Staged::default();
        staged.found_log(4, "old".to_owned(), 9);
        let (old, new) = (LogId::new("old"), LogId::new("new"));
        assert_eq!((staged.log_len(old), staged.log_len(new)), (9, 0));
        staged.append(old, 9, Seq::new(1), bytes(3));
        staged.append(new, 0, Seq::new(1), bytes(3));
        staged.append(new, 1, Seq::new(1), bytes(3));
        assert_eq!((staged.log_len(old), staged.log_len(new)), (10, 2));
        assert_eq!(staged.new_logs, [(5, new)]);
        let places: Vec<_> = staged
            .entries
            .iter()
            .map(|entry| (entry.log, entry.index))
            .collect();
        assert_eq!(places, [(4, 9), (5, 0), (5, 1)]);
        assert_eq!(staged.bytes_after(1), 10);
        staged.trim(staged.log_number(old).unwrap(), 9, 40);
        assert_eq!(staged.trims, [(4, 9)]);
        assert_eq!((staged.log_len(old), staged.bytes_after(100)), (10, 69));
    }
}
