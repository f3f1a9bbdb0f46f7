//! What makes each proof good for one request only (`protocol.md` §3.3).

use procura_types::{Duration, Thumbprint, Timestamp};

/// How long ago a request may have been made, in seconds.
pub const BACK_SECS: u64 = 60;
/// How far ahead of our clock, in seconds.
pub const FORWARD_SECS: u64 = 15;
/// How long a claim is remembered: both windows and a second.
pub const RETAIN_SECS: u64 = BACK_SECS + FORWARD_SECS + 1;

/// A proof that verified, about to be used up.
#[derive(Debug, Clone, Copy)]
pub struct Claim<'a> {
    /// The device that made it.
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
/// answered `Fresh` is remembered for [`RETAIN_SECS`], whatever happens to the
/// process where the implementation says so, and is never evicted early.
pub trait ReplayGuard: Send + Sync {
    /// Uses a proof up. Called after its signature verified and never before,
    /// so that strangers cannot fill a guard.
    fn claim(&self, claim: &Claim<'_>) -> Result<Outcome, GuardUnavailable>;
}
