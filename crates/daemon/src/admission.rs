//! How many connections each user holds.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The connections of all users, counted by user.
pub(crate) struct Admission {
    each: usize,
    held: Mutex<BTreeMap<u32, usize>>,
}

/// One connection of a user; given back when it is dropped.
pub(crate) struct Admitted {
    by: Arc<Admission>,
    uid: u32,
}

impl Admission {
    /// Lets each user hold so many connections at once.
    pub(crate) fn new(each: usize) -> Arc<Self> {
        Arc::new(Self {
            each,
            held: Mutex::new(BTreeMap::new()),
        })
    }

    /// How many one user may hold.
    pub(crate) const fn each(&self) -> usize {
        self.each
    }

    /// Counts one more connection of a user; nothing when it would be too many.
    pub(crate) fn admit(self: &Arc<Self>, uid: u32) -> Option<Admitted> {
        let mut held = self.held();
        let count = held.entry(uid).or_default();
        if *count >= self.each {
            return None;
        }
        *count += 1;
        Some(Admitted {
            by: Arc::clone(self),
            uid,
        })
    }

    fn held(&self) -> MutexGuard<'_, BTreeMap<u32, usize>> {
        // A panic while it was held has left whole counts.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        let mut held = self.by.held();
        match held.get_mut(&self.uid) {
            Some(count) if *count > 1 => *count -= 1,
            // Users who hold none are forgotten, so that the map stays small.
            _ => drop(held.remove(&self.uid)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_user_has_places_of_its_own_and_gets_them_back() {
        let users = Admission::new(2);
        let first = users.admit(7).unwrap();
        let second = users.admit(7).unwrap();
        assert!(users.admit(7).is_none(), "one too many");
        assert!(users.admit(7).is_none(), "a refusal counts for nothing");
        let other = users.admit(8).unwrap();
        drop(first);
        let third = users.admit(7).unwrap();
        assert!(users.admit(7).is_none());
        drop((second, third, other));
        assert!(users.held().is_empty());
    }
}
