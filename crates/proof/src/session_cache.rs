//! Sessions that were opened lately, so that a request under one costs a look-up
//! and a MAC. What they are allowed is not cached: the directory, the clock and
//! the epoch are asked each time.

use crate::session::{self, Session, SessionFault, SessionKeys};
use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use procura_types::Timestamp;

const SHARDS: usize = 8;
/// Each holds a key of 32 bytes in locked memory: 32 KiB in all.
const PER_SHARD: usize = 128;

pub(crate) struct SessionCache {
    hasher: RandomState,
    shards: [Mutex<HashMap<Box<str>, Arc<Session>>>; SHARDS],
    hits: AtomicU64,
    misses: AtomicU64,
}

impl SessionCache {
    pub(crate) fn new() -> Self {
        Self {
            hasher: RandomState::new(),
            shards: std::array::from_fn(|_| Mutex::default()),
            hits: AtomicU64::new(0),
            misses: AtomicU64::new(0),
        }
    }

    /// The session of this id, from the cache or opened anew.
    pub(crate) fn open(
        &self,
        keys: &dyn SessionKeys,
        id: &str,
        audience: &str,
        now: Timestamp,
    ) -> Result<Arc<Session>, SessionFault> {
        let position = usize::try_from(self.hasher.hash_one(id) % 8).unwrap_or(0);
        #[expect(clippy::indexing_slicing, reason = "a remainder by 8 indexes 8 shards")]
        let shard = &self.shards[position];
        // A cache has no state that a panic could leave half made.
        let held = {
            let shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            shard.get(id).map(Arc::clone)
        };
        let count = if held.is_some() {
            &self.hits
        } else {
            &self.misses
        };
        count.fetch_add(1, Ordering::Relaxed);
        if let Some(session) = held {
            return if keys.accepts(session.epoch) {
                Ok(session)
            } else {
                Err(SessionFault::Unknown)
            };
        }
        let session = Arc::new(session::open(keys, id, audience)?);
        if now < session.expires() {
            let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            if shard.len() >= PER_SHARD {
                shard.retain(|_, known| now < known.expires());
            }
            if shard.len() >= PER_SHARD {
                shard.clear();
            }
            shard.insert(id.into(), Arc::clone(&session));
        }
        Ok(session)
    }

    /// Look-ups that found their session, and those that did not.
    pub(crate) fn hits_and_misses(&self) -> (u64, u64) {
        (
            self.hits.load(Ordering::Relaxed),
            self.misses.load(Ordering::Relaxed),
        )
    }

    /// Drops all keys.
    pub(crate) fn clear(&self) {
        for shard in &self.shards {
            shard.lock().unwrap_or_else(PoisonError::into_inner).clear();
        }
    }
}
