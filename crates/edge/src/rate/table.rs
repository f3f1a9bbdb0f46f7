//! What is remembered of many, in memory that does not grow.
//!
//! The table is made of sets of eight places, each with a lock of its own. Who has
//! which set is decided by a hash that nobody outside can predict. A place is given to
//! another only when nothing is known of its holder that would be forgotten by that,
//! so that nobody can wash off a debt by bringing others along.

use std::hash::{BuildHasher as _, Hash, RandomState};
use std::sync::{Mutex, PoisonError};

/// Places in a set.
const PLACES: usize = 8;

/// What is remembered of one. The default is what is known of somebody new.
pub(super) trait Entry: Copy + Default {
    /// Whether at `now` (nanoseconds) it is no more than what is known of somebody new.
    fn is_at_rest(&self, now: u64) -> bool;
}

/// Who is counted, as the table knows them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key([u64; 2]);

#[derive(Clone, Copy, Default)]
struct Place<E> {
    of: [u64; 2],
    entry: E,
}

#[derive(Default)]
struct Set<E> {
    places: [Place<E>; PLACES],
    /// Stands for all who find no place.
    crowd: E,
}

/// Where somebody stands in a table.
pub(super) enum Found<'a, E> {
    /// They have a place.
    Own(&'a mut E),
    /// They have none and get one if this is not at rest afterwards. They may have
    /// been part of the crowd before.
    New {
        /// What becomes theirs.
        entry: &'a mut E,
        /// What is remembered of the crowd.
        crowd: E,
    },
    /// All places are others', who cannot be forgotten yet. This is for everybody of
    /// whom that is true.
    Crowd(&'a mut E),
}

/// Entries by key, at most so many.
pub(super) struct Table<E> {
    sets: Box<[Mutex<Set<E>>]>,
    hashers: [RandomState; 2],
}

impl<E: Entry> Table<E> {
    /// A table for at least `capacity` entries, and at most seven more. Takes all of
    /// its memory at once.
    pub(super) fn new(capacity: usize) -> Self {
        let sets = capacity.div_ceil(PLACES).max(1);
        Self {
            sets: (0..sets).map(|_| Mutex::default()).collect(),
            hashers: [RandomState::new(), RandomState::new()],
        }
    }

    /// The key of `of`. Two of them have the same with a chance of one to 2^128, at
    /// which nobody can help.
    pub(super) fn key(&self, of: &impl Hash) -> Key {
        let [one, two] = &self.hashers;
        Key([one.hash_one(of), two.hash_one(of)])
    }

    /// Does `work` where `key` stands at `now`, in nanoseconds.
    pub(super) fn at<R>(&self, key: Key, now: u64, work: impl FnOnce(Found<'_, E>) -> R) -> R {
        let Key(of) = key;
        let [first, _] = of;
        let count = u64::try_from(self.sets.len()).unwrap_or(u64::MAX);
        let number = usize::try_from(first % count.max(1)).unwrap_or(0);
        let Some(set) = self.sets.get(number) else {
            // There is always a set of this number; nothing is known without one.
            return work(Found::Crowd(&mut E::default()));
        };
        // A set is whole between any two lines.
        let mut set = set.lock().unwrap_or_else(PoisonError::into_inner);
        let Set { places, crowd } = &mut *set;
        if let Some(place) = places.iter_mut().find(|place| place.of == of) {
            return work(Found::Own(&mut place.entry));
        }
        let free = places.iter_mut().find(|place| place.entry.is_at_rest(now));
        let Some(place) = free else {
            return work(Found::Crowd(crowd));
        };
        let mut entry = E::default();
        let crowd = *crowd;
        let result = work(Found::New {
            entry: &mut entry,
            crowd,
        });
        if !entry.is_at_rest(now) {
            *place = Place { of, entry };
        }
        result
    }

    /// Bytes that it takes.
    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        size_of_val(&*self.sets)
    }

    /// Places that are taken at `now`.
    #[cfg(test)]
    pub(super) fn taken(&self, now: u64) -> usize {
        let taken = |set: &Mutex<Set<E>>| {
            let set = set.lock().unwrap();
            set.places
                .iter()
                .filter(|place| !place.entry.is_at_rest(now))
                .count()
        };
        self.sets.iter().map(taken).sum()
    }
}
