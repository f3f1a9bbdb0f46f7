//! The guard in memory: sharded by device, with a cap for each, purged by time.

use crate::guard::{Claim, GuardUnavailable, Once, Outcome, ReplayGuard, Windows};
use crate::window::Window;
use procura_crypto::MacKey;
use procura_types::{Duration, Thumbprint};
use std::collections::{HashMap, HashSet, VecDeque};
use std::hash::{BuildHasher as _, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

const SHARDS: usize = 16;
/// Nonces are remembered in sets of at least this many seconds, dropped as a
/// whole.
const GENERATION_SECS: u64 = 20;
/// How many sets there should be in the time that claims are remembered: each
/// claim asks all of them.
const GENERATIONS: u64 = 4;
/// How often a shard looks at devices that make no claims any more.
const SWEEP_SECS: u64 = 10;

/// How much is remembered for one device.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Nonces at a time. The default, 2^20, is some 11,000 a second.
    pub nonces: usize,
    /// Sessions in use at a time. The default, 4,096, is seven a second; each takes
    /// half a kilobyte.
    pub sessions: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            nonces: 1 << 20,
            sessions: 4096,
        }
    }
}

/// A claim as it is remembered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Remembered {
    /// The first half of the device's thumbprint.
    pub device: [u8; 16],
    /// When it was claimed, in seconds since 1970.
    pub claimed: u64,
    /// What was claimed.
    pub what: RememberedOnce,
}

/// What was claimed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RememberedOnce {
    /// The keyed hash of device and nonce.
    Nonce([u8; 16]),
    /// A counter of a session.
    Counter {
        /// The session.
        session: [u8; 16],
        /// The counter.
        counter: u64,
        /// When the session ends, in seconds since 1970.
        expires: u64,
    },
}

/// A [`ReplayGuard`] that lives and dies with the process.
pub struct MemoryGuard {
    key: MacKey,
    limits: Limits,
    windows: Windows,
    hasher: RandomState,
    shards: [Mutex<Shard>; SHARDS],
    /// Proofs made at this second or earlier may have been used and forgotten.
    /// In a clock's normal course they are too old anyway; it matters when the
    /// clock is set back and when the memory of a former process was lost.
    horizon: AtomicU64,
}

#[derive(Default)]
struct Shard {
    devices: HashMap<[u8; 16], Device>,
    swept: u64,
}

#[derive(Default)]
struct Device {
    /// Oldest first.
    generations: VecDeque<Generation>,
    sessions: HashMap<[u8; 16], Session>,
}

struct Generation {
    began: u64,
    hashes: HashSet<[u8; 16]>,
}

struct Session {
    window: Box<Window>,
    expires: u64,
}

impl MemoryGuard {
    /// A guard that remembers nothing yet, for proofs of these windows. Nonces are hashed with `key`, so that
    /// nobody can choose two that look alike; it has to stay the same where
    /// claims outlive the process.
    #[must_use]
    pub fn new(key: MacKey, limits: Limits, windows: Windows) -> Self {
        Self {
            key,
            limits,
            windows,
            hasher: RandomState::new(),
            shards: std::array::from_fn(|_| Mutex::default()),
            horizon: AtomicU64::new(0),
        }
    }

    /// From now on refuses proofs that were made at `secs` since 1970 or before:
    /// their claims may be lost.
    pub fn refuse_created_until(&self, secs: u64) {
        self.horizon.fetch_max(secs, Ordering::AcqRel);
    }

    /// Takes in a claim of a former process. It is remembered from `now` on.
    pub fn restore(&self, remembered: &Remembered, now: u64) {
        let Ok(mut shard) = self.shard(&remembered.device).lock() else {
            // Only a panic inside these few lines poisons the lock; then claims
            // of this shard are refused as well.
            return;
        };
        let device = shard.devices.entry(remembered.device).or_default();
        match remembered.what {
            RememberedOnce::Nonce(hash) => {
                device.current(now, self.generation()).insert(hash);
            }
            RememberedOnce::Counter {
                session,
                counter,
                expires,
            } => {
                let session = device.sessions.entry(session).or_insert_with(|| Session {
                    window: Box::default(),
                    expires,
                });
                session.window.claim(counter);
            }
        }
    }

    /// Makes a claim; with the outcome, what there is to remember of it.
    pub fn remember(&self, claim: &Claim<'_>) -> Result<(Outcome, Remembered), GuardUnavailable> {
        let now = claim.now.as_secs();
        let created = claim.created.as_secs();
        let unavailable = |until: u64| GuardUnavailable {
            retry_after: Duration::from_secs(
                until
                    .saturating_sub(now)
                    .saturating_add(1)
                    .min(self.windows.retain()),
            ),
        };
        let device = first_half(claim.device);
        let what = match claim.once {
            Once::Nonce(nonce) => RememberedOnce::Nonce(self.hash(claim.device, nonce)),
            Once::Counter {
                session,
                counter,
                expires,
            } => RememberedOnce::Counter {
                session: *session,
                counter,
                expires: expires.as_secs(),
            },
        };
        let remembered = Remembered {
            device,
            claimed: now,
            what,
        };
        let mut shard = self.shard(&device).lock().map_err(|_| unavailable(now))?;
        if now >= shard.swept.saturating_add(SWEEP_SECS) || now < shard.swept {
            shard.swept = now;
            self.sweep(&mut shard, now);
        }
        // Read under the lock of the shard: whatever its sweeps forgot shows.
        let horizon = self.horizon.load(Ordering::Acquire);
        if created <= horizon {
            return Err(unavailable(horizon));
        }
        let state = shard.devices.entry(device).or_default();
        let outcome = match what {
            RememberedOnce::Nonce(hash) => {
                state.claim_nonce(hash, now, self.generation(), self.limits.nonces)
            }
            RememberedOnce::Counter {
                session,
                counter,
                expires,
            } => state.claim_counter(session, counter, expires, self.limits.sessions),
        };
        Ok((outcome, remembered))
    }

    /// How many used proofs with nonces of their own are remembered. Looks at all of
    /// them; of sessions' counters only which were used is known, and not how many.
    #[must_use]
    pub fn nonces(&self) -> usize {
        let counted = self.shards.iter().map(|shard| {
            let shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            let generations = shard
                .devices
                .values()
                .flat_map(|device| &device.generations);
            generations
                .map(|generation| generation.hashes.len())
                .sum::<usize>()
        });
        counted.sum()
    }

    /// Forgets what is too old to be let in again, and says so.
    fn sweep(&self, shard: &mut Shard, now: u64) {
        let mut forgotten = None;
        shard.devices.retain(|_, device| {
            let purged = device.purge(now, self.generation(), self.windows.retain());
            forgotten = forgotten.max(purged);
            !device.generations.is_empty() || !device.sessions.is_empty()
        });
        if let Some(until) = forgotten {
            self.refuse_created_until(until.saturating_add(self.windows.forward));
        }
    }

    /// How many seconds of nonces are dropped at once.
    const fn generation(&self) -> u64 {
        let part = self.windows.retain() / GENERATIONS;
        if part < GENERATION_SECS {
            GENERATION_SECS
        } else {
            part
        }
    }

    fn hash(&self, device: &Thumbprint, nonce: &[u8]) -> [u8; 16] {
        let tag = self.key.sign(&[device.as_bytes(), nonce]);
        let mut half = [0; 16];
        half.copy_from_slice(tag.split_at(16).0);
        half
    }

    fn shard(&self, device: &[u8; 16]) -> &Mutex<Shard> {
        let position = usize::try_from(self.hasher.hash_one(device) % 16).unwrap_or(0);
        #[expect(
            clippy::indexing_slicing,
            reason = "a remainder by 16 indexes 16 shards"
        )]
        &self.shards[position]
    }
}

impl ReplayGuard for MemoryGuard {
    fn claim(&self, claim: &Claim<'_>) -> Result<Outcome, GuardUnavailable> {
        self.remember(claim).map(|(outcome, _)| outcome)
    }
}

impl Device {
    fn claim_nonce(&mut self, hash: [u8; 16], now: u64, generation: u64, cap: usize) -> Outcome {
        if self
            .generations
            .iter()
            .any(|generation| generation.hashes.contains(&hash))
        {
            return Outcome::Replayed;
        }
        let held: usize = self
            .generations
            .iter()
            .map(|generation| generation.hashes.len())
            .sum();
        if held >= cap {
            return Outcome::OverCap;
        }
        self.current(now, generation).insert(hash);
        Outcome::Fresh
    }

    fn claim_counter(&mut self, id: [u8; 16], counter: u64, expires: u64, cap: usize) -> Outcome {
        let full = self.sessions.len() >= cap;
        let session = match self.sessions.get_mut(&id) {
            Some(session) => session,
            None if full => return Outcome::OverCap,
            None => self.sessions.entry(id).or_insert(Session {
                window: Box::default(),
                expires,
            }),
        };
        if session.window.claim(counter) {
            Outcome::Fresh
        } else {
            Outcome::Replayed
        }
    }

    /// The set that takes the claims of this moment.
    fn current(&mut self, now: u64, generation: u64) -> &mut HashSet<[u8; 16]> {
        let old = self
            .generations
            .back()
            .is_none_or(|last| now >= last.began.saturating_add(generation));
        if old {
            self.generations.push_back(Generation {
                began: now,
                hashes: HashSet::new(),
            });
        }
        let last = self.generations.len().saturating_sub(1);
        #[expect(
            clippy::indexing_slicing,
            reason = "there is one: it was pushed above if not before"
        )]
        &mut self.generations[last].hashes
    }

    /// Forgets; the last second in which something forgotten may have been claimed.
    fn purge(&mut self, now: u64, generation: u64, retain: u64) -> Option<u64> {
        let mut forgotten = None;
        while let Some(first) = self.generations.front() {
            let ended = first.began.saturating_add(generation);
            if ended.saturating_add(retain) >= now {
                break;
            }
            forgotten = forgotten.max(Some(ended));
            self.generations.pop_front();
        }
        self.sessions.retain(|_, session| {
            let keep = session.expires.saturating_add(retain) >= now;
            if !keep {
                forgotten = forgotten.max(Some(session.expires));
            }
            keep
        });
        forgotten
    }
}

/// What stands for a device: 128 bits of a SHA-256.
fn first_half(device: &Thumbprint) -> [u8; 16] {
    let mut half = [0; 16];
    half.copy_from_slice(device.as_bytes().split_at(16).0);
    half
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conformance;

    #[test]
    fn conforms() {
        for windows in [Windows::NATIVE, Windows::FOREIGN] {
            conformance::run(windows, &mut || {
                let key = MacKey::from_bytes(&[7; 32]).unwrap();
                Box::new(MemoryGuard::new(key, conformance::LIMITS, windows))
            });
        }
    }
}
