//! A map that is cheap to copy: 64 shards, each copied only when it changes.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, RandomState};
use std::sync::Arc;

const SHARDS: usize = 64;

pub(crate) struct ShardMap<K, V> {
    hasher: RandomState,
    shards: Vec<Arc<HashMap<K, Arc<V>>>>,
}

// Not derived: values need not be Clone, they are shared.
impl<K, V> Clone for ShardMap<K, V> {
    fn clone(&self) -> Self {
        Self {
            hasher: self.hasher.clone(),
            shards: self.shards.clone(),
        }
    }
}

impl<K: Eq + Hash + Clone, V> ShardMap<K, V> {
    pub(crate) fn new() -> Self {
        Self {
            hasher: RandomState::new(),
            shards: (0..SHARDS).map(|_| Arc::new(HashMap::new())).collect(),
        }
    }

    fn position<Q: Hash + ?Sized>(&self, key: &Q) -> usize {
        // The remainder is below 64, so it always fits.
        usize::try_from(self.hasher.hash_one(key) % 64).unwrap_or(0)
    }

    pub(crate) fn get<Q>(&self, key: &Q) -> Option<&Arc<V>>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.shards.get(self.position(key))?.get(key)
    }

    pub(crate) fn insert(&mut self, key: K, value: V) {
        let position = self.position(&key);
        if let Some(shard) = self.shards.get_mut(position) {
            Arc::make_mut(shard).insert(key, Arc::new(value));
        }
    }

    pub(crate) fn remove<Q>(&mut self, key: &Q) -> Option<Arc<V>>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let position = self.position(key);
        let shard = self.shards.get_mut(position)?;
        if !shard.contains_key(key) {
            return None;
        }
        Arc::make_mut(shard).remove(key)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.shards.iter().all(|shard| shard.is_empty())
    }

    pub(crate) fn values(&self) -> impl Iterator<Item = &Arc<V>> {
        self.shards.iter().flat_map(|shard| shard.values())
    }
}
