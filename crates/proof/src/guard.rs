//! What makes each proof good for one request only (`protocol.md` §3.3).

use procura_types::{Duration, Thumbprint, Timestamp};
use std::cmp::Ordering;

/// How far the clock of whoever made a proof may be from ours, and how long a
/// proof lives: in seconds, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Windows {
    /// How long ago a request may have been made.
    pub back: u64,
    /// How far ahead of our clock.
    pub forward: u64,
}

impl Windows {
    /// Of native proofs (`protocol.md` §3.1).
    pub const NATIVE: Self = Self {
        back: 60,
        forward: 15,
    };
    /// What the guard of all foreign profiles together has to be made for: the
    /// widest of their windows (§3.2), each way.
    pub const FOREIGN: Self = Self {
        back: 300,
        forward: 120,
    };

    /// How long a claim is remembered, in seconds: both windows and one more.
    #[must_use]
    pub const fn retain(self) -> u64 {
        self.back.saturating_add(self.forward).saturating_add(1)
    }

    /// Where a moment lies: `Less` when it is too long ago, `Greater` when it is
    /// too far ahead. Seconds are compared with seconds, both rounded down.
    #[must_use]
    pub const fn place(self, created: Timestamp, now: Timestamp) -> Ordering {
        let (created, now) = (created.as_secs(), now.as_secs());
        if created < now.saturating_sub(self.back) {
            Ordering::Less
        } else if created > now.saturating_add(self.forward) {
            Ordering::Greater
        } else {
            Ordering::Equal
        }
    }
}

/// A proof that verified, about to be used up.
#[derive(Debug, Clone, Copy)]
pub struct Claim<'a> {
    /// The key that made it; for keys without a thumbprint, what stands for one.
    pub device: &'a Thumbprint,
    /// When it says it was made.
    pub created: Timestamp,
    /// The time of the server.
    pub now: Timestamp,
    /// What may be used once.
    pub once: Once<'a>,
}

/// What may be used once.
#[derive(Debug, Clone, Copy)]
pub enum Once<'a> {
    /// The nonce of a proof by a device's own key, decoded.
    Nonce(&'a [u8]),
    /// A counter of a session.
    Counter {
        /// The first half of the SHA-256 of the session id.
        session: &'a [u8; 16],
        /// The counter.
        counter: u64,
        /// When the session ends.
        expires: Timestamp,
    },
}

/// What came of a claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It was never claimed before, and is now.
    Fresh,
    /// It was claimed before, or its counter is behind the window.
    Replayed,
    /// The device has claimed as much as is remembered for one; others are not
    /// touched by that.
    OverCap,
}

/// The guard cannot tell whether the proof was used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("replays cannot be told for proofs made before now")]
pub struct GuardUnavailable {
    /// When a proof that is made anew is worth trying.
    pub retry_after: Duration,
}

/// Remembers which proofs were used. Claims are atomic per device; one that was
/// answered `Fresh` is remembered for [`Windows::retain`], whatever happens to the
/// process where the implementation says so, and is never evicted early.
pub trait ReplayGuard: Send + Sync {
    /// Uses a proof up. Called after its signature verified and never before,
    /// so that strangers cannot fill a guard.
    fn claim(&self, claim: &Claim<'_>) -> Result<Outcome, GuardUnavailable>;
}
