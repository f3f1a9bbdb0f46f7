//! The bounded cache of sealed rows. What is in it is what is in the database:
//! stealing it steals nothing, and no value stays in memory in the clear.

use crate::RowKey;
use crate::engine::RawRow;
use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

const SHARDS: usize = 16;
/// Larger rows are chunks of values that are read once in a while.
const LARGEST: usize = 16 * 1024;
/// What an entry costs beside key and value: map slot, ring slot, counters.
const OVERHEAD: usize = 200;
/// How many of the keys that were asked for a shard keeps in mind.
const ASKED: usize = 1024;

/// Rows by key, in shards, each evicting by second chance. Once a shard is full, a
/// row gets in when it is asked for again soon: one walk over all rows neither costs
/// the copies nor drives out what is used.
pub(crate) struct RowCache {
    shards: [Mutex<Shard>; SHARDS],
    hasher: RandomState,
    shard_bytes: usize,
    /// How often it was brought in line with a commit that changed rows.
    settled: AtomicU64,
}

#[derive(Default)]
struct Shard {
    rows: HashMap<RowKey, Slot>,
    /// Keys in the order of eviction; may name rows that are gone.
    ring: VecDeque<RowKey>,
    bytes: usize,
    /// Counts writes, so that a row that was read before one is not filled in
    /// after it.
    writes: u64,
    /// Look-ups that found their row, and those that did not.
    hits: u64,
    misses: u64,
    /// By hash, marks of keys that were filled in or turned away last.
    asked: Vec<u16>,
}

struct Slot {
    row: RawRow,
    used: bool,
}

/// Permits to fill in what is read from the database now.
pub(crate) struct Fill(u64);

impl RowCache {
    pub(crate) fn new(bytes: usize) -> Self {
        Self {
            shards: Default::default(),
            hasher: RandomState::new(),
            shard_bytes: bytes / SHARDS,
            settled: AtomicU64::new(0),
        }
    }

    #[expect(clippy::indexing_slicing, reason = "the index is modulo the length")]
    fn shard(&self, key: &RowKey) -> (MutexGuard<'_, Shard>, u64) {
        let hash = self.hasher.hash_one(key.as_bytes());
        let [low, ..] = hash.to_le_bytes();
        (lock(&self.shards[usize::from(low) % SHARDS]), hash)
    }

    /// The row, or the permit to fill it in after reading it.
    pub(crate) fn get(&self, key: &RowKey) -> Result<RawRow, Fill> {
        let (mut shard, _) = self.shard(key);
        let writes = shard.writes;
        match shard.rows.get_mut(key) {
            Some(slot) => {
                slot.used = true;
                let row = slot.row.clone();
                shard.hits = shard.hits.wrapping_add(1);
                Ok(row)
            }
            None => {
                shard.misses = shard.misses.wrapping_add(1);
                Err(Fill(writes))
            }
        }
    }

    /// Fills a row in, unless its shard was written to since it was read.
    pub(crate) fn fill(&self, key: &RowKey, row: &RawRow, permit: &Fill) {
        let (mut shard, hash) = self.shard(key);
        if shard.writes != permit.0 {
            return;
        }
        let room = shard.bytes + cost(key, row) <= self.shard_bytes;
        if shard.is_asked_again(hash) || room {
            shard.insert(key, row.clone(), self.shard_bytes);
        }
    }

    /// A durable commit wrote or removed a row.
    pub(crate) fn written(&self, key: &RowKey, row: Option<RawRow>) {
        let (mut shard, _) = self.shard(key);
        shard.writes = shard.writes.wrapping_add(1);
        match row {
            Some(row) => shard.insert(key, row, self.shard_bytes),
            None => shard.remove(key),
        }
    }

    /// All rows of a durable commit are as it left them; it is acknowledged after this.
    pub(crate) fn settle(&self) {
        self.settled.fetch_add(1, Ordering::AcqRel);
    }

    /// How often there was such a commit.
    pub(crate) fn settled(&self) -> u64 {
        self.settled.load(Ordering::Acquire)
    }

    /// Forgets everything but how often it was of use.
    pub(crate) fn clear(&self) {
        for shard in &self.shards {
            let mut shard = lock(shard);
            *shard = Shard {
                writes: shard.writes.wrapping_add(1),
                hits: shard.hits,
                misses: shard.misses,
                ..Shard::default()
            };
        }
    }

    /// Look-ups that found their row, and those that did not, since it was made.
    pub(crate) fn hits_and_misses(&self) -> (u64, u64) {
        self.shards.iter().fold((0, 0), |(hits, misses), shard| {
            let shard = lock(shard);
            (
                hits.wrapping_add(shard.hits),
                misses.wrapping_add(shard.misses),
            )
        })
    }
}

fn lock(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

fn cost(key: &RowKey, row: &RawRow) -> usize {
    key.as_bytes().len() + row.value.len() + OVERHEAD
}

impl Shard {
    #[expect(clippy::indexing_slicing, reason = "the index is modulo the length")]
    fn is_asked_again(&mut self, hash: u64) -> bool {
        let [_, low, high, mark @ .., _, _, _] = hash.to_le_bytes();
        // No key leaves the mark of an empty place.
        let mark = u16::from_le_bytes(mark) | 1;
        self.asked.resize(ASKED, 0);
        let place = &mut self.asked[usize::from(u16::from_le_bytes([low, high])) % ASKED];
        std::mem::replace(place, mark) == mark
    }

    fn insert(&mut self, key: &RowKey, row: RawRow, room: usize) {
        self.remove(key);
        if row.value.len() > LARGEST || cost(key, &row) > room {
            return;
        }
        self.bytes += cost(key, &row);
        self.rows.insert(key.clone(), Slot { row, used: false });
        if self.ring.len() > 2 * self.rows.len() + 64 {
            self.ring = self.rows.keys().cloned().collect();
        } else {
            self.ring.push_back(key.clone());
        }
        while self.bytes > room {
            let Some(oldest) = self.ring.pop_front() else {
                break;
            };
            match self.rows.get_mut(&oldest) {
                Some(slot) if slot.used => {
                    slot.used = false;
                    self.ring.push_back(oldest);
                }
                _ => self.remove(&oldest),
            }
        }
    }

    fn remove(&mut self, key: &RowKey) {
        if let Some(slot) = self.rows.remove(key) {
            self.bytes = self.bytes.saturating_sub(cost(key, &slot.row));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Seq;

    fn key(n: u32) -> RowKey {
        RowKey::new("t", &n.to_be_bytes())
    }

    fn row(version: u64) -> RawRow {
        RawRow {
            version: Seq::new(version),
            value: vec![0; 100].into(),
        }
    }

    #[test]
    fn a_row_read_before_a_write_is_not_filled_in_after_it() {
        let cache = RowCache::new(1 << 20);
        let permit = cache.get(&key(1)).unwrap_err();
        cache.written(&key(1), Some(row(2)));
        cache.fill(&key(1), &row(1), &permit);
        assert_eq!(cache.get(&key(1)).ok(), Some(row(2)));
        assert_eq!(cache.hits_and_misses(), (1, 1));
        cache.clear();
        assert_eq!(cache.hits_and_misses(), (1, 1));
        let permit = cache.get(&key(2)).unwrap_err();
        cache.written(&key(2), None);
        cache.fill(&key(2), &row(1), &permit);
        assert!(cache.get(&key(2)).is_err());
    }

    #[test]
    fn it_stays_within_its_bound_and_keeps_what_is_used() {
        let cache = RowCache::new(SHARDS * 4000);
        cache.written(&key(0), Some(row(1)));
        for n in 1..2000 {
            assert!(cache.get(&key(0)).is_ok(), "evicted at {n}");
            cache.written(&key(n), Some(row(1)));
        }
        for shard in &cache.shards {
            let shard = lock(shard);
            let bytes: usize = shard.rows.iter().map(|(k, s)| cost(k, &s.row)).sum();
            assert!(bytes == shard.bytes && bytes <= 4000);
            assert!(shard.ring.len() <= 2 * shard.rows.len() + 65);
        }
        cache.clear();
        assert!(cache.get(&key(0)).is_err());
    }

    #[test]
    fn what_is_read_once_gets_in_only_where_there_is_room() {
        let cache = RowCache::new(SHARDS * 4000);
        let read = |n: u32| match cache.get(&key(n)) {
            Ok(_) => true,
            Err(permit) => {
                cache.fill(&key(n), &row(1), &permit);
                false
            }
        };
        assert!(!read(0) && read(0));
        for n in 1..2000 {
            read(n);
        }
        // Asked for a second time, the latest does get in.
        assert!(!read(1999) && read(1999));
        assert!(read(0));
        let late = (1000..1999).filter(|n| cache.get(&key(*n)).is_ok());
        // Two keys may leave the same mark.
        assert!(late.count() < 10);
    }

    #[test]
    fn rewriting_one_row_does_not_grow_the_ring() {
        let cache = RowCache::new(1 << 20);
        for n in 0..1000 {
            cache.written(&key(0), Some(row(n)));
            cache.written(&key(0), None);
        }
        let ring: usize = cache
            .shards
            .iter()
            .map(|shard| lock(shard).ring.len())
            .sum();
        assert!(ring <= 66, "{ring}");
    }
}
